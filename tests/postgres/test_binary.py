"""Values come in binary form as long as every column that is read has one, and as text from then on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_postgres import Origin
from tests.postgres.pair import WAIT_SECONDS, Pair, following

COLUMNS = (
    "id bigint PRIMARY KEY, b boolean, s smallint, i int, t text, v varchar(9), c char(3), n name, o oid, r real, "
    "d double precision, num numeric, amount numeric(12,2), day date, at timestamp, atz timestamptz, u uuid, "
    "raw bytea, j json, jb jsonb, e mood, dom positive"
)
TYPES = "CREATE TYPE mood AS ENUM ('sad', 'h''appy'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);"
ROW = (
    "{id}, true, -5, 7, 'wörds', 'nine', 'ab', 'a name', 4000000000, 1.5, 'NaN', 12.000000001, -0.05, '2024-05-01', "
    "'0044-03-15 10:00:00 BC', '2024-05-01 12:00:00.000001+02', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff', "
    "'{{\"a\": 1}}', '{{\"b\": [1.50]}}', 'h''appy', 3"
)
EXTREMES = (
    "{id}, false, -32768, 2147483647, '', '', '', '', 0, '-Infinity', '-0', -99999.5, 9999999999.99, '-infinity', "
    "'infinity', '-infinity', '00000000-0000-0000-0000-000000000000', '', '[]', 'null', 'sad', 2147483647"
)
NULLS = "{id}" + ", NULL" * 21


@pytest.fixture
def pair(origin: Origin, tmp_path: Path) -> Iterator[Pair]:
    origin.execute(f"{TYPES} CREATE TABLE t ({COLUMNS}); ALTER TABLE t REPLICA IDENTITY FULL")
    origin.execute(f"INSERT INTO t VALUES ({ROW.format(id=1)})")
    with following(origin, str(tmp_path / "local.duckdb"), t="SELECT * FROM t") as made:
        yield made


def is_binary(origin: Origin) -> bool:
    """How the stream that runs was asked to send values."""
    ((query,),) = origin.query(
        "SELECT query FROM pg_stat_activity WHERE query LIKE 'START_REPLICATION%' AND datname = current_database()"
    )
    return "binary 'true'" in query


def check(pair: Pair) -> None:
    """The copies equal the origin's tables, by what Postgres prints (Python has no years BC)."""
    pair.db.sync.wait(timeout=WAIT_SECONDS)
    reports = pair.db.sync.verify()
    assert reports
    assert all(report.equal for report in reports), reports


def test_every_type_with_a_binary_form(pair: Pair, origin: Origin) -> None:
    assert is_binary(origin)
    origin.execute(f"INSERT INTO t VALUES ({ROW.format(id=2)}), ({EXTREMES.format(id=3)}), ({NULLS.format(id=4)})")
    origin.execute("UPDATE t SET i = i + 1 WHERE i < 2147483647; DELETE FROM t WHERE id = 1")
    check(pair)
    assert is_binary(origin)


@pytest.mark.parametrize("full", [True, False], ids=["full identity", "key"])
def test_a_toasted_value_that_is_not_sent(pair: Pair, origin: Origin, full: bool) -> None:
    if not full:
        origin.execute("ALTER TABLE t REPLICA IDENTITY DEFAULT")
        pair.db.sync.sync()
    origin.execute("ALTER TABLE t ALTER raw SET STORAGE EXTERNAL, ALTER t SET STORAGE EXTERNAL")
    origin.execute("UPDATE t SET raw = decode(repeat('00ff', 4000), 'hex'), t = repeat('é', 8000)")
    origin.execute(
        "UPDATE t SET i = 8; UPDATE t SET id = 9, atz = 'infinity'; UPDATE t SET i = 9, atz = '0044-01-01 BC'"
    )
    check(pair)
    assert is_binary(origin)


@pytest.mark.parametrize(
    ("column", "value"),
    [("num", "'NaN'"), ("num", "1e30"), ("num", "0.00000000000001"), ("amount", "'NaN'"), ("at", "'294276-12-31'")],
)
def test_a_value_that_cannot_be_read_makes_the_origin_send_text(
    pair: Pair, origin: Origin, column: str, value: str
) -> None:
    origin.execute(f"INSERT INTO t (id, t) VALUES (2, 'before'); UPDATE t SET {column} = {value} WHERE id = 1")
    origin.execute("INSERT INTO t (id, t) VALUES (3, 'after')")
    check(pair)
    assert not is_binary(origin)


def test_a_column_without_a_binary_form_makes_the_origin_send_text_as_long_as_it_is_read(
    pair: Pair, origin: Origin
) -> None:
    origin.execute("CREATE TABLE w (id int PRIMARY KEY, span interval)")
    pair.follow(w="SELECT id FROM w")
    assert is_binary(origin)
    pair.follow(span="SELECT * FROM w")
    assert not is_binary(origin)
    origin.execute(f"INSERT INTO w VALUES (1, '1 mon 2 days 03:04:05'); INSERT INTO t VALUES ({ROW.format(id=2)})")
    check(pair)
