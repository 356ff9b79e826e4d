"""The bus: whoever tells never waits, whoever listens is told in order, and what is left out is known."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import threading
from collections.abc import Iterator

import pytest

import flashql
from flashql import errors
from flashql.events import (
    EVENTS,
    NAMES,
    Connected,
    Disconnected,
    Events,
    ProgressMade,
    SyncApplied,
    SyncEvent,
    SyncFailed,
    SyncRetry,
)
from flashql.listening import BUFFERED_MESSAGES

_SECONDS = 30


@pytest.fixture
def bus() -> Iterator[Events]:
    made = Events()
    yield made
    made.close()


def retry(attempt: int) -> SyncRetry:
    return SyncRetry(origin="primary", attempt=attempt, delay_seconds=0.0, error="no")


def applied(rows: int, view: str | None = None) -> SyncApplied:
    return SyncApplied(
        view=view, origin="primary", phase="pull", lsn=f"0/{rows:X}", rows=rows, transactions=1, seconds=1
    )


def attempts(told: list[SyncEvent]) -> list[int]:
    return [event.attempt for event in told if isinstance(event, SyncRetry)]


def test_every_event_is_frozen_has_a_name_and_the_time_of_its_making() -> None:
    assert len(NAMES) == len(EVENTS)
    for kind in EVENTS:
        assert kind.name
        assert dataclasses.is_dataclass(kind)
        given = {field.name for field in dataclasses.fields(kind)}
        assert {"at", "view", "origin", "phase", "lsn"} <= given
    event = Connected(origin="primary")
    assert event.at.utcoffset() is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.origin = "other"  # type: ignore[misc]


def test_a_callback_is_told_in_order_on_a_thread_of_its_own(bus: Events) -> None:
    told: list[tuple[int, int]] = []
    done = threading.Event()

    def note(event: SyncEvent) -> None:
        assert isinstance(event, SyncRetry)
        told.append((event.attempt, threading.get_ident()))
        if event.attempt == 99:
            done.set()

    bus.on("sync_retry", note)
    for attempt in range(100):
        bus.tell(retry(attempt))
    assert done.wait(_SECONDS)
    assert [attempt for attempt, _ in told] == list(range(100))
    (thread,) = {thread for _, thread in told}
    assert thread != threading.get_ident()


def test_who_asked_for_other_names_is_not_told(bus: Events) -> None:
    with bus.events("connected", "disconnected") as two, bus.events() as every:
        for event in (Connected(), retry(1), Disconnected()):
            bus.tell(event)
        bus.close()
        assert [event.name for event in two] == ["connected", "disconnected"]
        assert [event.name for event in every] == ["connected", "sync_retry", "disconnected"]


def test_a_star_is_any_event(bus: Events) -> None:
    told: list[str] = []
    bus.on("*", lambda event: told.append(event.name))
    bus.tell(Connected())
    bus.tell(retry(1))
    bus.close()  # waits for what was told
    assert told == ["connected", "sync_retry"]


def test_a_wrong_name_is_refused(bus: Events) -> None:
    with pytest.raises(errors.UnknownName, match="there is no event sync_aplied") as raised:
        bus.on("sync_aplied", print)
    assert "sync_applied" in str(raised.value)
    with pytest.raises(errors.UnknownName, match="progres"):
        bus.events("connected", "progres")


def test_a_callback_that_raises_is_logged_and_goes_on(bus: Events, caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []

    def fail(event: SyncEvent) -> None:
        assert isinstance(event, SyncRetry)
        told.append(event.attempt)
        raise SystemExit if event.attempt == 2 else ValueError("a bug of mine")

    bus.on("sync_retry", fail)
    with caplog.at_level(logging.ERROR, logger="flashql.taking"):
        for attempt in (1, 2, 3):
            bus.tell(retry(attempt))
        bus.close()
    assert told == [1, 2, 3]
    assert [record.message for record in caplog.records] == [
        "on-sync_retry: a callback raised; it goes on with the next"
    ] * 3
    assert "a bug of mine" in caplog.text


def test_a_coroutine_is_run_to_its_end(bus: Events) -> None:
    told: list[str] = []

    async def note(event: SyncEvent) -> None:
        await asyncio.sleep(0)
        told.append(event.name)

    bus.on("connected", note)
    bus.tell(Connected())
    bus.tell(Connected())
    bus.close()
    assert told == ["connected", "connected"]


def test_a_handle_ends_it_also_from_within(bus: Events) -> None:
    told: list[int] = []
    gone = threading.Event()

    def once(event: SyncEvent) -> None:
        assert isinstance(event, SyncRetry)
        told.append(event.attempt)
        handle.remove()
        handle.remove()
        gone.set()

    handle = bus.on("sync_retry", once)
    bus.tell(retry(1))
    assert gone.wait(_SECONDS)
    bus.tell(retry(2))
    assert not bus.wanted("sync_retry")
    bus.close()
    assert told == [1]


def test_nothing_is_wanted_while_nobody_listens(bus: Events) -> None:
    assert not bus.wanted("progress")
    listener = bus.events("progress")
    assert bus.wanted("progress")
    assert not bus.wanted("connected")
    listener.close()
    assert not bus.wanted("progress")
    forgotten = bus.events("progress")
    assert bus.wanted("progress")
    del forgotten
    gc.collect()
    assert not bus.wanted("progress")


def test_a_callback_that_never_returns_holds_up_nobody(bus: Events) -> None:
    stuck, let_go = threading.Event(), threading.Event()

    def hang(_: SyncEvent) -> None:
        stuck.set()
        let_go.wait()

    other: list[int] = []
    bus.on("sync_retry", hang)
    bus.on("sync_retry", lambda event: other.extend(attempts([event])))
    bus.tell(retry(0))
    assert stuck.wait(_SECONDS)
    for attempt in range(1, 100):
        bus.tell(retry(attempt))
    bus.close()  # gives up waiting for the first
    assert other == list(range(100))
    let_go.set()


def test_who_does_not_keep_up_is_told_the_sum(bus: Events) -> None:
    """Local commits become one per subject; what stands alone stays, in its place among them."""
    with bus.events() as listener:
        for number in range(BUFFERED_MESSAGES - 1):
            bus.tell(applied(number, "shop.orders" if number % 2 else None))
        bus.tell(Connected())
        for number in range(BUFFERED_MESSAGES - 1, 5 * BUFFERED_MESSAGES):
            bus.tell(applied(number, "shop.orders" if number % 2 else None))
        bus.tell(Disconnected())
        bus.close()
        told = list(listener)
        assert listener.left_out == 0
    assert [event.name for event in told] == ["connected", "sync_applied", "sync_applied", "disconnected"]
    sums = [event for event in told if isinstance(event, SyncApplied)]
    last = 5 * BUFFERED_MESSAGES - 1
    assert [event.lsn for event in sums] == [f"0/{last - 1:X}", f"0/{last:X}"]
    assert sum(event.rows for event in sums) == sum(range(last + 1))
    assert sum(event.transactions for event in sums) == sum(event.commits for event in sums) == last + 1
    assert sum(event.seconds for event in sums) == last + 1


def test_once_it_keeps_up_again_each_is_told(bus: Events) -> None:
    with bus.events("progress") as listener:
        for done in range(2 * BUFFERED_MESSAGES):
            bus.tell(ProgressMade(subject="shop.orders", done_rows=done))
        newest = listener.take(0)
        assert isinstance(newest, ProgressMade)
        assert newest.done_rows == 2 * BUFFERED_MESSAGES - 1
        for done in range(3):
            bus.tell(ProgressMade(subject="shop.orders", done_rows=done))
        bus.close()
        assert [event.done_rows for event in listener if isinstance(event, ProgressMade)] == [0, 1, 2]


def test_what_cannot_be_kept_is_counted_and_said(bus: Events, caplog: pytest.LogCaptureFixture) -> None:
    more = 10
    with bus.events("sync_retry") as listener, caplog.at_level(logging.WARNING, logger="flashql.listening"):
        for attempt in range(BUFFERED_MESSAGES + more):
            bus.tell(retry(attempt))
        bus.close()
        assert attempts(list(listener)) == list(range(more, BUFFERED_MESSAGES + more))
        assert listener.left_out == more
    assert [record.message for record in caplog.records] == [
        "events-sync_retry does not keep up: 1 messages were left out"
    ]


def test_a_loop_takes_with_a_timeout(bus: Events) -> None:
    with bus.events() as listener:
        with pytest.raises(TimeoutError):
            listener.take(0.001)
        bus.tell(Connected())
        event = listener.take(_SECONDS)
        assert isinstance(event, Connected)
    assert listener.take(0) is None


def test_an_event_loop_is_not_blocked(bus: Events) -> None:
    async def listen() -> tuple[list[int], int]:
        turns = 0
        told: list[int] = []

        async def other_work() -> None:
            nonlocal turns
            while len(told) < 3:
                turns += 1
                if turns == 100:  # the listener waits, and this task has its turns all the same
                    threading.Thread(target=tell).start()
                await asyncio.sleep(0)

        def tell() -> None:
            for attempt in range(3):
                bus.tell(retry(attempt))

        work = asyncio.create_task(other_work())
        async for event in bus.events("sync_retry"):
            told += attempts([event])
            if len(told) == 3:
                break
        await work
        return told, turns

    told, turns = asyncio.run(asyncio.wait_for(listen(), _SECONDS))
    assert told == [0, 1, 2]
    assert turns >= 100


def test_a_task_that_is_cancelled_leaves_the_listener_whole(bus: Events) -> None:
    async def listen() -> SyncEvent:
        listener = bus.events()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(listener), 0.01)
        bus.tell(Connected())
        return await anext(listener)

    assert isinstance(asyncio.run(listen()), Connected)


def test_closing_the_database_ends_iteration_after_what_was_told() -> None:
    async def names(listener: flashql.events.EventListener) -> list[str]:
        return [event.name async for event in listener]

    with flashql.connect() as db:
        bus = Events.of(db.store)
        one, other = db.sync.events(), db.sync.events("sync_failed")
        told: list[str] = []
        handle = db.sync.on("connected", lambda event: told.append(event.name))
        bus.tell(Connected())
        bus.tell(SyncFailed(view="shop.orders", error="no"))
    assert [event.name for event in one] == ["connected", "sync_failed"]
    assert asyncio.run(names(other)) == ["sync_failed"]
    assert told == ["connected"]
    handle.remove()
    for listen in (lambda: db.sync.events(), lambda: db.sync.on("connected", print)):
        with pytest.raises(errors.DatabaseError, match="closed"):
            listen()


def test_many_threads_tell_and_each_ones_order_is_kept(bus: Events) -> None:
    threads, each = 8, 50
    with bus.events() as listener:

        def tell(origin: str) -> None:
            for attempt in range(each):
                bus.tell(SyncRetry(origin=origin, attempt=attempt, delay_seconds=0, error="no"))

        telling = [threading.Thread(target=tell, args=(str(number),)) for number in range(threads)]
        for thread in telling:
            thread.start()
        for thread in telling:
            thread.join()
        bus.close()
        told = list(listener)
    assert len(told) == threads * each
    for number in range(threads):
        assert attempts([event for event in told if event.origin == str(number)]) == list(range(each))
