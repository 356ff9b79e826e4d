"""Bags of rows as SQL: the difference between a table and a query, and a delta applied to a table."""

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
