"""Operators of jsonb and of arrays as sqlglot reads them, over operands already translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import documents, lists, literals, paths
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
    """`array[1]`: a constant place, which sqlglot counts from 0, or a column; `array[1:2]`, which it counts from 1."""
    place = node.expressions[0]
    value = translate(node.this)
    if value.oid == JSONB and len(node.expressions) == 1:
        return paths.subscripted(value, _step(place, translate))
    if isinstance(place, exp.Slice):
        bounds = (place.this, place.expression)
        if place.args.get("step") is None and all(one is None or isinstance(one, _PLACES) for one in bounds):
            low, high = (None if one is None else translate(one) for one in bounds)
            return lists.sliced(value, low, high)
    elif isinstance(place, exp.Literal) and not place.is_string:
        return lists.subscript(value, Scalar(exp.Null(), PgType(23), number=str(int(place.name) + 1)))
    elif isinstance(place, exp.Column):
        return lists.subscript(value, translate(place))
    raise refuse(f"the subscript {node.sql('postgres')}", "Write a constant from 1, or a column.")


_PLACES: Final = (exp.Literal, exp.Column)


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
    """`x = ANY (array)`, `x < ALL (array)`, `x LIKE ANY (array)`; None for what compares with no array."""
    quantifier = node.expression
    every = isinstance(quantifier, exp.All) or _is_all(quantifier)
    if not every and not isinstance(quantifier, exp.Any):
        return None
    if isinstance(node, (exp.RegexpLike, exp.RegexpILike)) and isinstance(node.parent, exp.Not):
        raise refuse("!~ of many patterns", "Write NOT (x ~ ANY (...)), or NOT (x ~ ALL (...)).")
    listed = (quantifier.expressions[0] if _is_all(quantifier) else quantifier.this).unnest()
    if isinstance(listed, exp.Query):
        return None
    matching = not isinstance(node, _COMPARISONS)
    if matching and isinstance(listed, exp.Literal) and listed.is_string:
        words = literals.array_elements(listed.name)
        listed = exp.Array(expressions=[exp.Null() if one is None else exp.Literal.string(one) for one in words])
    if isinstance(listed, exp.Array) and listed.expressions and (matching or _of_constants(listed)):
        tests = []
        for one in listed.expressions:
            test = node.copy()
            test.set("expression", one.copy())
            tests.append(test)
        return translate(exp.Paren(this=(exp.and_ if every else exp.or_)(*tests, copy=False)))
    if matching:
        raise refuse(f"{node.sql('postgres')}", "Write the patterns as in ARRAY['a%', 'b%'].")
    return lists.quantified(type(node), translate(node.this), translate(listed), every=every)


_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def _is_all(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.name).upper() == "ALL" and len(node.expressions) == 1


def _of_constants(node: exp.Array) -> bool:
    """Whether it lists numbers that are not all of one type, of which DuckDB has no list."""
    return all(isinstance(one.unnest(), (exp.Literal, exp.Neg)) for one in node.expressions) and any(
        not one.is_string and "." in one.sql() for one in node.expressions
    )


RULES: Final[dict[type[exp.Expr], tuple[set[str], Callable[[exp.Expr, Translate], Scalar]]]] = {
    **dict.fromkeys(_INNER, ({"this", "expression", "only_json_types"}, inner)),
    **dict.fromkeys(
        (exp.ArrayContainsAll, exp.ArrayContainedBy, exp.ArrayOverlaps), ({"this", "expression"}, compared_sets)
    ),
    **dict.fromkeys((exp.ArrayAppend, exp.ArrayPrepend), ({"this", "expression"}, extended)),
    exp.ArrayConcat: ({"this", "expressions"}, extended),
    exp.ArrayRemove: ({"this", "expression"}, _of_element(lists.without)),
    exp.Array: ({"expressions"}, constructed),
    exp.Bracket: ({"this", "expressions"}, subscript),
}
