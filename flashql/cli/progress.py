"""Progress bars for long work, on standard error, when someone looks at standard output."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flashql import Database
from flashql.cli.output import bytes_text
from flashql.events import ProgressMade, SyncEvent
from flashql.origins.base import Progress as Tell
from flashql.origins.base import no_progress
from flashql.works import Works

# How long the last bars are waited for when the work is over.
_SETTLE_SECONDS = 5.0


class Bars:
    """One bar for each thing that is worked on: rows, and bytes where they are known. From any thread."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]}"),
            TextColumn("{task.fields[size]}"), TimeElapsedColumn(),
        )  # fmt: skip
        self.drawn = Progress(*columns, console=console)
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._lock = threading.Lock()

    def tell(self, what: str, done: int, total: int | None) -> None:
        """So many rows of it are done."""
        self.show(ProgressMade(subject=what, done_rows=done, total_rows=total))

    def show(self, event: SyncEvent) -> None:
        """How far something is: a scope, or the views it waits for."""
        assert isinstance(event, ProgressMade)
        name = f"{event.kind} {event.subject}" if event.kind in ("scope", "subscription") else event.subject
        with self._lock:
            key = (event.kind, event.subject)
            if key not in self._tasks:
                self._tasks[key] = self.drawn.add_task(name, rows="", size="", total=None)
        in_bytes = event.total_bytes is not None
        self.drawn.update(
            self._tasks[key],
            completed=(event.done_bytes if in_bytes else event.done_rows) or 0,
            total=event.total_bytes if in_bytes else event.total_rows,
            rows=rows_text(event.done_rows, event.total_rows),
            size=size_text(event.done_bytes, event.total_bytes),
        )


def rows_text(done: int | None, total: int | None) -> str:
    """Rows done, and in all.

    >>> rows_text(1200, 34567), rows_text(7, None), rows_text(7, 7)
    ('1,200/34,567 rows', '7 rows', '7 rows')
    """
    if done is None:
        return ""
    return f"{done:,} rows" if total in (None, done) else f"{done:,}/{total:,} rows"


def size_text(done: int | None, total: int | None) -> str:
    """Bytes done, and in all.

    >>> size_text(1200, 34567), size_text(7, None), size_text(0, 0)
    ('1.2 kB/34.6 kB', '7 B', '')
    """
    if not done and not total:
        return ""
    shown = bytes_text(done or 0)
    return shown if total is None or total == done else f"{shown}/{bytes_text(total)}"


@contextmanager
def bars() -> Iterator[Tell]:
    """A callback `(what, done, total)` that draws one bar per `what`; it may be called from any thread."""
    if not sys.stdout.isatty():
        yield no_progress
        return
    made = Bars(Console(stderr=True))
    with made.drawn:
        yield made.tell


@contextmanager
def progress_of(db: Database) -> Iterator[None]:
    """Bars for what the database's sync does within the block."""
    if not sys.stdout.isatty():
        yield
        return
    with drawn_for(db, Console(stderr=True)):
        yield


@contextmanager
def drawn_for(db: Database, console: Console) -> Iterator[None]:
    """The same, on this console."""
    made, listener = Bars(console), db.sync.events(ProgressMade.name)
    with made.drawn:
        listener.call(made.show)
        try:
            yield
            Works.of(db.store).settle(_SETTLE_SECONDS)
        finally:
            listener.end()
            listener.join(_SETTLE_SECONDS)
