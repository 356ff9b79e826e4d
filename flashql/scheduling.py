"""Materialized views with `refresh_every`: refreshed on time while the process runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from flashql import errors
from flashql.catalog import Persistence, View
from flashql.ddl import parse_interval_seconds
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.jobs import JobStatus, jobs
from flashql.sync import Sync

_log = logging.getLogger(__name__)

_JOIN_SECONDS = 2.0


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


class Schedule:
    """The thread that refreshes on time; it runs only while some view wants it."""

    def __init__(self, store: Store, sync: Sync) -> None:
        self._store = store
        self._sync = sync
        self._condition = threading.Condition()
        self._looks = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        sync.on_pass(self.look)

    def look(self) -> None:
        """Definitions or jobs changed: see again what is due when."""
        with self._condition:
            if self._store.read_only or self._closed:
                return
            self._looks += 1
            wanted = any("refresh_every" in view.options for view in views(self._store).values())
            if self._thread is None and wanted:
                self._thread = threading.Thread(target=self._run, name="flashql-schedule", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def stop(self) -> None:
        """Tell the thread to end; a refresh under way goes on until it is done or fails."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def join(self) -> None:
        """Wait a moment for the thread to end: a refresh may wait for an origin, and nobody should wait with it."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        looks, pause = -1, 0.0
        while self._wakes(looks, pause):
            looks = self._looks
            try:
                due, pause = self._due()
                if due:
                    self._sync.sync(due, force=True)
                    pause = 0.0
            except errors.FlashQLError as error:
                if not self._closed:
                    _log.warning("scheduled refresh: %s", error)
                pause = 60.0

    def _wakes(self, seen: int, pause_seconds: float) -> bool:
        """Wait until something changed or the pause is over; False when the schedule is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._looks != seen, pause_seconds)
            return not self._closed

    def _due(self) -> tuple[list[str], float]:
        """The views that are due now, and how long until the next one is."""
        known, now = jobs(self._store), datetime.now(UTC)
        left = list(self._left(views(self._store).values(), known, now))
        due = [name for name, seconds in left if seconds <= 0]
        return due, min((seconds for _, seconds in left), default=3600.0)

    @staticmethod
    def _left(chosen: Iterable[View], known: dict[str, JobStatus], now: datetime) -> Iterable[tuple[str, float]]:
        for view in chosen:
            job = known.get(view.relation_id)
            seconds = due_in_seconds(view, job, now) if job is not None else None
            if seconds is not None:
                yield view.relation_id, seconds
