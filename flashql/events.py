"""What happens to syncing, told to whoever wants to know: one frozen dataclass per kind of event, and the bus.

Events say what has happened, after it has; they decide nothing. Telling one costs nothing while nobody listens to its
kind, and never waits for a listener: see listening.py.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar, Self, TypeAlias
from weakref import WeakKeyDictionary

from flashql import errors
from flashql.listening import Handle, Listener
from flashql.store import Store

# How long closing a database waits for callbacks, all together, to be done with what they were told.
_JOIN_SECONDS = 1.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class SyncEvent:
    """What all events have.

    `at` is when it happened, in UTC. `view` is a relation id, None when the event concerns all of an origin; `origin`
    is None for a view without one. `phase` is what was under way, as in `status()`. `lsn` is the origin's position, as
    text, that what happened belongs to.
    """

    name: ClassVar[str] = ""

    at: datetime = field(default_factory=_now)
    view: str | None = None
    origin: str | None = None
    phase: str | None = None
    lsn: str | None = None

    @property
    def topic(self) -> Hashable | None:
        """What the event says how far it is, None when it must be told by itself (see listening.py)."""
        return None

    def following(self, older: Self) -> Self:  # noqa: ARG002 - of those that count nothing the newest says it all
        """This event as it stands for an older one of its topic too."""
        return self


@dataclass(frozen=True, kw_only=True)
class SyncApplied(SyncEvent):
    """Rows became visible: a local commit of the stream (`view` is None), a finished clone, a populated view.

    `rows` counts changes of rows, or rows read; `transactions` those of the origin, 0 where rows were read. `seconds`
    is what it took. When a listener does not keep up, one event stands for several local commits: `commits`.
    """

    name: ClassVar[str] = "sync_applied"

    rows: int
    transactions: int = 0
    seconds: float
    commits: int = 1

    @property
    def topic(self) -> Hashable | None:
        """What was applied to the same, in the same way."""
        return self.name, self.view, self.origin, self.phase

    def following(self, older: Self) -> Self:
        """This event and an older one."""
        return replace(
            self,
            rows=self.rows + older.rows,
            transactions=self.transactions + older.transactions,
            seconds=self.seconds + older.seconds,
            commits=self.commits + older.commits,
        )


@dataclass(frozen=True, kw_only=True)
class SyncFailed(SyncEvent):
    """A view's job failed, and is not tried again by itself: somebody has to act. `error` is its `last_error`."""

    name: ClassVar[str] = "sync_failed"

    error: str


@dataclass(frozen=True, kw_only=True)
class SyncRetry(SyncEvent):
    """An attempt failed, and another follows after `delay_seconds`.

    `attempt` counts the attempts that have failed since the last success, from 1; `error` is why this one did.
    """

    name: ClassVar[str] = "sync_retry"

    attempt: int
    delay_seconds: float
    error: str


@dataclass(frozen=True, kw_only=True)
class ConnectivityChanged(SyncEvent):
    """The origin can be reached now (`online`), or not any more; told when it is known first, and at each change."""

    name: ClassVar[str] = "connectivity_changed"

    online: bool


@dataclass(frozen=True, kw_only=True)
class Connected(SyncEvent):
    """The stream of an origin has begun, at `lsn`. Each is followed by one `Disconnected`, before the next."""

    name: ClassVar[str] = "connected"


@dataclass(frozen=True, kw_only=True)
class Disconnected(SyncEvent):
    """The stream of an origin has ended: because of `error`, or (None) because it was told to."""

    name: ClassVar[str] = "disconnected"

    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class StateChanged(SyncEvent):
    """A job's state or phase is another, by a local commit; `phase` is the one after it.

    `before` is None for a job that is new, `after` for one that is gone.
    """

    name: ClassVar[str] = "state_changed"

    before: str | None
    after: str | None
    phase_before: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProgressMade(SyncEvent):
    """How far long work is: rows and bytes done, and in all (None: unknown).

    `subject` names what is worked on, and `kind` says what that is: view, subscription, scope or transaction (a large
    one of the stream).
    """

    name: ClassVar[str] = "progress"

    subject: str
    kind: str = "view"
    done_rows: int | None = None
    total_rows: int | None = None
    done_bytes: int | None = None
    total_bytes: int | None = None

    @property
    def topic(self) -> Hashable | None:
        """The work."""
        return self.name, self.kind, self.subject, self.origin, self.phase


@dataclass(frozen=True, kw_only=True)
class DriftFound(SyncEvent):
    """A comparison at `lsn` found `rows` rows of a view that are not as at its origin."""

    name: ClassVar[str] = "drift_found"

    rows: int


EVENTS: tuple[type[SyncEvent], ...] = (
    SyncApplied,
    SyncFailed,
    SyncRetry,
    ConnectivityChanged,
    Connected,
    Disconnected,
    StateChanged,
    ProgressMade,
    DriftFound,
)
NAMES = frozenset(kind.name for kind in EVENTS)

Callback: TypeAlias = Callable[[SyncEvent], object]


class EventListener(Listener[SyncEvent]):
    """The events of some names from when it was made until it is closed, or its database is."""

    def __init__(self, names: frozenset[str], title: str) -> None:
        super().__init__(title)
        self.names = names


_known: WeakKeyDictionary[Store, Events] = WeakKeyDictionary()


class Events:
    """The bus of one database. Everything may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held to change what is below, not to look at it
        # An iterator that nobody holds any more is gone; one with a callback is held by its thread.
        self._listeners: tuple[weakref.ref[EventListener], ...] = ()
        self._online: dict[str, bool] = {}  # by origin: whether it answered last
        self._closed = False

    @classmethod
    def of(cls, store: Store) -> Events:
        """That of this store."""
        found = _known.get(store)
        return found if found is not None else _known.setdefault(store, cls())

    # -- to tell

    def wanted(self, name: str) -> bool:
        """Whether somebody listens to events of this name: else there is no need to make them."""
        return any((one := there()) is not None and not one.is_over and name in one.names for there in self._listeners)

    def tell(self, event: SyncEvent) -> None:
        """Let everybody who listens know. Returns at once and raises nothing."""
        for there in self._listeners:
            listener = there()
            if listener is not None and event.name in listener.names:
                listener.tell(event)

    def reachable(self, origin: str, online: bool) -> None:
        """Whether the origin answered just now. Told when it is another answer than last."""
        with self._lock:  # also while it is told: the last that is told is how it is
            if self._online.get(origin) is not online:
                self._online[origin] = online
                self.tell(ConnectivityChanged(origin=origin, online=online))

    # -- to listen

    def on(self, name: str, callback: Callback) -> Handle:
        """Call back at each event of that name from now on ("*": of any), in order, on a thread of the listener's own.

        What the callback raises is logged, and changes nothing. A coroutine that it returns is run there. Raises
        `UnknownName` for a name that no event has, and `DatabaseError` when the database is closed.
        """
        listener = EventListener(_checked(() if name == "*" else (name,)), f"on-{name}")
        self._add(listener)
        return Handle(listener.call(callback).close)

    def events(self, *names: str) -> EventListener:
        """The events of these names (of all, without any) from now on: an iterator, also an asynchronous one.

        Raises as `on` does.
        """
        listener = EventListener(_checked(names), f"events-{'-'.join(names) or 'all'}")
        self._add(listener)
        return listener

    def _add(self, listener: EventListener) -> None:
        with self._lock:
            if self._closed:
                raise errors.DatabaseError("this database is closed", hint="Open it again with flashql.connect().")
            there = (one for one in self._listeners if (known := one()) is not None and not known.is_over)
            self._listeners = (*there, weakref.ref(listener))

    def close(self) -> None:
        """Tell nothing any more; what waits may still be taken, and iteration ends then.

        Callbacks are waited for a moment.
        """
        with self._lock:
            self._closed = True
            listeners = [listener for there in self._listeners if (listener := there()) is not None]
        for listener in listeners:
            listener.end()
        deadline = time.monotonic() + _JOIN_SECONDS
        for listener in listeners:
            listener.join(max(0.0, deadline - time.monotonic()))


def _checked(names: tuple[str, ...]) -> frozenset[str]:
    """The names, all when there is none. Raises `UnknownName`."""
    for name in names:
        if name not in NAMES:
            raise errors.UnknownName(f"there is no event {name}", hint=f"There are: {', '.join(sorted(NAMES))}.")
    return frozenset(names) or NAMES
