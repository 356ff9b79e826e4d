"""How fast a new realtime view gets its rows, beside `COPY ... (FORMAT binary)` read to nowhere.

`python -m benchmarks.initial_copy` times `sync()` into a new durable DuckDB file: slot, snapshot, rows, stream
running. The limit is the same server sending the same rows to a client that drops them. DuckDB's own Postgres
extension copies the same table for comparison when FLASHQL_BENCH_DUCKDB_PYTHON names a Python that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.measuring import (
    TABLE,
    VIEWS,
    Connection,
    fill,
    in_own_process,
    medians,
    opened,
    origin_database,
    peak_rss_mb,
    require_equal,
    save,
    session,
    table,
    timed,
)

ROWS, PAIRS = 1_000_000, 3

_BY_EXTENSION = """
import sys, time, duckdb
duckdb.execute("INSTALL postgres; LOAD postgres")
duckdb.execute(f"ATTACH '{sys.argv[1]}' AS origin (TYPE postgres, READ_ONLY); ATTACH '{sys.argv[2]}' AS file")
began = time.perf_counter()
duckdb.execute("CREATE TABLE file.measured AS SELECT * FROM origin.public.measured; CHECKPOINT file")
print(time.perf_counter() - began)
"""


def copy_to_nowhere(origin: Connection) -> None:
    """Read the table's rows as COPY sends them, and drop them."""
    with origin.cursor() as cursor, cursor.copy(b"COPY (SELECT * FROM measured) TO STDOUT (FORMAT binary)") as copy:
        while copy.read():
            pass


def sync(file: Path, dsn: str) -> dict[str, float]:
    """From `sync()` until it returns: every row is durably in the file, and the stream runs."""
    with opened(file, dsn) as database:
        database.execute(VIEWS)
        before = peak_rss_mb()
        seconds = timed(lambda: _synced(database.sync.sync().failed))
        database.sync.wait()
        database.sync.stop()
    return {"seconds": round(seconds, 3), "peak_rss_mb": peak_rss_mb(), "rss_before_mb": before}


def _synced(failed: object) -> None:
    if failed:
        raise SystemExit(f"sync failed: {failed}")


def copied_by_flashql(origin: Connection, dsn: str, folder: Path) -> dict[str, float]:
    """One run of FlashQL in a process of its own; checks the result and leaves nothing behind."""
    file = folder / "run.duckdb"
    figures = in_own_process("benchmarks.initial_copy", "--sync", str(file), dsn)
    require_equal(origin, file)
    for (name,) in origin.execute(b"SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"):
        origin.execute("SELECT pg_drop_replication_slot(%s)", [name])
    file.unlink()
    return figures


def copied_by_extension(dsn: str, folder: Path) -> dict[str, object]:
    """Seconds DuckDB's Postgres extension takes to copy the table, or why it did not."""
    python = os.environ.get("FLASHQL_BENCH_DUCKDB_PYTHON")
    if python is None:
        return {"skipped": "FLASHQL_BENCH_DUCKDB_PYTHON is not set"}
    file = folder / "extension.duckdb"
    done = subprocess.run([python, "-c", _BY_EXTENSION, dsn, str(file)], capture_output=True, text=True)
    file.unlink(missing_ok=True)
    if done.returncode:
        return {"skipped": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    return {"seconds": round(float(done.stdout), 3)}


def measure(rows: int, pairs: int) -> dict[str, object]:
    """FlashQL and COPY in turn, `pairs` times over, the one that begins alternating."""
    with origin_database() as dsn, session(dsn) as origin, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        origin.execute(TABLE.encode())
        fill(origin, rows)
        copy_to_nowhere(origin)  # the table is in memory for both from here on
        taken = []
        for number in range(pairs):
            first = timed(lambda: copy_to_nowhere(origin)) if number % 2 else None
            ours = copied_by_flashql(origin, dsn, folder)
            limit = first if first is not None else timed(lambda: copy_to_nowhere(origin))
            taken.append({"flashql_seconds": ours["seconds"], "copy_seconds": round(limit, 3)} | ours)
        extension = copied_by_extension(dsn, folder)
    figures = medians(taken, "flashql_seconds", "copy_seconds")
    rate = round(rows / float(str(figures["flashql_seconds_median"])))
    peak = max(pair["peak_rss_mb"] for pair in taken)
    return {"rows": rows, "rows_per_second": rate} | figures | {"peak_rss_mb": peak, "duckdb_extension": extension}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--sync", nargs=2, metavar=("FILE", "DSN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sync:
        print(json.dumps(sync(Path(options.sync[0]), options.sync[1])))
        return
    figures = measure(options.rows // (10 if options.quick else 1), options.pairs)
    save("initial_copy", figures)
    print(table([{key: value for key, value in figures.items() if key not in ("pairs", "duckdb_extension")}]))
    print("DuckDB's Postgres extension:", figures["duckdb_extension"])


if __name__ == "__main__":
    main()
