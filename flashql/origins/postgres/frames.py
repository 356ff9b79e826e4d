"""Frames end to end in one piece of memory: as they were received, as they wait on disk, as they are decoded.

A frame is never an object of its own on the hot path: a million small objects cost more to make, to keep and to
free than what is in them costs to decode.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np

from flashql.errors import ProtocolError
from flashql.origins.base import ByteArray, Int64Array

HEADER_BYTES = 25  # of a frame: 'w', start, end, send time (documentation: "Streaming Replication Protocol")
# Whoever decodes may read so far behind the last frame; what stands there means nothing.
PADDING = bytes(32)


@dataclass(frozen=True, eq=False)
class Frames(Sequence[bytes]):
    """Frame i is `data[bounds[i]:bounds[i + 1]]`; behind the last there are at least as many bytes as `PADDING`.

    Those of a stream's buffer are true until the next `take` only: `copied` keeps them.
    """

    data: memoryview
    bounds: Int64Array  # one more than there are frames
    room_bytes: int = 0  # before the first frame, for others to be put there

    @classmethod
    def of(cls, frames: Sequence[bytes]) -> Frames:
        """The frames of any sequence."""
        if isinstance(frames, Frames):
            return frames
        bounds = np.zeros(len(frames) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, frames), np.int64, len(frames)), out=bounds[1:])
        return cls(memoryview(b"".join((*frames, PADDING))), bounds)

    @classmethod
    def joined(cls, parts: Sequence[Frames]) -> Frames:
        """All frames of the parts in order: the one part there is, else a copy."""
        some = [part for part in parts if len(part)]
        if len(some) < 2:
            return some[0] if some else Frames.of(())
        ends, size_bytes = [np.zeros(1, np.int64)], 0
        for part in some:
            ends.append(part.bounds[1:] + (size_bytes - part.bounds[0]))
            size_bytes += part.size_bytes
        return cls(memoryview(b"".join([*(part.content for part in some), PADDING])), np.concatenate(ends))

    @property
    def size_bytes(self) -> int:
        """How long they are together."""
        return int(self.bounds[-1] - self.bounds[0])

    @property
    def content(self) -> memoryview:
        """All of them, end to end."""
        return self.data[int(self.bounds[0]) : int(self.bounds[-1])]

    @property
    def octets(self) -> ByteArray:
        """`data` as numbers."""
        return np.frombuffer(self.data, np.uint8)

    def lengths(self) -> Int64Array:
        """How long each is."""
        return np.diff(self.bounds)

    def types(self) -> bytes:
        """The type of the message in each XLogData frame. Raises `ProtocolError` when one has no message."""
        if (self.lengths() <= HEADER_BYTES).any():
            raise ProtocolError("a frame holds no message")
        return self.octets[self.bounds[:-1] + HEADER_BYTES].tobytes()

    def are_xlog_data(self) -> bool:
        """Whether each of them is one: there are no others of that length."""
        return bool((self.octets[self.bounds[:-1]] == ord("w")).all())

    def copied(self) -> Frames:
        """The same frames in memory of their own."""
        return Frames(memoryview(b"".join((self.content, PADDING))), self.bounds - self.bounds[0])

    def behind(self, before: Frames) -> Frames:
        """`before`, then these; without copying these where there is room."""
        size_bytes, start = before.size_bytes, int(self.bounds[0])
        if not len(before) or size_bytes > self.room_bytes:
            return Frames.joined((before, self))
        self.data[start - size_bytes : start] = before.content
        bounds = np.concatenate((before.bounds[:-1] + (start - int(before.bounds[-1])), self.bounds))
        return Frames(self.data, bounds, self.room_bytes - size_bytes)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Frames: ...

    def __getitem__(self, at: int | slice) -> bytes | Frames:
        """A frame, or those of a slice without a step."""
        if isinstance(at, int):
            at = range(len(self))[at]
            return bytes(self.data[int(self.bounds[at]) : int(self.bounds[at + 1])])
        first, last, _ = at.indices(len(self))
        return Frames(self.data, self.bounds[first : max(first, last) + 1], 0 if first else self.room_bytes)

    def __iter__(self) -> Iterator[bytes]:
        bounds = self.bounds.tolist()
        return (bytes(self.data[start:end]) for start, end in pairwise(bounds))


# A transaction that was cut off is put in front of its rest, if it is not larger than this.
_ROOM_BYTES = 1 << 20
# Memory for more than the one is let go when less than the other comes.
_MUCH_BYTES, _LITTLE_BYTES = 4 << 20, 64 << 10
_SPARE_BYTES = 64 << 10
# How a stream's end, or a pause, shows instead of a length (libpq: PQgetCopyData).
NOTHING_YET = 0
Get = Callable[[int], tuple[int, memoryview]]


class Inbox:
    """Memory to receive frames into, used again and again: fresh memory costs more than what comes in it.

    Pages that were never used, or were let go, take no memory. Used by one thread at a time.
    """

    def __init__(self, full_bytes: int) -> None:
        """It takes no further frames once it holds `full_bytes`; the last may be of any size."""
        self._full_bytes = full_bytes
        self._view = self._fresh(_ROOM_BYTES + full_bytes)
        self._used_bytes = 0  # the most it has held since its memory was fresh
        self._at = _ROOM_BYTES
        self._ends = [self._at]

    def clear(self) -> None:
        """Forget the frames: nobody reads them any more. Memory that a rush took is let go when it is over."""
        self._used_bytes = max(self._used_bytes, self.size_bytes)
        over = self.size_bytes < _LITTLE_BYTES and self._used_bytes > _MUCH_BYTES
        if over or self._used_bytes > 2 * self._full_bytes:
            self._view, self._used_bytes = self._fresh(_ROOM_BYTES + self._full_bytes), 0
        self._at = _ROOM_BYTES
        self._ends = [self._at]

    @property
    def size_bytes(self) -> int:
        """How much it holds."""
        return self._at - _ROOM_BYTES

    @property
    def is_full(self) -> bool:
        """Whether it takes no more."""
        return self.size_bytes >= self._full_bytes

    @property
    def frames(self) -> Frames:
        """What it holds: true until it is cleared."""
        return Frames(self._view, np.array(self._ends, np.int64), _ROOM_BYTES)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def last(self) -> memoryview:
        """The last frame."""
        return self._view[self._ends[-2] : self._at]

    def fill(self, get: Get) -> tuple[int, list[tuple[int, bytes]]]:
        """Take messages until there is none, or it is full.

        Returns what ended it as `get` says it (0: nothing for now), and messages too short for a frame, each with
        the number of frames that came before it.
        """
        view, ends, add, at = self._view, self._ends, self._ends.append, self._at
        limit, full = len(view) - len(PADDING), _ROOM_BYTES + self._full_bytes
        short: list[tuple[int, bytes]] = []
        ended = NOTHING_YET
        while at < full:
            length, content = get(1)
            if length > HEADER_BYTES:
                end = at + length
                if end > limit:
                    view = self._grow(at, end)
                    limit = len(view) - len(PADDING)
                view[at:end] = content
                add(end)
                at = end
            elif length > 0:
                short.append((len(ends) - 1, bytes(content)))
            else:
                ended = length
                break
        self._at = at
        return ended, short

    def _grow(self, used_bytes: int, needed_bytes: int) -> memoryview:
        """More memory: for the last frame, which may be the only one and larger than all there was."""
        larger = self._fresh(needed_bytes + needed_bytes // 4)
        larger[:used_bytes] = self._view[:used_bytes]
        self._view = larger
        return larger

    @staticmethod
    def _fresh(size_bytes: int) -> memoryview:
        memory = mmap.mmap(-1, size_bytes + _SPARE_BYTES)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):
                memory.madvise(mmap.MADV_HUGEPAGE)
        return memoryview(memory)
