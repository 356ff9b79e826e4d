"""Functions of numbers by Postgres's name, whose value is exact: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call, guarded
from flashql.planner.literals import FLOAT8, INT2, INT4, INT8, MAX_PRECISION, NUMERIC
from flashql.planner.scalars import (
    FLOATS,
    INTEGERS,
    LOCAL_TYPES,
    Scalar,
    as_double,
    as_numeric,
    cast,
    common_type,
    function,
    number_node,
    numeric,
    operand,
    refuse,
    widened,
)

_DOUBLE: Final = PgType(FLOAT8, -1, "double precision")
_NUMERIC: Final = PgType(NUMERIC, -1, "numeric")


def whole(name: str) -> Callable[..., Scalar]:
    """floor, ceil, trunc: numeric of a numeric, double precision of anything else; trunc may be told digits."""

    def rule(value: Scalar, digits: Scalar | None = None) -> Scalar:
        if digits is not None:
            return _cut(as_numeric(value, name.lower()), digits) if name == "TRUNC" else _unknown(name, value)
        if value.oid == NUMERIC and value.bounds is not None:
            precision, scale = value.bounds
            wide = min(precision - scale + 1, MAX_PRECISION)
            node = function(name, cast(value.node, f"DECIMAL({precision}, {scale})"))
            return Scalar(cast(node, f"DECIMAL({wide}, 0)"), _NUMERIC, bounds=(wide, 0), printed=True)
        if value.oid in FLOATS or value.oid in INTEGERS:
            return Scalar(function(name, as_double(value, name).node), _DOUBLE)
        return _unknown(name, value)

    return rule


def _unknown(name: str, value: Scalar) -> Scalar:
    raise refuse(f"{name.lower()} of {value.type.name}", "Cast it to numeric(p,s).")


def constant_digits(value: Scalar, what: str) -> int:
    """A constant number of digits; raises `NotSupported` for anything else."""
    if value.number is None or value.oid != INT4 or abs(int(value.number)) > MAX_PRECISION:
        raise refuse(f"{what} with a number of digits that is not a constant")
    return int(value.number)


def _cut(value: Scalar, digits: Scalar) -> Scalar:
    """The number without what is after so many digits: less the remainder by the last of them."""
    wanted = constant_digits(digits, "trunc")
    if value.bounds is None or wanted < 0:
        return _unknown("trunc", value)
    precision, scale = value.bounds
    if wanted >= scale:
        return _shown(widened(value, min(precision + wanted - scale, MAX_PRECISION), wanted, printed=True))
    local = f"DECIMAL({precision}, {scale})"
    unit = cast(exp.Literal.string(_unit(wanted)), local)
    number = operand(cast(value.node, local))
    rest = exp.Paren(this=exp.Mod(this=number.copy(), expression=unit))
    wide = precision - scale + wanted
    node = cast(exp.Paren(this=exp.Sub(this=number, expression=rest)), f"DECIMAL({max(wide, 1)}, {wanted})")
    return Scalar(node, _NUMERIC, bounds=(max(wide, 1), wanted), printed=True)


def _unit(digits: int) -> str:
    return f"0.{'0' * (digits - 1)}1" if digits else "1"


def _shown(value: Scalar) -> Scalar:
    return Scalar(value.node, _NUMERIC, bounds=value.bounds, printed=True)


def rounded_up(value: Scalar, digits: int) -> Scalar:
    """round(numeric, -n): to tens, hundreds and so on, half away from zero."""
    number = as_numeric(value, "round")
    if number.bounds is None:
        raise refuse(f"round of {value.type.name} to tens", "Cast it to numeric(p,s).")
    precision, scale = number.bounds
    wide = min(max(precision - scale, -digits) + 1, MAX_PRECISION)
    node = function("ROUND", cast(number.node, f"DECIMAL({precision}, {scale})"), number_node(str(digits)))
    return Scalar(cast(node, f"DECIMAL({wide}, 0)"), _NUMERIC, bounds=(wide, 0), printed=True)


def rounded_double(value: Scalar) -> Scalar:
    """round(double precision): half to even (rint)."""
    return Scalar(function("ROUND_EVEN", as_double(value, "round").node, exp.Literal.number(0)), _DOUBLE)


def sign(value: Scalar) -> Scalar:
    """-1, 0 or 1: numeric of a numeric, double precision of anything else."""
    if value.oid == NUMERIC and value.bounds is not None:
        node = function("SIGN", cast(value.node, "DECIMAL({}, {})".format(*value.bounds)))
        return Scalar(cast(node, "DECIMAL(1, 0)"), _NUMERIC, bounds=(1, 0), printed=True)
    if value.oid in {*FLOATS, *INTEGERS}:
        return Scalar(cast(function("SIGN", as_double(value, "sign").node), "DOUBLE"), _DOUBLE)
    return _unknown("sign", value)


def sqrt(value: Scalar) -> Scalar:
    """The square root of a double, which IEEE 754 says to the last bit; negative is an error in both."""
    if value.oid not in {*FLOATS, *INTEGERS}:
        raise refuse(f"sqrt of {value.type.name}", "Cast it to double precision.")
    return Scalar(function("SQRT", as_double(value, "sqrt").node), _DOUBLE)


def divisor(name: str) -> Callable[[Scalar, Scalar], Scalar]:
    """Gcd and lcm of integers; what does not fit their type is an error in both."""

    def rule(left: Scalar, right: Scalar) -> Scalar:
        type_ = common_type([left, right], name, comparing=True)
        if type_.oid not in INTEGERS:
            raise refuse(f"{name} of {type_.name}")
        type_ = PgType(INT4, -1, "integer") if type_.oid == INT2 else type_
        sides = (cast(one.node, "HUGEINT") for one in (left, right))
        return Scalar(cast(function(name.upper(), *sides), LOCAL_TYPES[type_.oid]), type_)

    return rule


def quotient_whole(left: Scalar, right: Scalar) -> Scalar:
    """div(numeric, numeric): the quotient without what is after the point."""
    sides = as_numeric(left, "div"), as_numeric(right, "div")
    node = cast(call("whole_quotient", *(one.node for one in sides)), f"DECIMAL({MAX_PRECISION}, 0)")
    return Scalar(node, _NUMERIC, bounds=(MAX_PRECISION, 0), printed=True)


def remainder(left: Scalar, right: Scalar) -> Scalar:
    """`left % right` of numerics: of the sign of `left`, with the digits of both."""
    if left.bounds is None or right.bounds is None:
        raise refuse("remainder of numerics without precision", "Cast them to numeric(p,s).")
    scale = max(left.bounds[1], right.bounds[1])
    precision = max(one.bounds[0] - one.bounds[1] for one in (left, right) if one.bounds is not None) + scale
    if precision > MAX_PRECISION:
        raise refuse("remainder of numerics of this size", "Cast them to numeric(p,s) of fewer digits.")
    sides = [operand(widened(one, precision, scale).node) for one in (left, right)]
    computed = exp.Mod(this=sides[0], expression=sides[1])
    node = cast(guarded(sides[1].copy(), computed, sides[0].copy(), remainder=False), f"DECIMAL({precision}, {scale})")
    return Scalar(node, numeric(precision, scale), bounds=(precision, scale), printed=left.printed and right.printed)


_BITS: Final[dict[type[exp.Expr], str]] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "#"}


def combined_bits(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    """`&`, `|` and `#` of integers, in the wider of their types."""
    type_ = common_type([left, right], f"the operator {_BITS[kind]}", comparing=True)
    if type_.oid not in INTEGERS:
        raise refuse(f"the operator {_BITS[kind]} of {type_.name}")
    sides = [operand(cast(one.node, LOCAL_TYPES[type_.oid])) for one in (left, right)]
    node = function("XOR", *sides) if kind is exp.BitwiseXor else kind(this=sides[0], expression=sides[1])
    return Scalar(cast(node, LOCAL_TYPES[type_.oid]), type_)


def flipped_bits(value: Scalar) -> Scalar:
    """`~` of an integer."""
    if value.oid not in INTEGERS:
        raise refuse(f"the operator ~ of {value.type.name}")
    local = LOCAL_TYPES[value.oid]
    return Scalar(cast(exp.BitwiseNot(this=operand(cast(value.node, local))), local), value.type)


def bit_shift(left: Scalar, right: Scalar) -> Scalar:
    """`>>` of an integer by a constant, the sign kept."""
    width = {INT2: 16, INT4: 32, INT8: 64}.get(left.oid)
    if width is None or right.number is None or not 0 <= int(right.number) < width:
        raise refuse("a shift of bits by this")
    local = LOCAL_TYPES[left.oid]
    node = exp.BitwiseRightShift(this=operand(cast(left.node, local)), expression=cast(right.node, local))
    return Scalar(cast(node, local), left.type)
