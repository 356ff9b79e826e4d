"""Job rows: what each view's sync is doing. One row per view that sync has seen, in `flashql.sync_jobs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from flashql.catalog import Persistence, View
from flashql.lifecycle import FOLLOWING, Phase, entered
from flashql.lsn import LSN
from flashql.store.duck import Store

MODES = {Persistence.ORIGIN: "query", Persistence.MATERIALIZED: "snapshot", Persistence.REALTIME: "stream"}


@dataclass(frozen=True)
class JobStatus:
    """The state of one view's sync.

    `mode` says how its rows come: query (at the origin, each time), snapshot (of the query's result) or stream.
    `last_seen_commit` is the LSN of the last origin transaction its copy contains. Times are in UTC. `lag_bytes`
    counts WAL the origin has written and the copy does not contain, as of the origin's last message.

    The next three are the slot's, the same for all views that it feeds, as it was last looked at: the WAL it makes the
    origin keep, how much more may be written before it can be lost (None without a limit), and in how many seconds
    that is if it goes on as in the last minute or so (None while what it keeps does not grow).

    `stale` says that a realtime view shows rows but does not follow its origin now: it is being copied again, has
    failed, is stopped or its process has ended. It shows them as of `last_seen_commit`, at least. So is a view that
    shows the rows of its seed, of no known commit.

    `unfit_values` counts the values in its rows that DuckDB cannot hold in the type their column has by default (NaN
    in a numeric, an infinite interval): such a column is held as the origin's text. Counted when status is asked for.

    `last_reconciled_at` is when its rows were last compared with the origin's and found equal.

    `has_synced` says whether it has had rows of its own here at all, `last_synced_at` when these were last known to be
    what its origin had sent: while it follows, at most some seconds ago. The last four are of rows that are being read
    for it in this process, None otherwise; totals are estimates.

    `lag_seconds` is how long ago the origin committed what the copies lack, at most, and `changes` how many changes of
    rows its stream brought for the tables that the view reads: both of the process that follows, else None.
    """

    relation_id: str
    namespace: str
    name: str
    persistence: str
    mode: str
    enabled: bool
    state: str
    slot_id: str | None
    last_seen_commit: str | None
    retry_count: int
    last_error: str | None
    updated_at: datetime | None
    next_retry_at: datetime | None
    last_success_at: datetime | None
    lag_bytes: int | None
    rows: int | None
    phase: str | None
    retained_bytes: int | None
    safe_bytes: int | None
    seconds_to_loss: int | None
    stale: bool
    unfit_values: int | None
    last_reconciled_at: datetime | None = None
    has_synced: bool = False
    last_synced_at: datetime | None = None
    done_rows: int | None = None
    total_rows: int | None = None
    done_bytes: int | None = None
    total_bytes: int | None = None
    lag_seconds: float | None = None
    changes: int | None = None

    @property
    def progress(self) -> float | None:
        """How much of the work under way is done, from 0 to 1, by bytes where they are known; None without one."""
        if self.done_bytes is not None and self.total_bytes:
            return self.done_bytes / self.total_bytes
        return self.done_rows / self.total_rows if self.done_rows is not None and self.total_rows else None


@dataclass(frozen=True)
class Retained:
    """What a slot makes its origin keep, at one moment (Unix time); the other fields are those of `JobStatus`."""

    retained_bytes: int
    safe_bytes: int | None
    seconds_to_loss: int | None
    at_seconds: float


_FOLLOWS = f"coalesce(phase IN {tuple(str(phase) for phase in FOLLOWING)}, false)"
_SEEDED = "relation_id IN (SELECT namespace || '.' || name FROM flashql.views WHERE starts_with(local_table, 'seed'))"
_STALE = f"(mode = 'stream' AND last_seen_commit IS NOT NULL AND NOT {_FOLLOWS}) OR {_SEEDED} AS stale"
_COMPUTED = {"stale": _STALE}
_COMPUTED |= {name: f"NULL AS {name}" for name in ("unfit_values", "lag_seconds", "changes")}  # status knows these
# Times as numbers: what DuckDB makes of them for Python is in the zone of whoever asks, by way of a library of zones.
_TIMES = ("updated_at", "next_retry_at", "last_success_at", "last_reconciled_at", "last_synced_at")
_COMPUTED |= {name: f"epoch_us({name}) AS {name}" for name in _TIMES}
_SYNCED_AT = "coalesce(last_synced_at, last_success_at)"  # a file of an older version has no more than that
_COMPUTED |= {"has_synced": f"{_SYNCED_AT} IS NOT NULL", "last_synced_at": f"epoch_us({_SYNCED_AT})"}
_FIELDS = ", ".join(_COMPUTED.get(name, name) for name in JobStatus.__dataclass_fields__)
_PLACES = frozenset(list(JobStatus.__dataclass_fields__).index(name) for name in _TIMES)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def jobs(store: Store) -> dict[str, JobStatus]:
    """Every job row, by relation id."""
    if not store.has_catalog:
        return {}
    return {row[0]: _status(row) for row in store.rows(f"SELECT {_FIELDS} FROM flashql.sync_jobs")}


@dataclass(frozen=True)
class JobState:
    """What decides how a job moves on; the fields are those of `JobStatus`."""

    state: str
    phase: str | None
    retry_count: int
    last_seen_commit: str | None


def job_state(store: Store, relation_id: str) -> JobState | None:
    """How a view's job stands; None when it has none."""
    fields = ", ".join(JobState.__dataclass_fields__)
    rows = store.rows(f"SELECT {fields} FROM flashql.sync_jobs WHERE relation_id = ?", [relation_id])
    return JobState(*rows[0]) if rows else None


def _status(row: Sequence[Any]) -> JobStatus:
    times = {at: _EPOCH + timedelta(microseconds=row[at]) for at in _PLACES if row[at] is not None}
    return JobStatus(*(times.get(at, value) for at, value in enumerate(row)))


def is_following(job: JobStatus | JobState) -> bool:
    """Whether the view follows what it reads now, up to every local commit."""
    return job.state == "running" and job.phase in FOLLOWING


def blank(view: View) -> JobStatus:
    """The status of a view that sync has not seen."""
    return JobStatus(
        view.relation_id,
        view.namespace,
        view.name,
        view.persistence.value,
        MODES[view.persistence],
        enabled=True,
        state="idle",
        slot_id=None,
        last_seen_commit=None,
        retry_count=0,
        last_error=None,
        updated_at=None,
        next_retry_at=None,
        last_success_at=None,
        lag_bytes=None,
        rows=None,
        phase=None,
        retained_bytes=None,
        safe_bytes=None,
        seconds_to_loss=None,
        stale=False,
        unfit_values=None,
        last_reconciled_at=None,
    )


def make_job(writer: duckdb.DuckDBPyConnection, view: View) -> None:
    """Add the view's job row when it has none."""
    writer.execute(
        "INSERT INTO flashql.sync_jobs (relation_id, namespace, name, persistence, mode, origin, updated_at) "
        "SELECT ?, ?, ?, ?, ?, ?, now() WHERE NOT EXISTS (SELECT 1 FROM flashql.sync_jobs WHERE relation_id = ?)",
        [
            view.relation_id,
            view.namespace,
            view.name,
            view.persistence.value,
            MODES[view.persistence],
            view.origin,
            view.relation_id,
        ],
    )


def set_job(writer: duckdb.DuckDBPyConnection, relation_id: str, **fields: object) -> None:
    """Change fields of a job row; `updated_at` becomes now. Raises `IllegalMove` for a phase that cannot come now."""
    if "phase" in fields:
        after = fields["phase"]
        for (before,) in writer.execute(
            "SELECT phase FROM flashql.sync_jobs WHERE relation_id = ?", [relation_id]
        ).fetchall():
            phase = entered(before, None if after is None else str(after))
            fields["phase"] = phase and phase.value
    assigned = ", ".join(f"{name} = ?" for name in fields)
    writer.execute(
        f"UPDATE flashql.sync_jobs SET {assigned}{', ' if assigned else ''}updated_at = now() WHERE relation_id = ?",
        [*fields.values(), relation_id],
    )


def delete_job(writer: duckdb.DuckDBPyConnection, relation_id: str) -> None:
    """Forget the job row."""
    writer.execute("DELETE FROM flashql.sync_jobs WHERE relation_id = ?", [relation_id])


def advance_jobs(
    writer: duckdb.DuckDBPyConnection, origin: str, lsn: LSN, lag_bytes: int, also: Sequence[str] = ()
) -> None:
    """All views that follow the origin's stream, and `also` these, contain every transaction that ends by `lsn`."""
    writer.execute(
        "UPDATE flashql.sync_jobs SET last_seen_commit = ?, lag_bytes = ?, updated_at = now(), last_synced_at = now() "
        f"WHERE origin = ? AND state = 'running' AND {_FOLLOWS}",
        [str(lsn), lag_bytes, origin],
    )
    for relation_id in also:
        set_job(writer, relation_id, last_seen_commit=str(lsn))


def confirm_jobs(writer: duckdb.DuckDBPyConnection, origin: str, lag_bytes: int) -> None:
    """Nothing came, and the origin has sent all there is: the views that follow it are as it is now."""
    writer.execute(
        f"UPDATE flashql.sync_jobs SET lag_bytes = ?, last_synced_at = if({_FOLLOWS}, now(), last_synced_at) "
        "WHERE origin = ? AND state = 'running'",
        [lag_bytes, origin],
    )


def note_success(writer: duckdb.DuckDBPyConnection, relation_id: str) -> None:
    """The view has been made, or begins to follow, now."""
    writer.execute(
        "UPDATE flashql.sync_jobs SET last_success_at = now(), last_synced_at = now() WHERE relation_id = ?",
        [relation_id],
    )


def set_progress(writer: duckdb.DuckDBPyConnection, amounts: Mapping[str, Sequence[int | None] | None]) -> None:
    """How far the work is that these views wait for: rows done and in all, bytes done and in all; None: for none."""
    columns = zip(*((name, *(one or (None,) * 4)) for name, one in amounts.items()), strict=True)
    writer.execute(
        "UPDATE flashql.sync_jobs AS j SET done_rows = p.done_rows, total_rows = p.total_rows, "
        "done_bytes = p.done_bytes, total_bytes = p.total_bytes FROM (SELECT unnest(?::VARCHAR[]) AS name, "
        "unnest(?::BIGINT[]) AS done_rows, unnest(?::BIGINT[]) AS total_rows, unnest(?::BIGINT[]) AS done_bytes, "
        "unnest(?::BIGINT[]) AS total_bytes) AS p WHERE j.relation_id = p.name",
        [list(column) for column in columns],
    )


def set_retained(writer: duckdb.DuckDBPyConnection, origin: str, slot: str, seen: Retained | None) -> None:
    """What the slot retains, for all views that it feeds; None when there is no such slot."""
    values = (None,) * 4 if seen is None else astuple(seen)
    writer.execute(
        "UPDATE flashql.sync_jobs SET retained_bytes = ?, safe_bytes = ?, seconds_to_loss = ?, "
        "retained_at = to_timestamp(?) WHERE origin = ? AND slot_id = ?",
        [*values, origin, slot],
    )


def last_retained(store: Store, origin: str) -> Retained | None:
    """What the origin's slot retained when it was last looked at; None when it never was."""
    rows = store.rows(
        "SELECT retained_bytes, safe_bytes, seconds_to_loss, epoch(retained_at) FROM flashql.sync_jobs "
        "WHERE origin = ? AND retained_at IS NOT NULL ORDER BY retained_at DESC LIMIT 1",
        [origin],
    )
    return Retained(*rows[0]) if rows else None


def with_retained(job: JobStatus, waiting: tuple[int, Retained] | None) -> JobStatus:
    """The job of a view whose slot waits: how far it is behind, in bytes, and what the slot retains; None: unknown."""
    if waiting is None:
        return replace(job, lag_bytes=None, retained_bytes=None, safe_bytes=None, seconds_to_loss=None)
    lag_bytes, seen = waiting
    return replace(
        job,
        lag_bytes=lag_bytes,
        retained_bytes=seen.retained_bytes,
        safe_bytes=seen.safe_bytes,
        seconds_to_loss=seen.seconds_to_loss,
    )


def set_waiting(writer: duckdb.DuckDBPyConnection, origin: str, text: str | None, before: str | None) -> None:
    """Views without rows of their own yet wait for a slot, and this is why; None when they do so no longer.

    `before` is what was said last. A view that failed, and is not tried again by itself, keeps its own error.
    """
    if before is not None and before != text:
        writer.execute(
            "UPDATE flashql.sync_jobs SET last_error = NULL WHERE origin = ? AND last_error = ?", [origin, before]
        )
    if text is not None:
        writer.execute(
            "UPDATE flashql.sync_jobs SET last_error = ?, phase = coalesce(phase, ?) WHERE origin = ? "
            f"AND persistence = 'realtime' AND enabled AND NOT {_FOLLOWS} "
            "AND NOT (state = 'failed' AND next_retry_at IS NULL)",
            [text, Phase.CLONE.value, origin],
        )
