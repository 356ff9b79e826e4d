"""Collations by name: which order text by its bytes, which take equal for the same bytes, which letters have cases.

A collation is named as the origin's library names it ('en_US.UTF-8'), or as the origin's catalog does where it has
no such name. Where order and cases come from two of them, both are named: 'C+en_US.UTF-8'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from flashql.planner.zones import Zone

# What initdb and CREATE DATABASE make is deterministic: equal means the same bytes. A collation made by a
# user may not be, and only its name is known here, so other names than these shapes are not trusted.
_PREDEFINED = re.compile(r"default|icu|unicode|und|[\w-]+-x-icu|[a-z]{2,3}[_-][A-Z]{2}([.@][\w.@-]+)?|C|POSIX")
# Collations that order by bytes (code points in UTF-8), as DuckDB does.
_BYTE_ORDER: Final = {"C", "POSIX", "C.UTF-8", "C.utf8", "C.UTF8", "ucs_basic", "pg_c_utf8", "name"} | {
    "pg_unicode_fast",
    "PG_UNICODE_FAST",  # its cases are not those of single characters
}
_ASCII: Final = {"C", "POSIX", "ucs_basic"}  # where A to Z and a to z are all that has cases

DEFAULT: Final = "default"  # the database's own, whatever it is
_DATABASE: Final = "default="  # begins the name of the database's own where no column has it: any other is preferred
UNCERTAIN: Final = "?"  # of text built from columns of different collations, or from one not told
_SOME_BY_BYTES: Final = "?bytes"  # ... each of which orders by bytes

COLLATE_HINT: Final = 'Write COLLATE "C" after the column to compare by code point.'


@dataclass(frozen=True)
class Cases:
    """Characters that one of lower() and upper() changes, each into the one at its place in the other text."""

    changed: str
    into: str


ASCII_LOWER: Final = Cases("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
ASCII_UPPER: Final = Cases(ASCII_LOWER.into, ASCII_LOWER.changed)


class Locale(Protocol):
    """What an origin tells of its collations."""

    def default_collation(self) -> str:
        """The name of the database's own."""

    def cases(self, function: str, collation: str) -> Cases | None:
        """What 'lower' or 'upper' does to text of a collation; None where it is more than character by character."""

    def zone(self, name: str) -> Zone | None:
        """When the time zone is how far from UTC; None of what depends on a session, or has no such table."""


def of_database(name: str) -> str:
    """The collation of text that has none but the database's own, which is called `name`."""
    return _DATABASE + name


def plain(collation: str) -> str:
    """A collation's name, wherever it comes from."""
    return collation.removeprefix(_DATABASE)


def by_bytes(collation: str | None) -> bool:
    """Whether it orders text as DuckDB does."""
    return collation is not None and (collation == _SOME_BY_BYTES or plain(collation).partition("+")[0] in _BYTE_ORDER)


def deterministic(collation: str | None) -> bool:
    """Whether equal means the same bytes. None is a constant's collation: it takes the other side's."""
    return (
        collation is None
        or by_bytes(collation)
        or _PREDEFINED.fullmatch(plain(collation).partition("+")[0]) is not None
    )


def is_ascii(collation: str | None) -> bool:
    """Whether ASCII's letters are all that has cases."""
    return collation is not None and plain(collation) in _ASCII


def knows_ascii(collation: str | None) -> bool:
    """Whether A to Z and a to z are each other's cases; Turkish and its relatives have other pairs of i."""
    name = plain(collation or "").rpartition("+")[2]
    return is_ascii(name) or by_bytes(name) or name.startswith("en_")


def joint(collations: Iterable[str | None]) -> str | None:
    """The collation of text built from text of these ("Collation Support"); None of constants alone."""
    found = {one for one in collations if one is not None}
    if len({plain(one) for one in found}) == 1:
        return plain(found.pop()) if len(found) > 1 else found.pop()
    found = {one for one in found if one != DEFAULT and not one.startswith(_DATABASE)} or found
    if len(found) < 2:
        return next(iter(found), None)
    return _SOME_BY_BYTES if all(by_bytes(one) for one in found) else UNCERTAIN
