"""Giving space back: a file that is mostly free is made smaller.

DuckDB uses free blocks again, the lowest first, and cuts off those at the file's end (documentation: "Reclaiming
Space"). While a reader holds an old snapshot nothing becomes free, and what is applied meanwhile goes to the end of a
growing file, where it stays. So the tables are written anew: when nearly half of the file is free they find place in
what is free, without the rows deleted from them, and what is above is cut off.
"""

from __future__ import annotations

from contextlib import suppress
from weakref import WeakKeyDictionary

import duckdb

from flashql import errors
from flashql.quoting import qualified
from flashql.store.duck import DATA_SCHEMA, Store

# Less than that is not worth the writing; more content than that takes long enough to be felt by who waits.
_FREE_BLOCKS, _CONTENT_BLOCKS = 32, 4096
_REWRITTEN = "rewritten"
# Those that are complete: a copy that is being made is in no catalog yet.
_TABLES = """
(SELECT local_table FROM flashql.copies UNION SELECT local_table FROM flashql.views
UNION SELECT local_table FROM flashql.view_steps)
INTERSECT SELECT table_name FROM duckdb_tables()
WHERE schema_name = 'flashql_data' AND database_name = current_database() ORDER BY ALL
"""
# Whoever writes for longer than this has better things to do than to make room.
_PATIENCE_SECONDS = 1.0
# To how many blocks a file came the last time: it may be no use to try again (a block of DuckDB's own stays in place).
_came_to: WeakKeyDictionary[Store, int] = WeakKeyDictionary()
_CATALOG = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'flashql' AND database_name = current_database()"


def compact(store: Store) -> bool:
    """Write the tables with rows of FlashQL's anew if nearly half of the file is free; whether they were.

    It takes about a second for each 256 MiB of content; a file with more than 1 GiB is left alone. Readers go on: those
    who hold a snapshot keep what it needs, which is given back after the next time. What fails, changes nothing.
    """
    if store.in_memory or store.read_only:
        return False
    with suppress(errors.FlashQLError), store.undisturbed(_PATIENCE_SECONDS) as alone:
        if alone and _mostly_free(store):
            for (table,) in store.rows(_TABLES):
                _rewrite(store, table)
            for (table,) in store.rows(_CATALOG):
                _move(store, qualified("flashql", table))
            _checkpoint(store)
            _came_to[store] = sum(_blocks(store))
            return True
    return False


def _mostly_free(store: Store) -> bool:
    _checkpoint(store)
    used, free = _blocks(store)
    grown = used + free > 1.25 * _came_to.get(store, 0)
    return grown and free > 0.75 * used and free > _FREE_BLOCKS and used <= _CONTENT_BLOCKS


def _blocks(store: Store) -> tuple[int, int]:
    """How many blocks of 256 KiB of the file are used, and free."""
    ((used, free),) = store.rows(
        "SELECT used_blocks, free_blocks FROM pragma_database_size() WHERE database_name = current_database()"
    )
    return used, free


def _rewrite(store: Store, table: str) -> None:
    old, new = qualified(DATA_SCHEMA, table), qualified(DATA_SCHEMA, f"{table}_{_REWRITTEN}")
    with store.transaction() as writer:
        writer.execute(f"CREATE TABLE {new} AS FROM {old}")
        writer.execute(f"DROP TABLE {old}")
        writer.execute(f'ALTER TABLE {new} RENAME TO "{table}"')


def _move(store: Store, table: str) -> None:
    """Write the few rows of a table of the catalog anew: one block of theirs keeps the file as long as it is."""
    with store.transaction() as writer:
        writer.execute(f"CREATE TEMP TABLE flashql_moved AS FROM {table}")
        writer.execute(f"DELETE FROM {table}")
        writer.execute(f"INSERT INTO {table} FROM flashql_moved")
        writer.execute("DROP TABLE temp.flashql_moved")


def _checkpoint(store: Store) -> None:
    """Twice: what the first frees is cut off, or used again, from the second on."""
    cursor = store.cursor()
    try:
        for _ in range(2):
            with suppress(duckdb.Error):  # somebody writes, or the disk is full: then there will be another time
                cursor.execute("CHECKPOINT")
    finally:
        cursor.close()
