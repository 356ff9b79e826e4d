"""Frames as received to whole transactions in commit order: knows no socket, clock or thread.

Ordinary transactions come one after another, each whole, at its commit. A large one may come in progress instead
(protocol 2, documentation: "Streaming Replication Protocol"): in segments between Stream Start and Stream Stop, which
those of other transactions and ordinary transactions come between; Stream Commit or Stream Abort says what became
of it. It waits in a spool of its own, as the frames of an ordinary one, and is given out when it has committed. So is
an ordinary one that is larger than what is held in memory.

Rolling back to a savepoint aborts a subtransaction, after some of its changes were sent perhaps. What has to go are
all frames from its first one on, as in Postgres's own receiver (worker.c, `stream_abort_internal`):

- Subtransactions form a stack. While one is open, only it and those begun within it write; so every frame from its
  first one until its end is its own or of one within it, and those go with it.
- One within it that has ended well (RELEASE) is aborted first, by a message of its own, at the same moment: what it
  takes away lies within what the outer one is about to take.
- A Relation message belongs to the subtransaction whose change it precedes. Once one has aborted, the origin describes
  every relation anew to that transaction (pgoutput.c, `cleanup_rel_sync_cache`), so those that went are not missed.

A Relation message counts from where its transaction is given out, which is what the origin takes for granted: to
ordinary transactions it describes a relation by itself until a streamed one that had it described has committed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flashql.errors import ProtocolError
from flashql.lsn import LSN
from flashql.origins.postgres.frames import HEADER_BYTES, Frames
from flashql.origins.postgres.spool import Spool

# An ordinary transaction that has sent more than this without ending goes to disk.
HOLD_BYTES = 32 << 20
# As much of a transaction is read back at once.
CHUNK_BYTES = 8 << 20

_XID = slice(HEADER_BYTES + 1, HEADER_BYTES + 5)  # behind the type of each streamed message
_STREAMED_BYTES = _XID.stop
_SEGMENT_MARKS = re.compile(b"[SEcA]")
_STREAMED = re.compile(b"[RYIUDTMO]*")
_START, _COMMIT, _ABORT = struct.Struct("!cIB"), struct.Struct("!cIBQQ8s"), struct.Struct("!cII")
_STOP = b"E"
_ORDINARY_BEGIN, _ORDINARY_COMMIT = struct.Struct("!cQ8sI"), struct.Struct("!cBQQ8s")

_FINAL_LSN = struct.Struct("!Q")


def _final_lsn_of(begin: bytes) -> int:
    try:
        return int(_FINAL_LSN.unpack_from(begin, HEADER_BYTES + 1)[0])
    except struct.error as problem:
        raise ProtocolError(f"a malformed Begin: {problem}") from None


@dataclass
class Whole:
    """Ordinary transactions, end to end, each from its Begin to its Commit."""

    frames: Frames

    def chunks(self) -> Iterator[Frames]:
        """The frames, at once."""
        yield self.frames

    def divided(self, lsn: LSN | None) -> tuple[Whole | None, Whole | None]:
        """Those that commit before `lsn` (None: all), then the others; None where there are none."""
        if lsn is None:
            return self, None
        begins = (at for at, kind in enumerate(self.frames.types()) if kind == ord("B"))
        cut = next((at for at in begins if _final_lsn_of(self.frames[at]) >= lsn), len(self.frames))
        before, after = self.frames[:cut], self.frames[cut:]
        return Whole(before) if before else None, Whole(after) if after else None


@dataclass
class Spooled:
    """One large transaction, read back in parts: frames from its Begin to its Commit, as of protocol 1."""

    xid: int
    final_lsn: LSN
    spool: Spool
    begin: Frames = field(default_factory=lambda: Frames.of(()))  # its Begin, where that is not in the spool

    def divided(self, lsn: LSN | None) -> tuple[Spooled | None, Spooled | None]:
        """As of `Whole`: it is one transaction, so one of the two is None."""
        return (self, None) if lsn is None or self.final_lsn < lsn else (None, self)

    @property
    def count(self) -> int:
        """How many frames it has."""
        return len(self.begin) + self.spool.count

    def chunks(self) -> Iterator[Frames]:
        """The frames, in parts of a bounded size; the space is given back behind the last."""
        try:
            if len(self.begin):
                yield self.begin
            yield from self.spool.chunks(CHUNK_BYTES)
        finally:
            self.spool.close()


@dataclass
class _InProgress:
    """A streamed transaction that has not ended. `firsts`: its subtransactions' first frames, ascending."""

    xid: int
    spool: Spool
    firsts: dict[bytes, int] = field(default_factory=dict)

    def take(self, frames: Frames, types: bytes) -> None:
        """Keep the frames of a segment as an ordinary transaction has them: without xid."""
        if not _STREAMED.fullmatch(types):
            raise ProtocolError(f"transaction {self.xid}: a message that cannot be in a streamed segment")
        # An Origin message has no xid, and nobody reads it.
        kept = [frame for frame, kind in zip(frames, types, strict=True) if kind != ord("O")]
        if kept and min(map(len, kept)) < _STREAMED_BYTES:
            raise ProtocolError(f"transaction {self.xid}: a streamed message without xid")
        self._note_subtransactions([frame[_XID] for frame in kept])
        self.spool.append(Frames.of([frame[: _XID.start] + frame[_XID.stop :] for frame in kept]))

    def _note_subtransactions(self, xids: list[bytes]) -> None:
        """Remember where those begin that are new; the transaction's own changes go only with all of it."""
        if set(xids) <= {self.xid.to_bytes(4, "big")}:
            return
        # Backwards, so that of several frames of one the first stays.
        first = dict(zip(reversed(xids), range(len(xids) - 1, -1, -1), strict=True))
        for at, xid in sorted((at, xid) for xid, at in first.items() if xid not in self.firsts):
            if int.from_bytes(xid, "big") != self.xid:
                self.firsts[xid] = self.spool.count + at

    def roll_back(self, subxid: int) -> None:
        """Take a subtransaction back, and all that came after its beginning; one that sent nothing is not known."""
        at = self.firsts.get(subxid.to_bytes(4, "big"))
        if at is not None:
            self.spool.truncate(at)
            while self.firsts and next(reversed(self.firsts.values())) >= at:
                self.firsts.popitem()


class Assembler:
    """Gives out transactions, whole and in the order of their commits. After an error it is of no more use."""

    def __init__(self, directory: Path | None) -> None:
        """Large transactions are kept in `directory`; None: that of temporary files."""
        self._directory = directory
        self._held = Frames.of(())  # of the ordinary transaction that has not ended
        self._large: Spooled | None = None  # that one, once it is larger than what is held
        self._streamed: dict[int, _InProgress] = {}
        self._segment: _InProgress | None = None  # the streamed one whose segment is open
        self._ended: list[Whole | Spooled] = []  # by the last call

    @property
    def amid_transaction(self) -> bool:
        """Whether an ordinary transaction is half received; streamed ones end after whatever has come."""
        return len(self._held) > 0 or self._large is not None

    def feed(self, frames: Sequence[bytes]) -> list[Whole | Spooled]:
        """Take in XLogData frames in stream order; returns the transactions that have ended by them, in order.

        Each is to be read, or closed, before the next call and as long as `frames` are true. Raises `ProtocolError`
        where the order of messages is not the documented one, and `DatabaseBusy` when the disk does not take what has
        to wait.
        """
        received = Frames.of(frames)
        types = received.types()
        self._ended = []
        at = 0
        for mark in _SEGMENT_MARKS.finditer(types):
            self._take(received[at : mark.start()], types[at : mark.start()])
            self._turn(received[mark.start()])
            at = mark.end()
        self._take(received[at:], types[at:])
        return self._ended

    def close(self) -> None:
        """Give the space back of all that was not read to its end."""
        left = [streamed.spool for streamed in self._streamed.values()]
        left += [large.spool for large in (*self._ended, self._large) if isinstance(large, Spooled)]
        for spool in left:
            spool.close()

    # -- between the messages that begin and end segments

    def _take(self, frames: Frames, types: bytes) -> None:
        if self._segment is not None:
            self._segment.take(frames, types)
            return
        if self._large is not None:
            cut = types.find(b"C") + 1
            self._large.spool.append(frames[:cut] if cut else frames)
            if not cut:
                return
            self._ended.append(self._large)
            self._large, frames, types = None, frames[cut:], types[cut:]
        if not types:
            return
        frames, before = frames.behind(self._held), len(self._held)
        cut = before + types.rfind(b"C") + 1
        if cut > before:
            self._give_out(frames[:cut])
            frames = frames[cut:]
        self._held = frames.copied()
        if self._held.size_bytes > HOLD_BYTES:
            self._spill()

    def _give_out(self, whole: Frames) -> None:
        if self._ended and isinstance(last := self._ended[-1], Whole):
            last.frames = Frames.joined((last.frames, whole))
        else:
            self._ended.append(Whole(whole))

    def _spill(self) -> None:
        """Move the ordinary transaction that is under way to disk."""
        begin = self._held[0]
        if begin[HEADER_BYTES] != ord("B") or len(begin) != HEADER_BYTES + _ORDINARY_BEGIN.size:
            raise ProtocolError("changes that are in no transaction")
        _, final_lsn, _time, xid = _ORDINARY_BEGIN.unpack_from(begin, HEADER_BYTES)
        self._large = Spooled(xid, LSN(final_lsn), Spool(self._directory))
        self._large.spool.append(self._held)
        self._held = Frames.of(())

    # -- those messages

    def _turn(self, frame: bytes) -> None:
        message = frame[HEADER_BYTES:]
        if message == _STOP and self._segment is not None:
            self._segment = None
            return
        if self._segment is not None or self.amid_transaction:
            raise ProtocolError(f"a {message[:1]!r} message inside a segment or transaction")
        try:
            if message[:1] == b"S":
                self._start(*_START.unpack(message)[1:])
            elif message[:1] == b"A":
                self._abort(*_ABORT.unpack(message)[1:])
            else:
                self._ended.append(self._commit(frame, *_COMMIT.unpack(message)[1:]))
        except struct.error as problem:
            raise ProtocolError(f"a malformed {message[:1]!r} message: {problem}") from None

    def _start(self, xid: int, is_first: int) -> None:
        if bool(is_first) == (xid in self._streamed):
            raise ProtocolError(f"transaction {xid} begins twice, or goes on without having begun")
        if is_first:
            self._streamed[xid] = _InProgress(xid, Spool(self._directory))
        self._segment = self._streamed[xid]

    def _abort(self, xid: int, subxid: int) -> None:
        streamed = self._streamed.get(xid)
        if streamed is None:
            return  # nothing is kept of it, so nothing has to go
        if subxid == xid:
            del self._streamed[xid]
            streamed.spool.close()
        else:
            streamed.roll_back(subxid)

    def _commit(self, frame: bytes, xid: int, flags: int, lsn: int, end_lsn: int, time: bytes) -> Spooled:
        """A streamed transaction is complete: what was kept of it, between a Begin and a Commit."""
        streamed = self._streamed.pop(xid, None)
        if streamed is None:
            raise ProtocolError(f"transaction {xid} commits without having begun")
        header = frame[:HEADER_BYTES]
        streamed.spool.append(Frames.of([header + _ORDINARY_COMMIT.pack(b"C", flags, lsn, end_lsn, time)]))
        begin = Frames.of([header + _ORDINARY_BEGIN.pack(b"B", lsn, time, xid)])
        return Spooled(xid, LSN(lsn), streamed.spool, begin)
