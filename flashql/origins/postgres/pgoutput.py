"""pgoutput messages to a `ChangeBatch`: knows no socket, clock or thread.

Protocol version 1, values in text or binary form (documentation: "Logical Replication Message Formats"). Row messages,
Begin and Commit are many and are read all at once as numpy arrays; only Relation, Truncate, Type, Origin and
Message are read one by one. The rules about order are those of Postgres's own receiver (worker.c, proto.c).
Any bytes at all give a batch, a `ProtocolError`, or, in binary form, a `NeedsText`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flashql.errors import ProtocolError
from flashql.lsn import LSN
from flashql.origins.base import (
    BoolArray,
    ByteArray,
    ChangeBatch,
    Int64Array,
    Relation,
    RowChanges,
    Truncation,
    WireColumn,
)
from flashql.origins.postgres.forms import TEXT, AnyForm
from flashql.origins.postgres.frames import Frames
from flashql.origins.postgres.payloads import Payloads, refuse
from flashql.origins.postgres.tuples import LEAST_ROW_BYTES, Forms, read_run

Wanted = Callable[[Relation], Mapping[int, AnyForm] | None]

_BEGIN, _COMMIT, _TRUNCATE, _ORIGIN = b"BCTO"
_BEGIN_BYTES, _COMMIT_BYTES = 21, 26
_REPLICA_IDENTITIES = "dnfi"


def _marks(letters: bytes) -> BoolArray:
    marks = np.zeros(256, np.bool_)
    marks[list(letters)] = True
    return marks


_IS_KNOWN = _marks(b"BCORYIUDTM")
_IS_ROW = _marks(b"IUD")
_IS_SINGLE = _marks(b"RTYOM")  # read one by one
_IS_TRANSACTIONAL = _marks(b"IUDTO")  # only between Begin and Commit; so is Commit


@dataclass(frozen=True)
class _Described:
    """A relation as last described, and the forms of those of its columns that are wanted (None: drop its changes)."""

    relation: Relation
    forms: Forms | None


@dataclass(frozen=True)
class _Transactions:
    """Which transaction each message is in: `lsns[numbers[i]]` is the final LSN of message i's."""

    numbers: Int64Array
    lsns: Int64Array
    commits: Int64Array  # the messages that are Commits
    open_lsn: int | None  # final LSN of the transaction left open


@dataclass
class _Singles:
    """What the messages that are read one by one say.

    `cuts` are where runs end: by oid, the message and what holds of the relation after it.
    """

    known: dict[int, _Described]
    cuts: dict[int, list[tuple[int, _Described]]] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    truncations: list[Truncation] = field(default_factory=list)


class Decoder:
    """Turns frames into batches; keeps the relations described and the open transaction between calls.

    `wanted(relation)` is asked at each Relation message, and by `reconsider`, which columns to make arrays of, and
    in which form their values come, by index: None means all, as text; no columns mean that the relation's changes are
    checked and dropped. `binary` is how the stream was asked to send values. After an error the decoder is as it was
    before the call.
    """

    def __init__(self, wanted: Wanted | None = None, *, binary: bool = False) -> None:
        self._wanted = wanted
        self._binary = binary
        self._known: dict[int, _Described] = {}
        self._open_lsn: int | None = None

    def decode(self, frames: Sequence[bytes], header_bytes: int = 25) -> ChangeBatch:
        """Decode XLogData frames in stream order; `header_bytes` of each ('w', two LSNs, a time) are skipped.

        Frames may begin and end inside a transaction. `rows` of the batch counts the changes it holds. Raises
        `ProtocolError`, `NeedsText`, and `ValueError` when `wanted` names a column that the relation does not have.
        """
        payloads = Payloads.of(Frames.of(frames), header_bytes)
        tags = payloads.octets[payloads.starts]
        if (strange := ~_IS_KNOWN[tags]).any():
            first = int(strange.argmax())
            raise ProtocolError(f"frame {first}: message type {bytes([tags[first]])!r} was not asked for")
        transactions = _read_transactions(payloads, tags, self._open_lsn)
        singles = self._read_singles(payloads, tags, transactions)
        runs = list(self._read_runs(payloads, tags, transactions, singles))
        batch = _batch(payloads, transactions, singles, runs)
        self._known, self._open_lsn = singles.known, transactions.open_lsn
        return batch

    def reconsider(self) -> None:
        """Ask `wanted` again about every relation described so far: what is needed has changed."""
        self._known = {oid: self._answered(known.relation) for oid, known in self._known.items()}

    def _answered(self, relation: Relation) -> _Described:
        width = len(relation.columns)
        answer = None if self._wanted is None else self._wanted(relation)
        forms = dict.fromkeys(range(width), TEXT) if answer is None else answer
        if not forms.keys() <= frozenset(range(width)):
            raise ValueError(f"columns {sorted(forms)} are wanted of {relation.name}, which has {width}")
        return _Described(relation, forms if forms or answer is None else None)

    def _read_singles(self, payloads: Payloads, tags: ByteArray, transactions: _Transactions) -> _Singles:
        singles = _Singles(dict(self._known))
        for i in np.flatnonzero(_IS_SINGLE[tags]).tolist():
            message = bytes(payloads.data[payloads.starts[i] : payloads.ends[i]])
            try:
                content = _READERS[message[:1]](_Fields(message))
            except (struct.error, ValueError) as problem:
                raise ProtocolError(f"frame {i}: a malformed {message[:1]!r} message: {problem}") from None
            if isinstance(content, Relation):
                self._describe(singles, i, content)
            elif isinstance(content, tuple):
                lsn = LSN(transactions.lsns[transactions.numbers[i]])
                _truncate(singles, Truncation(content, i, lsn))
        return singles

    def _describe(self, singles: _Singles, at: int, relation: Relation) -> None:
        """Take note of a Relation message; one that repeats what is known ends no run."""
        described = self._answered(relation)
        singles.relations.append(relation)
        if singles.known.get(relation.oid) != described:
            singles.known[relation.oid] = described
            singles.cuts.setdefault(relation.oid, []).append((at, described))

    def _read_runs(
        self, payloads: Payloads, tags: ByteArray, transactions: _Transactions, singles: _Singles
    ) -> Iterator[RowChanges]:
        """The row changes of each relation, merged as far as no cut divides them. Raises `ProtocolError`."""
        rows = np.flatnonzero(_IS_ROW[tags])
        starts = payloads.starts[rows]
        refuse(payloads.ends[rows] - starts < LEAST_ROW_BYTES, rows, "too short for a row change")
        for oid, of_relation in _by_relation(payloads.uint32(starts + 1).astype(np.int64), rows, singles.known):
            cuts = singles.cuts.get(oid, [])
            places = np.searchsorted(of_relation, [at for at, _ in cuts])
            versions = [self._known.get(oid), *(described for _, described in cuts)]
            for described, sequence in zip(versions, np.split(of_relation, places), strict=True):
                if not len(sequence):
                    continue
                if described is None:
                    raise ProtocolError(f"frame {int(sequence[0])}: changes relation {oid}, not described before")
                lsns = transactions.lsns[transactions.numbers[sequence]]
                forms = described.forms or {}
                run = read_run(payloads, tags[sequence], sequence, lsns, described.relation, forms, self._binary)
                if described.forms is not None:
                    yield run


class _Fields:
    """The fields of one message, in order, behind its type. Raises `struct.error` or `ValueError`."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 1

    def numbers(self, layout: str) -> tuple[int, ...]:
        """As many numbers as the `struct` layout has."""
        numbers = struct.unpack_from(layout, self._message, self._at)
        self._at += struct.calcsize(layout)
        return numbers

    def text(self) -> str:
        """A UTF-8 text that ends with a zero byte."""
        end = self._message.index(0, self._at)
        text = self._message[self._at : end].decode()
        self._at = end + 1
        return text

    def skip(self, length_bytes: int) -> None:
        """Pass over bytes that nobody reads; `finish` notices when there are fewer."""
        self._at += length_bytes

    def finish(self) -> None:
        """Check that the message ends here."""
        if self._at != len(self._message):
            raise ValueError(f"{len(self._message)} bytes long where its fields take {self._at}")


def _read_relation(fields: _Fields) -> Relation:
    (oid,) = fields.numbers("!I")
    schema, name = fields.text() or "pg_catalog", fields.text()
    identity, width = fields.numbers("!BH")
    if chr(identity) not in _REPLICA_IDENTITIES:
        raise ValueError(f"replica identity {chr(identity)!r}")
    columns = []
    for _ in range(width):
        (flags,) = fields.numbers("!B")
        column = fields.text()
        type_oid, typmod = fields.numbers("!Ii")
        columns.append(WireColumn(column, type_oid, typmod, bool(flags & 1)))
    fields.finish()
    return Relation(oid, schema, name, chr(identity), tuple(columns))


def _read_truncate(fields: _Fields) -> tuple[int, ...]:
    count, _options = fields.numbers("!IB")
    oids = tuple(fields.numbers("!I")[0] for _ in range(count))
    fields.finish()
    return oids


def _read_type(fields: _Fields) -> None:
    fields.numbers("!I")
    fields.text()
    fields.text()
    fields.finish()


def _read_origin(fields: _Fields) -> None:
    fields.numbers("!Q")
    fields.text()
    fields.finish()


def _read_logical_message(fields: _Fields) -> None:
    fields.numbers("!BQ")
    fields.text()
    (length_bytes,) = fields.numbers("!I")
    fields.skip(length_bytes)
    fields.finish()


_READERS: Mapping[bytes, Callable[[_Fields], Relation | tuple[int, ...] | None]] = {
    b"R": _read_relation,
    b"T": _read_truncate,
    b"Y": _read_type,
    b"O": _read_origin,
    b"M": _read_logical_message,
}


def _truncate(singles: _Singles, truncation: Truncation) -> None:
    """Take note of a Truncate message, as far as its relations are wanted."""
    kept = []
    for oid in truncation.relation_oids:
        described = singles.known.get(oid)
        if described is None:
            raise ProtocolError(f"frame {truncation.sequence}: truncates relation {oid}, never described")
        if described.forms is not None:
            kept.append(oid)
            singles.cuts.setdefault(oid, []).append((truncation.sequence, described))
    if kept:
        singles.truncations.append(Truncation(tuple(kept), truncation.sequence, truncation.final_lsn))


def _read_transactions(payloads: Payloads, tags: ByteArray, open_lsn: int | None) -> _Transactions:
    """Read Begins and Commits and check that everything is where it may be. Raises `ProtocolError`."""
    is_begin, is_commit = tags == _BEGIN, tags == _COMMIT
    begins, commits = np.flatnonzero(is_begin), np.flatnonzero(is_commit)
    for of_type, size_bytes in ((begins, _BEGIN_BYTES), (commits, _COMMIT_BYTES)):
        sizes = payloads.ends[of_type] - payloads.starts[of_type]
        refuse(sizes != size_bytes, of_type, f"not the {size_bytes} bytes long that its type is")
    numbers = np.cumsum(is_begin)
    # 1 within a transaction, from its Begin until before its Commit; else 0.
    depth = numbers - np.cumsum(is_commit) + (open_lsn is not None)
    everything = np.arange(len(tags))
    refuse(depth > 1, everything, "a transaction begins inside another")
    outside = (depth < 0) | ((depth == 0) & _IS_TRANSACTIONAL[tags])
    refuse(outside, everything, "not inside a transaction, where its type belongs")

    begin_lsns = payloads.int64(payloads.starts[begins] + 1)
    refuse(begin_lsns < 0, begins, "an LSN beyond 63 bits")
    lsns = np.concatenate((np.array([open_lsn or 0], np.int64), begin_lsns))
    at = payloads.starts[commits]
    refuse(payloads.octets[at + 1] != 0, commits, "a commit with unknown flags")
    refuse(payloads.int64(at + 2) != lsns[numbers[commits]], commits, "commits at another LSN than it began with")
    refuse(payloads.int64(at + 10) < 0, commits, "an LSN beyond 63 bits")
    still_open = bool(depth[-1]) if len(depth) else open_lsn is not None
    return _Transactions(numbers, lsns, commits, int(lsns[-1]) if still_open else None)


def _by_relation(
    oids: Int64Array, rows: Int64Array, known: Mapping[int, _Described]
) -> Iterator[tuple[int, Int64Array]]:
    """Divide `rows` by relation, each part in stream order."""
    if not len(oids):
        return
    if (oids == oids[0]).all():
        yield int(oids[0]), rows
        return
    ordered = np.sort(np.fromiter([*known, 2**32], np.int64))  # no oid is as large: every search finds a place
    places = np.searchsorted(ordered, oids)
    refuse(ordered[places] != oids, rows, "changes a relation that was never described")
    # The stable sort of small unsigned numbers is a radix sort.
    order = np.argsort(places.astype(np.min_scalar_type(len(ordered))), kind="stable")
    edges = np.flatnonzero(np.diff(places[order])) + 1
    for part in np.split(order, edges):
        yield int(oids[part[0]]), rows[part]


def _batch(
    payloads: Payloads, transactions: _Transactions, singles: _Singles, runs: Sequence[RowChanges]
) -> ChangeBatch:
    """Put the parts together, ordered by where each begins."""
    items: list[tuple[int, RowChanges | Truncation]] = [(int(run.sequence[0]), run) for run in runs]
    items += [(truncation.sequence, truncation) for truncation in singles.truncations]
    last = payloads.starts[transactions.commits[-1:]]
    ended = bool(len(last))
    return ChangeBatch(
        changes=tuple(item for _, item in sorted(items, key=lambda pair: pair[0])),
        relations=tuple(singles.relations),
        end_lsn=LSN(payloads.int64(last + 10)[0]) if ended else None,
        commit_time_us=int(payloads.int64(last + 18)[0]) if ended else None,
        transactions=len(transactions.commits),
        rows=sum(map(len, runs)),
        open_transaction=transactions.open_lsn is not None,
    )
