"""Values in binary form are what the same values are as text; what cannot be read so says that text is needed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashql.datatypes import PgType, ladder
from flashql.errors import ProtocolError
from flashql.origins.base import NeedsText, Relation, RowChanges, WireColumn
from flashql.origins.postgres.forms import AnyForm, binary_form
from flashql.origins.postgres.pgoutput import Decoder
from flashql.tabulating import events_sql, is_text
from tests.binary_form import SENT, in_binary
from tests.test_pgoutput import HEADER, UNCHANGED, Row, begin, commit, delete, describe, frames, insert, update

_SIZED = (12 << 16 | 2) + 4  # the typmod of numeric(12,2)
TYPES = (
    PgType(16), PgType(17), PgType(20), PgType(21), PgType(23), PgType(25), PgType(26), PgType(114), PgType(700),
    PgType(701), PgType(1043), PgType(1082), PgType(1114), PgType(1184), PgType(1700), PgType(1700, _SIZED),
    PgType(2950), PgType(3802),
)  # fmt: skip
LOCAL = [ladder(one)[0] for one in TYPES]
TABLE = Relation(
    7, "public", "t", "f", tuple(WireColumn(f"c{at}", one.oid, one.typmod, at == 2) for at, one in enumerate(TYPES))
)


def forms(types: Sequence[PgType] = TYPES) -> dict[int, AnyForm]:
    found = {at: binary_form(one, ladder(one)[0].name) for at, one in enumerate(types)}
    return {at: form for at, form in found.items() if form is not None}


def integers(bits: int) -> st.SearchStrategy[str]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1).map(str)


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
moments = st.datetimes().map(lambda moment: moment.isoformat(" "))
infinities = st.sampled_from(["infinity", "-infinity"])


def digits(before: int, after: int) -> st.SearchStrategy[str]:
    """Numerics with up to so many digits on either side of the point, as Postgres prints them."""
    value = st.decimals(-(10**before) + 1, 10**before - 1, places=after)
    return value.map(lambda one: f"{one:f}")


VALUES: dict[tuple[int, int], st.SearchStrategy[str]] = {
    (16, -1): st.sampled_from("tf"),
    (17, -1): st.binary(max_size=30).map(lambda value: f"\\x{value.hex()}"),
    (20, -1): integers(64),
    (21, -1): integers(16),
    (23, -1): integers(32),
    (25, -1): words,
    (26, -1): st.integers(0, 2**32 - 1).map(str),
    (114, -1): words.map(lambda text: f'["{text.encode("unicode_escape").hex()}"]'),
    (700, -1): st.floats(width=32).map(repr),
    (701, -1): st.floats().map(repr),
    (1043, -1): words,
    (1082, -1): st.dates().map(str) | infinities,
    (1114, -1): moments | infinities,
    (1184, -1): moments.map(lambda text: f"{text}+00") | infinities,
    (1700, -1): digits(8, 9),
    (1700, _SIZED): digits(10, 2),
    (2950, -1): st.uuids().map(str),
    (3802, -1): st.integers().map(lambda number: f'{{"a": {number}}}'),
}
rows = st.tuples(*(st.none() | st.just(UNCHANGED) | VALUES[one.oid, one.typmod] for one in TYPES))


def whole(row: Row) -> Row:
    """The row as an old one: everything is sent."""
    return tuple(None if value == UNCHANGED else value for value in row)


def decoded(decoder: Decoder, messages: Sequence[bytes]) -> RowChanges:
    batch = decoder.decode(frames(begin(9), describe(TABLE), *messages, commit(9)))
    (run,) = batch.changes
    assert isinstance(run, RowChanges)
    return run


def read(array: pa.Array | None, at: int, connection: duckdb.DuckDBPyConnection) -> list[Any]:
    """What DuckDB makes of a column: its values' texts, which tell more than Python's values do."""
    assert array is not None
    connection.register("sent", pa.table({"v": array}))
    value = LOCAL[at].from_text("v") if is_text(array.type) else "v"
    found = connection.execute(f"SELECT CAST({value} AS VARCHAR), typeof({value}) FROM sent").fetchall()
    assert {type_ for _, type_ in found} <= {LOCAL[at].name}
    return [text for text, _ in found]


@settings(deadline=None, max_examples=100, database=None)
@given(st.lists(rows, min_size=1, max_size=8))
def test_binary_form_means_what_text_means(some: list[Row]) -> None:
    messages = [
        insert(7, *whole(some[0])),
        *(update(7, row, whole(row)) for row in some),
        delete(7, whole(some[0]), b"O"),
    ]
    as_text = decoded(Decoder(), messages)
    as_binary = decoded(Decoder(lambda _: forms(), binary=True), [in_binary(one, TABLE) for one in messages])
    with duckdb.connect() as connection:
        for text, binary in ((as_text.new, as_binary.new), (as_text.old, as_binary.old)):
            assert text is not None and binary is not None
            for at in range(len(TYPES)):
                assert read(binary.values[at], at, connection) == read(text.values[at], at, connection), TYPES[at]
                marks = [None if one is None else one.tolist() for one in (text.unchanged[at], binary.unchanged[at])]
                assert marks[0] == marks[1]


@settings(deadline=None, max_examples=100, database=None)
@given(st.lists(rows, min_size=1, max_size=4))
def test_what_was_read_as_itself_is_told_as_text_that_reads_back(some: list[Row]) -> None:
    run = decoded(Decoder(lambda _: forms(), binary=True), [in_binary(insert(7, *whole(row)), TABLE) for row in some])
    events = pa.table({f"n{at}": array for at, array in enumerate(run.new.values)})
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Kolkata'")
        connection.register("events", events)
        for at, local in enumerate(LOCAL):
            itself = local.from_text(f"n{at}") if is_text(events.schema.field(f"n{at}").type) else f"n{at}"
            source = events_sql("events", events)
            told = connection.execute(f"SELECT CAST({local.from_text(f'n{at}')} AS VARCHAR) FROM {source}").fetchall()
            assert told == connection.execute(f"SELECT CAST({itself} AS VARCHAR) FROM events").fetchall(), local.name


def one(type_: PgType, value: bytes, kind: bytes = b"b") -> bytes:
    """A row message of a table with one column of that type."""
    del type_
    return b"I" + struct.pack("!I", 7) + b"N" + struct.pack("!H", 1) + kind + struct.pack("!I", len(value)) + value


def decode_one(type_: PgType, value: bytes, kind: bytes = b"b") -> pa.Array:
    table = Relation(7, "public", "t", "d", (WireColumn("v", type_.oid, type_.typmod, True),))
    decoder = Decoder(lambda _: forms([type_]), binary=True)
    batch = decoder.decode(frames(begin(9), describe(table), one(type_, value, kind), commit(9)))
    (run,) = batch.changes
    assert isinstance(run, RowChanges)
    return run.new.values[0]


LATE = struct.pack("!q", 2**63 - 2)  # beyond DuckDB's last timestamp, and no infinity
NEED_TEXT = {
    "NaN": (PgType(1700, _SIZED), SENT[1700]("NaN")),
    "an infinity": (PgType(1700), SENT[1700]("Infinity")),
    "more digits behind the point": (PgType(1700), SENT[1700]("0.0000000001")),
    "far more digits behind the point": (PgType(1700), SENT[1700]("1E-40")),
    "more digits before the point": (PgType(1700, _SIZED), SENT[1700]("10000000000")),
    "more than 64 bits": (PgType(1700), SENT[1700]("1000000000")),
    "far more than 64 bits": (PgType(1700), SENT[1700]("1E+400")),
    "a late timestamp": (PgType(1114), LATE),
    "a late timestamptz": (PgType(1184), LATE),
}


@pytest.mark.parametrize(("type_", "value"), NEED_TEXT.values(), ids=NEED_TEXT.keys())
def test_what_only_text_can_tell(type_: PgType, value: bytes) -> None:
    with pytest.raises(NeedsText):
        decode_one(type_, value)


def test_a_type_without_a_binary_form_needs_text_only_where_it_is_read() -> None:
    table = Relation(7, "public", "t", "d", (WireColumn("v", 25, -1, True), WireColumn("w", 99, -1, False)))
    row = b"I" + struct.pack("!I", 7) + b"N" + struct.pack("!H", 2) + b"b\0\0\0\1x" + b"t\0\0\0\2ab"
    stream = frames(begin(9), describe(table), row, commit(9))
    (run,) = Decoder(lambda _: forms([PgType(25)]), binary=True).decode(stream).changes
    assert isinstance(run, RowChanges)
    assert pa.chunked_array([run.new.values[0]]).to_pylist() == ["x"]
    with pytest.raises(NeedsText, match="no binary form"):
        Decoder(None, binary=True).decode(stream)


PRINTED = {16: "t", 1082: "2024-05-01", 1114: "2024-05-01 12:00:00", 1184: "2024-05-01 12:00:00+00", 2950: "0" * 32}
OF_ONE_SIZE = [type_ for type_ in TYPES if type_.oid not in (17, 25, 114, 1043, 3802)]


@pytest.mark.parametrize("type_", OF_ONE_SIZE, ids=lambda type_: str(type_.oid))
def test_a_value_of_another_size_is_refused(type_: PgType) -> None:
    value = SENT[type_.oid](PRINTED.get(type_.oid, "2"))
    assert len(decode_one(type_, value)) == 1
    for wrong in (value[:-1], value + b"\0"):
        with pytest.raises(ProtocolError):
            decode_one(type_, wrong)


def test_an_unknown_version_of_jsonb_is_refused() -> None:
    for wrong in (b"\2{}", b""):
        with pytest.raises(ProtocolError, match="version"):
            decode_one(PgType(3802), wrong)


def test_a_digit_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolError, match="digit"):
        decode_one(PgType(1700), struct.pack("!hhHHh", 1, 0, 0, 0, 10_000))


def test_a_text_stream_has_no_binary_values() -> None:
    table = Relation(7, "public", "t", "d", (WireColumn("v", 23, -1, True),))
    with pytest.raises(ProtocolError, match="binary"):
        Decoder().decode(frames(begin(9), describe(table), one(PgType(23), b"\0\0\0\1"), commit(9)))


@settings(deadline=None, max_examples=300, database=None)
@given(st.lists(rows, min_size=1, max_size=3), st.data())
def test_damaged_messages_give_a_batch_or_our_errors(some: list[Row], data: st.DataObject) -> None:
    messages = [bytearray(in_binary(insert(7, *whole(row)), TABLE)) for row in some]
    for _ in range(data.draw(st.integers(1, 4))):
        message = data.draw(st.sampled_from(messages))
        at = data.draw(st.integers(0, max(len(message) - 1, 0)))
        if message and data.draw(st.booleans()):
            message[at] ^= 1 << data.draw(st.integers(0, 7))
        else:
            del message[at:]
            message += data.draw(st.binary(max_size=9))
    stream = [HEADER + one for one in (begin(9), describe(TABLE), *map(bytes, messages), commit(9))]
    decoder = Decoder(lambda _: forms(), binary=True)
    with suppress(ProtocolError, NeedsText):
        decoder.decode(stream)
    whole_again = frames(begin(9), describe(TABLE), in_binary(insert(7, *whole(some[0])), TABLE), commit(9))
    assert decoder.decode(whole_again).rows == 1  # an error leaves no trace
