"""Views with parameters and subscriptions to them: the union of their queries over the sets that are subscribed."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import flashql
from flashql import PostgresOrigin, RetryPolicy, errors
from flashql.cli import main
from flashql.copying import Copied, CopyPass
from flashql.database import Database
from flashql.moved import Change
from flashql.quoting import literal
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_shop import until

TABLES = """
CREATE TABLE issues (id int PRIMARY KEY, title text);
CREATE TABLE comments (id int PRIMARY KEY, issue_id int, day date, body text);
INSERT INTO issues SELECT g, 'issue ' || g FROM generate_series(1, 20) AS g;
INSERT INTO comments SELECT g, g % 20 + 1, date '2024-01-01' + g, 'body ' || g FROM generate_series(1, 200) AS g;
"""
VIEW = """
CREATE REALTIME VIEW s.by_issue(issue BIGINT) AS SELECT * FROM comments WHERE issue_id = issue
"""


@pytest.fixture
def followed(origin: Origin, tmp_path: Path) -> Iterator[Database]:
    """A database whose schema `s` is at the origin, with the tables; no view yet."""
    origin.execute(TABLES)
    with flashql.connect(str(tmp_path / "local.duckdb"), origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        yield db


def test_a_view_has_the_rows_of_its_subscriptions(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    assert followed.sync.sync()
    assert followed.execute("SELECT * FROM s.by_issue").fetchall() == []
    with followed.sync.subscribe("s.by_issue", {"issue": 3}) as handle:
        handle.wait(30)
        assert handle.has_synced
        same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id = 3", "SELECT * FROM s.by_issue")
        origin.execute("UPDATE comments SET issue_id = 3 WHERE id < 10; DELETE FROM comments WHERE id IN (22, 42)")
        origin.execute(
            "UPDATE comments SET issue_id = 4 WHERE id = 62; INSERT INTO comments VALUES (1000, 3), (1001, 5)"
        )
        followed.sync.wait(timeout=30)
        same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id = 3", "SELECT * FROM s.by_issue")
        other = followed.sync.subscribe("s.by_issue", {"issue": "5"})
        other.wait(30)
        same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id IN (3, 5)", "SELECT * FROM s.by_issue")
        assert all(report.equal for report in followed.sync.verify())
        handle.unsubscribe()
        followed.sync.sync()
        followed.sync.wait(timeout=30)
        same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id IN (5)", "SELECT * FROM s.by_issue")


def test_values_are_normalised_and_checked(followed: Database) -> None:
    followed.execute(VIEW)
    first = followed.sync.subscribe("s.by_issue", {"issue": 3})
    assert followed.sync.subscribe("s.by_issue", {"issue": " 03 "}).parameters == first.parameters == {"issue": 3}
    assert len(followed.sync.subscriptions()) == 1
    for wrong in ({}, {"issue": "x"}, {"issue": 2**63}, {"issue": True}, {"issue": 1.5}, {"issue": 1, "day": 2}):
        with pytest.raises(errors.DefinitionError):
            followed.sync.subscribe("s.by_issue", wrong)
    with pytest.raises(errors.DefinitionError):
        followed.sync.subscribe("s.by_issue", {"issue": 1}, priority=-1)
    with pytest.raises(errors.DefinitionError):
        followed.sync.subscribe("s.by_issue", {"issue": 1}, ttl="0 s")
    with pytest.raises(errors.UnknownName):
        followed.sync.subscribe("s.other", {"issue": 1})
    followed.execute("CREATE REALTIME VIEW s.plain AS SELECT * FROM issues")
    with pytest.raises(errors.DefinitionError):
        followed.sync.subscribe("s.plain")


@pytest.mark.parametrize(
    ("type_", "given", "shown"),
    [
        ("numeric(6,2)", "1.005", "1.01"),
        ("numeric(20,4)", Decimal("1.500"), "1.5"),
        ("text", "it's", "it's"),
        ("boolean", True, "t"),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("date", date(2024, 2, 29), "2024-02-29"),
        ("timestamp", datetime(2024, 2, 29, 1, 2, 3, 120000), "2024-02-29 01:02:03.12"),
        ("timestamptz", "2024-02-29T01:02:03+02:00", "2024-02-28 23:02:03+00"),
        ("smallint", 7, 7),
    ],
)
def test_values_of_every_type_select_the_rows_that_postgres_selects(
    origin: Origin, followed: Database, type_: str, given: object, shown: object
) -> None:
    origin.execute(f"CREATE TABLE things (id int PRIMARY KEY, value {type_})")
    origin.execute(f"INSERT INTO things VALUES (1, {literal(str(given))}::{type_}), (2, NULL)")
    followed.execute(f"CREATE REALTIME VIEW s.things(wanted {type_}) AS SELECT * FROM things WHERE value = wanted")
    followed.sync.sync()
    handle = followed.sync.subscribe("s.things", {"wanted": given})
    none = followed.sync.subscribe("s.things", {"wanted": None})
    assert handle.parameters == {"wanted": shown}
    handle.wait(30)
    none.wait(30)
    origin.execute(f"INSERT INTO things SELECT 3, {literal(str(given))}::{type_} UNION ALL SELECT 4, NULL")
    followed.sync.wait(timeout=30)
    assert followed.execute("SELECT id FROM s.things ORDER BY id").fetchall() == [(1,), (3,)]
    assert all(report.equal for report in followed.sync.verify())


REFUSED = {
    "(a int) AS SELECT * FROM comments": "not used",
    "(a int) AS SELECT a FROM comments WHERE issue_id = a": "elsewhere",
    "(a int) AS SELECT * FROM comments WHERE issue_id = a OR id = 1": "parentheses",
    "(a int) AS SELECT * FROM comments WHERE issue_id + 1 = a": "cannot have",
    "(a int) AS SELECT * FROM comments WHERE issue_id = -a": "cannot have",
    "(a int) AS SELECT * FROM comments WHERE issue_id IN (SELECT id FROM issues WHERE id = a)": "cannot have",
    "(a int) AS SELECT * FROM comments WHERE issue_id = a LIMIT 3": "LIMIT",
    "(a int) AS SELECT DISTINCT ON (day) * FROM comments WHERE issue_id = a": "DISTINCT ON",
    "(a int) AS SELECT id, rank() OVER (ORDER BY id) AS r FROM comments WHERE issue_id = a": "window",
    "(a int) AS SELECT count(*) AS n FROM comments WHERE issue_id = a": "GROUP BY",
    "(a int) AS SELECT stddev(issue_id) AS n FROM comments WHERE issue_id = a": "GROUP BY",
    "(a int) AS SELECT 1 AS n FROM comments WHERE issue_id = a HAVING true": "GROUP BY",
    "(a int) AS SELECT day, count(*) AS n FROM comments WHERE issue_id = a GROUP BY day": "GROUP BY",
    "(a int) AS SELECT issue_id, count(*) AS n FROM comments WHERE issue_id >= a GROUP BY issue_id": "GROUP BY",
    "(a int) AS SELECT c.id FROM comments c, comments d WHERE c.issue_id = a AND d.id = c.id": "more than once",
    "(a int) AS SELECT c.id FROM issues i LEFT JOIN comments c ON c.issue_id = i.id WHERE c.issue_id = a": "outer join",
    "(a int, b int) AS SELECT c.id FROM issues i JOIN comments c ON true WHERE issue_id = a AND i.id = b": "one table",
    "(a int) AS SELECT id FROM comments WHERE issue_id = a UNION SELECT id FROM issues": "UNION",
    "(day date) AS SELECT id FROM comments WHERE day = day": "name of a column",
    "(a point) AS SELECT id FROM comments WHERE issue_id = a": "cannot be point",
    "(a text) AS SELECT id FROM comments WHERE issue_id = a": "integer = text",
    "(a int) AS SELECT c.id FROM issues i JOIN comments c ON true WHERE id = a": "ambiguous",
    "(a int DEFAULT 'x') AS SELECT id FROM comments WHERE issue_id = a": "is not",
}


@pytest.mark.parametrize("view", REFUSED, ids=list(REFUSED.values()))
def test_what_a_union_of_queries_would_not_be_is_refused(origin: Origin, followed: Database, view: str) -> None:
    del origin
    with pytest.raises(errors.FlashQLError, match=REFUSED[view]):
        followed.execute(f"CREATE REALTIME VIEW s.refused{view}")
    assert followed.views == {}


def test_a_parameter_compared_by_the_order_of_an_enum_is_refused(origin: Origin, followed: Database) -> None:
    """A label that is not known would stop the table's stream, not the view alone."""
    origin.execute("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE felt (id int PRIMARY KEY, m mood)")
    with pytest.raises(errors.NotSupported, match="the order of an enum"):
        followed.execute(
            "CREATE REALTIME VIEW s.felt(a int) AS SELECT * FROM felt WHERE id = a AND (m < 'ok' OR id > a)"
        )
    assert followed.views == {}


def test_options_of_parameters_are_checked_when_altered(followed: Database) -> None:
    followed.execute(VIEW)
    with pytest.raises(errors.DefinitionError):
        followed.execute("ALTER VIEW s.by_issue SET (default_subscription = true)")
    with pytest.raises(errors.DefinitionError):
        followed.execute("ALTER VIEW s.by_issue SET (persistence = materialized)")
    followed.execute("ALTER VIEW s.by_issue SET (priority = 1)")
    followed.execute("ALTER VIEW s.by_issue SET (numeric = text)")
    followed.sync.sync()
    followed.sync.subscribe("s.by_issue", {"issue": 3}).wait(30)


def test_a_default_subscription_needs_nobody(origin: Origin, followed: Database) -> None:
    followed.execute(
        "CREATE REALTIME VIEW s.recent(issue int DEFAULT 3, since date DEFAULT '2024-03-01') AS SELECT * FROM comments "
        "WHERE issue_id = issue AND day >= since WITH (default_subscription = true)"
    )
    assert followed.sync.sync()
    query = "SELECT * FROM comments WHERE issue_id = 3 AND day >= '2024-03-01'"
    same_rows(origin, followed, query, "SELECT * FROM s.recent")
    (row,) = followed.sync.subscriptions()
    assert (row.is_default, row.explicit, row.has_synced) == (True, False, True)
    handle = followed.sync.subscribe("s.recent", priority=0)
    assert [one.key for one in followed.sync.subscriptions()] == [row.key]
    handle.unsubscribe()
    (row,) = followed.sync.subscriptions()
    assert row.is_default and not row.explicit
    followed.execute("ALTER VIEW s.recent SET (default_subscription = false)")
    followed.sync.sync()
    until(lambda: followed.execute("SELECT * FROM s.recent").fetchall() == [], "its rows left")
    assert followed.sync.subscriptions() == []


def test_subscriptions_outlive_the_process(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    followed.sync.sync()
    followed.sync.subscribe("s.by_issue", {"issue": 3}).wait(30)
    path = followed.store.path
    (before,) = followed.sync.subscriptions()
    followed.close()
    origin.execute("UPDATE comments SET issue_id = 3 WHERE id = 11; DELETE FROM comments WHERE id = 2")
    with flashql.connect(path, read_only=True) as db:
        assert db.sync.subscriptions()[0].has_synced
    with flashql.connect(path, origins={"primary": origin.dsn}) as db:
        assert db.sync.subscriptions()[0].last_synced_at == before.last_synced_at
        with pytest.raises(errors.OriginError, match="not running"):
            db.sync.subscribe("s.by_issue", {"issue": 4}).wait(10)
        assert db.sync.sync()
        db.sync.wait(timeout=30)
        same_rows(origin, db, "SELECT * FROM comments WHERE issue_id IN (3, 4)", "SELECT * FROM s.by_issue")


def test_a_subscription_ends_when_its_time_is_over(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    followed.sync.sync()
    kept = followed.sync.subscribe("s.by_issue", {"issue": 3}, ttl=0.5)
    gone = followed.sync.subscribe("s.by_issue", {"issue": 4}, ttl=timedelta(seconds=0.5))
    kept.wait(30)
    gone.wait(30)
    gone.close()
    until(lambda: len(followed.sync.subscriptions()) == 1, "the subscription without handle ended")
    rows = "SELECT * FROM s.by_issue"
    until(lambda: followed.execute("SELECT DISTINCT issue_id FROM s.by_issue").fetchall() == [(3,)], "its rows left")
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id = 3", rows)
    del kept
    until(lambda: not followed.sync.subscriptions(), "a handle that nobody holds keeps nothing")


def test_dropping_a_view_forgets_its_subscriptions(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    followed.sync.sync()
    handle = followed.sync.subscribe("s.by_issue", {"issue": 3})
    handle.wait(30)
    followed.execute(f"CREATE OR REPLACE {VIEW.strip()[7:]} AND id > 50")
    assert followed.sync.sync()
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id = 3 AND id > 50", "SELECT * FROM s.by_issue")
    followed.execute(
        "CREATE OR REPLACE REALTIME VIEW s.by_issue(number int) AS SELECT * FROM comments WHERE issue_id = number"
    )
    assert followed.sync.subscriptions() == []
    followed.sync.subscribe("s.by_issue", {"number": 5})
    followed.execute("DROP VIEW s.by_issue")
    assert followed.sync.subscriptions() == []
    with pytest.raises(errors.OriginError, match="any more"):
        handle.wait(10)
    assert origin.query("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'flashql%'") == [(0,)]
    assert followed.execute("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'flashql_data'").fetchall() == [
        (0,)
    ]


def test_stopped_views_keep_their_rows_and_go_on(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    followed.execute("CREATE REALTIME VIEW s.issues AS SELECT * FROM issues")
    followed.sync.sync()
    followed.sync.subscribe("s.by_issue", {"issue": 3}).wait(30)
    before = followed.execute("SELECT * FROM s.by_issue ORDER BY id").fetchall()
    followed.sync.stop("s.by_issue")
    origin.execute("UPDATE comments SET issue_id = 3 WHERE id < 20")
    later = followed.sync.subscribe("s.by_issue", {"issue": 4})
    followed.sync.wait("s.issues", timeout=30)
    assert followed.execute("SELECT * FROM s.by_issue ORDER BY id").fetchall() == before
    assert followed.sync.resume("s.by_issue")
    later.wait(30)
    followed.sync.wait(timeout=30)
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id IN (3, 4)", "SELECT * FROM s.by_issue")
    followed.sync.forget("s.by_issue")
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id IN (3, 4)", "SELECT * FROM s.by_issue")


def test_the_table_may_change_its_shape(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    followed.sync.sync()
    followed.sync.subscribe("s.by_issue", {"issue": 3}).wait(30)
    origin.execute("ALTER TABLE comments ALTER COLUMN body TYPE varchar(90)")
    origin.execute("INSERT INTO comments VALUES (2000, 3, now(), 'new')")
    followed.sync.sync()
    followed.sync.wait(timeout=30)
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id = 3", "SELECT * FROM s.by_issue")
    origin.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
    followed.execute("REFRESH VIEW s.by_issue")
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id = 3", "SELECT * FROM s.by_issue")


def test_a_value_that_needs_a_wider_column_comes_with_its_set(origin: Origin, followed: Database) -> None:
    origin.execute("CREATE TABLE prices (id int PRIMARY KEY, sort int, price numeric)")
    origin.execute("INSERT INTO prices VALUES (1, 1, 1.5), (2, 2, 'NaN'), (3, 3, 2.5)")
    followed.execute("CREATE REALTIME VIEW s.prices(wanted int) AS SELECT * FROM prices WHERE sort = wanted")
    followed.sync.sync()
    followed.sync.subscribe("s.prices", {"wanted": 1}).wait(30)
    followed.sync.subscribe("s.prices", {"wanted": 2}).wait(60)
    origin.execute("UPDATE prices SET sort = 1, price = 'NaN' WHERE id = 3")
    followed.sync.wait(timeout=60)
    assert sorted(followed.execute("SELECT id, price::VARCHAR FROM s.prices").fetchall()) == [
        (1, "1.5"),
        (2, "NaN"),
        (3, "NaN"),
    ]


def test_verify_repairs_only_what_is_subscribed(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    followed.sync.sync()
    followed.sync.subscribe("s.by_issue", {"issue": 3}).wait(30)
    (table,) = followed.execute("SELECT local_table FROM flashql.copies").fetchone() or ("",)
    followed.execute(f"UPDATE flashql_data.{table} SET body = 'wrong' WHERE id = 22")
    followed.execute(f"DELETE FROM flashql_data.{table} WHERE id = 42")
    followed.execute(f"INSERT INTO flashql_data.{table} VALUES (5000, 77, NULL, 'surplus')")
    (report,) = followed.sync.verify(repair=True)
    assert (report.equal, report.rows, report.differing_keys) == (False, 10, ((22,), (42,), (5000,)))
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id = 3", "SELECT * FROM s.by_issue")


def test_priorities_become_visible_in_order(origin: Origin, followed: Database) -> None:
    del origin
    followed.execute(VIEW + "WITH (priority = 5)")
    asked = [(issue, random.Random(issue).choice([None, 0, 1, 2, 7])) for issue in range(1, 21)]
    for issue, priority in asked:
        followed.sync.subscribe("s.by_issue", {"issue": issue}, priority=priority)
    seen: list[set[int]] = []

    def note(change: Change) -> None:
        seen.append({row["issue_id"] for row in change.inserted.to_pylist()})

    with followed.changes("s.by_issue", note):
        assert followed.sync.sync()
    urgent = [{issue for issue, priority in asked if (5 if priority is None else priority) == at} for at in range(8)]
    assert seen == [issues for issues in urgent if issues]
    rows = followed.execute("SELECT issue_id, count(*) FROM s.by_issue GROUP BY ALL ORDER BY 1").fetchall()
    assert rows == [(issue, 10) for issue in range(1, 21)]


def test_progress_is_told_while_rows_are_read(origin: Origin, followed: Database) -> None:
    origin.execute("INSERT INTO comments SELECT g, g % 2, NULL, '' FROM generate_series(1000, 30000) AS g; ANALYZE")
    followed.execute(VIEW)
    followed.sync.sync()
    told: list[tuple[str, int, int | None]] = []
    followed.sync.progress = lambda what, done, total: told.append((what, done, total))
    events_: list[flashql.events.SyncEvent] = []
    followed.sync.on("sync_applied", events_.append)
    followed.sync.on("progress", events_.append)
    handles = [followed.sync.subscribe("s.by_issue", {"issue": issue}) for issue in (0, 1)]
    for handle in handles:
        handle.wait(30)
        assert handle.progress is None
    until(lambda: any(isinstance(one, flashql.events.SyncApplied) for one in events_), "what came is told")
    until(lambda: any(isinstance(one, flashql.events.ProgressMade) for one in events_), "progress is told")
    assert {what for what, _, _ in told} == {"public.comments"}
    assert max(done for _, done, _ in told) > 10_000
    (applied, *_) = [one for one in events_ if isinstance(one, flashql.events.SyncApplied) and one.phase == "clone"]
    assert applied.view == "s.by_issue" and applied.rows > 10_000
    subjects = {one.subject for one in events_ if isinstance(one, flashql.events.ProgressMade)}
    assert "s.by_issue" in subjects
    assert all(total is not None and 10_000 < total < 40_000 for _, _, total in told)


def test_a_set_that_cannot_be_read_says_why_and_comes_later(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    followed.sync.sync()
    with patch.object(CopyPass, "_copied", lambda *given: Copied(given[2], errors.OriginQueryFailed("no"))):
        handle = followed.sync.subscribe("s.by_issue", {"issue": 3})
        with pytest.raises(TimeoutError, match="no"):
            handle.wait(1)
        assert followed.sync.subscriptions()[0].last_error == "no"
        assert not followed.sync.sync()
    handle.wait(30)
    assert followed.sync.subscriptions()[0].last_error is None
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id = 3", "SELECT * FROM s.by_issue")


def test_a_set_is_given_up_when_the_retries_of_its_origin_are_spent(origin: Origin, tmp_path: Path) -> None:
    origin.execute(TABLES)
    primary = PostgresOrigin("primary", origin.dsn, retry=RetryPolicy(base_seconds=0.01, attempts=3))
    attempts: list[str] = []
    told: list[flashql.events.SyncEvent] = []

    def fails(*given: Any) -> Copied:
        attempts.append(given[2].view)
        return Copied(given[2], errors.OriginQueryFailed("no"))

    with flashql.connect(str(tmp_path / "local.duckdb"), origins={"primary": primary}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        db.execute(VIEW)
        db.sync.sync()
        db.sync.on("sync_retry", told.append)
        with patch.object(CopyPass, "_copied", fails):
            handle = db.sync.subscribe("s.by_issue", {"issue": 3})
            with pytest.raises(TimeoutError, match="given up after 3 attempts"):
                handle.wait(3)
            assert len(attempts) == 3
            until(lambda: len(told) == 2, "the attempts after the first are told")
            assert not db.sync.sync()  # who asks begins to count anew
            until(lambda: len(attempts) > 3, "it is read again")
        db.sync.sync()
        handle.wait(30)
        same_rows(origin, db, "SELECT * FROM comments WHERE issue_id = 3", "SELECT * FROM s.by_issue")


def test_many_threads_subscribe_while_rows_change(origin: Origin, followed: Database) -> None:
    followed.execute(VIEW)
    followed.sync.sync()

    def subscribe(first: int) -> None:
        for issue in range(first, first + 5):
            followed.sync.subscribe("s.by_issue", {"issue": issue}, ttl=60)
            followed.sync.subscribe("s.by_issue", {"issue": issue + 20}).unsubscribe()

    threads = [threading.Thread(target=subscribe, args=(first,)) for first in (1, 6, 11, 16)]
    for thread in threads:
        thread.start()
    for at in range(40):
        origin.execute(f"UPDATE comments SET issue_id = {at} WHERE id % 40 = {at}")
    for thread in threads:
        thread.join()
    assert followed.sync.sync()
    followed.sync.wait(timeout=60)
    same_rows(origin, followed, "SELECT * FROM comments WHERE issue_id BETWEEN 1 AND 20", "SELECT * FROM s.by_issue")


def test_explain_says_how_the_rows_are_kept(followed: Database) -> None:
    followed.execute(VIEW)
    followed.execute(
        "CREATE REALTIME VIEW s.joined(issue int) AS SELECT c.id, i.title FROM comments c JOIN issues i "
        "ON i.id = c.issue_id WHERE c.issue_id = issue"
    )
    for view in ("by_issue", "joined"):
        text = "\n".join(line for (line,) in followed.execute(f"EXPLAIN VIEW s.{view}").fetchall())
        assert 'meet "issue_id" = flashql_set."issue" for a set that is subscribed' in text


def test_hooks_see_sets_come_and_may_refuse_them(origin: Origin, followed: Database) -> None:
    del origin
    followed.execute(VIEW)
    followed.sync.sync()
    told: list[tuple[str, int]] = []

    def refuse(context: flashql.SyncContext) -> None:
        told.append((context.phase, context.rows))
        if len(told) == 1:
            raise ValueError("not yet")

    followed.sync.before_sync(refuse, "s.by_issue")
    followed.sync.subscribe("s.by_issue", {"issue": 3}).wait(60)
    assert told == [("clone", 10), ("clone", 10)]


def test_the_command_subscribes_and_shows(
    origin: Origin, followed: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    followed.execute(VIEW)
    path = followed.store.path
    followed.close()
    common = ["--database", path, "--origin", f"primary={origin.dsn}"]

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["subscribe", *words])
        assert ended.value.code in (0, None), words
        return capsys.readouterr().out

    run("add", "s.by_issue", "issue=3", *common, "--wait", "--timeout", "60", "--ttl", "2 hours", "--priority", "1")
    (shown,) = json.loads(run("list", *common, "--json"))
    assert (shown["parameters"], shown["has_synced"], shown["ttl_seconds"]) == ({"issue": 3}, True, 7200)
    with flashql.connect(path) as db:
        assert db.execute("SELECT count(*) FROM s.by_issue").fetchall() == [(10,)]
    run("add", "s.by_issue", *common, "--null", "issue")
    run("remove", "s.by_issue", "issue=3", *common)
    assert [one["parameters"] for one in json.loads(run("list", "s.*", *common, "--json"))] == [{"issue": None}]


def test_a_row_comes_into_a_set_without_its_toasted_value(
    origin: Origin, followed: Database, caplog: pytest.LogCaptureFixture
) -> None:
    origin.execute("CREATE TABLE pages (id int PRIMARY KEY, book int, body text STORAGE EXTERNAL)")
    origin.execute("INSERT INTO pages SELECT g, g % 5, repeat(md5(g::text), 200) FROM generate_series(1, 50) AS g")
    followed.execute("CREATE REALTIME VIEW s.pages(number int) AS SELECT * FROM pages WHERE book = number")
    followed.execute("CREATE REALTIME VIEW s.plain AS SELECT * FROM pages")
    followed.sync.sync()
    followed.sync.subscribe("s.pages", {"number": 3}).wait(30)
    caplog.set_level("INFO", "flashql.worker")
    origin.execute("UPDATE pages SET book = 4 WHERE book = 2")  # into no set: nothing need be known of it
    origin.execute("UPDATE pages SET book = 4 WHERE book = 3 AND id < 20")
    followed.sync.wait(timeout=30)
    assert "without its toasted values" not in caplog.text
    origin.execute("UPDATE pages SET book = 3 WHERE book = 1; UPDATE pages SET id = id + 100, book = 3 WHERE book = 0")
    followed.sync.wait(timeout=60)
    assert "without its toasted values" in caplog.text
    same_rows(origin, followed, "SELECT * FROM pages WHERE book = 3", "SELECT * FROM s.pages")
    same_rows(origin, followed, "SELECT * FROM pages", "SELECT * FROM s.plain")
    caplog.clear()
    origin.execute("ALTER TABLE pages REPLICA IDENTITY FULL")
    origin.execute("UPDATE pages SET book = 3 WHERE book = 4")
    followed.sync.wait(timeout=60)
    same_rows(origin, followed, "SELECT * FROM pages WHERE book = 3", "SELECT * FROM s.pages")
    assert "without its toasted values" not in caplog.text
