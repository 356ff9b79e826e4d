"""Attaching to an origin's stream: adopt this file's slot there, or make one, and begin where the last commit was.

A slot is adopted only when it holds everything the copies lack, and they nothing that it does not: it is this server's
(system identifier), in the same history (a promotion or a restore begins a new timeline, and the log of a server put
back as it was ends before what is applied here), not invalidated, and nobody moved it beyond what is durable here.
Otherwise it is replaced, and every table copied again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from flashql.catalog import CopyState, Origin
from flashql.lsn import LSN
from flashql.origins.base import SlotState
from flashql.origins.postgres.origin import HeldSlot, PostgresOrigin
from flashql.origins.postgres.replication import Waiting
from flashql.origins.postgres.stream import Stream
from flashql.store import Store
from flashql.store.copies import copies, origin_record, save_copy, save_origin


@dataclass(frozen=True)
class Attachment:
    """A stream that runs from `start` on.

    `held` is the slot just made, while the snapshot of its start can be used. `lost` says what became of the slot
    there was before, when that could not be adopted.
    """

    stream: Stream
    start: LSN
    held: HeldSlot | None = None
    lost: str | None = None


def attach(
    store: Store, origin: PostgresOrigin, slot: str, tables: Collection[tuple[str, str]], waiting: Waiting
) -> Attachment:
    """Adopt or make the slot, and stream from it. The publication of these tables exists already.

    `waiting` is called while the slot's creation waits for others; what it raises ends that.
    """
    record = origin_record(store, origin.name)
    system, timeline = origin.identity(slot)
    state = origin.slot_state(slot)
    if _usable(state, record, slot, system, timeline) and record.applied_lsn <= origin.current_lsn():
        return Attachment(origin.follow(slot, record.applied_lsn), record.applied_lsn)
    lost = f"slot {slot} at origin {origin.name} was lost; its tables are copied again" if record.slot else None
    # A change before the publication was made would fail the new slot's stream: the publication comes first.
    origin.drop(slot)
    origin.publish(slot, tables)
    held = origin.create_slot(slot, temporary=store.in_memory, waiting=waiting)
    start = held.snapshot.lsn
    try:
        with store.transaction() as writer:
            save_origin(writer, Origin(origin.name, slot, slot, system, timeline, start))
            for copy in copies(store, origin.name):
                save_copy(writer, replace(copy, state=CopyState.DETACHED))
        if store.in_memory:
            # Nothing would ever drop the slot of a database that dies with its process: it lives in the connection.
            return Attachment(origin.follow(slot, start, held), start, lost=lost)
        return Attachment(origin.follow(slot, start), start, held, lost)
    except BaseException:
        held.close()
        raise


def _usable(state: SlotState | None, record: Origin, slot: str, system: str, timeline: int) -> bool:
    """Whether the slot holds everything that the copies lack."""
    return (
        state is not None
        and not state.lost
        and record.slot == slot
        and record.system_identifier == system
        and record.timeline == timeline
        and state.confirmed_lsn <= record.applied_lsn
    )
