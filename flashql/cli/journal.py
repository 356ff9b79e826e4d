"""Structured logs of `flashql run`: one line per event of syncing, or per record of the module `logging`.

As JSON, one object per line: time, level, event, then the event's own fields. Passwords of the
origins are taken out of every line, whoever wrote it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from flashql import Database
from flashql.events import (
    NAMES,
    ConnectivityChanged,
    Disconnected,
    DriftFound,
    ProgressMade,
    SyncApplied,
    SyncEvent,
    SyncFailed,
    SyncRetry,
)
from flashql.listening import Listener


class LogFormat(StrEnum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """As the module `logging` has it."""
        return logging.getLevelNamesMapping()[self.upper()]


# Levels of events, the rest are INFO. An event that only says how far something is comes many times a second.
_LEVELS = {
    SyncApplied.name: LogLevel.DEBUG,
    ProgressMade.name: LogLevel.DEBUG,
    SyncRetry.name: LogLevel.WARNING,
    DriftFound.name: LogLevel.WARNING,
    SyncFailed.name: LogLevel.ERROR,
}
_HINT = "\nHint: "  # between message and hint in an error's text
_HIDDEN = "***"
_SECRETS = re.compile(r"(?<=password=)('(?:[^'\\]|\\.)*'|\S+)|(?<=://)([^\s/@:]*:)[^\s/]*(?=@)", re.IGNORECASE)
# So many records wait for whoever reads the lines, and so long is waited for that at the end.
_WAITING, _END_SECONDS = 10_000, 1.0
# A shorter password may be a part of any word: those are left to the patterns.
_LEAST_SECRET = 6


class Journal:
    """Writes lines to the standard output. Used from any thread."""

    def __init__(self, format_: LogFormat, level: LogLevel, dsns: Iterable[str] = ()) -> None:
        self._format = format_
        self._level = level
        self._secrets = sorted(_passwords(dsns), key=len, reverse=True)
        self._lock = threading.Lock()

    def write(self, level: LogLevel, event: str, **said: Any) -> None:
        """One line, if the level is logged. What is None is left out."""
        self._write(datetime.now(UTC), level, event, said)

    def event(self, event: SyncEvent) -> None:
        """One line about an event of syncing."""
        said = {field.name: getattr(event, field.name) for field in fields(event) if field.name != "at"}
        error = said.pop("error", None)
        if error is not None:
            said["error"], _, said["hint"] = error.partition(_HINT)
            said["hint"] = said["hint"] or None
        self._write(event.at, level_of(event), event.name, said)

    def record(self, record: logging.LogRecord) -> None:
        """One line about a record of the module `logging`."""
        trace = None
        if record.exc_info and record.exc_info[0] is not None:
            trace = logging.Formatter().formatException(record.exc_info)
        level = max((one for one in LogLevel if one.number <= max(record.levelno, 10)), key=lambda one: one.number)
        at = datetime.fromtimestamp(record.created, UTC)
        said = {"logger": record.name, "message": record.getMessage(), "traceback": trace}
        self._write(at, level, "log", said)

    def _write(self, at: datetime, level: LogLevel, event: str, said: dict[str, Any]) -> None:
        if level.number < self._level.number:
            return
        time = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known = {name: _hidden(value, self._secrets) for name, value in said.items() if value is not None}
        if self._format is LogFormat.JSON:
            line = json.dumps({"time": time, "level": level, "event": event, **known}, ensure_ascii=False, default=str)
        else:
            words = [f"{name}={_word(value)}" for name, value in known.items()]
            line = " ".join([time, level.upper(), event, *words])
        with self._lock, suppress(OSError, ValueError):  # whoever read this has gone: syncing goes on
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    @contextmanager
    def of(self, db: Database) -> Iterator[None]:
        """What happens to the database's syncing, and is logged meanwhile, goes here within the block."""
        names = [name for name in NAMES if _LEVELS.get(name, LogLevel.WARNING).number >= self._level.number]
        waiting = Listener[_Told]("log", _WAITING).call(lambda told: self.record(told.record))
        records = _Records(waiting)
        root, own = logging.getLogger(), logging.getLogger("flashql")
        before = own.level
        root.addHandler(records)
        own.setLevel(self._level.number)
        listener = db.sync.events(*names).call(self.event) if names else None
        try:
            yield
        finally:
            root.removeHandler(records)
            own.setLevel(before)
            for one in (listener, waiting):
                if one is not None:
                    one.end()
                    one.join(_END_SECONDS)


@dataclass(frozen=True)
class _Told:
    """A record that waits to be written: each by itself."""

    record: logging.LogRecord
    topic: None = None

    def following(self, older: _Told) -> _Told:  # noqa: ARG002 - never asked for without a topic
        return self


class _Records(logging.Handler):
    """Takes the records of the module `logging`; whoever logs does not wait for whoever reads."""

    def __init__(self, waiting: Listener[_Told]) -> None:
        super().__init__()
        self._waiting = waiting

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.tell(_Told(record))


def level_of(event: SyncEvent) -> LogLevel:
    """How much an event matters: an origin that is lost more than one that is found."""
    lost = (isinstance(event, Disconnected) and event.error is not None) or (
        isinstance(event, ConnectivityChanged) and not event.online
    )
    return LogLevel.WARNING if lost else _LEVELS.get(event.name, LogLevel.INFO)


def _word(value: object) -> str:
    """A value in a line of text: as JSON where it would not stand out as one word."""
    text = str(value)
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)


def _passwords(dsns: Iterable[str]) -> set[str]:
    found = {os.environ.get("PGPASSWORD", "")}
    for dsn in dsns:
        with suppress(psycopg.Error, UnicodeError):
            found |= {str(value) for key, value in conninfo_to_dict(dsn).items() if "password" in key and value}
    return {secret for secret in found if len(secret) >= _LEAST_SECRET}


def _hidden(value: Any, secrets: Iterable[str]) -> Any:
    """The value without anything that is, or is written as, a password."""
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, _HIDDEN)
    return _SECRETS.sub(lambda found: (found[2] or "") + _HIDDEN, value)
