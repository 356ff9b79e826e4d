"""Whatever happens to a table at the origin, its copy equals it after `wait`: the origin is the oracle."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flashql.catalog import CopyState
from flashql.cli.embedded import embedded_postgres
from flashql.origins.postgres import assembling
from tests.fix_postgres import Origin, PrivateServer, fresh_origin
from tests.postgres.pair import WAIT_SECONDS, Pair, following

# Longer than a page holds and hard to compress, so that Postgres stores it out of line (TOAST).
BIG = "(SELECT string_agg(md5(({seed} * 1000 + g)::text), '') FROM generate_series(1, 300) AS g)"


def big(seed: int) -> str:
    """SQL for a text of about 10 kB, different for each seed."""
    return BIG.format(seed=seed)


@pytest.fixture
def accounts(origin: Origin) -> Iterator[Pair]:
    """A followed table with a key and a few rows."""
    origin.execute(
        "CREATE TABLE accounts (id int PRIMARY KEY, name text, amount numeric(12,2));"
        "INSERT INTO accounts SELECT g, 'name ' || g, g FROM generate_series(1, 100) AS g"
    )
    with following(origin, accounts="SELECT * FROM accounts") as pair:
        pair.check()
        yield pair


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO accounts VALUES (101, 'new', 1.5), (102, NULL, NULL)",
        "UPDATE accounts SET name = 'changed', amount = amount * 2 WHERE id % 3 = 0",
        "UPDATE accounts SET name = NULL WHERE id < 10",
        "DELETE FROM accounts WHERE id > 50",
        "UPDATE accounts SET id = id + 1000 WHERE id = 7",
        "UPDATE accounts SET id = id + 1000; UPDATE accounts SET id = id - 990",
        "DELETE FROM accounts; INSERT INTO accounts VALUES (1, 'again', 0)",
        "BEGIN; DELETE FROM accounts WHERE id = 1; INSERT INTO accounts VALUES (1, 'again', 0); COMMIT",
        "BEGIN; INSERT INTO accounts VALUES (500, 'x', 0); UPDATE accounts SET id = 501 WHERE id = 500; "
        "DELETE FROM accounts WHERE id = 501; COMMIT",
        "BEGIN; UPDATE accounts SET id = -1 WHERE id = 1; UPDATE accounts SET id = 1 WHERE id = 2; "
        "UPDATE accounts SET id = 2 WHERE id = -1; COMMIT",
        "TRUNCATE accounts",
        "BEGIN; INSERT INTO accounts VALUES (500, 'x', 0); TRUNCATE accounts; "
        "INSERT INTO accounts VALUES (500, 'y', 0); COMMIT",
        "BEGIN; TRUNCATE accounts; INSERT INTO accounts VALUES (1, 'y', 0); ROLLBACK",
        "INSERT INTO accounts VALUES (1, 'upsert', 9) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        "MERGE INTO accounts USING generate_series(95, 105) AS g ON id = g "
        "WHEN MATCHED AND g < 98 THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'merged' "
        "WHEN NOT MATCHED THEN INSERT VALUES (g, 'merged new', 0)",
        "COPY (SELECT 1) TO '/dev/null'; INSERT INTO accounts SELECT g, 'bulk', g FROM generate_series(1000, 9000) g",
    ],
)
def test_statements(accounts: Pair, statement: str) -> None:
    accounts.origin.execute(statement)
    accounts.check()


def test_shifted_keys(origin: Origin) -> None:
    """Edge case 25."""
    # Descending order of the heap lets a unique index accept the shift row by row.
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT -g, g FROM generate_series(1, 50) g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        origin.execute("UPDATE t SET id = id + 1 WHERE id > -2")
        for step in (1, 10, -10, 100):
            origin.execute(f"UPDATE t SET id = id + {step} + 1000; UPDATE t SET id = id - 1000")
            pair.check()


def test_composite_key_of_text_and_number(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (a text, v text, b numeric, PRIMARY KEY (b, a));"
        "INSERT INTO t SELECT 'a' || g % 7, g::text, g / 10.0 FROM generate_series(1, 100) AS g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        origin.execute("UPDATE t SET b = b + 1000 WHERE a = 'a3'; UPDATE t SET v = 'x' WHERE a = 'a4'")
        origin.execute("DELETE FROM t WHERE a = 'a5'; UPDATE t SET b = 1.50 WHERE b = 1.5")
        pair.check()


def test_whole_rows_without_a_key_are_a_bag(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (a int, b text, f float8); ALTER TABLE t REPLICA IDENTITY FULL;"
        "INSERT INTO t SELECT g % 3, NULLIF(g % 2, 0)::text, g % 2 FROM generate_series(1, 60) AS g"
    )
    with following(origin, t="SELECT * FROM t", part="SELECT b FROM t WHERE a = 1") as pair:
        origin.execute("DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE a = 1 LIMIT 3)")
        pair.check()
        origin.execute(
            "BEGIN; INSERT INTO t SELECT 1, NULL, 0 FROM generate_series(1, 5);"
            "UPDATE t SET a = 2 WHERE ctid IN (SELECT ctid FROM t WHERE a = 1 LIMIT 4);"
            "DELETE FROM t WHERE b IS NULL AND ctid IN (SELECT ctid FROM t WHERE b IS NULL LIMIT 2); COMMIT"
        )
        pair.check()
        origin.execute(
            "INSERT INTO t VALUES (NULL, NULL, 'NaN'), (NULL, NULL, 'NaN'), (NULL, NULL, '-0'); "
            "DELETE FROM t WHERE a = 0"
        )
        pair.check()
        origin.execute("UPDATE t SET f = 1 WHERE a IS NULL AND f = 'NaN'")
        pair.check()


def test_a_bag_whose_columns_have_names_that_are_used_here(origin: Origin) -> None:
    origin.execute(
        'CREATE TABLE t (weight float8, weight_ int, "Weight" int, n0 int, kind text, id int, nth int);'
        "ALTER TABLE t REPLICA IDENTITY FULL;"
        "INSERT INTO t SELECT g % 2, 3, 4, g % 3, 'k' FROM generate_series(1, 20) g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        origin.execute("UPDATE t SET n0 = 7 WHERE weight = 1; INSERT INTO t VALUES (9, 9), (9, 9)")
        pair.check()
        origin.execute(
            "DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE weight = 9 LIMIT 1); DELETE FROM t WHERE n0 = 7"
        )
        pair.check()


@pytest.mark.parametrize("identity", ["PRIMARY KEY (b)", "REPLICA IDENTITY FULL"])
def test_a_column_named_rowid(origin: Origin, identity: str) -> None:
    """DuckDB's own name for where a row is."""
    addition = f"ADD {identity}" if "KEY" in identity else identity
    origin.execute(
        f"CREATE TABLE t (rowid int, b text, c text); ALTER TABLE t {addition};"
        f"INSERT INTO t SELECT g % 2, 'b' || g, {big(1)} FROM generate_series(1, 20) g;"
        "UPDATE t SET rowid = NULL WHERE b = 'b3'"
    )
    with following(origin, t="SELECT * FROM t", some="SELECT b FROM t WHERE rowid = 1") as pair:
        origin.execute("DELETE FROM t WHERE rowid = 1 AND b = 'b1'; UPDATE t SET b = b || 'x' WHERE b = 'b3'")
        pair.check()
        assert pair.db.execute("SELECT rowid FROM s.t WHERE b = 'b2'").fetchall() == [(0,)]


def test_values_that_compare_equal_but_differ(origin: Origin) -> None:
    """DuckDB holds 30 days for a month, and 0 for -0, when it compares; a row without a key is its exact value."""
    origin.execute(
        "CREATE TABLE t (v interval, f float8, z timetz); ALTER TABLE t REPLICA IDENTITY FULL;"
        "INSERT INTO t VALUES ('30 days', 0, '12:00+00'), ('1 mon', '-0', '13:00+01')"
    )
    shown = "SELECT v::text, f::text, z::text FROM t"
    with following(origin, t="SELECT * FROM t") as pair:
        pair.queries.clear()
        for statement in (
            "UPDATE t SET v = '1 mon' WHERE v::text = '30 days'",
            "UPDATE t SET v = '30 days' WHERE f::text = '0'",
            "UPDATE t SET f = '-0' WHERE f::text = '0'; UPDATE t SET z = '13:00+01'",
            "UPDATE t SET f = '0', v = '24 hours' WHERE v::text = '30 days'; "
            "UPDATE t SET v = '1 day' WHERE f::text = '0'",
            "DELETE FROM t WHERE v::text = '1 day'",
        ):
            origin.execute(statement)
            pair.db.sync.wait(timeout=30)
            local = pair.db.execute("SELECT v::VARCHAR, f::VARCHAR, z::VARCHAR FROM s.t").fetchall()
            assert sorted(map(_spelled, local)) == sorted(map(_spelled, origin.query(shown))), statement


def _spelled(row: tuple[str, str, str]) -> tuple[str, str, str]:
    months = {"1 month": "1 mon", "1 mon": "1 mon"}
    return (months.get(row[0], row[0]), row[1].removesuffix(".0"), row[2])


def test_full_identity_with_a_key(origin: Origin) -> None:
    origin.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, v int, body text); ALTER TABLE t REPLICA IDENTITY FULL;"
        f"INSERT INTO t SELECT g, 0, {big(1)} || g FROM generate_series(1, 20) AS g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        origin.execute("UPDATE t SET v = v + 1 WHERE id < 10; UPDATE t SET id = id + 100 WHERE id > 15")
        origin.execute("UPDATE t SET id = id + 100, v = 5 WHERE id BETWEEN 11 AND 14; DELETE FROM t WHERE id = 1")
        pair.check()


def test_deferrable_key_under_full_identity(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text); "
        "ALTER TABLE t REPLICA IDENTITY FULL;"
        "INSERT INTO t SELECT g, g::text FROM generate_series(1, 20) AS g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        origin.execute("UPDATE t SET id = id + 1")
        origin.execute("UPDATE t SET id = 43 - id")
        pair.check()


def test_identity_by_another_index_than_the_key(origin: Origin) -> None:
    """Edge case 24. An update of the primary key alone carries no old row."""
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, v int, CONSTRAINT u UNIQUE (code));"
        "ALTER TABLE t REPLICA IDENTITY USING INDEX u;"
        "INSERT INTO t SELECT g, 'c' || g, 0 FROM generate_series(1, 50) AS g"
    )
    with following(origin, t="SELECT * FROM t", some="SELECT id FROM t WHERE v = 1") as pair:
        origin.execute("UPDATE t SET id = id + 1000; UPDATE t SET v = 1 WHERE code < 'c3'")
        origin.execute("UPDATE t SET code = 'd' || code WHERE v = 1; DELETE FROM t WHERE code = 'dc1'")
        pair.check()


TOAST_STEPS = [
    "UPDATE t SET v = v + 1",
    f"BEGIN; INSERT INTO t VALUES (10, 0, {big(10)}, 'x'); UPDATE t SET v = 1 WHERE id = 10; COMMIT",
    "UPDATE t SET id = id + 100 WHERE id = 1",
    "BEGIN; UPDATE t SET id = 102 WHERE id = 2; UPDATE t SET id = 202 WHERE id = 102; "
    "UPDATE t SET id = 302, v = 9 WHERE id = 202; COMMIT",
    f"BEGIN; INSERT INTO t VALUES (11, 0, {big(11)}, {big(12)}); UPDATE t SET id = 12 WHERE id = 11; "
    "UPDATE t SET v = 3 WHERE id = 12; UPDATE t SET id = 11 WHERE id = 12; COMMIT",
    f"BEGIN; UPDATE t SET body = {big(20)} WHERE id = 3; UPDATE t SET v = 5 WHERE id = 3; "
    f"UPDATE t SET other = {big(21)} WHERE id = 3; UPDATE t SET v = 6 WHERE id = 3; COMMIT",
    f"BEGIN; UPDATE t SET body = NULL WHERE id = 4; UPDATE t SET v = 7, other = {big(30)} WHERE id = 4; COMMIT",
    f"BEGIN; DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (5, 0, 'small', {big(40)}); "
    "UPDATE t SET v = 8 WHERE id = 5; COMMIT",
    "BEGIN; UPDATE t SET id = -6 WHERE id = 6; UPDATE t SET id = 6 WHERE id = 7; UPDATE t SET id = 7 WHERE id = -6; "
    "UPDATE t SET v = v + 1 WHERE id IN (6, 7); COMMIT",
    "BEGIN; UPDATE t SET v = 9 WHERE id = 8; DELETE FROM t WHERE id = 8; COMMIT",
    f"BEGIN; UPDATE t SET id = 900 WHERE id = 9; DELETE FROM t WHERE id = 900; "
    f"INSERT INTO t VALUES (9, 1, {big(50)}, ''); "
    "UPDATE t SET v = 2 WHERE id = 9; COMMIT",
    "BEGIN; SAVEPOINT a; UPDATE t SET v = 100; ROLLBACK TO a; UPDATE t SET v = 101 WHERE id < 5; COMMIT",
]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL", "FULL without key"])
@pytest.mark.parametrize("at_once", [False, True])
def test_toasted_values_that_did_not_change(origin: Origin, identity: str, at_once: bool) -> None:
    """Edge cases 27 and 28. Not sent: taken from the row before, in the copy or in the same batch."""
    key = "" if identity == "FULL without key" else "PRIMARY KEY"
    origin.execute(
        f"CREATE TABLE t (id int {key}, v int, body text, other text);"
        f"ALTER TABLE t REPLICA IDENTITY {identity.split()[0]};"
        f"INSERT INTO t SELECT g, 0, {big(1)} || g, {big(2)} || g FROM generate_series(1, 9) AS g"
    )
    with following(origin, t="SELECT * FROM t", bodies="SELECT id, body FROM t WHERE v < 5") as pair:
        if at_once:
            # Stopped meanwhile, all of it comes in one batch.
            pair.db.sync.stop()
        for step in TOAST_STEPS:
            origin.execute(step)
            if not at_once:
                pair.check()
        pair.db.sync.resume()
        pair.check()
        assert pair.db.sync.status("s.t")[0].retry_count == 0


def test_truncations(origin: Origin) -> None:
    """Edge case 36. Several tables, CASCADE, in the order of their transaction."""
    origin.execute(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);"
        "CREATE TABLE unfollowed (id int PRIMARY KEY, a int REFERENCES a)"
    )
    fill = "INSERT INTO a SELECT generate_series(1, 9); INSERT INTO b SELECT g, g FROM generate_series(1, 9) g"
    origin.execute(fill)
    with following(origin, a="SELECT * FROM a", b="SELECT * FROM b", few="SELECT id FROM b WHERE id < 4") as pair:
        for statement in (
            "TRUNCATE b",
            f"{fill.split(';')[1]}; TRUNCATE a, b, unfollowed",
            f"{fill}; TRUNCATE a CASCADE; INSERT INTO a VALUES (77)",
            f"TRUNCATE a CASCADE; BEGIN; {fill}; TRUNCATE b; INSERT INTO b VALUES (5, 5); TRUNCATE a CASCADE; {fill}; "
            "DELETE FROM b WHERE id = 3; COMMIT",
            "BEGIN; TRUNCATE a CASCADE; ROLLBACK",
            "TRUNCATE b RESTART IDENTITY; INSERT INTO b VALUES (1, 1); TRUNCATE b; INSERT INTO b VALUES (2, 1)",
        ):
            origin.execute(statement)
            pair.check()


def test_transactions_are_atomic_for_readers(origin: Origin) -> None:
    """Two tables whose sums always cancel out: no reader may ever see them differ."""
    origin.execute(
        "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int);"
        "INSERT INTO a SELECT g, 100 FROM generate_series(1, 50) g; "
        "INSERT INTO b SELECT g, -100 FROM generate_series(1, 50) g"
    )
    with following(origin, a="SELECT * FROM a", b="SELECT * FROM b") as pair:
        done = threading.Event()
        seen: list[tuple[int, int]] = []

        def read() -> None:
            with pair.db.cursor() as cursor:
                while not done.is_set():
                    seen.extend(cursor.execute("SELECT (SELECT sum(v) FROM s.a), (SELECT sum(v) FROM s.b)").fetchall())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for at in range(200):
                origin.execute(
                    f"BEGIN; UPDATE a SET v = v + {at} WHERE id = {at % 50 + 1}; "
                    f"UPDATE b SET v = v - {at} WHERE id = {(at * 7) % 50 + 1}; COMMIT"
                )
            pair.check()
        finally:
            done.set()
            reader.join()
        assert seen
        assert {left + right for left, right in seen} == {0}


def test_partitioned_table(origin: Origin) -> None:
    """Edge case 37. Rows move between partitions whose columns have another order."""
    origin.execute(
        "CREATE TABLE t (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);"
        "CREATE TABLE t_eu PARTITION OF t FOR VALUES IN ('eu'); "
        "CREATE TABLE t_us (v int, region text NOT NULL, id int NOT NULL);"
        "ALTER TABLE t ATTACH PARTITION t_us FOR VALUES IN ('us');"
        "INSERT INTO t SELECT g, CASE g % 2 WHEN 0 THEN 'eu' ELSE 'us' END, g FROM generate_series(1, 40) g"
    )
    with following(origin, t="SELECT * FROM t", eu="SELECT id, v FROM t WHERE region = 'eu'") as pair:
        pair.check()
        origin.execute(
            "UPDATE t SET region = 'us' WHERE id < 10; UPDATE t SET v = v + 1; DELETE FROM t_us WHERE id = 1"
        )
        origin.execute("INSERT INTO t_eu VALUES (100, 'eu', 1); INSERT INTO t_us (id, region, v) VALUES (100, 'us', 1)")
        pair.check()
        origin.execute("CREATE TABLE t_asia PARTITION OF t FOR VALUES IN ('asia'); INSERT INTO t VALUES (5, 'asia', 5)")
        pair.check()
        origin.execute("TRUNCATE t; INSERT INTO t VALUES (1, 'eu', 1)")
        pair.check()


def test_odd_names(origin: Origin) -> None:
    origin.execute(
        'CREATE SCHEMA "Sch""ema"; '
        'CREATE TABLE "Sch""ema"."Tä b.le" ("Key""col" int PRIMARY KEY, "sélect" text, "a b" int);'
        """INSERT INTO "Sch""ema"."Tä b.le" VALUES (1, 'x', 1)"""
    )
    table = '"Sch""ema"."Tä b.le"'
    with following(origin, t=f"SELECT * FROM {table}", u=f'SELECT "a b" FROM {table} WHERE "Key""col" > 1') as pair:
        origin.execute(
            f"""INSERT INTO {table} VALUES (2, 'y', 2), (3, 'z', 3); """
            f"""UPDATE {table} SET "Key""col" = 9 WHERE "a b" = 1"""
        )
        pair.check()


def test_columns_that_differ_by_case(origin: Origin) -> None:
    """DuckDB ignores case; a copy tells them apart all the same."""
    origin.execute("""CREATE TABLE t (k int PRIMARY KEY, id int, "ID" text); INSERT INTO t VALUES (1, 2, 'x')""")
    with following(origin, t='SELECT k, "ID" FROM t') as pair:
        origin.execute("""INSERT INTO t VALUES (2, 3, 'y'), (3, 4, 'z'); UPDATE t SET "ID" = 'w', k = 7 WHERE id = 2""")
        pair.check()
        pair.follow(u='SELECT id, "ID" AS other FROM t WHERE "ID" <> \'w\' AND id > 2')
        origin.execute("""UPDATE t SET id = id + 1; INSERT INTO t VALUES (4, 1, 'v')""")
        pair.check()


def test_generated_columns(origin: Origin) -> None:
    """Edge case 35."""
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) STORED);"
        "INSERT INTO t SELECT g, g FROM generate_series(1, 10) g"
    )
    columns = "*" if origin.version >= 18 else "id, v"
    with following(origin, t=f"SELECT {columns} FROM t") as pair:
        origin.execute("UPDATE t SET v = v + 1 WHERE id < 5; INSERT INTO t VALUES (99, 1); DELETE FROM t WHERE id = 6")
        pair.check()


def test_types_of_users(origin: Origin) -> None:
    """Edge case 34."""
    origin.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN age AS int CHECK (VALUE >= 0);"
        "CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN old AS age CHECK (VALUE > 10);"
        "CREATE TABLE t (id int PRIMARY KEY, m mood, a age, p price, o old, tags text[], ns int[], ages age[], "
        "moods mood[]);"
        "INSERT INTO t VALUES (1, 'sad', 5, 1.25, 11, '{a,\"b,c\",NULL}', '{1,2}', '{3}', '{sad,NULL}')"
    )
    with following(origin, t="SELECT * FROM t", grown="SELECT id, o FROM t WHERE o > 11") as pair:
        # psycopg reads arrays of these types as text
        pair.queries["t"] = "SELECT id, m, a, p, o, tags, ns, ages::text[], moods::text[] FROM t"
        origin.execute(
            "INSERT INTO t VALUES (2, 'happy', 6, 2.50, 12, '{}', NULL, '{}', '{}'), (3, NULL, NULL, NULL, NULL, "
            "NULL, NULL, NULL, NULL);"
            "UPDATE t SET m = 'ok', tags = tags || 'é\"x'::text, ns = ns || 7"
        )
        pair.check()
        origin.execute("ALTER TYPE mood ADD VALUE 'glad' AFTER 'ok'")
        origin.execute("UPDATE t SET m = 'glad', id = id + 10")
        pair.check()


def test_numeric_grows_wider_with_its_values(origin: Origin) -> None:
    """Edge case 40. A column that gets NaN or too many digits is widened, in the end to text."""
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, v numeric, note text); INSERT INTO t VALUES (1, 1.5, 'a')")
    with following(origin, t="SELECT * FROM t") as pair:
        assert pair.local_type("t", "v") == "DECIMAL(38,9)"
        for value, expected in (("0.00000000000123", "DECIMAL(38,14)"), ("'NaN'", "VARCHAR"), ("1e40", "VARCHAR")):
            unreadable: list[Exception] = []
            done = threading.Event()

            def read(done: threading.Event = done, unreadable: list[Exception] = unreadable) -> None:
                with pair.db.cursor() as cursor:
                    while not done.is_set():
                        try:
                            cursor.execute("SELECT * FROM s.t").fetchall()
                        except Exception as error:
                            unreadable.append(error)
                            return

            reader = threading.Thread(target=read)
            reader.start()
            try:
                origin.execute(f"INSERT INTO t VALUES ((SELECT max(id) + 1 FROM t), {value}, 'b')")
                pair.db.sync.wait(timeout=60)
            finally:
                done.set()
                reader.join()
            assert not unreadable
            assert pair.local_type("t", "v") == expected
            local = pair.db.execute("SELECT id, v::VARCHAR FROM s.t ORDER BY id").fetchall()
            there = origin.query("SELECT id, v::text FROM t ORDER BY id")
            if expected == "VARCHAR":
                assert local == there
            else:
                assert [(id_, v.rstrip("0")) for id_, v in local] == [(id_, v.rstrip("0")) for id_, v in there]
        origin.execute("UPDATE t SET v = 2.50 WHERE id = 1; DELETE FROM t WHERE v = 'NaN'")
        pair.db.sync.wait(timeout=30)
        assert pair.db.execute("SELECT id, v FROM s.t ORDER BY id").fetchall() == origin.query(
            "SELECT id, v::text FROM t ORDER BY id"
        )


def test_dates_out_of_range(origin: Origin) -> None:
    """Edge case 40."""
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, d date, at timestamp, tz timestamptz); "
        "INSERT INTO t VALUES (1, now(), now(), now())"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        for d, at in (
            ("infinity", "-infinity"),
            ("5874897-12-31", "294276-12-31 23:59:59.999999"),
            ("4713-01-01 BC", "4713-01-01 BC"),
        ):
            origin.execute(
                f"INSERT INTO t VALUES ((SELECT max(id) + 1 FROM t), '{d}', '{at}', '{at}'); UPDATE t SET d = d"
            )
            pair.db.sync.wait(timeout=60)
            assert pair.db.execute("SELECT count(*) FROM s.t").fetchall() == origin.query("SELECT count(*) FROM t")
        assert pair.local_type("t", "at") == "VARCHAR"
        assert pair.local_type("t", "d") == "DATE"
        assert pair.db.execute('SELECT id, "at", tz FROM s.t ORDER BY 1').fetchall() == origin.query(
            "SELECT id, at::text, tz::text FROM t ORDER BY 1"
        )


def test_rows_enter_and_leave_a_filter(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, w text); "
        "INSERT INTO t SELECT g, g, 'w' FROM generate_series(1, 20) g"
    )
    with following(
        origin,
        low="SELECT id, w FROM t WHERE v < 10",
        high="SELECT id, v FROM t WHERE v >= 10 OR v IS NULL",
        computed="""SELECT id, v * 2 + 1 AS odd, upper(w COLLATE "C") AS w FROM t WHERE w = 'w'""",
    ) as pair:
        assert len(pair.copies()) == 1
        for statement in (
            "UPDATE t SET v = 20 - v",
            "UPDATE t SET v = NULL WHERE id % 2 = 0",
            "UPDATE t SET id = -id, v = 3, w = 'x'",
        ):
            origin.execute(statement)
            pair.check()


def test_views_of_a_table_share_its_copy(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int); "
        "INSERT INTO t SELECT g, g, g, g FROM generate_series(1, 20) g"
    )
    with following(origin, one="SELECT id, a FROM t") as pair:
        first = pair.copies()
        assert [[column.name for column in copy.columns] for copy in first] == [["id", "a"]]
        pair.follow(two="SELECT a FROM t WHERE id > 3")
        assert pair.copies() == first  # nothing more is needed, so nothing is copied
        pair.follow(three="SELECT c FROM t WHERE b = 3")
        (now,) = pair.copies()
        assert {column.name for column in now.columns} == {"id", "a", "b", "c"}
        assert now.state is CopyState.LIVE
        origin.execute("UPDATE t SET a = a + 1, b = 3 WHERE id > 10; DELETE FROM t WHERE id = 5")
        pair.check()
        assert not pair.leftover_tables()


def test_a_view_joins_under_load_and_nothing_is_lost(origin: Origin) -> None:
    """Edge case 2."""
    origin.execute(
        "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int);"
        "INSERT INTO a SELECT g, 0 FROM generate_series(1, 500) g; "
        "INSERT INTO b SELECT g, 0 FROM generate_series(1, 500) g"
    )
    stopping = threading.Event()

    def write() -> None:
        with origin.connect() as connection:
            at = 0
            while not stopping.is_set():
                at += 1
                connection.execute(f"UPDATE a SET v = {at} WHERE id = {at % 500 + 1}".encode())
                connection.execute(f"UPDATE b SET v = {at}, id = id + 1000 WHERE id = {at % 500 + 1}".encode())
                connection.execute(
                    f"INSERT INTO b VALUES ({at % 500 + 1}, {at}) ON CONFLICT (id) DO UPDATE SET v = 0".encode()
                )
                connection.execute(f"DELETE FROM b WHERE id = {at % 500 + 1001}".encode())

    with following(origin, a="SELECT * FROM a") as pair, origin.connect() as early:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            # This transaction wrote before the view was made, and commits when its copy is under way.
            early.execute("BEGIN")
            early.execute("INSERT INTO b VALUES (-1, 1)")
            pair.define(b="SELECT * FROM b")
            syncing = threading.Thread(target=pair.db.sync.sync)
            syncing.start()
            early.execute("INSERT INTO b VALUES (-2, 2); UPDATE b SET v = 99 WHERE id = -1")
            pair.db.sync.wait("s.a", timeout=60)
            early.execute("COMMIT")
            syncing.join()
            pair.define(less="SELECT id FROM b WHERE v > 10", more="SELECT v FROM a WHERE id > 100")
            pair.sync()
        finally:
            stopping.set()
            writer.join()
        pair.check()
        assert {job.state for job in pair.db.sync.status()} == {"running"}
        assert (-1,) in pair.db.execute("SELECT id FROM s.less").fetchall()
        assert not pair.leftover_tables()
        assert len(pair.slots()) == 1


def test_columns_come_and_go(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, unused text); "
        "INSERT INTO t SELECT g, g, 'u' FROM generate_series(1, 10) g"
    )
    with following(origin, t="SELECT id, v FROM t") as pair:
        (before,) = pair.copies()
        origin.execute("ALTER TABLE t ADD COLUMN extra int DEFAULT 5; INSERT INTO t VALUES (11, 11, 'u', 6)")
        pair.check()
        origin.execute("ALTER TABLE t DROP COLUMN unused; UPDATE t SET v = v + 1")
        pair.check()
        assert pair.copies() == [before]  # neither touched what is copied
        pair.follow(more="SELECT id, extra FROM t")
        origin.execute("UPDATE t SET extra = id")
        pair.check()


def test_a_column_changes_type(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, g FROM generate_series(1, 10) g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        origin.execute(
            "ALTER TABLE t ALTER COLUMN v TYPE numeric(20,3) USING v * 1.5; UPDATE t SET v = v + 1 WHERE id = 3"
        )
        pair.check()
        assert pair.local_type("t", "v") == "DECIMAL(20,3)"
        origin.execute("ALTER TABLE t ALTER COLUMN v TYPE text; UPDATE t SET v = 'x' WHERE id = 3")
        pair.check()
        origin.execute("ALTER TABLE t RENAME COLUMN v TO w; ALTER TABLE t ADD COLUMN v text; UPDATE t SET v = 'new'")
        pair.sync()
        pair.queries["t"] = "SELECT id, v FROM t"
        pair.check()


def test_changes_of_shape_without_a_row_are_seen_by_sync(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, g FROM generate_series(1, 10) g"
    )
    with following(origin, t="SELECT * FROM t") as pair:
        origin.execute("ALTER TABLE t ALTER COLUMN v TYPE text USING 'v' || v")
        pair.sync()
        pair.check()


def test_a_lost_column_fails_its_views_only(origin: Origin) -> None:
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE u (id int PRIMARY KEY)")
    origin.execute("INSERT INTO t VALUES (1, 1)")
    with following(origin, t="SELECT id, v FROM t", u="SELECT * FROM u") as pair:
        origin.execute("ALTER TABLE t DROP COLUMN v; INSERT INTO t VALUES (2); INSERT INTO u VALUES (1)")
        report = pair.db.sync.sync()
        assert list(report.failed) == ["s.t"]
        assert "v" in str(report.failed["s.t"])
        assert pair.db.execute("SELECT * FROM s.t").fetchall() == [(1, 1)]  # as of before
        pair.db.sync.wait("s.u", timeout=30)
        assert pair.db.execute("SELECT * FROM s.u").fetchall() == [(1,)]
        origin.execute("ALTER TABLE t ADD COLUMN v int DEFAULT 4")
        pair.sync()
        pair.check()


def test_a_lost_column_leaves_the_other_views_of_its_table_alone(origin: Origin) -> None:
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, v int, w int); INSERT INTO t VALUES (1, 1, 1)")
    with following(origin, all="SELECT * FROM t", some="SELECT id, w FROM t WHERE w > 0") as pair:
        lost = pair.queries.pop("all")
        for statement in ("ALTER TABLE t DROP COLUMN v; INSERT INTO t VALUES (2, 2)", "INSERT INTO t VALUES (3, 3)"):
            origin.execute(statement)
            report = pair.db.sync.sync()
            assert list(report.failed) == ["s.all"]
            pair.db.sync.wait("s.some", timeout=30)
            pair.compare()
            assert pair.db.execute("SELECT * FROM s.all").fetchall() == [(1, 1, 1)]  # as of before
        assert {job.name: job.state for job in pair.db.sync.status()} == {"all": "failed", "some": "running"}
        origin.execute("ALTER TABLE t ADD COLUMN v int DEFAULT 4")
        pair.queries["all"] = lost.replace("*", "id, v, w")
        pair.sync()
        pair.check()
        assert not pair.leftover_tables()


def test_a_table_is_dropped_and_made_again(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1); CREATE TABLE u (id int PRIMARY KEY)"
    )
    with following(origin, t="SELECT * FROM t", u="SELECT * FROM u") as pair:
        origin.execute("DROP TABLE t; INSERT INTO u VALUES (5)")
        pair.db.sync.wait("s.u", timeout=30)
        report = pair.db.sync.sync()
        assert list(report.failed) == ["s.t"]
        origin.execute("CREATE TABLE t (v int, id int PRIMARY KEY); INSERT INTO t VALUES (2, 3)")
        pair.sync()
        pair.queries["t"] = "SELECT id, v FROM t"
        origin.execute("INSERT INTO t VALUES (4, 4); UPDATE t SET v = 9")
        pair.check()
        assert not pair.leftover_tables()


def test_savepoints_and_rollbacks(accounts: Pair) -> None:
    """Edge case 38."""
    accounts.origin.execute(
        "BEGIN; INSERT INTO accounts VALUES (200, 'a', 1); SAVEPOINT one; DELETE FROM accounts; ROLLBACK TO one;"
        "SAVEPOINT two; INSERT INTO accounts VALUES (201, 'b', 1); RELEASE two; "
        "UPDATE accounts SET amount = 0 WHERE id < 5;"
        "SAVEPOINT three; TRUNCATE accounts; ROLLBACK TO three; COMMIT;"
        "BEGIN; DELETE FROM accounts; ROLLBACK"
    )
    accounts.check()


def test_prepared_transactions(private_server: PrivateServer) -> None:
    """Edge case 39. They come when they are committed, at COMMIT PREPARED."""
    private_server.conf(max_prepared_transactions=10)
    private_server.execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)")
    with following(private_server, t="SELECT * FROM t") as pair:
        private_server.execute("BEGIN; INSERT INTO t VALUES (2, 2); PREPARE TRANSACTION 'kept'")
        private_server.execute("BEGIN; INSERT INTO t VALUES (3, 3); PREPARE TRANSACTION 'undone'")
        private_server.execute("INSERT INTO t VALUES (4, 4)")
        pair.db.sync.wait(timeout=WAIT_SECONDS)
        pair.compare()  # no snapshot for verify() while transactions are prepared
        private_server.execute("COMMIT PREPARED 'kept'")
        private_server.execute("ROLLBACK PREPARED 'undone'")
        pair.check()
        assert pair.db.execute("SELECT count(*) FROM s.t").fetchall() == [(3,)]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_a_transaction_too_large_to_hold(origin: Origin, monkeypatch: pytest.MonkeyPatch, identity: str) -> None:
    monkeypatch.setattr(assembling, "HOLD_BYTES", 10_000)
    origin.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY {identity};"
        f"CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t SELECT g, {big(1)} FROM generate_series(1, 20) g"
    )
    with following(origin, t="SELECT * FROM t", u="SELECT * FROM u") as pair:
        seen: set[tuple[int, int]] = set()
        done = threading.Event()

        def read() -> None:
            with pair.db.cursor() as cursor:
                while not done.is_set():
                    seen.update(
                        cursor.execute("SELECT (SELECT count(*) FROM s.t), (SELECT count(*) FROM s.u)").fetchall()
                    )

        reader = threading.Thread(target=read)
        reader.start()
        try:
            origin.execute(
                "BEGIN; INSERT INTO u SELECT generate_series(1, 3000); UPDATE t SET id = id + 100;"
                "INSERT INTO t SELECT g, 'x' FROM generate_series(1000, 3000) g; UPDATE t SET id = -id;"
                "DELETE FROM u WHERE id > 2990; TRUNCATE u; INSERT INTO u VALUES (1); COMMIT"
            )
            pair.check()
        finally:
            done.set()
            reader.join()
        assert seen <= {(20, 0), (2021, 1)}
        origin.execute("BEGIN; INSERT INTO u SELECT generate_series(2, 3000); ROLLBACK; INSERT INTO u VALUES (-1)")
        pair.check()


def test_many_small_transactions(origin: Origin) -> None:
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    with following(origin, t="SELECT * FROM t") as pair:
        with origin.connect() as connection, connection.pipeline():
            for at in range(3000):
                connection.execute(
                    "INSERT INTO t VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET v = excluded.v", [at % 700, at]
                )
        pair.check()


def test_changes_during_the_copy_wait_for_it(origin: Origin) -> None:
    """Inserts, key changes, toast and truncations that come while a table is copied are applied after."""
    origin.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, v int, body text); CREATE TABLE go (id int PRIMARY KEY);"
        f"INSERT INTO t SELECT g, 0, {big(3)} || g FROM generate_series(1, 300) g"
    )
    with following(origin, go="SELECT * FROM go") as pair:
        # The snapshot cannot be taken while this transaction is open; what commits meanwhile is in the stream too.
        with origin.connect() as blocking:
            blocking.execute("BEGIN")
            blocking.execute("INSERT INTO go VALUES (1)")
            pair.define(t="SELECT * FROM t")
            syncing = threading.Thread(target=pair.db.sync.sync)
            syncing.start()
            while not pair.db.sync.status("s.t")[0].phase:
                pair.db.sync.wait("s.go", timeout=60)
            origin.execute("UPDATE t SET v = 1 WHERE id < 100; UPDATE t SET id = id + 1000 WHERE id > 250")
            origin.execute("UPDATE t SET v = 2; DELETE FROM t WHERE id % 10 = 0; INSERT INTO t VALUES (5000, 1, NULL)")
            blocking.execute("COMMIT")
        syncing.join()
        pair.check()
        origin.execute("TRUNCATE t; INSERT INTO t VALUES (1, 1, 'x')")
        pair.check()
        assert not pair.leftover_tables()


def once_during_the_copy(pair: Pair, statements: str) -> None:
    """Run statements at the origin when the first rows of a snapshot come in: all that they change has to wait."""
    waiting = [statements]

    def run(what: str, done: int, total: int | None) -> None:
        if waiting:
            with pair.origin.connect() as connection:
                connection.execute(waiting.pop().encode())

    pair.db.sync.progress = run


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL", "FULL without key"])
def test_changes_after_the_snapshot_wait_for_its_rows(origin: Origin, identity: str) -> None:
    key = "" if identity == "FULL without key" else "PRIMARY KEY"
    origin.execute(
        f"CREATE TABLE t (id int {key}, v int, body text, other text);"
        f"ALTER TABLE t REPLICA IDENTITY {identity.split()[0]};"
        f"INSERT INTO t SELECT g, 0, {big(1)} || g, {big(2)} || g FROM generate_series(1, 9) AS g"
    )
    for steps in ("; ".join(TOAST_STEPS), "DELETE FROM t"):
        pair = Pair(origin)
        try:
            pair.define(t="SELECT * FROM t", bodies="SELECT body FROM t WHERE v < 5")
            once_during_the_copy(pair, steps)
            pair.sync()
            pair.check()
            assert not pair.leftover_tables()
        finally:
            pair.db.close()


def test_a_table_is_emptied_before_its_snapshot_is_read(origin: Origin) -> None:
    """TRUNCATE cannot wait for a snapshot that is open but has not read the table, and empties it there too."""
    for name in ("a", "b"):
        origin.execute(f"CREATE TABLE {name} (id int PRIMARY KEY); INSERT INTO {name} SELECT generate_series(1, 9)")
    pair = Pair(origin)
    try:
        pair.define(a="SELECT * FROM a", b="SELECT * FROM b")
        waiting = ["a", "b"]

        def empty_the_other(what: str, done: int, total: int | None) -> None:
            if len(waiting) == 2:
                waiting.remove(what.removeprefix("public."))
                with origin.connect() as connection:
                    connection.execute(f"TRUNCATE {waiting[0]}; INSERT INTO {waiting[0]} VALUES (100)".encode())

        pair.db.sync.progress = empty_the_other
        pair.sync()
        pair.check()
        assert len(waiting) == 1
    finally:
        pair.db.close()


def test_a_value_that_does_not_fit_comes_during_the_copy(origin: Origin) -> None:
    origin.execute(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, v numeric);"
        "INSERT INTO a VALUES (1); INSERT INTO t VALUES (1, 1.5)"
    )
    pair = Pair(origin)
    try:
        pair.define(a="SELECT * FROM a", t="SELECT * FROM t")
        once_during_the_copy(pair, "INSERT INTO t VALUES (2, 'NaN'); INSERT INTO a VALUES (2)")
        pair.db.sync.sync()
        pair.db.sync.wait(timeout=60)
        assert pair.db.execute("SELECT id, v FROM s.t ORDER BY id").fetchall() == [(1, "1.5"), (2, "NaN")]
        assert pair.db.execute("SELECT count(*) FROM s.a").fetchall() == [(2,)]
        assert not pair.leftover_tables()
    finally:
        pair.db.close()


@pytest.mark.parametrize("version", [16, 18])
def test_other_versions(version: int) -> None:
    """The core once more on both embedded versions, whichever the other tests use."""
    with embedded_postgres(version) as server, fresh_origin(server.dsn) as origin:
        origin.execute(
            f"CREATE TABLE t (id int PRIMARY KEY, v int, body text);"
            f"INSERT INTO t SELECT g, g, {big(1)} || g FROM generate_series(1, 30) g"
        )
        with (
            following(origin, t="SELECT * FROM t", some="SELECT v FROM t WHERE id > 20") as pair,
            origin.connect() as early,
        ):
            early.execute("BEGIN")
            early.execute("CREATE TABLE u (id int PRIMARY KEY)")
            early.execute("COMMIT")
            early.execute("BEGIN")
            early.execute("INSERT INTO u VALUES (1)")
            pair.define(u="SELECT * FROM u")
            syncing = threading.Thread(target=pair.db.sync.sync)
            syncing.start()
            while not pair.db.sync.status("s.u")[0].phase:
                pair.db.sync.wait("s.t", timeout=60)
            early.execute("INSERT INTO u VALUES (2)")
            early.execute("COMMIT")
            origin.execute(
                "INSERT INTO u VALUES (3); UPDATE t SET id = id + 100 WHERE id < 5; DELETE FROM t WHERE id = 9; "
                "UPDATE t SET v = -v"
            )
            syncing.join()
            pair.check()
