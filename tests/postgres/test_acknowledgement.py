"""What the origin is told to forget, and when; and what it must be told to keep waiting."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

import flashql
from flashql import following as feeding
from flashql.lsn import LSN
from flashql.origins.base import ChangeBatch
from flashql.origins.postgres import origin as postgres_origin
from flashql.origins.postgres.stream import Stream
from tests.fix_postgres import Origin, PrivateServer
from tests.fix_proxy import Proxy
from tests.postgres.pair import WAIT_SECONDS, Pair, following
from tests.postgres.test_recovery import job, until

TABLES = "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int)"


def confirmed(origin: Origin) -> LSN:
    """What the origin was told that it may forget."""
    ((lsn,),) = origin.query(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE database = current_database() "
        "AND slot_name NOT LIKE '%copy%'"
    )
    return LSN.parse(lsn)


def end_of_wal(origin: Origin) -> LSN:
    """Where the origin's log ends now."""
    ((lsn,),) = origin.query("SELECT pg_current_wal_insert_lsn()::text")
    return LSN.parse(lsn)


def test_rows_of_transactions_interleave_in_the_log(origin: Origin, database_path: str) -> None:
    """Edge case 1. A later commit brings rows with lower LSNs than what was applied: its end is what counts."""
    origin.execute(TABLES)
    with following(origin, database_path, a="SELECT * FROM a", b="SELECT * FROM b") as pair:
        with origin.connect() as early, origin.connect() as late:
            early.execute("BEGIN; INSERT INTO a SELECT g, 1 FROM generate_series(1, 50) AS g")
            late.execute("BEGIN; INSERT INTO b SELECT g, 1 FROM generate_series(1, 50) AS g")
            early.execute("INSERT INTO b VALUES (100, 1)")
            late.execute("INSERT INTO a VALUES (100, 1); COMMIT")
            pair.db.sync.wait(timeout=WAIT_SECONDS)
            assert pair.db.execute("SELECT count(*) FROM s.a").fetchall() == [(1,)]
            pair.reopen()  # the transaction still open has rows below the position that is durable
            pair.sync()
            early.execute("UPDATE b SET v = 2 WHERE id = 1; COMMIT")
        pair.check()
        pair.reopen()
        pair.sync()
        pair.check()
        assert len(pair.db.execute("SELECT * FROM s.a").fetchall()) == 51


def test_a_keepalive_confirms_nothing_that_is_not_durable(
    origin: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edge case 4. A transaction was received and keepalives say more; the crash comes before its local commit."""
    monkeypatch.setattr("flashql.feeding._IDLE_SECONDS", 0.0)
    origin.execute(TABLES)
    with following(origin, database_path, a="SELECT * FROM a", b="SELECT * FROM b") as pair:
        pair.check()
        apply, crash, applying = feeding.Follower._apply, threading.Event(), threading.Event()

        def crashing(self: feeding.Follower, writer: object, batch: ChangeBatch, deltas: object) -> None:
            applying.set()
            crash.wait(WAIT_SECONDS)
            raise flashql.errors.DatabaseBusy("the machine is gone")

        monkeypatch.setattr(feeding.Follower, "_apply", crashing)
        before = end_of_wal(origin)
        origin.execute("INSERT INTO a VALUES (1, 1)")
        assert applying.wait(WAIT_SECONDS)
        stream = pair.db.sync._workers["primary"]._session._stream  # type: ignore[union-attr]
        assert stream is not None
        asked = threading.Event()

        def keepalive_came() -> bool:
            stream.ask_position()
            asked.wait(0.01)
            return stream._position is not None and stream._position > before

        until(keepalive_came)
        assert confirmed(origin) <= before
        monkeypatch.setattr(feeding.Follower, "_apply", apply)
        crash.set()
        until(lambda: job(pair).state == "running")
        pair.check()


@pytest.mark.parametrize(
    "trouble", ["DROP TABLE b", "ALTER TABLE b DROP COLUMN v", "ALTER TABLE b DROP CONSTRAINT b_pkey"]
)
def test_a_view_that_failed_does_not_hold_the_slot_back(
    origin: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Edge case 6. The origin forgets what the living views have, though a dead one will never have it."""
    monkeypatch.setattr("flashql.feeding._IDLE_SECONDS", 0.05)
    origin.execute(TABLES + "; INSERT INTO b VALUES (1, 1)")
    with following(origin, database_path, a="SELECT * FROM a", b="SELECT * FROM b") as pair:
        origin.execute(trouble)
        assert list(pair.db.sync.sync().failed) == ["s.b"]
        origin.execute("INSERT INTO a SELECT g, g FROM generate_series(1, 1000) AS g")
        target = end_of_wal(origin)
        del pair.queries["b"]
        pair.db.sync.wait("s.a", timeout=WAIT_SECONDS)
        pair.compare()
        origin.execute("UPDATE a SET v = 0 WHERE id = 1")
        until(lambda: confirmed(origin) > target)
        assert pair.db.execute("SELECT * FROM s.b").fetchall() == [(1, 1)]
        assert job(pair, "s.b").state == "failed"
        # A stopped view does not either, while others go on.
        pair.define(also="SELECT id FROM a")
        assert pair.db.sync.sync("s.also").realtime == ("s.also",)
        pair.db.sync.stop("s.also")
        origin.execute("UPDATE a SET v = 1")
        target = end_of_wal(origin)
        origin.execute("UPDATE a SET v = 2 WHERE id = 1")
        until(lambda: confirmed(origin) > target)


def test_a_half_open_connection_is_noticed(
    private_server: PrivateServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Edge case 9. The server has endless patience (wal_sender_timeout = 0) and the network swallows everything."""
    private_server.conf(wal_sender_timeout=0)
    private_server.execute(TABLES)
    check = Stream._check_alive
    # Silence counts a hundredfold, and reports are due five times a second: a minute passes in less than one.
    monkeypatch.setattr(Stream, "_check_alive", lambda self, silent, full: check(self, silent * 100, full))
    monkeypatch.setattr(postgres_origin, "status_interval_seconds", lambda _: 0.2)
    proxy = Proxy(private_server.dsn)
    try:
        with following(private_server, str(tmp_path / "db"), proxy.dsn, a="SELECT * FROM a") as pair:
            pair._dsn = private_server.dsn
            stream = pair.db.sync._workers["primary"]._session._stream  # type: ignore[union-attr]
            proxy.stall()
            assert stream is not None
            until(lambda: stream._error is not None)
            assert isinstance(stream._error, flashql.errors.OriginUnreachable)
            assert "silent" in str(stream._error)
            proxy.cut()
            proxy.flow()
            monkeypatch.undo()
            private_server.execute("INSERT INTO a VALUES (1, 1)")
            until(lambda: job(pair).state == "running")
            pair.check()
    finally:
        proxy.close()


def test_slot_creation_waits_for_open_transactions_and_leaves_nothing_when_cut_off(origin: Origin) -> None:
    """Edge case 10. What is open may stay so for long: closing does not wait for it, and no slot is left."""
    origin.execute(TABLES)
    pair = Pair(origin)
    with origin.connect() as blocking:
        blocking.execute("BEGIN; INSERT INTO a VALUES (1, 1)")
        pair.define(a="SELECT * FROM a")
        syncing = threading.Thread(target=pair.db.sync.sync)
        syncing.start()
        until(
            lambda: (
                origin.query(
                    "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'CREATE_REPLICATION_SLOT%' "
                    "AND wait_event_type = 'Lock' AND datname = current_database()"
                )
                == [(True,)]
            )
        )
        pair.db.close()
        syncing.join()
        until(lambda: pair.slots() == [])
        assert pair.publications() == []


def test_no_health_check_decodes_the_backlog() -> None:
    """Edge case 17. pg_logical_slot_peek_changes would decode everything that waits; nothing here calls it."""
    root = Path(flashql.__file__).parent
    sources = [*root.rglob("*.py"), *root.rglob("*.sql"), *(root.parent / "sql").rglob("*.sql")]
    assert sources
    for source in sources:
        assert not re.search("pg_logical_slot_(peek|get)", source.read_text(encoding="utf-8")), source
