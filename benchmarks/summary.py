"""The figures of docs/performance.md, written anew from the JSON of the benchmarks.

`python -m benchmarks.summary` replaces what stands between the page's two markers by one table per benchmark that has
a file in results/, and draws the chart. Which machine it was, the page's reader is told from the JSON too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import bars, chart
from benchmarks.measuring import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: python -m benchmarks.summary -->\n", "<!-- end of figures -->\n"
Figures = Mapping[str, Any]


def markdown(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table.

    >>> print(markdown(["a", "b"], [[1, 2]]), end="")
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [list(heading), *([str(cell) for cell in row] for row in rows)]
    text = ["| " + " | ".join(line) + " |\n" for line in lines]
    return "".join([text[0], "|" + "---|" * len(heading) + "\n", *text[1:]])


def _apply(figures: Figures) -> str:
    heading = [
        "backlog",
        "FlashQL",
        "pg_recvlogical",
        "ratio",
        "native subscription",
        "FlashQL is faster by",
        "peak memory",
    ]
    rows = [
        [
            f"{one['scenario'].replace('_', ' ')}, {one['changes']:,} changes",
            f"{one['flashql_seconds_median']:.2f} s",
            f"{one['pg_recvlogical_seconds_median']:.2f} s",
            f"{one['ratio_median']:.2f}",
            f"{one['native_seconds_median']:.2f} s" if "native_seconds_median" in one else "",
            f"{one['native_over_flashql_median']:.2f} times" if "native_over_flashql_median" in one else "",
            f"{one['peak_rss_mb']:.0f} MB",
        ]
        for one in figures["results"]
    ]
    return f"A backlog worked off; medians of {len(figures['results'][0]['pairs'])} rounds:\n\n" + markdown(
        heading, rows
    )


def _memory(figures: Figures) -> str:
    rows = [
        [one["what"], f"{one['rows']:,}", f"{one['peak_rss_mb']:.0f} MB", f"{one['rss_before_mb']:.0f} MB"]
        for one in figures["results"]
    ]
    return "Most memory held:\n\n" + markdown(["what", "rows", "at most", "of that before any work"], rows)


def _maintain(figures: Figures) -> str:
    tpch, growth, twenty = (figures[name] for name in ("tpch", "growth", "twenty"))
    small, large = growth["results"]
    rows = [
        [
            f"TPC-H at scale {tpch['scale']:g}, batches of 0.1 %: over computing anew, geometric mean of "
            f"{tpch['views_reached']} views (no batch reaches the others)",
            f"{tpch['ratio_geometric_mean']:.2f}",
        ],
        ["the worst of them", f"{tpch['ratio_worst']:.2f}"],
        [
            "all of them together",
            f"{tpch['all_views_ms_median'] / tpch['all_recomputed_ms']:.2f} "
            f"({tpch['all_views_ms_median']:.0f} ms, anew {tpch['all_recomputed_ms']:.0f} ms)",
        ],
        [
            f"sum over a join, {small['changed_rows']} changed rows: growth of cost from {small['rows']:,} "
            f"to {large['rows']:,} rows",
            f"{growth['growth']:.2f} times ({small['batch_ms']:.1f} ms to {large['batch_ms']:.1f} ms)",
        ],
        [
            "20 views over three tables: apply throughput over that of the mirrors",
            f"{twenty['throughput_ratio_median']:.2f}",
        ],
    ]
    return "Views kept equal to their queries (`python -m benchmarks.maintain`):\n\n" + markdown(
        ["what", "ratio"], rows
    )


def _others(found: Mapping[str, Figures]) -> str:
    rows = [row for name, describe in _LINES.items() if name in found for row in describe(found[name])]
    return markdown(["what", "figure", "command"], rows)


def _initial_copy(figures: Figures) -> list[list[str]]:
    return [
        [
            f"first copy of {one['rows']:,} rows",
            f"{one['flashql_seconds_median']:.2f} s, {one['ratio_median']:.2f} times as long as DuckDB's own Postgres "
            f"extension; {one['peak_rss_mb']:.0f} MB",
            "`python -m benchmarks.initial_copy`",
        ]
        for one in figures["results"]
    ]


def _latency(figures: Figures) -> list[list[str]]:
    what = f"commit at the origin to visible here, {figures['rows_per_second']:.0f} transactions a second"
    said = f"p50 {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms"
    return [[what, said, "`python -m benchmarks.latency`"]]


def _churn(figures: Figures) -> list[list[str]]:
    what = f"{figures['updates']:,} updates over a copy of {figures['rows']:,} rows, over a fresh copy"
    said = f"file {figures['file_ratio']:.2f} times as large, full scan {figures['scan_ratio']:.2f} times as long"
    return [[what, said, "`python -m benchmarks.churn`"]]


def _pgbench(figures: Figures) -> list[list[str]]:
    what = f"pgbench at full speed, {figures['transactions_per_second']:,} transactions a second, four tables realtime"
    said = (
        f"lag p50 {figures['lag_p50_seconds']:.2f} s, at most {figures['lag_max_seconds']:.2f} s; "
        f"none {figures['drained_seconds']:.2f} s after its end"
    )
    return [[what, said, "`python -m benchmarks.pgbench`"]]


def _decode(figures: Figures) -> list[list[str]]:
    rows, small = figures["rows_per_second"] / 1e6, figures["one_row_transactions_per_second"] / 1e6
    said = f"{rows:.1f}M rows a second, {small:.1f}M one-row transactions a second"
    return [["decoding alone", said, "`python -m benchmarks.decode`"]]


def _listeners(figures: Figures) -> list[list[str]]:
    slow = {one["listener"]: one["ratio"] for one in figures["listeners"]}
    what = "one-row transactions followed while callbacks sleep a second for each event, or never return"
    said = f"{slow['sleeps 1 s']:.2f} and {slow['never returns']:.2f} times as long as with no listener"
    return [[what, said, "`python -m benchmarks.listeners`"]]


_LINES: dict[str, Callable[[Figures], list[list[str]]]] = {
    "initial_copy": _initial_copy,
    "latency": _latency,
    "listeners": _listeners,
    "churn": _churn,
    "pgbench": _pgbench,
    "decode": _decode,
}


def summary(found: Mapping[str, Figures]) -> str:
    """What the page says of the figures found, by benchmark."""
    parts = []
    if "apply" in found:
        parts.append(_apply(found["apply"]))
    if "memory" in found:
        parts.append(_memory(found["memory"]))
    if "maintain" in found:
        parts.append(_maintain(found["maintain"]))
    return "\n".join([*parts, _others(found)])


def main() -> None:
    found = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + summary(found) + "\n" + END + rest.split(END)[1], encoding="utf-8")
    print(f"written: {PAGE.name}, from {', '.join(found)}")
    if "shape" in found:
        chart.draw(found["shape"])
    if "maintain" in found:
        bars.draw(found["maintain"])


if __name__ == "__main__":
    main()
