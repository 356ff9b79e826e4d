"""TPC-H at an origin: its tables, data by the generator tpchgen-cli, its 22 queries, and batches of changes.

The SQL is in `sql/tpch`. Four of the queries end their ORDER BY with a key, so that LIMIT leaves no choice.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import Connection

SQL = Path(__file__).parent.parent / "sql" / "tpch"
TABLES = ("region", "nation", "part", "supplier", "partsupp", "customer", "orders", "lineitem")
QUERIES = {number: (SQL / f"{number:02}.sql").read_text(encoding="utf-8").strip() for number in range(1, 23)}
_CHUNK_BYTES = 1 << 20


def generate(folder: Path, scale: float) -> None:
    """Write the tables as CSV files: at scale 1, 6,001,215 lineitems, about 1 GB."""
    beside = Path(sys.executable).parent / "tpchgen-cli"
    program = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    if program is None:
        raise SystemExit("tpchgen-cli is not installed; it comes with flashql[dev]")
    command = [program, "csv", "--scale-factor", str(scale), "--output-dir", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def load(origin: Connection, folder: Path) -> None:
    """Create the tables and fill them from the CSV files."""
    origin.execute((SQL / "tables.sql").read_bytes())
    for name in TABLES:
        statement = f"COPY {name} FROM STDIN (FORMAT csv, HEADER)".encode()
        with (folder / f"{name}.csv").open("rb") as file, origin.cursor().copy(statement) as copy:
            while chunk := file.read(_CHUNK_BYTES):
                copy.write(chunk)
    origin.execute(b"VACUUM ANALYZE")


def is_loaded(origin: Connection) -> bool:
    """Whether the tables are there."""
    return origin.execute("SELECT to_regclass('lineitem') IS NOT NULL").fetchone() == (True,)


def ready_for_queries(origin: Connection) -> None:
    """Let Postgres answer all 22 queries within minutes: queries 17 and 20 look up lineitems by part for each row."""
    origin.execute(b"CREATE INDEX IF NOT EXISTS lineitem_part ON lineitem (l_partkey, l_suppkey)")
    origin.execute(b"VACUUM ANALYZE lineitem")


def refresh(origin: Connection, batch: int) -> None:
    """Commit a batch of changes, counted from 0: a thousandth of orders leaves, as many change, as many arrive."""
    leaves, changes, arrives = (str((3 * batch + at) % 1000) for at in range(3))
    statements = (SQL / "refresh.sql").read_text(encoding="utf-8")
    for name, place in (("{leaves}", leaves), ("{changes}", changes), ("{arrives}", arrives)):
        statements = statements.replace(name, place)
    origin.execute(statements.encode())
