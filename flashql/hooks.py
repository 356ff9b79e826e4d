"""Hooks: a user's own code around what sync commits. Before, where it can refuse; and after.

A `before_sync` hook runs within the local transaction, over rows that are applied and not yet committed: whatever it
raises, returns as an error, or takes too long for rolls everything back (fail-closed). An `after_sync` hook is told of
a commit, on a thread of its own; what it raises is logged (fail-open).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import overload

from flashql import errors
from flashql.calling import Callback, Hook, SyncContext
from flashql.catalog import Persistence, View
from flashql.lifecycle import Phase
from flashql.selecting import Selector, select
from flashql.store import Store
from flashql.store.definitions import views

_log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 30.0

# More than this does not wait for after_sync hooks: the oldest is left out, and counted.
WAITING_CONTEXTS, WAITING_ROWS = 1_000, 100_000

# How long close() lets after_sync hooks take what waits.
_JOIN_SECONDS = 2.0

_syncing: ContextVar[tuple[Phase, str | None] | None] = ContextVar("flashql_syncing", default=None)


@contextmanager
def syncing(phase: Phase, origin: str | None) -> Iterator[None]:
    """Transactions of this thread meanwhile are sync's, in this phase: hooks see what they change.

    Any others (DDL, writes to local tables) are nobody's but their user's.
    """
    token = _syncing.set((phase, origin))
    try:
        yield
    finally:
        _syncing.reset(token)


def under_way() -> tuple[Phase, str | None] | None:
    """The phase, and the origin, that this thread's transactions belong to now."""
    return _syncing.get()


class Hooks:
    """The hooks of one database, in order of registration."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._condition = threading.Condition()  # guards all below
        self._before: tuple[Hook, ...] = ()
        self._after: tuple[Hook, ...] = ()
        self._selected: tuple[int, frozenset[str]] | None = None  # as of that version of the store
        self._waiting: deque[SyncContext] = deque()
        self._rows = 0  # in those that wait
        self._left_out = 0  # since an after_sync hook was told last
        self._closed = False
        self._thread: threading.Thread | None = None
        store.require_writable = self._require_outside

    # -- who they are

    def before(self, callback: Callback, selector: Selector, timeout_seconds: float) -> Hook:
        """Call it with what is about to be committed of the selected views."""
        hook = self._made(callback, selector, timeout_seconds)
        with self._condition:
            self._before, self._selected = (*self._before, hook), None
        return hook

    def after(self, callback: Callback, selector: Selector, timeout_seconds: float) -> Hook:
        """Call it with what was committed of the selected views."""
        hook = self._made(callback, selector, timeout_seconds)
        with self._condition:
            self._after, self._selected = (*self._after, hook), None
        return hook

    def _made(self, callback: Callback, selector: Selector, timeout_seconds: float) -> Hook:
        if not callable(callback):
            raise errors.DefinitionError(
                f"{callback!r} cannot be called", hint="db.sync.before_sync(callback, selector='shop.*')"
            )
        if not timeout_seconds > 0:
            raise errors.DefinitionError(f"a hook's timeout is {timeout_seconds}, not above zero seconds")
        select(views(self._store), selector)  # raises for what is no selector, or no view's name
        return Hook(callback, selector, timeout_seconds, self._remove)

    def _remove(self, hook: Hook) -> None:
        with self._condition:
            self._before = tuple(one for one in self._before if one is not hook)
            self._after = tuple(one for one in self._after if one is not hook)
            self._selected = None

    @property
    def any(self) -> bool:
        """Whether there are hooks."""
        return bool(self._before or self._after)

    def selected(self, known: Mapping[str, View]) -> frozenset[str]:
        """Which of these views some hook is about."""
        return frozenset().union(*(_chosen(hook, known) for hook in (*self._before, *self._after)))

    def selected_now(self) -> frozenset[str]:
        """Which views some hook is about, as last committed."""
        if not self.any:
            return frozenset()
        version, found = self._store.version, self._selected
        if found is None or found[0] != version:
            found = self._selected = version, self.selected(views(self._store))
        return found[1]

    # -- what they are told

    def guard(self, context: SyncContext, known: Mapping[str, View]) -> None:
        """Ask the before_sync hooks, one after another, whether this may be committed. Raises `HookRefused`."""
        for hook in self._before:
            part = context.restricted(_chosen(hook, known))
            if part.payload and (why := hook.call(part, guarding=self, closed=lambda: self._closed)) is not None:
                what = f"{part.phase} of {', '.join(part.views)}"
                raise errors.HookRefused(f"before_sync hook {hook.name} refused {what}: {why}")

    def tell(self, context: SyncContext) -> None:
        """It was committed: the after_sync hooks are told of it, in their own time. Never waits, raises nothing."""
        with self._condition:
            if not self._after or self._closed:
                return
            self._waiting.append(context)
            self._rows += context.rows
            while len(self._waiting) > 1 and (len(self._waiting) > WAITING_CONTEXTS or self._rows > WAITING_ROWS):
                self._rows -= self._waiting.popleft().rows
                self._left_out += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flashql-after-sync", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def _run(self) -> None:
        while (context := self._take()) is not None:
            known = views(self._store)
            for hook in self._after:
                try:
                    part = context.restricted(_chosen(hook, known))
                    why = hook.call(part, guarding=None, closed=lambda: False) if part.payload else None
                except errors.FlashQLError as error:
                    why = str(error)
                if why is not None:
                    _log.error("after_sync hook %s, %s of %s: %s", hook.name, part.phase, ", ".join(part.views), why)

    def _take(self) -> SyncContext | None:
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            context = self._waiting.popleft()
            self._rows -= context.rows
            left_out, self._left_out = self._left_out, 0
        if left_out:
            _log.warning("after_sync hooks were too slow: %s commits before this one were left out", left_out)
        return replace(context, left_out=left_out)

    # -- their life

    def _require_outside(self) -> None:
        if self in Hook.guarded():
            raise errors.DatabaseError(
                "a before_sync hook cannot write to the database whose commit it guards: that waits for the hook",
                hint="Do it in an after_sync hook, or in another database.",
            )

    def close(self) -> None:
        """Refuse what is asked now, and let after_sync hooks take what waits, for a moment."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        for hook in self._before:
            hook.give_up("the database was closed")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)
        with self._condition:
            self._waiting.clear()


def _chosen(hook: Hook, known: Mapping[str, View]) -> frozenset[str]:
    """The views it is about. Raises `HookRefused` when its selector, which may be the user's own code, does."""
    try:
        found = select(known, hook.selector, strict=False)
    except Exception as error:
        raise errors.HookRefused(f"the selector of hook {hook.name} failed: {error!r}") from error
    return frozenset(view.relation_id for view in found if view.persistence is not Persistence.ORIGIN)


class Registration:
    """`db.sync.before_sync` or `db.sync.after_sync`: register a callback, or decorate one.

        handle = db.sync.before_sync(check, "shop.*", timeout=5)

        @db.sync.before_sync
        def check(context): ...

        @db.sync.after_sync(selector="shop.orders")
        async def tell(context): ...

    The callback takes a `SyncContext`, may be asynchronous, and is called for each commit of sync's that changes rows
    of selected views, in order of registration. The handle's `remove()` ends that; it can be called like the callback.
    Raises `UnknownName`, and `DefinitionError` for what cannot be called.
    """

    def __init__(self, add: Callable[[Callback, Selector, float], Hook]) -> None:
        self._add = add

    @overload
    def __call__(
        self, callback: Callback, selector: Selector = "*", *, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> Hook: ...

    @overload
    def __call__(
        self, callback: None = None, selector: Selector = "*", *, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> Callable[[Callback], Hook]: ...

    def __call__(
        self, callback: Callback | None = None, selector: Selector = "*", *, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> Hook | Callable[[Callback], Hook]:
        """Register it; without a callback, what is returned does so (a decorator with arguments)."""
        if callback is None:
            return partial(self, selector=selector, timeout=timeout)
        return self._add(callback, selector, timeout)
