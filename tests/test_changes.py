"""Changefeeds: every change in commit order, once, replayed to the view's rows; slow, failing and closing consumers."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

import duckdb
import pytest

import flashql
from flashql import Change, changes, errors
from flashql.database import Database
from flashql.deltas import Deltas
from flashql.live import LiveQuery
from flashql.maintenance import Maintenance
from flashql.moved import netted
from tests import test_keeping
from tests.fix_postgres import Origin
from tests.fix_shop import job, until
from tests.postgres.pair import following
from tests.seeds import seeded
from tests.test_keeping import transaction

Rows = Counter[tuple[object, ...]]

TABLES = """
CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric(10, 2));
INSERT INTO orders SELECT i, i % 3, i FROM generate_series(1, 10) i;
"""
VIEWS = {
    "orders": "SELECT * FROM orders",
    "large": "SELECT id, amount > 7 AS huge FROM orders WHERE amount > 5",
    "totals": "SELECT customer, sum(amount) AS total FROM orders GROUP BY customer",
}


def shown(db: Database, view: str) -> Rows:
    return Counter(db.execute(f"FROM {view}").fetchall())


def replay(rows: Rows, change: Change) -> None:
    """Apply a change to the rows before it. What leaves must be there."""
    gone = Counter(tuple(row.values()) for row in change.deleted.to_pylist())
    came = Counter(tuple(row.values()) for row in change.inserted.to_pylist())
    assert gone or came or not +rows  # a live query may begin with no rows
    assert not gone & came
    assert gone <= rows
    rows.subtract(gone)
    rows.update(came)


def drain(feed: flashql.ChangeFeed, rows: Rows) -> list[Change]:
    """Replay what waits in the feed."""
    until(lambda: not feed._folding, "folded")
    taken = []
    try:
        while (change := feed.take(timeout=0)) is not None:
            replay(rows, change)
            taken.append(change)
    except TimeoutError:
        pass
    return taken


def test_changes_replayed_give_the_view_at_each_commit(origin: Origin) -> None:
    origin.execute(TABLES)
    random_ = random.Random(5)
    with following(origin, **VIEWS) as pair:
        db, names = pair.db, [f"s.{name}" for name in VIEWS]
        feeds, rows = {name: db.changes(name) for name in names}, {name: shown(db, name) for name in names}
        for nth in range(12):
            one = random_.randrange(12)
            origin.execute(
                random_.choice(
                    [
                        f"UPDATE orders SET amount = amount + {one} WHERE id % 3 = {one % 3}",
                        f"DELETE FROM orders WHERE id = {one}",
                        f"INSERT INTO orders VALUES ({100 + nth}, {one}, {one})",
                        f"UPDATE orders SET id = id + 1000 WHERE id = {one}",
                    ]
                )
                if nth != 6
                else "TRUNCATE orders; INSERT INTO orders VALUES (1, 1, 1), (50, 2, 60)"
            )
            db.sync.wait(timeout=60)
            for name in names:
                taken = drain(feeds[name], rows[name])
                assert rows[name] == shown(db, name), name
                assert len(taken) <= 1
                for change in taken:
                    assert change.view == name
                    assert change.lsn is not None
                    assert change.inserted.column_names == [c for c, *_ in db.execute(f"DESCRIBE {name}").fetchall()]
        origin.execute("UPDATE orders SET amount = 77 WHERE id = 50")
        db.sync.wait(timeout=60)
        (last,) = drain(feeds["s.orders"], rows["s.orders"])
        assert last.inserted.to_pylist()[0]["id"] == 50


def test_stopped_resumed_copied_again_repaired_and_views_over_views(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"], totals=VIEWS["totals"]) as pair:
        db = pair.db
        db.execute("CREATE SCHEMA l; CREATE REALTIME VIEW l.many AS SELECT count(*) AS n FROM s.orders")
        pair.sync()
        names = ["s.orders", "s.totals", "l.many"]
        feeds, rows = {name: db.changes(name) for name in names}, {name: shown(db, name) for name in names}

        def changed() -> dict[str, int]:
            taken = {name: len(drain(feeds[name], rows[name])) for name in names}
            assert rows == {name: shown(db, name) for name in names}
            return taken

        db.sync.stop("s.orders")
        origin.execute("DELETE FROM orders WHERE id > 5")
        db.sync.wait("s.totals", timeout=60)
        assert changed() == {"s.orders": 0, "s.totals": 1, "l.many": 0}
        db.sync.resume("s.orders")
        db.sync.wait(timeout=60)
        assert changed() == {"s.orders": 1, "s.totals": 0, "l.many": 1}

        db.execute("REFRESH VIEW s.orders")
        db.sync.wait(timeout=60)
        changed()
        (table,) = (copy.local_table for copy in pair.copies() if copy.state == "live")
        with db.store.transaction() as writer:  # what a repair is there for
            writer.execute(f"DELETE FROM flashql_data.{table} WHERE id = 2")
        feeds["s.orders"], rows["s.orders"] = db.changes("s.orders"), shown(db, "s.orders")
        assert db.sync.verify("s.orders", repair=True)[0].repaired == 1
        (repaired,) = drain(feeds["s.orders"], rows["s.orders"])
        assert repaired.inserted.to_pylist()[0]["id"] == 2
        assert rows["s.orders"] == shown(db, "s.orders")
        origin.execute("ALTER TABLE orders ALTER amount TYPE numeric(10, 2) USING amount + 1")
        pair.sync()
        db.sync.wait(timeout=60)
        until(lambda: shown(db, "s.totals") == Counter(origin.query(VIEWS["totals"])), "copied again")
        changed()


def test_a_materialized_view_changes_when_it_is_refreshed(origin: Origin) -> None:
    origin.execute(TABLES)
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        db.execute("CREATE MATERIALIZED VIEW s.m AS SELECT customer, count(*) AS n FROM orders GROUP BY customer")
        db.execute("CREATE ORIGIN VIEW s.o AS SELECT * FROM orders")
        rows: Rows = Counter()
        feed = db.changes("s.m")
        db.sync.sync()
        drain(feed, rows)
        assert rows == shown(db, "s.m")
        origin.execute("DELETE FROM orders WHERE customer = 1")
        db.execute("REFRESH VIEW s.m")
        (change,) = drain(feed, rows)
        assert change.lsn is None
        assert change.deleted.to_pylist() == [{"customer": 1, "n": 4}]
        assert change.inserted.num_rows == 0
        with pytest.raises(errors.NotSupported, match="read at its origin"):
            db.changes("s.o")
        with pytest.raises(errors.UnknownName):
            db.changes("s.nothing")


def test_what_a_slow_consumer_did_not_take_becomes_one_change(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "BUFFERED_ROWS", 8)
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        slow, fast = pair.db.changes("s.orders"), pair.db.changes("s.orders")
        rows, others = shown(pair.db, "s.orders"), shown(pair.db, "s.orders")
        slow._limit_rows = 8
        for nth in range(10):
            origin.execute(f"UPDATE orders SET amount = {nth} WHERE id < 3; INSERT INTO orders VALUES ({100 + nth})")
            pair.db.sync.wait(timeout=60)
            assert len(drain(fast, others)) == 1
            assert others == shown(pair.db, "s.orders")
        taken = drain(slow, rows)
        assert len(taken) < 5
        assert rows == others
        origin.execute("DELETE FROM orders")
        pair.db.sync.wait(timeout=60)
        assert [one.deleted.num_rows for one in drain(slow, rows)] == [20]
        assert not +rows


def test_what_came_and_went_while_nobody_looked_is_no_change(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "BUFFERED_CHANGES", 1)
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        feed = pair.db.changes("s.orders")
        for statement in ("INSERT INTO orders VALUES (99, 1, 1)", "DELETE FROM orders WHERE id = 99"):
            origin.execute(statement)
            pair.db.sync.wait(timeout=60)
        assert drain(feed, shown(pair.db, "s.orders")) == []


def test_what_is_told_while_folding_waits_behind(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "BUFFERED_ROWS", 10)
    folding, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any) -> Any:
        folding.set()
        assert go_on.wait(60)
        return netted(*given)

    monkeypatch.setattr(changes, "netted", slowly)
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        feed, rows = pair.db.changes("s.orders"), shown(pair.db, "s.orders")
        origin.execute("UPDATE orders SET amount = 100")
        pair.db.sync.wait(timeout=60)
        assert folding.wait(30)
        origin.execute("DELETE FROM orders WHERE id < 4")  # replication goes on
        pair.db.sync.wait(timeout=60)
        with pytest.raises(TimeoutError):
            feed.take(timeout=0)
        go_on.set()
        assert [change.deleted.num_rows for change in drain(feed, rows)] == [10, 3]
        assert rows == shown(pair.db, "s.orders")


def test_what_cannot_be_folded_ends_the_feed_and_nothing_else(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "BUFFERED_ROWS", 1)

    def fail(*_: Any) -> Any:
        raise MemoryError("no memory left")

    monkeypatch.setattr(changes, "netted", fail)
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        feed = pair.db.changes("s.orders")
        origin.execute("DELETE FROM orders")
        with pytest.raises(errors.DatabaseBusy, match="no memory left"):
            feed.take(timeout=60)
        pair.check()


def test_a_callback_that_raises_goes_on_and_may_close_its_feed(
    origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        seen: list[tuple[Change, str]] = []
        arrived = threading.Semaphore(0)

        def callback(change: Change) -> None:
            seen.append((change, threading.current_thread().name))
            arrived.release()
            if len(seen) == 3:
                feed.close()
            raise ValueError("a callback of mine")

        feed = pair.db.changes("s.orders", callback)
        with caplog.at_level(logging.CRITICAL, "flashql.changes"):
            for nth in range(3):
                origin.execute(f"INSERT INTO orders VALUES ({100 + nth}, 1, 1)")
                pair.db.sync.wait(timeout=60)
                assert arrived.acquire(timeout=30)
        origin.execute("INSERT INTO orders VALUES (200, 1, 1)")
        pair.db.sync.wait(timeout=60)
        assert [change.inserted.to_pylist()[0]["id"] for change, _ in seen] == [100, 101, 102]
        assert {name for _, name in seen} == {"flashql-changes-s.orders"}
        assert job(pair.db, "s.orders").state == "running"
        assert pair.db.maintenance.watchers.tables() == frozenset()


def test_a_callback_that_hangs_holds_up_nobody(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        go_on, began = threading.Event(), threading.Event()

        def callback(_: Change) -> None:
            began.set()
            go_on.wait(60)

        pair.db.changes("s.orders", callback)
        for nth in range(3):
            origin.execute(f"INSERT INTO orders VALUES ({100 + nth}, 1, 1)")
            pair.db.sync.wait(timeout=60)
        assert began.wait(30)
        assert shown(pair.db, "s.orders").total() == 13
        go_on.set()


def test_asynchronous_iteration_and_close(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:

        async def collect() -> list[int]:
            found = []
            feed = pair.db.changes("s.orders")
            with pytest.raises(TimeoutError):  # a wait that is given up loses nothing
                await asyncio.wait_for(anext(feed), 0.05)
            loop = asyncio.get_running_loop()
            writing = loop.run_in_executor(None, origin.execute, "INSERT INTO orders VALUES (100), (101)")
            async for change in feed:
                found += [row["id"] for row in change.inserted.to_pylist()]
                if len(found) == 2:
                    loop.call_later(0.05, feed.close)  # while it is waited on
            await writing
            return found

        assert asyncio.run(collect()) == [100, 101]


def test_closing_the_database_ends_iteration(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        feed, taken = pair.db.changes("s.orders"), list[Change]()
        thread = threading.Thread(target=lambda: taken.extend(feed))
        thread.start()
        pair.db.close()
        thread.join(30)
        assert not thread.is_alive()
        with pytest.raises(errors.DatabaseError):
            pair.db.changes("s.orders")


def test_a_view_that_was_dropped_or_has_other_columns_ends_its_feed(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, a=VIEWS["orders"], b=VIEWS["orders"]) as pair:
        dropped, altered = pair.db.changes("s.a"), pair.db.changes("s.b")
        pair.db.execute("DROP VIEW s.a")
        pair.db.execute("CREATE OR REPLACE REALTIME VIEW s.b AS SELECT id FROM orders")
        with pytest.raises(errors.UnknownName, match=r"s\.a was dropped"):
            next(dropped)
        with pytest.raises(errors.DefinitionError, match=r"columns of s\.b"):
            next(altered)
        assert pair.db.maintenance.watchers.tables() == frozenset()


def test_a_feed_that_is_let_go_of_is_watched_no_more(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        watchers = pair.db.maintenance.watchers
        feed = pair.db.changes("s.orders")
        assert watchers.tables()
        del feed
        gc.collect()
        assert watchers.tables() == frozenset()


def _ids(rows: Iterable[dict[str, object]]) -> set[object]:
    return {row["id"] for row in rows}


def test_nothing_is_told_of_what_rolls_back(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, orders=VIEWS["orders"]) as pair:
        feed = pair.db.changes("s.orders")
        (table,) = (copy.local_table for copy in pair.copies())

        def fail() -> None:
            with pair.db.store.transaction() as writer:
                writer.execute(f"DELETE FROM flashql_data.{table}")
                pair.db.maintenance.disturb({table or ""})
                pair.db.maintenance.settle(writer)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        origin.execute("INSERT INTO orders VALUES (100)")
        pair.db.sync.wait(timeout=60)
        change = feed.take(timeout=30)
        assert change is not None
        assert _ids(change.inserted.to_pylist()) == {100}
        assert change.deleted.num_rows == 0


# -- live queries

LIVE = {
    "joined": "SELECT o.id, t.total FROM s.orders o JOIN s.totals t ON t.customer = o.customer",
    "grouped": "SELECT count(*) AS n, max(amount) AS most FROM s.orders WHERE amount < 100",
    "all": "FROM s.orders",
    "first": "SELECT id FROM s.large ORDER BY id DESC LIMIT 3",
}


def test_a_live_query_begins_with_its_rows_and_follows(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, **VIEWS) as pair:
        db = pair.db
        tables = pair.leftover_tables()
        feeds, rows = {name: db.live(query) for name, query in LIVE.items()}, {name: Rows() for name in LIVE}
        for statement in (
            "SELECT 1",
            "UPDATE orders SET amount = amount + 1 WHERE id > 5",
            "INSERT INTO orders VALUES (100, 7, 50), (101, 0, 1)",
            "TRUNCATE orders; INSERT INTO orders VALUES (1, 1, 1), (50, 2, 60)",
            "DELETE FROM orders WHERE id = 1",
        ):
            origin.execute(statement)
            db.sync.wait(timeout=60)
            for name, query in LIVE.items():
                taken = drain(feeds[name], rows[name])
                assert len(taken) <= 2
                assert rows[name] == Counter(db.execute(query).fetchall()), name
        db.sync.stop("s.totals")
        origin.execute("INSERT INTO orders VALUES (7, 2, 9)")
        db.sync.wait("s.orders", timeout=60)
        db.execute("REFRESH VIEW s.orders")
        db.sync.resume("s.totals")
        db.sync.wait(timeout=60)
        for name, query in LIVE.items():
            drain(feeds[name], rows[name])
            assert rows[name] == Counter(db.execute(query).fetchall()), name
            feeds[name].close()
        db.execute("CREATE SCHEMA other")  # any commit
        assert pair.leftover_tables() == tables
        assert {name.split(".")[0] for name in db.views} == {"s"}


RANDOM_LIVE = [
    "SELECT c.city, o.id FROM s.customers c LEFT JOIN s.orders o ON o.customer = c.id",
    "SELECT city, count(DISTINCT customer) AS n, min(amount) AS least FROM s.both GROUP BY city",
    "SELECT id, rank() OVER (PARTITION BY customer ORDER BY amount NULLS LAST, id) AS nr FROM s.orders",
    "SELECT product, sum(quantity) AS q FROM s.lines GROUP BY ROLLUP (product)",
    "SELECT customer FROM s.orders EXCEPT SELECT id FROM s.customers",
]


def test_live_queries_follow_random_transactions(origin: Origin) -> None:
    random_ = seeded()
    origin.execute(test_keeping.TABLES)
    for _ in range(10):
        origin.execute(";".join(transaction(random_)))
    tables = {name: f"SELECT * FROM {name}" for name in ("customers", "orders", "lines")}
    joined = "SELECT c.city, o.* FROM customers c JOIN orders o ON o.customer = c.id"
    with following(origin, **tables, both=joined) as pair:
        slow = [(pair.db.live(query), Rows(), query) for query in RANDOM_LIVE]
        feeds = [(pair.db.live(query), Rows(), query) for query in RANDOM_LIVE]
        for nth in range(30):
            origin.execute(";".join(transaction(random_)))
            pair.db.sync.wait(timeout=60)
            if nth == 15:
                pair.db.execute("REFRESH VIEW s.orders")
                pair.db.sync.wait(timeout=60)
            for feed, rows, query in feeds if nth < 29 else feeds + slow:
                drain(feed, rows)
                assert rows == Counter(pair.db.execute(query).fetchall()), query
        pair.check()


def test_a_live_query_follows_local_tables(database_path: str) -> None:
    with flashql.connect(database_path) as db:
        db.execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (1), (2)")
        with db.live("SELECT a, count(*) AS n FROM t GROUP BY a") as feed:
            first = feed.take(timeout=30)
            assert first is not None
            assert first.deleted.num_rows == 0
            db.execute("DELETE FROM t WHERE a = 1")
            change = feed.take(timeout=30)
            assert change is not None
            assert change.deleted.to_pylist() == [{"a": 1, "n": 2}]
            db.execute("UPDATE t SET a = 2")
            with pytest.raises(TimeoutError):
                feed.take(timeout=0)
        for wrong in ("SELECT random() AS r FROM t", "SELECT 1 AS x"):
            with pytest.raises(errors.NotSupported):
                db.live(wrong)
        with pytest.raises(errors.DefinitionError):
            db.live("SELECT b FROM t")


def test_a_live_query_that_begins_while_a_local_write_commits_sees_it(
    database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, settle, named = threading.Event(), LiveQuery.settle, Maintenance.local_tables_named
    with flashql.connect(database_path) as db, db.cursor() as other:
        db.execute("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)")
        writer = threading.Thread(target=lambda: other.execute("INSERT INTO t VALUES (2)"))

        def settled(live: LiveQuery, connection: duckdb.DuckDBPyConnection, lost: Deltas) -> None:
            settle(live, connection, lost)  # its rows are computed, and not committed
            if live.program is None:
                writer.start()
                assert looked.wait(10)

        def looking(maintenance: Maintenance, sql: str) -> set[str]:
            found = named(maintenance, sql)
            looked.set()
            return found

        monkeypatch.setattr(LiveQuery, "settle", settled)
        monkeypatch.setattr(Maintenance, "local_tables_named", looking)
        with db.live("SELECT a FROM t") as feed:
            rows: Rows = Counter()
            replay(rows, taken(feed))
            writer.join(10)
            replay(rows, taken(feed))
            assert rows == Counter([(1,), (2,)])


def test_a_live_query_that_begins_within_a_local_transaction_sees_what_it_commits(database_path: str) -> None:
    with flashql.connect(database_path) as db, db.cursor() as other:
        db.execute("CREATE TABLE seen (a INT)")
        other.execute("BEGIN")
        other.execute("INSERT INTO seen VALUES (1)")
        with db.live("SELECT a FROM seen") as feed:
            rows: Rows = Counter()
            replay(rows, taken(feed))
            other.execute("COMMIT")
            replay(rows, taken(feed))
            assert rows == Counter([(1,)])


def taken(feed: flashql.ChangeFeed) -> Change:
    """The next change, which is under way or there."""
    change = feed.take(10)
    assert change is not None
    return change


def test_what_a_live_query_leaves_when_the_process_ends_is_dropped(database_path: str) -> None:
    of_steps = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'flashql_data'"
    with flashql.connect(database_path) as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        feed = db.live("SELECT a, count(*) AS n FROM t GROUP BY a")
        assert db.execute(of_steps).fetchone() != (0,)
    assert list(feed) == []
    with flashql.connect(database_path) as db:
        assert db.execute(of_steps).fetchone() == (0,)


def test_a_live_query_that_fails_ends_and_holds_up_nobody(origin: Origin) -> None:
    origin.execute("CREATE TABLE words (id int PRIMARY KEY, word text); INSERT INTO words VALUES (1, '1')")
    with following(origin, words="SELECT * FROM words") as pair:
        feed = pair.db.live("SELECT CAST(word AS INTEGER) AS n FROM s.words")
        assert feed.take(timeout=30) is not None
        origin.execute("INSERT INTO words VALUES (2, 'two')")
        with pytest.raises(errors.ViewBroken, match="two"):
            feed.take(timeout=60)
        pair.check()
        until(lambda: job(pair.db, "s.words").state == "running", "following again")
        with pytest.raises(errors.ViewBroken, match="two"):
            pair.db.live("SELECT CAST(word AS INTEGER) AS n FROM s.words")
        pair.check()


def test_who_waits_while_a_session_begins_again_waits_for_its_copies(origin: Origin) -> None:
    # The slot of a database in memory ends with its session: the table is copied again, which takes a while.
    origin.execute(
        "CREATE TABLE words (id int PRIMARY KEY, word text); "
        "INSERT INTO words SELECT i, i::text FROM generate_series(1, 300000) i"
    )
    with following(origin, words="SELECT * FROM words") as pair:
        feed = pair.db.live("SELECT CAST(word AS INTEGER) AS n FROM s.words")
        assert feed.take(timeout=30) is not None
        origin.execute("INSERT INTO words VALUES (0, 'none')")
        with pytest.raises(errors.ViewBroken, match="none"):
            feed.take(timeout=60)
        pair.check()
