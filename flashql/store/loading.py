"""Rows from an origin into a new DuckDB table, each column in the narrowest local type that holds all of them.

First every column is cast to the local type it is expected to fit, row by row as it arrives. When a value does
not fit, the table is filled again with the columns in doubt as they come, DuckDB finds the first rung of each ladder
that fits every value, and the columns are converted. Nothing is ever rounded to fit.

A temporary table begins with the columns in doubt as they come: it may be made within a user's transaction, which a
failed attempt would abort.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from flashql.datatypes import LocalType, PgType
from flashql.native import arriving, arriving_type
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
        """The ways to hold it, ever wider, with the SQL over what the source delivers."""
        return arriving(self.type, numeric=self.numeric)

    @property
    def local(self) -> LocalType:
        """The way in use."""
        return self.ladder[self.rung]

    @property
    def in_doubt(self) -> bool:
        """Whether a value may come that does not fit."""
        return len(self.ladder) > 1


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
    with translated():
        if temporary:
            return _fill_as_it_comes(connect, table, kept, sources, temporary)
        try:
            _create(connect(), table, [(column.name, column.local.name) for column in kept], temporary)
            _insert(connect, table, [column.local for column in kept], sources, temporary)
        except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException):
            connect().execute(f"DROP TABLE IF EXISTS {table}")
            return _fill_as_it_comes(connect, table, kept, sources, temporary)
    return kept


def append(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[TargetColumn], sources: Sequence[Source]
) -> None:
    """Add all rows of `sources` to a table that has these columns; nothing fits that does not fit them."""
    with translated():
        _insert(lambda: connection, table, [column.local for column in columns], sources, temporary=True)


def _fill_as_it_comes(
    connect: Callable[[], duckdb.DuckDBPyConnection],
    table: str,
    columns: Sequence[TargetColumn],
    sources: Sequence[Source],
    temporary: bool,
) -> tuple[TargetColumn, ...]:
    """Fill columns in doubt with what arrives, then convert them: no value makes a statement fail."""
    connection = connect()
    come = [LocalType(arriving_type(column.type)) if column.in_doubt else column.local for column in columns]
    named = [(column.name, held.name) for column, held in zip(columns, come, strict=True)]
    _create(connection, table, named, temporary)
    _insert(connect, table, come, sources, temporary)
    kept = _fitted(connection, table, columns)
    changed = {quote(column.name): column.local for column, now in zip(kept, come, strict=True) if column.local != now}
    if temporary:
        for name, to in changed.items():
            connection.execute(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {to.name} USING {to.from_text(name)}")
    elif changed:
        # DuckDB cannot replay an ALTER TABLE that calls a function (1 knows no catalog yet, 2 has not loaded all of
        # its functions): the file of a process that was killed would not open any more.
        values = ", ".join(f"{to.from_text(name)} AS {name}" for name, to in changed.items())
        connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * REPLACE ({values}) FROM {table}")
    return kept


def _create(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[tuple[str, str]], temporary: bool
) -> None:
    body = ", ".join(f"{quote(name)} {type_}" for name, type_ in columns) or "c0 INTEGER"
    connection.execute(f"CREATE {'TEMP ' if temporary else ''}TABLE {table} ({body})")


def _insert(
    connect: Callable[[], duckdb.DuckDBPyConnection],
    table: str,
    columns: Sequence[LocalType],
    sources: Sequence[Source],
    temporary: bool,
) -> None:
    values = [column.from_text(f"c{at}") for at, column in enumerate(columns)] or ["c0"]
    rows = f"SELECT {', '.join(values)} FROM flashql_source"
    alone = temporary or len(sources) == 1
    if not alone:
        # Sources that run beside each other need no threads of DuckDB's, which would collect rows uncompressed to keep
        # them in order. It leaves them away where a part of a query has no order to keep, like this empty one.
        rows += f" UNION ALL SELECT {', '.join(['NULL'] * len(values))} FROM generate_series(1, 0)"

    def insert(source: Source) -> None:
        connection = connect()
        with registered(connection, "flashql_source", source()):
            connection.execute(f"INSERT INTO {table} {rows}")

    if alone:
        for source in sources:
            insert(source)
        return
    with ThreadPoolExecutor(len(sources), thread_name_prefix="flashql-load") as pool:
        for done in [pool.submit(insert, source) for source in sources]:
            done.result()


def _fitted(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[TargetColumn]
) -> tuple[TargetColumn, ...]:
    """The columns, those in doubt at the first rung that fits every value that came."""
    kept = [replace(column, rung=0) for column in columns]
    in_doubt = list(range(len(kept)))
    # Nearly always the first rung fits, so one look at the table does.
    while in_doubt := [at for at in in_doubt if kept[at].rung < len(kept[at].ladder) - 1]:
        fits = ", ".join(f"bool_and({kept[at].local.fits(quote(kept[at].name))})" for at in in_doubt)
        row = connection.execute(f"SELECT {fits} FROM {table}").fetchone()
        assert row is not None
        in_doubt = [at for at, fit in zip(in_doubt, row, strict=True) if fit is False]
        for at in in_doubt:
            kept[at] = replace(kept[at], rung=kept[at].rung + 1)
    return tuple(kept)
