"""Selectors: which views a call is about.

`"*"`, `"shop.orders"`, `"shop.*"`, `{"shop": ["orders", "cust*"]}`, `{"shop": "*"}`, a predicate on the view, or a
list of these. `*` and `?` are wildcards, as in file names; names compare as DuckDB does, ignoring case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypeAlias

from flashql import errors
from flashql.catalog import View
from flashql.quoting import fold

Selector: TypeAlias = "str | Mapping[str, str | Iterable[str]] | Callable[[View], bool] | Iterable[Selector]"


def select(known: Mapping[str, View], selector: Selector, *, strict: bool = True) -> list[View]:
    """The views a selector means, in the order they are known.

    Raises `UnknownName` for a name without wildcard that is no view's (unless `strict` is false), `DefinitionError`
    for what is no selector.
    """
    chosen: set[str] = set()
    for one in _flat(selector):
        if callable(one):
            chosen.update(name for name, view in known.items() if one(view))
            continue
        # A name that has wildcards in it means itself first.
        matched = {name for name in known if fold(name) == fold(one)}
        matched = matched or {name for name in known if fnmatchcase(fold(name), fold(one))}
        if not matched and strict and not any(mark in one for mark in "*?["):
            close = get_close_matches(one, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else "Names are schema.view, as in shop.orders or shop.*."
            raise errors.UnknownName(f"there is no view {one}", hint=hint)
        chosen |= matched
    return [view for name, view in known.items() if name in chosen]


def with_read(chosen: Iterable[View], known: Mapping[str, View]) -> list[View]:
    """The views, and those they read, at any depth."""
    found: dict[str, View] = {}
    waiting = list(chosen)
    while waiting:
        view = waiting.pop()
        if view.relation_id not in found:
            found[view.relation_id] = view
            waiting += [known[name] for name in view.reads if name in known]
    return list(found.values())


def _flat(selector: object) -> Iterable[str | Callable[[View], bool]]:
    if isinstance(selector, str):
        yield selector if "." in selector or selector == "*" else f"main.{selector}"
    elif callable(selector):
        yield selector
    elif isinstance(selector, Mapping):
        for namespace, names in selector.items():
            for name in _flat_names(names):
                yield f"{namespace}.{name}"
    elif isinstance(selector, Iterable):
        for one in selector:
            yield from _flat(one)
    else:
        raise _no_selector(selector)


def _flat_names(names: object) -> Iterable[str]:
    """The names given for one schema: one, or several."""
    given = [names] if isinstance(names, str) else names
    if not isinstance(given, Iterable):
        raise _no_selector(names)
    for name in given:
        if not isinstance(name, str):
            raise _no_selector(name)
        yield name


def _no_selector(selector: object) -> errors.DefinitionError:
    return errors.DefinitionError(
        f"{selector!r} selects nothing",
        hint="A selector is '*', 'shop.orders', 'shop.*', {'shop': ['orders', 'cust*']}, a predicate or a list.",
    )
