"""A scenario: tables, views and transactions as SQL text, run at Postgres and followed by FlashQL, and compared.

    -- origin
    CREATE TABLE t (k int PRIMARY KEY, v int);
    -- view s.v0
    SELECT v, count(*) AS c1 FROM t GROUP BY v;
    -- commit
    INSERT INTO t VALUES (1, 2), (2, 2);
    -- compare

Each step begins with a line that names it, and each statement ends at the end of a line. Views of schema `s` are of one
origin, those of `z` of another (the same database by another name, so that one Postgres can answer for both); those of
schema `l` have none, and read views and local tables. Every view is a view at Postgres too, of the same name over the
same names, and every local table a table: so Postgres has an answer for each view, of any level, and it is the oracle.

`-- strategy deltas`, as it is at first, lets the steps of views follow by deltas wherever they can; `anew` has them
computed anew each time, `mixed` takes either by chance, and `measured` lets FlashQL choose, which over tables as small
as these says little.

`-- live q0` begins a live query, in DuckDB's dialect: the changes that it tells must give the rows that the same query
has. `-- threads 2` lets DuckDB run on so many.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from unittest.mock import patch

import psycopg
import pyarrow as pa

import flashql
from flashql import errors
from flashql.changes import ChangeFeed
from flashql.database import Database
from flashql.moved import Change
from flashql.pacing import Pace
from flashql.watching import Watcher
from tests.fix_postgres import Origin
from tests.multisets import Connection, comparable, differing

WAIT_SECONDS = 60.0
LARGEST_ROWS = 2_000  # views of more rows at the time they are made are left out: they say no more, and take long
CONFIG = {"threads": 1}
_LOOK_SECONDS = 2.0
_LIVE_SECONDS = 20.0
_TIMEOUT_MS = 2_000
# What DuckDB says where its own optimizer fails: no query of ours is at fault.
FAULTS_OF_DUCKDB = ("INTERNAL Error", "BindBuiltinScalarFunction did not return")
_VIEWS = "SELECT namespace, name FROM flashql.views"
_KINDS = (
    "origin",
    "local",
    "view",
    "commit",
    "commit local",
    "stop",
    "resume",
    "reopen",
    "compare",
    "strategy",
    "live",
    "threads",
)


@dataclass(frozen=True)
class Step:
    """One thing that is done: `kind` is one of `_KINDS`, `name` a view's, `statements` are SQL without semicolon."""

    kind: str
    name: str = ""
    statements: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"-- {self.kind} {self.name}".rstrip(), *(f"{one};" for one in self.statements)])


@dataclass(frozen=True)
class Scenario:
    """Steps in order; `str` of it is what `parsed` reads."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps)) + "\n"


class Mismatch(Exception):
    """FlashQL did something that it must not: a view that is not its query, or an error that is not a refusal."""


def parsed(text: str) -> Scenario:
    """The scenario that a text describes; lines before the first step say what it is about."""
    steps: list[Step] = []
    kinds = "|".join(sorted(_KINDS, key=len, reverse=True))
    parts = re.split(rf"^-- ({kinds})(?: (\S+))?\n", text + "\n", flags=re.MULTILINE)
    for kind, name, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        statements = tuple(one.strip() for one in re.split(r";[ ]*$", body, flags=re.MULTILINE) if one.strip())
        steps.append(Step(kind, name or "", statements))
    return Scenario(tuple(steps))


class Faults(logging.Handler):
    """What FlashQL says of its own faults: it goes on with the right rows, and no test may pass over them."""

    _TOLD_BY = ("flashql.keeping", "flashql.stepping", "flashql.maintenance")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        if record.name in self._TOLD_BY:
            self.found.append(record.getMessage())

    def __enter__(self) -> Faults:
        """Listen."""
        logging.getLogger("flashql").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("flashql").removeHandler(self)


@dataclass
class Tally:
    """What became of the views, and how often they were compared."""

    views: int = 0
    comparisons: int = 0
    large: int = 0
    beyond_duckdb: int = 0  # views dropped, for DuckDB fails over them: INTERNAL Error
    refused: Counter[str] = field(default_factory=Counter)  # reason -> views

    def add(self, other: Tally) -> None:
        """Count another's too."""
        self.views += other.views
        self.comparisons += other.comparisons
        self.large += other.large
        self.beyond_duckdb += other.beyond_duckdb
        self.refused += other.refused

    def __str__(self) -> str:
        return (
            f"{self.views} views, {self.comparisons} comparisons, {self.refused.total()} refused, "
            f"{self.large} left out, {self.beyond_duckdb} that DuckDB cannot run"
        )


class LiveRows:
    """What a live query's changes, told by a thread of theirs, have come to."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.feed: ChangeFeed | None = None
        self._rows: Counter[object] = Counter()
        self._told = threading.Condition()

    def tell(self, change: Change) -> None:
        """The query's callback."""
        with self._told:
            self._rows.subtract(_bag(change.deleted))
            self._rows.update(_bag(change.inserted))
            self._told.notify_all()

    def require(self, expected: Counter[object]) -> None:
        """Wait until these are its rows. Raises `Mismatch`."""
        with self._told:
            if not self._told.wait_for(
                lambda: {row: n for row, n in self._rows.items() if n} == expected, _LIVE_SECONDS
            ):
                raise Mismatch(f"a live query's changes are not those of its rows\n{self.query}")


class Run:
    """A scenario under way: an origin's database of its own, and a database file."""

    def __init__(self, origin: Origin, path: str) -> None:
        self.origin = origin
        self.oracle = connected(origin)
        self.path = path
        self.tally = Tally()
        self.queries: dict[str, str] = {}  # those that are followed
        self.replayed: dict[str, Counter[object]] = {}
        self.live: dict[str, LiveRows] = {}
        self._without: set[str] = set()  # those that are not: refused, left out, or over such a one
        self._new = False  # a view was made and not synced
        self.faults = Faults()
        self._strategy = "deltas"
        self._chosen = patch.object(Pace, "better_anew", self._better_anew(Pace.better_anew))
        self._chosen.start()
        origin.execute("CREATE SCHEMA s; CREATE SCHEMA z; CREATE SCHEMA l")
        self.db = self._open()
        self.db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary'); CREATE SCHEMA l")
        self.db.execute("CREATE SCHEMA z WITH (replication_origin = 'second')")

    def _open(self) -> Database:
        return flashql.connect(
            self.path, config=CONFIG, origins={"primary": self.origin.dsn, "second": self.origin.dsn}
        )

    def close(self) -> None:
        """Close the database, and the connection."""
        self._chosen.stop()
        self.db.close()
        self.oracle.close()

    def _better_anew(self, measured: Callable[[Pace, int], bool]) -> Callable[[Pace, int], bool]:
        chance = random.Random(0)

        def better_anew(pace: Pace, moved: int) -> bool:
            if self._strategy == "mixed":
                return chance.random() < 0.5
            return measured(pace, moved) if self._strategy == "measured" else self._strategy == "anew"

        return better_anew

    def step(self, step: Step) -> None:
        """Do one step. Raises `Mismatch`."""
        try:
            match step.kind:
                case "origin":
                    self.origin.execute("; ".join(step.statements))
                case "local":
                    for statement in step.statements:
                        self.origin.execute(statement)
                        self.db.execute(statement)
                case "view":
                    self._define(step.name, step.statements[0])
                case "commit":
                    self._commit(step.statements)
                case "commit local":
                    self._commit_local(step.statements)
                case "stop":
                    self.db.sync.stop()
                case "resume":
                    self._require(self.db.sync.resume())
                case "reopen":
                    self.db.close()
                    self.db = self._open()
                    self._new = True
                    for name in self.queries:
                        self._watch(name)
                    self.live = {name: self._listened(one.query) for name, one in self.live.items()}
                case "compare":
                    self.compare()
                case "strategy":
                    self._strategy = step.name
                case "threads":
                    self.db.execute(f"SET threads = {step.name}")
                case "live":
                    self._listen(step.name, step.statements[0])
        except (psycopg.Error, Mismatch, KeyboardInterrupt):
            raise
        except Exception as error:
            raise Mismatch(f"step {step.kind} {step.name} raised {type(error).__name__}: {error}") from error

    def _define(self, name: str, query: str) -> None:
        read = set(re.findall(r"\b[slz]\.v\d+\b", query))
        self.origin.execute(f"CREATE VIEW {name} AS {query}")
        if read & self._without or not self._small(name):
            self._without.add(name)
            self.tally.large += not read & self._without
            return
        self.tally.views += 1
        try:
            self.db.execute(f"CREATE REALTIME VIEW {name} AS {query}")
        except errors.DefinitionError as refusal:
            self._without.add(name)
            self.tally.refused[refusal.message] += 1
            return
        self.queries[name] = query
        self._new = True
        self._watch(name)

    def _watch(self, name: str) -> None:
        """From here on `replayed` has the view's rows as they follow from the changes that a watcher is told."""
        rows = self.replayed[name] = self._rows(name)

        def tell(change: Change) -> None:
            rows.subtract(_bag(change.deleted))
            rows.update(_bag(change.inserted))

        self.db.maintenance.watchers.add(self.db.maintenance.watchers.watchable(name), Watcher(tell, lambda _: None))

    def _listen(self, name: str, query: str) -> None:
        """Begin a live query, unless it is over views that are not there."""
        if set(re.findall(r"\b[slz]\.v\d+\b", query)) & self._without:
            return
        try:
            self.live[name] = self._listened(query)
        except errors.DefinitionError as refusal:
            self.tally.refused[refusal.message] += 1

    def _listened(self, query: str) -> LiveRows:
        live = LiveRows(query)
        live.feed = self.db.live(query, live.tell)
        return live

    def _rows(self, name: str) -> Counter[object]:
        try:
            return _bag(self.db.execute(f"FROM {name}").fetch_arrow_table())
        except errors.ViewNotReady:
            return Counter()

    def _small(self, name: str) -> bool:
        try:
            with self.oracle.transaction():
                self.oracle.execute(f"SET LOCAL statement_timeout = {_TIMEOUT_MS}".encode())
                found = self.oracle.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
        except psycopg.errors.QueryCanceled:
            return False
        return found is not None and found[0] <= LARGEST_ROWS

    def _commit(self, statements: Sequence[str]) -> None:
        """One transaction; a statement that breaks a key is rolled back alone, as an application would."""
        with self.oracle.transaction():
            for statement in statements:
                try:
                    with self.oracle.transaction():
                        self.oracle.execute(statement.encode())
                except psycopg.errors.UniqueViolation:
                    continue

    def _commit_local(self, statements: Sequence[str]) -> None:
        for run in (self.origin.execute, self.db.execute):
            run("BEGIN")
            for statement in statements:
                run(statement)
            run("COMMIT")

    def _require(self, report: flashql.SyncReport) -> None:
        failed = self._beyond_duckdb({name: str(error) for name, error in report.failed.items()})
        if failed:
            raise Mismatch(f"sync failed: {failed}")

    def _beyond_duckdb(self, failed: dict[str, str]) -> dict[str, str]:
        """Drop views, and those that read them, whose queries no DuckDB can run for a fault of its own; the others."""
        for name, why in failed.items():
            if name in self.queries and any(words in why for words in FAULTS_OF_DUCKDB):
                self.db.execute(f"DROP VIEW {name} CASCADE")
                self.tally.beyond_duckdb += 1
        left = {f"{namespace}.{name}" for namespace, name in self.db.execute(_VIEWS).fetchall()}
        self._without |= self.queries.keys() - left
        self.queries = {name: query for name, query in self.queries.items() if name in left}
        return {name: why for name, why in failed.items() if name in left}

    def compare(self) -> None:
        """Sync what is new, wait, and compare every view with the same view at the origin. Raises `Mismatch`."""
        if self._new:
            self._require(self.db.sync.sync())
            self._new = False
        self._wait()
        for name in self.queries:
            self.tally.comparisons += 1
            difference = differing(self.oracle, self.db, f"SELECT * FROM {name}")
            if difference:
                raise Mismatch(f"{name}: {difference}\n{self.queries[name]}")
            if {row: count for row, count in self.replayed[name].items() if count} != self._rows(name):
                raise Mismatch(f"{name}: its changes are not those of its rows\n{self.queries[name]}")
        for live in self.live.values():
            self.tally.comparisons += 1
            live.require(_bag(self.db.execute(live.query).fetch_arrow_table()))
        self.require_one_position()
        if self.faults.found:
            raise Mismatch(self.faults.found[0])

    def _wait(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                return self.db.sync.wait(timeout=_LOOK_SECONDS)
            except TimeoutError as late:
                failed = self._beyond_duckdb(self._failed())
                if failed or time.monotonic() > deadline:
                    raise Mismatch(str(failed) if failed else str(late)) from late
            except errors.OriginError as problem:
                found = self._failed()
                if self._beyond_duckdb(found) or not found:
                    raise Mismatch(f"{problem}: {found}") from problem

    def _failed(self) -> dict[str, str]:
        return dict(
            self.db.execute("SELECT relation_id, last_error FROM flashql.sync_jobs WHERE state = 'failed'").fetchall()
        )

    def require_one_position(self) -> None:
        """All views of an origin are at the same LSN. Raises `Mismatch`."""
        seen = self.db.execute(
            "SELECT origin, list(DISTINCT last_seen_commit) FROM flashql.sync_jobs WHERE origin IS NOT NULL "
            "GROUP BY origin HAVING count(DISTINCT coalesce(last_seen_commit, '')) > 1"
        ).fetchall()
        if seen:
            raise Mismatch(f"views of one origin are at several positions: {seen}")

    def finish(self) -> None:
        """Drop every view: nothing of them may be left, here or at the origin. Raises `Mismatch`."""
        for live in self.live.values():
            assert live.feed is not None
            live.feed.close()
        if self.queries:
            self.db.execute(f"DROP VIEW {', '.join(self.queries)}")
        left = self.db.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'flashql_data'").fetchall()
        slots = self.origin.query("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        if left or slots:
            raise Mismatch(f"left over after every view was dropped: {left}, {slots}")


def run(scenario: Scenario, origin: Origin, path: str) -> Tally:
    """Run it in an empty database of an origin and a file that is not there yet. Raises `Mismatch`."""
    running = Run(origin, path)
    try:
        with running.faults:
            for step in scenario.steps:
                running.step(step)
            running.finish()
    finally:
        running.close()
    return running.tally


def _bag(rows: pa.Table) -> Counter[object]:
    return Counter(comparable(tuple(row.values())) for row in rows.to_pylist())


def connected(origin: Origin) -> Connection:
    """A connection for `differing`."""
    return origin.connect(options="-c TimeZone=UTC")
