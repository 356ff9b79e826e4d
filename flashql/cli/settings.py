"""Where the command line finds the database and the origins: flags, then the environment, then flashql.toml.

[database]
path = "app.duckdb"

[origins]
primary = "postgresql://app@localhost/shop"
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import flashql
from flashql.errors import UnknownName

FILE = "flashql.toml"
ORIGIN_VARIABLE = "FLASHQL_ORIGIN_"

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        "-d",
        metavar="PATH",
        envvar="FLASHQL_DATABASE",
        help="The DuckDB file. Otherwise \\[database] path in flashql.toml.",
    ),
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--origin",
        "-o",
        metavar="NAME=DSN",
        help="An origin's connection string; may be repeated. Otherwise FLASHQL_ORIGIN_<NAME>, then \\[origins] in "
        "flashql.toml.",
    ),
]
SelectorArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SELECTOR", help="Views: shop.orders, 'shop.*' or '*', which is the default."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print records as JSON.")]


@dataclass(frozen=True)
class Settings:
    """The database file and the origins, from wherever they came."""

    database: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    def open(self, *, read_only: bool = False) -> flashql.Database:
        """The open database. Raises typer's usage error when none is named, and what `flashql.connect` raises."""
        return flashql.connect(self.file(), origins=self.origins, resolve_origin=self._unknown, read_only=read_only)

    def file(self) -> str:
        """The database file. Raises typer's usage error when none is named."""
        if self.database is None:
            raise typer.BadParameter(
                f"name the database file here, in FLASHQL_DATABASE or in {FILE}", param_hint="--database"
            )
        return self.database

    def dsn(self, name: str) -> str:
        """The connection string of an origin. Raises `UnknownName`."""
        return self.origins[name] if name in self.origins else self._unknown(name)

    def _unknown(self, name: str) -> NoReturn:
        known = ", ".join(sorted(self.origins)) or "none"
        raise UnknownName(
            f"origin {name} is not known (known: {known})",
            hint=f"Give --origin {name}=postgresql://user@host/database, set {ORIGIN_VARIABLE}{name.upper()}, "
            f"or add it to [origins] in {FILE}.",
        )


def load(database: str | None = None, origins: list[str] | None = None) -> Settings:
    """The settings in force here; the flags given count most. Raises typer's usage error for malformed ones."""
    path, from_file = _read(Path(FILE))
    return Settings(database or path, {**from_file, **_from_environment(os.environ), **_from_flags(origins or [])})


def _from_flags(flags: list[str]) -> dict[str, str]:
    origins = {}
    for flag in flags:
        name, equals, dsn = flag.partition("=")
        if not (name and equals and dsn):
            # Not quoted back: what was typed may hold a password.
            raise typer.BadParameter("an origin is given as NAME=DSN", param_hint="--origin")
        origins[name] = dsn
    return origins


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """FLASHQL_ORIGIN_PRIMARY names origin `primary`: variables are upper case, origins usually are not."""
    return {
        variable.removeprefix(ORIGIN_VARIABLE).lower(): dsn
        for variable, dsn in environment.items()
        if variable.startswith(ORIGIN_VARIABLE) and variable != ORIGIN_VARIABLE and dsn
    }


def _read(file: Path) -> tuple[str | None, dict[str, str]]:
    if not file.is_file():
        return None, {}
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint=FILE) from error
    _only_known(content, {"database", "origins"}, "")
    database, origins = _table(content, "database"), _table(content, "origins")
    _only_known(database, {"path"}, "database.")
    for name, value in [("database.path", database.get("path", "")), *origins.items()]:
        if not isinstance(value, str):
            raise typer.BadParameter(f"{name} is not a text", param_hint=FILE)
    return database.get("path") or None, dict(origins)


def _table(content: dict[str, Any], name: str) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise typer.BadParameter(f"{name} is not a table: write [{name}]", param_hint=FILE)
    return table


def _only_known(table: dict[str, Any], known: set[str], prefix: str) -> None:
    for name in table:
        if name not in known:
            raise typer.BadParameter(
                f"{prefix}{name} is not a setting (known: {', '.join(sorted(known))})", param_hint=FILE
            )
