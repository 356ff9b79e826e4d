"""The frames of one large transaction, kept on disk until it ends.

The file has no name: the operating system gives its space back when it is closed, also when the process is killed,
so nothing is ever left over and nothing has to be looked for at a start. It holds blocks: where each frame starts and
ends (uint32), then the memory that they span. Where the blocks are is known in memory only.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np

from flashql.errors import DatabaseBusy
from flashql.origins.postgres.frames import PADDING, Frames

# What is less than a block stays in memory: many transactions may be open at once, and most of them stay small.
BLOCK_BYTES = 1 << 20
_HELD_BYTES = 256 << 10
_PLACES_BYTES = 8  # of each frame: where it starts and ends, behind the places of all


@dataclass(frozen=True)
class _Block:
    first: int  # the number of its first frame
    frames: int
    offset: int  # of the block in the file, in bytes
    size_bytes: int


class Spool:
    """Frames in order: appended, cut off at the end, read back from the beginning.

    Every method raises `DatabaseBusy` when the disk does not take or give the bytes.
    """

    def __init__(self, directory: Path | None) -> None:
        """The file is made in `directory` (None: that of temporary files), once there is enough to write."""
        self.count = 0  # of frames
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._blocks: list[_Block] = []
        self._held: list[Frames] = []  # what is behind the last block
        self._held_bytes = 0

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames at the end."""
        added = Frames.of(frames)
        self._held_bytes += added.size_bytes
        self.count += len(added)
        if self._held_bytes > _HELD_BYTES:
            self._held.append(added)
            self._write()
        else:
            self._held.append(added.copied())

    def truncate(self, count: int) -> None:
        """Keep the first `count` frames only."""
        assert count <= self.count
        held = Frames.joined(self._held)
        written = self.count - len(held)
        if count < written:
            at = bisect_right(self._blocks, count, key=lambda block: block.first) - 1
            block = self._blocks[at]
            held, written = self._read(block), block.first
            del self._blocks[at:]
            with self._disk() as file:
                file.truncate(block.offset)
        held = held[: count - written]
        self._held, self._held_bytes = [held], held.size_bytes
        self.count = count

    def chunks(self, chunk_bytes: int) -> Iterator[Frames]:
        """All frames in order, about `chunk_bytes` of them at once."""
        chunk: list[Frames] = []
        size_bytes = 0
        for block in self._blocks:
            chunk.append(self._read(block))
            size_bytes += block.size_bytes
            if size_bytes >= chunk_bytes:
                yield Frames.joined(chunk)
                chunk, size_bytes = [], 0
        rest = Frames.joined([*chunk, *self._held])
        if len(rest):
            yield rest

    def close(self) -> None:
        """Give the space back."""
        if self._file is not None:
            with suppress(OSError):  # what a full disk did not take is of no use any more
                self._file.close()

    def _write(self) -> None:
        """Move what is held to the file, in blocks."""
        held = Frames.joined(self._held)
        ends = held.ends - held.starts[0]
        cuts = np.searchsorted(ends, np.arange(BLOCK_BYTES, ends[-1], BLOCK_BYTES)) + 1
        first = self.count - len(held)
        bounds = sorted({0, *cuts.tolist(), len(held)})
        with self._disk() as file:
            offset = file.seek(self._end)
            for low, high in pairwise(bounds):
                part = held[low:high]
                places = np.concatenate((part.starts, part.ends)) - part.starts[0]
                size_bytes = file.write(places.astype(np.uint32).tobytes()) + file.write(part.content)
                self._blocks.append(_Block(first + low, high - low, offset, size_bytes))
                offset += size_bytes
            file.flush()
        self._held, self._held_bytes = [], 0

    @property
    def _end(self) -> int:
        return self._blocks[-1].offset + self._blocks[-1].size_bytes if self._blocks else 0

    def _read(self, block: _Block) -> Frames:
        content = memoryview(bytearray(block.size_bytes + len(PADDING)))
        with self._disk() as file:
            file.seek(block.offset)
            if file.readinto(content[: block.size_bytes]) != block.size_bytes:  # type: ignore[attr-defined]
                raise OSError("the file is shorter than what was written")
        places = np.frombuffer(content, np.uint32, 2 * block.frames).astype(np.int64) + block.frames * _PLACES_BYTES
        return Frames(content, places[: block.frames], places[block.frames :])

    @contextmanager
    def _disk(self) -> Iterator[IO[bytes]]:
        """The file; what the operating system says of it becomes our error."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._directory, prefix="flashql-")  # noqa: SIM115
            yield self._file
        except OSError as error:
            raise DatabaseBusy(
                f"a large transaction of the origin could not be kept in {self._directory or tempfile.gettempdir()}: "
                f"{error.strerror or error}",
                hint="Usually a full disk: make room. Nothing is lost; FlashQL tries again.",
            ) from error
