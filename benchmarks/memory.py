"""The most memory FlashQL's process holds: copying a large table, and applying one large transaction.

`python -m benchmarks.memory` measures a first copy, one transaction of inserts, and one of updates, each in a new
process whose peak (VmHWM) is only its own; a part of it is there before any work: libraries, mostly.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.backlog import Scenario, loaded
from benchmarks.measuring import (
    TABLE,
    Connection,
    bounded,
    drop_slot,
    fill,
    in_own_process,
    origin_database,
    require_equal,
    row_values,
    save,
    session,
    table,
)

COPIED, CHANGED = 10_000_000, 5_000_000
_AT_MOST_SECONDS = 1200


def insert_all(origin: Connection, changes: int) -> None:
    """One transaction of inserts."""
    origin.execute(
        f"INSERT INTO measured SELECT {row_values('g')} FROM generate_series(1::bigint, {changes}) g".encode()
    )


def update_all(origin: Connection, changes: int) -> None:
    """One transaction that updates every row."""
    origin.execute(b"UPDATE measured SET amount = amount + 1, note = 'updated ' || id WHERE id <= %d" % changes)


def copied(rows: int) -> dict[str, object]:
    """The peak of `sync()` of a table with that many rows."""
    with origin_database() as dsn, session(dsn) as origin, tempfile.TemporaryDirectory() as folder:
        origin.execute(TABLE.encode())
        fill(origin, rows)
        file = Path(folder) / "copied.duckdb"
        figures = in_own_process("benchmarks.initial_copy", "--sync", str(file), dsn)
        require_equal(origin, file)
        for (name,) in origin.execute(b"SELECT slot_name FROM pg_replication_slots").fetchall():
            drop_slot(origin, name)
    return {"what": "first copy", "rows": rows} | figures


def applied(scenario: Scenario) -> dict[str, object]:
    """The peak of working off a backlog that is one transaction."""
    with (
        origin_database() as dsn,
        session(dsn) as origin,
        tempfile.TemporaryDirectory() as folder,
        loaded(scenario, origin, dsn, Path(folder)) as backlog,
    ):
        figures = backlog.drain_by_flashql(origin, Path(folder))
    return {"what": f"one transaction of {scenario.name}", "rows": scenario.changes} | figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    changes = CHANGED // share
    with bounded(_AT_MOST_SECONDS):
        results = [
            copied(COPIED // share),
            applied(Scenario("inserts", 0, changes, insert_all)),
            applied(Scenario("updates", changes, changes, update_all)),
        ]
    shown = [
        {key: result[key] for key in ("what", "rows", "seconds", "peak_rss_mb", "rss_before_mb")} for result in results
    ]
    save("memory", {"results": shown})
    print(table(shown))


if __name__ == "__main__":
    main()
