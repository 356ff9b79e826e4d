"""Row messages to columns: walks the tuples of many messages at once and shows their values as Arrow.

The messages lie end to end in one buffer. Row messages of one relation have the same columns, so column i
of all of them is read together: a gather of the kind bytes, a gather of the lengths, and the place of column
i + 1 follows. Values are not copied: Arrow's string_view points into the buffer (values of at most 12 bytes
are part of the view itself). Nothing here makes a Python object per row.

Safety: a position only ever grows, is checked against the end of the buffer before it is used, and must in
the end arrive exactly at its message's end; so a length that lies is always found, and never allocates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NoReturn, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flashql.errors import ProtocolError
from flashql.origins.base import (
    DELETE,
    INSERT,
    BoolArray,
    ByteArray,
    Int64Array,
    Relation,
    RowChanges,
    Tuples,
)
from flashql.origins.postgres.frames import Frames

WordArray = npt.NDArray[np.uint64]
LengthArray = npt.NDArray[np.uint32]

# Arrow's views hold signed 32-bit offsets into their buffer.
MAX_JOINED_BYTES = 2**31 - 64
# What kind of tuple follows: the old row's key, the old row, the new row.
_KEY, _OLD, _NEW = b"KON"
LEAST_ROW_BYTES = 8  # of a row change: type, oid, kind of tuple, number of columns
# Columns are walked in blocks of rows whose arrays stay in the processor's second-level cache.
_BLOCK_ROWS = 16_384

# Kinds of a value: TupleData in "Logical Replication Message Formats".
_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"

# A string_view is 16 bytes: int32 length; then 12 bytes of value, zero-padded, when that is enough; else its
# first 4 bytes, int32 buffer number (always 0 here) and int32 offset ("Variable-size Binary View Layout").
_INLINE_BYTES = 12
# _HEAD_MASK[n] keeps, of the value's first n bytes, those in the upper half of a view's first word (4);
# _TAIL_MASK[n] keeps those in its second word (8).
_HEAD_MASK = np.array([((1 << 8 * min(n, 4)) - 1) << 32 for n in range(_INLINE_BYTES + 2)], np.uint64)
_TAIL_MASK = np.array([(1 << 8 * min(max(n - 4, 0), 8)) - 1 for n in range(_INLINE_BYTES + 2)], np.uint64)
_UPPER_HALF_BITS = np.uint64(32)
_NOT_ASCII = np.uint64(0x8080_8080_8080_8080)


@dataclass(frozen=True)
class Payloads:
    """Messages laid end to end: message i is `data[starts[i]:ends[i]]` and at least one byte long."""

    data: memoryview
    octets: ByteArray  # data, as numbers
    words: WordArray  # words[i] is data[i:i + 8], little-endian: overlapping, unaligned
    starts: Int64Array
    ends: Int64Array
    total_bytes: int  # where the last message ends; a gather at a checked position reads at most 17 bytes from there

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


@dataclass
class _Column:
    """A column being read: a view per row; rows not reached stay null."""

    views: WordArray
    valid: BoolArray
    unchanged: BoolArray | None = None
    all_inlined: bool = True  # no value is longer than its view holds

    @classmethod
    def of_nulls(cls, rows: int) -> Self:
        return cls(np.zeros((rows, 2), np.uint64), np.zeros(rows, np.bool_))

    def mark_unchanged(self, rows: slice | Int64Array, marks: BoolArray) -> None:
        if marks.any():
            if self.unchanged is None:
                self.unchanged = np.zeros(len(self.valid), np.bool_)
            self.unchanged[rows] = marks

    @property
    def is_plain(self) -> bool:
        """Whether all values are short and ASCII, as those of most types are: nothing is to be checked then."""
        return self.all_inlined and not np.bitwise_or.reduce(self.views, axis=None) & _NOT_ASCII

    def to_arrow(self, data: pa.Buffer) -> pa.Array:
        rows = len(self.valid)
        nulls = rows - int(np.count_nonzero(self.valid))
        bitmap = pa.py_buffer(np.packbits(self.valid, bitorder="little")) if nulls else None
        return pa.Array.from_buffers(pa.string_view(), rows, [bitmap, pa.py_buffer(self.views), data], nulls)


@dataclass
class TupleWalk:
    """Reads one tuple from each of many messages of `relation`: `wanted` columns into arrays `rows` long."""

    payloads: Payloads
    relation: Relation
    wanted: Collection[int]
    rows: int
    _columns: dict[int, _Column] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._columns = {i: _Column.of_nulls(self.rows) for i in sorted(self.wanted)}

    def walk(self, at: Int64Array, where: Int64Array | None = None) -> Int64Array:
        """Read the tuples that begin at `at`; return where they end.

        Tuple j becomes row `where[j]` (ascending), or row j without `where`. Positions must lie within the
        padding; those returned lie within the messages' bytes. Raises `ProtocolError`.
        """
        after = np.empty_like(at)
        for block in _blocks(len(at)):
            after[block] = self._walk_block(at[block], block if where is None else where[block])
        return after

    def to_tuples(self) -> Tuples:
        """The rows read. Raises `ProtocolError` when a value is not UTF-8."""
        data = pa.py_buffer(self.payloads.data)
        width = len(self.relation.columns)
        arrays = {i: column.to_arrow(data) for i, column in self._columns.items()}
        for i, column in self._columns.items():
            if not column.is_plain:
                self._check_text(i, arrays[i])
        unchanged = {i: column.unchanged for i, column in self._columns.items()}
        return Tuples(tuple(map(arrays.get, range(width))), tuple(map(unchanged.get, range(width))))

    def _walk_block(self, at: Int64Array, rows: slice | Int64Array) -> Int64Array:
        width = len(self.relation.columns)
        counts = self.payloads.words[at].astype(np.uint16).byteswap()
        if (counts != width).any():
            wrong = int(counts[counts != width][0])
            self._fail(f"a row has {wrong} columns where {width} were described")
        at = at + 2
        for i in range(width):
            at = self._walk_column(at, rows, self._columns.get(i))
        self._check_inside(at)
        return at

    def _walk_column(self, at: Int64Array, rows: slice | Int64Array, column: _Column | None) -> Int64Array:
        """Read one value of every row of a block, into `column` if there is one; return where they end."""
        self._check_inside(at)
        kinds = self.payloads.octets[at]
        # One gather for two things: the value's length and its first four bytes, which open its view.
        head = self.payloads.words[at + 1]
        length = head.astype(np.uint32).byteswap()
        is_text = kinds == _TEXT
        if is_text.all():
            after = at + 5 + length
        else:
            self._check_kinds(kinds)
            length *= is_text
            after = at + 1 + length + 4 * is_text.astype(np.int64)
            if column is not None:
                column.mark_unchanged(rows, kinds == _UNCHANGED)
        if column is not None:
            column.valid[rows] = is_text
            self._write_views(column, rows, at, head, length)
        return after

    def _write_views(
        self, column: _Column, rows: slice | Int64Array, at: Int64Array, head: WordArray, length: LengthArray
    ) -> None:
        inlined = np.minimum(length, _INLINE_BYTES + 1)
        head &= _HEAD_MASK[inlined]
        head |= length
        tail = self.payloads.words[at + 9]
        tail &= _TAIL_MASK[inlined]
        is_long = inlined > _INLINE_BYTES
        if is_long.any():
            column.all_inlined = False
            offset = (at + 5).view(np.uint64) << _UPPER_HALF_BITS
            np.copyto(tail, offset, where=is_long)
        column.views[rows, 0] = head
        column.views[rows, 1] = tail

    def _check_inside(self, at: Int64Array) -> None:
        if int(at.max()) > self.payloads.total_bytes:
            self._fail("a value runs past the end of its message")

    def _check_kinds(self, kinds: ByteArray) -> None:
        if (kinds == _BINARY).any():
            self._fail("a value came in binary form, which was not asked for")
        strange = (kinds != _TEXT) & (kinds != _NULL) & (kinds != _UNCHANGED)
        if strange.any():
            self._fail(f"a value of unknown kind {bytes([kinds[strange][0]])!r}")

    def _check_text(self, i: int, array: pa.Array) -> None:
        """DuckDB trusts Arrow's text to be UTF-8; an origin encoded as SQL_ASCII can send anything."""
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:
            self._fail(f'column "{self.relation.columns[i].name}" holds text that is not UTF-8')

    def _fail(self, what: str) -> NoReturn:
        raise ProtocolError(f"{self.relation.schema}.{self.relation.name}: {what}")


def read_run(
    payloads: Payloads,
    kinds: ByteArray,
    sequence: Int64Array,
    final_lsns: Int64Array,
    relation: Relation,
    wanted: Collection[int],
) -> RowChanges:
    """Read the row messages `sequence` of one relation; arrays are made of the `wanted` columns.

    Old tuples are walked first, new ones from where those end. Raises `ProtocolError`.
    """
    # A value takes a byte at least: so what is made of a run is never much larger than what came.
    sizes = payloads.ends[sequence] - payloads.starts[sequence]
    refuse(sizes < LEAST_ROW_BYTES + len(relation.columns), sequence, "too short for its table's columns")
    at = payloads.starts[sequence] + 5
    tuple_kinds = payloads.octets[at]
    has_old = (tuple_kinds == _KEY) | (tuple_kinds == _OLD)
    is_new = tuple_kinds == _NEW
    is_delete = kinds == DELETE
    wrong = ~(has_old | is_new) | (has_old & (kinds == INSERT)) | (is_new & is_delete)
    refuse(wrong, sequence, "a tuple of a kind that does not belong there")
    at += 1

    old: Tuples | None = None
    if has_old.any():
        with_old = np.flatnonzero(has_old)
        walk = TupleWalk(payloads, relation, wanted, len(sequence))
        at[with_old] = walk.walk(at[with_old], with_old)
        old = walk.to_tuples()
        updates = with_old[~is_delete[with_old]]
        refuse(payloads.octets[at[updates]] != _NEW, sequence[updates], "an update without its new row")
        at[updates] += 1
    walk = TupleWalk(payloads, relation, wanted, len(sequence))
    if is_delete.any():
        with_new = np.flatnonzero(~is_delete)
        at[with_new] = walk.walk(at[with_new], with_new)
    else:
        at = walk.walk(at)
    refuse(at != payloads.ends[sequence], sequence, "its values do not end where the message ends")
    return RowChanges(relation, kinds, sequence, final_lsns, walk.to_tuples(), old, has_old)


def refuse(wrong: BoolArray, frames: Int64Array, what: str) -> None:
    """Raise `ProtocolError` for the first of `frames` that is marked."""
    if wrong.any():
        raise ProtocolError(f"frame {int(frames[wrong.argmax()])}: {what}")


def _blocks(rows: int) -> Iterator[slice]:
    for first in range(0, rows, _BLOCK_ROWS):
        yield slice(first, min(first + _BLOCK_ROWS, rows))
