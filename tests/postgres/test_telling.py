"""What is told of a real stream: every event where it happens, in an order that makes sense."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

import flashql
from flashql import errors
from flashql.database import Database
from flashql.events import (
    Connected,
    ConnectivityChanged,
    Disconnected,
    DriftFound,
    ProgressMade,
    StateChanged,
    SyncApplied,
    SyncEvent,
    SyncFailed,
    SyncRetry,
)
from flashql.lifecycle import TRANSITIONS
from flashql.origins.postgres import PostgresOrigin
from flashql.retrying import RetryPolicy
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.postgres.pair import WAIT_SECONDS

SOON = RetryPolicy(base_seconds=0.01, multiplier=1.5, cap_seconds=0.05)
TABLE = "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT g, 0 FROM generate_series(1, 100) g"


@contextmanager
def opened(
    dsn: str, path: str = ":memory:", *, retry: RetryPolicy = SOON, view: str = "CREATE REALTIME VIEW s.a AS FROM a"
) -> Iterator[Database]:
    with flashql.connect(path, origins={"primary": PostgresOrigin("primary", dsn, retry=retry)}) as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS s WITH (replication_origin = 'primary')")
        if "s.a" not in db.views:
            db.execute(view.replace("AS FROM", "AS SELECT * FROM"))
        yield db


class Told:
    """All that is told, kept from the first event on."""

    def __init__(self, db: Database, *names: str) -> None:
        self.events: list[SyncEvent] = []
        self._came = threading.Condition()
        self._listener = db.sync.events(*names)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        for event in self._listener:
            with self._came:
                self.events.append(event)
                self._came.notify_all()

    def until(self, happened: Callable[[list[SyncEvent]], bool]) -> None:
        """Wait until what was told fulfils this."""
        with self._came:
            assert self._came.wait_for(lambda: happened(self.events), WAIT_SECONDS), self.events

    def until_named(self, name: str, count: int = 1) -> None:
        """Wait until so many of that name were told."""
        self.until(lambda events: sum(event.name == name for event in events) >= count)

    def ended(self) -> list[SyncEvent]:
        """All, when the database was closed."""
        self._thread.join()
        return self.events


def names(events: list[SyncEvent]) -> list[str]:
    return [event.name for event in events]


def test_a_life_from_the_first_clone_to_the_end(origin: Origin) -> None:
    origin.execute(TABLE)
    with opened(origin.dsn) as db:
        told = Told(db)
        db.sync.sync()
        origin.execute("UPDATE a SET v = 1 WHERE id <= 10")
        db.sync.wait(timeout=WAIT_SECONDS)
        told.until(lambda events: any(isinstance(one, SyncApplied) and one.phase == "pull" for one in events))
    events = [event for event in told.ended() if not isinstance(event, StateChanged | ProgressMade)]
    assert names(events) == ["connectivity_changed", "connected", "sync_applied", "sync_applied", "disconnected"]
    online, connected, cloned, pulled, disconnected = events
    assert {event.origin for event in events} == {"primary"}
    assert isinstance(online, ConnectivityChanged)
    assert online.online
    assert isinstance(cloned, SyncApplied)
    assert (cloned.view, cloned.phase, cloned.rows, cloned.commits) == ("s.a", "clone", 100, 1)
    assert cloned.seconds > 0
    assert isinstance(pulled, SyncApplied)
    assert (pulled.view, pulled.phase, pulled.rows, pulled.transactions) == (None, "pull", 10, 1)
    assert connected.lsn is not None
    assert pulled.lsn is not None
    assert isinstance(disconnected, Disconnected)
    assert disconnected.error is None
    assert [event.at for event in told.events] == sorted(event.at for event in told.events)


def test_states_are_told_as_they_are_committed(origin: Origin) -> None:
    origin.execute(TABLE)
    with opened(origin.dsn) as db:
        told = Told(db, "state_changed")
        db.sync.sync()
        db.sync.stop("s.a")
        db.sync.resume("s.a")
        db.sync.forget("s.a")
    moves = [event for event in told.ended() if isinstance(event, StateChanged)]
    assert {event.view for event in moves} == {"s.a"}
    assert (moves[0].before, moves[0].after) == (None, "idle")
    assert (moves[-1].before, moves[-1].after) == ("idle", None)
    for one, following in pairwise(moves):
        assert (one.after, one.phase) == (following.before, following.phase_before)
        assert (following.before, following.phase_before) != (following.after, following.phase)
    legal = {(before.value, after.value) for (before, _), after in TRANSITIONS.items()}
    for event in moves[1:-1]:
        assert (event.before, event.after) in legal
    assert [event.after for event in moves].count("idle") >= 2


def test_a_materialized_view(origin: Origin) -> None:
    origin.execute("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1), (2), (0)")
    with opened(origin.dsn, view="CREATE MATERIALIZED VIEW s.a AS FROM a WHERE 1 / (id - 3) < 9") as db:
        told = Told(db, "sync_applied", "sync_failed", "state_changed")
        db.sync.sync()
        origin.execute("INSERT INTO a VALUES (3)")
        assert db.sync.sync(force=True).failed
        assert db.sync.sync(force=True).failed
    events = told.ended()
    applied = [event for event in events if isinstance(event, SyncApplied)]
    assert [(event.view, event.origin, event.phase, event.rows) for event in applied] == [
        ("s.a", "primary", "clone", 3)
    ]
    failed = [event for event in events if isinstance(event, SyncFailed)]
    assert len(failed) == 2, "each attempt that somebody asked for"
    assert "division by zero" in failed[0].error
    states = [event.after for event in events if isinstance(event, StateChanged) if event.before != event.after]
    assert states == ["idle", "synced", "failed"]


def test_an_error_that_waits_for_a_person_is_told_once(origin: Origin) -> None:
    origin.execute(TABLE)
    with opened(origin.dsn) as db:
        told = Told(db, "sync_failed", "sync_retry")
        origin.execute("DROP TABLE a")
        for _ in range(3):  # looked at again each time, and nothing is new
            assert db.sync.sync().failed
        origin.execute(TABLE)
        assert not db.sync.sync().failed
        origin.execute("DROP TABLE a")
        assert db.sync.sync().failed
    failed = [event for event in told.ended() if isinstance(event, SyncFailed)]
    assert names(told.events) == ["sync_failed", "sync_failed"]
    assert {event.view for event in failed} == {"s.a"}


def test_drift_is_told(origin: Origin) -> None:
    origin.execute(TABLE)
    with opened(origin.dsn) as db:
        told = Told(db, "drift_found")
        db.sync.sync()
        db.sync.verify()
        ((table,),) = db.store.rows("SELECT local_table FROM flashql.copies")
        with db.store.transaction() as writer:
            writer.execute(f"DELETE FROM flashql_data.{table} WHERE id IN (1, 2)")
        (report,) = db.sync.verify(repair=True)
        db.sync.verify()
    (found,) = told.ended()
    assert isinstance(found, DriftFound)
    assert (found.view, found.origin, found.rows, found.lsn) == ("s.a", "primary", 2, report.lsn)


def test_progress_is_told(origin: Origin) -> None:
    origin.execute(TABLE)
    with opened(origin.dsn) as db:
        told = Told(db, "progress")
        db.sync.sync()
    made = [event for event in told.ended() if isinstance(event, ProgressMade)]
    assert made
    assert made[-1].done_rows == 100


def test_an_event_loop_hears_of_a_commit(origin: Origin) -> None:
    origin.execute(TABLE)

    async def listen(db: Database) -> list[int]:
        rows = []
        async for event in db.sync.events("sync_applied"):
            assert isinstance(event, SyncApplied)
            rows.append(event.rows)
            await asyncio.to_thread(origin.execute, "UPDATE a SET v = v + 1 WHERE id = 1")
            if len(rows) == 3:
                break
        return rows

    async def both(db: Database) -> list[int]:
        heard = asyncio.create_task(listen(db))
        await asyncio.sleep(0)
        await asyncio.to_thread(db.sync.sync)
        return await asyncio.wait_for(heard, WAIT_SECONDS)

    with opened(origin.dsn) as db:
        assert asyncio.run(both(db)) == [100, 1, 1]


# -- listeners that do not behave


def test_replication_goes_on_while_callbacks_are_blocked(origin: Origin) -> None:
    origin.execute(TABLE)
    let_go, stuck = threading.Event(), threading.Event()

    def hang(_: SyncEvent) -> None:
        stuck.set()
        let_go.wait()

    with opened(origin.dsn) as db:
        db.sync.on("*", hang)
        db.sync.on("sync_applied", lambda _: time.sleep(1))
        db.sync.sync()
        assert stuck.wait(WAIT_SECONDS)
        for value in range(200):
            origin.execute(f"UPDATE a SET v = {value}")
        db.sync.wait(timeout=WAIT_SECONDS)
        same_rows(origin, db, "SELECT * FROM a", "SELECT * FROM s.a")
        assert not let_go.is_set()
        let_go.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_callbacks_that_raise_change_nothing(origin: Origin) -> None:
    origin.execute(TABLE)
    told: list[SyncEvent] = []

    def fail(event: SyncEvent) -> None:
        told.append(event)
        raise ValueError("mine")

    with opened(origin.dsn) as db:
        db.sync.on("*", fail)
        db.sync.sync()
        for value in range(10):
            origin.execute(f"UPDATE a SET v = {value}")
            db.sync.wait(timeout=WAIT_SECONDS)
        same_rows(origin, db, "SELECT * FROM a", "SELECT * FROM s.a")
    assert {"connected", "sync_applied", "disconnected", "state_changed"} <= set(names(told))


def test_a_callback_may_use_the_database(origin: Origin) -> None:
    """Also its own `sync`: it is on a thread of its own, and holds nothing."""
    origin.execute(TABLE)
    seen = threading.Event()
    counts: list[int] = []

    def look(_: SyncEvent) -> None:
        cursor = db.cursor()
        counts.append(cursor.execute("SELECT count(*) FROM s.a").fetchall()[0][0])
        cursor.close()
        db.sync.wait(timeout=WAIT_SECONDS)
        assert db.sync.sync()
        seen.set()

    with opened(origin.dsn) as db:
        db.sync.on("sync_applied", look)
        db.sync.sync()
        assert seen.wait(WAIT_SECONDS)
    assert counts[0] == 100


# -- retries


def test_a_network_that_is_cut_again_and_again(origin: Origin, proxy: Proxy, database_path: str) -> None:
    """A hundred cuts while transactions are written: the copies are right, and what is told is in legal order."""
    cuts = 100
    origin.execute(TABLE)
    with opened(proxy.dsn, database_path) as db:
        told = Told(db, "connected", "disconnected", "sync_retry", "connectivity_changed", "sync_failed")
        db.sync.sync()
        for cut in range(1, cuts + 1):
            origin.execute(f"UPDATE a SET v = {cut} WHERE id % 7 = {cut % 7}")
            proxy.cut()
            origin.execute(f"INSERT INTO a VALUES ({1000 + cut}, 0); DELETE FROM a WHERE id = {cut}")
            told.until_named("disconnected", cut)
            told.until_named("connected", cut + 1)
            if cut % 10 == 0:
                db.sync.wait(timeout=WAIT_SECONDS)  # then the stream has brought something: a success
        db.sync.wait(timeout=WAIT_SECONDS)
        same_rows(origin, db, "SELECT * FROM a", "SELECT * FROM s.a")
        (report,) = db.sync.verify()
        assert report.equal
        (status,) = db.sync.status("s.a")
        assert (status.state, status.retry_count, status.next_retry_at) == ("running", 0, None)
    events = told.ended()
    streams = [event.name for event in events if isinstance(event, Connected | Disconnected)]
    assert streams == ["connected", "disconnected"] * (cuts + 1)
    assert not [event for event in events if isinstance(event, SyncFailed)]
    online = [event.online for event in events if isinstance(event, ConnectivityChanged)]
    assert online == [True, *[False, True] * cuts]
    retries = [event for event in events if isinstance(event, SyncRetry)]
    assert len(retries) >= cuts
    ends, at, anew = 0, 0, True
    for event in events:
        if isinstance(event, Disconnected):
            ends += 1
            anew = ends % 10 == 1  # that stream had brought something
        elif isinstance(event, SyncRetry):
            at = 1 if anew or event.attempt == 1 else at + 1
            anew = False
            assert event.attempt == at
            assert SOON.delay_seconds(at, 0.0) <= event.delay_seconds <= SOON.delay_seconds(at, 1.0)


def test_the_budget_of_attempts_is_spent_and_sync_begins_anew(origin: Origin, proxy: Proxy) -> None:
    origin.execute(TABLE)
    policy = RetryPolicy(base_seconds=0.01, cap_seconds=0.02, attempts=3)
    with opened(proxy.dsn, retry=policy) as db:
        told = Told(db, "sync_retry", "sync_failed", "connectivity_changed")
        db.sync.sync()
        for _ in range(2):
            before = len(told.events)
            proxy.refuse()
            proxy.cut()
            told.until(lambda events, before=before: "sync_failed" in names(events[before:]))  # type: ignore[misc]
            assert [one.attempt for one in told.events[before:] if isinstance(one, SyncRetry)] == [1, 2]
            (status,) = db.sync.status("s.a")
            assert (status.state, status.next_retry_at) == ("failed", None)
            assert "given up after 3 attempts" in (status.last_error or "")
            with pytest.raises(errors.OriginError):
                db.sync.wait(timeout=WAIT_SECONDS)
            connections = proxy.connections
            proxy.accept()
            time.sleep(0.1)  # many times the longest pause
            assert proxy.connections == connections, "nothing is tried until somebody asks"
            assert not db.sync.sync().failed
            (status,) = db.sync.status("s.a")
            assert (status.state, status.last_error, status.retry_count) == ("running", None, 0)
    assert names(told.ended()).count("sync_failed") == 2


def test_the_budget_of_time_is_spent(origin: Origin, proxy: Proxy) -> None:
    origin.execute(TABLE)
    policy = RetryPolicy(base_seconds=0.05, multiplier=1, jitter=0, budget_seconds=0.2)
    with opened(proxy.dsn, retry=policy) as db:
        told = Told(db, "sync_retry", "sync_failed")
        proxy.refuse()
        report = db.sync.sync()
        assert isinstance(report.failed["s.a"], errors.OriginUnreachable)
        told.until_named("sync_failed")
        assert "given up after" in (db.sync.status("s.a")[0].last_error or "")
    assert 1 <= names(told.ended()).count("sync_retry") <= 4


LONG = RetryPolicy(base_seconds=0.3, multiplier=10_000, cap_seconds=3_000, jitter=0)


def in_a_long_pause(db: Database, proxy: Proxy, told: Told) -> None:
    """The origin has failed twice: the next attempt is fifty minutes away."""
    proxy.refuse()
    proxy.cut()
    told.until_named("sync_retry", 2)
    status = db.sync.status("s.a")[0]
    assert status.next_retry_at is not None
    ((shown,),) = db.execute("SELECT next_retry_at FROM flashql.sync_jobs WHERE relation_id = 's.a'").fetchall()
    assert shown == status.next_retry_at
    assert (status.next_retry_at - told.events[-1].at).total_seconds() > 2_000
    proxy.accept()


@pytest.mark.parametrize("force", [True, False])
def test_who_asks_need_not_wait_for_the_next_attempt(origin: Origin, proxy: Proxy, force: bool) -> None:
    origin.execute(TABLE)
    with opened(proxy.dsn, retry=LONG) as db:
        told = Told(db, "sync_retry", "connected")
        db.sync.sync()
        in_a_long_pause(db, proxy, told)
        assert not db.sync.sync(force=force).failed
        assert db.sync.status("s.a")[0].state == "running"
        assert db.sync.status("s.a")[0].next_retry_at is None


def test_callers_in_a_loop_do_not_hammer_the_origin(origin: Origin, proxy: Proxy) -> None:
    """A plain `sync()` shortens a pause to the first one; one with `force` does not wait for it."""
    origin.execute(TABLE)
    with opened(proxy.dsn, retry=LONG) as db:
        told = Told(db, "sync_retry")
        proxy.refuse()
        assert db.sync.sync().failed
        told.until_named("sync_retry")
        began = told.events[-1].at
        assert db.sync.sync().failed
        told.until_named("sync_retry", 2)
        assert (told.events[-1].at - began).total_seconds() >= LONG.base_seconds
        began = told.events[-1].at
        assert db.sync.sync(force=True).failed
        told.until_named("sync_retry", 3)
        attempts = [event.attempt for event in told.events if isinstance(event, SyncRetry)]
        assert attempts == [1, 2, 3]


class CountedLock:
    """A lock that says how many have come to it."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.came.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()


@pytest.mark.parametrize("force", [True, False])
def test_a_storm_of_calls_is_one_pass(
    origin: Origin, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    """A thousand threads call `sync()` while a pass runs and the origin is away: they share the next one."""
    callers = 1_000
    origin.execute(TABLE)
    with opened(proxy.dsn, retry=LONG) as db:
        told = Told(db, "sync_retry", "connected")
        db.sync.sync()
        in_a_long_pause(db, proxy, told)
        passes, running, begun = list[int](), CountedLock(), db.sync._passes.before

        def count() -> None:
            passes.append(1)
            begun()

        monkeypatch.setattr(db.sync._passes, "before", count)
        monkeypatch.setattr(db.sync._passes, "_running", running)
        reports: list[bool] = []
        threads = [
            threading.Thread(target=lambda: reports.append(bool(db.sync.sync(force=force)))) for _ in range(callers)
        ]
        with running:  # as a pass does that is under way
            for thread in threads:
                thread.start()
            for _ in range(callers + 1):
                assert running.came.acquire(timeout=WAIT_SECONDS)
        for thread in threads:
            thread.join()
        assert reports == [True] * callers
        assert len(passes) == 1
        assert names(told.events).count("connected") == 2, "the first stream, and one more"
        assert names(told.events).count("sync_retry") == 2, "those of before"
