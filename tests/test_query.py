"""Queries through FlashQL: pushdown end to end, mixed joins, relations, DuckDB's own views, exact values."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

import flashql
from flashql import errors
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import make_shop, open_shop, until


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_shop(origin)


def test_a_filter_reaches_the_origin(shop: Origin) -> None:
    """A sequence counts the rows the origin computed: only those of the filter, and only for columns asked for."""
    shop.execute("CREATE SEQUENCE computed")
    shop.execute("""
        CREATE FUNCTION counted(id int) RETURNS int LANGUAGE sql VOLATILE AS
            'SELECT id FROM (SELECT nextval(''computed'')) AS n';
        CREATE VIEW watched AS SELECT id, name FROM customers;
        CREATE VIEW computing AS SELECT id, counted(id) AS c FROM customers;
    """)
    with open_shop(shop) as db:
        db.execute("CREATE ORIGIN VIEW shop.watched AS SELECT * FROM watched")
        db.execute("CREATE ORIGIN VIEW shop.computing AS SELECT * FROM computing")
        plan = "\n".join(row[0] for row in db.execute("EXPLAIN SELECT name FROM shop.watched WHERE id = 7").fetchall())
        assert '"id" = 7' in plan
        assert db.execute("SELECT name FROM shop.watched WHERE id = 7").fetchall() == [("customer 7",)]
        assert db.execute("SELECT name FROM shop.watched WHERE id = $1", [8]).fetchall() == [("customer 8",)]
        assert db.execute("SELECT c FROM shop.computing LIMIT 3").fetchall() == [(1,), (2,), (3,)]
        assert shop.query("SELECT last_value FROM computed") == [(3,)]


def test_one_query_joins_all_three_persistences_and_a_local_table(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        db.execute("CREATE TABLE vip AS SELECT range AS id FROM range(1, 6)")
        local = """
            SELECT c.name, p.name, sum(o.amount), count(*) FROM shop.orders o
            JOIN shop.customers c ON c.id = o.customer_id JOIN shop.products AS p ON p.id = o.product_id
            JOIN vip ON vip.id = c.id GROUP BY ALL"""
        there = """
            SELECT c.name, p.name, sum(o.amount), count(*) FROM orders o JOIN customers c ON c.id = o.customer_id
            JOIN products AS p ON p.id = o.product_id WHERE c.id BETWEEN 1 AND 5 GROUP BY 1, 2"""
        same_rows(shop, db, there, local)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("SELECT count(*) FROM customers", "SELECT count(*) FROM shop.customers"),
        ("SELECT count(*) FROM customers WHERE id < 5", "SELECT count(*) FROM shop.customers WHERE id < 5"),
        (
            "SELECT a.id, b.name FROM customers a JOIN customers b ON a.id = b.id + 1",
            "SELECT a.id, b.name FROM shop.customers a JOIN shop.customers b ON a.id = b.id + 1",
        ),
        (
            "WITH c AS (SELECT id FROM customers WHERE id > 3) SELECT * FROM c WHERE id IN (SELECT id FROM products)",
            "WITH c AS (SELECT id FROM shop.customers WHERE id > 3) SELECT * FROM c WHERE id IN "
            "(SELECT id FROM shop.customers WHERE id <= 10)",
        ),
        ("SELECT id FROM customers ORDER BY id DESC LIMIT 3", "SELECT id FROM shop.customers ORDER BY id DESC LIMIT 3"),
        ("SELECT * FROM customers", "FROM shop.customers"),
        ("SELECT * FROM customers", "TABLE shop.customers"),
        (
            "SELECT id FROM customers WHERE id < 4 UNION ALL SELECT id FROM customers WHERE id > 18",
            "SELECT id FROM shop.customers WHERE id < 4 UNION ALL SELECT id FROM shop.customers WHERE id > 18",
        ),
        (
            "SELECT name FROM customers WHERE credit = 5",
            "SELECT customers.name FROM shop.customers WHERE credit = 5",
        ),
    ],
)
def test_shapes_of_queries(shop: Origin, there: str, here: str) -> None:
    with open_shop(shop) as db:
        same_rows(shop, db, there, here)


def test_parameters(shop: Origin) -> None:
    with open_shop(shop) as db:
        query = "SELECT count(*) FROM shop.customers WHERE id BETWEEN "
        assert db.execute(query + "? AND ?", [3, 5]).fetchone() == (3,)
        assert db.execute(query + "$2 AND $1", [5, 3]).fetchone() == (3,)
        assert db.execute(query + "$low AND $high", {"low": 3, "high": 5}).fetchone() == (3,)
        assert db.execute("CREATE TABLE t (id int); SELECT ? + 1", [1]).fetchone() == (2,)
        with pytest.raises(errors.QueryFailed):
            db.execute(query + "? AND ?", [3])


def test_rows_of_origin_views_can_be_kept_and_exported(shop: Origin, tmp_path: Path) -> None:
    with open_shop(shop) as db:
        db.execute("CREATE TABLE kept AS SELECT * FROM shop.customers WHERE id < 5")
        db.execute("INSERT INTO kept SELECT * FROM shop.customers WHERE id BETWEEN 5 AND 9")
        same_rows(shop, db, "SELECT * FROM customers WHERE id < 10", "SELECT * FROM kept")
        file = tmp_path / "customers.parquet"
        db.execute(f"COPY (SELECT * FROM shop.customers) TO '{file}'")
        same_rows(shop, db, "SELECT id, name FROM customers", f"SELECT id, name FROM '{file}'")
        db.execute(f"COPY shop.customers TO '{tmp_path}/all.csv'")
        assert db.execute(f"SELECT count(*) FROM '{tmp_path}/all.csv'").fetchone() == (20,)


def test_results_in_every_form(shop: Origin) -> None:
    with open_shop(shop) as db:
        query = "SELECT id, name FROM shop.customers WHERE id < 4 ORDER BY id"
        assert [column[0] for column in db.execute(query).description or ()] == ["id", "name"]
        assert db.execute(query).fetchmany(2) == [(1, "customer 1"), (2, "customer 2")]
        assert db.execute(query).df()["id"].tolist() == [1, 2, 3]
        assert db.execute(query).pl()["name"].to_list() == ["customer 1", "customer 2", "customer 3"]
        assert db.execute(query).fetch_arrow_table().num_rows == 3
        described = db.execute("DESCRIBE shop.customers").fetchall()
        assert [row[:2] for row in described] == [
            ("id", "INTEGER"),
            ("name", "VARCHAR"),
            ("since", "TIMESTAMP WITH TIME ZONE"),
            ("credit", "DECIMAL(12,2)"),
        ]


def test_the_next_result_does_not_end_with_the_last_one(shop: Origin) -> None:
    with open_shop(shop) as db:
        result = db.execute("SELECT id FROM shop.customers WHERE id < 3")
        result = db.execute("SELECT id FROM shop.customers WHERE id < 4 ORDER BY 1")
        gc.collect()
        assert result.fetchall() == [(1,), (2,), (3,)]


def test_relations_keep_what_they_read_and_no_longer(shop: Origin) -> None:
    with open_shop(shop) as db:

        def fetched() -> int:
            # Two statements: the first clears what the garbage collector has released.
            db.execute("SELECT 1").fetchall()
            found = db.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'flashql_fetched%'")
            return int(found.fetchall()[0][0])

        relation = db.sql("SELECT id FROM shop.customers WHERE id < 6").filter("id > 2")
        gc.collect()
        assert fetched() == 1
        assert sorted(relation.fetchall()) == [(3,), (4,), (5,)]
        assert db.execute("SELECT 7").fetchone() == (7,)
        again = db.sql("SELECT count(*) FROM shop.customers")
        assert again.fetchall() == [(20,)]
        del relation, again
        gc.collect()
        assert fetched() == 0
        db.execute("SELECT * FROM shop.customers").fetchall()
        assert fetched() == 0
        with pytest.raises(errors.DefinitionError):
            db.sql("CREATE ORIGIN VIEW shop.v AS SELECT 1 AS x")


def test_a_relation_over_copies_is_lazy(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        relation = db.sql("SELECT count(*) FROM shop.orders")
        shop.execute("INSERT INTO orders VALUES (5000, 1, 1, 1, '')")
        db.sync.wait(timeout=30)
        assert relation.fetchall() == [(101,)]


def test_cursors_in_threads(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()

        def read(number: int) -> int:
            with db.cursor() as cursor:
                found = cursor.execute(
                    "SELECT count(*) FROM shop.customers c JOIN shop.orders o ON o.customer_id = c.id WHERE c.id <= ?",
                    [number],
                ).fetchall()
            return int(found[0][0])

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(read, range(1, 17))) == [5 * number for number in range(1, 17)]


def test_duckdbs_own_views_over_origin_views(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        db.execute("""
            CREATE VIEW rich AS SELECT id, credit FROM shop.customers WHERE credit > 20;
            CREATE VIEW richest (who, what) AS SELECT r.id, max(o.amount) FROM rich r
                JOIN shop.orders o ON o.customer_id = r.id GROUP BY ALL;
            CREATE VIEW local_only AS SELECT id FROM shop.orders;
        """)
        same_rows(shop, db, "SELECT id, credit FROM customers WHERE credit > 20", "SELECT * FROM rich")
        query = "SELECT c.id, max(o.amount) FROM customers c JOIN orders o ON o.customer_id = c.id "
        query += "WHERE credit > 20 GROUP BY 1"
        same_rows(shop, db, query, "SELECT r.who, r.what FROM richest AS r")
        same_rows(shop, db, query, "SELECT who, richest.what FROM richest")
        assert sorted(db.sql("SELECT id FROM rich WHERE id > 18").fetchall()) == [(19,), (20,)]
        assert len(db.execute("DESCRIBE richest").fetchall()) == 2
        lines = [line for (line,) in db.execute("EXPLAIN SELECT * FROM richest").fetchall()]
        assert any("origin primary" in line for line in lines)
        db.execute("CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n FROM richest")
        db.sync.sync()
        assert db.execute("SELECT n FROM kept").fetchone() == db.execute("SELECT count(*) FROM richest").fetchone()
        with pytest.raises(errors.DefinitionError, match=r"main\.kept read shop\.customers"):
            db.execute("DROP VIEW shop.customers")


def test_values_of_origin_views_are_postgress(shop: Origin) -> None:
    shop.execute("""
        CREATE TABLE odd AS SELECT * FROM (VALUES
            (1, 12345678901234567890123456789.123456789::numeric, timestamptz '2024-02-29 23:59:59.999999+05',
             interval '1 mon 2 days 03:04:05.6', '{1,NULL,3}'::int[], '\\xdeadbeef'::bytea, 'NaN'::float8),
            (2, NULL, NULL, NULL, NULL, NULL, 0.1::float8)) AS v (id, n, at, i, a, b, f);
        ALTER TABLE odd ADD PRIMARY KEY (id);
    """)
    with open_shop(shop) as db:
        db.execute("CREATE ORIGIN VIEW shop.odd AS SELECT id, n, at, a, b, f FROM odd")
        db.execute("CREATE REALTIME VIEW shop.odd_copy AS SELECT id, n, at, a, b, f FROM odd")
        db.sync.sync()
        for name in ("odd", "odd_copy"):
            same_rows(shop, db, "SELECT id, n, at, a, b, f FROM odd", f"SELECT * FROM shop.{name}")


def test_reading_an_origin_leaves_a_transaction_alone(shop: Origin) -> None:
    """Also when a value needs a wider type than its column's first: no statement fails on the way."""
    shop.execute("""
        CREATE TABLE wide (id int PRIMARY KEY, n numeric(10,2), m numeric, a int[], at timestamptz, t text);
        INSERT INTO wide VALUES (1, 'NaN', 1e-12, '{{1,2},{3,4}}', '294276-01-01', 'x'),
            (2, 3, 4, '{1}', '2025-01-01', NULL), (3, NULL, NULL, NULL, NULL, NULL);
    """)
    with open_shop(shop) as db:
        db.execute("CREATE ORIGIN VIEW shop.wide AS SELECT * FROM wide; CREATE TABLE seen (id int, n varchar)")
        db.execute("BEGIN")
        db.execute("INSERT INTO seen SELECT id, n FROM shop.wide")
        assert db.execute('SELECT typeof(n), typeof(m), typeof(a), typeof("at") FROM shop.wide').fetchall()[0] == (
            "VARCHAR",
            "DECIMAL(38,12)",
            "VARCHAR",
            "VARCHAR",
        )
        assert db.execute("SELECT typeof(n), typeof(a) FROM shop.wide WHERE id = 2").fetchall() == [
            ("DECIMAL(10,2)", "INTEGER[]")
        ]
        db.execute("COMMIT")
        assert db.execute("FROM seen ORDER BY id").fetchall() == [(1, "NaN"), (2, "3.00"), (3, None)]


def test_the_file_is_an_ordinary_duckdb_file(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync("shop.orders")
    with duckdb.connect(database_path) as plain:
        same_rows(shop, plain, "SELECT * FROM orders", "SELECT * FROM shop.orders")
        with pytest.raises(duckdb.Error, match=r"shop\.customers is read at its origin"):
            plain.execute("SELECT * FROM shop.customers").fetchall()
        with pytest.raises(duckdb.Error, match=r"shop\.products has no local copy yet: run db\.sync\.sync"):
            plain.execute("SELECT * FROM shop.products").fetchall()
        for name in ("customers", "products", "orders"):
            assert plain.execute(f"DESCRIBE shop.{name}").fetchall()[0][0] == "id"


def test_a_view_not_synced_says_what_to_do(shop: Origin) -> None:
    with open_shop(shop) as db:
        with pytest.raises(errors.ViewNotReady, match=r"db\.sync\.sync\(\)"):
            db.execute("SELECT * FROM shop.products").fetchall()
        assert db.execute("DESCRIBE shop.products").fetchall()[1][:2] == ("name", "VARCHAR")


def test_an_origin_that_is_down_fails_the_query_and_leaves_nothing(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path):
        pass
    with flashql.connect(database_path, origins={"primary": "postgresql://nobody@127.0.0.1:1/none"}) as db:
        with pytest.raises(errors.OriginUnreachable, match="origin primary does not answer"):
            db.execute("SELECT * FROM shop.customers")
        assert db.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary").fetchall() == [(0,)]


def test_a_query_that_fails_before_its_first_row_says_why(shop: Origin) -> None:
    with flashql.connect(origins={"primary": shop.dsn}) as db:
        db.execute("CREATE VIEW none WITH (replication_origin = 'primary') AS SELECT 1 / (id - id) AS x FROM orders")
        with pytest.raises(errors.OriginQueryFailed, match="division by zero"):
            db.execute("SELECT * FROM none WHERE x > 5").fetchall()
        with pytest.raises(errors.OriginQueryFailed, match="division by zero"):
            db.execute("SELECT * FROM none").fetchall()


def test_an_origin_that_goes_away_before_the_first_row_leaves_the_process(shop: Origin, proxy: Proxy) -> None:
    with flashql.connect(origins={"primary": proxy.dsn}) as db:
        db.execute(
            "CREATE VIEW slow WITH (replication_origin = 'primary') AS SELECT id, pg_sleep(60)::text FROM orders"
        )
        sleeps = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'COPY.*pg_sleep' AND state = 'active'"
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(lambda: db.cursor().execute("SELECT * FROM slow").fetchall())
            until(lambda: shop.query(f"{sleeps} AND pid <> pg_backend_pid()") == [(1,)], "the query has begun")
            proxy.refuse()
            proxy.cut()
            with pytest.raises(errors.OriginUnreachable):
                asked.result(30)
