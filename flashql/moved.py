"""What a local commit moved in a view: the rows that left it and those that arrived, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from flashql.catalog import View
from flashql.deltas import delta_name
from flashql.lsn import LSN
from flashql.planner.blocks import tables
from flashql.planner.delta import Relation, delta_sql
from flashql.planner.steps import WEIGHT, Steps
from flashql.quoting import qualified, quote
from flashql.store import DATA_SCHEMA
from flashql.store.relations import described
from flashql.weighing import consolidated


@dataclass(frozen=True)
class Moved:
    """What one local commit moved in a view. Both tables have the view's columns; a row may be in them several times.

    `lsn` is the position of the view's origin that its rows are of now; None for a view without an origin. With `reset`
    the view shows other tables than before (it was copied again, or defined anew): `inserted` are all its rows then,
    and `deleted` is empty.
    """

    view: str
    lsn: LSN | None
    deleted: pa.Table
    inserted: pa.Table
    reset: bool = False


def shown_delta(view: View, table: str, steps: Steps | None) -> str:
    """The delta of what a view shows, as SQL over that of `table`: its copy, or the table of its last step."""
    delta = delta_name(table)
    if steps is None:
        where = f" WHERE {view.local_where}" if view.local_where else ""
        return f"SELECT {view.local_select}, {WEIGHT} FROM {delta}{where}"
    names = ", ".join([*(quote(column.name) for column in view.columns), WEIGHT])
    if steps.shown is None:
        return f"SELECT * FROM {delta} AS moved({names})"
    (read,) = tables(steps.shown)
    relation = Relation(qualified(DATA_SCHEMA, table), delta)
    rows = delta_sql(steps.shown, frozenset({read.alias_or_name}), {read.alias_or_name: relation}).query
    return f"SELECT * FROM ({rows}) AS moved({names})"


def moved_rows(writer: duckdb.DuckDBPyConnection, view: View, delta: str) -> tuple[pa.Table, pa.Table]:
    """The rows of a view's delta that left, and those that arrived."""
    columns = described(writer, f"FROM {qualified(view.namespace, view.name)}")
    names = ", ".join(quote(name) for name, _ in columns)
    net = consolidated(columns, delta)
    left, arrived = (
        writer.sql(f"SELECT {names} FROM ({net}) WHERE {WEIGHT} {sign} 0").to_arrow_table() for sign in ("<", ">")
    )
    return left, arrived


def all_rows(writer: duckdb.DuckDBPyConnection, view: View) -> pa.Table:
    """Every row that the view shows."""
    return writer.sql(f"FROM {qualified(view.namespace, view.name)}").to_arrow_table()
