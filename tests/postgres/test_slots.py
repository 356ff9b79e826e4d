"""A slot is a responsibility: who may read it, when it is of no use any more, and what it costs its origin."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import flashql
from flashql import feeding, recopies, retention
from flashql.attaching import why_unusable
from flashql.catalog import Origin as Record
from flashql.cli.embedded import EmbeddedPostgres
from flashql.lsn import LSN
from flashql.origins.base import Server, SlotState
from flashql.origins.postgres.slot import timelines_left
from flashql.retention import Pulse, Sample, seconds_to_loss
from flashql.store.owner import owner_of, read_comment, seal
from tests.fix_postgres import Origin, PrivateServer, fresh_origin
from tests.postgres.pair import WAIT_SECONDS, Pair, following
from tests.postgres.test_recovery import TABLES, VIEWS, job, until

RECORD = Record("primary", "flashql_x", "flashql_x", "700", 2, LSN(1000))
SERVER = Server("700", 2, {1: LSN(500)})
SLOT = SlotState("flashql_x", None, LSN(900), None, 0, None, LSN(2000))


@pytest.mark.parametrize(
    ("state", "server", "why"),
    [
        (SLOT, SERVER, None),
        (SLOT, Server("700", 3, {1: LSN(500), 2: LSN(1000)}), None),  # failed over behind all that is known
        (SLOT, Server("701", 2, {}), "another server"),
        (SLOT, Server("700", 3, {1: LSN(500), 2: LSN(999)}), "left timeline 2 at 0/3E7"),
        (SLOT, Server("700", 1, {}), "does not come from timeline 2"),
        (None, SERVER, "gone"),
        (SlotState("flashql_x", None, LSN(900), None, 0, None, LSN(999)), SERVER, "restored from a backup"),
        (SlotState("flashql_x", None, LSN(900), "it was taken", 0, None, LSN(2000)), SERVER, "it was taken"),
        (SlotState("flashql_x", None, LSN(1001), None, 0, None, LSN(2000)), SERVER, "somebody else read it"),
        (SlotState("flashql_x", None, LSN(1000), None, 0, None, LSN(1000)), SERVER, None),
    ],
)
def test_why_a_slot_cannot_be_adopted(state: SlotState | None, server: Server, why: str | None) -> None:
    """Edge cases 12 and 15."""
    found = why_unusable(state, RECORD, server)
    assert (found is None) if why is None else (why in (found or ""))


@pytest.mark.parametrize("history", ["", "# a comment", "x", "1", "99999999999\t0/0", "1\t0/GG", "1\t", "\x00\t0/0"])
def test_a_history_that_is_none(history: str) -> None:
    assert timelines_left(history) == {}


# -- one consumer


def active_pid(origin: Origin) -> int:
    """The walsender of this database's one slot that is not temporary."""
    ((pid,),) = origin.query(
        "SELECT active_pid FROM pg_replication_slots WHERE database = current_database() AND NOT temporary"
    )
    assert isinstance(pid, int)
    return pid


def test_a_copy_of_the_file_never_takes_the_slot_from_its_reader(origin: Origin, database_path: str) -> None:
    """Edge case 11: a copy has the same id. Only a walsender of this very file may be ended."""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        pair.db.execute("FORCE CHECKPOINT")  # DuckDB 1 does not wait for other writers otherwise
        copied = f"{database_path}.copy"
        shutil.copy(database_path, copied)
        pid, tables = active_pid(origin), origin.query("SELECT tablename FROM pg_publication_tables ORDER BY 1")
        with flashql.connect(copied, origins={"primary": origin.dsn}) as other:
            assert other.store.database_id == pair.db.store.database_id
            other.execute("DROP VIEW s.some; DROP VIEW s.b")  # it would publish less
            report = other.sync.sync()
            error = report.failed["s.a"]
            assert isinstance(error, flashql.errors.OriginBusy)
            assert f"process {pid}" in error.message
            assert database_path in error.message  # whose it is
            with pytest.raises(flashql.errors.OriginBusy):
                other.sync.forget("*")
            assert active_pid(origin) == pid
            assert origin.query("SELECT tablename FROM pg_publication_tables ORDER BY 1") == tables
        origin.execute("UPDATE a SET v = 7; DELETE FROM b WHERE id < 50")
        pair.check()
        assert active_pid(origin) == pid
        assert job(pair).retry_count == 0


def test_the_seal_is_the_files_own(tmp_path: Path) -> None:
    first, second = tmp_path / "first.duckdb", tmp_path / "second.duckdb"
    with flashql.connect(str(first)) as db:
        own = seal(db.store)
    shutil.copy(first, second)
    first.rename(tmp_path / "moved.duckdb")
    with flashql.connect(str(tmp_path / "moved.duckdb")) as db, flashql.connect(str(second)) as other:
        assert seal(db.store) == own
        assert seal(other.store) != own
        assert owner_of(db.store) != owner_of(other.store)
        assert read_comment(owner_of(db.store).comment()) == owner_of(db.store)
    with flashql.connect() as one, flashql.connect() as two:
        assert seal(one.store) != seal(two.store)


@pytest.mark.parametrize("text", [None, "", "mine", "[]", "{}", '{"file": 3}', "\x00", '{"database_id": 1}'])
def test_a_comment_of_someone_else_names_no_owner(text: str | None) -> None:
    assert read_comment(text) is None


# -- of no use any more


def recopied(pair: Pair, before: list[int]) -> bool:
    """Whether every table was copied anew."""
    return not {copy.id for copy in pair.copies()} & set(before)


@pytest.mark.parametrize("options", ["'pgoutput', false, true", "'pgoutput'"])
def test_a_slot_made_anew_under_its_name(private_server: PrivateServer, database_path: str, options: str) -> None:
    """Edge case 15: whoever made it, what happened between is lost."""
    private_server.conf(max_prepared_transactions=5)
    private_server.execute(TABLES)
    with following(private_server, database_path, **VIEWS) as pair:
        (slot,), before = pair.slots(), [copy.id for copy in pair.copies()]
        pair.db.close()
        private_server.execute(f"SELECT pg_drop_replication_slot('{slot}')")
        private_server.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
        private_server.execute(f"SELECT pg_create_logical_replication_slot('{slot}', {options})")
        pair.db = pair._open()
        pair.sync()
        private_server.execute("BEGIN; UPDATE a SET v = 6 WHERE id < 9; PREPARE TRANSACTION 'x'")
        private_server.execute("COMMIT PREPARED 'x'")
        pair.check()
        assert recopied(pair, before)


def test_an_origin_restored_from_a_backup(private_server: PrivateServer, database_path: str) -> None:
    """Edge case 15: same system identifier, same timeline, even the same slot; but its WAL ends before the copies."""
    private_server.execute(TABLES)
    directory = private_server.server.directory
    with following(private_server, database_path, **VIEWS) as pair:
        pair.db.close()
        private_server.stop()
        backup = directory.with_name(directory.name + "-backup")
        subprocess.run(["cp", "-a", str(directory), str(backup)], check=True)
        try:
            private_server.start()
            pair.db = pair._open()
            pair.sync()
            private_server.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
            pair.check()
            before = [copy.id for copy in pair.copies()]
            pair.db.close()
            private_server.stop()
            shutil.rmtree(directory)
            backup.rename(directory)
        finally:
            shutil.rmtree(backup, ignore_errors=True)
        private_server.start()
        pair.db = pair._open()
        pair.sync()
        pair.check()
        assert recopied(pair, before)
        private_server.execute("UPDATE a SET v = 6")
        pair.check()


def test_wait_waits_when_the_origin_has_gone_back(
    private_server: PrivateServer, database_path: str, tmp_path: Path
) -> None:
    """Edge case 15. What was reached of the history that is no more says nothing of the one there is."""
    private_server.execute(TABLES)
    backup = tmp_path / "backup"
    backup.mkdir()
    shutil.chown(backup, private_server.server.directory.owner(), private_server.server.directory.group())
    with following(private_server, database_path, **VIEWS) as pair:
        private_server.backup(backup)
        private_server.execute("INSERT INTO a SELECT g, g FROM generate_series(1000, 200000) g")
        pair.check()
        private_server.restore(backup, keeps_slots=False)
        pair.sync()
        for _ in range(20):
            private_server.execute("UPDATE a SET v = v + 1")
            pair.db.sync.wait(timeout=WAIT_SECONDS)
            pair.compare()
        assert job(pair).retry_count == 0


@contextmanager
def standby(primary: PrivateServer, **settings: str) -> Iterator[PrivateServer]:
    """A physical standby of the server that streams from it, gone at the end of the block."""
    directory = Path(tempfile.mkdtemp(prefix="flashql-standby-"))
    shutil.chown(directory, primary.server.directory.owner(), primary.server.directory.group())
    server, made = None, None
    try:
        backup = [str(primary.server._server.bin_path / "pg_basebackup"), "-R", "-X", "stream", "-c", "fast"]
        subprocess.run(
            [*backup, "-d", primary.dsn, "-D", str(directory)],
            check=True,
            user=primary.server._server.system_user,
            cwd=directory,
        )
        (directory / ".s.PGSQL.5432.lock").unlink()  # the primary's, whose socket is in its data directory
        server = EmbeddedPostgres(directory, primary.server.version)
        server.configure(**settings)
        server.start()
        made = PrivateServer(server)
        yield made
    finally:
        if made is not None:
            made.disconnect()
        if server is not None:
            server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


def caught_up(primary: Origin, behind: Origin) -> None:
    """Wait until the standby has replayed what the primary has written."""
    ((end,),) = primary.query("SELECT pg_current_wal_flush_lsn()")
    until(lambda: behind.query("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [end]) == [(True,)])


def fail_over(pair: Pair, behind: PrivateServer) -> None:
    """The standby is the origin from now on; the old one is gone."""
    pair.db.close()
    assert isinstance(pair.origin, PrivateServer)
    pair.origin.stop("immediate")
    behind.server.promote()
    pair.origin, pair._dsn = behind, behind.dsn
    pair.db = pair._open()


def test_a_standby_without_the_slot_is_promoted(private_server: PrivateServer, database_path: str) -> None:
    """Edge case 15."""
    private_server.execute(TABLES)
    with standby(private_server) as behind, following(private_server, database_path, **VIEWS) as pair:
        private_server.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
        pair.check()
        before = [copy.id for copy in pair.copies()]
        caught_up(private_server, behind)
        fail_over(pair, behind)
        pair.sync()
        behind.execute("UPDATE a SET v = 6")
        pair.check()
        assert recopied(pair, before)


@pytest.mark.parametrize("behind_us", [False, True])
def test_a_standby_with_the_slot_is_promoted(
    private_server: PrivateServer, database_path: str, monkeypatch: pytest.MonkeyPatch, behind_us: bool
) -> None:
    """Postgres 17 and later keep failover slots on standbys: the stream goes on, if nothing that we saw was lost."""
    if private_server.version < 17:
        pytest.skip("failover slots are new in Postgres 17")
    monkeypatch.setattr(feeding, "_IDLE_SECONDS", 0.1)  # a slot is kept there once it has moved far enough
    private_server.conf(hot_standby_feedback="on")
    private_server.execute(TABLES + "; SELECT pg_create_physical_replication_slot('standby')")
    more = {"hot_standby_feedback": "on", "primary_slot_name": "standby"}
    connected = f"{private_server.dsn} dbname=postgres".replace("postgresql://postgres@/postgres?host=", "host=")
    with (
        following(private_server, database_path, **VIEWS) as pair,
        standby(private_server, primary_conninfo=f"{connected} user=postgres", **more) as behind,
    ):
        private_server.execute("UPDATE a SET v = 5; DELETE FROM b WHERE id < 50")
        pair.check()
        caught_up(private_server, behind)
        until(lambda: _synced(private_server, behind))
        if behind_us:
            behind.execute("ALTER SYSTEM SET primary_conninfo = ''")
            behind.query("SELECT pg_reload_conf()")
            until(lambda: not behind.query("SELECT FROM pg_stat_wal_receiver"))
            private_server.execute("UPDATE a SET v = 99")  # seen here, and lost by the failover
            pair.check()
        before = [copy.id for copy in pair.copies()]
        behind.disconnect()
        fail_over(pair, behind)
        pair.sync()
        behind.execute("UPDATE a SET v = v + 1 WHERE id < 9; DELETE FROM b WHERE id = 60")
        pair.check()
        assert recopied(pair, before) is behind_us


def _synced(primary: Origin, behind: Origin) -> bool:
    primary.execute("SELECT pg_log_standby_snapshot()")
    behind.execute("SELECT pg_sync_replication_slots()")
    rows = behind.query("SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name LIKE 'flashql%'")
    return rows == [(True,)]


@pytest.mark.parametrize("by", ["max_slot_wal_keep_size", "idle_replication_slot_timeout"])
def test_what_took_a_slot_is_named(
    private_server: PrivateServer, database_path: str, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    """Edge case 13."""
    if by == "idle_replication_slot_timeout" and private_server.version < 18:
        pytest.skip("new in Postgres 18")
    private_server.conf(max_wal_size="32MB", min_wal_size="32MB", wal_keep_size=0)
    private_server.execute(TABLES + "; CREATE TABLE noise (t text)")
    with following(private_server, database_path, **VIEWS) as pair:
        pair.db.close()
        private_server.conf(**{by: "1MB" if "size" in by else "1s"})

        def lost() -> bool:
            private_server.execute("INSERT INTO noise SELECT md5(g::text) FROM generate_series(1, 50000) g")
            private_server.execute("SELECT pg_switch_wal(); CHECKPOINT")
            return private_server.query("SELECT wal_status FROM pg_replication_slots") == [("lost",)]

        until(lost)
        with flashql.connect(database_path, read_only=True, origins={"primary": private_server.dsn}) as db:
            assert db.sync.status("s.a")[0].retained_bytes is None
        pair.db = pair._open()
        pair.sync()
        assert any("was lost: " in line and f"{by} (1" in line for line in caplog.messages), caplog.messages
        pair.check()


@pytest.mark.parametrize(
    ("take", "why"),
    [("SELECT pg_drop_replication_slot('{}')", "it is gone there"), ("DROP PUBLICATION {}", "publication was dropped")],
)
def test_a_slot_that_is_lost_again_and_again(
    origin: Origin, database_path: str, monkeypatch: pytest.MonkeyPatch, take: str, why: str
) -> None:
    """Edge cases 13 and 14: not for ever."""
    monkeypatch.setattr(recopies, "AT_MOST", 2)
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        (slot,) = pair.slots()
        for _ in range(2):
            pair.db.close()
            origin.execute(take.format(slot))
            pair.db = pair._open()
            pair.sync()
            pair.check()
        pair.db.close()
        origin.execute(take.format(slot))
        pair.db = pair._open()
        for _ in range(3):
            error = pair.db.sync.sync().failed["s.a"]
            assert error.retry is flashql.errors.Retry.MANUAL
            assert "2 times within an hour" in error.message
            assert why in error.message
        assert "max_slot_wal_keep_size" in (error.hint or "")
        assert job(pair).next_retry_at is None
        assert pair.db.execute("SELECT count(*) FROM s.a").fetchall() == [(200,)]  # its rows stay
        monkeypatch.setattr(recopies, "_HOUR_SECONDS", 0.0)
        pair.sync()
        pair.check()


# -- what it costs


def test_what_other_databases_write_is_let_go(
    origin: Origin, postgres_dsn: str, database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing happens in our database, and the slot moves on all the same: keepalives are confirmed.

    A checkpoint writes the record of running transactions that `restart_lsn` moves to, as the server by itself does
    every 15 s while anything is written.
    """
    monkeypatch.setattr(feeding, "_IDLE_SECONDS", 0.1)
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair, fresh_origin(postgres_dsn) as other:
        other.execute("CREATE TABLE noise (t text)")
        for _ in range(3):
            ((before,),) = origin.query("SELECT pg_current_wal_insert_lsn()")
            other.execute("INSERT INTO noise SELECT md5(g::text) FROM generate_series(1, 20000) g")

            def let_go(before: str = before) -> bool:
                origin.execute("CHECKPOINT")
                return origin.query(
                    "SELECT restart_lsn > %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
                    [before, pair.slots()[0]],
                ) == [(True,)]

            until(let_go)


def test_a_heartbeat_when_others_move_the_wal(
    private_server: PrivateServer, database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edge case 8. It is written, into our database, when others write a lot; and only then."""
    monkeypatch.setattr(retention, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(retention, "_HEARTBEAT_SECONDS", 0.0)
    private_server.execute(f"{TABLES}; CREATE PUBLICATION probed")
    private_server.execute("SELECT pg_create_logical_replication_slot('probe', 'pgoutput')")

    def heartbeats() -> int:
        ((count,),) = private_server.query(
            "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('probe', NULL, NULL, 'proto_version', '1', "
            "'publication_names', 'probed', 'messages', 'true') WHERE get_byte(data, 0) = ascii('M')"
        )
        return int(count)

    def look_again() -> None:
        for _ in range(5):
            seen = looked_at()
            until(lambda seen=seen: looked_at() != seen)  # type: ignore[misc]

    def looked_at() -> object:
        return pair.db.execute("SELECT retained_at FROM flashql.sync_jobs LIMIT 1").fetchall()

    with following(private_server, database_path, **VIEWS) as pair, fresh_origin(private_server.dsn) as other:
        other.execute("CREATE TABLE noise (t text) WITH (autovacuum_enabled = false)")

        def others_write() -> bool:
            other.execute("INSERT INTO noise SELECT md5(g::text) FROM generate_series(1, 5000) g")
            return heartbeats() > 0

        for _ in range(3):
            others_write()
        look_again()
        assert heartbeats() == 0  # that is little
        monkeypatch.setattr(retention, "_HEARTBEAT_BYTES", 100_000)
        until(others_write)
        look_again()
        before = heartbeats()
        look_again()
        assert heartbeats() == before  # nobody writes
        pair.check()
        assert job(pair).retry_count == 0


def test_when_a_heartbeat_is_due() -> None:
    pulse, much = Pulse(), 70 << 20

    def is_due(brought: int | None, retained: int, end: int, seconds: float) -> bool:
        return pulse.is_due(brought, retained, LSN(end), seconds)

    assert not is_due(0, much, much, 0)  # the first look knows of nothing before
    assert not is_due(0, 1, 3 * much, 10)  # little is retained
    assert not is_due(1, much, 3 * much, 20)  # the stream has brought something
    assert not is_due(None, much, 5 * much, 30)  # a copy is made, or a transaction comes
    assert not is_due(1, much, 5 * much, 40)
    assert not is_due(1, much, 5 * much, 50)  # nobody writes
    assert is_due(1, much, 6 * much, 60)
    assert not is_due(1, much, 8 * much, 119)  # one was written just now
    assert is_due(1, much, 8 * much, 120)
    assert not is_due(1, much, 8 * much, 9999)


def test_who_keeps_a_slot_from_being_made(origin: Origin, database_path: str) -> None:
    """Edge case 10: named while it waits."""
    origin.execute(TABLES)
    pair = Pair(origin, database_path)
    try:
        pair.define(**VIEWS)
        with origin.connect(application_name="the culprit") as other:
            other.autocommit = False
            other.execute("INSERT INTO a VALUES (1001, 1)")
            syncing = threading.Thread(target=pair.sync)
            syncing.start()
            until(lambda: "the culprit" in (job(pair).last_error or ""))
            waiting = job(pair)
            assert f"pid {other.info.backend_pid}" in (waiting.last_error or "")
            assert waiting.phase == "clone"
            other.commit()
            syncing.join()
        assert (job(pair).state, job(pair).phase, job(pair).last_error) == ("running", "pull", None)
        pair.check()
    finally:
        pair.db.close()


@pytest.mark.parametrize(
    ("retained", "safe", "seconds"),
    [
        ([100, 200, 300, 400], 1000, 100),  # stands still: 100 every 10 s
        ([100, 200, 300, 400], None, None),  # no limit
        ([100], 1000, None),
        ([100, 200], 1000, 100),  # two looks, by two processes
        ([400, 300, 200, 100], 1000, None),
        ([100, 100, 100], 1000, None),
        ([50, 150, 250, 50, 150, 250, 50, 150, 250], 100, None),  # a saw: it is read, and nothing is lost
        ([50, 150, 60, 160, 70, 170, 80, 180], 300, 600),  # a saw that rises: 20 in 40 s between troughs
        ([100, 200, 300], -5, 0),  # past the limit already
    ],
)
def test_the_time_to_loss(retained: list[int], safe: int | None, seconds: int | None) -> None:
    samples = [Sample(10.0 * at, amount) for at, amount in enumerate(retained)]
    assert seconds_to_loss(samples, safe) == seconds


def test_what_a_slot_retains_is_told(private_server: PrivateServer, database_path: str) -> None:
    """Edge case 14: in the rows while it follows, and in `status` when the process is gone."""
    private_server.conf(max_slot_wal_keep_size="500MB", max_wal_size="1GB")
    private_server.execute(TABLES)
    with following(private_server, database_path, **VIEWS) as pair:
        until(lambda: job(pair).retained_bytes is not None)
        told = pair.db.execute(
            "SELECT retained_bytes, safe_bytes FROM flashql.sync_jobs WHERE relation_id = 's.a'"
        ).fetchall()
        assert told == [(job(pair).retained_bytes, job(pair).safe_bytes)]
        assert 0 < (job(pair).safe_bytes or 0) <= 520 << 20
        pair.db.close()
        private_server.execute("CREATE TABLE noise (t text)")
        private_server.execute("INSERT INTO noise SELECT md5(g::text) FROM generate_series(1, 50000) g")
        with flashql.connect(database_path, read_only=True, origins={"primary": private_server.dsn}) as db:
            (gone,) = db.sync.status("s.a")
            assert (gone.retained_bytes or 0) > 4_000_000
            assert (gone.lag_bytes or 0) > 4_000_000
            assert (gone.seconds_to_loss or 0) > 0  # it grew since the last look
        private_server.stop()
        with flashql.connect(database_path, read_only=True, origins={"primary": private_server.dsn}) as db:
            (silent,) = db.sync.status("s.a")
            assert (silent.lag_bytes, silent.retained_bytes, silent.safe_bytes) == (None, None, None)
        with flashql.connect(database_path, read_only=True) as db:  # nor does it need to know the origin
            assert db.sync.status("s.a") == [silent]
        private_server.start()
        pair.db = pair._open()
