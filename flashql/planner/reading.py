"""Text read as other types: spellings that mean one thing to both databases, checked row by row.

Postgres reads more (words for dates, hexadecimal numbers, its settings' orders of day and month) and DuckDB other
things; text that is not spelled plainly raises here, whatever Postgres would make of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.apart import given
from flashql.planner.arithmetic import call
from flashql.planner.literals import (
    BOOL,
    BYTEA,
    DATE,
    FLOAT4,
    FLOAT8,
    INT2,
    INT4,
    INT8,
    MAX_PRECISION,
    NUMERIC,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
)
from flashql.planner.scalars import LOCAL_TYPES, Scalar, cast, function, numeric_bounds, operand, refuse

_READ: Final = "flashql_text"
_SPACE = r"[ \t\n\r\f\v]*"
_INTEGER = rf"{_SPACE}[+-]?[0-9]+{_SPACE}"
_DECIMAL = rf"{_SPACE}[+-]?([0-9]+\.?[0-9]*|\.[0-9]+){_SPACE}"
_ANY_SIZE: Final = (MAX_PRECISION, 12)  # of numbers without a size: as many digits as division can do with
_UNSIZED = rf"{_SPACE}[+-]?([0-9]+(\.[0-9]{{0,{_ANY_SIZE[1]}}}0*)?|\.[0-9]{{1,{_ANY_SIZE[1]}}}0*){_SPACE}"
_DOUBLE = rf"{_SPACE}[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{{1,3}})?{_SPACE}"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_HEX = "[0-9a-fA-F]"
_SPELLINGS: Final = {
    INT2: _INTEGER, INT4: _INTEGER, INT8: _INTEGER, NUMERIC: _DECIMAL, FLOAT4: _DOUBLE, FLOAT8: _DOUBLE,
    DATE: _DATE,
    TIME: rf"{_CLOCK}|24:00(:00)?",
    TIMESTAMP: rf"{_DATE}([ T]{_CLOCK})?",
    TIMESTAMPTZ: rf"{_DATE}[ T]{_CLOCK}(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)",
    UUID: rf"{_HEX}{{8}}-({_HEX}{{4}}-){{3}}{_HEX}{{12}}",
}  # fmt: skip
_TRUE: Final = ("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1")
_FALSE: Final = ("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0")


def from_text(text: Scalar, target: PgType) -> Scalar:
    """CAST(text AS target). A numeric without a size is a DECIMAL too: what does not fit raises, nothing is rounded."""
    if target.oid == BOOL:
        return _boolean(text, target)
    if target.oid == BYTEA:
        return Scalar(cast(call("bytes_read", text.node), "BLOB"), target)
    spelling = _SPELLINGS.get(target.oid)
    if spelling is None:
        raise refuse(f"a cast of {text.type.name} to {target.name}")
    if text.node.find(exp.Dot):  # what a macro says is asked for once
        read_once = from_text(replace(text, node=exp.Var(this=_READ)), target)
        return replace(read_once, node=given(text.node, _READ, read_once.node))
    bounds = numeric_bounds(target) if target.oid == NUMERIC else None
    sized = bounds is not None
    if target.oid == NUMERIC and bounds is None:
        spelling, bounds = _UNSIZED, _ANY_SIZE
    local = LOCAL_TYPES.get(target.oid) or "DECIMAL({}, {})".format(*(bounds or ()))
    plain = function("REGEXP_FULL_MATCH", text.node.copy(), exp.Literal.string(spelling))
    read = cast(_stripped(text), local)
    if target.oid in (FLOAT4, FLOAT8):
        read = _in_range(read, text, local)
    ifs = [exp.If(this=plain, true=read)]
    return Scalar(cast(exp.Case(ifs=ifs, default=_unread(text, target)), local), target, bounds=bounds, printed=sized)


def _stripped(text: Scalar) -> exp.Expr:
    return function("TRIM", text.node.copy(), _white())


def _white() -> exp.Expr:
    return exp.Concat(
        expressions=[exp.Literal.string(" "), *(function("CHR", exp.Literal.number(code)) for code in range(9, 14))],
        safe=True, coalesce=False,
    )  # fmt: skip


def _unread(text: Scalar, target: PgType) -> exp.Expr:
    message = exp.DPipe(
        this=exp.Literal.string(f"text that is not plainly {target.name}: "), expression=operand(text.node.copy())
    )
    known = exp.Not(this=exp.Paren(this=exp.Is(this=operand(text.node.copy()), expression=exp.Null())))
    return exp.Case(ifs=[exp.If(this=known, true=function("ERROR", message))])


def _in_range(read: exp.Expr, text: Scalar, local: str) -> exp.Expr:
    """Postgres refuses what would be read as infinity, or as 0 though it is not."""
    digits = function("REGEXP_MATCHES", text.node.copy(), exp.Literal.string("^[^eE]*[1-9]"))
    vanished = exp.And(
        this=exp.Paren(this=exp.EQ(this=read.copy(), expression=exp.Literal.number(0))), expression=digits
    )
    odd = exp.Or(this=function("ISINF", read.copy()), expression=exp.Paren(this=vanished))
    message = exp.DPipe(this=exp.Literal.string(f"out of range for {local}: "), expression=operand(text.node.copy()))
    return exp.Case(ifs=[exp.If(this=odd, true=function("ERROR", message))], default=read)


def _boolean(text: Scalar, target: PgType) -> Scalar:
    word = function("LOWER", _stripped(text))
    ifs = [
        exp.If(this=exp.In(this=word.copy(), expressions=[exp.Literal.string(one) for one in words]), true=truth)
        for words, truth in ((_TRUE, exp.true()), (_FALSE, exp.false()))
    ]
    return Scalar(cast(exp.Case(ifs=ifs, default=_unread(text, target)), "BOOLEAN"), target)
