"""EXPLAIN: what runs where, and how a view is kept, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from flashql import errors
from flashql.catalog import Persistence, View
from flashql.ddl import RelationName
from flashql.planner.plan import Plan, Step
from flashql.query import Fetched
from flashql.quoting import fold
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.steps import step_rows


def query_text(parts: Sequence[Fetched], sql: str) -> str:
    """The plan of a query that reads origin views."""
    steps = [
        Step(f"origin {part.view.origin}", part.sql, f"{part.view.relation_id} is read at its origin") for part in parts
    ]
    local = Step("duckdb", " ".join(sql.split()), "over what was fetched, local copies and tables")
    return str(Plan((*steps, local)))


def view_text(store: Store, name: RelationName) -> str:
    """How a view is kept. Raises `UnknownName`."""
    wanted = (fold(name.schema or "main"), fold(name.name))
    for view in views(store).values():
        if (fold(view.namespace), fold(view.name)) == wanted:
            return str(kept_plan(store, view) if view.is_kept else view_plan(view))
    raise errors.UnknownName(f"there is no FlashQL view {name}", hint="SELECT * FROM flashql.views lists them.")


def kept_plan(store: Store, view: View) -> Plan:
    """The steps that keep a view equal to its query, with what they took."""
    streams = [
        Step(
            f"origin {view.origin}",
            f"stream of {'.'.join(source.table)}",
            _of_sets(view) if view.copy_of(source)[2] else "from its WAL, into a copy all views share",
        )
        for source in view.sources
    ]
    reads = [Step("duckdb", f"what {name} shows", "as it is in the same local commit") for name in view.reads]
    reads += [Step("duckdb", f"table {name}", "changes made through this database") for name in view.local_tables]
    kept = [
        Step("duckdb", f"{one.strategy}: {one.query}", f"{one.reason}{_measured(store, one.table)}")
        for one in step_rows(store, view.relation_id)
    ]
    if not kept:
        kept = [Step("duckdb", " ".join((view.local_query or "").split()), "planned when db.sync.sync() first runs")]
    return Plan((*streams, *reads, *kept))


def _of_sets(view: View) -> str:
    """How a view with parameters has its copy."""
    assert view.restriction is not None
    return f"a copy of its own, of the rows that meet {view.restriction.at_origin} for a set that is subscribed"


def _measured(store: Store, table: str) -> str:
    ((batches, recomputed, rows, milliseconds),) = store.rows(
        "SELECT batches, recomputed, rows_moved, milliseconds FROM flashql.view_steps WHERE local_table = ?", [table]
    )
    if not batches:
        return ""
    return (
        f" (so far {batches} batches, {recomputed} of them computed anew: {rows} rows moved, "
        f"{milliseconds / batches:.1f} ms each)"
    )


def view_plan(view: View) -> Plan:
    """The steps that answer a view and keep it."""
    query = " ".join(view.query.split())
    if view.persistence is Persistence.ORIGIN:
        return Plan(
            (Step(f"origin {view.origin}", query, "at each query, with its columns, filters and limit pushed down"),)
        )
    if view.persistence is Persistence.MATERIALIZED:
        every = view.options.get("refresh_every")
        when = f"on REFRESH and every {every}" if every else "on sync() when missing, and on REFRESH"
        place = f"origin {view.origin}" if view.origin else "duckdb"
        return Plan(
            (Step(place, query, when), Step("duckdb", f"replace the copy of {view.relation_id}", "in one commit"))
        )
    (source,) = view.sources
    table = ".".join(source.table)
    kept = f"copy of {table} ({', '.join(source.columns)})"
    shared = "row by row: delete and insert by key; shared by all realtime views of the table"
    local = f"SELECT {view.local_select}" + (f" WHERE {view.local_where}" if view.local_where else "")
    return Plan(
        (
            Step(f"origin {view.origin}", f"stream of {table}", "from its WAL, whole transactions in commit order"),
            Step("duckdb", kept, _of_sets(view) if view.restriction is not None else shared),
            Step("duckdb", local, "over the copy at query time: rows enter and leave with the values they depend on"),
        )
    )
