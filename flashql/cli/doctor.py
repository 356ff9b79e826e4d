"""`flashql doctor`: what an origin still needs, with the statement to run."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from flashql.cli import settings
from flashql.cli.output import console, print_rows
from flashql.cli.settings import JsonOption, OriginOption
from flashql.origins.postgres.preflight import Finding, diagnose
from flashql.orphans import orphan_findings


def doctor(
    name: Annotated[str, typer.Argument(metavar="ORIGIN", help="An origin's name, or a connection string.")],
    origin: OriginOption = None,
    drop_orphans: Annotated[
        bool, typer.Option("--drop-orphans", help="Drop slots and publications whose database file is gone.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at an origin and list what it has and lacks: settings, privileges, free slots, keys of tables.

    What is missing comes with the statement to run; exits with 1 when something is. Slots of FlashQL are listed with
    the database they belong to. Nothing is changed, except that --drop-orphans drops those whose database file was on
    this machine and is gone.

    [bold]Examples[/bold]

    flashql doctor primary

    flashql doctor postgresql://app@localhost/shop

    flashql doctor primary --drop-orphans
    """
    is_dsn = "://" in name or "=" in name
    dsn, called = (name, "origin") if is_dsn else (settings.load(None, origin).dsn(name), name)
    findings = diagnose(dsn, called)
    held = orphan_findings(called, lambda: dsn, dropping=drop_orphans)
    if as_json:
        rows = [(finding.name, finding.ok, finding.detail, finding.remedy) for finding in [*findings, *held]]
        print_rows(("name", "ok", "detail", "remedy"), rows, as_json=True)
    else:
        _tell(findings, held)
    if not all(finding.ok for finding in [*findings, *held]):
        raise typer.Exit(1)


def _tell(findings: list[Finding], held: list[Finding]) -> None:
    """What is as needed comes without advice; what is held at the origin comes with the SQL that drops it."""
    out = console()
    for finding in [*findings, *held]:
        wrong = "orphan" if finding in held else "needed"
        mark = ("ok    ", "green") if finding.ok else (wrong, "bold red")
        out.print(Text.assemble(mark, " ", (finding.name, "bold"), ": ", finding.detail), soft_wrap=True)
        if finding.remedy and (finding in held or not finding.ok):
            for line in finding.remedy.splitlines():
                out.print(Text(f"         {line}", style="cyan"), soft_wrap=True)
    needed = sum(not finding.ok for finding in [*findings, *held])
    out.print("This origin is ready." if needed == 0 else f"{needed} to mend.", style="bold")
