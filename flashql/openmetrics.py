"""What is measured, as OpenMetrics: one table of metrics, for a scrape and for the reference.

An application that exports metrics of its own registers `Collector(db.sync.metrics)` with its `prometheus_client`
registry; `flashql run --metrics-port` does no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily, InfoMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from flashql.ladder import RUNGS
from flashql.lifecycle import State
from flashql.lsn import LSN
from flashql.measuring import Histogram, Metrics, OriginMetrics, Position, ViewMetrics
from flashql.version import __version__

CONTENT_TYPE = CONTENT_TYPE_LATEST

Value = float | Histogram | str | Mapping[str, str]
# The values of further labels of a sample, after those of its subject, and its value; None: no sample.
Sample = tuple[tuple[str, ...], Value | None]


@dataclass(frozen=True)
class Family:
    """One metric. `unit` is the last word of its name, or empty; `labels` come after the subject's, origin or view."""

    name: str
    kind: str  # gauge, counter, histogram, info or stateset
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()

    def metric(self, subject: str, samples: Iterable[tuple[str, Sample]]) -> Metric:
        """It with its samples, each of one origin or view."""
        made = Metric(self.name, self.help, self.kind, self.unit)
        for whose, (others, value) in samples:
            labels = dict(zip((subject, *self.labels), (whose, *others), strict=True))
            match value:
                case None:
                    pass
                case Histogram():
                    _add_histogram(made, labels, value)
                case str():
                    _add_states(made, labels, value)
                case Mapping():
                    made.add_sample(f"{self.name}_info", {**labels, **value}, 1)
                case _:
                    made.add_sample(self.name + ("_total" if self.kind == "counter" else ""), labels, float(value))
        return made


def _add_histogram(made: Metric, labels: dict[str, str], value: Histogram) -> None:
    bounds, buckets, so_far = [*(str(bound) for bound in value.bounds), "+Inf"], [], 0
    for bound, count in zip(bounds, value.counts, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    family = HistogramMetricFamily(made.name, made.documentation, labels=list(labels), unit=made.unit)
    family.add_metric(list(labels.values()), buckets, value.total)
    made.samples += family.samples


def _add_states(made: Metric, labels: dict[str, str], state: str) -> None:
    family = StateSetMetricFamily(made.name, made.documentation, labels=list(labels))
    family.add_metric(list(labels.values()), {one.value: one == state for one in State})
    made.samples += family.samples


def _one(get: Callable[[OriginMetrics], Value | None]) -> Callable[[OriginMetrics], list[Sample]]:
    return lambda origin: [((), get(origin))]


def _rungs(get: Callable[[Position], float]) -> Callable[[OriginMetrics], list[Sample]]:
    def samples(origin: OriginMetrics) -> list[Sample]:
        found = {name: getattr(origin, name) for name in RUNGS}
        return [((name,), get(rung)) for name, rung in found.items() if rung is not None]

    return samples


def _position(text: str | None) -> float | None:
    return None if text is None else float(LSN.parse(text))


def _time(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


_ORIGINS: tuple[tuple[Family, Callable[[OriginMetrics], list[Sample]]], ...] = (
    (Family("flashql_origin_connected", "gauge", "Whether the origin's stream runs: 1 or 0."),
     _one(lambda o: float(o.connected))),
    (Family("flashql_origin_position_bytes", "gauge",
            "The ladder, as positions in the origin's WAL: its head, what is received, applied and confirmed.",
            "bytes", ("rung",)),
     _rungs(lambda rung: float(LSN.parse(rung.lsn)))),
    (Family("flashql_origin_position_timestamp_seconds", "gauge", "When each rung of the ladder was learned.",
            "seconds", ("rung",)),
     _rungs(lambda rung: rung.at.timestamp())),
    (Family("flashql_origin_lag_bytes", "gauge", "WAL at the origin that the copies do not contain.", "bytes"),
     _one(lambda o: o.lag_bytes)),
    (Family("flashql_origin_lag_seconds", "gauge",
            "How long ago the origin committed what the copies lack, at most; 0 while they have all.", "seconds"),
     _one(lambda o: o.lag_seconds)),
    (Family("flashql_origin_transactions", "counter", "Transactions that the stream brought and that were applied."),
     _one(lambda o: o.transactions)),
    (Family("flashql_origin_changes", "counter", "Changes of rows among them."),
     _one(lambda o: o.rows)),
    (Family("flashql_origin_batch_duration_seconds", "histogram",
            "How long each local commit took: decoding, applying, keeping views.", "seconds"),
     _one(lambda o: o.batch_seconds)),
    (Family("flashql_origin_batch_size_bytes", "histogram", "How much of the stream each local commit took.", "bytes"),
     _one(lambda o: o.batch_bytes)),
    (Family("flashql_origin_last_batch_transactions", "gauge", "Transactions in the last local commit."),
     _one(lambda o: None if o.last_batch is None else o.last_batch.transactions)),
    (Family("flashql_origin_last_batch_changes", "gauge", "Changes of rows in the last local commit."),
     _one(lambda o: None if o.last_batch is None else o.last_batch.rows)),
    (Family("flashql_origin_reconnects", "counter", "Streams begun after the first."),
     _one(lambda o: o.reconnects)),
    (Family("flashql_origin_retries", "counter", "Failures after which it was, or will be, tried again."),
     _one(lambda o: o.retries)),
    (Family("flashql_origin_copies", "counter", "Tables copied from the origin."),
     _one(lambda o: o.copies)),
    (Family("flashql_origin_failed_copies", "counter", "Attempts to copy a table that failed."),
     _one(lambda o: o.failed_copies)),
    (Family("flashql_slot_retained_bytes", "gauge", "WAL that the slot makes the origin keep.", "bytes"),
     _one(lambda o: o.retained_bytes)),
    (Family("flashql_slot_safe_bytes", "gauge",
            "How much more WAL may be written before the slot can be lost; absent without a limit.", "bytes"),
     _one(lambda o: o.safe_bytes)),
    (Family("flashql_slot_loss_seconds", "gauge",
            "In how long that is, as fast as it grows now; absent while it does not grow.", "seconds"),
     _one(lambda o: o.seconds_to_loss)),
)  # fmt: skip

_VIEWS: tuple[tuple[Family, Callable[[ViewMetrics], Value | None]], ...] = (
    (Family("flashql_view", "info", "What the view is."),
     lambda v: {"origin": v.origin or "", "persistence": v.job.persistence, "mode": v.job.mode}),
    (Family("flashql_view_state", "stateset", "The state of its job."),
     lambda v: v.job.state),
    (Family("flashql_view_enabled", "gauge", "Whether it is synced at all: 0 after stop."),
     lambda v: float(v.job.enabled)),
    (Family("flashql_view_healthy", "gauge", "Whether it is as it should be: running, synced or not enabled."),
     lambda v: float(v.problem is None)),
    (Family("flashql_view_stale", "gauge", "Whether it shows rows as of an earlier moment, and does not follow now."),
     lambda v: float(v.job.stale)),
    (Family("flashql_view_rows", "gauge", "How many rows it shows."),
     lambda v: v.job.rows),
    (Family("flashql_view_changes", "counter", "Changes of rows that the stream brought for the tables it reads."),
     lambda v: v.job.changes),
    (Family("flashql_view_position_bytes", "gauge", "The last transaction it contains, as a position in WAL.", "bytes"),
     lambda v: _position(v.job.last_seen_commit)),
    (Family("flashql_view_lag_seconds", "gauge",
            "How long ago its origin committed what its copies lack, at most.", "seconds"),
     lambda v: v.job.lag_seconds),
    (Family("flashql_view_retries", "gauge", "Attempts that failed since the last success."),
     lambda v: v.job.retry_count),
    (Family("flashql_view_next_retry_timestamp_seconds", "gauge",
            "When it is tried again; absent when it is not, which for a failed view means that somebody has to act.",
            "seconds"),
     lambda v: _time(v.job.next_retry_at)),
    (Family("flashql_view_last_success_timestamp_seconds", "gauge",
            "When it was last materialized, or last began to follow.", "seconds"),
     lambda v: _time(v.job.last_success_at)),
)  # fmt: skip

BUILD = Family("flashql_build", "info", "The version of FlashQL.", labels=("version",))
FAMILIES: tuple[tuple[str, Family], ...] = (
    ("", BUILD),
    *(("origin", family) for family, _ in _ORIGINS),
    *(("view", family) for family, _ in _VIEWS),
)


def metrics_of(measured: Metrics) -> Iterator[Metric]:
    """What was measured, in the terms of `prometheus_client`."""
    yield InfoMetricFamily(BUILD.name, BUILD.help, {"version": __version__})
    for family, samples_of in _ORIGINS:
        samples = [(origin.origin, one) for origin in measured.origins for one in samples_of(origin)]
        yield family.metric("origin", samples)
    for family, value_of in _VIEWS:
        none: tuple[str, ...] = ()
        yield family.metric("view", [(view.job.relation_id, (none, value_of(view))) for view in measured.views])


class Collector:
    """What `measure` returns, for a registry of `prometheus_client`; asked at each scrape."""

    def __init__(self, measure: Callable[[], Metrics]) -> None:
        self._measure = measure

    def collect(self) -> Iterator[Metric]:
        """All metrics as of now."""
        return metrics_of(self._measure())


def exposition(measured: Metrics) -> bytes:
    """What was measured, as OpenMetrics text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(lambda: measured))
    return bytes(generate_latest(registry))  # type: ignore[no-untyped-call]
