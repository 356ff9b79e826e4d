"""Operators of jsonb and of arrays as sqlglot reads them, over operands already translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import documents, lists
from flashql.planner.literals import JSONB
from flashql.planner.scalars import Scalar, refuse

Translate = Callable[[exp.Expr], Scalar]

_INNER: Final[dict[type[exp.Expr], Callable[[Scalar, Scalar], Scalar]]] = {
    exp.JSONBExtract: documents.inner,
    exp.JSONBExtractScalar: documents.inner_text,
}


def inner(node: exp.Expr, translate: Translate) -> Scalar:
    """`#>` and `#>>`; `->` and `->>` by a constant key are read as these (parsing.py)."""
    return _INNER[type(node)](translate(node.this), translate(node.expression))


def has_key(node: exp.Expr, translate: Translate) -> Scalar:
    """`document ? 'key'`."""
    return documents.has_key(translate(node.this), translate(node.expression))


def compared_sets(node: exp.Expr, translate: Translate) -> Scalar:
    """`@>`, `<@` and `&&`."""
    left, right = translate(node.this), translate(node.expression)
    kind = type(node)
    if kind is exp.ArrayContainedBy:
        left, right, kind = right, left, exp.ArrayContainsAll
    if left.oid == JSONB:
        return documents.contains(left, right)
    return lists.compared_sets(kind, left, right)


def constructed(node: exp.Expr, translate: Translate) -> Scalar:
    """`ARRAY[a, b]`."""
    if not node.expressions:
        raise refuse("an array without elements")
    return lists.constructed([translate(one) for one in node.expressions])


def subscript(node: exp.Expr, translate: Translate) -> Scalar:
    """`array[1]`: a constant place, which sqlglot counts from 0."""
    place = node.expressions[0]
    value = translate(node.this)
    if not isinstance(place, exp.Literal) or place.is_string or value.oid == JSONB:
        raise refuse(f"the subscript {node.sql('postgres')}", "Write a constant from 1.")
    return lists.subscript(value, Scalar(exp.Null(), PgType(23), number=str(int(place.name) + 1)))


def quantified(node: exp.Expr, translate: Translate) -> Scalar | None:
    """`x = ANY (array)` and `x <> ALL (array)`; None for what compares with no array."""
    quantifier = node.expression
    if isinstance(node, exp.EQ) and isinstance(quantifier, exp.Any):
        listed = quantifier.this.unnest()
    elif isinstance(node, exp.NEQ) and isinstance(quantifier, exp.Anonymous) and str(quantifier.name).upper() == "ALL":
        listed = quantifier.expressions[0]
    else:
        return None
    found = lists.any_equal(exp.EQ, translate(node.this), translate(listed))
    if isinstance(node, exp.NEQ):
        return Scalar(exp.Not(this=found.node), found.type)
    return found


RULES: Final[dict[type[exp.Expr], tuple[set[str], Callable[[exp.Expr, Translate], Scalar]]]] = {
    **dict.fromkeys(_INNER, ({"this", "expression"}, inner)),
    exp.JSONBContainsTopKey: ({"this", "expression"}, has_key),
    **dict.fromkeys(
        (exp.ArrayContainsAll, exp.ArrayContainedBy, exp.ArrayOverlaps), ({"this", "expression"}, compared_sets)
    ),
    exp.Array: ({"expressions"}, constructed),
    exp.Bracket: ({"this", "expressions"}, subscript),
}
