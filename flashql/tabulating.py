"""A run of changes as a relation, and whether it has the shape of a copy.

A run of changes is an *events* relation, one row per change in stream order, all values as text that reads back
exactly (Postgres's own, or DuckDB's of a value that came in binary form):

    kind UTINYINT ('I', 'U', 'D'; 'T' for a truncation), seq BIGINT, final_lsn UBIGINT, has_old BOOLEAN,
    n0, n1, ... VARCHAR     the new row's columns, in the order of the copy's columns
    u0, u1, ... BOOLEAN     that column of the new row was toasted and unchanged, so it was not sent
    o0, o1, ... VARCHAR     the old row's columns (only those of the key are sure to be there)

It is an Arrow table for a batch from the stream, and a table in the file for changes that waited for a snapshot:
the same statements apply both.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from flashql import errors
from flashql.arrays import to_arrow
from flashql.catalog import Copy
from flashql.origins.base import Relation, RowChanges

TRUNCATE = ord("T")
# DuckDB 1 lets Arrow filter what it scans, which Arrow cannot for views; a copy of their bytes is the price.
_COPIES_VIEWS = duckdb.__version__.startswith("1.")
_TEXT = pa.string() if _COPIES_VIEWS else pa.string_view()


@dataclass(frozen=True)
class Events:
    """An events relation and what has to be known of it to choose the statements."""

    relation: str  # its name in SQL
    only_inserts: bool
    unchanged: tuple[int, ...] = ()  # copy columns with unchanged TOAST values in some row
    splits: tuple[int, ...] = ()  # seqs of key-changing updates with such values: each is applied by itself
    old_is_whole: bool = False  # old rows are complete (replica identity full)


def column_places(copy: Copy, relation: Relation) -> tuple[int, ...]:
    """For each column of the copy, where it is in the relation's rows.

    Raises `SchemaChanged` when the stream's table no longer has the name, the column, its type or the copy's key.
    """
    if (relation.schema, relation.name) != (copy.schema, copy.name):
        raise errors.SchemaChanged(f"{copy.schema}.{copy.name} is named {relation.schema}.{relation.name} now")
    where = {column.name: at for at, column in enumerate(relation.columns)}
    places = []
    for kept in copy.columns:
        at = where.get(kept.name)
        if at is None:
            raise errors.SchemaChanged(f"column {kept.name} of {copy.schema}.{copy.name} is gone at the origin")
        wire = relation.columns[at]
        if (wire.type_oid, wire.typmod) != kept.column.declared:
            raise errors.SchemaChanged(f"column {kept.name} of {copy.schema}.{copy.name} changed type at the origin")
        if relation.replica_identity != "f" and (kept.name in copy.key) != wire.is_key:
            raise errors.SchemaChanged(f"the replica identity of {copy.schema}.{copy.name} changed at the origin")
        places.append(at)
    return tuple(places)


def events_table(copy: Copy, changes: RowChanges, *, all_columns: bool, first_seq: int = 0) -> pa.Table:
    """The events of a run, as Arrow, for `events_sql`; `all_columns`: also the u columns that no row needs.

    Raises `SchemaChanged` when the run's table has not the shape of the copy.
    """
    places = column_places(copy, changes.relation)
    count = len(changes)
    arrays: dict[str, pa.Array] = {
        "kind": to_arrow(changes.kinds),
        "seq": to_arrow(changes.sequence + first_seq),
        "final_lsn": to_arrow(changes.final_lsns.astype(np.uint64)),
        "has_old": to_arrow(changes.has_old),
    }
    for at, place in enumerate(places):
        arrays[f"n{at}"] = column_array(changes.new.values[place], count)
        unchanged = changes.new.unchanged[place]
        if unchanged is not None or all_columns:
            arrays[f"u{at}"] = to_arrow(np.zeros(count, np.bool_) if unchanged is None else unchanged)
        arrays[f"o{at}"] = column_array(changes.old.values[place] if changes.old is not None else None, count)
    return pa.table(arrays)


def events_sql(relation: str, events: pa.Table) -> str:
    """The events relation, with text throughout, over `relation`: where `events` are registered."""
    values = [column for column in events.schema if column.name[0] in "no" and column.name[1:].isdigit()]
    texts = [f"{_as_text(column.name, column.type)} AS {column.name}" for column in values if not is_text(column.type)]
    return f"(SELECT * REPLACE ({', '.join(texts)}) FROM {relation})" if texts else relation


def _as_text(name: str, type_: pa.DataType) -> str:
    """SQL for the text of a value that came as itself: its local type's `from_text` reads it back exactly."""
    if pa.types.is_timestamp(type_) and type_.tz is not None:  # never by the zone in which somebody reads
        moment = f"CAST(make_timestamp(epoch_us({name})) AS VARCHAR) || '+00'"
        return f"CASE WHEN isfinite({name}) THEN {moment} ELSE CAST({name} AS VARCHAR) END"
    if pa.types.is_binary(type_) or pa.types.is_binary_view(type_):
        return f"'\\x' || hex({name})"
    return f"CAST({name} AS VARCHAR)"


def is_text(type_: pa.DataType) -> bool:
    """Whether values of this Arrow type are texts to be read, and not themselves what the copy holds."""
    return bool(pa.types.is_string(type_) or pa.types.is_string_view(type_))


def column_array(array: pa.Array | None, count: int) -> pa.Array:
    """The values of a column as DuckDB can scan them; nulls when there is no column."""
    if array is None:
        return pa.nulls(count, _TEXT)
    if _COPIES_VIEWS and pa.types.is_binary_view(array.type):
        return array.cast(pa.binary())
    return array.cast(_TEXT) if pa.types.is_string_view(array.type) else array
