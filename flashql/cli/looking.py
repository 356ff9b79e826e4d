"""The live table of `flashql status --watch`: what matters of each view, on as much room as there is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.table import Table
from rich.text import Text

from flashql import JobStatus
from flashql.cli.output import STATE_STYLES, bytes_text, is_nearly_lost, seconds_text, state_text

_GAP = 2  # between columns
_LEAST_ERROR = 18
# From a lag like this on somebody may want to look.
_LATE_SECONDS = 60.0


class Order(StrEnum):
    """By what views are sorted: by name, those that failed first, those that are farthest behind or change most."""

    VIEW = "view"
    STATE = "state"
    LAG = "lag"
    RATE = "rate"


@dataclass(frozen=True)
class Look:
    """One view as of one look; `rate` is changes of rows per second since the look before, None before the second."""

    job: JobStatus
    rate: float | None


class Looks:
    """One look after the other: the differences between them are rates."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, int]] = {}

    def look(self, jobs: Sequence[JobStatus]) -> list[Look]:
        """The jobs as they are now."""
        now = time.monotonic()
        looks = [Look(job, self._rate(job, now)) for job in jobs]
        self._before = {job.relation_id: (now, job.changes) for job in jobs if job.changes is not None}
        return looks

    def _rate(self, job: JobStatus, now: float) -> float | None:
        at, before = self._before.get(job.relation_id, (now, 0))
        if job.changes is None or now <= at or job.changes < before:  # fewer: another process has the file now
            return None
        return (job.changes - before) / (now - at)


def in_order(looks: Sequence[Look], order: Order) -> list[Look]:
    """Sorted; what is alike by name, so that rows stay where they are."""
    by_name = sorted(looks, key=lambda look: look.job.relation_id)
    match order:
        case Order.VIEW:
            return by_name
        case Order.STATE:
            urgency = {"failed": 0, "running": 1, "idle": 2, "synced": 3}
            return sorted(by_name, key=lambda look: urgency.get(look.job.state, 1))
        case Order.LAG:
            return sorted(by_name, key=lambda look: (-(look.job.lag_seconds or 0), -(look.job.lag_bytes or 0)))
        case Order.RATE:
            return sorted(by_name, key=lambda look: -(look.rate or 0))


@dataclass(frozen=True)
class _Column:
    name: str
    importance: int  # what counts least is left out first
    cells: list[Text]
    right: bool = True

    @property
    def width(self) -> int:
        return max([len(self.name), *(cell.cell_len for cell in self.cells)])


def live_table(looks: Sequence[Look], width: int) -> Table:
    """The views in a table of at most so many columns of characters: what counts least is left out."""
    columns = [
        _Column("view", 0, [Text(one.job.relation_id) for one in looks], right=False),
        _Column("state", 1, [_state(one.job) for one in looks], right=False),
        _Column("lag", 4, [_bytes(one.job.lag_bytes) for one in looks]),
        _Column("behind", 2, [_behind(one.job) for one in looks]),
        _Column("rows/s", 5, [Text("" if one.rate is None else f"{one.rate:,.0f}") for one in looks]),
        _Column("rows", 9, [Text("" if one.job.rows is None else f"{one.job.rows:,}") for one in looks]),
        _Column("retries", 8, [Text(str(one.job.retry_count or "")) for one in looks]),
        _Column("slot keeps", 6, [_bytes(one.job.retained_bytes) for one in looks]),
        _Column("lost in", 7, [_loss(one.job) for one in looks]),
        _Column("last error", 3, [_error(one.job) for one in looks], right=False),
    ]
    shown = [column for column in columns if any(column.cells) or column.importance <= 1]
    while len(shown) > 1 and _width(shown) > width:
        shown.remove(max(shown, key=lambda column: column.importance))
    drawn = Table(header_style="bold", box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in shown:
        # What is left is the error's: all else is as wide as it needs.
        room = max(_LEAST_ERROR, width - _width(shown) + _LEAST_ERROR) if column.name == "last error" else column.width
        drawn.add_column(
            column.name, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis", width=room
        )
    for cells in zip(*(column.cells for column in shown), strict=True):
        drawn.add_row(*cells)
    return drawn


def _width(columns: Sequence[_Column]) -> int:
    widths = [_LEAST_ERROR if one.name == "last error" else one.width for one in columns]
    return sum(widths) + _GAP * len(widths)


def _state(job: JobStatus) -> Text:
    text = state_text(job)
    return Text(text, style=STATE_STYLES.get(text, "yellow"))


def _bytes(count: int | None) -> Text:
    return Text("" if count is None else bytes_text(count))


def _behind(job: JobStatus) -> Text:
    if job.lag_seconds is None:
        return Text("")
    late = job.lag_seconds >= _LATE_SECONDS
    text = f"{job.lag_seconds:.1f} s" if 0 < job.lag_seconds < 10 else seconds_text(int(job.lag_seconds))
    return Text(text, style="bold red" if late else "")


def _loss(job: JobStatus) -> Text:
    if job.seconds_to_loss is None:
        return Text("soon", style="bold red") if is_nearly_lost(job) else Text("")
    return Text(seconds_text(job.seconds_to_loss), style="bold red" if is_nearly_lost(job) else "")


def _error(job: JobStatus) -> Text:
    return Text((job.last_error or "").partition("\n")[0], style="red" if job.state == "failed" else "")
