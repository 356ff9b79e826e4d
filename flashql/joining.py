"""Which copies an origin's realtime views need, and how a finished copy becomes theirs.

Views of one table share one copy. A copy that no longer serves (a view needs more columns, the table changed
shape, a value does not fit) is replaced by a new one made beside it: the old one goes on for as long as it can,
and the views change over in one local transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import duckdb

from flashql import errors, pending
from flashql.apply import target
from flashql.catalog import Copy, CopyName, CopyState, Table, View
from flashql.copying import Copied
from flashql.lifecycle import Event, moved
from flashql.lsn import LSN
from flashql.maintenance import keep_up, mark_running
from flashql.needing import needs
from flashql.quoting import quote
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
from flashql.store.sets import create_sets
from flashql.store.subscriptions import subscriptions
from flashql.subscribing import requested

TableName = tuple[str, str]


def active_views(store: Store, origin: str, halted: Collection[str]) -> list[View]:
    """The realtime views that follow the origin now: synced once, enabled, not halted in this process."""
    known = jobs(store)
    return [
        view
        for view in realtime_views(store, origin)
        if view.relation_id in known and known[view.relation_id].enabled and view.relation_id not in halted
    ]


def park(writer: duckdb.DuckDBPyConnection, store: Store, origin: str, active: Iterable[View]) -> None:
    """Views that are not active keep the rows they show now, whatever happens to the copies of the active ones.

    A copy that only they use is detached from the stream. One no view uses is dropped.
    """
    active = list(active)
    followed = {name for view in active for name in view.copies}
    names = {view.relation_id for view in active}
    still = [view for view in realtime_views(store, origin) if view.relation_id not in names]
    for view in still:
        if view.is_kept:
            let_stand(writer, view.relation_id)
        elif view.copies & followed:
            freeze(writer, store, view)
    used = {name for view in still for name in view.copies}
    for copy in copies(store, origin):
        if copy.of in followed:
            continue
        if copy.of in used and copy.fills is None and copy.local_table is not None:
            if copy.state is not CopyState.DETACHED:
                save_copy(writer, replace(copy, state=CopyState.DETACHED))
        else:
            delete_copy(writer, copy)


def begin(store: Store, wanted: Sequence[Copy]) -> None:
    """From now on the stream's changes of these tables wait for their snapshots."""
    with store.transaction() as writer:
        for copy in wanted:
            save_copying(writer, copy)
            if copy.restriction is not None:
                create_sets(writer, copy, first_sets(store, copy.view))


def save_copying(writer: duckdb.DuckDBPyConnection, copy: Copy) -> None:
    """The stream's changes of the copy's table wait for its snapshot from here."""
    save_copy(writer, replace(copy, state=CopyState.COPYING))
    pending.create(writer, copy)


def first_sets(store: Store, view: str) -> list[str]:
    """The sets whose rows a copy made anew begins with: those that were here, and are still asked for."""
    return [row.parameters for row in requested(subscriptions(store, view)) if row.has_synced]


def make_empty(writer: duckdb.DuckDBPyConnection, copy: Copy) -> Copy:
    """The copy with a table without rows: whole for a partial one that has no sets."""
    made = replace(copy, local_table=f"t{next_id(writer)}")
    columns = ", ".join(f"{quote(kept.local_name)} {copy.local_type(kept).name}" for kept in copy.columns)
    writer.execute(f"CREATE TABLE {target(made)} ({columns})")
    return made


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
        used |= {f"{kind}{number}" for (number,) in store.rows("SELECT id FROM flashql.copies") for kind in "ps"}
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
    joined: set[CopyName] = set()
    for copied, _ in done:
        copy = replace(copied.copy, state=CopyState.LIVE)
        if copy.of not in followed:  # its last view was stopped or dropped: parking gave it up
            drop_table(writer, copy.local_table)
            continue
        pending.release(writer, copy)
        save_copy(writer, copy)
        joined.add(copy.of)
    made = {copied.copy.id for copied, _ in done}
    older = [copy for copy in before if copy.of in joined and copy.id not in made]
    live = live_copies(store, origin, without={copy.id for copy in older})
    for view in (view for view in active if view.copies & joined):
        if view.is_kept and view.relation_id in failed:
            continue
        if serve(view, live):
            follow(writer, store, view, live, position)
        elif view.shows_copy:  # a column of it is gone, or it was defined anew meanwhile and the next pass is for it
            freeze(writer, store, view)
    level(writer, store, origin)
    for copy in older:
        delete_copy(writer, copy)


def live_copies(store: Store, origin: str, without: Collection[int] = ()) -> dict[CopyName, Copy]:
    """The copies that follow the stream, by what they are of."""
    return {copy.of: copy for copy in copies(store, origin) if copy.state is CopyState.LIVE and copy.id not in without}


def serve(view: View, live: Mapping[CopyName, Copy]) -> bool:
    """Whether there is a copy, with every column the view reads, of each of its tables."""
    served = ((live.get(view.copy_of(source)), source) for source in view.sources)
    return all(
        copy is not None
        and set(source.columns) <= {kept.name for kept in copy.columns}
        and (copy.restriction is None or copy.restriction == view.restriction)
        for copy, source in served
    )


def follow(
    writer: duckdb.DuckDBPyConnection, store: Store, view: View, live: Mapping[CopyName, Copy], position: LSN
) -> None:
    """From now on the view shows what the live copies of its tables hold, which contain all before `position`."""
    if view.is_kept:
        keep_up(writer, store, view)
    else:
        show_copy(writer, store, view, live[view.copy_of(view.sources[0])])
    mark_running(writer, store, view, max([position, *(live[name].lsn for name in view.copies)]))


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
