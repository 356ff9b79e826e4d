"""Functions of text by Postgres's name, which have the same value under every deterministic collation.

Positions and lengths count code points in both databases.
"""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call
from flashql.planner.collations import is_ascii
from flashql.planner.functions import require_bytes
from flashql.planner.lists import array_of
from flashql.planner.literals import BPCHAR, INT4, TEXT
from flashql.planner.scalars import (
    INTEGERS,
    TEXTS,
    Scalar,
    as_text,
    cast,
    function,
    merged_collation,
    number_node,
    refuse,
)

_TEXT: Final = PgType(TEXT, -1, "text")
_INTEGER: Final = PgType(INT4, -1, "integer")


def count(value: Scalar, what: str) -> exp.Expr:
    """A number of characters or the like: an integer of any kind."""
    if value.oid not in INTEGERS:
        raise refuse(f"{what} of {value.type.name}")
    return cast(value.node, "BIGINT") if value.number is None else number_node(value.number)


def made(node: exp.Expr, *sources: Scalar) -> Scalar:
    """Text computed from text."""
    collation, explicit = merged_collation(sources)
    return Scalar(node, _TEXT, collation, explicit)


def reverse(value: Scalar) -> Scalar:
    """The characters from the last to the first; DuckDB's own keeps combined ones together."""
    text = as_text(value)
    return made(call("reversed", text.node), text)


def initcap(value: Scalar) -> Scalar:
    """The first letter of each word in upper case, all others in lower case: of ASCII's letters, under "C"."""
    text = as_text(value)
    if not is_ascii(text.collation):
        raise refuse(f"initcap under collation {text.collation or 'default'}", 'Write COLLATE "C" after the column.')
    return made(call("initcap", text.node), text)


def padded(name: str, value: Scalar, length: Scalar, fill: Scalar | None = None) -> Scalar:
    """Lpad and rpad: cut where it is longer than `length`; nothing is filled with the empty text."""
    text, wanted = as_text(value), count(length, name)
    if fill is not None and fill.text is None:
        raise refuse(f"{name} with what is not a constant")
    zero = exp.Literal.number(0)
    size = exp.Case(
        ifs=[
            exp.If(this=exp.GT(this=wanted, expression=zero), true=wanted.copy()),
            exp.If(this=exp.LTE(this=wanted.copy(), expression=zero.copy()), true=zero.copy()),
        ]
    )
    if fill is not None and not fill.text:
        return made(function("LEFT", text.node, size), text)
    filling = exp.Literal.string(" " if fill is None else fill.text)
    return made(function(name.upper(), text.node, cast(size, "INTEGER"), filling), text)


def translated(value: Scalar, these: Scalar, those: Scalar) -> Scalar:
    """Each of these characters becomes that at its place, or nothing."""
    texts = [as_text(one) for one in (value, these, those)]
    return made(function("TRANSLATE", *(one.node for one in texts)), texts[0])


def first_code(value: Scalar) -> Scalar:
    """The code point of the first character; 0 of none."""
    return Scalar(cast(function("ASCII", as_text(value).node), "INTEGER"), _INTEGER)


def character(code: Scalar) -> Scalar:
    """The character of a code point, 0 being an error."""
    number = count(code, "chr")
    test = exp.If(
        this=exp.EQ(this=number, expression=exp.Literal.number(0)), true=_error("null character not permitted")
    )
    return Scalar(exp.Case(ifs=[test], default=function("CHR", cast(number.copy(), "INTEGER"))), _TEXT, "default")


def _error(message: str) -> exp.Expr:
    return function("ERROR", exp.Literal.string(message))


def octets(value: Scalar) -> Scalar:
    """How many bytes in UTF-8; char(n) with its padding."""
    text = value if value.oid == BPCHAR else as_text(value)
    return Scalar(cast(function("STRLEN", text.node), "INTEGER"), _INTEGER)


def bits(value: Scalar) -> Scalar:
    """Eight for each byte."""
    return Scalar(exp.Mul(this=octets(value).node, expression=exp.Literal.number(8)), _INTEGER)


def position(value: Scalar, part: Scalar) -> Scalar:
    """strpos: where `part` begins, from 1; 0 when absent."""
    values = [as_text(value), as_text(part)]
    require_bytes(values, "strpos")
    return Scalar(cast(function("STRPOS", *(one.node for one in values)), "INTEGER"), _INTEGER)


def repeated(value: Scalar, times: Scalar) -> Scalar:
    """The text so many times; never where there are less than one."""
    text = as_text(value)
    return made(function("REPEAT", text.node, count(times, "repeat")), text)


def field_of(value: Scalar, delimiter: Scalar, place: Scalar) -> Scalar:
    """split_part: the part at a place from 1, from the end where it is negative."""
    text = as_text(value)
    if not delimiter.text:
        raise refuse("split_part by what is not a constant", "Write a constant delimiter.")
    number = count(place, "split_part")
    node: exp.Expr = function("SPLIT_PART", text.node, exp.Literal.string(delimiter.text), number)
    if place.number in (None, "0"):
        zero = exp.EQ(this=number.copy(), expression=exp.Literal.number(0))
        node = exp.Case(ifs=[exp.If(this=zero, true=_error("field position must not be zero"))], default=node)
    return made(node, text)


def formatted(pattern: Scalar, *values: Scalar) -> Scalar:
    """format() with a constant pattern of %s and %%; null is shown as nothing."""
    if pattern.text is None or not re.fullmatch(r"(?:[^%]|%%|%s)*", pattern.text):
        raise refuse("format with another pattern than a constant with %s and %%")
    pieces = re.split(r"(%s|%%)", pattern.text)
    if pieces.count("%s") > len(values):
        raise refuse("format with too few arguments")
    given = iter(values)
    parts = []
    for piece in pieces:
        if piece == "%s":
            parts.append(next(given).node)
        elif piece:
            parts.append(exp.Literal.string("%" if piece == "%%" else piece))
    return made(function("CONCAT", *parts or [exp.Literal.string("")]), *(one for one in values if one.oid in TEXTS))


_MARKS = r" _,:;@#%&/'\"<>=!~-"
_SINGLE: Final = re.compile(rf"(?:\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9.+()*{_MARKS}])+\]|[A-Za-z0-9{_MARKS}])\+?")
_LITERAL: Final = re.compile(rf"(?:[A-Za-z0-9{_MARKS}]|\\[.$+*?()\[\]{{}}|^-])+")


def split_at(value: Scalar, pattern: Scalar) -> Scalar:
    """regexp_split_to_array by one character or class, once or as often as it follows itself; or by plain text."""
    text = as_text(value)
    require_bytes([text], "regexp_split_to_array")
    if pattern.text is None or not (_SINGLE.fullmatch(pattern.text) or _LITERAL.fullmatch(pattern.text)):
        raise refuse("a split at this pattern", "Patterns are one class of characters, or plain text.")
    node = function("STRING_SPLIT_REGEX", text.node, exp.Literal.string(pattern.text))
    return Scalar(node, array_of(_TEXT), text.collation)


def replaced_pattern(value: Scalar, pattern: Scalar, by: Scalar, flags: Scalar | None = None) -> Scalar:
    """regexp_replace of one character or class, once or as often as it follows itself; or of plain text.

    What of a longer pattern is matched depends on the implementation: the longest in Postgres, the first in RE2.
    """
    text = as_text(value)
    require_bytes([text], "regexp_replace")
    simple = pattern.text is not None and (_SINGLE.fullmatch(pattern.text) or _LITERAL.fullmatch(pattern.text))
    if not simple or by.text is None or "\\" in by.text or (flags is not None and flags.text not in ("", "g")):
        raise refuse("regexp_replace of this", "Patterns are one class of characters, or plain text; flags are 'g'.")
    assert pattern.text is not None
    options = exp.Literal.string("gs" if flags is not None and flags.text else "s")
    node = function("REGEXP_REPLACE", text.node, exp.Literal.string(pattern.text), exp.Literal.string(by.text), options)
    return made(node, text)
