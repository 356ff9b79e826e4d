r"""What a regular expression matches, where that is the same in Postgres and DuckDB.

Both take the leftmost match, Postgres the longest of those and RE2 the first it comes to. They are one where each
repetition ends where it must: no more than one of them in the pattern, or each of characters that may not follow it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import binary
from flashql.planner.arithmetic import call
from flashql.planner.functions import require_bytes
from flashql.planner.lists import array_of
from flashql.planner.literals import BPCHAR, INT4, TEXT
from flashql.planner.patterns import CLASS, ESCAPED, PLAIN, in_ascii, matched
from flashql.planner.scalars import Scalar, as_text, cast, function, refuse

_TEXT: Final = PgType(TEXT, -1, "text")
_PIECE: Final = re.compile(rf"([()])|({CLASS}|{ESCAPED}|{PLAIN}|\.)([*+?]|\{{[0-9]{{1,2}}(?:,[0-9]{{0,2}})?\}})?")
_HINT: Final = "Patterns are letters, classes and repetitions of them, each of which ends where it must: '([^@]+)@'."


@dataclass(frozen=True)
class _Element:
    """Characters that may be at one place, or any but these, and whether their number is fixed, or may be 0."""

    characters: frozenset[str]
    others: bool
    varies: bool
    optional: bool

    def meets(self, other: _Element) -> bool:
        """Whether some character may be either's."""
        if self.others and other.others:
            return True
        if self.others or other.others:
            some, none = (other, self) if self.others else (self, other)
            return not some.characters <= none.characters
        return not self.characters.isdisjoint(other.characters)


@dataclass(frozen=True)
class Pattern:
    """One whose match is the same in both."""

    written: str
    groups: int
    may_be_empty: bool


def pattern_of(pattern: Scalar, text: Scalar, what: str) -> Pattern:
    """A constant pattern; raises `NotSupported` where the match may be another one."""
    written = in_ascii(pattern.text or "", text.collation)
    body = written.removeprefix("^")
    body = body[:-1] if body.endswith("$") and not body.endswith("\\$") else body
    elements: list[_Element] = []
    at = opened = closed = 0
    while at < len(body) and (piece := _PIECE.match(body, at)):
        bracket, atom, many = piece.groups()
        opened, closed = opened + (bracket == "("), closed + (bracket == ")")
        if opened > 1 or closed > opened:
            break
        if atom:
            elements.append(_element(atom, many))
        at = piece.end()
    if pattern.text is None or at < len(body) or opened != closed or "()" in body or not _ends(elements):
        raise refuse(f"{what} of the pattern {pattern.text!r}", _HINT)
    return Pattern(written, opened, all(one.optional for one in elements))


def _element(atom: str, many: str | None) -> _Element:
    negated = atom.startswith("[^")
    inner = atom[2 if negated else 1 : -1] if atom.startswith("[") else atom[-1]
    ranges = re.findall(r"[A-Za-z0-9]-[A-Za-z0-9]|.", inner, re.DOTALL) if atom.startswith("[") else [inner]
    characters = {
        chr(code) for one in ranges for code in range(ord(one[0]), ord(one[-1]) + 1)
    }  # 'a-z' is a range, a hyphen elsewhere itself
    if atom == ".":
        characters, negated = set(), True
    varies = many is not None and not re.fullmatch(r"\{[0-9]+\}", many)
    optional = many is not None and (many in "*?" or many.startswith(("{0", "{,")))
    return _Element(frozenset(characters), negated, varies, optional)


def _ends(elements: list[_Element]) -> bool:
    """Whether each repetition ends where it must."""
    if sum(one.varies for one in elements) < 2:
        return True
    for at, one in enumerate(elements):
        if one.varies:
            for other in elements[at + 1 :]:
                if one.meets(other):
                    return False
                if not other.optional:
                    break
    return True


def _text(value: Scalar, what: str) -> Scalar:
    if value.oid == BPCHAR:
        raise refuse(f"{what} of char(n)", "Cast it to text.")
    text = as_text(value)
    require_bytes([text], what)
    return text


def _found(text: Scalar, pattern: Pattern, group: int) -> exp.Expr:
    """The match or its group; null where there is none."""
    literals = exp.Literal.string(pattern.written), exp.Literal.string("s")
    matches = function("REGEXP_MATCHES", text.node, *literals)
    found = function(
        "REGEXP_EXTRACT", text.node.copy(), literals[0].copy(), exp.Literal.number(group), literals[1].copy()
    )
    return exp.Case(ifs=[exp.If(this=matches, true=found)])


def part(value: Scalar, pattern: Scalar) -> Scalar:
    """substring(text from 'pattern'): the match, or its group."""
    text = _text(value, "substring")
    known = pattern_of(pattern, text, "substring")
    return Scalar(_found(text, known, known.groups), _TEXT, text.collation, text.explicit)


def substring(value: Scalar, start: Scalar, length: Scalar | None) -> Scalar:
    """What is between two places, or what a pattern matches."""
    if start.text is not None and length is None:
        return part(value, start)
    return binary.substring(value, start, length)


def whole(value: Scalar, pattern: Scalar) -> Scalar:
    """regexp_substr: the match."""
    text = _text(value, "regexp_substr")
    known = pattern_of(pattern, text, "regexp_substr")
    return Scalar(_found(text, known, 0), _TEXT, text.collation, text.explicit)


def parts(value: Scalar, pattern: Scalar, what: str = "regexp_match") -> Scalar:
    """regexp_match: the match, or its group, in an array."""
    text = _text(value, what)
    known = pattern_of(pattern, text, what)
    found = _found(text, known, known.groups)
    test = found.args["ifs"][0]
    test.set("true", exp.Array(expressions=[test.args["true"]]))
    return Scalar(found, array_of(_TEXT), text.collation)


def count(value: Scalar, pattern: Scalar) -> Scalar:
    """regexp_count: how many matches there are, one after the other."""
    text = _text(value, "regexp_count")
    known = pattern_of(pattern, text, "regexp_count")
    if known.may_be_empty:
        raise refuse(f"regexp_count of the pattern {known.written!r}, which matches nothing as well", _HINT)
    literals = exp.Literal.string(known.written), exp.Literal.number(0), exp.Literal.string("s")
    found = function("LEN", function("REGEXP_EXTRACT_ALL", text.node, *literals))
    return Scalar(cast(found, "INTEGER"), PgType(INT4, -1, "integer"))


def every(value: Scalar, pattern: Scalar, flags: Scalar | None = None) -> Scalar:
    """regexp_matches: a list of arrays, each a match or its group; the first alone, or with 'g' all."""
    first = parts(value, pattern, "regexp_matches")
    if flags is None or flags.text == "":
        single = exp.Case(
            ifs=[exp.If(this=exp.Is(this=exp.Paren(this=first.node), expression=exp.Null()), true=exp.Null())],
            default=exp.Array(expressions=[first.node.copy()]),
        )
        return Scalar(single, first.type, first.collation)
    text = _text(value, "regexp_matches")
    known = pattern_of(pattern, text, "regexp_matches")
    if flags.text != "g" or known.may_be_empty or known.written.startswith("^"):
        raise refuse(f"regexp_matches of the pattern {known.written!r} with such flags", "Flags are 'g'. " + _HINT)
    found = function("REGEXP_EXTRACT_ALL", text.node, *_literals(known.written, known.groups))
    return Scalar(call("each_alone", found), first.type, first.collation)


def place(value: Scalar, pattern: Scalar) -> Scalar:
    """regexp_instr: where the first match begins, from 1, or 0; the leftmost match begins at one place in both."""
    found = matched(value, pattern)
    text, written = found.node.expressions[:2]
    before = function("REGEXP_EXTRACT", text.copy(), *_literals(f"^(.*?)(?:{written.name})", 1))
    after = exp.Add(this=function("LENGTH", before), expression=exp.Literal.number(1))
    none = exp.If(this=exp.Not(this=found.node), true=exp.Literal.number(0))
    return Scalar(cast(exp.Case(ifs=[none], default=after), "INTEGER"), PgType(INT4, -1, "integer"))


def _literals(pattern: str, group: int) -> tuple[exp.Expr, exp.Expr, exp.Expr]:
    return exp.Literal.string(pattern), exp.Literal.number(group), exp.Literal.string("s")


def split(value: Scalar, pattern: Scalar) -> Scalar:
    """regexp_split_to_array."""
    text = _text(value, "regexp_split_to_array")
    known = pattern_of(pattern, text, "regexp_split_to_array")
    if known.may_be_empty or known.groups or known.written.startswith("^"):  # DuckDB 1 takes each piece for a beginning
        raise refuse(f"a split at the pattern {known.written!r}", _HINT)
    node = function("STRING_SPLIT_REGEX", text.node, exp.Literal.string(known.written), exp.Literal.string("s"))
    return Scalar(node, array_of(_TEXT), text.collation)


def replaced(value: Scalar, pattern: Scalar, by: Scalar, flags: Scalar | None = None) -> Scalar:
    r"""regexp_replace by a constant, in which \1 is the group; of the first match, or of all with 'g'."""
    text = _text(value, "regexp_replace")
    known = pattern_of(pattern, text, "regexp_replace")
    every = flags is not None and flags.text == "g"
    said = by.text is not None and re.fullmatch(r"(?:[^\\]|\\1)*" if known.groups else r"[^\\]*", by.text, re.DOTALL)
    if known.may_be_empty or not said or (flags is not None and flags.text not in ("", "g")):
        raise refuse("regexp_replace of this", "The new text is a constant, flags are 'g'. " + _HINT)
    assert by.text is not None
    literals = (known.written, by.text, "gs" if every else "s")
    node = function("REGEXP_REPLACE", text.node, *(exp.Literal.string(one) for one in literals))
    return Scalar(node, _TEXT, text.collation, text.explicit)
