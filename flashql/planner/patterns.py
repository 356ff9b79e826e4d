r"""Regular expressions that Postgres and DuckDB read alike: letters, classes, alternatives, groups, repetition.

Postgres's advanced regular expressions and RE2 differ in classes (`\d` depends on the locale), in backreferences and
lookaround, in options. Whether a pattern of the common part matches does not depend on the implementation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.collations import COLLATE_HINT, deterministic, is_ascii, knows_ascii, plain
from flashql.planner.containers import Translate, quantified
from flashql.planner.literals import BOOL, BPCHAR
from flashql.planner.scalars import Scalar, as_text, function, merged_collation, refuse

PLAIN = r"[^\\.\[\](){}|*+?^$]"  # a character that means itself
ESCAPED = r"\\[.\[\](){}|*+?^$\-/]"
CLASS = r"\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _.,:;@#%&/'\"<>=!~\t\n\r\f\v])+\]"
_ATOM = rf"(?:{PLAIN}|{ESCAPED}|{CLASS}|\.)"
_COMMON: Final = re.compile(rf"(?:{_ATOM}(?:[*+?]|\{{[0-9]{{1,2}}(?:,[0-9]{{0,2}})?\}})?|[()|]|(?<=\))[*+?])*")
# Anchors where an alternative begins or ends.
_ANCHOR: Final = re.compile(rf"({CLASS}|{ESCAPED})|(?:(?<=[(|])|\A)\^|\$(?=[|)]|\Z)", re.DOTALL)
_SHORT: Final = {"d": "0-9", "w": "A-Za-z0-9_", "s": " \t\n\r\f\v"}
_LIBC: Final = re.compile(r"C\.(?:UTF-?8|utf8)|pg_c_utf8|[a-z]{2,3}_[A-Z]{2}\.(?:UTF-?8|utf8)")


def in_ascii(pattern: str, collation: str | None) -> str:
    r"""The pattern with its \d, \w and \s written out where the collation says that they are ASCII's alone.

    The C library has no other digits than those (ISO C: iswdigit).
    """
    name = plain(collation or "").rpartition("+")[2]
    known = "dws" if is_ascii(name) else "d" if _LIBC.fullmatch(name) else ""
    made, within = "", False
    for piece in re.findall(r"\\.|\[\^?|.", pattern, re.DOTALL):
        within = (within or piece.startswith("[")) and piece != "]"
        if piece[0] == "\\" and piece[1:] in _SHORT and piece[1:] in known:
            piece = _SHORT[piece[1]] if within else f"[{_SHORT[piece[1]]}]"
        made += piece
    return made


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
    written = in_ascii(pattern.text, collation)
    _require_common(written)
    written = _of_both_cases(written, collation) if ignore_case else written
    return Scalar(
        function("REGEXP_MATCHES", text.node, exp.Literal.string(written), exp.Literal.string("s")),
        PgType(BOOL, -1, "boolean"),
    )


def similar(value: Scalar, pattern: Scalar, escape: str) -> Scalar:
    """`value SIMILAR TO 'pattern' ESCAPE 'escape'`."""
    if pattern.text is None or len(escape) != 1:
        raise refuse("SIMILAR TO a pattern that is not a constant, or without one character to escape by")
    written = f"^({''.join(_similar_pieces(pattern.text, escape))})$"
    return matched(value, replace(pattern, text=written))


def _similar_pieces(pattern: str, escape: str) -> Iterator[str]:
    """The pattern of the SQL standard as a regular expression, piece by piece (regexp.c: similar_escape)."""
    pieces = re.findall(rf"{re.escape(escape)}.?|{CLASS}|.", pattern, re.DOTALL)
    for piece in pieces:
        if piece[0] == escape or piece == "[" or (len(piece) > 1 and escape in piece):
            if len(piece) != 2 or piece[1] == '"':
                raise refuse(f"SIMILAR TO {pattern!r}", "Escape single characters, outside of brackets.")
            yield _itself(piece[1]) if not piece[1].isalnum() else f"\\{piece[1]}"
        elif piece in ("%", "_"):
            yield ".*" if piece == "%" else "."
        else:
            yield _itself(piece) if piece in "\\.^$" else piece


def _itself(character: str) -> str:
    return f"\\{character}" if character == "\\" or re.fullmatch(ESCAPED, f"\\{character}") else character


def _of_both_cases(pattern: str, collation: str | None) -> str:
    """The pattern with both cases of each letter, as Postgres makes it (regc_locale.c: allcases)."""
    if not pattern.isascii() or not knows_ascii(collation):
        raise refuse(f"the pattern {pattern!r} without regard to case under collation {collation}", COLLATE_HINT)
    pieces = re.findall(rf"{CLASS}|{ESCAPED}|.", pattern, re.DOTALL)
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
    body = _ANCHOR.sub(lambda part: part[1] or "", pattern)
    if "(?" in body or "***" in body or not _COMMON.fullmatch(body):
        raise refuse(f"the pattern {pattern!r}", "Use LIKE, or letters, classes, groups and repetitions alone.")
    try:
        re.compile(pattern)
    except re.error:
        raise refuse(f"the pattern {pattern!r}") from None
