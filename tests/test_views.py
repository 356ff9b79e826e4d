"""DDL through execute, against a real origin: what each statement makes, changes and takes away."""

from __future__ import annotations

import pytest

import flashql
from flashql import errors
from flashql.database import Database
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_shop import job, make_shop, open_shop, publications, slots


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_shop(origin)


def catalog(db: Database) -> list[tuple[object, ...]]:
    """Everything FlashQL and DuckDB know of views, to compare before and after.

    (DuckDB 1 prints the same view with other quotes and spaces once it has been read back from the file.)
    """
    rows: list[tuple[object, ...]] = db.execute(
        "SELECT namespace, name, definition FROM flashql.views ORDER BY 1, 2"
    ).fetchall()
    rows += db.execute(
        "SELECT schema_name, view_name, regexp_replace(sql, '[\" ]', '', 'g') FROM duckdb_views() "
        "WHERE NOT internal ORDER BY 1, 2"
    ).fetchall()
    rows += db.execute("SELECT schema_name, table_name, '' FROM duckdb_tables() ORDER BY 1, 2").fetchall()
    return rows


def test_every_persistence_by_keyword_and_by_option(shop: Origin) -> None:
    with flashql.connect(origins={"primary": shop.dsn}) as db:
        db.execute("""
            -- the schema gives the origin
            CREATE SCHEMA s WITH (replication_origin = 'postgres:primary');
            CREATE VIEW s.a AS SELECT id FROM products;  /* with an origin, a view is an origin view */
            CREATE VIEW s.b WITH (persistence = 'materialized') AS SELECT id FROM products;
            CREATE VIEW s.c AS SELECT id FROM products WITH (persistence = realtime);
            CREATE REALTIME VIEW s.d WITH (persistence = 'realtime') AS TABLE products;
            CREATE MATERIALIZED VIEW e WITH (replication_origin = 'primary') AS
                WITH p AS (SELECT id FROM products) SELECT * FROM p;
        """)
        assert db.views == {
            "main.e": "materialized",
            "s.a": "origin",
            "s.b": "materialized",
            "s.c": "realtime",
            "s.d": "realtime",
        }
        db.sync.sync()
        for name in ("s.a", "s.b", "s.c", "e"):
            same_rows(shop, db, "SELECT id FROM products", f"SELECT * FROM {name}")
        same_rows(shop, db, "SELECT * FROM products", "SELECT * FROM s.d")


def test_a_view_with_neither_persistence_nor_origin_is_duckdbs(shop: Origin) -> None:
    with open_shop(shop) as db:
        before = db.views
        db.execute("CREATE VIEW plain AS SELECT 42 AS answer; CREATE OR REPLACE VIEW plain AS SELECT 43 AS answer")
        assert db.views == before
        assert db.execute("SELECT answer FROM plain").fetchall() == [(43,)]
        db.execute("DROP VIEW plain")


def test_or_replace_and_if_not_exists(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        before = catalog(db)
        db.execute("CREATE MATERIALIZED VIEW IF NOT EXISTS shop.orders AS SELECT 1 AS x")
        assert catalog(db) == before
        with pytest.raises(errors.NameTaken, match="OR REPLACE"):
            db.execute("CREATE MATERIALIZED VIEW shop.products AS SELECT 1 AS x")
        assert catalog(db) == before
        db.execute("CREATE OR REPLACE MATERIALIZED VIEW shop.products AS SELECT id AS alone FROM products")
        assert job(db, "shop.products").state == "idle"
        db.sync.sync()
        same_rows(shop, db, "SELECT id FROM products", "SELECT alone FROM shop.products")
        db.execute("CREATE OR REPLACE REALTIME VIEW shop.big AS SELECT id, note FROM orders WHERE amount < 5")
        db.sync.sync()
        db.sync.wait(timeout=30)
        same_rows(shop, db, "SELECT id, note FROM orders WHERE amount < 5", "SELECT * FROM shop.big")


def test_alter_between_all_three_persistences(shop: Origin) -> None:
    query, local = "SELECT id, amount FROM orders WHERE amount > 40", "SELECT * FROM shop.big"
    with open_shop(shop) as db:
        db.sync.sync()
        for persistence in ("origin", "materialized", "realtime", "materialized", "origin", "realtime"):
            db.execute(f"ALTER VIEW shop.big SET (persistence = '{persistence}')")
            assert db.views["shop.big"] == persistence
            shop.execute("UPDATE orders SET amount = amount + 1")
            db.sync.sync()
            if persistence == "realtime":
                db.sync.wait(timeout=30)
            same_rows(shop, db, query, local)
        db.sync.wait("shop.orders", timeout=30)


def test_alter_changes_options_without_losing_rows(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync("shop.products")
        db.execute("ALTER VIEW shop.products SET (refresh_every = '1 hour')")
        assert job(db, "shop.products").rows == 10
        db.execute("ALTER VIEW shop.products RESET (refresh_every)")
        assert job(db, "shop.products").rows == 10


def test_dropping_the_last_realtime_view_gives_slot_and_publication_back(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        db.execute("DROP VIEW shop.big")
        assert len(publications(shop)) == 1
        db.execute("DROP REALTIME VIEW shop.orders")
        assert slots(shop) == []
        assert publications(shop) == {}
        assert db.execute("SELECT count(*) FROM flashql.copies").fetchall() == [(0,)]
        with pytest.raises(errors.FlashQLError, match="does not exist"):
            db.execute("DROP VIEW shop.orders")
        db.execute("DROP VIEW IF EXISTS shop.orders")


def test_views_that_read_views(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.execute("""
            CREATE MATERIALIZED VIEW spent AS
                SELECT c.name, sum(o.amount) AS spent FROM shop.orders o JOIN shop.customers c ON c.id = o.customer_id
                GROUP BY ALL;
            CREATE MATERIALIZED VIEW top AS SELECT * FROM spent WHERE spent > 100;
        """)
        report = db.sync.sync()
        assert report.failed == {}
        assert report.materialized[-2:] == ("main.spent", "main.top")
        query = "SELECT c.name, sum(o.amount) FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY 1"
        same_rows(shop, db, query, "SELECT * FROM spent")
        before = catalog(db)
        with pytest.raises(errors.DefinitionError, match=r"main\.top read main\.spent"):
            db.execute("DROP VIEW spent RESTRICT")
        with pytest.raises(errors.DefinitionError, match="CASCADE"):
            db.execute("DROP VIEW shop.orders")
        assert catalog(db) == before
        db.execute("DROP VIEW shop.orders CASCADE")
        assert sorted(db.views) == ["shop.big", "shop.customers", "shop.products"]


def test_refresh(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        shop.execute("DELETE FROM products WHERE id > 3; DELETE FROM orders WHERE id > 3")
        db.execute("REFRESH MATERIALIZED VIEW shop.products; REFRESH VIEW shop.orders; REFRESH REALTIME VIEW shop.big")
        same_rows(shop, db, "SELECT * FROM products", "SELECT * FROM shop.products")
        same_rows(shop, db, "SELECT * FROM orders", "SELECT * FROM shop.orders")
        with pytest.raises(errors.DefinitionError, match="nothing to refresh"):
            db.execute("REFRESH VIEW shop.customers")


def test_explain(shop: Origin) -> None:
    with open_shop(shop) as db:
        lines = db.execute("EXPLAIN SELECT name FROM shop.customers WHERE id = 7").fetchall()
        text = "\n".join(line for (line,) in lines)
        assert "origin primary" in text
        assert '"id" = 7' in text
        for name, word in (("orders", "stream of public.orders"), ("products", "on REFRESH"), ("customers", "pushed")):
            text = "\n".join(line for (line,) in db.execute(f"EXPLAIN VIEW shop.{name}").fetchall())
            assert word in text
        assert db.execute("EXPLAIN SELECT 1").fetchall()
        with pytest.raises(errors.UnknownName):
            db.execute("EXPLAIN VIEW shop.nothing")


def test_the_catalog_survives_reopening(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        before, named = catalog(db), db.views
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert catalog(db) == before
        assert db.views == named
        db.execute("CREATE ORIGIN VIEW shop.more AS SELECT 1 AS one")
        assert db.execute("SELECT one FROM shop.more").fetchall() == [(1,)]


def test_names_and_columns(shop: Origin) -> None:
    shop.execute("""CREATE TABLE "Odd ""Names" (id int PRIMARY KEY, "select" text, "Case" int, "case" int)""")
    shop.execute("""INSERT INTO "Odd ""Names" VALUES (1, 'x', 2, 3)""")
    with open_shop(shop) as db:
        db.execute("""
            CREATE REALTIME VIEW shop."Weird . View" ("The Id", s) AS SELECT id, "select", "Case" FROM "Odd ""Names";
            CREATE MATERIALIZED VIEW shop.both AS SELECT * FROM "Odd ""Names";
            CREATE ORIGIN VIEW shop.twice AS SELECT a.id, b.id FROM products a JOIN products b ON a.id = b.id;
        """)
        assert db.sync.sync().failed == {}
        result = db.execute('SELECT * FROM shop."Weird . View"')
        assert [column[0] for column in result.description or ()] == ["The Id", "s", "Case"]
        assert result.fetchall() == [(1, "x", 2)]
        assert db.execute('SELECT "Case", case_1 FROM shop.both').fetchall() == [(2, 3)]
        db.execute("""CREATE REALTIME VIEW shop.other AS SELECT * FROM "Odd ""Names" WHERE "Case" < "case" """)
        assert db.sync.sync().failed == {}
        assert db.execute('SELECT "Case", case_1 FROM shop.other').fetchall() == [(2, 3)]
        assert db.execute("SELECT id, id_1 FROM shop.twice WHERE id = 3").fetchall() == [(3, 3)]
        with pytest.raises(errors.DefinitionError, match="names 2 columns"):
            db.execute("CREATE ORIGIN VIEW shop.wide (a, b) AS SELECT 1 AS x")


def test_unqualified_names_follow_use(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.execute("USE shop; CREATE ORIGIN VIEW extra AS SELECT 1 AS one")
        assert "shop.extra" in db.views
        assert db.execute("SELECT count(*) FROM customers").fetchall() == [(20,)]
        db.execute("DROP VIEW extra; USE main")
        assert "shop.extra" not in db.views


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE REALTIME VIEW shop.bad AS SELECT * FROM nothing",
        "CREATE MATERIALIZED VIEW shop.bad AS SELECT missing FROM products",
        "CREATE REALTIME VIEW shop.bad AS SELECT count(*), random() FROM products",
        "CREATE OR REPLACE REALTIME VIEW shop.orders AS SELECT missing FROM orders",
        "ALTER VIEW shop.products SET (replication_origin = 'nowhere')",
    ],
)
def test_a_definition_that_fails_leaves_nothing_behind(shop: Origin, statement: str) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        before = catalog(db), slots(shop), publications(shop)
        with pytest.raises(errors.FlashQLError):
            db.execute(statement)
        assert (catalog(db), slots(shop), publications(shop)) == before
        db.sync.wait(timeout=30)


# -- DuckDB's own statements that meet FlashQL's views


def test_dropping_a_schema_drops_its_views_at_the_origin_too(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        before = catalog(db)
        with pytest.raises(errors.DefinitionError, match="CASCADE"):
            db.execute("DROP SCHEMA shop")
        assert catalog(db) == before
        assert len(slots(shop)) == 1
        db.execute("DROP SCHEMA shop CASCADE")
        assert db.views == {}
        assert slots(shop) == []
        assert publications(shop) == {}
        db.execute("CREATE SCHEMA shop")
        with pytest.raises(errors.DefinitionError, match="no origin"):
            db.execute("CREATE ORIGIN VIEW shop.x AS SELECT 1 AS one")
        db.execute("DROP SCHEMA shop; DROP SCHEMA IF EXISTS shop CASCADE")


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("ALTER VIEW shop.orders RENAME TO other", "DROP VIEW"),
        ("ALTER TABLE shop.orders RENAME TO other", "DROP VIEW"),
        ("CREATE TABLE shop.orders (id int)", "another name"),
        ("CREATE OR REPLACE TABLE shop.orders AS SELECT 1", "another name"),
        ("DROP TABLE shop.orders", "DROP VIEW"),
        ("CREATE TABLE flashql.mine (id int)", "another schema"),
        ("DROP SCHEMA flashql CASCADE", "another schema"),
        ("CREATE SCHEMA flashql_data", "another schema"),
        ("DROP TABLE flashql.views", "another schema"),
    ],
)
def test_statements_that_would_take_a_view_away_are_refused(shop: Origin, statement: str, advice: str) -> None:
    with open_shop(shop) as db:
        before = catalog(db)
        with pytest.raises(errors.DefinitionError) as refused:
            db.execute(statement)
        assert advice in str(refused.value)
        assert catalog(db) == before


def test_a_plain_view_does_not_replace_one_of_ours(shop: Origin) -> None:
    with flashql.connect(origins={"primary": shop.dsn}) as db:
        db.execute("CREATE ORIGIN VIEW v WITH (replication_origin = 'primary') AS SELECT * FROM products")
        with pytest.raises(errors.NameTaken, match="FlashQL view"):
            db.execute("CREATE OR REPLACE VIEW v AS SELECT 1")
        assert db.views == {"main.v": "origin"}


def test_our_statements_refuse_to_run_in_a_transaction(shop: Origin) -> None:
    with open_shop(shop) as db:
        before = catalog(db)
        db.execute("BEGIN; CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
        for statement in (
            "CREATE ORIGIN VIEW shop.x AS SELECT 1 AS one",
            "DROP VIEW shop.big",
            "REFRESH VIEW shop.big",
        ):
            with pytest.raises(errors.DefinitionError, match="open transaction"):
                db.execute(statement)
        assert db.execute("SELECT count(*) FROM shop.customers").fetchall() == [(20,)]
        db.execute("COMMIT")
        assert db.execute("SELECT * FROM kept").fetchall() == [(1,)]
        db.execute("BEGIN; DELETE FROM kept; ROLLBACK")
        assert db.execute("SELECT * FROM kept").fetchall() == [(1,)]
        db.execute("DROP TABLE kept")
        assert catalog(db) == before
        db.execute("CREATE ORIGIN VIEW shop.x AS SELECT 1 AS one")
