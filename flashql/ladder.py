"""How far each part of following an origin has come: head > received > applied > confirmed, each an LSN and a time.

One `Ladder` belongs to one session. Each of its rungs is set by one thread alone, in one assignment, and only ever
rises; whoever reads takes the lowest first. So what is read together is in order at any time, without a lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from flashql.lsn import LSN

# A connection over which nothing came for this long may be a dead one: walsenders are asked for a sign of life, and
# give one, at least every 20 s (stream.py).
_FRESH_SECONDS = 30.0

RUNGS = ("head", "received", "applied", "confirmed")


@dataclass(frozen=True, slots=True)
class Rung:
    """A position, and when (Unix time) that was learned."""

    lsn: LSN
    at_seconds: float


@dataclass(frozen=True, slots=True)
class Rungs:
    """The rungs of one moment, highest first: `head >= received >= applied >= confirmed`.

    `head` is where the origin's WAL ends, `received` what its walsender has sent, `applied` what the copies contain,
    `confirmed` what the origin may forget: None until a session has confirmed something or seen the slot.
    """

    head: Rung
    received: Rung
    applied: Rung
    confirmed: Rung | None

    @property
    def lag_bytes(self) -> int:
        """WAL at the origin, as far as known, that the copies do not contain."""
        return max(0, self.head.lsn - self.applied.lsn)


class Ladder:
    """One session's rungs. `heard` gives the stream's: the position it has come to, and when it last heard anything.

    The position and the time are those of `Stream.heard`: an LSN and seconds of the monotonic clock. `contained_at` is
    the moment (Unix time) of which it is known that all committed before it is in the copies, None when of none.
    """

    def __init__(self, start: LSN, heard: Callable[[], tuple[LSN, float]], contained_at: float | None = None) -> None:
        self.connected = True  # until the session ends
        self._heard = heard
        self._start = start
        self._applied = Rung(start, time.time())
        self._committed_at = contained_at
        self._confirmed: Rung | None = None
        self._of_slot: Rung | None = None  # confirmed, as the origin has it
        self._head: Rung | None = None  # as the origin said when it was last asked
        self._awaited: Rung | None = None  # the end of its WAL when it was asked once, not contained when last looked
        self._contained_at: float | None = None  # when that was which they had come to when last looked

    # -- told by the session's thread

    def applied(self, lsn: LSN, committed_at: float | None = None) -> None:
        """The copies contain all that ends by `lsn`, of which the last was committed at `committed_at` (Unix time)."""
        if lsn > self._applied.lsn:
            self._applied = Rung(lsn, time.time())
        if committed_at is not None:
            self._committed_at = committed_at

    def confirmed(self, lsn: LSN) -> None:
        """The origin is told that it may forget what ends by `lsn`, which has been applied."""
        if self._confirmed is None or lsn > self._confirmed.lsn:
            self._confirmed = Rung(lsn, time.time())

    # -- told by whoever asks the origin beside the stream

    def looked(self, head: LSN, confirmed: LSN) -> None:
        """At this moment the origin's WAL ended at `head`, and its slot was confirmed up to `confirmed`."""
        now = time.time()
        if self._of_slot is None or confirmed > self._of_slot.lsn:
            self._of_slot = Rung(confirmed, now)
        if self._head is None or head > self._head.lsn:
            self._head = Rung(head, now)
        if self._awaited is None or self._applied.lsn >= self._awaited.lsn:
            self._contained_at = None if self._awaited is None else self._awaited.at_seconds
            self._awaited = Rung(head, now)

    # -- asked from any thread

    def rungs(self) -> Rungs:
        """All rungs as of now, the lowest looked at first."""
        confirmed = max((one for one in (self._confirmed, self._of_slot) if one), key=_lsn, default=None)
        applied, (lsn, heard) = self._applied, self._heard()
        received = Rung(max(lsn, self._start), time.time() - (time.monotonic() - heard))
        head = max(received, self._head or received, key=_lsn)
        return Rungs(head, received, applied, confirmed)

    def lag_seconds(self, rungs: Rungs) -> float | None:
        """How long ago the origin committed what the copies lack, at most; 0 while they have all that is known of.

        It is counted from the last moment of which everything is contained: when the last transaction applied was
        committed, when the origin said where its WAL ends and the copies have come there, or when anything was last
        heard while nothing was lacking. So an origin that was idle for an hour is not an hour behind at its next
        transaction, and one that cannot be heard is not up to date. None before any such moment. The clocks are
        the origin's for commits and this machine's for the rest.
        """
        heard_at = time.time() - (time.monotonic() - self._heard()[1])
        has_all = rungs.applied.lsn >= rungs.head.lsn
        if has_all and self.connected and time.time() - heard_at < _FRESH_SECONDS:
            return 0.0
        contained_at = self.contained_at(rungs)
        return None if contained_at is None else max(0.0, time.time() - contained_at)

    def contained_at(self, rungs: Rungs) -> float | None:
        """The last moment of which it is known that all committed before it is contained."""
        moments = [self._committed_at, self._contained_at]
        if self._awaited is not None and rungs.applied.lsn >= self._awaited.lsn:
            moments.append(self._awaited.at_seconds)
        if rungs.applied.lsn >= rungs.head.lsn:
            moments.append(time.time() - (time.monotonic() - self._heard()[1]))
        return max((one for one in moments if one is not None), default=None)


def _lsn(rung: Rung) -> LSN:
    return rung.lsn
