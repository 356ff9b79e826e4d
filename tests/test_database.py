"""connect(): where origins come from, what a script returns, closing."""

from __future__ import annotations

import logging
import threading
import uuid

import pytest
from psycopg.conninfo import make_conninfo

import flashql
from flashql import errors
from flashql.origins.postgres import PostgresOrigin
from tests.fix_postgres import Origin
from tests.fix_shop import job, make_shop, slots, until

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


def test_a_file_that_is_open_here_is_refused(database_path: str) -> None:
    with flashql.connect(database_path) as db:
        with pytest.raises(errors.DatabaseLocked, match="is open in this process already"):
            flashql.connect(database_path)
        assert db.execute("SELECT 1").fetchone() == (1,)
    flashql.connect(database_path).close()


class Stubborn(PostgresOrigin):
    """An origin that cannot even be left in peace."""

    def close(self) -> None:
        super().close()
        raise errors.OriginUnreachable("no way out")


def test_an_error_while_closing_stops_none_of_it(origin: Origin, database_path: str) -> None:
    make_shop(origin)
    db = flashql.connect(database_path, origins={"primary": Stubborn("primary", lambda: origin.dsn)})
    db.execute(CREATE)
    with pytest.raises(errors.OriginUnreachable, match="no way out"):
        db.close()
    db.close()
    with pytest.raises(errors.DatabaseError, match="closed"):
        db.execute("SELECT 1")
    flashql.connect(database_path).close()


@pytest.mark.parametrize("own_handle", [True, False])
def test_closing_while_another_thread_runs_a_query(database_path: str, own_handle: bool) -> None:
    db = flashql.connect(database_path)
    handle = db.cursor() if own_handle else db
    failed = threading.Event()
    begun = threading.Event()

    def work() -> None:
        try:
            while True:
                handle.execute("SELECT count(*) FROM range(1000000) AS r (a) WHERE a % 7 = 3").fetchall()
                begun.set()
        except errors.FlashQLError:
            failed.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    db.close()
    assert failed.wait(60)
    thread.join(60)
    db.close()
    flashql.connect(database_path).close()


NAP = "SELECT pg_sleep(seconds)::text AS slept FROM naps"


def is_napping(origin: Origin) -> bool:
    return origin.query(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    ) == [(True,)]


@pytest.mark.parametrize("scheduled", [True, False])
def test_closing_does_not_wait_for_a_refresh(origin: Origin, database_path: str, scheduled: bool) -> None:
    """It is ended at the origin, and nothing is noted as a failure."""
    origin.execute("CREATE TABLE naps AS SELECT 0::float8 AS seconds")
    every = ", refresh_every = '50 ms'" if scheduled else ""
    db = flashql.connect(database_path, origins={"primary": origin.dsn})
    db.execute(f"CREATE MATERIALIZED VIEW v WITH (replication_origin = 'primary'{every}) AS {NAP}")
    assert db.sync.sync().failed == {}
    origin.execute("UPDATE naps SET seconds = 3600")
    raised: list[str] = []

    def refresh() -> None:
        try:
            db.execute("REFRESH VIEW v")
        except errors.DatabaseError as error:
            raised.append(error.message)

    thread = threading.Thread(target=refresh)
    if not scheduled:
        thread.start()
    until(lambda: is_napping(origin), "the view is read at the origin")
    db.close()
    if not scheduled:
        thread.join(60)
        assert raised == ["this database is closed"]
    until(lambda: not is_napping(origin), "the origin computes it no more")
    with flashql.connect(database_path) as again:
        assert job(again, "v").state == "synced"
        assert again.execute("SELECT slept FROM v").fetchall() == [("",)]


def test_credentials_may_change(origin: Origin, caplog: pytest.LogCaptureFixture) -> None:
    """A function is asked at each connection, also by a pool that has lost its own; that is no news for the log."""
    make_shop(origin)
    names = [f"rotated_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    current = [names[0]]
    try:
        for name in names:
            origin.execute(f"CREATE ROLE {name} LOGIN; GRANT pg_read_all_data TO {name}")
        with flashql.connect(origins={"primary": lambda: make_conninfo(origin.dsn, user=current[0])}) as db:
            db.execute(CREATE)
            assert db.execute("SELECT n FROM v").fetchone() == (10,)
            current[0] = names[1]
            origin.execute(f"ALTER ROLE {names[0]} NOLOGIN")
            origin.query(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '{names[0]}'")
            db.execute("CREATE OR REPLACE " + CREATE.removeprefix("CREATE "))
            assert db.execute("SELECT n FROM v").fetchone() == (10,)
    finally:
        for name in names:
            origin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
