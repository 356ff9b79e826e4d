"""The fixtures do what other tests rely on: isolation, cleaning up, and a network that breaks as told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import duckdb
import psycopg
import pytest

from tests.fix_database import same_rows
from tests.fix_postgres import Origin, PrivateServer, fresh_origin, with_database
from tests.fix_proxy import Proxy


def test_an_origin_is_ready_for_logical_replication(origin: Origin) -> None:
    assert origin.query("SHOW wal_level") == [("logical",)]
    assert origin.query("SELECT current_database()") == [(origin.name,)]
    assert origin.version >= 14


def test_an_origin_is_dropped_with_its_slot_and_its_stream(postgres_dsn: str) -> None:
    """A test that fails while streaming leaves no slot behind."""
    with fresh_origin(postgres_dsn) as leaky:
        slot = f"leak_{leaky.name}"
        leaky.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
        leaky.execute("CREATE PUBLICATION p")
        stream = leaky.connect(replication="database")
        stream.pgconn.exec_(
            f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'p')".encode()
        )
        assert leaky.query("SELECT active FROM pg_replication_slots WHERE slot_name = %s", [slot]) == [(True,)]
    with psycopg.connect(postgres_dsn) as admin:
        left = admin.execute("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", [slot])
        assert left.fetchone() == (0,)
    stream.close()


def test_a_private_server_restarts_with_other_settings(private_server: PrivateServer) -> None:
    private_server.execute("CREATE TABLE kept AS SELECT 1 AS id")
    private_server.conf(wal_level="replica")
    assert private_server.query("SHOW wal_level") == [("replica",)]
    private_server.restart("immediate")
    assert private_server.query("SELECT id FROM kept") == [(1,)]
    private_server.stop()
    with pytest.raises(psycopg.OperationalError):
        private_server.connect()
    private_server.start()
    private_server.connect().close()


def test_the_proxy_cuts_refuses_and_accepts(proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn) as standing:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.dsn)
        assert standing.execute("SELECT 1").fetchone() == (1,)
        proxy.accept()
        proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            standing.execute("SELECT 1")
    psycopg.connect(proxy.dsn).close()
    assert proxy.connections == 2


def test_the_proxy_cuts_at_a_text(proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn, autocommit=True) as standing, psycopg.connect(proxy.dsn, autocommit=True) as other:
        proxy.cut_at(b"SELECT 2")
        assert standing.execute("SELECT 1").fetchone() == (1,)
        for connection in (standing, other):
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 2")
    with psycopg.connect(proxy.dsn) as standing:
        assert standing.execute("SELECT 2").fetchone() == (2,)


def test_the_proxy_holds_bytes_back(proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn, autocommit=True) as connection, ThreadPoolExecutor(1) as threads:
        proxy.stall()
        answer = threads.submit(connection.execute, "SELECT 1")
        assert not answer.done()
        proxy.flow()
        assert answer.result().fetchone() == (1,)


def test_the_proxy_stops_amid_an_answer(proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn, autocommit=True) as connection, ThreadPoolExecutor(1) as threads:
        proxy.trickle(5_000)
        answer = threads.submit(connection.execute, "SELECT repeat('x', 10000)")
        with pytest.raises(TimeoutError):
            answer.result(0.1)
        proxy.flow()
        assert answer.result().fetchone() == ("x" * 10_000,)


def test_same_rows_counts_duplicates_and_sees_nan(origin: Origin) -> None:
    local = duckdb.connect()
    origin.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'NaN'::float8, ARRAY[1, 2])) AS v(a, b, c)")
    local.execute("CREATE TABLE t AS SELECT 1 AS a, 'NaN'::DOUBLE AS b, [1, 2] AS c")
    same_rows(origin, local, "SELECT * FROM t")
    local.execute("INSERT INTO t SELECT * FROM t")
    with pytest.raises(AssertionError, match="1 rows are only local"):
        same_rows(origin, local, "SELECT * FROM t")
    local.close()


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://postgres@/postgres?host=/run/x", "postgresql://postgres@/shop?host=/run/x"),
        ("postgresql://u:p%40@h:5433/postgres", "postgresql://u:p%40@h:5433/shop"),
        ("postgresql://u@h", "postgresql://u@h/shop"),
        ("host=h dbname=postgres", "dbname=shop host=h"),
    ],
)
def test_a_dsn_for_another_database(dsn: str, expected: str) -> None:
    assert with_database(dsn, "shop") == expected
