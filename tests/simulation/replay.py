"""A schedule of the simulation on a real server: FlashQL as users run it, with threads, clocks and a network.

Between FlashQL and the server is a proxy: `deliver` lets some bytes through and then none, `cut` breaks every
connection. A crash copies the database's files between two local commits, cuts the process off, and goes on with
what was copied. What only waits for the origin (sync, resume, refresh) goes on beside the steps that follow; a step
put off by `later` happens amid the next of these. After each step that lets everything through, all views are compared
with the server, before a sync() where they need none and after it, and verified. A call that waits for transactions
the schedule has open gets them committed.

Left out are steps that a server shared with other tests cannot make (`OF_ITS_OWN`, which need a `PrivateServer`), and
`lose_slot`, which none here can. A restore is always one to a point in time, that of the last comparison when nothing
was open; there is one for each such backup. What a stopped view shows is not compared.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import duckdb

import flashql
from flashql import errors, recopies
from flashql.origins.postgres import PostgresOrigin, assembling
from flashql.retrying import RetryPolicy
from tests.fix_postgres import Origin, PrivateServer
from tests.fix_proxy import Proxy
from tests.simulation.minimize import Scenario
from tests.simulation.real import RealServer, counted
from tests.simulation.simulation import Mismatch, ModelView, define
from tests.simulation.steps import Step

LEFT_OUT = ("lose_slot",)
OF_ITS_OWN = ("restart", "new_system", "restore")
_SETTLING = ("all", "look")  # steps after which everything is compared
_FRAME_BYTES = 120
_PATIENCE_SECONDS = 0.3  # that a call may wait for transactions that are open
_REST_SECONDS = 60.0  # within which everything comes to rest
_THREADS = 8

T = TypeVar("T")


class Replay:
    """One life of a database file at a real server. `run` raises `Mismatch`."""

    def __init__(self, origin: Origin, path: str, scenario: Scenario) -> None:
        self.origin = origin
        self.server = RealServer(origin)
        self.views: dict[str, ModelView] = {}
        self.checks = 0
        self.unaided = 0  # comparisons of a view that no sync() came before
        self.left_out = 0
        self.carried_out: set[str] = set()
        self._scenario = scenario
        self._path = path
        self._proxy = Proxy(origin.dsn)
        self._threads = ThreadPoolExecutor(_THREADS)
        self._beside: list[Future[Any]] = []
        self._followed: dict[str, ModelView] = {}  # at the last comparison
        self._compared_lsn = 0  # the model's, then
        self._later: list[Step] = []
        self._dropped: dict[str, list[str]] = {}  # publications, with their tables
        self._backup: tuple[Path, int] | None = None  # where, and how many states the model had had

    # -- the life of a process

    def run(self) -> None:
        """Carry out the steps, comparing at each that settles; then end what is open, and compare the whole."""
        with self._alive():
            for number, step in enumerate(self._scenario.steps):
                try:
                    self._step(step)
                    if step[0] in _SETTLING:
                        self.check()
                except BaseException as problem:
                    problem.add_note(f"after step {number}: {step!r}")
                    raise
            self._later.clear()
            self.server.end_transactions()
            self._beside.append(self._threads.submit(self.db.sync.resume))
            self.check()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        with ExitStack() as stack:
            for target, name, value in (
                (assembling, "HOLD_BYTES", self._scenario.hold_bytes),
                (recopies, "AT_MOST", 1 << 30),
            ):
                stack.enter_context(patch.object(target, name, value))
            stack.callback(self._proxy.close)
            stack.callback(self.server.close)
            stack.callback(self._threads.shutdown)
            self._open()
            stack.callback(lambda: self.db.close())
            stack.callback(self._proxy.flow)
            self.db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
            yield

    def _open(self) -> None:
        soon = RetryPolicy(base_seconds=0.02, multiplier=1, jitter=0)
        self.db = flashql.connect(
            self._path, origins={"primary": PostgresOrigin("primary", self._proxy.dsn, retry=soon)}
        )

    def _reopen(self) -> None:
        self.db.close()
        self._opened()

    def _opened(self) -> None:
        self._join()
        self._open()
        self.views = {name: view for name, view in self.views.items() if f"s.{name}" in self.db.views}
        self._start(self.db.sync.sync)

    def _crash(self) -> None:
        """What a killed process would leave: its files as they are now, in place of what it makes of them yet."""
        with self.db.store.transaction():  # no local commit, and so no confirmation either, is under way
            self._proxy.refuse()
            self._proxy.cut()
            for ending in ("", ".wal"):
                if Path(f"{self._path}{ending}").exists():
                    shutil.copyfile(f"{self._path}{ending}", f"{self._path}{ending}.photo")
        self.db.close()
        for ending in ("", ".wal"):
            photo = Path(f"{self._path}{ending}.photo")
            Path(f"{self._path}{ending}").unlink(missing_ok=True) if ending else None
            if photo.exists():
                shutil.copyfile(photo, f"{self._path}{ending}")  # into the same inode: it is this file still
                photo.unlink()
        self._proxy.accept()
        self._opened()

    # -- waiting

    def _start(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Let a call go on beside what follows."""
        self._beside.append(self._threads.submit(call, *arguments))
        later, self._later = self._later, []
        for step in later:
            self._step(step)

    def _awaited(self, call: Callable[..., T], *arguments: Any) -> T:
        """The call's result; open transactions that it waits for are committed."""
        return self._result(self._threads.submit(call, *arguments))

    def _result(self, future: Future[T]) -> T:
        if self.server.model.transactions:
            with suppress(StillWaiting):
                return future.result(_PATIENCE_SECONDS)
            self.server.end_transactions()
        return future.result(_REST_SECONDS)

    def _join(self) -> None:
        """Wait for what goes on beside. What the network or the schedule keeps from its end may fail."""
        beside, self._beside = self._beside, []
        for future in beside:
            with suppress(errors.FlashQLError):
                self._result(future)

    # -- steps

    def _step(self, step: Step) -> None:
        if step[0] in LEFT_OUT or (step[0] in OF_ITS_OWN and not self._as_its_own(step)):
            self.left_out += 1
        elif not self._on_the_way(step):
            if step[0] not in ("begin", "commit", "abort", "op", "tx") or "truncate" in repr(step):
                self._proxy.flow()  # it may wait for a lock of someone who waits for the network
            if not self.server.carry_out(step) and not self._at_server(step):
                self._here(step)

    def _as_its_own(self, step: Step) -> bool:
        """What happens to a whole server; False when that cannot be now."""
        server = self.origin
        if not isinstance(server, PrivateServer) or (step[0] == "restore" and self._backup is None):
            return False
        self.carried_out.add(str(step[0]))
        self._followed = {}
        self._proxy.flow()
        match step:
            case ("restart",):
                self.server.forget_transactions()
                server.restart()
            case ("new_system",):
                server.replace()
                self.server.rebuild()
                self._dropped, self._backup = {}, None
            case ("restore", _, keeps_slots, _):
                assert self._backup is not None
                folder, states = self._backup
                server.restore(folder, keeps_slots=keeps_slots)
                self.server.restore(states)
                self._dropped, self._backup = {}, None
        return True

    def _back_up(self) -> None:
        """Remember this moment for the restore that is to come."""
        coming = any(step[0] == "restore" for step in self._scenario.steps)
        if coming and self._backup is None and isinstance(self.origin, PrivateServer):
            folder = Path(f"{self._path}.backup{self.checks}")
            folder.mkdir()
            shutil.chown(folder, self.origin.server.directory.owner(), self.origin.server.directory.group())
            self.origin.backup(folder)
            self._backup = folder, len(self.server.model.history)

    def _on_the_way(self, step: Step) -> bool:
        match step:
            case ("later", _, put_off):
                self._later.append(put_off)
            case ("deliver", frames):
                self._proxy.trickle(frames * _FRAME_BYTES)
            case ("all" | "keepalive" | "copy", *_):
                self._proxy.flow()
            case ("cut",):
                self._proxy.cut()
            case _:
                return False
        return True

    def _at_server(self, step: Step) -> bool:
        """What happens to slots, publications and the server itself."""
        match step:
            case ("drop_slot",):
                self._without_slots(recreate=False)
            case ("recreate_slot",):
                self.server.end_transactions()  # the new one would wait for them
                self._without_slots(recreate=True)
            case ("drop_publication" | "remake_publication" | "unpublish" | "republish", *_):
                self._alter_publications(step)
            case _:
                return False
        return True

    def _alter_publications(self, step: Step) -> None:
        there = dict(
            self.origin.query(
                "SELECT quote_ident(p.pubname), array_remove(array_agg(t.tablename::text), NULL) "
                "FROM pg_publication AS p LEFT JOIN pg_publication_tables AS t USING (pubname) GROUP BY p.pubname"
            )
        )
        known = set(self.server.model.state)
        match step:
            case ("drop_publication",):
                for name in there:
                    self.origin.execute(f"DROP PUBLICATION IF EXISTS {name}")
                self._dropped |= there
                self._followed = {}  # nobody tells FlashQL before it looks
            case ("remake_publication",):
                for name in self._dropped.keys() - there.keys():
                    tables = ", ".join(sorted(known & set(self._dropped[name])))
                    made = f"CREATE PUBLICATION {name} {f'FOR TABLE {tables}' if tables else ''}"
                    generated = ", publish_generated_columns = stored" if self.origin.version >= 18 else ""
                    self.origin.execute(f"{made} WITH (publish_via_partition_root{generated})")
                self._dropped = {}
            case ("unpublish", table):
                self._followed = {}
                for name in (name for name, tables in there.items() if table in tables):
                    self.origin.execute(f"ALTER PUBLICATION {name} DROP TABLE {table}")
            case ("republish", table) if table in known:
                for name in (name for name, tables in there.items() if table not in tables):
                    self.origin.execute(f"ALTER PUBLICATION {name} ADD TABLE {table}")

    def _without_slots(self, *, recreate: bool) -> None:
        self._proxy.refuse()
        self._proxy.cut()
        ours = "FROM pg_replication_slots WHERE database = current_database()"
        self.origin.query(f"SELECT pg_terminate_backend(active_pid, 10000) {ours} AND active_pid IS NOT NULL")
        for (name,) in self.origin.query(f"SELECT slot_name {ours} AND NOT temporary"):
            self.origin.query("SELECT pg_drop_replication_slot(%s)", [name])
            if recreate:
                self.origin.query("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
        self._proxy.accept()

    def _here(self, step: Step) -> None:
        sync = self.db.sync
        match step:
            case ("view", *_):
                define(
                    self.db, self.views, self.server.model.state, step, lambda sql: self._awaited(self._execute, sql)
                )
            case ("sync",):
                self._start(sync.sync)
            case ("look",):
                sync.look("primary")
            case ("reopen",):
                self._reopen()
            case ("crash",):
                self._crash()
            case ("resume", name) if name in self.views:
                self._start(sync.resume, f"s.{name}")
            case ("refresh", name) if name in self.views:
                self._start(self._execute, f"REFRESH VIEW s.{name}")
            case ("stop" | "forget" as kind, name) if name in self.views:
                with suppress(errors.OriginError):
                    self._awaited(getattr(sync, kind), f"s.{name}")
            case ("drop_view", name) if name in self.views:
                with suppress(errors.OriginError):
                    self._awaited(self._execute, f"DROP VIEW s.{name}")
                if f"s.{name}" not in self.db.views:
                    del self.views[name]

    def _execute(self, statement: str) -> None:
        with self.db.cursor() as cursor:
            cursor.execute(statement)

    # -- the oracle

    def check(self) -> None:
        """Every view that can follow does, and shows what the server has; FlashQL's own comparison agrees."""
        self.checks += 1
        self._proxy.flow()
        self.server.end_transactions(self.server.truncating)  # nobody could read their tables
        self._join()
        self._compare_unaided()
        following = self._settled()
        for name in following:
            self._compare(self.views[name])
        self._followed, self._compared_lsn = {name: self.views[name] for name in following}, self.server.model.lsn
        if not self.server.model.transactions:  # a snapshot waits for them
            wrong = [report for report in self.db.sync.verify([f"s.{name}" for name in following]) if not report.equal]
            if wrong:
                raise Mismatch(f"verify: {wrong}")
            self._back_up()

    def _compare_unaided(self) -> None:
        """Views of tables that had nothing but their rows changed since the last comparison need no sync() for that."""
        model, jobs = self.server.model, {job.name: job for job in self.db.sync.status()}
        names = []
        for name, view in self._followed.items():
            changed = max(model.silent.get((view.table, one), 0) for one in ("*", *view.reads))
            same = self.views.get(name) is view and changed <= self._compared_lsn
            if same and jobs[name].enabled and jobs[name].state == "running":
                names.append(name)
        written = model.lsn
        with suppress(errors.OriginError):
            self._awaited(self._wait, names)
            for name in names if written == model.lsn else ():
                self._compare(self.views[name])
                self.unaided += 1

    def _settled(self) -> list[str]:
        """Bring every view to where it should be: the names of those that follow, which are all that can."""
        deadline = time.monotonic() + _REST_SECONDS
        possible = {name for name, view in self.views.items() if view.rows(self.server.model.state) is not None}
        while True:
            written = self.server.model.lsn
            self._awaited(self.db.sync.sync)
            jobs = {job.name: job for job in self.db.sync.status() if job.enabled and job.name in self.views}
            following = [name for name, job in jobs.items() if job.state == "running"]
            wrong = (set(jobs) & possible) ^ set(following)
            if not wrong:
                with suppress(errors.OriginError):
                    self._awaited(self._wait, following)
                    if written == self.server.model.lsn:  # else transactions were committed, maybe after the wait began
                        return following
            if time.monotonic() > deadline:
                raise Mismatch(f"it does not come to rest: {[jobs.get(name) for name in sorted(wrong)]}")

    def _wait(self, names: Sequence[str]) -> None:
        self.db.sync.wait([f"s.{name}" for name in names], timeout=_REST_SECONDS)

    def _compare(self, view: ModelView) -> None:
        there, kinds = self.server.rows(view), self.server.kinds(view)
        shown = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in view.columns)
        try:
            found = self.db.execute(f"SELECT {shown} FROM s.{view.name}").fetchall()
        except (duckdb.Error, errors.ViewNotReady) as problem:
            if view.condition is not None and "type" in str(problem):
                return  # its condition was translated for the type its column had
            raise Mismatch(f"{view} cannot be read: {problem}") from problem
        here = counted(found, kinds)
        if here != there:
            lacks, surplus = list((there - here).items())[:4], list((here - there).items())[:4]
            raise Mismatch(f"{view}: {here.total()} rows; lacks {lacks}; has too many: {surplus}")


def replay(origin: Origin, folder: Path, scenario: Scenario, *, streamed: bool) -> Replay:
    """Carry out a scenario at a database of its own. `streamed`: transactions are sent while they are under way."""
    if streamed:
        origin.execute(f"ALTER DATABASE {origin.name} SET debug_logical_replication_streaming = immediate")
    life = Replay(origin, str(folder / f"{origin.name}.duckdb"), scenario)
    life.run()
    return life
