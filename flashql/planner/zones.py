"""Time zones: how far local time is from UTC, as tables of the origin's own changes.

Postgres and DuckDB bring a time zone database each, of different releases. So the origin is asked when each zone
changed, second by second (see origins/postgres/zoning.py), and the translation has the answer in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_CYCLE_YEARS: Final = 28  # between centuries, years are of the same days and length again after so many
_RULE_STARTS: Final = (2040, 2101)  # from where on a zone may have changes by a rule alone
LAST_YEAR: Final = 2529  # of changes looked at: 400 years and more by the rule, after which the calendar repeats
_MOST_CHANGES: Final = 511  # which the search in the catalog's macros finds


@dataclass(frozen=True)
class Changes:
    """Offsets from UTC by time, all in seconds: `shifts[n]` before `turns[n]`, the last one afterwards.

    Where a rule goes on forever, it is by years: from `until` on a time stands for the same one of the year of the
    table that has the same days. `years` are these years' starts, by weekday and length: 1 + 2 * dow + leap.

    >>> Changes((10,), (0, 3600)).shift(10)
    3600
    """

    turns: tuple[int, ...]
    shifts: tuple[int, ...]
    until: int | None = None
    years: tuple[int, ...] = ()

    def shift(self, second: int) -> int:
        """The offset at a time."""
        if self.until is not None and second >= self.until:
            year = datetime.fromtimestamp(second, UTC).year
            second += self.years[_kind(year)] - start_of(year)
        return self.shifts[bisect_right(self.turns, second)]


@dataclass(frozen=True)
class Zone:
    """A time zone's changes by moments, and by its local times as DetermineTimeZoneOffset takes those.

    A local time that never was is taken by the offset before the change, one that was twice by the one after it: in
    both cases local times change where the second after the change begins.
    """

    moments: Changes
    locals: Changes

    @classmethod
    def of(cls, first: int, changes: Sequence[tuple[int, int]]) -> Zone | None:
        """From the offset before all changes, and (second, offset) of each until `LAST_YEAR`; None if no such table.

        >>> zone = Zone.of(0, [(1000, 3600)])
        >>> zone.locals.turns
        (4600,)
        """
        moments, locals_ = _table(first, changes), _table(first, [(at + shift, shift) for at, shift in changes])
        return None if moments is None or locals_ is None else cls(moments, locals_)

    @classmethod
    def fixed(cls, shift: int) -> Zone:
        """A zone that is always as far from UTC."""
        return cls(Changes((), (shift,)), Changes((), (shift,)))


def _table(first: int, changes: Sequence[tuple[int, int]]) -> Changes | None:
    turns = [at for at, _ in changes]
    if turns != sorted(set(turns)) or (turns and turns[0] < start_of(1800)):
        return None
    if not turns or turns[-1] < start_of(LAST_YEAR - 400):
        return _sized(Changes(tuple(turns), (first, *(shift for _, shift in changes))))
    for start in _RULE_STARTS:
        end = start + _CYCLE_YEARS
        there = [one for one in changes if one[0] < start_of(end)]
        years = {_kind(year): start_of(year) for year in range(start, end)}
        table = Changes(
            tuple(at for at, _ in there), (first, *(shift for _, shift in there)), start_of(end),
            tuple(years[kind] for kind in range(14)),
        )  # fmt: skip
        if list(_by_rule(table, end)) == [one for one in changes if one[0] >= start_of(end)]:
            return _sized(table)
    return None


def _sized(table: Changes) -> Changes | None:
    return table if len(table.turns) <= _MOST_CHANGES else None


def _by_rule(table: Changes, first: int) -> Iterator[tuple[int, int]]:
    """The changes that a table's rule makes from a year on."""
    known = table.shift(start_of(first) - 1)
    for year in range(first, LAST_YEAR + 1):
        start, model = start_of(year), table.years[_kind(year)]
        if table.shift(start) != known:
            yield start, table.shift(start)
        ends = model + start_of(year + 1) - start
        for at in range(bisect_right(table.turns, model), bisect_right(table.turns, ends - 1)):
            yield table.turns[at] - model + start, table.shifts[at + 1]
        known = table.shift(start_of(year + 1) - 1)


def start_of(year: int) -> int:
    """The second of the epoch with which a year begins."""
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def _kind(year: int) -> int:
    """Years of the same weekdays: of how many days, and with which day they begin."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 2 * (datetime(year, 1, 1, tzinfo=UTC).isoweekday() % 7) + leap
