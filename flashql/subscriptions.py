"""Handles on subscriptions: what `db.sync.subscribe` returns."""

from __future__ import annotations

import json
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import TIMEOUT_MAX
from types import TracebackType
from typing import Self

from flashql import arguments, errors
from flashql.catalog import CopyState, View
from flashql.ddl import parse_interval_seconds
from flashql.ddl.options import LEAST_URGENT
from flashql.selecting import Selector, select
from flashql.store import Store
from flashql.store.copies import copies
from flashql.store.definitions import views
from flashql.store.jobs import jobs
from flashql.store.sets import committed_sets, require_fits
from flashql.store.subscriptions import progress_of, subscriptions
from flashql.subscribers import Subscribers, default_sets
from flashql.subscribing import Subscribed, listed, subscribe, unsubscribe


@dataclass(frozen=True)
class SubscriptionProgress:
    """Rows and bytes read so far, and how many the origin thinks there are (None: it did not say).

    Sets that are read together count together, as their rows may be the same.
    """

    done_rows: int
    total_rows: int | None
    done_bytes: int
    total_bytes: int | None


class Subscription:
    """A handle on one view's rows for one set of its parameters.

    As long as a program has one, open, the subscription does not expire; its time to live begins with the last
    `close()`, or the program's end. As a context manager it closes itself. Everything else it tells is as of now, and
    the same for all handles.
    """

    def __init__(self, store: Store, view: View, parameters: str) -> None:
        self.view = view.relation_id
        self.parameters: dict[str, object] = json.loads(parameters)
        self._store = store
        self._origin = view.origin
        self._key = view.relation_id, parameters
        self._subscribers = Subscribers.of(store)
        self._subscribers.open(self._key)
        self._closed = weakref.finalize(self, self._subscribers.close, self._key)

    def wait(self, timeout: float | None = None) -> None:
        """Return when the view has all rows of this set.

        Raises `TimeoutError` after `timeout` seconds, and `OriginError` when the view is not followed or nobody asks
        for this set any more.
        """
        seconds = TIMEOUT_MAX / 2 if timeout is None else timeout
        if not self._subscribers.wait_for(self._is_here, seconds):
            row = self._row()
            why = f": {row.last_error}" if row is not None and row.last_error else ""
            raise TimeoutError(f"{self.view} has no rows for {self._key[1]} within {timeout} s{why}")

    def _is_here(self) -> bool:
        if self._in_place():
            return True
        row, job = self._row(), jobs(self._store).get(self.view)
        if row is None:
            raise errors.OriginError(f"{self.view} is not subscribed to {self._key[1]} any more")
        if job is None or not job.enabled or job.state == "idle":
            raise errors.OriginError(f"{self.view} is not running", hint="Run db.sync.sync() or resume().")
        return False

    def _in_place(self) -> bool:
        for copy in copies(self._store, self._origin or ""):
            if copy.view == self.view and copy.state is CopyState.LIVE:
                return self._key[1] in committed_sets(self._store, copy)
        return False

    def _row(self) -> Subscribed | None:
        return subscriptions(self._store, *self._key).get(self._key)

    @property
    def has_synced(self) -> bool:
        """Whether its rows have come, at some time: they are here unless the view is being copied again."""
        row = self._row()
        return row is not None and row.has_synced

    @property
    def last_synced_at(self) -> datetime | None:
        """When its rows came; from then on they follow the origin."""
        row = self._row()
        return row.last_synced_at if row is not None else None

    @property
    def expires_at(self) -> datetime | None:
        """When it ends unless it is extended; None when that is not known to be coming."""
        row = self._row()
        return row.expires_at if row is not None else None

    @property
    def progress(self) -> SubscriptionProgress | None:
        """How far reading its rows has come; None when they are not being read."""
        found = progress_of(self._store, self._key)
        return SubscriptionProgress(*found) if found is not None else None

    def close(self) -> None:
        """Give up this handle: the subscription goes on until its time is over, or for other handles."""
        if self._closed() is not None:
            self._subscribers.tell()

    def unsubscribe(self) -> None:
        """Nobody wants this set any more, other handles included: its rows leave, unless other sets have them too."""
        defaults = _defaults(self._store)
        self._closed()
        self._subscribers.change(lambda rows: listed(unsubscribe(rows, self._key), defaults), *self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription {self.view} {self._key[1]}>"


class Subscribes:
    """What `db.sync` does about subscriptions."""

    _store: Store

    def subscribe(
        self,
        view: str,
        parameters: Mapping[str, object] | None = None,
        *,
        ttl: str | float | timedelta | None = None,
        priority: int | None = None,
    ) -> Subscription:
        """Ask for a view's rows for one set of its parameters: see `Subscription`. `ttl` is '1 day' or seconds.

        What is not given is as its parameter says by DEFAULT, or an error; the most urgent `priority` that anybody asks
        for counts, a smaller number being more urgent. Raises `UnknownName` and `DefinitionError`.
        """
        return subscribed(self._store, view, parameters or {}, ttl, priority)

    def subscriptions(self, selector: Selector = "*") -> list[Subscribed]:
        """The subscriptions to the selected views, in the order they were made."""
        return subscriptions_to(self._store, select(views(self._store), selector, strict=False))


def subscribed(
    store: Store,
    view: str,
    given: Mapping[str, object],
    ttl: str | float | timedelta | None,
    priority: int | None,
) -> Subscription:
    """Ask for one set of a view's parameters. Raises `UnknownName`, and `DefinitionError` for what does not fit it."""
    found = select(views(store), view)
    if len(found) != 1 or not found[0].parameters:
        raise errors.DefinitionError(
            f"{view} is no view with parameters",
            hint="CREATE REALTIME VIEW name (parameter type, ...) AS SELECT ... makes one.",
        )
    if priority is not None and not 0 <= priority <= LEAST_URGENT:
        raise errors.DefinitionError(f"priority is from 0 to {LEAST_URGENT}, and {priority} is not")
    values = arguments.of_subscription(found[0].parameters, given)
    require_fits(store, found[0].parameters, found[0].numeric, values)
    parameters = arguments.to_json(found[0].parameters, values)
    key, seconds = (found[0].relation_id, parameters), _seconds(ttl)
    handle = Subscription(store, found[0], parameters)
    defaults, now = {key[0]: default_sets(found).get(key[0])}, datetime.now(UTC)
    ask = partial(subscribe, key=key, now=now, ttl_seconds=seconds, priority=priority)
    Subscribers.of(store).change(lambda rows: listed(ask(rows), defaults), *key)
    return handle


def subscriptions_to(store: Store, chosen: Collection[View]) -> list[Subscribed]:
    """The subscriptions to these views, in the order they were made."""
    names = {view.relation_id for view in chosen}
    return [row for row in subscriptions(store).values() if row.view in names]


def _defaults(store: Store) -> dict[str, str | None]:
    return default_sets(views(store).values())


def _seconds(ttl: str | float | timedelta | None) -> float | None:
    """A time to live in seconds. Raises `DefinitionError`."""
    if ttl is None:
        return None
    if isinstance(ttl, str):
        return parse_interval_seconds(ttl)
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else float(ttl)
    if not 0 < seconds < TIMEOUT_MAX:
        raise errors.DefinitionError(f"a time to live is above zero, and {ttl} is not")
    return seconds
