"""Progress bars for long work, on standard error, when someone looks at standard output."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flashql import Database
from flashql.origins.base import Progress as Tell
from flashql.origins.base import no_progress


@contextmanager
def bars() -> Iterator[Tell]:
    """A callback `(what, done, total)` that draws one bar per `what`; it may be called from any thread."""
    if not sys.stdout.isatty():
        yield no_progress
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as drawn:
        tasks: dict[str, TaskID] = {}
        lock = threading.Lock()

        def tell(what: str, done: int, total: int | None) -> None:
            with lock:
                if what not in tasks:
                    tasks[what] = drawn.add_task(what, total=total)
            drawn.update(tasks[what], completed=done, total=total)

        yield tell


@contextmanager
def progress_of(db: Database) -> Iterator[None]:
    """Bars for what the database's sync does within the block."""
    with bars() as tell:
        db.sync.progress = tell
        try:
            yield
        finally:
            db.sync.progress = no_progress
