"""Statements over Arrow rows, planned once and run for each batch of them.

Planning an INSERT of a few rows takes three times as long as running it. Only for statements whose plan does not
depend on how many rows there are anywhere: one with a join is better planned anew for the sizes it meets.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from weakref import WeakKeyDictionary

import duckdb
import pyarrow as pa

# A connection keeps at most so many: each copy has two, and copies come and go.
_AT_MOST = 64

_numbers = count()
_prepared: WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, _Statement]] = WeakKeyDictionary()


class _Statement:
    """What stands under its name in SQL for the rows of now."""

    def __init__(self, rows: pa.Table) -> None:
        self.number = next(_numbers)
        self.schema = rows.schema
        self.rows: pa.Table | None = rows

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return (self.rows or self.schema.empty_table()).__arrow_c_stream__(requested_schema)


def run_over(connection: duckdb.DuckDBPyConnection, before: str, rows: pa.Table, after: str) -> None:
    """Run, within a transaction, the statement whose text names the rows between `before` and `after`.

    The same text must always come with rows of the same schema.
    """
    known = _prepared.setdefault(connection, {})
    statement = known.get(before + after)
    if statement is None:
        if len(known) == _AT_MOST:
            forget_prepared(connection)
        statement = _Statement(rows)
        name = f"flashql_rows_{statement.number}"
        connection.register(name, statement)
        connection.execute(f"PREPARE flashql_{statement.number} AS {before} {name} {after}")
        known[before + after] = statement
    statement.rows = rows
    try:
        connection.execute(f"EXECUTE flashql_{statement.number}")
    finally:
        statement.rows = None


def forget_prepared(connection: duckdb.DuckDBPyConnection) -> None:
    """Prepare anew from here on: after a rollback, which takes away the names that its transaction made."""
    known = _prepared.get(connection, {})
    for statement in known.values():
        with suppress(duckdb.Error):
            connection.execute(f"DEALLOCATE flashql_{statement.number}")
        with suppress(duckdb.Error):
            connection.unregister(f"flashql_rows_{statement.number}")
    known.clear()
