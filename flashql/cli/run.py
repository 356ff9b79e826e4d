"""`flashql run`: stay in the foreground and keep views right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from flashql import Database, JobStatus, SyncReport
from flashql.cli import settings
from flashql.cli.exposing import exposed
from flashql.cli.journal import Journal, LogFormat, LogLevel
from flashql.cli.output import complain, console, status_table
from flashql.cli.progress import progress_of
from flashql.cli.settings import DatabaseOption, OriginOption, SelectorArgument
from flashql.cli.signals import interruptible
from flashql.errors import FlashQLError

_LOOK_SECONDS = 1.0


def run(
    selector: SelectorArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    interval: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How often to look for views that need a sync.")
    ] = 30.0,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Show /metrics and /healthz there; 0: any that is free."),
    ] = None,
    metrics_host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to show them at.")] = "127.0.0.1",
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Log what happens, one line each, instead of showing the views.")
    ] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="The least that is logged; info.")] = None,
) -> None:
    """Sync, then stay and follow the origins until Ctrl-C or SIGTERM, which end it cleanly with exit code 0.

    A terminal shows a table of the views; otherwise a line is printed whenever a view's state changes. With
    --log-format what happens is logged instead, as text or JSON. A view that fails does not end it: it is tried again.

    [bold]Examples[/bold]

    flashql run

    flashql run -d app.duckdb -o primary=postgresql://app@localhost/shop

    flashql run --metrics-port 9464 --log-format json

    FLASHQL_DATABASE=app.duckdb FLASHQL_ORIGIN_PRIMARY=postgresql://app@localhost/shop flashql run
    """
    chosen, found = selector or ["*"], settings.load(database, origin)
    journal = None
    if log_format is not None or log_level is not None:
        journal = Journal(log_format or LogFormat.TEXT, log_level or LogLevel.INFO, found.origins.values())
    say = partial(journal.write, LogLevel.INFO) if journal is not None else _print
    with interruptible(), suppress(KeyboardInterrupt), found.open() as db, ExitStack() as stack:
        if journal is not None:
            stack.enter_context(journal.of(db))
        if metrics_port is not None:
            say("metrics", url=stack.enter_context(exposed(metrics_host, metrics_port, db.sync.metrics)) + "/metrics")
        _share_status(db)
        _follow(db, chosen, interval, journal)
    say("stopped")


def _print(what: str, url: str | None = None) -> None:
    print(f"{what} at {url}" if url else what, flush=True)


def _follow(db: Database, chosen: list[str], interval: float, journal: Journal | None) -> None:
    """Sync, then stay; what happens is shown, unless a journal has it."""
    if journal is not None:
        db.sync.sync(chosen)
        _stay(db, chosen, interval, None)
    with progress_of(db):
        _report_failures(db.sync.sync(chosen))
    if console().is_terminal:
        with Live(console=console(), auto_refresh=False) as live:
            _stay(db, chosen, interval, lambda jobs: live.update(_drawn(jobs), refresh=True))
    else:
        _stay(db, chosen, interval, _Lines().show)


def _share_status(db: Database) -> None:
    """Let `flashql status` know; where that cannot be, say so and go on."""
    if not db.store.in_memory:
        try:
            db.sync.share_status()
        except FlashQLError as error:
            complain(error.message, error.hint)


def _stay(db: Database, chosen: list[str], interval: float, show: Callable[[list[JobStatus]], None] | None) -> None:
    """Show the jobs every second, if at all, and sync every `interval` seconds, until interrupted."""
    never = threading.Event()
    next_sync = time.monotonic() + interval
    while True:
        if show is not None:
            show(db.sync.status(chosen))
        never.wait(min(_LOOK_SECONDS, interval))
        if time.monotonic() >= next_sync:
            db.sync.sync(chosen)  # failures are in the status, which is shown next
            next_sync = time.monotonic() + interval


class _Lines:
    """One line whenever what matters about a job changes."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, str | None, str | None]] = {}

    def show(self, jobs: list[JobStatus]) -> None:
        for job in jobs:
            matters = (job.state, job.phase, job.last_error)
            if self._shown.get(job.relation_id) != matters:
                self._shown[job.relation_id] = matters
                words = [job.relation_id, job.state, job.phase, job.last_seen_commit, job.last_error]
                print(" ".join(word.replace("\n", " ") for word in words if word), flush=True)


def _drawn(jobs: list[JobStatus]) -> Table:
    return status_table(jobs, title="FlashQL is following; Ctrl-C ends it")


def _report_failures(report: SyncReport) -> None:
    for name, error in report.failed.items():
        complain(f"{name}: {error.message}", error.hint)
