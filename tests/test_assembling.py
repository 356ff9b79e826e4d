"""Frames of protocol 2 to whole transactions, against a reference that knows which rows survived.

Hypothesis writes histories: transactions that are sent in progress, in segments that interleave, with savepoints
released and rolled back, among ordinary ones; and cuts what the origin would send of them at arbitrary frames.
"""

from __future__ import annotations

import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashql.errors import DatabaseBusy, ProtocolError, Retry
from flashql.lsn import LSN
from flashql.origins.postgres import assembling, spool
from flashql.origins.postgres.assembling import Assembler, Spooled, Whole
from flashql.origins.postgres.pgoutput import Decoder
from flashql.origins.postgres.spool import Spool
from tests.test_pgoutput import HEADER, ORIGIN, TYPE, begin, commit, describe, frames, insert, table, thorough, truncate

TIME_US = 5
RELATION = describe(table(1, 1))

# --- what the origin sends in progress ------------------------------------------------------------


def stream_start(xid: int, *, first: bool) -> bytes:
    return b"S" + struct.pack("!IB", xid, first)


STOP = b"E"


def stream_commit(xid: int, lsn: int) -> bytes:
    return b"c" + struct.pack("!IBQQq", xid, 0, lsn, lsn + 8, TIME_US)


def stream_abort(xid: int, subxid: int) -> bytes:
    return b"A" + struct.pack("!II", xid, subxid)


def within(xid: int, message: bytes) -> bytes:
    """The message as it is in a segment: with the (sub)transaction's number behind its type."""
    return message[:1] + struct.pack("!I", xid) + message[1:]


def begin_of(xid: int, lsn: int) -> bytes:
    return b"B" + struct.pack("!QqI", lsn, TIME_US, xid)


# --- histories ------------------------------------------------------------------------------------


@dataclass
class Sub:
    """A (sub)transaction, and what it wrote: messages, and those it was divided into, in order."""

    xid: int
    wrote: list[bytes | Sub] = field(default_factory=list)

    def messages(self) -> Iterator[bytes]:
        for item in self.wrote:
            if isinstance(item, Sub):
                yield from item.messages()
            else:
                yield item

    def subs(self) -> Iterator[Sub]:
        for item in self.wrote:
            if isinstance(item, Sub):
                yield from item.subs()
                yield item


@dataclass
class Running:
    """A streamed transaction: the savepoints that are open, the transaction itself first."""

    stack: list[Sub]
    is_new: bool = True

    @property
    def xid(self) -> int:
        return self.stack[0].xid


class History:
    """Makes up what happens at an origin: `sent`, its messages, and `expected`, the transactions it committed."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.sent: list[bytes] = []
        self.expected: list[list[bytes]] = []
        self.running: list[Running] = []
        self.xid = 700
        self.lsn = 1000
        self.row = 0
        for _ in range(draw(st.integers(1, 25))):
            getattr(
                self,
                draw(st.sampled_from(["ordinary", "segment", "segment", "segment", "segment", "undo", "undo", "end"])),
            )()

    def next_xid(self) -> int:
        self.xid += 1
        return self.xid

    def next_row(self) -> bytes:
        self.row += 1
        return insert(1, f"row {self.row}")

    def ordinary(self) -> None:
        self.lsn += 10
        rows = [self.next_row() for _ in range(self.draw(st.integers(0, 5)))]
        self.expected.append([begin(self.lsn), RELATION, *rows, commit(self.lsn)])
        self.sent += self.expected[-1]

    def segment(self) -> None:
        if not self.running or self.draw(st.integers(0, 5)) == 0:
            self.running.append(one := Running([Sub(self.next_xid())]))
        else:
            one = self.draw(st.sampled_from(self.running))
        self.sent.append(stream_start(one.xid, first=one.is_new))
        if one.is_new and self.draw(st.booleans()):
            self.sent.append(ORIGIN)
        one.is_new = False
        for _ in range(self.draw(st.integers(0, 6))):
            step = self.draw(st.sampled_from("wwwwsssrdt"))
            if step == "s":
                one.stack.append(Sub(self.next_xid()))
                one.stack[-2].wrote.append(one.stack[-1])
            elif step == "r" and len(one.stack) > 1:
                one.stack.pop()
            else:
                message = {"d": RELATION, "t": truncate(1), "r": TYPE}.get(step) or self.next_row()
                one.stack[-1].wrote.append(message)
                self.sent.append(within(one.stack[-1].xid, message))
        self.sent.append(STOP)

    def undo(self) -> None:
        """Roll back to a savepoint: first those within it, by number, as an abort record lists them."""
        if not self.running:
            return
        one = self.draw(st.sampled_from(self.running))
        if len(one.stack) > 1:
            at = self.draw(st.integers(1, len(one.stack) - 1))
            undone = one.stack[at]
            one.stack[at - 1].wrote.remove(undone)
            del one.stack[at:]
            self.aborts(one.xid, undone)

    def aborts(self, xid: int, undone: Sub) -> None:
        numbers = sorted(sub.xid for sub in undone.subs())
        self.sent += [stream_abort(xid, number) for number in [*numbers, undone.xid]]

    def end(self) -> None:
        if not self.running:
            return
        one = self.running.pop(self.draw(st.integers(0, len(self.running) - 1)))
        if self.draw(st.integers(0, 3)) == 0:
            self.aborts(one.xid, one.stack[0])
            return
        self.lsn += 10
        self.sent.append(stream_commit(one.xid, self.lsn))
        rows = list(one.stack[0].messages())
        self.expected.append([begin_of(one.xid, self.lsn), *rows, commit(self.lsn)])


@st.composite
def histories(draw: st.DrawFn) -> History:
    return History(draw)


@contextmanager
def sizes(hold_bytes: int, block_bytes: int, held_bytes: int, chunk_bytes: int) -> Iterator[None]:
    """Everything as small as that, so that short histories reach the disk."""
    with (
        mock.patch.object(assembling, "HOLD_BYTES", hold_bytes),
        mock.patch.object(assembling, "CHUNK_BYTES", chunk_bytes),
        mock.patch.object(spool, "BLOCK_BYTES", block_bytes),
        mock.patch.object(spool, "_HELD_BYTES", held_bytes),
    ):
        yield


def given_out(ended: list[Whole | Spooled]) -> list[bytes]:
    """The messages of what was given out, end to end."""
    messages = []
    for one in ended:
        for chunk in one.chunks():
            assert all(frame[:1] == b"w" for frame in chunk)
            messages += [frame[len(HEADER) :] for frame in chunk]
    return messages


small = st.sampled_from([0, 60, 200, 1 << 20])


@thorough
@given(histories(), small, small, small, st.data())
def test_equals_the_reference_wherever_the_stream_is_cut(
    history: History, hold: int, block: int, held: int, data: st.DataObject
) -> None:
    """Edge cases 38 and 39."""
    stream = frames(*history.sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    assembler, decoder = Assembler(None), Decoder()
    received: list[bytes] = []
    with sizes(hold, block or 1, held, data.draw(small)):
        for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            received += given_out(assembler.feed(stream[first:last]))
    assembler.close()
    assert received == [message for transaction in history.expected for message in transaction]
    batch = decoder.decode(frames(begin(1), RELATION, commit(1), *received))
    assert batch.transactions == len(history.expected) + 1
    assert not batch.open_transaction
    # A streamed transaction may be open between two calls: what comes next is in commit order all the same.
    assert not assembler.amid_transaction


@thorough
@given(histories(), st.data())
def test_damaged_streams_give_transactions_or_our_error(history: History, data: st.DataObject) -> None:
    stream = frames(*history.sent, *history.expected[0] if history.expected else [begin(9), commit(9)])
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(stream) - 1))
        at = data.draw(st.integers(0, len(stream[i])))
        damage = data.draw(st.sampled_from(["cut", "flip", "add", "lose", "repeat"]))
        frame = stream[i]
        if damage == "lose" and len(stream) > 1:
            del stream[i]
        elif damage == "repeat":
            stream.insert(i, frame)
        elif damage == "flip" and at < len(frame):
            stream[i] = frame[:at] + bytes([frame[at] ^ 1 << data.draw(st.integers(0, 7))]) + frame[at + 1 :]
        else:
            stream[i] = frame[:at] + (data.draw(st.binary(max_size=5)) + frame[at:] if damage == "add" else b"")
    digest(stream)


@thorough
@given(st.lists(st.tuples(st.sampled_from(b"SEcARYIUDTMOBC"), st.binary(max_size=40)), max_size=6))
def test_any_bytes_behind_a_valid_start(messages: list[tuple[int, bytes]]) -> None:
    digest(frames(stream_start(7, first=True), *(bytes([kind]) + tail for kind, tail in messages)))


def digest(stream: list[bytes]) -> None:
    """Assemble and decode; no error but ours may come of it."""
    assembler, decoder = Assembler(None), Decoder()
    with sizes(60, 60, 60, 60), suppress(ProtocolError):
        for one in assembler.feed(stream):
            for chunk in one.chunks():
                decoder.decode(chunk)
    assembler.close()


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [stream_start(7, first=False)],
        [stream_start(7, first=True), STOP, stream_start(7, first=True)],
        [stream_start(7, first=True), stream_start(8, first=True)],
        [stream_start(7, first=True), stream_commit(7, 100)],
        [stream_start(7, first=True), stream_abort(7, 7)],
        [stream_start(7, first=True), begin(100)],
        [stream_start(7, first=True), commit(100)],
        [stream_start(7, first=True), b"I\0\0"],
        [STOP],
        [stream_commit(7, 100)],
        [begin(100), stream_start(7, first=True)],
        [begin(100), stream_abort(7, 7)],
        [stream_start(7, first=True) + b"x"],
        [stream_start(7, first=True), STOP + b"x"],
        [stream_start(7, first=True), STOP, stream_commit(7, 100)[:-1]],
        [stream_start(7, first=True), STOP, stream_abort(7, 7) + b"12345678"],
        [b""],
    ],
)
def test_what_is_out_of_order_is_refused(messages: list[bytes]) -> None:
    assembler = Assembler(None)
    with pytest.raises(ProtocolError):
        assembler.feed(frames(*messages))
    assembler.close()


def test_an_ordinary_transaction_without_beginning_is_refused_when_it_grows() -> None:
    with sizes(10, 10, 10, 10), pytest.raises(ProtocolError, match="in no transaction"):
        Assembler(None).feed(frames(insert(1, "x" * 20)))


def test_whole_transactions_are_given_out_at_once_and_large_ones_by_themselves() -> None:
    assembler = Assembler(None)
    small_one = frames(begin(100), RELATION, insert(1, "a"), commit(100))
    large_one = frames(
        stream_start(7, first=True), within(7, RELATION), within(7, insert(1, "b")), STOP, stream_commit(7, 200)
    )
    ended = assembler.feed(small_one * 2 + large_one + small_one + small_one[:2])
    assert [type(one) for one in ended] == [Whole, Spooled, Whole]
    spooled = ended[1]
    assert isinstance(spooled, Spooled)
    assert (spooled.xid, spooled.final_lsn) == (7, 200)
    assert given_out(ended) == [
        message[len(HEADER) :]
        for message in [
            *small_one * 2,
            *frames(begin_of(7, 200), RELATION, insert(1, "b"), commit(200)),
            *small_one,
        ]
    ]
    assert assembler.amid_transaction
    assembler.close()


def test_transactions_are_divided_where_a_moment_is() -> None:
    assembler = Assembler(None)
    ordinary = [frames(begin(lsn), insert(1, "a"), commit(lsn)) for lsn in (100, 110, 120)]
    streamed = frames(stream_start(7, first=True), within(7, insert(1, "b")), STOP, stream_commit(7, 200))
    whole, large = assembler.feed([*ordinary[0], *ordinary[1], *ordinary[2], *streamed])

    def divided(lsn: LSN | None) -> list[list[bytes]]:
        return [list(part.frames) if isinstance(part, Whole) else [] for part in whole.divided(lsn)]

    everything = [*ordinary[0], *ordinary[1], *ordinary[2]]
    assert divided(None) == divided(LSN(121)) == [everything, []]
    assert divided(LSN(100)) == [[], everything]
    assert divided(LSN(101)) == [ordinary[0], ordinary[1] + ordinary[2]]
    assert divided(LSN(120)) == [ordinary[0] + ordinary[1], ordinary[2]]
    assert large.divided(None) == large.divided(LSN(201)) == (large, None)
    assert large.divided(LSN(200)) == large.divided(LSN(5)) == (None, large)
    assembler.close()


def test_the_first_of_two_savepoints_takes_the_second_along() -> None:
    """Edge case 38: released subtransactions are aborted with the one they are in, in any order."""
    assembler = Assembler(None)
    rows = [
        within(7, insert(1, "kept")),
        within(8, insert(1, "a")),
        within(9, insert(1, "b")),
        within(8, insert(1, "c")),
    ]
    assembler.feed(frames(stream_start(7, first=True), *rows, STOP, stream_abort(7, 8), stream_abort(7, 9)))
    last = [stream_start(7, first=False), within(10, insert(1, "d")), STOP, stream_commit(7, 200)]
    assert given_out(assembler.feed(frames(*last)))[1:-1] == [insert(1, "kept"), insert(1, "d")]


# --- the disk -------------------------------------------------------------------------------------


def test_a_spool_gives_back_what_it_was_given(tmp_path: Path) -> None:
    with sizes(0, 1000, 500, 0):
        one = Spool(tmp_path)
        kept = [bytes([at % 256]) * (at % 50 + 1) for at in range(500)]
        for at in range(0, 500, 7):
            one.append(kept[at : at + 7])
        for count in (500, 493, 490, 300, 299, 1):
            one.truncate(count)
            one.append([b"new"])
            one.truncate(count)
            assert [frame for chunk in one.chunks(2000) for frame in chunk] == kept[:count]
        one.append([b"x" * 5000])
        assert [frame for chunk in one.chunks(2000) for frame in chunk] == [kept[0], b"x" * 5000]
        assert list(tmp_path.iterdir()) == []  # it has no name, so nothing can be left over
        one.truncate(0)
        assert list(one.chunks(2000)) == []
        one.close()
        one.close()


def test_a_full_disk_is_our_error(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    one = Spool(tmp_path)
    one.append([b"x" * 300_000])
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    try:
        with pytest.raises(DatabaseBusy, match="could not be kept") as caught:
            one.append([b"y" * 300_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        one.close()
    assert caught.value.retry is Retry.BACKOFF


def test_a_directory_that_is_gone_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseBusy, match="No such file"):
        Spool(tmp_path / "gone").append([b"x" * 300_000])
