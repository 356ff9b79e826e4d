"""to_char of dates and timestamps, pattern by pattern (formatting.c)."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import number_formats
from flashql.planner.literals import DATE, NUMERIC, TEXT, TIMESTAMP
from flashql.planner.scalars import FLOATS, INTEGERS, Scalar, as_text, cast, function, refuse

# Of DuckDB's strftime.
_PATTERNS: Final = {
    "YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "DDD": "%j", "HH24": "%H", "HH12": "%I", "HH": "%I", "MI": "%M",
    "SS": "%S", "MS": "%g", "US": "%f", "IYYY": "%G", "IW": "%V", "ID": "%u",
}  # fmt: skip
# Names are English in both, in the case that the pattern is written in; whole ones are as long as the longest.
_NAMES: Final = {"MONTH": "%B", "DAY": "%A", "MON": "%b", "DY": "%a", "AM": "%p", "PM": "%p"}
# Numbers that are computed: of how many digits, and from what.
_COMPUTED: Final = {
    "Q": (1, "date_part('quarter', m)"),
    "D": (1, "date_part('dow', m) + 1"),
    "W": (1, "(date_part('day', m) - 1) // 7 + 1"),
    "WW": (2, "(date_part('doy', m) - 1) // 7 + 1"),
    "J": (1, "date_diff('day', DATE '2000-01-01', CAST(m AS DATE)) + 2451545"),
    **dict.fromkeys(
        ("SSSS", "SSSSS"), (1, "(date_part('hour', m) * 60 + date_part('minute', m)) * 60 + date_part('second', m)")
    ),
}
_FILLED: Final = (
    "YYYY",
    "MM",
    "DD",
    "DDD",
    "HH24",
    "HH12",
    "HH",
    "MI",
    "SS",
    "WW",
    "IW",
    "IYYY",
)  # FM takes their zeros


def _spellings() -> list[str]:
    """All patterns that are known, and IDDD, which is another one than ID and DD; the longest first."""
    numbers = [*_PATTERNS, *_COMPUTED, "IDDD"]
    found = [one for name in numbers for one in (name, name.lower())]
    found += [f"FM{name}" for name in _FILLED]
    for name in _NAMES:
        cases = [name, name.lower(), *([name.capitalize()] if name not in ("AM", "PM") else [])]
        found += [*cases, *(f"FM{one}" for one in cases)]
    return sorted(found, key=len, reverse=True)


_TOKENS: Final = re.compile(rf"{'|'.join(_spellings())}|\"[^\"\\]*\"|[-/.:, _]")
_HINT: Final = (
    "Patterns are of YYYY, MM, DD, HH24, MI, SS, Month, Dy and others, and marks or quoted text between them."
)


def to_char(value: Scalar, pattern: Scalar) -> Scalar:
    """A number as number_formats.py has it; a date or timestamp like 'YYYY-MM-DD HH24:MI:SS', of years 1 to 9999."""
    if pattern.text and value.oid in {NUMERIC, *INTEGERS}:
        return number_formats.to_char(value, pattern.text)
    parts = _TOKENS.findall(pattern.text or "")
    odd = "".join(parts) != pattern.text or "IDDD" in (one.upper() for one in parts)
    if value.oid not in (DATE, TIMESTAMP) or not parts or odd:
        hint = "Cast it to numeric(p,s)." if value.oid in FLOATS else _HINT
        raise refuse(f"to_char of {value.type.name} as {pattern.text!r}", hint)
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
    bare = part.removeprefix("FM")
    filled, name = bare == part, bare.upper()
    if part.startswith('"') or (len(part) == 1 and name not in _COMPUTED):
        return exp.Literal.string(part.strip('"'))
    if name in _NAMES:
        found = function("STRFTIME", source.copy(), exp.Literal.string(_NAMES[name]))
        if bare in (name, name.lower()):
            found = function("UPPER" if bare.isupper() else "LOWER", found)
        long = filled and name in ("MONTH", "DAY")
        return function("RPAD", found, exp.Literal.number(9), exp.Literal.string(" ")) if long else found
    if name in _PATTERNS:
        found = function("STRFTIME", source.copy(), exp.Literal.string(_PATTERNS[name]))
        return found if filled else cast(cast(found, "INTEGER"), "TEXT")
    digits, computed = _COMPUTED[name]
    tree: exp.Expr = exp.maybe_parse(computed, dialect="duckdb")
    for column in list(tree.find_all(exp.Column)):
        column.replace(source.copy())
    text = cast(cast(tree, "BIGINT"), "TEXT")
    padded = filled and digits > 1
    return function("LPAD", text, exp.Literal.number(digits), exp.Literal.string("0")) if padded else text


_PARSED: Final = {"YYYY": ("[0-9]{4}", "%Y"), "MM": ("[0-9]{2}", "%m"), "DD": ("[0-9]{2}", "%d")}


def to_date(value: Scalar, pattern: Scalar) -> Scalar:
    """to_date of a constant pattern with year, month and day: of text that is just so, and of any other an error.

    Postgres also reads what is nearly so ('2024-1-5', trailing text, other separators).
    """
    tokens = re.findall(r"YYYY|MM|DD|[-/. ]", pattern.text or "")
    if "".join(tokens) != pattern.text or sorted(one for one in tokens if one in _PARSED) != sorted(_PARSED):
        raise refuse("to_date of this pattern", "Write a constant of YYYY, MM and DD, as in 'YYYY-MM-DD'.")
    text = as_text(value)
    spelled = "".join(_PARSED[one][0] if one in _PARSED else re.escape(one) for one in tokens)
    read = "".join(_PARSED[one][1] if one in _PARSED else one for one in tokens)
    like = function("REGEXP_FULL_MATCH", text.node, exp.Literal.string(spelled))
    message = exp.DPipe(
        this=exp.Literal.string(f"text that is not plainly {pattern.text}: "), expression=text.node.copy()
    )
    ifs = [
        exp.If(this=like, true=cast(function("STRPTIME", text.node.copy(), exp.Literal.string(read)), "DATE")),
        exp.If(this=exp.Not(this=exp.Paren(this=like.copy())), true=function("ERROR", message)),
    ]
    return Scalar(cast(exp.Case(ifs=ifs), "DATE"), PgType(DATE, -1, "date"))
