"""A walsender that may say anything: speaks the protocol up to COPY BOTH, then sends the bytes it was given.

Authentication, parameters and the answer to each query are those of Postgres (documentation: "Message Formats"),
unless a test gives an answer of its own.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

_TIMEOUT_SECONDS = 30.0
_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102

READY = b"Z\0\0\0\5I"


def message(kind: bytes, content: bytes) -> bytes:
    """A message of the protocol."""
    return kind + struct.pack("!I", len(content) + 4) + content


def copy_data(*frames: bytes) -> bytes:
    """Frames as CopyData messages."""
    return b"".join(message(b"d", frame) for frame in frames)


def failure(sqlstate: bytes, text: bytes) -> bytes:
    """An ErrorResponse."""
    return message(b"E", b"SERROR\0VERROR\0C" + sqlstate + b"\0M" + text + b"\0\0")


COPY_BOTH = message(b"W", b"\0\0\0")
COPY_DONE = message(b"c", b"")


class Walsender:
    """Answers every query with `answer`, then stays silent (`stalls`) or closes the connection."""

    def __init__(self, answer: bytes, *, stalls: bool = False) -> None:
        self.answer = answer
        self.stalls = stalls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="walsender")
        self._thread.start()

    @property
    def dsn(self) -> str:
        """How to connect to it."""
        port = self._listener.getsockname()[1]
        return f"host=127.0.0.1 port={port} user=app dbname=shop sslmode=disable gssencmode=disable"

    def close(self) -> None:
        """Hang up, and end the thread."""
        self._ended.set()
        for one in (self._listener, *self._clients):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):  # so it ends when its sockets are closed
            while not self._ended.is_set():
                client, _ = self._listener.accept()
                client.settimeout(_TIMEOUT_SECONDS)
                self._clients.append(client)
                with suppress(OSError, EOFError, struct.error):
                    self._talk(client)
                if not self.stalls:
                    client.close()

    def _talk(self, client: socket.socket) -> None:
        if not self._greet(client):
            return
        kind, _ = _received(client)
        if kind != b"Q":
            return
        client.sendall(self.answer)
        if not self.stalls:
            # What the client reports must be read, or closing would take back what was sent.
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass

    def _greet(self, client: socket.socket) -> bool:
        while True:
            (length,) = struct.unpack("!I", _exactly(client, 4))
            content = _exactly(client, length - 4)
            (code,) = struct.unpack_from("!I", content)
            if code == _CANCEL_REQUEST:
                return False
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                break
            client.sendall(b"N")
        parameters = {b"server_version": b"18.0", b"client_encoding": b"UTF8", b"standard_conforming_strings": b"on"}
        told = b"".join(message(b"S", name + b"\0" + value + b"\0") for name, value in parameters.items())
        client.sendall(message(b"R", b"\0\0\0\0") + told + message(b"K", struct.pack("!II", 1, 2)) + READY)
        return True


def _received(client: socket.socket) -> tuple[bytes, bytes]:
    kind = _exactly(client, 1)
    (length,) = struct.unpack("!I", _exactly(client, 4))
    return kind, _exactly(client, length - 4)


def _exactly(client: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = client.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


@pytest.fixture
def walsender() -> Iterator[Callable[..., Walsender]]:
    """Makes walsenders; they are closed at the end of the test."""
    made: list[Walsender] = []

    def make(answer: bytes, *, stalls: bool = False) -> Walsender:
        made.append(Walsender(answer, stalls=stalls))
        return made[-1]

    yield make
    for one in made:
        one.close()
