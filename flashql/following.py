"""The hot path: frames -> decode -> apply -> one local commit, with the position reached in it.

Each call of `feed` is one local transaction of whole origin transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import duckdb

from flashql import errors, pending
from flashql.apply import apply_changes, target
from flashql.catalog import Copy, CopyColumn, CopyState
from flashql.deltas import Deltas
from flashql.hooks import syncing
from flashql.lifecycle import Phase
from flashql.lsn import LSN
from flashql.maintenance import Maintenance
from flashql.origins.base import ChangeBatch, NeedsText, Relation, RowChanges, Truncation, WireColumn
from flashql.origins.postgres.forms import BYTES, TEXT, AnyForm, binary_form
from flashql.origins.postgres.pgoutput import Decoder
from flashql.store import Store
from flashql.store.compacting import compact
from flashql.store.copies import advance, copies
from flashql.store.jobs import advance_jobs, confirm_jobs, is_following, jobs
from flashql.store.relations import shown_tables
from flashql.widening import widened

# DuckDB says so when a value does not fit its column's type, or our own error() calls refuse it.
MISFIT = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException)


@dataclass
class CopyBroken(Exception):
    """A copy cannot go on as it is: `copy` is how to make it anew, `reason` why. Nothing was applied."""

    copy: Copy
    reason: errors.FlashQLError

    def __str__(self) -> str:
        return str(self.reason)


@dataclass
class Fed:
    """What one local commit was made of. `committed_us` is when the last transaction was, since 2000-01-01 UTC."""

    transactions: int = 0
    rows: int = 0
    committed_us: int | None = None
    rows_of: dict[tuple[str, str], int] = field(default_factory=dict)  # by (schema, name) of the table

    def add(self, batch: ChangeBatch) -> None:
        """A batch that is part of it."""
        self.transactions += batch.transactions
        self.rows += batch.rows
        self.committed_us = batch.commit_time_us if batch.commit_time_us is not None else self.committed_us
        for item in batch.changes:
            if isinstance(item, RowChanges):
                table = (item.relation.schema, item.relation.name)
                self.rows_of[table] = self.rows_of.get(table, 0) + len(item)


class Follower:
    """Applies one origin's frames to its copies. Used by one thread."""

    def __init__(self, store: Store, origin: str, applied_lsn: LSN, *, binary: bool = False) -> None:
        self._store = store
        self._origin = origin
        self._maintenance = Maintenance.of(store)
        self.applied_lsn = applied_lsn
        self.described = False  # tables were described (anew): their catalog may tell more; who looks there resets it
        self.appending = False  # the last chunk was of inserts alone
        self.fed = Fed()  # the last local commit
        self._binary = binary
        self._decoder = Decoder(self._wanted, binary=binary)
        self._copies: dict[int, list[Copy]] = {}
        self._going_on: list[str] = []  # views that do not follow, by their jobs, and show a copy that does
        self._version = -1
        self._waiting_seq = 0
        self.reload()

    def reload(self) -> None:
        """Look up which copies take changes now; to be called after any change of them."""
        self._version = self._store.version
        self._copies = {}
        for copy in copies(self._store, self._origin):
            if copy.state in (CopyState.LIVE, CopyState.COPYING):
                self._copies.setdefault(copy.oid, []).append(copy)
        live = {copy.local_table for taking in self._copies.values() for copy in taking if copy.state is CopyState.LIVE}
        known = jobs(self._store)
        self._going_on = [
            name
            for name, table in shown_tables(self._store).items()
            if table in live and name in known and not is_following(known[name])
        ]
        self._decoder.reconsider()

    def _wanted(self, relation: Relation) -> dict[int, AnyForm]:
        held: dict[str, tuple[Copy, CopyColumn]] = {}
        for copy in self._copies.get(relation.oid, ()):
            for kept in copy.columns:
                if self._binary and held.get(kept.name, (copy, kept))[1].rung != kept.rung:
                    raise NeedsText(f"column {kept.name} of {copy.schema}.{copy.name} is held in two ways")
                held[kept.name] = copy, kept
        return {
            at: self._form(column, *held[column.name])
            for at, column in enumerate(relation.columns)
            if column.name in held
        }

    def _form(self, wire: WireColumn, copy: Copy, kept: CopyColumn) -> AnyForm:
        """The form in which a column's values come. Raises `NeedsText` when that is none which can be read."""
        if not self._binary:
            return TEXT
        if (wire.type_oid, wire.typmod) != kept.column.declared:
            return BYTES  # whoever applies them finds that the table has changed
        form = binary_form(kept.column.type, copy.local_type(kept).name)
        if form is None:
            raise NeedsText(f"column {kept.name} of {copy.schema}.{copy.name} cannot be read in binary form")
        return form

    def feed(self, chunks: Iterable[Sequence[bytes]], origin_lsn: Callable[[], LSN]) -> LSN:
        """Apply frames that are whole transactions together; returns the LSN reached once that is durable here.

        `chunks` may come while they are applied; `origin_lsn` tells the end of the origin's log, at their end.
        Raises `CopyBroken` when a copy must be made anew, `ViewBroken`, and `HookRefused`. Whatever is raised, also by
        `chunks`, has rolled back.
        """
        with syncing(Phase.PULL, self._origin), self._store.transaction(of_stream=True) as writer:
            if self._version != self._store.version:
                self.reload()
            deltas, fed = Deltas(writer, self._maintenance.wanted()), Fed()
            for frames in chunks:
                batch = self._decoder.decode(frames)
                self._apply(writer, batch, deltas)
                fed.add(batch)
            assert batch.end_lsn is not None
            self._maintenance.maintain(writer, deltas, batch.end_lsn)
            advance(writer, self._origin, batch.end_lsn)
            lag_bytes = max(0, origin_lsn() - batch.end_lsn)
            advance_jobs(writer, self._origin, batch.end_lsn, lag_bytes, self._going_on)
        self.applied_lsn, self.fed = batch.end_lsn, fed
        return batch.end_lsn

    def idle(self, position: LSN, origin_lsn: LSN) -> LSN:
        """The origin has sent everything before `position` and nothing is under way: remember that durably."""
        with self._store.transaction(of_stream=True) as writer:
            advance(writer, self._origin, position)
            confirm_jobs(writer, self._origin, max(0, origin_lsn - position))
        self.applied_lsn = position
        return position

    def compact(self) -> None:
        """Nothing has come for a while: time to give back what the file has no use for."""
        compact(self._store)

    def _apply(self, writer: duckdb.DuckDBPyConnection, batch: ChangeBatch, deltas: Deltas) -> None:
        self.described = self.described or bool(batch.relations)
        self.appending = all(isinstance(item, RowChanges) and item.only_inserts for item in batch.changes)
        for item in batch.changes:
            if isinstance(item, Truncation):
                self._truncate(writer, item, deltas)
                continue
            for copy in self._copies.get(item.relation.oid, ()):
                self._change(writer, copy, item, deltas)
        self._waiting_seq += 1 << 32  # above any number of frames in one batch

    def _change(self, writer: duckdb.DuckDBPyConnection, copy: Copy, changes: RowChanges, deltas: Deltas) -> None:
        try:
            if copy.state is CopyState.LIVE:
                apply_changes(writer, copy, changes, deltas.of(copy.local_table))
            else:
                pending.keep(writer, copy, changes, self._waiting_seq)
        except MISFIT as error:
            raise CopyBroken(widened(self._store, copy, changes), _misfit(copy, error)) from error
        except errors.SchemaChanged as error:
            raise CopyBroken(copy, error) from error

    def _truncate(self, writer: duckdb.DuckDBPyConnection, truncation: Truncation, deltas: Deltas) -> None:
        for oid in truncation.relation_oids:
            for copy in self._copies.get(oid, ()):
                if copy.state is CopyState.COPYING:
                    seq = self._waiting_seq + truncation.sequence
                    pending.keep_truncation(writer, copy, seq, truncation.final_lsn)
                elif truncation.final_lsn >= copy.lsn:
                    deltas.lose(copy.local_table)
                    writer.execute(f"DELETE FROM {target(copy)}")


def _misfit(copy: Copy, error: duckdb.Error) -> errors.FlashQLError:
    return errors.ValueUnrepresentable(
        f"{copy.schema}.{copy.name}: {str(error).strip().splitlines()[0]}",
        hint="The column is widened and the table copied again; its rows stay readable meanwhile.",
    )
