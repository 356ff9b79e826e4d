"""Views whose queries failed: each is left alone for a while before it is tried again."""

from __future__ import annotations

import time
from collections.abc import Iterable

from flashql import errors

_SECONDS = 60.0


class Leaving:
    """The views of one database that stand still because their queries failed, and why."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[float, errors.ViewBroken]] = {}  # by relation id: when last, and how

    def note(self, broken: errors.ViewBroken) -> None:
        """The view's query has just failed."""
        self._failures[broken.relation_id] = time.monotonic(), broken

    def left(self, names: Iterable[str]) -> dict[str, errors.FlashQLError]:
        """Those of the views that are left alone now, and why."""
        found: dict[str, errors.FlashQLError] = {}
        for name in names:
            at, broken = self._failures.get(name, (0.0, None))
            if broken is not None and time.monotonic() - at < _SECONDS:
                found[name] = broken
        return found

    def forgive(self, names: Iterable[str]) -> None:
        """Somebody asks for these views: they are tried again at once."""
        for name in names:
            self._failures.pop(name, None)
