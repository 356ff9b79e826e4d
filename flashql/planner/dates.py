"""Dates, timestamps and intervals: arithmetic, fields, truncation, with the same value in both databases.

What depends on the time zone of Postgres's session (a day's length, the day of a moment) is refused: the copy has none.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.literals import DATE, FLOAT8, INT2, INT4, INTERVAL, TIMESTAMP, TIMESTAMPTZ, interval_parts
from flashql.planner.scalars import LOCAL_TYPES, Scalar, cast, function, numeric, operand, refuse

_INTERVAL: Final = PgType(INTERVAL, -1, "interval")
_TIMESTAMP: Final = PgType(TIMESTAMP, -1, "timestamp without time zone")
_ADDITIVE: Final = (exp.Add, exp.Sub)
# The units that mean the same before the year 1 too; decades and longer are counted differently there.
_TRUNCATIONS: Final = {
    "MICROSECONDS", "MICROSECOND", "MILLISECONDS", "MILLISECOND",
    "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR",
}  # fmt: skip
_DATE_FIELDS: Final = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "ISODOW", "DOY"}
_TIME_FIELDS: Final = {"HOUR", "MINUTE"}
_FIELD_DIGITS = 7  # the last year of a Postgres date is 5874897


def interval(text: str, unit: str | None) -> Scalar:
    """A constant interval: months, days and microseconds apart, as both databases keep them."""
    months, days, microseconds = interval_parts(text, unit)
    parts = [("TO_MONTHS", months), ("TO_DAYS", days), ("TO_MICROSECONDS", microseconds)]
    calls = [function(name, number(count)) for name, count in parts if count]
    node = calls[0] if calls else function("TO_DAYS", number(0))
    for one in calls[1:]:
        node = exp.Add(this=node, expression=one)
    return Scalar(operand(node), _INTERVAL, number=None, days_apart=(months, days, microseconds))


def number(value: int) -> exp.Expr:
    """An integer as a literal."""
    literal = exp.Literal.number(abs(value))
    return exp.Neg(this=literal) if value < 0 else literal


def dated_arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar | None:
    """`+` and `-` with a date, timestamp or interval; None where there is none of them."""
    oids = {left.oid, right.oid}
    if not oids & {DATE, TIMESTAMP, TIMESTAMPTZ, INTERVAL}:
        return None
    if kind is exp.Add and right.oid in (DATE, TIMESTAMP, TIMESTAMPTZ):
        left, right = right, left
    if kind in _ADDITIVE and left.oid in (DATE, TIMESTAMP, TIMESTAMPTZ):
        if right.oid == INTERVAL:
            return _shifted(kind, left, right)
        if left.oid == DATE and right.oid in (INT2, INT4):
            node = kind(this=operand(left.node), expression=operand(cast(right.node, "INTEGER")))
            return Scalar(cast(node, "DATE"), left.type)
        if kind is exp.Sub and {left.oid, right.oid} == {DATE}:
            return _days_between(left, right)
    names = " and ".join(one.type.name for one in (left, right))
    raise refuse(f"arithmetic on {names}")


def _shifted(kind: type[exp.Expr], moment: Scalar, by: Scalar) -> Scalar:
    if moment.oid == TIMESTAMPTZ and (by.days_apart is None or any(by.days_apart[:2])):
        raise refuse(
            "days or months from a timestamp with time zone, which depend on the session's time zone,",
            "Add hours, or convert it to a timestamp first.",
        )
    type_ = moment.type if moment.oid == TIMESTAMPTZ else _TIMESTAMP
    local = LOCAL_TYPES[type_.oid]
    node = kind(this=operand(cast(moment.node, local)), expression=operand(by.node))
    return Scalar(cast(node, local), type_)


def _days_between(left: Scalar, right: Scalar) -> Scalar:
    """Days as an integer; of infinite dates there is no number, an error in Postgres."""
    sides = [operand(cast(side.node, "DATE")) for side in (left, right)]
    infinite = exp.or_(*(function("ISINF", side.copy()) for side in sides), copy=False)
    message = exp.DPipe(this=exp.Literal.string("cannot subtract infinite dates, as in "), expression=sides[0].copy())
    ifs = [exp.If(this=infinite, true=function("ERROR", message))]
    difference = exp.Case(ifs=ifs, default=exp.Sub(this=sides[0], expression=sides[1]))
    return Scalar(cast(difference, "INTEGER"), PgType(INT4, -1, "integer"))


def date_trunc(value: Scalar, unit: str) -> Scalar:
    """A timestamp cut to a unit. Of a date it would be a timestamptz in the session's time zone."""
    if value.oid != TIMESTAMP:
        raise refuse(f"date_trunc of {value.type.name}", "Cast the column to timestamp.")
    if unit.upper() not in _TRUNCATIONS:
        raise refuse(f"date_trunc to {unit.lower()}")
    name = exp.Literal.string(unit.lower())
    return Scalar(cast(function("DATE_TRUNC", name, cast(value.node, "TIMESTAMP")), "TIMESTAMP"), value.type)


def extract(value: Scalar, field: str) -> Scalar:
    """EXTRACT(field FROM date or timestamp).

    Infinity has no day: null in both. Its year is infinite in Postgres, which no DECIMAL holds: raises.
    """
    field = field.upper()
    fields = {DATE: _DATE_FIELDS, TIMESTAMP: _DATE_FIELDS | _TIME_FIELDS}.get(value.oid, set())
    if field not in fields:
        raise refuse(f"extract({field.lower()}) from {value.type.name}")
    source = cast(value.node, LOCAL_TYPES[value.oid])
    part: exp.Expr = function("DATE_PART", exp.Literal.string(field.lower()), source)
    if field == "YEAR":
        part = _historical_year(part, source)
    type_ = numeric(_FIELD_DIGITS, 0)
    local = f"DECIMAL({_FIELD_DIGITS}, 0)"
    return Scalar(cast(part, local), type_, bounds=(_FIELD_DIGITS, 0), printed=True)


def date_part(value: Scalar, field: str) -> Scalar:
    """What EXTRACT gives, as double precision."""
    part = extract(value, field)
    return Scalar(cast(part.node, "DOUBLE"), PgType(FLOAT8, -1, "double precision"))


def _historical_year(year: exp.Expr, source: exp.Expr) -> exp.Expr:
    """DuckDB's year 0 is 1 BC, which Postgres numbers -1."""
    zero = exp.Literal.number(0)
    before = exp.If(
        this=exp.LTE(this=year.copy(), expression=zero),
        true=exp.Sub(this=year.copy(), expression=exp.Literal.number(1)),
    )
    message = exp.Literal.string("the year of an infinite date has no exact local value")
    infinite = exp.If(this=function("ISINF", source.copy()), true=function("ERROR", message))
    return exp.Case(ifs=[infinite, before], default=year)
