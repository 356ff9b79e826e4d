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
from flashql.planner.scalars import INTEGERS, Scalar, as_numeric, cast, integer, refuse

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
    literals = [one.replace('"', "") for one in (first + second, third, fourth, last)]
    marks = _marks(front.upper(), back.upper(), literals, filled=not fill)
    slot = marks[0][1]
    node = call(
        "format_number",
        shown,
        exp.Array(expressions=[exp.Array(expressions=[exp.Literal.string(m) for m in sign]) for sign in marks]),
        exp.Array(expressions=[exp.Array(expressions=[integer(end) for end in span]) for span in places.spans]),
        integer(places.zeros),
        exp.Literal.string("." if fraction else ""),
        integer(places.fraction.rfind("0") + 1 if fill else len(places.fraction)),
        exp.Literal.string(places.template),
        integer(0 if fill else len(slot) + len(places.template)),
        exp.Literal.string(back if back.upper() == "TH" and not fraction else ""),
    )
    return Scalar(node, PgType(TEXT, -1, "text"), "default")


def _marks(front: str, back: str, literals: list[str], *, filled: bool) -> list[list[str]]:
    """For a positive number and a negative one: what stands first, before the digits, behind them, and last."""
    made = []
    for negative in (False, True):
        mark = _SIGNS.get(front or back, ("", ""))[negative]
        mark = mark if filled else mark.strip()
        slot = ("-" if negative else " " if filled else "") if (front or back) not in ("MI", "SG") else ""
        close = ""
        if back == "PR":
            slot, close = ("<", ">") if negative else (slot, slot)
        first = literals[0] + (mark if front else "") + literals[1]
        made.append([first, slot, close + literals[2], (mark if back else "") + literals[3]])
    return made
