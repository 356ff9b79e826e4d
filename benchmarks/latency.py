"""How long after its commit at the origin a reader of the local copy sees a row.

`python -m benchmarks.latency` writes one-row transactions at a steady rate while a reader polls the view.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.measuring import TABLE, VIEWS, opened, origin_database, row_values, save, session, table
from flashql.database import Cursor

RATE, SECONDS = 200, 10
_POLL_SECONDS = 0.000_5
_PATIENCE_SECONDS = 30


def write(dsn: str, rate: int, count: int, committed: list[float]) -> None:
    """Commit `count` rows, `rate` of them a second; appends when each commit returned, in order of the rows' ids."""
    with session(dsn) as origin:
        began = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            origin.execute(f"INSERT INTO measured SELECT {row_values(f'{number + 1}::bigint')}".encode())
            committed.append(time.monotonic())


def watch(reader: Cursor, count: int) -> list[float]:
    """Poll until `count` rows are there; when each was first seen, in order of their ids."""
    seen: list[float] = []
    given_up = time.monotonic() + _PATIENCE_SECONDS
    while len(seen) < count:
        row = reader.execute("SELECT coalesce(max(id), 0) FROM bench.measured").fetchone()
        now = time.monotonic()
        assert row is not None
        if row[0] > len(seen):
            seen += itertools.repeat(now, row[0] - len(seen))
            given_up = now + _PATIENCE_SECONDS
        if now > given_up:
            raise SystemExit(f"no row has come for {_PATIENCE_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    return seen


def measure(rate: int, seconds: int) -> dict[str, object]:
    """The latencies of `rate` times `seconds` rows, summed up, in milliseconds."""
    count = rate * seconds
    with (
        origin_database() as dsn,
        session(dsn) as origin,
        tempfile.TemporaryDirectory() as folder,
        opened(Path(folder) / "latency.duckdb", dsn) as database,
    ):
        origin.execute(TABLE.encode())
        database.execute(VIEWS)
        failed = database.sync.sync().failed
        if failed:
            raise SystemExit(f"sync failed: {failed}")
        committed: list[float] = []
        writer = threading.Thread(target=write, args=(dsn, rate, count, committed))
        writer.start()
        with database.cursor() as reader:
            seen = watch(reader, count)
        writer.join()
        database.sync.forget("*")
    # A row may be seen before its commit has returned to the one who wrote it.
    waited = [max(0.0, 1000 * (late - early)) for early, late in zip(committed, seen, strict=True)]
    cuts = statistics.quantiles(waited, n=100)
    lasted = committed[-1] - committed[0]
    return {
        "rows": count,
        "rows_per_second_wanted": rate,
        "rows_per_second": round((count - 1) / lasted, 1),
        "p50_ms": round(cuts[49], 2),
        "p99_ms": round(cuts[98], 2),
        "max_ms": round(max(waited), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=RATE, help="rows, each its own transaction, per second")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, at least a second")
    options = parser.parse_args()
    figures = measure(options.rate, max(1, options.seconds // 10) if options.quick else options.seconds)
    save("latency", figures)
    print(table([figures]))


if __name__ == "__main__":
    main()
