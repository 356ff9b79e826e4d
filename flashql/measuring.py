"""What is measured of each origin while it is followed, and of each view: for status, metrics and logs.

Measuring costs the replication one update per local commit, and waits for nothing: each value has one thread that sets
it, and whoever reads takes what is there.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from flashql.catalog import Persistence, View
from flashql.ladder import Ladder, Rung
from flashql.lifecycle import State
from flashql.lsn import LSN
from flashql.origins.base import SlotState
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.jobs import JobStatus, Retained, blank, jobs
from flashql.store.relations import counted

# Upper bounds of the classes in which batches are counted; the last class has none.
SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BYTES_BOUNDS = tuple(float(1 << exponent) for exponent in range(8, 30, 3))  # 256 B to 512 MiB


@dataclass(frozen=True, slots=True)
class Batch:
    """One local commit: what the stream brought for it, and how long it took. `committed_at` is Unix time."""

    end_lsn: LSN
    transactions: int
    rows: int
    size_bytes: int
    seconds: float
    committed_at: float | None
    rows_of: Mapping[tuple[str, str], int]  # by (schema, name) of the table at the origin


@dataclass(frozen=True, slots=True)
class Histogram:
    """Numbers counted by size, and added up: a histogram. `counts` has one more entry than `bounds`."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0

    def plus(self, value: float) -> Histogram:
        """With one more.

        >>> Histogram((1.0, 2.0), (0, 0, 0)).plus(1.0).plus(7.0)
        Histogram(bounds=(1.0, 2.0), counts=(1, 0, 1), total=8.0)
        """
        at = bisect_left(self.bounds, value)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Histogram(self.bounds, counts, self.total + value)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Totals:
    """All batches of an origin since the database was opened."""

    transactions: int = 0
    rows: int = 0
    seconds: Histogram = Histogram(SECONDS_BOUNDS, (0,) * (len(SECONDS_BOUNDS) + 1))
    size_bytes: Histogram = Histogram(BYTES_BOUNDS, (0,) * (len(BYTES_BOUNDS) + 1))
    last: Batch | None = None

    def plus(self, batch: Batch) -> Totals:
        """With one more batch."""
        return Totals(
            self.transactions + batch.transactions,
            self.rows + batch.rows,
            self.seconds.plus(batch.seconds),
            self.size_bytes.plus(batch.size_bytes),
            batch,
        )


class Meter:
    """What is measured of one origin. Each method has one thread that calls it: the worker's, or, `looked`, another."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.totals = Totals()
        self.rows_of: dict[tuple[str, str], int] = {}
        self.connections = 0
        self.retries = 0
        self.copies = 0
        self.failed_copies = 0
        self.slot: SlotState | None = None
        self.retained: Retained | None = None
        self.ladder: Ladder | None = None

    def begin(self, start: LSN, heard: Callable[[], tuple[LSN, float]]) -> Ladder:
        """A session streams from `start` on; its ladder, to be told how far it comes."""
        before = self.ladder
        self.ladder = Ladder(start, heard, None if before is None else before.contained_at(before.rungs()))
        self.connections += 1
        return self.ladder

    def end(self) -> None:
        """The session has ended. What was measured stays."""
        if self.ladder is not None:
            self.ladder.connected = False

    def count(self, batch: Batch) -> None:
        """A local commit was made."""
        for table, rows in batch.rows_of.items():
            self.rows_of[table] = self.rows_of.get(table, 0) + rows
        self.totals = self.totals.plus(batch)

    def looked(self, slot: SlotState | None, retained: Retained | None) -> None:
        """The origin was asked for the slot that feeds this file."""
        self.slot, self.retained = slot, retained
        ladder = self.ladder
        if slot is not None and ladder is not None and ladder.connected:
            ladder.looked(slot.origin_lsn, slot.confirmed_lsn)


class Meters:
    """The meters of one database, by origin."""

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, store: Store) -> Meters:
        """Those of this store."""
        with _making:
            return _known.setdefault(store, cls())

    def origin(self, name: str) -> Meter:
        """The meter of that origin, made when first asked for."""
        with self._lock:
            return self._meters.setdefault(name, Meter(name))

    def all(self) -> list[Meter]:
        """Those there are, by name."""
        with self._lock:
            return [self._meters[name] for name in sorted(self._meters)]


_known: WeakKeyDictionary[Store, Meters] = WeakKeyDictionary()
_making = threading.Lock()


# -- what an application sees


@dataclass(frozen=True, kw_only=True)
class Position:
    """A position in an origin's WAL as text, and when that was learned (UTC)."""

    lsn: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class OriginMetrics:
    """What is measured of one origin.

    `head`, `received`, `applied` and `confirmed` are the ladder: where the origin's WAL ends, what has been received,
    what the copies contain, what the origin may forget; each is at or before the one before it. After a session has
    ended they are as it left them; None before the first. `lag_bytes` is head less applied. `lag_seconds` is how long
    ago the origin committed what the copies lack, at most; 0 while they have all.

    Counts are since the database was opened: `batch_seconds` and `batch_bytes` of each local commit, as histograms.
    """

    origin: str
    connected: bool
    head: Position | None
    received: Position | None
    applied: Position | None
    confirmed: Position | None
    lag_bytes: int | None
    lag_seconds: float | None
    transactions: int
    rows: int
    batch_seconds: Histogram
    batch_bytes: Histogram
    last_batch: Batch | None
    reconnects: int
    retries: int
    copies: int
    failed_copies: int
    retained_bytes: int | None
    safe_bytes: int | None
    seconds_to_loss: int | None


@dataclass(frozen=True, kw_only=True)
class ViewMetrics:
    """What is measured of one view: its job, and the origin's name."""

    job: JobStatus
    origin: str | None

    @property
    def problem(self) -> str | None:
        """Why the view is not as it should be: enabled, but neither running nor synced. None when it is."""
        job = self.job
        if not job.enabled or job.persistence == Persistence.ORIGIN or job.state in ("running", "synced"):
            return None
        return (job.last_error or f"it is {job.state}").partition("\n")[0]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What is measured of a database, at one moment."""

    origins: tuple[OriginMetrics, ...]
    views: tuple[ViewMetrics, ...]


def measured(store: Store) -> Metrics:
    """All that is measured, as of now. No origin is asked."""
    known = jobs(store)
    return Metrics(
        origins=tuple(_of_origin(meter) for meter in Meters.of(store).all()),
        views=tuple(
            ViewMetrics(
                job=replace(followed(store, view, known.get(name, blank(view))), rows=counted(store, view)[0]),
                origin=view.origin,
            )
            for name, view in views(store).items()
        ),
    )


def followed(store: Store, view: View, job: JobStatus) -> JobStatus:
    """The job with what is measured of its view, if this process follows its origin, or did."""
    meter = Meters.of(store).origin(view.origin) if view.origin and view.persistence is Persistence.REALTIME else None
    if meter is None or meter.ladder is None or job.state == State.IDLE:
        return job
    ladder = meter.ladder
    return replace(job, lag_seconds=ladder.lag_seconds(ladder.rungs()), changes=_changes(meter, view))


def _changes(meter: Meter, view: View) -> int:
    return sum(meter.rows_of.get(table, 0) for table in view.tables)


def _of_origin(meter: Meter) -> OriginMetrics:
    ladder, totals, retained = meter.ladder, meter.totals, meter.retained
    rungs = None if ladder is None else ladder.rungs()
    return OriginMetrics(
        origin=meter.origin,
        connected=ladder is not None and ladder.connected,
        head=None if rungs is None else _position(rungs.head),
        received=None if rungs is None else _position(rungs.received),
        applied=None if rungs is None else _position(rungs.applied),
        confirmed=None if rungs is None else _position(rungs.confirmed),
        lag_bytes=None if rungs is None else rungs.lag_bytes,
        lag_seconds=None if ladder is None or rungs is None else ladder.lag_seconds(rungs),
        transactions=totals.transactions,
        rows=totals.rows,
        batch_seconds=totals.seconds,
        batch_bytes=totals.size_bytes,
        last_batch=totals.last,
        reconnects=max(0, meter.connections - 1),
        retries=meter.retries,
        copies=meter.copies,
        failed_copies=meter.failed_copies,
        retained_bytes=None if retained is None else retained.retained_bytes,
        safe_bytes=None if retained is None else retained.safe_bytes,
        seconds_to_loss=None if retained is None else retained.seconds_to_loss,
    )


def _position(rung: Rung | None) -> Position | None:
    return None if rung is None else Position(lsn=str(rung.lsn), at=datetime.fromtimestamp(rung.at_seconds, UTC))
