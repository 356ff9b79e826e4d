"""How fast a new realtime view gets its rows, beside DuckDB's own Postgres extension copying the same table.

`python -m benchmarks.initial_copy` times `sync()` into a new durable DuckDB file: connections, publication, slot,
snapshot, rows, stream running. The peer is `ATTACH`, `CREATE TABLE AS SELECT *` and `CHECKPOINT` with the extension,
at its default number of threads, from the same server into a file of its own. FLASHQL_BENCH_DUCKDB_PYTHON names a
Python that has it; otherwise an environment is made once, in `benchmarks/.environments`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import venv
from pathlib import Path

from benchmarks.measuring import (
    TABLE,
    VIEWS,
    Connection,
    bounded,
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

ROWS, PAIRS = (1_000_000, 10_000_000), 5
_AT_MOST_SECONDS = 900

_EXTENSION = ("duckdb==1.5.5", "duckdb-extension-postgres-scanner==1.5.5")
_ENVIRONMENT = Path(__file__).parent / ".environments" / "duckdb-postgres-1.5.5"

_BY_EXTENSION = """
import importlib.util, json, pathlib, sys, time, duckdb
dsn, path = sys.argv[1:]
package = pathlib.Path(importlib.util.find_spec("duckdb_extension_postgres_scanner").origin).parent
duckdb.execute(f"LOAD '{next(package.rglob('*.duckdb_extension'))}'")
duckdb.execute(f"SET enable_progress_bar = false; ATTACH '{path}' AS file")
began = time.perf_counter()
duckdb.execute(f"ATTACH '{dsn}' AS origin (TYPE postgres, READ_ONLY)")
duckdb.execute("CREATE TABLE file.measured AS SELECT * FROM origin.public.measured")
duckdb.execute("CHECKPOINT file")
seconds = time.perf_counter() - began
((rows, threads),) = duckdb.execute("SELECT count(*), current_setting('threads') FROM file.measured").fetchall()
print(json.dumps({"seconds": round(seconds, 3), "rows": rows, "threads": threads}))
"""


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
    for (name,) in origin.execute(b"SELECT quote_ident(pubname) FROM pg_publication").fetchall():
        origin.execute(f"DROP PUBLICATION {name}".encode())
    file.unlink()
    return figures


def copied_by_extension(python: str, rows: int, dsn: str, folder: Path) -> dict[str, float]:
    """One run of DuckDB's Postgres extension, likewise."""
    file = folder / "extension.duckdb"
    done = subprocess.run([python, "-c", _BY_EXTENSION, dsn, str(file)], stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    if figures["rows"] != rows:
        raise SystemExit(f"the extension copied {figures['rows']} rows of {rows}")
    file.unlink()
    return figures


def extension_python() -> str:
    """The Python whose DuckDB has the Postgres extension; made from the package index when none is named."""
    given = os.environ.get("FLASHQL_BENCH_DUCKDB_PYTHON")
    if given is not None:
        return given
    python = _ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(_ENVIRONMENT, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *_EXTENSION], check=True)
    return str(python)


def measure(rows: int, pairs: int) -> dict[str, object]:
    """FlashQL and the extension in turn, `pairs` times over, the one that begins alternating."""
    python = extension_python()
    with origin_database() as dsn, session(dsn) as origin, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        origin.execute(TABLE.encode())
        fill(origin, rows)
        copied_by_extension(python, rows, dsn, folder)  # the table is in memory for both from here on
        taken = []
        for number in range(pairs):
            first = copied_by_extension(python, rows, dsn, folder) if number % 2 else None
            ours = copied_by_flashql(origin, dsn, folder)
            peer = first or copied_by_extension(python, rows, dsn, folder)
            taken.append({"flashql_seconds": ours.pop("seconds"), "extension_seconds": peer["seconds"]} | ours)
    figures = medians(taken, "flashql_seconds", "extension_seconds")
    rate = round(rows / float(str(figures["flashql_seconds_median"])))
    peak = max(pair["peak_rss_mb"] for pair in taken)
    return (
        {"rows": rows, "rows_per_second": rate} | figures | {"peak_rss_mb": peak, "extension_threads": peer["threads"]}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="sizes of the table")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--sync", nargs=2, metavar=("FILE", "DSN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sync:
        print(json.dumps(sync(Path(options.sync[0]), options.sync[1])))
        return
    with bounded(_AT_MOST_SECONDS):
        results = [measure(rows // (10 if options.quick else 1), options.pairs) for rows in options.rows]
    save("initial_copy", {"results": results})
    print(table([{key: value for key, value in result.items() if key != "pairs"} for result in results]))


if __name__ == "__main__":
    main()
