"""`flashql sync`: bring views up to date once, and say how it went."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flashql import JobStatus, SyncReport
from flashql.cli import settings
from flashql.cli.output import print_rows
from flashql.cli.progress import progress_of
from flashql.cli.settings import DatabaseOption, JsonOption, OriginOption, SelectorArgument
from flashql.cli.signals import interruptible

_COLUMNS = ("view", "outcome", "rows", "last_seen_commit", "error")


def sync(
    selector: SelectorArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also take copies again that are there.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long realtime views may take to catch up.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy what has no copy, catch realtime views up with their origins, and end.

    The slots at the origins stay, so that the next sync goes on from here; to keep following, use: flashql run.
    Exits with 1 when a view failed.

    [bold]Examples[/bold]

    flashql sync

    flashql sync shop.orders 'crm.*'

    flashql sync shop.products --force
    """
    chosen = selector or ["*"]
    with interruptible(), settings.load(database, origin).open() as db:
        with progress_of(db):
            report = db.sync.sync(chosen, force=force)
            if report.realtime:
                db.sync.wait(list(report.realtime), timeout=timeout)
        print_rows(_COLUMNS, outcomes(report, db.sync.status(chosen)), as_json=as_json)
    if report.failed:
        raise typer.Exit(1)


def outcomes(report: SyncReport, jobs: list[JobStatus]) -> list[list[Any]]:
    """One row per view that the pass was about, as it stands now."""
    known = {job.relation_id: job for job in jobs}
    rows: list[list[Any]] = []
    for outcome, names in (("materialized", report.materialized), ("realtime", report.realtime)):
        for name in names:
            job = known.get(name)
            rows.append([name, outcome, job and job.rows, job and job.last_seen_commit, None])
    rows += [[name, "failed", None, None, str(error)] for name, error in report.failed.items()]
    return rows
