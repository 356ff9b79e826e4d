"""Parts of tables that the views look at in a batch: each is made once, for all that look at the same."""

from __future__ import annotations

from time import perf_counter

import duckdb

from flashql.deltas import Deltas, Made
from flashql.planner.delta import Part
from flashql.store.parsed import repeated


class Parts:
    """The parts that the views of one database share. Used by the single writer.

    What views read of the same rows is known from the batches before, so one table has the columns of all. So are how
    many read it: each is charged its share of what making it took.
    """

    def __init__(self) -> None:
        self._columns: dict[str, set[str]] = {}  # that anybody reads of a part
        self._readers: dict[str, int] = {}  # how many steps read a part in the last batch
        self._there: set[str] = set()  # the temporary tables there may be

    def make(self, writer: duckdb.DuckDBPyConnection, deltas: Deltas, part: Part) -> tuple[float, float]:
        """See to it that the part is there. The milliseconds that took now, and the reader's share in all it took."""
        columns = self._columns.setdefault(part.name, set())
        columns.update(part.columns)
        made = deltas.parts.setdefault(part.name, Made())
        took = 0.0
        if not made.columns.issuperset(part.columns) or not made.readers:
            started = perf_counter()
            self._there.add(part.name)
            repeated(writer, part.made(columns))
            made.columns = frozenset(columns)
            took = 1000 * (perf_counter() - started)
            made.milliseconds += took
        made.readers += 1
        return took, made.milliseconds / max(self._readers.get(part.name, 0), made.readers)

    def end_batch(self, writer: duckdb.DuckDBPyConnection, deltas: Deltas) -> None:
        """Forget what this batch made; what it did not make goes, so that no more is held than what one batch reads."""
        for name in self._there - deltas.parts.keys():
            writer.execute(f"DROP TABLE IF EXISTS temp.main.{name}")
            self._columns.pop(name, None)
        self._there = set(deltas.parts)
        self._readers = {name: made.readers for name, made in deltas.parts.items()}
