"""The model server behind FlashQL's origin: what the session, the copying and the stream call, answered in memory.

Calls that would wait in reality (for frames, for a snapshot's rows) wait at a gate, until the schedule says what
comes. `Conductor` says what a call may meet on its way: a cut, a crash, or something that happens at the server.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa

from flashql import errors
from flashql.catalog import Column, Shape, Table
from flashql.datatypes import PgType
from flashql.lsn import LSN
from flashql.origins import base
from flashql.origins.base import UNKNOWN_SIZE, Count, Received, Size, SlotState, Snapshot
from flashql.origins.postgres import PostgresOrigin
from flashql.origins.postgres.origin import HeldSlot
from flashql.origins.postgres.stream import Stream
from flashql.retrying import RetryPolicy
from flashql.store.owner import Owner
from tests.simulation.server import OIDS, ModelColumn, ModelPublication, ModelTable, Sender, Server, Slot

QUERY = re.compile(r"SELECT (.+) FROM (\w+)(?: WHERE (\w+) (IS NULL|IS NOT NULL|> \d+))?$")
_NATIVE: dict[str, tuple[pa.DataType, Callable[[str], object]]] = {
    "int": (pa.int32(), int),
    "bigint": (pa.int64(), int),
    "text": (pa.string(), str),
    "boolean": (pa.bool_(), lambda text: text == "t"),
    "numeric": (pa.string(), str),
}


class Conductor(Protocol):
    """What the origin asks of the simulation."""

    server: Server
    sends_empty: bool
    stream_after: int | None

    def called(self, what: str) -> None:
        """A call of the origin begins; raises `OriginUnreachable` when the network, or the caller, is gone."""

    def gate(self, role: str) -> None:
        """Wait for the schedule."""


def pg_type(kind: str) -> PgType:
    """The type as the origin's catalog gives it."""
    return PgType(*OIDS[kind], kind)


def _column(column: ModelColumn, key: Iterable[ModelColumn]) -> Column:
    return Column(column.name, pg_type(column.kind), not_null=column in key, declared=OIDS[column.kind])


class SimulatedHeldSlot(HeldSlot):
    """A slot's snapshot; a temporary slot ends with it."""

    def __init__(self, server: Server, lsn: int, temporary: str | None) -> None:
        self.snapshot = Snapshot(str(lsn), LSN(lsn))
        self._server = server
        self._temporary = temporary

    @property
    def alive(self) -> bool:
        """It is, until it is closed."""
        return True

    def close(self) -> None:
        """Let it go."""
        if self._temporary is not None:
            self._server.slots.pop(self._temporary, None)


class SimulatedStream(Stream):
    """What `Stream` is to a session; the schedule hands out what it takes."""

    def __init__(self, conductor: Conductor, slot: str, start: int, *, binary: bool) -> None:
        self.sender = Sender(
            conductor.server,
            slot,
            start,
            sends_empty=conductor.sends_empty,
            stream_after=conductor.stream_after,
            binary=binary,
        )
        self.slot = slot
        self.wants_position = self.is_interrupted = self.is_closed = False
        self.error: errors.FlashQLError | None = None
        self.next: Received | None = None
        self.on_confirm: Callable[[int], None] = lambda _lsn: None
        self._conductor = conductor

    def take(self, timeout_seconds: float, enough_bytes: int = 0) -> Received:
        """What the schedule gives."""
        self.is_interrupted = False
        if self.error is None:
            self._conductor.gate("worker")
        if self.error is not None:
            raise self.error
        received, self.next = self.next, None
        return received or Received([], None, LSN(self._conductor.server.lsn))

    @property
    def heard(self) -> tuple[LSN, float]:
        """Everything, just now."""
        return LSN(self._conductor.server.lsn), time.monotonic()

    def confirm(self, lsn: LSN) -> None:
        """The slot may forget what is before."""
        self.on_confirm(lsn)

    def ask_position(self) -> None:
        """Note that a keepalive is wanted."""
        self.wants_position = True

    def interrupt(self) -> None:
        """Make the next look at the stream return."""
        self.is_interrupted = True

    def close(self) -> None:
        """End."""
        self.is_closed = True


class _NoSQL:
    """The model answers no SQL: what compares rows by it is told so, and falls back."""

    name = "primary"

    @contextmanager
    def in_snapshot(self, _name: str) -> Iterator[Any]:
        raise errors.QueryFailed("the model of an origin runs no SQL")

    def close(self) -> None:
        """Nothing is open."""


class SimulatedOrigin(PostgresOrigin):
    """The origin of one process; the next process has another, at the same server."""

    def __init__(self, conductor: Conductor) -> None:
        self.name = "primary"
        self.retry = RetryPolicy(base_seconds=0)
        self.client: Any = _NoSQL()
        self.streams: list[SimulatedStream] = []
        self.on_confirm: Callable[[str, int], None] = lambda _slot, _lsn: None
        self._conductor = conductor

    @property
    def _server(self) -> Server:
        return self._conductor.server

    def describe(self, query: str) -> tuple[Column, ...]:
        """The columns of `SELECT ... FROM table [WHERE ...]`."""
        self._conductor.called("describe")
        match = QUERY.match(query)
        assert match is not None, query
        table = self.table(None, match[2])
        if match[1] == "*":
            return table.columns
        return tuple(table.column(name.strip()) for name in match[1].split(","))

    def table(self, schema: str | None, name: str) -> Table:
        """The table as the catalog has it now."""
        self._conductor.called("table")
        model = self._server.state.get(name)
        if model is None:
            raise errors.UnknownName(f"table {name} does not exist at origin {self.name}")
        columns = tuple(_column(column, model.key) for column in model.columns)
        key = tuple(column.name for column in model.key)
        shape = Shape(model.file, tuple((column.name, column.number, str(column.version)) for column in model.columns))
        return Table(model.oid, "public", name, columns, key, model.letter, shape=shape)

    def default_collation(self) -> str:
        """Text is compared by bytes."""
        return "C"

    def require_followable(self, table: Table) -> None:
        """Every table of the model has an identity."""
        self._conductor.called("require_followable")

    def require_apart(self, table: Table, followed: Collection[tuple[str, str]]) -> None:
        """No table of the model has partitions."""
        self._conductor.called("require_apart")

    def require_no_partition_of(self, table: Table, followed: Collection[tuple[str, str]]) -> None:
        """There are no partitions."""

    def current_lsn(self) -> LSN:
        """The end of the WAL."""
        self._conductor.called("current_lsn")
        return LSN(self._server.lsn)

    def identity(self, application_name: str) -> base.Server:
        """System identifier and timelines."""
        self._conductor.called("identity")
        left = {number: LSN(lsn) for number, lsn in self._server.left.items()}
        return base.Server(str(self._server.system), self._server.timeline, left)

    def published(self, name: str) -> base.Publication | None:
        """The publication."""
        self._conductor.called("published")
        there = self._server.publications.get(name)
        return None if there is None else self._seen(there)

    def publish(self, name: str, tables: Iterable[tuple[str, str]], owner: Owner) -> base.Publication:
        """Make it hold exactly these."""
        self._conductor.called("publish")
        wanted = [self._server.state.get(table) for _, table in tables]
        if None in wanted:
            raise errors.UnknownName("a relation to publish does not exist")
        return self._seen(self._server.publish(name, [table.oid for table in wanted if table is not None]))

    def _seen(self, there: ModelPublication) -> base.Publication:
        tables = {("public", one.name): str(there.tables.get(one.oid)) for one in self._server.state.values()}
        return base.Publication(str(there.identity), {at: since for at, since in tables.items() if since != "None"})

    def slot_state(self, name: str) -> SlotState | None:
        """The slot, if there is one."""
        self._conductor.called("slot_state")
        slot = self._server.slots.get(name)
        if slot is None:
            return None
        lost = "it was invalidated" if slot.lost else None
        return SlotState(name, None, LSN(slot.confirmed), lost, 0, None, LSN(self._server.lsn))

    def slot_state_apart(self, name: str) -> None:
        """Nothing: it does not answer whoever only asks how a slot is."""

    def release(self, name: str, seal: str) -> None:
        """Nobody else reads it."""

    def create_slot(self, name: str, *, temporary: bool, waiting: Any = None, seal: str | None = None) -> HeldSlot:
        """Wait twice for the transactions under way (snapbuild.c: FULL_SNAPSHOT, then CONSISTENT)."""
        self._conductor.called("create_slot")
        role = "copy" if threading.current_thread().name.startswith("flashql-copy") else "worker"
        if role == "copy":
            self._conductor.gate(role)
        for _ in range(2):
            older = list(self._server.transactions.values())
            while any(one is other for one in older for other in self._server.transactions.values()):
                self._conductor.gate(role)
                if waiting is not None:
                    waiting(0.0)
        self._conductor.called("create_slot ends")
        if name in self._server.slots:
            raise errors.OriginQueryFailed(f"replication slot {name} already exists")
        self._server.slots[name] = Slot(self._server.lsn)
        return SimulatedHeldSlot(self._server, self._server.lsn, name if temporary else None)

    def follow(self, name: str, start: LSN, seal: str, *, binary: bool, held: HeldSlot | None = None) -> Stream:
        """Stream from `start`, or from the slot's position if that is later (CreateDecodingContext)."""
        self._conductor.called("follow")
        slot = self._server.slots.get(name)
        if slot is None or slot.lost:
            raise errors.SlotLost(f"replication slot {name} does not exist, or is invalidated")
        stream = SimulatedStream(self._conductor, name, max(start, slot.confirmed), binary=binary)
        stream.on_confirm = lambda lsn: self.on_confirm(name, lsn)
        self.streams.append(stream)
        return stream

    def drop(self, name: str, seal: str) -> None:
        """Drop slot and publication."""
        self._conductor.called("drop")
        self._server.slots.pop(name, None)
        self._server.publications.pop(name, None)

    def expected(self, table: Table, columns: Sequence[Column], condition: str | None = None) -> Size:
        """Nothing is estimated here."""
        return UNKNOWN_SIZE

    @contextmanager
    def sources(
        self,
        held: Snapshot,
        table: Table,
        columns: Sequence[Column],
        count: Count,
        condition: str | None = None,
    ) -> Iterator[list[Callable[[], pa.RecordBatchReader]]]:
        """The snapshot's rows, in two batches; none of a table emptied or rewritten since (MVCC's caveats)."""
        self._conductor.called("sources")

        def open_reader() -> pa.RecordBatchReader:
            self._conductor.gate("copy")
            self._conductor.called("rows")
            now = self._server.state.get(table.name)
            if now is None:
                raise errors.UnknownName(f"relation {table.name} does not exist")
            then = {one.oid: one for one in self._server.at(held.lsn).values()}.get(now.oid)
            rows = list(then.rows.values()) if then is not None and now.emptied_lsn <= held.lsn else []
            return self._reader(now, columns, rows)

        yield [open_reader]

    def _reader(self, table: ModelTable, columns: Sequence[Column], rows: Sequence[Any]) -> pa.RecordBatchReader:
        known = {column.name: column for column in table.columns}
        missing = [column.name for column in columns if column.name not in known]
        if missing:
            raise errors.UnknownName(f"column {missing[0]} does not exist")
        kinds = [known[column.name].kind for column in columns]
        fields = [(f"c{at}", _NATIVE[kind][0]) for at, kind in enumerate(kinds)]
        schema = pa.schema(fields)

        def batches() -> Iterator[pa.RecordBatch]:
            for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                arrays = []
                for column, kind in zip(columns, kinds, strict=True):
                    type_, read = _NATIVE[kind]
                    texts = [row.get(known[column.name].number) for row in part]
                    arrays.append(pa.array([None if text is None else read(text) for text in texts], type_))
                yield pa.record_batch(arrays, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def close(self) -> None:
        """Nothing is open."""
