"""Frames end to end in one piece of memory: as they were received, as they wait on disk, as they are decoded.

A frame is never an object of its own on the hot path: a million small objects cost more to make, to keep and to
free than what is in them costs to decode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from flashql.errors import ProtocolError
from flashql.origins.base import ByteArray, Int64Array

HEADER_BYTES = 25  # of a frame: 'w', start, end, send time (documentation: "Streaming Replication Protocol")
# Whoever decodes may read so far behind the last frame; what stands there means nothing.
PADDING = bytes(32)


@dataclass(frozen=True, eq=False)
class Frames(Sequence[bytes]):
    """Frame i is `data[starts[i]:ends[i]]`; behind the last there are at least as many bytes as `PADDING`.

    Those of a stream's inbox are true until the next `take` only: `copied` keeps them.
    """

    data: memoryview
    starts: Int64Array
    ends: Int64Array
    room_bytes: int = 0  # before the first frame, for others to be put there

    @classmethod
    def of(cls, frames: Sequence[bytes]) -> Frames:
        """The frames of any sequence."""
        if isinstance(frames, Frames):
            return frames
        lengths = np.fromiter(map(len, frames), np.int64, len(frames))
        ends = np.cumsum(lengths)
        return cls(memoryview(b"".join((*frames, PADDING))), ends - lengths, ends)

    @classmethod
    def joined(cls, parts: Sequence[Frames]) -> Frames:
        """All frames of the parts in order: the one part there is, else a copy."""
        some = [part for part in parts if len(part)]
        if len(some) < 2:
            return some[0] if some else Frames.of(())
        sizes = np.array([part.size_bytes for part in some])
        shifts = np.cumsum(sizes) - sizes - [part.starts[0] for part in some]
        starts = [part.starts + shift for part, shift in zip(some, shifts, strict=True)]
        ends = [part.ends + shift for part, shift in zip(some, shifts, strict=True)]
        data = b"".join([*(part.content for part in some), PADDING])
        return cls(memoryview(data), np.concatenate(starts), np.concatenate(ends))

    @property
    def size_bytes(self) -> int:
        """How much memory they span."""
        return int(self.ends[-1] - self.starts[0]) if len(self) else 0

    @property
    def content(self) -> memoryview:
        """The memory that they span."""
        return self.data[int(self.starts[0]) : int(self.ends[-1])] if len(self) else memoryview(b"")

    @property
    def octets(self) -> ByteArray:
        """`data` as numbers."""
        return np.frombuffer(self.data, np.uint8)

    def types(self) -> bytes:
        """The type of the message in each XLogData frame. Raises `ProtocolError` when one has no message."""
        if (self.ends - self.starts <= HEADER_BYTES).any():
            raise ProtocolError("a frame holds no message")
        return self.octets[self.starts + HEADER_BYTES].tobytes()

    def not_xlog_data(self) -> bytes | None:
        """The first that is none: there are no others of that length."""
        strange = self.octets[self.starts] != ord("w")
        return self[int(strange.argmax())] if strange.any() else None

    def copied(self) -> Frames:
        """The same frames in memory of their own."""
        if not len(self):
            return self
        data = memoryview(b"".join((self.content, PADDING)))
        return Frames(data, self.starts - self.starts[0], self.ends - self.starts[0])

    def behind(self, before: Frames) -> Frames:
        """`before`, then these; without copying these where there is room."""
        size_bytes = before.size_bytes
        if not len(before) or not len(self) or size_bytes > self.room_bytes:
            return Frames.joined((before, self))
        low = int(self.starts[0]) - size_bytes
        self.data[low : low + size_bytes] = before.content
        shift = low - before.starts[0]
        starts = np.concatenate((before.starts + shift, self.starts))
        ends = np.concatenate((before.ends + shift, self.ends))
        return Frames(self.data, starts, ends, self.room_bytes - size_bytes)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Frames: ...

    def __getitem__(self, at: int | slice) -> bytes | Frames:
        """A frame, or those of a slice without a step."""
        if isinstance(at, int):
            return bytes(self.data[int(self.starts[at]) : int(self.ends[at])])
        first, last, _ = at.indices(len(self))
        return Frames(self.data, self.starts[first:last], self.ends[first:last], 0 if first else self.room_bytes)

    def __iter__(self) -> Iterator[bytes]:
        places = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return (bytes(self.data[start:end]) for start, end in places)
