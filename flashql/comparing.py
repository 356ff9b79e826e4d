"""A copy beside its origin's table, both at one moment: which rows differ, found by sending few of them.

Both sides add up the hashes of their rows by ranges of places (see fingerprint.py). Sums add in any order, so no side
sorts. Where a range's count or sum differs it is divided again, until its rows are few enough to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from flashql import fingerprint
from flashql.apply import target
from flashql.catalog import Copy, CopyColumn
from flashql.datatypes import select_text
from flashql.fingerprint import PLACES, Fingerprint
from flashql.quoting import qualified, quote
from flashql.store import translated

# Runs SQL and returns its rows, on one side of the comparison.
Query = Callable[[str], list[tuple[Any, ...]]]
Range = tuple[int, int]  # of places, both ends included

# A range is divided into so many; one with so few rows has its rows looked at, with others, so many at a time.
_DIVISIONS, _FEW_ROWS, _AT_ONCE_ROWS = 1024, 2048, 200_000

# So many differing rows are told one by one: with more than that a copy is better made anew.
LISTED = 10_000


@dataclass(frozen=True)
class Difference:
    """What a comparison found: the origin's number of rows, and where the copy differs.

    `places` are those of rows that differ or are on one side only, `keys` the values of their keys as the copy has
    them (of the whole row where nothing identifies it). With `more` there are others: `LISTED` are told.
    """

    rows: int
    places: tuple[int, ...] = ()
    keys: tuple[tuple[object, ...], ...] = ()
    more: bool = False


@dataclass(frozen=True)
class _Side:
    """One side: how to ask, its table, and the numbers of its rows."""

    query: Query
    table: str
    numbers: Fingerprint
    division: str  # the operator that divides integers, rounding towards zero

    @property
    def place(self) -> str:
        return self.numbers.place

    def bounds(self) -> Range | None:
        ((low, high),) = self.query(f"SELECT min({self.place}), max({self.place}) FROM {self.table}")
        return None if low is None else (low, high)

    def sums(self, within: Range, width: int) -> dict[int, tuple[int, int]]:
        """By number of the part: how many rows it has, and the sum of their hashes."""
        rows = self.query(
            f"SELECT {self.place} {self.division} {width}, count(*), sum({self.numbers.hash}) FROM {self.table} "
            f"WHERE {_any_of(self.place, [within])} GROUP BY 1"
        )
        return {number: (count, int(total)) for number, count, total in rows}

    def rows(self, ranges: Iterable[Range]) -> Counter[tuple[int, int]]:
        """How often each (place, hash) is there."""
        return Counter(
            self.query(
                f"SELECT {self.place}, {self.numbers.hash} FROM {self.table} WHERE {_any_of(self.place, ranges)}"
            )
        )


def compare(copy: Copy, cursor: duckdb.DuckDBPyConnection, origin: Query, *, listed: int = LISTED) -> Difference:
    """Compare the copy's rows, as `cursor` sees them, with its origin's, as `origin` sees them."""
    ours, theirs = _sides(copy, cursor, origin)
    places, rows = _differing(ours, theirs, listed)
    told = sorted(places)[:listed]
    return Difference(rows, tuple(told), _keys(copy, ours, theirs, cursor, told), len(places) > listed)


def differing_places(
    copy: Copy, cursor: duckdb.DuckDBPyConnection, origin: Query, at_most: int
) -> tuple[int, ...] | None:
    """The places of rows that differ or are on one side only; None when there are more than `at_most`."""
    places, _ = _differing(*_sides(copy, cursor, origin), at_most)
    return tuple(sorted(places)) if len(places) <= at_most else None


def _sides(copy: Copy, cursor: duckdb.DuckDBPyConnection, origin: Query) -> tuple[_Side, _Side]:
    def local(sql: str) -> list[tuple[Any, ...]]:
        with translated():
            return cursor.execute(sql).fetchall()

    here, there = fingerprint.of_local(copy), fingerprint.of_origin(copy)
    return (
        _Side(local, target(copy), here, "//"),
        _Side(origin, qualified(copy.schema, copy.name), there, "/"),
    )


def _within(ours: _Side, theirs: _Side) -> Range | None:
    """What both sides' places lie in; None when there are no rows."""
    if not ours.numbers.is_key:
        return PLACES
    found = [bounds for bounds in (ours.bounds(), theirs.bounds()) if bounds is not None]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _differing(ours: _Side, theirs: _Side, listed: int) -> tuple[set[int], int]:
    """The places that differ, at least one more than `listed` if there are; and how many rows the origin has."""
    within = _within(ours, theirs)
    divide, look = [within] if within else list[Range](), list[Range]()
    places: set[int] = set()
    rows, waiting = None, 0
    while (divide or look) and len(places) <= listed:
        if look and (not divide or waiting >= _AT_ONCE_ROWS):
            mine, yours = ours.rows(look), theirs.rows(look)
            places |= {place for place, _ in (mine - yours) + (yours - mine)}
            look, waiting = [], 0
            continue
        low, high = divide.pop()
        width = max(1, -(-(high - low + 1) // _DIVISIONS))
        mine_by, yours_by = ours.sums((low, high), width), theirs.sums((low, high), width)
        if rows is None:
            rows = sum(count for count, _ in yours_by.values())
        for number in mine_by.keys() | yours_by.keys():
            if mine_by.get(number) != yours_by.get(number):
                part = _part(number, width, (low, high))
                count = max(by.get(number, (0, 0))[0] for by in (mine_by, yours_by))
                if count <= _FEW_ROWS or part[0] == part[1]:
                    look.append(part)
                    waiting += count
                else:
                    divide.append(part)
    return places, rows or 0


def _part(number: int, width: int, within: Range) -> Range:
    """The places whose quotient by `width`, rounded towards zero, is `number`.

    >>> _part(2, 10, (0, 99)), _part(0, 10, (-99, 99)), _part(-2, 10, (-25, 0))
    ((20, 29), (-9, 9), (-25, -20))
    """
    low = number * width - (width - 1 if number <= 0 else 0)
    high = number * width + (width - 1 if number >= 0 else 0)
    return max(low, within[0]), min(high, within[1])


def _any_of(place: str, ranges: Iterable[Range]) -> str:
    return " OR ".join(f"{place} BETWEEN {low} AND {high}" for low, high in ranges)


def is_one_of(place: str, places: Sequence[int]) -> str:
    """SQL of either dialect: whether the place is one of these."""
    return f"{place} IN ({', '.join(map(str, places)) or 'NULL'})"


def _keys(
    copy: Copy, ours: _Side, theirs: _Side, cursor: duckdb.DuckDBPyConnection, places: Sequence[int]
) -> tuple[tuple[object, ...], ...]:
    """The keys of the rows at these places, on either side, as values of the copy."""
    if not places:
        return ()
    columns = [kept for kept in copy.columns if kept.name in copy.key or not copy.key]
    if copy.key:
        columns.sort(key=lambda kept: copy.key.index(kept.name))
    names = ", ".join(quote(kept.local_name) for kept in columns)
    here = ours.query(f"SELECT DISTINCT {names} FROM {ours.table} WHERE {is_one_of(ours.place, places)}")
    texts = ", ".join(select_text(kept.column.type, quote(kept.name)) for kept in columns)
    there = theirs.query(f"SELECT DISTINCT {texts} FROM {theirs.table} WHERE {is_one_of(theirs.place, places)}")
    found = {repr(key): key for key in [*here, *_values(copy, cursor, columns, there)]}
    return tuple(sorted(found.values(), key=lambda key: [(part is None, str(type(part)), part) for part in key]))


def _values(
    copy: Copy, cursor: duckdb.DuckDBPyConnection, columns: Sequence[CopyColumn], texts: Sequence[tuple[str, ...]]
) -> list[tuple[object, ...]]:
    """Rows of Postgres's texts as the copy holds them; a text it cannot hold stays one."""
    inputs = ", ".join(f"unnest(${at + 1}::VARCHAR[]) AS x{at}" for at in range(len(columns)))
    readers = [copy.local_type(kept) for kept in columns]
    values = ", ".join(
        f"CASE WHEN {local.fits(f'x{at}')} THEN {local.from_text(f'x{at}')} END" for at, local in enumerate(readers)
    )
    given = [[row[at] for row in texts] for at in range(len(columns))]
    with translated():
        return cursor.execute(f"SELECT {values} FROM (SELECT {inputs})", given).fetchall()
