"""What of jobs and copies becomes events: each derived in one place, from what was committed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import duckdb

from flashql.catalog import Copy, View
from flashql.events import Events, StateChanged, SyncApplied, SyncEvent, SyncFailed
from flashql.joining import live_copies
from flashql.lifecycle import Phase, State
from flashql.quoting import qualified
from flashql.store import DATA_SCHEMA, Store


@dataclass(frozen=True)
class _Mark:
    """What of a job row events are made of. Its fields are the table's."""

    origin: str | None
    mode: str
    state: str
    phase: str | None
    last_seen_commit: str | None
    retry_count: int
    last_error: str | None
    waits: bool  # for the next attempt


_MARKS = (
    "SELECT relation_id, origin, mode, state, phase, last_seen_commit, retry_count, last_error, "
    "next_retry_at IS NOT NULL FROM flashql.sync_jobs ORDER BY relation_id"
)


def tell_jobs(store: Store, writer: duckdb.DuckDBPyConnection) -> None:
    """Tell what the transaction under way changes of jobs, once it has committed. To be called at its end."""
    events = Events.of(store)
    if not (events.wanted(StateChanged.name) or events.wanted(SyncFailed.name)):
        return
    committed = store.cursor()
    try:
        before, after = _marks(committed), _marks(writer)
    finally:
        committed.close()
    for name in sorted(before.keys() | after.keys()):
        for event in _changes(name, before.get(name), after.get(name)):
            store.once_committed(partial(events.tell, event))


def _marks(connection: duckdb.DuckDBPyConnection) -> dict[str, _Mark]:
    return {name: _Mark(*rest) for name, *rest in connection.execute(_MARKS).fetchall()}


def _changes(name: str, before: _Mark | None, after: _Mark | None) -> Iterable[SyncEvent]:
    """The events of one job."""
    now = after or before
    if before == after or now is None:
        return
    state_before, phase_before = (before.state, before.phase) if before is not None else (None, None)
    state, phase = (after.state, after.phase) if after is not None else (None, None)
    origin, lsn = now.origin, now.last_seen_commit
    if (state_before, phase_before) != (state, phase):
        yield StateChanged(
            view=name,
            origin=origin,
            phase=phase,
            lsn=lsn,
            before=state_before,
            after=state,
            phase_before=phase_before,
        )
    if after is not None and _has_failed(before, after):
        yield SyncFailed(view=name, origin=origin, phase=phase_before, lsn=lsn, error=after.last_error or "")


def _has_failed(before: _Mark | None, after: _Mark) -> bool:
    """Whether it has come to stand still by an attempt that failed.

    A realtime job that stands still is looked at now and then: that it still does is no news.
    """
    if after.state != State.FAILED or after.waits or (before is not None and after.retry_count <= before.retry_count):
        return False
    same = before is not None and replace(before, retry_count=after.retry_count, phase=after.phase) == after
    return after.mode == "snapshot" or not same


def tell_cloned(store: Store, origin: str, made: Iterable[Copy], views: Iterable[View], seconds: float) -> None:
    """Tell which of these views show copies that were just made, in so many seconds, and follow now."""
    events = Events.of(store)
    if not events.wanted(SyncApplied.name):
        return
    ids, live = {copy.id for copy in made}, live_copies(store, origin)
    rows = {copy.id: _row_count(store, copy) for copy in live.values() if copy.id in ids}
    for view in views:
        new = [copy for name in view.copies if (copy := live.get(name)) and copy.id in ids]
        if new and view.copies <= live.keys():
            events.tell(
                SyncApplied(
                    view=view.relation_id,
                    origin=origin,
                    phase=Phase.CLONE,
                    lsn=str(max(copy.lsn for copy in new)),
                    rows=sum(rows[copy.id] for copy in new),
                    seconds=seconds,
                )
            )


def _row_count(store: Store, copy: Copy) -> int:
    ((rows,),) = store.rows(f"SELECT count(*) FROM {qualified(DATA_SCHEMA, copy.local_table or '')}")
    return int(rows)
