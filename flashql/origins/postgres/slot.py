"""Slot and publication: create, inspect, drop. One of each per (database file, origin).

Both bear the same name, made from the file's id and the origin's name, so that a DBA sees whose they are and
FlashQL finds its own again. The publication always exists before the slot: a change decoded before its
publication was created fails the stream for good (SQLSTATE 42704).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from flashql import errors
from flashql.lsn import LSN
from flashql.origins.base import SlotState, Snapshot
from flashql.origins.postgres.client import PostgresClient
from flashql.origins.postgres.replication import ReplicationConnection, Waiting
from flashql.quoting import literal, qualified, quote

# Slot creation waits for every transaction that was writing when it began, so it has a limit.
CREATE_TIMEOUT_SECONDS = 120.0
LOCK_TIMEOUT_SECONDS = 5
_ORIGIN_NAME_BYTES = 28  # leaves room for prefix, hash and the suffix of temporary slots within 63


def slot_name(database_id: str, origin: str) -> str:
    """The name of slot and publication: lower-case letters, digits and _ only, at most 63 bytes.

    A name that is not the origin's own, letter for letter, ends with a hash of it, so that no two are alike.

    >>> slot_name("0123456789ab", "primary"), slot_name("0123456789ab", "Primary-DB")
    ('flashql_0123456789ab_primary', 'flashql_0123456789ab_primary_db_6955')
    """
    plain = re.sub("[^a-z0-9]+", "_", origin.lower())[:_ORIGIN_NAME_BYTES]
    suffix = "" if plain == origin else "_" + hashlib.sha256(origin.encode()).hexdigest()[:4]
    return f"flashql_{database_id}_{plain}{suffix}"


def identify(connection: ReplicationConnection) -> tuple[str, int]:
    """The origin's system identifier and timeline (IDENTIFY_SYSTEM)."""
    system, timeline, *_ = connection.row("IDENTIFY_SYSTEM")
    if re.fullmatch("[0-9]{1,10}", timeline) is None:
        raise errors.ProtocolError(f"origin {connection.origin}: {timeline!r} is not a timeline")
    return system, int(timeline)


def find(client: PostgresClient, name: str) -> SlotState | None:
    """The slot of that name in this origin's database, None when there is none."""
    rows = client.query(
        "SELECT active_pid, coalesce(confirmed_flush_lsn, '0/0')::text, coalesce(wal_status = 'lost', false), "
        "coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::int8 "
        "FROM pg_catalog.pg_replication_slots WHERE slot_name = %s AND database = current_database()",
        [name],
    )
    if not rows:
        return None
    pid, confirmed, lost, retained = rows[0]
    return SlotState(name, pid, LSN.parse(confirmed), lost, retained)


def create(
    connection: ReplicationConnection,
    name: str,
    version: int,
    *,
    temporary: bool,
    client: PostgresClient,
    waiting: Waiting | None = None,
) -> Snapshot:
    """Create a slot and export the snapshot of its consistent point; valid until `connection` is used again.

    Raises `OriginBusy` naming who blocks it when older writing transactions do not end in time, `OriginUnfit`
    when no slot is free or wal_level is too low.
    """
    export = "(SNAPSHOT 'export')" if version >= 15 else "EXPORT_SNAPSHOT"
    kind = "TEMPORARY LOGICAL" if temporary else "LOGICAL"
    try:
        row = connection.row(
            f"CREATE_REPLICATION_SLOT {quote(name)} {kind} pgoutput {export}",
            timeout_seconds=CREATE_TIMEOUT_SECONDS,
            waiting=waiting,
        )
    except errors.OriginBusy as error:
        raise errors.OriginBusy(error.message, hint=_blockers(client)) from error
    except errors.OriginError as error:
        if "wal_level" in error.message:
            raise wal_level_error(client.name) from error
        raise
    return Snapshot(row[2], LSN.parse(row[1]))


def wal_level_error(origin: str) -> errors.OriginUnfit:
    """The error for an origin that does not write what logical replication needs."""
    return errors.OriginUnfit(
        f"origin {origin} does not write logical changes to its WAL (wal_level)",
        hint="Run there: ALTER SYSTEM SET wal_level = 'logical';  then restart the server.",
    )


def _blockers(client: PostgresClient) -> str:
    rows = client.query(
        "SELECT format('pid %s (%s %s, open for %s)', pid, usename, application_name, now() - xact_start), xact_start "
        "FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() "
        "UNION ALL SELECT format('prepared transaction %L (%s)', gid, now() - prepared), prepared "
        "FROM pg_catalog.pg_prepared_xacts ORDER BY 2 LIMIT 5"
    )
    if not rows:
        return "The slot waits for writing transactions that were open when it was begun."
    shown = "; ".join(one for one, _ in rows)
    return f"The slot waits for open writing transactions to end: {shown}."


def drop(client: PostgresClient, name: str) -> None:
    """Drop slot and publication of that name, whichever exists. A walsender still on the slot is ended first."""
    release(client, name)
    client.query(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots "
        "WHERE slot_name = %s AND database = current_database()",
        [name],
    )
    _publishing(client, f"DROP PUBLICATION IF EXISTS {quote(name)}")


def release(client: PostgresClient, name: str) -> None:
    """End the walsender that holds our slot: this process holds the database file's lock, so it is a stale one.

    Waits up to 10 s for it to let go. Raises `OriginBusy` when it is somebody else's or does not end.
    """
    client.query(
        "SELECT pg_terminate_backend(s.active_pid, 10000) "
        "FROM pg_catalog.pg_replication_slots AS s JOIN pg_catalog.pg_stat_activity AS a ON a.pid = s.active_pid "
        "WHERE s.slot_name = %s AND a.application_name = %s",
        [name, name],
    )
    slot = find(client, name)
    if slot is not None and slot.active_pid is not None:
        raise errors.OriginBusy(
            f"slot {name} at origin {client.name} is in use by process {slot.active_pid}",
            hint="Another consumer reads it. Two consumers on one slot would share the changes between them; "
            "end the other one.",
        )


# -- publication


def published(client: PostgresClient, name: str) -> set[tuple[str, str]] | None:
    """The (schema, table) names the publication was made for; None when there is no such publication."""
    rows = client.query(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_publication AS p "
        "LEFT JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid "
        "LEFT JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid "
        "LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE p.pubname = %s",
        [name],
    )
    return {(schema, table) for schema, table in rows if table is not None} if rows else None


def publish(client: PostgresClient, name: str, tables: Iterable[tuple[str, str]]) -> None:
    """Make the publication hold exactly these tables, creating it when it does not exist."""
    wanted = set(tables)
    present = published(client, name)
    if present is None:
        target = f" FOR TABLE {_names(sorted(wanted))}" if wanted else ""
        options = "publish_via_partition_root = true"
        if client.version >= 18:
            options += ", publish_generated_columns = stored"
        _publishing(client, f"CREATE PUBLICATION {quote(name)}{target} WITH ({options})")
        return
    added, dropped = sorted(wanted - present), sorted(present - wanted)
    if added:
        _publishing(client, f"ALTER PUBLICATION {quote(name)} ADD TABLE {_names(added)}")
    if dropped:
        _publishing(client, f"ALTER PUBLICATION {quote(name)} DROP TABLE {_names(dropped)}")


def _publishing(client: PostgresClient, statement: str) -> None:
    """Run it, but do not queue for long behind a lock (VACUUM, CREATE INDEX): writers would queue behind us.

    Raises `OriginUnfit` when the publication belongs to a role that ours is not a member of.
    """
    try:
        with client.connection() as connection, connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'".encode())
            connection.execute(statement.encode())
    except errors.OriginRefused as error:
        hint = f"Run at the origin, as a role that may: {statement};"
        raise errors.OriginUnfit(error.message, hint=hint) from error


def _names(tables: Sequence[tuple[str, str]]) -> str:
    return ", ".join(qualified(schema, table) for schema, table in tables)


def drop_sql(name: str) -> str:
    """DROP_REPLICATION_SLOT, for the connection that the slot belongs to."""
    return f"DROP_REPLICATION_SLOT {quote(name)}"


def start_sql(name: str, start: LSN) -> str:
    """START_REPLICATION for the slot, from `start` on: pgoutput in text, large transactions sent in progress.

    That is protocol 2 (Postgres 14). A prepared transaction comes when it is committed, as `two_phase` is off.
    """
    options = f"proto_version '2', streaming 'on', publication_names {literal(quote(name))}"
    return f"START_REPLICATION SLOT {quote(name)} LOGICAL {start} ({options})"
