"""How long after its commit at the origin a reader of the local copy sees a row.

`python -m benchmarks.latency` lets a process of its own write one-row transactions at a steady rate, while a reader
polls the view. Both read the same clock, the machine's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import (
    TABLE,
    VIEWS,
    bounded,
    opened,
    origin_database,
    row_values,
    save,
    session,
    synced,
    table,
)
from flashql.database import Cursor

RATE, SECONDS = 1000, 30
_POLL_SECONDS = 0.001
_PATIENCE_SECONDS = 30
_AT_MOST_SECONDS = 300


def write(dsn: str, rate: int, count: int) -> list[float]:
    """Commit `count` rows, `rate` of them a second; when each commit returned, in order of the rows' ids."""
    committed: list[float] = []
    with session(dsn) as origin:
        origin.execute(f"PREPARE add_row (bigint) AS INSERT INTO measured SELECT {row_values('$1')}".encode())
        began = time.monotonic()
        for number in range(count):
            ahead = began + number / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            origin.execute(b"EXECUTE add_row (%d)" % (number + 1))
            committed.append(time.monotonic())
    return committed


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
        synced(database)
        command = [sys.executable, "-m", "benchmarks.latency", "--write", dsn]
        command += ["--rate", str(rate), "--seconds", str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer, database.cursor() as reader:
            try:
                seen = watch(reader, count)
                committed = json.loads(writer.communicate()[0])
            finally:
                writer.kill()
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
    parser.add_argument("--write", metavar="DSN", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        print(json.dumps(write(options.write, options.rate, options.rate * options.seconds)))
        return
    with bounded(_AT_MOST_SECONDS):
        figures = measure(options.rate, max(1, options.seconds // 10) if options.quick else options.seconds)
    save("latency", figures)
    print(table([figures]))


if __name__ == "__main__":
    main()
