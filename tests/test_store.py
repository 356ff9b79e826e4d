"""The DuckDB file: migrations, the single writer's transactions, the errors it speaks in."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from flashql import errors
from flashql.catalog import Column, Copy, CopyColumn, CopyState, Persistence, Schema, View, ViewColumn
from flashql.datatypes import PgType
from flashql.lsn import LSN
from flashql.resources import sql_files
from flashql.store import Store, duck, registered
from flashql.store.copies import copies, save_copy
from flashql.store.definitions import save_schema, save_view, schemas, views
from flashql.store.records import dump, load
from flashql.store.relations import kind_of, show_nothing

INT = PgType(23, -1, "integer")
COLUMNS = (ViewColumn("a", "INTEGER", INT),)
VIEW = View("main", "v", Persistence.REALTIME, "primary", "SELECT 1", COLUMNS, {"numeric": "auto"})


def test_a_new_file_gets_the_catalog_once_and_an_identity(database_path: str) -> None:
    first = Store(database_path)
    identity = first.database_id
    assert len(identity) == 12
    first.close()
    again = Store(database_path)
    assert again.database_id == identity
    again.close()


KILLED = """
import os, sys
import pyarrow as pa
from flashql.datatypes import PgType
from flashql.store import Store
from flashql.store.loading import TargetColumn, fill
store = Store(sys.argv[1])
types = {"n": PgType(1700, -1, "numeric"), "l": PgType(1007, -1, "integer[]", element=PgType(23, -1, "integer"))}
rows = pa.table({"c0": ["1", "NaN"], "c1": ["{1,2}", "{NULL}"]})
fill(store.cursor, "flashql_data.t1", [TargetColumn(*one) for one in types.items()], [rows.to_reader])
os.kill(os.getpid(), 9)
"""


def test_the_file_of_a_killed_process_opens(database_path: str) -> None:
    """DuckDB's log is all there is then: of the catalog's migrations, and of rows that were not held as they came."""
    ended = subprocess.run([sys.executable, "-c", KILLED, database_path], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (-9, b"")
    store = Store(database_path)
    try:
        assert store.rows("SELECT n, l FROM flashql_data.t1") == [("1", [1, 2]), ("NaN", [None])]
    finally:
        store.close()


def test_phases_of_a_file_from_before_they_had_names(database_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(duck, "sql_files", lambda folder: [one for one in sql_files(folder) if one[0] < "0007"])
        store = Store(database_path)
    with store.transaction() as writer:
        for name, phase in (("a", "stream"), ("b", "copy"), ("c", "slot"), ("d", None)):
            writer.execute(
                "INSERT INTO flashql.sync_jobs (relation_id, namespace, name, persistence, mode, phase, updated_at) "
                "VALUES (?, 's', ?, 'realtime', 'stream', ?, now())",
                [f"s.{name}", name, phase],
            )
    store.close()
    store = Store(database_path)
    try:
        rows = store.rows("SELECT name, phase FROM flashql.sync_jobs ORDER BY name")
        assert rows == [("a", "pull"), ("b", "clone"), ("c", "clone"), ("d", None)]
    finally:
        store.close()


def test_a_file_of_a_newer_flashql_is_refused(database_path: str) -> None:
    store = Store(database_path)
    with store.transaction() as writer:
        writer.execute("INSERT INTO flashql.migrations (version) VALUES (999)")
    store.close()
    with pytest.raises(errors.DatabaseTooNew, match="Upgrade FlashQL"):
        Store(database_path)


def test_a_plain_file_may_be_read_without_a_catalog(database_path: str) -> None:
    with duckdb.connect(database_path) as plain:
        plain.execute("CREATE TABLE t AS SELECT 1 AS a")
    store = Store(database_path, read_only=True)
    assert not store.has_catalog
    assert views(store) == {}
    with pytest.raises(errors.DatabaseReadOnly), store.transaction():
        pass
    store.close()


def test_whatever_is_raised_rolls_everything_back() -> None:
    store = Store(":memory:")
    version = store.version

    def fail_inside() -> None:
        with store.transaction() as outer:
            outer.execute("CREATE TABLE t (a int)")
            with store.transaction() as inner:
                inner.execute("INSERT INTO t VALUES (1)")
                assert store.rows("SELECT * FROM t") == [(1,)]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_inside()
    assert kind_of(store, "main", "t") is None
    assert store.version == version
    with store.transaction() as writer:
        writer.execute("CREATE TABLE t (a int)")
    assert store.version == version + 1
    store.close()


def test_readers_see_only_what_is_committed_and_do_not_wait() -> None:
    store = Store(":memory:")
    with store.transaction() as writer:
        writer.execute("CREATE TABLE t (a int)")
    seen: list[list[tuple[object, ...]]] = []
    with store.transaction() as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        reader = threading.Thread(target=lambda: seen.append(store.rows("SELECT * FROM t")))
        reader.start()
        reader.join(30)
    assert seen == [[]]
    assert store.rows("SELECT * FROM t") == [(1,)]
    store.close()


def test_definitions_come_back_as_they_were() -> None:
    store = Store(":memory:")
    copy = Copy(7, "primary", "public", "t", 123, (CopyColumn(Column("a", INT), 1),), ("a",), lsn=LSN.parse("1/2A"))
    with store.transaction() as writer:
        save_view(writer, VIEW)
        save_schema(writer, Schema("s", "primary"))
        save_copy(writer, copy)
    assert views(store) == {"main.v": VIEW}
    assert schemas(store) == {"s": Schema("s", "primary")}
    (found,) = copies(store, "primary")
    assert found == copy
    assert found.state is CopyState.MISSING
    assert load(View, dump(VIEW)) == VIEW
    store.close()


def test_a_view_without_rows_describes_itself_and_raises_advice() -> None:
    store = Store(":memory:")
    with store.transaction() as writer:
        save_view(writer, VIEW)
        show_nothing(writer, VIEW)
    assert store.rows("DESCRIBE v")[0][:2] == ("a", "INTEGER")
    with pytest.raises(errors.ViewNotReady, match=r"main\.v has no local copy yet"):
        store.rows("SELECT * FROM v")
    store.close()


def test_after_close_it_says_so() -> None:
    store = Store(":memory:")
    store.close()
    with pytest.raises(errors.DatabaseError, match="closed"):
        store.rows("SELECT 1")
    with pytest.raises(errors.DatabaseError, match="closed"), store.transaction():
        pass


def test_a_file_is_open_for_writing_once_in_a_process(database_path: str, tmp_path: Path) -> None:
    store = Store(database_path)
    link = tmp_path / "another-name.duckdb"
    link.symlink_to(database_path)
    for path in (database_path, str(link)):
        with pytest.raises(errors.DatabaseLocked, match=r"in this process already\s+Hint: Use db\.cursor\(\)"):
            Store(path)
    assert store.rows("SELECT 1") == [(1,)], "the first is as it was"
    store.close()
    Store(str(link)).close()
    Store(":memory:"), Store(":memory:")


def test_a_file_that_could_not_be_opened_can_be_later(database_path: str) -> None:
    Path(database_path).write_text("this is not a database, but it is long enough to be looked at" * 100)
    with pytest.raises(errors.DatabaseError, match="cannot open"):
        Store(database_path)
    Path(database_path).unlink()
    Store(database_path).close()


def test_a_store_that_nobody_holds_keeps_no_file(database_path: str) -> None:
    Store(database_path)
    Store(database_path).close()


def rows_until(told: Callable[[], bool], begun: threading.Event) -> pa.RecordBatchReader:
    """Rows without end, or until someone is told."""
    batch = pa.record_batch({"a": pa.array(range(1000))})

    def batches() -> Iterator[pa.RecordBatch]:
        while not told():
            yield batch
            begun.set()

    return pa.RecordBatchReader.from_batches(batch.schema, batches())


def reading(connection: duckdb.DuckDBPyConnection, rows: pa.RecordBatchReader) -> tuple[threading.Thread, list[str]]:
    """A thread that reads the rows on the connection, and what becomes of it."""
    outcome: list[str] = []

    def read() -> None:
        try:
            with registered(connection, "endless", rows):
                connection.execute("SELECT count(*) FROM endless").fetchall()
            outcome.append("done")
        except duckdb.Error as error:
            outcome.append(type(error).__name__)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, outcome


def test_closing_interrupts_what_other_threads_run(database_path: str) -> None:
    store = Store(database_path)
    begun = threading.Event()
    thread, outcome = reading(store.cursor(), rows_until(lambda: False, begun))
    assert begun.wait(30)
    store.close()
    thread.join(30)
    assert outcome == ["InterruptException"]
    Store(database_path).close()


@pytest.mark.skipif(not hasattr(duckdb, "ResourceInUseException"), reason="DuckDB 1 waits for the call to end")
def test_what_cannot_be_interrupted_makes_close_fail_until_it_ends(
    database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duck, "_CLOSE_SECONDS", 0.1)
    store = Store(database_path)
    # Else one of DuckDB's own threads may be the one that waits, and to close a connection waits for that.
    store.rows("SET threads = 1")
    begun, go_on = threading.Event(), threading.Event()

    def waits() -> bool:
        return begun.is_set() and go_on.wait(60)

    thread, _ = reading(store.cursor(), rows_until(waits, begun))
    assert begun.wait(30)
    for _ in range(2):
        with pytest.raises(errors.DatabaseBusy, match="could not be closed"):
            store.close()
    with pytest.raises(errors.DatabaseError, match="closed"):
        store.rows("SELECT 1")
    with pytest.raises(errors.DatabaseLocked, match="in this process already"):
        Store(database_path)
    go_on.set()
    thread.join(30)
    store.close()
    store.close()
    Store(database_path).close()


def test_a_transaction_under_way_is_waited_for_or_refuses_the_close(
    database_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(database_path)
    begun, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with store.transaction() as writer:
            begun.set()
            go_on.wait(60)
            writer.execute("CREATE TABLE t AS SELECT 1 AS a")

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(30)
    with monkeypatch.context() as patched:
        patched.setattr(duck, "_CLOSE_SECONDS", 0.1)
        with pytest.raises(errors.DatabaseBusy, match="in the midst of writing"):
            store.close()
    go_on.set()
    store.close()
    thread.join(30)
    again = Store(database_path)
    assert again.rows("SELECT a FROM t") == [(1,)]
    again.close()
