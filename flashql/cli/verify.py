"""`flashql verify`: prove that local copies equal their origins, and mend what differs."""

from __future__ import annotations

from typing import Annotated

import typer

from flashql.cli import settings
from flashql.cli.output import print_rows
from flashql.cli.progress import progress_of
from flashql.cli.settings import DatabaseOption, JsonOption, OriginOption, SelectorArgument
from flashql.cli.signals import interruptible

_COLUMNS = ("view", "lsn", "rows", "equal", "differing_keys", "repaired")
_SHOWN_KEYS = 5


def verify(
    selector: SelectorArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Take rows that differ from the origin again.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long realtime views may take to catch up.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the copies of realtime views with their origins, row by row, at one exact LSN.

    Catches the views up first. Both databases hash their own rows; only hashes travel, and the keys of rows that
    differ. Exits with 1 when something differed and was not repaired.

    [bold]Examples[/bold]

    flashql verify

    flashql verify shop.orders --repair
    """
    chosen = selector or ["*"]
    with interruptible(), settings.load(database, origin).open() as db:
        with progress_of(db):
            report = db.sync.sync(chosen)
            for error in report.failed.values():
                raise error
            db.sync.wait(list(report.realtime), timeout=timeout)
        found = db.sync.verify(list(report.realtime), repair=repair)
    rows = []
    for one in found:
        keys: object = [list(key) for key in one.differing_keys]
        if not as_json:
            shown = ", ".join("(" + ", ".join(map(str, key)) + ")" for key in one.differing_keys[:_SHOWN_KEYS])
            more = len(one.differing_keys) - _SHOWN_KEYS
            keys = shown + (f" and {more} more" if more > 0 else "")
        rows.append([one.view, one.lsn, one.rows, one.equal, keys, one.repaired])
    print_rows(_COLUMNS, rows, as_json=as_json)
    if any(not one.equal and not repair for one in found):
        raise typer.Exit(1)
