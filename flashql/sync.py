"""db.sync: the one idempotent entry point, and its control.

`sync()` brings every selected view to where it should be; calls that overlap join one pass. Everything here may be
called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import closing, suppress

import duckdb

from flashql import detaching, errors, joining
from flashql.answering import Answering, Answers
from flashql.catalog import Persistence, View
from flashql.events import Callback, EventListener, Events
from flashql.hooks import Registration
from flashql.lifecycle import Event, moved
from flashql.listening import Handle
from flashql.maintenance import Maintenance
from flashql.measuring import Metrics, measured
from flashql.origins.base import Progress
from flashql.origins.postgres import PostgresOrigin
from flashql.origins.postgres.slot import slot_name
from flashql.passes import Passes, SyncReport
from flashql.populating import populate
from flashql.reconciling import Reconciler
from flashql.scopes import SYNC, Operations, Scopes
from flashql.selecting import Selector, select, with_read
from flashql.standing import standing
from flashql.store import Store
from flashql.store.copies import copies, delete_copy, delete_origin, origin_record
from flashql.store.definitions import realtime_views, views
from flashql.store.inputs import let_stand
from flashql.store.jobs import (
    JobStatus,
    delete_job,
    jobs,
    make_job,
    set_job,
)
from flashql.store.owner import seal
from flashql.store.relations import freeze
from flashql.subscriptions import Subscribes
from flashql.verifying import VerifyReport
from flashql.waking import Waker
from flashql.worker import Worker
from flashql.works import Works


class Sync(Subscribes):
    """The synchronisation of one database. `progress` may be set to follow long work."""

    def __init__(self, store: Store, origins: Callable[[str], PostgresOrigin]) -> None:
        self._store = store
        self._origins = origins
        self._workers: dict[str, Worker] = {}
        self._lock = threading.Lock()  # guards the workers
        self._closed = False
        self._answering = Answering(store, {"status": self.status})
        self._events = Events.of(store)
        self._works = Works.of(store)
        self._passes = Passes(store, origins, self._worker)
        self._passes.before = self._release_unneeded
        self._watchers = Maintenance.of(store).watchers
        self._reconciler = Reconciler(store, self._followed, self.refresh)
        self._waker = Waker(self._passed_at_once)
        self.before_sync = Registration(self._watchers.add_before)
        self.after_sync = Registration(self._watchers.add_after)
        self._operations = Operations(store, SYNC)
        self.scopes = Scopes(store, self._passes.join)

    @property
    def progress(self) -> Progress:
        """Told `(what, done, total)`, in rows, whenever some of a long work is done, by whoever does it."""
        return self._works.progress

    @progress.setter
    def progress(self, told: Progress) -> None:
        self._works.progress = told

    # -- the entry point

    def sync(self, selector: Selector = "*", *, force: bool = False) -> SyncReport:
        """Bring the selected views to where they should be, and return when they are (or failed).

        Missing copies are materialized (all selected ones with `force`), realtime views are copied and follow their
        origin. A pause after a failure is cut short, with `force` it ends at once. Idempotent; overlapping calls join
        one pass. One view's failure never stops another: failures are in the report. Raises `UnknownName` for a name
        that is no view's and `DatabaseReadOnly`.
        """
        return self._passes.join(self._syncable(selector), force, self._operations)

    def _syncable(self, selector: Selector) -> list[str]:
        """The selected views. Raises what keeps them from being synced."""
        self._store.require_writable()
        chosen = [view.relation_id for view in select(views(self._store), selector)]
        if self._store.read_only:
            raise errors.DatabaseReadOnly(
                f"{self._store.path} was opened read-only, so it cannot be synced",
                hint="Sync it from the one process that opens it with read_only=False.",
            )
        with self._lock:
            self._check_open()
        return chosen

    def wake(self, selector: Selector = "*") -> None:
        """Have a pass begin now, as `sync()` would, and return at once: `status` says what became of it.

        No pause after a failure holds it up, and origins' catalogs and publications are looked at. Raises as `sync`.
        """
        self._waker.wake(self._syncable(selector))

    def _passed_at_once(self, names: Collection[str]) -> None:
        self._passes.hurry(names)
        self._passes.join(list(names), False, self._operations)

    # -- control

    def status(self, selector: Selector = "*") -> list[JobStatus]:
        """One record per selected view, also of views never synced.

        Asks an origin only while nothing here follows it, and then for its slot alone, for at most two seconds: then
        `lag_bytes` and what the slot retains are as of now (None when it does not answer).
        """
        return standing(self._store, self._origins, self._workers, selector)

    def metrics(self) -> Metrics:
        """What is measured of each origin and view since the database was opened, as of now. No origin is asked."""
        return measured(self._store)

    def share_status(self) -> Answers:
        """Let `flashql status` of other processes know how the views stand, until what this returns is closed.

        Raises `NotSupported` in memory and without Unix sockets, `DatabaseReadOnly`, and `DatabaseError`.
        """
        return self._answering.begin()

    def stop(self, selector: Selector = "*", *, disable: bool = True) -> None:
        """Halt realtime jobs; with `disable`, `sync()` leaves them alone until `resume()`. Rows stay as they are.

        Materialized views have nothing that runs: they are only disabled, and their schedule rests.
        """
        self._store.require_writable()
        chosen = select(views(self._store), selector)
        names = {view.relation_id for view in chosen}
        origins = {view.origin for view in chosen if view.persistence is Persistence.REALTIME and view.origin}
        for origin in origins:
            self._stop_idle_worker(origin, names)
        with self._store.transaction() as writer:  # rows and state stand still at once, so that they agree
            for origin in origins:
                self._park(writer, origin, names)
            known = jobs(self._store)
            for view in chosen:
                if view.is_kept and view.origin is None:
                    let_stand(writer, view.relation_id)
                job = known.get(view.relation_id)
                if job is None:
                    continue
                fields: dict[str, object] = {"enabled": job.enabled and not disable}
                if view.persistence is Persistence.REALTIME:
                    fields |= {"state": moved(job.state, Event.STOP).value, "phase": None, "next_retry_at": None}
                set_job(writer, view.relation_id, **fields)
        for origin in origins:
            worker = self._workers.get(origin)
            if worker is not None:
                worker.halt(names)

    def _stop_idle_worker(self, origin: str, names: set[str]) -> None:
        """End the worker when no view would be left for it: then the rows stand still, and so does the slot."""
        worker = self._workers.get(origin)
        if worker is not None and not joining.active_views(self._store, origin, names | worker.halted):
            worker.stop()

    def _park(self, writer: duckdb.DuckDBPyConnection, origin: str, names: set[str]) -> None:
        """Views other than those named go on, without a pause."""
        worker = self._workers.get(origin)
        if worker is not None:
            rest = joining.active_views(self._store, origin, names | worker.halted)
            if rest:
                joining.park(writer, self._store, origin, rest)

    def resume(self, selector: Selector = "*") -> SyncReport:
        """Enable the selected views' jobs again, then go through `sync()`."""
        with self._store.transaction() as writer:
            for view in select(views(self._store), selector):
                make_job(writer, view)
                set_job(writer, view.relation_id, enabled=True)
        return self.sync(selector)

    def forget(self, selector: Selector) -> None:
        """Stop, drop what the jobs hold at their origins, drop their rows here; copies stay readable."""
        chosen = select(views(self._store), selector)
        self.stop([view.relation_id for view in chosen])
        with self._store.transaction() as writer:
            for view in chosen:
                if view.persistence is Persistence.REALTIME:
                    freeze(writer, self._store, view)
                delete_job(writer, view.relation_id)
        for origin in {view.origin for view in chosen if view.origin is not None}:
            self.release(origin)

    def release(self, origin: str) -> None:
        """Drop what the origin holds for this file when no job of a realtime view needs it any more."""
        known = jobs(self._store)
        if any(view.relation_id in known for view in realtime_views(self._store, origin)):
            worker = self._workers.get(origin)
            if worker is not None:
                worker.look()
            return
        self._stop_worker(origin)
        if origin_record(self._store, origin).publication is not None:
            self._origins(origin).drop(slot_name(self._store.database_id, origin), seal(self._store))
        with self._store.transaction() as writer:
            known = jobs(self._store)
            if any(view.relation_id in known for view in realtime_views(self._store, origin)):
                return  # a view was made meanwhile; its worker finds the slot gone and makes another
            for copy in copies(self._store, origin):
                delete_copy(writer, copy)
            delete_origin(writer, origin)

    def _release_unneeded(self) -> None:
        """Give up what origins still hold for views dropped or forgotten while they could not be reached."""
        known = jobs(self._store)
        for (origin,) in self._store.rows("SELECT name FROM flashql.origins"):
            if not any(view.relation_id in known for view in realtime_views(self._store, origin)):
                with suppress(errors.FlashQLError):
                    self.release(origin)

    def refresh(self, view: View) -> None:
        """Read the view's rows from its origin again. Raises what keeps it from that."""
        if view.persistence is Persistence.ORIGIN:
            raise errors.DefinitionError(
                f"{view.relation_id} is read at its origin each time: there is nothing to refresh"
            )
        if view.persistence is Persistence.MATERIALIZED:
            populate(self._store, self._origins, view)
            return
        if view.origin is None:
            with self._store.transaction() as writer:
                let_stand(writer, view.relation_id)
        else:
            self._detach(view, view.origin)
        report = self.sync(view.relation_id)
        for error in report.failed.values():
            raise error

    def _detach(self, view: View, origin: str) -> None:
        with self._store.transaction() as writer:
            detaching.detach(writer, self._store, origin, view.tables)
        self.look(origin)

    def wait(self, selector: Selector = "*", *, timeout: float | None = None) -> None:
        """Return when every selected realtime view shows all that its origin had committed when this was called.

        It outlasts a network that comes back in time. Raises `TimeoutError` after `timeout` seconds, and `OriginError`
        for a view that is stopped or was never synced, since it would wait for ever.
        """
        deadline = time.monotonic() + (timeout if timeout is not None else threading.TIMEOUT_MAX / 2)
        followed = self._followed(selector)
        targets = {worker: worker.origin_lsn(deadline) for worker in followed}
        for worker, chosen in followed.items():
            names = [view.relation_id for view in chosen]
            if not worker.wait(names, targets[worker], deadline):
                known = jobs(self._store)
                failed = [known[name].last_error for name in names if name in known and known[name].state == "failed"]
                raise TimeoutError(
                    f"{', '.join(names)} did not reach {targets[worker]} of origin {worker.origin.name} "
                    f"within {timeout} s{''.join(f'; {why}' for why in failed)}"
                )

    def verify(self, selector: Selector = "*", *, repair: bool = False) -> list[VerifyReport]:
        """Compare the copies of the selected realtime views with their origins, at one exact LSN per origin.

        The stream runs on meanwhile. With `repair` it is `reconcile`. Other views have nothing to compare. Raises
        `OriginError` for a view that does not follow its origin now, and `OriginBusy` when transactions open at the
        origin for long keep it from giving a snapshot.
        """
        if repair:
            return self.reconcile(selector)
        return self._reconciler.compare([view.relation_id for view in select(views(self._store), selector)])

    def reconcile(self, selector: Selector = "*") -> list[VerifyReport]:
        """As `verify`, in phase `reconcile`; rows that differ are taken from the origin again, and compared again."""
        return self._reconciler.reconcile([view.relation_id for view in select(views(self._store), selector)])

    def _followed(self, selector: Selector) -> dict[Worker, list[View]]:
        """The selected realtime views by worker. Raises `OriginError` for one that is stopped or was never synced."""
        self._store.require_writable()
        followed: dict[Worker, list[View]] = {}
        known, all_views = jobs(self._store), views(self._store)
        for view in with_read(select(all_views, selector), all_views):
            if view.persistence is not Persistence.REALTIME:
                continue
            job = known.get(view.relation_id)
            worker = self._workers.get(view.origin or "")
            runs = worker is not None and view.relation_id not in worker.halted
            if job is None or not job.enabled or not (runs or (view.origin is None and job.state == "running")):
                raise errors.OriginError(f"{view.relation_id} is not running", hint="Run db.sync.sync() or resume().")
            if worker is not None:
                followed.setdefault(worker, []).append(view)
        return followed

    # -- what happens

    def on(self, name: str, callback: Callback) -> Handle:
        """Call back at each event of that name ("*": of any): see `Events.on`."""
        return self._events.on(name, callback)

    def events(self, *names: str) -> EventListener:
        """The events of these names (of all, without any), as an iterator, also an asynchronous one."""
        return self._events.events(*names)

    # -- for the database

    def look(self, origin: str | None) -> None:
        """A definition changed: the origin's worker, if it runs, sees what is needed now."""
        worker = self._workers.get(origin or "")
        if worker is not None:
            worker.look()

    def close(self) -> None:
        """End every worker, and the bus when they have. A database in memory leaves nothing at its origins."""
        with self._lock:
            self._closed = True
            workers = dict(self._workers)
        self._answering.close()
        self._waker.close()
        self._watchers.hooks.close()  # before: a session that waits for one would not end
        self.scopes.close()
        with closing(self._events):
            for name, worker in workers.items():
                worker.stop()
                if self._store.in_memory:
                    # The slot was temporary: if this fails, only the publication stays, which holds nothing back.
                    with suppress(errors.FlashQLError):
                        self._origins(name).drop(slot_name(self._store.database_id, name), seal(self._store))
            if not self._store.read_only:
                self.show_stopped()

    def on_pass(self, callback: Callable[[], None]) -> None:
        """Call back after every pass."""
        self._passes.after = callback

    def show_stopped(self) -> None:
        """No worker of this process runs: no job does either, whatever a process that died left in the rows."""
        with self._store.transaction() as writer:
            writer.execute(
                "UPDATE flashql.sync_jobs SET state = CASE state WHEN 'running' THEN 'idle' ELSE state END, "
                "phase = NULL, next_retry_at = NULL, done_rows = NULL, total_rows = NULL, done_bytes = NULL, "
                "total_bytes = NULL WHERE phase IS NOT NULL OR state = 'running' OR done_rows IS NOT NULL"
            )
        self.scopes.interrupt()

    def _check_open(self) -> None:
        if self._closed:
            raise errors.DatabaseError("this database is closed", hint="Open it again with flashql.connect().")

    def _worker(self, origin: str) -> Worker:
        with self._lock:
            self._check_open()
            worker = self._workers.get(origin)
            if worker is None:
                worker = Worker(self._store, self._origins(origin))
                self._workers[origin] = worker
            return worker

    def _stop_worker(self, origin: str) -> None:
        with self._lock:
            worker = self._workers.pop(origin, None)
        if worker is not None:
            worker.stop()
