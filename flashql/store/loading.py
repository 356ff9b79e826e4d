"""Rows from an origin into a new DuckDB table, each column in the narrowest local type that holds all of them.

First every column is cast to the local type it is expected to fit, row by row as it arrives. When a value does
not fit, the table is filled again with the columns in doubt as text, DuckDB finds the first rung of each ladder
that fits every value, and the columns are converted. Nothing is ever rounded to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from flashql.datatypes import LocalType, PgType, is_native, ladder
from flashql.quoting import quote
from flashql.store.duck import registered, translated

# A source opens a reader of Arrow batches with columns c0, c1, ... in the order of the target's columns.
Source = Callable[[], pa.RecordBatchReader]


@dataclass(frozen=True)
class TargetColumn:
    """A column to fill: its name, the origin's type, and the rung of its ladder to begin with."""

    name: str
    type: PgType
    numeric: str = "auto"
    rung: int = 0

    @property
    def ladder(self) -> tuple[LocalType, ...]:
        """The ways to hold it, ever wider."""
        return ladder(self.type, numeric=self.numeric)

    @property
    def local(self) -> LocalType:
        """The way in use."""
        return self.ladder[self.rung]

    def from_source(self, expression: str) -> str:
        """SQL that turns what the source delivers into the local type."""
        return expression if is_native(self.type) else self.local.from_text(expression)


def fill(
    connect: Callable[[], duckdb.DuckDBPyConnection],
    table: str,
    columns: Sequence[TargetColumn],
    sources: Sequence[Source],
    *,
    temporary: bool = False,
) -> tuple[TargetColumn, ...]:
    """Create `table` (a qualified, quoted name) with all rows of `sources`; returns the columns as held.

    `connect` gives a connection to fill it by: one per source, all at once (a temporary table lives in one
    connection: then `connect` must return that one, and sources are read one after another).
    """
    kept = tuple(columns)
    try:
        _create(connect(), table, kept, temporary)
        _insert(connect, table, kept, sources, temporary)
    except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException):
        as_text = tuple(replace(column, rung=len(column.ladder) - 1) for column in kept)
        connection = connect()
        with translated():
            connection.execute(f"DROP TABLE IF EXISTS {table}")
            _create(connection, table, as_text, temporary)
            _insert(connect, table, as_text, sources, temporary)
            kept = tuple(_narrowed(connection, table, column) for column in as_text)
            for column in kept:
                convert(connection, table, column)
    except duckdb.Error as error:
        with translated():
            raise error
    return kept


def _create(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[TargetColumn], temporary: bool
) -> None:
    body = ", ".join(f"{quote(column.name)} {column.local.name}" for column in columns) or "c0 INTEGER"
    connection.execute(f"CREATE {'TEMP ' if temporary else ''}TABLE {table} ({body})")


def _insert(
    connect: Callable[[], duckdb.DuckDBPyConnection],
    table: str,
    columns: Sequence[TargetColumn],
    sources: Sequence[Source],
    temporary: bool,
) -> None:
    values = ", ".join(column.from_source(f"c{at}") for at, column in enumerate(columns)) or "c0"

    def insert(source: Source) -> None:
        connection = connect()
        with registered(connection, "flashql_source", source()):
            connection.execute(f"INSERT INTO {table} SELECT {values} FROM flashql_source")

    if temporary or len(sources) == 1:
        for source in sources:
            insert(source)
        return
    with ThreadPoolExecutor(len(sources), thread_name_prefix="flashql-load") as pool:
        for done in [pool.submit(insert, source) for source in sources]:
            done.result()


def _narrowed(connection: duckdb.DuckDBPyConnection, table: str, column: TargetColumn) -> TargetColumn:
    """The column at the first rung that fits every value of its text."""
    rungs = column.ladder[:-1]
    if not rungs:
        return column
    fits = ", ".join(f"bool_and({rung.fits(quote(column.name))})" for rung in rungs)
    row = connection.execute(f"SELECT {fits} FROM {table}").fetchone()
    assert row is not None
    found = next((at for at, fit in enumerate(row) if fit is not False), len(rungs))
    return replace(column, rung=found)


def convert(connection: duckdb.DuckDBPyConnection, table: str, column: TargetColumn) -> None:
    """Turn the column's text, in place, into the local type of its rung."""
    if column.rung < len(column.ladder) - 1:
        name = quote(column.name)
        connection.execute(
            f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {column.local.name} USING {column.local.from_text(name)}"
        )
