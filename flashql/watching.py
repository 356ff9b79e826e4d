"""Who watches which view, and what each local commit has to tell them.

Nothing is computed for views that nobody watches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import duckdb
import pyarrow as pa

from flashql import errors
from flashql.catalog import Persistence, View
from flashql.deltas import Deltas
from flashql.lsn import LSN
from flashql.moved import Change, moved_rows, netted, shown_delta
from flashql.planner.steps import Steps
from flashql.quoting import qualified
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
        self._store = store
        self._lock = threading.RLock()  # guards the first below; the other belongs to the single writer
        self._watchers: dict[str, list[Watcher]] = {}  # by relation id
        self._shown: dict[str, str] = {}  # the table that each view shows, as of the last commit

    def watchable(self, name: str) -> View:
        """The view of that relation id, in any case. Raises `UnknownName`, and `NotSupported` for an origin view."""
        view = next((view for key, view in views(self._store).items() if key.lower() == name.lower()), None)
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
        with self._store.transaction():
            with self._lock:
                self._watchers.setdefault(view.relation_id, []).append(watcher)
            self._shown = shown_tables(self._store)
        return partial(self._remove, view.relation_id, watcher)

    def _remove(self, name: str, watcher: Watcher) -> None:
        with self._lock:
            left = [one for one in self._watchers.pop(name, ()) if one is not watcher]
            if left:
                self._watchers[name] = left

    def _of(self, name: str) -> list[Watcher]:
        with self._lock:
            return list(self._watchers.get(name, ()))

    def _names(self) -> list[str]:
        with self._lock:
            return list(self._watchers)

    def tables(self) -> frozenset[str]:
        """The tables whose delta somebody watches."""
        return frozenset(self._shown[name] for name in self._names() if name in self._shown)

    def collect(
        self, writer: duckdb.DuckDBPyConnection, deltas: Deltas, lsn: LSN | None, steps: Mapping[str, Steps]
    ) -> None:
        """Tell what this transaction changes in watched views, once it has committed.

        `lsn` is that of a batch of the stream; `steps` has the plans of the kept views that follow `deltas`.
        """
        names = self._names()
        if not names:
            return
        shown, known = shown_tables(self._store), views(self._store)
        news: list[tuple[str, Change | errors.FlashQLError]] = []
        for name in names:
            try:
                change = self._change(writer, name, known.get(name), deltas, shown.get(name), steps.get(name))
            except errors.DefinitionError as gone:
                news.append((name, gone))
                continue
            if change is not None:
                news.append((name, Change(name, self._lsn(known[name], lsn), *change)))
        self._store.once_committed(partial(self._committed, shown, news))

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
            old, new = (
                connection.sql(f"{shown}{'' if there else ' LIMIT 0'}").to_arrow_table()
                for connection, there in ((committed, before), (writer, table))
            )
            return netted(committed, [old], [new])
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
