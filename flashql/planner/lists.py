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
    constant,
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


def sliced(value: Scalar, low: Scalar | None, high: Scalar | None) -> Scalar:
    """`array[low:high]`, of what there is of it; numbered from 1 again."""
    element_of(value, "a subscript")
    if any(one is not None and one.oid not in INTEGERS for one in (low, high)):
        raise refuse("a subscript that is no integer")
    listed = _held(value, "a subscript")
    first = exp.Literal.number(1) if low is None else cast(low.node, "BIGINT")
    last = function("LEN", listed.copy()) if high is None else cast(high.node, "BIGINT")
    return Scalar(call("sliced", listed, first, last), value.type, value.collation)


def cardinality(value: Scalar) -> Scalar:
    """How many elements there are."""
    return Scalar(cast(function("LEN", _held(value, "cardinality")), "INTEGER"), _INTEGER)


def length(value: Scalar, dimension: Scalar) -> Scalar:
    """array_length and array_upper: null where the array is empty, and of another dimension than its one."""
    number = exp.Nullif(this=function("LEN", _held(value, "array_length")), expression=exp.Literal.number(0))
    return Scalar(cast(_of_dimension(number, dimension), "INTEGER"), _INTEGER)


def lower(value: Scalar, dimension: Scalar) -> Scalar:
    """array_lower: 1."""
    return Scalar(cast(_of_dimension(_if_any(value, exp.Literal.number(1)), dimension), "INTEGER"), _INTEGER)


def _of_dimension(number: exp.Expr, dimension: Scalar) -> exp.Expr:
    if dimension.number == "1":
        return number
    if dimension.oid not in INTEGERS:
        raise refuse(f"a dimension of {dimension.type.name}")
    only = exp.EQ(this=operand(dimension.node), expression=exp.Literal.number(1))
    return exp.Case(ifs=[exp.If(this=only, true=number)])


def dimensions(value: Scalar) -> Scalar:
    """array_ndims: 1, null of an empty one."""
    return Scalar(cast(_if_any(value, exp.Literal.number(1)), "INTEGER"), _INTEGER)


def shown_dimensions(value: Scalar) -> Scalar:
    """array_dims."""
    last = cast(function("LEN", _held(value, "array_dims")), "TEXT")
    text = function("CONCAT", exp.Literal.string("[1:"), last, exp.Literal.string("]"))
    return Scalar(_if_any(value, text), _TEXT, "default")


def _if_any(value: Scalar, node: exp.Expr) -> exp.Expr:
    some = exp.GT(this=function("LEN", _held(value, "an array function")), expression=exp.Literal.number(0))
    return exp.Case(ifs=[exp.If(this=some, true=node)])


def joined(value: Scalar, separator: Scalar, null: Scalar | None = None) -> Scalar:
    """array_to_string of texts and integers: nulls left out, or as `null` says."""
    element = element_of(value, "array_to_string")
    if element.oid not in {*TEXTS, *INTEGERS, UUID}:
        raise refuse(f"array_to_string of {value.type.name}")
    listed: exp.Expr = cast(_held(value, "array_to_string"), "VARCHAR[]")
    if null is not None:
        listed = call("without_nulls", listed, as_text(null).node)
    node = call("listed" if separator.text is not None else "listed_by", listed, as_text(separator).node)
    return Scalar(node, _TEXT, value.collation or "default")


def split(value: Scalar, separator: Scalar, null: Scalar | None = None) -> Scalar:
    """string_to_array: of the empty text nothing; by NULL its characters. What is equal to `null` is null."""
    text = as_text(value)
    if separator.text:
        node = call("split", text.node, exp.Literal.string(separator.text))
    else:
        by = cast(exp.Null(), "TEXT") if separator.is_null else as_text(separator).node
        node = call("split_by", text.node, by)
    if null is not None and not null.is_null:
        node = call("with_nulls", node, as_text(null).node)
    return Scalar(node, array_of(_TEXT), text.collation)


_EACH: Final[dict[type[exp.Expr], str]] = {
    exp.EQ: "each_equal", exp.NEQ: "each_unequal", exp.LT: "each_above", exp.LTE: "each_not_below",
    exp.GT: "each_below", exp.GTE: "each_not_above",
}  # fmt: skip


def quantified(kind: type[exp.Expr], value: Scalar, listed: Scalar, *, every: bool) -> Scalar:
    """`value kind ANY (array)`, or ALL of it: null where only a null may decide."""
    listed = _matched(listed, Scalar(exp.Null(), array_of(value.type))) if listed.text is not None else listed
    element = element_of(listed, "ANY")
    ready = coerce(value, element, "ANY") if value.number or value.text else value
    held = _held(listed, "ANY")
    if ready.oid in TEXTS and element.oid in TEXTS:
        ready = as_text(ready)
    elif {ready.oid, element.oid} <= INTEGERS:
        ready, held = replace(ready, node=cast(ready.node, "BIGINT")), cast(held, "BIGINT[]")
    elif ready.oid != element.oid:
        raise refuse(f"ANY of {ready.type.name} and {listed.type.name}", "Cast one side.")
    both = [ready, Scalar(listed.node, element, listed.collation)]
    check_comparable(element, both, ordering=kind not in (exp.EQ, exp.NEQ))
    if kind is exp.EQ and not every:
        return Scalar(call("any_equal", ready.node, held), _BOOLEAN)
    if kind is exp.NEQ and every:
        return Scalar(exp.Not(this=call("any_equal", ready.node, held)), _BOOLEAN)
    truths = call(_EACH[kind], ready.node, held)
    found = call("any_equal", exp.Boolean(this=not every), truths)
    return Scalar(exp.Not(this=found) if every else found, _BOOLEAN)


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
    """A constant takes its type from the other side."""
    if one.text is None:
        return one
    type_ = replace(other.type, element=element_of(other, "an array"))
    return Scalar(constant(one.text, type_).node, other.type, other.collation)


def converted(value: Scalar, element: PgType) -> Scalar:
    """A cast to an array of such elements: of a constant, or of what is one."""
    array = array_of(element)
    if value.text is not None:
        return _matched(value, Scalar(exp.Null(), array, "default" if element.oid in TEXTS else None))
    if value.oid != array.oid:
        raise refuse(f"a cast of {value.type.name or 'this type'} to {array.name}")
    return value


def empty(element: PgType) -> Scalar:
    """`ARRAY[]::element[]`."""
    array = array_of(element)
    node = cast(exp.Array(expressions=[]), ladder(array)[0].name)
    return Scalar(node, array, "default" if element.oid in TEXTS else None)


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
    if other.is_null:
        other = Scalar(cast(exp.null(), ladder(element)[0].name), element)
    ready = coerce(other, element, "array_append") if other.number or other.text else other
    if ready.oid != element.oid:
        raise refuse(f"array_append of {value.type.name} and {other.type.name}")
    found = concatenated(value, ready) if last else concatenated(ready, value)
    assert found is not None
    return found


def without(value: Scalar, other: Scalar) -> Scalar:
    """array_remove: without the elements that are equal to one; NULL is equal to NULL there."""
    sought = _wanted(value, other, "array_remove")
    return Scalar(call("without", _held(value, "array_remove"), sought), value.type, value.collation)


def places_of(value: Scalar, wanted: Scalar) -> Scalar:
    """array_positions: all places of the element, from 1."""
    node = call("places", _held(value, "array_positions"), _wanted(value, wanted, "array_positions"))
    return Scalar(cast(node, "INTEGER[]"), array_of(_INTEGER))


def place_of(value: Scalar, wanted: Scalar, begin: Scalar | None = None) -> Scalar:
    """array_position: where the element is first, from 1, or from a place on; null where it is not."""
    sought = _wanted(value, wanted, "array_position")
    if begin is not None:
        if begin.oid not in INTEGERS:
            raise refuse(f"array_position from {begin.type.name}")
        found: exp.Expr = call("place_from", _held(value, "array_position"), sought, cast(begin.node, "BIGINT"))
        return Scalar(cast(found, "INTEGER"), _INTEGER)
    place = function("LIST_POSITION", _held(value, "array_position"), operand(sought))
    return Scalar(cast(exp.Nullif(this=place, expression=exp.Literal.number(0)), "INTEGER"), _INTEGER)


def _wanted(value: Scalar, wanted: Scalar, what: str) -> exp.Expr:
    """An element to look for, or to put in."""
    element = element_of(value, what)
    ready = coerce(wanted, element, what) if wanted.number or wanted.text else wanted
    if ready.oid in TEXTS and element.oid in TEXTS:
        ready = as_text(ready)
    elif ready.is_null:
        return cast(exp.Null(), ladder(element)[0].name)
    elif ready.oid != element.oid:
        raise refuse(f"{what} of {value.type.name} and {wanted.type.name}", "Cast one side.")
    check_comparable(element, [ready, Scalar(value.node, element, value.collation)], ordering=False)
    return ready.node


def exchanged(value: Scalar, old: Scalar, new: Scalar) -> Scalar:
    """array_replace: NULL is equal to NULL there."""
    pair = (_wanted(value, one, "array_replace") for one in (old, new))
    return Scalar(call("exchanged", _held(value, "array_replace"), *pair), value.type, value.collation)


def trimmed(value: Scalar, count: Scalar) -> Scalar:
    """trim_array: without so many of the last."""
    if count.oid not in INTEGERS:
        raise refuse(f"trim_array by {count.type.name}")
    element_of(value, "trim_array")
    node = call("trimmed", _held(value, "trim_array"), cast(count.node, "BIGINT"))
    return Scalar(node, value.type, value.collation)


def reverse(value: Scalar) -> Scalar:
    """array_reverse."""
    return Scalar(function("LIST_REVERSE", _held(value, "array_reverse")), value.type, value.collation)


def sort(value: Scalar) -> Scalar:
    """array_sort: ascending, nulls last."""
    element = element_of(value, "array_sort")
    check_comparable(element, [Scalar(value.node, element, value.collation)], ordering=True)
    words = (exp.Literal.string(word) for word in ("ASC", "NULLS LAST"))
    return Scalar(function("LIST_SORT", _held(value, "array_sort"), *words), value.type, value.collation)


def filled(value: Scalar, sizes: Scalar) -> Scalar:
    """array_fill, of one dimension."""
    value, listed = settled(value), _held(coerce(sizes, array_of(_INTEGER), "array_fill"), "array_fill")
    written = listed.find(exp.Array)
    if written is not None and len(written.expressions) != 1:
        raise refuse("array_fill of several dimensions")
    element = ladder(value.type)[0].name
    size = function("LIST_EXTRACT", listed, exp.Literal.number(1))
    right = exp.And(
        this=exp.EQ(this=function("LEN", listed.copy()), expression=exp.Literal.number(1)),
        expression=exp.GTE(this=size, expression=exp.Literal.number(0)),
    )
    made = function("LIST_RESIZE", cast(exp.Array(), f"{element}[]"), size.copy(), cast(value.node, element))
    wrong = cast(function("ERROR", exp.Literal.string("array_fill has one size here, no less than 0")), f"{element}[]")
    return Scalar(exp.Case(ifs=[exp.If(this=right, true=made)], default=wrong), array_of(value.type), value.collation)
