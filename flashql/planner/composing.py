"""json and jsonb composed of values, as Postgres prints them: `jsonb_build_object`, `to_jsonb`, `jsonb_agg`.

jsonb is printed with its names in order, by length and then by bytes, each once (jsonb_util.c:
lengthCompareJsonbString). json keeps what it was given, with spaces around its colons (json.c).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call
from flashql.planner.documents import JSONB_TYPE, held
from flashql.planner.functions import converted
from flashql.planner.lists import ARRAYS
from flashql.planner.literals import BOOL, DATE, JSONB, NUMERIC, TEXT, TIMESTAMP, TIMESTAMPTZ, UNKNOWN, UUID
from flashql.planner.scalars import INTEGERS, TEXTS, Scalar, as_text, cast, function, operand, refuse
from flashql.planner.scopes import settled

_TEXT: Final = PgType(TEXT, -1, "text")
_JSON_TYPE: Final = PgType(114, -1, "json")
_QUOTED: Final = {UUID, *TEXTS}
_ELEMENTS: Final = {array: element for element, array in ARRAYS.items() if element in {*_QUOTED, *INTEGERS, BOOL}}
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
    if value.oid in TEXTS or value.type.kind == "e":
        return call("json_string", cast(value.node, "TEXT"))
    if value.oid in {BOOL, NUMERIC, *INTEGERS}:
        return converted(value, _TEXT).node
    if value.oid in {UUID, DATE}:
        return _joined([exp.Literal.string('"'), converted(value, _TEXT).node, exp.Literal.string('"')])
    if value.oid == TIMESTAMP:
        moment = function(
            "REGEXP_REPLACE", converted(value, _TEXT).node, exp.Literal.string(" "), exp.Literal.string("T")
        )
        return _joined([exp.Literal.string('"'), moment, exp.Literal.string('"')])
    if value.oid == JSONB:
        return cast(held(value), "TEXT")
    if value.oid in _ELEMENTS:
        comma = ", " if type_ == JSONB_TYPE else ","
        quoted = exp.Boolean(this=_ELEMENTS[value.oid] in _QUOTED)
        return call("json_from_elements", cast(value.node, "VARCHAR[]"), quoted, exp.Literal.string(comma))
    raise refuse(f"{value.type.name} in {type_.name}", _ZONE_HINT if value.oid == TIMESTAMPTZ else None)


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
            raise refuse(f"{name} with a name that is not a constant")
        keys = exp.Array(expressions=[name_of(key) for key, _ in pairs])
        parts = exp.Array(expressions=[part(value, type_) for _, value in pairs])
        return Scalar(cast(call("json_from_members", keys, parts), "JSON"), type_)
    written = [(str(one), part(value, type_)) for one, (_, value) in zip(names, pairs, strict=True)]
    colon = " : "
    if type_ == JSONB_TYPE:
        written, colon = sorted(dict(written).items(), key=lambda one: _place(one[0])), ": "
    pieces: list[exp.Expr] = []
    for at, (one, value) in enumerate(written):
        pieces += [exp.Literal.string(f"{', ' if at else '{'}{json.dumps(one, ensure_ascii=False)}{colon}"), value]
    return composed([*pieces, exp.Literal.string("}" if written else "{}")], type_)


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
