r"""Regular expressions that Postgres and DuckDB read alike: letters, classes, alternatives, groups, repetition.

Postgres's advanced regular expressions and RE2 differ in classes (`\d` depends on the locale), in backreferences and
lookaround, in options. Whether a pattern of the common part matches does not depend on the implementation.
"""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.collations import COLLATE_HINT, deterministic, knows_ascii
from flashql.planner.containers import Translate, quantified
from flashql.planner.literals import BOOL, BPCHAR
from flashql.planner.scalars import Scalar, as_text, function, merged_collation, refuse

_PLAIN = r"[^\\.\[\](){}|*+?^$]"  # a character that means itself
_ESCAPED = r"\\[.\[\](){}|*+?^$\-/]"
_CLASS = r"\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _.,:;@#%&/'\"<>=!~])+\]"
_ATOM = rf"(?:{_PLAIN}|{_ESCAPED}|{_CLASS}|\.)"
_COMMON: Final = re.compile(rf"(?:{_ATOM}(?:[*+?]|\{{[0-9]{{1,2}}(?:,[0-9]{{0,2}})?\}})?|[()|]|(?<=\))[*+?])*")
_ANCHORED: Final = re.compile(r"(?s)(\^?)(.*?)((?<!\\)\$)?")


def match(node: exp.Expr, translate: Translate) -> Scalar:
    """`value ~ 'pattern'` and `~*`, also of any or all of an array."""
    found = quantified(node, translate)
    if found is not None:
        return found
    return matched(translate(node.this), translate(node.expression), ignore_case=isinstance(node, exp.RegexpILike))


def matched(value: Scalar, pattern: Scalar, *, ignore_case: bool = False) -> Scalar:
    """`value ~ 'pattern'`, with a constant pattern of the common part; `~*` where case is ignored."""
    if pattern.text is None:
        raise refuse("a match with a pattern that is not a constant")
    if value.oid == BPCHAR:
        raise refuse("a match of char(n)", "Cast it to text.")
    text = as_text(value)
    collation, _ = merged_collation([text])
    if not deterministic(collation):
        raise refuse(f"a match under collation {collation}", 'Write COLLATE "C" after the column.')
    _require_common(pattern.text)
    written = _of_both_cases(pattern.text, collation) if ignore_case else pattern.text
    return Scalar(
        function("REGEXP_MATCHES", text.node, exp.Literal.string(written), exp.Literal.string("s")),
        PgType(BOOL, -1, "boolean"),
    )


def _of_both_cases(pattern: str, collation: str | None) -> str:
    """The pattern with both cases of each letter, as Postgres makes it (regc_locale.c: allcases)."""
    if not pattern.isascii() or not knows_ascii(collation):
        raise refuse(f"the pattern {pattern!r} without regard to case under collation {collation}", COLLATE_HINT)
    pieces = re.findall(rf"{_CLASS}|{_ESCAPED}|.", pattern, re.DOTALL)
    return "".join(_with_cases(piece) for piece in pieces)


def _with_cases(piece: str) -> str:
    if len(piece) == 1 and piece.isalpha():
        return f"[{piece.lower()}{piece.upper()}]"
    if not piece.startswith("["):
        return piece
    opened = "[^" if piece.startswith("[^") else "["
    parts = re.findall(r"[A-Za-z0-9]-[A-Za-z0-9]|.", piece[len(opened) : -1])
    if any(len(part) == 3 and not (part.isdigit() or part[0].islower() == part[2].islower()) for part in parts):
        raise refuse(f"the class {piece} without regard to case")
    return opened + "".join(dict.fromkeys(one for part in parts for one in (part.lower(), part.upper()))) + "]"


def _require_common(pattern: str) -> None:
    parts = _ANCHORED.fullmatch(pattern)
    body = parts[2] if parts is not None else ""
    alternatives = "|" in body and (parts is None or parts[1] or parts[3])
    if parts is None or alternatives or "(?" in body or "***" in body or not _COMMON.fullmatch(body):
        raise refuse(f"the pattern {pattern!r}", "Use LIKE, or letters, classes, groups and repetitions alone.")
    try:
        re.compile(pattern)
    except re.error:
        raise refuse(f"the pattern {pattern!r}") from None
