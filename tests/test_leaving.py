"""Views whose queries fail: each fails alone, says why, keeps its rows, and follows again when it can."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

import flashql
from flashql import keeping, leaving, maintenance, session, stepping
from flashql.database import Database
from tests.fix_postgres import Origin
from tests.multisets import differing
from tests.views.scenario import connected

TABLES = "CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 2), (2, 5)"
VIEWS = {
    "quotient": "SELECT k, 10 / v AS q FROM t WHERE v IS NOT NULL ORDER BY k LIMIT 100",
    "total": "SELECT count(*) AS n, sum(v) AS s FROM t",
    "plain": "SELECT k, v FROM t",
}


def opened(origin: Origin, path: str) -> Database:
    """Realtime views over a table with two rows, which follow."""
    origin.execute(TABLES)
    db = flashql.connect(path, origins={"primary": origin.dsn})
    db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary'); CREATE SCHEMA l")
    for name, query in VIEWS.items():
        db.execute(f"CREATE REALTIME VIEW s.{name} AS {query}")
    assert not (report := db.sync.sync()).failed, report
    return db


def require_equal(origin: Origin, db: Database, *names: str) -> None:
    """Assert that these views have the rows of their queries, now."""
    db.sync.wait([f"s.{name}" for name in names], timeout=30)
    with connected(origin) as oracle:
        for name in names:
            difference = differing(oracle, db, VIEWS[name], f"SELECT * FROM s.{name}")
            assert difference is None, (name, difference)


def job(db: Database, name: str) -> flashql.JobStatus:
    """The status of a view."""
    (found,) = db.sync.status(name)
    return found


def until(condition: Callable[[], bool], db: Database) -> None:
    """Wait for a condition, which each batch may make true."""
    for _ in range(300):
        if condition():
            return
        db.sync.wait("s.plain", timeout=30)
        threading.Event().wait(0.1)
    raise AssertionError("it did not come true")


def test_a_view_whose_query_fails_fails_alone_and_follows_again(
    origin: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(origin, database_path) as db:
        origin.execute("INSERT INTO t VALUES (3, 0)")
        require_equal(origin, db, "total", "plain")
        assert job(db, "s.quotient").state == "failed"
        assert "division by zero" in str(job(db, "s.quotient").last_error)
        assert db.execute("SELECT * FROM s.quotient ORDER BY k").fetchall() == [(1, 5), (2, 2)]
        origin.execute("UPDATE t SET v = 1 WHERE k = 3")
        require_equal(origin, db, "total", "plain")
        assert not db.sync.sync().failed, "sync() tries at once"
        require_equal(origin, db, *VIEWS)
        assert job(db, "s.quotient").last_error is None
        monkeypatch.setattr(leaving, "_SECONDS", 0.5)
        monkeypatch.setattr(session, "_RECONCILE_SECONDS", 1.0)
        origin.execute("UPDATE t SET v = 0 WHERE k = 3")
        until(lambda: job(db, "s.quotient").state == "failed", db)
        origin.execute("UPDATE t SET v = 10 WHERE k = 3")
        until(lambda: job(db, "s.quotient").state == "running", db)
        require_equal(origin, db, *VIEWS)


def test_many_views_that_fail_at_once_fail_each_for_its_own_reason(origin: Origin, database_path: str) -> None:
    with opened(origin, database_path) as db:
        for at in range(12):
            db.execute(
                f"CREATE REALTIME VIEW s.v{at} AS SELECT max({at + 1} / (v - 9)) AS q FROM t GROUP BY k % {at + 2}"
            )
        assert not db.sync.sync().failed
        origin.execute("INSERT INTO t VALUES (3, 9)")
        db.sync.wait(["s.total", "s.plain"], timeout=5)  # no pauses of a retry policy between them
        require_equal(origin, db, *VIEWS)
        for at in range(12):
            assert job(db, f"s.v{at}").state == "failed"
            assert str(job(db, f"s.v{at}").last_error).startswith(f"s.v{at} cannot be computed")
        assert {one.state for one in db.sync.status(["s.plain", "s.total", "s.quotient"])} == {"running"}
        with pytest.raises(TimeoutError, match=r"s\.v3 did not reach .*; s\.v3 cannot be computed: .*division by zero"):
            db.sync.wait("s.v3", timeout=0.2)


def _raising(*_: Any, **__: Any) -> Any:
    raise AttributeError("a fault")


@pytest.mark.parametrize(("module", "name"), [("keeping", "split"), ("stepping", "delta_sql")])
def test_a_fault_of_the_planner_costs_time_and_is_logged(
    module: str, name: str, origin: Origin, database_path: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(keeping, "_faulty", set())
    monkeypatch.setattr(f"flashql.{module}.{name}", _raising)
    with opened(origin, database_path) as db, caplog.at_level(logging.WARNING, "flashql"):
        origin.execute("INSERT INTO t VALUES (3, 4); UPDATE t SET v = 7 WHERE k = 1")
        require_equal(origin, db, *VIEWS)
        assert {one.state for one in db.sync.status("s.*")} == {"running"}
    assert "AttributeError('a fault')" in caplog.text


def _unbound(tree: object, prefix: str, schema: str, describe: Callable[[str], object]) -> None:
    describe("SELECT nothing FROM nowhere")


def test_a_plan_that_is_no_sql_costs_time(origin: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB 2 ends the transaction in which it is tried: then the view is kept from the next try on."""
    monkeypatch.setattr(keeping, "_faulty", set())
    monkeypatch.setattr(keeping, "split", _unbound)
    origin.execute(TABLES)
    with flashql.connect(database_path, origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        for name, query in VIEWS.items():
            db.execute(f"CREATE REALTIME VIEW s.{name} AS {query}")
        db.sync.sync()
        assert not (report := db.sync.sync()).failed, report
        origin.execute("INSERT INTO t VALUES (3, 4); UPDATE t SET v = 7 WHERE k = 1")
        require_equal(origin, db, *VIEWS)


def test_a_fault_of_maintenance_breaks_its_view_alone(
    origin: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(origin, database_path) as db:
        with monkeypatch.context() as patched:
            patched.setattr(stepping, "merge", _raising)
            origin.execute("INSERT INTO t VALUES (3, 4)")
            require_equal(origin, db, "quotient", "plain")
            assert "a fault of FlashQL's" in str(job(db, "s.total").last_error)
        assert not db.sync.sync().failed
        require_equal(origin, db, *VIEWS)


LOCAL = {
    "bad": "SELECT CASE WHEN v = 0 THEN error('it is zero') ELSE 10 // v END AS q FROM l.t",
    "good": "SELECT count(*) AS n FROM l.t",
}


def test_a_local_transaction_is_kept_whatever_becomes_of_views_over_it(database_path: str) -> None:
    with flashql.connect(database_path) as db:
        db.execute("CREATE SCHEMA l; CREATE TABLE l.t (v INTEGER); INSERT INTO l.t VALUES (5)")
        for name, query in LOCAL.items():
            db.execute(f"CREATE REALTIME VIEW l.{name} AS {query}")
        db.execute("CREATE REALTIME VIEW l.worse AS SELECT error('worse') AS e FROM l.t WHERE v = 0")
        assert not db.sync.sync().failed
        db.execute("BEGIN")
        db.execute("INSERT INTO l.t VALUES (0)")
        db.execute("COMMIT")
        assert db.execute("SELECT count(*) FROM l.t").fetchall() == [(2,)]
        assert db.execute("FROM l.good").fetchall() == [(2,)]
        assert db.execute("FROM l.bad").fetchall() == [(2,)], "it keeps its rows"
        assert "it is zero" in str(job(db, "l.bad").last_error)
        assert "worse" in str(job(db, "l.worse").last_error)
        db.execute("CREATE REALTIME VIEW l.later AS SELECT v FROM l.t")
        assert set(db.sync.sync().failed) == {"l.bad", "l.worse"}
        db.execute("UPDATE l.t SET v = 2 WHERE v = 0")
        assert sorted(db.execute("FROM l.bad").fetchall()) == [(2,), (5,)], "it follows again at once"
        assert {one.state for one in db.sync.status("l.*")} == {"running"}


def test_a_failing_view_is_no_failure_of_what_it_reads(origin: Origin, database_path: str) -> None:
    with opened(origin, database_path) as db:
        db.execute("CREATE MATERIALIZED VIEW s.m AS SELECT k, v FROM t")
        db.execute("CREATE REALTIME VIEW l.bad AS SELECT CASE WHEN v = 0 THEN error('it is zero') END AS e FROM s.m")
        db.execute("CREATE REALTIME VIEW l.good AS SELECT count(*) AS n FROM s.m")
        assert not db.sync.sync().failed
        origin.execute("INSERT INTO t VALUES (3, 0)")
        db.execute("REFRESH VIEW s.m")
        assert job(db, "s.m").state == "synced"
        assert db.execute("FROM l.good").fetchall() == [(3,)]
        assert "it is zero" in str(job(db, "l.bad").last_error)
        origin.execute("DELETE FROM t WHERE k = 3")
        db.execute("REFRESH VIEW s.m")
        assert job(db, "l.bad").state == "running"
        with db.store.transaction():
            assert maintenance.Maintenance.of(db.store).programs()


def test_what_local_names_mean_may_change(database_path: str) -> None:
    with flashql.connect(database_path) as db:
        db.execute("CREATE SCHEMA l; CREATE TABLE l.t (v INTEGER); CREATE TABLE l.u (v INTEGER)")
        db.execute("INSERT INTO l.t VALUES (1); INSERT INTO l.u VALUES (2)")
        db.execute("CREATE VIEW l.plain AS SELECT v FROM l.t")
        db.execute("CREATE VIEW l.over AS SELECT v FROM l.plain")
        db.execute("CREATE REALTIME VIEW l.kept AS SELECT v, count(*) AS n FROM l.over GROUP BY v")
        db.execute("CREATE REALTIME VIEW l.second AS SELECT sum(v) AS s FROM l.kept")
        assert not db.sync.sync().failed
        db.execute("CREATE OR REPLACE VIEW l.plain AS SELECT v + 10 AS v FROM l.t")
        assert db.execute("FROM l.kept").fetchall() == [(11, 1)]
        db.execute("BEGIN; CREATE OR REPLACE VIEW l.plain AS SELECT v FROM l.u; INSERT INTO l.u VALUES (2); COMMIT")
        assert db.execute("FROM l.kept").fetchall() == [(2, 2)]
        db.execute("INSERT INTO l.u VALUES (3); INSERT INTO l.t VALUES (4)")
        assert db.execute("FROM l.kept ORDER BY v").fetchall() == [(2, 2), (3, 1)]
        assert db.execute("FROM l.second").fetchall() == [(5,)]
        db.execute("CREATE OR REPLACE VIEW l.plain AS SELECT 'text' AS v FROM l.u")
        assert "other columns now" in str(job(db, "l.kept").last_error)
        db.execute("DROP VIEW l.plain")
        assert "cannot be run" in str(job(db, "l.kept").last_error)
        assert db.execute("FROM l.kept ORDER BY v").fetchall() == [(2, 2), (3, 1)], "it keeps its rows"
        db.execute("CREATE VIEW l.plain AS SELECT v FROM l.t")
        assert job(db, "l.kept").state == "running"
        assert db.execute("FROM l.second").fetchall() == [(5,)]
    with duckdb.connect(database_path) as other:
        other.execute("CREATE OR REPLACE VIEW l.plain AS SELECT v * 2 AS v FROM l.t WHERE v > 1")
    with flashql.connect(database_path) as db:
        assert db.execute("FROM l.kept").fetchall() == [(8, 1)]
