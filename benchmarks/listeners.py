"""Whether replication waits for whoever listens to its events: the same writes followed with and without listeners.

`python -m benchmarks.listeners` writes one-row transactions as fast as one session can, and takes the time until the
local copy has them all; by turns with nobody who listens, with a callback that is quick, one that sleeps a second for
each event, and one that never returns. What is reported is the medians of the rounds, and of each round's ratios to
nobody.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measuring import (
    TABLE,
    VIEWS,
    Connection,
    bounded,
    opened,
    origin_database,
    require_equal,
    row_values,
    save,
    session,
    synced,
    table,
)
from flashql.database import Database
from flashql.events import SyncEvent
from flashql.listening import Handle

ROUNDS, TRANSACTIONS = 5, 40_000
_AT_MOST_SECONDS = 280

Callback = Callable[[SyncEvent], object]


def followed(database: Database, origin: Connection, first: int, count: int) -> float:
    """Write rows `first` to `first + count`, each its own transaction; seconds until the copy has them."""
    began = time.monotonic()
    for number in range(first, first + count):
        origin.execute(b"EXECUTE add_row (%d)" % number)
    database.sync.wait(timeout=_AT_MOST_SECONDS)
    return time.monotonic() - began


def listening(database: Database, callback: Callback | None) -> list[Handle]:
    """Two listeners with that callback: of what is applied, and of everything."""
    return [] if callback is None else [database.sync.on(name, callback) for name in ("sync_applied", "*")]


def measure(rounds: int, transactions: int) -> list[dict[str, object]]:
    """One row for each kind of listener."""
    over = threading.Event()
    told: list[object] = []
    kinds: dict[str, Callback | None] = {
        "nobody": None,
        "quick": told.append,
        "sleeps 1 s": lambda _: over.wait(1.0),
        "never returns": lambda _: over.wait(),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder, origin_database() as dsn, session(dsn) as origin:
        path = Path(folder) / "listeners.duckdb"
        origin.execute(TABLE.encode())
        origin.execute(f"PREPARE add_row (bigint) AS INSERT INTO measured SELECT {row_values('$1')}".encode())
        with opened(path, dsn) as database:
            database.execute(VIEWS)
            synced(database)
            next_row = 1
            for number in range(rounds + 1):  # the first round warms up
                for kind, callback in _turned(list(kinds.items()), number):
                    handles = listening(database, callback)
                    took = followed(database, origin, next_row, transactions)
                    next_row += transactions
                    for handle in handles:
                        handle.remove()
                    if number:
                        seconds[kind].append(took)
            over.set()
        require_equal(origin, path)
        with opened(path, dsn) as database:
            database.sync.forget("*")
    return [_summed(kind, seconds, transactions, len(told)) for kind in kinds]


def _turned(kinds: list[tuple[str, Callback | None]], by: int) -> list[tuple[str, Callback | None]]:
    """The kinds in another order each round: none is always the first."""
    at = by % len(kinds)
    return kinds[at:] + kinds[:at]


def _summed(kind: str, seconds: dict[str, list[float]], transactions: int, told: int) -> dict[str, object]:
    ratios: Sequence[float] = [mine / its for mine, its in zip(seconds[kind], seconds["nobody"], strict=True)]
    took = statistics.median(seconds[kind])
    return {
        "listener": kind,
        "seconds": round(took, 3),
        "transactions_per_second": round(transactions / took),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": " ".join(f"{ratio:.2f}" for ratio in ratios),
        "events": told if kind == "quick" else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--transactions", type=int, default=TRANSACTIONS, help="one-row transactions of each turn")
    parser.add_argument("--quick", action="store_true", help="a tenth of the transactions")
    options = parser.parse_args()
    with bounded(_AT_MOST_SECONDS):
        figures = measure(options.rounds, options.transactions // (10 if options.quick else 1))
    save("listeners", {"listeners": figures})
    print(table(figures))


if __name__ == "__main__":
    main()
