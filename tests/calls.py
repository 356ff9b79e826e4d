"""A call of each function, aggregate and operator that Postgres has over the types of a table, as a query.

Arguments are columns and constants of the declared types; what wants particular words (a unit, a format, a path) has
its own below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from tests.fix_postgres import Origin

TABLE = """
CREATE TABLE t (
    id int PRIMARY KEY, i2 smallint, n int, m int, b bigint, num numeric(10, 2), loose numeric, f4 real, f float8,
    ok boolean, x text COLLATE "C", y text COLLATE "C", v varchar(8) COLLATE "C", c char(4) COLLATE "C", by bytea,
    day date, at time, ts timestamp, tz timestamptz, iv interval, u uuid, d jsonb, j json, a int[], ta text[]
);
INSERT INTO t VALUES
    (1, 3, 3, 2, 10, 1.50, 1.5, 0.5, 0.5, true, 'a,b,c', 'one', 'v1', 'ab', '\\x00ff', '2024-01-01', '10:00',
     '2024-01-01 10:00', '2024-01-01 10:00+00', '1 day 02:00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
     '{"a": 1, "b": [1, 2.50, "x"], "c": {"d": null}}', '{"a": 1, "a": "x"}', '{1,2,3}', '{x,y}'),
    (2, 0, 0, 5, 20, -2.25, 100.125, -1.25, -1.25, false, '', 'a', 'v2', 'x', '\\x', '2024-01-03', '23:59:59.5',
     '2024-03-31 01:30', '2024-03-31 01:30+00', '3 mons', 'b0eebc99-9c0b-7ef8-0b6d-6bb9bd380a11',
     '[1, "two", null, {"k": 3}]', '[1, 2]', '{}', '{}'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL),
    (4, 5, 5, 2, 10, 10.00, 3, 2, 2, true, 'k', 'one', 'v1', 'ab', '\\x01', '2024-01-01', '00:00',
     '2024-10-27 02:30:00.123456', '2024-10-27 00:30+00', '-1 day', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
     '{}', '{}', '{4,5,5}', '{a,"a b",""}'),
    (5, 2, 2, 2, 7, 0.01, 0.000000001, 3, 300, NULL, 'b,,a', 'dé', '', 'zz', NULL, '2023-12-31', '12:30',
     '1999-12-31 23:59:59', '1999-12-31 23:59:59+00', '00:00:01.5', NULL, '[]', '"s"', '{9}', '{é}');
"""
_COLUMNS = {
    "int2": ["i2", "i2"], "int4": ["n", "m"], "int8": ["b", "b"], "numeric": ["num", "num"], "float4": ["f4", "f4"],
    "float8": ["f", "f"], "bool": ["ok", "ok"], "text": ["x", "y"], "varchar": ["v", "v"], "bpchar": ["c", "c"],
    "bytea": ["by", "by"], "date": ["day", "day"], "time": ["at", "at"], "timestamp": ["ts", "ts"],
    "timestamptz": ["tz", "tz"], "interval": ["iv", "iv"], "uuid": ["u", "u"], "jsonb": ["d", "d"], "json": ["j", "j"],
    "_int4": ["a", "a"], "_text": ["ta", "ta"], "anyarray": ["a", "a"], "anycompatiblearray": ["a", "a"],
    "anyelement": ["n", "m"], "anycompatible": ["n", "m"], "any": ["n", "x"], "anynonarray": ["n"],
    "anycompatiblenonarray": ["n"],
}  # fmt: skip
_CONSTANTS = {
    "int2": "2::smallint", "int4": "2", "int8": "2", "numeric": "2.5", "float8": "2.5::float8", "bool": "true",
    "text": "'a'", "bytea": "'\\x01'::bytea", "date": "'2024-01-02'::date", "timestamp": "'2024-01-02'::timestamp",
    "interval": "'1 day'::interval", "jsonb": """'{"a": 1}'::jsonb""", "_int4": "ARRAY[1, 2]",
    "_text": "ARRAY['a', 'b']", "anyarray": "ARRAY[1, 2]", "anycompatiblearray": "ARRAY[1, 2]", "anyelement": "1",
    "anycompatible": "1",
}  # fmt: skip
# What wants particular words.
_WORDS = {
    "array_fill": ["array_fill(x, ARRAY[3])", "array_fill(n, ARRAY[id - 1])"],
    "date_part": ["date_part('month', ts)"],
    "date_trunc": ["date_trunc('month', ts)", "date_trunc('day', tz, 'Europe/Berlin')"],
    "date_bin": ["date_bin('1 hour', ts, timestamp '2001-01-01')"],
    "decode": ["decode('00ff', 'hex')"],
    "encode": ["encode(by, 'hex')"],
    "extract": ["extract(year FROM day)"],
    "factorial": ["factorial(abs(n))"],
    "format": ["format('%s-%s', x, n)"],
    "generate_subscripts": ["generate_subscripts(a, 1)"],
    "json_object": ["json_object(ta || ta)", "json_object(ARRAY[x, y])"],
    "jsonb_object": ["jsonb_object(ta || ta)", "jsonb_object(ta, ta)"],
    "jsonb_set_lax": ["jsonb_set_lax(jsonb_build_object('a', n), '{a}', d)"],
    "json_object_agg": ["json_object_agg(id, n ORDER BY id)"],
    "jsonb_object_agg": ["jsonb_object_agg(id, n ORDER BY id)"],
    "jsonb_strip_nulls": ["jsonb_strip_nulls(d)"],
    "make_date": ["make_date(2024, 1, n + 1)"],
    "make_interval": ["make_interval(days => n)"],
    "make_time": ["make_time(1, 2, 3.5)"],
    "make_timestamp": ["make_timestamp(2024, 1, n + 1, 2, 3, 4.5)"],
    "make_timestamptz": ["make_timestamptz(2024, 1, n + 1, 2, 3, 4.5, 'Europe/Berlin')"],
    "mode": ["mode() WITHIN GROUP (ORDER BY n)"],
    "ntile": ["ntile(2)"],
    "overlaps": ["(day, day + 1) OVERLAPS (date '2024-01-01', day)"],
    "percentile_cont": ["percentile_cont(0.5) WITHIN GROUP (ORDER BY f)"],
    "percentile_disc": ["percentile_disc(0.5) WITHIN GROUP (ORDER BY n)"],
    "timezone": ["timezone('Europe/Berlin', tz)", "timezone('Europe/Berlin', ts)"],
    "to_char": ["to_char(ts, 'YYYY-MM-DD')", "to_char(n, 'FM999')"],
    "to_date": ["to_date(to_char(ts, 'YYYY-MM-DD'), 'YYYY-MM-DD')"],
    "to_timestamp": ["to_timestamp(f)"],
    "unnest": ["unnest(a)"],
    "width_bucket": ["width_bucket(num, 0, 10, 5)"],
}  # fmt: skip
# Aggregates of which Postgres leaves to chance what they return unless rows have an order.
_OF_ORDER = ("array_agg", "string_agg", "json_agg", "jsonb_agg", "json_agg_strict", "jsonb_agg_strict", "any_value")
_FUNCTIONS = """
SELECT proname, prokind::text, provolatile::text, array(
    SELECT typname FROM unnest(proargtypes) WITH ORDINALITY AS a (oid, at) JOIN pg_type USING (oid) ORDER BY at
) FROM pg_proc AS p
WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a', 'w') AND provolatile <> 'v'
    AND prorettype NOT IN ('internal'::regtype, 'cstring'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)
    AND NOT EXISTS (SELECT FROM pg_operator WHERE oprcode = p.oid)
ORDER BY proname, p.oid
"""
_OPERATORS = """
SELECT oprname, l.typname, r.typname FROM pg_operator AS o
    LEFT JOIN pg_type AS l ON l.oid = oprleft JOIN pg_type AS r ON r.oid = oprright
WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprresult <> 0 ORDER BY 1, 2, 3
"""
# Of the server's own affairs, not of values.
_OWN = (
    "pg_",
    "has_",
    "current_",
    "inet_",
    "txid_",
    "binary_upgrade",
    "row_security",
    "acl",
    "makeacl",
    "obj_",
    "to_reg",
    "col_desc",
)


@dataclass(frozen=True)
class Called:
    """A query that calls one function or operator by `name`; its `signature` has the types of its arguments."""

    name: str
    signature: str
    query: str


def calls(origin: Origin) -> Iterator[Called]:
    """All calls that the origin, which has the table, takes."""
    with origin.connect(options="-c TimeZone=UTC") as connection:
        for one in [*_functions(origin), *_operators(origin)]:
            try:
                connection.execute(one.query.encode())
            except psycopg.Error:
                continue
            yield one


def _functions(origin: Origin) -> Iterator[Called]:
    seen: set[str] = set()
    for name, kind, _, types in origin.query(_FUNCTIONS):
        if name.startswith(_OWN) or any(one not in _COLUMNS for one in types):
            continue
        for call in _WORDS.get(name, []) if name not in seen else []:
            yield Called(name, call, _query(call, kind, name))
        seen.add(name)
        for arguments in _arguments(types):
            call = f"{name}({', '.join(arguments)})"
            yield Called(name, f"{name}({', '.join(types)})", _query(call, kind, name))


def _query(call: str, kind: str, name: str) -> str:
    if kind == "w":
        return f"SELECT id, {call} OVER (ORDER BY id) AS r FROM t"
    if kind != "a":
        return f"SELECT id, {call} AS r FROM t"
    if name in _OF_ORDER:
        call = f"{call[:-1]} ORDER BY id)" if name != "any_value" else "any_value(5)"
    return f"SELECT {call} AS r FROM t"


def _operators(origin: Origin) -> Iterator[Called]:
    for name, left, right in origin.query(_OPERATORS):
        if right not in _COLUMNS or (left is not None and left not in _COLUMNS):
            continue
        arguments = _arguments([right] if left is None else [left, right])
        for sides in arguments:
            call = f"{sides[0]} {name} {sides[1]}" if left is not None else f"{name} {sides[0]}"
            yield Called(f"operator {name}", f"{left or ''} {name} {right}", f"SELECT id, ({call}) AS r FROM t")


def _arguments(types: list[str]) -> Iterator[list[str]]:
    """Columns; and a column beside constants."""
    used: dict[str, int] = {}
    columns = []
    for one in types:
        columns.append(_COLUMNS[one][used.get(one, 0) % len(_COLUMNS[one])])
        used[one] = used.get(one, 0) + 1
    yield columns
    if len(types) > 1 and any(one in _CONSTANTS for one in types[1:]):
        yield [columns[0], *(_CONSTANTS.get(one, _COLUMNS[one][0]) for one in types[1:])]
