"""Frames in memory: received in pieces of any size, divided, kept, put in front of others."""

from __future__ import annotations

import random
import struct

import pytest

from flashql.errors import ProtocolError
from flashql.origins.postgres.frames import PADDING, Frames
from flashql.origins.postgres.inbox import Inbox

FULL_BYTES = 4096


def frame(number: int, size_bytes: int = 40) -> bytes:
    return b"w" + bytes(24) + b"I" + struct.pack("!I", number) + b"x" * size_bytes


def copy_data(content: bytes) -> bytes:
    return b"d" + struct.pack("!I", len(content) + 4) + content


def receive(inbox: Inbox, content: bytes) -> list[tuple[int, bytes]]:
    """As from a socket: into the space there is."""
    space = inbox.space()
    assert len(content) <= len(space)
    space[: len(content)] = content
    inbox.received(len(content))
    return [(message.after, message.content) for message in inbox.parse()]


@pytest.mark.parametrize("seed", range(20))
def test_messages_in_pieces_of_any_size(seed: int) -> None:
    chance = random.Random(seed)
    sent = [frame(number, chance.choice([0, 3, 500, 9000])) for number in range(200)]
    keepalive = b"k" + bytes(17)
    stream, expected_others = bytearray(), 0
    for one in sent:
        stream += copy_data(one)
        if chance.random() < 0.1:
            stream += copy_data(keepalive)
            expected_others += 1
    inbox, taken = Inbox(FULL_BYTES), Inbox(FULL_BYTES)
    got: list[bytes] = []
    others: list[tuple[int, bytes]] = []
    while stream:
        piece = bytes(stream[: chance.choice([1, 7, 100, 5000])])
        del stream[: len(piece)]
        others += receive(inbox, piece)
        if inbox.is_full or chance.random() < 0.1:
            taken.begin_anew(inbox)
            inbox, taken = taken, inbox
            got += taken.frames
    got += inbox.frames
    assert got == sent
    assert len(others) == expected_others
    assert {content for _, content in others} <= {keepalive}


def plainly(content: bytes) -> tuple[list[bytes], list[tuple[int, bytes]], bool]:
    """Frames, other messages with how many frames came before, and whether what follows them is no message."""
    frames: list[bytes] = []
    others: list[tuple[int, bytes]] = []
    at = 0
    while len(content) - at >= 5:
        kind, length = struct.unpack_from("!cI", content, at)
        if kind not in b"ENSWdcCZ" or not 4 <= length <= (1 << 30) + 63:
            return frames, others, True
        message = content[at + 5 : at + 1 + length]
        if len(message) < length - 4:
            break
        if kind == b"d" and len(message) > 25:
            frames.append(message)
        else:
            others.append((len(frames), message))
        at += 1 + length
    return frames, others, False


@pytest.mark.parametrize("seed", range(200))
def test_damaged_messages_in_pieces_of_any_size(seed: int) -> None:
    chance = random.Random(seed)
    stream = bytearray(b"".join(copy_data(frame(number, chance.choice([0, 3, 500]))) for number in range(30)))
    for _ in range(chance.choice([0, 1, 1, 3, 20])):
        stream[chance.randrange(len(stream))] = chance.choice([0, 1, 4, 0x40, 0xFF, *b"dkwENSWcCZ"])
    expected = plainly(bytes(stream))
    inbox, taken = Inbox(FULL_BYTES), Inbox(FULL_BYTES)
    frames: list[bytes] = []
    others: list[tuple[int, bytes]] = []
    is_damaged = False
    while stream and not is_damaged:
        piece = bytes(stream[: chance.choice([1, 7, 100, 5000])])
        del stream[: len(piece)]
        try:
            others += [(len(frames) + after, content) for after, content in receive(inbox, piece)]
        except ProtocolError:
            is_damaged = True
        if is_damaged or chance.random() < 0.3:
            taken.begin_anew(inbox)
            inbox, taken = taken, inbox
            frames += taken.frames
    frames += inbox.frames
    assert (frames, is_damaged) == (expected[0], expected[2])
    assert others == expected[1][: len(others)]  # those next to the damage are not given out
    assert is_damaged or len(others) == len(expected[1])


def test_a_message_larger_than_the_inbox() -> None:
    inbox, taken = Inbox(FULL_BYTES), Inbox(FULL_BYTES)
    large = frame(1, 3_000_000)
    for at in range(0, len(whole := copy_data(large)), 200_000):
        assert not inbox.is_full  # only a whole frame can be taken
        receive(inbox, whole[at : at + 200_000])
    assert inbox.is_full
    assert list(inbox.frames) == [large]
    taken.begin_anew(inbox)
    inbox.begin_anew(taken)  # and its memory is let go
    assert len(inbox) == inbox.size_bytes == 0


@pytest.mark.parametrize("damage", [b"\0" * 5, b"d\0\0\0\3", b"d\xff\xff\xff\xff", b"Q\0\0\0\4"])
def test_what_is_no_message_of_a_stream(damage: bytes) -> None:
    inbox = Inbox(FULL_BYTES)
    receive(inbox, copy_data(frame(1)))
    with pytest.raises(ProtocolError, match="a message of kind"):
        receive(inbox, damage)
    assert list(inbox.frames) == [frame(1)]


def test_frames_stand_behind_others_without_a_copy_where_there_is_room() -> None:
    inbox = Inbox(FULL_BYTES)
    receive(inbox, copy_data(frame(2)) + copy_data(b"k" + bytes(17)) + copy_data(frame(3)))
    before = Frames.of([frame(0), frame(1)])
    together = inbox.frames.behind(before)
    assert list(together) == [frame(0), frame(1), frame(2), frame(3)]
    assert together.data is inbox.frames.data
    assert list(together[1:3]) == [frame(1), frame(2)]
    too_large = Frames.of([frame(9, 2 << 20)])
    assert list(inbox.frames.behind(too_large)) == [frame(9, 2 << 20), frame(2), frame(3)]


def test_frames_are_kept_by_copying_them() -> None:
    inbox = Inbox(FULL_BYTES)
    receive(inbox, copy_data(frame(1)) + copy_data(frame(2)))
    kept, seen = inbox.frames[1:].copied(), inbox.frames
    inbox.begin_anew(Inbox(FULL_BYTES))
    receive(inbox, copy_data(frame(7)) + copy_data(frame(8)))
    assert list(kept) == [frame(2)]
    assert list(seen) == [frame(7), frame(8)]  # which is what copying is for


def test_frames_are_a_sequence() -> None:
    sequence = [frame(number, number) for number in range(5)]
    frames = Frames.of(sequence)
    assert Frames.of(frames) is frames
    assert (len(frames), frames[0], frames[-1], list(frames[1:3])) == (5, sequence[0], sequence[-1], sequence[1:3])
    assert list(Frames.joined([frames[:2], Frames.of([]), frames[4:]])) == [*sequence[:2], sequence[4]]
    assert frames.types() == b"IIIII"
    assert len(frames.data) - int(frames.ends[-1]) >= len(PADDING)
    assert list(Frames.of([])) == list(frames[3:3]) == []
    with pytest.raises(IndexError):
        frames[5]
