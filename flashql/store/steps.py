"""The steps of kept views, and the tables that hold them: flashql.view_steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from flashql.store.copies import drop_table
from flashql.store.duck import Store


@dataclass(frozen=True)
class StepRow:
    """One row of flashql.view_steps, without what is measured."""

    table: str
    strategy: str
    query: str


def step_rows(store: Store) -> dict[str, list[StepRow]]:
    """The steps as they were built, by relation id, in their order."""
    found: dict[str, list[StepRow]] = {}
    rows = store.rows(
        "SELECT relation_id, local_table, strategy, query FROM flashql.view_steps ORDER BY relation_id, step"
    )
    for view, *row in rows:
        found.setdefault(view, []).append(StepRow(*row))
    return found


def save_steps(writer: duckdb.DuckDBPyConnection, relation_id: str, steps: Sequence[StepRow]) -> None:
    """These are the view's steps now, in tables that were just filled; the tables of those before are dropped."""
    drop_steps(writer, relation_id)
    for number, step in enumerate(steps, 1):
        writer.execute(
            "INSERT INTO flashql.view_steps (relation_id, step, local_table, strategy, query) VALUES (?, ?, ?, ?, ?)",
            [relation_id, number, step.table, step.strategy, step.query],
        )


def drop_steps(writer: duckdb.DuckDBPyConnection, relation_id: str) -> None:
    """Forget the view's steps and drop their tables."""
    rows = writer.execute("SELECT local_table FROM flashql.view_steps WHERE relation_id = ?", [relation_id]).fetchall()
    for (table,) in rows:
        drop_table(writer, table)
    writer.execute("DELETE FROM flashql.view_steps WHERE relation_id = ?", [relation_id])


def add_measured(
    writer: duckdb.DuckDBPyConnection, table: str, batches: int, recomputed: int, rows: int, milliseconds: float
) -> None:
    """Add to what was measured of the step with that table."""
    writer.execute(
        "UPDATE flashql.view_steps SET batches = batches + ?, recomputed = recomputed + ?, "
        "rows_moved = rows_moved + ?, milliseconds = milliseconds + ? WHERE local_table = ?",
        [batches, recomputed, rows, milliseconds, table],
    )
