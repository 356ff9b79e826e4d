"""Answering a SELECT: what origin views it reads is fetched, pushed down as far as possible; DuckDB does the rest.

A reference to an origin view becomes a reference to a temporary table with just the rows and columns the query can
need, as the origin returned them. The rest of the statement stays the user's text, letter for letter. A view of
DuckDB's own that reads origin views becomes a temporary view over what its own text fetches.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import duckdb

from flashql.catalog import Column, Persistence, View
from flashql.datatypes import PgType
from flashql.ddl import CreateView, parse_script
from flashql.origins.postgres import PostgresOrigin
from flashql.origins.postgres.client import column_sql
from flashql.planner.pushdown import Fetch, push_down, render
from flashql.quoting import fold, quote
from flashql.store import Store, translated
from flashql.store.definitions import views
from flashql.store.loading import TargetColumn, fill

Parameters = Sequence[object] | Mapping[str, object] | None
Origins = Callable[[str], PostgresOrigin]

_numbers = itertools.count(1)

# Words after which a table is named without an alias.
_TAKES_NO_ALIAS = (["TABLE"], ["COPY"], ["SUMMARIZE"], ["DESCRIBE"], ["SHOW"])


@dataclass(frozen=True)
class Fetched:
    """A part of a query that runs at an origin: the view, and the SQL sent there."""

    view: View
    fetch: Fetch
    sql: str


@dataclass(frozen=True)
class Through:
    """A reference to a view of DuckDB's own, and what that view's text reads at origins."""

    fetch: Fetch
    definition: CreateView
    parts: tuple[Part, ...]


Part = Fetched | Through


def origin_views(store: Store) -> dict[str, View]:
    """The views that are read at their origin, by relation id."""
    return {name: view for name, view in views(store).items() if view.persistence is Persistence.ORIGIN}


def duckdb_views(store: Store) -> dict[str, CreateView]:
    """DuckDB's own views in this file, by relation id: those that are not FlashQL's."""
    ours = views(store)
    found: dict[str, CreateView] = {}
    for schema, name, sql in store.rows(
        "SELECT schema_name, view_name, sql FROM duckdb_views() "
        "WHERE NOT internal AND NOT temporary AND database_name = current_database()"
    ):
        if f"{schema}.{name}" not in ours:
            (statement,) = parse_script(sql) or (None,)
            if isinstance(statement, CreateView):
                found[f"{schema}.{name}"] = statement
    return found


def plan(store: Store, sql: str, parameters: Parameters = None, default_schema: str = "main") -> list[Fetched]:
    """What a statement reads at origins, in the order of its text; also by way of DuckDB's own views."""
    return list(_flat(_parts(store, sql, parameters, default_schema)))


def _flat(parts: Iterable[Part]) -> Iterator[Fetched]:
    for part in parts:
        if isinstance(part, Fetched):
            yield part
        else:
            yield from _flat(part.parts)


def _parts(store: Store, sql: str, parameters: Parameters, default_schema: str) -> tuple[Part, ...]:
    at_origins = origin_views(store)
    if not at_origins:
        return ()
    own = duckdb_views(store)
    columns = {name: _columns(view) for name, view in at_origins.items()}

    def parts(text: str, values: Parameters, schema: str, within: tuple[str, ...]) -> tuple[Part, ...]:
        found: list[Part] = []
        if _mentions(text, at_origins):
            for fetch in push_down(text, columns, values, schema):
                view = at_origins[fetch.relation_id]
                found.append(Fetched(view, fetch, origin_sql(view, fetch)))
        if _mentions(text, own):
            for fetch in push_down(text, {name: {} for name in own}, None, schema):
                name = fetch.relation_id
                if name in within or fetch.limit == 0:  # LIMIT 0: only its columns are asked for
                    continue
                inner = parts(own[name].query, None, name.split(".")[0], (*within, name))
                if inner:
                    found.append(Through(fetch, own[name], inner))
        return tuple(sorted(found, key=lambda part: part.fetch.start))

    return parts(sql, parameters, default_schema, ())


def _mentions(sql: str, names: Iterable[str]) -> bool:
    """Whether the text can name one of these relations: parsing it is only worth while then."""
    lowered = fold(sql).replace('""', '"')  # as quoted names spell a quote
    return any(fold(name.rsplit(".", 1)[-1]).replace('""', '"') in lowered for name in names)


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


class Scratch:
    """The temporary tables and views that one connection's statements read.

    They are dropped before the connection's next statement, not when their reader is gone: dropping one would end
    a result that is being read.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._stale: deque[tuple[str, str]] = deque()  # (kind, name); appended by any thread that collects garbage

    def release(self, made: Iterable[tuple[str, str]]) -> None:
        """Nothing can read these any more."""
        self._stale.extend(made)

    def clear(self) -> None:
        """Drop what nothing can read any more."""
        while self._stale:
            kind, name = self._stale.popleft()
            with suppress(duckdb.Error):  # a transaction rolled back, and they with it
                self.connection.execute(f"DROP {kind} IF EXISTS {name}")


class Preparation:
    """A statement made ready for DuckDB on one connection: `sql` reads what was just fetched."""

    def __init__(self, scratch: Scratch, sql: str, made: list[tuple[str, str]]) -> None:
        self.sql = sql
        self.made = made
        self._scratch = scratch

    def held_by(self, variable: str) -> str:
        """The statement, reading also a Python variable: relations made of it keep that alive."""
        name = next((name for _, name in self.made if name in self.sql), None)
        if name is None:
            return self.sql
        return self.sql.replace(name, f"(SELECT * FROM {name} WHERE NOT EXISTS (FROM {variable}))", 1)

    def release(self) -> None:
        """The statement is done: drop what it read before the connection's next."""
        self._scratch.release(self.made)

    def release_with(self, owner: object) -> None:
        """Drop what the statement reads some time after `owner` is gone."""
        if self.made:
            weakref.finalize(owner, self._scratch.release, self.made)


def prepare(
    store: Store,
    origins: Origins,
    scratch: Scratch,
    sql: str,
    parameters: Parameters = None,
    default_schema: str = "main",
) -> Preparation:
    """Fetch what the statement reads at origins into temporary tables and make it read those.

    Raises an `OriginError` when an origin cannot be read; nothing is left behind then.
    """
    scratch.clear()
    made: list[tuple[str, str]] = []
    try:
        sql = _made_local(origins, scratch.connection, sql, _parts(store, sql, parameters, default_schema), made)
    except BaseException:
        scratch.release(made)
        scratch.clear()
        raise
    return Preparation(scratch, sql, made)


def _made_local(
    origins: Origins,
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parts: Iterable[Part],
    made: list[tuple[str, str]],
) -> str:
    """The text with its references to origin views replaced by what is made here; views before what they read."""
    edits: list[tuple[int, int, str]] = []
    for part in parts:
        name = f"temp.main.{quote(f'flashql_fetched_{next(_numbers)}')}"
        if isinstance(part, Fetched):
            made.append(("TABLE", name))
            _fetch(origins, connection, part, name)
        else:
            made.insert(0, ("VIEW", name))
            body = _made_local(origins, connection, part.definition.query, part.parts, made)
            columns = ", ".join(quote(column) for column in part.definition.columns)
            connection.execute(f"CREATE TEMP VIEW {name} {f'({columns}) ' if columns else ''}AS {body}")
        fetch = part.fetch
        before = sql[: fetch.start].rsplit(None, 1)[-1:]
        aliasable = not fetch.has_alias and [word.upper() for word in before] not in _TAKES_NO_ALIAS
        reference = f"{name} AS {quote(fetch.alias)}" if aliasable else name
        edits.append((fetch.start, fetch.end, reference))
        edits += [(start, end, quote(fetch.alias)) for start, end in fetch.qualified]
    for start, end, text in sorted(set(edits), reverse=True):
        sql = sql[:start] + text + sql[end:]
    return sql


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


def reads(store: Store, sql: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The FlashQL views of any persistence, and DuckDB's own tables, that a local query reads.

    Also by way of DuckDB's own views.
    """
    own, ours = duckdb_views(store), views(store)
    known = {
        name: {column.name: Column(column.name, column.pg_type or PgType(0)) for column in view.columns}
        for name, view in ours.items()
    }
    known |= {name: {} for name in own} | {name: {} for name in local_tables(store)}
    found: dict[str, None] = {}
    waiting, seen = [(sql, "main")], set()
    while waiting:
        text, schema = waiting.pop()
        for name in (fetch.relation_id for fetch in push_down(text, known, None, schema)):
            if name not in own:
                found[name] = None
            elif name not in seen:
                seen.add(name)
                waiting.append((own[name].query, name.split(".")[0]))
    return tuple(name for name in found if name in ours), tuple(name for name in found if name not in ours)


def local_tables(store: Store) -> list[str]:
    """DuckDB's own tables in this file, by relation id: those of users."""
    rows = store.rows(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary "
        "AND database_name = current_database() AND schema_name NOT IN ('flashql', 'flashql_data')"
    )
    return [name for (name,) in rows]
