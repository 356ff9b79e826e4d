"""Kept views: realtime views of any query, equal to it after every batch, with Postgres as the oracle."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

import flashql
from flashql import errors
from flashql.database import Database
from flashql.moved import Change
from flashql.stepping import Program
from flashql.store import Store, definitions
from flashql.store.definitions import views
from flashql.watching import Watcher
from tests.fix_postgres import Origin
from tests.postgres.pair import following
from tests.seeds import seeded

TABLES = """
CREATE TABLE customers (id int PRIMARY KEY, name text, city text);
CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric(10, 2), placed date);
CREATE TABLE lines (orderid int, nr int, product int, quantity int, PRIMARY KEY (orderid, nr));
"""

VIEWS = {
    "joined": "SELECT o.id, c.name, o.amount FROM orders o JOIN customers c ON c.id = o.customer",
    "left_joined": "SELECT c.id, c.city, o.id AS o FROM customers c LEFT JOIN orders o ON o.customer = c.id",
    "full_joined": "SELECT c.id, o.id AS o FROM customers c FULL JOIN orders o ON o.customer = c.id",
    "selfjoined": "SELECT a.id, b.id AS other FROM orders a, orders b WHERE a.customer = b.customer AND a.id < b.id",
    "totals": "SELECT customer, count(*) AS n, sum(amount) AS total, min(amount) AS least, max(placed) AS latest "
    "FROM orders GROUP BY customer",
    "by_city": "SELECT c.city, count(*) AS n, sum(o.amount) AS total FROM customers c JOIN orders o "
    "ON o.customer = c.id GROUP BY c.city HAVING count(*) > 1",
    "custom": "SELECT c.id, c.city, count(o.id) AS n, sum(o.amount) AS total, max(o.placed) AS latest FROM customers c "
    "LEFT JOIN orders o ON o.customer = c.id AND o.amount > 1 GROUP BY c.id",
    "customs": "SELECT c.city, count(*) AS n, avg(o.amount) AS mean, count(*) FILTER (WHERE c.id > 3) AS some "
    "FROM customers c LEFT JOIN orders o ON o.customer = c.id GROUP BY c.city",
    "elsewhere": "SELECT id, amount FROM orders WHERE customer IN (SELECT id FROM customers WHERE city <> 'c1')",
    "nowhere": "SELECT id FROM orders WHERE customer NOT IN (SELECT c.id FROM customers c JOIN lines l "
    "ON l.product = c.id)",
    "products": "SELECT count(DISTINCT product) AS n, sum(quantity) AS q FROM lines",
    "pairs": "SELECT o.customer, count(DISTINCT (l.product, l.quantity)) AS n, count(*) AS lines FROM orders o "
    "JOIN lines l ON l.orderid = o.id GROUP BY o.customer",
    "latest": "SELECT customer, (array_agg(amount ORDER BY placed DESC, id))[1] AS amount FROM orders "
    "GROUP BY customer",
    "documents": "SELECT o.customer, jsonb_object_agg(o.id, to_jsonb(o)->'amount')::text AS amounts, "
    "upper(max(to_jsonb(c)->>'city') COLLATE \"C\") AS city, max((to_jsonb(o)->'id')::numeric) AS last "
    "FROM orders o LEFT JOIN customers c ON c.id = o.customer GROUP BY o.customer",
    "cities": "SELECT DISTINCT city FROM customers",
    "ids": "SELECT id FROM customers UNION SELECT customer FROM orders",
    "all_ids": "SELECT id FROM customers UNION ALL SELECT customer FROM orders",
    "without": "SELECT id FROM customers EXCEPT SELECT customer FROM orders",
    "busy": "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.id)",
    "idle": "SELECT name FROM customers WHERE id NOT IN (SELECT customer FROM orders WHERE customer IS NOT NULL)",
    "large": "SELECT id FROM orders WHERE amount > (SELECT min(amount) FROM orders)",
    "best": "SELECT o.id FROM orders o WHERE amount = (SELECT max(amount) FROM orders i WHERE i.customer = o.customer)",
    "ranked": "SELECT id, row_number() OVER (PARTITION BY customer ORDER BY amount, id) AS nr FROM orders",
    "top": "SELECT id, amount FROM orders ORDER BY amount DESC NULLS LAST, id LIMIT 5",
    "scarce": "SELECT id, name FROM customers c WHERE id < (SELECT 0.5 * sum(amount) + 3 FROM orders o "
    "WHERE o.customer = c.id AND placed > '2024-01-03')",
    "small": "SELECT sum(o.amount) AS total FROM orders o, customers c WHERE c.id = o.customer AND c.city = 'c1' "
    "AND o.amount < (SELECT avg(i.amount) + 1 FROM orders i WHERE i.customer = c.id)",
    "nested": "SELECT city, day, sum(w) AS total FROM (SELECT c.city, o.placed + 1 AS day, o.amount * l.quantity "
    "AS w FROM customers c, orders o, lines l WHERE c.id = o.customer AND l.orderid = o.id) AS d GROUP BY city, day",
    "dearest": "SELECT city, sum(amount) AS total FROM customers c JOIN orders o ON o.customer = c.id "
    "GROUP BY city ORDER BY total DESC NULLS LAST, city LIMIT 2",
    "spread": "WITH t AS (SELECT orderid, sum(quantity) AS q FROM lines GROUP BY orderid) "
    "SELECT o.customer, count(*) AS n FROM orders o JOIN t ON t.orderid = o.id WHERE t.q > 3 GROUP BY o.customer",
}


def transaction(random_: random.Random) -> list[str]:
    """The statements of one transaction."""
    found = []
    for _ in range(random_.randrange(1, 6)):
        one, other = random_.randrange(12), random_.randrange(12)
        amount = random_.choice(["NULL", f"{random_.randrange(5)}.50"])
        customer = random_.choice(["NULL", str(other)])
        found.append(
            random_.choice(
                [
                    f"INSERT INTO customers VALUES ({one}, 'n{other}', 'c{other % 3}') ON CONFLICT DO NOTHING",
                    f"UPDATE customers SET city = 'c{other % 3}' WHERE id = {one}",
                    f"DELETE FROM customers WHERE id = {one}",
                    f"INSERT INTO orders VALUES ({one}, {customer}, {amount}, '2024-01-{other + 1}') "
                    "ON CONFLICT DO NOTHING",
                    f"UPDATE orders SET amount = {amount}, customer = {customer} WHERE id = {one}",
                    f"UPDATE orders SET amount = {amount} WHERE id % 3 = {one % 3}",
                    f"DELETE FROM orders WHERE id = {one}",
                    f"INSERT INTO lines VALUES ({one}, {other}, {other % 4}, {one % 3}) ON CONFLICT DO NOTHING",
                    f"UPDATE lines SET quantity = quantity + 1 WHERE product = {other % 4}",
                    f"DELETE FROM lines WHERE orderid = {one}",
                    f"UPDATE orders SET id = id + 100 WHERE id = {one} AND NOT EXISTS "
                    f"(SELECT 1 FROM orders WHERE id = {one + 100})",
                    "TRUNCATE lines" if one == 3 else f"DELETE FROM orders WHERE customer = {other}",
                ]
            )
        )
    return found


def test_views_of_many_shapes_equal_their_queries_after_every_batch(origin: Origin, database_path: str) -> None:
    random_ = seeded()
    origin.execute(TABLES)
    for _ in range(20):
        origin.execute(";".join(transaction(random_)))
    with following(origin, database_path, **VIEWS) as pair:
        pair.check()
        replayed = watched(pair.db)
        for nth in range(20):
            origin.execute(";".join(transaction(random_)))
            pair.db.sync.wait(timeout=60)
            pair.compare()
            for name, rows_ in replayed.items():
                assert rows_ == shown(pair.db, name), name
            if nth == 8:
                pair.reopen()
                pair.sync()
                replayed = watched(pair.db, every=3)  # what nobody reads is not listed
        pair.check()
        assert {status.state for status in pair.db.sync.status()} == {"running"}


def shown(db: Database, name: str) -> Counter[tuple[object, ...]]:
    return Counter(db.execute(f"FROM {name}").fetchall())


def watched(db: Database, every: int = 1) -> dict[str, Counter[tuple[object, ...]]]:
    """The rows of each view, or of every third and so on, as they follow from what its watcher is told."""
    replayed: dict[str, Counter[tuple[object, ...]]] = {}

    def tell(change: Change) -> None:
        replayed[change.view].subtract(tuple(row.values()) for row in change.deleted.to_pylist())
        replayed[change.view].update(tuple(row.values()) for row in change.inserted.to_pylist())
        assert min(replayed[change.view].values(), default=0) >= 0
        replayed[change.view] = +replayed[change.view]

    for name, view in [*views(db.store).items()][::every]:
        db.maintenance.watchers.add(view, Watcher(tell, unexpected))
        replayed[name] = shown(db, name)
    return replayed


def unexpected(error: errors.FlashQLError) -> None:
    raise error


def rows(db: Database, query: str) -> list[tuple[object, ...]]:
    return sorted(db.execute(query).fetchall())


def test_a_view_over_views_and_local_tables_follows_them_in_one_commit(origin: Origin, database_path: str) -> None:
    origin.execute(TABLES)
    origin.execute("INSERT INTO customers VALUES (1, 'a', 'x'), (2, 'b', 'y')")
    with following(
        origin,
        database_path,
        customers="SELECT id, city FROM customers",
        totals="SELECT customer, sum(amount) AS total FROM orders GROUP BY customer",
    ) as pair:
        pair.db.execute(
            """
            CREATE TABLE rates (city VARCHAR, rate INTEGER);
            INSERT INTO rates VALUES ('x', 2);
            CREATE SCHEMA l;
            CREATE REALTIME VIEW l.rated AS
                SELECT c.id, t.total * r.rate AS rated FROM s.customers c
                JOIN s.totals t ON t.customer = c.id JOIN rates r ON r.city = c.city;
            CREATE REALTIME VIEW l.many AS SELECT count(*) AS n FROM l.rated;
            """
        )
        pair.sync()
        assert rows(pair.db, "FROM l.many") == [(0,)]
        origin.execute("INSERT INTO orders VALUES (1, 1, 5, NULL), (2, 2, 7, NULL)")
        pair.db.sync.wait("l.many", timeout=60)
        assert rows(pair.db, "FROM l.rated") == [(1, 10)]
        assert rows(pair.db, "FROM l.many") == [(1,)]
        pair.db.execute("INSERT INTO rates VALUES ('y', 3)")
        assert rows(pair.db, "FROM l.rated") == [(1, 10), (2, 21)]
        pair.db.execute("BEGIN")
        pair.db.execute("UPDATE rates SET rate = 4 WHERE city = 'y'")
        pair.db.execute("COMMIT")
        assert rows(pair.db, "FROM l.rated") == [(1, 10), (2, 28)]
        pair.db.execute("BEGIN; DELETE FROM rates; ROLLBACK")
        assert rows(pair.db, "FROM l.many") == [(2,)]
        assert all(report.equal for report in pair.db.sync.verify())
        assert {status.state for status in pair.db.sync.status()} == {"running"}

        pair.db.sync.stop("s.customers")
        origin.execute("UPDATE customers SET city = 'x'")
        origin.execute("UPDATE orders SET amount = 10")
        pair.db.sync.wait("s.totals", timeout=60)
        assert rows(pair.db, "FROM l.rated") == [(1, 20), (2, 40)]  # what s.customers shows stands still
        pair.db.sync.resume("s.customers")
        pair.db.sync.wait(timeout=60)
        assert rows(pair.db, "FROM l.rated") == [(1, 20), (2, 20)]

        pair.db.sync.stop("l.rated")
        origin.execute("UPDATE orders SET amount = 11")
        pair.db.sync.wait("s.totals", timeout=60)
        assert rows(pair.db, "FROM l.rated") == [(1, 20), (2, 20)]
        pair.db.sync.resume("l.rated")
        assert rows(pair.db, "FROM l.rated") == [(1, 22), (2, 22)]

        pair.reopen()
        pair.db.execute("DELETE FROM rates")
        assert rows(pair.db, "FROM l.many") == [(0,)]
        with pytest.raises(errors.DefinitionError, match=r"l\.rated read"):
            pair.db.execute("DROP VIEW s.totals")
        pair.db.execute("DROP VIEW s.totals CASCADE")
        assert pair.leftover_tables() == set()


def test_ties_are_told_apart_alike_each_time(origin: Origin, database_path: str) -> None:
    """Which of two rows comes first is not said; but rows that stay keep what they have been told apart by."""
    random_ = seeded()
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, g int, x int)")
    origin.execute("INSERT INTO t SELECT n, n % 4, n % 2 FROM generate_series(1, 40) AS n")
    with following(origin, database_path, t="SELECT id, g, x FROM t") as pair:
        pair.db.execute("CREATE SCHEMA l")
        pair.db.execute(
            "CREATE REALTIME VIEW l.numbered AS "
            "SELECT g, id, row_number() OVER (PARTITION BY g ORDER BY x) AS n FROM s.t;"
            "CREATE REALTIME VIEW l.one AS SELECT DISTINCT ON (g) g, id FROM s.t ORDER BY g, x"
        )
        assert not pair.db.sync.sync().failed
        for _ in range(30):
            one, other = random_.randrange(1, 60), random_.randrange(4)
            origin.execute(f"DELETE FROM t WHERE id = {one}; INSERT INTO t VALUES ({one}, {other}, {one % 2})")
            origin.execute(f"DELETE FROM t WHERE id = {(one + 7) % 60}; UPDATE t SET x = 1 - x WHERE id = {other}")
            pair.db.sync.wait(timeout=60)
            there = sorted(pair.db.execute("SELECT g, id, x FROM s.t").fetchall())
            groups = {g: [(id_, x) for one, id_, x in there if one == g] for g, _, _ in there}
            for g, members in groups.items():
                found = pair.db.execute(f"SELECT id FROM l.numbered WHERE g = {g} ORDER BY n").fetchall()
                places = dict(members)
                assert sorted(id_ for (id_,) in found) == sorted(places)
                assert [places[id_] for (id_,) in found] == sorted(places.values())
            chosen = pair.db.execute("SELECT g, id FROM l.one ORDER BY g").fetchall()
            assert [g for g, _ in chosen] == sorted(groups)
            assert all((id_, min(x for _, x in groups[g])) in groups[g] for g, id_ in chosen)


def test_a_view_spans_origins(origin: Origin, database_path: str) -> None:
    origin.execute("CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int)")
    with flashql.connect(database_path, origins={"one": origin.dsn, "two": origin.dsn}) as db:
        db.execute(
            """
            CREATE REALTIME VIEW a WITH (replication_origin = 'one') AS SELECT * FROM a;
            CREATE REALTIME VIEW b WITH (replication_origin = 'two') AS SELECT id, sum(v) AS v FROM b GROUP BY id;
            CREATE REALTIME VIEW "both" AS SELECT a.id, a.v + b.v AS v FROM a JOIN b USING (id);
            """
        )
        assert db.sync.sync()
        origin.execute("INSERT INTO a SELECT i, i FROM generate_series(1, 9) i")
        origin.execute("INSERT INTO b SELECT i, 10 * i FROM generate_series(5, 12) i")
        db.sync.wait("main.both", timeout=60)
        assert rows(db, 'FROM "both"') == [(i, 11 * i) for i in range(5, 10)]


def test_what_returns_something_else_each_time_is_refused(database_path: str) -> None:
    with flashql.connect(database_path) as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        for expression in ("random()", "now()", "current_date"):
            with pytest.raises(errors.NotSupported, match="something else each time"):
                db.execute(f"CREATE REALTIME VIEW v AS SELECT a, {expression} AS x FROM t")
        with pytest.raises(errors.NotSupported, match="reads nothing"):
            db.execute("CREATE REALTIME VIEW v AS SELECT 1 AS x")


def test_a_column_named_as_in_deltas_is_refused(origin: Origin, database_path: str) -> None:
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, flashql_weight int); INSERT INTO t VALUES (1, 2)")
    origin.execute("CREATE TABLE u (id int PRIMARY KEY, n int); INSERT INTO u VALUES (1, 2)")
    with flashql.connect(database_path, origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        db.execute("CREATE REALTIME VIEW s.mirror AS SELECT * FROM t")
        db.execute("CREATE REALTIME VIEW s.ids AS SELECT id FROM t WHERE id IN (SELECT id FROM u)")
        db.execute("CREATE REALTIME VIEW s.plain AS SELECT id FROM u WHERE n IN (SELECT n FROM u)")
        db.execute("CREATE SCHEMA l; CREATE REALTIME VIEW l.named AS SELECT id, id AS Flashql_Weight FROM s.plain")
        report = db.sync.sync()
        assert sorted(report.failed) == ["l.named", "s.ids"]
        assert all('"flashql_weight"' in str(error) for error in report.failed.values())
        assert db.execute("SELECT * FROM s.mirror").fetchall() == [(1, 2)]


def test_both_sides_of_a_comparison_move_in_one_batch(origin: Origin, database_path: str) -> None:
    """Each side comes from what another view shows, in tables of its own."""
    origin.execute("CREATE TABLE a (k int PRIMARY KEY, g text, h int)")
    origin.execute("INSERT INTO a SELECT i, chr(112 + i / 3), i FROM generate_series(1, 8) i")
    totals = "SELECT g, count(*) AS n FROM a GROUP BY g"
    with following(origin, database_path, totals=totals, rows="SELECT g, h FROM a") as pair:
        pair.db.execute(
            """
            CREATE SCHEMA l;
            CREATE REALTIME VIEW l.counted AS SELECT g, count(*) AS n FROM s.rows GROUP BY g;
            CREATE REALTIME VIEW l.above AS
                SELECT c.g FROM l.counted c WHERE c.n > (SELECT min(t.n) FROM s.totals t);
            """
        )
        pair.sync()
        assert rows(pair.db, "FROM l.above") == [("q",), ("r",)]
        origin.execute("INSERT INTO a VALUES (9, 'p', 3)")
        pair.db.sync.wait(timeout=60)
        assert rows(pair.db, "FROM l.above") == []
        origin.execute("INSERT INTO a VALUES (10, 'p', 3)")
        pair.db.sync.wait(timeout=60)
        assert rows(pair.db, "FROM l.above") == [("p",)]


@contextmanager
def looking_at_views(db: Database) -> Iterator[Callable[[], None]]:
    """Another thread looks which views read local tables, as each statement does, and has seen which follow now.

    It goes on and ends when what is given is called, at the latest at the end of the block.
    """
    seen, go_on, rows_of = threading.Event(), threading.Event(), Store.rows

    def slow(store: Store, sql: str, *parameters: Any) -> list[tuple[object, ...]]:
        found = rows_of(store, sql, *parameters)
        if threading.current_thread() is looking and not seen.is_set():
            seen.set()
            assert go_on.wait(60)
        return found

    def finish() -> None:
        go_on.set()
        looking.join()

    looking = threading.Thread(target=lambda: db.maintenance.local_tables_named("INSERT INTO rates VALUES (1)"))
    definitions._committed.pop(db.store, None)  # it has to read them
    with patch.object(Store, "rows", slow):
        looking.start()
        assert seen.wait(60)
        try:
            yield finish
        finally:
            finish()


def test_no_view_is_left_out_of_a_batch_because_another_thread_looks_at_views(origin: Origin) -> None:
    origin.execute(TABLES)
    counts = {f"v{at}": f"SELECT count(*) AS n, {at} AS at FROM customers" for at in range(3)}
    with following(origin, **counts) as pair:
        run, ran = Program.run, []

        def run_while_another_looks(program: Program, *arguments: Any) -> None:
            run(program, *arguments)
            ran.append(program.kept.view.name)
            finish()

        with looking_at_views(pair.db) as finish, patch.object(Program, "run", run_while_another_looks):
            origin.execute("INSERT INTO customers VALUES (1, 'a', 'x')")
            pair.db.sync.wait(timeout=60)
        assert ran == [*counts]
        pair.check()


def test_a_view_follows_though_another_thread_looked_at_views_when_it_began(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, early="SELECT count(*) AS n FROM customers") as pair:
        with looking_at_views(pair.db):
            pair.follow(late="SELECT count(*) AS m FROM customers")
        origin.execute("INSERT INTO customers VALUES (1, 'a', 'x')")
        pair.check()
