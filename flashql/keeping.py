"""The rows of kept views: which relations they come from, in which tables, and as which SQL.

A kept view is a realtime view with rows of its own, in `v<number>` of schema flashql_data. What it reads there is an
origin's copies (a view with an origin), or what other views show and DuckDB's own tables (one without).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import duckdb
import sqlglot
from sqlglot import TokenType, exp, serde

from flashql import errors
from flashql.catalog import CopyState, Persistence, Table, View, ViewColumn
from flashql.datatypes import ladder
from flashql.expanding import expanded
from flashql.planner.blocks import Recomputed, sql
from flashql.planner.reasons import reason
from flashql.planner.splitting import shown_sql, split
from flashql.planner.steps import WEIGHT, Step, Steps
from flashql.quoting import fold, local_name, qualified, quote
from flashql.store import DATA_SCHEMA, Store
from flashql.store.copies import copies, live_tables
from flashql.store.definitions import views
from flashql.store.inputs import inputs
from flashql.store.relations import described, realtime_body, shown_tables, uncomputable
from flashql.store.steps import StepRow, first_tables

_log = logging.getLogger(__name__)

_FLEETING_WORDS = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}


@dataclass(frozen=True)
class Followed:
    """A kept view that follows what it reads: the tables that hold that, and the first table of its own."""

    view: View
    inputs: Mapping[str, str | None]
    prefix: str

    @property
    def tables(self) -> frozenset[str]:
        """The tables of schema flashql_data that its rows are computed from."""
        return frozenset(table for table in self.inputs.values() if table is not None)

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for what is computed in the same way."""
        return self.view.relation_id, self.view.local_query, tuple(sorted(self.inputs.items())), self.prefix


def found_inputs(store: Store, view: View, shown: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """The tables that hold what the view reads, as of now. Raises `ViewNotReady` when one is not there.

    `shown` has the table that each view shows, where the caller knows them.
    """
    found: dict[str, str | None] = {}
    if view.origin is not None:
        live = live_tables(store, view.origin)
        for source in view.sources:
            found[qualified(*source.table)] = _there(view, ".".join(source.table), live.get(view.copy_of(source)))
        return found
    shown = shown_tables(store) if shown is None else shown
    for name in view.reads:
        found[name] = _there(view, name, shown.get(name))
    return found | dict.fromkeys(view.local_tables)


def _there(view: View, name: str, table: str | None) -> str:
    if table is None:
        raise errors.ViewNotReady(f"{view.relation_id} reads {name}, which has no rows here: run db.sync.sync()")
    return table


def require_computable(store: Store, view: View) -> None:
    """Raise `ViewBroken` where a copy that the view reads holds a column in another way than it can compute from."""
    held = {copy.of: copy for copy in copies(store, view.origin) if copy.state is CopyState.LIVE} if view.origin else {}
    for source in view.sources:
        copy = held.get(view.copy_of(source))
        advice = uncomputable(source, copy) if copy is not None else None
        if advice is not None:
            raise errors.ViewBroken(view.relation_id, f"it {advice}")
        if copy is not None and any(fold(kept.local_name) == WEIGHT for kept in copy.columns):
            raise errors.ViewBroken(view.relation_id, f"it reads a table with {_TAKEN}")


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
        tree = _tree(view)
        for table in list(tree.find_all(exp.Table)):
            if table.db:
                stands = sqlglot.parse_one(f"FROM {relations[qualified(table.db, table.name)]}", read="duckdb")
                there = stands.args["from_"].this
                there.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True)))
                table.replace(there)
        query = tree.sql(dialect="duckdb")
    names = ", ".join(quote(column.name) for column in view.columns)
    return f"SELECT * FROM ({query}\n) AS flashql_view({names})"


def computed_columns(writer: duckdb.DuckDBPyConnection, view: View, tables: Sequence[Table]) -> tuple[ViewColumn, ...]:
    """The view's columns with the types DuckDB gives its expressions over the copies' types."""
    if view.origin is None:
        return view.columns
    empty: dict[str, str] = {}
    for source, table in zip(view.sources, tables, strict=True):
        held = {name: ladder(table.column(name).type, numeric=view.numeric)[0].name for name in source.columns}
        nulls = ", ".join(f"CAST(NULL AS {kind}) AS {quote(local_name(name))}" for name, kind in held.items())
        empty[qualified(*source.table)] = f"(SELECT {nulls})"
    try:
        found = described(writer, view_body(view, empty))
    except duckdb.Error as error:
        raise errors.NotSupported(
            f"{view.relation_id} cannot be kept locally: {str(error).splitlines()[0]}",
            hint="Simplify the expression, or make it a MATERIALIZED view.",
        ) from error
    return tuple(replace(column, local_type=kind) for column, (_, kind) in zip(view.columns, found, strict=True))


def _tree(view: View) -> exp.Query:
    assert view.local_tree is not None
    tree = serde.load(json.loads(view.local_tree))
    assert isinstance(tree, exp.Query)
    return tree


def local_body(view: View, read: Mapping[str, str | None]) -> str:
    """The view's query over the tables of schema flashql_data that hold what it reads."""
    return view_body(view, {name: qualified(DATA_SCHEMA, table) for name, table in read.items() if table is not None})


def _require_free_names(view: View, tree: exp.Query) -> None:
    """Raise `ViewBroken` where a column is named as deltas name one of theirs."""
    if any(fold(one.name) == WEIGHT for one in tree.find_all(exp.Identifier)):
        raise errors.ViewBroken(view.relation_id, f"it has {_TAKEN}")


def planned(cursor: duckdb.DuckDBPyConnection, view: View, read: Mapping[str, str | None], prefix: str) -> Steps:
    """The steps of a view over what it reads; their tables' names begin with `prefix`. `cursor` describes queries.

    Where the planner fails, the view is computed anew each time: that costs time, and its rows are right. Raises
    `ViewBroken` for a name that is taken, and when only the next try can be without steps, for DuckDB 2 ends a
    transaction in which SQL was wrong.
    """
    assert view.local_query is not None

    def describe(query: str) -> dict[str, str]:
        return dict(described(cursor, query))

    identity = view.relation_id, view.local_query
    try:
        if identity in _faulty:
            raise Recomputed(_FAULT)
        tree = expanded(cursor, view.local_query) if view.origin is None else _over_tables(view, read)
        _require_free_names(view, tree)
        return split(tree, prefix, DATA_SCHEMA, describe)
    except Recomputed as known:
        why = str(known)
    except errors.ViewBroken:
        raise
    except Exception as fault:
        if isinstance(fault, duckdb.Error) and not isinstance(fault, UNBOUND):
            raise
        _log.warning("%s is computed anew each time, for no steps of it could be planned: %r", view.relation_id, fault)
        _faulty.add(identity)
        why = _FAULT
        try:
            cursor.execute("SELECT 1")
        except duckdb.TransactionException:
            raise errors.ViewBroken(
                view.relation_id, f"{why}. It is kept without steps from the next try on"
            ) from fault
    text = view.local_query if view.origin is None else sql(_over_tables(view, read))
    return Steps((Step(prefix, None, (why,), text),), None)


# What DuckDB says of SQL that it cannot plan.
UNBOUND = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InternalException,
    duckdb.NotImplementedException,
    duckdb.ParserException,
)
_TAKEN = f'a column "{WEIGHT}", which is what FlashQL itself calls one: give it another name'
_FAULT = "no steps could be planned: a fault of FlashQL's, which its log tells"
_faulty: set[tuple[str, str]] = set()  # views, and their queries, for which that is so


def _over_tables(view: View, read: Mapping[str, str | None]) -> exp.Query:
    """The query of a view with an origin over the tables of schema flashql_data that hold what it reads."""
    tree = _tree(view)
    for table in list(tree.find_all(exp.Table)):
        if table.db:
            local = read[qualified(table.db, table.name)]
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True)))
            table.set("db", exp.to_identifier(DATA_SCHEMA, quoted=True))
            table.set("this", exp.to_identifier(local, quoted=True))
    return tree


def step_rows_of(steps: Steps, read: Mapping[str, str | None]) -> list[StepRow]:
    """The steps as flashql.view_steps shows them."""
    names = {table: name.replace('"', "") for name, table in read.items() if table is not None}
    names |= {step.table: f"step {number}" for number, step in enumerate(steps.steps, 1)}
    return [StepRow(step.table, step.strategy, reason(step, names), step.text) for step in steps.steps]


def shown_body(view: View, steps: Steps) -> str:
    """What the view shows, over the table of its last step, under the view's names."""
    names = ", ".join(quote(column.name) for column in view.columns)
    return f"SELECT * FROM ({shown_sql(steps, DATA_SCHEMA)}) AS flashql_view({names})"


def kept_locally(store: Store, view: View) -> View:
    """A realtime view over what other views show and local tables. Raises `NotSupported` for what cannot be one."""
    known = views(store)
    for name in view.reads:
        if known[name].persistence is Persistence.ORIGIN:
            raise errors.NotSupported(
                f"{view.relation_id} reads {name}, whose changes are not seen here",
                hint="Make that a REALTIME view, or this one MATERIALIZED.",
            )
    require_repeatable(store, view)
    if not view.reads and not view.local_tables:
        raise errors.NotSupported(f"{view.relation_id} reads nothing, so nothing is there to follow")
    return replace(view, local_query=view.query)


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


def followed_views(store: Store) -> list[Followed]:
    """The kept views that follow what they read now, each after those it reads."""
    read = inputs(store)
    if not read:
        return []
    known, first = views(store), first_tables(store)
    following = [view for view in known.values() if view.is_kept and view.relation_id in read]
    return [Followed(view, read[view.relation_id], first[view.relation_id]) for view in in_order(following)]


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
