"""before_sync and after_sync: what they are told, what a refusal undoes, and that none of them can hold up for ever."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import flashql
from flashql import Hook, SyncContext, errors, hooks
from flashql.database import Database
from flashql.lifecycle import Phase
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_shop import job, make_shop, open_shop, until

WAIT_SECONDS = 60.0


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_shop(origin)


@pytest.fixture
def db(shop: Origin) -> Iterator[Database]:
    with open_shop(shop) as opened:
        yield opened


class Told(list[SyncContext]):
    """A hook that notes what it is told, and answers with what `answers` has next."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)

    def __call__(self, context: SyncContext) -> Any:
        self.append(context)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, type) and issubclass(answer, BaseException):
            raise answer("no")
        return answer


def insert(shop: Origin, number: int) -> None:
    shop.execute(f"INSERT INTO orders VALUES ({number}, 1, 1, 100, 'new')")


def follows(db: Database, shop: Origin) -> None:
    """Everything is as at the origin."""
    db.sync.wait(timeout=WAIT_SECONDS)
    same_rows(shop, db, "SELECT * FROM orders", "SELECT * FROM shop.orders")
    same_rows(shop, db, "SELECT id, amount FROM orders WHERE amount > 40", "SELECT * FROM shop.big")


def _counts(db: Database, table: str, rows: int) -> bool:
    return db.execute(f"SELECT count(*) FROM {table}").fetchall() == [(rows,)]


def _has(told: Told, calls: int) -> bool:
    return len(told) == calls


# -- what they are told


def test_phases_and_rows_in_order(db: Database, shop: Origin) -> None:
    before, after = Told(), Told()
    db.sync.before_sync(before)
    db.sync.after_sync(after)
    assert db.sync.sync()
    insert(shop, 1000)
    db.sync.wait(timeout=WAIT_SECONDS)
    until(lambda: len(after) == len(before), "the after hook was told of each")
    assert [(one.phase, one.origin, one.views, one.lsn) for one in before] == [
        (one.phase, one.origin, one.views, one.lsn) for one in after
    ]
    clones = {one.views: one for one in before if one.phase is Phase.CLONE}
    assert set(clones) == {("shop.products",), ("shop.big", "shop.orders")}
    products, orders = clones["shop.products",], clones["shop.big", "shop.orders"]
    assert (products.lsn, products.payload["shop.products"].inserted.num_rows) == (None, 10)
    assert (orders.payload["shop.orders"].inserted.num_rows, orders.payload["shop.big"].inserted.num_rows) == (100, 20)
    assert orders.payload["shop.orders"].deleted.num_rows == 0
    pull = before[-1]
    assert (pull.phase, pull.origin, pull.views, pull.rows) == ("pull", "primary", ("shop.big", "shop.orders"), 2)
    assert pull.payload["shop.orders"].inserted.to_pylist()[0]["note"] == "new"
    assert pull.lsn == job(db, "shop.orders").last_seen_commit == pull.payload["shop.orders"].lsn


def test_only_what_is_selected_in_order_of_registration(db: Database, shop: Origin) -> None:
    order: list[tuple[str, tuple[str, ...]]] = []

    @db.sync.before_sync
    def every(context: SyncContext) -> None:
        order.append(("every", context.views))

    @db.sync.before_sync(selector={"shop": "big"}, timeout=5)
    async def big(context: SyncContext) -> None:
        await asyncio.sleep(0)
        order.append(("big", context.views))

    last = db.sync.before_sync(lambda context: order.append(("last", context.views)), "shop.orders")
    db.sync.sync("shop.orders")
    assert order == [("every", ("shop.orders",)), ("last", ("shop.orders",))]
    order.clear()
    db.sync.sync("shop.big")
    insert(shop, 1000)
    db.sync.wait(timeout=WAIT_SECONDS)
    assert order[-3:] == [("every", ("shop.big", "shop.orders")), ("big", ("shop.big",)), ("last", ("shop.orders",))]
    assert isinstance(every, Hook)
    every.remove()
    last.remove()
    last.remove()
    order.clear()
    insert(shop, 1001)
    db.sync.wait(timeout=WAIT_SECONDS)
    assert order == [("big", ("shop.big",))]
    assert every(SyncContext(phase=Phase.PULL, origin=None, lsn=None, payload={})) is None
    assert order[-1] == ("every", ())


def test_what_is_no_commit_of_syncs_is_no_hooks(db: Database, shop: Origin) -> None:
    """DDL and writes to local tables are their user's own; what follows from them in views too."""
    told = Told()
    db.execute("CREATE TABLE notes (id INT); INSERT INTO notes VALUES (1)")
    db.execute("CREATE REALTIME VIEW counted AS SELECT count(*) AS n FROM notes")
    db.sync.before_sync(told)
    db.sync.sync("counted")
    assert [(one.phase, one.origin, one.views) for one in told] == [("clone", None, ("main.counted",))]
    db.execute("INSERT INTO notes VALUES (2)")
    assert db.execute("SELECT n FROM counted").fetchall() == [(2,)]
    assert len(told) == 1


def test_views_over_views_are_in_the_same_commit(db: Database, shop: Origin) -> None:
    db.execute("CREATE REALTIME VIEW total AS SELECT sum(amount) AS amount FROM shop.orders")
    db.sync.sync()
    told = Told()
    db.sync.before_sync(told, ["total", "shop.orders"])
    insert(shop, 1000)
    db.sync.wait(timeout=WAIT_SECONDS)
    (one,) = told
    assert one.views == ("main.total", "shop.orders")
    change = one.payload["main.total"]
    assert (change.lsn, change.deleted.num_rows, change.inserted.num_rows) == (None, 1, 1)


def test_columns_of_another_type_leave_and_arrive_whole(db: Database, shop: Origin) -> None:
    db.sync.sync("shop.orders")
    told = Told()
    db.sync.before_sync(told)
    shop.execute("INSERT INTO orders VALUES (1000, 1, 1, 'NaN', 'new')")
    db.sync.wait("shop.orders", timeout=WAIT_SECONDS)
    change = told[-1].payload["shop.orders"]
    assert (told[-1].phase, change.deleted.num_rows, change.inserted.num_rows) == ("clone", 100, 101)
    assert change.deleted.schema.field("amount").type != change.inserted.schema.field("amount").type


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("shop.*",), errors.DefinitionError),
        ((Told(), "shop.nowhere"), errors.UnknownName),
        ((Told(), 7), errors.DefinitionError),
    ],
)
def test_what_cannot_be_a_hook(db: Database, arguments: Any, error: type[errors.FlashQLError]) -> None:
    for register in (db.sync.before_sync, db.sync.after_sync):
        with pytest.raises(error):
            register(*arguments)
    with pytest.raises(errors.DefinitionError, match="timeout"):
        db.sync.before_sync(Told(), timeout=0)


# -- refusals


async def refuses_async(context: SyncContext) -> None:
    raise ValueError("not today")


async def hangs_async(context: SyncContext) -> None:
    await asyncio.sleep(1e6)


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (Told(ValueError), "ValueError: no"),
        (Told(PermissionError("not yours")), "PermissionError: not yours"),
        (Told(SystemExit), "SystemExit: no"),
        (Told(TimeoutError), "TimeoutError: no"),
        (refuses_async, "ValueError: not today"),
        (hangs_async, "longer than 0.2 s"),
    ],
)
def test_a_refusal_applies_nothing_says_why_and_is_asked_again(
    shop: Origin, database_path: str, hook: Any, said: str
) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
        seen = job(db, "shop.orders").last_seen_commit
        handle = db.sync.before_sync(hook, "shop.big", timeout=0.2)
        insert(shop, 1000)
        until(lambda: said in (job(db, "shop.orders").last_error or ""), "each job of the origin says who refused")
        refused = job(db, "shop.orders")
        if refused.state == "failed":  # it may be asked again already
            assert (refused.last_seen_commit, refused.rows) == (seen, 100)
        assert "before_sync hook" in (refused.last_error or "")
        handle.remove()
        follows(db, shop)
        assert job(db, "shop.orders").last_error is None


def test_nothing_of_a_refused_batch_is_confirmed(shop: Origin, database_path: str) -> None:
    refusing = threading.Event()
    refusing.set()
    asked: list[float] = []

    def refuse(context: SyncContext) -> Exception | None:
        asked.append(time.monotonic())
        return ValueError("no") if refusing.is_set() else None

    with open_shop(shop, database_path) as db:
        db.sync.sync()
        db.sync.before_sync(refuse)
        insert(shop, 1000)
        until(lambda: len(asked) == 5, "it is asked again and again")
        assert asked[4] - asked[3] > asked[2] - asked[1], "with growing pauses"
        applied = db.execute("SELECT applied_lsn FROM flashql.origins").fetchall()[0][0]
        ((confirmed,),) = shop.query(
            "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name LIKE 'flashql%' "
            "AND NOT temporary AND database = current_database()"
        )
        assert confirmed <= applied
        assert db.execute("SELECT count(*) FROM shop.orders").fetchall() == [(100,)]
        refusing.clear()
        follows(db, shop)


def test_a_first_clone_that_is_refused_leaves_nothing_to_read(db: Database, shop: Origin) -> None:
    handle = db.sync.before_sync(Told(*[ValueError] * 1000))
    report = db.sync.sync()
    assert {name: type(error) for name, error in report.failed.items()} == dict.fromkeys(
        ("shop.products", "shop.orders", "shop.big"), errors.HookRefused
    )
    assert job(db, "shop.products").state == "failed"
    with pytest.raises(errors.ViewNotReady):
        db.execute("SELECT * FROM shop.products")
    with pytest.raises(errors.ViewNotReady):
        db.execute("SELECT * FROM shop.orders")
    handle.remove()
    assert db.sync.sync()
    follows(db, shop)
    tables = db.execute("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'flashql_data'").fetchall()
    assert tables == [(2,)], "the tables of refused clones are gone"


def test_a_refused_refresh_keeps_the_rows(db: Database, shop: Origin) -> None:
    db.sync.sync()
    shop.execute("DELETE FROM products")
    told = Told(ValueError)
    db.sync.before_sync(told, "shop.products")
    with pytest.raises(errors.HookRefused, match=r"refused clone of shop\.products: ValueError: no"):
        db.execute("REFRESH VIEW shop.products")
    assert db.execute("SELECT count(*) FROM shop.products").fetchall() == [(10,)]
    db.execute("REFRESH VIEW shop.products")
    assert [one.payload["shop.products"].deleted.num_rows for one in told] == [10, 10]


def test_a_hook_that_hangs_is_refusal_and_its_threads_do_not_pile_up(shop: Origin, database_path: str) -> None:
    release, entered = threading.Event(), Counter[str]()

    def hang(context: SyncContext) -> None:
        entered["hang"] += 1
        release.wait()

    with open_shop(shop, database_path) as db:
        db.sync.sync()
        db.sync.before_sync(hang, timeout=0.1)
        insert(shop, 1000)
        until(lambda: "an earlier call" in (job(db, "shop.orders").last_error or ""), "it is refused, each time")
        assert entered["hang"] == 1
        release.set()
        follows(db, shop)
    release.set()


def test_closing_waits_for_no_hook(shop: Origin, database_path: str) -> None:
    release, inside = threading.Event(), threading.Event()

    def hang(context: SyncContext) -> None:
        inside.set()
        release.wait()

    try:
        with open_shop(shop, database_path) as db:
            db.sync.sync()
            db.sync.before_sync(hang, timeout=3600)
            insert(shop, 1000)
            assert inside.wait(WAIT_SECONDS)
        with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
            assert db.execute("SELECT count(*) FROM shop.orders").fetchall() == [(100,)]
            db.sync.sync()
            follows(db, shop)
    finally:
        release.set()


def test_a_hook_removed_while_it_refuses_and_a_slow_one(db: Database, shop: Origin) -> None:
    db.sync.sync()
    handles: list[Hook] = []
    slow = threading.Event()

    def once(context: SyncContext) -> None:
        handles[0].remove()
        raise ValueError("for the last time")

    handles.append(db.sync.before_sync(once))
    db.sync.before_sync(lambda _: slow.wait(0.3))
    insert(shop, 1000)
    follows(db, shop)
    assert job(db, "shop.orders").state == "running"


# -- what they may do


@pytest.mark.parametrize(
    "act",
    [
        lambda db: db.execute("INSERT INTO notes VALUES (1)"),
        lambda db: db.execute("CREATE TABLE other (a INT)"),
        lambda db: db.execute("CREATE REALTIME VIEW shop.more AS SELECT * FROM products"),
        lambda db: db.execute("DROP VIEW shop.big"),
        lambda db: db.sync.sync(),
        lambda db: db.sync.stop(),
        lambda db: db.sync.wait(),
        lambda db: db.sync.verify(),
        lambda db: db.sync.resume(),
        lambda db: db.sync.forget("shop.big"),
        lambda db: db.sync.before_sync(print),
    ],
)
def test_a_before_hook_cannot_write_to_what_waits_for_it(db: Database, shop: Origin, act: Any) -> None:
    db.execute("CREATE TABLE notes (id INT)")
    db.execute("CREATE REALTIME VIEW counted AS SELECT count(*) AS n FROM notes")
    db.sync.sync()
    raised: list[Exception] = []

    def write(context: SyncContext) -> None:
        try:
            act(db)
        except errors.DatabaseError as error:
            raised.append(error)

    db.sync.before_sync(write)
    insert(shop, 1000)
    db.sync.wait("shop.orders", timeout=WAIT_SECONDS)
    assert [str(error).splitlines()[0] for error in raised] == [
        "a before_sync hook cannot write to the database whose commit it guards: that waits for the hook"
    ]
    assert db.execute("SELECT count(*) FROM notes").fetchall() == [(0,)]


def test_a_before_hook_reads_what_was_committed_before_and_another_database(db: Database, shop: Origin) -> None:
    db.sync.sync()
    seen: list[Any] = []

    async def look(context: SyncContext) -> None:
        with db.cursor() as cursor:
            seen.append(cursor.execute("SELECT count(*) FROM shop.orders").fetchall())
        await asyncio.to_thread(lambda: seen.append(context.rows))
        with flashql.connect() as other:
            other.execute("CREATE TABLE t AS SELECT 1 AS a")

    db.sync.before_sync(look, "shop.orders")
    insert(shop, 1000)
    follows(db, shop)
    assert seen == [[(100,)], 1]


def test_an_after_hook_may_write_and_its_failures_are_its_own(
    db: Database, shop: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    db.execute("CREATE TABLE journal (phase VARCHAR, rows BIGINT)")
    db.sync.sync()
    threads: set[str] = set()

    async def note(context: SyncContext) -> None:
        threads.add(threading.current_thread().name)
        with db.cursor() as cursor:
            cursor.execute("INSERT INTO journal VALUES (?, ?)", [context.phase, context.rows])
            cursor.execute("CREATE OR REPLACE REALTIME VIEW counted AS SELECT count(*) AS n FROM journal")
        db.sync.sync("counted")

    db.sync.after_sync(Told(ValueError, KeyError("returned")), "shop.orders")
    db.sync.after_sync(note, "shop.orders")
    with caplog.at_level(logging.ERROR, "flashql.hooks"):
        for number in (1000, 1001):
            insert(shop, number)
            db.sync.wait("shop.orders", timeout=WAIT_SECONDS)
            until(partial(_counts, db, "journal", number - 999), "it is noted")
    assert db.execute("SELECT DISTINCT phase, rows FROM journal").fetchall() == [("pull", 1)]
    assert threads == {"flashql-hook"}
    assert [record.getMessage().rsplit(": ", 2)[-2:] for record in caplog.records] == [
        ["ValueError", "no"],
        ["KeyError", "'returned'"],
    ]
    assert job(db, "shop.orders").state == "running"


def test_an_after_hook_that_hangs_is_left_and_holds_up_nobody(
    db: Database, shop: Origin, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "WAITING_CONTEXTS", 5)
    db.sync.sync()
    release, told = threading.Event(), Told()

    def wait(context: SyncContext) -> None:
        release.wait()

    slow = db.sync.after_sync(wait, "shop.orders", timeout=3600)
    db.sync.after_sync(told, "shop.orders")
    for number in range(1000, 1020):
        insert(shop, number)
        db.sync.wait("shop.orders", timeout=WAIT_SECONDS)
    assert db.execute("SELECT count(*) FROM shop.orders").fetchall() == [(120,)]
    assert len(told) == 0
    slow.remove()
    with caplog.at_level(logging.WARNING, "flashql.hooks"):
        release.set()
        until(lambda: len(told) == 6, "the first, and what still waited")
    assert [one.left_out for one in told] == [0, 14, 0, 0, 0, 0]
    assert told[-1].payload["shop.orders"].inserted.to_pylist()[0]["id"] == 1019
    assert "14 commits before this one were left out" in caplog.text

    release.clear()
    db.sync.after_sync(wait, "shop.orders", timeout=0.05)
    with caplog.at_level(logging.ERROR, "flashql.hooks"):
        for number in (1020, 1021):
            insert(shop, number)
            until(partial(_has, told, number - 1013), "the next hook is told all the same")
        until(lambda: "earlier call" in caplog.text, "it is not called again while it hangs")
    assert "it took longer than 0.05 s" in caplog.text
    release.set()


def test_without_hooks_nothing_is_computed(db: Database, shop: Origin) -> None:
    db.sync.sync()
    hooked = db.sync.before_sync(Told(), "shop.big")
    assert db.maintenance.watchers.tables()
    hooked.remove()
    assert not db.maintenance.watchers.tables()
    follows(db, shop)
