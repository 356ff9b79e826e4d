"""Rows that differ from the origin's are taken from it again: to mend a copy, or to make one from an older.

A copy that lost its stream (the slot was dropped, the server is another, the file an older one) still has most of its
rows right. A new one then begins as that one's rows, is compared with the snapshot, and gets only what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import duckdb

from flashql import errors, fingerprint
from flashql.apply import target
from flashql.catalog import Copy, CopyState, Table
from flashql.comparing import differing_places, is_one_of
from flashql.origins.base import Count, Size, Snapshot, count_nothing
from flashql.origins.postgres.origin import PostgresOrigin
from flashql.quoting import quote
from flashql.store import DATA_SCHEMA, Store, translated
from flashql.store.copies import copies
from flashql.store.loading import TargetColumn, append
from flashql.store.sets import sets_of, subscribed
from flashql.works import Work

# With more rows than that to take again, one by one by their keys, reading all of them is sooner done.
MOST_PLACES = 50_000


def twin(store: Store, copy: Copy) -> Copy | None:
    """A copy of the same table that has stopped, and holds the same columns in the same way."""
    wanted = {(kept.name, kept.column.declared) for kept in copy.columns}
    types = {(kept.local_name, copy.local_type(kept).name) for kept in copy.columns}
    if copy.fills is not None:
        return None
    for other in copies(store, copy.origin):
        same_table = other.of == copy.of and other.key == copy.key and other.restriction == copy.restriction
        stopped = other.state is CopyState.DETACHED and other.local_table is not None
        columns = {(kept.name, kept.column.declared) for kept in other.columns}
        # A copy that broke has in its record how the next is to hold its columns: the table tells how it does.
        if same_table and stopped and wanted <= columns and types <= _types(store, other):
            return other
    return None


def _types(store: Store, copy: Copy) -> set[tuple[str, str]]:
    """The name and type of each column of the copy's table."""
    return set(
        store.rows(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? "
            "AND database_name = current_database()",
            [DATA_SCHEMA, copy.local_table],
        )
    )


def renewed(
    connect: Callable[[], duckdb.DuckDBPyConnection],
    origin: PostgresOrigin,
    snapshot: Snapshot,
    copy: Copy,
    older: Copy,
    table: Table,
    work: Work,
) -> bool:
    """Make the copy's table from the older one's rows, true at the snapshot; the rows that are read count as `work`.

    False, and there is no table, when too many rows differ or one does not fit.
    """
    cursor = connect()
    names = ", ".join(quote(kept.local_name) for kept in copy.columns)
    try:
        with translated():
            cursor.execute("BEGIN")
            cursor.execute(f"CREATE TABLE {target(copy)} AS SELECT {names} FROM {target(older)}")
            with origin.client.in_snapshot(snapshot.name) as query:
                places = differing_places(copy, cursor, query, MOST_PLACES)
            if places is None:
                cursor.execute("ROLLBACK")
                return False
            if places:
                work.expect(Size(len(places)))
                take_again(cursor, origin, snapshot, copy, table, places, work.count)
            cursor.execute("COMMIT")
    except BaseException as error:
        with suppress(duckdb.Error):  # what failed may have rolled back already
            cursor.execute("ROLLBACK")
        if isinstance(error, errors.QueryFailed):
            return False
        raise
    return True


def take_again(
    writer: duckdb.DuckDBPyConnection,
    origin: PostgresOrigin,
    snapshot: Snapshot,
    copy: Copy,
    table: Table,
    places: Sequence[int],
    count: Count = count_nothing,
) -> None:
    """Replace the copy's rows at these places by the snapshot's, in the writer's transaction."""
    writer.execute(f"DELETE FROM {target(copy)} WHERE {is_one_of(fingerprint.of_local(copy).place, places)}")
    columns = [TargetColumn(kept.local_name, kept.column.type, copy.numeric, kept.rung) for kept in copy.columns]
    where = is_one_of(fingerprint.of_origin(copy).place, places)
    if copy.restriction is not None:
        where = f"{where} AND {subscribed(copy, sets_of(writer, copy))}"
    with origin.sources(snapshot, table, [kept.column for kept in copy.columns], count, where) as sources:
        append(writer, target(copy), columns, sources)
