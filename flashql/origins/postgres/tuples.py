"""Row messages to columns: walks the tuples of many messages at once.

Row messages of one relation have the same columns, so column i of all of them is read together: a gather of the kind
bytes, a gather of the lengths, and the place of column i + 1 follows. Nothing here makes a Python object per row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from flashql.errors import ProtocolError
from flashql.origins.base import (
    DELETE,
    INSERT,
    BoolArray,
    ByteArray,
    Int64Array,
    NeedsText,
    Relation,
    RowChanges,
    Tuples,
)
from flashql.origins.postgres.columns import Column, column_of
from flashql.origins.postgres.forms import AnyForm
from flashql.origins.postgres.payloads import Payloads, refuse

# What kind of tuple follows: the old row's key, the old row, the new row.
_KEY, _OLD, _NEW = b"KON"
LEAST_ROW_BYTES = 8  # of a row change: type, oid, kind of tuple, number of columns
# Columns are walked in blocks of rows whose arrays stay in the processor's second-level cache.
_BLOCK_ROWS = 16_384

# Kinds of a value: TupleData in "Logical Replication Message Formats".
_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"

Forms = Mapping[int, AnyForm]


@dataclass
class TupleWalk:
    """Reads one tuple from each of many messages of `relation`: columns of `forms` into arrays `rows` long.

    In a `binary` stream values have the binary form of their type, and those of `forms` have to.
    """

    payloads: Payloads
    relation: Relation
    forms: Forms
    rows: int
    binary: bool = False
    _columns: dict[int, Column] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        made = {at: column_of(self.forms[at], self.payloads, self.rows) for at in sorted(self.forms)}
        self._columns = made

    def walk(self, at: Int64Array, where: Int64Array | None = None) -> Int64Array:
        """Read the tuples that begin at `at`; return where they end.

        Tuple j becomes row `where[j]` (ascending), or row j without `where`. Positions must lie within the
        padding; those returned lie within the messages' bytes. Raises `ProtocolError` and `NeedsText`.
        """
        after = np.empty_like(at)
        for block in _blocks(len(at)):
            after[block] = self._walk_block(at[block], block if where is None else where[block])
        return after

    def to_tuples(self) -> Tuples:
        """The rows read. Raises `ProtocolError` when a text is not UTF-8."""
        width = len(self.relation.columns)
        arrays = {}
        for i, column in self._columns.items():
            try:
                arrays[i] = column.to_arrow()
            except ProtocolError as error:
                self._fail(f'column "{self.relation.columns[i].name}" {error.message}')
        unchanged = {i: column.unchanged for i, column in self._columns.items()}
        return Tuples(tuple(map(arrays.get, range(width))), tuple(map(unchanged.get, range(width))))

    def _walk_block(self, at: Int64Array, rows: slice | Int64Array) -> Int64Array:
        width = len(self.relation.columns)
        counts = self.payloads.words[at].astype(np.uint16).byteswap()
        if (counts != width).any():
            wrong = int(counts[counts != width][0])
            self._fail(f"a row has {wrong} columns where {width} were described")
        at = at + 2
        self._check_inside(at)
        for i in range(width):
            at = self._walk_column(at, rows, i)
        return at

    def _walk_column(self, at: Int64Array, rows: slice | Int64Array, i: int) -> Int64Array:
        """Read one value of every row of a block, into its column if that is wanted; return where they end."""
        column = self._columns.get(i)
        kinds = self.payloads.octets[at]
        # One gather for two things: the value's length and its first four bytes, which are often all that is needed.
        head = self.payloads.words[at + 1]
        length = head.astype(np.uint32).byteswap()
        sent = kinds == (_BINARY if self.binary else _TEXT)
        if sent.all():
            after, present = at + 5 + length, None
        else:
            sent = self._sent(i, kinds, sent)
            length *= sent
            after, present = at + 1 + length + 4 * sent.astype(np.int64), sent
            if column is not None:
                column.mark_unchanged(rows, kinds == _UNCHANGED)
        self._check_inside(after)
        if column is not None:
            column.valid[rows] = sent
            try:
                column.read(rows, at + 5, head, length, present)
            except ProtocolError as error:
                self._fail(f'column "{self.relation.columns[i].name}" {error.message}')
        return after

    def _sent(self, i: int, kinds: ByteArray, sent: BoolArray) -> BoolArray:
        """Which values of a column were sent, when not all came in the form asked for."""
        if not self.binary and (kinds == _BINARY).any():
            self._fail("a value came in binary form, which was not asked for")
        as_text = kinds == _TEXT
        if self.binary and as_text.any():
            if i in self._columns:
                raise NeedsText(f"column {self.relation.columns[i].name} of {self.relation.name} has no binary form")
            sent = sent | as_text
        strange = ~sent & (kinds != _NULL) & (kinds != _UNCHANGED)
        if strange.any():
            self._fail(f"a value of unknown kind {bytes([kinds[strange][0]])!r}")
        return sent

    def _check_inside(self, at: Int64Array) -> None:
        if int(at.max()) > self.payloads.total_bytes:
            self._fail("a value runs past the end of its message")

    def _fail(self, what: str) -> NoReturn:
        raise ProtocolError(f"{self.relation.schema}.{self.relation.name}: {what}")


def read_run(
    payloads: Payloads,
    kinds: ByteArray,
    sequence: Int64Array,
    final_lsns: Int64Array,
    relation: Relation,
    forms: Forms,
    binary: bool,
) -> RowChanges:
    """Read the row messages `sequence` of one relation; arrays are made of the columns of `forms`.

    Old tuples are walked first, new ones from where those end. Raises `ProtocolError` and `NeedsText`.
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
        walk = TupleWalk(payloads, relation, forms, len(sequence), binary)
        at[with_old] = walk.walk(at[with_old], with_old)
        old = walk.to_tuples()
        updates = with_old[~is_delete[with_old]]
        refuse(payloads.octets[at[updates]] != _NEW, sequence[updates], "an update without its new row")
        at[updates] += 1
    walk = TupleWalk(payloads, relation, forms, len(sequence), binary)
    if is_delete.any():
        with_new = np.flatnonzero(~is_delete)
        at[with_new] = walk.walk(at[with_new], with_new)
    else:
        at = walk.walk(at)
    refuse(at != payloads.ends[sequence], sequence, "its values do not end where the message ends")
    return RowChanges(relation, kinds, sequence, final_lsns, walk.to_tuples(), old, has_old)


def _blocks(rows: int) -> Iterator[slice]:
    for first in range(0, rows, _BLOCK_ROWS):
        yield slice(first, min(first + _BLOCK_ROWS, rows))
