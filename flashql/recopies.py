"""How often a table is copied again: a few times within an hour, whatever makes it necessary; then a person is told.

Each copy reads the whole table at the origin. What breaks one copy after another (a table that is altered all the
time, a slot that is dropped, a publication that somebody keeps changing) would else load the origin for ever.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

from flashql import errors

AT_MOST = 12
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class Break:
    """Something that made a copy necessary though there was one: when and why."""

    at_seconds: float
    why: str


# By slot and table (None: the slot itself, hence all tables), then by what broke: over all sessions of this process.
_breaks: dict[tuple[str, tuple[str, str] | None], dict[object, Break]] = defaultdict(dict)


def note(slot: str, table: tuple[str, str] | None, broken: object, why: str) -> None:
    """The table's copy, or the slot (None), broke. The same thing, `broken`, breaks once."""
    known = _lately(slot, table)
    if broken not in known and len(known) <= AT_MOST:  # what is refused anyway does not make the hour longer
        known[broken] = Break(time.monotonic(), why)


def spent(slot: str, table: tuple[str, str] | None) -> str | None:
    """Why it broke last, when it was copied again as often as may be and has broken once more; else None."""
    known = _lately(slot, table)
    return list(known.values())[-1].why if len(known) > AT_MOST else None


def require_slot_not_spent(slot: str, origin: str) -> None:
    """Raise `OriginError` when the slot was lost too often to be made once more."""
    if why := spent(slot, None):
        raise errors.OriginError(
            f"slot {slot} at origin {origin} was lost {AT_MOST} times within an hour; now {why}",
            hint="Find out what takes it; often max_slot_wal_keep_size at the origin is less than what is written "
            "there while its tables are copied. Then sync() again when the hour is over.",
        )


def _lately(slot: str, table: tuple[str, str] | None) -> dict[object, Break]:
    known = _breaks[slot, table]
    for broken, one in list(known.items()):
        if time.monotonic() - one.at_seconds >= _HOUR_SECONDS:
            del known[broken]
    return known
