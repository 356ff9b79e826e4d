"""What many updates leave behind in the file: its size and the time to scan it, over those of a fresh copy.

`python -m benchmarks.churn` updates the rows of a copy again and again while a reader opens a snapshot now and then
and keeps it for a while, which keeps DuckDB from giving space back. Then the same table is copied into a new file,
and both are closed, measured and scanned alike.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import duckdb

from benchmarks.backlog import repeat
from benchmarks.measuring import (
    TABLE,
    VIEWS,
    bounded,
    fill,
    opened,
    origin_database,
    require_equal,
    save,
    session,
    synced,
    table,
)
from flashql.database import Database

ROWS, UPDATES, PER_TRANSACTION = 1_000_000, 10_000_000, 1000
HELD_SECONDS, BETWEEN_SECONDS = 60.0, 30.0
_QUICK_HELD_SECONDS, _QUICK_BETWEEN_SECONDS = 5.0, 2.0
_SCANS = 7
_AT_MOST_SECONDS = 1800
_POLL_SECONDS = 0.5


def update(dsn: str, rows: int, updates: int) -> None:
    """Commit that many updates, scattered over the rows (7919 is a prime that does not divide their number)."""
    with session(dsn) as origin:
        repeat(
            origin,
            updates // PER_TRANSACTION,
            f"UPDATE measured SET amount = amount + 1, note = 'updated ' || n WHERE id IN "
            f"(SELECT (n::bigint * {PER_TRANSACTION} + g) * 7919 % {rows} + 1 "
            f"FROM generate_series(0::bigint, {PER_TRANSACTION - 1}) AS g)",
        )


def hold_snapshots(database: Database, held_seconds: float, between_seconds: float, over: threading.Event) -> int:
    """Read in a transaction that stays open, again and again; how many were."""
    count = 0
    with database.cursor() as reader:
        while not over.wait(between_seconds):
            reader.execute("BEGIN")
            reader.execute("SELECT count(*), sum(amount) FROM bench.measured").fetchone()
            over.wait(held_seconds)
            reader.execute("COMMIT")
            count += 1
    return count


def churned(file: Path, dsn: str, rows: int, updates: int, held: tuple[float, float]) -> dict[str, object]:
    """Follow the updates; the file's largest size meanwhile, and how many snapshots were held."""
    over, largest = threading.Event(), 0
    snapshots: list[int] = []
    with opened(file, dsn) as database:
        database.execute(VIEWS)
        synced(database)
        writer = threading.Thread(target=update, args=(dsn, rows, updates), daemon=True)
        reader = threading.Thread(target=lambda: snapshots.append(hold_snapshots(database, *held, over)))
        began = time.monotonic()
        writer.start()
        reader.start()
        try:
            while writer.is_alive():
                writer.join(_POLL_SECONDS)
                largest = max(largest, _bytes(file))
            database.sync.wait()
            seconds = time.monotonic() - began
        finally:
            over.set()
            reader.join()
        largest = max(largest, _bytes(file))
        database.sync.stop()
    return {"seconds": round(seconds, 1), "snapshots_held": snapshots[0], "largest_mb": _mb(largest)}


def _bytes(file: Path) -> int:
    wal = file.with_name(file.name + ".wal")
    return file.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def _mb(size_bytes: int) -> float:
    return round(size_bytes / 1e6, 1)


def scan_seconds(files: list[Path]) -> list[float]:
    """For each file the median time of reading all of its rows, the files in turn, each in memory by then."""
    columns = ("id", "customer_id", "note", "created_at", "amount", "paid", "weight")
    scan = f"SELECT {', '.join(f'max({column})' for column in columns)} FROM bench.measured"
    taken: list[list[float]] = [[] for _ in files]
    for _ in range(_SCANS):
        for file, times in zip(files, taken, strict=True):
            with duckdb.connect(str(file), read_only=True) as database:
                database.execute(scan)
                began = time.perf_counter()
                database.execute(scan).fetchall()
                times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in taken]


def measure(rows: int, updates: int, held: tuple[float, float]) -> dict[str, object]:
    """The churned file beside a fresh one."""
    with (
        origin_database(autovacuum="on") as dsn,
        session(dsn) as origin,
        tempfile.TemporaryDirectory() as folder,
    ):
        origin.execute(TABLE.replace("\n)", "\n) WITH (fillfactor = 50)").encode())
        fill(origin, rows)
        old, fresh = Path(folder) / "churned.duckdb", Path(folder) / "fresh.duckdb"
        figures = churned(old, dsn, rows, updates, held)
        require_equal(origin, old)
        with opened(fresh, dsn) as database:
            database.execute(VIEWS)
            synced(database)
            database.sync.stop()
        require_equal(origin, fresh)
        old_seconds, fresh_seconds = scan_seconds([old, fresh])
        sizes = (_bytes(old), _bytes(fresh))
    return {
        "rows": rows,
        "updates": updates,
        **figures,
        "updates_per_second": round(updates / float(str(figures["seconds"]))),
        "file_mb": _mb(sizes[0]),
        "fresh_file_mb": _mb(sizes[1]),
        "file_ratio": round(sizes[0] / sizes[1], 2),
        "scan_ms": round(1000 * old_seconds, 2),
        "fresh_scan_ms": round(1000 * fresh_seconds, 2),
        "scan_ratio": round(old_seconds / fresh_seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything; snapshots are held for 5 s")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    held = (_QUICK_HELD_SECONDS, _QUICK_BETWEEN_SECONDS) if options.quick else (HELD_SECONDS, BETWEEN_SECONDS)
    with bounded(_AT_MOST_SECONDS):
        figures = measure(ROWS // share, UPDATES // share, (held[0], held[1]))
    save("churn", figures)
    print(table([figures]))


if __name__ == "__main__":
    main()
