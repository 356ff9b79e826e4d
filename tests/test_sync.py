"""db.sync against a real server: the report, status, stop and resume, forget, wait, coalescing."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import flashql
from flashql import errors
from flashql.lsn import LSN
from flashql.passes import Passes
from flashql.store.jobs import JobStatus
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import copy_ids, job, make_shop, open_shop, publications, slots, until

ORDERS = "SELECT id, customer_id, product_id, amount, note FROM orders"
LOCAL_ORDERS = "SELECT id, customer_id, product_id, amount, note FROM shop.orders"
BIG = "SELECT id, amount FROM orders WHERE amount > 40"
LOCAL_BIG = "SELECT id, amount FROM shop.big"


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_shop(origin)


# -- the entry point


def test_sync_says_what_it_did_and_is_idempotent(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        first = db.sync.sync()
        assert first.materialized == ("shop.products",)
        assert first.realtime == ("shop.big", "shop.orders")
        assert first.failed == {}
        assert first
        copies, tables = copy_ids(db), db.execute("SELECT name, shows FROM flashql.views ORDER BY name").fetchall()
        (slot,) = slots(shop)
        again = db.sync.sync()
        assert (again.materialized, again.realtime, again.failed) == ((), ("shop.big", "shop.orders"), {})
        assert copy_ids(db) == copies
        assert db.execute("SELECT name, shows FROM flashql.views ORDER BY name").fetchall() == tables
        assert slots(shop) == [slot]
        assert publications(shop) == {slot[0]: {"public.orders"}}
        same_rows(shop, db, ORDERS, LOCAL_ORDERS)
        same_rows(shop, db, BIG, LOCAL_BIG)
        same_rows(shop, db, "SELECT * FROM products", "SELECT * FROM shop.products")


def test_views_of_one_table_share_one_copy(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        assert len(copy_ids(db)) == 1


def test_only_force_materializes_what_has_a_copy(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync("shop.products")
        shop.execute("UPDATE products SET price = 99 WHERE id = 1")
        assert db.sync.sync("shop.products").materialized == ()
        assert db.execute("SELECT count(*) FROM shop.products WHERE price = 99").fetchall() == [(0,)]
        assert db.sync.sync("shop.products", force=True).materialized == ("shop.products",)
        same_rows(shop, db, "SELECT * FROM products", "SELECT * FROM shop.products")


def test_a_report_is_about_the_selected_views_only(shop: Origin) -> None:
    with open_shop(shop) as db:
        report = db.sync.sync("shop.big")
        assert (report.materialized, report.realtime) == ((), ("shop.big",))
        assert job(db, "shop.orders").state == "idle"
        assert job(db, "shop.products").state == "idle"


def test_one_views_failure_stops_no_other(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.execute("CREATE MATERIALIZED VIEW shop.broken AS SELECT 1 / (id - 1) AS x FROM products")
        report = db.sync.sync()
        assert set(report.failed) == {"shop.broken"}
        assert isinstance(report.failed["shop.broken"], errors.OriginQueryFailed)
        assert "division by zero" in str(report.failed["shop.broken"])
        assert not report
        assert report.materialized == ("shop.products",)
        assert report.realtime == ("shop.big", "shop.orders")
        failed = job(db, "shop.broken")
        assert (failed.state, failed.retry_count, failed.enabled) == ("failed", 1, True)
        assert "division by zero" in (failed.last_error or "")
        assert failed.last_success_at is None
        shop.execute("DELETE FROM products WHERE id = 1")
        assert db.sync.sync().materialized == ("shop.broken",)
        mended = job(db, "shop.broken")
        assert (mended.state, mended.retry_count, mended.last_error, mended.rows) == ("synced", 0, None, 9)
        assert mended.last_success_at is not None


def test_a_failed_refresh_keeps_the_rows(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.execute("CREATE MATERIALIZED VIEW shop.ratio AS SELECT id, 100 / id AS x FROM products")
        db.sync.sync("shop.ratio")
        shop.execute("INSERT INTO products VALUES (0, 'nothing', 0)")
        with pytest.raises(errors.OriginQueryFailed, match="division by zero"):
            db.execute("REFRESH VIEW shop.ratio")
        assert job(db, "shop.ratio").state == "failed"
        assert db.execute("SELECT count(*) FROM shop.ratio").fetchall() == [(10,)]


def test_a_table_that_is_gone_fails_its_views_only(shop: Origin) -> None:
    with open_shop(shop) as db:
        shop.execute("CREATE TABLE brief (id int PRIMARY KEY)")
        db.execute("CREATE REALTIME VIEW shop.brief AS SELECT * FROM brief")
        shop.execute("DROP TABLE brief")
        report = db.sync.sync()
        assert set(report.failed) == {"shop.brief"}
        assert isinstance(report.failed["shop.brief"], errors.UnknownName)
        assert report.realtime == ("shop.big", "shop.orders")
        with pytest.raises(errors.UnknownName):
            db.sync.wait(timeout=10)
        db.sync.wait("shop.orders", timeout=30)


def test_an_unreachable_origin_stops_no_view_of_another(shop: Origin, proxy: Proxy) -> None:
    with flashql.connect(origins={"here": shop.dsn, "away": proxy.dsn}) as db:
        db.execute("""
            CREATE REALTIME VIEW near WITH (replication_origin = 'here') AS SELECT id FROM orders;
            CREATE REALTIME VIEW far WITH (replication_origin = 'away') AS SELECT id FROM orders;
            CREATE MATERIALIZED VIEW far_too WITH (replication_origin = 'away') AS SELECT id FROM orders;
        """)
        proxy.refuse()
        proxy.cut()
        report = db.sync.sync()
        assert set(report.failed) == {"main.far", "main.far_too"}
        assert {type(error) for error in report.failed.values()} == {errors.OriginUnreachable}
        assert report.realtime == ("main.near",)
        failed = job(db, "main.far")
        assert failed.state == "failed"
        assert failed.retry_count >= 1
        assert failed.next_retry_at is not None
        same_rows(shop, db, "SELECT id FROM orders", "SELECT id FROM near")
        proxy.accept()
        until(lambda: job(db, "main.far").phase == "pull", "FlashQL comes back by itself")
        same_rows(shop, db, "SELECT id FROM orders", "SELECT id FROM far")
        assert job(db, "main.far").retry_count == 0


def test_two_databases_follow_one_origin_by_a_slot_each(shop: Origin, tmp_path: object) -> None:
    with open_shop(shop, f"{tmp_path}/one.duckdb") as one, open_shop(shop, f"{tmp_path}/two.duckdb") as two:
        one.sync.sync()
        two.sync.sync()
        assert [active for _, active in slots(shop)] == [True, True]
        shop.execute("UPDATE orders SET amount = 1000 WHERE id < 5")
        for db in (one, two):
            db.sync.wait(timeout=30)
            same_rows(shop, db, ORDERS, LOCAL_ORDERS)
        one.sync.forget("shop.*")
        assert len(slots(shop)) == 1
        shop.execute("DELETE FROM orders WHERE id < 5")
        two.sync.wait(timeout=30)
        same_rows(shop, two, ORDERS, LOCAL_ORDERS)


def test_auto_sync_syncs_on_connect_and_after_ddl(shop: Origin, database_path: str) -> None:
    origins = {"primary": shop.dsn}
    with flashql.connect(database_path, origins=origins, auto_sync=True) as db:
        db.execute("CREATE SCHEMA shop WITH (replication_origin = 'primary')")
        db.execute("CREATE MATERIALIZED VIEW shop.products AS SELECT * FROM products")
        assert job(db, "shop.products").state == "synced"
        db.execute("CREATE REALTIME VIEW shop.orders AS SELECT * FROM orders")
        assert job(db, "shop.orders").state == "running"
        db.execute("ALTER VIEW shop.products SET (persistence = 'realtime')")
        assert job(db, "shop.products").state == "running"
    with flashql.connect(database_path, origins=origins, auto_sync=True) as db:
        assert job(db, "shop.orders").state == "running"


# -- status


def test_status_has_the_fields_of_the_contract() -> None:
    wanted = "relation_id namespace name persistence mode enabled state slot_id last_seen_commit retry_count "
    wanted += "last_error updated_at next_retry_at last_success_at lag_bytes rows phase "
    wanted += "retained_bytes safe_bytes seconds_to_loss stale unfit_values last_reconciled_at "
    wanted += "has_synced last_synced_at done_rows total_rows done_bytes total_bytes lag_seconds changes"
    assert set(wanted.split()) == {field.name for field in dataclasses.fields(JobStatus)}


def test_status_of_views_never_synced(shop: Origin) -> None:
    with open_shop(shop) as db:
        found = db.sync.status()
        assert [one.relation_id for one in found] == ["shop.big", "shop.customers", "shop.orders", "shop.products"]
        assert [one.mode for one in found] == ["stream", "query", "stream", "snapshot"]
        assert {one.state for one in found} == {"idle"}
        assert all(one.enabled for one in found)
        assert {(one.rows, one.slot_id, one.last_seen_commit, one.updated_at) for one in found} == {(None,) * 4}
        assert db.sync.status("shop.nothing") == []
        with pytest.raises(dataclasses.FrozenInstanceError):
            found[0].state = "running"  # type: ignore[misc]


def test_status_of_a_running_job(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        shop.execute("INSERT INTO orders VALUES (1000, 1, 1, 100, 'late')")
        ((before,),) = shop.query("SELECT pg_current_wal_lsn()::text")
        db.sync.wait(timeout=30)
        big = job(db, "shop.big")
        assert (big.persistence, big.mode, big.state, big.phase) == ("realtime", "stream", "running", "pull")
        assert big.rows == 21
        assert big.slot_id == slots(shop)[0][0]
        assert big.last_seen_commit is not None
        assert LSN(0) < LSN.parse(big.last_seen_commit) <= LSN.parse(before)
        assert big.lag_bytes is not None
        assert big.lag_bytes >= 0
        assert (big.retry_count, big.last_error, big.next_retry_at) == (0, None, None)
        assert big.updated_at is not None
        assert big.last_success_at is not None
        assert job(db, "shop.products").state == "synced"
        assert job(db, "shop.products").rows == 10
        rows = db.execute("SELECT relation_id, state, last_seen_commit, slot_id FROM flashql.sync_jobs ORDER BY 1")
        assert rows.fetchall() == [
            (one.relation_id, one.state, one.last_seen_commit, one.slot_id) for one in db.sync.status()
        ]


def test_a_closed_database_says_that_nothing_runs(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert {one.state for one in db.sync.status("shop.o*")} == {"idle"}
        assert job(db, "shop.products").state == "synced"
        assert job(db, "shop.orders").last_seen_commit is not None
        same_rows(shop, db, ORDERS, LOCAL_ORDERS)


# -- stop and resume


def test_a_stopped_view_keeps_its_rows_while_others_share_its_copy(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        before = db.execute(LOCAL_BIG).fetchall()
        db.sync.stop("shop.big")
        stopped = job(db, "shop.big")
        assert (stopped.enabled, stopped.state, stopped.phase) == (False, "idle", None)
        shop.execute("UPDATE orders SET amount = 1000")
        db.sync.wait("shop.orders", timeout=30)
        same_rows(shop, db, ORDERS, LOCAL_ORDERS)
        assert sorted(db.execute(LOCAL_BIG).fetchall()) == sorted(before)
        assert job(db, "shop.big").last_seen_commit == stopped.last_seen_commit
        assert db.sync.sync().realtime == ("shop.orders",)
        assert sorted(db.execute(LOCAL_BIG).fetchall()) == sorted(before)
        report = db.sync.resume("shop.big")
        assert report.realtime == ("shop.big",)
        db.sync.wait(timeout=30)
        same_rows(shop, db, BIG, LOCAL_BIG)
        resumed = job(db, "shop.big")
        assert (resumed.enabled, resumed.state) == (True, "running")


def test_while_all_are_stopped_the_slot_waits_and_resume_goes_on(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        copies = copy_ids(db)
        before = db.execute(LOCAL_ORDERS).fetchall()
        db.sync.stop()
        until(lambda: slots(shop)[0][1] is False, "the walsender ends")
        shop.execute("UPDATE orders SET note = repeat('x', 1000)")
        assert sorted(db.execute(LOCAL_ORDERS).fetchall()) == sorted(before)
        waiting = job(db, "shop.orders")
        assert waiting.lag_bytes is not None
        assert waiting.retained_bytes is not None
        assert 100_000 < waiting.lag_bytes <= waiting.retained_bytes
        assert db.sync.sync().realtime == ()
        db.sync.resume()
        db.sync.wait(timeout=30)
        same_rows(shop, db, ORDERS, LOCAL_ORDERS)
        assert copy_ids(db) == copies, "nothing was copied again"


def test_stopped_views_stay_stopped_in_the_next_process(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        db.sync.stop("shop.orders")
    shop.execute("UPDATE orders SET amount = 1000")
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert db.sync.sync().realtime == ("shop.big",)
        db.sync.wait("shop.big", timeout=30)
        same_rows(shop, db, BIG, LOCAL_BIG)
        assert db.execute("SELECT count(*) FROM shop.orders WHERE amount = 1000").fetchall() == [(0,)]
        db.sync.resume("shop.orders")
        db.sync.wait(timeout=30)
        same_rows(shop, db, ORDERS, LOCAL_ORDERS)


def test_stopped_without_disabling_the_next_sync_starts_it(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        db.sync.stop("shop.big", disable=False)
        halted = job(db, "shop.big")
        assert (halted.enabled, halted.state) == (True, "idle")
        shop.execute("UPDATE orders SET amount = 1000")
        db.sync.wait("shop.orders", timeout=30)
        assert db.execute("SELECT count(*) FROM shop.big").fetchall() == [(20,)]
        with pytest.raises(errors.OriginError, match="not running"):
            db.sync.wait("shop.big", timeout=30)
        assert db.sync.sync().realtime == ("shop.big", "shop.orders")
        db.sync.wait(timeout=30)
        same_rows(shop, db, BIG, LOCAL_BIG)


def test_a_stopped_materialized_view_is_left_alone(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync("shop.products")
        db.sync.stop("shop.products")
        shop.execute("DELETE FROM products")
        assert db.sync.sync(force=True).materialized == ()
        assert job(db, "shop.products").rows == 10
        assert db.sync.resume("shop.products").materialized == ()
        assert db.sync.sync("shop.products", force=True).materialized == ("shop.products",)
        assert job(db, "shop.products").rows == 0


# -- forget


def test_forget_gives_everything_back_and_keeps_the_copy(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        before = db.execute(LOCAL_ORDERS).fetchall()
        db.sync.forget("shop.*")
        assert slots(shop) == []
        assert publications(shop) == {}
        assert db.execute("SELECT * FROM flashql.sync_jobs").fetchall() == []
        shop.execute("DELETE FROM orders")
        assert sorted(db.execute(LOCAL_ORDERS).fetchall()) == sorted(before)
        assert db.execute("SELECT count(*) FROM shop.products").fetchall() == [(10,)]
        assert job(db, "shop.orders").state == "idle"
        db.sync.sync()
        assert db.execute("SELECT count(*) FROM shop.orders").fetchall() == [(0,)]


def test_forgetting_one_view_leaves_the_others_running(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        db.sync.forget("shop.big")
        assert [active for _, active in slots(shop)] == [True]
        shop.execute("UPDATE orders SET amount = 1000")
        db.sync.wait("shop.orders", timeout=30)
        same_rows(shop, db, ORDERS, LOCAL_ORDERS)
        assert db.execute("SELECT count(*) FROM shop.big").fetchall() == [(20,)]
        with pytest.raises(errors.UnknownName):
            db.sync.forget("shop.bigger")


# -- wait


def test_wait_reads_ones_own_writes(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        for number in range(30):
            shop.execute(f"INSERT INTO orders VALUES ({2000 + number}, 1, 1, 50, 'w')")
            db.sync.wait(timeout=30)
            assert db.execute("SELECT count(*) FROM shop.big WHERE id >= 2000").fetchall() == [(number + 1,)]


def test_wait_times_out(shop: Origin, proxy: Proxy) -> None:
    with flashql.connect(origins={"primary": proxy.dsn}) as db:
        db.execute("CREATE REALTIME VIEW o WITH (replication_origin = 'primary') AS SELECT * FROM orders")
        db.sync.sync()
        # A lock on the copy's table would do; a writer that never commits is simplest: nothing can pass it locally.
        with db.store.transaction():
            shop.execute("INSERT INTO orders VALUES (5000, 1, 1, 1, 'late')")
            with pytest.raises(TimeoutError, match=r"main\.o did not reach"):
                db.sync.wait("o", timeout=0.2)
        db.sync.wait("o", timeout=30)
        assert db.execute("SELECT note FROM o WHERE id = 5000").fetchall() == [("late",)]


def test_wait_for_what_does_not_run_raises(shop: Origin) -> None:
    with open_shop(shop) as db:
        with pytest.raises(errors.OriginError, match="not running") as never:
            db.sync.wait("shop.orders", timeout=30)
        assert "db.sync.sync()" in str(never.value)
        db.sync.sync()
        db.sync.stop("shop.big")
        with pytest.raises(errors.OriginError, match=r"shop\.big is not running"):
            db.sync.wait(timeout=30)
        db.sync.wait("shop.products", timeout=30)


# -- coalescing and threads


def _waiting_for_the_pass() -> int:
    """How many threads stand where a call waits for the pass that runs."""
    lines, first = inspect.getsourcelines(Passes.join)
    at = first + next(number for number, line in enumerate(lines) if "with self._running" in line)
    frames = sys._current_frames().values()
    return sum(frame.f_code is Passes.join.__code__ and frame.f_lineno == at for frame in frames)


def test_a_storm_of_calls_costs_one_extra_pass(shop: Origin) -> None:
    """A pass is held up by a lock at the origin while a thousand threads call."""
    shop.execute("CREATE SEQUENCE passes")
    storm = 1000
    with open_shop(shop) as db, shop.connect() as blocker, ThreadPoolExecutor(storm + 1) as pool:
        db.execute(
            "CREATE MATERIALIZED VIEW shop.counted AS SELECT nextval('passes') AS n, count(*) AS m FROM products"
        )
        db.sync.sync("shop.counted")
        blocker.execute("BEGIN; LOCK TABLE products")
        first = pool.submit(db.sync.sync, "shop.counted", force=True)
        until(lambda: job(db, "shop.counted").phase == "clone", "the first pass is under way")
        calls = [pool.submit(db.sync.sync, "shop.counted", force=True) for _ in range(storm)]
        until(lambda: _waiting_for_the_pass() == storm, "all calls wait", timeout_seconds=120)
        blocker.execute("COMMIT")
        assert first.result().materialized == ("shop.counted",)
        assert {one.result().materialized for one in calls} == {("shop.counted",)}
        # One before the storm, the one that was under way, and one for all the thousand.
        assert shop.query("SELECT last_value FROM passes") == [(3,)]


def test_calls_from_many_threads_all_get_their_views(shop: Origin, database_path: str) -> None:
    selectors = ["*", "shop.orders", "shop.big", "shop.products", "shop.*", {"shop": ["b*", "products"]}]
    with open_shop(shop, database_path) as db, ThreadPoolExecutor(50) as pool:
        barrier = threading.Barrier(50)

        def call(number: int) -> bool:
            barrier.wait()
            return all(db.sync.sync(selectors[(number + turn) % len(selectors)]) for turn in range(20))

        assert all(pool.map(call, range(50)))
        assert len(slots(shop)) == 1
        assert len(copy_ids(db)) == 1
        same_rows(shop, db, ORDERS, LOCAL_ORDERS)


def test_overlapping_calls_merge_their_selectors(shop: Origin) -> None:
    with open_shop(shop) as db, shop.connect() as blocker, ThreadPoolExecutor(3) as pool:
        blocker.execute("BEGIN; LOCK TABLE products")
        first = pool.submit(db.sync.sync, "shop.products")
        until(lambda: job(db, "shop.products").phase == "clone", "the first pass is under way")
        second = pool.submit(db.sync.sync, "shop.orders")
        third = pool.submit(db.sync.sync, "shop.big")
        blocker.execute("COMMIT")
        assert first.result().materialized == ("shop.products",)
        assert second.result().realtime == ("shop.orders",)
        assert third.result().realtime == ("shop.big",)


def test_control_may_come_from_any_thread_at_once(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db, ThreadPoolExecutor(4) as pool:
        db.sync.sync()

        def flap(name: str) -> None:
            for _ in range(5):
                db.sync.stop(name)
                db.sync.resume(name)

        for done in [pool.submit(flap, name) for name in ("shop.orders", "shop.big", "shop.orders", "shop.big")]:
            done.result()
        shop.execute("UPDATE orders SET amount = amount + 100")
        db.sync.resume()
        db.sync.wait(timeout=30)
        same_rows(shop, db, ORDERS, LOCAL_ORDERS)
        same_rows(shop, db, BIG, LOCAL_BIG)


def test_after_close_every_verb_says_so(shop: Origin) -> None:
    db = open_shop(shop)
    db.sync.sync()
    db.close()
    for call in (db.sync.sync, db.sync.status, db.sync.stop, db.sync.resume, db.sync.wait):
        with pytest.raises(errors.DatabaseError, match="closed"):
            call()
    with pytest.raises(errors.DatabaseError, match="closed"):
        db.execute("SELECT 1")
    db.close()
