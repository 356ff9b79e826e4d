"""Functions of numbers by Postgres's name, whose value is exact: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import arithmetic, call, decimal_of, guarded
from flashql.planner.literals import FLOAT8, INT2, INT4, MAX_PRECISION, NUMERIC
from flashql.planner.scalars import (
    FLOATS,
    INTEGERS,
    LOCAL_TYPES,
    Scalar,
    as_double,
    as_numeric,
    cast,
    coerced,
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
            if name != "TRUNC":
                return _unknown(name, value)
            if digits.number is None:
                return to_digits(value, digits, rounded=False)
            return _cut(as_numeric(value, name.lower()), digits)
        if value.oid == NUMERIC and value.bounds is None:
            node = cast(function(name, value.node), f"DECIMAL({MAX_PRECISION}, 0)")
            return Scalar(node, _NUMERIC, bounds=(MAX_PRECISION, 0), printed=True)
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


def to_digits(value: Scalar, digits: Scalar, *, rounded: bool) -> Scalar:
    """Round and trunc of a numeric to a number of digits that is another one in every row."""
    name = "round" if rounded else "trunc"
    number = as_numeric(value, name)
    if number.bounds is None or digits.oid not in INTEGERS:
        raise refuse(f"{name} of {value.type.name} to digits of {digits.type.name}", "Cast it to numeric(p,s).")
    scale = number.bounds[1]
    units = call(
        "to_digits", number.node, cast(digits.node, "INTEGER"), exp.Literal.number(scale), exp.Boolean(this=rounded)
    )
    return decimal_of(units, scale)


def scale_of(value: Scalar) -> Scalar:
    """scale(): the digits after the point that it is printed with."""
    if value.oid != NUMERIC or value.bounds is None or not value.printed:
        raise refuse(f"scale of {value.type.name} that is printed with one scale or another", "Use min_scale.")
    known = exp.Not(this=exp.Paren(this=exp.Is(this=operand(value.node), expression=exp.Null())))
    node = exp.Case(ifs=[exp.If(this=known, true=exp.Literal.number(value.bounds[1]))])
    return Scalar(cast(node, "INTEGER"), PgType(INT4, -1, "integer"))


def least_scale(value: Scalar) -> Scalar:
    """min_scale(): the digits after the point without zeros at the end."""
    node = call("least_scale", as_numeric(value, "min_scale").node)
    return Scalar(cast(node, "INTEGER"), PgType(INT4, -1, "integer"))


def without_zeros(value: Scalar) -> Scalar:
    """trim_scale(): the same number, which Postgres prints otherwise."""
    number = as_numeric(value, "trim_scale")
    return Scalar(number.node, _NUMERIC, bounds=number.bounds, countable=number.countable)


_RADIANS: Final = "0.017453292519943295"  # float.h: RADIANS_PER_DEGREE


def angle(kind: type[exp.Expr]) -> Callable[[Scalar], Scalar]:
    """Degrees and radians: a quotient by, or a product with, one constant."""

    def rule(value: Scalar) -> Scalar:
        constant = Scalar(cast(exp.Literal.string(_RADIANS), "DOUBLE"), _DOUBLE)
        return arithmetic(kind, as_double(value, "an angle"), constant)

    return rule


def pi() -> Scalar:
    """The double precision number."""
    return Scalar(cast(exp.Literal.string("3.141592653589793"), "DOUBLE"), _DOUBLE)


def bucket(value: Scalar, low: Scalar, high: Scalar | None = None, count: Scalar | None = None) -> Scalar:
    """width_bucket: of so many buckets of one width, or between thresholds, which are constants here."""
    if high is None or count is None:
        return _between_thresholds(value, low)
    integer = PgType(INT4, -1, "integer")
    if count.oid not in (INT2, INT4):
        raise refuse(f"width_bucket of {count.type.name} buckets")
    sides = [value, low, high]
    if NUMERIC in {one.oid for one in sides} and not FLOATS & {one.oid for one in sides}:
        aligned = coerced(sides, "width_bucket", comparing=False)
        node = call("bucket", *(one.node for one in aligned), cast(count.node, "INTEGER"))
    else:
        node = call(
            "float_bucket", *(as_double(one, "width_bucket").node for one in sides), cast(count.node, "INTEGER")
        )
    return Scalar(cast(node, "INTEGER"), integer)


def _between_thresholds(value: Scalar, thresholds: Scalar) -> Scalar:
    """How many of the thresholds are no more than the value; ascending ones, or it is an error here."""
    element = thresholds.type.element
    if element is None or not {value.oid, element.oid} <= {*INTEGERS, FLOAT8}:
        raise refuse(
            f"width_bucket of {value.type.name} between {thresholds.type.name}", "Use integers or double precision."
        )
    node = call("place_between", cast(value.node, LOCAL_TYPES[value.oid]), thresholds.node)
    return Scalar(cast(node, "INTEGER"), PgType(INT4, -1, "integer"))


def power(value: Scalar, exponent: Scalar) -> Scalar:
    """A small whole power of an integer, which is double precision: exact as far as that has whole numbers."""
    whole = int(exponent.number) if exponent.number is not None and exponent.oid == INT4 else -1
    if value.oid not in INTEGERS or not 0 <= whole <= _LARGEST_POWER:
        reason = (
            "whose last digits depend on the origin's C library" if value.oid != NUMERIC else "which Postgres rounds"
        )
        raise refuse(f"a power of {value.type.name}, {reason},", "Write x * x for the square.")
    return Scalar(call("whole_power", cast(value.node, "HUGEINT"), exp.Literal.number(whole)), _DOUBLE)


_LARGEST_POWER: Final = 8


def of_library(name: str) -> Callable[..., Scalar]:
    """A function whose value is not the same everywhere."""

    def rule(*_: Scalar) -> Scalar:
        raise refuse(f"{name}, whose last digits depend on the origin's C library or on Postgres's rounding,")

    return rule


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
    if value.oid == NUMERIC:
        held = value.node if value.bounds is None else cast(value.node, "DECIMAL({}, {})".format(*value.bounds))
        node = function("SIGN", held)
        return Scalar(cast(node, "DECIMAL(1, 0)"), _NUMERIC, bounds=(1, 0), printed=True)
    if value.oid in {*FLOATS, *INTEGERS}:
        return Scalar(cast(function("SIGN", as_double(value, "sign").node), "DOUBLE"), _DOUBLE)
    return _unknown("sign", value)


def sqrt(value: Scalar) -> Scalar:
    """The square root: of a double to the last bit, as IEEE 754 says; negative is an error in both."""
    if value.oid == NUMERIC:
        shown = exp.Literal.number(value.bounds[1]) if value.printed and value.bounds is not None else exp.Null()
        return decimal_of(call("root", value.node, shown), _ROOT_SCALE)
    if value.oid not in {*FLOATS, *INTEGERS}:
        raise refuse(f"sqrt of {value.type.name}", "Cast it to double precision.")
    return Scalar(function("SQRT", as_double(value, "sqrt").node), _DOUBLE)


_ROOT_SCALE = 20  # of flashql.root


def factorial(value: Scalar) -> Scalar:
    """Up to 33!, beyond which no DECIMAL goes; of a negative number an error in both."""
    if value.oid not in INTEGERS:
        raise refuse(f"factorial of {value.type.name}")
    count = cast(value.node, "BIGINT")
    message = exp.DPipe(this=exp.Literal.string("factorial of "), expression=operand(count.copy()))
    beyond = exp.Not(
        this=exp.Between(this=operand(count.copy()), low=exp.Literal.number(0), high=exp.Literal.number(33))
    )
    raised = exp.If(this=beyond, true=function("ERROR", message))
    node = exp.Case(ifs=[raised], default=function("FACTORIAL", cast(count.copy(), "INTEGER")))
    return Scalar(cast(node, "DECIMAL(38, 0)"), _NUMERIC, bounds=(38, 0), printed=True)


def divisor(name: str) -> Callable[[Scalar, Scalar], Scalar]:
    """Gcd and lcm of integers and numerics; what does not fit their type is an error in both."""

    def rule(left: Scalar, right: Scalar) -> Scalar:
        type_ = common_type([left, right], name, comparing=True)
        if type_.oid == NUMERIC:
            return _divisor_of_numerics(name, as_numeric(left, name), as_numeric(right, name))
        if type_.oid not in INTEGERS:
            raise refuse(f"{name} of {type_.name}")
        type_ = PgType(INT4, -1, "integer") if type_.oid == INT2 else type_
        sides = (cast(one.node, "HUGEINT") for one in (left, right))
        return Scalar(cast(function(name.upper(), *sides), LOCAL_TYPES[type_.oid]), type_)

    return rule


def _divisor_of_numerics(name: str, left: Scalar, right: Scalar) -> Scalar:
    """As of whole numbers of the smaller unit of the two."""
    if left.bounds is None or right.bounds is None:
        raise refuse(f"{name} of numerics without precision", "Cast them to numeric(p,s).")
    scale = max(left.bounds[1], right.bounds[1])
    units = function(name.upper(), *(call("units_of", one.node, exp.Literal.number(scale)) for one in (left, right)))
    return decimal_of(units, scale, printed=left.printed and right.printed)


def quotient_whole(left: Scalar, right: Scalar) -> Scalar:
    """div(numeric, numeric): the quotient without what is after the point."""
    sides = as_numeric(left, "div"), as_numeric(right, "div")
    node = cast(call("whole_quotient", *(one.node for one in sides)), f"DECIMAL({MAX_PRECISION}, 0)")
    return Scalar(node, _NUMERIC, bounds=(MAX_PRECISION, 0), printed=True)


def remainder(left: Scalar, right: Scalar) -> Scalar:
    """`left % right` of numerics: of the sign of `left`, with the digits of both."""
    if left.bounds is None or right.bounds is None:
        dividend, divided_by = (operand(one.node) for one in coerced([left, right], "remainder", comparing=False))
        rest = exp.Mod(this=dividend, expression=divided_by)
        return Scalar(guarded(divided_by.copy(), rest, dividend.copy(), remainder=False), _NUMERIC)
    scale = max(left.bounds[1], right.bounds[1])
    precision = max(one.bounds[0] - one.bounds[1] for one in (left, right) if one.bounds is not None) + scale
    if precision > MAX_PRECISION:
        raise refuse("remainder of numerics of this size", "Cast them to numeric(p,s) of fewer digits.")
    sides = [operand(widened(one, precision, scale).node) for one in (left, right)]
    computed = exp.Mod(this=sides[0], expression=sides[1])
    node = cast(guarded(sides[1].copy(), computed, sides[0].copy(), remainder=False), f"DECIMAL({precision}, {scale})")
    return Scalar(node, numeric(precision, scale), bounds=(precision, scale), printed=left.printed and right.printed)
