"""Live queries: kept like realtime views without an origin, but in no catalog, and for one watcher each.

The tables of their steps are dropped when they end; what a process leaves that dies is dropped when the file is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import duckdb

from flashql import errors
from flashql.catalog import View
from flashql.deltas import Deltas
from flashql.keeping import Followed, found_inputs, planned, shown_body
from flashql.moved import Change, moved_rows, shown_delta
from flashql.planner.steps import WEIGHT
from flashql.sharing import Parts
from flashql.stepping import Program, build, known_relations
from flashql.store import Store
from flashql.store.copies import drop_table, next_id
from flashql.store.relations import described
from flashql.watching import Watcher


class LiveQuery:
    """A query whose rows are kept. What has a writer happens within a transaction of the single writer."""

    def __init__(self, store: Store, view: View, watcher: Watcher, parts: Parts) -> None:
        self._store = store
        self._parts = parts
        self.view = view
        self._watcher = watcher
        self.program: Program | None = None  # as of the last commit
        self.over = False  # nobody is told any more

    def end(self, error: errors.FlashQLError | None = None) -> None:
        """Tell nothing any more; the tables are dropped when `drop` is called."""
        self.over = True
        if error is not None:
            self._watcher.ended(error)

    def drop(self, writer: duckdb.DuckDBPyConnection) -> None:
        """Drop its tables."""
        if self.program is not None:
            for step in self.program.steps.steps:
                drop_table(writer, step.table)

    def settle(self, writer: duckdb.DuckDBPyConnection, lost: Deltas) -> None:
        """Follow what this transaction changed: the tables that hold what it reads, or the rows of some.

        While something that it reads has no rows it stands still; at first that raises `ViewNotReady`.
        """
        try:
            now = found_inputs(self._store, self.view)
        except errors.ViewNotReady:
            if self.program is None:
                raise
            return
        if self.program is None or now != self.program.kept.inputs:
            self._build(writer, now)
        else:
            self.follow(writer, lost)

    def follow(self, writer: duckdb.DuckDBPyConnection, deltas: Deltas) -> None:
        """Follow these deltas of what it reads."""
        if self.program is None:
            return
        self.program.run(writer, deltas)
        steps = self.program.steps
        if steps.last.table in deltas:
            delta = shown_delta(self.view, steps.last.table, steps)
            left, arrived = moved_rows(writer, shown_body(self.view, steps), delta)
            if left.num_rows or arrived.num_rows:
                self._tell(Change(self.view.relation_id, None, arrived, left))

    def _build(self, writer: duckdb.DuckDBPyConnection, read: Mapping[str, str | None]) -> None:
        """Compute its rows over these tables; what is told is how they differ from those before."""
        prefix = f"v{next_id(writer)}"
        steps = planned(writer, self.view, read, prefix)
        took = dict(zip((step.table for step in steps.steps), build(writer, steps), strict=True))
        program = Program(Followed(self.view, read, prefix), steps, known_relations(self._store), took, self._parts)
        shown = shown_body(self.view, steps)
        if self.program is None:
            rows = writer.sql(shown).to_arrow_table()
            self._tell(Change(self.view.relation_id, None, rows, rows.slice(0, 0)))
        else:
            before = shown_body(self.view, self.program.steps)
            if described(writer, before) != described(writer, shown):
                self._store.once_committed(partial(self.end, _altered(self.view)))
            else:
                both = f"SELECT *, 1 AS {WEIGHT} FROM ({shown}) UNION ALL SELECT *, -1 FROM ({before})"
                left, arrived = moved_rows(writer, shown, both)
                if left.num_rows or arrived.num_rows:
                    self._tell(Change(self.view.relation_id, None, arrived, left))
            self.drop(writer)
        self._store.once_committed(partial(setattr, self, "program", program))

    def _tell(self, change: Change) -> None:
        self._store.once_committed(partial(self._watcher.tell, change))


def _altered(view: View) -> errors.FlashQLError:
    return errors.DefinitionError(
        f"the columns of the live query {view.query} are others now", hint="It has ended: ask for it anew."
    )
