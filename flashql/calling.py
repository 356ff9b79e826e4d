"""One hook, and how it is called: on a thread of its own, synchronous or not, for as long as its timeout lasts."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from flashql.lifecycle import Phase
from flashql.moved import Change
from flashql.selecting import Selector


@dataclass(frozen=True, kw_only=True)
class SyncContext:
    """What a hook is told of one local commit of sync's.

    `phase` is what was being done, and `origin` whose rows came (None for views without an origin). `payload` has, for
    each of the selected `views` that change in it, its `Change`: Arrow tables of the rows that arrive and of those that
    leave. `lsn` is what the views contain with that commit; None where there is none (materialized, or no origin).
    `left_out` counts the commits before this one that an after_sync hook was not told of, since it was too slow.
    """

    phase: Phase
    origin: str | None
    lsn: str | None
    payload: Mapping[str, Change]
    left_out: int = 0

    @property
    def views(self) -> tuple[str, ...]:
        """The views that change, as relation ids in order of their names."""
        return tuple(sorted(self.payload))

    @property
    def rows(self) -> int:
        """How many rows arrive and leave."""
        return sum(one.inserted.num_rows + one.deleted.num_rows for one in self.payload.values())

    def restricted(self, names: Collection[str]) -> SyncContext:
        """The part of it that is about these views."""
        return replace(
            self, payload=MappingProxyType({name: one for name, one in self.payload.items() if name in names})
        )


Callback = Callable[[SyncContext], Any]

# The databases whose commits wait for hooks that this thread, or task, is in.
_guarded: ContextVar[frozenset[object]] = ContextVar("flashql_guarded", default=frozenset())


class Hook:
    """A callback that is registered: the handle to `remove` it. It can be called like the callback itself."""

    def __init__(
        self, callback: Callback, selector: Selector, timeout_seconds: float, remove: Callable[[Hook], None]
    ) -> None:
        self.selector = selector
        self.timeout_seconds = timeout_seconds
        self._callback = callback
        self._remove = remove
        self._removed = False
        self._lock = threading.Lock()
        self._call: _Call | None = None  # the latest

    @property
    def name(self) -> str:
        """What it is called in messages."""
        named = inspect.unwrap(self._callback)
        return str(getattr(named, "__qualname__", None) or type(named).__qualname__)

    def __call__(self, context: SyncContext) -> Any:
        """Call the callback, as nobody's hook."""
        return self._callback(context)

    def remove(self) -> None:
        """Let it be called no more. A call under way goes on, and counts. Removing what is removed does nothing."""
        self._removed = True
        self._remove(self)

    def call(self, context: SyncContext, *, guarding: object | None, closed: Callable[[], bool]) -> str | None:
        """Call it and wait, at most for its timeout; why it failed, None when it did not.

        `guarding` is the database whose commit waits for it. A hook that has not returned from its last call is not
        called again: it fails at once, rather than that its threads pile up.
        """
        with self._lock:
            if self._removed:
                return None
            if self._call is not None and self._call.is_running:
                return "it has not returned from an earlier call yet"
            call = self._call = _Call(self._callback, context, self.timeout_seconds, guarding)
        if closed():
            self.give_up("the database was closed")
        return call.outcome()

    def give_up(self, why: str) -> None:
        """Wait for the call under way no more; it counts as failed."""
        with self._lock:
            if self._call is not None:
                self._call.end(why)

    @staticmethod
    def guarded() -> frozenset[object]:
        """The databases whose commits wait for hooks that the caller is part of."""
        return _guarded.get()


class _Call:
    """One call under way. It cannot be ended from outside, only waited for no more."""

    def __init__(
        self, callback: Callback, context: SyncContext, timeout_seconds: float, guarding: object | None
    ) -> None:
        self.is_running = True
        self._callback = callback
        self._context = context
        self._timeout_seconds = timeout_seconds
        self._guarded = _guarded.get() if guarding is None else _guarded.get() | {guarding}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._why: str | None = None
        threading.Thread(target=self._run, name="flashql-hook", daemon=True).start()

    def outcome(self) -> str | None:
        """Wait; why it failed, None when it did not."""
        if not self._ended.wait(self._timeout_seconds):
            self.end(f"it took longer than {self._timeout_seconds:g} s")
        return self._why

    def end(self, why: str | None) -> None:
        """This is its outcome, unless it has one."""
        with self._lock:
            if not self._ended.is_set():
                self._why = why
                self._ended.set()

    def _run(self) -> None:
        _guarded.set(self._guarded)
        why = None
        try:
            result = self._callback(self._context)
            if inspect.isawaitable(result):
                result = asyncio.run(self._awaited(result))
            if isinstance(result, BaseException):
                why = _told(result)
        except TimeoutError as error:
            why = _told(error) if str(error) else f"it took longer than {self._timeout_seconds:g} s"
        except BaseException as error:  # also SystemExit: a hook that ends in any other way than by returning refuses
            why = _told(error)
        self.is_running = False
        self.end(why)

    async def _awaited(self, result: Awaitable[Any]) -> Any:
        return await asyncio.wait_for(result, self._timeout_seconds)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
