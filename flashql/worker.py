"""One worker per origin: makes slot and publication, copies tables, follows the stream, backs off.

A session is: see what the active realtime views need -> publication, then slot -> stream; and while it runs, copy
what is missing and let it join. Whatever goes wrong ends the session; nothing durable is lost by that, and the
next one begins where the last local commit was.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from flashql import errors, joining
from flashql.apply import Incomplete
from flashql.events import Disconnected, Events, SyncRetry
from flashql.lifecycle import Phase
from flashql.lsn import LSN
from flashql.measuring import Meters
from flashql.moments import Moment
from flashql.origins.base import NeedsText
from flashql.origins.postgres.origin import PostgresOrigin
from flashql.patience import within
from flashql.retrying import Failures
from flashql.session import Session
from flashql.store import Store

_log = logging.getLogger(__name__)

# Told of views whose outcome is known: None when a view follows, else what keeps it from that.
Settled: TypeAlias = Callable[[Mapping[str, errors.FlashQLError | None]], None]


class Worker:
    """Keeps the active realtime views of one origin right, on a thread of its own, until stopped."""

    def __init__(self, store: Store, origin: PostgresOrigin) -> None:
        self.origin = origin
        self.meter = Meters.of(store).origin(origin.name)
        self._store = store
        self._events = Events.of(store)
        self._condition = threading.Condition()
        self._requested = 0  # how often someone asked to look again
        self._hurried = 0  # the last request that no pause may hold up
        self._served = 0  # the request up to which the outcome below counts
        self._session_error: errors.FlashQLError | None = None
        self._view_errors: dict[str, errors.FlashQLError] = {}
        self._live: frozenset[str] = frozenset()
        self._active: frozenset[str] = frozenset()  # the views that followed, or were to, at the last outcome
        self._reached = LSN(0)
        self._awaited = LSN(0)
        self._stopping = False
        self._halted: set[str] = set()
        self._binary = True  # until a value comes that cannot be read in binary form
        self._session: Session | None = None
        self._thread: threading.Thread | None = None

    # -- asked from any thread

    def ensure(
        self, names: Collection[str], settled: Settled = lambda _: None, *, force: bool = False
    ) -> dict[str, errors.FlashQLError]:
        """Run until each of the views follows the stream, or failed: the failures are returned.

        `settled` is told of views as soon as they do, each once, with its error or None. A pause after a failure ends
        at once with `force`, else as early as the first in a row would.
        """
        ticket = self._wake(start=True, unhalt=names, hurry=force)
        left = set(names)
        while left:
            with self._condition:
                self._condition.wait_for(lambda: any(self._settled(name, ticket) for name in left))
                found = {name: self._error_of(name) for name in left if self._settled(name, ticket)}
            left.difference_update(found)
            settled(found)
        with self._condition:
            return {name: error for name in names if (error := self._error_of(name)) is not None}

    def wait(self, names: Collection[str], lsn: LSN, deadline: float) -> bool:
        """Wait until each of the views shows everything up to `lsn`; False when the deadline passes first.

        Raises the error of a view that will not get there without help.
        """
        with self._condition:
            ticket = self._requested
            self._awaited = max(self._awaited, lsn)
            while not (self._served >= ticket and self._reached >= lsn and self._live.issuperset(names)):
                for name in names:
                    error = self._error_of(name)
                    if error is not None and (self._thread is None or error.retry is errors.Retry.MANUAL):
                        raise error
                    if name in self._halted:
                        raise errors.OriginError(f"{name} was stopped", hint="Run db.sync.resume() to go on.")
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                session = self._session
                if session is not None:
                    session.ask_position()
                self._condition.wait(min(remaining, 0.05))
        return True

    def origin_lsn(self, deadline: float) -> LSN:
        """Where the origin's WAL ends now. It is asked until it answers, for as long as the worker keeps trying too.

        Raises `TimeoutError` when the deadline passes first, the origin's error when trying again would not help.
        """
        name, attempt = f"flashql-ask-{self.origin.name}", 0
        while True:
            try:
                return within(deadline - time.monotonic(), self.origin.current_lsn, name)
            except errors.FlashQLError as error:
                attempt += 1
                delay = min(1.0, self.origin.retry.delay_seconds(attempt, random.random()))  # noqa: S311 - no secret
                with self._condition:
                    if error.retry is not errors.Retry.BACKOFF or self._is_over(delay, deadline):
                        raise
                if time.monotonic() >= deadline:
                    raise TimeoutError(error.message) from error

    def _is_over(self, seconds: float, deadline: float) -> bool:
        """Wait so long, not beyond the deadline; whether the worker ends meanwhile. Its lock is held."""
        remaining = min(seconds, deadline - time.monotonic())
        return self._condition.wait_for(lambda: self._stopping or self._thread is None, remaining)

    def at(self, moment: Moment) -> None:
        """Have the session act at a moment. Raises what kept it from that; `OriginError` when none runs."""
        session = self._session
        if session is None:
            raise errors.OriginError(f"origin {self.origin.name} is not followed now", hint="Run db.sync.sync().")
        session.at(moment)
        moment.wait(lambda: self._session is not session)

    def halt(self, names: Collection[str]) -> None:
        """Leave these views alone until `ensure` names them; the caller has parked them."""
        with self._condition:
            self._halted.update(names)
        self.look()

    def look(self) -> None:
        """See again what the views need: a definition or a job has changed."""
        self._wake(start=False)

    def hurry(self) -> None:
        """As `look`, and a pause after a failure ends at once."""
        self._wake(start=False, hurry=True)

    @property
    def halted(self) -> frozenset[str]:
        """The views that were halted in this process."""
        return frozenset(self._halted)

    @property
    def running(self) -> bool:
        """Whether its thread runs: it follows, or will try again."""
        return self._thread is not None

    def lag_bytes(self) -> int | None:
        """WAL the origin has written beyond what the copies contain, as of its last message."""
        session = self._session
        return None if session is None else session.lag_bytes()

    def stop(self) -> None:
        """End the session and the thread; the slot stays."""
        with self._condition:
            self._stopping = True
            session, thread = self._session, self._thread
            self._condition.notify_all()
        if session is not None:
            session.interrupt()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _wake(self, *, start: bool, unhalt: Collection[str] = (), hurry: bool = False) -> int:
        with self._condition:
            self._halted.difference_update(unhalt)
            self._requested += 1
            ticket = self._requested
            if hurry:
                self._hurried = ticket
            if start and self._thread is None:
                self._stopping = False
                self._thread = threading.Thread(
                    target=self._run, name=f"flashql-worker-{self.origin.name}", daemon=True
                )
                self._thread.start()
            session = self._session
            self._condition.notify_all()
        if session is not None:
            session.interrupt()
        return ticket

    def _settled(self, name: str, ticket: int) -> bool:
        if self._stopping or self._thread is None:
            return True
        return self._served >= ticket and (self._error_of(name) is not None or name in self._live)

    def _error_of(self, name: str) -> errors.FlashQLError | None:
        error = self._session_error or self._view_errors.get(name)
        if error is not None or name in self._live:
            return error
        # A view may be stopped or dropped by one thread while another waits for it to follow.
        inactive = name not in self._active and self._served == self._requested
        if inactive or self._stopping or self._thread is None:
            return errors.OriginError(f"{name}: its sync was stopped meanwhile")
        return error

    # -- told by the session

    def outcome(self, request: int, live: Collection[str], failed: dict[str, errors.FlashQLError]) -> None:
        """The session has acted on everything asked for up to `request`."""
        active = joining.active_views(self._store, self.origin.name, self.halted)
        with self._condition:
            self._active = frozenset(view.relation_id for view in active)
            self._served = max(self._served, request)
            self._session_error = None
            self._live, self._view_errors = frozenset(live), dict(failed)
            self._condition.notify_all()

    def reached(self, lsn: LSN) -> None:
        """The copies contain everything the origin committed before `lsn`."""
        with self._condition:
            if lsn > self._reached:
                self._reached = lsn
                self._condition.notify_all()

    @property
    def requested(self) -> int:
        """The number of the latest request."""
        return self._requested

    @property
    def awaited(self) -> LSN:
        """The farthest position that somebody has waited for."""
        return self._awaited

    @property
    def stopping(self) -> bool:
        """Whether the session should end."""
        return self._stopping

    # -- the thread

    def _run(self) -> None:
        try:
            failures, ended = Failures(self.origin.retry), False
            while not ended and not self._stopping:
                request = self._requested
                followed, problem = self._attempt()
                if followed:
                    failures.forget()
                ended = self._ended(problem, failures, request)
        finally:
            with self._condition:  # whoever waits for this thread must see that it is gone
                self._session = None
                self._thread = None
                self._condition.notify_all()

    def _attempt(self) -> tuple[bool, errors.FlashQLError | None]:
        """One session; whether it came to follow the stream, and what ended it."""
        session: Session | None = None
        problem: errors.FlashQLError | None = None
        broke: set[str] = set()  # views that stand still since their queries failed
        again = True
        while again:
            again = False
            with self._condition:
                # The origin's history may be another than it was: one that is shorter yet. And tables may have to be
                # copied again: a position after their last rows would then be reached before the rows are there.
                self._reached, self._live = LSN(0), frozenset()
            try:
                session = self._session = Session(self._store, self.origin, self, binary=self._binary)
                session.run()
            except NeedsText as unfit:
                _log.info("origin %s sends text from here: %s", self.origin.name, unfit)
                self._binary = False
                again = True
            except Incomplete as incomplete:
                _log.info("origin %s: %s; what it shows is compared with the origin", self.origin.name, incomplete)
                again = not self._stopping
            except errors.ViewBroken as broken:
                again = not self._stopping and broken.relation_id not in broke  # the others go on without it
                broke.add(broken.relation_id)
                problem = None if again else broken
            except errors.FlashQLError as error:
                problem = error
            except Exception as error:
                # A bug, or a dependency's: the job says so and tries again, instead of dying unseen.
                problem = errors.ProtocolError(f"origin {self.origin.name}: {type(error).__name__}: {error}")
                problem.__cause__ = error
                _log.exception("the session of origin %s failed unexpectedly", self.origin.name)
            self._tell_ended(session, problem)
        return session is not None and session.followed, problem

    def _tell_ended(self, session: Session | None, problem: errors.FlashQLError | None) -> None:
        if session is not None and session.connected:
            error = None if problem is None or self._stopping else str(problem)
            self._events.tell(Disconnected(origin=self.origin.name, error=error))
        if isinstance(problem, errors.OriginUnreachable) and not self._stopping:
            self._events.reachable(self.origin.name, False)

    def _ended(self, problem: errors.FlashQLError | None, failures: Failures, request: int) -> bool:
        """After a session: whether the thread ends too."""
        if problem is not None and self._back_off(problem, failures, request):
            return False
        with self._condition:
            self._session = None
            if problem is None and not self._stopping and self._requested > self._served:
                return False
            self._thread = None
            self._condition.notify_all()
        return True

    def _back_off(self, error: errors.FlashQLError, failures: Failures, request: int) -> bool:
        """Show the failure, then wait before the next attempt; False when none should follow.

        What a new copy heals is no failure to who waits for the views, as long as the first attempt at it is to come.
        """
        delay: float | None = None
        if error.retry is not errors.Retry.MANUAL:
            delay = failures.add(time.monotonic(), random.random())  # noqa: S311 - not a secret
            error = error if delay is not None else failures.spent(error, time.monotonic())
        self.meter.retries += delay is not None
        heals = error.retry is errors.Retry.RECOPY and failures.count == 1
        due = datetime.now(UTC) + timedelta(seconds=delay) if delay is not None else None
        with suppress(errors.FlashQLError):
            views = joining.active_views(self._store, self.origin.name, self.halted)
            if heals:
                joining.mark(self._store, views, lambda _: {"phase": Phase.CLONE, "last_error": str(error)})
            else:
                joining.mark_failed(self._store, views, error, due)
        again = delay is not None and not self._stopping
        if delay is not None and again:
            self._tell_retry(error, failures.count, delay)
        with self._condition:
            self._session = None
            self._live = frozenset()
            if not heals:
                self._session_error = error
                self._served = max(self._served, request)
            self._condition.notify_all()
            if delay is not None and again:
                self._pause(delay, request)
        return again and not self._stopping

    def _tell_retry(self, error: errors.FlashQLError, attempt: int, delay_seconds: float) -> None:
        retry = SyncRetry(origin=self.origin.name, attempt=attempt, delay_seconds=delay_seconds, error=str(error))
        self._events.tell(retry)

    def _pause(self, seconds: float, request: int) -> None:
        """Wait before the next attempt. The lock is held.

        Who asks for the views meanwhile need not wait for long: the policy's first pause is enough, so that callers in
        a loop do not hammer the origin either. Who hurries waits not at all.
        """
        began = time.monotonic()
        while not self._stopping and self._hurried <= request:
            asked = self._requested > request
            pause = min(seconds, self.origin.retry.base_seconds) if asked else seconds
            remaining = began + pause - time.monotonic()
            if remaining <= 0:
                return
            self._condition.wait(remaining)
