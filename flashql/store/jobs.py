"""Job rows: what each view's sync is doing. One row per view that sync has seen, in `flashql.sync_jobs`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from flashql.catalog import Persistence, View
from flashql.lsn import LSN
from flashql.store.duck import Store

MODES = {Persistence.ORIGIN: "query", Persistence.MATERIALIZED: "snapshot", Persistence.REALTIME: "stream"}


@dataclass(frozen=True)
class JobStatus:
    """The state of one view's sync.

    `mode` says how its rows come: query (at the origin, each time), snapshot (of the query's result) or stream.
    `last_seen_commit` is the LSN of the last origin transaction its copy contains. Times are in UTC. `lag_bytes`
    counts WAL the origin has written and the copy does not contain, as of the origin's last message.
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


_FIELDS = ", ".join(JobStatus.__dataclass_fields__)


def jobs(store: Store) -> dict[str, JobStatus]:
    """Every job row, by relation id."""
    if not store.has_catalog:
        return {}
    return {row[0]: JobStatus(*row) for row in store.rows(f"SELECT {_FIELDS} FROM flashql.sync_jobs")}


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
    )


def make_job(writer: duckdb.DuckDBPyConnection, view: View) -> None:
    """Add the view's job row when it has none."""
    writer.execute(
        "INSERT INTO flashql.sync_jobs (relation_id, namespace, name, persistence, mode, origin) "
        "SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM flashql.sync_jobs WHERE relation_id = ?)",
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
    """Change fields of a job row; `updated_at` becomes now."""
    assigned = ", ".join(f"{name} = ?" for name in fields)
    writer.execute(
        f"UPDATE flashql.sync_jobs SET {assigned}{', ' if assigned else ''}updated_at = now() WHERE relation_id = ?",
        [*fields.values(), relation_id],
    )


def delete_job(writer: duckdb.DuckDBPyConnection, relation_id: str) -> None:
    """Forget the job row."""
    writer.execute("DELETE FROM flashql.sync_jobs WHERE relation_id = ?", [relation_id])


def advance_jobs(writer: duckdb.DuckDBPyConnection, origin: str, lsn: LSN, lag_bytes: int) -> None:
    """All views that follow the origin's stream now contain every transaction that ends at or before `lsn`."""
    writer.execute(
        "UPDATE flashql.sync_jobs SET last_seen_commit = ?, lag_bytes = ?, updated_at = now() "
        "WHERE origin = ? AND state = 'running' AND phase = 'stream'",
        [str(lsn), lag_bytes, origin],
    )
