"""Statements that run in every batch, parsed once: of a short one, parsing is up to a third of what it takes."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import duckdb

# About twenty bytes for each of a statement's text: some 50 MB, when all are long.
_MOST = 2048

_known: WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, duckdb.Statement]] = WeakKeyDictionary()


def repeated(
    writer: duckdb.DuckDBPyConnection, sql: str, parameters: list[int] | None = None
) -> duckdb.DuckDBPyConnection:
    """Run a statement whose text comes again and again. DuckDB plans it each time, for what tables hold by then.

    What it is parsed to belongs to the connection, for some settings are in it.
    """
    kept = _known.setdefault(writer, {})
    statement = kept.get(sql)
    if statement is None:
        (statement,) = writer.extract_statements(sql)
        if len(kept) >= _MOST:
            kept.clear()
        kept[sql] = statement
    return writer.execute(statement, parameters)
