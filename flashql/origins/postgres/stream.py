"""A slot's stream: frames received, keepalives answered, positions confirmed.

A thread of its own moves the bytes, so that status updates go on while a batch is applied (a walsender drops a
client that is silent for `wal_sender_timeout`). What it has received waits in a bounded inbox; when that is
full it stops reading, and TCP makes the origin wait. Only `confirm()` ever lets the origin forget anything.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from contextlib import suppress

from flashql import errors
from flashql.lsn import LSN
from flashql.origins.base import Received
from flashql.origins.postgres import wire
from flashql.origins.postgres.connecting import as_ours
from flashql.origins.postgres.frames import HEADER_BYTES, Frames
from flashql.origins.postgres.inbox import Inbox, Message
from flashql.origins.postgres.replication import ReplicationConnection, readable
from flashql.origins.postgres.wire import Wire

BUFFER_BYTES = 64 << 20
# This much waiting means that the origin is ahead of us: then what counts is throughput.
FLOWING_BYTES = 64 << 10
# Enough for one local commit: each delete scans the copy's key once, so smaller ones cost more per row.
ENOUGH_BYTES = 24 << 20
# Inserts cost the same in parts of this size: then apply goes on beside the walsender instead of by fits and starts.
PIECE_BYTES = 8 << 20

_KEEPALIVE = b"k"
_ENDS = b"CEcA"  # Commit, Stream Stop, Stream Commit, Stream Abort: after these there may be nothing to send
# How long a socket is left alone when little came while the origin is ahead. A walsender sends each message by
# itself: whoever reads at each of them makes both sides work for many more wake-ups. A local socket holds about 1 ms.
_PAUSE_SECONDS = 0.000_3
_FEW_BYTES = 8 << 10
# An origin that is ahead sends without pause; one that is silent for this long has nothing at hand.
_QUIET_SECONDS = 0.005
_STATUS = struct.Struct("!cQQQQB")
_LSN = struct.Struct("!Q")
_KEEPALIVE_BYTES = 18  # 'k', end of WAL, send time, whether a reply is wanted
_POSTGRES_EPOCH_SECONDS = 946_684_800


def status_interval_seconds(wal_sender_timeout_seconds: float) -> float:
    """How often to report when nothing else makes us: a third of the walsender's patience, at most 10 s.

    A third, so that two reports may be lost or late before the third is due (documentation: "wal_sender_timeout";
    0 there means endless patience).
    """
    patience = wal_sender_timeout_seconds or 30.0
    return max(0.2, min(10.0, patience / 3))


def gather_seconds(busy_seconds: float) -> float:
    """How long to gather frames for one local commit while the origin is ahead: four times what the last one took.

    Each local commit has a fixed cost o besides a cost c per second of the origin's flow. A commit that takes f
    seconds is then for 5 f of flow: f = o + 5 c f. While c is small, f stays near o, and waiting 4 o is not felt;
    from c = 1/5 on f grows to the limit: the less we keep up, the larger the commits, and o no longer counts.
    """
    return min(0.5, max(0.005, 4 * busy_seconds))


class Stream:
    """A running stream. Made by `start`; `take` and `confirm` may be called by one thread at a time."""

    def __init__(self, origin: str, wire: Wire, inbox: Inbox, interval_seconds: float) -> None:
        self._origin = origin
        self._wire = wire
        self._interval = interval_seconds
        self._condition = threading.Condition()
        self._inbox, self._taken = inbox, Inbox(BUFFER_BYTES)  # to receive in, and what `take` gave
        self._awaited = self._anything  # what `take` waits for: it is not woken before
        self._noted = 0  # frames of the inbox whose positions are known
        self._taken_at = time.monotonic()
        self._enough_bytes = ENOUGH_BYTES
        self._position: LSN | None = None
        self._origin_lsn = LSN(0)
        self._confirmed = LSN(0)
        self._report_wanted = False  # a status update is due at once
        self._reply_wanted = False  # and it asks the origin for its position
        self._interrupted = False
        self._heard_at = time.monotonic()
        self._error: errors.FlashQLError | None = None
        self._broken: errors.ProtocolError | None = None  # what was wrong with frames that `take` did not give out
        self._closing = False
        self._closed = False
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        self._thread = threading.Thread(target=self._run, name=f"flashql-stream-{origin}", daemon=True)

    @classmethod
    def start(cls, connection: ReplicationConnection, start_sql: str, interval_seconds: float) -> Stream:
        """Begin streaming on the connection, which is the stream's from now on."""
        inbox = Inbox(BUFFER_BYTES)
        stream = cls(connection.origin, wire.start(connection, start_sql, inbox), inbox, interval_seconds)
        stream._thread.start()
        return stream

    def take(self, timeout_seconds: float, enough_bytes: int = ENOUGH_BYTES) -> Received:
        """Everything received since the last call; waits up to the timeout for something to come.

        Its frames are true until the next call. While the origin is ahead, or amid a transaction, waits a little for
        more, up to `enough_bytes`. Raises the error that ended the stream once everything before it has been taken.
        """
        if self._broken is not None:
            raise self._broken
        busy_seconds = time.monotonic() - self._taken_at
        with self._condition:
            self._enough_bytes = enough_bytes
            self._condition.wait_for(self._anything, timeout_seconds)
            self._gather(gather_seconds(busy_seconds))
            self._interrupted = False
            if not len(self._inbox) and self._error is not None:
                raise self._error
            self._taken.begin_anew(self._inbox)
            self._inbox, self._taken = self._taken, self._inbox
            frames, was_full, self._noted = self._taken.frames, self._taken.is_full, 0
            received = Received(frames, self._position, self._origin_lsn)
            self._position = None
            self._taken_at = time.monotonic()
        if was_full:
            self._wake()
        try:
            self._require_sound(frames)
        except errors.ProtocolError as error:
            self._broken = error  # nothing may follow what is lost with these frames
            raise
        return received

    def _require_sound(self, frames: Frames) -> None:
        if strange := frames.not_xlog_data():
            kind, size_bytes = strange[0], len(strange)
            raise errors.ProtocolError(f"origin {self._origin}: a message of kind {kind} and {size_bytes} bytes")
        if len(frames):
            self._lsn(frames[-1], 9)  # they ascend

    def _anything(self) -> bool:
        came = len(self._inbox) > 0 or self._position is not None
        return came or self._error is not None or self._closing or self._interrupted

    def _gather(self, at_most_seconds: float) -> None:
        """Wait for more while more is coming: until there is enough, or none has come for a moment."""
        self._awaited = self._enough
        until, before = time.monotonic() + at_most_seconds, -1
        while self._inbox.size_bytes != before and (remaining := until - time.monotonic()) > 0:
            before = self._inbox.size_bytes
            if self._condition.wait_for(self._enough, min(remaining, _QUIET_SECONDS)):
                break
        self._awaited = self._anything

    def _enough(self) -> bool:
        full = self._inbox.size_bytes >= self._enough_bytes or not self._more_is_coming()
        return full or self._error is not None or self._closing or self._interrupted

    def _more_is_coming(self) -> bool:
        """A transaction, or a segment of one, is sent all at once: frames that end inside are followed by others."""
        if not len(self._inbox):
            return False
        return self._inbox.size_bytes >= FLOWING_BYTES or self._inbox.last()[HEADER_BYTES] not in _ENDS

    def confirm(self, lsn: LSN) -> None:
        """Everything up to `lsn` is durable here: the origin may forget it. Never moves back."""
        with self._condition:
            if lsn <= self._confirmed:
                return
            self._confirmed = lsn
        self._wake()

    @property
    def heard(self) -> tuple[LSN, float]:
        """How far the origin has sent, and when (monotonic clock) anything came from it last."""
        return self._origin_lsn, self._heard_at

    def ask_position(self) -> None:
        """Make the origin say how far it has sent; the answer comes as a position of `take`."""
        self._reply_wanted = True
        self._wake()

    def interrupt(self) -> None:
        """Make a waiting `take` return at once."""
        with self._condition:
            self._interrupted = True
            self._condition.notify_all()

    def close(self) -> None:
        """Report the last confirmed position, end the stream and its thread."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        self._wake()
        self._thread.join(timeout=10)
        self._wire.close()
        with self._condition:
            self._closed = True
        for descriptor in (self._wake_in, self._wake_out):
            os.close(descriptor)

    # -- the thread

    def _wake(self) -> None:
        with self._condition:
            if not self._closed:  # its number may be another file's by now
                with suppress(BlockingIOError):  # full means that a wake-up is pending already
                    os.write(self._wake_in, b"\0")

    def _run(self) -> None:
        try:
            self._pump()
        except errors.FlashQLError as error:
            self._fail(error)
        except Exception as error:
            self._fail(as_ours(self._origin, None, str(error)))

    def _fail(self, error: errors.FlashQLError) -> None:
        with self._condition:
            self._error = error
            self._condition.notify_all()

    def _pump(self) -> None:
        reported, due = LSN(0), 0.0
        while True:
            now = time.monotonic()
            closing = self._closing
            asked = self._report_wanted or self._reply_wanted
            if closing or now >= due or self._confirmed != reported or asked:
                reported = self._report()
                due = now + self._interval
            if closing:
                return
            full = self._inbox.is_full
            if not full and (received_bytes := self._receive()):
                self._heard_at = time.monotonic()
                if received_bytes < _FEW_BYTES and self._inbox.size_bytes >= FLOWING_BYTES:
                    time.sleep(_PAUSE_SECONDS)
                continue
            self._check_alive(now - self._heard_at, full)
            readers = [self._wake_out] if full else [self._wire.descriptor, self._wake_out]
            ready = readable(readers, max(0.0, due - now))
            if self._wake_out in ready:
                os.read(self._wake_out, 4096)

    def _check_alive(self, silent_seconds: float, full: bool) -> None:
        """Half-open connections: a status report that asks for an answer goes out after a third of the limit."""
        if full:
            return
        if silent_seconds > 6 * self._interval + 60:
            raise errors.OriginUnreachable(f"origin {self._origin} has been silent for {silent_seconds:.0f} s")
        if silent_seconds > 2 * self._interval:
            self._reply_wanted = True

    def _receive(self) -> int:
        """Move what there is into the inbox; returns how many bytes that was."""
        with self._condition:
            inbox, before = self._inbox, self._inbox.size_bytes
            others = self._wire.fill(inbox)
            for message in others:
                self._hear(message, is_last=message.after == len(inbox))
            if len(inbox) > self._noted:
                self._noted = len(inbox)
                self._origin_lsn = max(self._origin_lsn, self._lsn(inbox.last(), 9))
                if not others or others[-1].after < len(inbox):
                    self._position = None
            if self._awaited():
                self._condition.notify_all()
        return inbox.size_bytes - before

    def _hear(self, message: Message, *, is_last: bool) -> None:
        """A message that is no frame: nothing but a keepalive is expected."""
        content = message.content
        if content[:1] != _KEEPALIVE or len(content) < _KEEPALIVE_BYTES:
            kind = content[0] if content else None
            raise errors.ProtocolError(f"origin {self._origin}: a message of kind {kind} and {len(content)} bytes")
        end = self._lsn(content, 1)
        self._origin_lsn = max(self._origin_lsn, end)
        self._position = end if is_last else None
        if content[_KEEPALIVE_BYTES - 1]:
            self._report_wanted = True

    def _lsn(self, content: bytes | memoryview, at: int) -> LSN:
        lsn = LSN(_LSN.unpack_from(content, at)[0])
        if lsn >> 63:
            raise errors.ProtocolError(f"origin {self._origin}: {lsn} is beyond what a log can reach")
        return lsn

    def _report(self) -> LSN:
        """Send a standby status update; everything confirmed is written, flushed and applied here."""
        wanted, self._reply_wanted, self._report_wanted = self._reply_wanted, False, False
        confirmed = self._confirmed
        now_us = int((time.time() - _POSTGRES_EPOCH_SECONDS) * 1_000_000)
        self._wire.send(_STATUS.pack(b"r", confirmed, confirmed, confirmed, now_us, int(wanted)))
        return confirmed
