"""One simulated life of a database file: a schedule's steps, and after each the copies against the model.

Everything but the origin is real: the store on a file, worker, session, copying, follower. Their threads run only
while the schedule waits for them, so the same steps give the same run. A crash is a photograph: the database's files
are copied at that instant, as a killed process would leave them; that process is then cut off from the origin and
closed, and the copy is opened in its place.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb

import flashql
from flashql import database, errors, feeding, recopies, session, sync, worker, works
from flashql.catalog import CopyState
from flashql.database import Database
from flashql.lsn import LSN
from flashql.origins.base import Received
from flashql.origins.postgres import assembling
from flashql.store import Store
from flashql.store.copies import copies
from tests.simulation.altering import carried_out
from tests.simulation.origin import SimulatedOrigin, SimulatedStream
from tests.simulation.server import ModelTable, Server, Slot, State
from tests.simulation.steps import Step

STUCK_SECONDS = 30.0
_ROUNDS = 400  # that a schedule may take to come to rest
# Changes wait for copies that are being made, and for no others.
_WAITING_FOR_NOTHING = (
    "SELECT t.name, c.name FROM (SELECT table_name AS name FROM duckdb_tables() "
    "WHERE schema_name = 'flashql_data' AND table_name LIKE 'p%') AS t FULL JOIN "
    "(SELECT 'p' || id AS name FROM flashql.copies WHERE state = 'copying') AS c USING (name) "
    "WHERE t.name IS NULL OR c.name IS NULL"
)


# Which phases a job may be in, in which states. One that waits for its slot, or is seeded, does not run yet.
TOGETHER: dict[str, set[str | None]] = {
    "idle": {None, "seed", "clone"},
    "synced": {None, "seed", "clone"},
    "running": {"clone", "pull", "reconcile"},
    "failed": {None, "seed", "clone"},
}


class Mismatch(AssertionError):
    """A copy is not what the model says, or something promised is not kept."""


@dataclass
class ModelView:
    """A view as the model computes it."""

    name: str
    table: str
    columns: tuple[str, ...]
    condition: tuple[str, str] | None
    reads: tuple[str, ...]
    shown_lsn: int = 0  # of the copy it showed last
    kinds: dict[str, str] = field(default_factory=dict)

    def rows(self, state: State) -> Counter[Any] | None:
        """Its rows in that state; None when it cannot be computed there."""
        table = state.get(self.table)
        known = {column.name: column for column in table.columns} if table is not None else {}
        if table is None or not set(self.reads) <= set(known):
            return None
        kept = [row for row in table.rows.values() if self._meets(table, row)]
        places = [known[name] for name in self.columns]
        return Counter(tuple(plain(row.get(c.number), c.kind) for c in places) for row in kept)

    def _meets(self, table: ModelTable, row: Any) -> bool:
        if self.condition is None:
            return True
        name, test = self.condition
        value = next(row.get(c.number) for c in table.columns if c.name == name)
        if test == "IS NULL":
            return value is None
        if value is None or test == "IS NOT NULL":
            return value is not None
        # Of a column that is text by now nobody can say; the view cannot be read then either.
        return value.removeprefix("-").isdigit() and int(value) > int(test.split()[1])


def view_of(
    state: State, name: str, table: str, columns: Any, condition: tuple[str, str] | None
) -> tuple[ModelView, str] | None:
    """The view of a step and its query; None when there is no such table, or column, or it cannot be compared so."""
    model = state.get(table)
    kinds = {column.name: column.kind for column in model.columns} if model is not None else {}
    shown = tuple(kinds) if columns == "*" else tuple(columns)
    if model is None or not set(shown) <= set(kinds):
        return None
    query = f"SELECT {'*' if columns == '*' else ', '.join(shown)} FROM {table}"
    if condition is not None:
        if condition[0] not in kinds or (condition[1].startswith(">") and kinds[condition[0]] != "int"):
            return None
        query += f" WHERE {condition[0]} {condition[1]}"
    key = [column.name for column in model.key] or list(kinds)
    reads = tuple({*shown, *key, *([condition[0]] if condition else [])})
    return ModelView(name, table, shown, condition, reads, kinds=kinds), query


def define(
    db: Database, views: dict[str, ModelView], state: State, step: Sequence[Any], execute: Callable[[str], object]
) -> None:
    """Carry out the step ("view", ...) by `execute`; nothing where there can be no such view, or its job is off."""
    _, name, table, columns, condition = step
    found = view_of(state, name, table, columns, condition)
    if found is None or (name in views and any(not job.enabled for job in db.sync.status(f"s.{name}"))):
        return
    view, query = found
    try:
        execute(f"CREATE OR REPLACE REALTIME VIEW s.{name} AS {query}")
        views[name] = view
    except errors.FlashQLError:
        for gone in [at for at in views if f"s.{at}" not in db.views]:
            del views[gone]


def plain(value: str | None, kind: str) -> str | None:
    """A value's text, the same for all spellings of it: here t is true, and zeros at a number's end do not count."""
    if value is not None and kind == "boolean":
        return {"t": "true", "f": "false"}.get(value, value)
    if value is not None and kind == "numeric":
        try:
            number = Decimal(value)
        except InvalidOperation:
            return value
        return "NaN" if number.is_nan() else format(number.normalize(), "f") if number else "0"
    return value


class Simulation:
    """The steps of one schedule, carried out. `run` raises `Mismatch`."""

    def __init__(
        self, folder: Path, *, hold_bytes: int = 32 << 20, sends_empty: bool = False, stream_after: int | None = None
    ) -> None:
        self.server = Server()
        self.sends_empty = sends_empty
        self.stream_after = stream_after
        self.views: dict[str, ModelView] = {}
        self.checks = 0
        self.crashes = 0
        self.refused = 0
        self._folder = folder
        self._hold_bytes = hold_bytes
        self._generation = 0
        self._condition = threading.Condition()
        self._parked: set[str] = set()
        self._released: set[str] = set()
        self._free = False
        self._later: list[list[Any]] = []  # [calls left, step]
        self._photo: Path | None = None
        self._problems: list[str] = []
        self._settling = False
        self._stack = ExitStack()

    # -- what the origin asks (from any thread)

    def called(self, what: str) -> None:
        """A call of the origin, or a local commit (`what` begins with "local"): see whether something is due."""
        me = self._origin_of_thread
        if me is not self._origin:
            raise errors.OriginUnreachable("this process has died")
        for one in list(self._later):
            one[0] -= 1
            if one[0] > 0:
                continue
            with suppress(ValueError):  # another thread called at the same moment
                self._later.remove(one)
            if one[1][0] == "crash":
                self._photograph()
            elif one[1][0] == "cut":
                self._cut(errors.OriginUnreachable("cut"))
                if not what.startswith("local"):
                    raise errors.OriginUnreachable(f"cut in {what}")
            else:
                self._at_server(one[1])
        if self._photo is not None and not what.startswith("local"):
            time.sleep(0.01)
            raise errors.OriginUnreachable("this process has died")

    def gate(self, role: str) -> None:
        """Wait until the schedule lets the thread go on."""
        with self._condition:
            self._parked.add(role)
            self._condition.notify_all()
            self._condition.wait_for(lambda: role in self._released or self._free)
            self._released.discard(role)
            self._parked.discard(role)
        if self._free:
            time.sleep(0.001)

    @property
    def _origin_of_thread(self) -> SimulatedOrigin:
        return self._origin

    def _photograph(self) -> None:
        """The files as they are now: what is left of this process. Nothing it does from now on counts."""
        if self._photo is None:
            self._generation += 1
            self._photo = self._folder / f"{self._generation}.duckdb"
            for ending in ("", ".wal"):
                source = Path(f"{self._path}{ending}")
                if source.exists():
                    shutil.copyfile(source, f"{self._photo}{ending}")
            self._cut(errors.OriginUnreachable("this process has died"))

    def _confirmed(self, slot: str, lsn: int) -> None:
        if self._photo is not None:
            return
        applied = self._applied()
        if lsn > applied:
            self._problems.append(f"confirmed {LSN(lsn)} while {LSN(applied)} is durable")
        there = self.server.slots.get(slot)
        if there is not None:
            there.confirmed = max(there.confirmed, lsn)

    # -- threads

    @property
    def _stream(self) -> SimulatedStream | None:
        for stream in reversed(self._origin.streams):
            if not stream.is_closed:
                return stream
        return None

    @property
    def _worker(self) -> worker.Worker | None:
        return self.db.sync._workers.get("primary")

    @property
    def _session(self) -> session.Session | None:
        running = self._worker
        return running._session if running is not None else None

    def _wait_parked(self) -> None:
        """Wait until every thread waits for the schedule, or has ended."""
        deadline = time.monotonic() + STUCK_SECONDS
        with self._condition:
            while not self._all_parked():
                if time.monotonic() > deadline:
                    raise Mismatch(f"stuck: parked {self._parked}, released {self._released}")
                self._condition.wait(0.002)

    def _all_parked(self) -> bool:
        if self._photo is not None:
            return True  # what the dead process does no longer counts
        waiting = self._parked - self._released
        running, session = self._worker, self._session  # looked at once: the worker's thread may end it meanwhile
        copying = session._pass if session is not None else None
        if running is not None and running._thread is not None and "worker" not in waiting:
            if copying is not None and copying._cancelled and "copy" in waiting:
                self._released.add("copy")
                self._condition.notify_all()
            return False
        return copying is None or copying.finished or "copy" in waiting

    def _go(self, role: str) -> None:
        with self._condition:
            if role not in self._parked:
                return
            self._released.add(role)
            self._condition.notify_all()
        self._wait_parked()

    def _come_to_rest(self) -> None:
        """Let the worker act on whatever it was asked, until it waits for the schedule."""
        self._wait_parked()
        for _ in range(100):
            if self._photo is not None:
                return
            stream = self._stream
            asked = stream is not None and (stream.is_interrupted or stream.error is not None)
            if "worker" not in self._parked or (stream is not None and not asked):
                return
            before = stream
            self._go("worker")
            if stream is None and self._stream is before:
                return  # it waits for transactions to end
        raise Mismatch("the worker does not come to rest")

    # -- the life of a process

    @contextmanager
    def alive(self) -> Iterator[None]:
        """The first process."""
        simulation = self

        class WatchedStore(Store):
            """A store whose commits can be the moment of a crash."""

            @contextmanager
            def transaction(self, *, of_stream: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
                with super().transaction(of_stream=of_stream) as writer:
                    yield writer
                    simulation._local("before a commit", self)
                simulation._local("after a commit", self)

        class PatientWorker(worker.Worker):
            """A worker for which nobody waits but the schedule."""

            def ensure(
                self, names: Collection[str], settled: worker.Settled = lambda _: None, *, force: bool = False
            ) -> dict[str, errors.FlashQLError]:
                self._wake(start=True, unhalt=names)
                return {}

            def stop(self) -> None:
                with simulation._running_free():
                    super().stop()

        for target, name, value in (
            (database, "Store", WatchedStore),
            (sync, "Worker", PatientWorker),
            (feeding, "_IDLE_SECONDS", 0.0),
            (assembling, "HOLD_BYTES", self._hold_bytes),
            (recopies, "AT_MOST", 1 << 30),
            (works, "_NOTE_SECONDS", 1e9),
            (session, "_RECONCILE_SECONDS", 1e9),
            (session, "Watch", lambda *_: nullcontext()),
        ):
            self._stack.enter_context(patch.object(target, name, value))
        with self._stack:
            self._open(self._folder / "0.duckdb")
            self.db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
            try:
                yield
            finally:
                with self._running_free():
                    self.db.close()

    @contextmanager
    def _running_free(self) -> Iterator[None]:
        """Threads wait for nothing meanwhile: they are to end."""
        before = self._free
        with self._condition:
            self._free = True
            self._condition.notify_all()
        try:
            yield
        finally:
            self._free = before

    def _local(self, what: str, store: Store) -> None:
        if getattr(self, "db", None) is not None and store is self.db.store:
            with_origin = self._photo is None
            if with_origin:
                self.called(f"local: {what}")

    def _open(self, path: Path) -> None:
        self._path = path
        self._origin = SimulatedOrigin(self)
        self._origin.on_confirm = self._confirmed
        self._parked, self._released = set(), set()
        self.db: Database = flashql.connect(str(path), origins={"primary": self._origin})

    def _reopen(self, path: Path) -> None:
        old = self._path
        with self._running_free():
            self.db.close()
        self._photo = None
        self._later = [one for one in self._later if one[1][0] != "crash"]
        self._open(path)
        if path != old:
            for ending in ("", ".wal"):
                Path(f"{old}{ending}").unlink(missing_ok=True)
        # The process died in the middle of defining a view: it is there, or not.
        self.views = {name: view for name, view in self.views.items() if f"s.{name}" in self.db.views}
        self.db.sync.sync()

    # -- steps

    def run(self, steps: Sequence[Step]) -> None:
        """Carry out the steps, comparing after each; then let everything come to rest, and compare the whole."""
        with self.alive():
            for number, step in enumerate(steps):
                try:
                    self._step(step)
                except Mismatch as problem:
                    problem.add_note(f"after step {number}: {step!r}")
                    raise
            self._settle()

    def _step(self, step: Step) -> None:
        if step[0] == "later":
            self._later.append([step[1], step[2]])
        elif not self._on_the_way(step) and not self._at_server(step):
            self._here(step)
        self._come_to_rest()
        if self._photo is not None:
            self.crashes += 1
            self._reopen(self._photo)
            self._come_to_rest()
        self.check()

    def _at_server(self, step: Step) -> bool:
        """Carry out a step at the server; False when it is none."""
        return carried_out(self.server, step) or self._to_server(step)

    def _to_server(self, step: Step) -> bool:
        """What happens to slots, publications and the server itself."""
        server = self.server
        slots = [name for name in server.slots if "_copy_" not in name]
        gone = errors.SlotLost("the slot is gone")
        match step:
            case ("lose_slot",):
                for name in slots:
                    server.slots[name].lost = True
                self._cut(gone)
            case ("drop_slot",):
                self._cut(errors.OriginUnreachable("terminated"))
                for name in slots:
                    del server.slots[name]
            case ("recreate_slot",):
                self._cut(errors.OriginUnreachable("terminated"))
                for name in slots:
                    server.slots[name] = Slot(server.lsn)
            case ("drop_publication",):
                server.drop_publications()
            case ("remake_publication",):
                server.remake_publications()
            case ("unpublish" | "republish" as kind, table):
                getattr(server, kind)(table)
            case ("restart",):
                server.abort_all()
                self._cut(errors.OriginUnreachable("shutting down"))
            case ("new_system",):
                server.abort_all()
                server.system += 1
                server.slots, server.publications = {}, {}
                self._cut(errors.OriginUnreachable("shutting down"))
            case ("restore", commits, keeps_slots, new_timeline):
                self._cut(errors.OriginUnreachable("shutting down"))
                server.restore(commits, keeps_slots=keeps_slots, new_timeline=new_timeline)
                for table in list(server.state) if new_timeline else ():  # more than it lost, before anybody looks
                    carried_out(server, ("tx", (("fill", table, 700, 30),)))
            case _:
                return False
        return True

    def _cut(self, error: errors.FlashQLError) -> None:
        for stream in self._origin.streams:
            stream.error = stream.error or error
        self.server.slots = {name: slot for name, slot in self.server.slots.items() if "_copy_" not in name}

    def _on_the_way(self, step: Step) -> bool:
        match step:
            case ("deliver", frames):
                self._deliver(frames)
            case ("all",):
                self._deliver(1 << 30)
            case ("keepalive",):
                self._deliver(0, keepalive=True)
            case ("cut",):
                self._cut(errors.OriginUnreachable("cut"))
            case ("copy", times):
                for _ in range(times):
                    if self._photo is None:
                        self._go("copy")
                        self._come_to_rest()
            case ("crash",):
                self._photograph()
            case _:
                return False
        return True

    def _deliver(self, limit: int, *, keepalive: bool = False) -> None:
        stream = self._stream
        if stream is None or stream.error is not None or "worker" not in self._parked:
            return
        try:
            frames = stream.sender.frames(limit)
        except LookupError as problem:
            stream.error = errors.SlotLost(str(problem))
            self._go("worker")
            return
        position = None
        if keepalive or (stream.wants_position and stream.sender.all_sent):
            position, stream.wants_position = LSN(stream.sender.position), False
        stream.next = Received(frames, position, LSN(self.server.lsn))
        self._go("worker")

    def _here(self, step: Step) -> None:
        sync = self.db.sync
        match step:
            case ("view", *_):
                define(self.db, self.views, self.server.state, step, self.db.execute)
            case ("sync",):
                sync.sync()
            case ("look",):
                sync.look("primary")
            case ("wake",):
                sync.wake()
                while (thread := sync._waker._thread) is not None:
                    thread.join()
            case ("refuse", times):
                self._refuse(times)
            case ("reopen",):
                self._reopen(self._path)
            case (kind, name) if name in self.views:
                try:
                    self._control(str(kind), name)
                except errors.FlashQLError as problem:
                    if self._photo is None and not isinstance(problem, errors.OriginUnreachable):
                        raise

    def _refuse(self, times: int) -> None:
        """A before_sync hook refuses what comes next, so many times."""
        left, database = [times], self.db

        def refuse(context: flashql.SyncContext) -> None:
            if self._settling or database is not self.db or left[0] == 0:
                hook.remove()
                return
            left[0] -= 1
            self.refused += 1
            raise ValueError(f"{left[0]} more")

        hook = database.sync.before_sync(refuse)

    def _control(self, kind: str, name: str) -> None:
        relation = f"s.{name}"
        match kind:
            case "drop_view":
                self.db.execute(f"DROP VIEW {relation}")
                del self.views[name]
            case "refresh":
                self.db.execute(f"REFRESH VIEW {relation}")
            case _:
                getattr(self.db.sync, kind)(relation)

    # -- the oracle

    def _applied(self) -> int:
        rows = self.db.store.rows("SELECT applied_lsn FROM flashql.origins")
        return int(rows[0][0]) if rows else 0

    def check(self) -> None:
        """Every view shows the model's rows at its own last commit; nothing is confirmed that is not durable."""
        self.checks += 1
        if self._problems:
            raise Mismatch("; ".join(self._problems))
        cursor = self.db.store.cursor()
        try:
            cursor.execute("BEGIN")
            applied = dict(cursor.execute("SELECT name, applied_lsn FROM flashql.origins").fetchall()).get("primary", 0)
            lsns = dict(cursor.execute("SELECT local_table, lsn FROM flashql.copies").fetchall())
            for job in cursor.execute("SELECT state, phase, relation_id FROM flashql.sync_jobs").fetchall():
                if job[1] not in TOGETHER[job[0]]:
                    raise Mismatch(f"there is no such job: {job}")
            if stray := cursor.execute(_WAITING_FOR_NOTHING).fetchall():
                raise Mismatch(f"changes wait, or do not, against what is being copied: {stray}")
            jobs = cursor.execute(
                "SELECT v.name, v.shows, j.state, j.phase, j.last_seen_commit FROM flashql.views v "
                "JOIN flashql.sync_jobs j ON j.relation_id = v.namespace || '.' || v.name"
            ).fetchall()
            for name, shows, state, phase, seen in jobs:
                view = self.views.get(name)
                if view is None or shows is None or seen is None:  # forgotten: rows of a time nobody knows
                    continue
                if shows in lsns:
                    view.shown_lsn = int(lsns[shows])
                lsn = int(LSN.parse(seen)) if seen else 0
                running = state == "running" and phase == "pull"
                if running and lsn > applied:
                    raise Mismatch(f"{name} claims {seen}, but {LSN(applied)} is applied")
                self._compare(cursor, view, lsn, where=f"{state}/{phase} at {LSN(lsn)}")
                if running:
                    self._compare(cursor, view, int(applied), where=f"running, applied {LSN(applied)}")
        finally:
            cursor.close()

    def _compare(self, cursor: duckdb.DuckDBPyConnection, view: ModelView, lsn: int, where: str) -> None:
        shown = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in view.columns)
        try:
            rows = cursor.execute(f"SELECT {shown} FROM s.{view.name}").fetchall()
        except duckdb.Error as problem:
            cursor.execute("ROLLBACK")
            cursor.execute("BEGIN")
            if view.condition is not None and "not-ready" in str(problem):
                return
            raise Mismatch(f"{view.name} cannot be read: {problem}") from problem
        differences = []
        for history in (self.server.history, *self.server.lost_histories):
            state = self.server.at(lsn, history)
            table = state.get(view.table)
            kinds = {c.name: c.kind for c in table.columns} if table is not None else view.kinds
            here = Counter(
                tuple(plain(v, kinds.get(n, "text")) for v, n in zip(r, view.columns, strict=True)) for r in rows
            )
            there = view.rows(state)
            if there == here:
                return
            differences.append((there, here))
        vague = any(
            view.shown_lsn < self.server.silent.get((view.table, name), 0) <= lsn for name in ("*", *view.reads)
        )
        there, here = differences[0]
        if vague and (there is None or self._renamed(view, lsn)):
            return
        # Without a key the row before a change is not found, and stays, when it has other values here.
        uncounted = view.condition is not None or (table is not None and table.identity == "bag")
        if vague and there is not None and (uncounted or there.total() == here.total()):
            return
        lacking = None if there is None else list((there - here).items())[:4]
        surplus = list((here - (there or Counter())).items())[:4]
        raise Mismatch(f"{view} ({where}): {len(rows)} rows; lacks {lacking}; has too many: {surplus}")

    def _renamed(self, view: ModelView, lsn: int) -> bool:
        return view.shown_lsn < self.server.silent.get((view.table, "*"), 0) <= lsn

    # -- the end

    def _settle(self) -> None:
        """No more surprises: everything open ends, all is delivered; then every view that can follow does, exactly."""
        self._later.clear()
        self._settling = True
        for name in list(self.server.transactions):
            self.server.commit(name)
        self.server.begin("")
        for table in self.server.state:  # the stream's Relation messages tell what changed meanwhile
            self.server.operate("", ("insert", table, 1))
        self.server.commit("")
        self._step(("all",))  # so that no transaction is half applied
        self._step(("cut",))
        self.db.sync.resume("*")
        self._come_to_rest()
        quiet = 0
        for _ in range(_ROUNDS):
            if quiet == 3:
                break
            before = (self._applied(), str(self.db.store.rows("SELECT * FROM flashql.copies")), self._stream)
            self._step(("copy", 3))
            self._step(("all",))
            self._step(("keepalive",))
            copying = self._session is not None and self._session._pass is not None
            after = (self._applied(), str(self.db.store.rows("SELECT * FROM flashql.copies")), self._stream)
            quiet = quiet + 1 if before == after and not copying else 0
        else:
            raise Mismatch("it does not come to rest")
        self._compare_whole()

    def _compare_whole(self) -> None:
        jobs = {job.name: job for job in self.db.sync.status()}
        self.server.lost_histories = []
        cursor = self.db.store.cursor()
        try:
            cursor.execute("BEGIN")
            for name, view in self.views.items():
                job = jobs[name]
                possible = view.rows(self.server.state) is not None
                runs = job.state == "running" and job.phase == "pull"
                if runs != possible:
                    raise Mismatch(f"{name} is {job.state}/{job.phase} at the end: {job.last_error}; {view}")
                if runs:
                    view.shown_lsn = self.server.lsn  # nothing is excused now
                    self._compare(cursor, view, self.server.lsn, where="at the end")
        finally:
            cursor.close()
        used = {copy.local_table for copy in copies(self.db.store, "primary")}
        used |= {name for (name,) in self.db.store.rows("SELECT local_table FROM flashql.views")}
        left = {
            n for (n,) in self.db.store.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name='flashql_data'")
        }
        if left - used:
            raise Mismatch(f"left over: {left - used}")
        if any(copy.state is CopyState.COPYING for copy in copies(self.db.store, "primary")):
            raise Mismatch("a copy is still being made")
        if temporary := [name for name in self.server.slots if "_copy_" in name]:
            raise Mismatch(f"temporary slots are left: {temporary}")
