"""Functions of bytea, which is BLOB here: what has two hexadecimal digits for each byte."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call
from flashql.planner.functions import substring as substring_of_text
from flashql.planner.literals import BYTEA, INT4, TEXT
from flashql.planner.scalars import Scalar, as_text, cast, function, operand, refuse
from flashql.planner.strings import count

BYTEA_TYPE: Final = PgType(BYTEA, -1, "bytea")
_TEXT: Final = PgType(TEXT, -1, "text")
_INTEGER: Final = PgType(INT4, -1, "integer")


def joined(left: Scalar, right: Scalar) -> Scalar:
    """`||`."""
    return Scalar(exp.DPipe(this=operand(left.node), expression=operand(right.node)), BYTEA_TYPE)


def substring(value: Scalar, start: Scalar, size: Scalar | None = None) -> Scalar:
    """The standard's window of bytes; of text, of characters."""
    if value.oid != BYTEA:
        return substring_of_text(value, start, size)
    first: exp.Expr = count(start, "substring")
    wanted: exp.Expr
    if size is None:  # to the end, wherever it begins
        first, wanted = exp.Greatest(this=first, expressions=[exp.Literal.number(1)]), exp.Literal.number(2**30)
    else:
        wanted = count(size, "substring")
    return Scalar(call("bytes_between", value.node, first, wanted), BYTEA_TYPE)


def byte(value: Scalar, place: Scalar) -> Scalar:
    """get_byte: the byte at a place from 0; elsewhere is an error."""
    if value.oid != BYTEA:
        raise refuse(f"get_byte of {value.type.name}")
    return Scalar(cast(call("byte_at", value.node, count(place, "get_byte")), "INTEGER"), _INTEGER)


def digest(name: str, value: Scalar) -> Scalar:
    """sha256, of bytea as bytea."""
    if value.oid != BYTEA:
        raise refuse(f"{name} of {value.type.name}")
    return Scalar(function("UNHEX", function(name.upper(), value.node)), BYTEA_TYPE)


def encoded(value: Scalar, form: Scalar) -> Scalar:
    """Encode as 'hex' or 'base64'."""
    if value.oid != BYTEA or form.text not in ("hex", "base64"):
        raise refuse(f"encode of {value.type.name} as {form.text!r}", "Write 'hex' or 'base64'.")
    if form.text == "hex":
        return Scalar(function("LOWER", function("HEX", value.node)), _TEXT, "default")
    return Scalar(call("base64_lines", value.node), _TEXT, "default")


def decoded(value: Scalar, form: Scalar) -> Scalar:
    """Decode of 'hex'."""
    if form.text != "hex":
        raise refuse(f"decode of {form.text!r}", "Write 'hex'.")
    return Scalar(call("bytes_of", as_text(value).node), BYTEA_TYPE)
