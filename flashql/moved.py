"""What a local commit changed in a view: the rows that left it and those that arrived, for whoever watches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from flashql.catalog import View
from flashql.deltas import delta_name
from flashql.planner.blocks import tables
from flashql.planner.delta import Relation, delta_sql
from flashql.planner.steps import WEIGHT, Steps
from flashql.quoting import qualified, quote
from flashql.store import DATA_SCHEMA, registered
from flashql.store.relations import described
from flashql.weighing import consolidated


@dataclass(frozen=True)
class Change:
    """What one local commit changed in a view: its rows before, less `deleted`, and `inserted`, are its rows after.

    Both are Arrow tables with the view's columns, in which a row may be several times, as in the view; no row is in
    both. `lsn` is the view's `last_seen_commit` with that commit; None for a view or query without an origin.
    """

    view: str
    lsn: str | None
    inserted: pa.Table
    deleted: pa.Table


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


def shown_rows(connection: duckdb.DuckDBPyConnection, shown: str, table: str | None) -> pa.Table:
    """All rows of `shown`, as that connection sees them; none when the view shows no table."""
    return connection.sql(f"{shown}{'' if table else ' LIMIT 0'}").to_arrow_table()


def moved_rows(writer: duckdb.DuckDBPyConnection, shown: str, delta: str) -> tuple[pa.Table, pa.Table]:
    """The rows of a delta that left, and those that arrived. `shown` is a query with the same columns."""
    return _split(writer, described(writer, shown), delta)


def netted(
    connection: duckdb.DuckDBPyConnection, left: Sequence[pa.Table], arrived: Sequence[pa.Table]
) -> tuple[pa.Table, pa.Table]:
    """What left and what arrived in all, without rows that did both. There is at least one table, of one schema."""
    schema = [*left, *arrived][0].schema
    before, after = (pa.concat_tables([schema.empty_table(), *parts]) for parts in (left, arrived))
    with registered(connection, "flashql_left", before), registered(connection, "flashql_arrived", after):
        columns = described(connection, "FROM flashql_left")
        weighted = f"SELECT *, -1 AS {WEIGHT} FROM flashql_left UNION ALL SELECT *, 1 FROM flashql_arrived"
        gone, came = _split(connection, columns, weighted)
    return gone.cast(schema), came.cast(schema)


def _split(
    connection: duckdb.DuckDBPyConnection, columns: list[tuple[str, str]], weighted: str
) -> tuple[pa.Table, pa.Table]:
    """The rows with negative weights, and those with positive ones, of a relation with weights, consolidated."""
    rows = connection.sql(consolidated(columns, weighted)).to_arrow_table()
    arrived = pc.greater(rows[WEIGHT], 0)
    bare = rows.drop_columns([WEIGHT])
    return bare.filter(pc.invert(arrived)), bare.filter(arrived)
