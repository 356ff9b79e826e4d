"""A pass that nobody waits for: however often it is asked for, one thread sees to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from flashql import errors

_log = logging.getLogger(__name__)


class Waker:
    """Runs passes over views that were named, all that are at once together. `run` is a pass, waited for."""

    def __init__(self, run: Callable[[Collection[str]], object]) -> None:
        self._run = run
        self._lock = threading.Lock()  # guards all below
        self._names: dict[str, None] = {}  # of the next pass
        self._thread: threading.Thread | None = None
        self._closed = False

    def wake(self, names: Collection[str]) -> None:
        """Have a pass over these views begin as soon as the one under way has ended; returns at once."""
        with self._lock:
            if self._closed:
                raise errors.DatabaseError("this database is closed", hint="Open it again with flashql.connect().")
            self._names.update(dict.fromkeys(names))
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow_up, name="flashql-wake", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Begin no pass any more."""
        with self._lock:
            self._closed = True

    def _follow_up(self) -> None:
        while names := self._taken():
            try:
                self._run(names)
            except errors.FlashQLError as error:
                if not self._closed:
                    _log.warning("a pass that was asked for: %s", error)

    def _taken(self) -> list[str]:
        with self._lock:
            names = [] if self._closed else list(self._names)
            self._names.clear()
            if not names:
                self._thread = None
            return names
