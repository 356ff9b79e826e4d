"""One transaction of millions of rows, followed live: memory of the FlashQL process, and how long after its commit.

`python -m benchmarks.large_transaction` measures four transactions, each in a fresh database with FlashQL in a process
of its own: all rows inserted, all updated, half of them deleted, and 200,000 one-row transactions for comparison.
`received` is how long the transaction was under way at the origin, `seconds_after_commit` how long after its end it
was durable and visible; `peak_rss_mb` is the most memory FlashQL's process has held, DuckDB's cache included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import (
    TABLE,
    VIEWS,
    Connection,
    fill,
    opened,
    origin_database,
    peak_rss_mb,
    require_equal,
    row_values,
    save,
    session,
    table,
)

ROWS, SMALL_TRANSACTIONS = 5_000_000, 200_000


@dataclass(frozen=True)
class Scenario:
    """What the table holds before, and the statement."""

    name: str
    existing: int
    statement: str


def scenarios(rows: int, small: int) -> list[Scenario]:
    """The four of them."""
    return [
        Scenario(
            "insert", 0, f"INSERT INTO measured SELECT {row_values('g')} FROM generate_series(1::bigint, {rows}) AS g"
        ),
        Scenario("update", rows, "UPDATE measured SET amount = amount + 1, note = 'updated ' || id"),
        Scenario("delete", rows, "DELETE FROM measured WHERE id % 2 = 0"),
        Scenario(
            "one_row_transactions",
            0,
            f"DO $$ BEGIN FOR n IN 0..{small - 1} LOOP INSERT INTO measured SELECT {row_values('(n + 1)::bigint')}; "
            "COMMIT; END LOOP; END $$",
        ),
    ]


def measure(scenario: Scenario) -> dict[str, object]:
    """Let a process follow the table, run the statement, ask the process for its figures."""
    with origin_database() as dsn, session(dsn) as origin, tempfile.TemporaryDirectory() as temporary:
        origin.execute(TABLE.encode())
        if scenario.existing:
            fill(origin, scenario.existing)
        file = Path(temporary) / "followed.duckdb"
        with opened(file, dsn) as database:
            database.execute(VIEWS)
            report = database.sync.sync()
            if report.failed:
                raise SystemExit(f"sync failed: {report.failed}")
        command = [sys.executable, "-m", "benchmarks.large_transaction", "--follow", str(file), dsn]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as follower:
            before_mb = _asked(follower, "")
            began = time.perf_counter()
            origin.execute(scenario.statement.encode())
            committed = time.perf_counter()
            peak_mb = _asked(follower, "caught up?\n")
            after = time.perf_counter()
            streamed = _streamed(origin)
            follower.communicate("end\n")
        require_equal(origin, file)
    return {
        "scenario": scenario.name,
        "received": round(committed - began, 1),
        "seconds_after_commit": round(after - committed, 1),
        "rss_before_mb": before_mb,
        "peak_rss_mb": peak_mb,
        "streamed_transactions": streamed,
    }


def _asked(follower: subprocess.Popen[str], question: str) -> float:
    assert follower.stdin is not None
    assert follower.stdout is not None
    follower.stdin.write(question)
    follower.stdin.flush()
    return float(follower.stdout.readline())


def _streamed(origin: Connection) -> int:
    row = origin.execute(b"SELECT coalesce(sum(stream_txns), 0)::int FROM pg_stat_replication_slots").fetchone()
    assert row is not None
    return int(row[0])


def follow(file: Path, dsn: str) -> None:
    """Follow and print the peak of memory; at the next line wait and print it again; end at the one after."""
    with opened(file, dsn) as database:
        database.sync.resume()
        print(peak_rss_mb(), flush=True)
        sys.stdin.readline()
        database.sync.wait()
        print(peak_rss_mb(), flush=True)
        sys.stdin.readline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", help="one scenario: insert, update, delete or one_row_transactions")
    parser.add_argument("--follow", nargs=2, metavar=("FILE", "DSN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.follow:
        follow(Path(options.follow[0]), options.follow[1])
        return
    share = 10 if options.quick else 1
    chosen = scenarios(options.rows // share, SMALL_TRANSACTIONS // share)
    results = [measure(one) for one in chosen if options.only in (None, one.name)]
    save("large_transaction", {"results": results})
    print(table(results))


if __name__ == "__main__":
    main()
