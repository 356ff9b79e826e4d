"""Which copies an origin's realtime views need, and how a finished copy becomes theirs.

Views of one table share one copy. A copy that no longer serves (a view needs more columns, the table changed
shape, a value does not fit) is replaced by a new one made beside it: the old one goes on for as long as it can,
and the views change over in one local transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import duckdb

from flashql import errors, pending, recopies
from flashql.catalog import Copy, CopyColumn, CopyState, Table, View
from flashql.copying import Copied
from flashql.lifecycle import Event, moved
from flashql.lsn import LSN
from flashql.maintenance import keep_up, mark_running
from flashql.origins.base import Publication
from flashql.origins.postgres.forms import binary_form
from flashql.shapes import shape_of, undisturbed
from flashql.store import Store
from flashql.store.copies import (
    copies,
    data_tables,
    delete_copy,
    drop_table,
    next_id,
    save_copy,
)
from flashql.store.definitions import realtime_views
from flashql.store.inputs import let_stand
from flashql.store.jobs import JobStatus, is_following, jobs, set_job
from flashql.store.relations import freeze, show_copy

TableName = tuple[str, str]


@dataclass
class Need:
    """What the active views of one table need: the columns any of them reads."""

    table: TableName
    views: list[View] = field(default_factory=list)
    columns: dict[str, None] = field(default_factory=dict)

    @property
    def numeric(self) -> str:
        """How unconstrained numerics are held: all views of a table agree (checked when they are made)."""
        return self.views[0].numeric


def active_views(store: Store, origin: str, halted: Collection[str]) -> list[View]:
    """The realtime views that follow the origin now: synced once, enabled, not halted in this process."""
    known = jobs(store)
    return [
        view
        for view in realtime_views(store, origin)
        if view.relation_id in known and known[view.relation_id].enabled and view.relation_id not in halted
    ]


def needs(views: Iterable[View]) -> dict[TableName, Need]:
    """What these views need, by table."""
    found: dict[TableName, Need] = {}
    for view in views:
        for source in view.sources:
            need = found.setdefault(source.table, Need(source.table))
            need.views.append(view)
            need.columns.update(dict.fromkeys(source.columns))
    return found


def lacking(table: Table, need: Need) -> Iterator[tuple[View, errors.DefinitionError]]:
    """The views that read a column which the table does not have, or does not stream, and what says so."""
    for view in need.views:
        try:
            for source in view.sources:
                if source.table == need.table:
                    for column in source.columns:
                        table.streamed_column(column)
        except errors.DefinitionError as error:
            yield view, error


def serves(copy: Copy, need: Need, table: Table) -> bool:
    """Whether the copy follows the stream of this very table, in its present shape, with every column needed."""
    covers = copy.numeric == need.numeric and set(need.columns) <= {kept.name for kept in copy.columns}
    return copy.state is CopyState.LIVE and covers and spoiled(copy, table) is None


def spoiled(copy: Copy, table: Table) -> str | None:
    """What happened at the origin to the copy's table so that the stream no longer keeps it right; None: nothing."""
    name = f"{table.schema}.{table.name}"
    if copy.oid != table.oid:
        return f"{name} was dropped and made anew"
    if copy.key != table.key:
        return f"the key of {name} changed"
    now = {column.name: column.declared for column in table.columns}
    for kept in copy.columns:
        if now.get(kept.name) != kept.column.declared:
            return f"column {kept.name} of {name} changed type, name or place"
    if copy.shape is not None and table.shape is not None and not undisturbed(copy.shape, table.shape):
        return f"rows of {name} changed without a word in the stream (it was rewritten, or a partition or type changed)"
    return None


def why_no_more(store: Store, origin: str, slot: str, table: Table) -> str | None:
    """Why the table's copy cannot go on, when it was made anew too often for that to happen once more."""
    name = (table.schema, table.name)
    for copy in copies(store, origin):
        of_table = (copy.schema, copy.name) == name and copy.state is CopyState.LIVE
        if of_table and (why := spoiled(copy, table)):
            recopies.note(slot, name, copy.id, why)
    return recopies.spent(slot, name)


def remember(writer: duckdb.DuckDBPyConnection, copy: Copy, table: Table) -> None:
    """Keep the shape of a table that its copy was found to serve: the next look compares with this one.

    Without that a new partition's later end would go unnoticed, and two harmless changes on different days (VACUUM
    FULL, then SET NOT NULL) would together look like a rewrite.
    """
    shape = shape_of(table, {kept.name for kept in copy.columns})
    if shape is not None and shape != copy.shape:
        save_copy(writer, replace(copy, shape=shape))


def comes_in_binary(
    store: Store, origin: str, needs: Mapping[TableName, Need], tables: Mapping[TableName, Table]
) -> bool:
    """Whether every column that copies of these tables hold can be read from the binary form of its type."""
    known = copies(store, origin)
    return all(
        binary_form(kept.column.type, kept.local_type(needs[name].numeric).name) is not None
        for name, table in tables.items()
        for kept in _columns(known, needs[name], table)
    )


def _columns(made: Iterable[Copy], need: Need, table: Table) -> tuple[CopyColumn, ...]:
    """The columns needed, at the rungs the last copy had come to."""
    rungs: dict[tuple[str, tuple[int, int]], int] = {}
    for copy in made:
        if (copy.schema, copy.name) == need.table and copy.numeric == need.numeric:
            for kept in copy.columns:
                known = (kept.name, kept.column.declared)
                rungs[known] = max(kept.rung, rungs.get(known, 0))
    return tuple(
        CopyColumn(column, rungs.get((name, column.declared), 0))
        for name, column in ((name, table.column(name)) for name in need.columns)
    )


def new_copy(store: Store, origin: str, need: Need, table: Table, publication: Publication) -> Copy:
    """A copy to be made: the columns needed, beginning at the rungs the last copy had come to.

    Table and publication were looked at before its snapshot is taken. What happens to them in between makes them look
    changed next time though the snapshot may have it already: copied once too often, rather than once too seldom.
    """
    with store.transaction() as writer:
        number = next_id(writer)
    return Copy(
        number,
        origin,
        table.schema,
        table.name,
        table.oid,
        _columns(copies(store, origin), need, table),
        table.key,
        need.numeric,
        shape=shape_of(table, need.columns),
        published=(publication.identity, publication.tables.get(need.table, "")),
    )


def park(writer: duckdb.DuckDBPyConnection, store: Store, origin: str, active: Iterable[View]) -> None:
    """Views that are not active keep the rows they show now, whatever happens to the copies of the active ones.

    A copy that only they use is detached from the stream. One no view uses is dropped.
    """
    active = list(active)
    followed = {table for view in active for table in view.tables}
    names = {view.relation_id for view in active}
    still = [view for view in realtime_views(store, origin) if view.relation_id not in names]
    for view in still:
        if view.is_kept:
            let_stand(writer, view.relation_id)
        elif view.tables & followed:
            freeze(writer, store, view)
    used = {table for view in still for table in view.tables}
    for copy in copies(store, origin):
        table = (copy.schema, copy.name)
        if table in followed:
            continue
        if table in used and copy.local_table is not None:
            if copy.state is not CopyState.DETACHED:
                save_copy(writer, replace(copy, state=CopyState.DETACHED))
        else:
            delete_copy(writer, copy)


def begin(store: Store, wanted: Sequence[Copy]) -> None:
    """From now on the stream's changes of these tables wait for their snapshots."""
    with store.transaction() as writer:
        for copy in wanted:
            save_copy(writer, replace(copy, state=CopyState.COPYING))
            pending.create(writer, copy)


def clear_unfinished(store: Store, origin: str) -> None:
    """Forget copies that were being made when a session or process ended, and tables that nothing refers to."""
    with store.transaction() as writer:
        for copy in copies(store, origin):
            if copy.state is CopyState.COPYING:
                delete_copy(writer, copy)


def clear_orphans(store: Store) -> None:
    """Drop tables in flashql_data that nothing refers to: what a process left that died while filling them."""
    with store.transaction() as writer:
        used = {name for (name,) in store.rows("SELECT local_table FROM flashql.copies")}
        used |= {name for (name,) in store.rows("SELECT local_table FROM flashql.views")}
        used |= {name for (name,) in store.rows("SELECT local_table FROM flashql.view_steps")}
        used |= {f"p{number}" for (number,) in store.rows("SELECT id FROM flashql.copies")}
        for table in data_tables(store) - used:
            drop_table(writer, table)


def go_live(
    writer: duckdb.DuckDBPyConnection,
    store: Store,
    origin: str,
    done: Sequence[tuple[Copied, Table]],
    halted: Collection[str],
    failed: Collection[str],
    position: LSN,
) -> None:
    """Copies that are complete join the stream at `position`, and their tables' active views change over to them.

    Raises DuckDB's conversion errors when a change that waited does not fit; nothing has changed then.
    """
    active = active_views(store, origin, halted)
    park(writer, store, origin, active)
    followed = needs(active)
    before = copies(store, origin)
    joined: set[TableName] = set()
    for copied, _ in done:
        copy = replace(copied.copy, state=CopyState.LIVE)
        if (copy.schema, copy.name) not in followed:  # its last view was stopped or dropped: parking gave it up
            drop_table(writer, copy.local_table)
            continue
        pending.release(writer, copy)
        save_copy(writer, copy)
        joined.add((copy.schema, copy.name))
    made = {copied.copy.id for copied, _ in done}
    older = [copy for copy in before if (copy.schema, copy.name) in joined and copy.id not in made]
    live = live_copies(store, origin, without={copy.id for copy in older})
    for view in (view for view in active if view.tables & joined):
        if view.is_kept and view.relation_id in failed:
            continue
        if serve(view, live):
            follow(writer, store, view, live, position)
        elif view.shows_copy:  # a column of it is gone, or it was defined anew meanwhile and the next pass is for it
            freeze(writer, store, view)
    level(writer, store, origin)
    for copy in older:
        delete_copy(writer, copy)


def live_copies(store: Store, origin: str, without: Collection[int] = ()) -> dict[TableName, Copy]:
    """The copies that follow the stream, by table."""
    return {
        (copy.schema, copy.name): copy
        for copy in copies(store, origin)
        if copy.state is CopyState.LIVE and copy.id not in without
    }


def serve(view: View, live: Mapping[TableName, Copy]) -> bool:
    """Whether there is a copy, with every column the view reads, of each of its tables."""
    return all(
        source.table in live and set(source.columns) <= {kept.name for kept in live[source.table].columns}
        for source in view.sources
    )


def follow(
    writer: duckdb.DuckDBPyConnection, store: Store, view: View, live: Mapping[TableName, Copy], position: LSN
) -> None:
    """From now on the view shows what the live copies of its tables hold, which contain all before `position`."""
    if view.is_kept:
        keep_up(writer, store, view)
    else:
        show_copy(writer, store, view, live[view.sources[0].table])
    mark_running(writer, store, view, max([position, *(live[table].lsn for table in view.tables)]))


def level(writer: duckdb.DuckDBPyConnection, store: Store, origin: str) -> None:
    """The views that follow the origin all contain the same: each is as far as the one that says the most."""
    known = jobs(store)
    followed = [
        job for view in realtime_views(store, origin) if (job := known.get(view.relation_id)) and is_following(job)
    ]
    reached = [LSN.parse(job.last_seen_commit) for job in followed if job.last_seen_commit is not None]
    for job in followed:
        if reached and job.last_seen_commit != str(max(reached)):
            set_job(writer, job.relation_id, last_seen_commit=str(max(reached)))


def mark(store: Store, views: Iterable[View], change: Callable[[JobStatus], dict[str, object]]) -> None:
    """Change the job rows of these views, each by what `change` makes of it."""
    with store.transaction() as writer:
        known = jobs(store)
        for view in views:
            if view.relation_id in known:
                set_job(writer, view.relation_id, **change(known[view.relation_id]))


def mark_failed(store: Store, views: Iterable[View], error: errors.FlashQLError, due: datetime | None = None) -> None:
    """The last attempt for these views failed; their rows stay as they are. The next attempt is `due`, if known."""
    mark(
        store,
        views,
        lambda job: {
            "state": moved(job.state, Event.FAIL).value,
            "phase": None,
            "retry_count": job.retry_count + 1,
            "last_error": str(error),
            "next_retry_at": due,
        },
    )
