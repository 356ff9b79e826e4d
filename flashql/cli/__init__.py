"""The command line: `flashql demo`, `sql`, `sync`, `scope`, `subscribe`, `status`, `verify`, `run`, `doctor`.

Exit codes: 0 when all went well, 1 when something failed, 2 when the command line or the settings are wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from flashql.cli.demo import demo
from flashql.cli.doctor import doctor
from flashql.cli.output import complain
from flashql.cli.run import run
from flashql.cli.scope import scope
from flashql.cli.sql import sql
from flashql.cli.status import status
from flashql.cli.subscribe import subscribe
from flashql.cli.sync import sync
from flashql.cli.verify import verify
from flashql.errors import FlashQLError
from flashql.version import __version__

_TYPER_INTERRUPTED = 130  # which is none of our exit codes

app = typer.Typer(
    name="flashql",
    help="Views in SQL over your Postgres databases, kept right in one local DuckDB file.",
    epilog="Begin with: flashql demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (demo, sql, sync, status, verify, run, doctor):
    app.command()(_command)
app.add_typer(scope)
app.add_typer(subscribe)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"flashql {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process; `arguments` are those of the process when left out."""
    try:
        app(args=None if arguments is None else list(arguments))
    except SystemExit as ended:
        if ended.code != _TYPER_INTERRUPTED:
            raise
        complain("interrupted", None)
    except FlashQLError as error:
        complain(error.message, error.hint)
    except TimeoutError as error:
        complain(str(error), "Give it more time with --timeout, or look at: flashql status")
    except OSError as error:
        complain(str(error), None)
    except Exception as error:
        if os.environ.get("FLASHQL_TRACEBACK"):
            raise
        complain(
            f"this is a fault in FlashQL: {type(error).__name__}: {error}",
            "Please report it, with what FLASHQL_TRACEBACK=1 prints.",
        )
    sys.exit(1)
