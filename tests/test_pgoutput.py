"""The decoder against a second one that reads row by row: equal batches, and errors for the same bytes.

Messages are built by the small encoder below; streams are made by hypothesis (which prints what fails) and
cut at arbitrary frames. `CAPTURED` is what a Postgres 18 server sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashql.errors import ProtocolError
from flashql.lsn import LSN
from flashql.origins.base import ChangeBatch, Relation, RowChanges, Truncation, Tuples, WireColumn
from flashql.origins.postgres import payloads
from flashql.origins.postgres.forms import TEXT, AnyForm
from flashql.origins.postgres.pgoutput import Decoder

HEADER = b"w" + bytes(range(24))
UNCHANGED = "<unchanged>"  # outside the alphabet of generated values
Value = str | None
Row = tuple[Value, ...]
Wanted = Callable[[Relation], Sequence[int] | None]


def as_text(wanted: Wanted | None) -> Callable[[Relation], dict[int, AnyForm] | None] | None:
    """The same columns, all of whose values come as text."""
    if wanted is None:
        return None

    def answer(relation: Relation) -> dict[int, AnyForm] | None:
        places = wanted(relation)
        return None if places is None else dict.fromkeys(places, TEXT)

    return answer


# --- encoder --------------------------------------------------------------------------------------


def begin(lsn: int) -> bytes:
    return b"B" + struct.pack("!QqI", lsn, 5, 7)


def commit(lsn: int, *, end: int | None = None, time_us: int = 5) -> bytes:
    return b"C\0" + struct.pack("!QQq", lsn, lsn + 8 if end is None else end, time_us)


def describe(relation: Relation) -> bytes:
    schema = "" if relation.schema == "pg_catalog" else relation.schema
    parts = [b"R", struct.pack("!I", relation.oid), schema.encode(), b"\0", relation.name.encode(), b"\0"]
    parts += [relation.replica_identity.encode(), struct.pack("!H", len(relation.columns))]
    for column in relation.columns:
        parts += [bytes([column.is_key]), column.name.encode(), b"\0"]
        parts.append(struct.pack("!Ii", column.type_oid, column.typmod))
    return b"".join(parts)


def encode_tuple(row: Row) -> bytes:
    parts = [struct.pack("!H", len(row))]
    for value in row:
        if value is None or value == UNCHANGED:
            parts.append(b"n" if value is None else b"u")
        else:
            parts.append(b"t" + struct.pack("!I", len(value.encode())) + value.encode())
    return b"".join(parts)


def insert(oid: int, *row: Value) -> bytes:
    return b"I" + struct.pack("!I", oid) + b"N" + encode_tuple(row)


def update(oid: int, new: Row, old: Row | None = None, kind: bytes = b"O") -> bytes:
    before = b"" if old is None else kind + encode_tuple(old)
    return b"U" + struct.pack("!I", oid) + before + b"N" + encode_tuple(new)


def delete(oid: int, old: Row, kind: bytes = b"K") -> bytes:
    return b"D" + struct.pack("!I", oid) + kind + encode_tuple(old)


def truncate(*oids: int) -> bytes:
    return b"T" + struct.pack("!IB", len(oids), 0) + b"".join(struct.pack("!I", oid) for oid in oids)


TYPE = b"Y" + struct.pack("!I", 99) + b"public\0mood\0"
ORIGIN = b"O" + struct.pack("!Q", 77) + b"elsewhere\0"
MESSAGE = b"M" + struct.pack("!BQ", 1, 88) + b"prefix\0" + struct.pack("!I", 3) + b"a\0b"


def table(oid: int, width: int, *, name: str = "t", identity: str = "d") -> Relation:
    wires = tuple(WireColumn(f"c{i}", 25, -1, i == 0) for i in range(width))
    return Relation(oid, "public", name, identity, wires)


def frames(*messages: bytes) -> list[bytes]:
    return [HEADER + message for message in messages]


# --- what a batch says, in plain values -----------------------------------------------------------

Change = tuple[int, str, int, Row | None, Row | None]  # sequence, kind, final LSN, new, old


@dataclass
class Run:
    """Merged changes of a relation: what `RowChanges` says."""

    relation: Relation
    changes: list[Change] = field(default_factory=list)


@dataclass
class Batch:
    """What `ChangeBatch` says."""

    items: list[Run | Truncation] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    end_lsn: int | None = None
    commit_time_us: int | None = None
    transactions: int = 0
    rows: int = 0
    open_transaction: bool = False


def rows_of(tuples: Tuples, length: int) -> list[Row]:
    """The rows of column arrays, unchanged values marked; unwanted columns are left out."""
    read: list[list[Value]] = []
    for array, unchanged in zip(tuples.values, tuples.unchanged, strict=True):
        if array is None:
            assert unchanged is None
            continue
        array.validate(full=True)
        assert array.type == pa.string_view()
        values: list[Value] = array.to_pylist()
        assert len(values) == length
        if unchanged is not None:
            assert unchanged.any()
            assert all(values[i] is None for i in np.flatnonzero(unchanged))
            values = [UNCHANGED if mark else value for value, mark in zip(values, unchanged, strict=True)]
        read.append(values)
    return list(zip(*read, strict=True)) if read else [()] * length


def plain_run(changes: RowChanges) -> Run:
    length = len(changes)
    assert changes.kinds.dtype == np.uint8
    assert changes.sequence.dtype == changes.final_lsns.dtype == np.int64
    assert changes.old is not None or not changes.has_old.any()
    assert changes.old is None or changes.has_old.any()
    new = rows_of(changes.new, length)
    old = rows_of(changes.old, length) if changes.old is not None else [()] * length
    run = Run(changes.relation)
    for i in range(length):
        kind = chr(changes.kinds[i])
        if kind == "D":
            assert set(new[i]) <= {None}
        if not changes.has_old[i]:
            assert set(old[i]) <= {None}
        place = (int(changes.sequence[i]), kind, int(changes.final_lsns[i]))
        run.changes.append((*place, None if kind == "D" else new[i], old[i] if changes.has_old[i] else None))
    return run


def plain(batch: ChangeBatch) -> Batch:
    return Batch(
        [plain_run(item) if isinstance(item, RowChanges) else item for item in batch.changes],
        list(batch.relations),
        batch.end_lsn,
        batch.commit_time_us,
        batch.transactions,
        batch.rows,
        batch.open_transaction,
    )


# --- the reference: one message, one row, one value at a time -------------------------------------


class Malformed(Exception):
    """The reference's word for ProtocolError."""


class Cursor:
    """Reads the fields of one message."""

    def __init__(self, message: bytes) -> None:
        self.rest = message

    def take(self, count: int) -> bytes:
        if count > len(self.rest):
            raise Malformed("short")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "big", signed=signed)

    def text(self) -> str:
        raw, zero, self.rest = self.rest.partition(b"\0")
        if not zero:
            raise Malformed("no end of text")
        return decode_text(raw)

    def lsn(self) -> int:
        value = self.number(8)
        if value >= 2**63:
            raise Malformed("lsn")
        return value


def decode_text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None


TYPES = {
    "B": "begin",
    "C": "commit",
    "O": "origin",
    "R": "relation",
    "Y": "type",
    "I": "insert",
    "U": "update",
    "D": "delete",
    "T": "truncate",
    "M": "message",
}


class Reference:
    """A decoder written the slow way, straight from the documentation."""

    def __init__(self, wanted: Wanted | None = None) -> None:
        self.wanted = wanted
        self.known: dict[int, tuple[Relation, tuple[int, ...], bool]] = {}
        self.open_lsn: int | None = None

    def decode(self, stream: Sequence[bytes]) -> Batch:
        before = dict(self.known), self.open_lsn
        self.batch = Batch()
        self.runs: dict[int, Run] = {}
        try:
            for sequence, frame in enumerate(stream):
                self.read(sequence, frame)
        except Malformed:
            self.known, self.open_lsn = before
            raise
        self.batch.open_transaction = self.open_lsn is not None
        return self.batch

    def read(self, sequence: int, frame: bytes) -> None:
        if len(frame) < 26 or frame[:1] != b"w":
            raise Malformed("not a frame with a message")
        cursor = Cursor(frame[25:])
        letter = cursor.take(1).decode("latin-1")
        if letter not in TYPES:
            raise Malformed("type")
        if letter in "COIUDT" and self.open_lsn is None:
            raise Malformed("outside")
        getattr(self, f"read_{TYPES[letter]}")(sequence, cursor)
        if cursor.rest:
            raise Malformed("long")

    def read_begin(self, _sequence: int, cursor: Cursor) -> None:
        if self.open_lsn is not None:
            raise Malformed("nested")
        self.open_lsn = cursor.lsn()
        cursor.take(12)

    def read_commit(self, _sequence: int, cursor: Cursor) -> None:
        if cursor.number(1) != 0 or cursor.lsn() != self.open_lsn:
            raise Malformed("commit")
        self.open_lsn = None
        self.batch.end_lsn = cursor.lsn()
        self.batch.commit_time_us = cursor.number(8, signed=True)
        self.batch.transactions += 1

    def read_origin(self, _sequence: int, cursor: Cursor) -> None:
        cursor.take(8)
        cursor.text()

    def read_type(self, _sequence: int, cursor: Cursor) -> None:
        cursor.take(4)
        cursor.text()
        cursor.text()

    def read_message(self, _sequence: int, cursor: Cursor) -> None:
        cursor.take(9)
        cursor.text()
        cursor.take(cursor.number(4))

    def read_relation(self, _sequence: int, cursor: Cursor) -> None:
        oid, schema, name = cursor.number(4), cursor.text() or "pg_catalog", cursor.text()
        identity = chr(cursor.number(1))
        if identity not in "dnfi":
            raise Malformed("identity")
        wires = []
        for _ in range(cursor.number(2)):
            flags, column = cursor.number(1), cursor.text()
            wires.append(WireColumn(column, cursor.number(4), cursor.number(4, signed=True), flags % 2 == 1))
        relation = Relation(oid, schema, name, identity, tuple(wires))
        answer = self.wanted(relation) if self.wanted else None
        chosen = tuple(range(len(wires))) if answer is None else tuple(sorted(set(answer)))
        described = (relation, chosen, answer is not None and not answer)
        if self.known.get(oid) != described:
            self.runs.pop(oid, None)
        self.known[oid] = described
        self.batch.relations.append(relation)

    def read_truncate(self, sequence: int, cursor: Cursor) -> None:
        count = cursor.number(4)
        cursor.take(1)
        kept = []
        for _ in range(count):
            oid = cursor.number(4)
            if oid not in self.known:
                raise Malformed("unknown")
            if not self.known[oid][2]:
                kept.append(oid)
                self.runs.pop(oid, None)
        assert self.open_lsn is not None
        if kept:
            self.batch.items.append(Truncation(tuple(kept), sequence, LSN(self.open_lsn)))

    def read_tuple(self, cursor: Cursor, relation: Relation, chosen: tuple[int, ...]) -> Row:
        if cursor.number(2) != len(relation.columns):
            raise Malformed("width")
        row: list[Value] = []
        for i in range(len(relation.columns)):
            kind = cursor.take(1)
            if kind not in (b"n", b"u", b"t"):
                raise Malformed("kind")
            raw = cursor.take(cursor.number(4)) if kind == b"t" else None
            if i in chosen:
                row.append(decode_text(raw) if raw is not None else UNCHANGED if kind == b"u" else None)
        return tuple(row)

    def read_change(self, kind: str, sequence: int, cursor: Cursor, allowed: str) -> None:
        oid = cursor.number(4)
        if oid not in self.known:
            raise Malformed("unknown")
        relation, chosen, dropped = self.known[oid]
        old = new = None
        part = chr(cursor.number(1))
        if part not in allowed:
            raise Malformed("tuple")
        if part in "KO":
            old = self.read_tuple(cursor, relation, chosen)
            part = chr(cursor.number(1)) if kind == "U" else ""
        if kind != "D":
            if part != "N":
                raise Malformed("no new tuple")
            new = self.read_tuple(cursor, relation, chosen)
        if not dropped:
            if oid not in self.runs:
                self.runs[oid] = Run(relation)
                self.batch.items.append(self.runs[oid])
            assert self.open_lsn is not None
            self.runs[oid].changes.append((sequence, kind, self.open_lsn, new, old))
            self.batch.rows += 1

    def read_insert(self, sequence: int, cursor: Cursor) -> None:
        self.read_change("I", sequence, cursor, "N")

    def read_update(self, sequence: int, cursor: Cursor) -> None:
        self.read_change("U", sequence, cursor, "KON")

    def read_delete(self, sequence: int, cursor: Cursor) -> None:
        self.read_change("D", sequence, cursor, "KO")


# --- generated streams ----------------------------------------------------------------------------

alphabet = st.sampled_from("a0 é漢🦆\\\x01")
texts = st.text(alphabet, max_size=6) | st.sampled_from(["", "x" * 12, "y" * 13, "z" * 300, "é" * 6, "漢" * 9])
values: st.SearchStrategy[Value] = st.none() | texts | st.just(UNCHANGED)
versions = st.builds(
    table,
    st.integers(1, 3),
    st.integers(0, 4),
    name=st.sampled_from(["t", "tabelle é"]),
    identity=st.sampled_from("dnfi"),
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """A valid stream of framed messages, its last transaction perhaps unfinished."""
    known: dict[int, Relation] = {}
    messages: list[bytes] = []
    for lsn in range(1000, 1000 + draw(st.integers(1, 4))):
        messages.append(begin(lsn))
        for _ in range(draw(st.integers(0, 8))):
            messages += draw_step(draw, known)
        messages.append(commit(lsn))
        if draw(st.integers(0, 9)) == 0:
            messages += [MESSAGE, TYPE]
    return frames(*messages[: max(1, len(messages) - draw(st.integers(0, 3)))])


def draw_step(draw: st.DrawFn, known: dict[int, Relation]) -> list[bytes]:
    step = draw(st.sampled_from("IIIUUUDDRRTX"))
    if step == "R" or not known:
        relation = draw(versions)
        known[relation.oid] = relation
        return [describe(relation)]
    if step == "T":
        return [truncate(*draw(st.sets(st.sampled_from(sorted(known)), min_size=1)))]
    if step == "X":
        return [draw(st.sampled_from([TYPE, ORIGIN, MESSAGE, describe(known[min(known)])]))]
    oid = draw(st.sampled_from(sorted(known)))
    width = len(known[oid].columns)
    rows = st.lists(values, min_size=width, max_size=width).map(tuple)
    kind = draw(st.sampled_from([b"K", b"O"]))
    if step == "I":
        return [insert(oid, *draw(rows))]
    if step == "D":
        return [delete(oid, draw(rows), kind)]
    return [update(oid, draw(rows), draw(st.none() | rows), kind)]


def even_columns(relation: Relation) -> Sequence[int]:
    return range(0, len(relation.columns), 2)


def not_the_second(relation: Relation) -> Sequence[int] | None:
    return [] if relation.oid == 2 else None


wanteds: st.SearchStrategy[Wanted | None] = st.sampled_from([None, even_columns, not_the_second])
thorough = settings(deadline=None, max_examples=300, database=None)


def agree(decoder: Decoder, reference: Reference, stream: Sequence[bytes]) -> bool:
    """Both say the same of the frames; whether that was a batch."""
    try:
        expected = reference.decode(stream)
    except Malformed:
        with pytest.raises(ProtocolError):
            decoder.decode(stream)
        return False
    assert plain(decoder.decode(stream)) == expected
    return True


@thorough
@given(streams(), wanteds, st.data())
def test_equals_the_reference_wherever_the_stream_is_cut(
    stream: list[bytes], wanted: Wanted | None, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    decoder, reference = Decoder(as_text(wanted)), Reference(wanted)
    for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        assert agree(decoder, reference, stream[first:last])


@thorough
@given(streams(), wanteds, st.data())
def test_damaged_streams_are_refused_or_mean_what_they_say(
    stream: list[bytes], wanted: Wanted | None, data: st.DataObject
) -> None:
    decoder, reference = Decoder(as_text(wanted)), Reference(wanted)
    damaged = list(stream)
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(damaged) - 1))
        frame = damaged[i]
        at = data.draw(st.integers(0, len(frame)))
        flipped = bytes([frame[at] ^ 1 << data.draw(st.integers(0, 7))]) if at < len(frame) else b""
        choices = [
            frame[:at] + flipped + frame[at + 1 :],
            frame[:at],
            frame[:at] + data.draw(st.binary(max_size=5)) + frame[at:],
        ]
        damaged[i] = data.draw(st.sampled_from(choices))
    agree(decoder, reference, damaged)
    agree(decoder, reference, stream)  # an error leaves no trace


@thorough
@given(st.lists(st.binary(max_size=40).map(lambda tail: HEADER + tail) | st.binary(max_size=40), max_size=4))
def test_any_bytes_at_all(stream: list[bytes]) -> None:
    agree(Decoder(), Reference(), stream)


@thorough
@given(st.sampled_from(b"RTYOMIUDBC"), st.binary(max_size=60), st.sampled_from([1, 2]))
def test_any_bytes_behind_a_valid_start(letter: int, tail: bytes, oid: int) -> None:
    oid_bytes = struct.pack("!I", oid) if letter in b"RTIUD" else b""
    message = bytes([letter]) + oid_bytes + tail
    stream = frames(begin(9), describe(table(1, 2)), insert(1, "a", None), message, insert(1, "b", "c"))
    agree(Decoder(), Reference(), stream)


# --- by hand --------------------------------------------------------------------------------------


def runs_of(batch: ChangeBatch) -> list[RowChanges]:
    return [item for item in batch.changes if isinstance(item, RowChanges)]


def decode(*messages: bytes, wanted: Wanted | None = None) -> ChangeBatch:
    """Decode messages within one transaction, and check them against the reference."""
    stream = frames(begin(100), *messages, commit(100))
    assert agree(Decoder(as_text(wanted)), Reference(wanted), stream)
    return Decoder(as_text(wanted)).decode(stream)


def test_no_frames_say_nothing() -> None:
    assert plain(Decoder().decode([])) == Batch()


def test_one_transaction() -> None:
    relation = replace(table(1, 3, identity="f"), schema="pg_catalog")
    stream = frames(
        begin(100),
        describe(relation),
        insert(1, "1", None, ""),
        update(1, ("1", UNCHANGED, "é"), ("1", None, "")),
        delete(1, ("1", None, "é"), b"O"),
        commit(100, end=108, time_us=-5),
    )
    batch = Decoder().decode(stream)
    assert plain(batch) == Batch(
        [
            Run(
                relation,
                [
                    (2, "I", 100, ("1", None, ""), None),
                    (3, "U", 100, ("1", UNCHANGED, "é"), ("1", None, "")),
                    (4, "D", 100, None, ("1", None, "é")),
                ],
            )
        ],
        [relation],
        LSN(108),
        -5,
        1,
        3,
        False,
    )
    (run,) = runs_of(batch)
    assert [None if marks is None else marks.tolist() for marks in run.new.unchanged] == [
        None,
        [False, True, False],
        None,
    ]


def test_a_transaction_goes_on_in_the_next_batch() -> None:
    decoder = Decoder()
    batch = decoder.decode(frames(begin(100), describe(table(1, 1)), insert(1, "a")))
    assert (batch.end_lsn, batch.transactions, batch.rows, batch.open_transaction) == (None, 0, 1, True)
    assert decoder.decode([]).open_transaction
    batch = decoder.decode(frames(insert(1, "b"), commit(100), begin(200)))
    assert (batch.end_lsn, batch.transactions, batch.open_transaction) == (LSN(108), 1, True)
    assert [run.final_lsns.tolist() for run in runs_of(batch)] == [[100]]
    batch = decoder.decode(frames(insert(1, "c")))
    assert [run.final_lsns.tolist() for run in runs_of(batch)] == [[200]]


def test_interleaved_relations_are_merged_over_transactions() -> None:
    stream = frames(begin(100), describe(table(1, 1)), describe(table(2, 2)))
    stream += frames(insert(2, "a", "b"), insert(1, "c"), insert(2, "d", "e"), commit(100))
    stream += frames(begin(200), insert(1, "f"), insert(2, "g", "h"), commit(200))
    assert agree(Decoder(), Reference(), stream)
    runs = runs_of(Decoder().decode(stream))
    assert [run.relation.oid for run in runs] == [2, 1]
    assert [run.sequence.tolist() for run in runs] == [[3, 5, 9], [4, 8]]
    assert [run.final_lsns.tolist() for run in runs] == [[100, 100, 200], [100, 200]]


def test_a_run_ends_where_its_relation_is_truncated() -> None:
    batch = decode(
        describe(table(1, 1)),
        describe(table(2, 1)),
        insert(1, "a"),
        insert(2, "b"),
        truncate(1),
        insert(2, "c"),
        insert(1, "d"),
    )
    shown = [item.sequence if isinstance(item, Truncation) else item.sequence.tolist() for item in batch.changes]
    assert shown == [[3], [4, 6], 5, [7]]
    assert batch.changes[2] == Truncation((1,), 5, LSN(100))


def test_a_run_ends_where_its_relation_changes_but_not_where_it_is_repeated() -> None:
    before, after = table(1, 1), table(1, 2)
    batch = decode(
        describe(before),
        insert(1, "a"),
        describe(before),
        insert(1, "b"),
        describe(after),
        insert(1, "c", "d"),
    )
    assert [run.sequence.tolist() for run in runs_of(batch)] == [[2, 4], [6]]
    assert batch.relations == (before, before, after)


def test_a_repeated_description_ends_the_run_when_other_columns_are_wanted() -> None:
    answers = iter([[0], [0, 1], [1, 0]])
    batch = Decoder(as_text(lambda _: next(answers))).decode(
        frames(begin(1), *[describe(table(1, 2)), insert(1, "a", "b")] * 3)
    )
    assert [[array is not None for array in run.new.values] for run in runs_of(batch)] == [
        [True, False],
        [True] * 2,
    ]
    assert [len(run) for run in runs_of(batch)] == [1, 2]


def test_wanted_chooses_columns_and_relations() -> None:
    messages = [describe(table(1, 3)), describe(table(2, 1)), insert(1, "a", "b", "c"), insert(2, "d")]
    batch = decode(*messages, truncate(1, 2), wanted=lambda r: [2, 0] if r.oid == 1 else [])
    (run,) = runs_of(batch)
    assert [None if array is None else array.to_pylist() for array in run.new.values] == [["a"], None, ["c"]]
    assert (batch.rows, batch.changes[-1]) == (1, Truncation((1,), 5, LSN(100)))
    assert [relation.oid for relation in batch.relations] == [1, 2]


def test_wanting_a_column_that_is_not_there_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="which has 1"):
        Decoder(as_text(lambda _: [1])).decode(frames(describe(table(1, 1))))


def test_changes_that_are_dropped_are_still_checked() -> None:
    with pytest.raises(ProtocolError, match="end"):
        Decoder(as_text(lambda _: [])).decode(frames(begin(1), describe(table(1, 1)), insert(1, "abc")[:-1]))


def test_a_table_without_columns() -> None:
    batch = decode(describe(table(1, 0)), insert(1), insert(1), delete(1, ()))
    assert [(len(run), run.new, run.old) for run in runs_of(batch)] == [(3, Tuples((), ()), Tuples((), ()))]


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 11, 12, 13, 16, 17, 70_000])
def test_values_of_every_size_that_views_treat_differently(size: int) -> None:
    ascii_text, wide = ("abcdefghijklmnopqrstuvwxyz" * 3000)[:size], "é" * (size // 2)
    row = (ascii_text, wide, None, "")
    batch = decode(describe(table(1, 4)), insert(1, *row), update(1, row, row))
    (run,) = runs_of(batch)
    assert rows_of(run.new, 2) == [row, row]


def test_many_rows_cross_the_blocks_of_the_walk() -> None:
    """Rows with and without old tuples, of two tables, over several blocks."""
    rng = np.random.default_rng(7)
    messages = [describe(table(1, 2)), describe(table(2, 1))]
    makers: list[Callable[[int], bytes]] = [
        lambda i: insert(1, f"{i}", None if i % 3 else "long enough to be kept outside"),
        lambda i: update(1, (f"{i}", UNCHANGED)),
        lambda i: update(1, (f"{i}", "new"), (f"{i}" * (i % 5), None), b"K"),
        lambda i: delete(1, (f"{i}", None)),
        lambda i: insert(2, "ü" * (i % 9)),
    ]
    picks = rng.integers(0, len(makers), 60_000).tolist()
    messages += [makers[pick](i) for i, pick in enumerate(picks)]
    assert decode(*messages).rows == 60_000


def test_duckdb_reads_the_arrays() -> None:
    rows: list[Row] = [(f"{i}", None if i % 2 else f"value number {i}", "short", None) for i in range(5000)]
    batch = decode(describe(table(1, 4)), *(insert(1, *row) for row in rows))
    (run,) = runs_of(batch)
    arrays: list[Any] = list(run.new.values)
    batch_table = pa.table(arrays, names=["a", "b", "c", "d"])
    connection = duckdb.connect()
    connection.register("batch", batch_table)
    assert connection.execute("SELECT a, b, c, d FROM batch").fetchall() == rows
    total = connection.execute("SELECT sum(a::INT), count(b), max(length(b)), count(d) FROM batch").fetchone()
    assert total == (12497500, 2500, 17, 0)
    connection.close()


def test_frames_without_a_header() -> None:
    batch = Decoder().decode([begin(1), describe(table(1, 1)), insert(1, "a"), commit(1)], header_bytes=0)
    assert plain(batch).items == [Run(table(1, 1), [(2, "I", 1, ("a",), None)])]


# Inserts; an update that leaves a toasted value alone; one that changes the key; a table under replica
# identity full; a logical message; a new column; TRUNCATE of two tables. The toasted value was shortened.
CAPTURED: list[bytes] = [
    b"B\x00\x00\x00\x00\x1c\xd4\x1c\x98\x00\x03\x03\xc2\x9f\x1c\xc8\xaf\x00\x00\x03\x05",
    b"Y\x00\x00@\x16public\x00mood\x00",
    (
        b"R\x00\x00@\x19public\x00t\x00d\x00\x04\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff\x00m"
        b"\x00\x00\x00@\x16\xff\xff\xff\xff\x00note\x00\x00\x00\x00\x19\xff\xff\xff\xff\x00big"
        b"\x00\x00\x00\x00\x19\xff\xff\xff\xff"
    ),
    (
        b"I\x00\x00@\x19N\x00\x04t\x00\x00\x00\x011t\x00\x00\x00\x02okt\x00\x00\x00\x02\xc3\xa9t"
        b"\x00\x00\x00\x10xxxxxxxxxxxxxxxx"
    ),
    b"I\x00\x00@\x19N\x00\x04t\x00\x00\x00\x012nt\x00\x00\x00\x00n",
    (b"C\x00\x00\x00\x00\x00\x1c\xd4\x1c\x98\x00\x00\x00\x00\x1c\xd4\x1c\xc8\x00\x03\x03\xc2\x9f\x1c\xc8\xaf"),
    b"B\x00\x00\x00\x00\x1c\xd4\x1eX\x00\x03\x03\xc2\x9f\x1c\xccl\x00\x00\x03\x06",
    b"U\x00\x00@\x19N\x00\x04t\x00\x00\x00\x011t\x00\x00\x00\x02okt\x00\x00\x00\x01nu",
    (b"U\x00\x00@\x19K\x00\x04t\x00\x00\x00\x012nnnN\x00\x04t\x00\x00\x00\x013nt\x00\x00\x00\x00n"),
    (
        b"R\x00\x00@!public\x00f\x00f\x00\x02\x01a\x00\x00\x00\x00\x17\xff\xff\xff\xff\x01b\x00"
        b"\x00\x00\x00\x19\xff\xff\xff\xff"
    ),
    b"I\x00\x00@!N\x00\x02t\x00\x00\x00\x011t\x00\x00\x00#one value of more than twelve bytes",
    (b"C\x00\x00\x00\x00\x00\x1c\xd4\x1eX\x00\x00\x00\x00\x1c\xd4\x1e\x88\x00\x03\x03\xc2\x9f\x1c\xccl"),
    b'B\x00\x00\x00\x00\x1c\xd4"H\x00\x03\x03\xc2\x9f\x1c\xcd\xd1\x00\x00\x03\x08',
    b'M\x01\x00\x00\x00\x00\x1c\xd4"Hpre\x00\x00\x00\x00\x03fix',
    (b'C\x00\x00\x00\x00\x00\x1c\xd4"H\x00\x00\x00\x00\x1c\xd4"x\x00\x03\x03\xc2\x9f\x1c\xcd\xd1'),
    b"B\x00\x00\x00\x00\x1c\xd47\xd8\x00\x03\x03\xc2\x9f\x1c\xd3B\x00\x00\x03\t",
    (
        b"U\x00\x00@!O\x00\x02t\x00\x00\x00\x011t\x00\x00\x00#one value of more than twelve bytes"
        b"N\x00\x02t\x00\x00\x00\x012t\x00\x00\x00#one value of more than twelve bytes"
    ),
    b"Y\x00\x00@\x16public\x00mood\x00",
    (
        b"R\x00\x00@\x19public\x00t\x00d\x00\x05\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff\x00m"
        b"\x00\x00\x00@\x16\xff\xff\xff\xff\x00note\x00\x00\x00\x00\x19\xff\xff\xff\xff\x00big"
        b"\x00\x00\x00\x00\x19\xff\xff\xff\xff\x00more\x00\x00\x00\x00\x17\xff\xff\xff\xff"
    ),
    b"D\x00\x00@\x19K\x00\x05t\x00\x00\x00\x013nnnn",
    b"Y\x00\x00@\x16public\x00mood\x00",
    (
        b"R\x00\x00@\x19public\x00t\x00d\x00\x05\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff\x00m"
        b"\x00\x00\x00@\x16\xff\xff\xff\xff\x00note\x00\x00\x00\x00\x19\xff\xff\xff\xff\x00big"
        b"\x00\x00\x00\x00\x19\xff\xff\xff\xff\x00more\x00\x00\x00\x00\x17\xff\xff\xff\xff"
    ),
    (
        b"R\x00\x00@!public\x00f\x00f\x00\x02\x01a\x00\x00\x00\x00\x17\xff\xff\xff\xff\x01b\x00"
        b"\x00\x00\x00\x19\xff\xff\xff\xff"
    ),
    b"T\x00\x00\x00\x02\x00\x00\x00@\x19\x00\x00@!",
    b"I\x00\x00@\x19N\x00\x05t\x00\x00\x00\x019nnnn",
    (b"C\x00\x00\x00\x00\x00\x1c\xd47\xd8\x00\x00\x00\x00\x1c\xd4:\x18\x00\x03\x03\xc2\x9f\x1c\xd3B"),
]


def test_what_a_server_sent() -> None:
    batch = Decoder().decode(CAPTURED, header_bytes=0)
    assert plain(batch) == Reference().decode(frames(*CAPTURED))
    shown = [item if isinstance(item, Truncation) else item.changes for item in plain(batch).items]
    text = "one value of more than twelve bytes"
    assert shown == [
        [
            (3, "I", 0x1CD41C98, ("1", "ok", "é", "x" * 16), None),
            (4, "I", 0x1CD41C98, ("2", None, "", None), None),
            (7, "U", 0x1CD41E58, ("1", "ok", "n", UNCHANGED), None),
            (8, "U", 0x1CD41E58, ("3", None, "", None), ("2", None, None, None)),
        ],
        [
            (10, "I", 0x1CD41E58, ("1", text), None),
            (16, "U", 0x1CD437D8, ("2", text), ("1", text)),
        ],
        [(19, "D", 0x1CD437D8, None, ("3", None, None, None, None))],
        Truncation((16409, 16417), 23, LSN(0x1CD437D8)),
        [(24, "I", 0x1CD437D8, ("9", None, None, None, None), None)],
    ]
    assert (batch.end_lsn, batch.transactions, batch.rows) == (LSN.parse("0/1CD43A18"), 4, 8)
    assert batch.commit_time_us == 0x000303C29F1CD342


# Within: the frame that follows a Begin and the description of table 1, with one column.
WRONG_WITHIN: dict[str, bytes] = {
    "began twice": begin(1),
    "stream start": b"S" + bytes(5),
    "prepare": b"P" + bytes(40),
    "no such type": b"?",
    "unknown relation": insert(7, "a"),
    "truncates unknown relation": truncate(7),
    "too few columns": insert(1),
    "too many columns": insert(1, "a", "b"),
    "binary": insert(1, "a").replace(b"t", b"b"),
    "no such kind": insert(1, "a").replace(b"t", b"x"),
    "not UTF-8": insert(1, "ab").replace(b"ab", b"\xff\xfe"),
    "half a character": insert(1, "é")[:-1] + b"a",
    "length of 4 GiB": insert(1, "a").replace(b"\0\0\0\1a", b"\xff\xff\xff\xffa"),
    "length of 2 GiB": insert(1, "a").replace(b"\0\0\0\1a", b"\x80\0\0\0a"),
    "length into the next frame": insert(1, "a").replace(b"\0\0\0\1a", b"\0\0\0\4a"),
    "trailing byte": insert(1, "a") + b"!",
    "insert with an old row": b"I" + update(1, ("a",), ("b",))[1:],
    "delete of a new row": b"D" + insert(1, "a")[1:],
    "update without new row": b"U" + delete(1, ("a",))[1:],
    "commit of another": commit(2),
    "commit with flags": b"C\1" + commit(1)[2:],
    "short commit": commit(1)[:-1],
    "LSN of 64 bits": commit(1, end=2**63),
    "relation without end": describe(table(1, 1))[:-1],
    "relation with a strange identity": describe(table(1, 1, identity="?")),
    "relation with 65535 columns": describe(table(1, 0))[:-2] + b"\xff\xff",
    "name that is not UTF-8": describe(table(1, 1, name="ab")).replace(b"ab", b"\xff\xfe"),
    "name without end": b"R\0\0\0\1public",
    "truncates 4 billion": b"T\xff\xff\xff\xff\0",
    "message of 4 GiB": MESSAGE.replace(b"\0\0\0\3", b"\xff\xff\xff\xff"),
    "type without end": TYPE[:-1],
    "origin without end": ORIGIN[:-1],
}


@pytest.mark.parametrize("message", WRONG_WITHIN.values(), ids=WRONG_WITHIN.keys())
@pytest.mark.parametrize("behind", [b"", insert(1, "next")], ids=["last", "followed"])
def test_wrong_within_a_transaction(message: bytes, behind: bytes) -> None:
    stream = frames(begin(1), describe(table(1, 1)), message, *([behind] if behind else []))
    assert not agree(Decoder(), Reference(), stream)


@pytest.mark.parametrize("message", [insert(1, "a"), truncate(1), commit(1), ORIGIN, begin(2**63), b""])
def test_wrong_outside_a_transaction(message: bytes) -> None:
    assert not agree(Decoder(), Reference(), frames(describe(table(1, 1)), message))


@pytest.mark.parametrize("frame", [b"", b"w", HEADER, b"k" + HEADER[1:] + begin(1)])
def test_wrong_frames(frame: bytes) -> None:
    assert not agree(Decoder(), Reference(), [frame])


def test_every_truncation_of_every_message_is_refused() -> None:
    whole = [
        update(1, ("a", "b" * 20), ("c", None)),
        describe(table(1, 2)),
        truncate(1),
        TYPE,
        ORIGIN,
        MESSAGE,
    ]
    whole += [insert(1, "a", None), delete(1, ("a", None)), commit(1)]
    for message in whole:
        for size in range(len(message)):
            stream = frames(begin(1), describe(table(1, 2)), message[:size])
            assert not agree(Decoder(), Reference(), stream), (message, size)


def test_the_limit_is_checked_before_memory_is_taken() -> None:
    frame = bytes(2**20)
    with pytest.raises(ProtocolError, match=str(payloads.MAX_JOINED_BYTES)):
        Decoder().decode([frame] * 2048)
