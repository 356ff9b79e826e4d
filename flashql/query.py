"""Answering a SELECT: what origin views it reads is fetched, pushed down as far as possible; DuckDB does the rest.

A reference to an origin view becomes a reference to a temporary table with just the rows and columns the query can
need, as the origin returned them. The rest of the statement stays the user's text, letter for letter.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import duckdb

from flashql.catalog import Column, Persistence, View
from flashql.datatypes import PgType
from flashql.origins.postgres import PostgresOrigin
from flashql.origins.postgres.client import column_sql
from flashql.planner.pushdown import Fetch, push_down, render
from flashql.quoting import quote
from flashql.store import Store, translated
from flashql.store.definitions import views
from flashql.store.loading import TargetColumn, fill

Parameters = Sequence[object] | Mapping[str, object] | None
Origins = Callable[[str], PostgresOrigin]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Fetched:
    """A part of a query that runs at an origin: the view, and the SQL sent there."""

    view: View
    fetch: Fetch
    sql: str


def origin_views(store: Store) -> dict[str, View]:
    """The views that are read at their origin, by relation id."""
    return {name: view for name, view in views(store).items() if view.persistence is Persistence.ORIGIN}


def plan(store: Store, sql: str, parameters: Parameters = None) -> list[Fetched]:
    """What a statement reads at origins, in the order of its text."""
    known = origin_views(store)
    lowered = sql.lower()
    if not any(view.name.lower() in lowered for view in known.values()):
        return []
    columns = {name: _columns(view) for name, view in known.items()}
    return [
        Fetched(known[fetch.relation_id], fetch, origin_sql(known[fetch.relation_id], fetch))
        for fetch in push_down(sql, columns, parameters)
    ]


def _columns(view: View) -> dict[str, Column]:
    return {column.name: Column(column.name, column.pg_type) for column in view.columns if column.pg_type is not None}


def origin_sql(view: View, fetch: Fetch) -> str:
    """The SQL sent to the origin for one reference: the view's query below the pushed-down parts."""
    types = {column.name: column.pg_type for column in view.columns}
    places = {name: at for at, name in enumerate(fetch.columns)}

    def selected(name: str) -> str:
        type_ = types[name]
        assert type_ is not None
        return f"{column_sql(type_, f'v.{quote(name)}')} AS c{places[name]}"

    return render(fetch, named(view), selected)


def named(view: View) -> str:
    """The view's query, its columns under the view's names."""
    names = ", ".join(quote(column.name) for column in view.columns)
    return f"SELECT * FROM ({view.query}\n) AS v ({names})"


def full_sql(view: View) -> str:
    """The SQL that fetches all of a view with an origin, columns named c0, c1, ..."""
    selected = [
        f"{column_sql(column.pg_type, f'v.{quote(column.name)}')} AS c{at}"
        for at, column in enumerate(view.columns)
        if column.pg_type is not None
    ]
    return f"SELECT {', '.join(selected)} FROM ({named(view)}) AS v"


def targets(view: View, names: Sequence[str] | None = None) -> list[TargetColumn]:
    """The local columns that the view's rows (or those columns of them) are loaded into."""
    wanted = None if names is None else set(names)
    return [
        TargetColumn(column.name, column.pg_type, view.numeric)
        for column in view.columns
        if column.pg_type is not None and (wanted is None or column.name in wanted)
    ]


class Preparation:
    """A statement made ready for DuckDB on one connection: `sql` reads the temporary tables just filled."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, sql: str, tables: list[str]) -> None:
        self.sql = sql
        self._connection = connection
        self._tables = tables

    def release_with(self, owner: object) -> None:
        """Drop the temporary tables when `owner` is gone."""
        if self._tables:
            weakref.finalize(owner, _drop, self._connection, self._tables)

    def release(self) -> None:
        """Drop the temporary tables now."""
        _drop(self._connection, self._tables)


def _drop(connection: duckdb.DuckDBPyConnection, tables: list[str]) -> None:
    with suppress(duckdb.Error):  # the connection may be closed, its temporary tables with it
        for table in tables:
            connection.execute(f"DROP TABLE IF EXISTS temp.main.{quote(table)}")


def prepare(
    store: Store, origins: Origins, connection: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters = None
) -> Preparation:
    """Fetch what the statement reads at origins into temporary tables and make it read those.

    Raises an `OriginError` when an origin cannot be read; nothing is left behind then.
    """
    fetched = plan(store, sql, parameters)
    tables: list[str] = []
    edits: list[tuple[int, int, str]] = []
    try:
        for part in fetched:
            table = f"flashql_fetched_{next(_numbers)}"
            tables.append(table)
            _fetch(origins, connection, part, f"temp.main.{quote(table)}")
            reference = f"temp.main.{quote(table)}"
            edits.append(
                (
                    part.fetch.start,
                    part.fetch.end,
                    reference if part.fetch.has_alias else f"{reference} AS {quote(part.fetch.alias)}",
                )
            )
            edits += [(start, end, quote(part.fetch.alias)) for start, end in part.fetch.qualified]
    except BaseException:
        _drop(connection, tables)
        raise
    for start, end, text in sorted(set(edits), reverse=True):
        sql = sql[:start] + text + sql[end:]
    return Preparation(connection, sql, tables)


def _fetch(origins: Origins, connection: duckdb.DuckDBPyConnection, part: Fetched, table: str) -> None:
    assert part.view.origin is not None
    client = origins(part.view.origin).client
    if not part.fetch.columns:
        ((count,),) = client.query(part.sql)
        with translated():
            connection.execute(f"CREATE TEMP TABLE {table} AS SELECT 1 AS c0 FROM range({count})")
        return
    with ExitStack() as stack:
        fill(
            lambda: connection,
            table,
            targets(part.view, part.fetch.columns),
            [lambda: stack.enter_context(client.reader(part.sql))],
            temporary=True,
        )


def describe_local(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[str, str]]:
    """Names and types of a local query's columns; nothing is run."""
    return [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {sql}").fetchall()]


def reads(store: Store, sql: str) -> tuple[str, ...]:
    """The FlashQL views a local query reads, of any persistence."""
    known = {
        name: {column.name: Column(column.name, column.pg_type or PgType(0)) for column in view.columns}
        for name, view in views(store).items()
    }
    return tuple(dict.fromkeys(fetch.relation_id for fetch in push_down(sql, known)))
