"""to_char of numbers (formatting.c: NUM_processor): digits, commas and signs at constant places.

    to_char(amount, 'FM999,990.00')

A number is rounded to the pattern's digits after the point, half away from zero; one with too many before it is shown
as #. What is printed where the locale's marks stand (D, G, L, S) is a setting of each session: it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call, rounded
from flashql.planner.literals import NUMERIC, TEXT
from flashql.planner.scalars import INTEGERS, Scalar, as_numeric, cast, function, integer, refuse

_QUOTED: Final = r'((?:[^A-Za-z0-9.,"\\]|"[^"\\]*")*)'
_PATTERN: Final = re.compile(
    rf"{_QUOTED}((?:FM|fm)?){_QUOTED}((?:MI|mi|PL|pl|SG|sg)?){_QUOTED}"
    rf"([90](?:[90,]*[90])?)(?:\.([90]+))?{_QUOTED}((?:MI|mi|PL|pl|SG|sg|PR|pr|TH|th)?){_QUOTED}"
)
_SIGNS: Final = {"MI": (" ", "-"), "PL": ("+", " "), "SG": ("+", "-")}
_LOCAL: Final = re.compile(r"[DGLSdgls](?!g|G)")
_HINT: Final = "Patterns are of 9, 0, commas and a point, with FM before them and MI, PL, SG, PR or TH beside them."


@dataclass(frozen=True)
class _Places:
    """Where digits stand: `whole` as it is written, and how many after the point; `least` of these stay under FM."""

    whole: str
    fraction: str

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The first and last place of digits between commas, from 1."""
        found, at = [], 0
        for group in self.whole.split(","):
            found.append((at + 1, at + len(group)))
            at += len(group)
        return found

    @property
    def zeros(self) -> int:
        """How many places before the point are filled with zeros."""
        digits = self.whole.replace(",", "")
        return len(digits) - digits.index("0") if "0" in digits else 0

    @property
    def template(self) -> str:
        """All places, as they are shown for a number that is too large."""
        return re.sub("[90]", "#", self.whole + ("." + self.fraction if self.fraction else ""))


def to_char(value: Scalar, pattern: str) -> Scalar:
    """A number of known digits as text; raises `NotSupported` for a pattern that is not on the list."""
    found = _PATTERN.fullmatch(pattern)
    if found is None:
        if _LOCAL.search(re.sub(r'"[^"]*"', "", pattern)):
            hint = "Write . and , for D and G; MI, PL, SG or PR for S; the currency itself for L."
            raise refuse(f"to_char as {pattern!r}, whose D, G, L and S are settings of a session,", hint)
        raise refuse(f"to_char of {value.type.name} as {pattern!r}", _HINT)
    if value.oid not in {NUMERIC, *INTEGERS}:
        raise refuse(f"to_char of {value.type.name} as {pattern!r}", "Cast it to numeric(p,s).")
    first, fill, second, front, third, whole, fraction, fourth, back, last = found.groups()
    if front and back.upper() in ("MI", "PL", "SG", "PR"):
        raise refuse(f"to_char as {pattern!r}, with two signs")
    places = _Places(whole, fraction or "")
    shown = cast(rounded(as_numeric(value, "to_char"), len(places.fraction)).node, "TEXT")
    sign = (front or back).upper()
    positive, negative = _marks(sign, filled=not fill)
    body = _body(shown, places, sign, filled=not fill)
    literals = [one.replace('"', "") for one in (first + second, third, fourth, last)]
    mark = _by_sign(shown, positive, negative)
    pieces = [
        _literal(literals[0]), mark if front else None, _literal(literals[1]), body,
        _by_sign(shown, " " if not fill else "", ">") if sign == "PR" else None, _literal(literals[2]),
        _ordinal(shown, places, back) if sign == "TH" else mark if back else None, _literal(literals[3]),
    ]  # fmt: skip
    return Scalar(_joined([one for one in pieces if one is not None]), PgType(TEXT, -1, "text"), "default")


def _marks(sign: str, *, filled: bool) -> tuple[str, str]:
    """What stands where the sign is written, for a positive number and a negative one."""
    positive, negative = _SIGNS.get(sign, ("", ""))
    return (positive, negative) if filled or sign == "SG" else (positive.strip(), negative.strip())


def _body(shown: exp.Expr, places: _Places, sign: str, *, filled: bool) -> exp.Expr:
    """The digits, with the sign before them where it has no place of its own."""
    slot: tuple[str, str] = (" " if filled else "", "<" if sign == "PR" else "-")
    if sign in ("MI", "SG"):
        slot = ("", "")
    least = len(places.fraction) if filled else places.fraction.rfind("0") + 1
    spans = [exp.Array(expressions=[integer(end) for end in span]) for span in places.spans]
    digits = call(
        "format_number",
        shown.copy(),
        _by_sign(shown, *slot) or exp.Literal.string(""),
        exp.Array(expressions=spans),
        integer(places.zeros),
        exp.Literal.string("." if places.fraction else ""),
        integer(least),
        exp.Literal.string(places.template),
    )
    width = len(slot[0]) + len(places.template)
    return function("LPAD", digits, integer(width), exp.Literal.string(" ")) if filled else digits


def _ordinal(shown: exp.Expr, places: _Places, written: str) -> exp.Expr | None:
    """The letters behind 1st, 2nd, 3rd, 4th: of whole numbers that are not negative and not too large."""
    if places.fraction:
        return None
    letters = call("ordinal", shown.copy(), integer(places.spans[-1][1]))
    return function("UPPER", letters) if written == "TH" else letters


def _by_sign(shown: exp.Expr, positive: str, negative: str) -> exp.Expr | None:
    if positive == negative:
        return _literal(positive)
    below = function("STARTS_WITH", shown.copy(), exp.Literal.string("-"))
    first = exp.If(this=below, true=exp.Literal.string(negative))
    return exp.Case(ifs=[first], default=exp.Literal.string(positive))


def _literal(text: str) -> exp.Expr | None:
    return exp.Literal.string(text) if text else None


def _joined(pieces: list[exp.Expr]) -> exp.Expr:
    made = pieces[0]
    for one in pieces[1:]:
        made = exp.DPipe(this=made, expression=one)
    return exp.Paren(this=made) if len(pieces) > 1 else made
