"""Pooled connections to one origin: found dead or never made, they cost the caller as little as can be."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from flashql import errors
from flashql.origins.postgres.connecting import translated

T = TypeVar("T")

_CONNECTIONS = 4
_SOON_SECONDS, _BUSY_SECONDS = 2.0, 15.0  # within which a connection is made, or one is free


class _Pooled(psycopg.Connection[Any]):
    """A connection of FlashQL's pools, told by its class from those of other pools in the process."""


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Whether a record says more than that FlashQL's pools lost or could not make a connection: that is raised."""
    subject = record.args[0] if isinstance(record.args, tuple) and record.args else None
    ours = isinstance(subject, _Pooled) or (isinstance(subject, str) and subject.startswith("<flashql "))
    return record.levelno != logging.WARNING or not (ours and str(record.msg).startswith(_SAID_OTHERWISE))


_SAID_OTHERWISE = (
    "error connecting in",
    "reconnection attempt in pool",
    "discarding ",
    "closing returned",
    "couldn't stop",
)

logging.getLogger("psycopg.pool").addFilter(_is_not_ours)


class Pool:
    """Connections to one origin, made when first needed. Safe for use by several threads.

    `conninfo` is asked at each connection: what the DSN says may change.
    """

    def __init__(self, name: str, conninfo: Callable[[], str]) -> None:
        self._name = name
        self._conninfo = conninfo
        self._lock = threading.Lock()  # of the next two
        self._open: ConnectionPool[_Pooled] | None = None
        self._lent = 0  # connections in use

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection in autocommit mode. Psycopg's errors become FlashQL's, `OriginBusy` when none gets free."""
        pool: ConnectionPool[_Pooled] | None = None
        try:
            with translated(self._name), ExitStack() as stack:
                pool, connection = self._borrowed(stack)
                yield connection
        except errors.OriginUnreachable:
            self._close(pool)
            raise

    def asked(self, question: Callable[[psycopg.Connection[Any]], T]) -> T:
        """What a question that only reads finds.

        It is asked once more, on a fresh connection, when the one it had is lost meanwhile: that one may have died in
        the pool, and says nothing about whether the origin answers.
        """
        connected = False
        try:
            with self.connection() as connection:
                connected = True
                return question(connection)
        except errors.OriginUnreachable:
            if not connected:
                raise
        with self.connection() as connection:
            return question(connection)

    def close(self) -> None:
        """Close every connection; the next call makes new ones."""
        self._close(self._open)

    def _borrowed(self, stack: ExitStack) -> tuple[ConnectionPool[_Pooled], _Pooled]:
        """A connection, and the pool it goes back to with the stack.

        A pool that fails to connect waits longer and longer before it tries again: unless all it may have is in use, it
        is soon given up for a new one, which tries at once. So is one with a dead connection, as its others are most
        likely dead too: it would wait a second for each that it finds.
        """
        patience_seconds = _SOON_SECONDS
        while True:
            pool = self._opened()
            try:
                connection = stack.enter_context(pool.connection(timeout=patience_seconds))
            except PoolClosed:
                continue  # by a thread that lost its connection, or by close()
            except PoolTimeout:
                if patience_seconds == _BUSY_SECONDS:
                    self._explain_no_connection()
                    raise
                patience_seconds = _BUSY_SECONDS
                if self._lent < _CONNECTIONS:
                    self._close(pool)
                continue
            try:
                pool.check_connection(connection)
            except psycopg.OperationalError:
                self._close(pool)
                stack.close()
                continue
            self._lend(1)
            stack.callback(self._lend, -1)
            return pool, connection

    def _lend(self, count: int) -> None:
        with self._lock:
            self._lent += count

    def _opened(self) -> ConnectionPool[_Pooled]:
        with self._lock:
            if self._open is None:
                # Connect once plainly: a pool would hide why it cannot behind a timeout.
                psycopg.connect(self._conninfo(), autocommit=True).close()
                self._open = ConnectionPool(
                    self._conninfo,
                    connection_class=_Pooled,
                    name=f"<flashql {self._name}>",
                    min_size=0,
                    max_size=_CONNECTIONS,
                    max_idle=60,
                    reconnect_timeout=10,
                    open=True,
                    kwargs={"autocommit": True},
                )
            return self._open

    def _explain_no_connection(self) -> None:
        psycopg.connect(self._conninfo(), autocommit=True).close()
        raise errors.OriginBusy(f"origin {self._name}: no connection was free within {_BUSY_SECONDS:g} seconds")

    def _close(self, pool: ConnectionPool[_Pooled] | None) -> None:
        """Close that pool, unless another thread has done it and opened the next."""
        with self._lock:
            if pool is None or pool is not self._open:
                return
            self._open = None
        pool.close(timeout=1)  # who still tries to connect ends by itself
