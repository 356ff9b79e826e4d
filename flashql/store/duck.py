"""DuckDB itself: opening the file, the single writer's transactions, catalog migrations, errors as ours.

Readers use their own cursors and never wait: DuckDB gives each transaction a snapshot. All of FlashQL's writes
to its catalog, copies and views go through `transaction()`, one at a time. Filling a new table that nothing
refers to yet is the one write made elsewhere (on a `cursor()`), since nobody can see it before a transaction
makes it somebody's copy.
"""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from flashql import errors
from flashql.resources import sql_files
from flashql.store.prepared import forget_prepared

DATA_SCHEMA = "flashql_data"

# The stub that stands for a view without a local copy raises an error beginning so (see relations.py).
NOT_READY = "flashql:not-ready:"

# How long close() waits for statements that it has interrupted, and how often it tries.
_CLOSE_SECONDS, _RETRY_SECONDS = 5.0, 0.01

# DuckDB 2 refuses to close a connection that another thread is in a call of. DuckDB 1 cannot tell, and may crash when
# that thread goes on with what is closed: there, what was interrupted is given this long to leave.
_LEAVE_SECONDS = 0.0 if hasattr(duckdb, "ResourceInUseException") else 0.1

# The files open for writing in this process, by real path. DuckDB would let a second Store in, whose workers would
# then fight with those of the first over slot and copies.
_written: dict[str, object] = {}


class Store:
    """An open DuckDB database with FlashQL's catalog in it.

    Raises `DatabaseLocked`, `DatabaseReadOnly`, `DatabaseTooNew` or `DatabaseError` when it cannot be opened.
    """

    def __init__(self, path: str, *, read_only: bool = False, config: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.read_only = read_only
        self.in_memory = path.startswith(":memory:") or path == ""
        self._lock = threading.RLock()
        self._owner: int | None = None  # the thread inside transaction()
        self.version = 0  # grows with every local commit that is not a batch from a stream
        # Called in turn with the writer at the end of each transaction that is not a batch from a stream, within it.
        self.before_commit: list[Callable[[duckdb.DuckDBPyConnection], None]] = []
        # Told of a view that broke a transaction, when that has rolled back and before the next begins.
        self.left_behind: Callable[[errors.ViewBroken], None] = lambda _: None
        # Raises when whoever calls must not write now, nor wait for a writer.
        self.require_writable: Callable[[], None] = lambda: None
        self._once_committed: list[Callable[[], None]] = []
        self._guard = threading.Lock()  # guards the two below
        self._ending = False
        self._connections: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()
        self._release = _claimed(self, path) if not (read_only or self.in_memory) else None
        try:
            self._root = _open(path, read_only, config)
            self._connections.add(self._root)
            self._writer = self.cursor()
            with translated():
                self.has_catalog = self._migrate()
        except BaseException:
            self.close()
            raise

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the same database, for a reader or another thread."""
        with self._guard:
            if self._ending:
                raise _closed()
            with translated():
                cursor = self._root.cursor()
            self._connections.add(cursor)
            return cursor

    @contextmanager
    def transaction(self, *, of_stream: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """One local commit by the single writer; used within another, it joins that one.

        `of_stream` when it changes only rows, not what the catalog says of them. Raises `DatabaseReadOnly`, and
        `DatabaseError` within a before_sync hook of this database.
        Whatever is raised inside rolls back everything done inside.
        """
        if self.read_only:
            raise errors.DatabaseReadOnly(
                f"{self.path} was opened read-only, so nothing in it can change",
                hint="Open it with read_only=False, in the one process that syncs it.",
            )
        self.require_writable()
        with self._lock, translated():
            if self._owner is not None:
                yield self._writer
                return
            if self._ending:
                raise _closed()
            self._writer.execute("BEGIN")
            self._owner = threading.get_ident()
            self._once_committed = []
            try:
                yield self._writer
                for act in self.before_commit if not of_stream else ():
                    act(self._writer)
                self._writer.execute("COMMIT")
                self.version += not of_stream
                for told in self._once_committed:
                    told()
            except BaseException as error:
                with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                    self._writer.execute("ROLLBACK")
                forget_prepared(self._writer)
                self._owner = None
                if isinstance(error, errors.ViewBroken):
                    with suppress(errors.FlashQLError):
                        self.left_behind(error)
                raise
            finally:
                self._owner = None

    @contextmanager
    def undisturbed(self, timeout_seconds: float) -> Iterator[bool]:
        """No other thread begins a transaction meanwhile; False when one does not end within the timeout."""
        alone = self._lock.acquire(timeout=timeout_seconds)
        try:
            yield alone
        finally:
            if alone:
                self._lock.release()

    @property
    def is_writing(self) -> bool:
        """Whether this thread is within a transaction of the single writer."""
        return self._owner == threading.get_ident()

    def once_committed(self, act: Callable[[], None]) -> None:
        """Call `act`, which raises nothing, after the transaction under way has committed and before the next begins.

        It is not called when that rolls back.
        """
        self._once_committed.append(act)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query over FlashQL's catalog: inside a transaction as it sees them, else as committed."""
        if self.is_writing:
            return self._writer.execute(sql, list(parameters)).fetchall()
        with translated():
            cursor = self.cursor()
            try:
                return cursor.execute(sql, list(parameters)).fetchall()
            finally:
                cursor.close()

    @property
    def folder(self) -> Path | None:
        """Where the file is; None for a database in memory."""
        return None if self.in_memory else Path(self.path).resolve().parent

    @property
    def database_id(self) -> str:
        """Twelve hexadecimal digits that tell this file from all others."""
        return str(self.rows("SELECT database_id FROM flashql.identity")[0][0])

    def end(self) -> None:
        """Let nothing new begin: whoever wants a cursor or a transaction is told that the database is closed."""
        with self._guard:
            self._ending = True

    def close(self) -> None:
        """Close every connection; a transaction under way is waited for, other statements are interrupted.

        Raises `DatabaseBusy` when one does not end within seconds: it may wait for something outside DuckDB. What
        could be closed is, nothing new begins, and `close` may be called again. (DuckDB 1 waits for it instead.)
        Closing what is closed does nothing.
        """
        self.end()
        deadline = time.monotonic() + _CLOSE_SECONDS
        if not self._lock.acquire(timeout=_CLOSE_SECONDS):
            raise _still_busy(self.path)
        try:
            # The root last: closing it closes all others too.
            left = sorted(self._connections, key=lambda connection: connection is self._root)
            _interrupt(left)
            for _ in range(round(_LEAVE_SECONDS / _RETRY_SECONDS)):
                time.sleep(_RETRY_SECONDS)
                _interrupt(left)
            while left := [connection for connection in left if not _ended(connection)]:
                if time.monotonic() > deadline:
                    raise _still_busy(self.path)
                time.sleep(_RETRY_SECONDS)
        finally:
            self._lock.release()
        if self._release is not None:
            self._release()

    def _migrate(self) -> bool:
        """Bring the catalog to this version; False when a read-only file has none."""
        files = [(int(name.split("_")[0]), text) for name, text in sql_files("catalog")]
        latest, found = max(version for version, _ in files), self._catalog_version()
        if found > latest:
            raise errors.DatabaseTooNew(
                f"{self.path} has FlashQL catalog version {found}; this FlashQL knows {latest}",
                hint="Upgrade FlashQL: pip install --upgrade flashql",
            )
        if self.read_only:
            if 0 < found < latest:
                raise errors.DatabaseReadOnly(
                    f"{self.path} has an older FlashQL catalog (version {found}) and was opened read-only",
                    hint="Open it once with read_only=False to bring its catalog up to date.",
                )
            return found > 0
        newer = [one for one in files if one[0] > found]
        # One by one where there are rows: DuckDB 1.5 cannot commit a change of rows beside an ALTER of their table.
        for together in [newer] if found == 0 else [[one] for one in newer]:
            with self.transaction() as writer:
                if found == 0:
                    writer.execute("CREATE SCHEMA IF NOT EXISTS flashql")
                    writer.execute(
                        "CREATE TABLE flashql.migrations (version BIGINT, applied_at TIMESTAMPTZ DEFAULT now())"
                    )
                for version, text in together:
                    writer.execute(text)
                    writer.execute("INSERT INTO flashql.migrations (version) VALUES (?)", [version])
        return True

    def _catalog_version(self) -> int:
        known = self._writer.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'flashql' "
            "AND table_name = 'migrations' AND database_name = current_database()"
        ).fetchone()
        if known == (0,):
            return 0
        row = self._writer.execute("SELECT coalesce(max(version), 0) FROM flashql.migrations").fetchone()
        return int(row[0]) if row else 0


def _claimed(store: Store, path: str) -> weakref.finalize[[str, None], Store]:
    """Make the file the store's own within this process; it is given back by a call, or when the store is gone."""
    real = os.path.realpath(path)
    if real in _written:
        gc.collect()  # one that nobody holds any more may still wait for that
    claim = object()
    if _written.setdefault(real, claim) is not claim:
        raise errors.DatabaseLocked(
            f"{path} is open in this process already",
            hint="Use db.cursor() for another handle on it, or close it first.",
        )
    return weakref.finalize(store, _written.pop, real, None)


def _interrupt(connections: Iterable[duckdb.DuckDBPyConnection]) -> None:
    for connection in connections:
        with suppress(duckdb.ConnectionException):  # closed already
            connection.interrupt()


def _ended(connection: duckdb.DuckDBPyConnection) -> bool:
    """Close the connection; False, and what runs there is interrupted anew, when another thread is in a call."""
    try:
        connection.close()
    except duckdb.Error:
        _interrupt([connection])
        return False
    return True


def _still_busy(path: str) -> errors.DatabaseBusy:
    return errors.DatabaseBusy(
        f"{path} could not be closed: another thread is still in a statement, or in the midst of writing",
        hint="Let it end, then close() again; nothing new can begin.",
    )


def _closed() -> errors.DatabaseError:
    return errors.DatabaseError("this database is closed", hint="Open it again with flashql.connect().")


def _open(path: str, read_only: bool, config: Mapping[str, Any] | None) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(path, read_only=read_only, config=dict(config or {}))
    except duckdb.IOException as error:
        text = str(error)
        if "lock" in text.lower():
            raise errors.DatabaseLocked(
                f"{path} is open in another process",
                hint="DuckDB lets one process write a file. Close it there, or use another path here. "
                f"DuckDB says: {_first_line(text)}",
            ) from error
        raise errors.DatabaseError(f"cannot open {path}: {_first_line(text)}") from error
    except duckdb.Error as error:
        raise errors.DatabaseError(f"cannot open {path}: {_first_line(str(error))}") from error


@dataclass
class _Lent:
    """A table that can be taken back: a transaction holds on to whatever was registered in it, until it ends."""

    table: pa.Table | None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows, by Arrow's own protocol between libraries."""
        assert self.table is not None
        return self.table.__arrow_c_stream__(requested_schema)


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, name: str, rows: object) -> Iterator[None]:
    """Arrow rows under a name in SQL while the context lasts."""
    lent = _Lent(rows) if isinstance(rows, pa.Table) else None
    connection.register(name, lent or rows)
    try:
        yield
    finally:
        if lent is not None:
            lent.table = None
        with suppress(duckdb.Error):  # a failed transaction takes the name with it, and its error is the one to see
            connection.unregister(name)


@contextmanager
def translated() -> Iterator[None]:
    """DuckDB's errors inside become FlashQL's: `ViewNotReady`, `ValueUnrepresentable` or `QueryFailed`."""
    try:
        yield
    except duckdb.Error as error:
        raise as_ours(error) from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # what DuckDB 1 makes of Ctrl-C
            raise KeyboardInterrupt from error
        raise


def as_ours(error: duckdb.Error) -> errors.FlashQLError:
    """FlashQL's error for one of DuckDB's."""
    text = str(error)
    if NOT_READY in text:
        return errors.ViewNotReady(text.split(NOT_READY, 1)[1].strip())
    if isinstance(error, duckdb.ConnectionException) and "closed" in text.lower():
        return _closed()
    if isinstance(error, duckdb.InterruptException):
        return errors.DatabaseError("the statement was interrupted", hint="Closing a database ends what still runs.")
    if "connection is busy with another call" in text:  # DuckDB 2 only, where it has a class of its own
        return errors.DatabaseBusy(
            "this handle is in use by another thread", hint="Give each thread a handle of its own: db.cursor()."
        )
    if isinstance(error, (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException)):
        return errors.DatabaseBusy(
            f"DuckDB could not finish: {_first_line(text)}",
            hint="Usually a full disk, too little memory, or another writer of the same rows; FlashQL tries again.",
        )
    if "read-only" in text.lower():
        return errors.DatabaseReadOnly(
            _first_line(text), hint="Open the file with read_only=False, in the one process that syncs it."
        )
    return errors.QueryFailed(text.strip())


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"
