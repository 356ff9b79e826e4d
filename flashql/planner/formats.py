"""to_char of dates and timestamps, pattern by pattern (formatting.c)."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import number_formats
from flashql.planner.literals import DATE, NUMERIC, TEXT, TIMESTAMP
from flashql.planner.scalars import INTEGERS, Scalar, cast, function, refuse

# Of DuckDB's strftime; names are English in both.
_PATTERNS: Final = {
    "YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "DDD": "%j", "HH24": "%H", "HH12": "%I", "HH": "%I", "MI": "%M",
    "SS": "%S", "MS": "%g", "US": "%f", "AM": "%p", "PM": "%p", "IYYY": "%G", "IW": "%V", "ID": "%u", "Mon": "%b",
    "FMMonth": "%B", "Dy": "%a", "FMDay": "%A",
}  # fmt: skip
_TOKENS: Final = re.compile(
    r"FMMonth|FMDay|IYYY|YYYY|HH24|HH12|DDD|Mon|MON|mon|Dy|DY|dy|YY|MM|DD|HH|MI|SS|MS|US|AM|PM|IW|ID|Q|T|[-/.:, _]"
)
_HINT: Final = "Patterns are of YYYY, MM, DD, HH24, MI, SS, Mon, Dy and others, and marks between them."


def to_char(value: Scalar, pattern: Scalar) -> Scalar:
    """A number as number_formats.py has it; a date or timestamp like 'YYYY-MM-DD HH24:MI:SS', of years 1 to 9999."""
    if pattern.text and value.oid in {NUMERIC, *INTEGERS}:
        return number_formats.to_char(value, pattern.text)
    written = (pattern.text or "").replace('"T"', "T")
    parts = _TOKENS.findall(written)
    odd = "T" in (pattern.text or "").replace('"T"', "")
    if value.oid not in (DATE, TIMESTAMP) or not parts or "".join(parts) != written or odd:
        raise refuse(f"to_char of {value.type.name} as {pattern.text!r}", _HINT)
    source = cast(value.node, "TIMESTAMP")
    pieces = [_piece(part, source) for part in parts]
    text = pieces[0] if len(pieces) == 1 else function("CONCAT", *pieces)
    year = function("DATE_PART", exp.Literal.string("year"), source.copy())
    usual = exp.Between(this=year, low=exp.Literal.number(1), high=exp.Literal.number(9999))
    message = exp.DPipe(this=exp.Literal.string("to_char of "), expression=cast(source.copy(), "TEXT"))
    error = exp.If(this=exp.Not(this=exp.Paren(this=usual)), true=function("ERROR", message))
    infinite = exp.If(this=function("ISINF", source.copy()), true=exp.Null())
    known = exp.If(this=exp.Is(this=source.copy(), expression=exp.Null()), true=exp.Null())
    return Scalar(exp.Case(ifs=[known, infinite, error], default=text), PgType(TEXT, -1, "text"), "default")


def _piece(part: str, source: exp.Expr) -> exp.Expr:
    if part == "Q":
        return cast(function("DATE_PART", exp.Literal.string("quarter"), source.copy()), "TEXT")
    if part in ("MON", "mon", "DY", "dy"):
        return function("UPPER" if part.isupper() else "LOWER", _piece(part.capitalize(), source))
    known = _PATTERNS.get(part)
    if known is None:
        return exp.Literal.string(part)
    return function("STRFTIME", source.copy(), exp.Literal.string(known))
