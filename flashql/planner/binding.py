"""Binding: what a view's statement says -> a `View` whose names and types are the origin's own.

    CREATE REALTIME VIEW shop.big AS SELECT id, amount * 2 AS twice FROM orders WHERE amount > 10

becomes the base table `public.orders`, the base columns (id, amount), and a select list and condition in DuckDB's
dialect over the copy. What cannot be kept exactly is refused here, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlglot import exp, serde

from flashql import errors
from flashql.catalog import Column, Persistence, Restriction, Source, Table, View, ViewColumn
from flashql.datatypes import ladder
from flashql.ddl.statements import ParameterText
from flashql.planner import parsing
from flashql.planner.aggregates import aggregate_name
from flashql.planner.collations import Locale
from flashql.planner.enums import is_ordered_in
from flashql.planner.restricting import restricted
from flashql.planner.set_functions import called_name
from flashql.planner.translating import translate
from flashql.planner.transpile import to_local
from flashql.quoting import fold, local_name, quote

_NUMERIC = 1700
# What a query of columns and rows of one table is made of.
_CLAUSES = {"expressions", "from_", "where", "kind", "hint"}


class Describer(Locale, Protocol):
    """What binding asks an origin."""

    name: str

    def describe(self, query: str) -> tuple[Column, ...]:
        """The columns a query returns; nothing is run."""

    def table(self, schema: str | None, name: str) -> Table:
        """The table of that name. Raises `UnknownName`."""


@dataclass(frozen=True)
class Bound:
    """A bound view and, for a realtime one, the tables it follows."""

    view: View
    tables: tuple[Table, ...] = ()


def bind(view: View, column_names: Sequence[str], origin: Describer, parameters: Sequence[ParameterText] = ()) -> Bound:
    """Fill in the columns of a view with an origin, and for a realtime one its base table and local query."""
    if parameters:
        base, restriction = restricted(view.query, parameters, origin)
        bound = bind(replace(view, query=base), column_names, origin)
        return replace(bound, view=_with_restriction(replace(bound.view, query=view.query), restriction, bound.tables))
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
    select = _rows_of_one_table(view.query)
    return _bind_query(view, origin) if select is None else _bind_rows(view, select, names, origin)


def _with_restriction(view: View, restriction: Restriction, tables: Sequence[Table]) -> View:
    """The view, which also reads the columns that its restriction compares."""
    sources = []
    for source, table in zip(view.sources, tables, strict=True):
        if source.table == restriction.table:
            read = {*source.columns, *restriction.columns}
            computed = tuple(dict.fromkeys((*source.computed_from, *restriction.columns)))
            source = replace(
                source,
                columns=tuple(column.name for column in table.columns if column.name in read),
                computed_from=computed,
                computed_types=tuple(table.streamed_column(name).declared for name in computed),
            )
        sources.append(source)
    return replace(view, sources=tuple(sources), restriction=restriction)


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
    if len({fold(name) for name in given}) < len(given):
        raise errors.DefinitionError("two of the view's columns have the same name (DuckDB ignores case)")
    names = list(given)
    for name in found[len(given) :]:
        taken = {fold(one) for one in names}
        suffixed, number = name, 0
        while fold(suffixed) in taken:
            number += 1
            suffixed = f"{name}_{number}"
        names.append(suffixed)
    return names


def _bind_query(view: View, origin: Describer) -> Bound:
    """A view over more than rows of one table: its query in DuckDB's dialect, over the tables it reads."""
    translation = translate(view.query, origin, numeric=view.numeric, floats_in_any_order=view.floats_in_any_order)
    if not translation.tables:
        raise errors.NotSupported(
            f"{view.relation_id} reads no table, so nothing is there to follow", hint="Make it a MATERIALIZED view."
        )
    query = translation.tree.sql(dialect="duckdb")
    sources = []
    for name, (table, read) in translation.tables.items():
        computed = translation.computed.get(name, ())
        wanted = {*read, *(table.key or [column.name for column in table.columns if not column.generated])}
        columns = tuple(column.name for column in table.columns if column.name in wanted)
        types = tuple(table.streamed_column(name).declared for name in computed)
        sources.append(Source(table.schema, table.name, columns, computed, types, _labels(table, computed, query)))
    bound = replace(
        view,
        sources=tuple(sources),
        local_query=query,
        local_tree=json.dumps(serde.dump(translation.tree)),
    )
    return Bound(bound, tuple(table for table, _ in translation.tables.values()))


def _bind_rows(view: View, select: exp.Select, names: Sequence[str], origin: Describer) -> Bound:
    source = _single_table(select)
    table = origin.table(source.db or None, source.name)
    known = {column.name: column for column in table.columns}
    alias = source.alias or source.name
    items = list(_items(select, alias, table))
    if len(items) != len(names):
        raise errors.NotSupported("the select list could not be matched with its columns")
    condition = select.args.get("where")
    used: dict[str, None] = {}
    computed: dict[str, None] = {}
    selected = []
    for column, item in zip(view.columns, items, strict=True):
        columns = _read_by(item, known, table)
        used.update(dict.fromkeys(columns))
        if not isinstance(item, exp.Column):
            computed.update(dict.fromkeys(columns))
        selected.append(f"{_as_described(item, known, column, origin)} AS {quote(column.name)}")
    where = None
    if condition is not None:
        columns = _read_by(condition.this, known, table)
        used.update(dict.fromkeys(columns))
        computed.update(dict.fromkeys(columns))
        where = _local(condition.this, known, origin)
    used.update(dict.fromkeys(table.key or [column.name for column in table.columns if not column.generated]))
    source_ = Source(
        table.schema,
        table.name,
        columns=tuple(column.name for column in table.columns if column.name in used),
        computed_from=tuple(computed),
        computed_types=tuple(known[name].declared for name in computed),
        labels=_labels(table, tuple(computed), " ".join((*selected, where or ""))),
    )
    return Bound(replace(view, sources=(source_,), local_select=", ".join(selected), local_where=where), (table,))


def _labels(table: Table, computed: Iterable[str], translation: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The labels of the enums that it computes from, where the translation may depend on their order."""
    if not is_ordered_in(translation):
        return ()
    types = ((name, table.column(name).type) for name in computed)
    return tuple((name, type_.labels) for name, type_ in types if type_.labels)


def _as_described(item: exp.Expr, known: dict[str, Column], column: ViewColumn, locale: Locale) -> str:
    """The item in DuckDB's dialect, of the type the origin says it has (a numeric keeps the scale it comes with)."""
    local = _local(item, known, locale)
    if isinstance(item, exp.Column) or column.pg_type is None or column.pg_type.oid == _NUMERIC:
        return local
    return f"CAST({local} AS {column.local_type})"


def _local(expression: exp.Expr, known: dict[str, Column], locale: Locale) -> str:
    if isinstance(expression, exp.Column):
        return quote(local_name(_column_name(expression)))
    local = to_local(expression, known, locale)
    for column in list(local.find_all(exp.Column)):
        column.set("this", exp.to_identifier(local_name(column.name), quoted=True))
    return local.sql(dialect="duckdb")


def _rows_of_one_table(query: str) -> exp.Select | None:
    """The query as a SELECT of columns and rows of one table; None when it is more than that."""
    parsed = parsing.parsed(query)
    if not isinstance(parsed, exp.Select) or parsed.find(exp.AggFunc, exp.Window):
        return None
    if any(called_name(call) or aggregate_name(call) for call in parsed.find_all(exp.Anonymous)):
        return None
    if any(value and clause not in _CLAUSES for clause, value in parsed.args.items()):
        return None
    if any(query is not parsed for query in parsed.find_all(exp.Query)):
        return None
    source = parsed.args.get("from_")
    table = source.this if source is not None else None
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        return None
    more = [table.args.get(clause) for clause in ("joins", "laterals", "sample")]
    rows = [one for one in parsed.find_all(exp.Column) if _is_row(one, table.alias_or_name)]
    return None if any(more) or rows or table.alias_column_names else parsed


def _is_row(column: exp.Column, shown: str) -> bool:
    """Whether it may be the table's whole row, in an expression."""
    if isinstance(column.this, exp.Star):
        return not isinstance(column.parent, (exp.Select, exp.Alias))
    return not column.table and fold(column.name) == fold(shown)


def _single_table(select: exp.Select) -> exp.Table:
    """The one table of the query, its names folded as Postgres folds them."""
    table: exp.Table = select.args["from_"].this.copy()
    if table.catalog:
        raise errors.NotSupported(f"{table.sql(dialect='postgres')} names a database; the origin's DSN already does")
    alias = table.args.get("alias")
    for part in (table.this, table.args.get("db"), alias.this if alias is not None else None):
        _fold(part)
    return table


def _fold(identifier: exp.Expr | None) -> None:
    """Unquoted names are lower case in Postgres."""
    if isinstance(identifier, exp.Identifier) and not identifier.quoted:
        identifier.set("this", fold(identifier.name))


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
    return column.name if column.this.quoted else fold(column.name)


def _read_by(expression: exp.Expr, known: dict[str, Column], table: Table) -> list[str]:
    """The base columns an expression reads."""
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
