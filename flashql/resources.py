"""Finds the SQL files that FlashQL runs: `flashql/_sql` in an installed package, `sql` in a checkout.

>>> [name for name, _ in sql_files("views")]
['materialized.sql', 'origin.sql', 'realtime.sql']
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent


@cache
def sql_text(relative: str) -> str:
    """The text of one file, named by its path below `sql/`. Raises `FileNotFoundError`."""
    return (_root() / relative).read_text(encoding="utf-8")


def sql_files(folder: str) -> list[tuple[str, str]]:
    """The (file name, text) of every SQL file in a folder of `sql/`, by name."""
    return [(path.name, path.read_text(encoding="utf-8")) for path in sorted((_root() / folder).glob("*.sql"))]


def _root() -> Path:
    # A checkout has no `_sql`: the wheel's build puts it there (pyproject.toml, force-include).
    installed = _PACKAGE / "_sql"
    return installed if installed.is_dir() else _PACKAGE.parent / "sql"
