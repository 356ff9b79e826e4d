"""What a local commit changes, table by table: rows that left with weight -1, rows that arrived with weight 1.

A delta is a temporary table with the columns of its table and `flashql_weight`. New rows less the delta are the old
rows: new = old + delta, as bags. A row may be in it with both weights, which cancel.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import duckdb

from flashql.planner.steps import WEIGHT
from flashql.quoting import qualified, quote
from flashql.store import DATA_SCHEMA, registered
from flashql.store.parsed import repeated
from flashql.store.relations import described
from flashql.weighing import Columns, consolidated, exact, rowid_among

_MOVED = "flashql_moved"
# Outer joins as they are written, and what DuckDB makes them of: subqueries, such as that of `< ALL (SELECT ...)`.
_JOINS_OUTER = re.compile(r"\b(LEFT|RIGHT|FULL)\s+(OUTER\s+)?JOIN\b|\(\s*(SELECT|WITH|FROM)\b", re.IGNORECASE)
# DuckDB 2 lets a statement read what another within it deleted or inserted; DuckDB 1 hands that to Python.
NESTS = not duckdb.__version__.startswith("1.")


def delta_name(table: str) -> str:
    """The delta of a table of schema flashql_data, as SQL."""
    return f"temp.main.{quote(f'delta_{table}')}"


@dataclass
class Delta:
    """The rows of one table that left and arrived so far."""

    writer: duckdb.DuckDBPyConnection
    table: str  # in schema flashql_data
    runs: int = 0  # statements that moved rows
    left: int = 0
    arrived: int = 0
    lost: bool = False  # too much moved to be worth listing: only that something did is known

    @property
    def name(self) -> str:
        """The temporary table, as SQL."""
        return delta_name(self.table)

    @property
    def bare_name(self) -> str:
        """Its name without a schema, as a statement that creates it has it."""
        return quote(f"delta_{self.table}")

    def create(self) -> None:
        """Make it, empty."""
        source = qualified(DATA_SCHEMA, self.table)
        repeated(
            self.writer,
            f"CREATE OR REPLACE TEMP TABLE {self.bare_name} AS SELECT *, 0::TINYINT AS {WEIGHT} FROM {source} LIMIT 0",
        )

    def run(self, statement: str) -> None:
        """Run an INSERT or DELETE on the table, and note the rows it moved."""
        if self.lost:
            repeated(self.writer, statement)
            return
        self.runs += 1
        weight = -1 if statement.startswith("DELETE") else 1
        noted = f"INSERT INTO {self.name} SELECT *, {weight} FROM {_MOVED}"
        row: tuple[int, ...] | None = (0,)
        if NESTS:
            row = repeated(self.writer, f"WITH {_MOVED} AS ({statement} RETURNING *) {noted}").fetchone()
        elif (moved := self.writer.sql(f"{statement} RETURNING *")) is not None:
            with registered(self.writer, _MOVED, moved.to_arrow_table()):
                row = self.writer.execute(noted).fetchone()
        assert row is not None
        self.left += row[0] if weight < 0 else 0
        self.arrived += row[0] if weight > 0 else 0

    def net(self, columns: Columns | None = None) -> None:
        """Leave out rows that both left and arrived."""
        known = columns or [
            (name, kind) for name, kind in described(self.writer, f"FROM {self.name}") if name != WEIGHT
        ]
        repeated(
            self.writer,
            f"CREATE OR REPLACE TEMP TABLE {self.bare_name} AS {consolidated(known, f'SELECT * FROM {self.name}')}",
        )
        self.count()

    def count(self) -> int:
        """How many rows left and arrived; `left` and `arrived` say it then."""
        row = repeated(
            self.writer, f"SELECT count(*) FILTER ({WEIGHT} < 0), count(*) FILTER ({WEIGHT} > 0) FROM {self.name}"
        ).fetchone()
        assert row is not None
        self.left, self.arrived = row
        return self.moved

    @property
    def moved(self) -> int:
        """How many rows left and arrived, as last counted."""
        return self.left + self.arrived


@dataclass
class Made:
    """A temporary table made for what reads deltas: with which columns, for how many, and what that took."""

    columns: frozenset[str] = frozenset()
    readers: int = 0
    milliseconds: float = 0.0


class Deltas:
    """What one local transaction has changed so far. `wanted`: the tables whose delta somebody reads.

    With `all_listed` the steps of views list what moves in them whether somebody is known to read it or not.
    """

    def __init__(self, writer: duckdb.DuckDBPyConnection, wanted: Collection[str], *, all_listed: bool = False) -> None:
        self._writer = writer
        self._wanted = wanted
        self._all_listed = all_listed
        self._deltas: dict[str, Delta] = {}
        self.parts: dict[str, Made] = {}  # what was made to read them, by name (see sharing.py)

    def of(self, table: str | None) -> Delta | None:
        """The delta of a table that is about to change; None when nobody reads it."""
        if table is None or table not in self._wanted:
            return None
        delta = self._deltas.get(table)
        if delta is None:
            delta = self._deltas[table] = Delta(self._writer, table)
            delta.create()
        return delta

    def wants(self, table: str) -> bool:
        """Whether somebody reads the delta of this table."""
        return self._all_listed or table in self._wanted

    def net(self) -> None:
        """Make each delta that came in several parts one, of rows as they were and rows as they are."""
        for delta in self._deltas.values():
            if delta.runs > 2 and not delta.lost:
                delta.net()

    def add(self, delta: Delta) -> None:
        """A delta that is complete."""
        self._deltas[delta.table] = delta

    def lose(self, table: str | None) -> None:
        """The table changes in a way that is not listed row by row."""
        if table is not None and table in self._wanted:
            self._deltas[table] = Delta(self._writer, table, lost=True)

    def __contains__(self, table: object) -> bool:
        return table in self._deltas

    def __getitem__(self, table: str) -> Delta:
        return self._deltas[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self._deltas)


def fill(writer: duckdb.DuckDBPyConnection, delta: Delta, columns: Columns, weighted: str) -> None:
    """Make the delta what a relation with weights is in all."""
    made = repeated(writer, f"CREATE OR REPLACE TEMP TABLE {delta.bare_name} AS {consolidated(columns, weighted)}")
    if made.fetchone() != (0,):
        delta.count()


def difference(writer: duckdb.DuckDBPyConnection, query: str, delta: Delta, columns: Columns) -> None:
    """Make the delta what its table lacks of a query with the same columns, and has beyond it."""
    names = ", ".join(quote(name) for name, _ in columns)
    if _JOINS_OUTER.search(query):  # see planner/statistics.py
        repeated(writer, f"CREATE OR REPLACE TEMP TABLE flashql_rows AS {query}")
        query = "FROM flashql_rows"
    weighted = (
        f"SELECT {names}, 1 AS {WEIGHT} FROM ({query}) UNION ALL "
        f"SELECT {names}, -1 FROM {qualified(DATA_SCHEMA, delta.table)}"
    )
    fill(writer, delta, columns, weighted)


class Strayed(Exception):
    """A delta takes rows from its table that are not there: nothing was changed."""


def apply_delta(writer: duckdb.DuckDBPyConnection, delta: Delta, columns: Columns) -> int:
    """Delete from the delta's table what left, insert what arrived; how many rows that is. Raises `Strayed`."""
    table = qualified(DATA_SCHEMA, delta.table)
    if delta.left:
        gone = repeated(
            writer,
            f"WITH gone AS MATERIALIZED ({_leaving(table, columns, delta)}) DELETE FROM {table} "
            f"WHERE {rowid_among('FROM gone')} AND (SELECT count(*) FROM gone) = $1",
            [delta.left],
        ).fetchone()
        if gone != (delta.left,):
            raise Strayed
    if delta.arrived:
        names = ", ".join(quote(name) for name, _ in columns)
        repeated(writer, f"INSERT INTO {table} SELECT {names} FROM {delta.name} WHERE {WEIGHT} > 0")
    return delta.moved


def _leaving(table: str, columns: Columns, delta: Delta) -> str:
    """The rowids of as many rows of the table as the delta has of each that left."""
    keys = ", ".join(f"{exact(quote(name), kind)} AS k{at}" for at, (name, kind) in enumerate(columns))
    groups = ", ".join(f"k{at}" for at in range(len(columns)))
    same = " AND ".join(
        f"{exact(f't.{quote(name)}', kind)} IS NOT DISTINCT FROM d.k{at}" for at, (name, kind) in enumerate(columns)
    )
    return (
        f"SELECT id FROM (SELECT t.rowid AS id, d.many, row_number() OVER (PARTITION BY d.nth) AS k FROM {table} AS t "
        f"JOIN (SELECT {groups}, count(*) AS many, row_number() OVER () AS nth FROM (SELECT {keys} FROM {delta.name} "
        f"WHERE {WEIGHT} < 0) GROUP BY {groups}) AS d ON {same}) WHERE k <= many"
    )
