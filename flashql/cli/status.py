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
from flashql.answering import NobodyAnswers, ask
from flashql.cli import settings
from flashql.cli.looking import Looks, Order, in_order, live_table
from flashql.cli.output import STATUS_COLUMNS, console, print_rows, status_rows, status_table
from flashql.cli.settings import DatabaseOption, JsonOption, OriginOption, SelectorArgument, Settings
from flashql.cli.signals import interruptible
from flashql.errors import DatabaseBusy, DatabaseLocked, FlashQLError


def status(
    selector: SelectorArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Pause of --watch.")] = 2.0,
    sort: Annotated[Order, typer.Option(help="Order of --watch on a terminal.")] = Order.VIEW,
    as_json: JsonOption = False,
) -> None:
    """Show what each view's sync is doing, as the process that has the database file tells, or else as the file has it.

    DuckDB lets one process have a file open for writing. `flashql run` answers others, over a socket beside the file;
    so does any program that calls db.sync.share_status(). On a terminal --watch shows as much as fits.

    [bold]Examples[/bold]

    flashql status

    flashql status 'shop.*' --watch --sort lag

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
        looks = Looks()
        with Live(console=console(), auto_refresh=False) as live:
            while True:
                live.update(_drawn(found, chosen, looks, sort), refresh=True)
                threading.Event().wait(interval)


def _jobs(found: Settings, chosen: list[str]) -> list[JobStatus]:
    """The jobs as the process that has the file tells, or else as the file has them.

    It is opened anew each time, so that watching does not keep anyone from writing. Raises `DatabaseLocked` when it
    cannot be, and who has it does not answer.
    """
    with suppress(NobodyAnswers):
        return _asked(found, chosen)
    try:
        with found.open(read_only=True) as db:
            return db.sync.status(chosen)
    except DatabaseLocked as error:
        with suppress(NobodyAnswers):  # it has just begun
            return _asked(found, chosen)
        raise DatabaseLocked(
            f"{error.message}, which does not answer for it",
            hint="`flashql run` does; another program does after db.sync.share_status().",
        ) from error


def _asked(found: Settings, chosen: list[str]) -> list[JobStatus]:
    known = {field.name for field in fields(JobStatus)}
    told = ask(found.file(), "status", selector=chosen)
    if any(job.keys() != known for job in told):
        raise FlashQLError("the process that has the file is another version of FlashQL", hint="Use its own `flashql`.")
    return [JobStatus(**job) for job in told]


def _show(jobs: list[JobStatus], as_json: bool) -> None:
    if as_json:
        names = [field.name for field in fields(JobStatus)]
        print_rows(names, [astuple(job) for job in jobs], as_json=True)
    elif console().is_terminal:
        console().print(status_table(jobs))
    else:
        print_rows(STATUS_COLUMNS, status_rows(jobs))


def _drawn(found: Settings, chosen: list[str], looks: Looks, sort: Order) -> RenderableType:
    try:
        return live_table(in_order(looks.look(_jobs(found, chosen)), sort), console().width)
    except (DatabaseLocked, DatabaseBusy) as error:
        return Text(f"{error.message}; looking again.", style="yellow")
