"""How fast FlashQL drains a backlog into a durable DuckDB file, beside `pg_recvlogical` draining it to /dev/null.

`python -m benchmarks.apply` measures three backlogs: inserts in large transactions, a mix of changes to existing
rows, and one-row transactions. Each is loaded once, behind a slot that is then copied for every run, so that all
runs of both programs see the same bytes from the same starting point, one after another on an idle server.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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
    postgres_program,
    require_equal,
    row_values,
    save,
    session,
    table,
    timed,
)

ROWS, SMALL_TRANSACTIONS, CHANGES_PER_TRANSACTION, PAIRS = 1_000_000, 200_000, 1000, 3
_TEMPLATE, _DRAINED = "flashql_bench_template", "flashql_bench_drained"


@dataclass(frozen=True)
class Scenario:
    """A backlog: what the table holds before, how the changes are made, how many of them."""

    name: str
    existing: int
    changes: int
    load: Callable[[Connection, int], None]


def inserts(origin: Connection, changes: int) -> None:
    """Transactions of 1000 inserts."""
    _repeat(
        origin,
        changes // CHANGES_PER_TRANSACTION,
        f"INSERT INTO measured SELECT {row_values('g')} "
        f"FROM generate_series(n * {CHANGES_PER_TRANSACTION}::bigint + 1, (n + 1) * {CHANGES_PER_TRANSACTION}) AS g",
    )


def mixed(origin: Connection, changes: int) -> None:
    """Transactions of 500 updates, 100 deletes and 400 inserts, over as many rows as there are changes.

    Rows are met in a scattered order (7919 is a prime that does not divide the number of rows). Updates fall on
    the same fifth of the rows two or three times each; deletes fall elsewhere.
    """
    _repeat(
        origin,
        changes // CHANGES_PER_TRANSACTION,
        f"UPDATE measured SET amount = amount + 1, note = 'updated ' || id WHERE id IN "
        f"(SELECT ((n * 500 + g) % ({changes} / 5)) * 7919 % {changes} + 1 FROM generate_series(0::bigint, 499) AS g)",
        f"DELETE FROM measured WHERE id IN "
        f"(SELECT ({changes} / 2 + n * 100 + g) * 7919 % {changes} + 1 FROM generate_series(0::bigint, 99) AS g)",
        f"INSERT INTO measured SELECT {row_values('g')} "
        f"FROM generate_series({changes} + n * 400::bigint + 1, {changes} + (n + 1) * 400) AS g",
    )


def one_row_transactions(origin: Connection, changes: int) -> None:
    """Transactions of one insert."""
    _repeat(origin, changes, f"INSERT INTO measured SELECT {row_values('(n + 1)::bigint')}")


def _repeat(origin: Connection, times: int, *statements: str) -> None:
    """Run the statements as one transaction each time, for n from 0."""
    body = "; ".join(statements)
    block = f"DO $$ BEGIN FOR n IN 0..{times - 1} LOOP {body}; COMMIT; END LOOP; END $$"
    origin.execute(block.encode())


def scenarios(rows: int, small: int) -> list[Scenario]:
    """The three backlogs."""
    return [
        Scenario("inserts", 0, rows, inserts),
        Scenario("mixed", rows, rows, mixed),
        Scenario("one_row_transactions", 0, small, one_row_transactions),
    ]


@dataclass(frozen=True)
class Backlog:
    """A loaded backlog: the FlashQL file as it was before it, FlashQL's slot name, the log's end."""

    dsn: str
    file: Path
    slot: str
    end_lsn: str

    def drain_by_flashql(self, origin: Connection, folder: Path) -> dict[str, float]:
        """One run of FlashQL, in a process of its own over a fresh copy of the file; checks the result."""
        file = folder / "run.duckdb"
        shutil.copyfile(self.file, file)
        _copy_slot(origin, self.slot)
        figures = in_own_process("benchmarks.apply", "--drain", str(file), self.dsn)
        require_equal(origin, file)
        _drop_slot(origin, self.slot)
        file.unlink()
        return figures

    def drain_by_postgres(self, origin: Connection) -> float:
        """Seconds `pg_recvlogical` takes to write the same backlog to /dev/null."""
        _copy_slot(origin, _DRAINED)
        command = [postgres_program("pg_recvlogical"), "--dbname", self.dsn, "--slot", _DRAINED, "--start"]
        command += ["--file", "/dev/null", "--endpos", self.end_lsn, "--no-loop"]
        command += ["-o", "proto_version=1", "-o", f"publication_names={self.slot}"]
        seconds = timed(lambda: subprocess.run(command, check=True))
        _drop_slot(origin, _DRAINED)
        return seconds


def loaded(scenario: Scenario, origin: Connection, dsn: str, folder: Path) -> Backlog:
    """Let FlashQL follow the table, stop it, and make the backlog."""
    origin.execute(TABLE.encode())
    if scenario.existing:
        fill(origin, scenario.existing)
    file = folder / "before.duckdb"
    with opened(file, dsn) as database:
        database.execute(VIEWS)
        report = database.sync.sync()
        if report.failed:
            raise SystemExit(f"sync failed: {report.failed}")
        database.sync.stop()
        slot = database.sync.status()[0].slot_id
    assert slot is not None
    origin.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [slot, _TEMPLATE])
    _drop_slot(origin, slot)
    scenario.load(origin, scenario.changes)
    origin.execute(b"CHECKPOINT")
    row = origin.execute(b"SELECT pg_current_wal_lsn()").fetchone()
    assert row is not None
    return Backlog(dsn, file, slot, str(row[0]))


def _copy_slot(origin: Connection, name: str) -> None:
    origin.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [_TEMPLATE, name])


def _drop_slot(origin: Connection, name: str) -> None:
    # Whoever used it has closed its connection; its walsender may need a moment to notice.
    origin.execute(
        "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots "
        "WHERE slot_name = %s AND active_pid IS NOT NULL",
        [name],
    )
    origin.execute("SELECT pg_drop_replication_slot(%s)", [name])


def measure(scenario: Scenario, pairs: int) -> dict[str, object]:
    """Both programs in turn, `pairs` times over, the one that begins alternating."""
    with origin_database() as dsn, session(dsn) as origin, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        backlog = loaded(scenario, origin, dsn, folder)
        taken = []
        for number in range(pairs):
            first = backlog.drain_by_postgres(origin) if number % 2 else None
            ours = backlog.drain_by_flashql(origin, folder)
            limit = first if first is not None else backlog.drain_by_postgres(origin)
            taken.append({"flashql_seconds": ours["seconds"], "pg_recvlogical_seconds": round(limit, 3)} | ours)
        _drop_slot(origin, _TEMPLATE)
    figures = medians(taken, "flashql_seconds", "pg_recvlogical_seconds")
    peak = max(pair["peak_rss_mb"] for pair in taken)
    rate = round(scenario.changes / float(str(figures["flashql_seconds_median"])))
    return (
        {"scenario": scenario.name, "changes": scenario.changes, "changes_per_second": rate}
        | figures
        | {"peak_rss_mb": peak}
    )


def drain(file: Path, dsn: str) -> dict[str, float]:
    """From `resume()` until the file durably has, and shows, all the origin had committed."""
    with opened(file, dsn) as database:
        before = peak_rss_mb()
        began, began_cpu = time.perf_counter(), time.process_time()
        report = database.sync.resume()
        if report.failed:
            raise SystemExit(f"resume failed: {report.failed}")
        database.sync.wait()
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "peak_rss_mb": peak_rss_mb(),
        "rss_before_mb": before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="changes in the first two backlogs")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", help="one scenario: inserts, mixed or one_row_transactions")
    parser.add_argument("--drain", nargs=2, metavar=("FILE", "DSN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drain:
        print(json.dumps(drain(Path(options.drain[0]), options.drain[1])))
        return
    share = 10 if options.quick else 1
    chosen = scenarios(options.rows // share, SMALL_TRANSACTIONS // share)
    results = [measure(one, options.pairs) for one in chosen if options.only in (None, one.name)]
    save("apply", {"results": results})
    print(table([{key: value for key, value in result.items() if key != "pairs"} for result in results]))


if __name__ == "__main__":
    main()
