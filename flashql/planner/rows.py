"""Comparisons of rows and of lists, written out as comparisons of single values with the same truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from flashql.planner.scalars import refuse

_EQUALITIES: Final = (exp.EQ, exp.NEQ)
_STRICT: Final[dict[type[exp.Expr], type[exp.Expr]]] = {
    exp.LT: exp.LT,
    exp.LTE: exp.LT,
    exp.GT: exp.GT,
    exp.GTE: exp.GT,
}


def as_scalars(node: exp.Expr) -> exp.Expr | None:
    """The comparison without rows and lists; None where there are none.

    >>> from sqlglot import parse_one
    >>> as_scalars(parse_one("(a, b) <> (1, 2)", read="postgres")).sql("postgres")
    'NOT (a = 1 AND b = 2)'
    """
    if isinstance(node, exp.In) and isinstance(node.this, exp.Tuple) and node.expressions:
        return exp.or_(*(_equal(node.this, one) for one in node.expressions), copy=True)
    if not isinstance(node, exp.Binary):
        return None
    left, right = _row(node.this), _row(node.expression)
    if left is not None and right is not None:
        if type(node) in _STRICT:
            return _ordered_rows(type(node), left, right)
        if not isinstance(node, _EQUALITIES):
            raise refuse("this comparison of rows", "Compare the columns one by one.")
        equal = _equal_rows(left, right)
        return exp.Not(this=exp.Paren(this=equal)) if isinstance(node, exp.NEQ) else equal
    return _quantified(node)


def _ordered_rows(kind: type[exp.Expr], left: Sequence[exp.Expr], right: Sequence[exp.Expr]) -> exp.Expr:
    """The first column that differs decides; of the last one equality counts where it does in `kind`."""
    found = kind(this=left[-1].copy(), expression=right[-1].copy())
    for one, other in reversed(list(zip(left[:-1], right[:-1], strict=True))):
        differs = _STRICT[kind](this=one.copy(), expression=other.copy())
        equal = exp.and_(exp.EQ(this=one.copy(), expression=other.copy()), found, copy=False)
        found = exp.or_(differs, equal, copy=False)
    return found


def _quantified(node: exp.Binary) -> exp.Expr | None:
    """`x = ANY (ARRAY[...])` as alternatives, `x <> ALL (ARRAY[...])` as conditions."""
    quantifier = node.expression
    is_any = isinstance(quantifier, exp.Any)
    if is_any or isinstance(quantifier, exp.All):
        listed = quantifier.this.unnest()
    elif isinstance(quantifier, exp.Anonymous) and str(quantifier.name).upper() == "ALL" and quantifier.expressions:
        listed = quantifier.expressions[0]
    else:
        return None
    if not isinstance(listed, exp.Array) or not listed.expressions:
        return None
    tests = [type(node)(this=node.this.copy(), expression=one.copy()) for one in listed.expressions]
    return (exp.or_ if is_any else exp.and_)(*tests, copy=False)


def _row(node: exp.Expr) -> Sequence[exp.Expr] | None:
    if isinstance(node, exp.Tuple):
        return node.expressions
    if isinstance(node, exp.Anonymous) and str(node.name).lower() == "row":
        return node.expressions
    return None


def _equal(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    ours, theirs = _row(left), _row(right)
    if ours is None or theirs is None:
        raise refuse(f"{left.sql('postgres')} beside {right.sql('postgres')}")
    return _equal_rows(ours, theirs)


def _equal_rows(left: Sequence[exp.Expr], right: Sequence[exp.Expr]) -> exp.Expr:
    tests = (exp.EQ(this=a.copy(), expression=b.copy()) for a, b in zip(left, right, strict=True))
    return exp.and_(*tests, copy=False)
