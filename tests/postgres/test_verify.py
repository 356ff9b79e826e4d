"""db.sync.verify: what it finds is what was made wrong, it finds nothing else, and it mends what it finds."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from flashql import comparing, errors, verifying
from flashql.quoting import qualified
from flashql.store import DATA_SCHEMA
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import until
from tests.postgres.pair import Pair, following

TABLES = """
CREATE TABLE numbered (id int PRIMARY KEY, name text, amount numeric(12,2), at timestamptz, weights float8[]);
CREATE TABLE named (name text, part date, note bytea, PRIMARY KEY (part, name));
CREATE TABLE bag (a int, b interval);
ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE parted (id bigint PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (0);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (0) TO (MAXVALUE);
INSERT INTO numbered SELECT g, 'name ' || g, g / 7.0, timestamptz '2024-01-01' + g * interval '1 s', ARRAY[g, NULL]
  FROM generate_series(-5000, 5000) AS g;
INSERT INTO named SELECT 'n' || g, date '2024-01-01' + g % 50, decode(md5(g::text), 'hex')
  FROM generate_series(1, 5000) AS g;
INSERT INTO bag SELECT g % 10, g % 3 * interval '1 day' FROM generate_series(1, 300) AS g;
INSERT INTO parted SELECT g::bigint * 1000000007, 'v' || g FROM generate_series(-3000, 3000) AS g;
"""


@pytest.fixture
def pair(origin: Origin) -> Iterator[Pair]:
    origin.execute(TABLES)
    with following(origin) as made:
        made.follow(
            numbered="SELECT * FROM numbered",
            named="SELECT * FROM named",
            bag="SELECT * FROM bag",
            parted="SELECT * FROM parted",
            some="SELECT id, amount * 2 AS twice FROM numbered WHERE id > 100",
        )
        yield made


def spoil(pair: Pair, table: str, *statements: str) -> None:
    """Change a copy behind FlashQL's back; {t} is its table."""
    (copy,) = [copy for copy in pair.copies() if copy.name == table]
    assert copy.local_table is not None
    with pair.db.store.transaction() as writer:
        for statement in statements:
            writer.execute(statement.format(t=qualified(DATA_SCHEMA, copy.local_table)))


def keys(pair: Pair, view: str) -> set[tuple[object, ...]]:
    (report,) = pair.db.sync.verify(f"s.{view}")
    assert report.equal == (not report.differing_keys)
    return set(report.differing_keys)


def test_copies_equal_their_origin_at_one_lsn(pair: Pair) -> None:
    reports = pair.db.sync.verify()
    assert [(report.view, report.rows, report.equal) for report in reports] == [
        ("s.bag", 300, True),
        ("s.named", 5000, True),
        ("s.numbered", 10_001, True),
        ("s.parted", 6001, True),
        ("s.some", 10_001, True),
    ]
    assert len({report.lsn for report in reports}) == 1
    assert all(report.differing_keys == () and report.repaired == 0 for report in reports)


def test_rows_that_differ_are_told_and_mended(pair: Pair) -> None:
    spoil(
        pair,
        "numbered",
        "UPDATE {t} SET amount = amount + 1 WHERE id = 17",
        "UPDATE {t} SET name = NULL WHERE id = -17",
        "UPDATE {t} SET weights = [0.0, NULL] WHERE id = 1",
        "DELETE FROM {t} WHERE id IN (5000, 0)",
        "INSERT INTO {t} (id, name) VALUES (2000000000, 'not there')",
        "INSERT INTO {t} SELECT * FROM {t} WHERE id = 33",
    )
    wrong = {(17,), (-17,), (1,), (5000,), (0,), (2000000000,), (33,)}
    assert keys(pair, "numbered") == keys(pair, "some") == wrong
    assert keys(pair, "named") == set()
    (report,) = pair.db.sync.verify("s.numbered", repair=True)
    assert (set(report.differing_keys), report.repaired, report.equal) == (wrong, 7, False)
    assert keys(pair, "numbered") == set()
    pair.check()


def test_keys_of_several_columns(pair: Pair) -> None:
    spoil(pair, "named", "DELETE FROM {t} WHERE name = 'n7'", "UPDATE {t} SET note = 'x' WHERE name = 'n50'")
    told = {tuple(map(str, key)) for key in keys(pair, "named")}
    assert told == {("2024-01-08", "n7"), ("2024-01-01", "n50")}
    pair.db.sync.verify(repair=True)
    assert keys(pair, "named") == set()
    pair.check()


def test_rows_without_a_key_are_counted(pair: Pair) -> None:
    spoil(pair, "bag", "DELETE FROM {t} WHERE rowid = (SELECT min(rowid) FROM {t} WHERE a = 3 AND b = INTERVAL 0 DAY)")
    (report,) = pair.db.sync.verify("s.bag")
    assert [key[0] for key in report.differing_keys] == [3]
    spoil(pair, "bag", "INSERT INTO {t} SELECT a, INTERVAL 1 MONTH FROM {t} WHERE a = 4")
    pair.db.sync.verify("s.bag", repair=True)
    assert keys(pair, "bag") == set()
    pair.check()


def test_an_empty_side(pair: Pair) -> None:
    spoil(pair, "parted", "DELETE FROM {t}")
    (report,) = pair.db.sync.verify("s.parted")
    assert (report.rows, report.equal, len(report.differing_keys)) == (6001, False, 6001)
    pair.origin.execute("TRUNCATE parted")
    pair.db.sync.wait()
    spoil(pair, "parted", "INSERT INTO {t} VALUES (1, 'a')")
    (report,) = pair.db.sync.verify("s.parted", repair=True)
    assert (report.rows, report.differing_keys) == (0, ((1,),))
    pair.check()
    pair.db.sync.verify("s.parted")


def test_more_than_can_be_told_makes_the_copy_anew(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing.compare, "__kwdefaults__", {"listed": 100})
    spoil(pair, "numbered", "UPDATE {t} SET name = 'wrong'")
    before = {copy.id for copy in pair.copies() if copy.name == "numbered"}
    (report,) = pair.db.sync.verify("s.numbered", repair=True)
    assert len(report.differing_keys) == 100
    assert before.isdisjoint(copy.id for copy in pair.copies() if copy.name == "numbered")
    assert keys(pair, "numbered") == set()
    pair.check()


def test_under_load_nothing_differs_and_mending_loses_nothing(pair: Pair) -> None:
    done = threading.Event()

    def write(connect: Callable[[], object], seed: int) -> None:
        with pair.origin.connect() as connection:
            number = seed
            while not done.is_set():
                number += 2
                with connection.transaction():
                    connection.execute("UPDATE numbered SET amount = amount + 1 WHERE id = %s", [number % 5000])
                    connection.execute("DELETE FROM parted WHERE id = %s", [number % 3000 * 1_000_000_007])
                    connection.execute("INSERT INTO bag VALUES (%s, '1 day')", [number % 10])
                    connection.execute("INSERT INTO parted VALUES (%s, 'again')", [number % 3000 * 1_000_000_007])

    writers = [threading.Thread(target=write, args=(pair.origin.connect, seed)) for seed in (0, 1)]
    for writer in writers:
        writer.start()
    try:
        seen = []
        for at in range(8):
            if at == 4:
                spoil(pair, "numbered", "UPDATE {t} SET name = 'wrong' WHERE id < -4000")
            reports = pair.db.sync.verify(repair=True)
            wrong = {report.view for report in reports if not report.equal}
            assert wrong == ({"s.numbered", "s.some"} if at == 4 else set()), [
                (report.view, report.differing_keys[:5]) for report in reports if not report.equal
            ]
            seen.append(reports[0].lsn)
        assert len(set(seen)) == len(seen)
    finally:
        done.set()
        for writer in writers:
            writer.join()
    pair.check()


def test_an_open_transaction_keeps_it_waiting_but_not_the_stream(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_PATIENCE_SECONDS", (0.3, 0.3))
    with pair.origin.connect() as other, other.transaction():
        other.execute("INSERT INTO bag VALUES (99, '1 day')")
        with pytest.raises(errors.OriginBusy, match=str(other.info.backend_pid)):
            pair.db.sync.verify()
        pair.origin.execute("INSERT INTO bag VALUES (98, '1 day')")
        pair.db.sync.wait(timeout=30)
        assert pair.db.execute("SELECT count(*) FROM s.bag WHERE a = 98").fetchone() == (1,)
    assert all(report.equal for report in pair.db.sync.verify())
    left = "SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ '_look_' AND database = current_database()"
    until(lambda: pair.origin.query(left) == [(0,)], "the slots of the attempts to go")


def test_only_what_follows_can_be_verified(pair: Pair) -> None:
    pair.db.execute("CREATE MATERIALIZED VIEW s.m AS SELECT * FROM bag")
    assert pair.db.sync.verify("s.m") == []
    with pytest.raises(errors.UnknownName):
        pair.db.sync.verify("s.nothing")
    pair.db.sync.stop("s.bag")
    with pytest.raises(errors.OriginError, match=r"s\.bag is not running"):
        pair.db.sync.verify()
    assert [report.view for report in pair.db.sync.verify("s.named")] == ["s.named"]


def test_a_cut_connection_is_told(origin: Origin, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")

    with following(origin, dsn=proxy.dsn) as pair:
        pair.follow(t="SELECT * FROM t")

        def after_a_cut(*sides: Any) -> comparing.Difference:
            proxy.cut()
            return comparing.compare(*sides)

        monkeypatch.setattr(verifying, "compare", after_a_cut)
        with pytest.raises(errors.OriginUnreachable):
            pair.db.sync.verify()
        monkeypatch.undo()
        pair.sync()
        pair.check()
        assert [report.equal for report in pair.db.sync.verify()] == [True]


def test_a_nan_is_one_whatever_its_bits(origin: Origin) -> None:
    """Processors make NaN with its sign set, text without: Postgres keeps both, and holds them for equal."""
    made = "'inf'::float8 - 'inf'::float8, 'inf'::float4 - 'inf'::float4, ARRAY['inf'::float8 - 'inf'::float8, 'NaN']"
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, v float8, w float4, a float8[])")
    origin.execute(f"INSERT INTO t SELECT 1, {made}")
    with following(origin, t="SELECT * FROM t") as pair:
        origin.execute(f"INSERT INTO t SELECT 2, {made}")
        pair.check()


def test_keys_that_python_does_not_compare_are_told(origin: Origin) -> None:
    origin.execute("CREATE TABLE moments (at timestamptz PRIMARY KEY); CREATE TABLE lists (a float8[])")
    origin.execute("ALTER TABLE lists REPLICA IDENTITY FULL; INSERT INTO lists VALUES (ARRAY[1, NULL]), (ARRAY[1, 2])")
    origin.execute("INSERT INTO moments VALUES ('2024-01-01'), ('infinity'), ('4000-01-01 BC'), ('200000-01-01')")
    with following(origin, moments="SELECT * FROM moments", lists="SELECT * FROM lists") as pair:
        spoil(pair, "moments", "DELETE FROM {t}")
        spoil(pair, "lists", "DELETE FROM {t}")
        assert [len(report.differing_keys) for report in pair.db.sync.verify(repair=True)] == [2, 4]
        assert all(report.equal for report in pair.db.sync.verify())


def test_many_scattered_rows_of_a_table_whose_places_are_hashes(origin: Origin) -> None:
    """Each question computes a row's hash few times, however many parts it is about: otherwise this takes minutes."""
    origin.execute("CREATE TABLE t (id text PRIMARY KEY, n int)")
    origin.execute("INSERT INTO t SELECT 'k' || g, g FROM generate_series(1, 300000) AS g")
    with following(origin, t="SELECT * FROM t") as pair:
        spoil(pair, "t", "UPDATE {t} SET n = -n WHERE n % 200 = 5")
        assert keys(pair, "t") == {(f"k{n}",) for n in range(5, 300_001, 200)}


def test_an_interrupted_verify_leaves_no_slot(pair: Pair) -> None:
    """The moment that it waited for comes nevertheless, and its snapshot is let go."""
    caller = threading.get_ident()

    def interrupt() -> None:
        until(lambda: any("_look_" in slot for slot in pair.slots()), "a slot of a moment")
        signal.pthread_kill(caller, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell lets what it does not wait for ignore it
    try:
        with pair.origin.connect() as writer, writer.transaction():
            writer.execute("INSERT INTO numbered (id) VALUES (100000)")
            interrupter.start()
            with pytest.raises(KeyboardInterrupt):
                pair.db.sync.verify()
            interrupter.join()
    finally:
        signal.signal(signal.SIGINT, before)
    pair.check()  # waits for a moment of its own, which comes after that one
    until(lambda: not any("_look_" in slot for slot in pair.slots()), "the slots of moments to go")


def test_a_database_that_is_not_in_utf8(origin: Origin) -> None:
    name = f"{origin.name}_latin1"
    origin.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    latin = Origin(make_conninfo(origin.dsn, dbname=name, client_encoding="UTF8"))
    try:
        latin.execute("CREATE TABLE t (id text PRIMARY KEY, v text[]); INSERT INTO t VALUES ('é', '{ä,b}')")
        with following(latin, t="SELECT * FROM t") as pair:
            latin.execute("INSERT INTO t VALUES ('ÿ', '{ç}')")
            pair.check()
            spoil(pair, "t", "DELETE FROM {t} WHERE id = 'é'")
            assert keys(pair, "t") == {("é",)}
    finally:
        latin.disconnect()
        origin.execute(f"DROP DATABASE {name} WITH (FORCE)")
