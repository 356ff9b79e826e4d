"""Who wants which rows of views with parameters, and for how long: rules over rows that know no clock and no database.

A subscription is one view and one set of values for its parameters. It is *explicit* while somebody has asked for it
(it has a time to live), *default* when its view subscribes to it by itself, or both. It is *active* when its view is
there; *live* handles on it, of running programs, keep it from expiring. Each rule takes rows and returns what they
become; those it leaves out are gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# How long a subscription outlives the last handle on it, when nothing else is asked for.
USUAL_TTL_SECONDS = 86400.0

# A view's relation id, and the JSON text of values for its parameters.
Key = tuple[str, str]


@dataclass(frozen=True)
class Subscribed:
    """One row of flashql.subscriptions."""

    view: str
    parameters: str
    active: bool = False
    is_default: bool = False
    local_priority: int | None = None
    ttl_seconds: float | None = None
    expires_at: datetime | None = None
    last_synced_at: datetime | None = None
    has_synced: bool = False
    lsn: str | None = None
    last_error: str | None = None

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.view, self.parameters

    @property
    def explicit(self) -> bool:
        """Whether somebody has asked for it."""
        return self.ttl_seconds is not None


Rows = Mapping[Key, Subscribed]


def subscribe(
    rows: Rows, key: Key, now: datetime, ttl_seconds: float | None = None, priority: int | None = None
) -> dict[Key, Subscribed]:
    """Ask for a subscription, anew where it is there: its time begins again, and the most urgent priority counts."""
    found = rows.get(key, Subscribed(*key))
    ttl = USUAL_TTL_SECONDS if ttl_seconds is None else ttl_seconds
    given = [one for one in (priority, found.local_priority) if one is not None]
    asked = replace(
        found,
        ttl_seconds=ttl,
        expires_at=now + timedelta(seconds=ttl),
        local_priority=min(given, default=None),
    )
    return {**rows, key: asked}


def unsubscribe(rows: Rows, key: Key) -> dict[Key, Subscribed]:
    """Nobody asks for it any more: it is gone at the next look, unless its view subscribes to it by itself."""
    found = rows.get(key)
    if found is None:
        return dict(rows)
    return {**rows, key: _implicit(found)}


def _implicit(row: Subscribed) -> Subscribed:
    return replace(row, ttl_seconds=None, expires_at=None, local_priority=None)


def extend(rows: Rows, live: Collection[Key], now: datetime) -> dict[Key, Subscribed]:
    """Those with live handles begin their time again."""
    return {
        key: replace(row, expires_at=now + timedelta(seconds=row.ttl_seconds))
        if key in live and row.ttl_seconds is not None
        else row
        for key, row in rows.items()
    }


def prune(rows: Rows, now: datetime) -> dict[Key, Subscribed]:
    """Those whose time is over are gone; one that its view subscribes to as well is only no longer explicit."""
    left = {}
    for key, row in rows.items():
        over = row.expires_at is not None and row.expires_at < now
        if row.is_default:
            left[key] = _implicit(row) if over else row
        elif row.explicit and not over:
            left[key] = row
    return left


def listed(rows: Rows, defaults: Mapping[str, str | None]) -> dict[Key, Subscribed]:
    """The views that are there, each with the set that it subscribes to by itself (None: it does not).

    A subscription of another view is inactive: it stays while it is explicit.
    """
    found = {}
    for key, row in rows.items():
        by_itself = row.parameters == defaults.get(row.view)
        if row.explicit or by_itself:
            found[key] = replace(row, active=row.view in defaults, is_default=by_itself)
    for view, parameters in defaults.items():
        if parameters is not None and (view, parameters) not in found:
            found[view, parameters] = Subscribed(view, parameters, active=True, is_default=True)
    return found


def requested(rows: Rows) -> list[Subscribed]:
    """Those whose rows are to be here."""
    return [row for row in rows.values() if row.active and (row.explicit or row.is_default)]


def urgency(row: Subscribed, view_priority: int) -> int:
    """Its priority: a smaller number is more urgent."""
    return view_priority if row.local_priority is None else row.local_priority


def published(rows: Rows, keys: Iterable[Key], now: datetime, lsn: str) -> dict[Key, Subscribed]:
    """The rows of these are here now. One that is not active was not served, so it is not marked."""
    come = set(keys)
    return {
        key: replace(row, last_synced_at=now, has_synced=True, lsn=lsn, last_error=None)
        if key in come and row.active
        else row
        for key, row in rows.items()
    }
