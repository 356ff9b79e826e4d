"""Copies of origin tables, and what each origin holds for this database, loaded and saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import duckdb

from flashql.catalog import Copy, CopyName, CopyState, Origin
from flashql.lsn import LSN
from flashql.store.duck import DATA_SCHEMA, Store, translated
from flashql.store.inputs import forget_input
from flashql.store.records import dump, load


def copies(store: Store, origin: str) -> list[Copy]:
    """The copies of an origin's tables."""
    return _loaded(store.rows(_COPIES, [origin]))


def all_copies(store: Store) -> list[Copy]:
    """The copies of every origin's tables."""
    return _loaded(store.rows("SELECT definition, state, local_table, lsn FROM flashql.copies ORDER BY id"))


def copies_seen(cursor: duckdb.DuckDBPyConnection, origin: str) -> list[Copy]:
    """The same, as the cursor's transaction sees them."""
    with translated():
        return _loaded(cursor.execute(_COPIES, [origin]).fetchall())


def live_tables(store: Store, origin: str) -> dict[CopyName, str]:
    """The local tables of the origin's live copies, by what they are of."""
    rows = store.rows(
        "SELECT schema_name, table_name, coalesce(definition->>'$.view', ''), local_table FROM flashql.copies "
        "WHERE origin = ? AND state = ?",
        [origin, CopyState.LIVE.value],
    )
    return {(schema, name, view): table for schema, name, view, table in rows}


_COPIES = "SELECT definition, state, local_table, lsn FROM flashql.copies WHERE origin = ? ORDER BY id"


def _loaded(rows: Iterable[tuple[Any, ...]]) -> list[Copy]:
    return [
        replace(load(Copy, definition), state=CopyState(state), local_table=table, lsn=LSN(lsn))
        for definition, state, table, lsn in rows
    ]


def save_copy(writer: duckdb.DuckDBPyConnection, copy: Copy) -> None:
    """Add the copy, in place of the one with its id.

    For one that follows no more nothing waits, and views that are kept from it stand still.
    """
    if copy.state is CopyState.DETACHED:
        forget_input(writer, copy.local_table)
        drop_table(writer, waiting_table(copy))
    writer.execute("DELETE FROM flashql.copies WHERE id = ?", [copy.id])
    writer.execute(
        "INSERT INTO flashql.copies (id, origin, schema_name, table_name, state, local_table, lsn, definition) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [copy.id, copy.origin, copy.schema, copy.name, copy.state.value, copy.local_table, int(copy.lsn), dump(copy)],
    )


def delete_copy(writer: duckdb.DuckDBPyConnection, copy: Copy) -> None:
    """Forget the copy; drop its rows, what waits for it, and its sets."""
    forget_input(writer, copy.local_table)
    writer.execute("DELETE FROM flashql.copies WHERE id = ?", [copy.id])
    for table in (copy.local_table, waiting_table(copy), sets_table(copy)):
        drop_table(writer, table)


def waiting_table(copy: Copy) -> str:
    """The table of schema flashql_data with the changes that wait while the copy is made."""
    return f"p{copy.id}"


def sets_table(copy: Copy) -> str:
    """The table of schema flashql_data with the sets that a partial copy has rows for."""
    return f"s{copy.id}"


def drop_table(writer: duckdb.DuckDBPyConnection, table: str | None) -> None:
    """Drop a table of schema flashql_data, if there is one."""
    if table is not None:
        writer.execute(f'DROP TABLE IF EXISTS {DATA_SCHEMA}."{table}"')


def next_id(writer: duckdb.DuckDBPyConnection) -> int:
    """A number never used before in this file."""
    row = writer.execute("SELECT nextval('flashql.ids')").fetchone()
    assert row is not None
    return int(row[0])


def origin_record(store: Store, name: str) -> Origin:
    """What an origin holds for this database; empty when nothing yet."""
    rows = store.rows(
        "SELECT name, slot, publication, system_identifier, timeline, applied_lsn FROM flashql.origins WHERE name = ?",
        [name],
    )
    if not rows:
        return Origin(name, None, None, None, None, LSN(0))
    _, slot, publication, system, timeline, applied = rows[0]
    return Origin(name, slot, publication, system, timeline, LSN(applied))


def save_origin(writer: duckdb.DuckDBPyConnection, origin: Origin) -> None:
    """Remember what the origin holds, in place of what was known."""
    delete_origin(writer, origin.name)
    writer.execute(
        "INSERT INTO flashql.origins VALUES (?, ?, ?, ?, ?, ?)",
        [
            origin.name,
            origin.slot,
            origin.publication,
            origin.system_identifier,
            origin.timeline,
            int(origin.applied_lsn),
        ],
    )


def delete_origin(writer: duckdb.DuckDBPyConnection, name: str) -> None:
    """Forget that the origin holds anything."""
    writer.execute("DELETE FROM flashql.origins WHERE name = ?", [name])


def advance(writer: duckdb.DuckDBPyConnection, origin: str, lsn: LSN) -> None:
    """The live copies of the origin now contain every transaction that ends at or before `lsn`."""
    writer.execute("UPDATE flashql.origins SET applied_lsn = ? WHERE name = ?", [int(lsn), origin])


def data_tables(store: Store) -> set[str]:
    """The names of the tables that exist in schema flashql_data."""
    rows = store.rows(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = ? AND database_name = current_database()",
        [DATA_SCHEMA],
    )
    return {name for (name,) in rows}
