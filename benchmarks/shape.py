"""How many rows per second FlashQL applies, by the size of the origin's transactions and by the width of its rows.

`python -m benchmarks.shape` works off backlogs of inserts, each of another shape, beside `pg_recvlogical`;
`python -m benchmarks.chart` draws what it found.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.backlog import Scenario, loaded, repeat
from benchmarks.measuring import Connection, bounded, origin_database, save, session, table

ROWS, FEWER_ROWS, RUNS = 500_000, 100_000, 3
TRANSACTION_ROWS, WIDTHS = (1, 10, 100, 1_000, 10_000, 100_000), (2, 7, 30)
_USUAL_ROWS, _USUAL_WIDTH = 1_000, 7
_AT_MOST_SECONDS = 900

# The columns of `measuring.TABLE`, over and over: type, value of the row with that number, what is compared.
_KINDS = (
    ("bigint", "{n}", "sum({c})"),
    ("int", "({n} % 9973)::int", "sum({c})"),
    ("text", "CASE WHEN {n} % 5 > 0 THEN 'a note about order number ' || {n} END", "count({c})"),
    ("timestamptz", "timestamptz '2024-05-01 12:00:00+00' + {n} * interval '1 second 137 microseconds'", "count({c})"),
    ("numeric(12,2)", "(({n} * 7919) % 10000000) / 100.0", "sum({c})"),
    ("boolean", "{n} % 3 = 0", "count(*) FILTER (WHERE {c})"),
    ("float8", "{n} / 7.0", "count({c})"),
)


def shaped(width: int, transaction_rows: int, rows: int) -> Scenario:
    """A backlog of inserts of that many columns, that many rows per transaction."""
    kinds = [_KINDS[at % len(_KINDS)] for at in range(width)]
    names = [f"c{at}" for at in range(width)]
    declared = ", ".join(f"{name} {kind[0]}" for name, kind in zip(names, kinds, strict=True))
    compared = ", ".join(kind[2].format(c=name) for name, kind in zip(names, kinds, strict=True))
    return Scenario(
        f"{transaction_rows} rows of {width} columns",
        0,
        rows,
        _inserts(", ".join(kind[1].format(n="g") for kind in kinds), transaction_rows),
        f"CREATE TABLE measured ({declared}, PRIMARY KEY (c0))",
        f"SELECT count(*), {compared} FROM {{}}",
    )


def _inserts(values: str, transaction_rows: int) -> Callable[[Connection, int], None]:
    def load(origin: Connection, changes: int) -> None:
        repeat(
            origin,
            changes // transaction_rows,
            f"INSERT INTO measured SELECT {values} FROM "
            f"generate_series(n * {transaction_rows}::bigint + 1, (n + 1) * {transaction_rows}::bigint) AS g",
        )

    return load


def measure(width: int, transaction_rows: int, rows: int, runs: int) -> dict[str, object]:
    """One shape: the medians of that many runs."""
    scenario = shaped(width, transaction_rows, rows)
    with (
        origin_database() as dsn,
        session(dsn) as origin,
        tempfile.TemporaryDirectory() as folder,
        loaded(scenario, origin, dsn, Path(folder)) as backlog,
    ):
        ours, limits = [], []
        for _ in range(runs):
            ours.append(backlog.drain_by_flashql(origin, Path(folder))["seconds"])
            limits.append(backlog.drain_by_postgres(origin))
    return {
        "columns": width,
        "rows_per_transaction": transaction_rows,
        "rows": rows,
        "rows_per_second": round(rows / statistics.median(ours)),
        "pg_recvlogical_rows_per_second": round(rows / statistics.median(limits)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--quick", action="store_true", help="a fifth of the rows, once")
    options = parser.parse_args()
    share, runs = (5, 1) if options.quick else (1, options.runs)
    shapes = [(_USUAL_WIDTH, rows) for rows in TRANSACTION_ROWS]
    shapes += [(width, _USUAL_ROWS) for width in WIDTHS if width != _USUAL_WIDTH]
    with bounded(_AT_MOST_SECONDS):
        results = [
            measure(width, size, max(size, (ROWS if size > 1 else FEWER_ROWS) // share), runs) for width, size in shapes
        ]
    save("shape", {"results": results})
    print(table(results))


if __name__ == "__main__":
    main()
