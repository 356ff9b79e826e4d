"""How fast FlashQL drains a backlog into a durable DuckDB file, beside the two programs that drain it otherwise.

`python -m benchmarks.apply` measures three backlogs: inserts in large transactions, a mix of changes to existing
rows, and one-row transactions. `pg_recvlogical` draining to /dev/null is the limit for anyone; a native Postgres
subscription, applying to a second server on the same machine, is the peer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.backlog import Backlog, Scenario, loaded, repeat, subscriber_session
from benchmarks.measuring import (
    Connection,
    bounded,
    medians,
    opened,
    origin_database,
    peak_rss_mb,
    row_values,
    save,
    session,
    table,
)
from flashql.lsn import LSN

ROWS, SMALL_TRANSACTIONS, CHANGES_PER_TRANSACTION, PAIRS = 1_000_000, 200_000, 1000, 5
_AT_MOST_SECONDS = 3600


def inserts(origin: Connection, changes: int) -> None:
    """Transactions of 1000 inserts."""
    repeat(
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
    repeat(
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
    repeat(origin, changes, f"INSERT INTO measured SELECT {row_values('(n + 1)::bigint')}")


def scenarios(rows: int, small: int) -> list[Scenario]:
    """The three backlogs."""
    return [
        Scenario("inserts", 0, rows, inserts),
        Scenario("mixed", rows, rows, mixed),
        Scenario("one_row_transactions", 0, small, one_row_transactions),
    ]


def measure(scenario: Scenario, pairs: int) -> dict[str, object]:
    """All programs in turn, `pairs` times over, another one beginning each time."""
    with (
        origin_database() as dsn,
        session(dsn) as origin,
        subscriber_session() as subscriber,
        tempfile.TemporaryDirectory() as temporary,
        loaded(scenario, origin, dsn, Path(temporary)) as backlog,
    ):
        taken = [_in_turn(backlog, origin, subscriber, Path(temporary), number) for number in range(pairs)]
    figures = medians(taken, "flashql_seconds", "pg_recvlogical_seconds")
    if subscriber is not None:
        faster = [pair["native_seconds"] / pair["flashql_seconds"] for pair in taken]
        figures["native_seconds_median"] = round(statistics.median(pair["native_seconds"] for pair in taken), 3)
        figures["native_over_flashql_median"] = round(statistics.median(faster), 2)
    peak = max(pair["peak_rss_mb"] for pair in taken)
    rate = round(scenario.changes / float(str(figures["flashql_seconds_median"])))
    return (
        {"scenario": scenario.name, "changes": scenario.changes, "changes_per_second": rate}
        | figures
        | {"peak_rss_mb": peak}
    )


def _in_turn(
    backlog: Backlog, origin: Connection, subscriber: Connection | None, folder: Path, number: int
) -> dict[str, float]:
    def flashql() -> dict[str, float]:
        figures = backlog.drain_by_flashql(origin, folder)
        return {"flashql_seconds": figures.pop("seconds")} | figures

    def recvlogical() -> dict[str, float]:
        return {"pg_recvlogical_seconds": round(backlog.drain_by_postgres(origin), 3)}

    def native() -> dict[str, float]:
        if subscriber is None:
            return {}
        return {"native_seconds": round(backlog.drain_by_subscription(origin, subscriber), 3)}

    programs = [flashql, recvlogical, native]
    at = number % len(programs)
    taken: dict[str, float] = {}
    for program in programs[at:] + programs[:at]:
        taken |= program()
    return taken


def drain(file: Path, dsn: str, end: LSN) -> dict[str, float]:
    """From `resume()` until the file durably has, and shows, all the origin had committed before `end`.

    That is where the other programs end too. `wait()` would go on to the origin's present: through what checking the
    runs before has written, which is nobody's backlog (with checksums, reading a page for the first time is logged).
    """
    with opened(file, dsn) as database:
        before = peak_rss_mb()
        began, began_cpu = time.perf_counter(), time.process_time()
        report = database.sync.resume()
        if report.failed:
            raise SystemExit(f"resume failed: {report.failed}")
        (worker,) = database.sync._workers.values()
        if not worker.wait(report.realtime, end, time.monotonic() + _AT_MOST_SECONDS):
            raise SystemExit(f"{end} was not reached")
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
    parser.add_argument("--drain", nargs=3, metavar=("FILE", "DSN", "LSN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drain:
        print(json.dumps(drain(Path(options.drain[0]), options.drain[1], LSN.parse(options.drain[2]))))
        return
    share = 10 if options.quick else 1
    chosen = scenarios(options.rows // share, SMALL_TRANSACTIONS // share)
    with bounded(_AT_MOST_SECONDS):
        results = [measure(one, options.pairs) for one in chosen if options.only in (None, one.name)]
    save("apply", {"results": results})
    print(table([{key: value for key, value in result.items() if key != "pairs"} for result in results]))


if __name__ == "__main__":
    main()
