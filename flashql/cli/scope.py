"""`flashql scope`: groups of views that are synced together and remembered by a name."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated, Any

import typer

from flashql import ScopeStatus
from flashql.cli import settings
from flashql.cli.output import print_rows
from flashql.cli.progress import progress_of
from flashql.cli.settings import DatabaseOption, JsonOption, OriginOption, SelectorArgument
from flashql.cli.signals import interruptible

scope = typer.Typer(
    name="scope",
    help="Sync groups of views by a name, and see what became of each view, also after a crash.",
    epilog="Begin with: flashql scope start nightly 'shop.*'",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_FIELDS = [field.name for field in fields(ScopeStatus)]
_SHOWN = [name for name in _FIELDS if name != "details"]
_VIEW_COLUMNS = ("view", "state", "changed_at", "error")

ScopeArgument = Annotated[str, typer.Argument(metavar="ID", help="The scope's name, as you like it.")]


@scope.command()
def start(
    scope_id: ScopeArgument,
    selector: SelectorArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also take copies again that are there.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Then wait until realtime views show all that was committed.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long --wait may take; no limit.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sync the selected views as a scope, to the end, and say what became of each.

    Start it again to try again: views that have a copy cost nothing. If this process is stopped or killed, the scope is
    found interrupted, with what was complete by then. Exits with 1 when a view failed.

    [bold]Examples[/bold]

    flashql scope start nightly

    flashql scope start crm 'crm.*' shop.customers

    flashql scope start reports 'reports.*' --force --json
    """
    chosen = selector or ["*"]
    with interruptible(), settings.load(database, origin).open() as db:
        with progress_of(db):
            done = db.sync.scopes.start(scope_id, chosen, wait=True, force=force).status()
        if wait and done.state == "synced":
            db.sync.wait([name for name, one in done.details.items() if one["state"] == "synced"], timeout=timeout)
    print_rows(_VIEW_COLUMNS, _view_rows(done), as_json=as_json)
    if done.state != "synced":
        raise typer.Exit(1)


@scope.command()
def status(
    scope_id: Annotated[str | None, typer.Argument(metavar="ID", help="One scope: shows its views.")] = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the scopes there are, or what became of each view of one, as the database file has it.

    No origin is asked. The states: [bold]synced[/bold] and [bold]failed[/bold], when all views were complete;
    [bold]interrupted[/bold], when the process ended before.

    [bold]Examples[/bold]

    flashql scope status

    flashql scope status nightly

    flashql scope status --json | jq '.[] | select(.state != "synced")'
    """
    with settings.load(database, origin).open(read_only=True) as db:
        found = db.sync.scopes.status() if scope_id is None else [db.sync.scopes.status(scope_id)]
    if as_json:
        print_rows(_FIELDS, [list(asdict(one).values()) for one in found], as_json=True)
    elif scope_id is None:
        print_rows(_SHOWN, [[getattr(one, name) for name in _SHOWN] for one in found])
    else:
        print_rows(_VIEW_COLUMNS, _view_rows(found[0]))


@scope.command()
def delete(scope_id: ScopeArgument, database: DatabaseOption = None, origin: OriginOption = None) -> None:
    """Forget a scope and its history; its views and their copies stay as they are.

    [bold]Examples[/bold]

    flashql scope delete nightly
    """
    with settings.load(database, origin).open() as db:
        db.sync.scopes.delete(scope_id)


def _view_rows(found: ScopeStatus) -> list[list[Any]]:
    return [[name, one["state"], one["changed_at"], one["error"]] for name, one in found.details.items()]
