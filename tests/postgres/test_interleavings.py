"""Whatever is asked of sync, in whatever order and while the network breaks: jobs are in legal states, rows are right.

FLASHQL_CONTROL_SECONDS=300 pytest tests/postgres/test_interleavings.py -s    longer than the default
FLASHQL_TEST_SEED=...                                                         that order first

The simulation does the same with crashes at every commit, without a real server and so without comparisons of rows.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import flashql
from flashql import Hook, SyncContext, errors
from flashql.database import Database
from flashql.quoting import qualified
from flashql.store import DATA_SCHEMA
from flashql.store.copies import copies
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import make_shop, until
from tests.seeds import first_seed
from tests.simulation.simulation import TOGETHER

SECONDS = float(os.environ.get("FLASHQL_CONTROL_SECONDS", "8"))
STEPS = 25
WAIT_SECONDS = 90.0

VIEWS = {
    "shop.orders": "SELECT * FROM orders",
    "shop.big": "SELECT id, amount FROM orders WHERE amount > 20",
    "shop.spent": "SELECT customer_id, sum(amount) AS spent FROM orders GROUP BY customer_id",
    "shop.names": "SELECT o.id, c.name FROM orders AS o JOIN customers AS c ON c.id = o.customer_id",
    "shop.products": "SELECT id, name, price FROM products",
}
ACTIONS = {
    "write": 8, "sync": 3, "force": 1, "stop": 3, "resume": 3, "reopen": 1, "cut": 2, "offline": 1, "online": 2,
    "refuse": 2, "agree": 2, "wake": 3, "reconcile": 2, "spoil": 2, "refresh": 1, "wait": 1,
}  # fmt: skip

pytestmark = pytest.mark.timeout(240 + 3 * SECONDS)


class Control:
    """One database, a network that breaks, and what is done to both. `act` raises for what is not as it must be."""

    def __init__(self, origin: Origin, path: Path, proxy: Proxy, chance: random.Random) -> None:
        self.origin = origin
        self.db: Database
        self._path = path
        self._proxy = proxy
        self._chance = chance
        self._hooks: list[Hook] = []
        self._calls: list[threading.Thread] = []
        self._unexpected: list[BaseException] = []
        self._open()
        self.db.execute("CREATE SCHEMA shop WITH (replication_origin = 'primary')")
        for name, query in VIEWS.items():
            kind = "MATERIALIZED" if name == "shop.products" else "REALTIME"
            self.db.execute(f"CREATE {kind} VIEW {name} AS {query}")

    def _open(self) -> None:
        self.db = flashql.connect(str(self._path), origins={"primary": self._proxy.dsn})

    def act(self, action: str) -> None:
        """Do it, beside whatever is still under way, and look at every job."""
        some = self._chance.sample(sorted(VIEWS), self._chance.randint(1, len(VIEWS)))
        sync = self.db.sync
        match action:
            case "write":
                self._write()
            case "sync" | "resume" | "reconcile":
                self._call(getattr(sync, action), some)
            case "force":
                self._call(sync.sync, some, force=True)
            case "wait":
                self._call(sync.wait, some, timeout=1.0)
            case "refresh":
                self._call(self.db.cursor().execute, f"REFRESH VIEW {some[0]}")
            case "stop":
                sync.stop(some, disable=self._chance.random() < 0.5)
            case "wake":
                sync.wake(some)
            case "reopen":
                self.close()
                self._open()
            case "cut":
                self._proxy.cut()
            case "offline":
                self._proxy.refuse()
                self._proxy.cut()
            case "online":
                self._proxy.accept()
            case "refuse":
                self._hooks.append(sync.before_sync(self._refuse, some, timeout=5))
            case "agree":
                self._agree()
            case "spoil":
                self._spoil()
        self.look()

    def _write(self) -> None:
        number = self._chance.randrange(200)
        self.origin.execute(
            self._chance.choice(
                (
                    f"INSERT INTO orders VALUES ({number}, 1, 1, {number}, 'new') "
                    "ON CONFLICT (id) DO UPDATE SET amount = orders.amount + 1",
                    f"DELETE FROM orders WHERE id % 17 = {number % 17}",
                    f"UPDATE customers SET name = name || '.' WHERE id = {number % 20}",
                    f"UPDATE products SET price = price + 1 WHERE id = {number % 10}",
                    "TRUNCATE orders",
                    f"UPDATE orders SET id = id + 1000 WHERE id = {number}",
                )
            )
        )

    def _refuse(self, _: SyncContext) -> Exception | None:
        return ValueError("refused") if self._chance.random() < 0.9 else None

    def _agree(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def _spoil(self) -> None:
        """Change a copy behind FlashQL's back, so that there is something to reconcile."""
        with self.db.store.transaction(of_stream=True) as writer:
            for copy in copies(self.db.store, "primary"):
                if copy.name == "customers" and copy.local_table is not None:
                    writer.execute(
                        f"UPDATE {qualified(DATA_SCHEMA, copy.local_table)} SET name = 'spoiled' WHERE id = 3"
                    )

    def _call(self, verb: object, *arguments: object, **options: object) -> None:
        def call() -> None:
            assert callable(verb)
            try:
                with suppress(errors.FlashQLError, TimeoutError):
                    verb(*arguments, **options)
            except BaseException as unexpected:
                self._unexpected.append(unexpected)

        thread = threading.Thread(target=call)
        self._calls.append(thread)
        thread.start()
        thread.join(self._chance.choice((0.0, 0.05, 1.0)))

    def look(self) -> None:
        """Every job is in a phase of its state, and nothing was raised that nobody expected."""
        assert not self._unexpected, self._unexpected
        for name, state, phase in self.db.execute("SELECT relation_id, state, phase FROM flashql.sync_jobs").fetchall():
            assert phase in TOGETHER[state], (name, state, phase)

    def settle(self) -> None:
        """The network is there, nobody refuses: each view comes to what its query returns at the origin."""
        self._proxy.accept()
        self._agree()
        self.finish()
        report = self.db.sync.resume()
        assert report, report.failed
        self.db.sync.wait(timeout=WAIT_SECONDS)
        repaired = self.db.sync.reconcile()
        assert all(one.equal_after is not False for one in repaired), repaired
        assert self.db.sync.sync("shop.products", force=True)
        for name, query in VIEWS.items():
            same_rows(self.origin, self.db, query, f"SELECT * FROM {name}")
        ends = dict.fromkeys(VIEWS, ("running", "pull")) | {"shop.products": ("synced", None)}
        assert {one.relation_id: (one.state, one.phase) for one in self.db.sync.status()} == ends
        assert not any(one.stale or one.last_error for one in self.db.sync.status())

    def finish(self) -> None:
        """Wait for the calls under way."""
        until(lambda: not any(call.is_alive() for call in self._calls), "every call returns", WAIT_SECONDS)
        self._calls.clear()

    def close(self) -> None:
        """Close the database; calls under way end by that."""
        self.db.close()
        self.finish()
        self._hooks.clear()


def interleaved(seed: int, origin: Origin, path: Path) -> None:
    """The order of a seed, and its end."""
    chance, proxy = random.Random(seed), Proxy(origin.dsn)
    origin.execute("DROP TABLE IF EXISTS customers, products, orders")
    make_shop(origin)
    done: list[str] = []
    try:
        control = Control(origin, path, proxy, chance)
        try:
            for action in _drawn(chance):
                done.append(action)
                control.act(action)
            control.settle()
        finally:
            proxy.accept()
            control.close()
    except BaseException as problem:
        problem.add_note(f"FLASHQL_TEST_SEED={seed}: {', '.join(done)}")
        raise
    finally:
        proxy.close()


def _drawn(chance: random.Random) -> Iterator[str]:
    yield from ("sync", "write")
    for _ in range(STEPS):
        yield from chance.choices(list(ACTIONS), list(ACTIONS.values()))


def test_any_interleaving_ends_in_legal_states_and_the_same_rows(origin: Origin, tmp_path: Path) -> None:
    seed = first_seed()
    deadline, orders = time.monotonic() + SECONDS, 0
    while orders == 0 or time.monotonic() < deadline:
        sys.stdout.write(f"FLASHQL_TEST_SEED={seed}\n")  # pytest shows it when the test fails
        interleaved(seed, origin, tmp_path / f"{seed}.duckdb")
        orders += 1
        seed += 1
    sys.stdout.write(f"{orders} orders of {STEPS} actions\n")
