"""Proof that copies equal their origin at one exact LSN, while the stream runs; and mending of the rows that do not.

Rows are compared by sums of hashes (comparing.py) between the origin's snapshot of a moment and the local snapshot
that shows exactly what the stream brought until then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import duckdb

from flashql import errors
from flashql.catalog import Copy, CopyState, View
from flashql.comparing import Difference, compare
from flashql.hooks import syncing
from flashql.lifecycle import Phase
from flashql.lsn import LSN
from flashql.maintenance import Maintenance, keep_up, stray_rows
from flashql.moments import Moment
from flashql.origins.postgres.origin import HeldSlot, PostgresOrigin
from flashql.quoting import qualified
from flashql.renewing import take_again
from flashql.store import Store, translated
from flashql.store.copies import copies, copies_seen
from flashql.store.inputs import let_stand
from flashql.worker import Worker

# A moment needs a snapshot, which waits for open writing transactions at the origin while the stream is held. So it is
# given up soon, the stream goes on, and it is tried again with more patience.
_PATIENCE_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class VerifyReport:
    """What a comparison of a view's copy with its origin's table found.

    `rows` is the number of rows of the table at `lsn`, a position as text (0/16B3748): copy and origin were compared
    as they were when exactly the transactions that commit before it had committed. `differing_keys` are the keys, as
    the copy holds them, of rows that differ or are on one side only (whole rows for a table without key), at most
    10,000 of them; `equal` says that there was none. `repaired` counts those put right; `equal_after` is what comparing
    once more after that found, None where there was nothing to repair.

    Views of one table share its copy, so their reports agree, whatever rows and columns each shows of it. A view of
    several tables is compared in all of them, `rows` is their sum, and its own rows with what its query returns over
    the copies; rows that differ there are among `differing_keys`, whole. For a view without an origin `lsn` is empty,
    `rows` are its own, and only that second comparison is made.
    """

    view: str
    lsn: str
    rows: int
    equal: bool
    differing_keys: tuple[tuple[object, ...], ...] = ()
    repaired: int = 0
    equal_after: bool | None = None


def verify(
    store: Store, worker: Worker, views: Sequence[View], recopy: Callable[[View], None] | None
) -> list[VerifyReport]:
    """Compare the copies of these running views of one origin, all at the same LSN.

    With `recopy`, which is called for a view whose copy differs in too many rows, what differs is put right.
    Raises `OriginBusy` when the origin gives no snapshot because of open transactions, `OriginError` for a view
    that does not run.
    """
    found: dict[int, Difference] = {}
    stray: dict[str, tuple[tuple[object, ...], ...]] = {}
    with _look(store, worker) as look:
        serving = {view.relation_id: _copies_of(view, look.copies) for view in views}
        for copy in {copy.id: copy for copies in serving.values() for copy in copies}.values():
            found[copy.id] = _compared(worker.origin, look, copy)
        for view in views:
            if view.is_kept:
                stray[view.relation_id] = stray_rows(look.cursor, view)
    reports = [
        _report(view, look.lsn, [found[copy.id] for copy in serving[view.relation_id]], stray.get(view.relation_id, ()))
        for view in views
    ]
    if recopy is None or all(report.equal for report in reports):
        return reports
    few = {id_: difference for id_, difference in found.items() if difference.places and not difference.more}
    try:
        if few:
            _at_moment(worker, partial(_mend, store, worker.origin, few))
    except errors.DatabaseError:  # a value that the copy cannot hold as it is
        few = {}
    for id_, difference in found.items():
        if difference.places and id_ not in few:
            recopy(next(view for view in views if id_ in {copy.id for copy in serving[view.relation_id]}))
    _compute_anew(store, worker.origin.name, [view for view in views if stray.get(view.relation_id)])
    return [replace(report, repaired=len(report.differing_keys)) for report in reports]


@dataclass(frozen=True)
class _Look:
    """Both sides of a moment: the origin's snapshot, and a local cursor in the transaction that shows the copies."""

    held: HeldSlot
    cursor: duckdb.DuckDBPyConnection
    copies: list[Copy]

    @property
    def lsn(self) -> LSN:
        return self.held.snapshot.lsn

    def close(self) -> None:
        self.cursor.close()
        self.held.close()


@contextmanager
def _look(store: Store, worker: Worker) -> Iterator[_Look]:
    looks: list[_Look] = []
    over, guard = threading.Event(), threading.Lock()

    def look(held: HeldSlot) -> None:
        try:
            cursor = store.cursor()
            cursor.execute("BEGIN")  # DuckDB takes its snapshot when something is read first
            taken = _Look(held, cursor, copies_seen(cursor, worker.origin.name))
        except BaseException:
            held.close()
            raise
        with guard:
            if not over.is_set():
                looks.append(taken)
                return
        taken.close()

    try:
        _at_moment(worker, look)
        yield looks[0]
    finally:
        with guard:  # who waits for a moment may be interrupted; the moment comes nevertheless
            over.set()
        for taken in looks:
            taken.close()


def _at_moment(worker: Worker, act: Callable[[HeldSlot], None]) -> None:
    """Act at a moment. Raises `OriginBusy` when none comes because of open transactions."""
    for patience_seconds in _PATIENCE_SECONDS:
        moment = Moment(act, patience_seconds)
        try:
            worker.at(moment)
            return
        except errors.OriginBusy:
            if patience_seconds == _PATIENCE_SECONDS[-1]:
                raise


def _copies_of(view: View, there: Iterable[Copy]) -> list[Copy]:
    live = {copy.of: copy for copy in there if copy.state is CopyState.LIVE}
    if not view.copies <= live.keys():
        raise errors.OriginError(
            f"{view.relation_id} has no copy that follows its origin now",
            hint="Run db.sync.sync(), then verify again.",
        )
    return [live[view.copy_of(source)] for source in view.sources]


def verify_locally(store: Store, view: View, repair: bool) -> VerifyReport:
    """Compare the rows of a kept view without an origin with its query over what it reads, at one local commit."""
    cursor = store.cursor()
    try:
        with translated():
            cursor.execute("BEGIN")
            rows = cursor.execute(f"SELECT count(*) FROM {qualified(view.namespace, view.name)}").fetchall()[0][0]
            stray = stray_rows(cursor, view)
    finally:
        cursor.close()
    if stray and repair:
        _compute_anew(store, None, [view])
    return VerifyReport(view.relation_id, "", rows, not stray, stray, len(stray) if repair else 0)


def _compute_anew(store: Store, origin: str | None, views: Iterable[View]) -> None:
    """Have kept views whose rows are not those of their query computed anew."""
    with syncing(Phase.RECONCILE, origin), store.transaction() as writer:
        for view in views:
            let_stand(writer, view.relation_id)
            keep_up(writer, store, view)


def _compared(origin: PostgresOrigin, look: _Look, copy: Copy) -> Difference:
    with origin.client.in_snapshot(look.held.snapshot.name) as query:
        return compare(copy, look.cursor, query)


def _report(
    view: View, lsn: LSN, differences: Sequence[Difference], stray: tuple[tuple[object, ...], ...]
) -> VerifyReport:
    keys = tuple(key for difference in differences for key in difference.keys) + stray
    equal = not stray and not any(difference.places for difference in differences)
    return VerifyReport(view.relation_id, str(lsn), sum(difference.rows for difference in differences), equal, keys)


def _mend(store: Store, origin: PostgresOrigin, wrong: dict[int, Difference], held: HeldSlot) -> None:
    """Take the rows at the places that differ from the origin again, as they are at this moment."""
    try:
        with syncing(Phase.RECONCILE, origin.name), store.transaction() as writer:
            for copy in copies(store, origin.name):
                if copy.id in wrong and copy.state is CopyState.LIVE:
                    table = origin.table(copy.schema, copy.name)
                    take_again(writer, origin, held.snapshot, copy, table, wrong[copy.id].places)
                    Maintenance.of(store).disturb({copy.local_table or ""})
    finally:
        held.close()
