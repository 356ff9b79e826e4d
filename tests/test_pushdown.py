"""What is fetched for an outer query: the expected SQL, and that the outer query gives the same over it.

Every golden pair of `sql/spec/pushdown`, and queries of a seeded generator, run twice in DuckDB: over whole copies of
the tables, and over what the pushed SQL fetched from Postgres in their place.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb
import psycopg
import pytest
from psycopg import sql

from flashql.catalog import Column
from flashql.datatypes import PgType, ladder
from flashql.planner.pushdown import Fetch, push_down, render
from tests.fix_postgres import with_database
from tests.seeds import seeded
from tests.spec_pairs import pairs

MOOD = 50000
UUID_TEXT = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def _column(name: str, oid: int, collation: str | None = None, typmod: int = -1, kind: str = "b") -> Column:
    return Column(name, PgType(oid, typmod, name, kind), collation=collation)


VIEWS: dict[str, dict[str, Column]] = {
    "shop.customers": {
        column.name: column
        for column in (
            _column("id", 23),
            _column("name", 25, "en_US.UTF-8"),
            _column("email", 25, "C"),
            _column("code", 1043),
            _column("pad", 1042, typmod=9),
            _column("active", 16),
            _column("score", 701),
            _column("price", 1700, typmod=(10 << 16 | 2) + 4),
            _column("total", 1700),
            _column("born", 1082),
            _column("seen", 1114),
            _column("changed", 1184),
            _column("ref", 2950),
            _column("mood", MOOD, kind="e"),
            _column("doc", 3802),
        )
    },
    "shop.orders": {
        column.name: column
        for column in (
            _column("id", 20),
            _column("customer_id", 23),
            _column("amount", 1700, typmod=(10 << 16 | 2) + 4),
            _column("status", 25, "default"),
        )
    },
}
QUERIES = {"shop.customers": "TABLE customers", "shop.orders": "SELECT * FROM orders"}
SETUP = """
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TABLE customers (id int, name text, email text COLLATE "C", code varchar(6), pad char(5),
        active bool, score float8, price numeric(10,2), total numeric, born date, seen timestamp, changed timestamptz,
        ref uuid, mood mood, doc jsonb);
    CREATE TABLE orders (id bigint, customer_id int, amount numeric(10,2), status text);
"""
VALUES: dict[str, list[Any]] = {
    "name": ["a", "b", "B", "a_b", "a%", "a\\b", "É", "", "ab", "a\\%"],
    "email": ["a", "B", "b", "é", "", "Z"],
    "code": ["a", "b", "c", "A"],
    "pad": ["ab", "", "abcde"],
    "active": [True, False],
    "score": [0, 1.5, 2.5, "NaN", "-Infinity", 0.1],
    "price": ["0", "1.00", "2.50", "-1.5", "99999999.99"],
    "total": ["1", "1.5", "100.25", "0.1"],
    "born": ["2000-01-01", "2024-02-29", "1985-06-15", "infinity", "1999-12-31"],
    "seen": ["2000-01-01 12:00:00", "2024-02-29 23:59:59.999999", "-infinity", "1999-12-31"],
    "changed": ["2024-01-01 00:00:00+00", "2023-12-31 23:00:00+00", "infinity"],
    "ref": [UUID_TEXT, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "mood": ["sad", "ok", "happy"],
    "doc": ['{"a": 1}', "[]"],
    "customer_id": list(range(1, 30)),
    "amount": ["1.00", "5.00", "5.01", "10.50"],
    "status": ["paid", "open", "Paid"],
}


def shown(outer: str) -> list[str]:
    """What is fetched for an outer query, one line each."""
    fetches = push_down(outer, VIEWS)
    return [" ".join(render(f, QUERIES[f.relation_id], '"{}"'.format).split()) for f in fetches]


class Shop:
    """The views' rows in Postgres, and whole copies of them in DuckDB."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.postgres = connection
        self.postgres.execute(SETUP.encode())
        self.local = duckdb.connect()
        self.local.execute("SET TimeZone = 'UTC'; CREATE SCHEMA shop; CREATE SCHEMA fetched")
        chosen = random.Random(11)
        for relation_id, columns in VIEWS.items():
            marks = ", ".join(["%s"] * len(columns))
            for key in range(1, 41):
                row = [key, *(self._value(chosen, name) for name in columns if name != "id")]
                statement = f"INSERT INTO {relation_id.removeprefix('shop.')} VALUES ({marks})"
                self.postgres.execute(statement.encode(), row)
            query = f"SELECT {', '.join(map(_as_text, columns))} FROM ({QUERIES[relation_id]}) AS v"
            self.load(relation_id, columns, query)

    @staticmethod
    def _value(chosen: random.Random, name: str) -> object:
        return None if chosen.random() < 0.15 else chosen.choice(VALUES[name])

    def load(self, table: str, columns: Mapping[str, Column], query: str) -> None:
        """Make a local table of a query at the origin that selects texts."""
        rows = self.postgres.execute(query.encode()).fetchall()
        names = ", ".join(f'"{name}" VARCHAR' for name in columns)
        self.local.execute(f"CREATE OR REPLACE TEMP TABLE texts ({names})")
        if rows:
            self.local.executemany(f"INSERT INTO texts VALUES ({', '.join('?' * len(columns))})", rows)
        quoted = {f'"{name}"': column for name, column in columns.items()}
        reads = [f"{ladder(c.type)[0].from_text(name)} AS {name}" for name, c in quoted.items()]
        self.local.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT {', '.join(reads)} FROM texts")

    def fetch(self, fetch: Fetch, number: int) -> str:
        """Fetch what was asked for into a table; its name."""
        table = f"fetched.f{number}"
        query = render(fetch, QUERIES[fetch.relation_id], _as_text)
        if fetch.columns:
            columns = VIEWS[fetch.relation_id]
            self.load(table, {name: columns[name] for name in fetch.columns}, query)
            return table
        [(count,)] = self.postgres.execute(query.encode()).fetchall()
        self.local.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT NULL AS nothing FROM range({count})")
        return table

    def over_fetched(self, outer: str, parameters: Any = None) -> str:
        """The outer query with every reference replaced by what was fetched for it."""
        edits = []
        for number, fetch in enumerate(push_down(outer, VIEWS, parameters)):
            table = self.fetch(fetch, number)
            edits.append((fetch.start, fetch.end, table if fetch.has_alias else f'{table} AS "{fetch.alias}"'))
            edits += [(start, end, f'"{fetch.alias}"') for start, end in fetch.qualified]
        for start, end, text in sorted(edits, reverse=True):
            outer = outer[:start] + text + outer[end:]
        return outer

    def check(self, outer: str, parameters: Any = None) -> None:
        """Assert that the outer query gives the same over what is fetched as over everything."""
        expected = self.local.execute(outer, parameters).fetchall()
        replaced = self.over_fetched(outer, parameters)
        found = self.local.execute(replaced, parameters).fetchall()
        if "LIMIT" in outer and "ORDER" not in outer:
            assert len(found) == len(expected), f"{outer}  ->  {replaced}"
        else:
            assert Counter(map(repr, found)) == Counter(map(repr, expected)), f"{outer}  ->  {shown(outer)}"


def _as_text(name: str) -> str:
    # char(n) loses its padding when cast; concatenation keeps what is stored.
    return f"CASE WHEN v.{name} IS NOT NULL THEN format('%s', v.{name}) END" if name == "pad" else f"v.{name}::text"


@pytest.fixture(scope="module")
def shop(postgres_dsn: str) -> Iterator[Shop]:
    name = f"pushdown_{random.SystemRandom().randrange(10**12)}"
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with psycopg.connect(with_database(postgres_dsn, name), autocommit=True) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute(b'CREATE COLLATION "en_US.UTF-8" FROM "C"')
                yield Shop(connection)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize(("outer", "expected"), pairs("pushdown"))
def test_golden_pair(shop: Shop, outer: str, expected: str) -> None:
    assert shown(outer) == ([] if expected == "-" else expected.splitlines())
    shop.check(outer)


def _only(outer: str, parameters: Any = None) -> Fetch:
    [fetch] = push_down(outer, VIEWS, parameters)
    return fetch


@pytest.mark.parametrize(
    ("condition", "value", "pushed"),
    [
        ("id = ?", 3, '"id" = 3'),
        ("id = ?", -3, '"id" = -3'),
        ("id = $1", None, '"id" = NULL'),
        ("name = ?", "it's", "\"name\" = 'it''s'"),
        ("active = ?", True, '"active" = TRUE'),
        ("price > ?", Decimal("1.50"), '"price" > 1.50'),
        ("price > ?", 1.5, None),
        ("score > ?", 1.5, "\"score\" > CAST('1.5' AS DOUBLE PRECISION)"),
        ("born = ?", date(2024, 2, 29), "\"born\" = CAST('2024-02-29' AS DATE)"),
        ("seen < ?", datetime(2024, 2, 29, 1), "\"seen\" < CAST('2024-02-29 01:00:00' AS TIMESTAMP)"),
        (
            "changed < ?",
            datetime(2024, 2, 29, tzinfo=UTC),
            "\"changed\" < CAST('2024-02-29 00:00:00+00' AS TIMESTAMPTZ)",
        ),
        ("changed < ?", datetime(2024, 2, 29), None),
        ("ref = ?", UUID(UUID_TEXT), f"\"ref\" = CAST('{UUID_TEXT}' AS UUID)"),
        ("name = ?", b"bytes", None),
    ],
)
def test_parameter(shop: Shop, condition: str, value: object, pushed: str | None) -> None:
    outer = f"SELECT id FROM shop.customers WHERE {condition}"
    assert _only(outer, [value]).where == pushed
    if not isinstance(value, bytes):
        shop.check(outer, [value])


def test_parameters_are_counted_as_written(shop: Shop) -> None:
    outer = "SELECT ? AS é, id FROM shop.customers WHERE id > ? ORDER BY id LIMIT ? OFFSET ?"
    fetch = _only(outer, ["é", 5, 2, 1])
    assert (fetch.where, fetch.limit) == ('"id" > 5', 3)
    assert outer[fetch.start : fetch.end] == "shop.customers"
    shop.check(outer, ["é", 5, 2, 1])
    named = "SELECT id FROM shop.customers WHERE id > $low LIMIT $n"
    assert _only(named, {"low": 5, "n": 2}).limit == 2
    assert _only(named, {"low": 5}).limit is None
    assert _only(named).where is None


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("CREATE TABLE x AS SELECT name FROM shop.customers WHERE id = 1", ["shop.customers"]),
        ("INSERT INTO shop.orders SELECT * FROM shop.customers", ["shop.customers"]),
        ("COPY (SELECT name FROM shop.customers) TO 'x.csv'", ["shop.customers"]),
        ("COPY shop.customers TO 'x.csv'", ["shop.customers"]),
        ("COPY shop.customers FROM 'x.csv'", []),
        ("UPDATE x SET a = 1 FROM shop.customers WHERE shop.customers.id = x.id", ["shop.customers"]),
        ("DELETE FROM shop.orders", []),
        ("DROP VIEW shop.orders", []),
        ("CREATE VIEW v AS SELECT * FROM shop.customers", []),
        ("SELECT 1; SELECT name FROM shop.customers", ["shop.customers"]),
        ("PIVOT shop.customers ON mood USING count(*)", ["shop.customers"]),
        ("SUMMARIZE shop.orders", ["shop.orders"]),
        ("SELECT * FROM crm.customers, other.orders", []),
        ("SELECT 'shop.customers'", []),
        ("this is not SQL at all", []),
    ],
)
def test_statements(statement: str, read: list[str]) -> None:
    fetches = push_down(statement, VIEWS)
    assert [fetch.relation_id for fetch in fetches] == read
    assert all(statement[f.start : f.end] == f.relation_id for f in fetches)


def test_explanation_is_of_the_statement_explained() -> None:
    for words in ("EXPLAIN", "explain ANALYZE", "EXPLAIN (FORMAT json)"):
        outer = f"{words} SELECT name FROM shop.customers WHERE id = 1"
        fetch = _only(outer)
        assert (fetch.where, outer[fetch.start : fetch.end]) == ('"id" = 1', "shop.customers")


def test_description_fetches_no_rows() -> None:
    assert _only("DESCRIBE shop.customers").limit == 0


def test_column_references_through_the_schema_are_found() -> None:
    outer = "SELECT shop.customers.id, (SELECT shop.customers.name) FROM shop.customers WHERE Shop.Customers.id = 1"
    fetch = _only(outer)
    assert [outer[start:end].lower() for start, end in fetch.qualified] == ["shop.customers"] * 3
    assert fetch.columns == ("id", "name")


@pytest.mark.parametrize(
    ("statement", "found", "alias"),
    [
        ("PREPARE p AS SELECT name FROM shop.customers WHERE id = 1", ["shop.customers"], False),
        ("PRAGMA nothing; SELECT name FROM shop.customers WHERE (", ["shop.customers"], False),
        ('SELECT !! FROM memory."Shop".customers c', ['memory."Shop".customers'], True),
        ("SELECT ) shop.customers.id FROM shop.customers", ["shop.customers"], False),
    ],
)
def test_tokens_do_where_there_is_no_tree(statement: str, found: Sequence[str], alias: bool) -> None:
    fetches = push_down(statement, VIEWS)
    assert [statement[f.start : f.end] for f in fetches] == found
    assert all(f.columns == tuple(VIEWS["shop.customers"]) and f.where is None for f in fetches)
    assert all(f.has_alias is alias for f in fetches)
    if "customers.id" in statement:
        assert [statement[start:end] for start, end in fetches[0].qualified] == ["shop.customers"]


def test_default_schema() -> None:
    fetch = push_down("SELECT name FROM customers", VIEWS, default_schema="shop")[0]
    assert (fetch.alias, fetch.columns) == ("customers", ("name",))
    assert push_down("SELECT !! FROM customers", VIEWS, default_schema="shop")[0].alias == "customers"
    assert push_down("SELECT name FROM customers", VIEWS) == ()


CONDITIONS = [
    "{c}.id > 3", "{c}.id IN (1, 5, 9)", "{c}.name = 'a'", "{c}.name < 'b'", "{c}.name <> 'b'", "{c}.code = 'a'",
    "{c}.code IN ('a', 'B')", "{c}.name LIKE 'a\\%'", "{c}.name NOT LIKE 'a_%'", "{c}.active", "{c}.score >= 1.5",
    "{c}.score < 0.1", "{c}.price = 2.5", "{c}.total > 1", "{c}.born < '2024-02-29'", "{c}.seen >= DATE '2000-01-01'",
    "{c}.changed < '2024-01-01 00:00:00+00'", "{c}.mood = 'ok'", "{c}.mood < 'p'", "{c}.pad = 'ab'", "{c}.email >= 'Z'",
    "{c}.doc IS NULL", "{c}.born IS NULL", "{c}.ref > '00000000-0000-0000-0000-000000000000'", "length({c}.name) = 1",
    "{o}.amount > 5", "{o}.status = 'paid'", "{o}.id BETWEEN 2 AND 30", "{o}.status IS NULL", "{o}.amount <> {c}.price",
    "{o}.id = {c}.id", "{c}.id IS NOT DISTINCT FROM 7", "{c}.active IS NOT TRUE", "{c}.born > {c}.seen",
]  # fmt: skip
JOINS = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"]
KEYS = ["name", "email DESC", "score", "price DESC NULLS FIRST", "born", "seen DESC", "ref", "total", "active", "mood"]


def _condition(chosen: random.Random, c: str, o: str, depth: int = 2) -> str:
    if depth == 0 or chosen.random() < 0.4:
        return chosen.choice(CONDITIONS).format(c=c, o=o)
    left, right = (_condition(chosen, c, o, depth - 1) for _ in range(2))
    return chosen.choice([f"({left} AND {right})", f"({left} OR {right})", f"NOT ({left})", f"{left} AND {right}"])


def _outer(chosen: random.Random) -> str:
    if chosen.random() < 0.4:
        order = f"{chosen.choice(KEYS)}, id"
        tail = chosen.choice([f"ORDER BY {order} LIMIT {chosen.randrange(6)} OFFSET {chosen.randrange(3)}", ""])
        return f"SELECT id, name FROM shop.customers WHERE {_condition(chosen, 'customers', 'customers')} {tail}"
    join = chosen.choice(JOINS)
    on = f"c.id = o.customer_id AND {_condition(chosen, 'c', 'o', 1)}"
    visible = "o" if join not in ("SEMI JOIN", "ANTI JOIN") else "c"
    items = "c.id, o.id" if visible == "o" else "c.id"
    where = _condition(chosen, "c", visible)
    return f"SELECT {items} FROM shop.customers c {join} shop.orders o ON {on} WHERE {where}"


def test_random_queries_agree(shop: Shop) -> None:
    chosen = seeded()
    ran = 0
    for _ in range(120):
        outer = _outer(chosen)
        try:
            shop.local.execute(outer)
        except duckdb.Error:
            continue  # `customers.status` does not exist
        shop.check(outer)
        ran += 1
    assert ran > 50
