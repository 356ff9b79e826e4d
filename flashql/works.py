"""Long work under way: how many rows and bytes of it are done, and of how many, by the views that wait for it.

Whoever reads rows only counts them. A thread that runs while there is such work looks at what was counted, tells
events, and notes it in `flashql.sync_jobs` now and then: reading waits for neither.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias
from weakref import WeakKeyDictionary

from flashql import errors
from flashql.events import Events, ProgressMade
from flashql.lifecycle import Phase
from flashql.origins.base import UNKNOWN_SIZE, Progress, Size, no_progress
from flashql.store import Store
from flashql.store.jobs import set_progress

# How often events tell how far work is, and how often the rows of jobs do. A note is a local commit.
_TELL_SECONDS, _NOTE_SECONDS = 0.25, 1.0

# Events that say how far something is that is made of the work of several views.
More: TypeAlias = Callable[[], Iterable[ProgressMade]]


@dataclass(frozen=True, slots=True)
class Amount:
    """Rows and bytes done, and in all (None: unknown)."""

    done_rows: int = 0
    total_rows: int | None = 0
    done_bytes: int = 0
    total_bytes: int | None = 0

    def __add__(self, other: Amount) -> Amount:
        """Both together: of what is unknown in part the whole is unknown."""
        return Amount(
            self.done_rows + other.done_rows,
            None if self.total_rows is None or other.total_rows is None else self.total_rows + other.total_rows,
            self.done_bytes + other.done_bytes,
            None if self.total_bytes is None or other.total_bytes is None else self.total_bytes + other.total_bytes,
        )


def amount(done_rows: int, done_bytes: int, expected: Size, *, over: bool) -> Amount:
    """How far work is by what was counted and what was expected.

    A total is an estimate until the work is over, and never less than what is done. Once rows have come, those that are
    still to come are expected to be as wide.

    >>> amount(0, 0, Size(100, 80_000), over=False)
    Amount(done_rows=0, total_rows=100, done_bytes=0, total_bytes=80000)
    >>> amount(10, 1_000, Size(100, 80_000), over=False)
    Amount(done_rows=10, total_rows=100, done_bytes=1000, total_bytes=10000)
    """
    if over:
        return Amount(done_rows, done_rows, done_bytes, done_bytes)
    rows = None if expected.rows is None else max(expected.rows, done_rows)
    size_bytes = expected.size_bytes
    if rows is not None and done_rows:
        size_bytes = done_bytes * rows // done_rows
    return Amount(done_rows, rows, done_bytes, None if size_bytes is None else max(size_bytes, done_bytes))


class Work:
    """One piece of it: a table, a query or a large transaction that is read. A context manager, which ends it."""

    def __init__(
        self, works: Works, what: str, views: Collection[str], phase: Phase, origin: str | None, expected: Size
    ) -> None:
        self.what = what
        self.views = views
        self.phase = phase
        self.origin = origin
        self.began_at = time.monotonic()
        self.over = False
        self._works = works
        self._expected = expected
        self._lock = threading.Lock()
        self._rows = self._bytes = 0

    def expect(self, size: Size) -> None:
        """It turns out to be so much."""
        self._expected = size

    def count(self, rows: int, size_bytes: int) -> None:
        """So much more is done. From any thread; returns at once."""
        with self._lock:
            self._rows += rows
            self._bytes += size_bytes
        now = self.amount
        self._works.progress(self.what, now.done_rows, now.total_rows)

    @property
    def amount(self) -> Amount:
        """How far it is."""
        with self._lock:
            return amount(self._rows, self._bytes, self._expected, over=self.over)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over = self.over or kind is None  # what failed is not done, however much of it there was
        self._works.end(self)


_known: WeakKeyDictionary[Store, Works] = WeakKeyDictionary()


class Works:
    """The long work of one database. Everything may be called from any thread."""

    def __init__(self, store: Store) -> None:
        self.progress: Progress = no_progress  # told by whoever counts, at once
        self._store = weakref.ref(store)  # which holds this
        self._events = Events.of(store)
        self._changed = threading.Condition()  # guards what follows
        self._more: list[weakref.WeakMethod[More]] = []
        self._present: list[Work] = []
        self._of_view: dict[str, list[Work]] = {}  # with what is over, until the next begins when all of it is
        self._ended: list[Work] = []  # since the thread looked
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, store: Store) -> Works:
        """That of this store."""
        found = _known.get(store)
        return found if found is not None else _known.setdefault(store, cls(store))

    def also(self, more: More) -> None:
        """Events of this method are told whenever those of views are, as long as its object lives."""
        self._more.append(weakref.WeakMethod(more))

    def begin(
        self, what: str, views: Collection[str], phase: Phase, origin: str | None, expected: Size = UNKNOWN_SIZE
    ) -> Work:
        """Work begins that these views (relation ids) wait for; none when it concerns all of an origin."""
        work = Work(self, what, views, phase, origin, expected)
        with self._changed:
            for view in views:
                before = self._of_view.get(view, [])
                self._of_view[view] = [*(before if any(one in self._present for one in before) else []), work]
            self._present.append(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flashql-works", daemon=True)
                self._thread.start()
        return work

    def end(self, work: Work) -> None:
        """No more of it is done."""
        with self._changed:
            if work in self._present:
                self._present.remove(work)
                self._ended.append(work)
            self._changed.notify_all()

    def now(self, view: str) -> Amount | None:
        """How far the work is that the view waits for now; None when it waits for none."""
        with self._changed:
            return self._now(view)

    def lately(self, view: str, since: float) -> Amount | None:
        """The same of the work that it waits for, or waited for last, if that began after `since` (monotonic)."""
        with self._changed:
            works = [work for work in self._of_view.get(view, ()) if work.began_at >= since]
        return _sum(works)

    def _now(self, view: str) -> Amount | None:
        works = self._of_view.get(view, [])
        return _sum(works) if any(work in self._present for work in works) else None

    def settle(self, timeout_seconds: float) -> None:
        """Return when all that is over has been told, if nothing is under way; after that time at the latest."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None or bool(self._present), timeout_seconds)

    # -- the thread

    def _run(self) -> None:
        noted, noted_at = set[str](), time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._present, _TELL_SECONDS)
                present, ended, self._ended = list(self._present), self._ended, []
                if not present and not ended:
                    self._thread = None
                    self._changed.notify_all()
                    return
            self._tell(ended + present)
            names = {view for work in present for view in work.views}
            due = time.monotonic() - noted_at >= _NOTE_SECONDS
            if (names and due) or noted - names:
                noted, noted_at = self._note(names, noted - names), time.monotonic()

    def _tell(self, works: Iterable[Work]) -> None:
        """Tell how far each view is, each large transaction, and what is made of them."""
        if not self._events.wanted(ProgressMade.name):
            return
        views: dict[str, Work] = {}
        for work in works:
            views.update(dict.fromkeys(work.views, work))
            if not work.views:
                self._events.tell(
                    made(work.what, work.amount, kind="transaction", origin=work.origin, phase=work.phase)
                )
        for view, work in views.items():
            amount = self.lately(view, 0.0) or work.amount
            self._events.tell(made(view, amount, view=view, origin=work.origin, phase=work.phase))
        for there in self._more:
            more = there()
            for event in more() if more is not None else ():
                self._events.tell(event)

    def _note(self, names: Collection[str], over: Collection[str]) -> set[str]:
        """Write down how far these views are, and of those that no longer wait for anything, nothing."""
        amounts = {name: self.now(name) for name in names} | dict.fromkeys(over)
        store = self._store()
        if store is not None:
            with suppress(errors.FlashQLError), store.transaction(of_stream=True) as writer:
                set_progress(writer, {name: one and astuple(one) for name, one in amounts.items()})
        return set(names)


def made(subject: str, amount: Amount, **fields: str | None) -> ProgressMade:
    """The event that says how far a subject is; `fields` are others of the event."""
    return ProgressMade(
        subject=subject,
        done_rows=amount.done_rows,
        total_rows=amount.total_rows,
        done_bytes=amount.done_bytes,
        total_bytes=amount.total_bytes,
        **fields,  # type: ignore[arg-type]
    )


def fields_of(amount: Amount | None) -> dict[str, Any]:
    """An amount as fields of a status; all None where there is none.

    >>> fields_of(None)
    {'done_rows': None, 'total_rows': None, 'done_bytes': None, 'total_bytes': None}
    """
    return dict.fromkeys(Amount.__dataclass_fields__) if amount is None else asdict(amount)


def _sum(works: Collection[Work]) -> Amount | None:
    return sum((work.amount for work in works), Amount()) if works else None
