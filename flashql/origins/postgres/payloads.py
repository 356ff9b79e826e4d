"""Messages end to end in one buffer, and numbers gathered from many places of it at once.

Safety: a position only ever grows, is checked against the end of the buffer before it is used, and must in the end
arrive exactly at its message's end; so a length that lies is always found, and never allocates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from flashql.errors import ProtocolError
from flashql.origins.base import BoolArray, ByteArray, Int64Array
from flashql.origins.postgres.frames import Frames

WordArray = npt.NDArray[np.uint64]
LengthArray = npt.NDArray[np.uint32]

# Arrow's views hold signed 32-bit offsets into their buffer.
MAX_JOINED_BYTES = 2**31 - 64


@dataclass(frozen=True)
class Payloads:
    """Messages laid end to end: message i is `data[starts[i]:ends[i]]` and at least one byte long."""

    data: memoryview
    octets: ByteArray  # data, as numbers
    words: WordArray  # words[i] is data[i:i + 8], little-endian: overlapping, unaligned
    starts: Int64Array
    ends: Int64Array
    total_bytes: int  # where the last message ends; a gather at a checked position reads at most 24 bytes from there

    @classmethod
    def of(cls, frames: Frames, header_bytes: int) -> Self:
        """Of frames of `header_bytes` ('w' first, if any) followed by a message. Raises `ProtocolError`."""
        total_bytes = int(frames.ends[-1]) if len(frames) else 0
        if total_bytes > MAX_JOINED_BYTES:
            raise ProtocolError(f"{total_bytes} bytes to decode at once; the limit is {MAX_JOINED_BYTES}")
        octets, starts = frames.octets, frames.starts + header_bytes
        if (starts >= frames.ends).any():
            raise ProtocolError(f"frame {int((starts >= frames.ends).argmax())} holds no message")
        if header_bytes and (strange := octets[frames.starts] != ord("w")).any():
            raise ProtocolError(f"frame {int(strange.argmax())} is not XLogData")
        words: WordArray = np.ndarray((len(octets) - 7,), "<u8", frames.data, 0, (1,))
        return cls(frames.data, octets, words, starts, frames.ends, total_bytes)

    def uint32(self, at: Int64Array) -> LengthArray:
        """The unsigned 32-bit numbers (network order) at these positions."""
        return self.words[at].astype(np.uint32).byteswap()

    def int64(self, at: Int64Array) -> Int64Array:
        """The signed 64-bit numbers (network order) at these positions."""
        return self.words[at].byteswap().view(np.int64)


def refuse(wrong: BoolArray, frames: Int64Array, what: str) -> None:
    """Raise `ProtocolError` for the first of `frames` that is marked."""
    if wrong.any():
        raise ProtocolError(f"frame {int(frames[wrong.argmax()])}: {what}")
