"""Views whose queries failed: each is left alone for a while before it is tried again."""

from __future__ import annotations

import time
from collections.abc import Iterable

from flashql import errors
from flashql.catalog import View

_SECONDS = 60.0

# When and why each view's query failed last, over all sessions of this process, by (slot, relation id).
_failures: dict[tuple[str, str], tuple[float, errors.ViewBroken]] = {}


def note(slot: str, broken: errors.ViewBroken) -> None:
    """The view's query has just failed."""
    _failures[slot, broken.relation_id] = time.monotonic(), broken


def left(slot: str, views: Iterable[View]) -> dict[str, errors.FlashQLError]:
    """Those of the views that are left alone now, by relation id, and why."""
    found: dict[str, errors.FlashQLError] = {}
    for view in views:
        at, broken = _failures.get((slot, view.relation_id), (0.0, None))
        if broken is not None and time.monotonic() - at < _SECONDS:
            found[view.relation_id] = broken
    return found
