"""Any bytes an origin may send end in a batch or in an error of FlashQL's, and never in a hang.

    FLASHQL_FUZZ_SECONDS=300 pytest tests/test_hostile_bytes.py -s     longer than the default
    FLASHQL_TEST_SEED=...                                              the same bytes again

What is damaged is what a real server sent: `captured`. To try another reader of frames, add it to `READERS`.
"""

from __future__ import annotations

import os
import random
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa
import pytest

from flashql import errors, pending
from flashql.apply import target
from flashql.catalog import Copy, CopyColumn, CopyState, Table
from flashql.following import CopyBroken, Follower
from flashql.lsn import LSN
from flashql.origins.base import RowChanges
from flashql.origins.postgres import PostgresOrigin, slot
from flashql.origins.postgres.assembling import Assembler
from flashql.origins.postgres.pgoutput import Decoder
from flashql.origins.postgres.replication import ReplicationConnection
from flashql.origins.postgres.stream import Stream
from flashql.quoting import quote
from flashql.store import Store
from flashql.store.copies import save_copy
from flashql.store.owner import Owner
from tests.fix_postgres import Origin, fresh_origin
from tests.fix_walsender import COPY_BOTH, COPY_DONE, READY, Walsender, copy_data, failure, message
from tests.seeds import first_seed

SECONDS = float(os.environ.get("FLASHQL_FUZZ_SECONDS", "10"))
HEADER_BYTES = 25
# Long before this a reader must have said what it makes of a few kilobytes.
PATIENCE_SECONDS = 20.0

SEAL, NOBODY = "01234567", Owner("0123456789ab", "nowhere", "none")

TABLES = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE plain (id int PRIMARY KEY, note text, amount numeric, at timestamptz, mood mood, tags text[]);
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE keyed (id int, part text, big text, PRIMARY KEY (id, part));
"""
WORK = [
    "INSERT INTO plain SELECT g, repeat('x', g), g / 4.0, now(), 'sad', ARRAY['a', NULL] FROM generate_series(1, 30) g",
    "INSERT INTO bag SELECT g % 3, NULL FROM generate_series(1, 20) g",
    "INSERT INTO keyed SELECT g, 'p', (SELECT string_agg(md5((g * 999 + n)::text), '') FROM generate_series(1, 90) n) "
    "FROM generate_series(1, 3) g",
    "UPDATE keyed SET part = 'q' WHERE id = 1; UPDATE plain SET id = id + 100 WHERE id < 4; UPDATE bag SET b = 'é'",
    "DELETE FROM bag WHERE a = 1; DELETE FROM plain WHERE id > 20",
    "TRUNCATE bag, plain",
    "ALTER TABLE plain ADD COLUMN more int; INSERT INTO plain (id, more) VALUES (1, 2)",
    "SELECT pg_logical_emit_message(true, 'p', 'hello'); INSERT INTO bag VALUES (9, '')",
]


@pytest.fixture(scope="module")
def captured(postgres_dsn: str) -> Iterator[tuple[list[bytes], list[Table]]]:
    """Frames of a real server's stream, and its tables as they were before."""
    with fresh_origin(postgres_dsn) as origin:
        origin.execute(TABLES)
        postgres = PostgresOrigin("primary", lambda: origin.dsn)
        try:
            tables = [postgres.table("public", name) for name in ("plain", "bag", "keyed")]
            yield record(origin, postgres, tables), tables
        finally:
            postgres.drop("flashql_capture", SEAL)
            postgres.close()


def record(origin: Origin, postgres: PostgresOrigin, tables: Sequence[Table]) -> list[bytes]:
    postgres.publish("flashql_capture", [(table.schema, table.name) for table in tables], NOBODY)
    held = postgres.create_slot("flashql_capture", temporary=False)
    for statement in WORK:
        origin.execute(statement)
    end = postgres.current_lsn()
    stream = postgres.follow("flashql_capture", held.snapshot.lsn, SEAL, binary=False)
    frames: list[bytes] = []
    try:
        position = LSN(0)
        while position < end:
            stream.ask_position()
            received = stream.take(1.0)
            frames += received.frames
            position = received.position or position
    finally:
        stream.close()
        held.close()
    return frames


# -- damage


def damaged(frames: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """Some of the frames, a few of them damaged."""
    first = chance.randrange(len(frames))
    kept = list(frames[first : first + chance.choice([1, 3, 20, len(frames)])])
    if chance.random() < 0.7:  # else most would end at a transaction or relation never begun or described
        kept = list(frames[: first + 1])
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        if kept:
            chance.choice(DAMAGES)(kept, chance.randrange(len(kept)), chance)
    return kept


def flip(frames: list[bytes], at: int, chance: random.Random) -> None:
    frame = bytearray(frames[at])
    if frame:
        frame[chance.randrange(len(frame))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, *b"wkBCIUDTRYOMNKtnub", 0xC3])
    frames[at] = bytes(frame)


def number(frames: list[bytes], at: int, chance: random.Random) -> None:
    """Another length, count, oid or LSN."""
    frame, size = bytearray(frames[at]), chance.choice([2, 4, 8])
    place = chance.randrange(max(1, len(frame) - size))
    value = chance.choice([0, 1, 2, 0xFF, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1])
    frame[place : place + size] = value.to_bytes(size, "big")
    frames[at] = bytes(frame)


def shorten(frames: list[bytes], at: int, chance: random.Random) -> None:
    frames[at] = frames[at][: chance.randrange(len(frames[at]) + 1)]


def lengthen(frames: list[bytes], at: int, chance: random.Random) -> None:
    frames[at] += chance.randbytes(chance.choice([1, 8, 100]))


def insert(frames: list[bytes], at: int, chance: random.Random) -> None:
    frames.insert(at, chance.choice([b"", b"w", b"k", b"w" + bytes(24)]) + chance.randbytes(chance.choice([0, 1, 40])))


def repeat(frames: list[bytes], at: int, chance: random.Random) -> None:
    frames[at:at] = frames[at : at + chance.choice([1, 5])]


def drop(frames: list[bytes], at: int, chance: random.Random) -> None:
    del frames[at : at + chance.choice([1, 5])]


def swap(frames: list[bytes], at: int, chance: random.Random) -> None:
    other = chance.randrange(len(frames))
    frames[at], frames[other] = frames[other], frames[at]


def splice(frames: list[bytes], at: int, chance: random.Random) -> None:
    """The beginning of one message and the end of another."""
    other = chance.choice(frames)
    frames[at] = frames[at][: chance.randrange(len(frames[at]) + 1)] + other[chance.randrange(len(other) + 1) :]


DAMAGES: list[Callable[[list[bytes], int, random.Random], None]] = [
    flip,
    flip,
    number,
    number,
    shorten,
    lengthen,
    insert,
    repeat,
    drop,
    swap,
    splice,
]


# -- readers of frames: each takes them in parts, and may raise errors of FlashQL's only

Reader = Callable[[list[list[bytes]], Sequence[Table]], None]


def decode(parts: list[list[bytes]], tables: Sequence[Table]) -> None:
    """All columns of everything."""
    decoder = Decoder()
    for part in parts:
        for change in decoder.decode(part).changes:
            if isinstance(change, RowChanges):
                for array in (*change.new.values, *(change.old.values if change.old else ())):
                    assert isinstance(array, pa.Array)
                    array.validate(full=True)
                    assert len(array) == len(change)


def follow(parts: list[list[bytes]], tables: Sequence[Table]) -> None:
    """Into copies, one of which still waits for its snapshot."""
    store = Store(":memory:")
    try:
        with store.transaction() as writer:
            for at, table in enumerate(tables, 1):
                columns = tuple(CopyColumn(column) for column in table.columns)
                live = Copy(
                    at, "primary", table.schema, table.name, table.oid, columns, table.key, local_table=f"t{at}"
                )
                kept = ", ".join(f"{quote(one.local_name)} {live.local_type(one).name}" for one in columns)
                writer.execute(f"CREATE TABLE {target(live)} ({kept})")
                save_copy(writer, replace(live, state=CopyState.LIVE))
                waiting = replace(live, id=at + 100, local_table=None, state=CopyState.COPYING)
                pending.create(writer, waiting)
                save_copy(writer, waiting)
        assembler, follower = Assembler(None), Follower(store, "primary", LSN(0))
        try:
            for part in parts:
                for ended in assembler.feed(part):
                    follower.feed(ended.chunks(), lambda: LSN(1))
        except CopyBroken as broken:
            raise broken.reason from broken
        finally:
            assembler.close()
    finally:
        store.close()


READERS: dict[str, Reader] = {"decode": decode, "follow": follow}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.timeout(120 + 3 * SECONDS)
def test_damaged_streams(name: str, captured: tuple[list[bytes], list[Table]]) -> None:
    frames, tables = captured
    reader, seen = READERS[name], {"read": 0, "refused": 0}
    deadline = time.monotonic() + SECONDS / 4
    reader([frames], tables)
    for chance in chances(deadline):
        stream = [frame for frame in damaged(frames, chance) if name == "decode" or len(frame) > HEADER_BYTES]
        parts = cut(stream, chance)
        before = time.monotonic()
        try:
            reader(parts, tables)
            seen["read"] += 1
        except errors.FlashQLError:
            seen["refused"] += 1
        assert time.monotonic() - before < PATIENCE_SECONDS
    sys.stdout.write(f"{name}: {seen}\n")
    assert seen["refused"]


def chances(deadline: float) -> Iterator[random.Random]:
    """Seeded; pytest shows the seed of the last when the test fails."""
    seed = first_seed()
    for rounds in range(sys.maxsize):
        if rounds >= 20 and time.monotonic() > deadline:
            return
        sys.stdout.write(f"FLASHQL_TEST_SEED={seed}\n")
        yield random.Random(seed)
        seed += 1


def cut(frames: list[bytes], chance: random.Random) -> list[list[bytes]]:
    """The frames in one to three parts."""
    if len(frames) < 2 or chance.random() < 0.5:
        return [frames]
    places = sorted(chance.randrange(len(frames)) for _ in range(chance.choice([1, 2])))
    return [frames[low:high] for low, high in zip([0, *places], [*places, len(frames)], strict=True)]


def test_what_is_made_is_not_much_larger_than_what_came() -> None:
    """A table said to have many columns, and rows too short for them."""
    width, rows = 65_535, 2_000
    begin = b"B" + struct.pack("!QqI", 1, 0, 7)
    columns = b"".join(b"\0c\0" + struct.pack("!Ii", 25, -1) for _ in range(width))
    table = b"R" + struct.pack("!I", 1) + b"public\0t\0d" + struct.pack("!H", width) + columns
    row = b"I" + struct.pack("!I", 1) + b"N" + struct.pack("!H", width)
    frames = [b"w" + bytes(24) + one for one in (begin, table, *[row] * rows)]
    decoder = Decoder()
    decoder.decode(frames[:2])
    tracemalloc.start()
    try:
        with pytest.raises(errors.ProtocolError, match="too short"):
            decoder.decode(frames[2:])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64 << 20


# -- the stream itself: real sockets, a walsender that says anything


def drained(server: Walsender, seconds: float = PATIENCE_SECONDS) -> list[bytes]:
    """All frames of a stream until it ends. Raises what ended it."""
    connection = ReplicationConnection("primary", server.dsn)
    try:
        stream = Stream.start(connection, "START_REPLICATION", 0.2)
    except BaseException:
        connection.close()
        raise
    frames: list[bytes] = []
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            frames += stream.take(0.5).frames
        return frames
    finally:
        stream.close()


XLOG = b"w" + struct.pack("!QQQ", 8, 8, 0)
KEEPALIVE = b"k" + struct.pack("!QQB", 8, 0, 0)


@pytest.mark.parametrize(
    ("after", "kind", "says"),
    [
        (copy_data(XLOG), errors.ProtocolError, "message of kind 119 and 25 bytes"),
        (copy_data(b"w"), errors.ProtocolError, "1 bytes"),
        (copy_data(b"k"), errors.ProtocolError, "message of kind 107"),
        (copy_data(KEEPALIVE[:-1]), errors.ProtocolError, "17 bytes"),
        (copy_data(b"p" + bytes(40)), errors.ProtocolError, "message of kind 112"),
        (copy_data(b"k" + b"\xff" * 17), errors.ProtocolError, "beyond what a log can reach"),
        (copy_data(b"w" + b"\xff" * 24 + b"B"), errors.ProtocolError, "beyond what a log can reach"),
        (COPY_DONE, errors.OriginUnreachable, "ended the stream"),
        (b"", errors.OriginUnreachable, "origin primary"),
        (failure(b"55000", b"replication slot was invalidated"), errors.SlotLost, "invalidated"),
        (failure(b"\xff\xfe", b"\xff"), errors.FlashQLError, "origin primary"),
        (message(b"d", b""), errors.FlashQLError, "origin primary"),
        (b"d\xff\xff\xff\xff", errors.FlashQLError, "origin primary"),
        (b"d\0\0\0\0", errors.FlashQLError, "origin primary"),
        (b"\0" * 100, errors.FlashQLError, "origin primary"),
        (READY, errors.FlashQLError, "origin primary"),
        (COPY_BOTH, errors.FlashQLError, "origin primary"),
    ],
)
def test_what_ends_a_stream(
    walsender: Callable[..., Walsender], after: bytes, kind: type[errors.FlashQLError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        drained(walsender(COPY_BOTH + after))


@pytest.mark.parametrize("said", [b"", copy_data(KEEPALIVE), COPY_DONE, COPY_DONE + b"E\0\0\1\0", b"d\x7f\0\0\0w"])
def test_a_server_that_falls_silent_keeps_nobody(walsender: Callable[..., Walsender], said: bytes) -> None:
    with suppress(errors.FlashQLError):
        assert drained(walsender(COPY_BOTH + said, stalls=True), seconds=1.0) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        READY,
        message(b"C", b"DONE\0") + READY,
        message(b"T", b"\0\0") + message(b"D", b"\0\0") + message(b"C", b"X\0") + READY,
        message(b"T", b"\0\1a\0" + bytes(18)) + message(b"D", b"\0\1\0\0\0\1x") + message(b"C", b"X\0") + READY,
        message(b"T", b"\0\4" + b"a\0" * 1 + bytes(18)) + READY,
        failure(b"XX000", b"\xff\xfe") + READY,
        message(b"I", b"") + READY,
        b"\xff" * 64,
    ],
)
def test_strange_answers_to_a_command(walsender: Callable[..., Walsender], answer: bytes) -> None:
    connection = ReplicationConnection("primary", walsender(answer).dsn)
    try:
        with pytest.raises(errors.FlashQLError):
            slot.identify(connection)
    finally:
        connection.close()


def test_an_identity_that_is_none(walsender: Callable[..., Walsender]) -> None:
    fields = b"".join(b"c\0" + bytes(18) for _ in range(4))
    for timeline in (b"", b"x", b"9" * 5000, "²".encode()):
        values = b"".join(struct.pack("!I", len(one)) + one for one in (b"1", timeline, b"0/0", b"shop"))
        answer = message(b"T", b"\0\4" + fields) + message(b"D", b"\0\4" + values) + message(b"C", b"X\0") + READY
        connection = ReplicationConnection("primary", walsender(answer).dsn)
        try:
            with pytest.raises(errors.ProtocolError, match="timeline"):
                slot.identify(connection)
        finally:
            connection.close()


@pytest.mark.timeout(120 + 3 * SECONDS)
def test_damaged_bytes_on_the_wire(walsender: Callable[..., Walsender], captured: tuple[list[bytes], object]) -> None:
    """Damage to frames inside well-formed messages, to the messages themselves, and to what says that they come."""
    frames, _ = captured
    for chance in chances(time.monotonic() + SECONDS / 4):
        sent = copy_data(*damaged(frames, chance))
        if chance.random() < 0.5:
            wire = [sent]
            for _ in range(3):
                chance.choice(DAMAGES)(wire, 0, chance)
                wire = [b"".join(wire)[:100_000]]
            sent = wire[0]
        greeting = [COPY_BOTH]
        if chance.random() < 0.2:
            chance.choice(DAMAGES)(greeting, 0, chance)
        server = walsender(b"".join(greeting) + sent)
        try:
            with pytest.raises(errors.FlashQLError):
                drained(server)
        finally:
            server.close()
