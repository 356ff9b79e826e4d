"""The seam between FlashQL and any origin: the values that cross it and what each side owes the other.

An origin promises: rows of a snapshot are all rows visible at its `lsn` and no others; changes come as whole
transactions in commit order; nothing it has not been told to forget (`confirm`) is lost. FlashQL promises: it
confirms only what is durable locally, applies a change iff the copy's LSN <= the transaction's final LSN, and
tolerates being sent anything twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flashql.lsn import LSN

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]

# What happened to a row. Values of `RowChanges.kinds`; the letters are those of pgoutput.
INSERT, UPDATE, DELETE = ord("I"), ord("U"), ord("D")


class NeedsText(Exception):
    """The stream has to send text: a value, or a type, cannot be read in binary form. Nothing was applied."""


@dataclass(frozen=True)
class WireColumn:
    """A column as a Relation message describes it: what the row messages after it are made of."""

    name: str
    type_oid: int
    typmod: int
    is_key: bool  # part of the replica identity


@dataclass(frozen=True)
class Relation:
    """A table as the stream describes it; true from the message that carries it until the next for that oid."""

    oid: int
    schema: str
    name: str
    replica_identity: str  # 'd' default, 'n' nothing, 'f' full, 'i' index (pg_class.relreplident)
    columns: tuple[WireColumn, ...]


@dataclass(frozen=True)
class Tuples:
    """Rows in columns: one Arrow array per column of the relation, each `len(rows)` long, null for SQL NULL.

    `values[i]` is a string_view array of Postgres's text forms, or an array of the very values that the column holds
    locally, or None when the column was not asked for. `unchanged[i]` is None, or marks the rows whose toasted value
    was not sent because it did not change (their `values` entry is null and means nothing).
    """

    values: tuple[pa.Array | None, ...]
    unchanged: tuple[BoolArray | None, ...]


@dataclass(frozen=True)
class RowChanges:
    """Row changes of one relation, in stream order. All arrays are as long as there are changes.

    `new` holds the new rows of inserts and updates (null columns for deletes). `old` holds the old key (or, under
    replica identity full, the whole old row) where `has_old`; it is None when no change of the run carries one.
    In a key-only old row the non-key columns are null and mean nothing.
    """

    relation: Relation
    kinds: ByteArray  # INSERT, UPDATE or DELETE
    sequence: Int64Array  # position within the batch, ascending: orders changes across runs
    final_lsns: Int64Array  # final (commit record) LSN of each change's transaction
    new: Tuples
    old: Tuples | None
    has_old: BoolArray

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def only_inserts(self) -> bool:
        """Whether it has no other changes."""
        return bool((self.kinds == INSERT).all())


@dataclass(frozen=True)
class Truncation:
    """TRUNCATE of some relations, at one point of the stream."""

    relation_oids: tuple[int, ...]
    sequence: int
    final_lsn: LSN


@dataclass(frozen=True)
class ChangeBatch:
    """What a run of frames says, in stream order.

    `changes` is ordered: a run of row changes ends where its relation is truncated or described anew, so applying
    the items one after another is right; runs of different relations never depend on each other.
    `end_lsn` is the end of the last transaction wholly contained, None when none ended here. `open_transaction`
    says that changes after that end belong to a transaction that has not ended yet.
    """

    changes: tuple[RowChanges | Truncation, ...]
    relations: tuple[Relation, ...]  # described in this batch, in order
    end_lsn: LSN | None
    commit_time_us: int | None  # of that last transaction, microseconds since 2000-01-01 UTC
    transactions: int  # how many ended here
    rows: int
    open_transaction: bool


@dataclass(frozen=True)
class Snapshot:
    """A consistent view of an origin at `lsn`, readable by several connections under `name` while it is held."""

    name: str
    lsn: LSN


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows there are, and how many bytes they take; None where that is not known. An estimate."""

    rows: int | None = None
    size_bytes: int | None = None


UNKNOWN_SIZE = Size()

# Told how many rows, and bytes of them, have just come. Called for each batch, from any thread; must return at once.
Count: TypeAlias = Callable[[int, int], None]


def count_nothing(rows: int, size_bytes: int) -> None:
    """The count of those who do not look."""


class Progress(Protocol):
    """Told how far long work is. Called often, from any thread; must return at once."""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """`what` names the view or table; `done` and `total` count rows, `total` None when unknown."""


def no_progress(what: str, done: int, total: int | None) -> None:
    """The progress of those who do not look."""


@dataclass(frozen=True)
class Received:
    """What came since the last take.

    `frames` are whole messages for the decoder, true until the next take. `position`, when not None, says that the
    origin has sent every transaction that ends before it, and nothing came after it. `origin_lsn` is the end of the
    origin's log, as of its last message.
    """

    frames: Sequence[bytes]
    position: LSN | None
    origin_lsn: LSN


@dataclass(frozen=True)
class SlotState:
    """A slot as the origin reports it.

    `lost` says why it is of no use any more, None when it is. `retained_bytes` is the WAL that it makes the origin
    keep; `safe_bytes` is how much more may be written before the slot can be lost, None when there is no limit.
    """

    name: str
    active_pid: int | None
    confirmed_lsn: LSN
    lost: str | None
    retained_bytes: int
    safe_bytes: int | None
    origin_lsn: LSN  # the end of the origin's WAL


@dataclass(frozen=True)
class Publication:
    """A publication as the origin reports it. Its tokens are compared, never read.

    `identity` is another once it was dropped and made anew. `tables` are those, as (schema, name), whose changes it
    sends all, and whole, each with a token that changes with every alteration that concerns it.
    """

    identity: str
    tables: Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Server:
    """Who answers at an origin, and which history its WAL has.

    `left` has the position at which each older timeline of that history was left, by its number.
    """

    system_identifier: str
    timeline: int
    left: Mapping[int, LSN]
