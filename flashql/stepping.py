"""One kept view's steps, carried out: built from nothing, or moved on by the deltas of what they read."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from flashql.deltas import Delta, Deltas, apply_delta, delta_name, difference
from flashql.keeping import Followed
from flashql.merging import merge
from flashql.planner.blocks import tables
from flashql.planner.delta import Relation, delta_sql
from flashql.planner.steps import Step, Steps
from flashql.quoting import qualified, quote
from flashql.store import DATA_SCHEMA, Store
from flashql.store.copies import all_copies
from flashql.store.relations import described
from flashql.weighing import consolidated


def build(writer: duckdb.DuckDBPyConnection, steps: Steps) -> None:
    """Make and fill the tables of a view's steps."""
    for step in steps.steps:
        writer.execute(f"CREATE TABLE {qualified(DATA_SCHEMA, step.table)} AS {step.text}")


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


class Program:
    """A kept view that follows. The SQL of each step for each set of changed tables is written once."""

    def __init__(self, kept: Followed, steps: Steps, copies: Mapping[str, Relation]) -> None:
        self.kept = kept
        self.steps = steps
        self._relations = dict(copies)
        for step in steps.steps:
            keys = step.grouping.keys if step.grouping is not None else ()
            self._relations[step.table] = _relation(step.table, keys)
        self._written: dict[tuple[str, frozenset[str]], str] = {}

    def run(self, writer: duckdb.DuckDBPyConnection, deltas: Deltas) -> None:
        """Move every step that reads a changed table; `deltas` gets those of the steps' tables."""
        for step in self.steps.steps:
            self._run(writer, step, deltas)

    def _run(self, writer: duckdb.DuckDBPyConnection, step: Step, deltas: Deltas) -> None:
        delta = Delta(writer, step.table)
        if step.query is None or step.source is None:
            if any(table in deltas for table in self.kept.tables):
                self._recompute(writer, step, delta, deltas)
            return
        changed = [table for table in tables(step.source) if table.name in deltas]
        if not changed:
            return
        unknown = any(deltas[table.name].lost for table in changed)
        stuck = any(reason.startswith(f"{table.name}:") for table in changed for reason in step.reasons)
        if unknown or stuck:
            self._recompute(writer, step, delta, deltas)
            return
        rows = self._delta_sql(step, frozenset(table.alias_or_name for table in changed))
        if step.grouping is not None:
            merge(writer, step, rows, delta)
            if not step.grouping.merges:
                delta.net()
            if any(delta.rows()):
                deltas.add(delta)
            return
        columns = described(writer, f"FROM {qualified(DATA_SCHEMA, step.table)}")
        writer.execute(f"CREATE OR REPLACE TEMP TABLE {quote(f'delta_{step.table}')} AS {consolidated(columns, rows)}")
        if apply_delta(writer, delta):
            deltas.add(delta)

    def _recompute(self, writer: duckdb.DuckDBPyConnection, step: Step, delta: Delta, deltas: Deltas) -> None:
        difference(writer, step.text, delta)
        if apply_delta(writer, delta):
            deltas.add(delta)

    def _delta_sql(self, step: Step, changed: frozenset[str]) -> str:
        key = (step.table, changed)
        if key not in self._written:
            assert step.source is not None
            by_alias = {
                table.alias_or_name: self._relations.get(table.name) or _relation(table.name, ())
                for table in tables(step.source)
                if table.db == DATA_SCHEMA
            }
            self._written[key] = delta_sql(step.source, changed, by_alias)
        return self._written[key]
