"""Rows of flashql.subscriptions, loaded and saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from flashql.store.copies import next_id
from flashql.store.duck import Store
from flashql.subscribing import Key, Rows, Subscribed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = tuple(Subscribed.__dataclass_fields__)
_TYPES = {
    "view": "VARCHAR",
    "parameters": "VARCHAR",
    "active": "BOOLEAN",
    "is_default": "BOOLEAN",
    "local_priority": "BIGINT",
    "ttl_seconds": "DOUBLE",
    "expires_at": "TIMESTAMPTZ",
    "last_synced_at": "TIMESTAMPTZ",
    "has_synced": "BOOLEAN",
    "lsn": "VARCHAR",
    "last_error": "VARCHAR",
}
_TIMES = ("expires_at", "last_synced_at")
_DONE = ("done_rows", "total_rows", "done_bytes", "total_bytes")
# Times as numbers: what DuckDB makes of them for Python is in the zone of whoever asks.
_SELECTED = ", ".join(f"epoch_us({name})" if name in _TIMES else name for name in _FIELDS)


def subscriptions(store: Store, view: str | None = None, parameters: str | None = None) -> dict[Key, Subscribed]:
    """The subscriptions there are, those of a view, or of a view and a set, in the order they were made."""
    if not store.has_catalog:
        return {}
    rows = store.rows(
        f"SELECT {_SELECTED} FROM flashql.subscriptions WHERE ($1::VARCHAR IS NULL OR view = $1) "
        "AND ($2::VARCHAR IS NULL OR parameters = $2) ORDER BY id",
        [view, parameters],
    )
    found = [Subscribed(*(_value(name, value) for name, value in zip(_FIELDS, row, strict=True))) for row in rows]
    return {row.key: row for row in found}


def _value(name: str, value: Any) -> Any:
    return _EPOCH + timedelta(microseconds=value) if name in _TIMES and value is not None else value


def change_subscriptions(
    writer: duckdb.DuckDBPyConnection, before: Rows, rule: Callable[[Rows], Mapping[Key, Subscribed]]
) -> Rows:
    """Make rows what a rule makes of them: what they are then."""
    after = rule(before)
    gone = [key for key in before if key not in after]
    if gone:
        writer.execute(
            "DELETE FROM flashql.subscriptions WHERE (view, parameters) IN "
            "(SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]))",
            [[view for view, _ in gone], [parameters for _, parameters in gone]],
        )
    for row in (row for key, row in after.items() if key not in before):
        places = ", ".join("?" * len(_FIELDS))
        writer.execute(
            f"INSERT INTO flashql.subscriptions (id, {', '.join(_FIELDS)}) VALUES (?, {places})",
            [next_id(writer), *(getattr(row, name) for name in _FIELDS)],
        )
    by_change: dict[tuple[str, ...], list[Subscribed]] = {}
    for key, row in after.items():
        if key in before and row != before[key]:
            changed = tuple(name for name in _FIELDS if getattr(row, name) != getattr(before[key], name))
            by_change.setdefault(changed, []).append(row)
    for names, rows in by_change.items():
        _update(writer, names, rows)
    return after


def _update(writer: duckdb.DuckDBPyConnection, names: tuple[str, ...], rows: list[Subscribed]) -> None:
    """Give these fields of the rows their values."""
    fields = ("view", "parameters", *names)
    given = ", ".join(f"unnest(${at}::{_TYPES[name]}[]) AS new_{name}" for at, name in enumerate(fields, 1))
    writer.execute(
        f"UPDATE flashql.subscriptions SET {', '.join(f'{name} = new_{name}' for name in names)} "
        f"FROM (SELECT {given}) WHERE view = new_view AND parameters = new_parameters",
        [[getattr(row, name) for row in rows] for name in fields],
    )


def delete_subscriptions(writer: duckdb.DuckDBPyConnection, view: str) -> None:
    """Forget those of a view."""
    writer.execute("DELETE FROM flashql.subscriptions WHERE view = ?", [view])


def set_progress(
    writer: duckdb.DuckDBPyConnection, view: str, sets: list[str], done: Sequence[int | None] | None
) -> None:
    """How many rows of these sets are read, of how many, and bytes, all together; None: they are not being read."""
    values = ", ".join(f"'{name}': ${at}::BIGINT" for at, name in enumerate(_DONE, 3))
    shown = "NULL" if done is None else f"{{{values}}}"
    writer.execute(
        f"UPDATE flashql.subscriptions SET progress = {shown} WHERE view = $1 "
        "AND parameters IN (SELECT unnest($2::VARCHAR[]))",
        [view, sets, *(done or ())],
    )


def progress_of(store: Store, key: Key) -> tuple[int, int | None, int, int | None] | None:
    """The same of the sets that are read together with this one; None when it is not being read."""
    rows = store.rows(
        f"SELECT {', '.join(f'progress.{name}' for name in _DONE)} FROM flashql.subscriptions "
        "WHERE view = ? AND parameters = ?",
        list(key),
    )
    return (rows[0][0], rows[0][1], rows[0][2], rows[0][3]) if rows and rows[0][0] is not None else None
