"""The bytes of a running stream, in and out: straight from the socket, or through libpq where they are encrypted.

libpq gives out one message at a time, each in memory of its own, while the interpreter's lock is held. Straight from
the socket they come by the hundred, and the lock is free meanwhile. So once START_REPLICATION is sent, libpq is asked
no more: it has read nothing beyond what it was asked for, since a server says nothing by itself before.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import suppress
from typing import Protocol

import psycopg
from psycopg import pq

from flashql import errors
from flashql.origins.postgres.connecting import as_ours
from flashql.origins.postgres.inbox import COPY_DATA, Inbox, Message
from flashql.origins.postgres.replication import ReplicationConnection, readable

_START_SECONDS = 30.0
# How long the origin may take to say why it ended the stream.
_END_SECONDS = 5.0
_COPY_DATA = struct.Struct("!BI")
_ERROR, _COPY_BOTH, _COPY_DONE, _COMPLETE, _READY = b"EWcCZ"
_UNASKED = b"NS"  # notices and parameters: they say nothing of the stream


class Wire(Protocol):
    """One end of a running stream."""

    @property
    def descriptor(self) -> int:
        """To wait at for more."""
        ...

    def fill(self, inbox: Inbox) -> list[Message]:
        """Move what there is into the inbox, without waiting; returns the messages that are no frames.

        Raises what ended the stream, once everything before it has been given out.
        """
        ...

    def send(self, content: bytes) -> None:
        """Send a CopyData message, without waiting."""

    def close(self) -> None:
        """Close the connection."""


def start(connection: ReplicationConnection, sql: str, inbox: Inbox) -> Wire:
    """Begin streaming on the connection, which is the wire's from now on.

    Libpq says of GSSAPI only whether it was used, be it for encryption or to log in alone; either may be encrypted.
    """
    if connection.pgconn.ssl_in_use or connection.pgconn.used_gssapi:
        connection.command(sql)
        connection.pgconn.nonblocking = 1
        return EncryptedWire(connection)
    return PlainWire(connection, sql, inbox)


class PlainWire:
    """The socket itself. Closed by whoever made the connection when it cannot be made."""

    def __init__(self, connection: ReplicationConnection, sql: str, inbox: Inbox) -> None:
        self._connection = connection
        self._origin = connection.origin
        self._socket = socket.socket(fileno=os.dup(connection.pgconn.socket))
        self._socket.setblocking(False)
        self._unsent = b""
        self._ended_at: float | None = None
        self._first: list[Message] = []
        try:
            connection.pgconn.send_query(sql.encode())
            self._await_start(inbox)
        except BaseException:
            self._socket.close()
            raise

    @property
    def descriptor(self) -> int:
        """As of `Wire`."""
        return self._socket.fileno()

    def _await_start(self, inbox: Inbox) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            messages = self._read(inbox)
            for at, message in enumerate(messages):
                if message.kind == _COPY_BOTH:
                    self._first = messages[at + 1 :]
                    return
                if message.kind == _ERROR:
                    state, text = _fields(message.content)
                    raise as_ours(self._origin, state or None, text)
                if message.kind not in _UNASKED:
                    raise errors.ProtocolError(f"origin {self._origin} answered START_REPLICATION with something else")
            if len(inbox):
                raise errors.ProtocolError(f"origin {self._origin} streams before it has said so")
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise errors.OriginBusy(f"origin {self._origin} did not begin to stream within {_START_SECONDS:g} s")
            readable([self.descriptor], min(remaining, 0.25))

    def fill(self, inbox: Inbox) -> list[Message]:
        """As of `Wire`."""
        self._flush()
        messages, self._first = self._first or self._read(inbox), []
        kept = []
        for message in messages:
            if message.kind == COPY_DATA:
                kept.append(message)
            elif message.kind == _ERROR:
                raise slot_error(self._origin, *_fields(message.content))
            elif message.kind == _COPY_DONE and self._ended_at is None:
                self._ended_at = time.monotonic()
            elif message.kind in (_COMPLETE, _READY) and self._ended_at is not None:
                raise errors.OriginUnreachable(f"origin {self._origin} ended the stream", hint="It may be restarting.")
            elif message.kind not in _UNASKED:
                raise errors.ProtocolError(f"origin {self._origin}: a message of kind {message.kind} amid the stream")
        if self._ended_at is not None and time.monotonic() - self._ended_at > _END_SECONDS:
            raise errors.OriginUnreachable(f"origin {self._origin} ended the stream and does not say why")
        return kept

    def _read(self, inbox: Inbox) -> list[Message]:
        try:
            size_bytes = self._socket.recv_into(inbox.space())
        except BlockingIOError:
            return []
        except OSError as error:
            raise errors.OriginUnreachable(f"origin {self._origin}: the stream broke: {error}") from error
        if not size_bytes:
            ended = "ended the stream" if self._ended_at is not None else "closed the connection of the stream"
            raise errors.OriginUnreachable(f"origin {self._origin} {ended}", hint="It may be restarting.")
        inbox.received(size_bytes)
        try:
            return inbox.parse()
        except errors.ProtocolError as error:
            raise errors.ProtocolError(f"origin {self._origin}: {error.message}") from None

    def send(self, content: bytes) -> None:
        """As of `Wire`."""
        self._unsent += _COPY_DATA.pack(COPY_DATA, len(content) + 4) + content
        self._flush()

    def _flush(self) -> None:
        if self._unsent:
            # What is wrong with the connection shows at the next read.
            with suppress(OSError):
                self._unsent = self._unsent[self._socket.send(self._unsent) :]

    def close(self) -> None:
        """As of `Wire`."""
        self._socket.close()
        self._connection.close()


class EncryptedWire:
    """Through libpq, which decrypts."""

    def __init__(self, connection: ReplicationConnection) -> None:
        self._connection = connection
        self._origin = connection.origin
        self._pgconn = connection.pgconn
        self._ended = 0  # what libpq said at the end of the stream

    @property
    def descriptor(self) -> int:
        """As of `Wire`."""
        return self._pgconn.socket

    def fill(self, inbox: Inbox) -> list[Message]:
        """As of `Wire`."""
        if self._ended:
            self._raise_end(self._ended)
        if not self._move(inbox) and not self._ended:
            try:
                self._pgconn.consume_input()
            except psycopg.Error as error:
                raise errors.OriginUnreachable(f"origin {self._origin}: the stream broke: {error}") from error
            self._move(inbox)
        return inbox.parse()

    def _move(self, inbox: Inbox) -> bool:
        came = False
        while not inbox.is_full:
            length, content = self._pgconn.get_copy_data(1)
            if length <= 0:
                self._ended = length
                break
            inbox.put_copy_data(content)
            came = True
        return came

    def _raise_end(self, length: int) -> None:
        if length == -1:
            # Libpq would wait for the result, and keep the interpreter's lock meanwhile.
            deadline = time.monotonic() + _END_SECONDS
            while self._pgconn.is_busy():
                if time.monotonic() > deadline:
                    raise errors.OriginUnreachable(f"origin {self._origin} ended the stream and does not say why")
                if readable([self._pgconn.socket], 0.25):
                    self._pgconn.consume_input()
            result = self._pgconn.get_result()
            if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
                state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
                text = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
                raise slot_error(self._origin, state, text)
            raise errors.OriginUnreachable(f"origin {self._origin} ended the stream", hint="It may be restarting.")
        text = self._pgconn.error_message.decode(errors="replace")
        raise errors.OriginUnreachable(f"origin {self._origin}: the stream broke: {text.strip()}")

    def send(self, content: bytes) -> None:
        """As of `Wire`."""
        self._pgconn.put_copy_data(content)
        self._pgconn.flush()

    def close(self) -> None:
        """As of `Wire`."""
        self._connection.close()


def _fields(content: bytes) -> tuple[str, str]:
    """SQLSTATE and primary message of an ErrorResponse (documentation: "Error and Notice Message Fields")."""
    found = {part[:1]: part[1:].decode(errors="replace") for part in content.split(b"\0") if part}
    return found.get(b"C", ""), found.get(b"M", "")


def slot_error(origin: str, sqlstate: str, text: str) -> errors.FlashQLError:
    """The error that ended a stream: 55000 (slot invalidated) and 42704 (slot or publication gone) cost the slot."""
    if sqlstate == "42704" or (sqlstate == "55000" and "slot" in text):
        return errors.SlotLost(f"origin {origin}: {text}")
    return as_ours(origin, sqlstate or None, text)
