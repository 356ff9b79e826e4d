"""Intervals: constants, sums, multiples, parts, and what they are compared by: months of 30 days, days of 24 hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call, decimal_of
from flashql.planner.literals import BOOL, FLOAT4, FLOAT8, INTERVAL, NUMERIC
from flashql.planner.scalars import (
    INTEGERS,
    Scalar,
    as_double,
    cast,
    function,
    integer,
    interval,
    numeric,
    operand,
    refuse,
)

TYPE: Final = PgType(INTERVAL, -1, "interval")
_NUMBERS: Final = {*INTEGERS, NUMERIC, FLOAT4, FLOAT8}
_DYADIC_BITS = 20  # of a factor whose products with months and days are exact in double precision
_UNITS: Final = {
    "year": (12, 0, 0), "month": (1, 0, 0), "week": (0, 7, 0), "day": (0, 1, 0),
    "hour": (0, 0, 3_600_000_000), "minute": (0, 0, 60_000_000), "second": (0, 0, 1_000_000),
}  # fmt: skip
_FIELDS: Final = {"YEAR", "MONTH", "DAY", "HOUR", "MINUTE"}
_YEARS: Final = {"DECADE": 10, "CENTURY": 100, "MILLENNIUM": 1000}


def of_text(value: Scalar) -> Scalar:
    """An untyped constant as the interval it says."""
    return interval(value.text, None) if value.text is not None and not value.is_null else value


def arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar | None:
    """`+ - * /` of intervals, and of intervals and numbers; None for anything else."""
    if kind in (exp.Add, exp.Sub) and {left.oid, right.oid} == {INTERVAL}:
        return Scalar(exp.Paren(this=kind(this=operand(left.node), expression=operand(right.node))), TYPE)
    if kind is exp.Mul and right.oid == INTERVAL:
        left, right = right, left
    if left.oid != INTERVAL or right.oid not in _NUMBERS or kind not in (exp.Mul, exp.Div):
        return None
    return _quotient(left, right) if kind is exp.Div else _product(left, right)


def negated(value: Scalar) -> Scalar:
    """`- interval`, part by part."""
    zero = function("TO_DAYS", integer(0))
    apart = value.days_apart
    less = None if apart is None else (-apart[0], -apart[1], -apart[2])
    return Scalar(exp.Paren(this=exp.Sub(this=zero, expression=operand(value.node))), TYPE, days_apart=less)


def _product(span: Scalar, count: Scalar) -> Scalar:
    """Postgres multiplies in double precision, which is exact here: by integers, and by halves and the like."""
    if count.oid in INTEGERS and span.days_apart is not None:
        return Scalar(call("spans", cast(count.node, "BIGINT"), *map(integer, span.days_apart)), TYPE)
    if count.oid not in INTEGERS and not _is_dyadic(count):
        raise refuse(
            f"an interval times {count.type.name}, which is rounded as the machine does it,",
            "Multiply by an integer, and divide by one.",
        )
    return Scalar(call("interval_multiplied", span.node, as_double(count, "a multiple").node), TYPE)


def _is_dyadic(count: Scalar) -> bool:
    if count.number is None:
        return False
    above, below = Decimal(count.number).as_integer_ratio()
    return below & (below - 1) == 0 and abs(above).bit_length() <= _DYADIC_BITS and below.bit_length() <= _DYADIC_BITS


def _quotient(span: Scalar, count: Scalar) -> Scalar:
    return Scalar(call("interval_divided", span.node, as_double(count, "a divisor").node), TYPE)


def made_interval(counts: Mapping[str, Scalar]) -> Scalar:
    """make_interval: integers of units, and seconds as double precision, added up."""
    if not counts:
        return interval("0 days", None)
    spans = [_of_unit(unit, one) for unit, one in counts.items()]
    node = spans[0]
    for one in spans[1:]:
        node = exp.Add(this=node, expression=one)
    return Scalar(operand(node), TYPE)


def _of_unit(unit: str, count: Scalar) -> exp.Expr:
    if count.oid in INTEGERS:
        return call("spans", cast(count.node, "BIGINT"), *map(integer, _UNITS[unit]))
    if unit != "second" or count.oid not in _NUMBERS:
        raise refuse(f"make_interval of {unit}s that are {count.type.name}")
    product = exp.Mul(this=operand(as_double(count, "seconds").node), expression=cast(integer(1_000_000), "DOUBLE"))
    return function("TO_MICROSECONDS", cast(function("ROUND_EVEN", product, integer(0)), "BIGINT"))


def justified(name: str, value: Scalar) -> Scalar:
    """justify_hours, justify_days, justify_interval."""
    value = _require(value, name)
    return Scalar(call(name, value.node), TYPE)


def is_finite(value: Scalar) -> Scalar:
    """Whether it is not infinite: those of Postgres 17 have no local value."""
    known = exp.Not(this=exp.Paren(this=exp.Is(this=operand(value.node), expression=exp.Null())))
    found = exp.Case(ifs=[exp.If(this=known, true=exp.true())], default=cast(exp.Null(), "BOOLEAN"))
    return Scalar(found, PgType(BOOL, -1, "boolean"))


def extract(value: Scalar, field: str) -> Scalar | None:
    """Fields of an interval that are whole numbers, and its epoch; None of others (seconds)."""
    if field == "EPOCH":
        return decimal_of(call("interval_microseconds", value.node), 6, printed=True)
    if field in _YEARS:
        years = function("DATE_PART", exp.Literal.string("year"), value.node)
        count: exp.Expr = exp.IntDiv(this=years, expression=integer(_YEARS[field]))
    elif field in _FIELDS:
        count = function("DATE_PART", exp.Literal.string(field.lower()), value.node)
    else:
        return None
    return Scalar(cast(count, "DECIMAL(10, 0)"), numeric(10, 0), bounds=(10, 0), printed=True)


def key(value: Scalar) -> Scalar:
    """What intervals are compared and ordered by: a whole number."""
    if value.is_null:
        return value
    return Scalar(call("interval_units", of_text(value).node), numeric(38, 0))


def extreme(values: Sequence[Scalar], kind: type[exp.Expr]) -> Scalar:
    """GREATEST or LEAST: the first of those that are equal (ExecEvalMinMax)."""
    present = [of_text(one) for one in values if not one.is_null]
    found = present[0].node
    for one in present[1:]:
        known = Scalar(found, TYPE)
        test = kind(this=operand(key(one).node), expression=operand(key(known).node))
        absent = exp.Is(this=operand(found), expression=exp.Null())
        chosen = exp.Or(this=exp.Paren(this=absent), expression=exp.Paren(this=test))
        found = exp.Case(ifs=[exp.If(this=chosen, true=one.node.copy())], default=found.copy())
    return Scalar(found, TYPE)


def _require(value: Scalar, what: str) -> Scalar:
    value = of_text(value)
    if value.oid != INTERVAL:
        raise refuse(f"{what} of {value.type.name}")
    return value
