"""From a stream to the copies: transactions that have ended are applied and confirmed, and positions between them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flashql import errors
from flashql.events import Events, SyncApplied
from flashql.following import Follower
from flashql.lifecycle import Phase
from flashql.lsn import LSN
from flashql.measuring import Batch, Meter
from flashql.moments import Moments
from flashql.origins.base import Received, Size
from flashql.origins.postgres.assembling import Assembler, Spooled, Whole
from flashql.origins.postgres.frames import Frames
from flashql.origins.postgres.stream import ENOUGH_BYTES, PIECE_BYTES, Stream
from flashql.works import Works

# While inserts flow, what came before is committed after this long, and the next is waited for that long.
_COMMIT_SECONDS, _PIECE_SECONDS = 0.5, 0.1
# After this long without a change the file may be made smaller.
_QUIET_SECONDS = 10.0
# An idle position is made durable, and confirmed, at most this often.
_IDLE_SECONDS = 5.0
_POSTGRES_EPOCH_SECONDS = 946_684_800


class Stopped(Exception):
    """The session was told to end amid a large transaction; all of it is sent again."""


class Feed:
    """What one stream brings, to one follower. `reached` is told each position; all by the session's thread."""

    def __init__(
        self,
        origin: str,
        stream: Stream,
        follower: Follower,
        moments: Moments,
        *,
        folder: Path | None,
        works: Works,
        meter: Meter,
        events: Events,
        stopping: Callable[[], bool],
        reached: Callable[[LSN], None],
    ) -> None:
        self.position = follower.applied_lsn  # the copies contain everything that the origin committed before
        self.followed = False  # whether anything came
        self.brought = 0  # how often something was applied
        self._origin = origin
        self._works = works
        self._stream = stream
        self._follower = follower
        self._moments = moments
        self._meter = meter
        self._events = events
        self._ladder = meter.begin(self.position, lambda: stream.heard)
        self._stopping = stopping
        self._tell = reached
        self._assembler = Assembler(folder)  # large transactions wait in this folder
        self._received: Received | None = None  # the last
        self._ended: deque[Whole | Spooled] = deque()  # by what was received, and not applied yet
        self._confirmed_at = 0.0
        self._came_at: float | None = None  # when something was applied, until the file was looked at after it
        self._tell(self.position)

    def take(self, received: Received) -> None:
        """Apply what has ended by it, up to the next moment and on from there.

        Raises what `Follower.feed` and `Assembler.feed` do, and `Stopped`. What is raised has confirmed nothing that is
        not durable; the feed is of no more use.
        """
        self._assemble(received)
        while self._ended:
            before, after = self._ended.popleft().divided(self._moments.lsn)
            if before is not None:
                self._apply(before)
            if after is not None:
                self._moments.reached()
                self._apply(after)
        self._tidy()
        last = self._last
        if last.position is not None and not self.amid_transaction:
            self._idle(last.position, last.origin_lsn)

    @property
    def amid_transaction(self) -> bool:
        """Whether one has come in part."""
        return self._assembler.amid_transaction

    def close(self) -> None:
        """Forget what has not ended."""
        self._meter.end()
        self._assembler.close()

    @property
    def enough_bytes(self) -> int:
        """How much to gather before it is worth to apply it."""
        return PIECE_BYTES if self._follower.appending else ENOUGH_BYTES

    @property
    def _last(self) -> Received:
        assert self._received is not None
        return self._received

    def _assemble(self, received: Received) -> None:
        self._received = received
        self._ended.extend(self._assembler.feed(received.frames))

    def _apply(self, ended: Whole | Spooled) -> None:
        began, size_bytes = time.monotonic(), 0

        def weighed() -> Iterator[Sequence[bytes]]:
            nonlocal size_bytes
            for frames in self._chunks(ended):
                size_bytes += frames.size_bytes
                yield frames

        try:
            reached = self._follower.feed(weighed(), lambda: self._last.origin_lsn)
        except errors.HookRefused:
            self.followed = self.brought > 0  # to come to what was refused before is to have come nowhere
            raise
        self._measure(reached, size_bytes, time.monotonic() - began)
        self._stream.confirm(reached)
        self._ladder.confirmed(reached)
        self._reached(reached)
        self.followed = True
        self.brought += 1
        self._came_at = time.monotonic()

    def _measure(self, reached: LSN, size_bytes: int, seconds: float) -> None:
        fed = self._follower.fed
        committed_at = None if fed.committed_us is None else fed.committed_us / 1e6 + _POSTGRES_EPOCH_SECONDS
        batch = Batch(reached, fed.transactions, fed.rows, size_bytes, seconds, committed_at, fed.rows_of)
        self._ladder.applied(reached, committed_at)
        self._meter.count(batch)
        if self._events.wanted(SyncApplied.name):
            applied = SyncApplied(
                origin=self._origin,
                phase=Phase.PULL,
                lsn=str(reached),
                rows=batch.rows,
                transactions=batch.transactions,
                seconds=seconds,
            )
            self._events.tell(applied)

    def _chunks(self, ended: Whole | Spooled) -> Iterator[Frames]:
        """What to apply; a large transaction shows how far it is, and is left when the session should end."""
        if isinstance(ended, Whole):
            yield from self._pieces(ended)
            return
        what = f"transaction {ended.xid} of {self._origin}"
        with self._works.begin(what, (), Phase.PULL, self._origin, Size(ended.count)) as work:
            for frames in ended.chunks():
                if self._stopping():
                    raise Stopped
                yield frames
                work.count(len(frames), frames.size_bytes)

    def _pieces(self, ended: Whole) -> Iterator[Frames]:
        """Ordinary transactions and, as long as inserts flow, those that come meanwhile: all for one local commit."""
        began = time.monotonic()
        size_bytes = piece_bytes = ended.frames.size_bytes
        yield ended.frames
        while self._flows(piece_bytes) and size_bytes < ENOUGH_BYTES and time.monotonic() - began < _COMMIT_SECONDS:
            try:
                received = self._stream.take(_PIECE_SECONDS, PIECE_BYTES)
            except errors.FlashQLError:
                return  # what came before counts; the stream has ended for the next take, too
            self._assemble(received)
            if not self._ended or not isinstance(following := self._ended[0], Whole):
                return
            self._ended.popleft()
            piece_bytes = following.frames.size_bytes
            size_bytes += piece_bytes
            yield following.frames

    def _flows(self, piece_bytes: int) -> bool:
        """Whether more of the same is surely coming, and nobody waits for something else."""
        alone = not self._ended and self._moments.lsn is None and not self._stopping()
        return alone and self._follower.appending and piece_bytes >= PIECE_BYTES

    def _tidy(self) -> None:
        quiet = self._came_at is not None and time.monotonic() - self._came_at > _QUIET_SECONDS
        if quiet and not self.amid_transaction:
            self._came_at = None
            self._follower.compact()

    def _idle(self, position: LSN, origin_lsn: LSN) -> None:
        """The origin has sent everything that ends before `position`; what it streams in progress ends later."""
        if self._moments.lsn is not None and position >= self._moments.lsn:
            self._moments.reached()
        now = time.monotonic()
        if position > self._follower.applied_lsn and now - self._confirmed_at > _IDLE_SECONDS:
            self._confirmed_at = now
            confirmed = self._follower.idle(position, origin_lsn)
            self._ladder.applied(confirmed)
            self._stream.confirm(confirmed)
            self._ladder.confirmed(confirmed)
        self.followed = self.followed or position > self.position
        self._reached(position)

    def _reached(self, lsn: LSN) -> None:
        self.position = max(self.position, lsn)
        self._ladder.applied(self.position)
        self._tell(self.position)
