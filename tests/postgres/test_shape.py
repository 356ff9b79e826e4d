"""Changes of a table that say nothing in its stream are noticed in the origin's catalog, and the table is copied again.

Known gaps: a table set UNLOGGED, written and set LOGGED while it was out of the publication looks like VACUUM FULL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flashql.catalog import Shape
from flashql.shapes import undisturbed
from tests.fix_postgres import Origin
from tests.postgres.pair import Pair, following

PLAIN = """
CREATE TYPE mood AS ENUM ('sad', 'calm', 'happy');
CREATE TYPE moods AS (now mood, before mood[]);
CREATE TYPE pair AS (x int, y int);
CREATE DOMAIN kind_mood AS mood;
CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b int, unread int, m mood, ms mood[], d kind_mood, p pair, c moods);
INSERT INTO t SELECT g, g, g * 2, g, 'sad', '{sad,calm}', 'calm', (g, g)::pair, ('sad', '{happy}')::moods
FROM generate_series(1, 50) AS g
"""
QUERY = "SELECT id, a, b, m, ms, d, p, c FROM t"

PARTITIONED = """
CREATE TABLE t (id int NOT NULL DEFAULT 1, day int NOT NULL, note text DEFAULT 'none', PRIMARY KEY (id, day))
    PARTITION BY RANGE (day);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (day);
CREATE TABLE t2a PARTITION OF t2 FOR VALUES FROM (10) TO (15);
CREATE TABLE t2b PARTITION OF t2 FOR VALUES FROM (15) TO (20);
INSERT INTO t SELECT g, g % 20, 'note ' || g FROM generate_series(1, 100) AS g
"""
# What pg_partman does: a table of its own, attached at once.
ATTACHED = "CREATE TABLE t3 (LIKE t INCLUDING ALL); {} ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (20) TO (30)"
FILL = "INSERT INTO t3 SELECT g, 20 + g % 10, 'brought along' FROM generate_series(1, 30) AS g;"


@contextmanager
def following_plain(origin: Origin, path: str = ":memory:") -> Iterator[Pair]:
    """A pair that follows the plain table."""
    origin.execute(PLAIN)
    with following(origin, path, t=QUERY) as pair:
        pair.queries["t"] = QUERY.replace("ms,", "ms::text[],")  # psycopg reads no arrays of unknown types
        yield pair


def looked_at(pair: Pair) -> list[int]:
    """The ids of the copies there are after looking at the origin again; every view equals its query there."""
    pair.sync()
    pair.check()
    return [copy.id for copy in pair.copies()]


def run(pair: Pair, statements: str) -> bool:
    """Run statements at the origin, each committed by itself, look, compare; whether the table was copied again."""
    before = [copy.id for copy in pair.copies()]
    for statement in statements.split(";;"):
        pair.origin.execute(statement)
    return looked_at(pair) != before


@pytest.mark.parametrize(
    "statements",
    [
        "ALTER TABLE t ALTER COLUMN a TYPE int USING a * 100",
        "ALTER TABLE t ALTER COLUMN a TYPE int USING a + 1, ALTER COLUMN unread DROP NOT NULL",
        "BEGIN; ALTER TABLE t ALTER COLUMN b TYPE int USING NULL; TRUNCATE t; "
        "INSERT INTO t (id, a) VALUES (1, 1); COMMIT",
        "ALTER TABLE t DROP COLUMN b;; ALTER TABLE t ADD COLUMN b int",
        "ALTER TABLE t DROP COLUMN b;; ALTER TABLE t ADD COLUMN b int DEFAULT 7",
        "BEGIN; ALTER TABLE t RENAME a TO z; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME z TO b; COMMIT",
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'low'",
        "ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'",
        "ALTER TYPE mood RENAME VALUE 'sad' TO 'low';; ALTER TYPE mood ADD VALUE 'sad'",
        "BEGIN; ALTER TYPE mood RENAME VALUE 'sad' TO 'z'; ALTER TYPE mood RENAME VALUE 'calm' TO 'sad'; "
        "ALTER TYPE mood RENAME VALUE 'z' TO 'calm'; COMMIT",
        "ALTER TYPE pair ADD ATTRIBUTE z int",
        "ALTER TYPE pair DROP ATTRIBUTE y",
    ],
)
def test_silent_changes_of_a_table(origin: Origin, statements: str) -> None:
    """Edge cases 31 and 34."""
    with following_plain(origin) as pair:
        assert run(pair, statements)
        assert not run(pair, "UPDATE t SET a = a + 1")


@pytest.mark.parametrize(
    "statements",
    [
        "VACUUM FULL t",
        "CLUSTER t USING t_pkey",
        "TRUNCATE t;; INSERT INTO t (id, a, m) VALUES (1, 1, 'sad')",
        "ALTER TABLE t ADD COLUMN more int",
        "ALTER TABLE t ADD COLUMN more float8 DEFAULT random()",  # writes the table anew
        "ALTER TABLE t ALTER COLUMN unread TYPE int USING unread * 100",
        "ALTER TABLE t ALTER COLUMN unread TYPE text",
        "ALTER TABLE t DROP COLUMN unread",
        "ALTER TABLE t ALTER COLUMN b SET NOT NULL, ALTER COLUMN a SET STATISTICS 10",
        "ALTER TABLE t ALTER COLUMN a SET DEFAULT 3;; CREATE INDEX ON t (a);; ANALYZE t",
        "ALTER TYPE mood ADD VALUE 'furious' BEFORE 'calm';; "
        "UPDATE t SET m = 'furious', ms = '{furious}', d = 'furious'",
        "ALTER TYPE pair RENAME ATTRIBUTE x TO z",
    ],
)
def test_changes_that_the_stream_tells_or_that_change_no_value(origin: Origin, statements: str) -> None:
    with following_plain(origin) as pair:
        assert not run(pair, statements)
        assert not run(pair, "UPDATE t SET a = a + 1")


def test_harmless_changes_at_different_looks_do_not_add_up(origin: Origin) -> None:
    with following_plain(origin) as pair:
        assert not run(pair, "VACUUM FULL t")
        assert not run(pair, "ALTER TABLE t ALTER COLUMN b SET NOT NULL")
        assert run(pair, "ALTER TABLE t ALTER COLUMN b TYPE int USING -b")
        assert run(pair, "ALTER TABLE t ALTER COLUMN b TYPE int USING -b")


def test_a_rewrite_by_an_older_transaction_than_the_last_change(origin: Origin) -> None:
    """Transaction numbers are given at the first write, so a column's version says nothing about which was last."""
    origin.execute("CREATE TABLE other (x int)")
    with following_plain(origin) as pair, origin.connect() as older:
        older.execute("BEGIN; INSERT INTO other VALUES (1)")
        origin.execute("ALTER TABLE t ADD COLUMN more int, ALTER COLUMN b SET NOT NULL")
        before = [copy.id for copy in pair.copies()]
        pair.sync()
        assert [copy.id for copy in pair.copies()] == before
        older.execute("ALTER TABLE t ALTER COLUMN a TYPE int USING a * 100; COMMIT")
        assert run(pair, "SELECT 1")


@pytest.mark.parametrize(
    "statements",
    [
        "TRUNCATE t1",
        "TRUNCATE t2",
        "TRUNCATE t2b;; INSERT INTO t VALUES (1, 15, 'after')",
        "DROP TABLE t1",
        "DROP TABLE t2",
        "ALTER TABLE t DETACH PARTITION t1",
        "ALTER TABLE t2 DETACH PARTITION t2a",
        "ALTER TABLE t DETACH PARTITION t1 CONCURRENTLY",
        "ALTER TABLE t DETACH PARTITION t1;; DELETE FROM t1 WHERE id % 2 = 0;; "
        "ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (10)",
        "ALTER TABLE t DETACH PARTITION t2;; DELETE FROM t2 WHERE id % 2 = 0;; "
        "ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20)",
        "ALTER TABLE t ALTER COLUMN note TYPE text USING note || '!'",
        ATTACHED.format(FILL),
        ATTACHED.format(FILL).replace("; ", ";; "),
        ATTACHED.format(FILL) + "; UPDATE t3 SET note = 'changed' WHERE id < 10",
        "CREATE TABLE t3 (LIKE t INCLUDING ALL) PARTITION BY RANGE (day);"
        "CREATE TABLE t3a PARTITION OF t3 FOR VALUES FROM (20) TO (30);"
        "INSERT INTO t3 VALUES (1, 20, 'brought along');; "
        "ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (20) TO (30)",
    ],
)
def test_silent_changes_of_partitions(origin: Origin, statements: str) -> None:
    """Edge cases 36 and 37."""
    origin.execute(PARTITIONED)
    with following(origin, t="SELECT id, day, note FROM t") as pair:
        assert run(pair, statements)
        assert not run(pair, "UPDATE t SET note = 'all of them'")


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30);; INSERT INTO t VALUES (1, 20, 'new')",
        "BEGIN; CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30); "
        "INSERT INTO t VALUES (1, 20, 'new'); COMMIT",
        "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30);; INSERT INTO t VALUES (1, 20, 'new');; "
        "GRANT SELECT ON t3 TO PUBLIC;; CREATE INDEX ON t (note);; ANALYZE t3;; ALTER TABLE t ADD COLUMN more int",
        "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30) PARTITION BY RANGE (day);; "
        "CREATE TABLE t3a PARTITION OF t3 FOR VALUES FROM (20) TO (25);; INSERT INTO t VALUES (1, 20, 'new')",
        ATTACHED.format(""),
        "INSERT INTO t VALUES (1000, 3, 'to move');; UPDATE t SET day = 12 WHERE id = 1000;; ANALYZE t",
    ],
)
def test_partitions_that_bring_no_rows_along(origin: Origin, statements: str) -> None:
    origin.execute(PARTITIONED)
    with following(origin, t="SELECT id, day, note FROM t") as pair:
        assert not run(pair, statements)
        assert not run(pair, "UPDATE t SET note = 'all of them'")


def test_the_end_of_a_partition_that_came_later(origin: Origin) -> None:
    origin.execute(PARTITIONED)
    with following(origin, t="SELECT id, day, note FROM t") as pair:
        assert not run(
            pair, "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30);; INSERT INTO t VALUES (1, 20)"
        )
        assert run(pair, "DROP TABLE t3")


def test_the_shape_outlives_the_process(origin: Origin, tmp_path: Path) -> None:
    with following_plain(origin, str(tmp_path / "file.duckdb")) as pair:
        assert not run(pair, "VACUUM FULL t")
        pair.reopen()
        assert not run(pair, "ALTER TABLE t ALTER COLUMN b SET NOT NULL")
        pair.reopen()
        assert run(pair, "ALTER TABLE t ALTER COLUMN a TYPE int USING a * 100")


def test_a_copy_made_before_shapes_were_kept_gets_one(origin: Origin, tmp_path: Path) -> None:
    with following_plain(origin, str(tmp_path / "file.duckdb")) as pair:
        pair.reopen()
        forget_shapes(pair)
        assert [copy.shape for copy in pair.copies()] == [None]
        assert not run(pair, "SELECT 1")
        assert run(pair, "ALTER TABLE t ALTER COLUMN a TYPE int USING a * 100")


def forget_shapes(pair: Pair) -> None:
    """Make the definitions of copies what they were before they had shapes."""
    with pair.db.store.transaction() as writer:
        writer.execute("UPDATE flashql.copies SET definition = regexp_replace(definition, ',\"shape\":.*$', '}')")


BASE = Shape(7, (("a", 1, "90"), ("b", 2, "90")), ("p1", "p2"), (), (("a", "e1=x"), ("a", "e2=y")))


@pytest.mark.parametrize(
    ("now", "fine"),
    [
        (BASE, True),
        (Shape(8, BASE.columns, BASE.partitions, (), BASE.types), True),
        (Shape(7, (("a", 1, "91"), ("b", 2, "91")), BASE.partitions, (), BASE.types), True),
        (Shape(8, (("a", 1, "90"), ("b", 2, "91")), BASE.partitions, (), BASE.types), False),
        (Shape(7, (("b", 1, "90"), ("a", 2, "90")), BASE.partitions, (), BASE.types), False),
        (Shape(7, BASE.columns[:1], BASE.partitions, (), BASE.types), False),
        (Shape(7, BASE.columns, ("p1",), (), BASE.types), False),
        (Shape(7, BASE.columns, ("p1", "p2", "p3"), (), BASE.types), False),
        (Shape(7, BASE.columns, ("p1", "p2", "p3"), ("p3",), BASE.types), True),
        (Shape(7, BASE.columns, ("p1", "p3"), ("p3",), BASE.types), False),
        (Shape(7, BASE.columns, BASE.partitions, (), (*BASE.types, ("a", "e3=z"))), True),
        (Shape(7, BASE.columns, BASE.partitions, (), BASE.types[1:]), False),
    ],
)
def test_what_disturbs(now: Shape, fine: bool) -> None:
    assert undisturbed(BASE, now) is fine
