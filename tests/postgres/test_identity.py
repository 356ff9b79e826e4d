"""Which row a change means: replica identities, keys that move, values that are not sent."""

from __future__ import annotations

import psycopg
import pytest

from flashql import errors
from tests.fix_postgres import Origin
from tests.postgres.pair import Pair, following
from tests.postgres.test_replication import big


@pytest.mark.parametrize(
    "identity",
    [
        "id int",
        "id int PRIMARY KEY DEFERRABLE",
        "id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING; SELECT (1",
        "id int UNIQUE",
    ],
)
def test_a_table_without_identity_is_not_published(origin: Origin, identity: str) -> None:
    """Edge case 16. Published, the application's own UPDATE and DELETE would begin to fail."""
    origin.execute(f"CREATE TABLE t ({identity}); INSERT INTO t VALUES (1), (2)")
    pair = Pair(origin)
    try:
        with pytest.raises(errors.OriginUnfit) as refused:
            pair.define(t="SELECT * FROM t")
        assert "REPLICA IDENTITY FULL" in (refused.value.hint or "")
        assert pair.publications() == []
        origin.execute("UPDATE t SET id = 3 WHERE id = 1; DELETE FROM t WHERE id = 2")
        assert refused.value.hint is not None
        origin.execute(refused.value.hint.removeprefix("Run at the origin: "))  # the advice can be run as it stands
        pair.follow(t="SELECT * FROM t")
        origin.execute("UPDATE t SET id = 4; INSERT INTO t VALUES (5)")
        pair.check()
    finally:
        pair.db.close()


def test_a_condition_on_any_column_costs_the_application_nothing(origin: Origin) -> None:
    """Edge case 16. A row filter in the publication would need its columns in the identity: conditions stay here."""
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, v int, w int); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)")
    with following(origin, t="SELECT id, v FROM t WHERE v > 1 AND w > 1") as pair:
        origin.execute(
            "UPDATE t SET v = 5, w = 5; DELETE FROM t WHERE w = 5 AND id = 2; INSERT INTO t VALUES (3, 9, 9)"
        )
        pair.check()


def test_an_identity_that_is_lost_later(origin: Origin) -> None:
    """Edge case 16. The table leaves the publication at the next look, so that the application can write again."""
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)")
    origin.execute("CREATE TABLE u (id int PRIMARY KEY)")
    with following(origin, t="SELECT * FROM t", u="SELECT * FROM u") as pair:
        origin.execute("ALTER TABLE t DROP CONSTRAINT t_pkey")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            origin.execute("UPDATE t SET v = 9")
        report = pair.db.sync.sync()
        assert list(report.failed) == ["s.t"]
        assert "REPLICA IDENTITY FULL" in str(report.failed["s.t"])
        origin.execute("UPDATE t SET v = 9; INSERT INTO u VALUES (1)")
        pair.db.sync.wait("s.u", timeout=60)
        assert pair.db.execute("SELECT * FROM s.t ORDER BY id").fetchall() == [(1, 1), (2, 2)]  # as of before
        origin.execute("ALTER TABLE t REPLICA IDENTITY FULL")
        pair.sync()
        origin.execute("UPDATE t SET v = v + id")
        pair.check()


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL", "USING INDEX t_other_key"])
def test_the_identity_changes_amid_the_stream(origin: Origin, identity: str) -> None:
    """Edge case 24. The old key that comes is that of the new identity: the copy is keyed by it from there on."""
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, other int NOT NULL UNIQUE, v int);"
        "INSERT INTO t SELECT g, g + 100, g FROM generate_series(1, 30) AS g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        for step in (identity, "USING INDEX t_other_key", "DEFAULT", identity, "FULL"):
            origin.execute("UPDATE t SET v = v + 1 WHERE id < 20; UPDATE t SET other = -other WHERE id = 3")
            origin.execute(f"ALTER TABLE t REPLICA IDENTITY {step}")
            origin.execute("UPDATE t SET other = -other, id = id + 1000 WHERE v % 3 = 0; DELETE FROM t WHERE v % 7 = 0")
            pair.db.sync.sync()
            pair.check()


def test_keys_shifted_and_swapped_in_one_batch(origin: Origin) -> None:
    """Edge case 25. Old keys go, new ones come, in the order of the transaction, however many come at once."""
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text, CONSTRAINT k UNIQUE (id));"
        "ALTER TABLE t ALTER COLUMN id SET NOT NULL; ALTER TABLE t REPLICA IDENTITY USING INDEX k;"
        "INSERT INTO t SELECT g * 2, 'row ' || g FROM generate_series(1, 40) AS g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        pair.db.sync.stop()  # so that all of it comes in one batch
        origin.execute(
            "BEGIN; UPDATE t SET id = id + 10000; UPDATE t SET id = id - 9990; "
            "UPDATE t SET id = -id WHERE id IN (12, 14); UPDATE t SET id = 14 WHERE id = -12; "
            "UPDATE t SET id = 12 WHERE id = -14; "
            "DELETE FROM t WHERE id = 16; UPDATE t SET id = 16 WHERE id = 18; INSERT INTO t VALUES (18, 'new'); COMMIT;"
        )
        for at in range(50):
            origin.execute(f"UPDATE t SET id = id + 1 WHERE id = (SELECT max(id) FROM t); UPDATE t SET v = v || {at}")
        pair.db.sync.resume()
        pair.check()


def test_an_old_key_says_nothing_of_other_columns(origin: Origin) -> None:
    """Edge case 26. In an old key the other columns are null and do not mean NULL: nothing is taken from there."""
    origin.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, v int, body text);"
        f"INSERT INTO t SELECT g, g, {big(1)} || g FROM generate_series(1, 10) AS g"
    )
    with following(origin, t="SELECT * FROM t", bodies="SELECT body FROM t WHERE v > 3") as pair:
        origin.execute("UPDATE t SET id = id + 100 WHERE id < 5; UPDATE t SET id = -id, v = NULL WHERE id = 6")
        origin.execute("DELETE FROM t WHERE id = 7; BEGIN; UPDATE t SET id = 50 WHERE id = 8; DELETE FROM t; ROLLBACK")
        pair.check()
        assert pair.db.execute("SELECT count(*) FROM s.t WHERE body IS NULL").fetchall() == [(0,)]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_key_stored_out_of_line(origin: Origin, identity: str, at_once: bool) -> None:
    """Edge case 29. An update that leaves such a key alone does not send it in the new row, only as the old key."""
    origin.execute(
        "CREATE TABLE t (k text, part int, v int, body text, PRIMARY KEY (k, part));"
        "ALTER TABLE t ALTER COLUMN k SET STORAGE EXTERNAL;"
        f"ALTER TABLE t REPLICA IDENTITY {identity};"
        f"INSERT INTO t SELECT repeat(chr(64 + g), 2500), g % 2, g, {big(1)} || g FROM generate_series(1, 8) AS g"
    )
    with following(origin, t="SELECT * FROM t", some="SELECT v, body FROM t WHERE v > 100") as pair:
        if at_once:
            pair.db.sync.stop()
        for statement in (
            "UPDATE t SET v = v + 100 WHERE v < 5",
            "UPDATE t SET body = 'short' WHERE v = 5; UPDATE t SET v = v + 1",
            "UPDATE t SET part = part + 10 WHERE v > 103; UPDATE t SET v = v + 1",
            "BEGIN; UPDATE t SET k = repeat('x', 2600) WHERE v = 7; UPDATE t SET v = 500 WHERE k LIKE 'x%'; COMMIT",
            "BEGIN; UPDATE t SET part = part - 5; DELETE FROM t WHERE v = 8; UPDATE t SET v = v * 2; COMMIT",
            "DELETE FROM t WHERE v > 300; INSERT INTO t VALUES (repeat('y', 2500), 1, 1, NULL); UPDATE t SET v = -v",
        ):
            origin.execute(statement)
            if not at_once:
                pair.check()
        pair.db.sync.resume()
        pair.check()
        assert pair.db.sync.status("s.t")[0].retry_count == 0
