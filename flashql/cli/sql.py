"""`flashql sql`: run statements, print the last one's rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from flashql.cli import settings
from flashql.cli.output import print_rows
from flashql.cli.settings import DatabaseOption, JsonOption, OriginOption
from flashql.result import Result

_ROWS_AT_ONCE = 1000
# What DuckDB calls the single column of a statement that has no rows to show.
_NO_ROWS = {"Success", "Count"}


def sql(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="SQL text; - is stdin."),
    ] = None,
    command: Annotated[str | None, typer.Option("--command", "-c", metavar="SQL", help="SQL to run.")] = None,
    database: DatabaseOption = None,
    origin: OriginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run FlashQL DDL, DuckDB SQL and queries over views; print the last statement's rows.

    Rows are a table on a terminal and tab-separated lines in a pipe.

    [bold]Examples[/bold]

    flashql sql views.sql -d app.duckdb -o primary=postgresql://app@localhost/shop

    flashql sql -c "SELECT count(*) FROM shop.orders"

    flashql sql -c "EXPLAIN VIEW shop.orders"

    flashql sql -c "TABLE shop.orders" --json > orders.json
    """
    if (file is None) == (command is None):
        raise typer.BadParameter("give either a FILE or -c SQL", param_hint="FILE")
    text = command if command is not None else _read(file)
    with settings.load(database, origin).open() as db:
        result = db.execute(text)
        names = [str(column[0]) for column in result.description or ()]
        rows = _fetched(result)
        first = next(rows, None) if names else None
        if first is not None:
            print_rows(names, _chained(first, rows), as_json=as_json)
        elif names and not (len(names) == 1 and names[0] in _NO_ROWS):
            print_rows(names, [], as_json=as_json)
        elif as_json:
            print_rows([], [], as_json=True)


def _read(file: Path | None) -> str:
    try:
        return sys.stdin.read() if file is None or str(file) == "-" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter("it is not UTF-8 text", param_hint="FILE") from error
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error


def _fetched(result: Result) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def _chained(first: tuple[Any, ...], rest: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    yield first
    yield from rest
