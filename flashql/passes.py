"""Passes: bring a set of views to where they should be. Calls that overlap share one.

Realtime views are seen to by their origins' workers, all at once; materialized ones are populated in turn. One
view's failure stops no other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from flashql import errors, joining
from flashql.catalog import Persistence, View
from flashql.hooks import syncing
from flashql.keeping import in_order
from flashql.lifecycle import Phase
from flashql.lsn import NOWHERE
from flashql.maintenance import Maintenance, keep_up, mark_running, without_broken
from flashql.origins.postgres import PostgresOrigin
from flashql.populating import populate
from flashql.seeding import plant
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.jobs import jobs, make_job
from flashql.store.relations import is_seeded, own_table
from flashql.worker import Worker

_log = logging.getLogger(__name__)


class Watch(Protocol):
    """Told by a pass how views fare, by any of its threads, one after another for each view. To return soon."""

    def began(self, names: Sequence[str]) -> None:
        """These are being seen to."""

    def ended(self, outcomes: Mapping[str, errors.FlashQLError | None]) -> None:
        """These are where they should be, or failed. Each began before."""

    def left_alone(self, names: Sequence[str]) -> None:
        """These are stopped: nothing is done for them."""


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
    watches: dict[Watch, set[str]] = field(default_factory=dict)  # which views each is told of
    done: threading.Event = field(default_factory=threading.Event)
    materialized: list[str] = field(default_factory=list)
    failed: dict[str, errors.FlashQLError] = field(default_factory=dict)
    report: SyncReport = field(default_factory=SyncReport)
    error: errors.FlashQLError | None = None

    def began(self, names: Iterable[str]) -> None:
        """Tell that these views are being seen to."""
        self._tell(names, lambda watch, its: watch.began(its))

    def ended(self, outcomes: Mapping[str, errors.FlashQLError | None]) -> None:
        """Tell what became of these views."""
        self._tell(outcomes, lambda watch, its: watch.ended({name: outcomes[name] for name in its}))

    def left_alone(self, names: Iterable[str]) -> None:
        """Tell that nothing is done for these views."""
        self._tell(names, lambda watch, its: watch.left_alone(its))

    def _tell(self, names: Iterable[str], tell: Callable[[Watch, list[str]], None]) -> None:
        told = list(names)
        for watch, wanted in self.watches.items():
            its = [name for name in told if name in wanted]
            try:
                if its:
                    tell(watch, its)
            except errors.FlashQLError as error:  # who watches is in nobody's way
                _log.info("what became of %s could not be noted: %s", ", ".join(its), error)


class Passes:
    """Runs passes, one at a time. `before` is called when one begins, `after` when it has ended."""

    def __init__(
        self,
        store: Store,
        origins: Callable[[str], PostgresOrigin],
        worker: Callable[[str], Worker],
    ) -> None:
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self._store = store
        self._origins = origins
        self._worker = worker
        self._lock = threading.Lock()  # guards _next
        self._running = threading.Lock()  # held by the one pass that runs
        self._next: _Pass | None = None

    def join(self, chosen: Sequence[str], force: bool, watch: Watch) -> SyncReport:
        """Add these views to the next pass, and return its report about them; `watch` is told as it goes on."""
        with self._lock:
            mine = self._next = self._next or _Pass()
            mine.watches.setdefault(watch, set()).update(chosen)
            forced = [name for name in chosen if force and not mine.names.get(name)]
            for name in chosen:
                mine.names[name] = mine.names.get(name, False) or force
        if forced and self._running.locked():
            self.hurry(forced)
        with self._running:
            if not mine.done.is_set():
                self._run(mine)
        if mine.error is not None:
            raise mine.error
        return mine.report.restricted(set(chosen))

    def hurry(self, names: Collection[str]) -> None:
        """Let no pause hold up these views: the pass that runs may wait for them."""
        chosen = [view for name, view in views(self._store).items() if name in names]
        for origin in {view.origin for view in chosen if view.persistence is Persistence.REALTIME and view.origin}:
            with suppress(errors.FlashQLError):  # the next pass says what is wrong with it
                self._worker(origin).hurry()

    def _run(self, this: _Pass) -> None:
        with self._lock:
            self._next = None
        try:
            self.before()
            this.report = self._pass(this)
        except errors.FlashQLError as error:
            this.error = error
        except BaseException:
            this.error = errors.OriginError("the pass was interrupted", hint="Run sync() again.")
            raise
        finally:
            this.done.set()
            self.after()

    def _pass(self, this: _Pass) -> SyncReport:
        known = views(self._store)
        chosen = [known[name] for name in this.names if name in known]
        with self._store.transaction() as writer:
            for view in chosen:
                make_job(writer, view)
        enabled = {name for name, job in jobs(self._store).items() if job.enabled}
        this.left_alone(view.relation_id for view in chosen if view.relation_id not in enabled)
        chosen = [view for view in chosen if view.relation_id in enabled]
        for view in chosen:
            plant(self._store, view)
        realtime: dict[str, list[View]] = {}
        for view in chosen:
            if view.persistence is Persistence.REALTIME and view.origin is not None:
                realtime.setdefault(view.origin, []).append(view)
        snapshots = [
            view for view in chosen if view.persistence is Persistence.MATERIALIZED and view.origin is not None
        ]
        local = [view for view in chosen if view.origin is None and view.persistence is not Persistence.ORIGIN]
        pool = ThreadPoolExecutor(max(1, len(realtime)), thread_name_prefix="flashql-sync")
        try:
            running = [pool.submit(self._ensure, this, origin, of_origin) for origin, of_origin in realtime.items()]
            self._tell_of_rest(this, known, chosen)
            for view in snapshots:
                self._materialize(this, view)
            for one in running:
                one.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for an origin
        # Views without an origin read copies, so they come when those are there, in the order they read each other.
        for view in in_order(local):
            if view.persistence is Persistence.REALTIME:
                self._keep(this, view)
            else:
                self._materialize(this, view)
        following = tuple(
            view.relation_id
            for view in chosen
            if view.persistence is Persistence.REALTIME and view.relation_id not in this.failed
        )
        return SyncReport(tuple(this.materialized), following, this.failed)

    def _tell_of_rest(self, this: _Pass, known: Mapping[str, View], chosen: Iterable[View]) -> None:
        """Views for which there is nothing to do: they are read at their origins each time, or gone."""
        rest: dict[str, errors.FlashQLError | None] = {
            view.relation_id: None for view in chosen if view.persistence is Persistence.ORIGIN
        }
        rest |= {name: errors.UnknownName(f"{name} was dropped meanwhile") for name in this.names if name not in known}
        this.began(rest)
        this.ended(rest)

    def _ensure(self, this: _Pass, origin: str, of_origin: Sequence[View]) -> None:
        names = [view.relation_id for view in of_origin]
        this.began(names)
        Maintenance.of(self._store).leaving.forgive(names)
        try:
            force = any(this.names[name] for name in names)
            this.failed.update(self._worker(origin).ensure(names, this.ended, force=force))
        except errors.FlashQLError as error:
            joining.mark_failed(self._store, of_origin, error)
            this.failed.update(dict.fromkeys(names, error))
            this.ended(dict.fromkeys(names, error))

    def _keep(self, this: _Pass, view: View) -> None:
        def keep() -> None:
            with syncing(Phase.CLONE, None), self._store.transaction() as writer:
                if views(self._store).get(view.relation_id) == view:
                    keep_up(writer, self._store, view)
                    mark_running(writer, self._store, view, NOWHERE)

        this.began([view.relation_id])
        try:
            without_broken(keep, view)
        except errors.ViewBroken as broken:  # its job says so already
            this.failed[view.relation_id] = broken
        except errors.FlashQLError as error:
            this.failed[view.relation_id] = error
            joining.mark_failed(self._store, [view], error)
        this.ended({view.relation_id: this.failed.get(view.relation_id)})

    def _lacks_rows(self, view: View) -> bool:
        return own_table(self._store, view) is None or is_seeded(self._store, view)

    def _materialize(self, this: _Pass, view: View) -> None:
        this.began([view.relation_id])
        try:
            if self._lacks_rows(view) or this.names[view.relation_id]:
                populate(self._store, self._origins, view)
                this.materialized.append(view.relation_id)
        except errors.FlashQLError as error:
            this.failed[view.relation_id] = error
        this.ended({view.relation_id: this.failed.get(view.relation_id)})
