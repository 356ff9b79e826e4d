"""Operators over Scalars: comparison, arithmetic, and the common type of alternatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import enums, intervals
from flashql.planner.arithmetic import call
from flashql.planner.collations import COLLATE_HINT, by_bytes, deterministic
from flashql.planner.literals import BOOL, BPCHAR, INTERVAL, JSONB, NUMERIC
from flashql.planner.scalars import (
    EXACT,
    FLOATS,
    INTEGERS,
    LOCAL_TYPES,
    TEXTS,
    Scalar,
    cast,
    coerced,
    common_type,
    merged_collation,
    operand,
    refuse,
)

_BOOLEAN: Final = PgType(BOOL, -1, "boolean")
_ORDERINGS: Final = {exp.LT, exp.LTE, exp.GT, exp.GTE}


# Prefixes that sqlglot applies to less than Postgres does, and what says the same.
OTHERWISE: Final[dict[type[exp.Expr], tuple[str, str]]] = {
    exp.Parameter: ("@", "abs(x)"), exp.Sqrt: ("|/", "sqrt(x)"), exp.Cbrt: ("||/", "cbrt(x)"),
}  # fmt: skip


def written_otherwise(node: exp.Expr) -> Scalar:
    """No value: raises `NotSupported` with what to write instead."""
    if isinstance(node.this, exp.Literal):
        raise refuse(f"PARAMETER ({node.sql('postgres')})")
    operator, instead = OTHERWISE[type(node)]
    raise refuse(f"the operator {operator}", f"Write {instead}.")


def compared(kind: type[exp.Expr], values: Sequence[Scalar], *, apart: bool = False) -> Scalar:
    """`a kind b` where both, brought to one type, compare alike in both databases; raises `NotSupported`.

    `apart` where one is a column of a subquery.
    """
    what = "comparison"
    common = common_type(values, what, comparing=True)
    by_place = common.kind == "e" and kind in _ORDERINGS
    if common.oid != INTERVAL and not by_place:
        check_comparable(common, values, ordering=kind in _ORDERINGS)
    ready = coerced(values, what, comparing=True, apart=apart)
    left, right = (key_of(one) for one in (enums.places(ready) if by_place else ready))
    return Scalar(kind(this=operand(left), expression=operand(right)), _BOOLEAN)


def key_of(value: Scalar) -> exp.Expr:
    """What is equal where values are: of jsonb its text with numbers in one spelling, of an interval how long it is."""
    if value.oid == INTERVAL:
        return intervals.key(value).node
    return call("json_key", value.node) if value.oid == JSONB and not value.is_null else value.node


def check_comparable(type_: PgType, values: Sequence[Scalar], *, ordering: bool) -> None:
    """Raise `NotSupported` unless both databases compare (or order) values of this type alike."""
    if type_.oid in TEXTS:
        collation, _ = merged_collation(values)
        if ordering and not by_bytes(collation):
            raise refuse(f"the order of text under collation {collation or 'default'}", COLLATE_HINT)
        if not deterministic(collation):
            raise refuse(f"equality of text under collation {collation}", COLLATE_HINT)
    elif type_.kind == "e":
        if ordering:
            raise refuse(f"the order of enum {type_.name} here", "Write a CASE over its labels.")
    elif type_.element is not None and type_.element.oid in EXACT | TEXTS and type_.element.kind == "b":
        check_comparable(type_.element, [replace(one, type=type_.element) for one in values], ordering=ordering)
    elif type_.oid == JSONB and ordering:
        raise refuse("the order of jsonb", "Order by what is in it, as in (d ->> 'n')::int.")
    elif type_.oid == INTERVAL:
        raise refuse(
            "equality of intervals here, several of which are equal to each other,",
            "Group by extract(epoch from x), or compare with = alone.",
        )
    elif type_.oid not in EXACT and type_.oid not in (NUMERIC, JSONB):
        raise refuse(f"comparison of {type_.name}")


def negated(value: Scalar) -> Scalar:
    """`- value`."""
    if value.oid == INTERVAL:
        return intervals.negated(value)
    bounded = value.oid == NUMERIC and value.bounds is not None
    if value.oid == NUMERIC and not bounded:
        return Scalar(exp.Paren(this=exp.Neg(this=operand(value.node))), value.type)
    if not (bounded or value.oid in {*INTEGERS, *FLOATS}) or not value.countable:
        raise refuse(f"negation of {value.type.name}")
    local = LOCAL_TYPES.get(value.oid) or "DECIMAL({}, {})".format(*(value.bounds or ()))
    # DuckDB before 2.0 widens the negation of the smallest integer while folding constants: cast it back.
    return replace(value, node=cast(exp.Neg(this=operand(cast(value.node, local))), local), number=None)


def unified(values: Sequence[Scalar], what: str) -> tuple[list[Scalar], Scalar]:
    """Values as alternatives for one result, and a model of that result; raises `NotSupported`."""
    sized = {v.type for v in values if not v.is_null}
    if any(v.oid == BPCHAR for v in values) and (len(sized) > 1 or what not in ("COALESCE", "CASE")):
        raise refuse(f"{what} of char(n)", "Cast it to text.")
    ready = list(values) if BPCHAR in {v.oid for v in values} else coerced(values, what, comparing=False)
    typed = [v for v in ready if not v.is_null]
    if not typed:
        raise refuse(f"{what} of nothing but NULL")
    model = typed[0]
    collation, explicit = merged_collation(values)
    return ready, replace(
        model,
        collation=collation,
        explicit=explicit,
        number=None,
        text=None,
        printed=all(v.printed for v in typed),
        countable=all(v.countable for v in ready),
    )
