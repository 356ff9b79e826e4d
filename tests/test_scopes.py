"""Scopes: named groups of views, their states and counters, what survives restarts, crashes and other threads."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flashql
from flashql import errors
from flashql.database import Database
from flashql.instances import TRANSITIONS, Counts, InstanceState, ScopeState, Turn, scope_state
from flashql.store import Store
from flashql.store.scopes import ScopeStatus, add_views, begin_run, interrupt_all, move, scopes
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import make_shop, open_shop, until

ALL = {"shop.big", "shop.customers", "shop.orders", "shop.products"}


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_shop(origin)


def counters(scope: ScopeStatus) -> tuple[int, int, int, int]:
    """Not started, syncing, failed, synced."""
    return scope.not_started, scope.syncing, scope.failed, scope.synced


def states(scope: ScopeStatus) -> dict[str, str]:
    """The state of each view of the scope."""
    return {name: one["state"] for name, one in scope.details.items()}


def operations(db: Database) -> dict[str, tuple[str | None, str, str, str, bool]]:
    """The rows of `sync_status`, by id: provider, entity, function, state, whether there is an error."""
    rows = db.execute(
        "SELECT id, provider, entity, function_id, state, error IS NOT NULL FROM flashql.sync_status"
    ).fetchall()
    assert len(rows) == len({row[0] for row in rows})
    return {row[0]: row[1:] for row in rows}


# -- what a run does


def test_a_scope_syncs_its_views_and_remembers(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        done = db.sync.scopes.start("nightly", "shop.*", wait=True).status()
        assert (done.id, done.state, counters(done)) == ("nightly", "synced", (0, 0, 0, 4))
        assert states(done) == dict.fromkeys(ALL, "synced")
        assert done.last_failed_at is None
        assert done.last_synced_at is not None
        assert done.last_synced_at >= done.last_started_at
        same_rows(shop, db, "SELECT * FROM products", "SELECT * FROM shop.products")
        same_rows(shop, db, "SELECT id, amount FROM orders", "SELECT id, amount FROM shop.orders")
        assert operations(db)["nightly/shop.orders"] == ("primary", "shop.orders", "nightly", "synced", False)
    with flashql.connect(database_path, read_only=True) as db:
        assert db.sync.scopes.status() == [done]
        (row,) = db.execute(
            "SELECT id, state, not_started, syncing, failed, synced, last_synced_at IS NOT NULL, "
            "json_extract_string(details, '$.\"shop.big\".state') FROM flashql.sync_scopes"
        ).fetchall()
        assert row == ("nightly", "synced", 0, 0, 0, 4, True, "synced")
        with pytest.raises(errors.DatabaseReadOnly):
            db.sync.scopes.start("nightly", "shop.*")
        with pytest.raises(errors.DatabaseReadOnly):
            db.sync.scopes.delete("nightly")


def test_a_plain_sync_is_an_operation_too(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.execute("CREATE MATERIALIZED VIEW shop.broken AS SELECT 1 / (id - 1) AS x FROM products")
        db.sync.sync(["shop.orders", "shop.broken"])
        assert operations(db) == {
            "sync/shop.orders": ("primary", "shop.orders", "sync", "synced", False),
            "sync/shop.broken": ("primary", "shop.broken", "sync", "failed", True),
        }
        assert db.sync.scopes.status() == []
        db.sync.scopes.delete_status("sync/shop.broken")
        assert set(operations(db)) == {"sync/shop.orders"}
        with pytest.raises(errors.UnknownName, match=r"sync/shop\.broken"):
            db.sync.scopes.delete_status("sync/shop.broken")


def test_one_failure_stops_no_other_and_history_stays(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.execute("CREATE MATERIALIZED VIEW shop.broken AS SELECT 1 / (id - 1) AS x FROM products")
        failed = db.sync.scopes.start("all", "*", wait=True).status()
        assert (failed.state, counters(failed)) == ("failed", (0, 0, 1, 4))
        assert "division by zero" in failed.details["shop.broken"]["error"]
        assert failed.last_failed_at is not None
        assert failed.last_synced_at is None
        shop.execute("DELETE FROM products WHERE id = 1")
        mended = db.sync.scopes.start("all", "*", wait=True).status()
        assert (mended.state, counters(mended)) == ("synced", (0, 0, 0, 5))
        assert mended.details["shop.broken"]["error"] is None
        assert mended.last_failed_at == failed.last_failed_at
        assert mended.last_synced_at is not None
        assert mended.last_started_at > failed.last_started_at
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert db.sync.scopes.status("all") == mended


def test_force_is_that_of_sync(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.scopes.start("p", "shop.products", wait=True)
        shop.execute("UPDATE products SET price = 99 WHERE id = 1")
        db.sync.scopes.start("p", "shop.products", wait=True)
        assert db.execute("SELECT count(*) FROM shop.products WHERE price = 99").fetchall() == [(0,)]
        db.sync.scopes.start("p", "shop.products", wait=True, force=True)
        same_rows(shop, db, "SELECT * FROM products", "SELECT * FROM shop.products")


def test_a_stopped_view_is_left_alone_and_not_counted(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync()
        db.sync.stop("shop.big")
        done = db.sync.scopes.start("s", "shop.*", wait=True).status()
        assert (done.state, counters(done)) == ("synced", (0, 0, 0, 3))
        assert states(done)["shop.big"] == "stopped"
        assert "s/shop.big" not in operations(db)


def test_nothing_selected_is_synced_at_once(shop: Origin) -> None:
    with open_shop(shop) as db:
        none = db.sync.scopes.start("none", "crm.*").wait(5)
        assert (none.state, counters(none), dict(none.details)) == ("synced", (0, 0, 0, 0), {})
        assert none.last_synced_at is not None


def test_bad_input_changes_nothing(shop: Origin) -> None:
    with open_shop(shop) as db:
        with pytest.raises(errors.UnknownName, match=r"shop\.order"):
            db.sync.scopes.start("s", ["shop.order"])
        for unfit in ("", "sync"):
            with pytest.raises(errors.DefinitionError, match="cannot be a scope's id"):
                db.sync.scopes.start(unfit, "*")
        assert db.sync.scopes.status() == []
        for ask in (db.sync.scopes.status, db.sync.scopes.delete):
            with pytest.raises(errors.UnknownName, match="there is no scope s"):
                ask("s")


def test_an_origin_that_is_away_fails_its_views_only(shop: Origin, proxy: Proxy) -> None:
    with flashql.connect(origins={"primary": shop.dsn, "away": proxy.dsn}) as db:
        db.execute("CREATE SCHEMA a WITH (replication_origin = 'primary')")
        db.execute("CREATE SCHEMA b WITH (replication_origin = 'away')")
        for schema in ("a", "b"):
            db.execute(f"CREATE MATERIALIZED VIEW {schema}.m AS SELECT id FROM products")
            db.execute(f"CREATE REALTIME VIEW {schema}.r AS SELECT id FROM products")
        proxy.refuse()
        proxy.cut()
        done = db.sync.scopes.start("both", "*").wait(60)
        assert (done.state, counters(done)) == ("failed", (0, 0, 2, 2))
        assert states(done) == {"a.m": "synced", "a.r": "synced", "b.m": "failed", "b.r": "failed"}


# -- while it runs


class Gate:
    """Holds the first batch of rows that a sync reads, until it is opened."""

    def __init__(self, db: Database) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        db.sync.progress = lambda *_: self._hold()

    def _hold(self) -> None:
        self.reached.set()
        assert self.opened.wait(60)


def test_each_outcome_is_seen_as_it_comes(shop: Origin) -> None:
    with open_shop(shop) as db:
        db.sync.sync("shop.orders")
        gate = Gate(db)
        scope = db.sync.scopes.start("s", "shop.*")
        assert gate.reached.wait(30)  # the materialized view is being read
        until(lambda: counters(scope.status()) == (0, 1, 0, 3), "all others are synced")
        assert scope.status().state == "syncing"
        assert states(scope.status())["shop.products"] == "syncing"
        assert operations(db)["s/shop.products"][3] == "syncing"
        with pytest.raises(TimeoutError, match="scope s was not complete within"):
            scope.wait(0.01)
        gate.opened.set()
        assert scope.wait(30).state == "synced"


def test_starting_a_running_scope_joins_it(shop: Origin) -> None:
    with open_shop(shop) as db:
        gate = Gate(db)
        first = db.sync.scopes.start("s", "shop.products")
        assert gate.reached.wait(30)
        run = db.execute("SELECT run_id FROM flashql.scopes").fetchall()
        second = db.sync.scopes.start("s", ["shop.products", "shop.customers"])
        assert db.execute("SELECT run_id FROM flashql.scopes").fetchall() == run
        assert counters(second.status()) == (1, 1, 0, 0)
        gate.opened.set()
        assert first.wait(30) == second.wait(30)
        assert counters(first.status()) == (0, 0, 0, 2)


def test_a_restart_begins_anew(shop: Origin) -> None:
    with open_shop(shop) as db:
        gate = Gate(db)
        first = db.sync.scopes.start("s", "shop.products")
        assert gate.reached.wait(30)
        again = db.sync.scopes.start("s", ["shop.customers", "shop.orders"], restart=True)
        assert states(first.status()) == {"shop.customers": "not_started", "shop.orders": "not_started"}
        gate.opened.set()
        done = again.wait(60)
        assert (done.state, counters(done)) == ("synced", (0, 0, 0, 2))
        until(lambda: db.sync.status("shop.products")[0].state == "synced", "what the first began goes on")
        assert first.wait(1) == done


def test_threads_that_start_the_same_scope_share_one_run(shop: Origin) -> None:
    with open_shop(shop) as db:
        gate = Gate(db)
        db.sync.scopes.start("s", "shop.products")
        assert gate.reached.wait(30)
        with ThreadPoolExecutor(8) as pool:
            started = [pool.submit(db.sync.scopes.start, "s", "shop.*") for _ in range(32)]
            handles = [one.result() for one in started]
        assert counters(db.sync.scopes.status("s")) == (3, 1, 0, 0)
        gate.opened.set()
        done = {handle.wait(60).state for handle in handles}
        assert done == {"synced"}
        assert counters(db.sync.scopes.status("s")) == (0, 0, 0, 4)


def test_threads_that_start_restart_and_delete_end_in_a_legal_state(shop: Origin) -> None:
    with open_shop(shop) as db:

        def disturb(at: int) -> None:
            db.sync.scopes.start(f"s{at % 2}", "shop.*", restart=at % 3 == 0, force=at % 5 == 0)
            if at % 7 == 0:
                with suppress(errors.UnknownName):  # another was quicker
                    db.sync.scopes.delete(f"s{at % 2}")

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(disturb, range(40)))
        for name in ("s0", "s1"):
            done = db.sync.scopes.start(name, "shop.*").wait(60)
            assert (done.state, counters(done)) == ("synced", (0, 0, 0, 4))
        same_rows(shop, db, "SELECT * FROM products", "SELECT * FROM shop.products")


def test_a_view_dropped_meanwhile_fails_alone(shop: Origin) -> None:
    with open_shop(shop) as db:
        gate = Gate(db)
        db.sync.scopes.start("busy", "shop.products")
        assert gate.reached.wait(30)
        scope = db.sync.scopes.start("s", ["shop.orders", "shop.customers"])
        db.execute("DROP VIEW shop.customers")
        gate.opened.set()
        done = scope.wait(60)
        assert states(done) == {"shop.customers": "failed", "shop.orders": "synced"}
        assert done.details["shop.customers"]["error"] == "shop.customers was dropped meanwhile"


def test_a_view_stopped_meanwhile_fails_or_is_left_alone(shop: Origin) -> None:
    with open_shop(shop) as db:
        gate = Gate(db)
        scope = db.sync.scopes.start("s", ["shop.orders"])
        assert gate.reached.wait(30)
        stopping = threading.Thread(target=db.sync.stop, args=("shop.orders",))
        stopping.start()
        gate.opened.set()
        done = scope.wait(60)
        stopping.join()
        assert counters(done) in ((0, 0, 1, 0), (0, 0, 0, 1))
        assert db.sync.scopes.start("s", ["shop.orders"]).wait(60).details["shop.orders"]["state"] == "stopped"


def test_a_deleted_scope_is_forgotten_and_its_views_are_synced(shop: Origin) -> None:
    with open_shop(shop) as db:
        gate = Gate(db)
        scope = db.sync.scopes.start("s", "shop.products")
        assert gate.reached.wait(30)
        db.sync.scopes.delete("s")
        with pytest.raises(errors.UnknownName, match="there is no scope s"):
            scope.wait(5)
        gate.opened.set()
        until(lambda: db.sync.status("shop.products")[0].state == "synced", "the view is synced all the same")
        assert db.sync.scopes.status() == []
        assert operations(db) == {}


def test_closing_interrupts_and_the_next_start_completes(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync("shop.orders")
        gate = Gate(db)
        scope = db.sync.scopes.start("s", "shop.*")
        assert gate.reached.wait(30)
        until(lambda: scope.status().synced == 3, "the others")
        threading.Timer(0.2, gate.opened.set).start()
    with flashql.connect(database_path, read_only=True) as db:
        cut = db.sync.scopes.status("s")
        assert (cut.state, counters(cut)) == ("interrupted", (0, 0, 0, 3))
        assert states(cut)["shop.products"] == "interrupted"
        assert operations(db)["s/shop.products"][3] == "interrupted"
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert db.sync.scopes.status("s") == cut
        done = db.sync.scopes.start("s", "shop.*").wait(60)
        assert (done.state, counters(done)) == ("synced", (0, 0, 0, 4))
        same_rows(shop, db, "SELECT * FROM products", "SELECT * FROM shop.products")


def test_a_closed_database_starts_none(shop: Origin) -> None:
    with open_shop(shop) as db:
        pass
    with pytest.raises(errors.DatabaseError, match="closed"):
        db.sync.scopes.start("s", "*")


# -- the rules


@given(st.builds(Counts, *[st.integers(0, 3)] * 6), st.booleans())
def test_a_scope_has_the_state_that_its_counts_say(counts: Counts, cut: bool) -> None:
    state = scope_state(counts, cut=cut)
    left = counts.not_started + counts.syncing + counts.interrupted > 0
    assert (state is ScopeState.INTERRUPTED) == (left and cut)
    assert (state is ScopeState.SYNCING) == (left and not cut)
    assert (state is ScopeState.FAILED) == (not left and counts.failed > 0)
    assert (state is ScopeState.SYNCED) == (not left and counts.failed == 0)


VIEWS = ["s.a", "s.b", "s.c"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.sets(st.sampled_from(VIEWS))),
        st.tuples(st.just("add"), st.sets(st.sampled_from(VIEWS))),
        st.tuples(st.just("crash"), st.just(set[str]())),
        st.tuples(st.just("late"), st.sets(st.sampled_from(VIEWS), min_size=1)),  # of a run before
        *(
            st.tuples(st.just(turn.value), st.sets(st.sampled_from(VIEWS), min_size=1))
            for turn in Turn
            if turn is not Turn.CUT
        ),
    ),
    max_size=20,
)


class Model:
    """What rows of a scope are to say, told without SQL."""

    def __init__(self) -> None:
        self.states: dict[str, InstanceState] = {}
        self.state: ScopeState | None = None
        self.history: Counter[str] = Counter()

    def turn(self, turn: Turn, names: set[str]) -> None:
        """Move the instances that have such a move."""
        for name in names & self.states.keys():
            self.states[name] = TRANSITIONS.get((self.states[name], turn), self.states[name])
        self.settle()

    def settle(self) -> None:
        """The state after a change; a completed run is history."""
        state = scope_state(Counts.of(self.states.values()), cut=False)
        if state is not self.state and state in (ScopeState.FAILED, ScopeState.SYNCED):
            self.history[state] += 1
        self.state = state


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_rows_say_what_the_rules_do(steps: list[tuple[str, set[str]]]) -> None:
    store, model, run = Store(":memory:"), Model(), 0
    try:
        for what, names in steps:
            with store.transaction() as writer:
                if what == "start":
                    run += 1
                    begin_run(writer, "x", str(run), sorted(names))
                    model.states = dict.fromkeys(names, InstanceState.NOT_STARTED)
                    model.state = ScopeState.SYNCING
                    model.settle()
                elif not run:
                    continue
                elif what == "add" and model.state is ScopeState.SYNCING:
                    add_views(writer, "x", str(run), sorted(names))
                    model.states = dict.fromkeys(names, InstanceState.NOT_STARTED) | model.states
                    model.settle()
                elif what == "late":
                    assert not move(writer, "x", str(run - 1), Turn.FAIL, dict.fromkeys(names, "late"))
                elif what == "crash" and model.state is ScopeState.SYNCING:
                    interrupt_all(writer)
                    model.states = {n: TRANSITIONS.get((s, Turn.CUT), s) for n, s in model.states.items()}
                    model.state = ScopeState.INTERRUPTED
                elif what in set(Turn) and model.state is ScopeState.SYNCING:
                    assert move(writer, "x", str(run), Turn(what), dict.fromkeys(names))
                    model.turn(Turn(what), names)
            if run:
                agree(store, model)
    finally:
        store.close()


def agree(store: Store, model: Model) -> None:
    """The scope's row is as the model has it, and its counters add up."""
    found = scopes(store)["x"]
    assert states(found) == model.states
    assert found.state == model.state
    assert found.cut().state == scope_state(Counts.of(model.states.values()), cut=True)
    counted = asdict(Counts.of(model.states.values()))
    assert counters(found) == tuple(counted[name] for name in ("not_started", "syncing", "failed", "synced"))
    assert sum(counted.values()) == len(found.details)
    assert (found.last_failed_at is not None) == bool(model.history[ScopeState.FAILED])
    assert (found.last_synced_at is not None) == bool(model.history[ScopeState.SYNCED])
