"""What a user holds: `connect()`, and a `Database` whose `execute`, `sql` and `sync` reach everything else.

This module wires the others together and decides nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from flashql import errors, explaining, joining, query
from flashql.catalog import Persistence
from flashql.changes import Callback, ChangeFeed, ChangeFeeds
from flashql.ddl import (
    AlterView,
    CreateView,
    DropView,
    ExplainQuery,
    ExplainView,
    LocalSQL,
    RefreshView,
    RelationName,
    Statement,
    Touch,
    parse_script,
    touch_of,
)
from flashql.defining import Definer
from flashql.maintenance import Maintenance, without_broken
from flashql.query import Parameters, Preparation, Scratch
from flashql.rebinding import bind_again
from flashql.resolving import KnownOrigins, OriginSource
from flashql.result import Result
from flashql.scheduling import Schedule
from flashql.store import Store, translated
from flashql.store.compacting import compact
from flashql.store.definitions import views
from flashql.sync import Sync
from flashql.telling import tell_jobs


def connect(
    path: str = ":memory:",
    *,
    origins: Mapping[str, OriginSource] | None = None,
    resolve_origin: Callable[[str], OriginSource] | None = None,
    read_only: bool = False,
    auto_sync: bool = False,
    config: Mapping[str, Any] | None = None,
) -> Database:
    """Open a FlashQL database: a DuckDB file (or memory) whose views may live at origins.

    `origins` maps names to DSNs, to Origin objects, or to functions of no argument that return either (so that
    secrets need not sit in a dict); `resolve_origin(name)` is asked for names that `origins` lacks. Nothing of them
    is ever written to the file. With `auto_sync`, `sync()` runs now and after each CREATE or ALTER VIEW. `config`
    goes to DuckDB.

    Raises `DatabaseLocked` when another process has the file, or this one has it open for writing already, and
    `DatabaseError` when it cannot be opened.
    """
    database = Database(path, origins, resolve_origin, read_only, auto_sync, config)
    if auto_sync and not read_only:
        try:
            database.sync.sync()
        except BaseException:
            database.close()
            raise
    return database


# The first words of statements that change no table, and of those that begin, end or undo a transaction.
_READING = {"SELECT", "FROM", "VALUES", "TABLE", "DESCRIBE", "SHOW", "SUMMARIZE", "SET", "RESET", "USE", "PRAGMA"}
_BEGINNING = {"BEGIN", "START"}
_DEFINING = {"CREATE", "ALTER", "DROP"}
_UNDOING = {"ROLLBACK", "ABORT"}
_ENDING = {"COMMIT", "END"} | _UNDOING
_EITHER = {"", "WITH", "EXPLAIN"}  # may read or write


class Cursor:
    """A handle of its own on a database, for one thread: it never blocks replication and never waits for it."""

    def __init__(self, database: Database, connection: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._connection = connection
        self._scratch = Scratch(connection)
        self._written: set[str] = set()  # local tables that views follow, written to in the transaction that is open
        self._followed: set[str] | None = None  # those there were when it began; None: nothing was written yet
        self._redefined = False  # likewise: one of DuckDB's own tables or views was made, altered or dropped
        self._in_transaction = False
        self._namespace = "main"  # where a name without schema belongs; USE changes it

    def execute(self, sql: str, parameters: Parameters = None) -> Result:
        """Run one or several statements (FlashQL DDL, DuckDB SQL, queries over views); the last one's result.

        `parameters` are DuckDB's (`?`, `$1`, `$name`) and belong to the last statement. Raises `FlashQLError`s.
        """
        statements = parse_script(sql)
        for statement in statements[:-1]:
            self._run(statement, None)
        if not statements:
            return Result(self._connection)
        return self._run(statements[-1], parameters)

    def sql(self, sql: str) -> duckdb.DuckDBPyRelation:
        """A lazy relation over a query, as `duckdb.sql`; what it reads at origins is fetched now.

        It ends a result of `execute` on this handle that has not been read to its end. Raises `FlashQLError`s.
        """
        if hasattr(self._connection, "abort"):  # DuckDB 2 runs no relation beside an unread result
            self._connection.abort()
        statements = parse_script(sql)
        if len(statements) != 1 or not isinstance(statements[0], LocalSQL):
            raise errors.DefinitionError("sql() takes one query", hint="Use execute() for anything else.")
        ready = self._prepared(sql, None)
        with translated():
            relation = self._relation(ready)
        if relation is None:
            raise errors.DefinitionError("this statement returns no relation", hint="Use execute() for it.")
        return relation

    def _relation(self, ready: Preparation) -> duckdb.DuckDBPyRelation | None:
        """The relation, and those made of it, keep what was fetched: they hold on to a variable the query names."""
        if not ready.made:
            return self._connection.sql(ready.sql)
        flashql_held = pa.table({"held": pa.array([], pa.int8())})
        try:
            relation = self._connection.sql(ready.held_by("flashql_held"))
        except duckdb.Error:
            # Not every place that can read a table can read a subquery: then it is kept until the handle is closed.
            return self._connection.sql(ready.sql)
        ready.release_with(flashql_held)
        return relation

    def close(self) -> None:
        """Close this handle; the database stays open. Raises `DatabaseBusy` while another thread uses it."""
        with translated():
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, statement: Statement, parameters: Parameters) -> Result:
        if isinstance(statement, LocalSQL):
            return self._local(statement.sql, parameters)
        if isinstance(statement, ExplainQuery):
            parts = query.plan(self._database.store, statement.query, parameters, self._namespace)
            if not parts:
                return self._query(statement.sql, parameters)
            return self._text(explaining.query_text(parts, statement.query))
        if isinstance(statement, ExplainView):
            return self._text(explaining.view_text(self._database.store, self._placed(statement.name)))
        return self._define(statement)

    def _local(self, sql: str, parameters: Parameters) -> Result:
        """Run what is not FlashQL's, unless it would take a FlashQL view away unseen."""
        touch = touch_of(sql)
        if touch is not None and touch.kind == "SCHEMA" and self._database.definer.holds_ours(touch):
            return self._define(touch)
        if touch is not None:
            placed = replace(touch, names=tuple(self._placed(name) for name in touch.names))
            self._database.definer.refuse_touching(placed)
        result = self._query(sql, parameters)
        if sql[:5].upper().startswith(("USE", "SET", "RESET")):
            self._namespace = str(self._connection.execute("SELECT current_schema()").fetchall()[0][0])
        return result

    def _query(self, sql: str, parameters: Parameters) -> Result:
        if _first_word(sql) not in _READING | _EITHER:
            self._database.store.require_writable()
        ready = self._prepared(sql, parameters)
        ready.release()
        with translated():
            self._connection.execute(ready.sql, parameters)
        self._note_writes(sql)
        return Result(self._connection)

    def _note_writes(self, sql: str) -> None:
        """Views that read local tables follow what a statement, or a transaction that ends with it, wrote to them."""
        word = _first_word(sql)
        if word in _READING:
            return
        maintenance = self._database.maintenance
        if self._followed is None:
            self._followed = maintenance.followed_local_tables()
        self._written |= maintenance.local_tables_named(sql)
        self._redefined = self._redefined or word in _DEFINING
        if word in _BEGINNING:
            self._in_transaction = True
        elif word in _ENDING:
            self._in_transaction = False
        if not self._in_transaction:  # what came to be followed meanwhile may not have seen what was written
            self._written |= maintenance.followed_local_tables() - self._followed
            self._followed = None
        if word in _UNDOING:
            self._written, self._redefined = set(), False
        if self._redefined and not self._in_transaction:
            self._redefined = False
            bind_again(self._database.store)
        if self._written and not self._in_transaction:
            written, self._written = self._written, set()
            maintenance.follow_local(written)

    def _prepared(self, sql: str, parameters: Parameters) -> Preparation:
        database = self._database
        with translated():
            return query.prepare(database.store, database.origins, self._scratch, sql, parameters, self._namespace)

    def _text(self, text: str) -> Result:
        self._connection.execute("SELECT unnest(?) AS plan", [text.splitlines()])
        return Result(self._connection)

    def _placed(self, name: RelationName) -> RelationName:
        return name if name.schema is not None else RelationName(self._namespace, name.name)

    def _refuse_in_transaction(self) -> None:
        """FlashQL's DDL commits by itself, so it cannot be part of a transaction that is open here."""
        with translated():
            try:
                # Outside a transaction each statement is one, with a number of its own.
                ids = {self._connection.execute("SELECT txid_current()").fetchall()[0] for _ in range(2)}
            except duckdb.TransactionException:
                ids = set()
        if len(ids) < 2:
            raise errors.DefinitionError(
                "FlashQL's statements cannot run inside an open transaction: they take effect at once, or not at all",
                hint="COMMIT or ROLLBACK first. Plain SQL may use transactions.",
            )

    def _define(self, statement: Statement | Touch) -> Result:
        definer, sync = self._database.definer, self._database.sync
        if isinstance(statement, CreateView | AlterView | RefreshView):
            statement = replace(statement, name=self._placed(statement.name))
        elif isinstance(statement, DropView):
            statement = replace(statement, names=tuple(self._placed(name) for name in statement.names))
        if not definer.is_ours(statement):
            assert not isinstance(statement, Touch)
            return self._query(statement.sql, None)
        self._refuse_in_transaction()
        self._scratch.clear()
        changed = without_broken(lambda: definer.carry_out(statement))
        self._database.schedule.look()
        if changed and self._database.auto_sync:
            sync.sync()
        return self._done()

    def _done(self) -> Result:
        """The result of a statement that returns none."""
        self._connection.execute("SELECT NULL::BIGINT AS Count WHERE false")
        return Result(self._connection)


def _first_word(sql: str) -> str:
    return sql.split(None, 1)[0].upper().rstrip(";") if sql.strip() else ""


class Database(Cursor):
    """An open FlashQL database. Make one with `flashql.connect`; `close` it, or use it in a `with` statement."""

    def __init__(
        self,
        path: str,
        origins: Mapping[str, OriginSource] | None,
        resolve_origin: Callable[[str], OriginSource] | None,
        read_only: bool,
        auto_sync: bool,
        config: Mapping[str, Any] | None,
    ) -> None:
        self.store = Store(str(path), read_only=read_only, config=config)
        self.maintenance = Maintenance.of(self.store)
        self.origins = KnownOrigins(origins, resolve_origin)
        self.auto_sync = auto_sync
        self.sync = Sync(self.store, self.origins)
        self.definer = Definer(self.store, self.origins, self.sync)
        self.schedule = Schedule(self.store, self.sync)
        self._feeds = ChangeFeeds(self.store)
        self._close_lock = threading.RLock()
        self._ending = ExitStack()  # what close() does once, from the last to the first
        self._ending.callback(self.origins.close)
        self._ending.callback(self.store.end)  # before: what fails by that is not noted as a failure
        self._ending.callback(compact, self.store)
        self._ending.callback(self.sync.close)
        self._ending.callback(self.schedule.stop)
        self._ending.callback(self._feeds.close)
        try:
            if not read_only:
                self.store.before_commit = [self.maintenance.settle, partial(tell_jobs, self.store)]
                self.store.left_behind = self.maintenance.leave
                joining.clear_orphans(self.store)
                self.sync.show_stopped()
                bind_again(self.store)  # whatever was done to local views and tables by other means
                self.maintenance.follow_local()
            self.schedule.look()
            super().__init__(self, self.store.cursor())
        except BaseException:
            self.close()
            raise

    def cursor(self) -> Cursor:
        """An independent handle for another thread."""
        return Cursor(self, self.store.cursor())

    def changes(self, view: str, callback: Callback | None = None) -> ChangeFeed:
        """What each local commit from now on changes in a realtime or materialized view, in the order of commits.

        The feed is an iterator, also an asynchronous one, unless `callback` is given: it is called with each `Change`,
        in a thread of the feed's own. `close()` the feed to end it. Raises `UnknownName`, `NotSupported` for an
        origin view, and `DatabaseReadOnly`.
        """
        return self._feeds.changes(view if "." in view else f"{self._namespace}.{view}", callback)

    def live(self, query: str, callback: Callback | None = None) -> ChangeFeed:
        """As `changes`, of a SELECT over realtime views and local tables, in DuckDB's dialect.

        The first change inserts the rows that it returns now. Names without a schema are of schema main. Raises
        `DefinitionError` for a wrong query, `NotSupported` for one that cannot be kept, `ViewNotReady` when a view it
        reads has no rows here, `ViewBroken` when it fails over those there are, and `DatabaseReadOnly`.
        """
        return self._feeds.live(self.definer.live_view(query), callback)

    @property
    def views(self) -> dict[str, Persistence]:
        """The FlashQL views, by relation id."""
        return {name: view.persistence for name, view in views(self.store).items()}

    def close(self) -> None:
        """End every job, close every connection. Copies stay as they are; slots wait for the next time.

        Statements of other threads are interrupted, also at origins. Raises `DatabaseBusy` when one does not end
        within seconds: everything else is closed then, and `close` may be called again. Closing what is closed does
        nothing. An error on the way stops none of this.
        """
        with self._close_lock, ExitStack() as always:
            always.callback(self.schedule.join)
            always.callback(self.store.close)
            self._ending.close()
