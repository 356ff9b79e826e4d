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
    operand,
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
    filling = exp.Literal.string(" ") if fill is None else as_text(fill).node
    zero = exp.Literal.number(0)
    size = exp.Case(
        ifs=[
            exp.If(this=exp.GT(this=wanted, expression=zero), true=wanted.copy()),
            exp.If(this=exp.LTE(this=wanted.copy(), expression=zero.copy()), true=zero.copy()),
        ]
    )
    node: exp.Expr = function(name.upper(), text.node, cast(size, "INTEGER"), filling)
    if fill is not None and not fill.text:
        nothing = exp.EQ(this=operand(filling.copy()), expression=exp.Literal.string(""))
        cut = function("LEFT", text.node.copy(), size.copy())
        node = cut if fill.text == "" else exp.Case(ifs=[exp.If(this=nothing, true=cut)], default=node)
    return made(node, text)


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
    """split_part: the part at a place from 1, from the end where it is negative; by nothing the whole is the first."""
    text, by = as_text(value), as_text(delimiter)
    require_bytes([text, by], "split_part")
    number = count(place, "split_part")
    if delimiter.text and place.number not in (None, "0"):
        return made(function("SPLIT_PART", text.node, by.node, number), text)
    return made(call("split_part", text.node, by.node, number), text)


def overlaid(value: Scalar, new: Scalar, start: Scalar, length: Scalar | None = None) -> Scalar:
    """overlay: other text in place of what is from a place on."""
    texts = [as_text(value), as_text(new)]
    size = function("LENGTH", texts[1].node.copy()) if length is None else count(length, "overlay")
    return made(call("overlay", *(one.node for one in texts), count(start, "overlay"), size), *texts)


def quoted(value: Scalar) -> Scalar:
    """quote_literal."""
    text = as_text(value)
    return made(call("quoted", text.node), text)


def quoted_or_null(value: Scalar) -> Scalar:
    """quote_nullable."""
    text = quoted(value)
    return made(exp.Coalesce(this=text.node, expressions=[exp.Literal.string("NULL")]), text)


_FIELD: Final = re.compile(r"%(?:%|(?:([1-9][0-9]?)\$)?([sL]))")


def formatted(pattern: Scalar, *values: Scalar) -> Scalar:
    """format() with a constant pattern of %s, %L, %1$s and %%; null is shown as nothing, or by %L as NULL."""
    if pattern.text is None or "%" in _FIELD.sub("", pattern.text):
        raise refuse(
            "format with another pattern than a constant with %s, %L and %%",
            "Which names %I quotes depends on the server's version.",
        )
    parts: list[exp.Expr] = []
    at = place = 0
    for field in _FIELD.finditer(pattern.text):
        between, at = pattern.text[at : field.start()] + "%" * (field[0] == "%%"), field.end()
        if between:
            parts.append(exp.Literal.string(between))
        if field[0] == "%%":
            continue
        place = int(field[1]) if field[1] else place + 1
        if place > len(values):
            raise refuse("format with too few arguments")
        one = values[place - 1]
        parts.append((quoted_or_null(one) if field[2] == "L" else one).node.copy())
    if pattern.text[at:] or not parts:
        parts.append(exp.Literal.string(pattern.text[at:]))
    return made(function("CONCAT", *parts), *(one for one in values if one.oid in TEXTS))
