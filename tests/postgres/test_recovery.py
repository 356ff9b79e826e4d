"""After every kind of interruption the copies equal the origin again, by themselves, and nothing is left behind."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import PoolTimeout

import flashql
from flashql import feeding
from flashql.following import Follower
from flashql.lsn import LSN
from flashql.origins.base import ChangeBatch
from flashql.origins.postgres import PostgresOrigin, assembling
from flashql.origins.postgres.slot import slot_name
from flashql.store.jobs import JobStatus
from tests.fix_postgres import Origin, PrivateServer
from tests.fix_proxy import Proxy
from tests.postgres.pair import WAIT_SECONDS, Pair, following

TABLES = (
    "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int);"
    "INSERT INTO a SELECT g, 0 FROM generate_series(1, 200) g; INSERT INTO b SELECT g, 0 FROM generate_series(1, 200) g"
)
VIEWS = {"a": "SELECT * FROM a", "b": "SELECT * FROM b", "some": "SELECT id FROM b WHERE v > 50"}


@contextmanager
def writing(origin: Origin) -> Iterator[None]:
    """Transactions over both tables, one after another, until the block ends; lost connections are made anew."""
    stopping = threading.Event()

    def write() -> None:
        at = 0
        while not stopping.is_set():
            try:
                with origin.connect() as connection:
                    while not stopping.is_set():
                        at += 1
                        connection.execute(change(at).encode())
            except psycopg.OperationalError:
                stopping.wait(0.02)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def change(at: int) -> str:
    """One transaction: a row of each table changes, one moves, one goes and comes."""
    row = at % 200 + 1
    return (
        f"BEGIN; UPDATE a SET v = {at} WHERE id = {row}; UPDATE b SET id = id + 1000 WHERE id = {row};"
        f"DELETE FROM b WHERE id = {row + 1000};"
        f"INSERT INTO b VALUES ({row}, {at % 100}) ON CONFLICT DO NOTHING; COMMIT"
    )


def until(happened: Callable[[], bool]) -> None:
    """Wait until something that has no notification of its own has happened."""
    deadline = time.monotonic() + WAIT_SECONDS
    pause = threading.Event()
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)


def job(pair: Pair, view: str = "s.a") -> JobStatus:
    """The status of one view."""
    (status,) = pair.db.sync.status(view)
    return status


def end_walsender(origin: Origin) -> None:
    """End the backend that serves the slot of this database."""
    origin.query(
        "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots "
        "WHERE database = current_database() AND active_pid IS NOT NULL AND NOT temporary"
    )


def test_close_and_reopen(origin: Origin, database_path: str) -> None:
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        before = pair.copies()
        for at in range(3):
            with writing(origin):
                pair.db.sync.wait(timeout=WAIT_SECONDS)
                pair.reopen()
                assert {status.state for status in pair.db.sync.status()} == {"idle"}
                assert pair.db.execute("SELECT count(*) > 0 FROM s.a").fetchall() == [(True,)]  # readable unsynced
            origin.execute(f"UPDATE a SET v = -{at}")
            pair.sync()
            pair.check()
        assert pair.copies() == before  # it went on; nothing was copied again
        assert len(pair.slots()) == 1
        assert not pair.leftover_tables()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_server_restarts_during_writes(private_server: PrivateServer, database_path: str, mode: str) -> None:
    private_server.execute(TABLES)
    with following(private_server, database_path, **VIEWS) as pair:
        before = pair.copies()
        with writing(private_server):
            for _ in range(3):
                pair.db.sync.wait(timeout=WAIT_SECONDS)
                private_server.restart(mode)
                until(lambda: job(pair).state == "running")
        pair.check()
        assert pair.copies() == before
        assert len(pair.slots()) == 1


def test_the_connection_is_cut_again_and_again(origin: Origin, proxy: Proxy, database_path: str) -> None:
    origin.execute(TABLES)
    with following(origin, database_path, proxy.dsn, **VIEWS) as pair:
        before = pair.copies()
        with writing(origin):
            for _ in range(10):
                seen = job(pair).last_seen_commit
                proxy.cut()
                until(lambda seen=seen: job(pair).last_seen_commit != seen)  # type: ignore[misc]
        until(lambda: job(pair).state == "running")
        pair.check()
        assert pair.copies() == before


def test_the_connection_is_cut_during_the_copy(origin: Origin, proxy: Proxy, database_path: str) -> None:
    """Edge case 14. The slot of the snapshot goes with its connection; so does the copy, which is made again."""
    origin.execute(TABLES + "; INSERT INTO a SELECT g, 0 FROM generate_series(1001, 60000) g")
    pair = Pair(origin, database_path, proxy.dsn)
    try:
        pair.define(**VIEWS)
        with writing(origin):
            cuts = [True] * 3
            pair.db.sync.progress = lambda *_: proxy.cut() if cuts and cuts.pop() else None
            pair.db.sync.sync()
            until(lambda: {status.state for status in pair.db.sync.status()} == {"running"})
        pair.check()
        assert not pair.leftover_tables()
        assert len(pair.slots()) == 1
    finally:
        pair.db.close()


def test_the_network_stalls(origin: Origin, proxy: Proxy, database_path: str) -> None:
    origin.execute(TABLES)
    with following(origin, database_path, proxy.dsn, **VIEWS) as pair:
        for _ in range(3):
            proxy.stall()
            origin.execute("UPDATE a SET v = v + 1")
            with pair.db.cursor() as reader:
                assert reader.execute("SELECT count(*) FROM s.a").fetchall() == [(200,)]  # readers do not care
            assert not _reaches_now(pair)
            proxy.flow()
            pair.check()
        assert job(pair).retry_count == 0  # nothing was given up


def test_wait_outlasts_a_network_that_is_gone_for_a_while(origin: Origin, proxy: Proxy, database_path: str) -> None:
    origin.execute(TABLES)
    with following(origin, database_path, proxy.dsn, **VIEWS) as pair, ThreadPoolExecutor(1) as threads:
        proxy.refuse()
        proxy.cut()
        origin.execute("UPDATE a SET v = 5")
        with pytest.raises(TimeoutError, match="primary"):
            pair.db.sync.wait(timeout=0.5)
        waiting = threads.submit(pair.db.sync.wait, timeout=WAIT_SECONDS)
        until(lambda: job(pair).state == "failed" and job(pair).retry_count > 1)
        assert not waiting.done()
        proxy.accept()
        waiting.result()
        pair.compare()


def test_wait_keeps_its_timeout_when_the_network_swallows_all(origin: Origin, proxy: Proxy) -> None:
    origin.execute(TABLES)
    with following(origin, ":memory:", proxy.dsn, **VIEWS) as pair:
        proxy.stall()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            pair.db.sync.wait(timeout=0.5)
        assert time.monotonic() - began < 5
        proxy.flow()
        pair.check()


def test_wait_does_not_outlast_a_worker_that_has_ended(private_server: PrivateServer) -> None:
    private_server.execute(TABLES)
    with following(private_server, **VIEWS) as pair:
        pair.db.sync.wait(timeout=WAIT_SECONDS)
        pair.db.sync._workers["primary"].stop()
        private_server.stop()
        with pytest.raises(flashql.errors.OriginUnreachable):  # nothing here goes on trying
            pair.db.sync.wait(timeout=WAIT_SECONDS)
        private_server.start()


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (lambda one: one.current_lsn(), b"pg_current_wal_insert_lsn"),
        (lambda one: one.table("public", "a").oid, b"relreplident"),
        (lambda one: one.describe("SELECT v FROM a"), b"SELECT v FROM a"),
        (lambda one: one.require_followable(one.table(None, "a")), b"relpersistence"),
        (lambda one: one.slot_state("nobody"), b"pg_replication_slots"),
        (lambda one: one.published("nobody"), b"pg_publication_rel"),
    ],
)
def test_a_question_outlives_its_connection(
    origin: Origin, proxy: Proxy, question: Callable[[PostgresOrigin], object], text: bytes
) -> None:
    """A pooled connection is cut as the question goes out: it is asked once more on a fresh one."""
    origin.execute(TABLES)
    one = PostgresOrigin("primary", lambda: proxy.dsn)
    try:
        question(one)
        proxy.cut_at(text)
        question(one)
        assert proxy._fuse is None
        proxy.refuse()
        proxy.cut()
        with pytest.raises(flashql.errors.OriginUnreachable):
            question(one)
    finally:
        one.close()


def test_a_server_that_comes_back_is_found_at_once(origin: Origin, proxy: Proxy) -> None:
    """A pool that failed to connect would wait ever longer before it tries again."""
    one = PostgresOrigin("primary", lambda: proxy.dsn)
    try:
        one.current_lsn()
        proxy.refuse()
        proxy.cut()
        pool = one.client._pool._opened()
        dead = pool.getconn()
        dead.close()
        pool.putconn(dead)
        with pytest.raises(PoolTimeout):
            pool.getconn(timeout=3.5)  # it has failed three times, and waits for four seconds now
        proxy.accept()
        began = time.monotonic()
        one.current_lsn()
        assert time.monotonic() - began < 10
    finally:
        one.close()


def test_what_writes_is_not_said_twice(origin: Origin, proxy: Proxy) -> None:
    origin.execute("CREATE TABLE w (id int)")
    one = PostgresOrigin("primary", lambda: proxy.dsn)
    try:
        one.client.execute("INSERT INTO w VALUES (1)")
        proxy.cut_at(b"VALUES (2)")
        with pytest.raises(flashql.errors.OriginUnreachable):
            one.client.execute("INSERT INTO w VALUES (2)")
        assert origin.query("SELECT * FROM w") == [(1,)]
    finally:
        one.close()


def _reaches_now(pair: Pair) -> bool:
    """Whether the copies reach, at once, a position that was read past the proxy."""
    ((position,),) = pair.origin.query("SELECT pg_current_wal_insert_lsn()::text")
    worker = pair.db.sync._workers["primary"]
    return worker.wait(["s.a"], LSN.parse(position).end_of_last_record(), time.monotonic() + 0.2)


def test_the_publication_is_dropped(origin: Origin, database_path: str) -> None:
    """Edge case 3. What was written meanwhile cannot be decoded, ever: another slot, and everything again."""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        origin.execute(f"DROP PUBLICATION {pair.publications()[0]}; UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
        end_walsender(origin)
        pair.check()
        origin.execute("UPDATE a SET v = 6")
        pair.check()
        assert len(pair.slots()) == len(pair.publications()) == 1
        assert not pair.leftover_tables()


# What Postgres 14 does not have, and since which version there is such a thing.
_NEWER = {"SET TABLE a": 15, "IN SCHEMA": 15, "generated": 18}


@pytest.mark.parametrize(
    "mutilation",
    [
        "DROP PUBLICATION {}",
        "ALTER PUBLICATION {} DROP TABLE a, b",
        "ALTER PUBLICATION {} SET TABLE a (id), b",
        "ALTER PUBLICATION {} SET TABLE a WHERE (id < 20), b",
        "ALTER PUBLICATION {} SET (publish = 'insert')",
        "ALTER PUBLICATION {} SET (publish = 'insert, update, delete')",
        "ALTER PUBLICATION {} SET (publish_via_partition_root = false)",
        "ALTER PUBLICATION {} SET (publish_generated_columns = none)",
        "ALTER PUBLICATION {} ADD TABLES IN SCHEMA public",
        "DROP PUBLICATION {0}; CREATE PUBLICATION {0} FOR ALL TABLES WITH (publish = 'insert')",
        "ALTER PUBLICATION {} ADD TABLE whole",
    ],
)
def test_a_publication_that_had_holes_is_mended_by_sync(origin: Origin, database_path: str, mutilation: str) -> None:
    """Edge case 3. The stream goes on without the tables' changes: they are lost, so the tables are copied again."""
    if any(what in mutilation and origin.version < version for what, version in _NEWER.items()):
        pytest.skip(f"Postgres {origin.version} has no such publications")
    origin.execute(TABLES)
    origin.execute(
        "CREATE TABLE whole (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);"
        "CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (1000);"
        "CREATE TABLE root (id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (id * 2) STORED)"
        " PARTITION BY RANGE (id);"
        "CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (1000);"
        "INSERT INTO whole SELECT g, 0 FROM generate_series(1, 99) g; INSERT INTO root SELECT * FROM whole"
    )
    columns = "id, v, g" if origin.version >= 18 else "id, v"
    views = {**VIEWS, "part": "SELECT * FROM part", "root": f"SELECT {columns} FROM root"}
    with following(origin, database_path, **views) as pair:
        origin.execute(mutilation.format(pair.publications()[0]))
        origin.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50; UPDATE whole SET v = 1; UPDATE root SET v = 2")
        origin.execute("INSERT INTO a VALUES (1001, 7); TRUNCATE b; INSERT INTO root (id, v) VALUES (500, 3)")
        pair.sync()
        origin.execute("UPDATE a SET v = v + 1 WHERE id < 10; DELETE FROM part WHERE id < 7; UPDATE root SET v = v + 1")
        pair.check()
        copied = {copy.id for copy in pair.copies()}
        pair.sync()
        assert {copy.id for copy in pair.copies()} == copied
        assert len(pair.slots()) == len(pair.publications()) == 1
        assert not pair.leftover_tables()


@pytest.mark.parametrize(
    ("alteration", "restoration", "names"),
    [
        ("ALTER PUBLICATION {} DROP TABLE a", "ALTER PUBLICATION {} ADD TABLE a", "a"),
        ("ALTER PUBLICATION {} SET TABLE a WHERE (id < 20), b", "ALTER PUBLICATION {} SET TABLE a, b", "a"),
        ("ALTER PUBLICATION {} SET (publish = 'insert')", "ALTER PUBLICATION {} SET ({options})", "ab"),
        ("DROP PUBLICATION {}", "CREATE PUBLICATION {} FOR TABLE a, b WITH ({options})", "ab"),
        ("DROP PUBLICATION {}; SELECT 1", "CREATE PUBLICATION {} FOR TABLE a, b WITH ({options})", "ab"),
    ],
)
def test_a_publication_altered_and_put_back_is_noticed(
    origin: Origin, database_path: str, alteration: str, restoration: str, names: str
) -> None:
    """Edge case 3. Between two looks nothing of it is left but the versions of the catalog's rows."""
    if "WHERE" in alteration and origin.version < 15:
        pytest.skip("Postgres 14 has no row filters")
    options = "publish = 'insert, update, delete, truncate', publish_via_partition_root"
    options += ", publish_generated_columns = stored" if origin.version >= 18 else ""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        (publication,) = pair.publications()
        before = {copy.name: copy.id for copy in pair.copies()}
        origin.execute(alteration.format(publication))
        if not alteration.endswith("SELECT 1"):  # else nothing is lost, and the slot would go on
            origin.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50; INSERT INTO a VALUES (1001, 7)")
        origin.execute(restoration.format(publication, options=options))
        origin.execute("UPDATE a SET v = v + 1 WHERE id > 100")
        pair.sync()
        pair.check()
        after = {copy.name: copy.id for copy in pair.copies()}
        assert {name for name in after if after[name] != before[name]} == set(names)
        origin.execute("UPDATE a SET v = v + 1; DELETE FROM b WHERE id < 70")
        pair.check()
        pair.reopen()
        pair.sync()
        pair.check()
        assert {copy.name: copy.id for copy in pair.copies()} == after
        assert len(pair.slots()) == len(pair.publications()) == 1
        assert not pair.leftover_tables()


def test_what_others_do_beside_the_publication_costs_no_copy(origin: Origin, database_path: str) -> None:
    origin.execute(TABLES + "; CREATE TABLE other (id int PRIMARY KEY)")
    with following(origin, database_path, **VIEWS) as pair:
        (publication,) = pair.publications()
        before = [copy.id for copy in pair.copies()]
        for statement in (
            f"COMMENT ON PUBLICATION {publication} IS 'ours'",
            f"ALTER PUBLICATION {publication} ADD TABLE other",  # FlashQL drops it
            f"ALTER PUBLICATION {publication} ADD TABLE other; ALTER PUBLICATION {publication} DROP TABLE other",
            "VACUUM (FREEZE) pg_publication_rel",
            "VACUUM (FULL, FREEZE) pg_publication_rel",
            "VACUUM (FULL, FREEZE) pg_publication",
            "ALTER TABLE a RENAME TO a2; ALTER TABLE a2 RENAME TO a",
            "CREATE PUBLICATION theirs FOR ALL TABLES; DROP PUBLICATION theirs",
        ):
            origin.execute(statement)
            pair.sync()
            pair.check()
        pair.follow(more="SELECT * FROM other")  # our own change of it: the others go on
        pair.db.execute("DROP VIEW s.more")
        del pair.queries["more"]
        pair.sync()
        pair.check()
        assert [copy.id for copy in pair.copies()] == before


def test_the_slot_is_dropped(origin: Origin, database_path: str) -> None:
    """Edge case 13. Dropped amid the stream, under load."""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        (slot,) = pair.slots()
        with writing(origin):
            until(lambda: _dropped(origin, slot))
            origin.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
        pair.check()
        assert pair.slots() == [slot]
        assert not pair.leftover_tables()


def _dropped(origin: Origin, slot: str) -> bool:
    """End who streams and drop the slot before it comes back; False when it was quicker."""
    end_walsender(origin)
    try:
        origin.execute(f"SELECT pg_drop_replication_slot('{slot}')")
    except psycopg.errors.ObjectInUse:
        return False
    return True


def test_a_view_that_is_copied_again_is_stale_and_readable(origin: Origin, database_path: str) -> None:
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        stale: list[bool] = []

        def look(what: str, done: int, total: int | None) -> None:
            assert pair.db.execute("SELECT count(*) FROM s.a").fetchone() is not None
            stale.append(job(pair).stale)

        assert not job(pair).stale
        pair.db.sync.progress = look
        origin.execute("ALTER TABLE a ALTER COLUMN v TYPE bigint; UPDATE a SET v = 7")
        pair.check()
        assert stale
        assert all(stale)
        assert not job(pair).stale
        pair.db.sync.stop()
        assert job(pair).stale


def test_the_slot_is_dropped_while_closed(origin: Origin, database_path: str) -> None:
    """Edge case 12. Rows deleted meanwhile are gone here too: the copy is replaced, not added to."""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        (slot,) = pair.slots()
        pair.db.close()
        origin.execute(f"SELECT pg_drop_replication_slot('{slot}'); UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
        pair.db = pair._open()
        assert pair.db.execute("SELECT count(*) FROM s.b").fetchall() == [(200,)]  # what it had, until it is synced
        pair.sync()
        pair.check()
        assert pair.slots() == [slot]
        assert not pair.leftover_tables()


def test_a_slot_that_was_invalidated(private_server: PrivateServer, database_path: str) -> None:
    """Edge case 13. Past max_slot_wal_keep_size."""
    private_server.conf(max_slot_wal_keep_size="1MB", max_wal_size="32MB", min_wal_size="32MB", wal_keep_size=0)
    private_server.execute(TABLES)
    with following(private_server, database_path, **VIEWS) as pair:
        pair.db.close()
        private_server.execute("CREATE TABLE noise (t text)")
        for _ in range(6):
            private_server.execute("INSERT INTO noise SELECT md5(g::text) FROM generate_series(1, 50000) g")
            private_server.execute("SELECT pg_switch_wal(); CHECKPOINT")
        assert private_server.query("SELECT wal_status FROM pg_replication_slots") == [("lost",)]
        private_server.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
        pair.db = pair._open()
        pair.sync()
        pair.check()
        assert len(pair.slots()) == 1


def test_a_stale_walsender_holds_the_slot(origin: Origin, proxy: Proxy, database_path: str) -> None:
    """Edge case 11. The network swallowed the end of a connection: the server still holds the slot for it."""
    origin.execute(TABLES)
    with following(origin, database_path, proxy.dsn, **VIEWS) as pair:
        (before,) = origin.query("SELECT active_pid FROM pg_replication_slots WHERE database = current_database()")
        proxy.stall()
        closing = threading.Thread(target=pair.db.close)
        closing.start()
        closing.join()
        assert origin.query("SELECT active_pid FROM pg_replication_slots WHERE database = current_database()") == [
            before
        ]
        pair._dsn = origin.dsn
        pair.db = pair._open()
        origin.execute("UPDATE a SET v = 5")
        pair.db.sync.sync()
        until(lambda: job(pair).state == "running")
        pair.check()
        proxy.flow()


def test_the_origin_is_down_at_sync_and_comes_up(private_server: PrivateServer, database_path: str) -> None:
    private_server.execute(TABLES)
    with following(private_server, database_path, **VIEWS) as pair:
        pair.db.close()
        private_server.execute("UPDATE a SET v = 5")
        private_server.stop()
        pair.db = pair._open()
        report = pair.db.sync.sync()
        assert set(report.failed) == {"s.a", "s.b", "s.some"}
        assert isinstance(report.failed["s.a"], flashql.errors.OriginUnreachable)
        until(lambda: job(pair).retry_count >= 2)
        failed = job(pair)
        assert failed.state == "failed"
        assert failed.next_retry_at is not None
        assert "primary" in (failed.last_error or "")
        assert pair.db.execute("SELECT count(*) FROM s.a").fetchall() == [(200,)]
        private_server.start()
        until(lambda: job(pair).state == "running")
        pair.check()
        assert job(pair).retry_count == 0
        assert job(pair).last_error is None
        assert job(pair).next_retry_at is None


def test_the_first_sync_succeeds_when_the_origin_comes_up(private_server: PrivateServer) -> None:
    private_server.execute(TABLES)
    pair = Pair(private_server)
    try:
        pair.define(**VIEWS)
        private_server.stop()
        assert pair.db.sync.sync().failed
        with pytest.raises(flashql.errors.ViewNotReady):
            pair.db.execute("SELECT * FROM s.a")
        private_server.start()
        until(lambda: {status.state for status in pair.db.sync.status()} == {"running"})
        pair.check()
    finally:
        pair.db.close()


def test_a_slow_apply_outlasts_the_servers_patience(
    private_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edge case 7. Reports go out while a batch is applied for longer than wal_sender_timeout."""
    private_server.conf(wal_sender_timeout="1s")
    private_server.execute(TABLES)
    with following(private_server, **VIEWS) as pair:
        (before,) = private_server.query("SELECT active_pid FROM pg_replication_slots WHERE NOT temporary OR active")
        slow = threading.Event()
        apply = Follower._apply
        applied = threading.Event()

        def slowly(self: Follower, writer: object, batch: ChangeBatch, deltas: object) -> None:
            slow.wait(3)  # three times the server's patience; nothing ever sets it
            apply(self, writer, batch, deltas)  # type: ignore[arg-type]
            applied.set()

        monkeypatch.setattr(Follower, "_apply", slowly)
        private_server.execute("UPDATE a SET v = 5")
        assert applied.wait(WAIT_SECONDS)
        monkeypatch.undo()
        pair.check()
        assert job(pair).retry_count == 0
        assert private_server.query("SELECT active_pid FROM pg_replication_slots WHERE NOT temporary OR active") == [
            before
        ]


def test_idle_positions_are_confirmed(origin: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edge case 5. Only a table that nobody follows is written: the slot must not keep its WAL."""
    monkeypatch.setattr(feeding, "_IDLE_SECONDS", 0.05)
    origin.execute(TABLES + "; CREATE TABLE unfollowed (t text)")
    with following(origin, database_path, **VIEWS) as pair:
        (slot,) = pair.slots()
        for _ in range(3):
            ((target,),) = origin.query("SELECT pg_current_wal_lsn()::text")
            confirmed = f"SELECT confirmed_flush_lsn > '{target}' FROM pg_replication_slots WHERE slot_name = '{slot}'"
            until(lambda confirmed=confirmed: _passed_by(pair) and origin.query(confirmed) == [(True,)])  # type: ignore[misc]
        pair.reopen()
        origin.execute("UPDATE a SET v = 5")
        pair.sync()
        pair.check()


def _passed_by(pair: Pair) -> bool:
    """More is written that nobody follows, and its end is reached."""
    pair.origin.execute("INSERT INTO unfollowed SELECT md5(g::text) FROM generate_series(1, 100) g")
    pair.db.sync.wait(timeout=WAIT_SECONDS)
    return True


def test_memory_leaves_nothing_at_the_origin(origin: Origin) -> None:
    origin.execute(TABLES)
    with following(origin, **VIEWS) as pair:
        pair.check()
        assert len(pair.slots()) == len(pair.publications()) == 1
    assert pair.slots() == pair.publications() == []


def test_memory_recovers_from_a_cut(origin: Origin, proxy: Proxy) -> None:
    """Its slot is temporary and goes with the connection, so the tables are copied again."""
    origin.execute(TABLES)
    with following(origin, ":memory:", proxy.dsn, **VIEWS) as pair, writing(origin):
        for _ in range(3):
            proxy.cut()
            pair.db.sync.wait(timeout=WAIT_SECONDS) if job(pair).state == "running" else None
            until(lambda: {status.state for status in pair.db.sync.status()} == {"running"})
    assert pair.slots() == pair.publications() == []


def test_an_older_state_of_the_file_is_noticed(origin: Origin, database_path: str) -> None:
    """Edge case 15. A file from a backup: its slot has forgotten what that file lacks: its tables are copied again."""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        pair.db.close()
        shutil.copy(database_path, f"{database_path}.backup")
        pair.db = pair._open()
        pair.sync()
        origin.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
        pair.check()
        pair.db.close()
        Path(f"{database_path}.backup").replace(database_path)
        pair.db = pair._open()
        pair.sync()
        pair.check()
        assert len(pair.slots()) == 1
        assert not pair.leftover_tables()


def test_another_server_under_the_same_name(private_server: PrivateServer, origin: Origin, database_path: str) -> None:
    """Edge case 15. Told by the system identifier."""
    private_server.execute(TABLES)
    origin.execute(TABLES + "; UPDATE a SET v = 99; DELETE FROM b WHERE id > 100")
    with following(private_server, database_path, **VIEWS) as pair:
        pair.check()
        pair.db.close()
        pair.origin, pair._dsn = origin, origin.dsn
        pair.db = pair._open()
        pair.sync()
        pair.check()
        assert pair.slots() == [slot_name(pair.db.store.database_id, "primary")]


def test_closing_amid_a_large_transaction(origin: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembling, "HOLD_BYTES", 5_000)
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        for _ in range(5):
            origin.execute("BEGIN; UPDATE a SET v = v + 1; UPDATE b SET v = v + 1; UPDATE a SET id = -id; COMMIT")
            pair.reopen()
            pair.sync()
        pair.check()


def test_dropping_the_last_view_drops_slot_and_publication(origin: Origin, database_path: str) -> None:
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        pair.db.execute("DROP VIEW s.a; DROP VIEW s.some")
        assert len(pair.slots()) == 1
        pair.db.execute("DROP VIEW s.b")
        assert pair.slots() == pair.publications() == []
        assert not pair.leftover_tables()
        pair.queries.clear()
        pair.follow(a="SELECT * FROM a")
        pair.check()
