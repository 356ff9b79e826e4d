"""Long work: how far it is, by view and scope, in status, rows and events; and what status says with nobody to ask."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import flashql
from flashql import feeding, works
from flashql.cli.progress import drawn_for
from flashql.database import Database
from flashql.events import EventListener, ProgressMade
from flashql.lifecycle import Phase
from flashql.origins.base import Size
from flashql.store import Store
from flashql.works import Amount, Works, amount
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import job, until

ROWS = 60_000

VIEWS = """
CREATE SCHEMA s WITH (replication_origin = 'primary');
CREATE REALTIME VIEW s.wide AS SELECT * FROM t;
CREATE REALTIME VIEW s.narrow AS SELECT id FROM t WHERE id > 10;
CREATE MATERIALIZED VIEW s.some AS SELECT id, body FROM t WHERE id % 2 = 0;
CREATE ORIGIN VIEW s.there AS SELECT * FROM t;
"""


@pytest.fixture
def table(origin: Origin) -> Origin:
    origin.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, body text);"
        f"INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, {ROWS}) g; ANALYZE t"
    )
    return origin


def opened(origin: Origin, path: str = ":memory:", dsn: str | None = None) -> Database:
    """A database with the views, none synced."""
    db = flashql.connect(path, origins={"primary": dsn or origin.dsn})
    db.execute(VIEWS)
    return db


class Held:
    """A sync on a thread of its own, held once some rows have come."""

    def __init__(self, db: Database, work: Callable[[], object]) -> None:
        self.reached, self._on = threading.Event(), threading.Event()
        db.sync.progress = lambda *_: self._hold()
        self._thread = threading.Thread(target=work)
        self._thread.start()
        assert self.reached.wait(60)

    def _hold(self) -> None:
        self.reached.set()
        assert self._on.wait(60)

    def go_on(self) -> None:
        """Until the work's end."""
        self._on.set()
        self._thread.join()


# -- rows and bytes, done and in all


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**15),
    st.builds(Size, st.none() | st.integers(0, 10**12), st.none() | st.integers(0, 10**15)),
)
def test_no_total_is_less_than_what_is_done(rows: int, size_bytes: int, expected: Size) -> None:
    now = amount(rows, size_bytes, expected, over=False)
    assert (now.done_rows, now.done_bytes) == (rows, size_bytes)
    assert now.total_rows is None or now.total_rows >= rows
    assert now.total_bytes is None or now.total_bytes >= size_bytes
    assert (now.total_rows is None) == (expected.rows is None)
    assert amount(rows, size_bytes, expected, over=True) == Amount(rows, rows, size_bytes, size_bytes)


def test_of_what_is_unknown_in_part_the_whole_is_unknown() -> None:
    assert Amount(1, 2, 3, 4) + Amount(1, None, 1, 1) == Amount(2, None, 4, 5)


def test_a_copy_shows_how_far_it_is(table: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "_NOTE_SECONDS", 0.0)
    with opened(table) as db:
        syncing = Held(db, lambda: db.sync.sync(["s.wide", "s.narrow"]))
        for name in ("s.wide", "s.narrow"):  # they wait for the same copy
            now = job(db, name)
            assert now.phase == Phase.CLONE
            assert now.done_rows is not None
            assert 0 < now.done_rows <= ROWS
            assert now.total_rows == ROWS  # as ANALYZE counted them
            assert now.done_bytes is not None
            assert now.done_bytes > 100 * now.done_rows
            assert now.total_bytes is not None
            assert now.total_bytes >= 100 * ROWS
            assert now.progress is not None
            assert 0 < now.progress <= 1
            assert not now.has_synced
        shown = "SELECT done_rows, total_rows > 0, done_bytes > 0, total_bytes > 0 FROM flashql.sync_jobs"
        until(lambda: db.execute(shown).fetchall() == [(now.done_rows, True, True, True)] * 2, "it is noted")
        assert job(db, "s.some").done_rows is None
        syncing.go_on()
        assert job(db, "s.wide").done_rows is None
        assert job(db, "s.wide").progress is None
        until(lambda: db.execute(shown).fetchall() == [(None,) * 4] * 2, "nothing is noted of what is over")


def last_of(listener: EventListener, kind: str, subject: str) -> ProgressMade:
    """The event by which the work is complete; there is one when this returns."""
    while True:
        event = listener.take(30)
        assert isinstance(event, ProgressMade)
        if (event.kind, event.subject) == (kind, subject) and event.done_rows == event.total_rows:
            return event


def test_events_tell_of_views_and_scopes(table: Origin) -> None:
    with opened(table) as db, db.sync.events("progress") as listener:
        done = db.sync.scopes.start("all", "s.*", wait=True).status()
        assert done.state == "synced"
        assert done.done_rows == done.total_rows == ROWS + ROWS + ROWS // 2  # two views wait for the copy
        assert done.done_bytes == done.total_bytes
        view = last_of(listener, "view", "s.wide")
        assert (view.view, view.origin, view.phase, view.done_rows) == ("s.wide", "primary", Phase.CLONE, ROWS)
        assert view.done_bytes == view.total_bytes


def test_a_scope_shows_how_far_it_is(table: Origin) -> None:
    with opened(table) as db, db.sync.events("progress") as listener:
        held = Held(db, lambda: db.sync.scopes.start("some", "s.some", wait=True))
        (now,) = db.sync.scopes.status()
        assert now.done_rows == job(db, "s.some").done_rows
        assert now.total_rows is not None
        assert now.done_bytes is not None
        told: set[tuple[str, str]] = set()
        while not {("scope", "some"), ("view", "s.some")} <= told:
            event = listener.take(30)
            assert isinstance(event, ProgressMade)
            told.add((event.kind, event.subject))
        held.go_on()
        (after,) = db.sync.scopes.status()
        assert (after.done_rows, after.total_rows) == (ROWS // 2, ROWS // 2)


def test_what_fails_is_not_told_as_done(table: Origin) -> None:
    table.execute("CREATE FUNCTION fails(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1 / ($1 - 50000); END $$")
    with opened(table) as db, db.sync.events("progress") as listener:
        db.execute("CREATE MATERIALIZED VIEW s.wrong AS SELECT id, body, fails(id) AS f FROM t ORDER BY id")
        assert set(db.sync.sync("s.wrong").failed) == {"s.wrong"}
        assert job(db, "s.wrong").done_rows is None
        event = listener.take(30)
        assert isinstance(event, ProgressMade)
        assert event.subject == "s.wrong"
        assert event.done_rows is not None
        assert event.done_rows < 50_000
        assert (event.total_rows, event.total_bytes) != (event.done_rows, event.done_bytes)


def test_a_table_never_analyzed_has_an_estimate_too(origin: Origin) -> None:
    origin.execute("CREATE TABLE p (id int PRIMARY KEY, body text) PARTITION BY RANGE (id)")
    origin.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100000)")
    origin.execute("INSERT INTO p SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g")
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        expected = db.origins("primary").expected(db.origins("primary").table("public", "p"), ())
        assert expected.rows is not None
        assert 2_000 < expected.rows < 200_000


def test_an_estimate_waits_for_no_lock(origin: Origin) -> None:
    origin.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with flashql.connect(origins={"primary": origin.dsn}) as db, origin.connect() as other:
        other.execute("BEGIN; LOCK TABLE t")
        assert db.origins("primary").client.expected("SELECT * FROM t") == Size()
        other.execute("ROLLBACK")
        assert db.origins("primary").client.expected("SELECT * FROM t").rows is not None


def test_telling_does_not_wait_for_the_writer(table: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody writes for long, what is read is counted and told all the same."""
    monkeypatch.setattr(works, "_NOTE_SECONDS", 0.0)
    store = Store(":memory:")
    with store.transaction():
        counting = threading.Thread(target=lambda: _count(Works.of(store), 1_000))
        counting.start()
        counting.join(10)
        assert not counting.is_alive()
    store.close()


def _count(works_of: Works, times: int) -> None:
    with works_of.begin("t", ["s.t"], Phase.CLONE, "primary", Size(times)) as work:
        for _ in range(times):
            work.count(1, 10)


def test_views_count_what_they_wait_for_and_then_begin_anew() -> None:
    store = Store(":memory:")
    known = Works.of(store)
    with known.begin("a", ["v"], Phase.CLONE, None, Size(10)) as one:
        with known.begin("b", ["v", "w"], Phase.CLONE, None, Size(5)) as other:
            other.count(5, 50)
            one.count(1, 10)
            assert known.now("v") == Amount(6, 15, 60, 150)
        assert known.now("v") == Amount(6, 15, 60, 150)  # it still waits for the other
        assert known.now("w") is None
        assert known.lately("w", 0.0) == Amount(5, 5, 50, 50)
        assert known.lately("w", time.monotonic()) is None
    with known.begin("c", ["v"], Phase.CLONE, None) as again:
        again.count(1, 1)
        assert known.now("v") == Amount(1, None, 1, None)
    store.close()


def test_bars_show_views_and_scopes_in_rows_and_bytes(table: Origin) -> None:
    written = io.StringIO()
    with opened(table) as db, drawn_for(db, Console(file=written, force_terminal=True, width=160)):
        db.sync.scopes.start("all", ["s.wide", "s.some"], wait=True)
    shown = written.getvalue()
    assert re.search(r"s\.wide .*60,000 rows +[0-9.]+ MB", shown)
    assert re.search(r"s\.some .*30,000 rows", shown)
    assert re.search(r"scope all .*90,000 rows", shown)


# -- what was synced, and when, with nobody to ask


def synced(db: Database) -> dict[str, bool]:
    """Which views have synced, by name; each says when, too."""
    found = db.sync.status()
    assert all((one.last_synced_at is not None) == one.has_synced for one in found)
    return {one.relation_id: one.has_synced for one in found}


def test_offline_and_read_only_files_tell_what_has_synced(
    table: Origin, proxy: Proxy, database_path: str, tmp_path: Path
) -> None:
    with opened(table, database_path, proxy.dsn) as db:
        assert synced(db) == dict.fromkeys(("s.wide", "s.narrow", "s.some", "s.there"), False)
        db.sync.sync(["s.wide", "s.some"])
        before = {one.relation_id: one.last_synced_at for one in db.sync.status()}
    expected = {"s.wide": True, "s.narrow": False, "s.some": True, "s.there": False}
    with flashql.connect(database_path, read_only=True) as db:  # which knows no origin
        assert synced(db) == expected
        assert job(db, "s.some").last_synced_at == before["s.some"]
    proxy.stall()
    with flashql.connect(database_path, origins={"primary": proxy.dsn}) as db:
        began = time.monotonic()
        assert synced(db) == expected
        assert time.monotonic() - began < 10
        assert db.sync.scopes.status() == []
        (wide,) = db.sync.status("s.wide")
        assert wide.last_synced_at is not None
        assert before["s.wide"] is not None
        assert wide.last_synced_at >= before["s.wide"]


def test_the_network_goes_while_views_follow(table: Origin, proxy: Proxy) -> None:
    with opened(table, dsn=proxy.dsn) as db:
        db.sync.sync()
        proxy.stall()
        began = time.monotonic()
        assert synced(db) == {"s.wide": True, "s.narrow": True, "s.some": True, "s.there": False}
        assert time.monotonic() - began < 10
        proxy.flow()


def test_a_view_that_follows_was_synced_just_now(table: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "_IDLE_SECONDS", 0.05)
    with opened(table) as db:
        db.sync.sync("s.wide")
        first = job(db, "s.wide").last_synced_at
        table.execute("UPDATE t SET body = 'y' WHERE id = 1")
        db.sync.wait("s.wide")
        second = job(db, "s.wide").last_synced_at
        assert first is not None
        assert second is not None
        assert second > first
        table.execute("CREATE TABLE other AS SELECT 1")  # of which the stream brings nothing
        until(lambda: (job(db, "s.wide").last_synced_at or first) > second, "the origin said that there is no more")
