"""Queries without an origin, bound to local names: when a view is made, and when the names may mean something else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from flashql import errors, query
from flashql.catalog import View, ViewColumn
from flashql.keeping import in_order, kept_locally
from flashql.lifecycle import State
from flashql.lsn import NOWHERE
from flashql.maintenance import keep_up, mark_running, without_broken
from flashql.planner.binding import view_names
from flashql.store import Store, translated
from flashql.store.definitions import redefine_view, views
from flashql.store.inputs import inputs
from flashql.store.jobs import jobs


def bound_locally(store: Store, view: View, column_names: Sequence[str]) -> View:
    """The view with its columns, and what it reads. Raises `DefinitionError` for a query that cannot be run."""
    cursor = store.cursor()
    try:
        with translated():
            found = query.describe_local(cursor, view.query)
            names = view_names([name for name, _ in found], column_names)
            reads, local_tables = query.reads(store, view.query)
    except errors.QueryFailed as error:
        raise errors.DefinitionError(f"the query of {view.relation_id} cannot be run: {error.message}") from error
    finally:
        cursor.close()
    columns = tuple(ViewColumn(name, kind) for name, (_, kind) in zip(names, found, strict=True))
    return replace(view, columns=columns, reads=reads, local_tables=local_tables)


def bind_again(store: Store) -> None:
    """Views and tables of DuckDB's own were made, altered or dropped: views that read them follow what they are now.

    One whose query cannot be run any more, or has other columns, stands still, and its job says why.
    """
    known, following = jobs(store), inputs(store)
    for view in in_order(views(store).values()):
        job = known.get(view.relation_id)
        if not view.is_kept or view.origin is not None or job is None or not job.enabled:
            continue
        if view.relation_id in following or job.state == State.FAILED:
            with suppress(errors.ViewBroken, errors.ViewNotReady):
                without_broken(partial(_bind_again, store, view, job.state), view)


def _bind_again(store: Store, view: View, state: str) -> None:
    with store.transaction() as writer:
        try:
            bound = kept_locally(store, bound_locally(store, view, [column.name for column in view.columns]))
        except errors.DefinitionError as problem:
            raise errors.ViewBroken(view.relation_id, problem.message) from problem
        if bound.columns != view.columns:
            now = ", ".join(f"{column.name} {column.local_type}" for column in bound.columns)
            raise errors.ViewBroken(view.relation_id, f"its query has other columns now ({now}): define it again")
        if bound != view:
            redefine_view(writer, bound)
        keep_up(writer, store, bound, redefined=True)
        if state == State.FAILED:
            mark_running(writer, store, bound, NOWHERE)
