"""Arithmetic with Postgres's results: integers, numerics with their scales and rounding; division by zero raises.

A numeric is a DECIMAL here, of at most 38 digits. Where the operands' sizes promise that every result fits, it has the
size of the widest; where they do not, DuckDB raises for a result that does not fit. Nothing is rounded that Postgres
does not round.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.literals import FLOAT4, FLOAT8, MAX_PRECISION, NUMERIC
from flashql.planner.scalars import (
    INTEGERS,
    LOCAL_TYPES,
    Scalar,
    as_double,
    as_numeric,
    cast,
    common_type,
    numeric,
    operand,
    refuse,
    widened,
)

_NUMERIC: Final = PgType(NUMERIC, -1, "numeric")
_KNOWN_SCALE = 12  # of operands printed with no one scale: beyond, a quotient's digits would depend on it too often
_QUOTIENT_SCALES: Final = (28, 24, 20)  # 16 significant digits and those of groups of four that are begun
_QUOTIENT_DIGITS = 14  # before the point: a quotient of large numbers is seldom larger, and often smaller than 1


def arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    """`+ - * / %` of integers and of numerics; raises `NotSupported` for the rest."""
    type_ = common_type([left, right], "arithmetic", comparing=True)
    if type_.oid == FLOAT8 or {left.oid, right.oid} == {FLOAT4}:
        return _float_arithmetic(kind, left, right, type_)
    if not (left.countable and right.countable) or type_.oid not in {*INTEGERS, NUMERIC}:
        raise refuse(f"arithmetic on {type_.name}")
    if type_.oid == NUMERIC:
        sides = as_numeric(left, "arithmetic"), as_numeric(right, "arithmetic")
        return quotient(*sides) if kind is exp.Div else _decimal_arithmetic(kind, *sides)
    return _integer_arithmetic(kind, left, right, type_)


def _float_arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar, type_: PgType) -> Scalar:
    """IEEE 754 in both; where finite numbers give infinity, or others than 0 give 0, Postgres raises."""
    if kind not in (exp.Add, exp.Sub, exp.Mul, exp.Div):
        raise refuse("remainder of floating-point numbers")
    local = LOCAL_TYPES[type_.oid]
    sides = [
        operand(cast((as_double(v, "arithmetic") if type_.oid == FLOAT8 else v).node, local)) for v in (left, right)
    ]
    result = cast(exp.Paren(this=kind(this=sides[0], expression=sides[1])), local)
    name = {exp.Mul: "product", exp.Div: "ratio"}.get(kind, "total")
    return Scalar(cast(call(name, sides[0], sides[1], result), local), type_)


def _integer_arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar, type_: PgType) -> Scalar:
    """Both sides in Postgres's result type, where DuckDB's operators overflow at the same values."""
    local = LOCAL_TYPES[type_.oid]
    sides = [operand(cast(side.node, local)) for side in (left, right)]
    if kind not in (exp.Div, exp.Mod):
        return Scalar(kind(this=sides[0], expression=sides[1]), type_)
    operator = exp.IntDiv if kind is exp.Div else exp.Mod
    computed = operator(this=sides[0], expression=sides[1])
    if right.number is None or right.number in ("0", "-0"):
        return Scalar(guarded(sides[1], computed, sides[0], remainder=kind is exp.Mod), type_)
    if kind is exp.Mod and right.number == "-1":
        return Scalar(exp.Mul(this=sides[0], expression=exp.Literal.number(0)), type_)
    return Scalar(computed, type_)


def guarded(divisor: exp.Expr, computed: exp.Expr, dividend: exp.Expr, *, remainder: bool) -> exp.Expr:
    """The division, or an error where the divisor is zero; a remainder by -1 is 0, where DuckDB overflows."""
    message = exp.DPipe(this=exp.Literal.string("division by zero of "), expression=dividend.copy())
    zero = exp.EQ(this=divisor.copy(), expression=exp.Literal.number(0))
    ifs = [exp.If(this=zero, true=exp.Anonymous(this="ERROR", expressions=[message]))]
    if remainder:
        one = exp.EQ(this=divisor.copy(), expression=exp.Neg(this=exp.Literal.number(1)))
        ifs.append(exp.If(this=one, true=exp.Mul(this=divisor.copy(), expression=exp.Literal.number(0))))
    return exp.Case(ifs=ifs, default=computed)


def in_turn(kind: type[exp.Expr], left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """The right side of AND or OR, not computed where the left side decides, if it may raise.

    Postgres does not promise that order but keeps it, and queries count on it: `x <> 0 AND y / x > 1`.
    """
    if not _may_raise(right) or left.find(exp.Query):
        return right
    decided: exp.Expr = exp.Not(this=left.copy()) if kind is exp.And else left.copy()
    known = exp.false() if kind is exp.And else exp.true()
    return exp.Case(ifs=[exp.If(this=decided, true=known)], default=right.unnest())


def _may_raise(node: exp.Expr) -> bool:
    """Whether it divides by what may be zero, or the like; what a subquery computes is computed in any case."""
    if node.find(exp.Query) is not None:
        return False
    calls = [one.expression for one in node.find_all(exp.Dot)]
    return any(not _divides_safely(one) for one in calls) or any(
        one.name == "ERROR" for one in node.find_all(exp.Anonymous)
    )


def _divides_safely(node: exp.Expr) -> bool:
    """Whether a macro's second operand is no zero: a constant, or null instead."""
    divisor = node.expressions[1].unnest() if len(node.expressions) > 1 else node
    if isinstance(divisor, exp.Cast) and isinstance(divisor.this, exp.Literal):
        return any(digit in divisor.this.name for digit in "123456789")
    return isinstance(divisor, exp.Nullif)


def _decimal_arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    """Sums and products; the scales are those of numeric.c."""
    if kind not in (exp.Add, exp.Sub, exp.Mul):
        raise refuse("this arithmetic of numerics")
    if left.bounds is None or right.bounds is None:
        # A DECIMAL whose scale is not known here, or text, with which DuckDB does not compute.
        return Scalar(exp.Paren(this=kind(this=operand(left.node), expression=operand(right.node))), _NUMERIC)
    (p1, s1), (p2, s2) = left.bounds, right.bounds
    scale = s1 + s2 if kind is exp.Mul else max(s1, s2)
    precision = p1 + p2 if kind is exp.Mul else max(p1 - s1, p2 - s2) + scale + 1
    if scale > MAX_PRECISION:
        raise refuse(f"numeric arithmetic with {scale} digits after the point", "Round the operands first.")
    printed = left.printed and right.printed
    if precision > MAX_PRECISION:
        return _checked(kind, left, right, scale, printed=printed)
    scales = (s1, s2) if kind is exp.Mul else (scale, scale)
    sides = [operand(widened(v, precision, s).node) for v, s in zip((left, right), scales, strict=True)]
    computed = cast(exp.Paren(this=kind(this=sides[0], expression=sides[1])), f"DECIMAL({precision}, {scale})")
    return Scalar(computed, numeric(precision, scale), bounds=(precision, scale), printed=printed)


def _checked(kind: type[exp.Expr], left: Scalar, right: Scalar, scale: int, *, printed: bool) -> Scalar:
    """In DECIMAL(38, scale), which raises for what does not fit."""
    sides = []
    for value in (left, right):
        assert value.bounds is not None
        precision, own = value.bounds if kind is exp.Mul else (MAX_PRECISION, scale)
        sides.append(operand(widened(value, precision, own).node))
    # Two products of 18 digits or less would be computed in 64 bits; one side here has more.
    node = cast(exp.Paren(this=kind(this=sides[0], expression=sides[1])), f"DECIMAL({MAX_PRECISION}, {scale})")
    return Scalar(node, _NUMERIC, bounds=(MAX_PRECISION, scale), printed=printed)


def quotient(left: Scalar, right: Scalar, whole_digits: int | None = None, *, macro: str = "quotient") -> Scalar:
    """`left / right` of numerics: as many digits as Postgres computes, the last of them rounded as there.

    `whole_digits` says how many there are before the point at most, where that is known better than by sizes.
    """
    shown: exp.Expr = exp.Null()
    known = [side.bounds for side in (left, right) if side.bounds is not None]
    if left.printed and right.printed and len(known) == 2:
        shown = exp.Literal.number(max(scale for _, scale in known))
    elif any(scale > _KNOWN_SCALE for _, scale in known):
        raise refuse("division of what a division or the like gave", "Round it first: round(x, 6).")
    if whole_digits is None:
        whole_digits = min(_whole_digits(left, right), _QUOTIENT_DIGITS)
    scale = _fitting(whole_digits)
    units = call(macro, left.node, right.node, shown, exp.Literal.number(scale))
    return decimal_of(units, scale)


def average(total: exp.Expr, count: exp.Expr, argument: Scalar) -> Scalar:
    """The quotient of a sum and a count of `argument`, a numeric; null where nothing was counted."""
    counted = exp.Nullif(this=count, expression=exp.Literal.number(0))
    bounds = argument.bounds
    dividend = replace(argument, node=total, number=None)
    divisor = Scalar(counted, numeric(19, 0), bounds=(19, 0), printed=True)
    return quotient(dividend, divisor, None if bounds is None else bounds[0] - bounds[1])


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A macro of the database file's schema `flashql`."""
    function = exp.Anonymous(this=name, expressions=[one.copy() for one in arguments])
    return exp.Dot(this=exp.to_identifier("flashql"), expression=function)


def decimal_of(units: exp.Expr, scale: int, *, printed: bool = False) -> Scalar:
    """A number of 10^-scale as the numeric it is."""
    node = cast(units, f"DECIMAL({MAX_PRECISION}, 0)")
    if scale:
        unit = cast(exp.Literal.string(f"0.{'0' * (scale - 1)}1"), f"DECIMAL({scale}, {scale})")
        node = cast(exp.Paren(this=exp.Mul(this=node, expression=unit)), f"DECIMAL({MAX_PRECISION}, {scale})")
    return Scalar(node, _NUMERIC, bounds=(MAX_PRECISION, scale), printed=printed)


def sum_of(node: exp.Expr, argument: Scalar) -> Scalar:
    """A sum of a numeric with bounds."""
    assert argument.bounds is not None
    return Scalar(node, _NUMERIC, bounds=(MAX_PRECISION, argument.bounds[1]), printed=argument.printed)


def variance(count: exp.Expr, total: Scalar, squares: Scalar, *, sample: bool, root: bool = False) -> Scalar:
    """The variance of so many numbers with that sum and sum of squares, or its square root, the standard deviation.

    Null of too few, 0 where all are equal.
    """
    enough = exp.GTE(this=operand(count.copy()), expression=exp.Literal.number(2 if sample else 1))
    counted = exp.Case(ifs=[exp.If(this=enough, true=count)])
    n = Scalar(cast(counted, "DECIMAL(19, 0)"), numeric(19, 0), bounds=(19, 0), printed=True)
    above = arithmetic(exp.Sub, arithmetic(exp.Mul, n, squares), arithmetic(exp.Mul, total, total))
    one = as_numeric(Scalar(exp.Literal.number(1), numeric(1, 0), number="1"), "variance")
    below = arithmetic(exp.Mul, n, arithmetic(exp.Sub, n, one) if sample else n)
    return quotient(above, below, macro="deviation" if root else "quotient")


def _whole_digits(left: Scalar, right: Scalar) -> int:
    """How many digits a quotient has before the point at most, by the operands' sizes."""
    if left.bounds is None or right.bounds is None:
        return MAX_PRECISION
    return left.bounds[0] - left.bounds[1] + right.bounds[1]


def _fitting(digits: int) -> int:
    """The most digits after the point that leave room for so many before it."""
    fitting = (scale for scale in _QUOTIENT_SCALES if scale + digits <= MAX_PRECISION)
    return next(fitting, _QUOTIENT_SCALES[-1])


def rounded_ratio(value: Scalar, digits: int) -> Scalar | None:
    """A quotient to so many digits, of which no more than these must fit; None for what is no quotient itself."""
    found = next((one.expression for one in value.node.find_all(exp.Dot)), None)
    if found is None or found.name not in ("quotient", "deviation"):
        return None
    if value.node != decimal_of(found.parent, _scale_of(found)).node:
        return None
    units = call(f"rounded_{found.name}", *found.expressions[:3], exp.Literal.number(digits))
    return decimal_of(units, digits, printed=True)


def _scale_of(quotient: exp.Expr) -> int:
    return int(quotient.expressions[3].name)


def rounded(value: Scalar, digits: int | None) -> Scalar:
    """round(numeric, digits): half away from zero; digits after the point only. Without them an integer is a double."""
    ratio = rounded_ratio(value, digits or 0)
    if ratio is not None:
        return ratio
    if value.oid != NUMERIC and not (value.oid in INTEGERS and digits is not None):
        raise refuse(f"round of {value.type.name}", "Cast it to numeric.")
    number, digits = as_numeric(value, "round"), digits or 0
    if number.bounds is None:
        return replace(widened(number, MAX_PRECISION, digits, printed=True), type=_NUMERIC)
    precision, scale = number.bounds
    if digits >= scale:
        wide = min(precision + digits - scale, MAX_PRECISION)
        return replace(widened(number, wide, digits, printed=True), type=_NUMERIC)
    wide = min(precision - scale + 1 + digits, MAX_PRECISION)
    return replace(widened(number, wide, digits, printed=True), type=_NUMERIC)
