"""refresh_every: when a view is due, and that it is refreshed while the process runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import flashql
from flashql.catalog import Persistence, View
from flashql.scheduling import due_in_seconds
from flashql.store.jobs import JobStatus, blank
from tests.fix_postgres import Origin
from tests.fix_shop import job, make_shop, until

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
VIEW = View("shop", "v", Persistence.MATERIALIZED, "primary", "SELECT 1", (), {"refresh_every": "5 minutes"})
JOB = replace(blank(VIEW), state="synced", last_success_at=NOW, updated_at=NOW)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("view", "status", "expected"),
    [
        (VIEW, JOB, 300.0),
        (VIEW, replace(JOB, last_success_at=ago(100)), 200.0),
        (VIEW, replace(JOB, last_success_at=ago(1000)), 0.0),
        (VIEW, replace(JOB, state="failed", last_success_at=ago(1000), updated_at=ago(10)), 290.0),
        (VIEW, replace(JOB, state="failed", last_success_at=None, updated_at=ago(10)), 290.0),
        (VIEW, replace(JOB, last_success_at=None), None),
        (VIEW, replace(JOB, enabled=False), None),
        (replace(VIEW, options={}), JOB, None),
        (replace(VIEW, persistence=Persistence.ORIGIN), JOB, None),
    ],
)
def test_when_a_view_is_due(view: View, status: JobStatus, expected: float | None) -> None:
    assert due_in_seconds(view, status, NOW) == expected


def test_a_view_is_refreshed_on_time_and_again(origin: Origin) -> None:
    make_shop(origin)
    origin.execute("CREATE SEQUENCE turns")
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        db.execute("""
            CREATE MATERIALIZED VIEW v WITH (replication_origin = 'primary', refresh_every = '200 ms') AS
                SELECT nextval('turns') AS turn;
            CREATE MATERIALIZED VIEW fixed WITH (replication_origin = 'primary') AS SELECT nextval('turns') AS turn
        """)
        assert origin.query("SELECT is_called FROM turns") == [(False,)], "not before the first sync"
        db.sync.sync("v")
        until(lambda: db.execute("SELECT turn >= 3 FROM v").fetchall() == [(True,)], "two refreshes by themselves")
        db.sync.stop("v")
        assert db.sync.status("fixed")[0].state == "idle"
        db.execute("ALTER VIEW v SET (refresh_every = '1 hour')")
        resumed = db.sync.resume("v")
        assert resumed.failed == {}


def test_a_failing_refresh_is_tried_again_at_the_next_interval(origin: Origin) -> None:
    make_shop(origin)
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        db.execute("""
            CREATE MATERIALIZED VIEW v WITH (replication_origin = 'primary', refresh_every = '200 ms') AS
                SELECT 100 / id AS x FROM products
        """)
        assert db.sync.sync("v").failed == {}
        origin.execute("INSERT INTO products VALUES (0, 'zero', 0)")
        until(lambda: job(db, "v").retry_count >= 2, "it fails, twice")
        assert job(db, "v").state == "failed"
        assert db.execute("SELECT count(*) FROM v").fetchall() == [(10,)]
        origin.execute("DELETE FROM products WHERE id < 2")
        until(lambda: job(db, "v").rows == 9, "it comes back by itself")
        assert job(db, "v").state == "synced"
