"""Scopes and operations as rows: `flashql.sync_scopes` and `flashql.sync_status`, and the tables behind them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from flashql.instances import TRANSITIONS, Counts, InstanceState, ScopeState, Turn, scope_state
from flashql.store.duck import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = ("last_started_at", "last_failed_at", "last_synced_at")


@dataclass(frozen=True)
class ScopeStatus:
    """One scope: the state of its last run, how many of its views are in each state, and its history.

    `details` has, for each view it was started with, its `state`, `error` (text or None) and `changed_at` (UTC, as
    text). Besides the states counted here a view may be `stopped` (left alone) or `interrupted` there.

    The last four are of the rows that this process has read for it in its last run, or is reading; None where it read
    none, or another process did. Totals are of the views begun so far, and estimates until they are complete.
    """

    id: str
    state: str
    not_started: int
    syncing: int
    failed: int
    synced: int
    last_started_at: datetime
    last_failed_at: datetime | None
    last_synced_at: datetime | None
    details: Mapping[str, Mapping[str, Any]] = field(hash=False)
    done_rows: int | None = field(default=None, compare=False)
    total_rows: int | None = field(default=None, compare=False)
    done_bytes: int | None = field(default=None, compare=False)
    total_bytes: int | None = field(default=None, compare=False)

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        return self.state == ScopeState.SYNCING

    def cut(self) -> ScopeStatus:
        """As it is when nobody runs it, though its rows say so."""
        details = {name: {**one, "state": _cut_state(one["state"])} for name, one in self.details.items()}
        counts = Counts.of(one["state"] for one in details.values())
        return replace(self, state=scope_state(counts, cut=True).value, syncing=counts.syncing, details=details)


def _cut_state(state: str) -> str:
    return TRANSITIONS.get((InstanceState(state), Turn.CUT), InstanceState(state)).value


_COLUMNS = [name for name, one in ScopeStatus.__dataclass_fields__.items() if one.compare]
_FIELDS = ", ".join(f"epoch_us({name}) AS {name}" if name in _TIMES else name for name in _COLUMNS)


def scopes(store: Store) -> dict[str, ScopeStatus]:
    """Every scope by its id, in the order of ids, as the rows have it."""
    if not store.has_catalog:
        return {}
    return {row[0]: _status(row) for row in store.rows(f"SELECT {_FIELDS} FROM flashql.sync_scopes ORDER BY id")}


def _status(row: Iterable[Any]) -> ScopeStatus:
    fields = dict(zip(_COLUMNS, row, strict=True))
    for name in _TIMES:
        if fields[name] is not None:
            fields[name] = _EPOCH + timedelta(microseconds=fields[name])
    fields["details"] = dict(sorted(json.loads(fields["details"]).items()))
    return ScopeStatus(**fields)


def begin_run(writer: duckdb.DuckDBPyConnection, scope_id: str, run_id: str, names: Collection[str]) -> None:
    """A new run of the scope begins, with these views and none of the last run's; its history stays."""
    (known,) = writer.execute("SELECT count(*) FROM flashql.scopes WHERE id = ?", [scope_id]).fetchall()
    if known == (0,):
        writer.execute(
            "INSERT INTO flashql.scopes (id, run_id, state, last_started_at) VALUES (?, ?, 'syncing', now())",
            [scope_id, run_id],
        )
    writer.execute("DELETE FROM flashql.scope_views WHERE scope_id = ?", [scope_id])
    writer.execute(
        "UPDATE flashql.scopes SET run_id = ?, state = 'syncing', last_started_at = now() WHERE id = ?",
        [run_id, scope_id],
    )
    add_views(writer, scope_id, run_id, names)


def add_views(writer: duckdb.DuckDBPyConnection, scope_id: str, run_id: str, names: Collection[str]) -> None:
    """These views take part in the run as well; those that do already are left as they are."""
    writer.execute(
        "INSERT INTO flashql.scope_views (scope_id, relation_id, state, changed_at) "
        "SELECT ?, n.name, ?, now() FROM (SELECT unnest(?::VARCHAR[]) AS name) AS n WHERE NOT EXISTS "
        "(SELECT 1 FROM flashql.scope_views AS v WHERE v.scope_id = ? AND v.relation_id = n.name)",
        [scope_id, InstanceState.NOT_STARTED.value, list(names), scope_id],
    )
    _settle(writer, scope_id, run_id)


def move(
    writer: duckdb.DuckDBPyConnection, scope_id: str, run_id: str, turn: Turn, told: Mapping[str, str | None]
) -> bool:
    """Move the instances of these views, each with its error, if any, by TRANSITIONS.

    An instance that has no such move stays as it is. False, and nothing changes, when the run is not the scope's last.
    """
    if not writer.execute("SELECT 1 FROM flashql.scopes WHERE id = ? AND run_id = ?", [scope_id, run_id]).fetchall():
        return False
    moves = {before.value: after.value for (before, by), after in TRANSITIONS.items() if by is turn}
    for before, after in moves.items():
        writer.execute(
            "UPDATE flashql.scope_views AS v SET state = ?, error = t.error, changed_at = now() "
            "FROM (SELECT unnest(?::VARCHAR[]) AS name, unnest(?::VARCHAR[]) AS error) AS t "
            "WHERE v.scope_id = ? AND v.relation_id = t.name AND v.state = ?",
            [after, list(told), list(told.values()), scope_id, before],
        )
    _settle(writer, scope_id, run_id)
    return True


def _settle(writer: duckdb.DuckDBPyConnection, scope_id: str, run_id: str) -> None:
    """Let the scope's state be what its instances say; with the last one to complete, its history grows."""
    states = writer.execute("SELECT state FROM flashql.scope_views WHERE scope_id = ?", [scope_id]).fetchall()
    state = scope_state(Counts.of(state for (state,) in states), cut=False)
    history = {ScopeState.FAILED: ", last_failed_at = now()", ScopeState.SYNCED: ", last_synced_at = now()"}
    writer.execute(
        f"UPDATE flashql.scopes SET state = ?{history.get(state, '')} WHERE id = ? AND run_id = ? AND state <> ?",
        [state.value, scope_id, run_id, state.value],
    )


def interrupt_all(writer: duckdb.DuckDBPyConnection) -> None:
    """Whoever ran scopes is gone, or about to be: what was not complete is interrupted."""
    for (before, turn), after in TRANSITIONS.items():
        if turn is Turn.CUT:
            writer.execute(
                "UPDATE flashql.scope_views SET state = ?, changed_at = now() WHERE state = ?",
                [after.value, before.value],
            )
    # By its counts a scope says so exactly as long as there is work left.
    writer.execute(
        "UPDATE flashql.scopes SET state = ? WHERE state = ?", [ScopeState.INTERRUPTED.value, ScopeState.SYNCING.value]
    )
    writer.execute("UPDATE flashql.sync_status SET state = 'interrupted', timestamp = now() WHERE state = 'syncing'")


def delete_scope(writer: duckdb.DuckDBPyConnection, scope_id: str) -> bool:
    """Forget the scope, and the operations that were part of it; False when there is none."""
    found = writer.execute("DELETE FROM flashql.scopes WHERE id = ? RETURNING id", [scope_id]).fetchall()
    writer.execute("DELETE FROM flashql.scope_views WHERE scope_id = ?", [scope_id])
    writer.execute("DELETE FROM flashql.sync_status WHERE function_id = ?", [scope_id])
    return bool(found)


def set_operations(
    writer: duckdb.DuckDBPyConnection, function_id: str, state: InstanceState, told: Mapping[str, str | None]
) -> None:
    """The last operation of that kind on each of these views has come to this state, with its error, if any."""
    ids = [f"{function_id}/{name}" for name in told]
    writer.execute("DELETE FROM flashql.sync_status WHERE id IN (SELECT unnest(?::VARCHAR[]))", [ids])
    writer.execute(
        "INSERT INTO flashql.sync_status (id, provider, entity, function_id, state, timestamp, error) "
        "SELECT t.id, v.origin, t.name, ?, ?, now(), t.error FROM (SELECT unnest(?::VARCHAR[]) AS id, "
        "unnest(?::VARCHAR[]) AS name, unnest(?::VARCHAR[]) AS error) AS t "
        "LEFT JOIN flashql.views AS v ON v.namespace || '.' || v.name = t.name",
        [function_id, state.value, ids, list(told), list(told.values())],
    )


def delete_operation(writer: duckdb.DuckDBPyConnection, status_id: str) -> bool:
    """Forget the row of an operation; False when there is none."""
    return bool(writer.execute("DELETE FROM flashql.sync_status WHERE id = ? RETURNING id", [status_id]).fetchall())
