"""Operators and functions of jsonb, over its text as Postgres prints it, which is what copies hold.

DuckDB reads numbers of JSON as doubles, and prints documents without spaces. So where a number is shown it is read as
text, and what is itself a document is printed with Postgres's spaces (jsonb.c: JsonbToCString).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call
from flashql.planner.literals import BOOL, INT4, JSON, JSONB, TEXT
from flashql.planner.scalars import Scalar, as_text, cast, coerce, function, refuse

JSONB_TYPE: Final = PgType(JSONB, -1, "jsonb")
_TEXT: Final = PgType(TEXT, -1, "text")
_BOOLEAN: Final = PgType(BOOL, -1, "boolean")
_HINT: Final = "Cast it to jsonb, as in j::jsonb -> 'a', where it is json."

_PLAIN_KEY: Final = re.compile(r'[^"\\*]+')


def inner(document: Scalar, path: Scalar) -> Scalar:
    """`document #> '{a,b}'`, `document -> 'a'`."""
    if path.text == "{}":  # the document itself
        return Scalar(held(document), JSONB_TYPE)
    return Scalar(call("json_value", held(document), _at(document, path)), JSONB_TYPE)


def inner_text(document: Scalar, path: Scalar) -> Scalar:
    """`document #>> '{a,b}'`, `document ->> 'a'`."""
    if path.text == "{}":
        return Scalar(call("json_says", held(document)), _TEXT, "default")
    return Scalar(call("json_text", held(document), _at(document, path)), _TEXT, "default")


def has_key(document: Scalar, key: Scalar) -> Scalar:
    """`document ? key`: a name of an object, a string of an array, or the string itself."""
    if not key.text or not _PLAIN_KEY.fullmatch(key.text):
        raise refuse(f"the operator ? with {key.text!r}", "Put the name into a column, or write it in ARRAY[...].")
    shown = exp.Literal.string(json.dumps(key.text, ensure_ascii=False))
    return Scalar(call("json_has", held(document), exp.Literal.string(f'$."{key.text}"'), shown), _BOOLEAN)


def contains(document: Scalar, part: Scalar) -> Scalar | None:
    """`document @> '{"a": 1, "b": {"c": "x"}}'`: an object that has these members, as a constant; None for others."""
    try:
        wanted = json.loads(part.text or "", parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        wanted = None
    if not isinstance(wanted, dict) or _has_arrays(wanted):
        return None
    within = held(document)
    test = exp.and_(*_has(within, wanted, ""), copy=False)
    known = exp.Not(this=exp.Paren(this=exp.Is(this=within.copy(), expression=exp.Null())))
    found = exp.Coalesce(this=test, expressions=[exp.false()])
    return Scalar(exp.Case(ifs=[exp.If(this=known, true=found)]), _BOOLEAN)


def _has_arrays(wanted: object) -> bool:
    return isinstance(wanted, list) or (isinstance(wanted, dict) and any(map(_has_arrays, wanted.values())))


def _has(document: exp.Expr, wanted: object, path: str) -> Iterator[exp.Expr]:
    """What must be true for a document to have such a value at a path (a JSON pointer)."""
    at = exp.Literal.string(path)
    kind = function("JSON_TYPE", document.copy(), at)
    if isinstance(wanted, dict):
        yield exp.EQ(this=kind, expression=exp.Literal.string("OBJECT"))
        for name, inside in wanted.items():
            yield from _has(document, inside, f"{path}/{_escaped(name)}")
    elif wanted is None or isinstance(wanted, bool):
        text = exp.Literal.string({None: "null", True: "true", False: "false"}[wanted])
        yield exp.EQ(this=cast(function("JSON_EXTRACT", document.copy(), at), "TEXT"), expression=text)
    elif isinstance(wanted, str):
        yield exp.EQ(this=kind, expression=exp.Literal.string("VARCHAR"))
        yield exp.EQ(
            this=function("JSON_EXTRACT_STRING", document.copy(), at.copy()), expression=exp.Literal.string(wanted)
        )
    elif isinstance(wanted, Decimal) and wanted.is_finite():
        yield exp.Not(this=exp.Paren(this=exp.EQ(this=kind, expression=exp.Literal.string("VARCHAR"))))
        whole, _, digits = format(abs(wanted), "f").partition(".")
        digits = digits.rstrip("0")
        sign = "-" if wanted < 0 else ""
        spelled = rf"{sign}{whole.lstrip('0') or '0'}" + (rf"\.{digits}0*" if digits else r"(\.0+)?")
        text_ = call("json_text", document, at.copy())
        yield function("REGEXP_FULL_MATCH", text_, exp.Literal.string(spelled))
    else:
        raise refuse("the operator @> of jsonb with such a number")


def object_required(document: Scalar) -> Scalar:
    """The document; of what is no object an error."""
    return Scalar(call("json_required", held(document), exp.Literal.string("OBJECT")), JSONB_TYPE)


def type_of(document: Scalar) -> Scalar:
    """jsonb_typeof, json_typeof."""
    node = cast(document.node, "JSON") if document.oid == JSON else held(document)
    return Scalar(call("json_kind", node), _TEXT, "default")


def array_length(document: Scalar) -> Scalar:
    """jsonb_array_length; of what is no array an error in both."""
    given = cast(document.node, "JSON") if document.oid == JSON else held(document)
    node = cast(call("json_elements", given), "INTEGER")
    return Scalar(node, PgType(INT4, -1, "integer"))


def listed(macro: str, document: Scalar) -> exp.Expr:
    """The elements, names or values of a document, as a list."""
    return call(macro, held(document))


def joined(left: Scalar, right: Scalar) -> Scalar:
    """`document || document`."""
    sides = [held(coerce(one, JSONB_TYPE, "||")) for one in (left, right)]
    return Scalar(cast(call("json_joined", *sides), "JSON"), JSONB_TYPE)


def without(document: Scalar, name: Scalar) -> Scalar:
    """`document - 'name'`."""
    return Scalar(cast(call("json_less", held(document), as_text(name).node), "JSON"), JSONB_TYPE)


def shown(document: Scalar) -> Scalar:
    """A document's text, as Postgres prints it."""
    return Scalar(cast(held(document), "TEXT"), _TEXT, "default")


def held(document: Scalar) -> exp.Expr:
    """The document as JSON; raises `NotSupported` for what is no jsonb."""
    if document.oid != JSONB:
        raise refuse(f"this operator of {document.type.name or 'an untyped constant'}", _HINT)
    return cast(document.node, "JSON")


def _at(document: Scalar, path: Scalar) -> exp.Expr:
    """The path; what is neither object nor array is also its own first and last element."""
    pointer = _pointer(path)
    if pointer.name not in ("$[0]", "$[#-1]"):
        return pointer
    kinds = [exp.Literal.string(kind) for kind in ("OBJECT", "ARRAY")]
    many = exp.In(this=function("JSON_TYPE", held(document)), expressions=kinds)
    return exp.Case(ifs=[exp.If(this=many, true=pointer)], default=exp.Literal.string("$"))


def _pointer(path: Scalar) -> exp.Expr:
    """A JSON pointer, whose numbers are places of arrays and names of objects alike, as in Postgres's paths.

    What begins with `$` is a single key or place (parsing.py), which Postgres would not take for a path.
    """
    if path.text is not None and path.text.startswith("$"):
        return exp.Literal.string(path.text)
    found = re.fullmatch(r"\{([^{}\"\\\s]*)\}", path.text or "")
    steps = found[1].split(",") if found is not None and found[1] else []
    if not steps or any(not step or step.upper() == "NULL" or re.fullmatch(r"[+-].*|0[0-9]+", step) for step in steps):
        raise refuse("a path of jsonb that is not a plain constant", "Write it as in '{a,b,0}'.")
    return exp.Literal.string("".join(f"/{_escaped(step)}" for step in steps))


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
