"""connect(): where origins come from, what a script returns, closing."""

from __future__ import annotations

import pytest

import flashql
from flashql import errors
from flashql.origins.postgres import PostgresOrigin
from tests.fix_postgres import Origin
from tests.fix_shop import make_shop, slots

CREATE = "CREATE ORIGIN VIEW v WITH (replication_origin = 'primary') AS SELECT count(*) AS n FROM products"


def test_an_origin_is_a_dsn_an_object_or_a_function(origin: Origin) -> None:
    make_shop(origin)
    dsn, asked = origin.dsn, []

    def ask() -> str:
        asked.append(1)
        return dsn

    for source in (dsn, PostgresOrigin("primary", lambda: dsn), ask, lambda: PostgresOrigin("primary", lambda: dsn)):
        with flashql.connect(origins={"primary": source}) as db:
            assert db.execute(f"{CREATE}; SELECT n FROM v").fetchone() == (10,)
    assert asked


def test_names_that_origins_lacks_are_asked_for(origin: Origin) -> None:
    make_shop(origin)
    names: list[str] = []

    def resolve(name: str) -> str:
        names.append(name)
        return origin.dsn

    with flashql.connect(resolve_origin=resolve) as db:
        assert db.execute(f"{CREATE}; SELECT n FROM v").fetchone() == (10,)
    assert names == ["primary"]


def test_what_is_no_origin() -> None:
    with flashql.connect(origins={"primary": lambda: 42}) as db, pytest.raises(errors.DefinitionError, match="DSN"):  # type: ignore[dict-item, return-value]
        db.execute(CREATE)


def test_a_script_returns_its_last_statements_result() -> None:
    with flashql.connect() as db:
        assert db.execute("SELECT 1; SELECT 2; -- done").fetchall() == [(2,)]
        assert db.execute("CREATE SCHEMA s").fetchall() == []
        assert db.execute("").fetchall() == []
        assert db.execute("SELECT 'a;b' AS x -- ; SELECT 3").fetchall() == [("a;b",)]


def test_a_script_stops_at_its_first_error() -> None:
    with flashql.connect() as db:
        with pytest.raises(errors.QueryFailed):
            db.execute("CREATE TABLE a (x int); SELECT * FROM nothing; CREATE TABLE b (x int)")
        tables = db.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'").fetchall()
        assert tables == [("a",)]


def test_config_goes_to_duckdb() -> None:
    with flashql.connect(config={"threads": 1}) as db:
        assert db.execute("SELECT current_setting('threads')").fetchone() == (1,)


def test_a_database_in_memory_leaves_nothing_at_its_origin(origin: Origin) -> None:
    make_shop(origin)
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        db.execute("CREATE REALTIME VIEW o WITH (replication_origin = 'primary') AS SELECT * FROM orders")
        assert db.sync.sync().failed == {}
    assert slots(origin) == []
    assert origin.query("SELECT count(*) FROM pg_publication") == [(0,)]


def test_closing_twice_and_closing_a_cursor(database_path: str) -> None:
    db = flashql.connect(database_path)
    with db.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchone() == (1,)
    assert db.execute("SELECT 1").fetchone() == (1,)
    db.close()
    db.close()
    flashql.connect(database_path).close()
