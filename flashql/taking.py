"""What some threads tell and another takes at its pace: by waiting, in a loop, in an event loop, by a callback."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Taken(ABC, Generic[T]):
    """The taking side; what waits to be taken, and when that is over, is the subclass's to say.

    Iteration waits for the next, and ends where `take` returns None. From any thread.
    """

    def __init__(self, title: str) -> None:
        self._title = title  # for people: in the log, and as its thread's name
        self._condition = threading.Condition()  # guards what follows, and what the subclass keeps
        self._wakers: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _ready(self) -> bool:
        """Whether there is something to take, or nothing comes any more. The lock is held."""

    @abstractmethod
    def _next(self) -> T | None:
        """The next, which is there; None when nothing comes any more. The lock is held."""

    @abstractmethod
    def close(self) -> None:
        """End it, once: what waits is dropped, iteration ends, and no callback begins any more."""

    def _wake(self) -> None:
        """Something came, or ended. The lock is held."""
        self._condition.notify_all()
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            with suppress(RuntimeError):  # its event loop is closed
                wake()

    def take(self, timeout: float | None = None) -> T | None:
        """The next, waited for at most `timeout` seconds; None when nothing comes any more.

        Raises `TimeoutError`, and, of what ends by itself, why it has.
        """
        with self._condition:
            if not self._condition.wait_for(self._ready, timeout):
                raise TimeoutError(f"{self._title}: nothing came for {timeout} s")
            return self._next()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        taken = self.take()
        if taken is None:
            raise StopIteration
        return taken

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        loop = asyncio.get_running_loop()
        while True:
            arrived = asyncio.Event()

            def wake(arrived: asyncio.Event = arrived) -> None:
                loop.call_soon_threadsafe(arrived.set)

            with self._condition:
                if self._ready():
                    taken = self._next()
                    break
                self._wakers.append(wake)
            try:
                await arrived.wait()
            finally:
                with self._condition, suppress(ValueError):
                    self._wakers.remove(wake)
        if taken is None:
            raise StopAsyncIteration
        return taken

    def call(self, callback: Callable[[T], object]) -> Self:
        """Hand each to `callback`, one after the other, on a thread of its own.

        What it raises is logged, and the next is handed over. A coroutine that it returns is run to its end.
        """
        self._thread = threading.Thread(target=self._run, args=(callback,), name=f"flashql-{self._title}", daemon=True)
        self._thread.start()
        return self

    def _run(self, callback: Callable[[T], object]) -> None:
        for taken in self:
            try:
                outcome = callback(taken)
                if inspect.iscoroutine(outcome):
                    asyncio.run(outcome)
            except BaseException:  # also what ends a thread, or a task: this thread is not the callback's to end
                _log.exception("%s: a callback raised; it goes on with the next", self._title)

    def join(self, timeout_seconds: float) -> None:
        """Wait so long for the callback's thread to end, unless it is this one."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
