"""Both sides of every translation are run over awkward values and must agree, Postgres being the oracle.

The golden pairs of `sql/spec/transpile` are checked as text and as values; a seeded generator then writes
expressions nobody thought of. Where Postgres raises for a row there is no value to compare: it is skipped.
Known gap: no collations but the server's default and C are run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import sql

from flashql import errors
from flashql.catalog import Column
from flashql.datatypes import PgType, ladder, select_text
from flashql.planner.parsing import expression
from flashql.planner.transpile import to_local
from flashql.resources import sql_text
from tests.fix_postgres import with_database
from tests.seeds import first_seed
from tests.spec_pairs import pairs, statements

DECLARATIONS = {
    "b": ("boolean", ["true", "false"]),
    "i2": ("smallint", ["0", "1", "-1", "5", "7", "-32768", "32767"]),
    "i4": ("integer", ["0", "1", "2", "5", "-7", "7", "2147483647", "-2147483648"]),
    "j4": ("integer", ["3", "1", "0", "-3", "2147483647"]),
    "i8": ("bigint", ["0", "5", "-8", "9007199254740993", "9223372036854775807", "-9223372036854775808"]),
    "f4": ("real", ["0", "0.1", "-1.5", "NaN", "Infinity", "16777216", "1e-30"]),
    "f8": ("double precision", ["0", "0.1", "-0", "2.5", "NaN", "-Infinity", "9007199254740992", "1e300"]),
    "n": ("numeric(10,2)", ["0", "1.5", "2.50", "-2.50", "0.05", "-0.5", "99999999.99", "5"]),
    "m": ("numeric(4,4)", ["0", "0.5", "-0.05", "0.9999", "0.0001"]),
    "u": ("numeric", ["0", "1.5", "1.50", "10", "10.000000001", "-99999.5", "12345678901234567890.125"]),
    "t": ('text COLLATE "C"', ["", "a", "ab", "b", "B", "É", "a b", "Straße", "ab ", "💧a"]),
    "x": (
        "text",
        [
            "",
            "a",
            "ab",
            "b",
            "a%b",
            "a_b",
            "a\\b",
            " ab ",
            "\tab\n",
            "e\u0301a",
            "👍🏽b",
            "%",
            "\\%",
            "ab   ",
            "baab",
        ],
    ),
    "v": ("varchar(6)", ["", "a", "b", "b ", "ab", "É", "💧", "a_b"]),
    "c": ("char(5)", ["", "ab", "ab  c", "abcde", " a", "é"]),
    "day": ("date", ["2024-02-29", "1999-12-31", "1970-01-01", "0001-01-01", "0044-03-15 BC", "2021-01-03"]),
    "ts": (
        "timestamp",
        [
            *(
                "2024-02-29",
                "2024-02-29 12:34:56.789012",
                "1999-12-31 23:59:59.999999",
                "1969-12-31 23:00:00.5",
            ),
            *("0044-03-15 11:00:00 BC", "2021-01-03 23:59:59", "0001-01-01", "infinity", "-infinity"),
        ],
    ),
    "tz": (
        "timestamptz",
        ["2024-02-29 10:00:00+00", "1970-01-01 00:00:00+00", "infinity", "1969-07-20 20:17+02"],
    ),
    "id": (
        "uuid",
        [
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ],
    ),
    "raw": ("bytea", ["\\x", "\\x00ff", "\\x61", "\\x80", "\\x6100"]),
    "mood": ("mood", ["sad", "ok", "happy"]),
    "doc": (
        "jsonb",
        [
            *(
                '{"a": 1.50}',
                "null",
                "[1, 2]",
                '{"a": "x", "b": {"c": [1, 2.00, "a"], "d": "é\\"\\n"}}',
                '"a"',
                "{}",
                "[]",
            ),
            *(
                '{"a": 100, "b": {"c": true}}',
                '{"a": -12345678901234567890.10}',
                '["a", "b", {"a": 1}]',
                "1.0",
                "false",
            ),
            *(
                '{"a": {"a": 1, "z": null, "long, key: 1": "v, 2: \\\\"}}',
                '{"a": 1, "0": 5, "b": {"c": "x"}}',
                '{"a": null}',
            ),
        ],
    ),
    "tags": ("text[]", ["{}", "{a,NULL}", '{"x y"}', "{a,b}", "{b,é,a}", "{NULL}"]),
    "ints": ("integer[]", ["{}", "{1,2}", "{5,NULL}", "{2147483647,-7,1}", "{1}"]),
}
ROWS = 24


class World:
    """One table of awkward values in Postgres, its copy in DuckDB, and the catalog's columns of it."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.postgres = connection
        self.local = duckdb.connect()
        self.local.execute("SET TimeZone = 'UTC'")
        self.local.execute("CREATE SCHEMA flashql")
        for functions in ("0004_numeric", "0005_floats", "0006_functions", "0010_rows", "0011_documents"):
            self.local.execute(sql_text(f"catalog/{functions}.sql"))
        self._fill()
        self.columns = {column.name: column for column in self._columns()}
        self._copy()

    def _fill(self) -> None:
        chosen = random.Random(7)
        self.postgres.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
        types = ", ".join(f"{name} {type_}" for name, (type_, _) in DECLARATIONS.items())
        self.postgres.execute(f"CREATE TABLE awkward (k int, {types})".encode())
        for k in range(ROWS):
            # Every value of a short list occurs. The first row is all null, others are here and there.
            row = [
                None if k == 0 or chosen.random() < 0.06 else values[k % len(values)]
                for _, values in DECLARATIONS.values()
            ]
            marks = ", ".join(["%s"] * (len(row) + 1))
            self.postgres.execute(f"INSERT INTO awkward VALUES ({marks})".encode(), [k, *row])

    def _columns(self) -> Iterator[Column]:
        query = """
            SELECT attname, atttypid::oid::int8, atttypmod, format_type(atttypid, atttypmod), typtype::text,
                   collname, typelem::oid::int8,
                   ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = pg_type.oid ORDER BY enumsortorder)
            FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
            LEFT JOIN pg_collation ON pg_collation.oid = attcollation
            WHERE attrelid = 'awkward'::regclass AND attnum > 1 ORDER BY attnum
        """
        for name, oid, typmod, spelled, kind, collation, element, labels in self.postgres.execute(query.encode()):
            of = PgType(element) if spelled.endswith("[]") else None
            yield Column(name, PgType(oid, typmod, spelled, kind, of, tuple(labels)), collation=collation)

    def _copy(self) -> None:
        texts = ", ".join(f'{select_text(c.type, c.name)} AS "{c.name}"' for c in self.columns.values())
        rows = self.postgres.execute(f"SELECT k, {texts} FROM awkward ORDER BY k".encode()).fetchall()
        names = ", ".join(f'"{name}" VARCHAR' for name in self.columns)
        self.local.execute(f"CREATE TABLE texts (k INTEGER, {names})")
        self.local.executemany(f"INSERT INTO texts VALUES ({', '.join('?' * (len(self.columns) + 1))})", rows)
        values = ", ".join(f'{self._reader(c, c.name)} AS "{c.name}"' for c in self.columns.values())
        self.local.execute(f"CREATE TABLE awkward AS SELECT k, {values} FROM texts")

    def _reader(self, column: Column, text: str) -> str:
        return ladder(column.type)[0].from_text(f'"{text}"')

    def check(self, written: str, local: str, type_of_result: bool = True) -> int:
        """Assert that both give the same value for every row that Postgres has one for; say how many."""
        theirs = dict(self._ask(written))
        if not theirs:
            return 0
        rows = ", ".join(map(str, theirs))
        computed = f"SELECT k, ({local}) AS r FROM awkward WHERE k IN ({rows})"
        ours = self.local.execute(f"SELECT k, r, typeof(r) FROM ({computed})").fetchall()
        ours_by_row = {k: (value, name) for k, value, name in ours}
        pg_type = self._type(written)
        for k, text in theirs.items():
            value, local_type = ours_by_row[k]
            where = f"row {k}: {written}  ->  {local}"
            assert self._same(pg_type, text, k, local), f"{where}: Postgres has {text!r}, DuckDB has {value!r}"
            expected = ladder(pg_type)[0].name
            if type_of_result and pg_type.oid != 1700 and local_type != '"NULL"':
                assert local_type == expected, f"{where}: {local_type} for {pg_type}"
        return len(theirs)

    def _ask(self, written: str) -> list[tuple[int, str | None]]:
        """(row, text of the value) of the rows for which Postgres has a value."""
        query = f"SELECT k, ({written})::text FROM awkward"
        try:
            return [(k, text) for k, text in self.postgres.execute(query.encode())]
        except psycopg.DataError:
            pass
        answered: list[tuple[int, str | None]] = []
        for k in range(ROWS):
            try:
                answered += [(row[0], row[1]) for row in self.postgres.execute(f"{query} WHERE k = {k}".encode())]
            except psycopg.DataError:
                continue
        return answered

    def _type(self, written: str) -> PgType:
        described = self.postgres.execute(f"SELECT ({written}) FROM awkward LIMIT 0".encode()).description
        assert described is not None
        oid = described[0].type_code
        return next((c.type for c in self.columns.values() if c.type.oid == oid), PgType(oid))

    def _same(self, type_: PgType, text: str | None, k: int, local: str) -> bool:
        if type_.oid == 1700:
            found = self.local.execute(f"SELECT ({local}) FROM awkward WHERE k = {k}").fetchall()[0][0]
            return found == text if text is None or found is None else Decimal(found) == Decimal(text)
        reader = ladder(type_)[0].from_text("expected")
        row = f"(SELECT *, ?::VARCHAR AS expected FROM awkward WHERE k = {k})"
        query = f"SELECT ({reader}) IS NOT DISTINCT FROM ({local}) FROM {row}"
        return bool(self.local.execute(query, [text]).fetchall()[0][0])


@pytest.fixture(scope="module")
def world(postgres_dsn: str) -> Iterator[World]:
    name = f"transpile_{random.SystemRandom().randrange(10**12)}"
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with psycopg.connect(with_database(postgres_dsn, name), autocommit=True) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                yield World(connection)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize(("written", "local"), pairs("transpile"))
def test_golden_pair_says_the_same_in_both(world: World, written: str, local: str) -> None:
    assert to_local(expression(written), world.columns).sql("duckdb") == local
    world.check(written.replace("T.", ""), local)


@pytest.mark.parametrize(("written", "reason"), pairs("transpile_refused"))
def test_refused(world: World, written: str, reason: str) -> None:
    with pytest.raises(errors.NotSupported) as refusal:
        to_local(expression(written), world.columns)
    assert reason in refusal.value.message


def test_unknown_column(world: World) -> None:
    with pytest.raises(errors.UnknownName):
        to_local(expression("nothing > 1"), world.columns)


def test_year_of_infinity_raises_instead_of_being_wrong(world: World) -> None:
    local = to_local(expression("extract(year from ts)"), world.columns).sql("duckdb")
    with pytest.raises(duckdb.Error, match="infinite"):
        world.local.execute(f"SELECT {local} FROM awkward WHERE isinf(ts)").fetchall()


class Generator:
    """Writes random Postgres expressions, most of them on the list."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def any(self) -> str:
        kind = self.random.choice([self.boolean, self.boolean, self.integer, self.decimal, self.text, self.moment])
        return kind(3)

    def one(self, writers: list[Callable[[], str]]) -> str:
        return self.random.choice(writers)()

    def boolean(self, depth: int) -> str:
        pick = self.random.choice
        if depth <= 0:
            return pick(["b", "TRUE", "NOT b", "b IS NOT TRUE", "x IS NULL"])
        compare = pick(["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
        same = pick(["=", "<>", "IS DISTINCT FROM"])
        down = depth - 1
        return self.one(
            [
                lambda: f"({self.boolean(down)} {pick(['AND', 'OR'])} {self.boolean(down)})",
                lambda: f"NOT ({self.boolean(down)})",
                lambda: f"({self.integer(down)} {compare} {self.number(down)})",
                lambda: f"({self.decimal(down)} {compare} {self.number(down)})",
                lambda: f"(f8 {compare} {pick(['0.1', 'i4', 'f4', '2', 'i2 + 1'])})",
                lambda: f"({self.text(down)} {same} {self.text(down)})",
                lambda: f'({self.text(down)} COLLATE "C" {compare} {self.text(down)})',
                lambda: f"(c {same} {pick(['x', 'c', repr('ab'), repr('ab ')])})",
                lambda: f"({self.text(down)} {pick(['', 'NOT '])}LIKE '{self.pattern()}')",
                lambda: f"({self.moment(down)} {compare} {self.moment(down)})",
                lambda: f"({self.integer(down)} IN ({self.integer(0)}, {self.integer(0)}, 5))",
                lambda: f"({self.integer(down)} BETWEEN {self.number(0)} AND {self.number(0)})",
                lambda: f"(u {compare} {pick(['1.5', '10', '10.000000001', '-99999.5', 'i4', 'u', 'u + 1', 'n'])})",
                lambda: f"({pick(['coalesce', 'greatest', 'least'])}(u, {pick(['0', 'n', 'u - 1'])}) {compare} n)",
                lambda: f"(extract({pick(['year', 'dow'])} from day) {compare} {pick(['3', '2024', '-44'])})",
            ]
        )

    def number(self, depth: int) -> str:
        return self.random.choice([self.integer, self.decimal])(depth)

    def integer(self, depth: int) -> str:
        pick = self.random.choice
        if depth <= 0:
            return pick(["i2", "i4", "j4", "i8", "0", "5", "-7", "2147483647", "3000000000"])
        down = depth - 1
        return self.one(
            [
                lambda: f"({self.integer(down)} {pick(['+', '-', '*'])} {self.integer(down)})",
                lambda: f"({self.integer(down)} / {pick(['2', '-3', '7'])})",
                lambda: f"({self.integer(down)} % {pick(['2', '-3', '7'])})",
                lambda: f"abs({self.integer(down)})",
                lambda: f"(- {self.integer(down)})",
                lambda: f"length({self.text(down)})",
                lambda: f"position({self.text(0)} in {self.text(down)})",
                lambda: f"COALESCE({self.integer(down)}, {self.integer(down)})",
                lambda: f"{pick(['GREATEST', 'LEAST'])}({self.integer(down)}, {self.integer(down)})",
                lambda: f"NULLIF({pick(['i2', 'i4', 'i8'])}, {pick(['5', '0'])})",
                lambda: f"CASE WHEN {self.boolean(down)} THEN {self.integer(down)} ELSE {self.integer(0)} END",
                lambda: f"{self.decimal(0)}::{pick(['int2', 'int4', 'int8'])}",
                lambda: f"({self.integer(down)})::{pick(['int2', 'int4', 'int8'])}",
            ]
        )

    def decimal(self, depth: int) -> str:
        pick = self.random.choice
        if depth <= 0:
            return pick(["n", "m", "0.05", "1.50", "-2.5", "n::numeric(6,1)", "i4::numeric"])
        down = depth - 1
        return self.one(
            [
                lambda: f"({self.decimal(down)} {pick(['+', '-', '*'])} {self.number(0)})",
                lambda: f"abs({self.decimal(down)})",
                lambda: f"(- {self.decimal(down)})",
                lambda: f"COALESCE({self.decimal(down)}, {self.number(down)})",
                lambda: f"{pick(['GREATEST', 'LEAST'])}({self.decimal(down)}, {self.number(0)})",
                lambda: f"({self.decimal(down)})::numeric({pick(['12,3', '9,1', '20,0'])})",
                lambda: f"u::numeric({pick(['30,3', '30,0'])})",
            ]
        )

    def text(self, depth: int) -> str:
        pick = self.random.choice
        if depth <= 0:
            return pick(["x", "v", "'a'", "'b '", "''", "'é'", "x", "c::text"])
        down = depth - 1
        count = pick(["0", "1", "2", "-1", "-2", "5"])
        return self.one(
            [
                lambda: f"({self.text(down)} || {self.text(down)})",
                lambda: f"{pick(['left', 'right'])}({self.text(down)}, {count})",
                lambda: f"substring({self.text(down)}, {count}, {pick(['0', '1', '3'])})",
                lambda: f"{pick(['trim', 'ltrim', 'rtrim', 'btrim'])}({self.text(down)})",
                lambda: f"btrim({self.text(down)}, {pick(['x', repr('ab'), repr('é ')])})",
                lambda: f"replace({self.text(down)}, {self.text(0)}, {self.text(0)})",
                lambda: f'{pick(["lower", "upper"])}({self.text(down)} COLLATE "C")',
                lambda: f"COALESCE({self.text(down)}, {self.text(down)})",
                lambda: f"CASE WHEN {self.boolean(down)} THEN {self.text(down)} ELSE {self.text(down)} END",
                lambda: f"({pick(['b', 'i4', 'n', 'm', 'id', 'mood', 'n * m'])})::text",
                lambda: f"({self.text(down)})::varchar({pick(['1', '3'])})",
            ]
        )

    def moment(self, depth: int) -> str:
        pick = self.random.choice
        if depth <= 0:
            return pick(["ts", "day", "DATE '2021-01-03'", "TIMESTAMP '1999-12-31 23:59:59.5'", "ts::date"])
        down = depth - 1
        unit = pick(["second", "minute", "hour", "day", "week", "month", "quarter", "year"])
        return self.one(
            [
                lambda: f"date_trunc('{unit}', ({self.moment(down)})::timestamp)",
                lambda: f"COALESCE({self.moment(down)}, {self.moment(down)})",
                lambda: f"{pick(['GREATEST', 'LEAST'])}({self.moment(down)}, {self.moment(down)})",
                lambda: self.moment(0),
            ]
        )

    def pattern(self) -> str:
        return "".join(self.random.choice(["a", "b", "%", "_", "\\\\", "\\%", "\\_", "é", " "]) for _ in range(4))


def test_random_expressions_agree(world: World) -> None:
    seed = first_seed()
    generator = Generator(seed)
    translated = values = 0
    for _ in range(300):
        written = generator.any()
        try:
            local = to_local(expression(written), world.columns).sql("duckdb")
        except errors.NotSupported:
            continue
        try:
            values += world.check(written, local, type_of_result=False)
            translated += 1
        except psycopg.errors.IndeterminateCollation:
            continue
        except duckdb.Error:
            # Neither database promises which side of AND and OR it evaluates, DuckDB not even which arguments of
            # COALESCE: one may raise where the other does not.
            assert re.search(r"AND|OR|BETWEEN|COALESCE", written), f"{written}  ->  {local}"
    assert translated > 100, "most of what the generator writes should be on the list"
    assert values > 1000


@pytest.mark.parametrize("written", statements("expressions"))
def test_value_is_the_same_in_both(world: World, written: str) -> None:
    local = to_local(expression(written), world.columns).sql("duckdb")
    try:
        assert world.check(written, local) > 0
    except psycopg.errors.UndefinedFunction:
        if world.postgres.info.server_version >= 18_00_00:
            raise
        pytest.skip("a function of a later Postgres")
