"""Printing: records as a table for people, tab-separated lines for pipes, JSON when asked; complaints as advice."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flashql import JobStatus
from flashql.lifecycle import Phase

STATUS_COLUMNS = ("view", "persistence", "state", "rows", "last_seen_commit", "lag", "slot", "last_error")

STATE_STYLES = {"running": "green", "synced": "green", "failed": "bold red", "idle": "dim", "stopped": "dim"}
_CONTROL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def console() -> Console:
    """A console on the standard output of now."""
    return Console(highlight=False)


def complain(message: str, hint: str | None) -> None:
    """Print an error and its advice to standard error."""
    out = Console(stderr=True, highlight=False, soft_wrap=True)
    out.print(Text.assemble(("Error: ", "bold red"), message))
    if hint:
        out.print(Text.assemble(("Hint: ", "bold yellow"), hint))


def print_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool = False) -> None:
    """Print a result: one line per row, unless it goes to a terminal."""
    if as_json:
        _print_json(_distinct(names), rows)
    elif sys.stdout.isatty():
        console().print(table(names, rows))
    else:
        print("\t".join(names))
        for row in rows:
            print("\t".join(plain(value).translate(_CONTROL) for value in row))


def table(names: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """A table for a terminal; numbers to the right, long text folded."""
    kept = [list(row) for row in rows]
    drawn = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for index, name in enumerate(names):
        numeric = any(isinstance(row[index], int | float | Decimal) for row in kept)
        drawn.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in kept:
        drawn.add_row(*(value if isinstance(value, Text) else Text(plain(value)) for value in row))
    return drawn


def plain(value: Any) -> str:
    """One value as text; SQL NULL is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"  # as Postgres prints them
    return str(value)


def _print_json(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    separator = "["
    for row in rows:
        record = {name: _exact(value) for name, value in zip(names, row, strict=True)}
        print(separator + json.dumps(record, ensure_ascii=False, allow_nan=False), end="")
        separator = ",\n "
    print("[]" if separator == "[" else "]", flush=True)


def _exact(value: Any) -> Any:
    """The value as JSON has it, or as text where JSON would change it (decimals, times, bytes, NaN)."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else plain(value)
        case list() | tuple():
            return [_exact(item) for item in value]
        case dict():
            return {plain(key): _exact(item) for key, item in value.items()}
        case _:
            return plain(value)


def _distinct(names: Sequence[str]) -> list[str]:
    """Column names, made different as DuckDB does for data frames: id, id_1."""
    taken: list[str] = []
    for name in names:
        unique, number = name, 0
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.append(unique)
    return taken


def status_table(jobs: Sequence[JobStatus], title: str | None = None) -> Table:
    """What people want to see of each job, for a terminal; errors take room only when there are any."""
    rows = status_rows(jobs)
    for row, job in zip(rows, jobs, strict=True):
        row[2] = Text(row[2], style=STATE_STYLES.get(row[2], "yellow"))
        row[-2] = Text(row[-2], style="bold red" if is_nearly_lost(job) else "")
    shown = len(STATUS_COLUMNS) if any(row[-1] for row in rows) else len(STATUS_COLUMNS) - 1
    return table(STATUS_COLUMNS[:shown], [row[:shown] for row in rows], title)


def status_rows(jobs: Iterable[JobStatus]) -> list[list[Any]]:
    """The same as plain values, under `STATUS_COLUMNS`."""
    return [
        [
            job.relation_id,
            job.persistence,
            state_text(job),
            job.rows,
            job.last_seen_commit,
            None if job.lag_bytes is None else bytes_text(job.lag_bytes),
            slot_text(job),
            (job.last_error or "").partition("\n")[0],
        ]
        for job in jobs
    ]


def slot_text(job: JobStatus) -> str:
    """What the view's slot makes its origin keep, what may still be written, and when it is lost at that rate."""
    if job.retained_bytes is None:
        return ""
    parts = [f"keeps {bytes_text(job.retained_bytes)}"]
    if job.safe_bytes is not None:
        parts.append(f"{bytes_text(max(0, job.safe_bytes))} left")
    if job.seconds_to_loss is not None:
        parts.append(f"lost in {seconds_text(job.seconds_to_loss)}")
    return ("! " if is_nearly_lost(job) else "") + ", ".join(parts)


def is_nearly_lost(job: JobStatus) -> bool:
    """Whether somebody should look now: less than an hour, or a tenth of the room, is left."""
    if job.safe_bytes is None or job.retained_bytes is None:
        return False
    soon = job.seconds_to_loss is not None and job.seconds_to_loss < 3600
    return soon or job.safe_bytes * 10 < job.safe_bytes + job.retained_bytes


def seconds_text(seconds: int) -> str:
    """A time, roughly.

    >>> seconds_text(59), seconds_text(3600), seconds_text(200_000), seconds_text(10**12)
    ('59 s', '60 min', '55 h', 'years')
    """
    for size, unit, most in ((1, "s", 120), (60, "min", 120), (3600, "h", 72), (86400, "days", 365)):
        if seconds < size * most:
            return f"{seconds // size} {unit}"
    return "years"


def bytes_text(count: int) -> str:
    """A number of bytes, readable: 0 B, 12.3 kB.

    >>> bytes_text(999), bytes_text(12_345), bytes_text(7_000_000_000_000)
    ('999 B', '12.3 kB', '7000.0 GB')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def state_text(job: JobStatus) -> str:
    """A job's state, and what it is doing unless that is to follow."""
    if not job.enabled:
        return "stopped"
    return f"{job.state}: {job.phase}" if job.phase and job.phase != Phase.PULL else job.state
