"""Every error FlashQL raises, on one screen.

The docstring of a class is advice: whose fault it is and what to do. `retry` says what FlashQL does by itself, by the
table at the end: BACKOFF tries again with growing pauses, RECOPY replaces the copy from the origin, MANUAL waits for a
person.
`hint` is one sentence of advice for the case at hand; `str(error)` shows it below the message.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Retry(StrEnum):
    """What FlashQL does by itself after an error."""

    BACKOFF = "backoff"
    RECOPY = "recopy"
    MANUAL = "manual"


class FlashQLError(Exception):
    """The root of the tree: catch this to catch all of FlashQL's errors."""

    retry: ClassVar[Retry]

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message


class DefinitionError(FlashQLError):
    """The statement is wrong or asks for what cannot be: nothing was changed; mend the statement."""


class SyntaxProblem(DefinitionError):
    """The text does not parse. `line` and `column` (from 1) say where."""

    def __init__(self, message: str, *, line: int = 1, column: int = 1, hint: str | None = None) -> None:
        super().__init__(f"line {line}, column {column}: {message}", hint=hint)
        self.line = line
        self.column = column


class UnknownName(DefinitionError):
    """A view, schema, origin, table, column or selector does not exist. Check the spelling."""


class NameTaken(DefinitionError):
    """The name belongs to something else. Choose another, or drop what has it."""


class NotSupported(DefinitionError):
    """FlashQL cannot keep this exactly, so it refuses instead of being nearly right. The message says what."""


class OriginUnfit(DefinitionError):
    """The origin lacks a setting, privilege or key that the view needs. The hint is the statement to run there."""


class OriginError(FlashQLError):
    """Something happened at, or on the way to, an origin."""


class OriginUnreachable(OriginError):
    """The origin does not answer. FlashQL keeps trying; check its address, the network and that it is up."""


class OriginRefused(OriginError):
    """The origin answered no: password, role, database or privilege. Mend that, then sync again."""


class OriginBusy(OriginError):
    """The origin cannot serve this now (a slot in use, no connection free). FlashQL keeps trying."""


class OriginQueryFailed(OriginError):
    """The origin could not run a query. Its own message is quoted."""


class SlotLost(OriginError):
    """The slot is gone or no longer holds what the copies lack. FlashQL makes a new one and copies again."""


class SchemaChanged(OriginError):
    """A table at the origin changed shape under its copy. FlashQL copies it again with the new shape."""


class ProtocolError(OriginError):
    """The stream holds something that is not the documented protocol. FlashQL reconnects; please report it."""


class RetriesSpent(OriginError):
    """An origin failed as often, or as long, as its retry policy allows. Mend what it says, then sync again."""


class DatabaseError(FlashQLError):
    """The local DuckDB file."""


class DatabaseLocked(DatabaseError):
    """The file is open for writing already: in another process, which must close it, or in this one (use cursor())."""


class DatabaseBusy(DatabaseError):
    """The disk or DuckDB could not write: full, out of memory or a conflict. Nothing changed; FlashQL tries again."""


class DatabaseReadOnly(DatabaseError):
    """The database was opened read_only, so nothing in it can change. Open it without."""


class DatabaseTooNew(DatabaseError):
    """The file was written by a newer FlashQL. Upgrade this one."""


class QueryFailed(DatabaseError):
    """DuckDB could not run a statement. Its own message is quoted."""


class ValueUnrepresentable(DatabaseError):
    """A value does not fit its column's local type. FlashQL widens the column and copies its table again."""


class ViewBroken(DatabaseError):
    """A view's query fails over the rows it reads now. It keeps those it has; FlashQL goes on without it."""

    def __init__(self, relation_id: str, message: str) -> None:
        super().__init__(f"{relation_id} cannot be computed: {message}")
        self.relation_id = relation_id


class ViewNotReady(DatabaseError):
    """The view has no local copy yet. Run db.sync.sync()."""


class HookRefused(FlashQLError):
    """A before_sync hook refused, failed or took too long. Nothing was applied; FlashQL asks again later."""


# What FlashQL does by itself when an error ends the work on a job: each class as the nearest above it that is here.
# How often and how fast is the origin's retry policy (retrying.py).
RETRY: dict[type[FlashQLError], Retry] = {
    FlashQLError: Retry.MANUAL,
    OriginUnreachable: Retry.BACKOFF,
    OriginBusy: Retry.BACKOFF,
    ProtocolError: Retry.BACKOFF,
    DatabaseBusy: Retry.BACKOFF,
    HookRefused: Retry.BACKOFF,
    SlotLost: Retry.RECOPY,
    SchemaChanged: Retry.RECOPY,
    ValueUnrepresentable: Retry.RECOPY,
    ViewBroken: Retry.RECOPY,
}
for _kind, _retry in RETRY.items():
    _kind.retry = _retry
del _kind, _retry
