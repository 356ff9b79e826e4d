"""Materialized views: run the query, put its result in place of the copy, in one local transaction."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pyarrow as pa

from flashql import errors, query
from flashql.catalog import View
from flashql.events import Events, SyncApplied
from flashql.hooks import syncing
from flashql.lifecycle import Event, Phase, moved
from flashql.maintenance import Maintenance, without_broken
from flashql.origins.postgres import PostgresOrigin
from flashql.origins.postgres.snapshot import counting
from flashql.query import Origins
from flashql.quoting import qualified
from flashql.store import DATA_SCHEMA, Store, translated
from flashql.store.copies import drop_table, next_id
from flashql.store.definitions import views
from flashql.store.jobs import jobs, make_job, note_success, set_job
from flashql.store.loading import fill
from flashql.store.relations import show_own
from flashql.works import Works


def populate(store: Store, origins: Origins, view: View) -> None:
    """Replace a materialized view's rows with what its query returns now; readers see the old rows until then.

    Raises what went wrong, after noting it in the view's job; the old rows stay.
    """
    began = time.monotonic()
    with store.transaction() as writer:
        _require_current(store, view)
        make_job(writer, view)
        set_job(writer, view.relation_id, phase=Phase.CLONE)
        table = f"m{next_id(writer)}"
    try:
        rows = _fill(store, origins, view, table)
        without_broken(partial(_show, store, view, table, rows))
    except errors.FlashQLError as error:
        with store.transaction() as writer:
            drop_table(writer, table)
            failed = jobs(store).get(view.relation_id)
            if failed is not None:
                set_job(
                    writer,
                    view.relation_id,
                    state=moved(failed.state, Event.FAIL).value,
                    phase=None,
                    retry_count=failed.retry_count + 1,
                    last_error=str(error),
                )
        if view.origin is not None and isinstance(error, errors.OriginUnreachable):
            Events.of(store).reachable(view.origin, False)
        raise
    _tell(store, view, rows, time.monotonic() - began)


def _tell(store: Store, view: View, rows: int, seconds: float) -> None:
    events = Events.of(store)
    if view.origin is not None:
        events.reachable(view.origin, True)
    events.tell(SyncApplied(view=view.relation_id, origin=view.origin, phase=Phase.CLONE, rows=rows, seconds=seconds))


def _show(store: Store, view: View, table: str, rows: int) -> None:
    """Let the view show its new rows, and the views that read it follow."""
    with syncing(Phase.CLONE, view.origin), store.transaction() as writer:
        _require_current(store, view)
        show_own(writer, store, view, table)
        job = jobs(store)[view.relation_id]
        set_job(
            writer,
            view.relation_id,
            state=moved(job.state, Event.POPULATE).value,
            phase=None,
            rows=rows,
            retry_count=0,
            last_error=None,
            next_retry_at=None,
        )
        note_success(writer, view.relation_id)
    Maintenance.of(store).try_again([view.relation_id])


def _require_current(store: Store, view: View) -> None:
    """Raise when the view was dropped or defined anew since it was looked up."""
    now = views(store).get(view.relation_id)
    if now is None or replace(now, options=view.options) != view:
        raise errors.UnknownName(f"{view.relation_id} was dropped or defined anew meanwhile")


def _fill(store: Store, origins: Origins, view: View, table: str) -> int:
    """Fill a new table with the view's rows; how many they are."""
    name = qualified(DATA_SCHEMA, table)
    if view.origin is None:
        _fill_locally(store, origins, view, name)
    else:
        _fill_from_origin(store, origins(view.origin), view, name)
    ((rows,),) = store.rows(f"SELECT count(*) FROM {name}")
    return int(rows)


def _fill_from_origin(store: Store, origin: PostgresOrigin, view: View, name: str) -> None:
    sql = query.full_sql(view)
    expected = origin.client.expected(sql)
    with (
        Works.of(store).begin(view.relation_id, [view.relation_id], Phase.CLONE, view.origin, expected) as work,
        ExitStack() as stack,
    ):

        def source() -> pa.RecordBatchReader:
            return stack.enter_context(origin.client.reader(sql))

        fill(store.cursor, name, query.targets(view), [counting(source, work.count)])


def _fill_locally(store: Store, origins: Origins, view: View, name: str) -> None:
    connection = store.cursor()
    try:
        with translated():
            ready = query.prepare(store, origins, query.Scratch(connection), view.query)
            connection.execute(f"CREATE TABLE {name} AS {ready.sql}")
    finally:
        connection.close()
