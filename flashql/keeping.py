"""The rows of kept views: which relations they come from, in which tables, and as which SQL.

A kept view is a realtime view with rows of its own, in `v<number>` of schema flashql_data. What it reads there is an
origin's copies (a view with an origin), or what other views show and DuckDB's own tables (one without).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import sqlglot
from sqlglot import TokenType, exp

from flashql import errors
from flashql.catalog import CopyState, View
from flashql.quoting import qualified, quote
from flashql.store import DATA_SCHEMA, Store
from flashql.store.copies import copies
from flashql.store.definitions import views
from flashql.store.inputs import inputs
from flashql.store.relations import own_table, realtime_body, shown_tables

_FLEETING_WORDS = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}


@dataclass(frozen=True)
class Kept:
    """A kept view as it is now: the table with its rows, those it is computed from, and its query over them."""

    view: View
    table: str
    inputs: Mapping[str, str | None]
    query: str

    @property
    def tables(self) -> frozenset[str]:
        """The tables of schema flashql_data that its rows are computed from."""
        return frozenset(table for table in self.inputs.values() if table is not None)


def found_inputs(store: Store, view: View) -> dict[str, str | None]:
    """The tables that hold what the view reads, as of now. Raises `ViewNotReady` when one is not there."""
    found: dict[str, str | None] = {}
    if view.origin is not None:
        live = {
            (copy.schema, copy.name): copy.local_table
            for copy in copies(store, view.origin)
            if copy.state is CopyState.LIVE
        }
        for source in view.sources:
            found[qualified(*source.table)] = _there(view, ".".join(source.table), live.get(source.table))
        return found
    shown = shown_tables(store)
    for name in view.reads:
        found[name] = _there(view, name, shown.get(name))
    return found | dict.fromkeys(view.local_tables)


def _there(view: View, name: str, table: str | None) -> str:
    if table is None:
        raise errors.ViewNotReady(f"{view.relation_id} reads {name}, which has no rows here: run db.sync.sync()")
    return table


def view_body(view: View, relations: Mapping[str, str]) -> str:
    """The query of a realtime view, its columns under the view's names.

    `relations` gives, for each table at the origin (qualified, quoted), what stands for it in SQL: a qualified name, or
    a query in parentheses.
    """
    if view.shows_copy:
        (source,) = view.sources
        return realtime_body(view, relations[qualified(*source.table)])
    assert view.local_query is not None
    query = view.local_query
    if view.origin is not None:
        tree = sqlglot.parse_one(query, read="duckdb")
        for table in list(tree.find_all(exp.Table)):
            if table.db:
                stands = sqlglot.parse_one(f"FROM {relations[qualified(table.db, table.name)]}", read="duckdb")
                there = stands.args["from_"].this
                there.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True)))
                table.replace(there)
        query = tree.sql(dialect="duckdb")
    names = ", ".join(quote(column.name) for column in view.columns)
    return f"SELECT * FROM ({query}\n) AS flashql_view({names})"


def local_body(view: View, read: Mapping[str, str | None]) -> str:
    """The view's query over the tables of schema flashql_data that hold what it reads."""
    return view_body(view, {name: qualified(DATA_SCHEMA, table) for name, table in read.items() if table is not None})


def require_repeatable(store: Store, view: View) -> None:
    """Raise `NotSupported` when the query may return other rows over the same rows: now(), random() and their like."""
    fleeting = {
        name
        for (name,) in store.rows(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE stability <> 'CONSISTENT' AND function_name <> 'error'"
        )
    }
    tokens = sqlglot.tokenize(view.query, read="duckdb")
    for token, after in pairwise([*tokens, tokens[0]]):
        name = token.text.lower()
        called = after.token_type is TokenType.L_PAREN and name in fleeting
        if called or name in _FLEETING_WORDS or token.token_type is TokenType.TABLE_SAMPLE:
            raise errors.NotSupported(
                f"{view.relation_id} calls {name}, which returns something else each time",
                hint="Compute it where the view is read, or make it a MATERIALIZED view.",
            )


def kept_views(store: Store) -> list[Kept]:
    """The kept views that follow what they read now, each after those it reads."""
    read, known = inputs(store), views(store)
    found: dict[str, Kept] = {}
    for view in in_order(view for view in known.values() if view.is_kept and view.relation_id in read):
        table = own_table(store, view)
        assert table is not None
        tables = read[view.relation_id]
        found[view.relation_id] = Kept(view, table, tables, local_body(view, tables))
    return list(found.values())


def in_order(chosen: Iterable[View]) -> list[View]:
    """Views so that each comes after those it reads."""
    waiting = {view.relation_id: view for view in chosen}
    ordered: list[View] = []
    while waiting:
        ready = [view for view in waiting.values() if not any(name in waiting for name in view.reads)]
        ordered += ready or list(waiting.values())
        for view in ordered:
            waiting.pop(view.relation_id, None)
    return ordered
