"""Phase reconcile, on demand and on time; and what makes a pass begin: start, reconnect, wake, schedule, change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import flashql
from flashql import PostgresOrigin, RetryPolicy, SyncContext, comparing, errors, session, verifying
from flashql.catalog import Persistence, View
from flashql.database import Database
from flashql.events import DriftFound
from flashql.quoting import qualified
from flashql.scheduling import comparison_due_in_seconds
from flashql.store import DATA_SCHEMA
from flashql.store.copies import copies
from flashql.store.jobs import JobStatus, blank
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import copy_ids, job, make_shop, open_shop, until

WAIT_SECONDS = 60.0


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_shop(origin)


@pytest.fixture
def db(shop: Origin, database_path: str) -> Iterator[Database]:
    with open_shop(shop, database_path) as opened:
        assert opened.sync.sync()
        yield opened


def spoil(db: Database, statement: str = "UPDATE {t} SET note = 'wrong' WHERE id IN (3, 5)") -> None:
    """Change the copy of `orders` behind FlashQL's back."""
    (copy,) = [copy for copy in copies(db.store, "primary") if copy.name == "orders"]
    assert copy.local_table is not None
    with db.store.transaction() as writer:
        writer.execute(statement.format(t=qualified(DATA_SCHEMA, copy.local_table)))


def follows(db: Database, shop: Origin) -> None:
    db.sync.wait(timeout=WAIT_SECONDS)
    same_rows(shop, db, "SELECT * FROM orders", "SELECT * FROM shop.orders")


# -- reconcile


def test_what_differs_is_put_right_and_compared_once_more(db: Database, shop: Origin) -> None:
    spoil(db)
    assert job(db, "shop.orders").last_reconciled_at is None
    listener = db.sync.events("drift_found")
    reports = {one.view: one for one in db.sync.reconcile()}
    told = [listener.take(WAIT_SECONDS) for _ in reports]
    assert {name: (one.repaired, one.equal, one.equal_after) for name, one in reports.items()} == {
        "shop.big": (2, False, True),
        "shop.orders": (2, False, True),
    }
    assert set(reports["shop.orders"].differing_keys) == {(3,), (5,)}
    drift = {one.view: (one.rows, one.phase, one.lsn, one.origin) for one in told if isinstance(one, DriftFound)}
    assert drift == {name: (2, "reconcile", one.lsn, "primary") for name, one in reports.items()}
    assert (job(db, "shop.orders").phase, job(db, "shop.orders").state) == ("pull", "running")
    assert job(db, "shop.orders").last_reconciled_at is not None
    assert [one.equal_after for one in db.sync.reconcile("shop.big")] == [None]
    follows(db, shop)


def test_the_phase_is_shown_and_replication_goes_on(db: Database, shop: Origin) -> None:
    spoil(db)
    seen: list[tuple[Any, ...]] = []

    @db.sync.before_sync(selector="shop.orders")
    def look(context: SyncContext) -> None:
        now = db.execute("SELECT phase, state, relation_id FROM flashql.sync_jobs WHERE phase IS NOT NULL ORDER BY 3")
        seen.append((context.phase, context.payload["shop.orders"].inserted.num_rows, now.fetchall()))
        assert not job(db, "shop.orders").stale
        shop.execute("INSERT INTO orders VALUES (1000, 1, 1, 1, 'meanwhile') ON CONFLICT DO NOTHING")

    db.sync.reconcile("shop.orders")
    running = [("reconcile", "running", "shop.orders")]
    assert seen[0] == ("reconcile", 2, [("pull", "running", "shop.big"), *running])
    look.remove()
    follows(db, shop)


def test_repair_by_a_new_copy_passes_clone_and_ends_in_pull(
    db: Database, shop: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing.compare, "__kwdefaults__", {"listed": 10})
    spoil(db, "UPDATE {t} SET note = 'wrong'")
    before = copy_ids(db)
    (report,) = db.sync.reconcile("shop.orders")
    assert (report.equal, report.equal_after) == (False, True)
    assert set(before).isdisjoint(copy_ids(db))
    assert job(db, "shop.orders").phase == "pull"
    follows(db, shop)


def test_a_comparison_that_fails_leaves_the_phase_of_before(
    db: Database, shop: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        assert job(db, "shop.orders").phase == "reconcile"
        raise errors.OriginBusy("no snapshot")

    monkeypatch.setattr("flashql.reconciling.verify", fail)
    with pytest.raises(errors.OriginBusy):
        db.sync.reconcile()
    assert {one.phase for one in db.sync.status("shop.orders")} == {"pull"}
    assert job(db, "shop.orders").last_reconciled_at is None
    db.sync.stop("shop.big")
    with pytest.raises(errors.OriginError, match="not running"):
        db.sync.reconcile("shop.big")
    assert job(db, "shop.big").phase is None


def test_calls_that_overlap_keep_the_phase_until_the_last(
    db: Database, shop: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, compare = threading.Event(), threading.Event(), verifying.verify
    gates = [first, second]

    def held(*arguments: Any) -> Any:
        assert gates.pop(0).wait(WAIT_SECONDS)
        return compare(*arguments)

    monkeypatch.setattr("flashql.reconciling.verify", held)
    calls = [threading.Thread(target=db.sync.reconcile, args=("shop.orders",)) for _ in range(2)]
    for call in calls:
        call.start()
    until(lambda: not gates, "both compare")
    first.set()
    until(lambda: sum(call.is_alive() for call in calls) == 1, "one is done")
    assert job(db, "shop.orders").phase == "reconcile"
    second.set()
    for call in calls:
        call.join()
    assert job(db, "shop.orders").phase == "pull"


def test_the_process_that_dies_while_it_compares(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        with db.store.transaction() as writer:
            writer.execute("UPDATE flashql.sync_jobs SET phase = 'reconcile' WHERE phase = 'pull'")
        shop.execute("DELETE FROM orders WHERE id = 7")
        db.sync.wait(timeout=WAIT_SECONDS)
        assert db.sync.status("shop.orders")[0].lag_bytes is not None
        same_rows(shop, db, "SELECT * FROM orders", "SELECT * FROM shop.orders")
        with db.store.transaction() as writer:
            writer.execute("UPDATE flashql.sync_jobs SET phase = 'reconcile' WHERE phase IS NOT NULL")
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert job(db, "shop.orders").phase is None
        assert db.sync.sync()
        follows(db, shop)


# -- on time

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
VIEW = View("shop", "v", Persistence.REALTIME, "primary", "SELECT 1", (), {"reconcile_every": "5 minutes"})
JOB = replace(blank(VIEW), state="running", phase="pull", last_success_at=NOW)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("view", "status", "tried", "expected"),
    [
        (VIEW, JOB, None, 300.0),
        (VIEW, replace(JOB, last_success_at=ago(100)), None, 200.0),
        (VIEW, replace(JOB, last_success_at=ago(1000)), None, 0.0),
        (VIEW, replace(JOB, last_success_at=ago(1000), last_reconciled_at=ago(10)), None, 290.0),
        (VIEW, replace(JOB, last_success_at=ago(1000)), ago(20), 280.0),
        (VIEW, replace(JOB, state="failed", phase=None, last_success_at=ago(1000)), None, 300.0),
        (VIEW, replace(JOB, phase="clone", last_success_at=ago(1000)), None, 300.0),
        (VIEW, replace(JOB, enabled=False), None, None),
        (replace(VIEW, options={}), JOB, None, None),
        (replace(VIEW, persistence=Persistence.MATERIALIZED), JOB, None, None),
    ],
)
def test_when_a_view_is_due(view: View, status: JobStatus, tried: datetime | None, expected: float | None) -> None:
    assert comparison_due_in_seconds(view, status, NOW, tried) == expected


def test_a_view_is_compared_on_time_and_again(db: Database, shop: Origin) -> None:
    db.execute("ALTER VIEW shop.orders SET (reconcile_every = '200 ms')")
    for note in ("once", "twice"):
        told = db.sync.events("drift_found")
        spoil(db, f"UPDATE {{t}} SET note = '{note}' WHERE id = 3")
        found = told.take(WAIT_SECONDS)
        assert found is not None and found.view == "shop.orders"
        until(
            lambda: db.execute("SELECT note FROM shop.orders WHERE id = 3").fetchall() == [("note 3",)], "it is mended"
        )
    db.sync.stop("shop.orders")
    db.execute("ALTER VIEW shop.orders RESET (reconcile_every)")
    db.sync.resume("shop.orders")
    follows(db, shop)


def test_only_a_realtime_view_is_compared_on_time(db: Database) -> None:
    with pytest.raises(errors.DefinitionError, match="reconcile_every is for realtime views only"):
        db.execute("CREATE MATERIALIZED VIEW shop.m WITH (reconcile_every = '1 h') AS SELECT 1 AS a")
    with pytest.raises(errors.DefinitionError, match="reconcile_every is for realtime views only"):
        db.execute("ALTER VIEW shop.products SET (reconcile_every = '1 h')")
    db.execute("ALTER VIEW shop.orders SET (reconcile_every = '1 h')")
    db.execute("ALTER VIEW shop.orders SET (persistence = 'materialized', refresh_every = '1 h')")
    assert job(db, "shop.orders").persistence == "materialized"


# -- what makes a pass begin


def test_at_the_start(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path):
        pass
    with flashql.connect(database_path, origins={"primary": shop.dsn}, auto_sync=True) as db:
        assert {one.state for one in db.sync.status()} == {"idle", "running", "synced"}
        follows(db, shop)


def silently(shop: Origin) -> None:
    """Change every row of a table in a way that the stream says nothing of."""
    shop.execute("ALTER TABLE orders ALTER COLUMN note TYPE text USING note || ' changed'")


def test_wake_finds_what_the_stream_says_nothing_of(db: Database, shop: Origin) -> None:
    silently(shop)
    before = copy_ids(db)
    db.sync.wake()
    until(lambda: set(before).isdisjoint(copy_ids(db)) and job(db, "shop.orders").phase == "pull", "it is copied again")
    follows(db, shop)


def test_wake_mends_a_publication(db: Database, shop: Origin) -> None:
    ((publication,),) = shop.query("SELECT pubname FROM pg_publication")
    shop.execute(f'ALTER PUBLICATION "{publication}" DROP TABLE orders')
    shop.execute("DELETE FROM orders WHERE id < 10")
    db.sync.wake("shop.orders")
    until(lambda: shop.query("SELECT count(*) FROM pg_publication_tables") == [(1,)], "it is published again")
    until(lambda: job(db, "shop.orders").phase == "pull", "it follows again")
    follows(db, shop)


def test_wake_starts_what_never_ran_and_leaves_what_was_stopped(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync("shop.big")
        db.sync.stop("shop.big")
        db.sync.wake()
        until(lambda: job(db, "shop.orders").phase == "pull" and job(db, "shop.products").state == "synced", "they run")
        assert (job(db, "shop.big").enabled, job(db, "shop.big").state) == (False, "idle")
        with pytest.raises(errors.UnknownName):
            db.sync.wake("shop.nowhere")
    with pytest.raises(errors.DatabaseError, match="closed"):
        db.sync.wake()
    with flashql.connect(database_path, read_only=True) as read, pytest.raises(errors.DatabaseReadOnly):
        read.sync.wake()


def test_wake_skips_the_pause_and_a_thousand_are_a_few_passes(
    shop: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(shop.dsn)
    try:
        hourly = RetryPolicy(base_seconds=3600, cap_seconds=3600, jitter=0)
        with flashql.connect(
            database_path, origins={"primary": PostgresOrigin("primary", proxy.dsn, retry=hourly)}
        ) as db:
            db.execute("CREATE REALTIME VIEW far WITH (replication_origin = 'primary') AS SELECT * FROM orders")
            db.sync.sync()
            proxy.refuse()
            proxy.cut()
            until(lambda: job(db, "far").next_retry_at is not None, "it waits for an hour")
            proxy.accept()
            passes, run = list[object](), db.sync._passes._pass

            def counted(one: Any) -> Any:
                passes.append(one)
                return run(one)

            monkeypatch.setattr(db.sync._passes, "_pass", counted)
            for _ in range(1000):
                db.sync.wake()
            until(lambda: job(db, "far").phase == "pull", "it has come back at once")
            follow = db.sync._waker
            until(lambda: follow._thread is None, "all passes are done")
            assert 1 <= len(passes) < 100
    finally:
        proxy.close()


def test_a_reconnect_finds_what_changed_meanwhile(shop: Origin, database_path: str) -> None:
    proxy = Proxy(shop.dsn)
    try:
        with flashql.connect(database_path, origins={"primary": proxy.dsn}) as db:
            db.execute("CREATE SCHEMA shop WITH (replication_origin = 'primary')")
            db.execute("CREATE REALTIME VIEW shop.orders AS SELECT * FROM orders")
            db.sync.sync()
            proxy.refuse()
            proxy.cut()
            silently(shop)
            before = copy_ids(db)
            proxy.accept()
            until(lambda: set(before).isdisjoint(copy_ids(db)), "it is copied again without being asked")
            until(lambda: job(db, "shop.orders").phase == "pull", "and follows")
            follows(db, shop)
    finally:
        proxy.close()


def test_a_change_of_catalog_or_publication_is_found_in_time(
    db: Database, shop: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_RECONCILE_SECONDS", 0.2)
    silently(shop)
    before = copy_ids(db)
    until(lambda: set(before).isdisjoint(copy_ids(db)), "a table written anew is copied again")
    ((publication,),) = shop.query("SELECT pubname FROM pg_publication")
    shop.execute(f'ALTER PUBLICATION "{publication}" DROP TABLE orders')
    until(lambda: shop.query("SELECT count(*) FROM pg_publication_tables") == [(1,)], "it is published again")
    until(lambda: job(db, "shop.orders").phase == "pull", "it follows again")
    follows(db, shop)
