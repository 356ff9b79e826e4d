"""The text of constants: which spellings both databases read alike, and LIKE patterns freed of escapes.

Postgres and DuckDB each accept more spellings of a date, a number or a UUID than the other. Only spellings
that mean one thing to both are let through, in one canonical form; anything else is `NotSupported`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from flashql.errors import NotSupported

# Type oids (pg_type.dat). Every oid below is fixed forever by Postgres.
BOOL, BYTEA, NAME, INT8, INT2, INT4, TEXT = 16, 17, 19, 20, 21, 23, 25
JSON, FLOAT4, FLOAT8, UNKNOWN, BPCHAR, VARCHAR, DATE = 114, 700, 701, 705, 1042, 1043, 1082
TIME = 1083
TIMESTAMP, TIMESTAMPTZ, INTERVAL, NUMERIC, UUID, JSONB = 1114, 1184, 1186, 1700, 2950, 3802

INTEGER_BITS: Final = {INT2: 16, INT4: 32, INT8: 64}
MAX_PRECISION = 38  # DuckDB's widest DECIMAL

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = r"(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
_TIMESTAMP = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_CLOCK}?")
_TIMESTAMPTZ = re.compile(
    rf"(?P<local>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_CLOCK})(?P<zone>Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)"
)
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?|24:00(?::00)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_BYTEA = re.compile(r"\\x(?:[0-9a-fA-F]{2})*")
_INFINITIES = {"infinity", "-infinity"}
_BOOLEANS = {"true": "true", "t": "true", "false": "false", "f": "false"}
_FLOATS = {"nan": "NaN", "infinity": "Infinity", "-infinity": "-Infinity"}
_FLOAT4_LARGEST = 3.4028234e38
_FLOAT4_SMALLEST = 1.1754944e-38


def canonical(text: str, oid: int) -> str:
    """The constant's text in a spelling that both databases read as the same value of the type.

    Raises `NotSupported` when the spelling is not one known to mean the same to both.

    >>> canonical("2024-01-01T12:00:00+02", TIMESTAMPTZ)
    '2024-01-01 10:00:00+00'
    """
    if oid in INTEGER_BITS:
        return _canonical_integer(text, INTEGER_BITS[oid])
    reader = _READERS.get(oid)
    if reader is None:
        raise NotSupported(f"the constant {text!r} of this type is not translated")
    try:
        return reader(text)
    except ValueError:
        raise NotSupported(
            f"the constant {text!r} is not spelled in a way that Postgres and DuckDB read alike",
            hint="Use ISO 8601 dates, plain decimal numbers, and an explicit offset with a timestamptz.",
        ) from None


def _canonical_integer(text: str, bits: int) -> str:
    if not _INTEGER.fullmatch(text) or not -(1 << bits - 1) <= int(text) < 1 << bits - 1:
        raise NotSupported(f"the constant {text!r} is not an integer of {bits} bits")
    return str(int(text))


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _canonical_bool(text: str) -> str:
    if text not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text]


def _canonical_date(text: str) -> str:
    return text if text in _INFINITIES else date.fromisoformat(_matched(_DATE, text)).isoformat()


def _canonical_timestamp(text: str) -> str:
    if text in _INFINITIES:
        return text
    return datetime.fromisoformat(_padded(_matched(_TIMESTAMP, text))).isoformat(sep=" ")


def _canonical_timestamptz(text: str) -> str:
    if text in _INFINITIES:
        return text
    match = _TIMESTAMPTZ.fullmatch(text)
    if match is None:
        raise ValueError(text)
    moment = datetime.fromisoformat(_padded(match["local"]) + match["zone"])
    try:
        return moment.astimezone(UTC).isoformat(sep=" ").replace("+00:00", "+00")
    except OverflowError:
        raise ValueError(text) from None


def _padded(text: str) -> str:
    """With six fractional digits, which every Python reads."""
    head, dot, fraction = text.partition(".")
    return f"{head}.{fraction.ljust(6, '0')}" if dot else text


def _canonical_float8(text: str) -> str:
    if text.lower() in _FLOATS:
        return _FLOATS[text.lower()]
    value = float(_matched(_NUMBER, text))
    # Postgres refuses what overflows, and what underflows; DuckDB rounds to infinity or zero.
    if value in (float("inf"), float("-inf")) or (abs(value) < 2.3e-308 and Decimal(text) != 0):
        raise ValueError(text)
    return text


def _canonical_float4(text: str) -> str:
    if text.lower() in _FLOATS:
        return _FLOATS[text.lower()]
    magnitude = abs(float(_matched(_NUMBER, text)))
    if magnitude >= _FLOAT4_LARGEST or (magnitude <= _FLOAT4_SMALLEST and Decimal(text) != 0):
        raise ValueError(text)
    return text


def _canonical_numeric(text: str) -> str:
    plain = format(Decimal(_matched(_NUMBER, text)), "f")
    precision, _ = decimal_bounds(plain)
    if precision > MAX_PRECISION:
        raise NotSupported(f"the constant {text} has more than {MAX_PRECISION} digits")
    return plain


def canonical_jsonb(text: str) -> str:
    """A document as jsonb prints it; raises `ValueError` for what is none.

    >>> canonical_jsonb('{"b" : [1, 2.50], "a":"x", "aa": null, "a": true}')
    '{"a": true, "b": [1, 2.50], "aa": null}'
    """
    return _printed(json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_matched_nothing))


def _printed(value: object) -> str:
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
        return "{" + ", ".join(f"{_printed(name)}: {_printed(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_printed, value)) + "]"
    if isinstance(value, Decimal):
        return _canonical_numeric(str(value))
    return json.dumps(value, ensure_ascii=False)


def _matched_nothing(text: str) -> None:
    raise ValueError(text)


_READERS: Final[dict[int, Callable[[str], str]]] = {
    BOOL: _canonical_bool,
    JSONB: canonical_jsonb,
    BYTEA: lambda text: _matched(_BYTEA, text),
    FLOAT4: _canonical_float4,
    FLOAT8: _canonical_float8,
    NUMERIC: _canonical_numeric,
    TEXT: str,
    VARCHAR: str,
    BPCHAR: str,
    DATE: _canonical_date,
    TIME: lambda text: _matched(_TIME, text),
    TIMESTAMP: _canonical_timestamp,
    TIMESTAMPTZ: _canonical_timestamptz,
    UUID: lambda text: _matched(_UUID, text).lower(),
}


_ARRAY_ELEMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,{}"\\](?:[^,{}"\\]*[^\s,{}"\\])?))\s*', re.DOTALL)


def array_elements(text: str) -> list[str | None]:
    """The elements of an array's text, which has one dimension; raises `NotSupported` for another (arrayfuncs.c).

    >>> array_elements('{a, "b, c", NULL}')
    ['a', 'b, c', None]
    """
    found: list[str | None] = []
    inner, at = text.strip(), 1
    if inner.replace(" ", "") == "{}":
        return found
    while inner[:1] == "{" and inner[-1:] == "}" and (part := _ARRAY_ELEMENT.match(inner, at)):
        quoted, plain = part.groups()
        null = plain is not None and plain.upper() == "NULL"
        found.append(None if null else plain if quoted is None else re.sub(r"(?s)\\(.)", r"\1", quoted))
        at = part.end() + 1
        if inner[part.end()] == "}" and part.end() == len(inner) - 1:
            return found
        if inner[part.end()] != ",":
            break
    raise NotSupported(f"the array {text!r} is not read", hint="Write it as in ARRAY['a', 'b'].")


def decimal_bounds(text: str) -> tuple[int, int]:
    """(precision, scale) of the narrowest DECIMAL that holds a plain decimal number as written."""
    whole, _, fraction = text.lstrip("+-").partition(".")
    return max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction)


def number_type(text: str) -> tuple[int, str]:
    """The type oid Postgres gives a numeric constant, and its canonical text (make_const in parse_node.c).

    >>> number_type("3000000000"), number_type("1e2")
    ((20, '3000000000'), (1700, '100'))
    """
    if _INTEGER.fullmatch(text):
        for oid in (INT4, INT8):
            bits = INTEGER_BITS[oid]
            if -(1 << bits - 1) <= int(text) < 1 << bits - 1:
                return oid, str(int(text))
    return NUMERIC, canonical(text, NUMERIC)


_MONTHS: Final = {"year": 12, "yr": 12, "month": 1, "mon": 1, "decade": 120}
_DAYS: Final = {"week": 7, "day": 1}
_MICROSECONDS: Final = {
    "hour": 3_600_000_000, "minute": 60_000_000, "min": 60_000_000, "second": 1_000_000, "sec": 1_000_000,
    "millisecond": 1000, "microsecond": 1,
}  # fmt: skip
_INTERVAL_PART = re.compile(
    r"\s*(?:(?P<count>[+-]?\s*[0-9]{1,9})\s*(?P<unit>[a-zA-Z]+)"
    r"|(?P<sign>[+-]?)\s*(?P<hours>[0-9]{1,9}):(?P<minutes>[0-5][0-9])(?::(?P<seconds>[0-5][0-9](?:\.[0-9]{1,6})?))?)(?=\s|$)"
)


def interval_parts(text: str, unit: str | None) -> tuple[int, int, int]:
    """(months, days, microseconds) of an interval's text; `unit` is what a number by itself counts.

    Raises `NotSupported` for spellings other than whole counts of units and a time.

    >>> interval_parts("1 year 2 days 03:04:05.5", None)
    (12, 2, 11045500000)
    >>> interval_parts("1 month - 1 day", None)
    (1, -1, 0)
    """
    if unit is not None and _INTEGER.fullmatch(text.strip()):
        text = f"{text} {unit}"
    months = days = microseconds = at = 0
    while text[at:].strip():
        part = _INTERVAL_PART.match(text, at)
        if part is None:
            raise NotSupported(
                f"the interval {text!r} is not read", hint="Write whole counts of units: '1 day 2 hours'."
            )
        at = part.end()
        if part["count"] is None:
            time = int(part["hours"]) * 3600 + int(part["minutes"]) * 60 + Decimal(part["seconds"] or 0)
            microseconds += int(time * 1_000_000) * (-1 if part["sign"] == "-" else 1)
            continue
        name, count = part["unit"].lower(), int("".join(part["count"].split()))
        name = name if name in _MICROSECONDS else name.removesuffix("s")
        if name not in {*_MONTHS, *_DAYS, *_MICROSECONDS}:
            raise NotSupported(f"the unit {part['unit']!r} of an interval is not read")
        months += count * _MONTHS.get(name, 0)
        days += count * _DAYS.get(name, 0)
        microseconds += count * _MICROSECONDS.get(name, 0)
    return months, days, microseconds


@dataclass(frozen=True)
class LikePattern:
    """A LIKE pattern as its tokens: `%`, `_`, or a literal character marked by a leading backslash."""

    tokens: tuple[str, ...]

    @classmethod
    def parse(cls, pattern: str, escape: str) -> LikePattern:
        """Read a pattern whose escape character is `escape` ("" for none).

        Raises `NotSupported` when the pattern ends with the escape character, an error in Postgres.
        """
        if len(escape) > 1:
            raise NotSupported("the escape of LIKE must be one character")
        tokens = []
        characters = iter(pattern)
        for character in characters:
            if character == escape:
                following = next(characters, None)
                if following is None:
                    raise NotSupported(f"the LIKE pattern {pattern!r} ends with its escape character")
                tokens.append("\\" + following)
            else:
                tokens.append(character if character in "%_" else "\\" + character)
        return cls(tuple(tokens))

    @classmethod
    def prefix(cls, text: str) -> LikePattern:
        """The pattern of everything that starts with `text`."""
        return cls((*("\\" + character for character in text), "%"))

    def __str__(self) -> str:
        """The pattern written with backslash as its escape."""
        return "".join(token if token in ("%", "_") or token[1] in "%_\\" else token[1] for token in self.tokens)
