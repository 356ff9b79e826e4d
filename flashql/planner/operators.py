"""Operators over Scalars: comparison, arithmetic, and the common type of alternatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.literals import BOOL, BPCHAR, MAX_PRECISION, NUMERIC
from flashql.planner.scalars import (
    BYTE_ORDER,
    EXACT,
    FLOATS,
    INTEGERS,
    LOCAL_TYPES,
    TEXTS,
    Scalar,
    as_numeric,
    cast,
    coerced,
    common_type,
    deterministic,
    merged_collation,
    numeric,
    operand,
    refuse,
    widened,
)

_BOOLEAN: Final = PgType(BOOL, -1, "boolean")
_ORDERINGS: Final = {exp.LT, exp.LTE, exp.GT, exp.GTE}
_COLLATE_HINT: Final = 'Write COLLATE "C" after the column to compare by code point.'


def compared(kind: type[exp.Expr], values: Sequence[Scalar]) -> Scalar:
    """`a kind b` where both, brought to one type, compare alike in both databases; raises `NotSupported`."""
    what = "comparison"
    common = common_type(values, what, comparing=True)
    check_comparable(common, values, ordering=kind in _ORDERINGS)
    left, right = coerced(values, what, comparing=True)
    return Scalar(kind(this=operand(left.node), expression=operand(right.node)), _BOOLEAN)


def check_comparable(type_: PgType, values: Sequence[Scalar], *, ordering: bool) -> None:
    """Raise `NotSupported` unless both databases compare (or order) values of this type alike."""
    if type_.oid in TEXTS:
        collation, _ = merged_collation(values)
        if ordering and collation not in BYTE_ORDER:
            raise refuse(f"the order of text under collation {collation or 'default'}", _COLLATE_HINT)
        if not deterministic(collation):
            raise refuse(f"equality of text under collation {collation}", _COLLATE_HINT)
    elif type_.kind == "e":
        if ordering:
            raise refuse(f"the order of enum {type_.name}")
    elif type_.oid not in EXACT and type_.oid != NUMERIC:
        raise refuse(f"comparison of {type_.name}")


def arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    """`+ - * / %` of integers and of bounded decimals; raises `NotSupported` for the rest."""
    type_ = common_type([left, right], "arithmetic", comparing=True)
    if not (left.countable and right.countable) or type_.oid not in {*INTEGERS, NUMERIC}:
        raise refuse(f"arithmetic on {type_.name}")
    if type_.oid == NUMERIC:
        return _decimal_arithmetic(kind, as_numeric(left, "arithmetic"), as_numeric(right, "arithmetic"))
    return _integer_arithmetic(kind, left, right, type_)


def _integer_arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar, type_: PgType) -> Scalar:
    """Both sides in Postgres's result type, where DuckDB's operators overflow at the same values."""
    local = LOCAL_TYPES[type_.oid]
    if kind in (exp.Div, exp.Mod) and (right.number is None or right.number in ("0", "-0")):
        raise refuse("division by what may be zero", "Divide by a constant.")
    if kind is exp.Mod and right.number == "-1":
        raise refuse("remainder of division by -1")
    operator = exp.IntDiv if kind is exp.Div else kind
    sides = [operand(cast(side.node, local)) for side in (left, right)]
    return Scalar(operator(this=sides[0], expression=sides[1]), type_)


def _decimal_arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    """Sums and products in a DECIMAL wide enough for every result; the scales are those of numeric.c."""
    if left.bounds is None or right.bounds is None:
        raise refuse("arithmetic on numeric without precision", "Cast it to numeric(p,s).")
    if kind not in (exp.Add, exp.Sub, exp.Mul):
        raise refuse("division of numerics")
    (p1, s1), (p2, s2) = left.bounds, right.bounds
    scale = s1 + s2 if kind is exp.Mul else max(s1, s2)
    precision = p1 + p2 if kind is exp.Mul else max(p1 - s1, p2 - s2) + scale + 1
    if precision > MAX_PRECISION:
        raise refuse(f"numeric arithmetic that needs {precision} digits", "Cast to numerics of fewer digits.")
    scales = (s1, s2) if kind is exp.Mul else (scale, scale)
    sides = [operand(widened(v, precision, s).node) for v, s in zip((left, right), scales, strict=True)]
    computed = cast(exp.Paren(this=kind(this=sides[0], expression=sides[1])), f"DECIMAL({precision}, {scale})")
    printed = left.printed and right.printed
    return Scalar(computed, numeric(precision, scale), bounds=(precision, scale), printed=printed)


def negated(value: Scalar) -> Scalar:
    """`- value`."""
    bounded = value.oid == NUMERIC and value.bounds is not None
    if not (bounded or value.oid in {*INTEGERS, *FLOATS}) or not value.countable:
        raise refuse(f"negation of {value.type.name}")
    local = LOCAL_TYPES.get(value.oid) or "DECIMAL({}, {})".format(*(value.bounds or ()))
    # DuckDB before 2.0 widens the negation of the smallest integer while folding constants: cast it back.
    return replace(value, node=cast(exp.Neg(this=operand(cast(value.node, local))), local), number=None)


def unified(values: Sequence[Scalar], what: str) -> tuple[list[Scalar], Scalar]:
    """Values as alternatives for one result, and a model of that result; raises `NotSupported`."""
    if any(v.oid == BPCHAR for v in values):
        raise refuse(f"{what} of char(n)", "Cast it to text.")
    ready = coerced(values, what, comparing=False)
    typed = [v for v in ready if not v.is_null]
    if not typed:
        raise refuse(f"{what} of nothing but NULL")
    model = typed[0]
    collation, explicit = merged_collation(values)
    return ready, replace(
        model,
        collation=collation,
        explicit=explicit,
        number=None,
        text=None,
        printed=all(v.printed for v in typed),
        countable=all(v.countable for v in ready),
    )
