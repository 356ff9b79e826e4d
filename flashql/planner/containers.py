"""Operators of jsonb and of arrays as sqlglot reads them, over operands already translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import documents, lists, paths
from flashql.planner.literals import JSONB, TEXT, UNKNOWN
from flashql.planner.scalars import Scalar, refuse

Translate = Callable[[exp.Expr], Scalar]

_INNER: Final[dict[type[exp.Expr], Callable[[Scalar, Scalar], Scalar]]] = {
    exp.JSONBExtract: paths.inner,
    exp.JSONBExtractScalar: paths.inner_text,
    exp.JSONExtract: paths.member,
    exp.JSONExtractScalar: paths.member_text,
    exp.JSONBContainsTopKey: paths.has_key,
    exp.JSONBContainsAnyTopKeys: paths.has_any,
    exp.JSONBContainsAllTopKeys: paths.has_all,
    exp.JSONBDeleteAtPath: paths.without_path,
}


def inner(node: exp.Expr, translate: Translate) -> Scalar:
    """`#>` and `#>>`; `->` and `->>` by a constant key are read as these (parsing.py)."""
    key = node.expression
    if isinstance(key, exp.JSONPath):  # so sqlglot reads a constant key that parsing.py leaves to it
        named = key.expressions[1].this if len(key.expressions) == 2 else None
        if not isinstance(named, str) or not isinstance(key.expressions[1], exp.JSONPathKey):
            raise refuse(node.sql("postgres"))
        return _INNER[type(node)](translate(node.this), Scalar(exp.Literal.string(named), PgType(TEXT, -1, "text")))
    return _INNER[type(node)](translate(node.this), translate(key))


def compared_sets(node: exp.Expr, translate: Translate) -> Scalar:
    """`@>`, `<@` and `&&`."""
    left, right = translate(node.this), translate(node.expression)
    kind = type(node)
    if kind is exp.ArrayContainedBy:
        left, right, kind = right, left, exp.ArrayContainsAll
    if JSONB in (left.oid, right.oid) and kind is exp.ArrayContainsAll:
        plain = documents.contains(left, right) if right.text is not None else None
        return plain or paths.contains(left, right)
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
    if value.oid == JSONB and len(node.expressions) == 1:
        return paths.subscripted(value, _step(place, translate))
    if not isinstance(place, exp.Literal) or place.is_string:
        raise refuse(f"the subscript {node.sql('postgres')}", "Write a constant from 1.")
    return lists.subscript(value, Scalar(exp.Null(), PgType(23), number=str(int(place.name) + 1)))


def _step(place: exp.Expr, translate: Translate) -> Scalar:
    """A subscript of jsonb: sqlglot has taken 1 from a number."""
    number = place.this if isinstance(place, exp.Neg) else place
    if isinstance(number, exp.Literal) and not number.is_string:
        at = int(number.name) * (-1 if number is not place else 1) + 1
        return Scalar(exp.Literal.string(str(at)), PgType(UNKNOWN), text=str(at))
    return translate(place)


def extended(node: exp.Expr, translate: Translate) -> Scalar:
    """array_append, array_prepend and array_cat; sqlglot has the array of the first two first."""
    if isinstance(node, exp.ArrayConcat):
        if len(node.expressions) == 1:
            found = lists.concatenated(translate(node.this), translate(node.expressions[0]))
            if found is not None:
                return found
        raise refuse(node.sql("postgres"))
    return lists.extended(translate(node.this), translate(node.expression), last=isinstance(node, exp.ArrayAppend))


def _of_element(rule: Callable[[Scalar, Scalar], Scalar]) -> Callable[[exp.Expr, Translate], Scalar]:
    return lambda node, translate: rule(translate(node.this), translate(node.expression))


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
    **dict.fromkeys(_INNER, ({"this", "expression", "only_json_types"}, inner)),
    **dict.fromkeys(
        (exp.ArrayContainsAll, exp.ArrayContainedBy, exp.ArrayOverlaps), ({"this", "expression"}, compared_sets)
    ),
    **dict.fromkeys((exp.ArrayAppend, exp.ArrayPrepend), ({"this", "expression"}, extended)),
    exp.ArrayConcat: ({"this", "expressions"}, extended),
    exp.ArrayRemove: ({"this", "expression"}, _of_element(lists.without)),
    exp.ArrayPosition: ({"this", "expression"}, _of_element(lists.place_of)),
    exp.Array: ({"expressions"}, constructed),
    exp.Bracket: ({"this", "expressions"}, subscript),
}
