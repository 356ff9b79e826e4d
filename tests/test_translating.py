"""Whole queries: each is run at Postgres, and its translation in DuckDB over the same rows; Postgres is the oracle."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from decimal import Decimal

import duckdb
import psycopg
import pytest
from psycopg import sql

from flashql import errors
from flashql.planner.translating import translate
from tests.fix_postgres import Origin, with_database
from tests.fix_worlds import TwoDatabases
from tests.seeds import seeded
from tests.spec_pairs import pairs, statements

TABLES = """
CREATE TABLE dept (id int PRIMARY KEY, title text NOT NULL, budget numeric(12, 2));
CREATE TABLE emp (
    id int PRIMARY KEY, name text, dept_id int, boss_id int, salary numeric(10, 2), hired date, active boolean
);
CREATE TABLE sale (
    id int PRIMARY KEY, emp_id int, dept_id int, amount numeric(10, 2), sold_at timestamp, note varchar(10)
);
CREATE TABLE numbers (id int PRIMARY KEY, small smallint, big bigint, loose numeric, rate double precision);
CREATE TABLE rates (id int PRIMARY KEY, rough numeric, fine numeric, sized numeric(20, 15));
INSERT INTO rates VALUES (1, 1.5, 1.5000000004001, 1.500000000400100), (2, 10.5, 10.5, 10.5), (3, NULL, 0.1, 0.1),
    (4, 0.1, NULL, NULL), (5, -2, 1.5, -2.000000000000001);
CREATE TYPE feeling AS ENUM ('sad', 'ok', 'happy', 'it''s all', '');
ALTER TYPE feeling ADD VALUE 'glad' BEFORE 'happy';
CREATE DOMAIN a_feeling AS feeling;
CREATE TABLE felt (id int PRIMARY KEY, m feeling, was feeling, n int, dm a_feeling);
INSERT INTO felt VALUES (1, 'sad', 'ok', 1, 'sad'), (2, 'happy', 'glad', 1, 'ok'), (3, 'glad', NULL, 2, 'happy'),
    (4, NULL, 'sad', 2, NULL), (5, 'ok', 'happy', NULL, ''), (6, 'it''s all', '', 3, 'glad'),
    (7, '', 'it''s all', 3, 'glad'), (8, 'glad', 'glad', 2, 'sad');
CREATE TABLE odd (id int PRIMARY KEY, "Mixed" text, mixed text, "rowid" int, fixed char(4));
CREATE TABLE bag (id int PRIMARY KEY, ints int[], tags text[], doc jsonb, csv text, low int, high bigint, at timestamp);
INSERT INTO bag VALUES
    (1, '{1,2,3}', '{x,y}', '{"a": 1, "b": [1, 2.50, "x, \\"y\\""], "c": {"d": null}}', 'a,b,c', 1, 3, '2024-01-30'),
    (2, '{}', '{}', '[1, "two", null, {"k": 3.10}, [true]]', '', 3, 1, '2024-02-28 10:00'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, '{5,NULL,5}', '{NULL,"a b","",é}', '{}', ',a  b,', 0, NULL, NULL),
    (5, '{2}', '{x}', '[]', 'a,b', 9223372, 9223373, '0044-03-15 BC'), (6, '{1,1}', NULL, '"s"', 'k', -2, 2, NULL);
INSERT INTO dept VALUES (1, 'Sales', 5000), (2, 'Ops', 100.50), (3, 'Empty', NULL), (4, 'Lab', 0);
INSERT INTO emp VALUES
    (1, 'Ada', 1, NULL, 3000, '2020-01-15', true), (2, 'Bob', 1, 1, 1200.50, '2020-02-29', true),
    (3, 'Cy', 2, 1, 1200.50, '2021-12-31', false), (4, 'Di', NULL, 2, NULL, '2021-12-31', NULL),
    (5, NULL, 2, 3, 800, NULL, true), (6, 'Bob', 4, 3, 2500, '1999-01-01', false),
    (7, 'éa', 9, 6, 0, '0044-03-15 BC', true);
INSERT INTO sale VALUES
    (1, 1, 1, 10, '2024-01-01 10:00', 'a'), (2, 1, 1, 20.25, '2024-01-31 23:59:59', 'b'), (3, 2, 1, NULL, NULL, NULL),
    (4, 3, 2, 99.99, '2024-02-01', 'a '), (5, NULL, 2, 0.01, '2023-12-31', ''), (6, 6, 4, -5, '2024-02-29', 'a'),
    (7, 1, 2, 20.25, '2024-01-15', 'c'), (8, 5, NULL, 7.77, '2024-03-01', 'd');
INSERT INTO numbers VALUES
    (1, 1, 9223372036854775807, 1.5, 0.1), (2, -7, 9223372036854775807, 1.50, 2.5), (3, NULL, -5, NULL, NULL),
    (4, 32767, 0, 12345678901234567.125, -0.75), (5, 7, 7, 0.000000001, 1e10), (6, 7, 3, -99999.5, 3);
INSERT INTO odd VALUES (1, 'A', 'b', 5, 'x'), (2, 'C', NULL, 6, 'xy'), (3, 'C', 'd', NULL, NULL);
"""


@pytest.fixture(scope="module")
def world(postgres_dsn: str) -> Iterator[TwoDatabases]:
    name = f"translating_{random.SystemRandom().randrange(10**12)}"
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        server = Origin(with_database(postgres_dsn, name))
        server.execute(TABLES)
        made = TwoDatabases(server)
        try:
            yield made
        finally:
            made.close()
            server.disconnect()
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("query", statements("queries"))
def test_query_returns_the_same_rows_in_both(world: TwoDatabases, query: str) -> None:
    world.check(query)


@pytest.mark.parametrize(("query", "reason"), pairs("queries_refused"))
def test_refused(world: TwoDatabases, query: str, reason: str) -> None:
    with pytest.raises(errors.NotSupported) as refusal:
        world.translation(query)
    assert reason in refusal.value.message


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT id, rough IN (SELECT fine FROM rates) AS x FROM rates", "more than 9 digits after the point"),
        ("SELECT rough FROM rates UNION SELECT fine FROM rates", "more than 9 digits after the point"),
        (
            "WITH RECURSIVE r AS (SELECT fine, 1 AS n FROM rates UNION ALL SELECT fine, 2 FROM r WHERE n < 2) TABLE r",
            "9 digits",
        ),
        ("SELECT x::numeric FROM (VALUES ('1e5')) AS v (x), dept", "text that is not plainly numeric"),
        ("SELECT x::numeric FROM (VALUES ('0.0000000000001')) AS v (x), dept", "text that is not plainly numeric"),
        ("SELECT x::numeric FROM (VALUES ('123456789012345678901234567')) AS v (x), dept", "DECIMAL"),
        ("SELECT to_date(x, 'YYYY-MM-DD') FROM (VALUES ('2024-2-3')) AS v (x), dept", "text that is not plainly YYYY"),
        ("SELECT x::numeric FROM (VALUES ('NaN')) AS v (x), dept", "text that is not plainly numeric"),
    ],
)
def test_what_has_no_exact_value_raises(world: TwoDatabases, query: str, why: str) -> None:
    with pytest.raises(duckdb.Error, match=why):
        world.local.execute(world.translation(query).tree.sql("duckdb")).fetchall()


def test_tables_and_columns_read_are_told(world: TwoDatabases) -> None:
    query = "SELECT e.name, d.title AS t FROM emp e JOIN dept d ON d.id = e.dept_id WHERE e.salary > 0"
    translation = world.translation(query)
    read = {key: columns for key, (_, columns) in translation.tables.items()}
    assert read == {("public", "emp"): ("name", "dept_id", "salary"), ("public", "dept"): ("id", "title")}
    assert translation.computed == {("public", "emp"): ("dept_id", "salary"), ("public", "dept"): ("id",)}
    assert [(column.name, column.type.name) for column in translation.columns] == [("name", "text"), ("t", "text")]


def test_what_is_only_shown_is_not_computed_through_subqueries(world: TwoDatabases) -> None:
    translation = world.translation("SELECT q.a FROM (SELECT name AS a, id AS b FROM emp) q WHERE q.b > 1")
    assert translation.computed == {("public", "emp"): ("id",)}


def test_aliases_are_unique_in_the_whole_query(world: TwoDatabases) -> None:
    translation = world.translation("SELECT id FROM emp WHERE id IN (SELECT emp.id FROM emp)")
    assert translation.tree.sql("duckdb") == (
        'SELECT "emp"."id" AS "id" FROM "public"."emp" AS "emp" WHERE "emp"."id" IN '
        '(SELECT "emp_2"."id" AS "id" FROM "public"."emp" AS "emp_2")'
    )


def test_floats_are_printed_as_at_the_origin(world: TwoDatabases) -> None:
    chosen = seeded()
    found = [0.0, -0.0, 5e-324, 1.7976931348623157e308, 9.359948123720079e17, 1e23, 1e15, 1e-5]
    found += [float(f"{lead}e{power}") for power in range(-323, 309, 5) for lead in (1, -9.5)]
    found += [math.ldexp(1, power) for power in range(-1074, 1024, 17)]
    found += [math.nextafter(one, way) for one in list(found) for way in (math.inf, -math.inf)]
    for _ in range(3000):
        found.append(chosen.randrange(-(10 ** chosen.randrange(1, 18)), 10**17) / 10 ** chosen.randrange(12))
        found.append(struct.unpack("<d", struct.pack("<Q", chosen.getrandbits(64)))[0])
    rows = ", ".join(f"('{one!r}', {_single(one)})" for one in found if abs(one) < math.inf)
    world.server.execute("DROP TABLE IF EXISTS floats; CREATE TABLE floats (d double precision, s real)")
    world.server.execute(f"INSERT INTO floats VALUES {rows}, ('NaN', 'NaN'), ('-Infinity', 'Infinity')")
    world.forget()
    assert world.check("SELECT d::text AS a, s::text AS b, to_jsonb(d) AS c, to_json(s) AS d FROM floats") > 5000


def _single(number: float) -> str:
    """The nearest real as a constant; NULL where there is none."""
    try:
        return f"'{struct.unpack('<f', struct.pack('<f', number))[0]!r}'"
    except OverflowError:
        return "NULL"


def test_json_columns_become_jsonb_as_at_the_origin(world: TwoDatabases) -> None:
    chosen = seeded()
    strings = [
        r'"a"',
        r'"\u00e9"',
        r'"x\"y"',
        r'""',
        r'"a\/b"',
        r'"aa"',
        r'"\ud83d\ude00"',
        r'"\t\b"',
        r'"{},: "',
        r'"\\"',
    ]
    leaves = [*strings, "1.50", "-0.00", "2.5E0", "1e2", "1E+2", "1.5e-3", "0.00e1", "1.23e20", "true", "false", "null"]

    def document(depth: int) -> str:
        space = chosen.choice(["", " ", "\n"])
        if depth == 0 or chosen.random() < 0.3:
            return space + chosen.choice(leaves) + space
        inner = [document(depth - 1) for _ in range(chosen.randrange(4))]
        if chosen.random() < 0.5:
            return f"{space}[{','.join(inner)}]"
        return "{" + ",".join(f"{chosen.choice(strings)}{space}:{one}" for one in inner) + "}"

    world.server.execute("DROP TABLE IF EXISTS written; CREATE TABLE written (id int, j json)")
    for number in range(300):
        world.server.execute("INSERT INTO written VALUES (%s, %s)", (number, document(6)))
    world.forget()
    assert world.check("SELECT id, j::jsonb AS d, j::text AS t, json_typeof(j) AS k FROM written") == 300


def test_random_quotients_are_rounded_as_at_the_origin(world: TwoDatabases) -> None:
    chosen = seeded()
    rows = []
    for _ in range(3000):
        sides = [
            chosen.randrange(-(10**digits), 10**digits) for digits in (chosen.randrange(1, 13), chosen.randrange(1, 13))
        ]
        scales = chosen.randrange(5), chosen.randrange(5)
        above, below = (Decimal(side).scaleb(-scale) for side, scale in zip(sides, scales, strict=True))
        if below and (not above or Decimal("1e-4") < abs(above / below) < 10**14):
            rows.append((above.quantize(Decimal("0.0001")), below.quantize(Decimal("0.0001"))))
    world.server.execute("DROP TABLE IF EXISTS quotients; CREATE TABLE quotients (a numeric(16, 4), b numeric(16, 4))")
    world.server.execute("INSERT INTO quotients VALUES " + ", ".join(f"({a}, {b})" for a, b in rows))
    world.forget()
    assert world.check("SELECT a, b, a / b AS q FROM quotients") > 1000


def test_a_numeric_held_as_text_is_shown_but_not_computed_with(world: TwoDatabases) -> None:
    assert translate("SELECT loose FROM numbers", world.origin, numeric="text").computed == {("public", "numbers"): ()}
    with pytest.raises(errors.NotSupported, match="held as text"):
        translate("SELECT loose, count(*) FROM numbers GROUP BY loose", world.origin, numeric="text")


def test_equalities_of_where_become_conditions_of_joins(world: TwoDatabases) -> None:
    query = "SELECT e.id FROM emp e, dept d WHERE d.id = e.dept_id AND e.salary / NULLIF(d.budget, 0) > 1"
    tree = world.translation(query).tree
    assert tree.args["joins"][0].args["on"].sql("duckdb") == '"d"."id" = "e"."dept_id"'
    assert world.check(query) >= 1


def test_where_a_side_of_and_decides_the_other_raises_nothing(world: TwoDatabases) -> None:
    assert world.check("SELECT id FROM numbers WHERE id <> 3 AND 100 / (id - 3) > 10") > 0
    for divided, said in (("100", "division by zero"), ("100.5", r"division by zero of 100\.5")):
        alone = world.translation(f"SELECT id FROM numbers WHERE {divided} / (id - 3) > 10").tree.sql("duckdb")
        with pytest.raises(duckdb.Error, match=said):
            world.local.execute(alone).fetchall()
