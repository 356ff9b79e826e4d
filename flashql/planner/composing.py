"""json and jsonb composed of values, as Postgres prints them: `jsonb_build_object`, `to_jsonb`, `jsonb_agg`.

jsonb is printed with its names in order, by length and then by bytes, each once (jsonb_util.c:
lengthCompareJsonbString). json keeps what it was given, with spaces around its colons (json.c).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call
from flashql.planner.documents import JSONB_TYPE, held
from flashql.planner.functions import converted
from flashql.planner.lists import ARRAYS
from flashql.planner.literals import (
    BOOL,
    BYTEA,
    DATE,
    FLOAT4,
    JSON,
    JSONB,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    UUID,
)
from flashql.planner.scalars import FLOATS, INTEGERS, TEXTS, Scalar, as_text, cast, function, operand, refuse
from flashql.planner.scopes import settled

_TEXT: Final = PgType(TEXT, -1, "text")
_JSON_TYPE: Final = PgType(JSON, -1, "json")
_QUOTED: Final = {UUID, DATE, TIMESTAMP, *TEXTS}
_ELEMENTS: Final = {array: element for element, array in ARRAYS.items() if element != TIMESTAMPTZ}
_OF_LISTS: Final = {DATE: "dates_shown", TIMESTAMP: "moments_shown"}
_ZONE_HINT: Final = "Write it AT TIME ZONE 'UTC': Postgres prints it in the session's time zone."


def type_of(name: str) -> PgType:
    """What a function of that name returns."""
    return JSONB_TYPE if "jsonb" in name else _JSON_TYPE


def part(value: Scalar, type_: PgType) -> exp.Expr:
    """The value's text as a part of a document; never null."""
    if value.is_null:
        return exp.Literal.string("null")
    shown = _shown(settled(value), type_)
    if isinstance(shown, exp.Literal):
        return shown
    return exp.Coalesce(this=shown, expressions=[exp.Literal.string("null")])


def _shown(value: Scalar, type_: PgType) -> exp.Expr:
    """The value's text in a document of the type, null where it is null (json.c: datum_to_json_internal)."""
    if value.fields is not None:
        return row(value, type_)
    if value.oid in FLOATS:
        return _float(value, type_)
    if value.oid in _ELEMENTS:
        return _list(value, _ELEMENTS[value.oid], type_)
    if value.oid == JSON and type_ == JSONB_TYPE:
        raise refuse(f"{value.type.name} in {type_.name}", "Cast it to jsonb.")
    rule = _TEXTS.get("e" if value.type.kind == "e" else value.oid)
    if rule is None:
        raise refuse(f"{value.type.name} in {type_.name}", _ZONE_HINT if value.oid == TIMESTAMPTZ else None)
    return rule(value)


def _plain(value: Scalar) -> exp.Expr:
    return converted(value, _TEXT).node


def _quoted(value: Scalar) -> exp.Expr:
    return _joined([exp.Literal.string('"'), _plain(value), exp.Literal.string('"')])


def _moment(value: Scalar) -> exp.Expr:
    shown = function("REGEXP_REPLACE", _plain(value), exp.Literal.string(" "), exp.Literal.string("T"))
    return _joined([exp.Literal.string('"'), shown, exp.Literal.string('"')])


def _string(value: Scalar) -> exp.Expr:
    """A char(n) keeps its padding."""
    return call("json_string", cast(value.node, "TEXT"))


_TEXTS: Final[dict[int | str, Callable[[Scalar], exp.Expr]]] = {
    "e": _string,
    **dict.fromkeys(TEXTS, _string),
    **dict.fromkeys((BOOL, NUMERIC, JSON, *INTEGERS), _plain),
    **dict.fromkeys((UUID, DATE), _quoted),
    TIMESTAMP: _moment,
    BYTEA: lambda value: call("json_string", _plain(value)),
    JSONB: lambda value: cast(held(value), "TEXT"),
}


def _float(value: Scalar, type_: PgType) -> exp.Expr:
    single = exp.Boolean(this=value.oid == FLOAT4)
    if type_ == JSONB_TYPE:
        return call("float_json", value.node, single)
    text = call("float_text", value.node, single)
    strings = exp.In(this=text, expressions=[exp.Literal.string(one) for one in ("NaN", "Infinity", "-Infinity")])
    quoted = _joined([exp.Literal.string('"'), text.copy(), exp.Literal.string('"')])
    return exp.Case(ifs=[exp.If(this=strings, true=quoted)], default=text.copy())


def _list(value: Scalar, element: int, type_: PgType, between: str = ",") -> exp.Expr:
    """An array of one dimension."""
    comma = exp.Literal.string(", " if type_ == JSONB_TYPE else between)
    if element in FLOATS:
        single = exp.Boolean(this=element == FLOAT4)
        listed = cast(value.node, "REAL[]" if element == FLOAT4 else "DOUBLE[]")
        texts = call("float_jsons" if type_ == JSONB_TYPE else "float_texts", listed, single)
    else:
        texts = cast(value.node, "VARCHAR[]")
        texts = call(_OF_LISTS[element], texts) if element in _OF_LISTS else texts
    return call("json_from_elements", texts, exp.Boolean(this=element in _QUOTED), comma)


def row(value: Scalar, type_: PgType, between: str = ",") -> exp.Expr:
    """A row as an object of its columns: in their order, or as jsonb keeps names."""
    names = [(name, part(inner, type_)) for name, inner in value.fields or ()]
    colon = ":"
    if type_ == JSONB_TYPE:
        names, colon, between = sorted(dict(names).items(), key=lambda one: _place(one[0])), ": ", ", "
    found = _joined(_members(names, colon, between))
    if isinstance(value.node, exp.Boolean):
        return found
    return exp.Case(ifs=[exp.If(this=value.node.copy(), true=found)])


def row_to_json(value: Scalar, pretty: Scalar | None = None) -> Scalar:
    """row_to_json, with each member on a line of its own where that is asked for."""
    if value.fields is None or (pretty is not None and not isinstance(pretty.node, exp.Boolean)):
        raise refuse("row_to_json of what is no row of FROM")
    lines = pretty is not None and bool(pretty.node.this)
    return composed([row(value, _JSON_TYPE, ",\n " if lines else ",")], _JSON_TYPE)


def on_a_line(value: Scalar, type_: PgType) -> exp.Expr:
    """The value's text as json_agg has it where it begins a line."""
    line = _joined([exp.Literal.string("\n "), _shown(value, type_)])
    return exp.Coalesce(this=line, expressions=[exp.Literal.string("null")])


def is_there(value: Scalar) -> exp.Expr:
    """Whether the value is not null."""
    if value.fields is not None:
        return value.node.copy()
    return exp.Not(this=exp.Paren(this=exp.Is(this=operand(value.node.copy()), expression=exp.Null())))


def elements(listed: Scalar, type_: PgType) -> exp.Expr:
    """A list's elements as json_agg and jsonb_agg have them."""
    return _list(listed, _ELEMENTS[listed.oid], type_, ", ")


def member(key: Scalar, value: Scalar) -> exp.Expr:
    """A member of json_object_agg."""
    return _joined([call("json_name", name_of(key)), exp.Literal.string(" : "), part(value, _JSON_TYPE)])


def array_to_json(value: Scalar) -> Scalar:
    """array_to_json."""
    if value.oid not in _ELEMENTS:
        raise refuse(f"array_to_json of {value.type.name or 'an untyped constant'}")
    return composed([_shown(value, _JSON_TYPE)], _JSON_TYPE)


def is_structured(value: Scalar) -> bool:
    """Whether json_agg begins a line for it (json.c: json_agg_transfn_worker)."""
    return value.fields is not None or value.oid in _ELEMENTS


def _members(written: Sequence[tuple[str, exp.Expr]], colon: str, between: str) -> list[exp.Expr]:
    pieces: list[exp.Expr] = []
    for at, (one, value) in enumerate(written):
        begin = between if at else "{"
        pieces += [exp.Literal.string(f"{begin}{json.dumps(one, ensure_ascii=False)}{colon}"), value]
    return [*pieces, exp.Literal.string("}" if written else "{}")]


def _joined(pieces: Sequence[exp.Expr]) -> exp.Expr:
    """Texts one after another; null where one is."""
    found = pieces[0]
    for one in pieces[1:]:
        found = exp.DPipe(this=operand(found), expression=operand(one))
    return exp.Paren(this=found)


def composed(pieces: Sequence[exp.Expr], type_: PgType) -> Scalar:
    """A document of these pieces of text."""
    return Scalar(cast(_joined(pieces) if len(pieces) > 1 else pieces[0], "JSON"), type_)


def converted_whole(name: str, value: Scalar) -> Scalar:
    """to_jsonb, to_json: null of null."""
    if value.oid == UNKNOWN:
        raise refuse(f"{name} of an untyped constant")
    return composed([_shown(value, type_of(name))], type_of(name))


def array(name: str, *values: Scalar) -> Scalar:
    """jsonb_build_array, json_build_array."""
    type_, pieces = type_of(name), []
    for at, value in enumerate(values):
        pieces += [exp.Literal.string(", " if at else "["), part(value, type_)]
    return composed([*pieces, exp.Literal.string("]" if values else "[]")], type_)


def object_(name: str, *values: Scalar) -> Scalar:
    """jsonb_build_object, json_build_object."""
    if len(values) % 2:
        raise refuse(f"{name} of an odd number of arguments")
    type_, pairs = type_of(name), list(zip(values[::2], values[1::2], strict=True))
    names = [key.text if key.text is not None else key.number for key, _ in pairs]
    if any(one is None for one in names):
        if type_ != JSONB_TYPE:
            return _in_order(pairs)
        keys = exp.Array(expressions=[name_of(key) for key, _ in pairs])
        parts = exp.Array(expressions=[part(value, type_) for _, value in pairs])
        return Scalar(cast(call("json_from_members", keys, parts), "JSON"), type_)
    written = [(str(one), part(value, type_)) for one, (_, value) in zip(names, pairs, strict=True)]
    colon = " : "
    if type_ == JSONB_TYPE:
        written, colon = sorted(dict(written).items(), key=lambda one: _place(one[0])), ": "
    return composed(_members(written, colon, ", "), type_)


def _in_order(pairs: Sequence[tuple[Scalar, Scalar]]) -> Scalar:
    """json_build_object of names that rows give."""
    pieces: list[exp.Expr] = []
    for at, (key, value) in enumerate(pairs):
        named = call("json_name", name_of(key))
        pieces += [exp.Literal.string(", " if at else "{"), named, exp.Literal.string(" : "), part(value, _JSON_TYPE)]
    return composed([*pieces, exp.Literal.string("}")], _JSON_TYPE)


def name_of(key: Scalar) -> exp.Expr:
    """The text that is the name of a member."""
    if key.oid == UNKNOWN and key.text is not None:
        return exp.Literal.string(key.text)
    if key.oid not in {*TEXTS, *INTEGERS, UUID, DATE}:
        raise refuse(f"a name of a document's member of type {key.type.name or 'unknown'}", "Cast it to text.")
    return as_text(key).node if key.oid in TEXTS else converted(key, _TEXT).node


def _place(name: str) -> tuple[int, bytes]:
    encoded = name.encode()
    return len(encoded), encoded
