"""What macros and conversions look at several times, computed apart and once.

DuckDB puts a macro's arguments wherever its text names them. Two things go wrong with that:

- an argument that is large itself is planned as often as it is named, and so is what is within it: a few conversions of
  each other's results take minutes to plan;
- DuckDB 2.0 cannot plan an aggregate over a lambda where a lambda looks at it in its turn ("BoundReferenceExpression
  should not be used here yet!"), as one macro's does at what another's is within.

So such a macro is given a list of one struct, in which they are:

    flashql.json_from_members(list(id), list(flashql.json_text(doc, '$.a')))
    [flashql.json_from_members(v['a0'], v['a1']) FOR v IN [{'a0': list(id), 'a1': list(...)}]][1]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Final

from sqlglot import exp

from flashql.planner.blocks import is_aggregate
from flashql.planner.scalars import function

_NAME: Final = "flashql_apart"
# What has its first two arguments in such a list already, and what keeps views by sums looks for (0004_numeric.sql).
_APART: Final = {"quotient", "rounded_quotient", "deviation", "rounded_deviation"}
_AROUND: Final = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls, exp.Window)
_LARGE: Final = 150  # nodes of a tree; what is smaller costs less where it is than apart


def apart(expression: exp.Expr) -> exp.Expr:
    """A translated expression whose calls are written so."""
    whole = exp.Paren(this=expression)
    set_apart(whole)
    made: exp.Expr = whole.this
    return made.pop()


def set_apart(tree: exp.Expr) -> None:
    """Write the calls of a translated query so, in place."""
    names = (f"{_NAME}_{at}" for at in count())
    for call in reversed([node for node in tree.find_all(exp.Dot) if _is_macro(node)]):  # what is within comes first
        if call.expression.name in _APART:
            continue
        aggregates = [] if any(_is_macro(around) for around in _within(call)) else list(_aggregates(call))
        if any(one.find(exp.Dot) for one in aggregates):
            _bind(call, aggregates, next(names))
        elif any(is_large(one) for one in call.expression.expressions):
            _bind(call, [one for one in call.expression.expressions if not isinstance(one, exp.Literal)], next(names))


def is_large(node: exp.Expr) -> bool:
    """Whether an expression is better computed apart than written several times."""
    if node.find(exp.Comprehension):  # takes long to plan
        return True
    return node.find(exp.Dot) is not None and next(islice(node.walk(), _LARGE, None), None) is not None


def given(value: exp.Expr, name: str, expression: exp.Expr) -> exp.Expr:
    """The expression, in which `exp.Var(this=name)` is the value."""
    listed = exp.Array(expressions=[value.copy()])
    made = exp.Comprehension(this=expression, expression=exp.to_identifier(name), iterator=listed)
    return function("LIST_EXTRACT", exp.Array(expressions=[made]), exp.Literal.number(1))


def _bind(call: exp.Dot, parts: Sequence[exp.Expr], name: str) -> None:
    fields = []
    made = call.copy()
    twins = dict(zip(map(id, call.walk()), made.walk(), strict=True))
    for at, part in enumerate(parts):
        fields.append(exp.PropertyEQ(this=exp.to_identifier(f"a{at}", quoted=True), expression=part.copy()))
        field = exp.Bracket(this=exp.Var(this=name), expressions=[exp.Literal.string(f"a{at}")])
        twins[id(part)].replace(field)
    call.replace(given(exp.Struct(expressions=fields), name, made))


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
