"""A model of a Postgres server: tables, open transactions, a WAL of committed ones, publications and slots.

Nothing here knows FlashQL. Every operation is total: what a real server would refuse, or make wait, does nothing. So
any subset of a schedule is a schedule, which is what makes one easy to shorten. Rows are kept by number of column, so
that a renamed column keeps its values; every state that ever was committed is kept, by the LSN that ended it.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flashql.origins.base import Relation, WireColumn
from tests.binary_form import in_binary
from tests.test_pgoutput import UNCHANGED, Value, begin, commit, delete, describe, insert, truncate, update

Row = Mapping[int, Value]  # number of column -> text form
State = Mapping[str, "ModelTable"]

OIDS = {"int": (23, -1), "bigint": (20, -1), "text": (25, -1), "numeric": (1700, -1), "boolean": (16, -1)}
TOASTED_CHARACTERS = 30  # a text this long is kept out of line
_ROW_BYTES, _COMMIT_BYTES = 56, 48
SURPRISES = ("NaN", "1" * 36, "0.00000000000001", "0.5", "17")  # numerics: the first three fit no first rung


def value_of(kind: str, number: int, *, of_key: bool = False) -> Value:
    """The value of a type that a number stands for: few numbers, so that values meet again."""
    if not of_key and number % 7 == 3:
        return None
    match kind:
        case "int" | "bigint":
            return str(number % 23)
        case "text" if number % 3 == 0 and not of_key:
            return f"toasted {number:06d} ".ljust(TOASTED_CHARACTERS + 10, "t")
        case "text":
            return "" if number % 11 == 5 and not of_key else f"é{number % 19}"
        case "numeric":
            return SURPRISES[number % 5] if number % 101 == 17 else f"{number % 29}.{number % 9}5"
        case "boolean":
            return "t" if number % 2 else "f"
    raise AssertionError(kind)


@dataclass(frozen=True)
class ModelColumn:
    """A column of a model table; `version` changes with its row in pg_attribute."""

    name: str
    number: int
    kind: str
    version: int = 0


@dataclass(frozen=True)
class ModelTable:
    """A table at one moment. Columns whose names begin with k are its key, unless its identity is `bag`."""

    oid: int
    name: str
    identity: str  # default, index, full (with a primary key), bag (full, without one)
    columns: tuple[ModelColumn, ...]
    rows: Mapping[int, Row] = field(default_factory=dict)
    file: int = 1
    emptied_lsn: int = 0  # a snapshot from before sees no rows: TRUNCATE and rewrites ("Caveats" of MVCC)

    @property
    def key(self) -> tuple[ModelColumn, ...]:
        """The columns that identify a row."""
        return tuple(c for c in self.columns if c.name.startswith("k")) if self.identity != "bag" else ()

    @property
    def letter(self) -> str:
        """pg_class.relreplident."""
        return {"default": "d", "index": "i", "full": "f", "bag": "f"}[self.identity]

    @property
    def relation(self) -> Relation:
        """How the stream describes it."""
        key = {c.number for c in self.key}
        wires = tuple(
            WireColumn(c.name, *OIDS[c.kind], is_key=self.letter == "f" or c.number in key) for c in self.columns
        )
        return Relation(self.oid, "public", self.name, self.letter, wires)

    def key_of(self, row: Row) -> tuple[Value, ...]:
        """The row's key."""
        return tuple(row.get(c.number) for c in self.key)

    def values(self, row: Row) -> tuple[Value, ...]:
        """The row, in the order of the columns."""
        return tuple(row.get(c.number) for c in self.columns)


@dataclass(frozen=True)
class Primitive:
    """One row change as it was carried out, in plain values: what a real server is told."""

    kind: str  # insert, update, delete, truncate
    table: ModelTable
    old: Row | None = None
    new: Row | None = None


@dataclass(frozen=True)
class Change:
    """A record of the WAL: messages by relation, and what was published when it was written."""

    relations: tuple[Relation, ...]
    message: bytes | None  # None: a truncation, made when it is sent
    publications: Mapping[str, ModelPublication]


@dataclass(frozen=True)
class ModelPublication:
    """Tables by oid, each with a number that is another when it leaves and comes back."""

    identity: int
    tables: Mapping[int, int]

    def without(self, oids: Collection[int]) -> ModelPublication:
        """It, when these tables have left."""
        return replace(self, tables={oid: since for oid, since in self.tables.items() if oid not in oids})


@dataclass
class Savepoint:
    """An open savepoint: the number of its subtransaction, and what there was before it."""

    xid: int
    effects: int
    changes: int
    truncated: set[int]
    released: list[int] = field(default_factory=list)  # subtransactions within it that ended well


@dataclass
class Open:
    """A transaction under way: `effects` are (oid, row id, row or None), row id -1 for a truncation."""

    xid: int
    effects: list[tuple[int, int, Row | None]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    truncated: set[int] = field(default_factory=set)
    savepoints: list[Savepoint] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    is_logged: bool = False  # whether the WAL knows it


@dataclass(frozen=True)
class Committed:
    """How a transaction of the WAL ended well."""

    lsn: int  # of its commit record
    end: int


@dataclass(frozen=True)
class Record:
    """Of the WAL: a change by a (sub)transaction, or its end: a commit, or (neither) a rollback."""

    lsn: int
    xid: int
    subxid: int
    change: Change | None = None
    committed: Committed | None = None


@dataclass
class Slot:
    """A replication slot."""

    confirmed: int
    lost: bool = False


class Server:
    """The server."""

    def __init__(self) -> None:
        self.lsn = 0x1000000
        self.system, self.timeline = 7_000_000_000, 1
        self.left: dict[int, int] = {}  # where each older timeline was left
        self.state: State = {}
        self.history: list[tuple[int, State]] = [(0, {})]
        self.lost_histories: list[list[tuple[int, State]]] = []  # before a restore
        self.wal: list[Record] = []
        self.publications: dict[str, ModelPublication] = {}
        self.dropped: dict[str, ModelPublication] = {}
        self.slots: dict[str, Slot] = {}
        self.transactions: dict[str, Open] = {}
        self.silent: dict[tuple[str, str], int] = {}  # (table, column or *) -> end of its last change without a word
        self.done: list[Primitive | str] = []  # by the last operation; a statement where that is shorter
        self._next = 16384
        self._row = 0

    # -- history

    def at(self, lsn: int, history: Sequence[tuple[int, State]] | None = None) -> State:
        """The state when every transaction that ends at or before `lsn` had committed."""
        found: State = {}
        for end, state in self.history if history is None else history:
            if end > lsn:
                break
            found = state
        return found

    # -- transactions

    def begin(self, name: str) -> None:
        """Begin a transaction, unless there is one of that name."""
        self.transactions.setdefault(name, Open(self.new_number()))

    def abort(self, name: str) -> None:
        """Roll back."""
        open_ = self.transactions.pop(name, None)
        while open_ is not None and open_.savepoints:
            self._undo(open_)
        if open_ is not None and open_.is_logged:
            self._ended(open_, [*sorted(open_.released), open_.xid])

    def abort_all(self) -> None:
        """What a server does with open transactions when it goes down."""
        for name in list(self.transactions):
            self.abort(name)

    def commit(self, name: str) -> None:
        """Commit: its effects become the state, its changes go to the log, whole."""
        open_ = self.transactions.pop(name, None)
        if open_ is None or not open_.is_logged:
            return
        lsn, end = self._commit_record()
        tables = {table.oid: table for table in self.state.values()}
        rows = {oid: dict(tables[oid].rows) for oid in {oid for oid, _, _ in open_.effects}}
        for oid, rid, row in open_.effects:
            if rid < 0:
                rows[oid].clear()
            elif row is None:
                del rows[oid][rid]
            else:
                rows[oid][rid] = row
        state = dict(self.state)
        for oid, kept in rows.items():
            table = replace(tables[oid], rows=kept)
            if oid in open_.truncated:
                table = replace(table, file=table.file + 1, emptied_lsn=end)
            state[table.name] = table
        self._became(state, end)
        self.wal.append(Record(lsn, open_.xid, open_.xid, committed=Committed(lsn, end)))

    def _savepoint(self, open_: Open) -> None:
        counts = len(open_.effects), len(open_.changes)
        open_.savepoints.append(Savepoint(self.new_number(), *counts, set(open_.truncated)))
        self.done.append("SAVEPOINT s")

    def _release(self, open_: Open) -> None:
        if open_.savepoints:
            gone = open_.savepoints.pop()
            outer = open_.savepoints[-1] if open_.savepoints else open_
            outer.released += [*gone.released, gone.xid]
            self.done.append("RELEASE s")

    def _rollback(self, open_: Open) -> None:
        if open_.savepoints:
            self._undo(open_)
            self.done.append("ROLLBACK TO s; RELEASE s")

    def _undo(self, open_: Open) -> None:
        gone = open_.savepoints.pop()
        del open_.effects[gone.effects :], open_.changes[gone.changes :]
        open_.truncated = gone.truncated
        self._ended(open_, [*sorted(gone.released), gone.xid])

    def _ended(self, open_: Open, subxids: Iterable[int]) -> None:
        """A rollback, as an abort record lists it."""
        self.wal += [Record(self.lsn, open_.xid, subxid) for subxid in subxids]
        self.lsn += _COMMIT_BYTES

    def _commit_record(self) -> tuple[int, int]:
        lsn = self.lsn
        self.lsn += _COMMIT_BYTES
        return lsn, self.lsn

    def _became(self, state: State, end: int) -> None:
        self.state = state
        self.history.append((end, state))

    def visible(self, open_: Open, table: ModelTable) -> dict[int, Row]:
        """The rows that the transaction sees."""
        rows = dict(table.rows)
        for oid, rid, row in open_.effects:
            if oid != table.oid:
                continue
            if rid < 0:
                rows.clear()
            elif row is None:
                rows.pop(rid, None)
            else:
                rows[rid] = row
        return rows

    def _others(self, mine: Open) -> Iterable[Open]:
        return (one for one in self.transactions.values() if one is not mine)

    def _free(self, mine: Open, table: ModelTable, rid: int | None, *rows: Row) -> bool:
        """Whether no other transaction holds the table's row, or one of these rows' keys: it would have to wait."""
        keys = {table.key_of(row) for row in rows} if table.key else set()
        for other in self._others(mine):
            if table.oid in other.truncated:
                return False
            for oid, held, row in other.effects:
                if oid != table.oid:
                    continue
                before = table.rows.get(held)
                taken = {table.key_of(one) for one in (row, before) if one is not None}
                if held == rid or taken & keys:
                    return False
        return True

    # -- row changes

    def operate(self, name: str, operation: Sequence[object]) -> None:
        """One operation of an open transaction: see `steps.py` for what there is."""
        open_ = self.transactions.get(name)
        kind, *rest = operation
        if open_ is None:
            return
        if kind == "truncate":
            self._truncate(open_, [str(one) for one in rest])
            return
        if kind in ("savepoint", "release", "rollback"):
            getattr(self, f"_{kind}")(open_)
            return
        table = self.state.get(str(rest[0]))
        if table is None:
            return
        numbers = [int(str(one)) for one in rest[1:]]
        getattr(self, f"_{kind}")(open_, table, *numbers)

    def _insert(self, open_: Open, table: ModelTable, number: int) -> None:
        key = {c.number for c in table.key}
        row = {c.number: value_of(c.kind, number + 5 * c.number, of_key=c.number in key) for c in table.columns}
        taken = {table.key_of(one) for one in self.visible(open_, table).values()} if key else set()
        if table.key_of(row) in taken or not self._free(open_, table, None, row):
            return
        self._row += 1
        self._write(open_, table, self._row, None, row)

    def _fill(self, open_: Open, table: ModelTable, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._insert(open_, table, number)

    def _pick(self, open_: Open, table: ModelTable, place: int) -> tuple[int, Row] | None:
        rows = self.visible(open_, table)
        return sorted(rows.items())[place % len(rows)] if rows else None

    def _change(self, open_: Open, table: ModelTable, rid: int, old: Row, new: Row) -> bool:
        moved = table.key and table.key_of(new) != table.key_of(old)
        if moved and table.key_of(new) in {table.key_of(one) for one in self.visible(open_, table).values()}:
            return False
        if not self._free(open_, table, rid, old, new):
            return False
        self._write(open_, table, rid, old, new)
        return True

    def _update(self, open_: Open, table: ModelTable, place: int, number: int, *, keys: bool = False) -> None:
        picked = self._pick(open_, table, place)
        if picked is None:
            return
        rid, old = picked
        key = {c.number for c in table.key}
        new = dict(old)
        for c in table.columns:
            if c.number in key:
                if keys:
                    new[c.number] = value_of(c.kind, number + 3 * c.number, of_key=True)
            elif (number >> (c.number % 6)) & 1:
                new[c.number] = value_of(c.kind, number + 7 * c.number)
        self._change(open_, table, rid, old, new)

    def _move(self, open_: Open, table: ModelTable, place: int, number: int) -> None:
        self._update(open_, table, place, number, keys=True)

    def _touch(self, open_: Open, table: ModelTable, place: int) -> None:
        self._update(open_, table, place, 0)

    def _delete(self, open_: Open, table: ModelTable, place: int) -> None:
        picked = self._pick(open_, table, place)
        if picked is not None and self._free(open_, table, picked[0], picked[1]):
            self._write(open_, table, picked[0], picked[1], None)

    def _swap(self, open_: Open, table: ModelTable, one: int, other: int) -> None:
        """Two rows change keys, by way of a third key."""
        first, second = self._pick(open_, table, one), self._pick(open_, table, other)
        if first is None or second is None or first[0] == second[0] or not table.key:
            return
        keys = [c.number for c in table.key]
        away = {**first[1], keys[0]: "-1"}
        if self._change(open_, table, first[0], first[1], away):
            came = {**second[1], **{k: first[1].get(k) for k in keys}}
            if self._change(open_, table, second[0], second[1], came):
                self._change(open_, table, first[0], away, {**first[1], **{k: second[1].get(k) for k in keys}})

    def _truncate(self, open_: Open, names: Sequence[str]) -> None:
        tables = [self.state[name] for name in names if name in self.state]
        busy = {oid for other in self._others(open_) for oid, _, _ in other.effects}
        if not tables or busy & {table.oid for table in tables}:
            return
        for table in tables:
            open_.effects.append((table.oid, -1, None))
            open_.truncated.add(table.oid)
            self.done.append(Primitive("truncate", table))
        self._log(open_, Change(tuple(table.relation for table in tables), None, dict(self.publications)))

    def _log(self, open_: Open, change: Change) -> None:
        subxid = open_.savepoints[-1].xid if open_.savepoints else open_.xid
        self.wal.append(Record(self.lsn, open_.xid, subxid, change))
        self.lsn += _ROW_BYTES
        open_.changes.append(change)
        open_.is_logged = True

    def _write(self, open_: Open, table: ModelTable, rid: int, old: Row | None, new: Row | None) -> None:
        open_.effects.append((table.oid, rid, new))
        self.done.append(Primitive("insert" if old is None else "delete" if new is None else "update", table, old, new))
        self._log(open_, Change((table.relation,), _message(table, old, new), dict(self.publications)))

    # -- schema changes: each a transaction of its own, none while another uses the table

    def alter(self, name: str, /, **changes: object) -> int | None:
        """Replace parts of a table; the end of that transaction, None when it did not happen."""
        table = self.state.get(name)
        if table is None or any(oid == table.oid for one in self.transactions.values() for oid, _, _ in one.effects):
            return None
        _, end = self._commit_record()
        changed = replace(table, **changes)  # type: ignore[arg-type]
        if "rows" in changes:
            changed = replace(changed, file=table.file + 1, emptied_lsn=end)
        state = {at: one for at, one in self.state.items() if at != name}
        state[changed.name] = changed
        self._became(state, end)
        return end

    def new_number(self) -> int:
        """A number never used: an oid, or a version of a catalog row."""
        self._next += 1
        return self._next

    def create_table(self, name: str, identity: str, columns: Mapping[str, str]) -> bool:
        """CREATE TABLE."""
        if name in self.state:
            return False
        made = tuple(ModelColumn(column, at, kind) for at, (column, kind) in enumerate(columns.items(), 1))
        _, end = self._commit_record()
        self._became({**self.state, name: ModelTable(self.new_number(), name, identity, made)}, end)
        self.silent[name, "*"] = end
        return True

    def drop_table(self, name: str) -> bool:
        """DROP TABLE."""
        table = self.state.get(name)
        end = self.alter(name)
        if table is None or end is None:
            return False
        state = {at: one for at, one in self.state.items() if at != name}
        self.state = state
        self.history[-1] = (end, state)
        self.silent[name, "*"] = end
        self.publications = {at: one.without({table.oid}) for at, one in self.publications.items()}
        return True

    # -- publications

    def publish(self, name: str, oids: Collection[int]) -> ModelPublication:
        """Make the publication hold exactly these tables."""
        there = self.publications.get(name) or ModelPublication(self.new_number(), {})
        tables = {oid: there.tables.get(oid) or self.new_number() for oid in oids}
        self.publications[name] = replace(there, tables=tables)
        return self.publications[name]

    def unpublish(self, name: str) -> None:
        """Someone takes the table out of every publication: what is written to it from now on is not sent."""
        if name in self.state:
            self.publications = {at: one.without({self.state[name].oid}) for at, one in self.publications.items()}
            _, self.silent[name, "*"] = self._commit_record()

    def republish(self, name: str) -> None:
        """Someone puts the table (back) into every publication."""
        if name in self.state:
            for at, one in self.publications.items():
                self.publish(at, {*one.tables, self.state[name].oid})

    def drop_publications(self) -> None:
        """Someone drops every publication."""
        self.dropped, self.publications = {**self.dropped, **self.publications}, {}

    def remake_publications(self) -> None:
        """Someone makes those that were dropped anew, of the same tables."""
        dropped, self.dropped = self.dropped, {}
        known = {table.oid for table in self.state.values()}
        for name, one in dropped.items():
            if name not in self.publications:
                self.publish(name, set(one.tables) & known)

    # -- snapshots and the whole server

    def restore(self, transactions_back: int, *, keeps_slots: bool, new_timeline: bool) -> None:
        """The server as it was some commits ago, as from a backup. What is done since then gets other LSNs."""
        keep = max(1, len(self.history) - transactions_back)
        self.lost_histories.append(self.history)
        self.history = self.history[:keep]
        end, self.state = self.history[-1]
        self.wal = [record for record in self.wal if record.lsn < end]
        self.lsn = max(end, 0x1000000) + (24 if new_timeline else 0)
        self.transactions = {}
        over = {record.xid for record in self.wal if record.change is None and record.subxid == record.xid}
        for xid in sorted({record.xid for record in self.wal} - over):
            self.wal.append(Record(self.lsn, xid, xid))
        known = {table.oid for table in self.state.values()}
        self.publications = {at: one.without(set(one.tables) - known) for at, one in self.publications.items()}
        if new_timeline:
            self.left = {number: lsn for number, lsn in self.left.items() if lsn <= end} | {self.timeline: end}
            self.timeline += 1
        if not keeps_slots:
            self.slots = {}
        for slot in self.slots.values():
            slot.confirmed = min(slot.confirmed, self.lsn)


def _message(table: ModelTable, old: Row | None, new: Row | None) -> bytes:
    """The message for a row change (documentation: "REPLICA IDENTITY", "Logical Replication Message Formats")."""
    full, key = table.letter == "f", {c.number for c in table.key}
    if old is not None:
        whole = table.values(old)
        identifying = whole if full else tuple(old.get(c.number) if c.number in key else None for c in table.columns)
    kind = b"O" if full else b"K"
    if new is None:
        return delete(table.oid, identifying, kind)
    if old is None:
        return insert(table.oid, *table.values(new))
    sent = tuple(
        UNCHANGED
        if (value := new.get(c.number)) is not None and len(value) >= TOASTED_CHARACTERS and value == old.get(c.number)
        else value
        for c in table.columns
    )
    moved = table.key_of(new) != table.key_of(old)
    return update(table.oid, sent, identifying if full or moved else None, kind)


class Sender:
    """A walsender: the frames of a slot's stream, from `start` on, one after another.

    A transaction that has come to so many changes as `stream_after` is sent in progress, in segments of so many
    (documentation: "Streaming of Large Transactions for Logical Decoding"); None: at its commit.
    """

    def __init__(
        self,
        server: Server,
        publication: str,
        start: int,
        *,
        sends_empty: bool,
        stream_after: int | None = None,
        binary: bool = False,
    ) -> None:
        self.server = server
        self._publication = publication
        self._sends_empty = sends_empty
        self._stream_after = stream_after
        self._binary = binary
        self._start = start
        self._wal = server.wal
        self._next = 0
        self._described: dict[int, Relation] = {}
        self._queue: list[bytes] = []
        self._at = 0  # the LSN of the record that is being sent
        self._pending: dict[int, list[Record]] = defaultdict(list)  # by transaction
        self._streamed: dict[int, set[int]] = {}  # (sub)transactions that were sent in part, by transaction
        self._told: dict[int, dict[int, Relation]] = {}  # what those of them that are in progress have described

    def frames(self, limit: int) -> list[bytes]:
        """Up to so many frames. Raises `LookupError` when the publication did not exist at a change."""
        while len(self._queue) < limit and self._fetch():
            pass
        taken, self._queue = self._queue[:limit], self._queue[limit:]
        return taken

    def _fetch(self) -> bool:
        if self._next >= len(self._wal):
            return False
        record = self._wal[self._next]
        self._next += 1
        self._at = record.lsn
        if record.change is not None:
            pending = self._pending[record.xid]
            pending.append(record)
            # What was sent before it restarted is not streamed again (ReorderBufferCanStartStreaming).
            if self._stream_after is not None and len(pending) >= self._stream_after and record.lsn >= self._start:
                self._segment(record.xid)
        elif record.committed is not None:
            self._commit(record.xid, record.committed)
        else:
            self._abort(record.xid, record.subxid)
        return True

    def _send(self, *messages: bytes) -> None:
        header = b"w" + self._at.to_bytes(8, "big") + self._at.to_bytes(8, "big") + bytes(8)
        self._queue += [header + message for message in messages]

    def _messages(self, records: Iterable[Record], described: dict[int, Relation]) -> list[tuple[int, bytes]]:
        """What is published of the changes, each with its (sub)transaction, and descriptions where they lack."""
        found: list[tuple[int, bytes]] = []
        for record in records:
            change = record.change
            assert change is not None
            published = change.publications.get(self._publication)
            if published is None:
                raise LookupError(f'publication "{self._publication}" does not exist')
            relations = [one for one in change.relations if one.oid in published.tables]
            for relation in relations:
                if described.get(relation.oid) != relation:
                    described[relation.oid] = relation
                    found.append((record.subxid, describe(relation)))
            if relations:
                message = change.message or truncate(*(one.oid for one in relations))
                if self._binary and change.message is not None:
                    message = in_binary(message, relations[0])
                found.append((record.subxid, message))
        return found

    def _segment(self, xid: int) -> None:
        is_first = xid not in self._streamed
        records = self._pending.pop(xid, [])
        self._streamed.setdefault(xid, set()).update(record.subxid for record in records)
        told = self._told.setdefault(xid, {})
        body = [
            message[:1] + struct.pack("!I", subxid) + message[1:] for subxid, message in self._messages(records, told)
        ]
        self._send(b"S" + struct.pack("!IB", xid, is_first), *body, b"E")

    def _commit(self, xid: int, committed: Committed) -> None:
        records = self._pending.pop(xid, [])
        if committed.lsn < self._start:
            return
        if xid in self._streamed:
            if records:
                self._pending[xid] = records
                self._segment(xid)
            self._send(b"c" + struct.pack("!IBQQq", xid, 0, committed.lsn, committed.end, 5))
            self._described |= self._told.pop(xid)
            return
        body = [message for _, message in self._messages(records, self._described)]
        if body or (self._sends_empty and records):
            self._send(begin(committed.lsn), *body, commit(committed.lsn, end=committed.end))

    def _abort(self, xid: int, subxid: int) -> None:
        kept = [record for record in self._pending.pop(xid, []) if subxid not in (xid, record.subxid)]
        if kept:
            self._pending[xid] = kept
        if subxid in self._streamed.get(xid, ()) or (subxid == xid and xid in self._streamed):
            self._send(b"A" + struct.pack("!II", xid, subxid))
            self._told[xid] = {}  # cleanup_rel_sync_cache

    @property
    def position(self) -> int:
        """What a keepalive says now: every transaction that ends before it has been sent."""
        if self._queue:
            return self._at
        return self._wal[self._next].lsn if self._next < len(self._wal) else self.server.lsn

    @property
    def all_sent(self) -> bool:
        """Whether nothing is left to send now."""
        while not self._queue and self._fetch():
            pass
        return not self._queue
