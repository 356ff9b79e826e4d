"""Bags of rows as SQL: the difference between a table and a query, a delta applied to a table, and rows by rowid."""

from __future__ import annotations

from collections.abc import Sequence

from flashql.planner.steps import WEIGHT, compares_vaguely
from flashql.quoting import quote

Columns = Sequence[tuple[str, str]]  # name and type


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


def exact(expression: str, kind: str) -> str:
    """An expression that is equal exactly when the value is."""
    return f"CAST({expression} AS VARCHAR)" if compares_vaguely(kind) else expression


def rowid_among(ids: str) -> str:
    """A condition on a table's rowid: that it is among the ids which a query with one column `id` returns.

    DuckDB 2.0 pushes `rowid IN (query)` into the table's scan as a Bloom filter. Where a vector has deleted rows, that
    reads other rowids than its own: rows are passed over, or the process ends. It pushes no filter on what is computed.

    >>> rowid_among("SELECT 1 AS id")
    '-rowid IN (SELECT -id FROM (SELECT 1 AS id))'
    """
    return f"-rowid IN (SELECT -id FROM ({ids}))"
