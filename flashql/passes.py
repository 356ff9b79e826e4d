"""Passes: bring a set of views to where they should be. Calls that overlap share one.

Realtime views are seen to by their origins' workers, all at once; materialized ones are populated in turn. One
view's failure stops no other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from flashql import errors, joining
from flashql.catalog import Persistence, View
from flashql.hooks import syncing
from flashql.keeping import in_order
from flashql.lifecycle import Phase
from flashql.lsn import NOWHERE
from flashql.maintenance import Maintenance, keep_up, mark_running, without_broken
from flashql.origins.base import Progress
from flashql.origins.postgres import PostgresOrigin
from flashql.populating import populate
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.jobs import jobs, make_job
from flashql.store.relations import own_table
from flashql.worker import Worker


@dataclass(frozen=True)
class SyncReport:
    """What a pass came to: views with a fresh copy, views that follow their origin, and failures by view."""

    materialized: tuple[str, ...] = ()
    realtime: tuple[str, ...] = ()
    failed: dict[str, errors.FlashQLError] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    def restricted(self, names: set[str]) -> SyncReport:
        """The part of the report that is about these views."""
        return SyncReport(
            tuple(name for name in self.materialized if name in names),
            tuple(name for name in self.realtime if name in names),
            {name: error for name, error in self.failed.items() if name in names},
        )


@dataclass
class _Pass:
    """One pass over views.

    Who calls before it begins adds to it; who calls while it runs shares the next, since the one that runs may have
    looked already at what the caller has just changed. So any number of overlapping calls costs one pass more.
    """

    names: dict[str, bool] = field(default_factory=dict)  # relation id -> force
    done: threading.Event = field(default_factory=threading.Event)
    report: SyncReport = field(default_factory=SyncReport)
    error: errors.FlashQLError | None = None


class Passes:
    """Runs passes, one at a time. `before` is called when one begins, `after` when it has ended."""

    def __init__(
        self,
        store: Store,
        origins: Callable[[str], PostgresOrigin],
        worker: Callable[[str], Worker],
        progress: Progress,
    ) -> None:
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self._store = store
        self._origins = origins
        self._worker = worker
        self._progress = progress
        self._lock = threading.Lock()  # guards _next
        self._running = threading.Lock()  # held by the one pass that runs
        self._next: _Pass | None = None

    def join(self, chosen: Sequence[str], force: bool) -> SyncReport:
        """Add these views to the next pass, and return its report about them."""
        with self._lock:
            mine = self._next = self._next or _Pass()
            for name in chosen:
                mine.names[name] = mine.names.get(name, False) or force
        with self._running:
            if not mine.done.is_set():
                self._run(mine)
        if mine.error is not None:
            raise mine.error
        return mine.report.restricted(set(chosen))

    def _run(self, this: _Pass) -> None:
        with self._lock:
            self._next = None
        try:
            self.before()
            this.report = self._pass(this.names)
        except errors.FlashQLError as error:
            this.error = error
        except BaseException:
            this.error = errors.OriginError("the pass was interrupted", hint="Run sync() again.")
            raise
        finally:
            this.done.set()
            self.after()

    def _pass(self, names: dict[str, bool]) -> SyncReport:
        known = views(self._store)
        chosen = [known[name] for name in names if name in known]
        with self._store.transaction() as writer:
            for view in chosen:
                make_job(writer, view)
        enabled = {name for name, job in jobs(self._store).items() if job.enabled}
        realtime: dict[str, list[View]] = {}
        for view in chosen:
            if view.persistence is Persistence.REALTIME and view.origin is not None and view.relation_id in enabled:
                realtime.setdefault(view.origin, []).append(view)
        snapshots = [
            view for view in chosen if view.persistence is Persistence.MATERIALIZED and view.relation_id in enabled
        ]
        local = [
            view
            for view in chosen
            if view.origin is None and view.persistence is not Persistence.ORIGIN and view.relation_id in enabled
        ]
        failed: dict[str, errors.FlashQLError] = {}
        materialized: list[str] = []
        pool = ThreadPoolExecutor(max(1, len(realtime)), thread_name_prefix="flashql-sync")
        try:
            running = [pool.submit(self._ensure, origin, of_origin) for origin, of_origin in realtime.items()]
            for view in snapshots:
                if view.origin is not None:
                    self._materialize(view, names[view.relation_id], materialized, failed)
            for one in running:
                failed.update(one.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for an origin
        # Views without an origin read copies, so they come when those are there, in the order they read each other.
        for view in in_order(local):
            if view.persistence is Persistence.REALTIME:
                self._keep(view, failed)
            else:
                self._materialize(view, names[view.relation_id], materialized, failed)
        following = tuple(
            view.relation_id
            for view in chosen
            if view.persistence is Persistence.REALTIME
            and view.relation_id in enabled
            and view.relation_id not in failed
        )
        return SyncReport(tuple(materialized), following, failed)

    def _ensure(self, origin: str, of_origin: Sequence[View]) -> dict[str, errors.FlashQLError]:
        names = [view.relation_id for view in of_origin]
        Maintenance.of(self._store).leaving.forgive(names)
        try:
            return self._worker(origin).ensure(names)
        except errors.FlashQLError as error:
            joining.mark_failed(self._store, of_origin, error)
            return {view.relation_id: error for view in of_origin}

    def _keep(self, view: View, failed: dict[str, errors.FlashQLError]) -> None:
        def keep() -> None:
            with syncing(Phase.CLONE, None), self._store.transaction() as writer:
                if views(self._store).get(view.relation_id) == view:
                    keep_up(writer, self._store, view)
                    mark_running(writer, self._store, view, NOWHERE)

        try:
            without_broken(keep, view)
        except errors.ViewBroken as broken:  # its job says so already
            failed[view.relation_id] = broken
        except errors.FlashQLError as error:
            failed[view.relation_id] = error
            joining.mark_failed(self._store, [view], error)

    def _materialize(
        self, view: View, force: bool, materialized: list[str], failed: dict[str, errors.FlashQLError]
    ) -> None:
        if own_table(self._store, view) is not None and not force:
            return
        try:
            populate(self._store, self._origins, view, self._progress)
            materialized.append(view.relation_id)
        except errors.FlashQLError as error:
            failed[view.relation_id] = error
