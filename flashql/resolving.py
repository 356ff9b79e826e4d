"""Origins by name, made when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, TypeAlias

from flashql import errors
from flashql.origins.postgres import PostgresOrigin

OriginSource: TypeAlias = "str | PostgresOrigin | Callable[[], str | PostgresOrigin]"


class KnownOrigins:
    """The origins of one database, by name."""

    def __init__(self, given: Mapping[str, OriginSource] | None, resolve: Callable[[str], OriginSource] | None) -> None:
        self._given = dict(given or {})
        self._resolve = resolve
        self._made: dict[str, PostgresOrigin] = {}
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, name: str) -> PostgresOrigin:
        """The origin of that name. Raises `UnknownName`, and `DatabaseError` after `close`."""
        with self._lock:
            if self._closed:
                raise errors.DatabaseError("this database is closed", hint="Open it again with flashql.connect().")
            origin = self._made.get(name)
            if origin is None:
                source = self._source(name)
                if callable(source) and not isinstance(source, PostgresOrigin):
                    first = source()
                    origin = first if isinstance(first, PostgresOrigin) else PostgresOrigin(name, _asked(source, name))
                else:
                    origin = source if isinstance(source, PostgresOrigin) else PostgresOrigin(name, source)
                self._made[name] = origin
            return origin

    def _source(self, name: str) -> OriginSource:
        if name in self._given:
            return self._given[name]
        if self._resolve is not None:
            found = self._resolve(name)
            if found is not None:
                return found
        known = ", ".join(sorted(self._given)) or "none"
        raise errors.UnknownName(
            f"origin {name} is not known (known: {known})",
            hint=f"flashql.connect(..., origins={{'{name}': 'postgresql://user@host/database'}})",
        )

    def close(self) -> None:
        """End what is under way at the origins and close the connections to them; none is made any more."""
        self._closed = True
        with ExitStack() as stack:
            for origin in list(self._made.values()):
                stack.callback(origin.close)


def _asked(source: Callable[[], Any], name: str) -> Callable[[], str]:
    def ask() -> str:
        dsn = source()
        if not isinstance(dsn, str):
            raise errors.DefinitionError(f"the function given for origin {name} did not return a DSN")
        return dsn

    return ask
