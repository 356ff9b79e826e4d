"""Kept views follow what they read: within the local commit that changes it, each after those it reads.

A view's rows equal its query over what it reads, in every local commit. `maintain` sees to that when a batch of the
stream was applied, `settle` at the end of any other transaction, and `keep_up` when a view begins to follow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

import duckdb

from flashql import errors
from flashql.catalog import View
from flashql.deltas import Deltas
from flashql.keeping import (
    Followed,
    followed_views,
    found_inputs,
    in_order,
    local_body,
    planned,
    require_computable,
    shown_body,
    step_rows_of,
)
from flashql.leaving import Leaving
from flashql.lifecycle import Event, Phase, State, moved
from flashql.live import LiveQuery
from flashql.lsn import LSN, NOWHERE
from flashql.planner.steps import WEIGHT, Steps
from flashql.quoting import fold, qualified, quote
from flashql.sharing import Parts
from flashql.stepping import Failures, Program, build, known_relations
from flashql.store import Store
from flashql.store.copies import next_id
from flashql.store.definitions import views
from flashql.store.duck import as_ours
from flashql.store.inputs import inputs, inputs_of, inputs_seen, let_stand, save_inputs
from flashql.store.jobs import is_following, job_state, jobs, note_success, set_job
from flashql.store.relations import described, show_own, shown_tables
from flashql.store.steps import add_measured, built_milliseconds, save_steps, step_rows
from flashql.watching import Watcher, Watchers
from flashql.weighing import consolidated

T = TypeVar("T")

_log = logging.getLogger(__name__)

_known: WeakKeyDictionary[Store, Maintenance] = WeakKeyDictionary()


class Maintenance:
    """The kept views of one database. What has a writer happens within a transaction of the single writer.

    The programs belong to whoever is within such a transaction. What any thread may ask of views (`local_tables_named`)
    is told without them: a list that another thread replaced amid a batch would leave views out of it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = -1
        self._programs: list[Program] = []
        self._plans: dict[str, tuple[Followed, Steps]] = {}  # by relation id, as built and committed
        # The version they are of, and DuckDB's own tables that views read: one value, for any thread may look.
        self._local_tables: tuple[int, frozenset[str]] = (-1, frozenset())
        self._parts = Parts()
        self.watchers = Watchers(store)
        self.leaving = Leaving()
        self._failures = Failures()
        self._lives: list[LiveQuery] = []
        self._beginning: list[LiveQuery] = []  # from before what they see is settled, until they are among the others
        self._joining: LiveQuery | None = None  # with the transaction under way
        self._disturbed: set[str] = set()  # tables that changed in this transaction, and whose readers did not yet

    @classmethod
    def of(cls, store: Store) -> Maintenance:
        """That of this store."""
        found = _known.get(store)
        if found is None:
            found = _known[store] = cls(store)
        return found

    def programs(self) -> list[Program]:
        """The kept views that follow now, each after those it reads. Within a transaction of the single writer."""
        lives = [one.program for one in self._lives if one.program is not None and not one.over]
        return [*self._of_views(), *lives]

    def _of_views(self) -> list[Program]:
        assert self._store.is_writing
        if self._version != self._store.version:
            self._programs, self._version = self._loaded(), self._store.version
        return self._programs

    def _loaded(self) -> list[Program]:
        """The programs of the views that follow now; those of views that are as they were are taken over."""
        made = {program.kept.identity: program for program in self._programs}
        following = followed_views(self._store)
        missing = [one for one in following if one.identity not in made]
        if missing:
            copies, built, cursor = known_relations(self._store), built_milliseconds(self._store), self._store.cursor()
            try:
                for one in missing:
                    steps = self._planned(cursor, one)
                    made[one.identity] = Program(one, steps, copies, built, self._parts, self._failures)
            finally:
                cursor.close()
        return [made[one.identity] for one in following]

    def _program(self, writer: duckdb.DuckDBPyConnection, one: Followed) -> Program:
        """The program of a view as this transaction has it."""
        for program in self._programs:
            if program.kept.identity == one.identity:
                return program
        built = built_milliseconds(self._store)
        steps = self._planned(writer, one)
        return Program(one, steps, known_relations(self._store), built, self._parts, self._failures)

    def _planned(self, cursor: duckdb.DuckDBPyConnection, one: Followed) -> Steps:
        """The view's steps, planned again only where they are of something else than the last time."""
        name = one.view.relation_id
        known = self._plans.get(name)
        if known is not None and known[0].identity == one.identity:
            return known[1]
        steps = planned(cursor, one.view, one.inputs, one.prefix)
        self._store.once_committed(partial(self._plans.__setitem__, name, (one, steps)))
        return steps

    def wanted(self) -> frozenset[str]:
        """The tables whose delta some view follows, or somebody watches."""
        live = {one.program.steps.last.table for one in self._lives if one.program is not None}
        return self.watchers.tables().union(live, *(program.kept.tables for program in self.programs()))

    def maintain(self, writer: duckdb.DuckDBPyConnection, deltas: Deltas, lsn: LSN) -> None:
        """Bring every view that reads one of the changed tables to what its query returns now, at `lsn`.

        Raises `ViewBroken` when one cannot be.
        """
        if not any(True for _ in deltas):
            return
        deltas.net()
        for program in self._of_views():
            _guarded(program.kept.view, partial(program.run, writer, deltas))
        self._each_live(writer, lambda one: one.follow(writer, deltas))
        self._parts.end_batch(writer, deltas)
        self._note(writer)
        self.watchers.collect(writer, deltas, lsn, {one.kept.view.relation_id: one.steps for one in self.programs()})

    def live(self, view: View, watcher: Watcher) -> LiveQuery:
        """Keep a query's rows, and tell their changes; the first are those there are now. `end` what is returned.

        Raises `ViewNotReady` and `ViewBroken`.
        """
        live = LiveQuery(self._store, view, watcher, self._parts)
        self._beginning.append(live)  # whoever commits what it will not see knows of it
        try:
            with self._store.transaction():
                self._joining = live  # `settle` computes it, after all that it reads
        finally:
            self._beginning.remove(live)
        return live

    def _each_live(self, writer: duckdb.DuckDBPyConnection, act: Callable[[LiveQuery], None]) -> None:
        """Let each live query follow. One that fails ends, which the next try knows: `ViewBroken`, as for a view."""
        for live in list(self._lives):
            if live.over:
                live.drop(writer)
                self._store.once_committed(partial(self._lives.remove, live))
                continue
            try:
                _guarded(live.view, partial(act, live))
            except errors.ViewBroken as broken:
                live.end(broken)
                raise

    def _note(self, writer: duckdb.DuckDBPyConnection) -> None:
        """Add what was measured to flashql.view_steps."""
        measured = {table: one for program in self._programs for table, one in program.measured.items() if one.batches}
        if measured:
            add_measured(writer, {table: one.taken() for table, one in measured.items()})

    def keep_up(self, writer: duckdb.DuckDBPyConnection, view: View, *, redefined: bool = False) -> None:
        """Let the view follow what it reads now; when its rows are of something else they are computed anew.

        `redefined` when DuckDB's own tables and views may be others than when it was planned. Raises `ViewNotReady`
        when something it reads has no rows here, and `ViewBroken`.
        """
        if redefined:
            self._plans.pop(view.relation_id, None)
        read = found_inputs(self._store, view)
        if inputs_of(self._store, view.relation_id) == read and self._is_built_as_planned(writer, view, read):
            return
        require_computable(self._store, view)
        steps = _guarded(view, lambda: self._planned(writer, Followed(view, read, f"v{next_id(writer)}")))
        took = _guarded(view, lambda: build(writer, steps))
        show_own(writer, self._store, view, steps.last.table, shown_body(view, steps))
        save_steps(writer, view.relation_id, step_rows_of(steps, read), took)
        save_inputs(writer, view, read)

    def _is_built_as_planned(self, writer: duckdb.DuckDBPyConnection, view: View, read: dict[str, str | None]) -> bool:
        """Whether the tables of its steps are those that this version of FlashQL would make."""
        known = self._plans.get(view.relation_id)
        if known is not None and known[0].identity == replace(known[0], view=view, inputs=read).identity:
            return True  # this process has planned them
        built = step_rows(self._store, view.relation_id)
        if not built:
            return False
        steps = _guarded(view, lambda: self._planned(writer, Followed(view, read, built[0].table)))
        return built == step_rows_of(steps, read)

    def disturb(self, tables: Collection[str]) -> None:
        """These tables have changed in this transaction: whatever reads them is computed anew at its end."""
        self._disturbed.update(tables)

    def local_tables_named(self, sql: str) -> set[str]:
        """Which of DuckDB's own tables that views follow a statement may write to, by its text."""
        lowered, hidden = fold(sql), sql.lstrip()[:7].upper() == "EXECUTE"
        followed = self.followed_local_tables()
        return {name for name in followed if hidden or fold(name.rsplit(".", 1)[-1]) in lowered}

    def follow_local(self, written: Collection[str] | None = None) -> None:
        """DuckDB's own tables were written to (None: perhaps any of them): the views that read them follow.

        One whose query fails stands still, and its job says why.
        """
        if written is None:
            written = self.followed_local_tables()
        if written:
            without_broken(partial(self._settle_disturbed, written))
        self.try_again(written)

    def followed_local_tables(self) -> set[str]:
        """DuckDB's own tables that views and live queries follow, or will when what is under way has committed."""
        version = self._store.version  # taken first: of what is committed meanwhile the next call looks again
        of_version, found = self._local_tables
        if of_version != version:
            kept = [view for view in views(self._store).values() if view.is_kept]
            found = frozenset(name for view in kept for name in view.local_tables)
            self._local_tables = version, found
        lives = [*self._beginning, *self._lives]  # in this order, for from there they go here
        return set(found).union(*(live.view.local_tables for live in lives))

    def _settle_disturbed(self, tables: Collection[str]) -> None:
        with self._store.transaction():
            self.disturb(tables)

    def leave(self, broken: errors.ViewBroken) -> None:
        """Let a view whose query has just failed stand still; its job says why."""
        self.leaving.note(broken)
        with self._store.transaction() as writer:
            let_stand(writer, broken.relation_id)
            job = job_state(self._store, broken.relation_id)
            if job is not None:
                state = moved(job.state, Event.FAIL).value
                failed = {"state": state, "phase": None, "retry_count": job.retry_count + 1, "last_error": str(broken)}
                set_job(writer, broken.relation_id, **failed)

    def try_again(self, changed: Collection[str] | None = None) -> None:
        """Let views without an origin that failed follow again where their queries work again.

        Those that read what has `changed` (relation ids of views and local tables), or that were left for long enough.
        """
        known, following = jobs(self._store), inputs(self._store)
        for view in in_order(views(self._store).values()):
            job = known.get(view.relation_id)
            standing = view.is_kept and view.origin is None and view.relation_id not in following
            if not standing or job is None or not job.enabled or job.state != State.FAILED:
                continue
            due = not self.leaving.left([view.relation_id])
            if due if changed is None else not {*view.reads, *view.local_tables}.isdisjoint(changed):
                with suppress(errors.ViewBroken, errors.ViewNotReady), self._store.transaction() as writer:
                    self.keep_up(writer, view)
                    mark_running(writer, self._store, view, NOWHERE)

    def settle(self, writer: duckdb.DuckDBPyConnection) -> None:
        """At the end of a transaction: views follow what changed in it, and those without an origin what is shown.

        Raises `ViewBroken` when one cannot.
        """
        joining, self._joining = self._joining, None
        self._note(writer)
        moved: dict[str, Steps] = {}  # of the views that followed what was disturbed
        disturbed, self._disturbed = self._disturbed, set()
        lost = Deltas(writer, disturbed, all_listed=True)
        for table in disturbed:
            lost.lose(table)
        shown = shown_tables(self._store)
        for one in followed_views(self._store):
            now = _inputs_now(self._store, one.view, shown) if one.view.origin is None else one.inputs
            if now is None:
                let_stand(writer, one.view.relation_id)
            elif now != one.inputs:
                self.keep_up(writer, one.view)
                shown = shown_tables(self._store)
            elif any(table in lost for table in {*one.tables, *one.view.local_tables}):
                program = self._program(writer, one)
                _guarded(one.view, partial(program.run, writer, lost))
                moved[one.view.relation_id] = program.steps
        self._each_live(writer, lambda one: one.settle(writer, lost))
        if joining is not None:
            _guarded(joining.view, partial(joining.settle, writer, lost))
            self._store.once_committed(partial(self._lives.append, joining))
        self.watchers.collect(writer, lost, None, moved)


def keep_up(writer: duckdb.DuckDBPyConnection, store: Store, view: View, *, redefined: bool = False) -> None:
    """`Maintenance.keep_up` of the store's."""
    Maintenance.of(store).keep_up(writer, view, redefined=redefined)


def mark_running(writer: duckdb.DuckDBPyConnection, store: Store, view: View, lsn: LSN) -> None:
    """The view follows the stream and contains every transaction that ends at or before `lsn`."""
    job = job_state(store, view.relation_id)
    if job is None or is_following(job):
        return
    set_job(
        writer,
        view.relation_id,
        state=moved(job.state, Event.START).value,
        phase=Phase.PULL,
        last_seen_commit=str(lsn) if lsn else job.last_seen_commit,
        retry_count=0,
        last_error=None,
        next_retry_at=None,
    )
    note_success(writer, view.relation_id)


def without_broken(act: Callable[[], T], view: View | None = None) -> T:
    """What `act` returns, which is done again without each view whose query turns out to fail in its transactions.

    When that is `view` itself, or one fails although it stands still, it is raised: `ViewBroken`.
    """
    broke = set() if view is None else {view.relation_id}
    while True:
        try:
            return act()
        except errors.ViewBroken as broken:
            if broken.relation_id in broke:
                raise
            broke.add(broken.relation_id)


def stray_rows(cursor: duckdb.DuckDBPyConnection, view: View, most: int = 10_000) -> tuple[tuple[object, ...], ...]:
    """Rows that a kept view lacks of its query, or has beyond it, as the cursor's transaction sees both.

    Raises `ViewNotReady` when the view does not follow what it reads.
    """
    read = inputs_seen(cursor).get(view.relation_id)
    if read is None:
        raise errors.ViewNotReady(f"{view.relation_id} does not follow what it reads now: run db.sync.sync()")
    shown = f"SELECT * FROM {qualified(view.namespace, view.name)}"
    body = local_body(view, read)
    columns = described(cursor, shown)
    weighted = f"SELECT *, 1 AS {WEIGHT} FROM ({body}) UNION ALL SELECT *, -1 FROM ({shown})"
    names = ", ".join(quote(name) for name, _ in columns)
    rows = cursor.execute(f"SELECT {names} FROM ({consolidated(columns, weighted)}) LIMIT {most}").fetchall()
    return tuple(tuple(row) for row in rows)


def _inputs_now(store: Store, view: View, shown: Mapping[str, str]) -> dict[str, str | None] | None:
    try:
        return found_inputs(store, view, shown)
    except errors.ViewNotReady:
        return None


def _guarded(view: View, act: Callable[[], T]) -> T:
    """What `act` returns. What cannot be computed breaks the view, a fault of ours too, and no other view.

    What fails for want of disk or memory does not.
    """
    try:
        return act()
    except (duckdb.InterruptException, errors.FlashQLError, MemoryError):
        raise
    except duckdb.Error as error:
        ours = as_ours(error)
        if ours.retry is errors.Retry.BACKOFF:
            raise
        raise errors.ViewBroken(view.relation_id, ours.message) from error
    except Exception as fault:
        _log.exception("%s could not be kept", view.relation_id)
        raise errors.ViewBroken(view.relation_id, f"a fault of FlashQL's: {fault!r}") from fault
