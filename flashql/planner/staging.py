"""Window functions over a derived table that has their partitions and orders as columns.

    SELECT id, rank() OVER (PARTITION BY extract(year FROM day) ORDER BY id) FROM t

becomes `SELECT c0, rank() OVER (PARTITION BY c1 ORDER BY c0) FROM (SELECT id AS c0, extract(year FROM day) AS c1 FROM
t)`. DuckDB orders and partitions by nothing that may raise an error; and a partition whose key is a column is one that
maintenance can look up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.planner.blocks import is_aggregate, own
from flashql.planner.relations import Relation
from flashql.planner.scopes import Names

# What is not a value by itself, but has values in it.
_AROUND: Final = (exp.If, exp.Where, exp.Order, exp.Ordered, exp.Distinct, exp.Tuple)
_NO_VALUES: Final = (exp.DataType, exp.Identifier, exp.Var, exp.Star, exp.WindowSpec)
_INNER: Final = ("from_", "joins", "laterals", "where", "group", "having")


def staged(relation: Relation, names: Names) -> Relation:
    """The same rows, in two stages where windows are over more than columns; raises nothing."""
    select = relation.tree
    if not isinstance(select, exp.Select) or not any(_is_over_more(one) for one in own(select, exp.Window)):
        return relation
    return _Stages(select, names.unique("staged")).made(relation)


def _is_over_more(window: exp.Expr) -> bool:
    keys = window.args.get("partition_by") or ()
    order = window.args.get("order")
    terms = [one.this for one in order.expressions] if order is not None else []
    may_raise = any(one.find(exp.Dot, exp.Anonymous) is not None for one in terms)
    return may_raise or not all(isinstance(one, exp.Column) for one in keys)


class _Stages:
    def __init__(self, select: exp.Select, alias: str) -> None:
        self._select = select
        self._alias = alias
        self._columns: dict[str, tuple[str, exp.Expr]] = {}  # by their SQL: names and values of the derived table's

    def made(self, relation: Relation) -> Relation:
        outer = exp.Select()
        shown = [self._outside(item.unalias()) for item in self._select.expressions]
        outer.set(
            "expressions",
            [
                exp.alias_(one, exp.to_identifier(item.alias_or_name, quoted=True))
                for one, item in zip(shown, self._select.expressions, strict=True)
            ],
        )
        for clause in ("distinct", "order"):
            if self._select.args.get(clause) is not None:
                outer.set(clause, self._parts(self._select.args[clause].copy()))
        for clause in ("limit", "offset"):
            outer.set(clause, self._select.args.get(clause))
        inner = exp.Select(
            expressions=[
                exp.alias_(value, exp.to_identifier(name, quoted=True)) for name, value in self._columns.values()
            ]
        )
        for clause in _INNER:
            inner.set(clause, self._select.args.get(clause))
        alias = exp.TableAlias(this=exp.to_identifier(self._alias, quoted=True))
        outer.set("from_", exp.From(this=exp.Subquery(this=inner, alias=alias)))
        outputs = (
            replace(output, value=replace(output.value, node=one.copy()))
            for output, one in zip(relation.outputs, shown, strict=True)
        )
        return Relation(outer, tuple(outputs))

    def _outside(self, node: exp.Expr) -> exp.Expr:
        """A value beside or around windows: what has none in it is a column of the derived table."""
        if isinstance(node, exp.Window):
            made = node.copy()
            made.set("this", self._called(made.this))
            made.set("partition_by", [self._column(one) for one in made.args.get("partition_by") or ()])
            if made.args.get("order") is not None:
                made.set("order", self._parts(made.args["order"]))
            return made
        if isinstance(node, _NO_VALUES):
            return node
        if isinstance(node, _AROUND) or any(own(node, exp.Window)):
            return self._parts(node.copy())
        return self._column(node)

    def _called(self, call: exp.Expr) -> exp.Expr:
        """The function of a window, in place: it stays, what it is called with are columns."""
        if isinstance(call, exp.Filter):
            call.set("this", self._called(call.this))
            call.set("expression", self._parts(call.expression))
            return call
        return self._parts(call)

    def _parts(self, node: exp.Expr) -> exp.Expr:
        """The node, in place, with what is in it as `_outside` has it."""
        for name, value in list(node.args.items()):
            if isinstance(value, exp.Expr):
                node.set(name, self._outside(value))
            elif isinstance(value, list):
                node.set(name, [self._outside(one) if isinstance(one, exp.Expr) else one for one in value])
        return node

    def _column(self, node: exp.Expr) -> exp.Expr:
        if node.find(exp.Column, exp.Query, exp.Dot) is None and not any(map(is_aggregate, node.find_all(exp.Func))):
            return node.copy()  # a constant, or a column's place
        name, _ = self._columns.setdefault(node.sql("duckdb"), (f"c{len(self._columns)}", node.copy()))
        return exp.column(
            exp.to_identifier(name, quoted=True), table=exp.to_identifier(self._alias, quoted=True), copy=False
        )
