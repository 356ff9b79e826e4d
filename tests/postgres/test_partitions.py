"""Partitions followed by way of their root, and by themselves."""

from __future__ import annotations

import pytest

from flashql import errors
from tests.fix_postgres import Origin
from tests.postgres.pair import following
from tests.postgres.test_recovery import until
from tests.postgres.test_schema_changes import equal

ROOT = """
CREATE TABLE t (id int, day int, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
CREATE TABLE t2 (v text, day int NOT NULL, id int NOT NULL);
ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20);
INSERT INTO t SELECT g, g, 'v' || g FROM generate_series(0, 19) AS g
"""


def test_leaves_are_followed_by_themselves(origin: Origin) -> None:
    """Edge cases 36 and 37. Without views of the root, a leaf's changes come as its own, also what truncates it."""
    origin.execute(ROOT)
    with following(origin, t1="SELECT * FROM t1", t2="SELECT id, v FROM t2 WHERE day > 11") as pair:
        for statement in (
            "UPDATE t SET day = day + 10 WHERE id < 3; UPDATE t SET v = 'x' WHERE day > 11",
            "UPDATE t2 SET v = 'direct'; UPDATE t SET day = 5 WHERE id = 15",
            "TRUNCATE t1; INSERT INTO t VALUES (100, 1, 'after')",
            "ALTER TABLE t DETACH PARTITION t2; UPDATE t2 SET day = 1000 WHERE day = 19",
            "DELETE FROM t2 WHERE day = 1000; ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20)",
            "TRUNCATE t; INSERT INTO t SELECT g, g, 'again' FROM generate_series(5, 15) AS g",
        ):
            for part in statement.split("; "):
                origin.execute(part)
            pair.sync()
            pair.check()
        origin.execute("DROP TABLE t1")
        assert list(pair.db.sync.sync().failed) == ["s.t1"]


@pytest.mark.parametrize(("first", "second"), [("t", "t1"), ("t1", "t"), ("t", "t3a"), ("t3", "t3a"), ("t3a", "t3")])
def test_a_leaf_and_its_root_are_not_followed_both(origin: Origin, first: str, second: str) -> None:
    """Edge case 37. Postgres sends a row once, as the root's: the leaf's own copy would stand still unnoticed."""
    origin.execute(ROOT)
    origin.execute(
        "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (40) PARTITION BY RANGE (day);"
        "CREATE TABLE t3a PARTITION OF t3 FOR VALUES FROM (20) TO (30)"
    )
    with following(origin, one=f"SELECT * FROM {first}") as pair:
        with pytest.raises(errors.NotSupported, match="partition") as refused:
            pair.define(two=f"SELECT * FROM {second}")
        assert "WHERE" in (refused.value.hint or "")
        pair.define(sibling="SELECT * FROM t2" if first == "t1" else f"SELECT id FROM {first}")
        pair.sync()
        origin.execute("INSERT INTO t VALUES (50, 25, 'new'); UPDATE t SET v = v || '!'")
        pair.check()


def test_a_followed_table_is_attached_to_a_followed_root(origin: Origin) -> None:
    """Edge case 37. From then on its rows come as the root's: its own view fails, and goes on when it is detached."""
    origin.execute(ROOT + "; CREATE TABLE t3 (LIKE t INCLUDING ALL); INSERT INTO t3 VALUES (25, 25, 'brought along')")
    with following(origin, t="SELECT * FROM t", t3="SELECT * FROM t3") as pair:
        origin.execute("ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (20) TO (30)")
        failed = pair.db.sync.sync().failed
        assert list(failed) == ["s.t3"]
        assert isinstance(failed["s.t3"], errors.NotSupported)
        origin.execute("INSERT INTO t VALUES (26, 26, 'new')")
        pair.db.sync.wait("s.t", timeout=60)
        query = pair.queries.pop("t3")
        until(lambda: equal(pair))
        origin.execute("ALTER TABLE t DETACH PARTITION t3")
        origin.execute("INSERT INTO t3 VALUES (27, 27, 'alone')")
        pair.queries["t3"] = query
        pair.sync()
        origin.execute("UPDATE t3 SET v = 'own'; UPDATE t SET v = 'root'")
        pair.check()
