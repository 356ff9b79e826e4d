"""Moments: an exact LSN at which an origin and its copies can be looked at side by side, while the stream runs.

A moment begins with a temporary slot, whose snapshot contains exactly the transactions that commit before its LSN.
No slot tells its LSN before it has one, so the stream is held while it is made; then it goes on up to that LSN, and
the moment is acted on between the last transaction before it and the first one after.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable

from flashql import errors
from flashql.lsn import LSN
from flashql.origins.postgres.origin import HeldSlot, PostgresOrigin

# How often whoever waits for a moment looks whether it can still come.
_LOOK_SECONDS = 0.25


class Moment:
    """One moment asked for.

    `act` is called at it by the session's thread, with the slot that holds its snapshot, which is `act`'s to close.
    The stream is held until it returns. `patience_seconds` is how long the stream may be held before that.
    """

    def __init__(self, act: Callable[[HeldSlot], None], patience_seconds: float) -> None:
        self.act = act
        self.patience_seconds = patience_seconds
        self.held: HeldSlot | None = None
        self._ended = threading.Event()
        self._error: errors.FlashQLError | None = None

    def end(self, error: errors.FlashQLError | None = None) -> None:
        """It has been acted on, or will not come."""
        self._error = error
        self._ended.set()

    def wait(self, is_over: Callable[[], bool]) -> None:
        """Wait until it has been acted on; raises what kept it from that.

        Raises `OriginUnreachable` when `is_over` says that nobody will see to it any more.
        """
        while not self._ended.wait(_LOOK_SECONDS):
            if is_over() and not self._ended.is_set():
                raise errors.OriginUnreachable("the stream ended before the moment to compare was reached")
        if self._error is not None:
            raise self._error


class Moments:
    """The moments asked of one session, taken one after another. `ask` from any thread, the rest by the session's."""

    def __init__(self, origin: PostgresOrigin, slot: str, go_on: Callable[[], None]) -> None:
        self._origin = origin
        self._slot = slot
        self._go_on = go_on  # raises when the session is to end
        self._asked: deque[Moment] = deque()
        self._next: Moment | None = None
        self._closed: errors.FlashQLError | None = None
        self._lock = threading.Lock()

    def ask(self, moment: Moment) -> None:
        """See to it when those asked for before have been."""
        with self._lock:
            if self._closed is None:
                self._asked.append(moment)
                return
        moment.end(self._closed)

    @property
    def lsn(self) -> LSN | None:
        """Where the stream is to be held next: nothing that commits at or after it may be applied before."""
        return self._next.held.snapshot.lsn if self._next is not None and self._next.held is not None else None

    def begin(self) -> None:
        """Take up the next moment asked for, if none is awaited: make its slot, which tells where it is."""
        if self._next is not None or not self._asked:
            return
        moment = self._asked.popleft()

        def waiting(seconds: float) -> None:
            self._go_on()
            if seconds > moment.patience_seconds:
                raise errors.OriginBusy(
                    f"origin {self._origin.name} did not give a snapshot within {moment.patience_seconds:g} s"
                )

        try:
            name = f"{self._slot[:52]}_look_{secrets.token_hex(2)}"
            moment.held = self._origin.create_slot(name, temporary=True, waiting=waiting)
            self._next = moment
        except errors.FlashQLError as error:
            moment.end(error)

    def reached(self) -> None:
        """The copies contain exactly what commits before `lsn`."""
        moment, self._next = self._next, None
        assert moment is not None and moment.held is not None
        try:
            moment.act(moment.held)
            moment.end()
        except errors.FlashQLError as error:
            moment.end(error)

    def close(self) -> None:
        """The session ends: what was asked of it will not come."""
        with self._lock:
            self._closed = errors.OriginUnreachable(f"the stream of origin {self._origin.name} ended")
            waiting = [moment for moment in (self._next, *self._asked) if moment is not None]
            self._next = None
            self._asked.clear()
        for moment in waiting:
            if moment.held is not None:
                moment.held.close()
            moment.end(self._closed)
