"""Operators of integers' bits, their digits to the bases 2, 8 and 16, and bits that stand for something."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call
from flashql.planner.literals import BYTEA, INT2, INT4, INT8, TEXT, UUID
from flashql.planner.scalars import INTEGERS, LOCAL_TYPES, Scalar, cast, common_type, function, operand, refuse

_BITS: Final[dict[type[exp.Expr], str]] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "#"}


def combined_bits(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    """`&`, `|` and `#` of integers, in the wider of their types."""
    type_ = common_type([left, right], f"the operator {_BITS[kind]}", comparing=True)
    if type_.oid not in INTEGERS:
        raise refuse(f"the operator {_BITS[kind]} of {type_.name}")
    sides = [operand(cast(one.node, LOCAL_TYPES[type_.oid])) for one in (left, right)]
    node = function("XOR", *sides) if kind is exp.BitwiseXor else kind(this=sides[0], expression=sides[1])
    return Scalar(cast(node, LOCAL_TYPES[type_.oid]), type_)


COMBINED: Final = {kind: partial(combined_bits, kind) for kind in _BITS}


def flipped_bits(value: Scalar) -> Scalar:
    """`~` of an integer."""
    if value.oid not in INTEGERS:
        raise refuse(f"the operator ~ of {value.type.name}")
    local = LOCAL_TYPES[value.oid]
    return Scalar(cast(exp.BitwiseNot(this=operand(cast(value.node, local))), local), value.type)


def shifted(name: str) -> Callable[[Scalar, Scalar], Scalar]:
    """`<<` and `>>`, the sign kept by the latter. By more bits than there are is an error here."""

    def rule(left: Scalar, right: Scalar) -> Scalar:
        if left.oid not in _SIZES or right.oid not in (INT2, INT4):
            raise refuse(f"a shift of {left.type.name} by {right.type.name}")
        if right.number is not None and not 0 <= int(right.number) < _SIZES[left.oid]:
            raise refuse(f"a shift by {right.number} bits, which depends on the machine,")
        if left.number is not None:  # a constant knows no type there
            left = Scalar(cast(left.node, LOCAL_TYPES[left.oid]), left.type)
        bits = exp.Literal.number(_SIZES[left.oid])
        moved = call(name, cast(left.node, "HUGEINT"), cast(right.node, "INTEGER"), bits)
        if left.oid == INT2:
            moved = call("wrapped", moved, exp.Literal.number(16))
        return Scalar(cast(moved, LOCAL_TYPES[left.oid]), left.type)

    return rule


_SIZES: Final = {INT2: 32, INT4: 32, INT8: 64}  # a smallint is shifted as an integer (int.c: int2shl)
_FORMATS: Final = {"to_bin": "{:b}", "to_oct": "{:o}", "to_hex": "{:x}"}


def digits(name: str) -> Callable[[Scalar], Scalar]:
    """to_hex and its like, of an integer: of a negative one the two's complement."""

    def rule(value: Scalar) -> Scalar:
        if value.oid not in INTEGERS:
            raise refuse(f"{name} of {value.type.name}")
        whole = exp.Literal.number(1 << (64 if value.oid == INT8 else 32))
        number = operand(cast(value.node, "HUGEINT"))
        # With so much added the remainder is never negative.
        node = exp.Mod(this=exp.Paren(this=exp.Add(this=number, expression=whole)), expression=whole.copy())
        shown = function("FORMAT", exp.Literal.string(_FORMATS[name]), cast(node, "UBIGINT"))
        return Scalar(shown, PgType(TEXT, -1, "text"), "default")

    return rule


def counted(value: Scalar) -> Scalar:
    """bit_count of bytea: how many are set."""
    if value.oid != BYTEA:
        raise refuse(f"bit_count of {value.type.name}")
    none = exp.EQ(this=function("OCTET_LENGTH", value.node), expression=exp.Literal.number(0))  # no BIT there
    bits = exp.Case(
        ifs=[exp.If(this=none, true=exp.Literal.number(0))], default=function("BIT_COUNT", cast(value.node, "BIT"))
    )
    return Scalar(cast(bits, "BIGINT"), PgType(INT8, -1, "bigint"))


def uuid_version(value: Scalar) -> Scalar:
    """uuid_extract_version; null of those that are not of RFC 9562's variant (uuid.c)."""
    if value.oid != UUID:
        raise refuse(f"uuid_extract_version of {value.type.name}")
    shown = cast(value.node, "VARCHAR")
    digits = [function("SUBSTRING", shown.copy(), exp.Literal.number(at), exp.Literal.number(1)) for at in (15, 20)]
    places = [function("STRPOS", exp.Literal.string("0123456789abcdef"), one) for one in digits]
    ours = exp.Between(this=places[1], low=exp.Literal.number(9), high=exp.Literal.number(12))  # 8, 9, a or b
    version = exp.Case(ifs=[exp.If(this=ours, true=exp.Sub(this=places[0], expression=exp.Literal.number(1)))])
    return Scalar(cast(version, "SMALLINT"), PgType(INT2, -1, "smallint"))
