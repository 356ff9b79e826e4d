"""The steps of kept views, and the tables that hold them: flashql.view_steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from flashql.store.copies import drop_table
from flashql.store.duck import Store


@dataclass(frozen=True)
class StepRow:
    """One row of flashql.view_steps, without what is measured."""

    table: str
    strategy: str
    reason: str
    query: str


def step_rows(store: Store, relation_id: str) -> list[StepRow]:
    """The view's steps as they were built, in their order."""
    rows = store.rows(
        "SELECT local_table, strategy, reason, query FROM flashql.view_steps WHERE relation_id = ? ORDER BY step",
        [relation_id],
    )
    return [StepRow(*row) for row in rows]


def first_tables(store: Store) -> dict[str, str]:
    """The table of each view's first step, by relation id."""
    return dict(store.rows("SELECT relation_id, local_table FROM flashql.view_steps WHERE step = 1"))


def built_milliseconds(store: Store) -> dict[str, float]:
    """What computing each step's table took when it was built, by table."""
    return dict(store.rows("SELECT local_table, built_milliseconds FROM flashql.view_steps"))


def save_steps(
    writer: duckdb.DuckDBPyConnection, relation_id: str, steps: Sequence[StepRow], milliseconds: Sequence[float]
) -> None:
    """These are the view's steps now, in tables that were just filled; the tables of those before are dropped.

    `milliseconds` are what filling each took.
    """
    drop_steps(writer, relation_id)
    for number, (step, took) in enumerate(zip(steps, milliseconds, strict=True), 1):
        writer.execute(
            "INSERT INTO flashql.view_steps (relation_id, step, local_table, strategy, reason, query, "
            "built_milliseconds) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [relation_id, number, step.table, step.strategy, step.reason, step.query, took],
        )


def drop_steps(writer: duckdb.DuckDBPyConnection, relation_id: str) -> None:
    """Forget the view's steps and drop their tables."""
    rows = writer.execute("SELECT local_table FROM flashql.view_steps WHERE relation_id = ?", [relation_id]).fetchall()
    for (table,) in rows:
        drop_table(writer, table)
    writer.execute("DELETE FROM flashql.view_steps WHERE relation_id = ?", [relation_id])


def add_measured(writer: duckdb.DuckDBPyConnection, measured: Mapping[str, tuple[int, int, int, float]]) -> None:
    """Add to what was measured of the steps with these tables: batches, of these recomputed, rows, milliseconds."""
    rows = ", ".join(
        f"('{table}', {batches}, {anew}, {rows}, {ms!r})" for table, (batches, anew, rows, ms) in measured.items()
    )
    writer.execute(
        "UPDATE flashql.view_steps AS s SET batches = s.batches + m.batches, recomputed = s.recomputed + m.anew, "
        "rows_moved = s.rows_moved + m.moved, milliseconds = s.milliseconds + m.ms "
        f"FROM (VALUES {rows}) AS m(local_table, batches, anew, moved, ms) WHERE s.local_table = m.local_table"
    )
