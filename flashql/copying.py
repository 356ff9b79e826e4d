"""Copying tables into a running stream: snapshot -> rows, while the stream goes on.

The tables are in the publication before the snapshot is taken, and the snapshot is exported by a slot whose
creation waits for every transaction that was writing then: so each row is in the snapshot, in the stream's later
transactions, or both, and the copy's LSN tells which. Changes that arrive meanwhile wait (pending.py).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeAlias

import duckdb

from flashql import errors
from flashql.catalog import Copy, CopyColumn, CopyName, Table
from flashql.lifecycle import Phase
from flashql.lsn import LSN
from flashql.origins.postgres.origin import HeldSlot, PostgresOrigin
from flashql.quoting import qualified
from flashql.renewing import renewed, twin
from flashql.shapes import shape_of, undisturbed
from flashql.store import DATA_SCHEMA, Store
from flashql.store.copies import drop_table, next_id
from flashql.store.loading import TargetColumn, fill
from flashql.store.sets import committed_sets, subscribed
from flashql.works import Work, Works

# The views that wait for each copy, as relation ids.
Readers: TypeAlias = Mapping[CopyName, Sequence[str]]

# How often a table that is written anew (ALTER TABLE, TRUNCATE) just then is read again from a newer snapshot.
_MORE_SNAPSHOTS = 2


@dataclass(frozen=True)
class Copied:
    """What became of one table: a copy with rows true at `copy.lsn`, or the error that kept it from that."""

    copy: Copy
    error: errors.FlashQLError | None = None
    again: Table | None = None  # the table as it is now, when a newer snapshot has rows that this one lacked


class CopyPass:
    """One pass over some tables, on a thread of its own, all at the same LSN.

    `readers` are the views that wait for each; `notify` is called when it ends.
    """

    def __init__(
        self,
        store: Store,
        origin: PostgresOrigin,
        slot_name: str,
        tables: Sequence[tuple[Copy, Table]],
        held: HeldSlot | None,
        readers: Readers,
        notify: Callable[[], None],
    ) -> None:
        self.tables = tables
        self.results: list[Copied] = []
        self.lsn = LSN(0)
        self._store = store
        self._origin = origin
        self._slot_name = slot_name
        self._held = held
        self._readers = readers
        self._notify = notify
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        self._cancelled = False
        self._finished = False
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"flashql-copy-{origin.name}", daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether `results` is complete."""
        return self._finished

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def cancel(self) -> None:
        """Stop reading and wait for the thread to end; half-filled tables are dropped."""
        self._cancelled = True
        for cursor in list(self._cursors):
            cursor.interrupt()
        self._thread.join()
        for done in self.results:
            self.discard(done)

    def discard(self, done: Copied) -> None:
        """Drop the rows of a result that is not used."""
        if done.error is None:
            self._drop(done.copy.local_table)

    def _run(self) -> None:
        try:
            done = self._read(self._held, self.tables)
            for _ in range(_MORE_SNAPSHOTS):
                now = [(one.copy, one.again or table) for one, (_, table) in zip(done, self.tables, strict=True)]
                newer = iter(self._read(None, [both for both, one in zip(now, done, strict=True) if one.again]))
                self.tables = now
                done = [next(newer) if one.again else one for one in done]
            self.results = done
        except errors.FlashQLError as error:
            self.results = [Copied(copy, error) for copy, _ in self.tables]
        except Exception as error:  # a bug, or a dependency's: the views say so, instead of waiting for ever
            fault = errors.ProtocolError(f"origin {self._origin.name}: {type(error).__name__}: {error}")
            fault.__cause__ = error
            self.results = [Copied(copy, fault) for copy, _ in self.tables]
        finally:
            self._finished = True
            self._notify()

    def _read(self, held: HeldSlot | None, tables: Sequence[tuple[Copy, Table]]) -> list[Copied]:
        """Copy the tables, if there are any, from one snapshot: that of the slot just made, or a new one."""
        if not tables:
            return []
        with ExitStack() as stack:
            works = [stack.enter_context(self._work(copy, table)) for copy, table in tables]
            held = held or self._origin.create_slot(
                f"{self._slot_name[:52]}_copy_{secrets.token_hex(2)}", temporary=True, waiting=self._go_on
            )
            stack.callback(held.close)
            self.lsn = held.snapshot.lsn
            return [self._copied(held, *one, work) for one, work in zip(tables, works, strict=True)]

    def _work(self, copy: Copy, table: Table) -> Work:
        """The reading of a table, as much as the origin expects it to be."""
        readers = self._readers.get(copy.of, ())
        columns = [kept.column for kept in copy.columns]
        expected = self._origin.expected(table, columns, self._condition(copy))
        return Works.of(self._store).begin(f"{copy.schema}.{copy.name}", readers, Phase.CLONE, copy.origin, expected)

    def _condition(self, copy: Copy) -> str | None:
        """Which rows a partial copy has, in the origin's SQL; None for one that has all."""
        return subscribed(copy, committed_sets(self._store, copy)) if copy.restriction is not None else None

    def _go_on(self, _waited_seconds: float) -> None:
        if self._cancelled:
            raise errors.OriginBusy("copying was cancelled")

    def _copied(self, held: HeldSlot, copy: Copy, table: Table, work: Work) -> Copied:
        """Fill a new table with the rows of one; an error is its own and stops no other."""
        local_table: str | None = None
        try:
            self._go_on(0.0)
            with self._store.transaction() as writer:
                local_table = f"t{next_id(writer)}"
            made = replace(copy, local_table=local_table, lsn=held.snapshot.lsn)
            older = twin(self._store, copy)
            if older and renewed(self._cursor, self._origin, held.snapshot, made, older, table, work):
                return self._checked(made, copy, table)
            columns = [
                TargetColumn(kept.local_name, kept.column.type, copy.numeric, kept.rung) for kept in copy.columns
            ]
            with self._origin.sources(
                held.snapshot, table, [kept.column for kept in copy.columns], work.count, self._condition(copy)
            ) as sources:
                filled = fill(self._cursor, qualified(DATA_SCHEMA, local_table), columns, sources)
            kept_columns = tuple(
                CopyColumn(kept.column, column.rung) for kept, column in zip(copy.columns, filled, strict=True)
            )
            return self._checked(replace(made, columns=kept_columns), copy, table)
        except errors.FlashQLError as error:
            self._drop(local_table)
            return Copied(copy, error if held.alive else _snapshot_lost(error))

    def _checked(self, made: Copy, wanted: Copy, before: Table) -> Copied:
        """What was made, if the table is still as it was described before the snapshot was taken."""
        now = self._origin.table(made.schema, made.name)
        alike = (now.oid, now.key) == (before.oid, before.key)
        alike = alike and all(now.column(kept.name).declared == kept.column.declared for kept in made.columns)
        if alike and self._is_whole(made, before, now):
            return Copied(made)
        self._drop(made.local_table)
        changed = errors.SchemaChanged(f"{made.schema}.{made.name} changed at the origin while it was copied")
        if not alike:
            return Copied(wanted, changed)
        return Copied(replace(wanted, shape=shape_of(now, [kept.name for kept in wanted.columns])), changed, now)

    def _is_whole(self, made: Copy, before: Table, now: Table) -> bool:
        """Whether the snapshot's rows were there to be read.

        To a snapshot older than an ALTER TABLE that writes the table anew, the table is empty (documentation: "MVCC
        Caveats"), and the stream says nothing. So it is after TRUNCATE; VACUUM FULL and CLUSTER keep rows visible.
        """
        if made.shape is None or before.shape is None or now.shape is None:
            return True
        if not undisturbed(made.shape, now.shape):
            return False
        ((has_rows,),) = self._store.rows(f"SELECT count(*) > 0 FROM {qualified(DATA_SCHEMA, made.local_table or '')}")
        return has_rows or before.shape.file == now.shape.file

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._store.cursor()
        self._cursors.append(cursor)
        self._go_on(0.0)  # whoever cancels interrupts the cursors there are: this one may have come too late
        return cursor

    def _drop(self, table: str | None) -> None:
        with self._store.transaction() as writer:
            drop_table(writer, table)


def _snapshot_lost(error: errors.FlashQLError) -> errors.FlashQLError:
    """The error when who exported the snapshot is gone: no fault of the table's, so it is read again from another."""
    return errors.OriginUnreachable(f"the connection that held the snapshot ended: {error.message}")
