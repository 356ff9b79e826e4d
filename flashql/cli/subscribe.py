"""`flashql subscribe`: which rows of views with parameters are to be here."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Annotated, Any

import typer

from flashql import Database, Subscribed
from flashql.cli import settings
from flashql.cli.output import print_rows
from flashql.cli.progress import progress_of
from flashql.cli.settings import DatabaseOption, JsonOption, OriginOption, SelectorArgument
from flashql.cli.signals import interruptible

subscribe = typer.Typer(
    name="subscribe",
    help="Say which rows of views with parameters are to be here, and for how long.",
    epilog="Begin with: flashql subscribe add shop.issue_comments issue=42 --wait",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_FIELDS = [field.name for field in fields(Subscribed)]
_SHOWN = ("view", "parameters", "has_synced", "last_synced_at", "expires_at", "is_default", "last_error")

ViewArgument = Annotated[str, typer.Argument(metavar="VIEW", help="A view with parameters: shop.issue_comments.")]
ValuesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Its parameters, but those with a default.")
]
NullOption = Annotated[list[str] | None, typer.Option("--null", metavar="NAME", help="This parameter is NULL.")]


@subscribe.command()
def add(
    view: ViewArgument,
    values: ValuesArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    null: NullOption = None,
    ttl: Annotated[
        str | None, typer.Option(metavar="INTERVAL", help="How long it stays when nothing holds it; '1 day'.")
    ] = None,
    priority: Annotated[int | None, typer.Option(min=0, help="0 is the most urgent; else the view's.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Sync the view until the rows are here.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long --wait may take; no limit.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for the rows of one set of parameters, anew if it was asked for before.

    They come with the next sync of the view, or now with --wait, and follow their origin while it is synced. The
    subscription ends with its time to live; asking again begins that anew.

    [bold]Examples[/bold]

    flashql subscribe add shop.issue_comments issue=42 --wait

    flashql subscribe add shop.visits since=2024-05-01 --ttl '12 hours' --priority 0
    """
    with (
        interruptible(),
        settings.load(database, origin).open() as db,
        progress_of(db),
        db.sync.subscribe(view, _given(values, null), ttl=ttl, priority=priority) as handle,
    ):
        if wait:
            for error in db.sync.sync(handle.view).failed.values():
                raise error
            handle.wait(timeout)
        _print(db, handle.view, as_json)


@subscribe.command("list")
def list_(
    selector: SelectorArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the subscriptions there are, as the database file has them. No origin is asked.

    [bold]Examples[/bold]

    flashql subscribe list

    flashql subscribe list 'shop.*' --json
    """
    with settings.load(database, origin).open(read_only=True) as db:
        _print(db, selector or ["*"], as_json)


@subscribe.command()
def remove(
    view: ViewArgument,
    values: ValuesArgument = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    null: NullOption = None,
) -> None:
    """Ask no more for the rows of one set of parameters: they leave with the next sync of the view.

    [bold]Examples[/bold]

    flashql subscribe remove shop.issue_comments issue=42
    """
    with settings.load(database, origin).open() as db:
        db.sync.subscribe(view, _given(values, null)).unsubscribe()


def _given(values: list[str] | None, null: list[str] | None) -> dict[str, object]:
    given: dict[str, object] = dict.fromkeys(null or [])
    for one in values or []:
        name, equals, value = one.partition("=")
        if not equals:
            raise typer.BadParameter(f"{one!r} is not NAME=VALUE")
        given[name] = value
    return given


def _print(db: Database, selector: Any, as_json: bool) -> None:
    found = db.sync.subscriptions(selector)
    if as_json:
        rows = [[getattr(one, name) for name in _FIELDS] for one in found]
        at = _FIELDS.index("parameters")
        print_rows(_FIELDS, [[*row[:at], json.loads(row[at]), *row[at + 1 :]] for row in rows], as_json=True)
    else:
        print_rows(_SHOWN, [[getattr(one, name) for name in _SHOWN] for one in found])
