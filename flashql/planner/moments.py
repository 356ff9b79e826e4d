"""What is written about moments in forms of its own: AT TIME ZONE by the zone's table (see zones.py), fields, units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import dates, intervals
from flashql.planner.arithmetic import call
from flashql.planner.collations import Locale
from flashql.planner.literals import TIMESTAMP, TIMESTAMPTZ
from flashql.planner.scalars import Scalar, cast, refuse
from flashql.planner.zones import Changes, Zone

_TIMESTAMP: Final = PgType(TIMESTAMP, -1, "timestamp without time zone")
_TIMESTAMPTZ: Final = PgType(TIMESTAMPTZ, -1, "timestamp with time zone")
_UTC: Final = {"UTC", "GMT", "ZULU", "Z", "UCT", "ETC/UTC", "ETC/GMT", "ETC/UCT", "ETC/ZULU"}
_WITHIN_HOURS: Final = {
    "MICROSECONDS", "MICROSECOND", "MILLISECONDS", "MILLISECOND", "SECOND", "MINUTE", "HOUR",
}  # fmt: skip
_HINT: Final = "Write a full name, as 'Europe/Berlin': what an abbreviation means is for the session's settings to say."


Translate = Callable[[exp.Expr], Scalar]


def at_time_zone(value: Scalar, zone: Scalar, locale: Locale | None) -> Scalar:
    """`value AT TIME ZONE zone`, of a constant zone."""
    if value.oid not in (TIMESTAMP, TIMESTAMPTZ):
        raise refuse(f"AT TIME ZONE of {value.type.name}", "Cast it to timestamp.")
    known = _zone(zone, locale)
    if value.oid == TIMESTAMPTZ:
        return Scalar(cast(_moved("local_time", value.node, known.moments), "TIMESTAMP"), _TIMESTAMP)
    return Scalar(cast(_moved("moment_of", value.node, known.locals), "TIMESTAMPTZ"), _TIMESTAMPTZ)


def _zone(zone: Scalar, locale: Locale | None) -> Zone:
    if zone.days_apart is not None:
        months, days, microseconds = zone.days_apart
        if months or days:
            raise refuse("AT TIME ZONE of an interval of days or months")
        return Zone.fixed(int(microseconds / 1_000_000))  # timestamptz_izone: towards zero
    if zone.text is None:
        raise refuse("AT TIME ZONE with a zone that is not a constant", "Write a CASE of the zones there are.")
    if zone.text.upper() in _UTC:
        return Zone.fixed(0)
    found = locale.zone(zone.text) if locale is not None else None
    if found is None:
        raise refuse(f"the time zone {zone.text!r}", _HINT)
    return found


def _moved(macro: str, moment: exp.Expr, changes: Changes) -> exp.Expr:
    if not changes.turns:
        return call(f"{macro}_fixed", moment, exp.Literal.number(changes.shifts[0]))
    return call(macro, moment, *_arguments(changes))


def _arguments(changes: Changes) -> Iterator[exp.Expr]:
    """A table as the catalog's macros take it: lists as constant text, which DuckDB reads once per query."""
    for numbers in (changes.turns, changes.shifts):
        yield exp.Literal.string(f"[{','.join(map(str, numbers))}]")
    yield exp.Null() if changes.until is None else exp.Literal.number(changes.until)
    yield exp.Literal.string(f"[{','.join(map(str, changes.years))}]")


def _at_time_zone(node: exp.Expr, translate: Translate, locale: Locale | None) -> Scalar:
    return at_time_zone(translate(node.this), translate(node.args["zone"]), locale)


def _date_trunc(node: exp.Expr, translate: Translate, locale: Locale | None) -> Scalar:
    """date_trunc(unit, value), and of a moment by a zone's days, which is done to its local time."""
    value, unit, zone = translate(node.this), node.args["unit"].name, node.args.get("zone")
    if zone is None or value.oid != TIMESTAMPTZ:
        return dates.date_trunc(value, unit)
    named = translate(zone)
    local = at_time_zone(value, named, locale)
    cut = dates.date_trunc(local, unit)
    if unit.upper() in _WITHIN_HOURS:
        moment = call("cut_within", value.node, local.node, exp.Literal.string(unit.lower()))
        return Scalar(cast(moment, "TIMESTAMPTZ"), _TIMESTAMPTZ)
    return at_time_zone(cut, named, locale)


def _extract(node: exp.Expr, translate: Translate, _: Locale | None) -> Scalar:
    return dates.extract(translate(node.expression), node.this.name)


def _make_interval(node: exp.Expr, translate: Translate, _: Locale | None) -> Scalar:
    """make_interval of counts, named or in their order."""
    counts = {}
    for unit, given in node.args.items():
        if given is not None:
            counts[unit] = translate(given.expression if isinstance(given, exp.Kwarg) else given)
    return intervals.made_interval(counts)


RULES: Final[dict[type[exp.Expr], tuple[set[str], Callable[[exp.Expr, Translate, Locale | None], Scalar]]]] = {
    exp.AtTimeZone: ({"this", "zone"}, _at_time_zone),
    exp.TimestampTrunc: ({"this", "unit", "zone"}, _date_trunc),
    exp.Extract: ({"this", "expression"}, _extract),
    exp.MakeInterval: ({"year", "month", "week", "day", "hour", "minute", "second"}, _make_interval),
}
