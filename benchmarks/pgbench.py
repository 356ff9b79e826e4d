"""How far the copies lag behind while pgbench (TPC-B) runs at full speed, all four of its tables realtime.

`python -m benchmarks.pgbench` asks several times a second how long it takes until the copies contain all that the
origin had committed at that moment (`wait()`), and how many bytes of WAL they lack; at the end, how long it takes until
they contain everything.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.measuring import (
    Connection,
    bounded,
    opened,
    origin_database,
    postgres_program,
    save,
    session,
    synced,
    table,
    timed,
)
from flashql.database import Cursor, Database

SCALE, SECONDS, CLIENTS = 10, 30, 4
_EVERY_SECONDS = 0.2
_AT_MOST_SECONDS = 300
_TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_history", "pgbench_tellers")
_VIEWS = "CREATE SCHEMA bench WITH (replication_origin = 'primary');" + "".join(
    f"CREATE REALTIME VIEW bench.{name} AS SELECT * FROM public.{name};" for name in _TABLES
)
_CHECKS = (
    "SELECT count(*), sum(abalance), sum(aid) FROM {}pgbench_accounts",
    "SELECT count(*), sum(bbalance), sum(bid) FROM {}pgbench_branches",
    "SELECT count(*), sum(delta), sum(aid) FROM {}pgbench_history",
    "SELECT count(*), sum(tbalance), sum(tid) FROM {}pgbench_tellers",
)


def lag_bytes(origin: Connection, reader: Cursor) -> int:
    """WAL that the origin has written and the copies do not contain."""
    found = reader.execute("SELECT last_seen_commit FROM flashql.sync_jobs LIMIT 1").fetchone()
    assert found is not None
    row = origin.execute("SELECT pg_current_wal_lsn() - %s::pg_lsn", [found[0]]).fetchone()
    assert row is not None
    return int(row[0])


def sample(
    pgbench: subprocess.Popen[str], origin: Connection, database: Database
) -> tuple[list[float], list[int], float]:
    """Lags while pgbench runs, in seconds and in bytes, and the seconds from its end until there is none."""
    seconds: list[float] = []
    sizes: list[int] = []
    ended: list[float] = []

    def watch() -> None:
        pgbench.wait()
        ended.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with database.cursor() as reader:
        while watcher.is_alive():
            sizes.append(lag_bytes(origin, reader))
            seconds.append(timed(database.sync.wait))
            watcher.join(max(0.0, _EVERY_SECONDS - seconds[-1]))
    database.sync.wait()
    return seconds, sizes, time.monotonic() - ended[0]


def require_same(origin: Connection, reader: Cursor) -> None:
    """Refuse to report anything about copies that are not what the origin has."""
    for check in _CHECKS:
        expected = origin.execute(check.format("").encode()).fetchone()
        found = reader.execute(check.format("bench.")).fetchone()
        if expected != found:
            raise SystemExit(f"a copy is wrong: {check}: {found} where the origin has {expected}")


def measure(scale: int, seconds: int, clients: int) -> dict[str, object]:
    """One run of pgbench, followed."""
    program = postgres_program("pgbench")
    with (
        origin_database(autovacuum="on") as dsn,
        session(dsn) as origin,
        tempfile.TemporaryDirectory() as folder,
        opened(Path(folder) / "pgbench.duckdb", dsn) as database,
    ):
        subprocess.run(
            [program, "--initialize", "--quiet", "--scale", str(scale), dsn], check=True, capture_output=True
        )
        origin.execute(b"ALTER TABLE pgbench_history REPLICA IDENTITY FULL")
        database.execute(_VIEWS)
        synced(database)
        command = [program, "--no-vacuum", f"--client={clients}", f"--jobs={min(2, clients)}", f"--time={seconds}", dsn]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as pgbench:
            try:
                lags, sizes, drained = sample(pgbench, origin, database)
                said = pgbench.communicate()[0]
            finally:
                pgbench.kill()
        with database.cursor() as reader:
            require_same(origin, reader)
        database.sync.forget("*")
    rate = re.search(r"tps = ([\d.]+)", said)
    if pgbench.returncode or rate is None:
        raise SystemExit(f"pgbench failed: {said}")
    half = len(lags) // 2
    return {
        "scale": scale,
        "clients": clients,
        "seconds": seconds,
        "transactions_per_second": round(float(rate[1])),
        "samples": len(lags),
        "lag_p50_seconds": round(statistics.median(lags), 3),
        "lag_max_seconds": round(max(lags), 3),
        "lag_max_seconds_first_half": round(max(lags[:half]), 3),
        "lag_max_seconds_second_half": round(max(lags[half:]), 3),
        "lag_max_bytes": max(sizes),
        "drained_seconds": round(drained, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=SCALE)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, a sixth of the time")
    options = parser.parse_args()
    scale, seconds = (1, max(5, options.seconds // 6)) if options.quick else (options.scale, options.seconds)
    with bounded(_AT_MOST_SECONDS):
        figures = measure(scale, seconds, options.clients)
    save("pgbench", figures)
    print(table([figures]))


if __name__ == "__main__":
    main()
