"""Transactions that the origin sends in progress: whatever becomes of them, the copies equal the origin.

The databases here let a walsender hold 64 kB of a transaction (Postgres's least), so that all but the smallest are
streamed; each test asserts that it was.
"""

from __future__ import annotations

import re
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fix_postgres import Origin, PrivateServer
from tests.fix_proxy import Proxy
from tests.fix_shop import until
from tests.postgres.follower import Follower
from tests.postgres.pair import WAIT_SECONDS, Pair, following

TABLES = (
    "CREATE TABLE t (id int PRIMARY KEY, v int, body text); CREATE TABLE u (id int PRIMARY KEY, v int);"
    "CREATE TABLE bag (v int, note text); ALTER TABLE bag REPLICA IDENTITY FULL;"
    "INSERT INTO t SELECT g, 0, 'body ' || g FROM generate_series(1, 500) g;"
    "INSERT INTO u SELECT g, 0 FROM generate_series(1, 500) g;"
    "INSERT INTO bag SELECT g % 5, 'n' FROM generate_series(1, 50) g"
)
VIEWS = {"t": "SELECT * FROM t", "u": "SELECT * FROM u", "bag": "SELECT * FROM bag"}
# Of rows of 1 kB: far more than what is held at once.
BACKLOG_BYTES = 300_000 << 10
# About 200 kB where a walsender collects it.
MANY_ROWS = "INSERT INTO t SELECT g, 1, 'body ' || g FROM generate_series({first}, {first} + 1500) g"

Connection = psycopg.Connection[tuple[object, ...]]


def stream_early(origin: Origin) -> None:
    """Walsenders of this database send transactions in progress as soon as they may."""
    origin.execute(f"ALTER DATABASE \"{origin.name}\" SET logical_decoding_work_mem = '64kB'")


def streamed(origin: Origin) -> int:
    """How many transactions the slot of this database has sent in progress."""
    rows = origin.query(
        "SELECT coalesce(sum(stream_txns), 0)::int FROM pg_stat_replication_slots AS stat "
        "JOIN pg_replication_slots AS slot USING (slot_name) WHERE database = current_database()"
    )
    return int(rows[0][0])


@pytest.fixture
def pair(origin: Origin, tmp_path: Path) -> Iterator[Pair]:
    """Three followed tables in a file."""
    stream_early(origin)
    origin.execute(TABLES)
    with following(origin, str(tmp_path / "f.duckdb"), **VIEWS) as made:
        made.check()
        yield made


def compare(pair: Pair) -> None:
    """What `check` does while a transaction is open or prepared, when `verify` gets no snapshot."""
    pair.db.sync.wait(timeout=WAIT_SECONDS)
    pair.compare()


def begin_large(pair: Pair, connection: Connection, first: int = 10_000) -> None:
    """Begin a transaction, write much, and return when the origin has begun to send it."""
    before = streamed(pair.origin)
    connection.execute("BEGIN")
    connection.execute(MANY_ROWS.format(first=first).encode())
    until(lambda: streamed(pair.origin) > before, "the transaction is streamed")


def test_readers_see_all_or_nothing_while_others_commit(pair: Pair) -> None:
    """Edge case 39."""
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        with pair.db.cursor() as cursor:
            while not done.is_set():
                seen.update(count for (count,) in cursor.execute("SELECT count(*) FROM s.t").fetchall())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with pair.origin.connect() as one, pair.origin.connect() as other:
            begin_large(pair, one)
            begin_large(pair, other, first=20_000)
            for at in range(1, 20):  # neither keeps the small ones back, nor the writer
                pair.origin.execute(f"UPDATE u SET v = {at} WHERE id = {at}; DELETE FROM bag WHERE v = {at % 5}")
                one.execute(f"UPDATE t SET v = {at} WHERE id > {9_000 + at * 100}".encode())
                other.execute(f"DELETE FROM t WHERE id = {20_000 + at}".encode())
                pair.db.sync.wait(timeout=WAIT_SECONDS)
            assert pair.db.execute("SELECT max(v), count(*) FROM s.u WHERE v > 0").fetchall() == [(19, 19)]
            assert seen == {500}
            other.execute("COMMIT")
            compare(pair)
            one.execute("COMMIT")
            pair.check()
    finally:
        done.set()
        reader.join()
    assert seen <= {500, 500 + 1501 - 19, 500 + 1501 - 19 + 1501}


def test_savepoints_that_are_rolled_back(pair: Pair) -> None:
    """Edge case 38: at the beginning, in the middle, at the end; nested; released within one that is rolled back."""
    with pair.origin.connect() as connection:
        connection.execute(
            "BEGIN; SAVEPOINT a; INSERT INTO u VALUES (-1, 0);"
            "INSERT INTO t SELECT g, 2, 'gone' FROM generate_series(30000, 31500) g"
        )
        until(lambda: streamed(pair.origin) > 0, "the transaction is streamed")
        connection.execute("ROLLBACK TO a")
        connection.execute(MANY_ROWS.format(first=10_000).encode())
        connection.execute(
            "SAVEPOINT b; UPDATE t SET v = 3 WHERE id > 10000; SAVEPOINT c; DELETE FROM t WHERE id % 2 = 0;"
            "SAVEPOINT d; TRUNCATE u; INSERT INTO u SELECT g, 1 FROM generate_series(1, 1500) g; RELEASE d;"
            "UPDATE bag SET note = 'x'; RELEASE c; INSERT INTO u SELECT g, 1 FROM generate_series(5000, 6500) g"
        )
        connection.execute("ROLLBACK TO b; UPDATE t SET v = 4, body = body || '!' WHERE id % 3 = 0; SAVEPOINT e")
        connection.execute(MANY_ROWS.format(first=50_000).encode())
        connection.execute("RELEASE e; SAVEPOINT f; DELETE FROM t; ROLLBACK TO f; COMMIT")
    pair.check()


def test_many_savepoints(pair: Pair) -> None:
    """Edge case 38: a subtransaction for each row, as exception blocks make them; every third is undone."""
    pair.origin.execute(
        "DO $$ BEGIN FOR n IN 10000..12000 LOOP BEGIN "
        "INSERT INTO t VALUES (n, n, repeat('x', 100)); UPDATE u SET v = n WHERE id = n % 500; "
        "IF n % 3 = 0 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero THEN NULL; "
        "END; END LOOP; END $$"
    )
    pair.check()
    assert streamed(pair.origin) > 0


def test_what_was_streamed_is_rolled_back(pair: Pair) -> None:
    """Edge case 39. A relation described only in what was undone is described again to those that follow."""
    with pair.origin.connect() as connection:
        begin_large(pair, connection)
        connection.execute("UPDATE u SET v = -1; DELETE FROM bag")
        pair.origin.execute("INSERT INTO u VALUES (1000, 1)")
        connection.execute("ROLLBACK")
    pair.origin.execute(
        "INSERT INTO t VALUES (1000, 1, 'x'); UPDATE u SET v = 3 WHERE id = 4; DELETE FROM bag WHERE v = 1"
    )
    pair.check()
    with pair.origin.connect() as connection:
        begin_large(pair, connection)
        connection.execute("ROLLBACK")
        begin_large(pair, connection)
        connection.execute("COMMIT")
    pair.check()


def test_truncated_and_altered_inside(pair: Pair) -> None:
    """Edge case 39."""
    with pair.origin.connect() as connection:
        begin_large(pair, connection)
        connection.execute("TRUNCATE t, bag")
        connection.execute(MANY_ROWS.format(first=100).encode())
        connection.execute("SAVEPOINT s; ALTER TABLE t DROP COLUMN body; UPDATE t SET v = 7; ROLLBACK TO s")
        connection.execute("ALTER TABLE t ADD COLUMN extra int DEFAULT 5; UPDATE t SET v = 8, extra = id")
        connection.execute("ALTER TABLE u ALTER COLUMN v TYPE bigint; UPDATE u SET v = 10000000000 + id")
        connection.execute("COMMIT")
    pair.sync()
    pair.queries["t"] = "SELECT id, v, body FROM t"
    pair.check()


def test_toasted_values_that_do_not_change(pair: Pair) -> None:
    """Edge case 39: such values are not sent; the row that has them may be of the same transaction, or earlier."""
    wide = "(SELECT string_agg(md5((g * 1000 + h)::text), '') FROM generate_series(1, 100) h)"
    pair.origin.execute(f"INSERT INTO t SELECT g, 0, {wide} FROM generate_series(1000, 1020) g")
    with pair.origin.connect() as connection:
        begin_large(pair, connection)
        connection.execute(f"INSERT INTO t SELECT g, 0, {wide} FROM generate_series(2000, 2020) g".encode())
        connection.execute("UPDATE t SET v = 1 WHERE id BETWEEN 1000 AND 2020; SAVEPOINT s")
        connection.execute("UPDATE t SET body = 'short' WHERE id = 1003; ROLLBACK TO s")
        connection.execute("UPDATE t SET id = id + 5000 WHERE id BETWEEN 1010 AND 2010")
        connection.execute("UPDATE t SET v = 2; COMMIT")
    pair.check()


def test_prepared_transactions(private_server: PrivateServer) -> None:
    """Edge case 39: they come when they are committed, though they were sent before."""
    private_server.conf(max_prepared_transactions=10, logical_decoding_work_mem="64kB")
    private_server.execute(TABLES)
    with following(private_server, **VIEWS) as pair, private_server.connect() as connection:
        for at, name in enumerate(("kept", "undone")):
            begin_large(pair, connection, first=10_000 * (at + 1))
            connection.execute(f"UPDATE u SET v = 1 WHERE id = {at + 1}; PREPARE TRANSACTION '{name}'".encode())
        private_server.execute("INSERT INTO bag VALUES (4, 'x')")
        compare(pair)
        private_server.execute("ROLLBACK PREPARED 'undone'")
        private_server.execute("INSERT INTO bag VALUES (5, 'x')")
        compare(pair)
        private_server.execute("COMMIT PREPARED 'kept'")
        pair.check()
        assert pair.db.execute("SELECT count(*) FROM s.t").fetchall() == [(2001,)]


def test_the_connection_is_cut_amid(origin: Origin, proxy: Proxy, tmp_path: Path) -> None:
    """Edge case 39: all of it is sent again, also what came before a position that was confirmed meanwhile."""
    stream_early(origin)
    origin.execute(TABLES)
    with following(origin, str(tmp_path / "f.duckdb"), proxy.dsn, **VIEWS) as pair, origin.connect() as connection:
        begin_large(pair, connection)
        for at in range(3):
            origin.execute(f"UPDATE u SET v = {at} WHERE id < 100")
            pair.db.sync.wait(timeout=WAIT_SECONDS)  # behind the beginning of the large one
            proxy.cut()
            connection.execute(MANY_ROWS.format(first=20_000 + at * 2_000).encode())
        connection.execute("COMMIT")
        pair.check()
        begin_large(pair, connection, first=40_000)
        pair.reopen()
        connection.execute("COMMIT")
        pair.sync()
        pair.check()


def test_a_table_joins_while_one_is_open(pair: Pair) -> None:
    """Edge case 39: its snapshot waits for the transaction, whose changes are in it and must not come twice."""
    pair.origin.execute("CREATE TABLE late (id int PRIMARY KEY, v int); INSERT INTO late VALUES (1, 1)")
    with pair.origin.connect() as connection:
        begin_large(pair, connection)
        connection.execute("INSERT INTO late VALUES (2, 2)")
        pair.define(late="SELECT * FROM late")
        syncing = threading.Thread(target=pair.db.sync.sync)
        syncing.start()
        until(lambda: pair.db.sync.status("s.late")[0].phase == "clone", "the copy has begun")
        connection.execute("INSERT INTO late VALUES (3, 3); UPDATE late SET v = v + 1")
        connection.execute(MANY_ROWS.format(first=20_000).encode())
        connection.execute("UPDATE late SET v = v + 1; COMMIT")
        pair.origin.execute("UPDATE late SET v = v + 1 WHERE id = 1")
        syncing.join()
    pair.check()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["streamed", "at its commit", "as many small ones"])
def test_memory_does_not_grow_with_a_backlog(origin: Origin, tmp_path: Path, how: str) -> None:
    """Edge case 39: DuckDB keeps to its limit, and what comes before it takes what a few chunks do."""
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, body text)")
    if how != "at its commit":
        stream_early(origin)
    else:
        origin.execute(f"ALTER DATABASE \"{origin.name}\" SET logical_decoding_work_mem = '1GB'")
    script = tmp_path / "views.sql"
    script.write_text(
        "SET memory_limit = '128MB'; CREATE REALTIME VIEW t WITH (replication_origin = 'primary') AS SELECT * FROM t"
    )
    follower = Follower(str(tmp_path / "f.duckdb"), origin.dsn, script)
    try:
        follower.reach("synced")
        before = peak_bytes(follower)
        follower.process.send_signal(signal.SIGSTOP)  # so that all of it waits
        rows = f"SELECT g, repeat(md5(g::text), 32) FROM generate_series(1, {BACKLOG_BYTES >> 10}) g"
        if how == "as many small ones":
            row = "INSERT INTO t VALUES (g, repeat(md5(g::text), 32)); COMMIT"
            origin.execute("SET synchronous_commit = off")
            origin.execute(f"DO $$ BEGIN FOR g IN 1..{BACKLOG_BYTES >> 10} LOOP {row}; END LOOP; END $$")
        else:
            origin.execute(f"INSERT INTO t {rows}")
        follower.process.send_signal(signal.SIGCONT)
        ((end,),) = origin.query("SELECT pg_current_wal_insert_lsn()")
        confirmed = "SELECT FROM pg_replication_slots WHERE database = current_database() AND confirmed_flush_lsn >= %s"
        until(lambda: origin.query(confirmed, [end]) != [], "all of it is durable", 150.0)
        assert (streamed(origin) > 0) == (how == "streamed")
        assert peak_bytes(follower) - before < BACKLOG_BYTES
    finally:
        follower.kill()


def peak_bytes(follower: Follower) -> int:
    """The most memory that the process has held."""
    status = Path(f"/proc/{follower.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+([0-9]+) kB", status)
    assert found, status
    return int(found[1]) << 10


def test_a_full_disk_is_retried(pair: Pair) -> None:
    """Edge case 39: a file that may not grow; nothing is lost, and the rest goes on when there is room."""
    shown: list[tuple[str, int, int | None]] = []
    pair.db.sync.progress = lambda what, done, total: shown.append((what, done, total))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pair.origin.connect() as connection:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, limits[1]))
            connection.execute("BEGIN")
            connection.execute("INSERT INTO t SELECT g, 1, repeat('x', 400) FROM generate_series(10000, 30000) g")
            until(lambda: "could not be kept" in (pair.db.sync.status("s.t")[0].last_error or ""), "the disk is full")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        connection.execute("COMMIT")
    pair.check()
    assert streamed(pair.origin) > 0
    (what,) = {what for what, _, _ in shown}
    assert what.startswith("transaction ")
    assert what.endswith(" of primary")
    assert shown[-1][1] == shown[-1][2]
