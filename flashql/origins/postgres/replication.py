"""A replication connection: the commands of a walsender, each with a time limit.

psycopg has no higher API for what these connections do, so `psycopg.pq` it is (documentation: "Streaming
Replication Protocol"). Nothing here may wait inside libpq: it would keep the interpreter's lock, and every thread
of the process with it, as long as the network pleases.
"""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg
from psycopg import pq

from flashql import errors
from flashql.origins.postgres.connecting import as_ours, translated

Waiting = Callable[[float], None]
_CANCEL_TIMEOUT_SECONDS = 5.0
_ROW_FIELDS = 4  # of what IDENTIFY_SYSTEM and CREATE_REPLICATION_SLOT return


class ReplicationConnection:
    """One walsender connection. Raises `OriginUnreachable` or `OriginRefused` when it cannot be made."""

    def __init__(self, origin: str, conninfo: str) -> None:
        self.origin = origin
        try:
            self._connection = psycopg.connect(conninfo, autocommit=True)
        except psycopg.Error as error:
            raise _replication_refusal(origin, str(error)) from error
        self.pgconn = self._connection.pgconn

    def command(self, sql: str, *, timeout_seconds: float = 30.0, waiting: Waiting | None = None) -> pq.abc.PGresult:
        """Run one command and return its last result.

        `waiting(seconds so far)` is called a few times a second; what it raises ends the wait.

        Raises `OriginBusy` when it takes longer than `timeout_seconds`; the command is cancelled first, and the
        connection is of no more use.
        """
        with translated(self.origin):
            last = self._last_result(sql, timeout_seconds, waiting)
        if last is None:
            raise errors.ProtocolError(f"origin {self.origin} answered a command with nothing")
        if last.status == pq.ExecStatus.FATAL_ERROR:
            state = (last.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
            text = last.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or last.error_message
            raise as_ours(self.origin, state or None, text.decode(errors="replace"))
        return last

    def _last_result(self, sql: str, timeout_seconds: float, waiting: Waiting | None) -> pq.abc.PGresult | None:
        started = time.monotonic()
        self.pgconn.send_query(sql.encode())
        last: pq.abc.PGresult | None = None
        while True:
            waited = time.monotonic() - started
            if waited > timeout_seconds:
                self._cancel()
                raise errors.OriginBusy(
                    f"origin {self.origin}: {sql.split('(')[0].strip()} took longer than {timeout_seconds:g} s"
                )
            if self.pgconn.is_busy():
                if not readable([self.pgconn.socket], 0.25) and waiting:
                    try:
                        waiting(waited)
                    except BaseException:
                        self._cancel()
                        raise
                self.pgconn.consume_input()
                continue
            result = self.pgconn.get_result()
            if result is None:
                return last
            last = result
            if result.status == pq.ExecStatus.COPY_BOTH:
                return last

    def row(
        self, sql: str, *, timeout_seconds: float = 30.0, waiting: Waiting | None = None, fields: int = _ROW_FIELDS
    ) -> list[str]:
        """The row of so many that such a command answers with, as text; NULL is empty."""
        result = self.command(sql, timeout_seconds=timeout_seconds, waiting=waiting)
        if (result.ntuples, result.nfields) != (1, fields):
            raise errors.ProtocolError(f"origin {self.origin} answered {sql.split()[0]} with something else")
        return [(result.get_value(0, at) or b"").decode(errors="replace") for at in range(result.nfields)]

    @property
    def alive(self) -> bool:
        """Whether the server still holds this connection, which is idle; asks nothing of it."""
        with suppress(psycopg.Error):
            # A server that ends a connection says so first: the end itself comes only with a further read.
            while readable([self.pgconn.socket], 0):
                self.pgconn.consume_input()
            return True
        return False

    def _cancel(self) -> None:
        """Ask the server to stop; what it answers is not waited for, since the caller closes the connection."""
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=_CANCEL_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Close the connection; a temporary slot made on it goes with it."""
        self._connection.close()


def readable(descriptors: Sequence[int], timeout_seconds: float) -> set[int]:
    """Which of these can be read now; waits up to the timeout for one. Any number of open files is fine."""
    poll = select.poll()  # not a selector: a stream asks ten thousand times a second
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(math.ceil(1000 * timeout_seconds))}


def _replication_refusal(origin: str, text: str) -> errors.FlashQLError:
    if "must be superuser or replication role" in text or "permission denied to start WAL sender" in text:
        return errors.OriginUnfit(
            f"the role that connects to origin {origin} may not replicate",
            hint="Run at the origin, as a superuser: ALTER ROLE <role> REPLICATION;",
        )
    if "max_wal_senders" in text:
        return errors.OriginBusy(
            f"origin {origin} has no WAL sender free", hint="Raise max_wal_senders at the origin (needs a restart)."
        )
    return as_ours(origin, None, text)
