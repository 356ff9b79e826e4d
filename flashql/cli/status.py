"""`flashql status`: one record per view."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import astuple, fields
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from flashql import JobStatus
from flashql.cli import settings
from flashql.cli.output import STATUS_COLUMNS, console, print_rows, status_rows, status_table
from flashql.cli.settings import DatabaseOption, JsonOption, OriginOption, SelectorArgument, Settings
from flashql.cli.signals import interruptible
from flashql.errors import DatabaseLocked


def status(
    selector: SelectorArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Pause of --watch.")] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Show what each view's sync is doing, as the database file has it.

    DuckDB lets one process have a file open for writing: while `flashql run` has it, that command shows the status.

    [bold]Examples[/bold]

    flashql status

    flashql status 'shop.*' --watch

    flashql status --json | jq '.[] | select(.state == "failed")'
    """
    chosen, found = selector or ["*"], settings.load(database, origin)
    if not watch:
        _show(_jobs(found, chosen), as_json)
        return
    with interruptible(), suppress(KeyboardInterrupt):
        if as_json or not console().is_terminal:
            while True:
                _show(_jobs(found, chosen), as_json)
                threading.Event().wait(interval)
        with Live(console=console(), auto_refresh=False) as live:
            while True:
                live.update(_drawn(found, chosen), refresh=True)
                threading.Event().wait(interval)


def _jobs(found: Settings, chosen: list[str]) -> list[JobStatus]:
    # Opened anew each time, so that watching does not keep anyone from writing.
    with found.open(read_only=True) as db:
        return db.sync.status(chosen)


def _show(jobs: list[JobStatus], as_json: bool) -> None:
    if as_json:
        names = [field.name for field in fields(JobStatus)]
        print_rows(names, [astuple(job) for job in jobs], as_json=True)
    elif console().is_terminal:
        console().print(status_table(jobs))
    else:
        print_rows(STATUS_COLUMNS, status_rows(jobs))


def _drawn(found: Settings, chosen: list[str]) -> RenderableType:
    try:
        return status_table(_jobs(found, chosen))
    except DatabaseLocked as error:
        return Text(f"{error.message}; looking again.", style="yellow")
