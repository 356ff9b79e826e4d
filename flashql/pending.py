"""Changes that wait: a table still being read from its snapshot cannot take them yet.

They are kept as an events relation (see tabulating.py) in the file, written in the same transactions as everything
else the stream says, and applied all at once when the snapshot's rows are in. A process that dies meanwhile loses
only work: both the rows and what waited are dropped at the next start, and the table is copied anew.
"""

from __future__ import annotations

import duckdb

from flashql import errors
from flashql.apply import apply_events, target
from flashql.catalog import Copy
from flashql.lsn import LSN
from flashql.origins.base import INSERT, UPDATE, RowChanges
from flashql.quoting import qualified
from flashql.store import DATA_SCHEMA, registered
from flashql.store.copies import drop_table, waiting_table
from flashql.tabulating import TRUNCATE, Events, events_sql, events_table

_BATCH = "flashql_waiting"
_MISSHAPEN = ord("X")


def create(writer: duckdb.DuckDBPyConnection, copy: Copy) -> None:
    """Make an empty table for changes that have to wait, in place of an old one."""
    columns = ["kind UTINYINT", "seq BIGINT", "final_lsn UBIGINT", "has_old BOOLEAN"]
    for at in range(len(copy.columns)):
        columns += [f"n{at} VARCHAR", f"u{at} BOOLEAN", f"o{at} VARCHAR"]
    writer.execute(f"CREATE OR REPLACE TABLE {_table(copy)} ({', '.join(columns)})")


def keep(writer: duckdb.DuckDBPyConnection, copy: Copy, changes: RowChanges, first_seq: int) -> None:
    """Append a run of changes; `first_seq` orders it after everything kept before.

    Toasted values that were not sent are filled in from old rows where those are whole (replica identity full): the
    identity may be another when what waited is applied. Of changes with another shape than the copy it is only kept
    that they came: they may be older than its snapshot.
    """
    try:
        events = events_table(copy, changes, all_columns=True, first_seq=first_seq)
    except errors.SchemaChanged:
        _mark(writer, copy, _MISSHAPEN, first_seq, LSN(int(changes.final_lsns.max())))
        return
    columns = "*"
    if changes.relation.replica_identity == "f":
        whole = (
            f"CASE WHEN u{at} THEN o{at} ELSE n{at} END AS n{at}, false AS u{at}" for at in range(len(copy.columns))
        )
        columns = f"* REPLACE ({', '.join(whole)})"
    with registered(writer, _BATCH, events):
        writer.execute(f"INSERT INTO {_table(copy)} BY NAME SELECT {columns} FROM {events_sql(_BATCH, events)}")


def keep_truncation(writer: duckdb.DuckDBPyConnection, copy: Copy, seq: int, final_lsn: LSN) -> None:
    """Remember that the table was emptied at this point."""
    _mark(writer, copy, TRUNCATE, seq, final_lsn)


def release(writer: duckdb.DuckDBPyConnection, copy: Copy) -> None:
    """Apply what waited to the copy, whose table now holds its snapshot's rows, and drop the waiting table.

    Only transactions that the snapshot does not contain count: those whose final LSN is at or after its LSN. Raises
    `SchemaChanged` when one of them has another shape than the copy.
    """
    late = f"final_lsn >= {int(copy.lsn)}"
    if _one(writer, f"SELECT max(seq) FROM {_table(copy)} WHERE kind = {_MISSHAPEN} AND {late}") is not None:
        raise errors.SchemaChanged(f"{copy.schema}.{copy.name} changed at the origin while it was copied")
    emptied = _one(writer, f"SELECT max(seq) FROM {_table(copy)} WHERE kind = {TRUNCATE} AND {late}")
    if emptied is not None:
        writer.execute(f"DELETE FROM {target(copy)}")
    after = f"{late} AND seq > {emptied}" if emptied is not None else late
    relation = f"(SELECT * FROM {_table(copy)} WHERE {after})"
    masks = ", ".join(f"coalesce(bool_or(u{at}), false)" for at in range(len(copy.columns)))
    row = writer.execute(
        f"SELECT count(*), coalesce(bool_and(kind = {INSERT}), true), [{masks}]::BOOLEAN[] FROM {relation}"
    ).fetchone()
    assert row is not None
    count, only_inserts, lacking = row
    if count:
        unchanged = tuple(at for at, any_row in enumerate(lacking) if any_row)
        splits: tuple[int, ...] = ()
        if unchanged:
            any_lacking = " OR ".join(f"u{at}" for at in unchanged)
            splits = tuple(
                seq
                for (seq,) in writer.execute(
                    f"SELECT seq FROM {relation} WHERE kind = {UPDATE} AND has_old AND ({any_lacking}) ORDER BY seq"
                ).fetchall()
            )
        apply_events(writer, copy, Events(relation, only_inserts, unchanged, splits))
    drop_table(writer, waiting_table(copy))


def _mark(writer: duckdb.DuckDBPyConnection, copy: Copy, kind: int, seq: int, final_lsn: LSN) -> None:
    writer.execute(
        f"INSERT INTO {_table(copy)} (kind, seq, final_lsn, has_old) VALUES (?, ?, ?, false)",
        [kind, seq, int(final_lsn)],
    )


def _table(copy: Copy) -> str:
    return qualified(DATA_SCHEMA, waiting_table(copy))


def _one(writer: duckdb.DuckDBPyConnection, sql: str) -> int | None:
    row = writer.execute(sql).fetchone()
    return row[0] if row else None
