r"""Regular expressions that Postgres and DuckDB read alike: letters, classes, alternatives, groups, repetition.

Postgres's advanced regular expressions and RE2 differ in classes (`\d` depends on the locale), in backreferences and
lookaround, in options. Whether a pattern of the common part matches does not depend on the implementation.
"""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.collations import deterministic
from flashql.planner.literals import BOOL, BPCHAR
from flashql.planner.scalars import Scalar, as_text, function, merged_collation, refuse

_PLAIN = r"[^\\.\[\](){}|*+?^$]"  # a character that means itself
_ESCAPED = r"\\[.\[\](){}|*+?^$\-/]"
_CLASS = r"\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _.,:;@#%&/'\"<>=!~])+\]"
_ATOM = rf"(?:{_PLAIN}|{_ESCAPED}|{_CLASS}|\.)"
_COMMON: Final = re.compile(rf"(?:{_ATOM}(?:[*+?]|\{{[0-9]{{1,2}}(?:,[0-9]{{0,2}})?\}})?|[()|]|(?<=\))[*+?])*")
_ANCHORED: Final = re.compile(r"(?s)(\^?)(.*?)((?<!\\)\$)?")


def matched(value: Scalar, pattern: Scalar) -> Scalar:
    """`value ~ 'pattern'`, with a constant pattern of the common part."""
    if pattern.text is None:
        raise refuse("a match with a pattern that is not a constant")
    if value.oid == BPCHAR:
        raise refuse("a match of char(n)", "Cast it to text.")
    text = as_text(value)
    collation, _ = merged_collation([text])
    if not deterministic(collation):
        raise refuse(f"a match under collation {collation}", 'Write COLLATE "C" after the column.')
    _require_common(pattern.text)
    return Scalar(
        function("REGEXP_MATCHES", text.node, exp.Literal.string(pattern.text), exp.Literal.string("s")),
        PgType(BOOL, -1, "boolean"),
    )


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
