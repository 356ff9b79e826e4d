"""What a slot makes its origin keep, and how long that can go on: looked at beside the session, on a thread.

Nothing here decodes or moves the slot: a look is two short queries on the origin's views. When others write WAL that
the slot retains, and nothing of ours is among it, a look ends with a heartbeat.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from flashql import errors
from flashql.lsn import LSN
from flashql.measuring import Meters
from flashql.origins.base import SlotState
from flashql.origins.postgres.origin import PostgresOrigin
from flashql.patience import within
from flashql.store import Store
from flashql.store.jobs import Retained, set_retained, set_waiting

_LOOK_SECONDS = 10.0
_LOOK_SECONDS_AT_START = 1.0  # while a view waits for its rows, people look at what it waits for
# Long enough for each half of it to have a trough of the saw (see below), and the least that is judged by.
_WINDOW_SECONDS, _SETTLED_SECONDS = 120.0, 60.0
_CLOSE_SECONDS = 2.0
_HEARTBEAT_BYTES, _HEARTBEAT_SECONDS = 64 << 20, 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """What a slot retained at one moment."""

    at_seconds: float
    retained_bytes: int


def seconds_to_loss(samples: Sequence[Sample], safe_bytes: int | None) -> int | None:
    """How long until the slot is lost, if what it retains goes on growing as it does; None when it does not grow.

    The slot is lost when the WAL it retains exceeds a limit that is `safe_bytes` away, so the time left is
    `safe_bytes` over the growth per second. A slot that is being read lets WAL go in steps, every 15 to 30 s (when the
    server logs its running transactions, and we confirm): what it retains is a saw. Its growth is that of the saw's
    troughs, so the least of the older half of the samples is compared with the least of the newer half. Of a slot
    that stands still they are the first of each half, and the growth is the rate at which WAL is written.

    >>> seconds_to_loss([Sample(0, 100), Sample(10, 200)], 50)
    5
    >>> seconds_to_loss([Sample(0, 50), Sample(10, 99), Sample(20, 50), Sample(30, 99)], 50) is None
    True
    """
    if safe_bytes is None or len(samples) < 2:
        return None
    middle = len(samples) // 2
    older = min(samples[:middle], key=lambda sample: sample.retained_bytes)
    newer = min(samples[middle:], key=lambda sample: sample.retained_bytes)
    grown, seconds = newer.retained_bytes - older.retained_bytes, newer.at_seconds - older.at_seconds
    if grown <= 0 or seconds <= 0:
        return None
    return int(max(0, safe_bytes) * seconds / grown)


class Pulse:
    """When to write a message to the origin's WAL, so that the stream has something of ours to come to."""

    def __init__(self) -> None:
        self._brought: int | None = None
        self._ours_lsn = LSN(0)  # about where there was something of ours last
        self._beat_at = -math.inf

    def is_due(self, brought: int | None, retained_bytes: int, origin_lsn: LSN, now_seconds: float) -> bool:
        """Whether to write one now; to be asked at each look, and done if so.

        It is when the slot retains a lot, others wrote as much since there was anything of ours, and it is a while
        since the last one. The bounds are four WAL segments, as a slot always retains a few, and a minute. What a slot
        retains because of a transaction that is open for long, while nobody writes, no message would set free: an idle
        server stays idle. `brought` differs when the stream has brought something, None is never idle.

        >>> pulse, much = Pulse(), 70 << 20
        >>> pulse.is_due(1, much, LSN(much), 0.0), pulse.is_due(1, much, LSN(2 * much), 10.0)
        (False, True)
        """
        if brought is None or brought != self._brought:
            self._brought, self._ours_lsn = brought, origin_lsn
        if now_seconds - self._beat_at < _HEARTBEAT_SECONDS:
            return False
        if min(retained_bytes, origin_lsn - self._ours_lsn) <= _HEARTBEAT_BYTES:
            return False
        self._ours_lsn, self._beat_at = origin_lsn, now_seconds
        return True


def retained_now(state: SlotState, last: Retained | None) -> Retained:
    """What a slot that nobody follows retains; the growth is that since the last look, in any process."""
    now = time.time()
    before = [Sample(last.at_seconds, last.retained_bytes)] if last is not None else []
    loss = seconds_to_loss([*before, Sample(now, state.retained_bytes)], state.safe_bytes)
    return Retained(state.retained_bytes, state.safe_bytes, loss, now)


def asked(origin: PostgresOrigin, slot: str, timeout_seconds: float) -> SlotState | None:
    """The slot as the origin reports it within the timeout; None when there is none or it does not answer."""
    with suppress(errors.FlashQLError, TimeoutError):
        return within(timeout_seconds, lambda: origin.slot_state_apart(slot), f"flashql-ask-{origin.name}")
    return None


class Watch:
    """Looks at an origin's slot now and then, and keeps what it sees in the job rows. One per session.

    `starting` tells whether the slot, or that of a copy, may still have to be made: then who it waits for is named.
    `brought` is a number that grows with what the stream brings, None while it is not idle for another reason.
    """

    def __init__(
        self,
        store: Store,
        origin: PostgresOrigin,
        slot: str,
        starting: Callable[[], bool],
        brought: Callable[[], int | None],
    ) -> None:
        self._store = store
        self._origin = origin
        self._slot = slot
        self._starting = starting
        self._brought = brought
        self._pulse = Pulse()
        self._samples: deque[Sample] = deque()
        self._waiting: str | None = None  # what the job rows say of a slot that cannot be made yet
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"flashql-watch-{origin.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread; when it waits for the origin it is left to its time limits, and writes nothing more."""
        self._ended.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        pause = _LOOK_SECONDS_AT_START
        while not self._ended.wait(pause):
            try:
                starting = self._starting()
                self._look(starting)
                pause = _LOOK_SECONDS_AT_START if starting else _LOOK_SECONDS
            except errors.FlashQLError:
                pause = _LOOK_SECONDS  # the session says what is wrong with origin or file
            except Exception:
                _log.exception("looking at slot %s failed unexpectedly", self._slot)
                return

    def _look(self, starting: bool) -> None:
        waiting = self._origin.slot_waits(self._slot) if starting else None
        state = self._origin.slot_state(self._slot)
        if self._ended.is_set():
            return
        retained = None if state is None or state.lost else self._sampled(state)
        Meters.of(self._store).origin(self._origin.name).looked(state, retained)
        with self._store.transaction(of_stream=True) as writer:
            set_retained(writer, self._origin.name, self._slot, retained)
            if waiting or self._waiting:
                set_waiting(writer, self._origin.name, waiting, self._waiting)
        self._waiting = waiting
        if state is None or state.lost:
            return
        if self._pulse.is_due(self._brought(), state.retained_bytes, state.origin_lsn, time.monotonic()):
            self._origin.heartbeat()

    def _sampled(self, state: SlotState) -> Retained:
        now = time.time()
        self._samples.append(Sample(now, state.retained_bytes))
        while self._samples[0].at_seconds < now - _WINDOW_SECONDS:
            self._samples.popleft()
        settled = now - self._samples[0].at_seconds >= _SETTLED_SECONDS
        loss = seconds_to_loss(self._samples, state.safe_bytes) if settled else None
        return Retained(state.retained_bytes, state.safe_bytes, loss, now)
