"""The two sides of a fingerprint: Postgres and DuckDB compute the same numbers for every value of every type.

The values are those of the type table's round trip; each is held in every rung of its ladder that fits it.
"""

from __future__ import annotations

import random

import duckdb
import pytest

from flashql import fingerprint
from flashql.catalog import Column, Copy, CopyColumn
from flashql.datatypes import PgType, ladder, select_text
from tests.fix_postgres import Origin
from tests.postgres.test_type_round_trip import (
    FITTING,
    MISFITS,
    NEWER_FITTING,
    NEWER_MISFITS,
    RANDOM_VALUES,
    Postgres,
    declared,
    duck,
    fill,
    known_to,
    postgres,
)
from tests.seeds import first_seed

__all__ = ["duck", "postgres"]  # fixtures

_ID = PgType(23, name="integer")


def _copy(pg_type: PgType, rung: int, key: tuple[str, ...] = ("id",)) -> Copy:
    columns = (CopyColumn(Column("id", _ID)), CopyColumn(Column("v", pg_type), rung))
    return Copy(1, "primary", "public", "t", 0, columns, key)


def _compare(connection: Postgres, duck: duckdb.DuckDBPyConnection, key: tuple[str, ...] = ("id",)) -> None:
    """Every value of table t that fits a rung has the same place and hash on both sides."""
    pg_type = declared(connection)
    connection.execute("INSERT INTO t VALUES (-1, NULL)")
    texts = connection.execute(f"SELECT id, {select_text(pg_type, 'v')} FROM t".encode()).fetchall()
    for at, rung in enumerate(ladder(pg_type)):
        copy = _copy(pg_type, at, key)
        ours, theirs = fingerprint.of_local(copy), fingerprint.of_origin(copy)
        duck.execute(f"CREATE OR REPLACE TABLE t (id INTEGER, v {rung.name})")
        held = []
        for id_, text in texts:
            if duck.execute(f"SELECT {rung.fits('x')} FROM (SELECT $1::VARCHAR AS x)", [text]).fetchone() == (True,):
                held.append(id_)
                value = rung.from_text("x")
                duck.execute(f"INSERT INTO t SELECT $1, {value} FROM (SELECT $2::VARCHAR AS x)", [id_, text])
        found = duck.execute(f"SELECT id, {ours.place}, {ours.hash} FROM t ORDER BY 1").fetchall()
        ids = ", ".join(map(str, held)) or "NULL"
        query = f"SELECT id, {theirs.place}, {theirs.hash} FROM t WHERE id IN ({ids}) ORDER BY 1"
        expected = connection.execute(query.encode()).fetchall()
        assert found == expected, (pg_type.name, rung.name, dict(texts))
        assert len({row[2] for row in found}) == len(found)  # the ids differ, so all hashes do


def test_both_sides_agree(origin: Origin, postgres: Postgres, duck: duckdb.DuckDBPyConnection) -> None:
    for values, newer in ((FITTING, NEWER_FITTING), (MISFITS, NEWER_MISFITS)):
        for sql_type, texts in known_to(origin, values, newer).items():
            fill(postgres, sql_type, texts)
            _compare(postgres, duck)


def test_both_sides_agree_about_places(postgres: Postgres, duck: duckdb.DuckDBPyConnection) -> None:
    for sql_type in ("text", "uuid", "timestamptz", "numeric(10,2)", "double precision"):
        fill(postgres, sql_type, FITTING[sql_type])
        _compare(postgres, duck, ("v", "id"))
        fill(postgres, sql_type, FITTING[sql_type])
        _compare(postgres, duck, ())


def test_random_values(postgres: Postgres, duck: duckdb.DuckDBPyConnection) -> None:
    seed = first_seed()
    numbers = random.Random(seed)
    for sql_type, expression in RANDOM_VALUES.items():
        postgres.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (id integer, v {sql_type})".encode())
        rows = [(i, numbers.randrange(-(2**63), 2**63), numbers.random()) for i in range(25)]
        with postgres.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO t SELECT i, {expression.replace('%', '%%')} FROM (VALUES (%s::int, %s::bigint, "
                "%s::float8)) r(i, n, f), LATERAL (SELECT (n %% 86400000000) * interval '1 us') m(us)".encode(),
                rows,
            )
        _compare(postgres, duck)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "1:b"), ("a1:", "b")),
        (("-", None), (None, "-")),
        ((None, None), ("", "")),
        (("1:a", ""), ("", "1:a")),
        ((",", "-"), ("-", ",")),
    ],
)
def test_rows_that_look_alike_differ(
    postgres: Postgres, duck: duckdb.DuckDBPyConnection, one: tuple[str | None, ...], other: tuple[str | None, ...]
) -> None:
    columns = tuple(CopyColumn(Column(name, PgType(25))) for name in ("a", "b"))
    copy = Copy(1, "primary", "public", "t", 0, columns, ())
    source = f"FROM (VALUES {_literals(one)}, {_literals(other)}) AS t (a, b)"
    at_origin = postgres.execute(f"SELECT {fingerprint.of_origin(copy).hash} {source}".encode()).fetchall()
    assert at_origin == duck.execute(f"SELECT {fingerprint.of_local(copy).hash} {source}").fetchall()
    assert at_origin[0] != at_origin[1]


def _literals(row: tuple[str | None, ...]) -> str:
    return "(" + ", ".join("NULL::text" if value is None else f"'{value}'::text" for value in row) + ")"
