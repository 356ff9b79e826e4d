"""Translation of a whole query: Postgres's text to a tree in DuckDB's dialect that means exactly the same.

The origin has described the query before anything is translated, so it is valid there, and the columns the origin
says it returns are what the translation must return. What cannot be said exactly is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from flashql import errors
from flashql.catalog import Column, Table
from flashql.planner.apart import set_apart
from flashql.planner.blocks import is_one_row
from flashql.planner.collations import Locale
from flashql.planner.expressions import Expressions
from flashql.planner.grouping import Grouping
from flashql.planner.literals import JSONB, UNKNOWN
from flashql.planner.operators import unified
from flashql.planner.parsing import parsed
from flashql.planner.relations import Relation, combined, item, recursive, typed
from flashql.planner.scalars import Scalar, refuse
from flashql.planner.scopes import (
    Level,
    Named,
    Names,
    Output,
    Reads,
    TableName,
    derived_source,
    folded,
    local_names,
    settled,
    unsupported_clause,
)
from flashql.planner.set_functions import in_from, shielded
from flashql.planner.sorting import Sorting, with_ties
from flashql.planner.sources import From, place_equalities
from flashql.planner.staging import staged
from flashql.planner.transpile import condition
from flashql.planner.transpile import translate as translate_expression

if TYPE_CHECKING:
    from flashql.planner.binding import Describer


@dataclass(frozen=True)
class Translation:
    """A query of the origin in DuckDB's dialect, over tables named as at the origin.

    In `tree` every FROM item has an alias of its own, every column is qualified by one, and base tables are
    `exp.Table` with the origin's schema and name; their columns are named as copies name them
    (`quoting.local_name`). ORDER BY is there only where it decides which rows there are; a number in it is a column's
    place. `tables` are the base tables, each with the columns read, in the table's order, its key among them only if
    read; `computed` are those of them that are more than shown. `columns` are what the origin says the query returns.
    """

    tree: exp.Query
    tables: dict[TableName, tuple[Table, tuple[str, ...]]]
    computed: dict[TableName, tuple[str, ...]]
    columns: tuple[Column, ...]


def translate(
    query: str, origin: Describer, *, numeric: str = "auto", floats_in_any_order: bool = False
) -> Translation:
    """The translation of a query of the origin, for a view whose options say how numerics are held, and floats summed.

    Raises `NotSupported` for what has no exact translation, `DefinitionError` and `UnknownName` for what is wrong.
    """
    described = origin.describe(query)
    if not described:
        raise errors.DefinitionError("the query returns no columns")
    translator = _Translator(origin, Reads(numeric, floats_in_any_order))
    level = Level(translator.reads, translator.names)
    relation = translator.query(parsed(query), None, level).settled()
    _check(relation, described)
    reads = translator.reads
    tables = {
        key: (table, tuple(column.name for column in table.columns if column.name in reads.columns[key]))
        for key, table in reads.tables.items()
    }
    computed = {key: tuple(columns) for key, columns in reads.computed.items()}
    tree = relation.tree.copy()
    set_apart(tree)
    return Translation(tree, tables, computed, described)


def _check(relation: Relation, described: tuple[Column, ...]) -> None:
    """Our types against the origin's own description: where they differ something was misread."""
    found = [settled(output.value).type for output in relation.outputs]
    if len(found) != len(described):
        raise errors.NotSupported("the select list could not be matched with the columns the origin describes")
    for type_, column in zip(found, described, strict=True):
        if type_.oid != column.type.oid:
            raise refuse(f'column "{column.name}" of type {column.type.name}, read here as {type_.name},')


_UNDERSTOOD: Final = {
    "with_", "expressions", "from_", "joins", "where", "group", "having", "windows", "distinct", "order", "limit",
    "offset", "laterals", "kind", "hint",
}  # fmt: skip
_CLAUSES: Final = {"locks": "FOR UPDATE", "sample": "TABLESAMPLE", "into": "INTO", "qualify": "QUALIFY"}


@dataclass
class _Translator:
    """One translation: what it has read, and the aliases it has given."""

    origin: Describer
    reads: Reads = field(default_factory=Reads)
    names: Names = field(default_factory=Names)

    @property
    def locale(self) -> Locale:
        return self.origin

    def table(self, schema: str | None, name: str) -> Table:
        return self.origin.table(schema, name)

    def scope(self, level: Level) -> Expressions:
        return Expressions(level, self)

    def query(self, node: exp.Expr, outer: Level | None, level: Level) -> Relation:
        """A query that sees the columns of `outer` and the CTEs of `level`."""
        ctes, made = self._with(node, level)
        inside = Level(self.reads, self.names, outer=outer, ctes=ctes)
        relation = self._body(node, inside)
        if made is not None:
            relation.tree.set("with_", made)
        return relation

    def _body(self, node: exp.Expr, inside: Level) -> Relation:
        if isinstance(node, exp.Select):
            return self._select(node, inside)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, inside)
        if isinstance(node, exp.Values):
            return self.values(node, inside)
        if isinstance(node, exp.Subquery) and isinstance(node.this, (exp.Query, exp.Values)):
            odd = [name for name, value in node.args.items() if value and name not in ("this", *_TAIL, "with_")]
            if odd:
                raise refuse(f"{node.sql('postgres')} ({', '.join(odd)})")
            relation = self.query(node.this, inside.outer, inside)
            return Sorting(inside, self.scope(inside)).of_whole(node, relation)
        raise refuse(node.sql("postgres"))

    # -- WITH

    def _with(self, node: exp.Expr, level: Level) -> tuple[Mapping[str, Named], exp.With | None]:
        clause = node.args.get("with_")
        if clause is None:
            return level.ctes, None
        ctes = dict(level.ctes)
        made = []
        for cte in clause.expressions:
            name, renamed = folded(cte.args["alias"].this), [folded(one) for one in cte.args["alias"].columns]
            odd = [part for part, value in cte.args.items() if value and part not in ("this", "alias", "materialized")]
            if odd:
                raise unsupported_clause(", ".join(odd).upper())
            alias = self.names.unique(name)
            inside = Level(self.reads, self.names, outer=level.outer, ctes=ctes)
            if clause.args.get("recursive") and _reads_itself(cte, name):
                relation = self._recursive(cte.this, Named(alias, ()), name, renamed, inside)
            else:
                relation = self.query(cte.this, level.outer, inside).settled()
            ctes[name] = Named(alias, _renamed(relation, renamed))
            made.append(_cte(alias, relation, ctes[name]))
        return ctes, exp.With(expressions=made, recursive=bool(clause.args.get("recursive")))

    def _recursive(self, node: exp.Expr, cte: Named, name: str, renamed: list[str], level: Level) -> Relation:
        """A CTE that reads itself: its first part says of which types its columns are."""
        if not isinstance(node, exp.Union) or any(node.args.get(part) for part in (*_TAIL, "with_")):
            raise unsupported_clause("WITH RECURSIVE other than UNION [ALL]")
        first = self.query(node.this, level.outer, level).settled()
        again = Named(cte.alias, tuple(replace(one, bases=()) for one in _renamed(first, renamed)))
        inside = Level(self.reads, self.names, outer=level.outer, ctes={**level.ctes, name: again})
        second = self.query(node.expression, level.outer, inside)
        return recursive(first, second, self.reads, distinct=bool(node.args.get("distinct")))

    # -- SELECT

    def _select(self, node: exp.Select, level: Level) -> Relation:
        for clause, value in node.args.items():
            if value and clause not in _UNDERSTOOD:
                raise unsupported_clause(_CLAUSES.get(clause, clause.strip("_").upper()))
        node = in_from(node)
        select, from_ = exp.Select(), From(level, self)
        start, joins = from_.clause(node)
        select.set("from_", start)
        select.set("joins", joins)
        scope = self.scope(level)
        scope.name_windows(node.args.get("windows") or ())
        scope.name_keys(node)
        if node.args.get("where") is not None:
            select.set("where", exp.Where(this=condition(node.args["where"].this, scope).unnest()))
            shielded(from_.raising, select.args["where"].this)
            place_equalities(select)
        outputs = self._items(node, level, scope)
        select.set("expressions", [item(o, name) for o, name in zip(outputs, local_names(outputs), strict=True)])
        relation = Relation(select, tuple(outputs))
        if node.args.get("having") is not None:
            select.set("having", exp.Having(this=condition(node.args["having"].this, scope).unnest()))
        sorting = Sorting(level, scope)
        sorting.of_select(node, relation)
        Grouping(level, scope).apply(node, relation)
        if is_one_row(select):  # DuckDB has no row where these look, within LATERAL, at the sum of no rows
            select.set("distinct", None)
            select.set("order", None)
        return sorting.tied(node, relation) if with_ties(node) else staged(relation, self.names)

    def _items(self, node: exp.Select, level: Level, scope: Expressions) -> list[Output]:
        """The select list, stars written out."""
        outputs: list[Output] = []
        for one in node.expressions:
            bare = one.unalias()
            stars = level.stars(bare)
            if stars is not None:
                if isinstance(bare, exp.Star) and any(bare.args.values()):
                    raise refuse(bare.sql("postgres"))
                for output in stars:
                    self.reads.add(output.bases, computed=False)
                    outputs.append(output)
                continue
            name = folded(one.args["alias"]) if isinstance(one, exp.Alias) else _name(bare)
            if isinstance(bare, exp.Column):
                found = level.find(bare)
                self.reads.add(found.bases, computed=False)
                outputs.append(Output(name, found.value, found.bases))
            else:
                outputs.append(Output(name, translate_expression(bare, scope)))
        return outputs

    # -- VALUES and set operations

    def values(self, node: exp.Values, level: Level) -> Relation:
        """VALUES as a SELECT of its columns."""
        odd = [name for name, value in node.args.items() if value and name not in ("expressions", "alias", *_TAIL)]
        if odd:
            raise refuse(f"VALUES ({', '.join(odd)})")
        scope = self.scope(level)
        rows = [[translate_expression(one, scope) for one in _row(row)] for row in node.expressions]
        columns = []
        for at in range(len(rows[0])):
            given = [row[at] for row in rows]
            ready, model = unified([settled(one) for one in given] if _untyped(given) else given, "VALUES")
            columns.append(([typed(Scalar(one.node, model.type)) for one in ready], settled(model)))
        alias = self.names.unique("values")
        outputs = [Output(f"column{at + 1}", model) for at, (_, model) in enumerate(columns)]
        names = local_names(outputs)
        table = exp.Values(
            expressions=[exp.Tuple(expressions=[cells[at] for cells, _ in columns]) for at in range(len(rows))],
            alias=exp.TableAlias(
                this=exp.to_identifier(alias, quoted=True),
                columns=[exp.to_identifier(name, quoted=True) for name in names],
            ),
        )
        source = derived_source(outputs, "", alias, ())
        select = exp.Select(expressions=[item(o, name) for o, name in zip(source.columns, names, strict=True)])
        select.set("from_", exp.From(this=table))
        relation = Relation(select, source.columns)
        return Sorting(level, scope).of_whole(node, relation)

    def _set_operation(self, node: exp.SetOperation, level: Level) -> Relation:
        odd = [n for n, v in node.args.items() if v and n not in ("this", "expression", "distinct", "with_", *_TAIL)]
        if odd:
            raise refuse(f"{node.key.upper()} ({', '.join(odd)})")
        left, right = (self.query(side, level.outer, level) for side in (node.this, node.expression))
        distinct = bool(node.args.get("distinct"))
        relation = combined(type(node), left, right, distinct=distinct)
        sorting = Sorting(level, self.scope(level))
        if distinct and any(output.value.oid == JSONB for output in relation.outputs):
            relation.tree.set("distinct", False)
            relation = sorting.distinct_union(relation)
        if distinct or not isinstance(node, exp.Union):
            for output in relation.outputs:
                self.reads.add(output.bases, computed=True)
        return sorting.of_whole(node, relation)


_TAIL: Final = ("order", "limit", "offset")


def _row(row: exp.Expr) -> list[exp.Expr]:
    return list(row.expressions) if isinstance(row, exp.Tuple) else [row.this if isinstance(row, exp.Paren) else row]


def _untyped(values: list[Scalar]) -> bool:
    return all(one.oid == UNKNOWN for one in values)


def _reads_itself(cte: exp.CTE, name: str) -> bool:
    return any(isinstance(t.this, exp.Identifier) and folded(t.this) == name for t in cte.this.find_all(exp.Table))


def _renamed(relation: Relation, names: list[str]) -> tuple[Output, ...]:
    outputs = list(relation.outputs)
    for at, name in enumerate(names):
        outputs[at] = Output(name, outputs[at].value, outputs[at].bases)
    return tuple(outputs)


def _cte(alias: str, relation: Relation, named: Named) -> exp.CTE:
    columns = [exp.to_identifier(name, quoted=True) for name in local_names(named.outputs)]
    shown = exp.TableAlias(this=exp.to_identifier(alias, quoted=True), columns=columns)
    return exp.CTE(this=relation.tree, alias=shown)


def _name(node: exp.Expr) -> str:
    """What Postgres calls a column without an alias (FigureColname); only columns and casts of them matter here."""
    while isinstance(node, (exp.Cast, exp.Paren, exp.Collate)):
        node = node.this
    if isinstance(node, exp.Column):
        return folded(node.this)
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select) and node.this.expressions:
        first = node.this.expressions[0]
        return folded(first.args["alias"]) if isinstance(first, exp.Alias) else _name(first)
    return "case" if isinstance(node, exp.Case) else "?column?"
