"""What is done on time while the process runs.

Materialized views with `refresh_every` are refreshed, realtime ones with `reconcile_every` compared with their origins.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from flashql import errors
from flashql.catalog import Persistence, View
from flashql.ddl import parse_interval_seconds
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.jobs import JobStatus, is_following, jobs
from flashql.sync import Sync

_log = logging.getLogger(__name__)

_JOIN_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 3600.0


def due_in_seconds(view: View, job: JobStatus, now: datetime) -> float | None:
    """How long until the view is due: an interval after its last attempt or success; None when it never is.

    A view that sync has not seen, or that is disabled, is not due. A failed attempt counts: an origin that is down
    is asked once per interval.
    """
    every = view.options.get("refresh_every")
    if view.persistence is not Persistence.MATERIALIZED or every is None or not job.enabled:
        return None
    times = [time for time in (job.last_success_at, job.updated_at) if time is not None]
    last = max(times) if job.state == "failed" else job.last_success_at
    if last is None:
        return None
    return max(0.0, parse_interval_seconds(every) - (now - last).total_seconds())


def comparison_due_in_seconds(view: View, job: JobStatus, now: datetime, tried: datetime | None) -> float | None:
    """How long until the view is to be compared again: an interval after it was last; None when it never is.

    `tried` is when that was last begun in this process: a comparison that failed, or found what could not be put right,
    comes again an interval later. Until the first, the interval counts from when the view began to follow. One that
    does not follow now is looked at again after an interval.
    """
    every = view.options.get("reconcile_every")
    if view.persistence is not Persistence.REALTIME or every is None or not job.enabled:
        return None
    interval_seconds = parse_interval_seconds(every)
    times = [time for time in (job.last_reconciled_at, job.last_success_at, tried) if time is not None]
    if not is_following(job) or not times:
        return interval_seconds
    return max(0.0, interval_seconds - (now - max(times)).total_seconds())


class _Clock:
    """A thread that does one thing on time; it runs only while some view wants it."""

    def __init__(
        self,
        store: Store,
        option: str,
        due: Callable[[View, JobStatus, datetime], float | None],
        act: Callable[[Collection[str]], object],
    ) -> None:
        self._store = store
        self._option = option
        self._due_in_seconds = due
        self._act = act
        self._condition = threading.Condition()
        self._looks = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Definitions or jobs changed: see again what is due when."""
        with self._condition:
            if self._store.read_only or self._closed:
                return
            self._looks += 1
            wanted = any(self._option in view.options for view in views(self._store).values())
            if self._thread is None and wanted:
                self._thread = threading.Thread(target=self._run, name=f"flashql-{self._option}", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def stop(self) -> None:
        """Tell the thread to end; what is under way goes on until it is done or fails."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def join(self) -> None:
        """Wait a moment for the thread to end."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        looks, pause = -1, 0.0
        while self._wakes(looks, pause):
            looks = self._looks
            try:
                due, pause = self._due()
                if due:
                    self._act(due)
                    pause = 0.0
            except errors.FlashQLError as error:
                if not self._closed:
                    _log.warning("%s: %s", self._option, error)
                pause = 60.0

    def _wakes(self, seen: int, pause_seconds: float) -> bool:
        """Wait until something changed or the pause is over; False when the schedule is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._looks != seen, pause_seconds)
            return not self._closed

    def _due(self) -> tuple[list[str], float]:
        """The views that are due now, and how long until the next one is."""
        known, now = jobs(self._store), datetime.now(UTC)
        left: dict[str, float] = {}
        for name, view in views(self._store).items():
            job = known.get(name)
            seconds = self._due_in_seconds(view, job, now) if job is not None else None
            if seconds is not None:
                left[name] = seconds
        due = [name for name, seconds in left.items() if seconds <= 0]
        return due, min(left.values(), default=_LONGEST_PAUSE_SECONDS)


class Schedule:
    """What one database does on time."""

    def __init__(self, store: Store, sync: Sync) -> None:
        self._sync = sync
        self._compared_at: dict[str, datetime] = {}  # when a comparison was last begun
        self._clocks = (
            _Clock(store, "refresh_every", due_in_seconds, lambda due: sync.sync(due, force=True)),
            _Clock(store, "reconcile_every", self._comparison_due, self._compare),
        )
        sync.on_pass(self.look)

    def look(self) -> None:
        """Definitions or jobs changed: see again what is due when."""
        for clock in self._clocks:
            clock.look()

    def stop(self) -> None:
        """Tell the threads to end; what is under way goes on until it is done or fails."""
        for clock in self._clocks:
            clock.stop()

    def join(self) -> None:
        """Wait a moment for the threads to end: one may wait for an origin, and nobody should wait with it."""
        for clock in self._clocks:
            clock.join()

    def _comparison_due(self, view: View, job: JobStatus, now: datetime) -> float | None:
        return comparison_due_in_seconds(view, job, now, self._compared_at.get(view.relation_id))

    def _compare(self, due: Collection[str]) -> None:
        self._compared_at.update(dict.fromkeys(due, datetime.now(UTC)))
        try:
            for one in self._sync.reconcile(due):
                if one.equal_after is False:
                    _log.error("%s differs from its origin also after %s rows were repaired", one.view, one.repaired)
        except errors.FlashQLError as error:
            _log.warning("scheduled comparison of %s: %s", ", ".join(due), error)
