"""Changefeeds: what each local commit changes in a view, for a loop or a callback, at the pace of whoever takes it.

What waits to be taken is bounded: beyond a number of rows or changes it becomes one change, the difference of them all.
So a feed holds at most what differs between the rows that its consumer knows and those there are.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Self

import duckdb

from flashql import errors
from flashql.catalog import View
from flashql.maintenance import Maintenance
from flashql.moved import Change, netted
from flashql.store import Store
from flashql.taking import Taken
from flashql.watching import Watcher

Callback = Callable[[Change], object]

_log = logging.getLogger(__name__)

# More than this does not wait one by one. A change is at least one row of each of some hundred bytes.
BUFFERED_ROWS = 100_000
BUFFERED_CHANGES = 1_000

# How long close() waits for a callback under way.
_JOIN_SECONDS = 2.0


class ChangeFeed(Taken[Change]):
    """The changes of a view or query in the order of commits, each once: an iterator, also an asynchronous one.

    Iteration waits for the next change, ends after `close`, and raises why the feed has ended by itself: `UnknownName`
    when the view was dropped, `DefinitionError` when its columns are others now, `ViewBroken` when a live query fails.
    """

    def __init__(self, name: str, connect: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        super().__init__(f"changes-{name}")
        self.name = name
        self._connect = connect
        self._waiting: deque[Change] = deque()
        self._rows = 0  # in those that wait
        self._limit_rows = BUFFERED_ROWS
        self._folding = False
        self._error: errors.FlashQLError | None = None
        self._closed = False
        self._unwatch: weakref.finalize[..., ChangeFeed] | None = None

    # -- what is told

    def tell(self, change: Change) -> None:
        """The next change. It is put aside, folded into those before it when too much waits."""
        with self._condition:
            if self._closed or self._error is not None:
                return
            self._waiting.append(change)
            self._rows += _rows(change)
            self._fold_when_full()
            self._wake()

    def ended(self, error: errors.FlashQLError) -> None:
        """No change comes any more; whoever has taken all that wait is told why."""
        with self._condition:
            self._error = self._error or error
            self._wake()

    def _fold_when_full(self) -> None:
        """Begin to make what waits one change, when it is too much. The lock is held.

        A thread does it, for whoever tells must not be held up; what it is told meanwhile waits behind.
        """
        full = self._rows > self._limit_rows or len(self._waiting) > BUFFERED_CHANGES
        if full and not self._folding and not self._closed:
            self._folding = True
            parts = list(self._waiting)
            self._waiting.clear()
            self._rows = 0
            threading.Thread(target=self._fold, args=(parts,), name=f"flashql-fold-{self.name}", daemon=True).start()

    def _fold(self, parts: list[Change]) -> None:
        """Put one change in the place of these; the next time, twice as many: so a row costs the same in all."""
        failure, folded = None, parts[-1]
        try:
            connection = self._connect()
            try:
                left, arrived = netted(connection, [one.deleted for one in parts], [one.inserted for one in parts])
                folded = replace(folded, inserted=arrived, deleted=left)
            finally:
                connection.close()
        except Exception as error:  # of DuckDB or Arrow: no memory, or the database was closed
            failure = errors.DatabaseBusy(f"the changes of {self.name} that waited could not be kept: {error}")
        with self._condition:
            self._folding = False
            if failure is not None:
                self._waiting.clear()
                self._error = self._error or failure
            elif not self._closed and _rows(folded):
                self._waiting.appendleft(folded)
                self._rows += _rows(folded)
            self._limit_rows = max(BUFFERED_ROWS, 2 * _rows(folded))
            self._fold_when_full()
            self._wake()

    # -- what is taken

    def _ready(self) -> bool:
        return self._closed or (not self._folding and (bool(self._waiting) or self._error is not None))

    def _next(self) -> Change | None:
        """The next of those that wait; None when closed. Raises what has ended the feed."""
        if self._waiting:
            change = self._waiting.popleft()
            self._rows -= _rows(change)
            if not self._waiting:
                self._limit_rows = BUFFERED_ROWS
            return change
        if self._error is not None and not self._closed:
            raise self._error
        return None

    # -- its life

    def watch(self, add: Callable[[Watcher], Callable[[], None]]) -> Self:
        """Begin to watch; `add` returns what ends it, which is called when the feed is closed, or no longer there."""
        there = weakref.ref(self)

        def tell(change: Change) -> None:
            feed = there()
            if feed is not None:
                feed.tell(change)

        def ended(error: errors.FlashQLError) -> None:
            feed = there()
            if feed is not None:
                feed.ended(error)

        self._unwatch = weakref.finalize(self, add(Watcher(tell, ended)))
        self._unwatch.atexit = False
        return self

    def _run(self, callback: Callback) -> None:
        try:
            super()._run(callback)
        except errors.FlashQLError as error:
            _log.error("the changes of %s have ended: %s", self.name, error)
        finally:
            self._end_watch()

    def _end_watch(self) -> None:
        if self._unwatch is not None:
            self._unwatch()

    def close(self) -> None:
        """End the feed: iteration ends, and no callback begins any more; one under way is waited for a moment.

        What waits is dropped. Closing what is closed does nothing.
        """
        with self._condition:
            self._closed = True
            self._waiting.clear()
            self._wake()
        self._end_watch()
        self.join(_JOIN_SECONDS)


def _rows(change: Change) -> int:
    return int(change.inserted.num_rows + change.deleted.num_rows)


class ChangeFeeds:
    """The feeds of one database that are open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._maintenance = Maintenance.of(store)
        self._open: weakref.WeakSet[ChangeFeed] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def changes(self, relation_id: str, callback: Callback | None = None) -> ChangeFeed:
        """What each local commit from now on changes in a view.

        Raises `UnknownName`, `NotSupported` for an origin view, `DatabaseReadOnly`.
        """
        view = self._maintenance.watchers.watchable(relation_id)
        feed = ChangeFeed(view.relation_id, self._store.cursor)
        self._keep(feed)
        feed.watch(partial(self._maintenance.watchers.add, view))
        return feed if callback is None else feed.call(callback)

    def live(self, view: View, callback: Callback | None = None) -> ChangeFeed:
        """The rows of a query that `view` describes, as a first change, and then what each local commit changes.

        Raises `ViewNotReady`, `ViewBroken`, `DatabaseReadOnly`.
        """
        feed = ChangeFeed(view.relation_id, self._store.cursor)
        self._keep(feed)
        feed.watch(lambda watcher: self._maintenance.live(view, watcher).end)
        return feed if callback is None else feed.call(callback)

    def _keep(self, feed: ChangeFeed) -> None:
        with self._lock:
            if self._closed:
                raise errors.DatabaseError("this database is closed", hint="Open it again with flashql.connect().")
            self._open.add(feed)

    def close(self) -> None:
        """Close every feed; none is opened any more."""
        with self._lock:
            self._closed = True
            feeds = list(self._open)
        for feed in feeds:
            feed.close()
