"""The type table without a Postgres: ladders, and properties of the SQL that reads text, on DuckDB."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flashql.datatypes import TYPES, LocalType, PgType, ladder, markdown, select_text
from flashql.errors import DefinitionError
from flashql.native import arriving, arriving_type, is_native

# Derandomized: the same examples in every run, found anew by whoever changes the test.
bounded = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

NUMERIC, TEXT, INTERVAL, INTEGER = PgType(1700), PgType(25), PgType(1186), PgType(23)


def array(element: PgType, oid: int = 0) -> PgType:
    return PgType(oid, element=element)


def sized_numeric(precision: int, scale: int) -> PgType:
    return PgType(1700, typmod=((precision << 16) | (scale & 0x7FF)) + 4)


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def read(duck: duckdb.DuckDBPyConnection, local: LocalType, text: str | None) -> Any:
    """The value of one text, or an exception; read from a column, as the program does."""
    row = duck.execute(f"SELECT {local.from_text('v')} FROM (SELECT $1::VARCHAR AS v)", [text]).fetchone()
    assert row is not None
    return row[0]


def fits(duck: duckdb.DuckDBPyConnection, local: LocalType, text: str | None) -> bool:
    row = duck.execute(f"SELECT {local.fits('v')} FROM (SELECT $1::VARCHAR AS v)", [text]).fetchone()
    assert row is not None
    assert isinstance(row[0], bool)
    return row[0]


def names(pg_type: PgType, numeric: str = "auto") -> list[str]:
    return [rung.name for rung in ladder(pg_type, numeric=numeric)]


def test_every_ladder_ends_in_a_rung_that_takes_everything() -> None:
    for row in TYPES:
        last = ladder(PgType(row.oid))[-1]
        assert last.condition == "true", row.name
        assert len(row.rungs) == 1 or last.name == "VARCHAR", row.name


def test_oids_are_unique() -> None:
    assert len({row.oid for row in TYPES}) == len(TYPES)


def test_names_are_spelled_as_duckdb_spells_them(duck: duckdb.DuckDBPyConnection) -> None:
    for row in TYPES:
        for pg_type in (PgType(row.oid), array(PgType(row.oid))):
            for local in ladder(pg_type):
                query = f"SELECT typeof({local.from_text('v')}) FROM (SELECT NULL::VARCHAR AS v)"
                assert duck.execute(query).fetchone() == (local.name,), row.name


def test_null_stays_null_and_fits(duck: duckdb.DuckDBPyConnection) -> None:
    for row in TYPES:
        for pg_type in (PgType(row.oid), array(PgType(row.oid))):
            for local in ladder(pg_type):
                assert read(duck, local, None) is None, row.name
                assert fits(duck, local, None), row.name


@pytest.mark.parametrize(
    ("precision", "scale", "expected"),
    [
        (10, 2, "DECIMAL(10,2)"),
        (38, 38, "DECIMAL(38,38)"),
        (1, 0, "DECIMAL(1,0)"),
        (3, -2, "DECIMAL(5,0)"),
        (2, 5, "DECIMAL(5,5)"),
        (36, -2, "DECIMAL(38,0)"),
    ],
)
def test_a_sized_numeric_is_the_decimal_of_its_size(precision: int, scale: int, expected: str) -> None:
    assert names(sized_numeric(precision, scale)) == [expected, "VARCHAR"]
    assert names(sized_numeric(precision, scale), "text") == [expected, "VARCHAR"]


@pytest.mark.parametrize(("precision", "scale"), [(39, 0), (1000, 1000), (38, -1), (1, 39), (1000, -1000)])
def test_a_size_no_decimal_has_counts_as_none(precision: int, scale: int) -> None:
    assert ladder(sized_numeric(precision, scale)) == ladder(NUMERIC)


def test_an_unsized_numeric_climbs_the_scales() -> None:
    assert names(NUMERIC) == [f"DECIMAL(38,{scale})" for scale in range(9, 38)] + ["VARCHAR"]
    assert names(NUMERIC, "text") == ["VARCHAR"]
    assert names(NUMERIC, "decimal(20,4)") == ["DECIMAL(20,4)", "VARCHAR"]
    assert names(NUMERIC, "DECIMAL( 20 , 4 )") == ["DECIMAL(20,4)", "VARCHAR"]
    assert names(array(NUMERIC), "decimal(20,4)") == ["DECIMAL(20,4)[]", "VARCHAR"]
    assert names(array(sized_numeric(5, 1))) == ["DECIMAL(5,1)[]", "VARCHAR"]


@pytest.mark.parametrize(
    "option",
    [
        "double",
        "",
        "AUTO!",
        "decimal",
        "decimal(39,0)",
        "decimal(0,0)",
        "decimal(5,6)",
        "decimal(5)",
        "decimal(٥,١)",
    ],
)
def test_a_bad_numeric_option_is_refused_with_advice(option: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        ladder(TEXT, numeric=option)
    assert "decimal(p,s)" in (caught.value.hint or "")


def test_what_has_no_row_is_text() -> None:
    for kind in "becrmp":
        assert names(PgType(99_999, kind=kind, name="public.thing")) == ["VARCHAR"]
    assert names(PgType(99_999, name="citext")) == ["VARCHAR"]


def test_arrays_that_may_not_be_separated_by_commas_are_text() -> None:
    assert names(array(PgType(603), 1020)) == ["VARCHAR"]  # box
    assert names(array(PgType(99_999, name="public.geometry"))) == ["VARCHAR"]
    assert names(PgType(22, element=PgType(21))) == ["VARCHAR"]  # int2vector prints no braces
    for kind in "ecrm":
        assert names(array(PgType(99_999, kind=kind))) == ["VARCHAR[]", "VARCHAR"]
    for name in ("citext", "public.citext"):
        assert names(array(PgType(99_999, name=name))) == ["VARCHAR[]", "VARCHAR"]


def test_native_types_have_the_rungs_of_their_text() -> None:
    native = [row for row in TYPES if is_native(PgType(row.oid))]
    assert {row.name for row in native} >= {"boolean", "bigint", "text", "bytea", "timestamp", "date"}
    for row in native:
        assert [rung.name for rung in arriving(PgType(row.oid))] == [rung.name for rung in row.rungs]
        assert arriving_type(PgType(row.oid)) == row.duckdb
    assert not is_native(array(INTEGER, 1007))
    assert not is_native(PgType(99_999, kind="e"))
    assert arriving_type(PgType(99_999, kind="e")) == "VARCHAR"


def test_types_whose_cast_to_text_differs_from_the_stream_are_printed_by_their_output_function() -> None:
    assert select_text(INTEGER, '"a b"') == '("a b")::text'
    for pg_type in (PgType(1042), PgType(869), PgType(142), PgType(99_999, name="public.geometry")):
        assert "format('%s', c)" in select_text(pg_type, "c")


def test_expressions_and_awkward_column_names_are_taken_as_they_are(duck: duckdb.DuckDBPyConnection) -> None:
    for name in ("part", "item", "token", "v", '"{text}"', '"a b"'):
        for pg_type, text, expected in (
            (INTERVAL, "00:00:01", "00:00:01"),
            (array(INTERVAL), '{"1 day",NULL}', "[1 day, NULL]"),
            (array(NUMERIC), "{1.5}", "[1.500000000]"),
        ):
            local = ladder(pg_type)[0]
            query = (
                f"SELECT CAST({local.from_text(name)} AS VARCHAR), {local.fits(name)}, "
                f"CAST({local.from_text(f'{name} || $2')} AS VARCHAR) FROM (SELECT $1::VARCHAR AS {name})"
            )
            assert duck.execute(query, [text, ""]).fetchone() == (expected, True, expected)


def test_literals_can_be_read_too(duck: duckdb.DuckDBPyConnection) -> None:
    """DuckDB evaluates constants while planning; a branch not taken must not raise then."""
    literals = (("1.50", ladder(sized_numeric(5, 1))[0]), ("{1}", ladder(array(INTEGER))[0]))
    for text, local in literals:
        assert duck.execute(f"SELECT {local.from_text(repr(text))} IS NULL").fetchone() == (False,)


@pytest.mark.parametrize(
    ("pg_type", "text"),
    [
        (NUMERIC, "0.0000000001"),
        (NUMERIC, "NaN"),
        (NUMERIC, "Infinity"),
        (NUMERIC, "1" + "0" * 29),
        (sized_numeric(5, 0), "NaN"),
        (sized_numeric(5, 0), "1.5"),
        (PgType(1114), "294276-12-31 23:59:59.999999"),
        (PgType(1184), "294276-12-31 23:59:59.999999+00"),
        (INTERVAL, "infinity"),
        (INTERVAL, "-infinity"),
        (INTERVAL, "P1Y"),
        (PgType(114), '"\\ud800"'),
        (array(INTEGER), "{{1,2},{3,4}}"),
        (array(INTEGER), "[2:3]={1,2}"),
        (array(NUMERIC), "{1,NaN}"),
        (array(INTERVAL), "{infinity}"),
        (array(PgType(114)), '{1,"\\"\\\\ud800\\""}'),
    ],
)
def test_what_does_not_fit_says_so_and_raises(duck: duckdb.DuckDBPyConnection, pg_type: PgType, text: str) -> None:
    local = ladder(pg_type)[0]
    assert not fits(duck, local, text)
    with pytest.raises(duckdb.Error):
        read(duck, local, text)
    assert read(duck, ladder(pg_type)[-1], text) == text


def test_bytes_in_the_escape_form_are_refused(duck: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="does not fit BLOB"):
        read(duck, ladder(PgType(17))[0], "abc")


def test_a_column_with_one_bad_value_is_not_held_by_halves(duck: duckdb.DuckDBPyConnection) -> None:
    """Thousands of rows at once, so that DuckDB works on vectors and selections of them."""
    local = ladder(NUMERIC)[0]
    rows = "SELECT CASE WHEN i % 1000 = 7 THEN '0.0000000001' ELSE i || '.5' END AS v FROM range(5000) r(i)"
    assert duck.execute(f"SELECT count(*) FROM ({rows}) WHERE NOT {local.fits('v')}").fetchone() == (5,)
    assert duck.execute(f"SELECT sum({local.from_text('v')}) FROM ({rows}) WHERE {local.fits('v')}").fetchone() == (
        sum(Decimal(i) + Decimal("0.5") for i in range(5000) if i % 1000 != 7),
    )
    with pytest.raises(duckdb.Error, match="does not fit"):
        duck.execute(f"SELECT max({local.from_text('v')}) FROM ({rows})").fetchall()


digits = st.text("0123456789", min_size=1, max_size=45)


@bounded
@given(st.sampled_from(["", "-"]), digits, st.just("") | digits, st.integers(0, 38), st.integers(1, 38))
@example("", "0", "5", 0, 38)
@example("-", "9" * 38, "0" * 60, 0, 38)
@example("", "9" * 29, "9" * 9 + "0", 9, 38)
@example("", "99999999999999999", "95", 1, 19)
def test_decimals_are_exact_or_refused(
    duck: duckdb.DuckDBPyConnection, sign: str, whole: str, fraction: str, scale: int, width: int
) -> None:
    scale = min(scale, width)
    text = f"{sign}{whole.lstrip('0') or '0'}" + (f".{fraction}" if fraction else "")
    local = ladder(NUMERIC, numeric=f"decimal({width},{scale})")[0]
    exponent = len(fraction.rstrip("0"))
    expected = len(whole.lstrip("0")) <= width - scale and exponent <= scale
    assert fits(duck, local, text) is expected
    if expected:
        assert read(duck, local, text) == Decimal(text)
    else:
        with pytest.raises(duckdb.Error):
            read(duck, local, text)


def postgres_interval(months: int, days: int, microseconds: int) -> str:
    """What Postgres prints (datetime.c: EncodeInterval, style postgres), written down from its source."""
    years, mons = int(math.copysign(1, months)) * (abs(months) // 12), int(math.fmod(months, 12))
    out: list[str] = []
    negative_before = False
    for value, unit in ((years, "year"), (mons, "mon"), (days, "day")):
        if value:
            plus = "+" if negative_before and value > 0 else ""
            out.append(f"{plus}{value} {unit}{'' if value == 1 else 's'}")
            negative_before = value < 0
    if microseconds or not out:
        sign = "-" if microseconds < 0 else "+" if negative_before else ""
        seconds, fraction = divmod(abs(microseconds), 1_000_000)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        out.append(f"{sign}{clock}" + (f".{fraction:06}".rstrip("0") if fraction else ""))
    return " ".join(out)


@bounded
@given(
    st.integers(-(2**31), 2**31 - 1) | st.integers(-30, 30),
    st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1) | st.integers(-9_999_999, 9_999_999),
)
@example(-(2**31), -(2**31), -(2**63))
@example(2**31 - 1, 2**31 - 1, 2**63 - 1)
@example(0, 0, 0)
@example(-12, 1, 1)
@example(0, -1, 7_380_000_000)
def test_intervals_keep_months_days_and_time(
    duck: duckdb.DuckDBPyConnection, months: int, days: int, microseconds: int
) -> None:
    text = postgres_interval(months, days, microseconds)
    local = ladder(INTERVAL)[0]
    assert fits(duck, local, text)
    row = duck.execute(
        "SELECT datepart('year', i)::BIGINT * 12 + datepart('month', i), datepart('day', i), "
        "datepart('hour', i)::HUGEINT * 3600000000 + datepart('minute', i) * 60000000 "
        "+ datepart('microsecond', i) "
        f"FROM (SELECT {local.from_text('v')} AS i FROM (SELECT $1::VARCHAR AS v))",
        [text],
    ).fetchone()
    assert row == (months, days, microseconds), text


def postgres_array(elements: list[str | None]) -> str:
    """What Postgres prints (arrayfuncs.c: array_out)."""

    def one(element: str | None) -> str:
        if element is None:
            return "NULL"
        special = any(c in '{}",\\ \t\n\v\f\r' for c in element)
        if element and not special and element.upper() != "NULL":
            return element
        return '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(map(one, elements)) + "}"


awkward = st.text(
    st.sampled_from("{}\",\\ \tnNuUlL\n\v[]é😀=;'") | st.characters(exclude_characters="\0", codec="utf-8")
)


@bounded
@given(st.lists(st.none() | awkward | st.sampled_from(["", "NULL", "null", "{", "{}"]), max_size=6))
@example([])
@example([""])
@example([None])
@example(["NULL", None, "\\", '"', '\\"', "{{", "a\nb"])
def test_text_arrays_keep_every_character(duck: duckdb.DuckDBPyConnection, elements: list[str | None]) -> None:
    text = postgres_array(elements)
    local = ladder(array(TEXT))[0]
    assert fits(duck, local, text)
    assert read(duck, local, text) == elements


@bounded
@given(st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=8))
def test_integer_arrays(duck: duckdb.DuckDBPyConnection, elements: list[int | None]) -> None:
    text = postgres_array([None if element is None else str(element) for element in elements])
    assert read(duck, ladder(array(INTEGER))[0], text) == elements


@bounded
@given(st.binary(max_size=40))
def test_bytes(duck: duckdb.DuckDBPyConnection, value: bytes) -> None:
    assert read(duck, ladder(PgType(17))[0], f"\\x{value.hex()}") == value


@bounded
@given(st.floats())
def test_doubles(duck: duckdb.DuckDBPyConnection, value: float) -> None:
    text = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), repr(value))
    found = read(duck, ladder(PgType(701))[0], text)
    assert math.isnan(found) if math.isnan(value) else repr(found) == repr(value)


def test_the_documented_table_is_this_one() -> None:
    page = Path(__file__).parents[1] / "docs" / "reference" / "types.md"
    assert page.read_text() == markdown(), "run: python -m flashql.datatypes > docs/reference/types.md"
