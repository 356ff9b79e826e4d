"""A Postgres origin as seen by ordinary connections: introspection, and SELECT results as Arrow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeVar

import adbc_driver_manager
import adbc_driver_postgresql
import psycopg
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcDatabase, AdbcStatement
from psycopg import generators, pq

from flashql import errors
from flashql.catalog import Column, Shape, Table
from flashql.datatypes import PgType, select_text
from flashql.native import is_native
from flashql.origins.base import UNKNOWN_SIZE, Size
from flashql.origins.postgres.connecting import DsnSource, as_ours, conninfo, first_line
from flashql.origins.postgres.pool import Pool
from flashql.quoting import literal, quote
from flashql.resources import sql_text

OLDEST_VERSION = 14

# A table takes as long as it takes, whatever the role's limits are (some are of newer servers only), but does not wait
# for ever behind an ALTER TABLE: that may wait in turn for another reader of the same copy, unknown to the server.
# Row security that came between is an error, not fewer rows.
ALL_ROWS = (
    "SELECT set_config(name, v.setting, true) FROM pg_catalog.pg_settings JOIN (VALUES ('statement_timeout', '0'), "
    "('transaction_timeout', '0'), ('lock_timeout', '30s'), ('row_security', 'off')) AS v (name, setting) USING (name)"
)

# How long close() waits until the origin has been told to end what it still computes.
_CANCEL_SECONDS = 2.0

# What one Arrow batch holds of COPY's bytes, about. A row has no less than six, so a batch has fewer rows than one of
# DuckDB's row groups: of a longer batch DuckDB makes a row group and a rest, and its checkpoint then writes all again.
_BATCH_BYTES = 512 << 10

# What releases of the driver before 1.3 say of a query that fails before its first row.
_NOTHING_CAME = "ReadHeader failed"
# What it may say of a connection that it has closed: it counts them without a lock (apache/arrow-adbc, issue 4753).
_MISCOUNTED = "Open connection count underflowed"

T = TypeVar("T")


class PostgresClient:
    """Ordinary access to one origin. Safe for use by several threads; connects when first needed."""

    def __init__(self, name: str, dsn: DsnSource) -> None:
        self.name = name
        self._dsn = dsn
        self._pool = Pool(name, self.conninfo)
        self._arrow: tuple[str, AdbcDatabase] | None = None  # with the connection string it was made for
        self._arrow_lock = threading.Lock()  # held while one is made
        self._reading: set[AdbcStatement] = set()
        self._reading_lock = threading.Lock()
        self._closing = False

    def conninfo(self, application_name: str = "flashql", **more: str) -> str:
        """The connection string for one more connection; asks for the DSN anew."""
        return conninfo(self._dsn(), application_name, **more)

    def connection(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """A pooled connection in autocommit mode; its errors become FlashQL's."""
        return self._pool.connection()

    def asked(self, question: Callable[[psycopg.Connection[Any]], T]) -> T:
        """What a question finds that only reads, and may be asked twice (see pool.py)."""
        return self._pool.asked(question)

    @property
    def version(self) -> int:
        """The server's major version."""
        return self.asked(lambda connection: connection.info.server_version // 10000)

    def query(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query that may run twice (see `asked`), as Python values."""
        return self.asked(lambda connection: connection.execute(sql.encode(), parameters or None).fetchall())

    @contextmanager
    def in_snapshot(self, name: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
        """Runs queries that see the exported snapshot of that name, which must be held meanwhile."""
        with self.connection() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                connection.execute(f"SET TRANSACTION SNAPSHOT {literal(name)}".encode())
                connection.execute(ALL_ROWS.encode())
                yield lambda sql: connection.execute(sql.encode()).fetchall()
            finally:
                connection.rollback()

    def execute(self, *statements: str) -> None:
        """Run statements, each committed by itself."""
        with self.connection() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def close(self) -> None:
        """Close every pooled connection, and end the queries whose rows are being read."""
        self._closing = True
        if self._reading:
            # Libpq has no timeout for this, and the network may be what keeps a reader waiting.
            cancelling = threading.Thread(target=self._cancel_readers, name="flashql-cancel", daemon=True)
            cancelling.start()
            cancelling.join(_CANCEL_SECONDS)
        self._pool.close()
        self._close_arrow()

    def _cancel_readers(self) -> None:
        with self._reading_lock:
            for statement in self._reading:
                with suppress(adbc_driver_manager.Error, OSError):
                    statement.cancel()

    @contextmanager
    def _cancellable(self, statement: AdbcStatement) -> Iterator[None]:
        with self._reading_lock:
            self._reading.add(statement)
        try:
            yield
        finally:
            with self._reading_lock:
                self._reading.discard(statement)

    # -- introspection

    def describe(self, query: str) -> tuple[Column, ...]:
        """The columns a query returns, by the origin's own description of it; nothing is run."""
        return self.asked(lambda connection: self._described(connection, query))

    def _described(self, connection: psycopg.Connection[Any], query: str) -> tuple[Column, ...]:
        # Sent and waited for apart: libpq's own waiting keeps the interpreter's lock.
        connection.pgconn.send_prepare(b"", query.encode())
        prepared = connection.wait(generators.execute(connection.pgconn))[0]
        if prepared.status != pq.ExecStatus.COMMAND_OK:
            raise _failed(self.name, prepared)
        connection.pgconn.send_describe_prepared(b"")
        described = connection.wait(generators.execute(connection.pgconn))[0]
        if described.status != pq.ExecStatus.COMMAND_OK:
            raise _failed(self.name, described)
        fields = [
            ((described.fname(at) or b"").decode(), described.ftype(at), described.fmod(at))
            for at in range(described.nfields)
        ]
        types = self._types(connection, [(oid, modifier) for _, oid, modifier in fields])
        return tuple(Column(name, type_) for (name, _, _), type_ in zip(fields, types, strict=True))

    def _types(self, connection: psycopg.Connection[Any], wanted: Sequence[tuple[int, int]]) -> list[PgType]:
        """PgTypes of (oid, typmod) pairs, domains resolved."""
        if not wanted:
            return []
        rows = connection.execute(
            sql_text("origin/types.sql").encode(),
            {"oids": [oid for oid, _ in wanted], "typmods": [modifier for _, modifier in wanted]},
        ).fetchall()
        return [_pg_type(*row) for row in rows]

    def table(self, schema: str | None, name: str) -> Table:
        """The table of that name (by the search path when `schema` is None). Raises `UnknownName`."""
        shown = name if schema is None else f"{schema}.{name}"
        spelled = quote(name) if schema is None else f"{quote(schema)}.{quote(name)}"
        found = self.asked(lambda connection: self._table(connection, spelled))
        if found is None:
            raise errors.UnknownName(
                f"table {shown} does not exist at origin {self.name}",
                hint="Check the name and schema; a name that needs quotes there needs them here too.",
            )
        return found

    def _table(self, connection: psycopg.Connection[Any], spelled: str) -> Table | None:
        found = connection.execute(sql_text("origin/table.sql").encode(), {"name": spelled}).fetchone()
        if found is None:
            return None
        oid, schema_name, table_name, kind, identity, rows, size, pages, key = found
        columns = connection.execute(sql_text("origin/columns.sql").encode(), {"oid": oid}).fetchall()
        types = self._types(connection, [(column[1], column[2]) for column in columns])
        return Table(
            oid=oid,
            schema=schema_name,
            name=table_name,
            columns=tuple(
                Column(column[0], type_, column[3], column[4], column[5], (column[1], column[2]))
                for column, type_ in zip(columns, types, strict=True)
            ),
            key=tuple(key or ()),
            replica_identity=identity,
            kind=kind,
            estimated_rows=rows,
            estimated_bytes=size,
            pages=pages,
            shape=_shape(connection, oid) if kind in ("r", "p") else None,
        )

    def expected(self, query: str) -> Size:
        """How many rows the planner expects of a query, and how wide; unknown when it does not say so at once.

        It knows the size of tables now, and of those that were never analyzed too (plancat.c, estimate_rel_size).
        """

        def explain(connection: psycopg.Connection[Any]) -> Any:
            with connection.transaction():
                # Whoever holds a lock on the table is waited for when its rows are read, where that can be cancelled.
                connection.execute("SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '1s'")
                return connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchone()

        try:
            ((plan,),) = self.asked(explain)
            rows, width = plan["Plan"]["Plan Rows"], plan["Plan"]["Plan Width"]
        except (errors.FlashQLError, KeyError, TypeError):
            return UNKNOWN_SIZE
        return Size(int(rows), int(rows * width))

    # -- rows as Arrow

    @contextmanager
    def reader(self, query: str, *before: str) -> Iterator[pa.RecordBatchReader]:
        """A query's rows as Arrow, streamed. `before` runs first on the same connection."""
        with (
            arrow_errors(self.name),
            _closed_at_end(AdbcConnection(self._arrow_database())) as connection,
            AdbcStatement(connection) as statement,
            self._cancellable(statement),
        ):
            for sql in before:
                statement.set_sql_query(sql)
                statement.execute_update()
            statement.set_options(**{adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value: _BATCH_BYTES})
            statement.set_sql_query(query)
            stream, _ = statement.execute_query()
            with (
                pa.RecordBatchReader.from_stream(stream) as batches,
                _rows_errors(
                    self.name, batches, lambda: None if self._closing else self._run_again(query, before)
                ) as rows,
            ):
                yield rows

    def _run_again(self, query: str, before: Sequence[str]) -> None:
        """Raise what the origin says of a query that failed before its first row, which the driver does not tell."""
        with self.connection() as connection:
            try:
                for sql in before:
                    connection.execute(sql.encode())
                with connection.cursor().copy(f"COPY ({query}) TO STDOUT".encode()) as copy:
                    copy.read()
            finally:
                connection.rollback()

    def _arrow_database(self) -> AdbcDatabase:
        """What ADBC connections are made from. Making it reads the origin's types, ten times a connection's work."""
        with self._arrow_lock:
            target = self.conninfo()
            if self._arrow is None or self._arrow[0] != target:
                self._close_arrow()
                self._arrow = (target, adbc_driver_postgresql.connect(target))
            return self._arrow[1]

    def _close_arrow(self) -> None:
        made, self._arrow = self._arrow, None
        if made is not None:
            with suppress(RuntimeError):  # somebody still reads
                made[1].close()


def column_sql(type_: PgType, reference: str) -> str:
    """What to SELECT for a column: its binary value where Arrow holds that exactly, else the text a stream prints."""
    return reference if is_native(type_) else select_text(type_, reference)


def _pg_type(
    oid: int,
    typmod: int,
    name: str,
    kind: str,
    element: int,
    element_kind: str | None,
    element_name: str | None,
    labels: Sequence[str] | None,
) -> PgType:
    inner = PgType(element, typmod, element_name or "", element_kind or "b") if element else None
    return PgType(oid, typmod, name, kind, inner, tuple(labels or ()))


def _shape(connection: psycopg.Connection[Any], oid: int) -> Shape | None:
    """The shape of a table; None when it is gone."""
    row = connection.execute(sql_text("origin/shape.sql").encode(), {"oid": oid}).fetchone()
    if row is None:
        return None
    file, *lists = row
    names, numbers, versions, partitions, streamed, readers, types = (tuple(one or ()) for one in lists)
    columns = tuple(zip(names, numbers, versions, strict=True))
    return Shape(file, columns, partitions, streamed, tuple(zip(readers, types, strict=True)))


def _failed(origin: str, result: pq.abc.PGresult) -> errors.FlashQLError:
    state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
    message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
    return as_ours(origin, state.decode(), message.decode(errors="replace"))


@contextmanager
def _rows_errors(
    origin: str, reader: pa.RecordBatchReader, run_again: Callable[[], None]
) -> Iterator[pa.RecordBatchReader]:
    """The reader's rows. When the origin fails while they come, whoever reads them fails: the origin's error wins.

    `run_again` raises the error of a query of which the driver only says that nothing came.
    """
    failures: list[Exception] = []

    def noting() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except Exception as error:
            failures.append(error)
            raise

    try:
        yield pa.RecordBatchReader.from_batches(reader.schema, noting())
    except Exception:
        if not failures:
            raise
        text = str(failures[0])
        if _NOTHING_CAME in text:
            run_again()
            raise as_ours(origin, None, text) from failures[0]
        if "ERROR:" in text:
            message = first_line(text.split("ERROR:", 1)[1])
            raise errors.OriginQueryFailed(f"origin {origin}: {message}") from failures[0]
        raise as_ours(origin, None, text) from failures[0]


@contextmanager
def _closed_at_end(connection: AdbcConnection) -> Iterator[AdbcConnection]:
    """The connection, closed at the end. That others were closed in the same moment is no error of what was read."""
    try:
        yield connection
    finally:
        try:
            connection.close()
        except adbc_driver_manager.InternalError as error:
            if _MISCOUNTED not in str(error):
                raise


@contextmanager
def arrow_errors(origin: str) -> Iterator[None]:
    """ADBC's errors inside become FlashQL's, naming the origin."""
    try:
        yield
    except adbc_driver_manager.Error as error:
        text = str(error)
        state = error.sqlstate if isinstance(error.sqlstate, str) and error.sqlstate.strip("\0") else None
        message = text.split("ERROR:", 1)[-1].strip() if "ERROR:" in text else first_line(text)
        raise as_ours(origin, state, message if state else text) from error
