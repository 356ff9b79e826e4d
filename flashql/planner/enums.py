"""Enums in order: a label's place among its type's, which the origin told when the view was defined.

DuckDB holds labels as text. Their order (pg_enum.enumsortorder) is written into the translation as a list of labels; a
label that is not in it raises where its place is asked for, so that none ever gets a wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call
from flashql.planner.literals import INT4
from flashql.planner.scalars import Scalar, function, integer, refuse

_PLACE = "enum_place"  # the macro that looks a label up
_INTEGER = PgType(INT4, -1, "integer")


def is_enum(value: Scalar) -> bool:
    """Whether the type has labels."""
    return value.type.kind == "e"


def places(values: Sequence[Scalar]) -> list[Scalar]:
    """What values of one enum are ordered by; raises `NotSupported` where the order of its labels is not told."""
    labels = _labels(values)
    return [_place(value, labels) for value in values]


def extreme(kind: type[exp.Expr], values: Sequence[Scalar]) -> Scalar:
    """GREATEST or LEAST."""
    first, *rest = (one.node for one in places(values))
    node = kind(this=first, expressions=rest, ignore_nulls=True)
    return labelled(node, next(value.type for value in values if value.type.labels))


def labelled(place: exp.Expr, type_: PgType) -> Scalar:
    """The label at a place, counted from 1; NULL at NULL."""
    return Scalar(function("LIST_EXTRACT", _list(type_.labels), place), type_)


def is_ordered_in(translation: str) -> bool:
    """Whether a translation, as text, may depend on the order of labels."""
    return _PLACE in translation


def has_place(node: exp.Expr) -> bool:
    """Whether the place of a label is asked for in it."""
    return any(one.name == _PLACE for one in node.find_all(exp.Anonymous))


def _labels(values: Sequence[Scalar]) -> tuple[str, ...]:
    told = {value.type.labels for value in values if value.type.labels}
    if len(told) != 1:
        name = next((value.type.name for value in values if is_enum(value)), "")
        raise refuse(f"the order of enum {name} here", "Order by a column of a table, or by a CASE over its labels.")
    return told.pop()


def _place(value: Scalar, labels: tuple[str, ...]) -> Scalar:
    if value.is_null:
        return value
    bare = value.node
    if isinstance(bare, exp.Literal) and bare.name in labels:
        return Scalar(integer(labels.index(bare.name) + 1), _INTEGER)
    return Scalar(call(_PLACE, bare, _list(labels)), _INTEGER)


def _list(labels: Sequence[str]) -> exp.Expr:
    return exp.Array(expressions=[exp.Literal.string(one) for one in labels])
