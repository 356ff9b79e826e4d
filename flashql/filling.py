"""Sets of parameters that are asked for come to their views' partial copies, and those that are not leave.

The rows of a fill are read like those of a copy: into a table of their own, from a snapshot, while the stream goes on
and what it says of them waits. When they are whole, up to the position of the copy that they are for, those that it
lacks are added to it and the sets are its own, in one local commit. The most urgent sets that are asked for are read
first, all of one priority together; nothing of a set is seen before all of it is.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, replace
from datetime import UTC, datetime
from functools import partial

from flashql import errors, joining, pending
from flashql.apply import Incomplete, target
from flashql.catalog import Copy, CopyName, CopyState, Table, View
from flashql.copying import Copied, CopyPass
from flashql.deltas import Delta, Deltas
from flashql.events import Events, ProgressMade, SyncApplied, SyncRetry
from flashql.following import MISFIT, CopyBroken
from flashql.lifecycle import Phase
from flashql.lsn import LSN, NOWHERE
from flashql.maintenance import Maintenance
from flashql.origins.postgres.origin import PostgresOrigin
from flashql.quoting import quote
from flashql.retrying import Failures
from flashql.store import Store
from flashql.store.copies import copies, delete_copy, next_id
from flashql.store.sets import committed_sets, create_sets, matching, move_sets, remove_sets
from flashql.store.subscriptions import change_subscriptions, set_progress, subscriptions
from flashql.subscribers import Subscribers, priority_of
from flashql.subscribing import Key, published, requested, urgency
from flashql.widening import widened_by_waiting
from flashql.works import Amount, Works, made

_log = logging.getLogger(__name__)

# So many sets of a view are read at once: each is a row of a list in the query for them.
AT_ONCE_SETS = 1000
# How far a fill has come is written down at most this often.
_PROGRESS_SECONDS = 0.2


class Fills:
    """The fills of one session, one at a time. `notify` wakes it when one has been read."""

    def __init__(
        self,
        store: Store,
        origin: PostgresOrigin,
        slot: str,
        notify: Callable[[], None],
        without_broken: Callable[[Callable[[], None]], None],
    ) -> None:
        self.failed: dict[str, errors.FlashQLError] = {}  # views whose sets could not be read at the last attempt
        self._store = store
        self._origin = origin
        self._slot = slot
        self._notify = notify
        self._without_broken = without_broken  # does what it is given, and again without views that turn out to fail
        self._maintenance = Maintenance.of(store)
        self._subscribers = Subscribers.of(store)
        self._events = Events.of(store)
        self._forget = self._subscribers.wake(notify)
        self._pass: CopyPass | None = None
        self._filling: dict[int, tuple[Copy, list[str]]] = {}  # by the fill's id: the copy that it is for, and sets
        self._seen = (-1, -1)
        self._failures = Failures(origin.retry)
        self._given_up: set[Key] = set()  # sets that are read again only when somebody asks for them
        self._retry_at = 0.0
        self._told_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether rows are being read."""
        return self._pass is not None

    @property
    def waits_for(self) -> LSN | None:
        """The position that the stream has to come to before what was read can join; None when nothing waits."""
        return self._pass.lsn if self._pass is not None and self._pass.finished else None

    def settled(self, view: View) -> bool:
        """Whether the view has the rows of every set that is asked for, and no others."""
        if view.restriction is None:
            return True
        copy = self._partial().get(view.relation_id)
        return copy is not None and self._wanted(view.relation_id) == committed_sets(self._store, copy)

    def step(self, views: Sequence[View], tables: Mapping[CopyName, Table], position: LSN) -> bool:
        """Do what is to be done now, between two batches; whether what is in place, or failed, has changed.

        Raises `CopyBroken` when a copy cannot hold what has come for it.
        """
        changed = False
        if self._subscribers.due:
            self._subscribers.look()
        if self._pass is not None and self._pass.finished and position >= self._pass.lsn:
            finished, self._pass = self._pass, None
            self._finish(finished, position)
            changed = True
        self._tell()
        now = (self._subscribers.changes, self._store.version)
        due = self._retry_at and time.monotonic() >= self._retry_at
        if not changed and now == self._seen and not due:
            return False
        self._seen = now
        followed = {view.relation_id: view for view in views if view.restriction is not None}
        there = {name: copy for name, copy in self._partial().items() if name in followed}
        for copy in there.values():
            leaving = committed_sets(self._store, copy) - self._wanted(copy.view)
            changed = changed or bool(leaving)
            if leaving:
                self._without_broken(partial(self._leave, copy, leaving, position))
        if self._pass is None and time.monotonic() >= self._retry_at:
            self._begin(followed, there, tables)
        return changed

    def asked(self) -> None:
        """Somebody asks for views: sets that were given up are read again."""
        if self._given_up:
            self._given_up.clear()
            self._seen = (-1, -1)

    def close(self) -> None:
        """Stop reading; nothing of it stays."""
        self._forget()
        if self._pass is not None:
            self._pass.cancel()

    def _partial(self) -> dict[str, Copy]:
        """The partial copies that follow the stream, by view."""
        return {
            copy.view: copy
            for copy in copies(self._store, self._origin.name)
            if copy.restriction is not None and copy.state is CopyState.LIVE
        }

    def _wanted(self, view: str) -> set[str]:
        return {row.parameters for row in requested(subscriptions(self._store, view))}

    # -- sets that come

    def _begin(self, views: Mapping[str, View], there: Mapping[str, Copy], tables: Mapping[CopyName, Table]) -> None:
        """Begin to read the most urgent of the sets that are asked for and not here."""
        missing: dict[int, dict[str, list[str]]] = {}
        for name, copy in there.items():
            here = committed_sets(self._store, copy)
            for row in requested(subscriptions(self._store, name)):
                if row.parameters not in here and copy.of in tables and (name, row.parameters) not in self._given_up:
                    urgent = urgency(row, priority_of(views[name]))
                    missing.setdefault(urgent, {}).setdefault(name, []).append(row.parameters)
        self._retry_at = 0.0
        if not missing:
            return
        wanted: list[tuple[Copy, Table]] = []
        for name, sets in missing[min(missing)].items():
            copy, these = there[name], sets[:AT_ONCE_SETS]
            fill = self._made(copy, these)
            self._filling[fill.id] = copy, these
            wanted.append((fill, tables[copy.of]))
        readers = {copy.of: [copy.view] for copy, _ in wanted}
        self._pass = CopyPass(self._store, self._origin, self._slot, wanted, None, readers, self._notify)

    def _made(self, copy: Copy, sets: Sequence[str]) -> Copy:
        """The record of a copy that takes the changes of these sets from here."""
        with self._store.transaction() as writer:
            fill = replace(copy, id=next_id(writer), fills=copy.id, local_table=None, lsn=NOWHERE)
            joining.save_copying(writer, fill)
            create_sets(writer, fill, sets)
        return fill

    def _tell(self) -> None:
        """Write down how far the fill has come, and tell it."""
        if self._pass is None or time.monotonic() - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = time.monotonic()
        with self._store.transaction(of_stream=True) as writer:
            for copy, sets in self._filling.values():
                done = Works.of(self._store).now(copy.view)
                if done is not None:
                    set_progress(writer, copy.view, sets, astuple(done))
                    self._tell_sets(copy, sets, done)

    def _tell_sets(self, copy: Copy, sets: Sequence[str], done: Amount) -> None:
        for one in sets if self._events.wanted(ProgressMade.name) else ():
            named = {"view": copy.view, "origin": copy.origin, "phase": Phase.CLONE}
            self._events.tell(made(f"{copy.view} {one}", done, kind="subscription", **named))

    def _finish(self, finished: CopyPass, position: LSN) -> None:
        """Let what was read join; what could not be is read again later."""
        filling, self._filling = self._filling, {}
        there = {copy.id: copy for copy in copies(self._store, self._origin.name)}
        failed: list[tuple[Copied, Copy, list[str], errors.FlashQLError | None]] = []
        for done in finished.results:
            wanted, sets = filling[done.copy.id]
            copy, error = there.get(wanted.id), done.error
            try:
                if error is None and copy is not None and copy.state is CopyState.LIVE and done.copy.id in there:
                    self._without_broken(partial(self._join, done.copy, copy, sets, position))
                    self._tell_applied(copy, position, finished.seconds)
                    continue
            except Incomplete as incomplete:
                error = errors.OriginBusy(f"{incomplete}; it is read again")
            except BaseException:
                for one in finished.results:
                    finished.discard(one)
                raise
            finished.discard(done)
            failed.append((done, wanted, sets, error))
        self._note(failed)

    def _note(self, failed: Sequence[tuple[Copied, Copy, list[str], errors.FlashQLError | None]]) -> None:
        """These fills of one pass did not join: when they are read again, if ever by themselves; all did when none."""
        self.failed, delay, now = {}, 0.0, time.monotonic()
        spent = False
        if any(error is not None for *_, error in failed):
            pause = self._failures.add(now, random.random())  # noqa: S311 - not a secret
            spent, delay = pause is None, pause or 0.0
        for done, wanted, sets, error in failed:
            if spent and error is not None:
                error = self._failures.spent(error, now)
                self._given_up |= {(wanted.view, one) for one in sets}
            self._drop(done, wanted, sets, error)
        for view, why in self.failed.items() if not spent else ():
            self._events.tell(
                SyncRetry(
                    view=view,
                    origin=self._origin.name,
                    phase=Phase.CLONE,
                    attempt=self._failures.count,
                    delay_seconds=delay,
                    error=str(why),
                )
            )
        self._retry_at = now + delay if self.failed and not spent else 0.0
        if spent or not self.failed:
            self._failures.forget()

    def _tell_applied(self, copy: Copy, position: LSN, seconds: float) -> None:
        read = Works.of(self._store).lately(copy.view, time.monotonic() - seconds - _PROGRESS_SECONDS)
        if self._events.wanted(SyncApplied.name):
            self._events.tell(
                SyncApplied(
                    view=copy.view,
                    origin=copy.origin,
                    phase=Phase.CLONE,
                    lsn=str(position),
                    rows=read.done_rows if read else 0,
                    seconds=seconds,
                )
            )

    def _drop(self, done: Copied, wanted: Copy, sets: list[str], error: errors.FlashQLError | None) -> None:
        """A fill does not join: nothing of it stays, and why is said of its subscriptions."""
        with self._store.transaction() as writer:
            delete_copy(writer, replace(done.copy, local_table=None))
            set_progress(writer, wanted.view, sets, None)
            if error is not None:
                before = subscriptions(self._store, wanted.view)
                failed = {
                    key: replace(row, last_error=str(error)) for key, row in before.items() if row.parameters in sets
                }
                change_subscriptions(writer, before, lambda rows: {**rows, **failed})
            self._store.once_committed(self._subscribers.tell)
        if error is not None:
            _log.warning("the rows of %d subscriptions to %s could not be read: %s", len(sets), wanted.view, error)
            self.failed[wanted.view] = error

    def _join(self, fill: Copy, copy: Copy, sets: list[str], position: LSN) -> None:
        """The rows of a fill that the copy lacks are added to it, and its sets are the copy's own."""
        if any(kept.rung != known.rung for kept, known in zip(fill.columns, copy.columns, strict=True)):
            raise CopyBroken(
                replace(copy, columns=fill.columns), errors.ValueUnrepresentable(f"{copy.view} is widened")
            )
        names = ", ".join(quote(kept.local_name) for kept in copy.columns)
        keys: list[Key] = [(copy.view, one) for one in sets]
        try:
            with self._store.transaction(of_stream=True) as writer:
                pending.release(writer, fill)
                deltas = Deltas(writer, self._maintenance.wanted())
                insert = f"INSERT INTO {target(copy)} ({names}) SELECT {names} FROM {target(fill)} AS r "
                _run(deltas.of(copy.local_table), writer.execute, f"{insert}WHERE NOT {matching(copy)}")
                move_sets(writer, fill, copy)
                self._maintenance.maintain(writer, deltas, position)
                delete_copy(writer, fill)
                set_progress(writer, copy.view, sets, None)
                before, now = subscriptions(self._store, copy.view), datetime.now(UTC)
                change_subscriptions(writer, before, lambda rows: published(rows, keys, now, str(position)))
                self._store.once_committed(self._subscribers.tell)
        except errors.FlashQLError as error:
            if not isinstance(error.__cause__, MISFIT):
                raise
            wider = replace(copy, columns=widened_by_waiting(self._store, fill).columns)
            raise CopyBroken(wider, errors.ValueUnrepresentable(str(error))) from error

    # -- sets that leave

    def _leave(self, copy: Copy, sets: set[str], position: LSN) -> None:
        """Rows that belong to no set any more are deleted, in one local commit."""
        with self._store.transaction(of_stream=True) as writer:
            remove_sets(writer, copy, sets)
            deltas = Deltas(writer, self._maintenance.wanted())
            delete = f"DELETE FROM {target(copy)} WHERE NOT {matching(copy)}"
            _run(deltas.of(copy.local_table), writer.execute, delete)
            self._maintenance.maintain(writer, deltas, position)
            self._store.once_committed(self._subscribers.tell)


def _run(delta: Delta | None, execute: Callable[[str], object], statement: str) -> None:
    if delta is None:
        execute(statement)
    else:
        delta.run(statement)
