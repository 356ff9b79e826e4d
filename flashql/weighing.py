"""Bags of rows as SQL: the difference between a table and a query, and a delta applied to a table."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from flashql.deltas import WEIGHT, Delta
from flashql.quoting import qualified, quote
from flashql.store import DATA_SCHEMA
from flashql.store.relations import described

Columns = Sequence[tuple[str, str]]  # name and type


def difference(writer: duckdb.DuckDBPyConnection, query: str, delta: Delta) -> None:
    """Make the delta what its table lacks of a query with the same columns, and has beyond it."""
    table = qualified(DATA_SCHEMA, delta.table)
    columns = described(writer, f"FROM {table}")
    names = ", ".join(quote(name) for name, _ in columns)
    writer.execute(
        f"CREATE OR REPLACE TEMP TABLE {quote(f'delta_{delta.table}')} AS "
        + consolidated(
            columns, f"SELECT {names}, 1 AS {WEIGHT} FROM ({query}) UNION ALL SELECT {names}, -1 FROM {table}"
        )
    )


def consolidated(columns: Columns, weighted: str) -> str:
    """The rows of a relation with weights, those that cancel left out: each with weight 1 or -1, as often as it is."""
    names = [quote(name) for name, _ in columns]
    kept = ", ".join(
        f"any_value({name}) AS {name}" if compares_vaguely(kind) else name
        for name, (_, kind) in zip(names, columns, strict=True)
    )
    exactly = ", ".join(exact(name, kind) for name, (_, kind) in zip(names, columns, strict=True))
    return (
        f"SELECT {', '.join(names)}, sign({WEIGHT})::TINYINT AS {WEIGHT} "
        f"FROM (SELECT {kept}, sum({WEIGHT}) AS {WEIGHT} "
        f"FROM ({weighted}) GROUP BY {exactly} HAVING sum({WEIGHT}) <> 0), range(abs({WEIGHT})::BIGINT)"
    )


def apply_delta(writer: duckdb.DuckDBPyConnection, delta: Delta) -> bool:
    """Delete from the delta's table what left, insert what arrived; whether that is anything."""
    left, arrived = delta.rows()
    table = qualified(DATA_SCHEMA, delta.table)
    columns = described(writer, f"FROM {table}")
    if left:
        writer.execute(f"DELETE FROM {table} WHERE rowid IN ({_leaving(table, columns, delta)})")
    if arrived:
        names = ", ".join(quote(name) for name, _ in columns)
        writer.execute(f"INSERT INTO {table} SELECT {names} FROM {delta.name} WHERE {WEIGHT} > 0")
    return bool(left or arrived)


def _leaving(table: str, columns: Columns, delta: Delta) -> str:
    """The rowids of as many rows of the table as the delta has of each that left."""
    keys = ", ".join(f"{exact(quote(name), kind)} AS k{at}" for at, (name, kind) in enumerate(columns))
    groups = ", ".join(f"k{at}" for at in range(len(columns)))
    same = " AND ".join(
        f"{exact(f't.{quote(name)}', kind)} IS NOT DISTINCT FROM d.k{at}" for at, (name, kind) in enumerate(columns)
    )
    return (
        f"SELECT id FROM (SELECT t.rowid AS id, d.many, row_number() OVER (PARTITION BY d.nth) AS k FROM {table} AS t "
        f"JOIN (SELECT {groups}, count(*) AS many, row_number() OVER () AS nth FROM (SELECT {keys} FROM {delta.name} "
        f"WHERE {WEIGHT} < 0) GROUP BY {groups}) AS d ON {same}) WHERE k <= many"
    )


def exact(expression: str, kind: str) -> str:
    """An expression that is equal exactly when the value is."""
    return f"CAST({expression} AS VARCHAR)" if compares_vaguely(kind) else expression


def compares_vaguely(kind: str) -> bool:
    """Whether DuckDB holds different values of a type for equal: 30 days and 1 month, 0 and -0."""
    return any(vague in kind for vague in ("INTERVAL", "FLOAT", "DOUBLE"))
