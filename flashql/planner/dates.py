"""Dates, timestamps and intervals: arithmetic, fields, truncation, with the same value in both databases.

What depends on the time zone of Postgres's session (a day's length, the day of a moment) is refused: the copy has none.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import clocks, intervals
from flashql.planner.arithmetic import call
from flashql.planner.literals import (
    BOOL,
    DATE,
    FLOAT4,
    FLOAT8,
    INT2,
    INT4,
    INTERVAL,
    NUMERIC,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
)
from flashql.planner.scalars import (
    INTEGERS,
    LOCAL_TYPES,
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

_TIMESTAMP: Final = PgType(TIMESTAMP, -1, "timestamp without time zone")
_ADDITIVE: Final = (exp.Add, exp.Sub)
# The units that mean the same before the year 1 too; decades and longer are counted differently there.
_TRUNCATIONS: Final = {
    "MICROSECONDS", "MICROSECOND", "MILLISECONDS", "MILLISECOND",
    "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR",
}  # fmt: skip
# How many years they are, and whether the first of them begins in the year 0 or 1.
_AGES: Final = {
    "DECADE": (10, 0), "DECADES": (10, 0), "CENTURY": (100, 1), "CENTURIES": (100, 1),
    "MILLENNIUM": (1000, 1), "MILLENNIA": (1000, 1),
}  # fmt: skip
_YEARS: Final = {"YEAR", "ISOYEAR", *_AGES}
_DATE_FIELDS: Final = {*_YEARS, "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "ISODOW", "DOY"}
_TIME_FIELDS: Final = {"HOUR", "MINUTE"}
_FRACTIONS: Final = {"EPOCH": 6, "SECOND": 6, "MILLISECONDS": 3, "MICROSECONDS": 0}  # digits after the point
_DAY_DIGITS = 10  # of days since 4714 BC
_FIELD_DIGITS = 7  # the last year of a Postgres date is 5874897


def _between(left: Scalar, right: Scalar, oid: int) -> Scalar:
    """Days and time between two moments, both of one sign (timestamp_mi)."""
    sides = [cast(side.node, LOCAL_TYPES[oid]) for side in (left, right)]
    return Scalar(call("between_moments", *sides), intervals.TYPE)


def dated_arithmetic(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar | None:
    """`+` and `-` with a date, timestamp or interval; None where there is none of them."""
    oids = {left.oid, right.oid}
    if not oids & {DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL}:
        return None
    if TIME in oids:
        of_day = clocks.arithmetic(kind, left, right)
        if of_day is not None:
            return of_day
        left, right = (clocks.as_interval(one) if one.oid == TIME else one for one in (left, right))
        oids = {left.oid, right.oid}
    among = intervals.arithmetic(kind, left, right) if INTERVAL in oids else None
    return among or _moved(kind, left, right)


def _moved(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    """A moment moved by a span, or the span between two."""
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
        if kind is exp.Sub and {left.oid, right.oid} <= {DATE, TIMESTAMP}:
            return _between(left, right, TIMESTAMP)
        if kind is exp.Sub and {left.oid, right.oid} == {TIMESTAMPTZ}:
            return _between(left, right, TIMESTAMPTZ)
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
        raise refuse(f"date_trunc of {value.type.name}", "Cast the column to timestamp, or the result to date.")
    if unit.upper() in _AGES:
        cut = call("cut_to_years", cast(value.node, "TIMESTAMP"), *map(integer, _AGES[unit.upper()]))
        return Scalar(cast(cut, "TIMESTAMP"), value.type)
    if unit.upper() not in _TRUNCATIONS:
        raise refuse(f"date_trunc to {unit.lower()}")
    cut = function("DATE_TRUNC", exp.Literal.string(unit.lower()), cast(value.node, "TIMESTAMP"))
    # DuckDB 1 rewrites a comparison of date_trunc itself with a constant that is no start of a unit: = false, <> true,
    # of null too.
    return Scalar(cast(function("COALESCE", cut, exp.Null()), "TIMESTAMP"), value.type)


def age(later: Scalar, earlier: Scalar) -> Scalar:
    """Years, months, days and time from one moment to another (timestamp_age); of infinite ones an error here.

    Of dates Postgres takes the session's midnights, whose fields are these.
    """
    if not {later.oid, earlier.oid} <= {DATE, TIMESTAMP}:
        raise refuse(f"age of {later.type.name} and {earlier.type.name}", "Write both AT TIME ZONE 'UTC'.")
    return Scalar(call("ages", *(cast(one.node, "TIMESTAMP") for one in (later, earlier))), intervals.TYPE)


def binned(stride: Scalar, moment: Scalar, origin: Scalar) -> Scalar:
    """date_bin: the start of the stride that the moment is in, counted from an origin; days have 24 hours."""
    if stride.text is not None:
        stride = interval(stride.text, None)
    apart = stride.days_apart
    length = None if apart is None else apart[1] * 86_400_000_000 + apart[2]
    plain = moment.oid == TIMESTAMP and origin.oid in (TIMESTAMP, DATE)
    zoned = {moment.oid, origin.oid} == {TIMESTAMPTZ}
    if not (plain or zoned) or length is None or length <= 0 or (apart or (1,))[0]:
        raise refuse(
            f"date_bin of {moment.type.name} from {origin.type.name or 'an untyped constant'}",
            "Write a stride without months, and moments of one type, as in timestamptz '2024-01-01 00:00+00'.",
        )
    if zoned:
        return Scalar(cast(call("instant_bin", integer(length), moment.node, origin.node), "TIMESTAMPTZ"), moment.type)
    sides = [cast(one.node, "TIMESTAMP") for one in (moment, origin)]
    return Scalar(cast(call("date_bin", integer(length), *sides), "TIMESTAMP"), _TIMESTAMP)


def extract(value: Scalar, field: str) -> Scalar:
    """EXTRACT(field FROM date or timestamp).

    Infinity has no day: null in both. Its year is infinite in Postgres, which no DECIMAL holds: raises.
    """
    field = field.upper()
    if value.oid == TIME:
        return clocks.extract(value, field)
    whole = intervals.extract(value, field) if value.oid == INTERVAL else None
    if whole is not None:
        return whole
    if value.oid == INTERVAL and field in ("SECOND", "MILLISECONDS", "MICROSECONDS"):
        return _fraction(value, field)
    fields = {DATE: _DATE_FIELDS | {"JULIAN", *_YEARS}, TIMESTAMP: _DATE_FIELDS | _TIME_FIELDS | _YEARS}.get(
        value.oid, set()
    )
    if value.oid in (TIMESTAMP, TIMESTAMPTZ) and field in _FRACTIONS and (value.oid == TIMESTAMP or field == "EPOCH"):
        return _fraction(value, field)
    if field not in fields:
        raise refuse(f"extract({field.lower()}) from {value.type.name}")
    source = cast(value.node, LOCAL_TYPES[value.oid])
    part: exp.Expr = function("DATE_PART", exp.Literal.string(field.lower()), source)
    if field in _YEARS:
        part = _year(field, source)
    digits = _DAY_DIGITS if field == "JULIAN" else _FIELD_DIGITS
    return Scalar(cast(part, f"DECIMAL({digits}, 0)"), numeric(digits, 0), bounds=(digits, 0), printed=True)


def _fraction(value: Scalar, field: str) -> Scalar:
    """Seconds and their parts, with the digits that Postgres prints; null of what is infinite, but its epoch raises."""
    local, divisor_digits = LOCAL_TYPES[value.oid], _FRACTIONS[field]
    source = cast(value.node, local)
    if field == "EPOCH":
        count: exp.Expr = function("EPOCH_US", source)
        message = exp.DPipe(this=exp.Literal.string("the epoch of "), expression=cast(source.copy(), "TEXT"))
        infinite = exp.If(this=function("ISINF", source.copy()), true=function("ERROR", message))
        count = exp.Case(ifs=[infinite], default=count)
    else:
        count = function("DATE_PART", exp.Literal.string("microseconds"), source)
    digits = 19 if field == "EPOCH" else 8
    whole = cast(count, f"DECIMAL({digits}, 0)")
    type_ = PgType(NUMERIC, -1, "numeric")
    if not divisor_digits:
        return Scalar(whole, type_, bounds=(digits, 0), printed=True)
    unit = cast(exp.Literal.string(f"0.{'0' * (divisor_digits - 1)}1"), f"DECIMAL({divisor_digits}, {divisor_digits})")
    wide = (digits + divisor_digits, divisor_digits)
    node = cast(exp.Paren(this=exp.Mul(this=whole, expression=unit)), "DECIMAL({}, {})".format(*wide))
    return Scalar(node, type_, bounds=wide, printed=True)


def date_part(value: Scalar, field: str) -> Scalar:
    """What EXTRACT gives, as double precision."""
    part = extract(value, field)
    return Scalar(cast(part.node, "DOUBLE"), PgType(FLOAT8, -1, "double precision"))


def _year(field: str, source: exp.Expr) -> exp.Expr:
    """A year, or which decade and the like it is in. DuckDB's year 0 is 1 BC, which Postgres numbers -1."""
    if field in _AGES:
        counted = function("DATE_PART", exp.Literal.string("year"), source)
        return _of_finite(call("age_of_years", counted, *map(integer, _AGES[field])), source)
    year = function("DATE_PART", exp.Literal.string(field.lower()), source)
    zero = exp.Literal.number(0)
    before = exp.If(
        this=exp.LTE(this=year.copy(), expression=zero),
        true=exp.Sub(this=year.copy(), expression=exp.Literal.number(1)),
    )
    return _of_finite(exp.Case(ifs=[before], default=year), source)


def _of_finite(year: exp.Expr, source: exp.Expr) -> exp.Expr:
    message = exp.Literal.string("the year of an infinite date has no exact local value")
    infinite = exp.If(this=function("ISINF", source.copy()), true=function("ERROR", message))
    if isinstance(year, exp.Case):
        return exp.Case(ifs=[infinite, *year.args["ifs"]], default=year.args["default"])
    return exp.Case(ifs=[infinite], default=year)


def made_date(year: Scalar, month: Scalar, day: Scalar) -> Scalar:
    """make_date: what is no date is an error in both, and so is a year before 1 here."""
    parts = [cast(one.node, "BIGINT") for one in (year, month, day)]
    if any(one.oid not in (INT2, INT4) for one in (year, month, day)):
        raise refuse("make_date of this")
    early = exp.LT(this=parts[0].copy(), expression=integer(1))
    message = function("ERROR", exp.Literal.string("make_date of a year before 1"))
    made = exp.Case(ifs=[exp.If(this=early, true=message)], default=function("MAKE_DATE", *parts))
    return Scalar(cast(made, "DATE"), PgType(DATE, -1, "date"))


def made_timestamp(*parts: Scalar) -> Scalar:
    """make_timestamp: the date and the time that its parts make."""
    moment = clocks.arithmetic(exp.Add, clocks.made(*parts[3:]), made_date(*parts[:3]))
    assert moment is not None
    return moment


def of_epoch(seconds: Scalar) -> Scalar:
    """to_timestamp of seconds of the epoch, in double precision."""
    if seconds.oid not in {*INTEGERS, NUMERIC, FLOAT4, FLOAT8}:
        raise refuse(f"to_timestamp of {seconds.type.name}")
    moment = call("moment_of_epoch", as_double(seconds, "to_timestamp").node)
    return Scalar(cast(moment, "TIMESTAMPTZ"), PgType(TIMESTAMPTZ, -1, "timestamp with time zone"))


def rounded(value: Scalar, digits: int, type_: PgType) -> Scalar:
    """A timestamp cast to one with so many digits of its second."""
    name = {TIMESTAMP: "rounded_timestamp", TIMESTAMPTZ: "rounded_timestamptz"}[type_.oid]
    node = call(name, cast(value.node, LOCAL_TYPES[type_.oid]), integer(10 ** (6 - digits)))
    return Scalar(cast(node, LOCAL_TYPES[type_.oid]), type_)


def is_finite(value: Scalar) -> Scalar:
    """Whether a date or timestamp is not infinite."""
    if value.oid == INTERVAL:
        return intervals.is_finite(value)
    if value.oid not in (DATE, TIMESTAMP, TIMESTAMPTZ):
        raise refuse(f"isfinite of {value.type.name}")
    infinite = function("ISINF", cast(value.node, LOCAL_TYPES[value.oid]))
    return Scalar(exp.Not(this=infinite), PgType(BOOL, -1, "boolean"))
