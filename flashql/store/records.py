"""Catalog values as JSON, and back: frozen dataclasses of strings, numbers, enums, tuples and each other.

>>> from flashql.datatypes import PgType
>>> load(PgType, dump(PgType(23, -1, "integer"))) == PgType(23, -1, "integer")
True
"""

from __future__ import annotations

import dataclasses
import json
import types
from enum import Enum
from functools import cache, lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def dump(value: object) -> str:
    """The JSON text of a dataclass value."""
    return json.dumps(dataclasses.asdict(value), separators=(",", ":"))  # type: ignore[call-overload]


def load(kind: type[T], text: str) -> T:
    """The value of dataclass `kind` that `dump` made `text` of. Unknown fields are dropped."""
    loaded: Any = _loaded  # that a class can be hashed is news to the type checker
    value: T = loaded(kind, text)
    return value


@lru_cache(1024)  # the catalog is read many times for each change of it, and its values are frozen
def _loaded(kind: type, text: str) -> Any:
    return _build(kind, json.loads(text))


@cache
def _fields(kind: type) -> dict[str, Any]:
    """The fields of a dataclass with their types, which are strings until evaluated: slow, and always the same."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _build(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        known = _fields(hint)
        return hint(**{name: _build(known[name], item) for name, item in value.items() if name in known})
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        return tuple(_build(one, item) for one, item in zip(inner, value, strict=True))
    if origin in (Union, types.UnionType):
        return _build(next(one for one in arguments if one is not type(None)), value)
    if isinstance(hint, type) and issubclass(hint, (Enum, int)) and hint not in (int, bool):
        return hint(value)
    return value
