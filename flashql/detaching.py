"""Copies that follow their origin's stream no longer, because what feeds them had holes, or they broke."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import duckdb

from flashql import recopies
from flashql.catalog import Copy, CopyState
from flashql.lifecycle import Phase
from flashql.origins.base import Publication
from flashql.store import Store
from flashql.store.copies import copies, delete_copy, origin_record, save_copy, save_origin
from flashql.store.definitions import realtime_views
from flashql.store.jobs import jobs, set_job
from flashql.store.relations import shown_table

TableName = tuple[str, str]


def doubt(store: Store, origin: str, slot: str, publication: Publication | None) -> bool:
    """Copies that the publication did not feed all the while may lack changes, so they cannot go on; their rows stay.

    When it was dropped, the slot is of no use either: it cannot decode what was written meanwhile. Returns whether that
    is so.
    """
    record = origin_record(store, origin)
    fed = _fed(store, origin)
    dropped = publication is None or any(copy.published and copy.published[0] != publication.identity for copy in fed)
    lost = dropped and record.slot is not None
    holes = unfed(store, origin, publication)
    if lost:
        recopies.note(slot, None, object(), "its publication was dropped")
    for copy in fed:
        table = (copy.schema, copy.name)
        if table in holes and not lost:
            recopies.note(slot, table, copy.id, f"{'.'.join(table)} was not wholly in publication {slot}")
    if holes or lost:
        with store.transaction() as writer:
            give_up(writer, store, origin, holes)
            if lost:
                save_origin(writer, replace(record, slot=None))
    return lost


def unfed(store: Store, origin: str, publication: Publication | None) -> set[TableName]:
    """The tables of copies that the publication has not sent every change for since they were begun."""
    known = {} if publication is None else {at: (publication.identity, one) for at, one in publication.tables.items()}
    holes = set()
    for copy in _fed(store, origin):
        now = known.get((copy.schema, copy.name))
        if now is None or copy.published not in (None, now):
            holes.add((copy.schema, copy.name))
    return holes


def _fed(store: Store, origin: str) -> list[Copy]:
    return [copy for copy in copies(store, origin) if copy.state in (CopyState.LIVE, CopyState.COPYING)]


def give_up(writer: duckdb.DuckDBPyConnection, store: Store, origin: str, holes: Collection[TableName]) -> None:
    """Copies of these tables take no change any more, nor join the stream: it does not have, or soon not, them all."""
    detach(writer, store, origin, holes)
    for copy in copies(store, origin):
        if copy.state is CopyState.COPYING and (copy.schema, copy.name) in holes:
            if copy.fills is None:
                save_copy(writer, replace(copy, state=CopyState.DETACHED))
            else:
                delete_copy(writer, copy)


def end(store: Store, origin: str, tables: Collection[TableName]) -> None:
    """Give up the copies of these tables, if there are any, in a commit of its own."""
    if tables:
        with store.transaction() as writer:
            give_up(writer, store, origin, tables)


def claim(store: Store, origin: str, publication: str) -> None:
    """Note what is about to be made at the origin, so that it is dropped one day whatever happens next."""
    record = origin_record(store, origin)
    if record.publication is None:
        with store.transaction() as writer:
            save_origin(writer, replace(record, publication=publication))


def detach(writer: duckdb.DuckDBPyConnection, store: Store, origin: str, tables: Collection[TableName]) -> None:
    """Live copies of these tables follow the stream no longer; views that show them wait for the next copy."""
    lost = [
        copy for copy in copies(store, origin) if copy.state is CopyState.LIVE and (copy.schema, copy.name) in tables
    ]
    for copy in lost:
        save_copy(writer, replace(copy, state=CopyState.DETACHED))
    stands_at = {copy.local_table: max(copy.lsn, origin_record(store, origin).applied_lsn) for copy in lost}
    known = jobs(store)
    for view in realtime_views(store, origin):
        job = known.get(view.relation_id)
        if view.tables.isdisjoint((copy.schema, copy.name) for copy in lost) or job is None or job.state != "running":
            continue
        if job.phase == Phase.CLONE and (
            lsn := stands_at.get(shown_table(store, view))
        ):  # it had gone on all the while
            set_job(writer, view.relation_id, last_seen_commit=str(lsn))
        set_job(writer, view.relation_id, phase=Phase.CLONE)


def set_aside(store: Store, copy: Copy) -> None:
    """Detach a copy that cannot go on as it is; its rows stay readable."""
    with store.transaction() as writer:
        was = {one.id: one.local_table for one in copies(store, copy.origin)}
        save_copy(writer, replace(copy, state=CopyState.DETACHED, local_table=was.get(copy.id)))
