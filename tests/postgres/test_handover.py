"""From snapshot to stream: what happens between the two is in a copy once, and whole, before anyone sees it."""

from __future__ import annotations

import threading

import pytest

from flashql import errors
from flashql.origins.postgres import slot
from tests.fix_postgres import Origin
from tests.postgres.pair import WAIT_SECONDS, Pair, following
from tests.postgres.test_recovery import job, until

ROWS = "INSERT INTO {0} SELECT g, g FROM generate_series(1, 20) AS g"


def make(origin: Origin, *names: str) -> None:
    """Tables with a key, a number and a few rows."""
    for name in names:
        origin.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v int); {ROWS.format(name)}")


def test_a_row_older_than_its_tables_publication(origin: Origin) -> None:
    """Edge case 2. A transaction writes, then the table is published, then it commits: its rows are in the copy."""
    make(origin, "a", "b")
    with following(origin, a="SELECT * FROM a") as pair, origin.connect() as early:
        early.execute("BEGIN; INSERT INTO b VALUES (100, 1); UPDATE b SET v = 0 WHERE id = 1")
        pair.define(b="SELECT * FROM b")
        syncing = threading.Thread(target=pair.db.sync.sync)
        syncing.start()
        until(lambda: "b" in {name for (name,) in origin.query("SELECT tablename FROM pg_publication_tables")})
        origin.execute("INSERT INTO b VALUES (101, 1); UPDATE a SET v = v + 1")  # nobody queues behind a lock
        early.execute("INSERT INTO b VALUES (102, 1); DELETE FROM b WHERE id = 2; COMMIT")
        syncing.join()
        pair.check()


def test_the_publication_is_there_before_the_slot(origin: Origin, database_path: str) -> None:
    """Edge case 3. A change before its publication existed would fail the slot's decoding for good."""
    make(origin, "a")
    stopping = threading.Event()

    def write() -> None:
        with origin.connect() as connection:
            while not stopping.is_set():
                connection.execute("UPDATE a SET v = v + 1 WHERE id = 1")

    writer = threading.Thread(target=write)
    writer.start()
    pair = Pair(origin, database_path)
    try:
        pair.follow(a="SELECT * FROM a")
        created = origin.query(
            "SELECT (SELECT xmin::text::int8 FROM pg_publication), (SELECT catalog_xmin::text::int8 FROM "
            "pg_replication_slots WHERE database = current_database())"
        )
        pair.db.sync.wait(timeout=WAIT_SECONDS)
        assert created[0][0] < created[0][1]
        assert job(pair).retry_count == 0
    finally:
        stopping.set()
        writer.join()
        pair.db.close()


def test_the_snapshot_dies_amid_the_copy(origin: Origin) -> None:
    """Edge case 18. What exported it is gone when the next table is to be read: copied again, from a new one."""
    make(origin, "a", "b", "c")
    pair = Pair(origin)
    try:
        pair.follow(a="SELECT * FROM a")
        pair.define(b="SELECT * FROM b", c="SELECT * FROM c")
        ended: list[int] = []

        def end_exporter(what: str, done: int, total: int | None) -> None:
            if not ended:
                with origin.connect() as connection:
                    gone = connection.execute(
                        "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots "
                        "WHERE slot_name LIKE '%copy%' AND active_pid IS NOT NULL AND database = current_database()"
                    ).fetchall()
                    ended.append(len(gone))
                    connection.execute("UPDATE a SET v = v + 1; UPDATE b SET v = -v; DELETE FROM c WHERE id = 3")

        pair.db.sync.progress = end_exporter
        pair.db.sync.sync()
        until(lambda: {status.state for status in pair.db.sync.status()} == {"running"})
        assert ended == [1]
        pair.check()
        assert not pair.leftover_tables()
        assert [name for name in pair.slots() if "copy" in name] == []
    finally:
        pair.db.close()


def test_tables_that_belong_together_are_never_seen_apart(origin: Origin) -> None:
    """Edge case 19. Every transaction keeps the sum over two tables at zero; so does every read, from the first on."""
    for name, start in (("a", 100), ("b", -100)):
        origin.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v int)")
        origin.execute(f"INSERT INTO {name} SELECT g, {start} FROM generate_series(1, 2000) AS g")
    stopping = threading.Event()
    sums: set[int] = set()

    def write() -> None:
        with origin.connect() as connection:
            at = 0
            while not stopping.is_set():
                at += 1
                connection.execute(
                    f"BEGIN; UPDATE a SET v = v + {at} WHERE id = {at % 2000 + 1}; "
                    f"UPDATE b SET v = v - {at} WHERE id = {at * 7 % 2000 + 1}; COMMIT".encode()
                )

    pair = Pair(origin)

    def read() -> None:
        with pair.db.cursor() as cursor:
            while not stopping.is_set():
                try:
                    rows = cursor.execute("SELECT (SELECT sum(v) FROM s.a) + (SELECT sum(v) FROM s.b)").fetchall()
                except errors.FlashQLError:  # a table is not there yet
                    continue
                sums.update(total for (total,) in rows)

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    try:
        pair.define(a="SELECT * FROM a", b="SELECT * FROM b")
        for thread in threads:
            thread.start()
        pair.db.sync.sync("s.a")
        pair.db.sync.sync("s.b")  # joins the running stream
        pair.db.sync.wait(timeout=WAIT_SECONDS)
        until(lambda: bool(sums))
        seen = origin.query("SELECT sum(v) FROM a")
        until(lambda: origin.query("SELECT sum(v) FROM a") != seen)
        pair.db.sync.wait(timeout=WAIT_SECONDS)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
        pair.db.close()
    assert sums == {0}


def test_catching_up_ends_on_a_quiet_server(origin: Origin) -> None:
    """Edge case 20. Nothing commits after the snapshot: the keepalive's position ends the wait, not a commit."""
    make(origin, "a", "b")
    with following(origin, a="SELECT * FROM a") as pair:
        pair.check()
        for at in range(3):
            pair.follow(**{f"b{at}": "SELECT * FROM b" if at == 0 else f"SELECT id FROM b WHERE v > {at}"})
        pair.db.sync.sync(force=True)
        pair.check()


ALTERATIONS = [
    "ALTER TABLE b ALTER COLUMN v TYPE text USING 'x' || v",
    "ALTER TABLE b ALTER COLUMN v TYPE int USING v * 100",
    "ALTER TABLE b ALTER COLUMN v TYPE bigint",
    "ALTER TABLE b ADD COLUMN w timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE b DROP COLUMN v; ALTER TABLE b ADD COLUMN v int DEFAULT 7",
    "DROP TABLE b; CREATE TABLE b (v numeric, id int PRIMARY KEY); INSERT INTO b VALUES (1.5, 1)",
    "ALTER TABLE b RENAME TO c; CREATE TABLE b (LIKE c INCLUDING ALL); INSERT INTO b VALUES (1, 1)",
    "VACUUM FULL b",
]


@pytest.mark.parametrize("row_follows", [False, True])
@pytest.mark.parametrize("statements", ALTERATIONS)
def test_a_table_changes_between_its_description_and_its_rows(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, statements: str, row_follows: bool
) -> None:
    """Edge case 21. Rows written anew after the snapshot look like no rows to it, and the stream says nothing."""
    make(origin, "a", "b")
    create = slot.create
    waiting = [statements + ("; UPDATE b SET id = id + 1000 WHERE id = 1" if row_follows else "")]

    def create_then_alter(*args: object, **kwargs: object) -> object:
        made = create(*args, **kwargs)  # type: ignore[arg-type]
        if waiting and "copy" in str(args[1]):
            for statement in waiting.pop().split("; "):
                origin.execute(statement)
        return made

    with following(origin, a="SELECT * FROM a") as pair:
        monkeypatch.setattr(slot, "create", create_then_alter)
        pair.define(b="SELECT id, v FROM b")
        pair.db.sync.sync()
        assert not waiting
        until(lambda: job(pair, "s.b").state == "running")
        pair.check()
        assert not pair.leftover_tables()
