"""Live handles on subscriptions, and the looks at which subscriptions there are to be now.

A look extends those with live handles, lets go of those whose time is over, and adds those that views make by
themselves (`subscribing`). It happens when a session or a pass begins, at every change, and as often as is needed for
expiry to be punctual.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from flashql import arguments
from flashql.catalog import View
from flashql.ddl.options import USUAL_PRIORITY
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.subscriptions import change_subscriptions, subscriptions
from flashql.subscribing import Key, Rows, Subscribed, extend, listed, prune

# Time to live is extended so many times within it, and at least once in so many seconds.
_LOOKS_PER_TTL, _LOOK_SECONDS = 4.0, 20.0
_SHORTEST_LOOK_SECONDS = 0.05
# Who waits for a subscription looks this often whether it is still there and followed.
_LOOK_AGAIN_SECONDS = 0.25

_known: WeakKeyDictionary[Store, Subscribers] = WeakKeyDictionary()
_guard = threading.Lock()


class Subscribers:
    """The live handles of one database, by subscription. Any thread may call any of this."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._handles: Counter[Key] = Counter()
        self._changed = threading.Condition()
        self._due: datetime | None = None
        self._wakers: list[Callable[[], None]] = []
        self.changes = 0  # how often something about subscriptions changed

    @classmethod
    def of(cls, store: Store) -> Subscribers:
        """Those of this store."""
        with _guard:
            return _known.setdefault(store, cls(store))

    def open(self, key: Key) -> None:
        """One more handle on it."""
        with self._changed:
            self._handles[key] += 1

    def close(self, key: Key) -> None:
        """One handle less: with the last the subscription's time begins to run."""
        with self._changed:
            self._handles[key] -= 1
            self._handles += Counter()

    @property
    def live(self) -> set[Key]:
        """The subscriptions with handles."""
        with self._changed:
            return set(self._handles)

    def tell(self) -> None:
        """Something about subscriptions has changed: whoever waits looks again."""
        with self._changed:
            self.changes += 1
            self._changed.notify_all()
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def wake(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, from any thread, at every change, until what is returned is called."""
        with self._changed:
            self._wakers.append(callback)
        return lambda: self._wakers.remove(callback)

    def wait_for(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        """Wait until the condition, which asks the store, holds; False after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            with self._changed:
                seen = self.changes
            if condition():
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            with self._changed:
                self._changed.wait_for(lambda: self.changes != seen, min(remaining, _LOOK_AGAIN_SECONDS))  # noqa: B023

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return self._due is not None and datetime.now(UTC) >= self._due

    def look(self) -> None:
        """Make the subscriptions what they are to be now."""
        defaults, live, now = default_sets(views(self._store).values()), self.live, datetime.now(UTC)
        self._due = None
        self.change(lambda rows: listed(prune(extend(rows, live, now), now), defaults))

    def change(self, rule: Callable[[Rows], Rows], view: str | None = None, parameters: str | None = None) -> None:
        """Apply a rule to the rows, or to those of a view, or of one set of it, in one local commit."""
        with self._store.transaction(of_stream=True) as writer:
            before = subscriptions(self._store, view, parameters)
            after = change_subscriptions(writer, before, rule)
            due = due_at(after.values(), datetime.now(UTC))
            self._due = min((one for one in (self._due, due) if one is not None), default=None)
            if after != before:
                self._store.once_committed(self.tell)


def due_at(rows: Iterable[Subscribed], now: datetime) -> datetime | None:
    """When to look next: often enough to extend in time, and when the first expires; None without any that can."""
    waits = []
    for row in rows:
        if row.ttl_seconds is not None and row.expires_at is not None:
            until = (row.expires_at - now).total_seconds()
            waits.append(min(until, row.ttl_seconds / _LOOKS_PER_TTL, _LOOK_SECONDS))
    if not waits:
        return None
    return datetime.fromtimestamp(now.timestamp() + max(min(waits), _SHORTEST_LOOK_SECONDS), UTC)


def default_sets(known: Iterable[View]) -> dict[str, str | None]:
    """The views with parameters, each with the set that it subscribes to by itself."""
    found: dict[str, str | None] = {}
    for view in known:
        if view.parameters:
            always = view.options.get("default_subscription") == "true"
            values = tuple(parameter.default for parameter in view.parameters)
            found[view.relation_id] = arguments.to_json(view.parameters, values) if always else None
    return found


def priority_of(view: View) -> int:
    """How urgent a view's subscriptions are that say nothing else."""
    return int(view.options.get("priority", USUAL_PRIORITY))
