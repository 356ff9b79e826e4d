"""Scopes: named groups of views that are synced together, watched as one, and remembered.

A run of a scope takes part in passes like any other call of `sync`, and notes what becomes of each of its views in the
moment it does. Whoever opens the file for writing is its only writer: a scope that its rows say is syncing, and that no
run of this process is about, was interrupted.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeAlias, overload

import duckdb

from flashql import errors
from flashql.events import ProgressMade
from flashql.instances import InstanceState, Turn
from flashql.passes import SyncReport, Watch
from flashql.selecting import Selector, select
from flashql.store import Store
from flashql.store.definitions import views
from flashql.store.scopes import (
    ScopeStatus,
    add_views,
    begin_run,
    delete_operation,
    delete_scope,
    interrupt_all,
    move,
    scopes,
    set_operations,
)
from flashql.works import Amount, Works, fields_of, made

_log = logging.getLogger(__name__)

# What `function_id` says of an operation that was part of no scope.
SYNC = "sync"

_COMES_TO = {
    Turn.BEGIN: InstanceState.SYNCING,
    Turn.SUCCEED: InstanceState.SYNCED,
    Turn.FAIL: InstanceState.FAILED,
}

# Brings views to where they should be (with force or not), and tells a watch: `Passes.join`.
CarryOut: TypeAlias = Callable[[Sequence[str], bool, Watch], SyncReport]


class Operations:
    """Notes what becomes of views in `flashql.sync_status`, as operations of one kind. A `Watch`."""

    def __init__(self, store: Store, function_id: str) -> None:
        self._store = store
        self._function_id = function_id

    def began(self, names: Sequence[str]) -> None:
        """They are being seen to."""
        self._note(Turn.BEGIN, dict.fromkeys(names))

    def ended(self, outcomes: Mapping[str, errors.FlashQLError | None]) -> None:
        """They are where they should be, or failed."""
        self._note(Turn.SUCCEED, {name: None for name, error in outcomes.items() if error is None})
        self._note(Turn.FAIL, {name: str(error) for name, error in outcomes.items() if error is not None})

    def left_alone(self, names: Sequence[str]) -> None:
        """No operation takes place."""

    def _note(self, turn: Turn, told: Mapping[str, str | None]) -> None:
        if told:
            with self._store.transaction(of_stream=True) as writer:
                self._write(writer, turn, told)

    def _write(self, writer: duckdb.DuckDBPyConnection, turn: Turn, told: Mapping[str, str | None]) -> None:
        set_operations(writer, self._function_id, _COMES_TO[turn], told)


class _Run(Operations):
    """One run of a scope: `names` are the views it is about, `left` those that are not complete."""

    def __init__(self, scopes: Scopes, store: Store, scope_id: str) -> None:
        super().__init__(store, scope_id)
        self.scope_id = scope_id
        self.run_id = uuid.uuid4().hex
        self.names: set[str] = set()  # this and the next: guarded by the scopes' condition
        self.left: set[str] = set()
        self.began_at = time.monotonic()
        self._scopes = scopes

    def ended(self, outcomes: Mapping[str, errors.FlashQLError | None]) -> None:
        """They are where they should be, or failed."""
        try:
            super().ended(outcomes)
        finally:
            self._scopes.ended(self, outcomes.keys())

    def left_alone(self, names: Sequence[str]) -> None:
        """They are stopped: the run is not about them any more."""
        try:
            self._note(Turn.LEAVE, dict.fromkeys(names))
        finally:
            self._scopes.ended(self, names)

    def _note(self, turn: Turn, told: Mapping[str, str | None]) -> None:
        if self._scopes.is_about(self):
            super()._note(turn, told)

    def _write(self, writer: duckdb.DuckDBPyConnection, turn: Turn, told: Mapping[str, str | None]) -> None:
        if move(writer, self.scope_id, self.run_id, turn, told) and turn in _COMES_TO:
            super()._write(writer, turn, told)


class Scope:
    """A scope that was started: to wait for it, and to look at it. It stays good when the scope is started again."""

    def __init__(self, scopes: Scopes, scope_id: str) -> None:
        self.id = scope_id
        self._scopes = scopes

    def wait(self, timeout: float | None = None) -> ScopeStatus:
        """Return when no run of the scope is under way, with what the last one came to: look at its `state`.

        Raises `TimeoutError` after `timeout` seconds, and `UnknownName` when the scope was deleted.
        """
        return self._scopes.wait(self.id, timeout)

    def status(self) -> ScopeStatus:
        """The scope as it is now. Raises `UnknownName` when it was deleted."""
        return self._scopes.status(self.id)

    def __repr__(self) -> str:
        return f"<Scope {self.id}>"


class Scopes:
    """The scopes of one database: `db.sync.scopes`. From any thread."""

    def __init__(self, store: Store, carry_out: CarryOut) -> None:
        self._store = store
        self._carry_out = carry_out
        self._works = Works.of(store)
        self._works.also(self.progress)
        self._starting = threading.RLock()  # held while rows say what runs, before or after memory does
        self._condition = threading.Condition()  # guards what follows, and is held over no write
        self._running: dict[str, _Run] = {}  # by the scope's id; each from before its rows say so until after
        self._last: dict[str, _Run] = {}  # likewise, and also those that are over
        self._closed = False
        self._told: dict[str, Amount] = {}  # what was told last of how far each is

    def start(
        self, scope_id: str, selector: Selector, *, wait: bool = False, restart: bool = False, force: bool = False
    ) -> Scope:
        """Sync the selected views as a scope of that name, on a thread of its own; return at once, or `wait`.

        For each view is done what `sync()` does; `force` is as there. A scope that is running is joined: views that it
        is not about yet take part as well. With `restart` it begins anew instead, and what becomes of the run before
        is not noted any more.

        Raises `UnknownName` for a name that is no view's, `DefinitionError` for an id that cannot be one, and
        `DatabaseReadOnly`; nothing has changed then.
        """
        if not scope_id or scope_id == SYNC:
            raise errors.DefinitionError(f"{scope_id!r} cannot be a scope's id", hint="Give it another name.")
        if self._store.read_only:
            raise errors.DatabaseReadOnly(
                f"{self._store.path} was opened read-only, so it cannot be synced",
                hint="Start scopes in the one process that opens it with read_only=False.",
            )
        names = [view.relation_id for view in select(views(self._store), selector)]
        with self._starting:
            run, fresh = self._taken_up(scope_id, names, restart=restart)
        if fresh:
            threading.Thread(
                target=self._run, args=(run, fresh, force), name=f"flashql-scope-{scope_id}", daemon=True
            ).start()
        scope = Scope(self, scope_id)
        if wait:
            scope.wait()
        return scope

    @overload
    def status(self) -> list[ScopeStatus]: ...

    @overload
    def status(self, scope_id: str) -> ScopeStatus: ...

    def status(self, scope_id: str | None = None) -> ScopeStatus | list[ScopeStatus]:
        """Every scope, by id, or the one of that id, for which it raises `UnknownName`."""
        with self._condition:  # so that what the rows say is running and what runs are of one moment
            found = scopes(self._store)
            running = set(self._running)
            last = dict(self._last)
        shown = [one.cut() if one.is_running and one.id not in running else one for one in found.values()]
        shown = [replace(one, **fields_of(self._amount(last[one.id]))) if one.id in last else one for one in shown]
        if scope_id is None:
            return shown
        for one in shown:
            if one.id == scope_id:
                return one
        raise _unknown(scope_id)

    def wait(self, scope_id: str, timeout: float | None = None) -> ScopeStatus:
        """As `Scope.wait`."""
        with self._condition:
            if not self._condition.wait_for(lambda: scope_id not in self._running, timeout):
                raise TimeoutError(f"scope {scope_id} was not complete within {timeout} s")
        return self.status(scope_id)

    def delete(self, scope_id: str) -> None:
        """Forget the scope and its history. If it is running, its views are still synced, but nothing is noted of it.

        Raises `UnknownName` and `DatabaseReadOnly`.
        """
        with self._starting:
            with self._store.transaction() as writer:
                if not delete_scope(writer, scope_id):
                    raise _unknown(scope_id)
            with self._condition:
                self._running.pop(scope_id, None)
                self._last.pop(scope_id, None)
                self._condition.notify_all()

    def delete_status(self, status_id: str) -> None:
        """Forget one row of `flashql.sync_status`. Raises `UnknownName` and `DatabaseReadOnly`."""
        with self._store.transaction() as writer:
            if not delete_operation(writer, status_id):
                raise errors.UnknownName(
                    f"there is no status {status_id}", hint="Look for its id: SELECT id FROM flashql.sync_status"
                )

    def close(self) -> None:
        """What runs is interrupted; nothing is started any more."""
        with self._starting, self._condition:
            self._closed = True
        with suppress(errors.FlashQLError):  # then the next to open the file finds it
            self.interrupt()

    def interrupt(self) -> None:
        """Scopes that are running, here or in a process that is gone, are so no longer."""
        with self._starting:
            with self._condition:
                self._running.clear()
                self._condition.notify_all()
            if not self._store.read_only:
                with self._store.transaction(of_stream=True) as writer:
                    interrupt_all(writer)

    def _amount(self, run: _Run) -> Amount | None:
        """How much was read for the run's views since it began."""
        amounts = [one for name in run.names if (one := self._works.lately(name, run.began_at)) is not None]
        return sum(amounts, Amount()) if amounts else None

    def progress(self) -> list[ProgressMade]:
        """How far each scope is that is running, or has ended since it was asked last."""
        with self._condition:
            last, running = list(self._last.values()), set(self._running)
        found = {run.scope_id: amount for run in last if (amount := self._amount(run)) is not None}
        before, self._told = self._told, found
        told = {name: one for name, one in found.items() if name in running or before.get(name) != one}
        return [made(name, amount, kind="scope") for name, amount in told.items()]

    # -- told by its runs

    def is_about(self, run: _Run) -> bool:
        """Whether what becomes of the run's views still counts: it was not restarted, deleted or interrupted."""
        with self._condition:
            return self._running.get(run.scope_id) is run

    def ended(self, run: _Run, names: Collection[str]) -> None:
        """Of these views nothing more will be told."""
        with self._condition:
            run.left.difference_update(names)
            if not run.left and self._running.get(run.scope_id) is run:
                del self._running[run.scope_id]
            self._condition.notify_all()

    # -- inside

    def _taken_up(self, scope_id: str, names: Sequence[str], *, restart: bool) -> tuple[_Run, list[str]]:
        """The run of the scope that these views take part in, and which of them did not before."""
        with self._condition:
            if self._closed:
                raise errors.DatabaseError("this database is closed", hint="Open it again with flashql.connect().")
            before = self._running.get(scope_id)
            run = before if before is not None and not restart else _Run(self, self._store, scope_id)
            fresh = [name for name in names if name not in run.names]
            run.names.update(fresh)
            run.left.update(fresh)  # from here on it does not end without them
            self._running[scope_id] = self._last[scope_id] = run
        try:
            with self._store.transaction(of_stream=True) as writer:
                (add_views if run is before else begin_run)(writer, scope_id, run.run_id, fresh)
        except BaseException:
            with self._condition:
                run.names.difference_update(fresh)
                if run is not before and before is not None:
                    self._running[scope_id] = before
            self.ended(run, fresh)
            raise
        self.ended(run, ())  # it is over when there is nothing to do
        return run, fresh

    def _run(self, run: _Run, names: Sequence[str], force: bool) -> None:
        failure: errors.FlashQLError = errors.DatabaseError("no pass told what became of it")
        try:
            self._carry_out(names, force, run)
        except errors.FlashQLError as error:
            failure = error
        except Exception as error:
            _log.exception("scope %s failed unexpectedly", run.scope_id)
            failure = errors.ProtocolError(f"scope {run.scope_id}: {type(error).__name__}: {error}")
        with self._condition:
            left = run.left.intersection(names)
        if left:
            with suppress(errors.FlashQLError):  # the database is closed: its rows say that it was interrupted
                run.began(sorted(left))
                run.ended(dict.fromkeys(sorted(left), failure))


def _unknown(scope_id: str) -> errors.UnknownName:
    return errors.UnknownName(f"there is no scope {scope_id}", hint="List them: SELECT id FROM flashql.sync_scopes")
