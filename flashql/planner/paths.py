"""Members of jsonb by names, places and paths that rows give, and documents changed there.

A path is a text[] whose steps are names of objects and places of arrays; a document that is neither has no members but
for `->`, to which it is its own first element (jsonfuncs.c).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import composing, documents
from flashql.planner.arithmetic import call
from flashql.planner.documents import JSONB_TYPE, held
from flashql.planner.lists import converted as list_of
from flashql.planner.literals import BOOL, INT2, INT4, TEXT
from flashql.planner.scalars import TEXTS, Scalar, as_text, cast, coerce, function, refuse

_TEXT: Final = PgType(TEXT, -1, "text")
_BOOLEAN: Final = PgType(BOOL, -1, "boolean")
_TEXT_ARRAYS: Final = {1009, 1015}


def member(document: Scalar, key: Scalar) -> Scalar:
    """`document -> key`, with a name or a place."""
    return Scalar(call("json_value", held(document), _key(document, key)), JSONB_TYPE)


def member_text(document: Scalar, key: Scalar) -> Scalar:
    """`document ->> key`."""
    return Scalar(call("json_text", held(document), _key(document, key)), _TEXT, "default")


def _key(document: Scalar, key: Scalar) -> exp.Expr:
    if key.oid in (INT2, INT4):
        return call("json_by_place", held(document), key.node)
    return call("json_by_name", held(document), as_text(key).node)


def inner(document: Scalar, path: Scalar) -> Scalar:
    """`document #> path`."""
    if path.text is not None:
        return documents.inner(document, path)
    return Scalar(_at(document, path), JSONB_TYPE)


def inner_text(document: Scalar, path: Scalar) -> Scalar:
    """`document #>> path`."""
    if path.text is not None:
        return documents.inner_text(document, path)
    return Scalar(call("json_says", _at(document, path)), _TEXT, "default")


def extracted(document: Scalar, *steps: Scalar) -> Scalar:
    """jsonb_extract_path."""
    return Scalar(cast(call("json_at", held(document), _listed(steps)), "JSON"), JSONB_TYPE)


def extracted_text(document: Scalar, *steps: Scalar) -> Scalar:
    """jsonb_extract_path_text."""
    return Scalar(call("json_says", extracted(document, *steps).node), _TEXT, "default")


def subscripted(document: Scalar, step: Scalar) -> Scalar:
    """`document['name']`, `document[0]`."""
    if step.oid in (INT2, INT4):
        step = Scalar(cast(step.node, "TEXT"), _TEXT)
    return extracted(document, step)


def _at(document: Scalar, path: Scalar) -> exp.Expr:
    return cast(call("json_at", held(document), _steps(path)), "JSON")


def _listed(steps: tuple[Scalar, ...]) -> exp.Expr:
    return cast(exp.Array(expressions=[as_text(one).node for one in steps]), "VARCHAR[]")


def _steps(path: Scalar) -> exp.Expr:
    """A path as a list of texts."""
    if path.text is not None:
        path = list_of(path, _TEXT)
    if path.oid not in _TEXT_ARRAYS:
        raise refuse(f"a path of type {path.type.name or 'unknown'}", "Write it as in '{a,b,0}', or as a text[].")
    return cast(path.node, "VARCHAR[]")


def has_key(document: Scalar, key: Scalar) -> Scalar:
    """`document ? key`."""
    if key.text is not None:
        return documents.has_key(document, key)
    name = as_text(key).node
    return Scalar(call("json_has", held(document), call("json_pointer", name), call("json_string", name)), _BOOLEAN)


def has_any(document: Scalar, keys: Scalar) -> Scalar:
    """`document ?| keys`."""
    return Scalar(call("json_has_any", held(document), _steps(keys)), _BOOLEAN)


def has_all(document: Scalar, keys: Scalar) -> Scalar:
    """`document ?& keys`."""
    return Scalar(call("json_has_all", held(document), _steps(keys)), _BOOLEAN)


def contains(document: Scalar, part: Scalar) -> Scalar:
    """`document @> part`, of any two documents."""
    sides = [held(coerce(one, JSONB_TYPE, "@>")) for one in (document, part)]
    return Scalar(call("json_contains", *sides), _BOOLEAN)


def without(document: Scalar, key: Scalar) -> Scalar | None:
    """`document - key`: a name, a place, or names; None for what is no key."""
    if key.oid in (INT2, INT4):
        made = call("json_less_place", held(document), key.node)
    elif key.oid in _TEXT_ARRAYS:
        made = call("json_less_names", held(document), _steps(key))
    elif key.oid in TEXTS or key.text is not None:
        return documents.without(document, key)
    else:
        return None
    return Scalar(cast(made, "JSON"), JSONB_TYPE)


def without_path(document: Scalar, path: Scalar) -> Scalar:
    """`document #- path`."""
    return _changed(document, path, exp.Literal.string("null"), exp.Literal.string("delete"))


def replaced(document: Scalar, path: Scalar, value: Scalar, create: Scalar | None = None) -> Scalar:
    """jsonb_set."""
    how = _either(create, "create", "replace") if create is not None else exp.Literal.string("create")
    return _changed(document, path, cast(held(coerce(value, JSONB_TYPE, "jsonb_set")), "TEXT"), how)


def replaced_lax(
    document: Scalar, path: Scalar, value: Scalar, create: Scalar | None = None, when_null: Scalar | None = None
) -> Scalar:
    """jsonb_set_lax: what a null does is said by the last argument, a constant."""
    way = when_null.text if when_null is not None else "use_json_null"
    value = coerce(value, JSONB_TYPE, "jsonb_set_lax")
    value = Scalar(cast(exp.null(), "JSON"), JSONB_TYPE) if value.is_null else value
    null = exp.Is(this=exp.Paren(this=value.node), expression=exp.null())
    if way == "raise_exception":
        raised = cast(function("ERROR", exp.Literal.string("JSON value must not be null")), "JSON")
        return replaced(document, path, replace(value, node=_if(null, raised, value.node)), create)
    if way == "use_json_null":
        written = exp.Coalesce(this=held(value), expressions=[cast(exp.Literal.string("null"), "JSON")])
        return replaced(document, path, replace(value, node=written), create)
    others = {
        "delete_key": without_path(document, path),
        "return_target": coerce(document, JSONB_TYPE, "jsonb_set_lax"),
    }
    if way not in others:
        raise refuse(f"jsonb_set_lax with {way!r} for nulls", f"Write one of {', '.join(others)} as a constant.")
    set_ = replaced(document, path, value, create)
    return replace(set_, node=_if(null, others[way].node, set_.node))


def _if(test: exp.Expr, then: exp.Expr, otherwise: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=test, true=then)], default=otherwise.copy())


def inserted(document: Scalar, path: Scalar, value: Scalar, after: Scalar | None = None) -> Scalar:
    """jsonb_insert."""
    how = _either(after, "after", "before") if after is not None else exp.Literal.string("before")
    return _changed(document, path, cast(held(coerce(value, JSONB_TYPE, "jsonb_insert")), "TEXT"), how)


def _either(choice: Scalar, one: str, other: str) -> exp.Expr:
    if choice.oid != BOOL:
        raise refuse(f"a choice of type {choice.type.name or 'unknown'}", "Write true or false.")
    test = exp.Paren(this=choice.node)
    ifs = [
        exp.If(this=test, true=exp.Literal.string(one)),
        exp.If(this=exp.Not(this=test.copy()), true=exp.Literal.string(other)),
    ]
    return exp.Case(ifs=ifs)


def _changed(document: Scalar, path: Scalar, value: exp.Expr, how: exp.Expr) -> Scalar:
    document = coerce(document, JSONB_TYPE, "a change of jsonb")
    made = call("json_changed_at", held(document), _steps(path), value, how)
    return Scalar(cast(made, "JSON"), JSONB_TYPE)


def without_nulls(document: Scalar) -> Scalar:
    """jsonb_strip_nulls."""
    return Scalar(cast(call("json_without_nulls", held(document)), "JSON"), JSONB_TYPE)


def pretty(document: Scalar) -> Scalar:
    """jsonb_pretty."""
    return Scalar(call("json_pretty", held(coerce(document, JSONB_TYPE, "jsonb_pretty"))), _TEXT, "default")


def of_texts(name: str, names: Scalar, texts: Scalar | None = None) -> Scalar:
    """jsonb_object, json_object: of names and texts, or of both by turns."""
    type_ = composing.type_of(name)
    listed = _steps(names)
    sides = (
        [call("json_half", listed, exp.Literal.number(first)) for first in (1, 2)]
        if texts is None
        else [listed, _steps(texts)]
    )
    return Scalar(cast(call(f"{name.split('_')[0]}_of_texts", *sides), "JSON"), type_)
