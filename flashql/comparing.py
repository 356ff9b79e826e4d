"""A copy beside its origin's table, both at one moment: which rows differ, found by sending few of them.

Both sides add up the hashes of their rows by parts of all places (see fingerprint.py). Sums add in any order, so no
side sorts. Where a part's count or sum differs it is divided again, until its rows are few enough to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

from flashql import fingerprint
from flashql.apply import target
from flashql.catalog import Copy, CopyColumn
from flashql.datatypes import select_text
from flashql.fingerprint import PLACES, Fingerprint
from flashql.quoting import qualified, quote
from flashql.store import translated
from flashql.store.sets import sets_of, subscribed

# Runs SQL and returns its rows, on one side of the comparison.
Query = Callable[[str], list[tuple[Any, ...]]]
Sums = dict[int, tuple[int, int]]

# A part is divided into so many (a power of two), and so many parts at once: each question may read the whole table.
_DIVISIONS, _AT_ONCE_PARTS = 1024, 256
# One with so few rows has its rows looked at, with others, so many at a time.
_FEW_ROWS, _AT_ONCE_ROWS = 2048, 200_000
# So few parts are asked for as ranges, which an index on the key finds.
_FEW_PARTS = 16

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

    def bounds(self) -> tuple[int, int] | None:
        ((low, high),) = self.query(f"SELECT min({self.place}), max({self.place}) FROM {self.table}")
        return None if low is None else (low, high)

    def sums(self, width: int, within: _Parts | None) -> Sums:
        """By number of the part of that width: how many rows it has, and the sum of their hashes."""
        rows = self.query(
            f"SELECT {self.place} {self.division} {width}, count(*), sum({self.numbers.hash}) FROM {self.table} "
            f"WHERE {self._is_in(within) if within else 'true'} GROUP BY 1"
        )
        return {number: (count, int(total)) for number, count, total in rows}

    def rows(self, within: _Parts) -> Counter[tuple[int, int]]:
        """How often each (place, hash) is there."""
        return Counter(
            self.query(f"SELECT {self.place}, {self.numbers.hash} FROM {self.table} WHERE {self._is_in(within)}")
        )

    def _is_in(self, parts: _Parts) -> str:
        # The place is named once: it may be a hash, which is computed for each row as often as it is named.
        if len(parts.numbers) > _FEW_PARTS or not self.numbers.is_key:
            return is_one_of(f"{self.place} {self.division} {parts.width}", parts.numbers)
        ranges = (_bounds(number, parts.width) for number in parts.numbers)
        return " OR ".join(f"{self.place} BETWEEN {low} AND {high}" for low, high in ranges)


@dataclass(frozen=True)
class _Parts:
    """Some of the parts that places are divided into: `numbers` are the places' quotients by `width`."""

    width: int  # a power of two, so that the parts of a smaller width lie within those of a larger one
    numbers: Sequence[int]


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
        _Side(origin, _table(copy, cursor), there, "/"),
    )


def _table(copy: Copy, cursor: duckdb.DuckDBPyConnection) -> str:
    """The origin's table; for a partial copy those of its rows that belong to the sets which the cursor sees."""
    table = qualified(copy.schema, copy.name)
    if copy.restriction is None:
        return table
    return f"(SELECT * FROM {table} WHERE {subscribed(copy, sets_of(cursor, copy))}) AS flashql_subscribed"


def _widest(ours: _Side, theirs: _Side) -> int | None:
    """The width of the parts to begin with; None when there are no rows."""
    bounds: tuple[int, ...] = PLACES
    if ours.numbers.is_key:
        bounds = tuple(bound for side in (ours, theirs) for bound in side.bounds() or ())
        if not bounds:
            return None
    return 1 << max(0, (max(bounds) - min(bounds)).bit_length() - (_DIVISIONS.bit_length() - 1))


def _differing(ours: _Side, theirs: _Side, listed: int) -> tuple[set[int], int]:
    """The places that differ, at least one more than `listed` if there are; and how many rows the origin has."""
    places: set[int] = set()
    rows, width = None, _widest(ours, theirs)
    divide: list[tuple[int, _Parts | None]] = [(width, None)] if width else []
    while divide and len(places) <= listed:
        width, within = divide.pop()
        mine, yours = ours.sums(width, within), theirs.sums(width, within)
        if rows is None:
            rows = sum(count for count, _ in yours.values())
        counts = {
            number: max(by.get(number, (0, 0))[0] for by in (mine, yours))
            for number in sorted(mine.keys() | yours.keys())
            if mine.get(number) != yours.get(number)
        }
        few = {number: count for number, count in counts.items() if count <= _FEW_ROWS or width == 1}
        for numbers in _batches(few):
            parts = _Parts(width, numbers)
            found, expected = ours.rows(parts), theirs.rows(parts)
            places |= {place for place, _ in (found - expected) + (expected - found)}
            if len(places) > listed:
                break
        many = [number for number in counts if number not in few]
        divide += [
            (max(1, width // _DIVISIONS), _Parts(width, many[at : at + _AT_ONCE_PARTS]))
            for at in range(0, len(many), _AT_ONCE_PARTS)
        ]
    return places, rows or 0


def _batches(counts: Mapping[int, int]) -> Iterator[list[int]]:
    """Numbers of parts, by their numbers of rows, together as many as are looked at at once."""
    batch, waiting = list[int](), 0
    for number, count in counts.items():
        batch.append(number)
        waiting += count
        if waiting >= _AT_ONCE_ROWS:
            yield batch
            batch, waiting = [], 0
    if batch:
        yield batch


def _bounds(number: int, width: int) -> tuple[int, int]:
    """The first and last place whose quotient by `width`, rounded towards zero, is `number`.

    >>> _bounds(2, 8), _bounds(0, 8), _bounds(-2, 8)
    ((16, 23), (-7, 7), (-23, -16))
    """
    return number * width - (width - 1 if number <= 0 else 0), number * width + (width - 1 if number >= 0 else 0)


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
    return tuple(sorted(found.values(), key=lambda key: list(map(_ordered, key))))


def _ordered(part: object) -> tuple[bool, str, object]:
    """What parts of keys are sorted by: lists that hold NULL, or finite and infinite timestamptz, do not compare."""
    return part is None, str(type(part)), part if isinstance(part, int | float | Decimal | str | bytes) else str(part)


def _values(
    copy: Copy, cursor: duckdb.DuckDBPyConnection, columns: Sequence[CopyColumn], texts: Sequence[tuple[str, ...]]
) -> list[tuple[object, ...]]:
    """Rows of Postgres's texts as the copy holds them; NULL for a text that it cannot hold."""
    inputs = ", ".join(f"unnest(${at + 1}::VARCHAR[]) AS x{at}" for at in range(len(columns)))
    readers = [copy.local_type(kept) for kept in columns]
    values = ", ".join(
        f"CASE WHEN {local.fits(f'x{at}')} THEN {local.from_text(f'x{at}')} END" for at, local in enumerate(readers)
    )
    given = [[row[at] for row in texts] for at in range(len(columns))]
    with translated():
        return cursor.execute(f"SELECT {values} FROM (SELECT {inputs})", given).fetchall()
