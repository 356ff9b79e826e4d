"""Slot and publication: create, inspect, drop. One of each per (database file, origin).

Both bear the same name, made from the file's id and the origin's name, so that a DBA sees whose they are and
FlashQL finds its own again. The publication always exists before the slot: a change decoded before its
publication was created fails the stream for good (SQLSTATE 42704).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from flashql import errors
from flashql.lsn import LSN
from flashql.origins.base import Publication, Server, SlotState, Snapshot
from flashql.origins.postgres.client import PostgresClient
from flashql.origins.postgres.replication import ReplicationConnection, Waiting
from flashql.quoting import literal, qualified, quote
from flashql.resources import sql_text
from flashql.store.owner import Owner, read_comment

# Slot creation waits for every transaction that was writing when it began, so it has a limit.
CREATE_TIMEOUT_SECONDS = 120.0
LOCK_TIMEOUT_SECONDS = 5
_ORIGIN_NAME_BYTES = 28  # leaves room for prefix, hash and the suffix of temporary slots, or a seal, within 63
_PREFIX_BYTES = 52  # of a slot's name that its temporary slots share (see copying.py)


def slot_name(database_id: str, origin: str) -> str:
    """The name of slot and publication: lower-case letters, digits and _ only, at most 63 bytes.

    A name that is not the origin's own, letter for letter, ends with a hash of it, so that no two are alike.

    >>> slot_name("0123456789ab", "primary"), slot_name("0123456789ab", "Primary-DB")
    ('flashql_0123456789ab_primary', 'flashql_0123456789ab_primary_db_6955')
    """
    plain = re.sub("[^a-z0-9]+", "_", origin.lower())[:_ORIGIN_NAME_BYTES]
    suffix = "" if plain == origin else "_" + hashlib.sha256(origin.encode()).hexdigest()[:4]
    return f"flashql_{database_id}_{plain}{suffix}"


def application_name(slot: str, seal: str) -> str:
    """What walsenders of a slot are called: the seal tells whose they are (see store/owner.py). At most 63 bytes."""
    return f"{slot}/{seal}"


def identify(connection: ReplicationConnection) -> Server:
    """Who answers: IDENTIFY_SYSTEM, and the history of its timeline."""
    system, timeline, *_ = connection.row("IDENTIFY_SYSTEM")
    if re.fullmatch("[0-9]{1,10}", timeline) is None:
        raise errors.ProtocolError(f"origin {connection.origin}: {timeline!r} is not a timeline")
    # A server on its first timeline has no history file.
    history = connection.row(f"TIMELINE_HISTORY {timeline}", fields=2)[-1] if int(timeline) > 1 else ""
    return Server(system, int(timeline), timelines_left(history))


def timelines_left(history: str) -> dict[int, LSN]:
    r"""Where each older timeline was left, from a timeline history file.

    Its lines are "number, position, reason" (documentation: "Continuous Archiving", Timelines; timeline.c).

    >>> timelines_left("1\t0/3000148\tno recovery target specified\n\n2\t0/5000000\tbefore x\n")
    {1: LSN('0/3000148'), 2: LSN('0/5000000')}
    """
    lines = re.findall(r"^\s*([0-9]{1,10})\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})\b", history, re.MULTILINE)
    return {int(number): LSN.parse(position) for number, position in lines}


def find(client: PostgresClient, name: str) -> SlotState | None:
    """The slot of that name in this origin's database, None when there is none."""
    rows = client.query(sql_text("origin/slot.sql"), [name])
    if not rows:
        return None
    pid, confirmed, retained, safe, end, invalidated, reason, foreign, keep_size, idle_timeout = rows[0]
    lost = None
    if invalidated:
        lost = _why_invalidated(reason, keep_size, idle_timeout)
    elif foreign:
        lost = "another slot was made under its name"
    return SlotState(name, pid, LSN.parse(confirmed), lost, max(0, retained), safe, LSN.parse(end))


def _why_invalidated(reason: str | None, keep_size: str, idle_timeout: str | None) -> str:
    """What took the slot, with the setting that did and its value (documentation: "pg_replication_slots")."""
    limit = f"max_slot_wal_keep_size ({keep_size})"
    match reason:
        case "idle_timeout":
            return f"nobody read it for longer than idle_replication_slot_timeout ({idle_timeout})"
        case "wal_level_insufficient":
            return "wal_level was not 'logical' for a while"
        case "rows_removed":
            return "the origin removed catalog rows that it needs"
        case "wal_removed":
            return f"it held back more WAL than {limit} allows"
        case _:
            return f"the origin invalidated it, most likely since it held back more WAL than {limit} allows"


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
    if version >= 17 and not temporary:
        export = "(SNAPSHOT 'export', FAILOVER)"  # of no effect unless a standby asks for such slots
    else:
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


def waits(client: PostgresClient, name: str) -> str | None:
    """Who keeps a slot of ours from being made, the temporary ones of copies included; None when nobody does.

    CREATE_REPLICATION_SLOT waits for each transaction that was writing when it began, on that transaction's lock.
    """
    rows = client.query(
        "SELECT DISTINCT CASE WHEN p.gid IS NULL "
        "THEN format('pid %%s (%%s %%s, open for %%s)', b.pid, b.usename, b.application_name, now() - b.xact_start) "
        "ELSE format('prepared transaction %%L (%%s)', p.gid, now() - p.prepared) END "
        "FROM pg_catalog.pg_stat_activity AS w "
        "JOIN pg_catalog.pg_locks AS l ON l.pid = w.pid AND l.locktype = 'transactionid' AND NOT l.granted "
        "LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction = l.transactionid "
        "LEFT JOIN pg_catalog.pg_locks AS h "
        "ON h.locktype = 'transactionid' AND h.transactionid = l.transactionid AND h.granted "
        "LEFT JOIN pg_catalog.pg_stat_activity AS b ON b.pid = h.pid "
        "WHERE w.backend_type = 'walsender' AND starts_with(w.application_name, %s)",
        [name[:_PREFIX_BYTES]],
    )
    return f"Waits for a transaction that is open at the origin: {'; '.join(one for (one,) in rows)}" if rows else None


def drop(client: PostgresClient, name: str, seal: str) -> None:
    """Drop slot and publication of that name, whichever exists. A stale walsender of ours is ended first.

    Raises `OriginBusy` when somebody else reads the slot; nothing is dropped then.
    """
    release(client, name, seal)
    client.query(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots "
        "WHERE slot_name = %s AND database = current_database()",
        [name],
    )
    _publishing(client, f"DROP PUBLICATION IF EXISTS {quote(name)}")


def release(client: PostgresClient, name: str, seal: str) -> None:
    """End the walsender that holds the slot, if it bears our seal: then whoever it served is gone.

    Waits up to 10 s for it to let go. Raises `OriginBusy`, naming the consumer, when it is somebody else's (another
    copy of this file, most likely) or does not end.
    """
    client.query(
        "SELECT pg_terminate_backend(s.active_pid, 10000) "
        "FROM pg_catalog.pg_replication_slots AS s JOIN pg_catalog.pg_stat_activity AS a ON a.pid = s.active_pid "
        "WHERE s.slot_name = %s AND s.database = current_database() AND a.application_name = %s",
        [name, application_name(name, seal)],
    )
    readers = client.query(
        "SELECT s.active_pid, coalesce(a.usename, '?'), coalesce(a.application_name, ''), "
        "coalesce(host(a.client_addr), 'the origin''s own machine') "
        "FROM pg_catalog.pg_replication_slots AS s LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = s.active_pid "
        "WHERE s.slot_name = %s AND s.database = current_database() AND s.active_pid IS NOT NULL",
        [name],
    )
    if readers:
        pid, user, program, address = readers[0]
        owner = read_comment(comment(client, name))
        raise errors.OriginBusy(
            f"slot {name} at origin {client.name} is in use by process {pid} ({user} {program}, from {address})"
            + (f"; it belongs to {owner}" if owner else ""),
            hint="A slot has one consumer. If that is a copy of this database file, let only one of the two sync. "
            "If it is a connection left behind on another machine, the origin ends it after its wal_sender_timeout.",
        )


# -- publication


def published(client: PostgresClient, name: str) -> Publication | None:
    """The publication of that name, None when there is none.

    Anybody with the right may have altered it: a table with a row filter or a column list is not among its tables, none
    is when its options are not FlashQL's or it sends what FlashQL did not list (documentation: CREATE PUBLICATION).
    """
    return _publication(_publication_rows(client, name))


def _publication_rows(client: PostgresClient, name: str) -> list[tuple[Any, ...]]:
    return client.query(sql_text("origin/publication.sql"), [name])


def _publication(rows: Sequence[tuple[Any, ...]]) -> Publication | None:
    whole = {(schema, table): version for schema, table, is_intact, _, version in rows if table and is_intact}
    return Publication(rows[0][3], whole) if rows else None


def publish(client: PostgresClient, name: str, tables: Iterable[tuple[str, str]], owner: Owner) -> Publication:
    """Make the publication hold exactly these tables and name its owner; one that is missing or altered is made anew.

    At no moment of the origin's history is there none where there was one: a stream needs it at every change. Returns
    what it is then, as somebody may alter it at once.
    """
    wanted = set(tables)
    signature = f"COMMENT ON PUBLICATION {quote(name)} IS {literal(owner.comment())}"
    rows = _publication_rows(client, name)
    if not rows or not all(is_intact for _, _, is_intact, *_ in rows):
        removal = [f"DROP PUBLICATION {quote(name)}"] if rows else []
        _publishing(client, *removal, _creation(name, sorted(wanted), client.version), signature)
        return published(client, name) or Publication("", {})
    present = {(schema, table) for schema, table, *_ in rows if table}
    added, dropped = sorted(wanted - present), sorted(present - wanted)
    if added:
        _publishing(client, f"ALTER PUBLICATION {quote(name)} ADD TABLE {_names(added)}")
    if dropped:
        _publishing(client, f"ALTER PUBLICATION {quote(name)} DROP TABLE {_names(dropped)}")
    if read_comment(comment(client, name)) != owner:
        with suppress(errors.OriginUnfit):  # another role made it for us: it does without
            _publishing(client, signature)
    changed = _publication_rows(client, name) if added or dropped else rows
    return _publication(changed) or Publication("", {})


def _creation(name: str, tables: Sequence[tuple[str, str]], version: int) -> str:
    target = f" FOR TABLE {_names(tables)}" if tables else ""
    options = "publish_via_partition_root = true"
    if version >= 18:
        options += ", publish_generated_columns = stored"
    return f"CREATE PUBLICATION {quote(name)}{target} WITH ({options})"


def comment(client: PostgresClient, name: str) -> str | None:
    """The publication's comment; None when it has none, or there is no such publication."""
    rows = client.query(
        "SELECT obj_description(oid, 'pg_publication') FROM pg_catalog.pg_publication WHERE pubname = %s", [name]
    )
    return rows[0][0] if rows else None


def _publishing(client: PostgresClient, *statements: str) -> None:
    """Run them as one, but do not queue for long behind a lock (VACUUM, CREATE INDEX): writers would queue behind.

    Raises `OriginUnfit` when the publication belongs to a role that ours is not a member of.
    """
    try:
        with client.connection() as connection, connection.transaction():
            # A role's default_transaction_read_only guards what users run, not this.
            connection.execute(b"SET TRANSACTION READ WRITE")
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'".encode())
            for statement in statements:
                connection.execute(statement.encode())
    except errors.OriginRefused as error:
        whole = statements if len(statements) == 1 else ("BEGIN", *statements, "COMMIT")
        hint = f"Run at the origin, as a role that may: {'; '.join(whole)};"
        raise errors.OriginUnfit(error.message, hint=hint) from error


def _names(tables: Sequence[tuple[str, str]]) -> str:
    return ", ".join(qualified(schema, table) for schema, table in tables)


def drop_sql(name: str) -> str:
    """DROP_REPLICATION_SLOT, for the connection that the slot belongs to."""
    return f"DROP_REPLICATION_SLOT {quote(name)}"


def start_sql(name: str, start: LSN, *, binary: bool) -> str:
    """START_REPLICATION for the slot, from `start` on: pgoutput, large transactions sent in progress.

    That is protocol 2 (Postgres 14). A prepared transaction comes when it is committed, as `two_phase` is off.
    """
    options = f"proto_version '2', streaming 'on', publication_names {literal(quote(name))}"
    if binary:
        options += ", binary 'true'"
    return f"START_REPLICATION SLOT {quote(name)} LOGICAL {start} ({options})"
