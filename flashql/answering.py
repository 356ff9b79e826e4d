"""The process that has a database file answers others: over a Unix socket beside the file, one question at a time.

DuckDB lets no other process open a file that is open for writing, so whoever wants to know how its views stand has to
ask. The socket is `<file>.sock`, for its user alone (0600). The file's lock is what makes it one: only who has the file
open for writing makes the socket, and a socket that is there already was left by a process that was killed.

A question is a line of JSON, `{"ask": "status", ...}` with the arguments by name. So is the answer, `{"answer": ...}`
or `{"error": ..., "hint": ...}`; then the connection is closed. Questions change nothing.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flashql import errors
from flashql.store import Store
from flashql.version import __version__

_SUFFIX = ".sock"
_PATH_BYTES = 100  # sun_path holds 104 on macOS and 108 on Linux, its end included
_AT_ONCE = 8  # others wait to be accepted
_WAITING = 64
_QUESTION_BYTES = 1 << 16
_PATIENCE_SECONDS = 5.0  # with one who asks
_ANSWER_SECONDS = 15.0  # a status may ask origins, which have two seconds each
_LOOK_SECONDS, _END_SECONDS = 0.25, 2.0

_log = logging.getLogger(__name__)


class NobodyAnswers(Exception):
    """No process that has the file answers: none has it, or it does not share its status."""


class Answers:
    """Answers questions until it is closed. `answers` has a function of the arguments, by the question's name.

    Raises `NotSupported` where there are no Unix sockets, or not so long a path, and `DatabaseError` when it cannot be
    made. To be made and closed only while this process has the file open for writing.
    """

    def __init__(self, path: str, answers: Mapping[str, Callable[..., Any]]) -> None:
        self._answers = answers
        self._path = _beside(path)
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._asking: set[socket.socket] = set()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        try:
            self._socket = _bound(self._path)
        except OSError as error:
            raise errors.DatabaseError(
                f"no socket can be made beside {path}: {error.strerror or error}",
                hint="Others cannot ask for its status then. All else works.",
            ) from error
        self._thread = threading.Thread(target=self._run, name="flashql-answers", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether it answers no more."""
        return self._closed.is_set()

    def close(self) -> None:
        """Answer no more, remove the socket, wait a moment for answers. Closing what is closed does nothing."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            self._path.unlink(missing_ok=True)
        self._thread.join()
        self._socket.close()
        for one in list(self._asking):  # who has not asked by now is not answered any more
            with suppress(OSError):
                one.shutdown(socket.SHUT_RD)
        for _ in range(_AT_ONCE):
            self._places.acquire(timeout=_END_SECONDS / _AT_ONCE)

    def _run(self) -> None:
        while not self._closed.is_set():
            if not self._places.acquire(timeout=_LOOK_SECONDS):
                continue
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                self._places.release()
                continue
            except OSError as error:  # too many files are open, say: it may pass
                self._places.release()
                _log.warning("who asks at %s is not answered now: %s", self._path, error)
                self._closed.wait(_PATIENCE_SECONDS)
                continue
            threading.Thread(target=self._talk, args=(connection,), name="flashql-answer", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        self._asking.add(connection)
        try:
            with connection, suppress(OSError):  # who asked has gone
                connection.settimeout(_PATIENCE_SECONDS)
                line = _line(connection, _QUESTION_BYTES)
                connection.sendall(json.dumps(self._answer(line), default=_plain).encode() + b"\n")
        except Exception:
            _log.exception("a question could not be answered")
        finally:
            self._asking.discard(connection)
            self._places.release()

    def _answer(self, line: bytes) -> dict[str, Any]:
        said: dict[str, Any] = {"flashql": __version__}
        try:
            question = json.loads(line)
            asked = question.pop("ask")
            answer = self._answers[asked]
        except (ValueError, AttributeError, KeyError, TypeError):
            return said | {"error": f"FlashQL {__version__}, which has this file, knows no such question"}
        try:
            return said | {"answer": answer(**question)}
        except errors.FlashQLError as error:
            return said | {"error": error.message, "hint": error.hint}


class Answering:
    """Whether one database answers others: from `begin` on, until what that returns is closed, or this is."""

    def __init__(self, store: Store, answers: Mapping[str, Callable[..., Any]]) -> None:
        self._store = store
        self._answers = answers
        self._lock = threading.Lock()
        self._begun: Answers | None = None
        self._closed = False

    def begin(self) -> Answers:
        """Answer; what answers already is returned. Raises what `Answers` does, and `DatabaseReadOnly`."""
        if self._store.in_memory:
            raise errors.NotSupported("no other process can know of a database in memory")
        if self._store.read_only:
            raise errors.DatabaseReadOnly("only who has the file open for writing answers for it")
        with self._lock:
            if self._closed:
                raise errors.DatabaseError("this database is closed", hint="Open it again with flashql.connect().")
            if self._begun is None or self._begun.is_closed:
                self._begun = Answers(self._store.path, self._answers)
            return self._begun

    def close(self) -> None:
        """Answer no more: the file may be another process's soon."""
        with self._lock:
            self._closed = True
            if self._begun is not None:
                self._begun.close()


def ask(path: str, question: str, **arguments: Any) -> Any:
    """The answer of the process that has the file: values of JSON, and datetimes.

    Raises `NobodyAnswers`, the error that it answers with, and `DatabaseBusy` when it does not in time.
    """
    try:
        with _short(_beside(path)) as short, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(short)
            connection.sendall(json.dumps({"ask": question, **arguments}).encode() + b"\n")
            line = _line(connection, None)
    except TimeoutError as error:
        raise errors.DatabaseBusy(
            f"the process that has {path} did not answer within {_ANSWER_SECONDS:g} s", hint="Is it stopped?"
        ) from error
    except (OSError, AttributeError, errors.NotSupported) as error:
        raise NobodyAnswers(path) from error
    if not line:  # it was ending
        raise NobodyAnswers(path)
    said = json.loads(line, object_hook=_restored)
    if "error" in said:
        raise errors.FlashQLError(said["error"], hint=said.get("hint"))
    return said["answer"]


def _beside(path: str) -> Path:
    real = Path(path).resolve()
    return real.with_name(real.name + _SUFFIX)


def _bound(path: Path) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise errors.NotSupported("this platform has no Unix sockets, so status cannot be shared")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with _short(path) as short:
            made.bind(short)
        path.chmod(0o600)  # nobody can connect before it listens
        made.listen(_WAITING)
        made.settimeout(_LOOK_SECONDS)
    except BaseException:
        made.close()
        raise
    return made


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path as a socket's address can hold it: where it is too long, by way of its folder, opened (Linux)."""
    if len(os.fsencode(path)) <= _PATH_BYTES:
        yield str(path)
        return
    if not Path("/proc/self/fd").is_dir() or len(os.fsencode(path.name)) > _PATH_BYTES - 25:
        raise errors.NotSupported(
            f"the path {path} is too long for a Unix socket", hint="Status can be shared where paths are shorter."
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _line(connection: socket.socket, at_most_bytes: int | None) -> bytes:
    """What comes up to the end of a line, or of the connection, or to the limit."""
    parts, size = [], 0
    while part := connection.recv(1 << 16):
        parts.append(part)
        size += len(part)
        if part.endswith(b"\n") or (at_most_bytes is not None and size > at_most_bytes):
            break
    return b"".join(parts)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} cannot be told")


def _restored(found: dict[str, Any]) -> Any:
    return datetime.fromisoformat(found["datetime"]) if found.keys() == {"datetime"} else found
