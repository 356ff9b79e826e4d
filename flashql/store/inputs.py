"""What the rows of kept views were computed from and have followed since: flashql.view_inputs.

A view that has none there stands still: its rows are those of some moment, and are computed anew before it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb

from flashql.catalog import View
from flashql.store.duck import Store

# A relation that a view reads -> the table in schema flashql_data with its rows; None for one of DuckDB's own tables.
Inputs = Mapping[str, str | None]


_INPUTS = "SELECT relation_id, input, local_table FROM flashql.view_inputs"


def inputs(store: Store) -> dict[str, dict[str, str | None]]:
    """What each view that is kept up now is computed from, by relation id."""
    return _by_view(store.rows(_INPUTS))


def inputs_of(store: Store, relation_id: str) -> dict[str, str | None] | None:
    """What one view is computed from; None when it is not kept up now."""
    return _by_view(store.rows(f"{_INPUTS} WHERE relation_id = ?", [relation_id])).get(relation_id)


def inputs_seen(cursor: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str | None]]:
    """As `inputs`, as the cursor's transaction sees them."""
    return _by_view(cursor.execute(_INPUTS).fetchall())


def _by_view(rows: Iterable[tuple[str, str | None, str | None]]) -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = {}
    for view, name, table in rows:
        if name is None:
            found.setdefault(view, {})
        else:
            found.setdefault(view, {})[name] = table
    return found


def save_inputs(writer: duckdb.DuckDBPyConnection, view: View, read: Inputs) -> None:
    """The view's rows are those of its query over `read`, and follow it from here."""
    let_stand(writer, view.relation_id)
    for name, table in read.items() or [(None, None)]:
        writer.execute("INSERT INTO flashql.view_inputs VALUES (?, ?, ?)", [view.relation_id, name, table])


def let_stand(writer: duckdb.DuckDBPyConnection, relation_id: str) -> None:
    """The view's rows follow nothing from here."""
    writer.execute("DELETE FROM flashql.view_inputs WHERE relation_id = ?", [relation_id])


def forget_input(writer: duckdb.DuckDBPyConnection, table: str | None) -> None:
    """The copy in this table follows its origin no more, so neither do views of that origin computed from it.

    Views without an origin go on: they follow what other views show.
    """
    if table is not None:
        writer.execute(
            "DELETE FROM flashql.view_inputs WHERE relation_id IN "
            "(SELECT relation_id FROM flashql.view_inputs WHERE local_table = ?) AND relation_id IN "
            "(SELECT namespace || '.' || name FROM flashql.views WHERE origin IS NOT NULL)",
            [table],
        )
