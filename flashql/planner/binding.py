"""Binding: what a view's statement says -> a `View` whose names and types are the origin's own.

    CREATE REALTIME VIEW shop.big AS SELECT id, amount * 2 AS twice FROM orders WHERE amount > 10

becomes the base table `public.orders`, the base columns (id, amount), and a select list and condition in DuckDB's
dialect over the copy. What cannot be kept exactly is refused here, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlglot import exp

from flashql import errors
from flashql.catalog import Column, Persistence, Table, View, ViewColumn
from flashql.datatypes import ladder
from flashql.planner import parsing
from flashql.planner.transpile import to_local
from flashql.quoting import local_name, quote

_NUMERIC = 1700
_ONLY_ROWS_OF_ONE_TABLE = (
    "A realtime view selects columns and rows of one table: SELECT columns FROM table [WHERE condition]. "
    "Use a MATERIALIZED or ORIGIN view for anything more."
)


class Describer(Protocol):
    """What binding asks an origin."""

    name: str

    def describe(self, query: str) -> tuple[Column, ...]:
        """The columns a query returns; nothing is run."""

    def table(self, schema: str | None, name: str) -> Table:
        """The table of that name. Raises `UnknownName`."""


@dataclass(frozen=True)
class Bound:
    """A bound view and, for a realtime one, the table it follows."""

    view: View
    table: Table | None = None


def bind(view: View, column_names: Sequence[str], origin: Describer) -> Bound:
    """Fill in the columns of a view with an origin, and for a realtime one its base table and local query."""
    described = origin.describe(view.query)
    if not described:
        raise errors.DefinitionError("the query returns no columns")
    names = view_names([column.name for column in described], column_names)
    columns = tuple(
        ViewColumn(name, ladder(column.type, numeric=view.numeric)[0].name, column.type)
        for name, column in zip(names, described, strict=True)
    )
    view = replace(view, columns=columns)
    if view.persistence is not Persistence.REALTIME:
        return Bound(view)
    return _bind_rows(view, names, origin)


def view_names(found: Sequence[str], given: Sequence[str]) -> list[str]:
    """The view's column names: those given, then those found; no two alike when case is ignored, as in DuckDB.

    A later one of two alike gets the first free suffix.

    >>> view_names(["Name", "name", "id"], [])
    ['Name', 'name_1', 'id']
    """
    if len(given) > len(found):
        raise errors.DefinitionError(
            f"the view names {len(given)} columns, but its query returns {len(found)}",
            hint=f"The query's columns are: {', '.join(found)}.",
        )
    if len({name.lower() for name in given}) < len(given):
        raise errors.DefinitionError("two of the view's columns have the same name (DuckDB ignores case)")
    names = list(given)
    for name in found[len(given) :]:
        taken = {one.lower() for one in names}
        suffixed, number = name, 0
        while suffixed.lower() in taken:
            number += 1
            suffixed = f"{name}_{number}"
        names.append(suffixed)
    return names


def _bind_rows(view: View, names: Sequence[str], origin: Describer) -> Bound:
    select = _parsed(view.query)
    _require_only_rows(select)
    source = _single_table(select)
    table = origin.table(source.db or None, source.name)
    known = {column.name: column for column in table.columns}
    alias = source.alias or source.name
    items = list(_items(select, alias, table))
    if len(items) != len(names):
        raise errors.NotSupported("the select list could not be matched with its columns", hint=_ONLY_ROWS_OF_ONE_TABLE)
    condition = select.args.get("where")
    used: dict[str, None] = {}
    computed: dict[str, None] = {}
    selected = []
    for column, item in zip(view.columns, items, strict=True):
        columns = _read_by(item, known, table)
        used.update(dict.fromkeys(columns))
        if not isinstance(item, exp.Column):
            computed.update(dict.fromkeys(columns))
        selected.append(f"{_as_described(item, known, column)} AS {quote(column.name)}")
    where = None
    if condition is not None:
        columns = _read_by(condition.this, known, table)
        used.update(dict.fromkeys(columns))
        computed.update(dict.fromkeys(columns))
        where = _local(condition.this, known)
    used.update(dict.fromkeys(table.key or [column.name for column in table.columns if not column.generated]))
    bound = replace(
        view,
        base_table=(table.schema, table.name),
        base_columns=tuple(column.name for column in table.columns if column.name in used),
        computed_from=tuple(computed),
        computed_types=tuple(known[name].declared for name in computed),
        local_select=", ".join(selected),
        local_where=where,
    )
    return Bound(bound, table)


def _as_described(item: exp.Expr, known: dict[str, Column], column: ViewColumn) -> str:
    """The item in DuckDB's dialect, of the type the origin says it has (a numeric keeps the scale it comes with)."""
    local = _local(item, known)
    if isinstance(item, exp.Column) or column.pg_type is None or column.pg_type.oid == _NUMERIC:
        return local
    return f"CAST({local} AS {column.local_type})"


def _local(expression: exp.Expr, known: dict[str, Column]) -> str:
    if isinstance(expression, exp.Column):
        return quote(local_name(_column_name(expression)))
    local = to_local(expression, known)
    for column in list(local.find_all(exp.Column)):
        column.set("this", exp.to_identifier(local_name(column.name), quoted=True))
    return local.sql(dialect="duckdb")


def _parsed(query: str) -> exp.Select:
    """The query as a SELECT; raises what is wrong or not supported."""
    parsed = parsing.parsed(query)
    if not isinstance(parsed, exp.Select):
        raise errors.NotSupported("a realtime view over this query is not built yet", hint=_ONLY_ROWS_OF_ONE_TABLE)
    return parsed


_CLAUSES = {
    "with_": "WITH",
    "joins": "a join",
    "laterals": "LATERAL",
    "group": "GROUP BY",
    "having": "HAVING",
    "distinct": "DISTINCT",
    "qualify": "QUALIFY",
    "windows": "WINDOW",
    "order": "ORDER BY",
    "limit": "LIMIT",
    "offset": "OFFSET",
    "locks": "FOR UPDATE",
    "sample": "TABLESAMPLE",
    "into": "INTO",
}


def _require_only_rows(select: exp.Select) -> None:
    """Raise `NotSupported` for the first clause that is more than columns and rows."""
    for clause, value in select.args.items():
        if value and clause not in ("expressions", "from_", "where", "kind", "hint"):
            raise _unsupported(_CLAUSES.get(clause, clause.strip("_").upper()))


def _single_table(select: exp.Select) -> exp.Table:
    """The one table of the query, its names folded as Postgres folds them; raises `NotSupported` otherwise."""
    source = select.args.get("from_")
    if source is None:
        raise _unsupported("a query without FROM")
    table = source.this
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise _unsupported("a subquery or function in FROM")
    for clause in ("joins", "laterals", "sample"):
        if table.args.get(clause):
            raise _unsupported(_CLAUSES[clause])
    if table.catalog:
        raise errors.NotSupported(f"{table.sql(dialect='postgres')} names a database; the origin's DSN already does")
    alias = table.args.get("alias")
    if alias is not None and alias.columns:
        raise _unsupported("a list of column aliases")
    folded = table.copy()
    for part in (folded.this, folded.args.get("db"), alias.this if alias is not None else None):
        _fold(part)
    if alias is not None:
        folded.set("alias", alias)
    return folded


def _unsupported(what: str) -> errors.NotSupported:
    return errors.NotSupported(f"{what} in a realtime view is not built yet", hint=_ONLY_ROWS_OF_ONE_TABLE)


def _fold(identifier: exp.Expr | None) -> None:
    """Unquoted names are lower case in Postgres."""
    if isinstance(identifier, exp.Identifier) and not identifier.quoted:
        identifier.set("this", identifier.name.lower())


def _items(select: exp.Select, alias: str, table: Table) -> Iterable[exp.Expr]:
    """The select list with `*` written out."""
    for item in select.expressions:
        bare = item.unalias()
        whole_row = isinstance(bare, exp.Star) or (isinstance(bare, exp.Column) and isinstance(bare.this, exp.Star))
        if not whole_row:
            yield bare
            continue
        for column in table.columns:
            yield exp.column(exp.to_identifier(column.name, quoted=True), table=exp.to_identifier(alias, quoted=True))


def _column_name(column: exp.Column) -> str:
    return column.name if column.this.quoted else column.name.lower()


def _read_by(expression: exp.Expr, known: dict[str, Column], table: Table) -> list[str]:
    """The base columns an expression reads; raises when it is more than a scalar of them."""
    for forbidden, what in (
        (exp.Query, "a subquery"),
        (exp.AggFunc, "an aggregate"),
        (exp.Window, "a window function"),
    ):
        if expression.find(forbidden):
            raise _unsupported(what)
    names = []
    for column in expression.find_all(exp.Column):
        name = _column_name(column)
        if name not in known:
            raise errors.UnknownName(f'column "{name}" does not exist in {table.schema}.{table.name}')
        if known[name].generated:
            raise errors.NotSupported(
                f"column {name} of {table.schema}.{table.name} is generated, and the origin's stream leaves it out",
                hint="List the other columns instead of *, and write its expression in the view.",
            )
        names.append(name)
    return names
