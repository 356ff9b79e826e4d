"""A Postgres origin as the rest of FlashQL sees it: the parts of this folder behind one object."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, suppress

import psycopg

from flashql import errors
from flashql.catalog import Column, Table
from flashql.lsn import LSN
from flashql.origins.base import Count, Publication, Server, Size, SlotState, Snapshot
from flashql.origins.postgres import preflight, slot, snapshot
from flashql.origins.postgres.client import PostgresClient
from flashql.origins.postgres.collating import Collations
from flashql.origins.postgres.connecting import DsnSource
from flashql.origins.postgres.replication import ReplicationConnection, Waiting
from flashql.origins.postgres.stream import Stream, status_interval_seconds
from flashql.origins.postgres.zoning import Zones
from flashql.planner.collations import Cases
from flashql.planner.zones import Zone
from flashql.retrying import RetryPolicy
from flashql.store.owner import Owner

# How long to wait for a temporary slot to be dropped: it ends with its connection in any case.
_DROP_SECONDS = 2.0

_USUAL = RetryPolicy()


class HeldSlot:
    """A slot just made on a connection of its own, with the snapshot of its consistent point.

    `temporary` is the slot's name when it lives only as long as the connection.
    """

    def __init__(self, connection: ReplicationConnection, snapshot: Snapshot, temporary: str | None = None) -> None:
        self.connection = connection
        self.snapshot = snapshot
        self._temporary = temporary

    @property
    def alive(self) -> bool:
        """Whether the snapshot can still be used."""
        return self.connection.alive

    def close(self) -> None:
        """Let the snapshot go; a temporary slot goes with it, at once if the origin answers."""
        if self._temporary is not None:
            with suppress(errors.FlashQLError, psycopg.Error):
                self.connection.command(slot.drop_sql(self._temporary), timeout_seconds=_DROP_SECONDS)
        self.connection.close()


class PostgresOrigin:
    """One Postgres database that views read. Connects when first needed; safe for use by several threads.

    `dsn` is a connection string, or a function that returns one and is asked at each new connection. `retry` is how
    failures of syncing from it are tried again.
    """

    def __init__(self, name: str, dsn: str | DsnSource, *, retry: RetryPolicy = _USUAL) -> None:
        if not (isinstance(dsn, str) or callable(dsn)):
            raise errors.DefinitionError("an origin is a DSN, an Origin object, or a function that returns either")
        self.name = name
        self.retry = retry
        self.client = PostgresClient(name, (lambda: dsn) if isinstance(dsn, str) else dsn)
        self._collations = Collations(self.client)
        self._zones = Zones(self.client)

    def describe(self, query: str) -> tuple[Column, ...]:
        """The columns a query returns; nothing is run."""
        return self.client.describe(query)

    def table(self, schema: str | None, name: str) -> Table:
        """The table of that name. Raises `UnknownName`."""
        return self.client.table(schema, name)

    def default_collation(self) -> str:
        """The name of the database's own collation."""
        return str(self._collations.default())

    def cases(self, function: str, collation: str) -> Cases | None:
        """What 'lower' or 'upper' does to text of a collation; None where it is more than character by character."""
        return self._collations.cases(function, collation)

    def zone(self, name: str) -> Zone | None:
        """When the time zone is how far from UTC; None of what depends on a session, or has no such table."""
        found: Zone | None = self._zones.named(name)
        return found

    def require_followable(self, table: Table) -> None:
        """Raise what keeps the table from feeding a realtime view."""
        preflight.require_followable(self.client, table)

    def require_apart(self, table: Table, followed: Collection[tuple[str, str]]) -> None:
        """Raise `NotSupported` when the table is a partition of one that is followed too."""
        preflight.require_apart(self.client, table, followed)

    def require_no_partition_of(self, table: Table, followed: Collection[tuple[str, str]]) -> None:
        """Raise `NotSupported` when a table that is followed is a partition of this one."""
        preflight.require_no_partition_of(self.client, table, followed)

    def current_lsn(self) -> LSN:
        """The end of the last record in the origin's WAL, once that is flushed: a stream sends nothing before.

        The last record may wait long for its flush (asynchronous commits, cleaning up during a read), and a commit
        that someone already sees may be before it. The message is for nobody; its transaction's commit flushes.
        """
        query = "SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()"
        ((position, is_flushed),) = self.client.query(query)
        if not is_flushed:
            self.client.execute(
                "SELECT set_config('synchronous_commit', 'local', true), pg_logical_emit_message(true, 'flashql', '')"
            )
        return LSN.parse(position).end_of_last_record()

    def heartbeat(self) -> None:
        """Write something to the WAL that belongs to this database, and is for nobody."""
        self.client.query("SELECT pg_logical_emit_message(false, 'flashql', '')")

    # -- following

    def replication(self, application_name: str) -> ReplicationConnection:
        """A walsender connection."""
        target = self.client.conninfo(application_name, replication="database")
        return ReplicationConnection(self.name, target)

    def identity(self, application_name: str) -> Server:
        """Who answers, and which history its WAL has."""
        connection = self.replication(application_name)
        try:
            return slot.identify(connection)
        finally:
            connection.close()

    def published(self, name: str) -> Publication | None:
        """The publication of that name, None when there is none."""
        return slot.published(self.client, name)

    def publish(self, name: str, tables: Iterable[tuple[str, str]], owner: Owner) -> Publication:
        """Make the publication hold exactly these tables, and name its owner; what it is then."""
        return slot.publish(self.client, name, tables, owner)

    def slot_state(self, name: str) -> SlotState | None:
        """The slot of that name, None when there is none."""
        return slot.find(self.client, name)

    def slot_state_apart(self, name: str) -> SlotState | None:
        """The same over a connection of its own, which leaves nothing behind: for whoever may not wait for it."""
        client = PostgresClient(self.name, lambda: self.client.conninfo(connect_timeout="2"))
        try:
            return slot.find(client, name)
        finally:
            client.close()

    def slot_waits(self, name: str) -> str | None:
        """Who keeps the slot, or one of its temporary ones, from being made; None when nobody does."""
        return slot.waits(self.client, name)

    def create_slot(
        self, name: str, *, temporary: bool, waiting: Waiting | None = None, seal: str | None = None
    ) -> HeldSlot:
        """Make a slot and hold the snapshot of its start. `waiting` is called meanwhile; what it raises ends it."""
        connection = self.replication(slot.application_name(name, seal) if seal else name)
        try:
            return HeldSlot(
                connection,
                slot.create(
                    connection,
                    name,
                    self.client.version,
                    temporary=temporary,
                    client=self.client,
                    waiting=waiting,
                ),
                name if temporary else None,
            )
        except BaseException:
            connection.close()
            raise

    def follow(self, name: str, start: LSN, seal: str, *, binary: bool, held: HeldSlot | None = None) -> Stream:
        """Stream the slot's changes from `start` on; `held` when the slot is temporary and lives there.

        Values come in the binary form of their types, or as text.

        The seal is that of this database (see store/owner.py): no other one's stream is ever ended for it.
        """
        connection = held.connection if held is not None else self.replication(slot.application_name(name, seal))
        try:
            ((timeout,),) = self.client.query(
                "SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'"
            )
            return Stream.start(
                connection, slot.start_sql(name, start, binary=binary), status_interval_seconds(timeout)
            )
        except errors.OriginBusy:
            connection.close()
            slot.release(self.client, name, seal)
            raise
        except BaseException:
            connection.close()
            raise

    def release(self, name: str, seal: str) -> None:
        """End a stale stream of ours that holds the slot. Raises `OriginBusy` when it is somebody else's."""
        slot.release(self.client, name, seal)

    def drop(self, name: str, seal: str) -> None:
        """Drop slot and publication of that name, whichever exists. Raises `OriginBusy` when somebody reads it."""
        slot.drop(self.client, name, seal)

    def sources(
        self,
        held: Snapshot,
        table: Table,
        columns: Sequence[Column],
        count: Count,
        condition: str | None = None,
    ) -> AbstractContextManager[list[snapshot.Source]]:
        """Sources of all rows of the table in the snapshot, or of those that meet the condition."""
        return snapshot.sources(self.client, held, table, columns, count, condition)

    def expected(self, table: Table, columns: Sequence[Column], condition: str | None = None) -> Size:
        """How much reading these columns of all rows, or of some, will bring, as the planner estimates it."""
        where = "" if condition is None else f" WHERE {condition}"
        return self.client.expected(snapshot.rows_sql(table, columns) + where)

    def close(self) -> None:
        """Close every connection."""
        self.client.close()
