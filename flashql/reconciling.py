"""Copies compared with their origins and put right, while they go on to follow: phase `reconcile`.

What was put right is compared once more, so that the report says what is, not only what was done.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from flashql import errors
from flashql.catalog import View
from flashql.events import DriftFound, Events
from flashql.lifecycle import Phase
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.jobs import is_following, jobs, set_job
from flashql.verifying import VerifyReport, verify, verify_locally
from flashql.worker import Worker


class Reconciler:
    """Compares the copies of one database. Calls may overlap.

    `followed` gives views by worker, with those that they read, and raises `OriginError` for one that does not run;
    `recopy` takes all rows of a view again.
    """

    def __init__(
        self,
        store: Store,
        followed: Callable[[Collection[str]], Mapping[Worker, list[View]]],
        recopy: Callable[[View], None],
    ) -> None:
        self._store = store
        self._followed = followed
        self._recopy = recopy
        self._events = Events.of(store)
        self._lock = threading.Lock()  # guards the one below
        self._under_way: Counter[str] = Counter()  # how many calls compare a view

    def reconcile(self, names: Collection[str]) -> list[VerifyReport]:
        """Compare these views, put right what differs, and compare that once more. Raises what `compare` does."""
        with self._in_phase(names):
            found = self.compare(names, repair=True)
            again = {one.view: one.equal for one in self.compare([one.view for one in found if not one.equal])}
        return [replace(one, equal_after=again.get(one.view)) for one in found]

    def compare(self, names: Collection[str], *, repair: bool = False) -> list[VerifyReport]:
        """Compare these views, at one exact LSN per origin; with `repair`, put right what differs.

        Raises `OriginError` for a view that does not follow its origin, `OriginBusy` when that gives no snapshot.
        """
        if not names:
            return []
        reports: list[VerifyReport] = []
        for worker, of_origin in self._followed(names).items():
            reports += verify(self._store, worker, of_origin, self._recopy if repair else None)
        known = views(self._store)
        local = [view for name in names if (view := known.get(name)) and view.is_kept and view.origin is None]
        reports += [verify_locally(self._store, view, repair) for view in local]
        found = sorted((one for one in reports if one.view in names), key=lambda report: report.view)
        for one in found:
            if not one.equal:
                self._tell(one, known.get(one.view))
        self._note([one.view for one in found if one.equal])
        return found

    def _note(self, equal: Collection[str]) -> None:
        if equal:
            now = datetime.now(UTC)
            with self._store.transaction() as writer:
                for name in equal:
                    set_job(writer, name, last_reconciled_at=now)

    def _tell(self, report: VerifyReport, view: View | None) -> None:
        if self._events.wanted(DriftFound.name):
            origin, rows = None if view is None else view.origin, len(report.differing_keys)
            self._events.tell(
                DriftFound(view=report.view, origin=origin, phase=Phase.RECONCILE, lsn=report.lsn or None, rows=rows)
            )

    @contextmanager
    def _in_phase(self, names: Collection[str]) -> Iterator[None]:
        """Jobs of these views that follow show the phase meanwhile."""
        with self._lock:
            self._under_way.update(names)
        try:
            self._enter(names, Phase.RECONCILE)
            yield
        finally:
            with self._lock:
                self._under_way.subtract(names)
                done = [name for name in names if self._under_way[name] == 0]
                for name in done:
                    del self._under_way[name]
            with suppress(errors.FlashQLError):  # closed meanwhile: then nothing follows any more
                self._enter(done, Phase.PULL)

    def _enter(self, names: Collection[str], phase: Phase) -> None:
        with self._store.transaction() as writer:
            known = jobs(self._store)
            for name in names:
                if name in known and is_following(known[name]):
                    set_job(writer, name, phase=phase)
