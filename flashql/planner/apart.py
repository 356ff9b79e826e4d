"""Aggregates that macros look at, computed apart from the macros' lambdas.

    flashql.json_from_members(list(id), list(flashql.json_text(doc, '$.a')))

DuckDB 2.0 cannot plan an aggregate over a lambda where a lambda looks at it in its turn ("BoundReferenceExpression
should not be used here yet!"), as one macro's does at what another's is within. So the outer macro is given a list of
one struct, in which its aggregates are:

    [flashql.json_from_members(v['a0'], v['a1']) FOR v IN [{'a0': list(id), 'a1': list(...)}]][1]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from flashql.planner.blocks import is_aggregate
from flashql.planner.scalars import function

_STRUCT: Final = "flashql_apart"
# What has its first two arguments in such a list already, and what keeps views by sums looks for (0004_numeric.sql).
_APART: Final = {"quotient", "rounded_quotient", "deviation", "rounded_deviation"}
_AROUND: Final = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls, exp.Window)


def set_apart(tree: exp.Expr) -> None:
    """Write such calls so, in place."""
    for call in [node for node in tree.find_all(exp.Dot) if _is_macro(node)]:
        if call.expression.name in _APART or any(_is_macro(around) for around in _within(call)):
            continue
        found = list(_aggregates(call))
        if any(one.find(exp.Dot) for one in found):
            _set_apart(call, found)


def _set_apart(call: exp.Dot, aggregates: list[exp.Expr]) -> None:
    made = call.copy()
    fields = []
    for at, (before, after) in enumerate(zip(aggregates, list(_aggregates(made)), strict=True)):
        fields.append(exp.PropertyEQ(this=exp.to_identifier(f"a{at}", quoted=True), expression=before.copy()))
        after.replace(exp.Bracket(this=exp.Var(this=_STRUCT), expressions=[exp.Literal.string(f"a{at}")]))
    one = exp.Array(expressions=[exp.Struct(expressions=fields)])
    listed = exp.Comprehension(this=made, expression=exp.to_identifier(_STRUCT), iterator=one)
    call.replace(function("LIST_EXTRACT", exp.Array(expressions=[listed]), exp.Literal.number(1)))


def _is_macro(node: exp.Expr) -> bool:
    return isinstance(node, exp.Dot) and node.this.name == "flashql"


def _within(node: exp.Expr) -> Iterator[exp.Expr]:
    """What it is within, of the same SELECT."""
    around = node.parent
    while around is not None and not isinstance(around, exp.Query):
        yield around
        around = around.parent


def _aggregates(node: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost aggregates and window functions of its own, each with what belongs to it."""
    for child in node.iter_expressions():
        if isinstance(child, exp.Query):
            continue
        if isinstance(child, _AROUND) or is_aggregate(child):
            yield child
        else:
            yield from _aggregates(child)
