"""When a value does not fit its column's local type: the next rung up that fits it.

The copy is then made anew with those rungs, so that every value is printed by the origin, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from flashql.catalog import Copy, CopyColumn
from flashql.datatypes import LocalType, ladder
from flashql.origins.base import RowChanges
from flashql.quoting import qualified
from flashql.store import DATA_SCHEMA, Store, translated
from flashql.store.copies import waiting_table
from flashql.tabulating import events_sql, events_table


def widened(store: Store, copy: Copy, changes: RowChanges) -> Copy:
    """The copy with each column at the first rung, from its own up, that fits every value of the changes."""
    table = events_table(copy, changes, all_columns=True)
    cursor = store.cursor()
    try:
        cursor.register("flashql_misfits", table)
        return _fitted(cursor, copy, events_sql("flashql_misfits", table))
    finally:
        cursor.close()


def widened_by_waiting(store: Store, copy: Copy) -> Copy:
    """The same for the changes that waited for the copy's snapshot."""
    cursor = store.cursor()
    try:
        return _fitted(cursor, copy, qualified(DATA_SCHEMA, waiting_table(copy)))
    finally:
        cursor.close()


def _fitted(cursor: duckdb.DuckDBPyConnection, copy: Copy, relation: str) -> Copy:
    with translated():
        columns = tuple(
            replace(kept, rung=_first_fitting(cursor, copy, at, kept, relation)) for at, kept in enumerate(copy.columns)
        )
    return replace(copy, columns=columns)


def _first_fitting(cursor: duckdb.DuckDBPyConnection, copy: Copy, at: int, kept: CopyColumn, relation: str) -> int:
    rungs: Sequence[LocalType] = ladder(kept.column.type, numeric=copy.numeric)
    for rung in range(kept.rung, len(rungs) - 1):
        fits = rungs[rung].fits
        row = cursor.execute(
            f"SELECT coalesce(bool_and({fits(f'n{at}')}), true) AND coalesce(bool_and({fits(f'o{at}')}), true) "
            f"FROM {relation}"
        ).fetchone()
        if row == (True,):
            return rung
    return len(rungs) - 1
