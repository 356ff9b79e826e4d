"""Inserts that flow are applied in pieces within one local transaction: nothing is lost or doubled by that."""

from __future__ import annotations

import pytest

from flashql import errors, feeding
from flashql.origins.postgres import stream as streams
from flashql.origins.postgres.frames import Frames
from flashql.origins.postgres.stream import ENOUGH_BYTES, Stream
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.postgres.pair import Pair, following

TABLES = "CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text)"
VIEWS = {"a": "SELECT * FROM a", "b": "SELECT * FROM b"}
INSERTS = (
    "DO $$ BEGIN FOR n IN 1..400 LOOP INSERT INTO a SELECT n * 100 + g, repeat('x', g) FROM generate_series(1, 60) g; "
    "COMMIT; END LOOP; END $$"
)


class Pieces:
    """How often more was taken for a local transaction under way, and whether the last take was for one."""

    def __init__(self) -> None:
        self.taken = 0
        self.is_amid = False


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> Pieces:
    """Pieces are small, so that there are many; they are counted. Little is received ahead, so that more is to come."""
    seen, take = Pieces(), Stream.take
    small = 2000

    def counted(stream: Stream, timeout_seconds: float, enough_bytes: int = ENOUGH_BYTES) -> object:
        seen.is_amid = timeout_seconds == feeding._PIECE_SECONDS
        seen.taken += seen.is_amid
        return take(stream, timeout_seconds, min(enough_bytes, small))

    monkeypatch.setattr(feeding, "PIECE_BYTES", small)
    monkeypatch.setattr(streams, "BUFFER_BYTES", 32 * small)
    monkeypatch.setattr(Stream, "take", counted)
    return seen


def backlog(pair: Pair, *statements: str) -> None:
    """Let the origin get ahead, then follow it."""
    pair.db.sync.stop()
    for statement in statements:
        pair.origin.execute(statement)
    pair.db.sync.resume()


def test_a_backlog_of_inserts(origin: Origin, database_path: str, pieces: Pieces) -> None:
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        for _ in range(10):  # a slow origin may have nothing more when it is looked for
            backlog(pair, "TRUNCATE a", INSERTS)
            pair.check()
            if pieces.taken > 1:
                return
    pytest.fail("nothing more was taken for a local transaction under way")


def test_other_changes_amid_inserts(origin: Origin, database_path: str, pieces: Pieces) -> None:
    """Updates, deletes and a truncation come in the middle of a local transaction that began with inserts."""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        changes = (
            "UPDATE a SET id = -id WHERE id % 7 = 0; DELETE FROM a WHERE id % 5 = 0; INSERT INTO b SELECT * FROM a"
        )
        more = INSERTS.replace("INTO a", "INTO b").replace("n * 100", "n * 100 + 1000000")
        for _ in range(10):  # a slow origin may have nothing more when it is looked for
            backlog(pair, "TRUNCATE a, b", INSERTS, changes, more, "TRUNCATE a", INSERTS)
            pair.check()
            if pieces.taken > 1:
                return
    pytest.fail("nothing more was taken for a local transaction under way")


def test_the_connection_is_cut_between_pieces(
    origin: Origin, proxy: Proxy, database_path: str, pieces: Pieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before the cut is committed, the rest is sent again."""
    origin.execute(TABLES)
    with following(origin, database_path, proxy.dsn, **VIEWS) as pair:
        cuts, take = [True] * 3, Stream.take

        def cutting(stream: Stream, timeout_seconds: float, enough_bytes: int = ENOUGH_BYTES) -> object:
            if timeout_seconds == feeding._PIECE_SECONDS and cuts:
                cuts.pop()
                proxy.cut()
            return take(stream, timeout_seconds, enough_bytes)

        monkeypatch.setattr(Stream, "take", cutting)
        for _ in range(20):  # a slow origin may have nothing more when it is looked for
            backlog(pair, "TRUNCATE a, b", INSERTS, INSERTS.replace("INTO a", "INTO b"))
            pair.check()
            if not cuts:
                return
    pytest.fail("the connection was not cut between pieces")


def test_a_strange_message_between_pieces_is_not_passed_over(
    origin: Origin, database_path: str, pieces: Pieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames it came with are lost: nothing behind them may be applied by the stream that lost them."""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        left, strange = [True], Frames.not_xlog_data

        def found(frames: Frames) -> bytes | None:
            if pieces.is_amid and left and len(frames):
                left.pop()
                return b"p" + bytes(40)
            return strange(frames)

        monkeypatch.setattr(Frames, "not_xlog_data", found)
        for _ in range(10):  # a slow origin may have nothing more when it is looked for
            backlog(pair, "TRUNCATE a", INSERTS)
            pair.check()
            if not left:
                return
    pytest.fail("nothing came between pieces")


def test_what_take_lost_is_raised_again() -> None:
    """A stream whose frames were refused gives out no others."""
    stream = Stream.__new__(Stream)
    stream._broken = errors.ProtocolError("a message that was not asked for")
    for _ in range(2):
        with pytest.raises(errors.ProtocolError, match="not asked for"):
            stream.take(0.0)
