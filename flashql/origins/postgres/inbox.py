"""Where a stream's bytes are received: memory that is used again, divided into the protocol's messages.

A message is a type, a length that counts itself and not the type, and its content (documentation: "Message Formats").
Frames are the contents of CopyData messages, except for keepalives.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from flashql.errors import ProtocolError
from flashql.origins.postgres.frames import HEADER_BYTES, PADDING, Frames

# A transaction that was cut off is put in front of its rest, if it is not larger than this.
_ROOM_BYTES = 1 << 20
# So much can be received at once: more than a socket holds.
_READ_BYTES = 256 << 10
# Memory for more than the one is let go when less than the other comes.
_MUCH_BYTES, _LITTLE_BYTES = 4 << 20, 64 << 10

COPY_DATA = ord("d")
_PREFIX = struct.Struct("!BI")  # type and length
_LENGTH_BYTES = 4
_LEAST_FRAME = _LENGTH_BYTES + HEADER_BYTES + 1
_MOST_BYTES = 0x3FFF_FFFF + 64  # what Postgres can make of one value (MaxAllocSize), and what is around it
# Error, notice, parameter, copy begins, is data, ends; command ends, ready.
_KINDS = frozenset(b"ENSWdcCZ")


@dataclass(frozen=True)
class Message:
    """A message that is no frame, and how many frames of the inbox came before it."""

    after: int
    kind: int
    content: bytes


class Inbox:
    """Memory to receive into, used again and again: fresh memory costs more than what comes in it.

    Pages that were never used, or were let go, take no memory. Used by one thread at a time.
    """

    def __init__(self, full_bytes: int) -> None:
        """It is full, and takes no more, once it holds `full_bytes`; one message may be larger."""
        self._full_bytes = full_bytes
        self._usual_bytes = _ROOM_BYTES + full_bytes + _READ_BYTES
        self._view = _fresh(self._usual_bytes)
        self._most_bytes = 0  # that it has held in this memory
        self._clear()

    def _clear(self) -> None:
        self._starts, self._ends = array("q"), array("q")
        self._parsed = self._end = _ROOM_BYTES  # where whole messages end, and where all that came does

    def begin_anew(self, before: Inbox) -> None:
        """Forget the frames, which nobody reads any more, and go on with the rest that `before` has not parsed.

        Memory that a rush took is let go when the rush is over.
        """
        self._most_bytes = max(self._most_bytes, self.size_bytes)
        is_over = self.size_bytes < _LITTLE_BYTES and self._most_bytes > _MUCH_BYTES
        if is_over or len(self._view) > self._usual_bytes + len(PADDING):
            self._view, self._most_bytes = _fresh(self._usual_bytes), 0
        self._clear()
        rest = before._view[before._parsed : before._end]
        before._end = before._parsed
        self.put(rest)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def size_bytes(self) -> int:
        """How much it holds."""
        return self._end - _ROOM_BYTES

    @property
    def is_full(self) -> bool:
        """Whether it takes no more until its frames are taken."""
        return self.size_bytes >= self._full_bytes and len(self) > 0

    @property
    def frames(self) -> Frames:
        """What it holds: true until it begins anew."""
        starts, ends = np.frombuffer(self._starts, np.int64), np.frombuffer(self._ends, np.int64)
        return Frames(self._view, starts, ends, _ROOM_BYTES)

    def last(self) -> memoryview:
        """The last frame."""
        return self._view[self._starts[-1] : self._ends[-1]]

    def space(self) -> memoryview:
        """Where to receive next; `received` says how much was."""
        self._reserve(self._end + _READ_BYTES)
        return self._view[self._end : self._end + _READ_BYTES]

    def received(self, size_bytes: int) -> None:
        """So much was put into `space`."""
        self._end += size_bytes

    def put(self, content: memoryview | bytes) -> None:
        """Add bytes as if they had been received."""
        self._reserve(self._end + len(content))
        self._view[self._end : self._end + len(content)] = content
        self._end += len(content)

    def put_copy_data(self, content: memoryview) -> None:
        """Add a CopyData message as if it had been received."""
        self.put(_PREFIX.pack(COPY_DATA, len(content) + _LENGTH_BYTES))
        self.put(content)

    def parse(self) -> list[Message]:
        """Find the messages in what was received: frames are kept, the others returned. Raises `ProtocolError`."""
        view, at, received = self._view, self._parsed, self._end
        begin, finish, unpack = self._starts.append, self._ends.append, _PREFIX.unpack_from
        others: list[Message] = []
        while received - at >= _PREFIX.size:
            kind, length = unpack(view, at)
            end = at + 1 + length
            if kind == COPY_DATA and length >= _LEAST_FRAME and end <= received:
                begin(at + _PREFIX.size)
                finish(end)
            else:
                _check(kind, length)
                if end > received:
                    break
                others.append(Message(len(self._ends), kind, bytes(view[at + _PREFIX.size : end])))
            at = end
        self._parsed = at
        return others

    def _reserve(self, end: int) -> None:
        if end + len(PADDING) > len(self._view):
            larger = _fresh(end + end // 2)
            larger[: self._end] = self._view[: self._end]
            self._view = larger


def _check(kind: int, length: int) -> None:
    if kind not in _KINDS or not _LENGTH_BYTES <= length <= _MOST_BYTES:
        raise ProtocolError(f"a message of kind {kind} that says it is {length} bytes long")


def _fresh(size_bytes: int) -> memoryview:
    memory = mmap.mmap(-1, size_bytes + len(PADDING))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)
