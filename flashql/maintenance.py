"""Kept views follow what they read: within the local commit that changes it, each after those it reads.

A view's rows equal its query over what it reads, in every local commit. `maintain` sees to that when a batch of the
stream was applied, `settle` at the end of any other transaction, and `keep_up` when a view begins to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar
from weakref import WeakKeyDictionary

import duckdb

from flashql import errors
from flashql.catalog import View
from flashql.deltas import WEIGHT, Delta, Deltas
from flashql.keeping import Kept, found_inputs, kept_views, local_body
from flashql.quoting import qualified, quote
from flashql.store import DATA_SCHEMA, Store
from flashql.store.copies import next_id
from flashql.store.duck import as_ours
from flashql.store.inputs import inputs, let_stand, save_inputs
from flashql.store.jobs import set_job
from flashql.store.relations import described, own_table, show_own
from flashql.weighing import apply_delta, consolidated, difference

T = TypeVar("T")


_known: WeakKeyDictionary[Store, Maintenance] = WeakKeyDictionary()


class Maintenance:
    """The kept views of one database. Everything here happens within a transaction of the single writer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = -1
        self._kept: list[Kept] = []
        self._disturbed: set[str] = set()  # tables that changed in this transaction, and whose readers did not yet

    @classmethod
    def of(cls, store: Store) -> Maintenance:
        """That of this store."""
        found = _known.get(store)
        if found is None:
            found = _known[store] = cls(store)
        return found

    def kept(self) -> list[Kept]:
        """The kept views that follow now, each after those it reads."""
        if self._version != self._store.version:
            self._kept, self._version = kept_views(self._store), self._store.version
        return self._kept

    def wanted(self) -> frozenset[str]:
        """The tables whose delta some view follows."""
        return frozenset().union(*(kept.tables for kept in self.kept()))

    def maintain(self, writer: duckdb.DuckDBPyConnection, deltas: Deltas) -> None:
        """Bring every view that reads one of the changed tables to what its query returns now.

        Raises `ViewBroken` when one cannot be.
        """
        for kept in self.kept():
            if any(table in deltas for table in kept.tables):
                _recompute(writer, kept, deltas)

    def keep_up(self, writer: duckdb.DuckDBPyConnection, view: View) -> None:
        """Let the view follow what it reads now; when its rows are of something else they are computed anew.

        Raises `ViewNotReady` when something it reads has no rows here, and `ViewBroken`.
        """
        read = found_inputs(self._store, view)
        if inputs(self._store).get(view.relation_id) == read:
            return
        body = local_body(view, read)
        table = own_table(self._store, view)
        if table is not None and _columns(writer, qualified(DATA_SCHEMA, table)) == _described(writer, view, body):
            delta = Delta(writer, table)
            _guarded(view, lambda: difference(writer, body, delta))
            if _guarded(view, lambda: apply_delta(writer, delta)):
                self._disturbed.add(table)
        else:
            made = f"v{next_id(writer)}"
            _guarded(view, lambda: writer.execute(f"CREATE TABLE {qualified(DATA_SCHEMA, made)} AS {body}"))
            show_own(writer, self._store, view, made)
        save_inputs(writer, view, read)

    def disturb(self, tables: Collection[str]) -> None:
        """These tables have changed in this transaction: whatever reads them is computed anew at its end."""
        self._disturbed.update(tables)

    def local_tables_named(self, sql: str) -> set[str]:
        """Which of DuckDB's own tables that views follow a statement may write to, by its text."""
        lowered, hidden = sql.lower(), sql.lstrip()[:7].upper() == "EXECUTE"
        followed = {name for kept in self.kept() for name in kept.view.local_tables}
        return {name for name in followed if hidden or name.rsplit(".", 1)[-1].lower() in lowered}

    def follow_local(self, written: Collection[str] | None = None) -> None:
        """DuckDB's own tables were written to (None: perhaps any of them): the views that read them follow.

        One whose query fails stands still, and its job says why.
        """
        while True:
            if written is None:
                written = {name for kept in self.kept() for name in kept.view.local_tables}
            if not written:
                return
            try:
                with self._store.transaction():
                    self.disturb(written)
                return
            except errors.ViewBroken as broken:
                with self._store.transaction() as writer:
                    let_stand(writer, broken.relation_id)
                    set_job(writer, broken.relation_id, state="failed", phase=None, last_error=str(broken))

    def settle(self, writer: duckdb.DuckDBPyConnection) -> None:
        """At the end of a transaction: views follow what changed in it, and those views without an origin read.

        Raises `ViewBroken` when one cannot.
        """
        disturbed, self._disturbed = self._disturbed, set()
        for kept in kept_views(self._store):
            now = _inputs_now(self._store, kept.view)
            if now is None:
                let_stand(writer, kept.view.relation_id)
            elif now != kept.inputs:
                self.keep_up(writer, kept.view)
            elif kept.tables & disturbed or set(kept.view.local_tables) & disturbed:
                deltas = Deltas(writer, {kept.table})
                if _recompute(writer, kept, deltas):
                    disturbed.add(kept.table)
            disturbed |= self._disturbed
        self._disturbed = set()


def keep_up(writer: duckdb.DuckDBPyConnection, store: Store, view: View) -> None:
    """`Maintenance.keep_up` of the store's."""
    Maintenance.of(store).keep_up(writer, view)


def stray_rows(
    store: Store, cursor: duckdb.DuckDBPyConnection, view: View, most: int = 10_000
) -> tuple[tuple[object, ...], ...]:
    """Rows that a kept view lacks of its query, or has beyond it, as the cursor's transaction sees both.

    Raises `ViewNotReady` when the view does not follow what it reads.
    """
    read = inputs(store, cursor).get(view.relation_id)
    if read is None:
        raise errors.ViewNotReady(f"{view.relation_id} does not follow what it reads now: run db.sync.sync()")
    shown = f"SELECT * FROM {qualified(view.namespace, view.name)}"
    body = local_body(view, read)
    columns = described(cursor, shown)
    weighted = f"SELECT *, 1 AS {WEIGHT} FROM ({body}) UNION ALL SELECT *, -1 FROM ({shown})"
    names = ", ".join(quote(name) for name, _ in columns)
    rows = cursor.execute(f"SELECT {names} FROM ({consolidated(columns, weighted)}) LIMIT {most}").fetchall()
    return tuple(tuple(row) for row in rows)


def _inputs_now(store: Store, view: View) -> dict[str, str | None] | None:
    try:
        return found_inputs(store, view)
    except errors.ViewNotReady:
        return None


def _recompute(writer: duckdb.DuckDBPyConnection, kept: Kept, deltas: Deltas) -> bool:
    """Compute the view anew; whether its rows changed, which `deltas` then tells."""
    delta = Delta(writer, kept.table)
    _guarded(kept.view, lambda: difference(writer, kept.query, delta))
    if not _guarded(kept.view, lambda: apply_delta(writer, delta)):
        return False
    deltas.add(delta)
    return True


def _guarded(view: View, act: Callable[[], T]) -> T:
    """What `act` returns. What cannot be computed breaks the view; what fails for want of disk or memory does not."""
    try:
        return act()
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        ours = as_ours(error)
        if ours.retry is errors.Retry.BACKOFF:
            raise
        raise errors.ViewBroken(view.relation_id, ours.message) from error


def _columns(writer: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    return described(writer, f"FROM {table}")


def _described(writer: duckdb.DuckDBPyConnection, view: View, body: str) -> list[tuple[str, str]]:
    return _guarded(view, lambda: described(writer, body))
