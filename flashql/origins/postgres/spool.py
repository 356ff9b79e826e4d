"""The frames of one large transaction, kept on disk until it ends.

The file has no name: the operating system gives its space back when it is closed, also when the process is killed,
so nothing is ever left over and nothing has to be looked for at a start. It holds blocks: the length of each frame
(uint32), then the frames, end to end. Where the blocks are is known in memory only.
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

# What is less than a block stays in memory: many transactions may be open at once, and most of them stay small.
BLOCK_BYTES = 1 << 20
_HELD_BYTES = 256 << 10
_LENGTH_BYTES = 4


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
        self._held: list[bytes] = []  # the frames behind the last block
        self._held_bytes = 0

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames at the end."""
        self._held += frames
        self._held_bytes += sum(map(len, frames))
        self.count += len(frames)
        if self._held_bytes > _HELD_BYTES:
            self._write()

    def truncate(self, count: int) -> None:
        """Keep the first `count` frames only."""
        assert count <= self.count
        written = self.count - len(self._held)
        if count < written:
            at = bisect_right(self._blocks, count, key=lambda block: block.first) - 1
            block = self._blocks[at]
            self._held = self._read(block)[: count - block.first]
            del self._blocks[at:]
            with self._disk() as file:
                file.truncate(block.offset)
        else:
            del self._held[count - written :]
        self._held_bytes = sum(map(len, self._held))
        self.count = count

    def chunks(self, chunk_bytes: int) -> Iterator[list[bytes]]:
        """All frames in order, in lists of about `chunk_bytes`."""
        chunk: list[bytes] = []
        size_bytes = 0
        for block in self._blocks:
            chunk += self._read(block)
            size_bytes += block.size_bytes
            if size_bytes >= chunk_bytes:
                yield chunk
                chunk, size_bytes = [], 0
        chunk += self._held
        if chunk:
            yield chunk

    def close(self) -> None:
        """Give the space back."""
        if self._file is not None:
            with suppress(OSError):  # what a full disk did not take is of no use any more
                self._file.close()

    def _write(self) -> None:
        """Move what is held to the file, in blocks."""
        lengths = np.fromiter(map(len, self._held), np.uint32, len(self._held))
        ends = lengths.cumsum(dtype=np.int64)
        cuts = np.searchsorted(ends, np.arange(BLOCK_BYTES, ends[-1], BLOCK_BYTES)) + 1
        first = self.count - len(self._held)
        bounds = sorted({0, *cuts.tolist(), len(lengths)})
        with self._disk() as file:
            offset = file.seek(self._end)
            for low, high in pairwise(bounds):
                content = lengths[low:high].tobytes() + b"".join(self._held[low:high])
                file.write(content)
                self._blocks.append(_Block(first + low, high - low, offset, len(content)))
                offset += len(content)
            file.flush()
        self._held, self._held_bytes = [], 0

    @property
    def _end(self) -> int:
        return self._blocks[-1].offset + self._blocks[-1].size_bytes if self._blocks else 0

    def _read(self, block: _Block) -> list[bytes]:
        with self._disk() as file:
            file.seek(block.offset)
            content = file.read(block.size_bytes)
            if len(content) != block.size_bytes:
                raise OSError("the file is shorter than what was written")
        head_bytes = block.frames * _LENGTH_BYTES
        ends = (np.frombuffer(content, np.uint32, block.frames).cumsum(dtype=np.int64) + head_bytes).tolist()
        return [content[start:end] for start, end in zip([head_bytes, *ends], ends, strict=False)]

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
