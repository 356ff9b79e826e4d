"""`flashql doctor`: what an origin still needs, with the statement to run."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from flashql.cli import settings
from flashql.cli.output import console, print_rows
from flashql.cli.settings import JsonOption, OriginOption
from flashql.origins.postgres.preflight import Finding, diagnose


def doctor(
    name: Annotated[str, typer.Argument(metavar="ORIGIN", help="An origin's name, or a connection string.")],
    origin: OriginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at an origin and list what it has and lacks: settings, privileges, free slots, keys of tables.

    Nothing is changed there; what is missing comes with the statement to run. Exits with 1 when something is.

    [bold]Examples[/bold]

    flashql doctor primary

    flashql doctor postgresql://app@localhost/shop
    """
    is_dsn = "://" in name or "=" in name
    findings = diagnose(name) if is_dsn else diagnose(settings.load(None, origin).dsn(name), name)
    if as_json:
        rows = [(finding.name, finding.ok, finding.detail, finding.remedy) for finding in findings]
        print_rows(("name", "ok", "detail", "remedy"), rows, as_json=True)
    else:
        _tell(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _tell(findings: list[Finding]) -> None:
    out = console()
    for finding in findings:
        mark = ("ok    ", "green") if finding.ok else ("needed", "bold red")
        out.print(Text.assemble(mark, " ", (finding.name, "bold"), ": ", finding.detail), soft_wrap=True)
        if finding.remedy and not finding.ok:
            for line in finding.remedy.splitlines():
                out.print(Text(f"         {line}", style="cyan"), soft_wrap=True)
    needed = sum(not finding.ok for finding in findings)
    out.print("This origin is ready." if needed == 0 else f"{needed} to mend.", style="bold")
