"""Rows of a query at Postgres and here, compared as multisets: duplicates count, and values are compared exactly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import psycopg
from psycopg.types.string import TextLoader

Connection = psycopg.Connection[tuple[Any, ...]]
_JSON_OIDS = (114, 3802)


class Queryable(Protocol):
    """Whatever runs SQL locally; the result has `description` and `fetchall`."""

    def execute(self, sql: str, /) -> Any:
        """Run one query."""


def differing(oracle: Connection, db: Queryable, query: str, local: str | None = None) -> str | None:
    """How the rows of a query at the origin and here differ as multisets, values compared exactly; None if not."""
    there, names = _fetched(oracle, query)
    result = db.execute(local or query)
    here = [tuple(row) for row in result.fetchall()]
    found = [str(column[0]) for column in result.description or ()]
    if found != names:
        return f"columns {found}, where the origin has {names}"
    expected, got = Counter(map(comparable, there)), Counter(map(comparable, here))
    if expected == got:
        return None
    lacking, surplus = expected - got, got - expected
    return f"{lacking.total()} rows lack: {list(lacking)[:4]}; {surplus.total()} are too many: {list(surplus)[:4]}"


def _fetched(oracle: Connection, query: str) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Rows and names of columns; documents are the text that Postgres prints."""
    cursor = oracle.cursor()
    for oid in _JSON_OIDS:
        cursor.adapters.register_loader(oid, TextLoader)
    cursor.execute(query.encode())
    assert cursor.description is not None
    return cursor.fetchall(), [one.name for one in cursor.description]


def comparable(row: Sequence[Any]) -> tuple[Any, ...]:
    """A row as something hashable that is equal exactly when the row is."""
    return tuple(map(_value, row))


def _value(value: Any) -> Any:
    """The value as something hashable that is equal exactly when the value is; 1 is no true."""
    match value:
        case bool():
            return ("boolean", value)
        case list() | tuple():
            return tuple(map(_value, value))
        case dict():
            return frozenset((key, _value(one)) for key, one in value.items())
        case memoryview() | bytearray():
            return bytes(value)
        case float():
            return value if value and not math.isnan(value) else str(value)  # NaN is equal to itself, 0 is not -0
    return value
