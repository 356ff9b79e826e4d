"""Attaching to an origin's stream: adopt this file's slot there, or make one, and begin where the last commit was.

A slot is adopted only when it holds everything the copies lack, and the origin's history everything they contain.
Otherwise it is replaced, and every table copied again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from flashql import detaching, recopies
from flashql.catalog import CopyState, Origin
from flashql.lsn import LSN
from flashql.origins.base import Publication, Server, SlotState
from flashql.origins.postgres.origin import HeldSlot, PostgresOrigin
from flashql.origins.postgres.replication import Waiting
from flashql.origins.postgres.stream import Stream
from flashql.store import Store
from flashql.store.copies import copies, origin_record, save_copy, save_origin
from flashql.store.owner import owner_of, seal

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attachment:
    """A stream that runs from `start` on.

    `held` is the slot just made, while the snapshot of its start can be used, and `publication` the one made before
    it. `lost` says what became of the slot there was before, when that could not be adopted.
    """

    stream: Stream
    start: LSN
    held: HeldSlot | None = None
    publication: Publication | None = None
    lost: str | None = None


def require_alone(store: Store, origin: PostgresOrigin, slot: str) -> None:
    """End a stale stream of this file's; to be called before anything at the origin is changed.

    Raises `OriginBusy` when somebody else reads the slot: another copy of this file, whose publication that is.
    """
    origin.release(slot, seal(store))


def publish(store: Store, origin: PostgresOrigin, slot: str, tables: Collection[tuple[str, str]]) -> Publication:
    """Make the publication hold exactly these tables, in the name of this database.

    The copies of others end here first: what was written before they left the publication still comes, and is not
    for views that have failed; what is written after does not come. Those end too that the publication as it is now
    has not fed all the while, when it had to be made anew.
    """
    known = {(copy.schema, copy.name) for copy in copies(store, origin.name)}
    detaching.end(store, origin.name, known - set(tables))
    made = origin.publish(slot, tables, owner_of(store))
    detaching.end(store, origin.name, detaching.unfed(store, origin.name, made))
    return made


def attach(
    store: Store,
    origin: PostgresOrigin,
    slot: str,
    tables: Collection[tuple[str, str]],
    waiting: Waiting,
    *,
    binary: bool,
) -> Attachment:
    """Adopt or make the slot, and stream from it, in `binary` form or text. The publication of these tables exists.

    `waiting` is called while the slot's creation waits for others; what it raises ends that. Raises `OriginBusy` when
    somebody else reads the slot, and `OriginError` when it was lost too often to be made once more.
    """
    record, ours = origin_record(store, origin.name), seal(store)
    server = origin.identity(slot)
    why = None if record.slot is None else why_unusable(origin.slot_state(slot), record, server)
    if record.slot == slot and why is None:
        with store.transaction() as writer:
            save_origin(writer, replace(record, timeline=server.timeline))
        return Attachment(origin.follow(slot, record.applied_lsn, ours, binary=binary), record.applied_lsn)
    lost = f"slot {slot} at origin {origin.name} was lost: {why}; its tables are copied again" if why else None
    if lost:
        _log.warning(lost)
    if why and not store.in_memory:
        recopies.note(slot, None, object(), why)
    recopies.require_slot_not_spent(slot, origin.name)
    # A change before the publication was made would fail the new slot's stream: the publication comes first.
    origin.drop(slot, ours)
    publication = publish(store, origin, slot, tables)
    held = origin.create_slot(slot, temporary=store.in_memory, waiting=waiting, seal=ours)
    start = held.snapshot.lsn
    try:
        with store.transaction() as writer:
            save_origin(writer, Origin(origin.name, slot, slot, server.system_identifier, server.timeline, start))
            for copy in copies(store, origin.name):
                save_copy(writer, replace(copy, state=CopyState.DETACHED))
        if store.in_memory:
            # Nothing would ever drop the slot of a database that dies with its process: it lives in the connection.
            stream = origin.follow(slot, start, ours, binary=binary, held=held)
            return Attachment(stream, start, None, publication, lost)
        return Attachment(origin.follow(slot, start, ours, binary=binary), start, held, publication, lost)
    except BaseException:
        held.close()
        raise


def why_unusable(state: SlotState | None, record: Origin, server: Server) -> str | None:
    """Why going on with the slot would lose or invent changes; None when it holds all that the copies lack.

    The copies contain the origin's history up to `record.applied_lsn`. So that has to be part of the history of the
    server that answers, and the slot must not have forgotten anything after it. A slot made anew under the old name
    begins at the end of the WAL of its day, which is after everything that was ever applied of the same history.
    """
    applied = record.applied_lsn
    if server.system_identifier != record.system_identifier:
        return "the origin is another server now (its system identifier differs)"
    if server.timeline != record.timeline:
        left = server.left.get(record.timeline or 0)
        if left is None:
            return f"timeline {server.timeline} of the origin does not come from timeline {record.timeline}"
        if left < applied:
            return (
                f"the origin left timeline {record.timeline} at {left}, by a failover or a restore, and the copies "
                f"are at {applied}: what it lost they may contain"
            )
    if state is None:
        return "it is gone there"
    if state.origin_lsn < applied:
        return f"the origin's WAL ends at {state.origin_lsn}, before {applied}: it was restored from a backup"
    if state.lost is not None:
        return state.lost
    if state.confirmed_lsn > applied:
        return (
            f"it is at {state.confirmed_lsn} and the copies at {applied}: somebody else read it or made it anew, or "
            "this file is older, as a restored backup is"
        )
    return None
