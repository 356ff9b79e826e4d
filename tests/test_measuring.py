"""What is measured: the ladder is in order at any time, counts are right, and lag in seconds means something."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import flashql
from flashql.ladder import Ladder
from flashql.lsn import LSN
from flashql.measuring import BYTES_BOUNDS, Batch, Meter, OriginMetrics, Position, ViewMetrics
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import ORDERS_VIEW_SQL, make_orders, until

RUNGS = ("head", "received", "applied", "confirmed")


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_orders(origin)


def primary(db: flashql.Database) -> OriginMetrics:
    (found,) = db.sync.metrics().origins
    assert found.origin == "primary"
    return found


def orders(db: flashql.Database) -> ViewMetrics:
    (found,) = (view for view in db.sync.metrics().views if view.job.relation_id == "shop.orders")
    return found


def require_order(found: OriginMetrics) -> None:
    """The invariant of the ladder, of one reading."""
    known = [(name, one) for name in RUNGS if (one := getattr(found, name)) is not None]
    for (above, upper), (below, lower) in itertools.pairwise(known):
        assert LSN.parse(upper.lsn) >= LSN.parse(lower.lsn), f"{above} {upper.lsn} < {below} {lower.lsn}"


@contextmanager
def writing(shop: Origin) -> Iterator[list[int]]:
    """Transactions of different sizes, one after the other, in a thread of their own; how many there were."""
    ended, done = threading.Event(), [0]

    def write() -> None:
        with shop.connect() as session:
            at = 1000
            while not ended.is_set():
                many = (1, 3, 2000)[done[0] % 3]
                session.execute(
                    "INSERT INTO orders SELECT n, n FROM generate_series(%s::int, %s::int) AS n", (at, at + many - 1)
                )
                at += many
                done[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()


def test_the_ladder_is_in_order_at_any_time(shop: Origin, proxy: Proxy, database_path: str) -> None:
    """Readings as fast as they come, while transactions flow and the network breaks."""
    readings, cuts, ended = [0], 6, threading.Event()
    failures: list[BaseException] = []
    with flashql.connect(database_path, origins={"primary": proxy.dsn}) as db:
        db.execute(ORDERS_VIEW_SQL)
        db.sync.sync()

        def read() -> None:
            try:
                while not ended.is_set():
                    require_order(primary(db))
                    readings[0] += 1
                    time.sleep(0.001)
            except BaseException as error:
                failures.append(error)

        readers = [threading.Thread(target=read) for _ in range(2)]
        with writing(shop) as written:
            for reader in readers:
                reader.start()
            for _ in range(cuts):
                before, batches = written[0], primary(db).batch_seconds.count
                until(lambda: written[0] > before + 5, "the origin is written to")  # noqa: B023
                until(lambda: primary(db).batch_seconds.count > batches, "batches are applied")  # noqa: B023
                proxy.cut()
        db.sync.wait(timeout=60)
        ended.set()
        for reader in readers:
            reader.join()
        assert not failures, failures
        assert readings[0] > 50
        found = primary(db)
        assert found.reconnects >= 1
        assert found.retries >= 1
        assert orders(db).job.rows == shop.query("SELECT count(*) FROM orders")[0][0]


def test_what_comes_is_counted_exactly_once(shop: Origin, database_path: str) -> None:
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert db.sync.metrics().origins == ()
        db.execute(ORDERS_VIEW_SQL)
        db.sync.sync()
        assert (primary(db).copies, primary(db).failed_copies, primary(db).rows) == (1, 0, 0)
        shop.execute("BEGIN; INSERT INTO orders VALUES (101, 1), (102, 2); DELETE FROM orders WHERE id = 1; COMMIT")
        shop.execute("UPDATE orders SET amount = 0 WHERE id <= 10")
        db.sync.wait(timeout=30)
        found = primary(db)
        assert (found.transactions, found.rows) == (2, 3 + 9)
        assert (orders(db).job.changes, orders(db).job.rows) == (12, 101)
        assert found.batch_seconds.count == found.batch_bytes.count in (1, 2)
        assert found.batch_seconds.total > 0
        assert found.batch_bytes.total > 100
        assert found.last_batch is not None
        assert found.applied is not None
        assert LSN.parse(found.applied.lsn) >= found.last_batch.end_lsn
        assert (found.connected, found.reconnects, found.retries) == (True, 0, 0)
        assert (found.lag_seconds, found.lag_bytes) == (0.0, 0) or found.lag_bytes
        assert orders(db).problem is None


def test_a_view_that_stands_still_says_why(shop: Origin, proxy: Proxy, database_path: str) -> None:
    with flashql.connect(database_path, origins={"primary": proxy.dsn}) as db:
        db.execute(ORDERS_VIEW_SQL)
        assert orders(db).problem == "it is idle"
        db.sync.sync()
        until(lambda: primary(db).lag_seconds == 0.0, "it is up to date")
        proxy.refuse()
        proxy.cut()
        until(lambda: orders(db).problem, "the view says so")
        assert "primary" in (orders(db).problem or "")
        until(lambda: primary(db).retries >= 2, "it is tried again")
        first = primary(db).lag_seconds
        assert first is not None
        assert 0 < first < 60
        assert not primary(db).connected
        until(lambda: (primary(db).lag_seconds or 0) > first, "it falls behind")
        proxy.accept()
        until(lambda: orders(db).problem is None and primary(db).lag_seconds == 0.0, "it is back")
        assert primary(db).reconnects == 1
        db.sync.stop()
        assert orders(db).problem is None


def test_what_a_slot_retains_is_measured(shop: Origin, database_path: str) -> None:
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        db.execute(ORDERS_VIEW_SQL)
        db.sync.sync()
        until(lambda: primary(db).retained_bytes is not None, "the slot has been looked at")
        assert primary(db).confirmed is not None


# -- the ladder by itself


class Clock:
    """Both clocks, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "monotonic", lambda: self.now - 900_000)

    @property
    def monotonic(self) -> float:
        return self.now - 900_000


def test_lag_in_seconds_counts_from_the_last_moment_that_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    heard = [LSN(100), clock.monotonic]
    ladder = Ladder(LSN(100), lambda: (LSN(heard[0]), float(heard[1])))

    def lag() -> float | None:
        return ladder.lag_seconds(ladder.rungs())

    assert lag() == 0.0
    clock.now += 3600  # idle for an hour, with keepalives
    heard[1] = clock.monotonic
    assert lag() == 0.0
    ladder.looked(LSN(100), LSN(90))
    clock.now += 4
    heard[:] = [LSN(200), clock.monotonic]  # something comes: it was committed after the origin was asked
    assert lag() == 4.0
    ladder.applied(LSN(150), committed_at=clock.now - 1)
    assert lag() == 1.0
    ladder.applied(LSN(200), committed_at=clock.now)
    assert lag() == 0.0
    clock.now += 31  # not a sound: the connection may be dead
    assert lag() == 31.0
    heard[1] = clock.monotonic
    assert lag() == 0.0
    ladder.connected = False
    clock.now += 5
    assert lag() == 5.0


def test_lag_is_known_from_where_the_origins_log_ended_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walsender that is behind sends no word of what it has not come to: only asking the origin tells."""
    clock = Clock(monkeypatch)
    heard = [LSN(100), clock.monotonic]
    ladder = Ladder(LSN(100), lambda: (LSN(heard[0]), float(heard[1])))
    ladder.looked(LSN(500), LSN(100))
    clock.now += 10
    heard[1] = clock.monotonic
    assert ladder.rungs().lag_bytes == 400
    assert ladder.lag_seconds(ladder.rungs()) is None  # of no moment is it known that all before it is contained
    ladder.looked(LSN(900), LSN(100))
    clock.now += 10
    heard[:] = [LSN(500), clock.monotonic]
    ladder.applied(LSN(500))
    assert ladder.lag_seconds(ladder.rungs()) == 20.0
    ladder.looked(LSN(900), LSN(100))
    heard[0] = LSN(900)
    ladder.applied(LSN(900))
    assert ladder.lag_seconds(ladder.rungs()) == 0.0


def test_the_lowest_rung_is_read_first() -> None:
    """What the worker does between two readings only raises what is read later."""

    def heard() -> tuple[LSN, float]:
        at[0] = LSN(at[0] + 10)
        ladder.applied(at[0])
        ladder.confirmed(at[0])
        return at[0], time.monotonic()

    at = [LSN(100)]
    ladder = Ladder(at[0], heard)
    ladder.confirmed(at[0])
    for _ in range(3):
        rungs = ladder.rungs()
        assert rungs.confirmed is not None
        assert rungs.head.lsn >= rungs.received.lsn >= rungs.applied.lsn >= rungs.confirmed.lsn
        assert rungs.received.lsn > rungs.applied.lsn


def test_the_next_session_knows_what_the_last_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    meter = Meter("primary")
    heard = (LSN(100), clock.monotonic)
    meter.begin(LSN(100), lambda: heard)
    meter.end()
    clock.now += 60
    again = meter.begin(LSN(100), lambda: (LSN(300), clock.monotonic))
    assert again.lag_seconds(again.rungs()) == 60.0
    assert meter.connections == 2


def test_batches_are_counted_in_classes() -> None:
    meter = Meter("primary")
    for size in (1, 256, 257, 1 << 40):
        meter.count(Batch(LSN(1), 1, 2, size, 0.5, None, {("public", "t"): 2}))
    counts = meter.totals.size_bytes.counts
    assert (counts[0], counts[1], counts[-1], meter.totals.size_bytes.count) == (2, 1, 1, 4)
    assert meter.totals.size_bytes.bounds == BYTES_BOUNDS
    assert (meter.totals.transactions, meter.totals.rows, meter.rows_of) == (4, 8, {("public", "t"): 8})


def test_a_position_is_told_as_text_with_its_time(shop: Origin, database_path: str) -> None:
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        db.execute(ORDERS_VIEW_SQL)
        db.sync.sync()
        found = primary(db).applied
        assert isinstance(found, Position)
        assert found.at.tzinfo is not None
        assert "/" in found.lsn
