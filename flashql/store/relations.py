"""The relations users query: a FlashQL view is always a DuckDB view, over whatever holds its rows now.

Where there are no rows to read (an origin view, or a copy not made yet) the view has the right columns and
raises advice when it is read, also for a DuckDB client that knows nothing of FlashQL.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from flashql.catalog import Copy, Persistence, Source, View
from flashql.datatypes import ladder
from flashql.errors import ViewNotReady
from flashql.quoting import fold, literal, qualified, quote
from flashql.store.copies import drop_table, next_id
from flashql.store.duck import DATA_SCHEMA, NOT_READY, Store
from flashql.store.steps import drop_steps

# Tables of rows from a seed are named so, and only they.
SEED_PREFIX = "seed"


def _show(writer: duckdb.DuckDBPyConnection, view: View, body: str, table: str | None) -> None:
    writer.execute(f"CREATE OR REPLACE VIEW {qualified(view.namespace, view.name)} AS {body}")
    writer.execute(
        "UPDATE flashql.views SET shows = ? WHERE namespace = ? AND name = ?", [table, view.namespace, view.name]
    )


def show_copy(writer: duckdb.DuckDBPyConnection, store: Store, view: View, copy: Copy) -> None:
    """Make a realtime view answer from its table's copy; rows of its own are dropped.

    Where the view would compute from what it cannot (see `uncomputable`), it raises advice instead.
    """
    assert copy.local_table is not None
    before, shows = _tables(store, view)
    if before is None and shows == copy.local_table:
        return
    body = rows = realtime_body(view, qualified(DATA_SCHEMA, copy.local_table))
    (source,) = view.sources
    advice = uncomputable(source, copy)
    if advice is not None:
        body = _raising(_columns(view), f"{view.relation_id} {advice}")
    _show(writer, view, body, copy.local_table if body == rows else None)
    if before is not None:
        _set_own(writer, view, None)
        drop_table(writer, before)


def uncomputable(source: Source, copy: Copy) -> str | None:
    """Why a view cannot compute from a table's copy, as what is said of it; None where it can.

    What computes from values DuckDB cannot hold in their own type (they are kept as text then) has no exact answer, and
    what computes from a column of another type than it was written for may have a wrong one.
    """
    bound = dict(zip(source.computed_from, source.computed_types, strict=False))
    known = dict(source.labels)
    for column in copy.columns:
        if bound.get(column.name, column.column.declared) != column.column.declared:
            return (
                f"computes from column {column.name}, which has changed its type at the origin. "
                "Define the view again: CREATE OR REPLACE VIEW"
            )
        if not _in_one_order(known.get(column.name, ()), column.column.type.labels):
            return (
                f"computes from the order of column {column.name}, whose labels were renamed at the origin. "
                "Define the view again: CREATE OR REPLACE VIEW"
            )
        if column.rung > 0 and column.name in source.computed_from and copy.local_type(column).name == "VARCHAR":
            return (
                f"computes from column {column.name}, which holds values that DuckDB can only keep as text. "
                "Select the column itself instead"
            )
    return None


def _in_one_order(before: Sequence[str], now: Sequence[str]) -> bool:
    """Whether the labels that an enum had, and still has, stand as they did. One that it has not is in no row of it."""
    return [one for one in before if one in now] == [one for one in now if one in before]


def show_nothing(writer: duckdb.DuckDBPyConnection, view: View) -> None:
    """Make the view raise advice: it has no rows here (yet)."""
    if view.persistence is Persistence.ORIGIN:
        advice = f"{view.relation_id} is read at its origin: query it through flashql.connect(...).execute()"
    else:
        advice = f"{view.relation_id} has no local copy yet: run db.sync.sync()"
    _show(writer, view, _raising(_columns(view), advice), None)


def realtime_body(view: View, source: str) -> str:
    """The SELECT of a realtime view over its table's rows."""
    where = f" WHERE {view.local_where}" if view.local_where else ""
    return f"SELECT {view.local_select} FROM {source}{where}"


def _columns(view: View) -> str:
    return ", ".join(f"CAST(NULL AS {column.local_type}) AS {quote(column.name)}" for column in view.columns) or "1"


def _raising(columns: str, advice: str) -> str:
    return f"SELECT {columns} FROM range(1) WHERE error({literal(f'{NOT_READY} {advice}')}) IS NOT NULL"


def _tables(store: Store, view: View) -> tuple[str | None, str | None]:
    rows = store.rows(
        "SELECT local_table, shows FROM flashql.views WHERE namespace = ? AND name = ?", [view.namespace, view.name]
    )
    return rows[0] if rows else (None, None)


def shown_tables(store: Store) -> dict[str, str]:
    """The table that each readable view shows now, by relation id."""
    return dict(store.rows("SELECT namespace || '.' || name, shows FROM flashql.views WHERE shows IS NOT NULL"))


def own_table(store: Store, view: View) -> str | None:
    """The table with the view's own rows: a materialized copy, or a stopped view's frozen rows."""
    return _tables(store, view)[0]


def is_seeded(store: Store, view: View) -> bool:
    """Whether the view shows the rows of its seed, since it was never cloned."""
    return (own_table(store, view) or "").startswith(SEED_PREFIX)


def shown_table(store: Store, view: View) -> str | None:
    """The table whose rows the view shows now."""
    return _tables(store, view)[1]


def has_rows(store: Store, view: View) -> bool:
    """Whether the view can be read now."""
    return _tables(store, view)[1] is not None


def _set_own(writer: duckdb.DuckDBPyConnection, view: View, table: str | None) -> None:
    writer.execute(
        "UPDATE flashql.views SET local_table = ? WHERE namespace = ? AND name = ?",
        [table, view.namespace, view.name],
    )


def show_own(writer: duckdb.DuckDBPyConnection, store: Store, view: View, table: str, body: str | None = None) -> None:
    """Make the view answer with the rows of a new table of its own (or `body` over it); the one it had is dropped."""
    before = own_table(store, view)
    _set_own(writer, view, table)
    _show(writer, view, body or f"SELECT * FROM {qualified(DATA_SCHEMA, table)}", table)
    drop_table(writer, before)


def freeze(writer: duckdb.DuckDBPyConnection, store: Store, view: View) -> None:
    """Keep the rows the view shows now in a table of its own, so that its copy may go on without it."""
    own, shows = _tables(store, view)
    if own is not None or shows is None:
        return
    table = f"f{next_id(writer)}"
    writer.execute(
        f"CREATE TABLE {qualified(DATA_SCHEMA, table)} AS SELECT * FROM {qualified(view.namespace, view.name)}"
    )
    show_own(writer, store, view, table)


def remove(writer: duckdb.DuckDBPyConnection, store: Store, view: View) -> None:
    """Drop the view and the rows that are its own."""
    table = own_table(store, view)
    drop_steps(writer, view.relation_id)
    writer.execute(f"DROP VIEW IF EXISTS {qualified(view.namespace, view.name)}")
    drop_table(writer, table)


def described(writer: duckdb.DuckDBPyConnection, body: str) -> list[tuple[str, str]]:
    """Names and types of the columns of a SELECT, without running it."""
    return [(row[0], row[1]) for row in writer.execute(f"DESCRIBE {body}").fetchall()]


def kind_of(store: Store, namespace: str, name: str) -> str | None:
    """What DuckDB has under that name: 'table', 'view' or None. DuckDB's names ignore case, as `fold` does."""
    rows = store.rows(
        "SELECT 'table', schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() "
        "UNION ALL SELECT 'view', schema_name, view_name FROM duckdb_views() WHERE database_name = current_database()"
    )
    wanted = (fold(namespace), fold(name))
    return next((kind for kind, schema, relation in rows if (fold(schema), fold(relation)) == wanted), None)


def has_schema(store: Store, name: str) -> bool:
    """Whether DuckDB has that schema in this file."""
    rows = store.rows("SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database()")
    return fold(name) in {fold(known) for (known,) in rows}


def counted(store: Store, view: View) -> tuple[int | None, int | None]:
    """How many rows the view shows, and how many values in them do not fit the type their column began with.

    None and None when it has no rows of its own to count.
    """
    if not has_rows(store, view):
        return None, None
    name = qualified(view.namespace, view.name)
    try:
        here = [(row[0], row[1]) for row in store.rows(f"DESCRIBE {name}")]
        misfits = [
            f"count(*) FILTER (NOT {first.fits(quote(column))})"
            for (column, type_), known in zip(here, view.columns, strict=False)
            if known.pg_type is not None
            for first in ladder(known.pg_type, numeric=view.numeric)[:1]
            if type_ == "VARCHAR" != first.name
        ]
        ((rows, unfit),) = store.rows(f"SELECT count(*), {' + '.join(misfits) or '0'} FROM {name}")
    except ViewNotReady:
        return None, None
    return int(rows), int(unfit)
