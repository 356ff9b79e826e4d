"""One kept view's steps, carried out: built from nothing, or moved on by the deltas of what they read."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter

import duckdb
from sqlglot import exp

from flashql.deltas import Delta, Deltas, Strayed, apply_delta, delta_name, difference, fill
from flashql.keeping import UNBOUND, Followed
from flashql.merging import merge
from flashql.pacing import Measured, Pace
from flashql.planner.blocks import tables
from flashql.planner.delta import Relation, Written, delta_sql
from flashql.planner.determining import determining
from flashql.planner.steps import Step, Steps, compares_vaguely
from flashql.quoting import qualified
from flashql.sharing import Parts
from flashql.store import DATA_SCHEMA, Store
from flashql.store.copies import all_copies
from flashql.store.relations import described
from flashql.weighing import Columns

_log = logging.getLogger(__name__)


def build(writer: duckdb.DuckDBPyConnection, steps: Steps) -> list[float]:
    """Make and fill the tables of a view's steps; the milliseconds that each took."""
    took = []
    for step in steps.steps:
        started = perf_counter()
        writer.execute(f"CREATE TABLE {qualified(DATA_SCHEMA, step.table)} AS {step.text}")
        took.append(1000 * (perf_counter() - started))
    return took


def known_relations(store: Store) -> dict[str, Relation]:
    """The copies there are, by table, with what tells their rows apart."""
    found = {}
    for copy in all_copies(store):
        if copy.local_table is not None:
            key = tuple(kept.local_name for kept in copy.columns if kept.name in copy.key)
            found[copy.local_table] = _relation(copy.local_table, key)
    return found


def _relation(table: str, unique: tuple[str, ...]) -> Relation:
    return Relation(qualified(DATA_SCHEMA, table), delta_name(table), unique)


# How often following failed, by view, number of the step, and the aliases of what changed.
Failures = Counter[tuple[str, int, frozenset[str]]]
# So often it may be for want of a value, as when a divisor is 0. Then it is DuckDB's fault or ours: computed anew.
_FAILURES = 2
# Groups of no more change in place. Of many, some here and there would: that costs DuckDB more than it saves.
_FEW, _COUNTED_EVERY = 10_000, 100


class Program:
    """A kept view that follows. The SQL of each step for each set of changed tables is written once."""

    def __init__(
        self,
        kept: Followed,
        steps: Steps,
        copies: Mapping[str, Relation],
        built_ms: Mapping[str, float],
        parts: Parts,
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures if failures is not None else Failures()
        self.kept = kept
        self.steps = steps
        self._parts = parts
        self._relations = dict(copies)
        for step in steps.steps:
            keys = step.grouping.keys if step.grouping is not None else ()
            self._relations[step.table] = _relation(step.table, keys)
        self._read = {_name(table) for step in steps.steps if step.query is not None for table in tables(step.query)}
        self._sources = {step.table: _sources(step) for step in steps.steps if step.source is not None}
        self._written: dict[tuple[str, frozenset[str]], Written | None] = {}
        self._columns: dict[str, Columns] = {}
        self._finding: dict[str, tuple[str, ...]] = {}
        self._few: dict[str, tuple[int, bool]] = {}  # by table: batches so far, and whether its rows are few
        self._paces: dict[str, Pace] = {step.table: Pace(built_ms.get(step.table)) for step in steps.steps}
        self.measured: dict[str, Measured] = {}

    def run(self, writer: duckdb.DuckDBPyConnection, deltas: Deltas) -> None:
        """Move every step that reads a changed table; `deltas` gets those of the steps' tables."""
        for step in self.steps.steps:
            if step.source is None:
                changed = [table for table in self.kept.tables | {*self.kept.view.local_tables} if table in deltas]
                aliases: frozenset[str] = frozenset()
            else:
                read = [(name, alias) for name, alias in self._sources[step.table] if name in deltas]
                changed = [name for name, _ in read]
                aliases = frozenset(alias for _, alias in read)
            if changed:
                self._move(writer, step, changed, aliases, deltas)

    def _move(
        self,
        writer: duckdb.DuckDBPyConnection,
        step: Step,
        changed: list[str],
        aliases: frozenset[str],
        deltas: Deltas,
    ) -> None:
        delta, pace = Delta(writer, step.table), self._paces[step.table]
        known = not any(deltas[table].lost for table in changed) and step.follows(changed)
        moved = sum(deltas[table].moved for table in set(changed)) if known else 0
        way = self.kept.view.relation_id, self.steps.steps.index(step), aliases
        anew = not known or self._failures[way] >= _FAILURES or pace.better_anew(moved)
        anew = anew or self._delta_sql(writer, step, aliases, deltas) is None
        started, own = perf_counter(), 0.0
        if anew:
            difference(writer, step.text, delta, self._columns_of(writer, step))
        else:
            self._failures[way] += 1
            own = self._follow(writer, step, aliases, delta, deltas)
            self._failures[way] -= 1
        if delta.moved if not anew and step.grouping is not None else self._apply(writer, step, delta):
            deltas.add(delta)
        milliseconds = 1000 * (perf_counter() - started) + own
        if known:
            pace.took(moved, milliseconds, anew=anew)
        self.measured.setdefault(step.table, Measured()).add(anew=anew, rows=delta.moved, milliseconds=milliseconds)

    def _apply(self, writer: duckdb.DuckDBPyConnection, step: Step, delta: Delta) -> int:
        """Apply the delta to the step's table; how many rows moved. One that cannot be right is not believed."""
        columns = self._columns_of(writer, step)
        try:
            return apply_delta(writer, delta, columns)
        except Strayed:
            _log.warning("%s is computed anew, for rows left it that were not there: %s", step.table, step.text)
            difference(writer, step.text, delta, columns)
            return apply_delta(writer, delta, columns)

    def _follow(
        self, writer: duckdb.DuckDBPyConnection, step: Step, aliases: frozenset[str], delta: Delta, deltas: Deltas
    ) -> float:
        """Make the delta of the step's table from the deltas of the tables under these aliases.

        Returns by how many milliseconds this took more than it seems: what others made for it, less what it made for
        others.
        """
        written = self._delta_sql(writer, step, aliases, deltas)
        assert written is not None
        made = [self._parts.make(writer, deltas, part) for part in written.before]
        own = sum(share - took for took, share in made)
        rows = written.query
        if step.grouping is None:
            fill(writer, delta, self._columns_of(writer, step), rows)
            return own
        listed = deltas.wants(step.table) or step.table in self._read
        columns, found_by = self._columns_of(writer, step), self._found_by(step)
        few = not listed and self._has_few(writer, step)
        merge(writer, step, rows, delta, columns=columns, found_by=found_by, listed=listed, in_place=few)
        if not step.grouping.merges and delta.moved:
            delta.net(self._columns_of(writer, step))
        return own

    def _has_few(self, writer: duckdb.DuckDBPyConnection, step: Step) -> bool:
        """Whether the step's table has few rows, as far as was last looked."""
        batches, few = self._few.get(step.table, (0, False))
        if batches % _COUNTED_EVERY == 0:
            row = writer.execute(f"SELECT count(*) <= {_FEW} FROM {qualified(DATA_SCHEMA, step.table)}").fetchone()
            few = row == (True,)
        self._few[step.table] = batches + 1, few
        return few

    def _relation_of(self, writer: duckdb.DuckDBPyConnection, table: str) -> Relation:
        known = self._relations.get(table) or _relation(table, ())
        if known.unique:
            return known
        kinds = described(writer, f"FROM {known.table}")
        return replace(known, vague=frozenset(name for name, kind in kinds if compares_vaguely(kind)))

    def _columns_of(self, writer: duckdb.DuckDBPyConnection, step: Step) -> Columns:
        if step.table not in self._columns:
            self._columns[step.table] = described(writer, f"FROM {qualified(DATA_SCHEMA, step.table)}")
        return self._columns[step.table]

    def _found_by(self, step: Step) -> tuple[str, ...]:
        """Keys of a step's groups by which each is found."""
        if step.table not in self._finding:
            assert step.grouping is not None
            read = {table.alias_or_name: self._relations.get(table.name) for table in tables(step.grouping.rows)}
            unique = {alias: relation.unique for alias, relation in read.items() if relation is not None}
            self._finding[step.table] = determining(step.grouping, unique)
        return self._finding[step.table]

    def _delta_sql(
        self, writer: duckdb.DuckDBPyConnection, step: Step, changed: frozenset[str], deltas: Deltas
    ) -> Written | None:
        """The delta of what the step is made of, when the tables under these aliases changed.

        None, so that the step is computed anew, when there is none that DuckDB understands: a fault, which is logged.
        """
        key = (step.table, changed)
        if key not in self._written:
            assert step.source is not None
            by_alias = {
                table.alias_or_name: self._relation_of(writer, table.name)
                if table.db == DATA_SCHEMA
                else Relation(qualified(table.db, table.name), "")  # a local table, which has no delta
                for table in tables(step.source)
            }
            try:
                self._written[key] = written = delta_sql(step.source, changed, by_alias)
                for part in written.before:
                    self._parts.make(writer, deltas, part)
                described(writer, written.query)
            except Exception as error:
                if isinstance(error, duckdb.Error) and not isinstance(error, UNBOUND):
                    raise
                _log.warning("%s is computed anew, for its delta could not be written: %r", step.table, error)
                self._written[key] = None
        return self._written[key]


def _sources(step: Step) -> list[tuple[str, str]]:
    """The tables whose deltas the step follows, each with the alias it has there, once per place."""
    return [(_name(table), table.alias_or_name) for table in tables(step.source)] if step.source is not None else []


def _name(table: exp.Table) -> str:
    """The name under which a table's changes are known: copies and kept rows by their own, others as relation ids."""
    return table.name if table.db == DATA_SCHEMA else f"{table.db}.{table.name}"
