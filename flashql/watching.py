"""Who watches which view, and what each local commit has to tell them, and to ask of hooks before it.

Nothing is computed for views that nobody watches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import duckdb
import pyarrow as pa

from flashql import errors
from flashql.calling import Callback, Hook, SyncContext
from flashql.catalog import Persistence, View
from flashql.deltas import Deltas
from flashql.hooks import Hooks, under_way
from flashql.lsn import LSN
from flashql.moved import Change, moved_rows, netted, shown_delta, shown_rows
from flashql.planner.steps import Steps
from flashql.quoting import fold, qualified
from flashql.selecting import Selector
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.relations import described, shown_tables


@dataclass(frozen=True, eq=False)
class Watcher:
    """Whom to tell of a view. Both are called by the thread that committed, before the next transaction begins.

    So whatever they do holds up replication, and they should only put aside what they are told. Neither raises. After
    `ended`, which says why the view's rows are watched no more, comes nothing.
    """

    tell: Callable[[Change], None]
    ended: Callable[[errors.FlashQLError], None]


class Watchers:
    """The watchers of one database's views."""

    def __init__(self, store: Store) -> None:
        self.hooks = Hooks(store)
        self._store = store
        self._lock = threading.RLock()  # guards the first below; the other belongs to the single writer
        self._watchers: dict[str, list[Watcher]] = {}  # by relation id
        self._shown: dict[str, str] = {}  # the table that each view shows, as of the last commit

    def watchable(self, name: str) -> View:
        """The view of that relation id, in any case. Raises `UnknownName`, and `NotSupported` for an origin view."""
        view = next((view for key, view in views(self._store).items() if fold(key) == fold(name)), None)
        if view is None:
            raise errors.UnknownName(f"there is no FlashQL view {name}", hint="SELECT * FROM flashql.views lists them.")
        if view.persistence is Persistence.ORIGIN:
            raise errors.NotSupported(
                f"{view.relation_id} is read at its origin, so its changes are not seen here",
                hint="Make it a REALTIME view.",
            )
        return view

    def add(self, view: View, watcher: Watcher) -> Callable[[], None]:
        """Tell the watcher of each local commit after this call; calling what is returned ends it.

        Within a transaction it is told what that changes of rows that were committed before.
        """
        with self._store.transaction(of_stream=True):  # it changes nothing
            with self._lock:
                self._watchers.setdefault(view.relation_id, []).append(watcher)
            self._shown = shown_tables(self._store)
        return partial(self._remove, view.relation_id, watcher)

    def add_before(self, callback: Callback, selector: Selector, timeout_seconds: float) -> Hook:
        """Ask a hook before each commit of sync's after this call. Raises what `Hooks.before` does."""
        with self._store.transaction():
            self._shown = shown_tables(self._store)
            return self.hooks.before(callback, selector, timeout_seconds)

    def add_after(self, callback: Callback, selector: Selector, timeout_seconds: float) -> Hook:
        """Tell a hook of each commit of sync's after this call. Raises what `Hooks.after` does."""
        with self._store.transaction():
            self._shown = shown_tables(self._store)
            return self.hooks.after(callback, selector, timeout_seconds)

    def _remove(self, name: str, watcher: Watcher) -> None:
        with self._lock:
            left = [one for one in self._watchers.pop(name, ()) if one is not watcher]
            if left:
                self._watchers[name] = left

    def _of(self, name: str) -> list[Watcher]:
        with self._lock:
            return list(self._watchers.get(name, ()))

    def _names(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._watchers)

    def tables(self) -> frozenset[str]:
        """The tables whose delta somebody watches."""
        names = self._names() | self.hooks.selected_now()
        return frozenset(self._shown[name] for name in names if name in self._shown)

    def collect(
        self, writer: duckdb.DuckDBPyConnection, deltas: Deltas, lsn: LSN | None, steps: Mapping[str, Steps]
    ) -> None:
        """Ask hooks about what this transaction changes in views, and tell whoever watches, once it has committed.

        `lsn` is that of a batch of the stream; `steps` has the plans of the kept views that follow `deltas`. Raises
        `HookRefused` when it must not be committed.
        """
        watched = self._names()
        if not (watched or self.hooks.any):
            return
        shown, known = shown_tables(self._store), views(self._store)
        hooked = self.hooks.selected(known) if under_way() is not None else frozenset()
        news: list[tuple[str, Change | errors.FlashQLError]] = []
        payload: dict[str, Change] = {}
        for name in sorted(watched | hooked):
            view, other = known.get(name), None
            try:
                change = self._change(writer, name, view, deltas, shown.get(name), steps.get(name))
            except errors.DefinitionError as gone:
                news.append((name, gone))
                change, other = None, view
            if view is not None and change is not None:
                payload[name] = Change(name, self._lsn(view, lsn), *change)
                news.append((name, payload[name]))
            if other is not None and name in hooked:  # its columns are others: all its rows leave, and arrive
                payload[name] = Change(name, self._lsn(other, lsn), *self._both(writer, other, shown.get(name)))
        self._guard({name: one for name, one in payload.items() if name in hooked}, known)
        self._store.once_committed(partial(self._committed, shown, [one for one in news if one[0] in watched]))

    def _guard(self, payload: Mapping[str, Change], known: Mapping[str, View]) -> None:
        """Ask the before_sync hooks, and have the others told once it has committed."""
        belongs = under_way()
        if belongs is None or not payload:
            return
        phase, origin = belongs
        lsn = next((one.lsn for one in payload.values() if one.lsn is not None), None)
        context = SyncContext(phase=phase, origin=origin, lsn=lsn, payload=MappingProxyType(dict(payload)))
        self.hooks.guard(context, known)
        self._store.once_committed(partial(self.hooks.tell, context))

    def _committed(self, shown: dict[str, str], news: list[tuple[str, Change | errors.FlashQLError]]) -> None:
        self._shown = shown
        for name, one in news:
            for watcher in self._of(name):
                if isinstance(one, Change):
                    watcher.tell(one)
                else:
                    self._remove(name, watcher)
                    watcher.ended(one)

    def _change(
        self,
        writer: duckdb.DuckDBPyConnection,
        name: str,
        view: View | None,
        deltas: Deltas,
        table: str | None,
        steps: Steps | None,
    ) -> tuple[pa.Table, pa.Table] | None:
        """The rows that arrive and those that leave with this transaction; None when there are none.

        Raises `UnknownName` when the view is gone, and `DefinitionError` when its columns are others now.
        """
        if view is None:
            raise errors.UnknownName(f"{name} was dropped", hint="Its changes have ended.")
        before = self._shown.get(name)
        if table == before and (table is None or table not in deltas):
            return None
        listed = table == before and table is not None and not deltas[table].lost
        if listed and (view.shows_copy or steps is not None):
            assert table is not None
            shown = f"FROM {qualified(view.namespace, view.name)}"
            left, arrived = moved_rows(writer, shown, shown_delta(view, table, steps))
        else:
            left, arrived = self._replaced(writer, view, before, table)
        return (arrived, left) if left.num_rows or arrived.num_rows else None

    def _replaced(
        self, writer: duckdb.DuckDBPyConnection, view: View, before: str | None, table: str | None
    ) -> tuple[pa.Table, pa.Table]:
        """The difference between the view's rows as committed and as this transaction has them.

        A view that shows no table has no rows to read; it counts as empty.
        """
        shown = f"FROM {qualified(view.namespace, view.name)}"
        committed = self._store.cursor()
        try:
            columns = described(writer, shown)
            if described(committed, shown) != columns:
                now = ", ".join(f"{name} {kind}" for name, kind in columns)
                raise errors.DefinitionError(
                    f"the columns of {view.relation_id} are others now: {now}",
                    hint="Its changes have ended: ask for them anew.",
                )
            old, new = shown_rows(committed, shown, before), shown_rows(writer, shown, table)
            return netted(committed, [old], [new])
        finally:
            committed.close()

    def _both(self, writer: duckdb.DuckDBPyConnection, view: View, table: str | None) -> tuple[pa.Table, pa.Table]:
        """All rows that the view shows once committed, and all that it has shown until now."""
        shown = f"FROM {qualified(view.namespace, view.name)}"
        committed = self._store.cursor()
        try:
            before = self._shown.get(view.relation_id)
            return shown_rows(writer, shown, table), shown_rows(committed, shown, before)
        finally:
            committed.close()

    def _lsn(self, view: View, lsn: LSN | None) -> str | None:
        if view.origin is None:
            return None
        if lsn is not None:
            return str(lsn)
        rows = self._store.rows(
            "SELECT last_seen_commit FROM flashql.sync_jobs WHERE relation_id = ?", [view.relation_id]
        )
        return rows[0][0] if rows else None
