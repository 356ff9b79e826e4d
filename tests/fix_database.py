"""Local databases for tests, and the comparison every test of replication ends with."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.fix_postgres import Origin


class Queryable(Protocol):
    """Whatever runs SQL locally: a FlashQL database, one of its cursors, a DuckDB connection."""

    def execute(self, sql: str, /) -> Any:
        """Run one query; the result has fetchall()."""


@pytest.fixture
def database_path(tmp_path: Path) -> str:
    """Where a test's database file goes; there is none yet."""
    return str(tmp_path / "local.duckdb")


def same_rows(origin: Origin, db: Queryable, query_origin: str, query_local: str | None = None) -> None:
    """Assert that a query at the origin and one over its local view return the same rows, in any order.

    `query_local` is `query_origin` when left out. Duplicates count. A NaN equals a NaN here.
    """
    there = _counted(origin.query(query_origin))
    here = _counted(db.execute(query_local or query_origin).fetchall())
    missing, surplus = there - here, here - there
    assert not missing, f"{missing.total()} rows lack locally, like {_few(missing)}; surplus: {_few(surplus)}"
    assert not surplus, f"{surplus.total()} rows are only local, like {_few(surplus)}"


def _counted(rows: list[tuple[Any, ...]]) -> Counter[Any]:
    return Counter(_comparable(row) for row in rows)


def _comparable(value: Any) -> Any:
    """The value as something hashable that is equal exactly when the value is."""
    match value:
        case list() | tuple():
            return tuple(_comparable(item) for item in value)
        case dict():
            return frozenset((key, _comparable(item)) for key, item in value.items())
        case memoryview() | bytearray():
            return bytes(value)
        case float() if math.isnan(value):
            return "NaN"
        case _:
            return value


def _few(rows: Counter[Any]) -> list[Any]:
    return list(rows)[:5]
