"""Seeds: rows that a view shows until its first clone, from a Parquet or CSV file or a local query.

A seeded view has rows of its own, of no known commit, and counts as stale. The clone takes their place in one local
commit, as it does for a view that was stopped.
"""

from __future__ import annotations

import logging

import duckdb

from flashql import errors
from flashql.catalog import View
from flashql.hooks import syncing
from flashql.lifecycle import Phase
from flashql.quoting import literal, qualified, quote
from flashql.store import DATA_SCHEMA, Store, translated
from flashql.store.copies import drop_table, next_id
from flashql.store.definitions import views
from flashql.store.duck import as_ours
from flashql.store.jobs import jobs, set_job
from flashql.store.relations import SEED_PREFIX, described, has_rows, show_own

_log = logging.getLogger(__name__)

_QUERIES = ("SELECT", "WITH", "FROM", "TABLE", "VALUES")


def source(text: str) -> tuple[str, bool]:
    """The relation that an option `seed` names, as SQL, and whether its values are text to be read (CSV).

    A text that ends like a Parquet or CSV file is one; one that begins like a query is that; any other is a relation.

    >>> source("orders.csv")
    ("read_csv('orders.csv', header = true, all_varchar = true)", True)
    >>> source("SELECT 1 AS a"), source("old.orders")
    (('(SELECT 1 AS a)', False), ('(FROM old.orders)', False))
    """
    name = text.lower()
    if name.endswith((".parquet", ".parq")):
        return f"read_parquet({literal(text)})", False
    if name.endswith((".csv", ".csv.gz")):
        return f"read_csv({literal(text)}, header = true, all_varchar = true)", True
    first = text.split(None, 1)[0].upper() if text.split() else ""
    return f"({text if first in _QUERIES else f'FROM {text}'})", False


def require_fit(connection: duckdb.DuckDBPyConnection, view: View) -> None:
    """Raise `DefinitionError` unless the view's seed, if it has one, is there and has its columns, of its types."""
    if "seed" not in view.options:
        return
    relation, as_text = source(view.options["seed"])
    try:
        found = dict(described(connection, f"SELECT * FROM {relation}"))
    except duckdb.Error as error:
        raise errors.DefinitionError(
            f"the seed of {view.relation_id} cannot be read: {as_ours(error).message.splitlines()[0]}",
            hint="seed is a .parquet or .csv file, a local table or view, or a SELECT over them.",
        ) from error
    names = [column.name for column in view.columns]
    lacking, surplus = [name for name in names if name not in found], [name for name in found if name not in names]
    if lacking or surplus:
        told = [f"lacks {', '.join(lacking)}"] * bool(lacking) + [f"has {', '.join(surplus)} beyond"] * bool(surplus)
        raise errors.DefinitionError(
            f"the seed of {view.relation_id} {' and '.join(told)}", hint=f"Its columns are {', '.join(names)}."
        )
    for column in view.columns:
        if not as_text and found[column.name] != column.local_type:
            raise errors.DefinitionError(
                f"column {column.name} of the seed of {view.relation_id} is {found[column.name]}, "
                f"in the view it is {column.local_type}",
                hint=f"seed = 'SELECT CAST({quote(column.name)} AS {column.local_type}) AS {quote(column.name)}, ...'",
            )


def plant(store: Store, view: View) -> None:
    """Let a view that has no rows show those of its seed, if it has one; nothing when it is being cloned already.

    What keeps it from that is in the log and its job, and keeps nobody from cloning it.
    """
    if "seed" not in view.options or has_rows(store, view):
        return
    with store.transaction() as writer:
        job = jobs(store).get(view.relation_id)
        if job is None or job.phase is not None:
            return
        set_job(writer, view.relation_id, phase=Phase.SEED)
        table = f"{SEED_PREFIX}{next_id(writer)}"
    try:
        _fill(store, view, table)
        with syncing(Phase.SEED, view.origin), store.transaction() as writer:
            if views(store).get(view.relation_id) == view and not has_rows(store, view):
                show_own(writer, store, view, table)
            else:
                drop_table(writer, table)
            _leave(writer, store, view)
    except errors.FlashQLError as error:
        _log.warning("the seed of %s was left out: %s", view.relation_id, error)
        with store.transaction() as writer:
            drop_table(writer, table)
            _leave(writer, store, view, last_error=f"its seed was left out: {error}")


def _leave(writer: duckdb.DuckDBPyConnection, store: Store, view: View, **fields: object) -> None:
    """The job rests again, unless somebody took it up meanwhile."""
    job = jobs(store).get(view.relation_id)
    if job is not None and job.phase == Phase.SEED:
        set_job(writer, view.relation_id, phase=None, **fields)


def _fill(store: Store, view: View, table: str) -> None:
    relation, _ = source(view.options["seed"])
    columns = ", ".join(
        f"CAST({quote(column.name)} AS {column.local_type}) AS {quote(column.name)}" for column in view.columns
    )
    connection = store.cursor()
    try:
        with translated():
            connection.execute(f"CREATE TABLE {qualified(DATA_SCHEMA, table)} AS SELECT {columns} FROM {relation}")
    finally:
        connection.close()
