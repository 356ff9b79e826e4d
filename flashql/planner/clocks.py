"""Times of day: `time` without a zone, in microseconds of a day that has a 24:00 (date.c)."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import intervals
from flashql.planner.arithmetic import call, decimal_of
from flashql.planner.literals import DATE, FLOAT4, FLOAT8, INT2, INT4, INTERVAL, NUMERIC, TIME, TIMESTAMP
from flashql.planner.scalars import INTEGERS, Scalar, as_double, cast, function, numeric, operand, refuse

TYPE: Final = PgType(TIME, -1, "time without time zone")
_TIMESTAMP: Final = PgType(TIMESTAMP, -1, "timestamp without time zone")
_FIELDS: Final = {"HOUR", "MINUTE"}
_FRACTIONS: Final = {"EPOCH": 6, "SECOND": 6, "MILLISECONDS": 3, "MICROSECONDS": 0}  # digits after the point


def converted(value: Scalar) -> Scalar:
    """CAST(value AS time), of a timestamp or an interval; of an infinite timestamp null (timestamp_time)."""
    if value.oid == TIMESTAMP:
        finite = exp.If(
            this=exp.Not(this=function("ISINF", value.node.copy())), true=call("clock_of_moment", value.node)
        )
        return Scalar(cast(exp.Case(ifs=[finite]), "TIME"), TYPE)
    if value.oid == INTERVAL:
        return _of(call("microseconds_of", value.node))
    raise refuse(f"a cast of {value.type.name or 'this type'} to time")


def as_interval(value: Scalar) -> Scalar:
    """A time as the interval since midnight."""
    return Scalar(function("TO_MICROSECONDS", _microseconds(value)), intervals.TYPE)


def arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar | None:
    """`time ± interval`, `time - time`, `date + time`; None where a time is added as the interval that it is."""
    if kind is exp.Add and right.oid == TIME and left.oid != TIME:
        left, right = right, left
    if kind not in (exp.Add, exp.Sub) or left.oid != TIME:
        return None
    if right.oid == INTERVAL:
        return _of(kind(this=operand(_microseconds(left)), expression=operand(call("microseconds_of", right.node))))
    if kind is exp.Sub and right.oid == TIME:
        span = exp.Sub(this=_microseconds(left), expression=_microseconds(right))
        return Scalar(function("TO_MICROSECONDS", span), intervals.TYPE)
    if kind is exp.Add and right.oid == DATE:
        moment = exp.Add(this=cast(right.node, "TIMESTAMP"), expression=as_interval(left).node)
        return Scalar(cast(moment, "TIMESTAMP"), _TIMESTAMP)
    return None


def extract(value: Scalar, field: str) -> Scalar:
    """EXTRACT(field FROM time)."""
    if field in _FIELDS:
        part = function("DATE_PART", exp.Literal.string(field.lower()), value.node)
        return Scalar(cast(part, "DECIMAL(7, 0)"), numeric(7, 0), bounds=(7, 0), printed=True)
    if field not in _FRACTIONS:
        raise refuse(f"extract({field.lower()}) from {value.type.name}")
    count = _microseconds(value)
    if field != "EPOCH":
        count = exp.Mod(this=operand(count), expression=exp.Literal.number(60_000_000))
    return decimal_of(count, _FRACTIONS[field], printed=True)


def made(hour: Scalar, minute: Scalar, second: Scalar) -> Scalar:
    """make_time: what is no time is an error in both."""
    if hour.oid not in (INT2, INT4) or minute.oid not in (INT2, INT4):
        raise refuse("make_time of this")
    if second.oid not in {*INTEGERS, NUMERIC, FLOAT4, FLOAT8}:
        raise refuse(f"make_time of seconds that are {second.type.name}")
    parts = cast(hour.node, "BIGINT"), cast(minute.node, "BIGINT"), cast(as_double(second, "seconds").node, "DOUBLE")
    return Scalar(cast(call("made_clock", *parts), "TIME"), TYPE)


def _microseconds(value: Scalar) -> exp.Expr:
    return function("EPOCH_US", cast(value.node, "TIME"))


def _of(microseconds: exp.Expr) -> Scalar:
    """The time of a day that so many microseconds from midnight are, whichever day."""
    return Scalar(cast(call("clock_of", microseconds), "TIME"), TYPE)
