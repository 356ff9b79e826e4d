"""Operators and functions of arrays, which are lists here: one-dimensional, numbered from 1."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType, ladder
from flashql.planner.arithmetic import call
from flashql.planner.literals import (
    BOOL,
    DATE,
    FLOAT4,
    FLOAT8,
    INT2,
    INT4,
    INT8,
    TEXT,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    UUID,
    VARCHAR,
)
from flashql.planner.operators import check_comparable, unified
from flashql.planner.scalars import (
    INTEGERS,
    TEXTS,
    Scalar,
    as_text,
    cast,
    coerce,
    function,
    merged_collation,
    operand,
    refuse,
)
from flashql.planner.scopes import settled

# By the element's type: the array's.
ARRAYS: Final = {
    BOOL: 1000, INT2: 1005, INT4: 1007, INT8: 1016, FLOAT4: 1021, FLOAT8: 1022, TEXT: 1009, VARCHAR: 1015,
    DATE: 1182, TIMESTAMP: 1115, TIMESTAMPTZ: 1185, UUID: 2951,
}  # fmt: skip
_ELEMENTS: Final = {array: element for element, array in ARRAYS.items()}
_INTEGER: Final = PgType(INT4, -1, "integer")
_BOOLEAN: Final = PgType(BOOL, -1, "boolean")
_TEXT: Final = PgType(TEXT, -1, "text")


def array_of(element: PgType) -> PgType:
    """The type of an array of such elements; raises `NotSupported` for those that no list holds exactly."""
    array = ARRAYS.get(element.oid)
    if array is None:
        raise refuse(f"an array of {element.name}", "Cast its elements to text, or to numbers of a fixed size.")
    return PgType(array, -1, f"{element.name}[]", element=replace(element, typmod=-1))


def element_of(value: Scalar, what: str) -> PgType:
    """The type of an array's elements; raises `NotSupported` for what is no such array."""
    oid = _ELEMENTS.get(value.oid)
    if oid is None:
        raise refuse(f"{what} of {value.type.name or 'an untyped constant'}")
    return PgType(oid, -1, value.type.element.name if value.type.element is not None else "")


def _held(value: Scalar, what: str) -> exp.Expr:
    """The list; of a column that became text DuckDB makes one again, or raises."""
    return cast(value.node, f"{ladder(element_of(value, what))[0].name}[]")


def constructed(values: list[Scalar]) -> Scalar:
    """`ARRAY[...]`: all of one type, constants without one being text."""
    ready, model = unified(
        values if any(one.oid != UNKNOWN for one in values) else [settled(one) for one in values], "ARRAY"
    )
    array = array_of(model.type)
    listed = exp.Array(expressions=[one.node for one in ready])
    return Scalar(cast(listed, f"{ladder(model.type)[0].name}[]"), array, model.collation)


def subscript(value: Scalar, place: Scalar) -> Scalar:
    """`array[place]`: null where there is none."""
    element = element_of(value, "a subscript")
    if place.oid not in INTEGERS:
        raise refuse(f"a subscript of {place.type.name}")
    node = function("LIST_EXTRACT", _held(value, "a subscript"), _from_one(place))
    return Scalar(node, element, value.collation)


def _from_one(place: Scalar) -> exp.Expr:
    if place.number is not None and int(place.number) > 0:
        return exp.Literal.number(place.number)
    number = cast(place.node, "BIGINT")
    there = exp.GT(this=number, expression=exp.Literal.number(0))
    return exp.Case(ifs=[exp.If(this=there, true=number.copy())])


def cardinality(value: Scalar) -> Scalar:
    """How many elements there are."""
    return Scalar(cast(function("LEN", _held(value, "cardinality")), "INTEGER"), _INTEGER)


def length(value: Scalar, dimension: Scalar) -> Scalar:
    """array_length and array_upper of the one dimension: null where it is empty."""
    if dimension.number != "1":
        raise refuse("array_length of another dimension than 1")
    number = function("LEN", _held(value, "array_length"))
    return Scalar(cast(exp.Nullif(this=number, expression=exp.Literal.number(0)), "INTEGER"), _INTEGER)


def joined(value: Scalar, separator: Scalar, null: Scalar | None = None) -> Scalar:
    """array_to_string of texts and integers: nulls left out, or as `null` says."""
    element = element_of(value, "array_to_string")
    if element.oid not in {*TEXTS, *INTEGERS, UUID}:
        raise refuse(f"array_to_string of {value.type.name}")
    listed: exp.Expr = cast(_held(value, "array_to_string"), "VARCHAR[]")
    if null is not None:
        listed = call("without_nulls", listed, as_text(null).node)
    node = call("listed", listed, as_text(separator).node)
    return Scalar(node, _TEXT, value.collation or "default")


def split(value: Scalar, separator: Scalar) -> Scalar:
    """string_to_array by a constant: of the empty text nothing."""
    text = as_text(value)
    if not separator.text:
        raise refuse("string_to_array by what is not a constant", "Write a constant separator.")
    node = call("split", text.node, exp.Literal.string(separator.text))
    return Scalar(node, array_of(_TEXT), text.collation)


def any_equal(kind: type[exp.Expr], value: Scalar, listed: Scalar) -> Scalar:
    """`value = ANY (array)`, and with another operator that compares: null where only a null may decide."""
    listed = _matched(listed, Scalar(exp.Null(), array_of(value.type))) if listed.text is not None else listed
    element = element_of(listed, "ANY")
    ready = coerce(value, element, "ANY") if value.number or value.text else value
    if ready.oid in TEXTS and element.oid in TEXTS:
        ready = as_text(ready)
    elif ready.oid != element.oid:
        raise refuse(f"ANY of {ready.type.name} and {listed.type.name}", "Cast one side.")
    if kind is not exp.EQ:
        raise refuse("ANY of an array with another operator than =")
    check_comparable(element, [ready, Scalar(listed.node, element, listed.collation)], ordering=False)
    return Scalar(call("any_equal", ready.node, _held(listed, "ANY")), _BOOLEAN)


_SETS: Final[dict[type[exp.Expr], str]] = {exp.ArrayContainsAll: "contains_all", exp.ArrayOverlaps: "overlaps"}


def compared_sets(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    """`@>` and `&&`: nulls match nothing."""
    sides = [_matched(left, right), _matched(right, left)]
    element = element_of(sides[0], "@>")
    if sides[0].oid != sides[1].oid:
        raise refuse(f"the operator of {left.type.name} and {right.type.name}", "Cast one side.")
    check_comparable(element, [Scalar(one.node, element, one.collation) for one in sides], ordering=False)
    return Scalar(call(_SETS[kind], *(_held(one, "@>") for one in sides)), _BOOLEAN)


def _matched(one: Scalar, other: Scalar) -> Scalar:
    """A constant takes its type from the other side: '{a,b}' of plain words."""
    if one.text is None:
        return one
    element = element_of(other, "@>")
    words = one.text[1:-1].split(",") if one.text != "{}" else []
    plain = one.text[:1] + one.text[-1:] == "{}" and all(
        word and word == word.strip() and not set(word) & set('{}"\\') for word in words
    )
    if not plain:
        raise refuse(f"the array {one.text!r}", "Write it as in ARRAY['a', 'b'].")
    values = [
        exp.Null()
        if word.upper() == "NULL"
        else coerce(Scalar(exp.Literal.string(word), PgType(UNKNOWN), text=word), element, "an array").node
        for word in words
    ]
    listed = exp.Array(expressions=values)
    return Scalar(cast(listed, f"{ladder(element)[0].name}[]"), other.type, other.collation)


def converted(value: Scalar, element: PgType) -> Scalar:
    """A cast to an array of such elements: of a constant, or of what is one."""
    array = array_of(element)
    if value.text is not None:
        return _matched(value, Scalar(exp.Null(), array, "default" if element.oid in TEXTS else None))
    if value.oid != array.oid:
        raise refuse(f"a cast of {value.type.name or 'this type'} to {array.name}")
    return value


def concatenated(left: Scalar, right: Scalar) -> Scalar | None:
    """`||` with an array: null is no array, and an element of its own; None where there is none."""
    if left.oid not in _ELEMENTS and right.oid not in _ELEMENTS:
        return None
    if left.oid == right.oid:
        node = call("joined", _held(left, "||"), _held(right, "||"))
    elif left.oid in _ELEMENTS and right.oid == _ELEMENTS[left.oid]:
        node = function("LIST_APPEND", _held(left, "||"), right.node)
    elif right.oid in _ELEMENTS and left.oid == _ELEMENTS[right.oid]:
        node = function("LIST_PREPEND", left.node, _held(right, "||"))
    else:
        raise refuse(f"|| of {left.type.name} and {right.type.name}", "Cast one side.")
    collation, _ = merged_collation([left, right])
    return Scalar(node, left.type if left.oid in _ELEMENTS else right.type, collation)


def extended(value: Scalar, other: Scalar, *, last: bool) -> Scalar:
    """An array with one more element, as the last or the first."""
    element = element_of(value, "array_append")
    ready = coerce(other, element, "array_append") if other.number or other.text else other
    if ready.oid != element.oid:
        raise refuse(f"array_append of {value.type.name} and {other.type.name}")
    found = concatenated(value, ready) if last else concatenated(ready, value)
    assert found is not None
    return found


def without(value: Scalar, other: Scalar) -> Scalar:
    """array_remove: without the elements that are equal to one; NULL is equal to NULL there."""
    element = element_of(value, "array_remove")
    ready = coerce(other, element, "array_remove") if other.number or other.text else other
    if ready.oid != element.oid:
        raise refuse(f"array_remove of {value.type.name} and {other.type.name}")
    check_comparable(element, [ready, Scalar(value.node, element, value.collation)], ordering=False)
    return Scalar(call("without", _held(value, "array_remove"), ready.node), value.type, value.collation)


def place_of(value: Scalar, wanted: Scalar) -> Scalar:
    """array_position: where the element is first, from 1; null where it is not."""
    element = element_of(value, "array_position")
    ready = coerce(wanted, element, "array_position") if wanted.number or wanted.text else wanted
    if ready.oid != element.oid:
        raise refuse(f"array_position of {value.type.name} and {wanted.type.name}")
    check_comparable(element, [ready, Scalar(value.node, element, value.collation)], ordering=False)
    place = function("LIST_POSITION", _held(value, "array_position"), operand(ready.node))
    return Scalar(cast(exp.Nullif(this=place, expression=exp.Literal.number(0)), "INTEGER"), _INTEGER)
