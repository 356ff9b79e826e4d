"""The DuckDB file: migrations, the single writer's transactions, the errors it speaks in."""

from __future__ import annotations

import threading

import duckdb
import pytest

from flashql import errors
from flashql.catalog import Column, Copy, CopyColumn, CopyState, Persistence, Schema, View, ViewColumn
from flashql.datatypes import PgType
from flashql.lsn import LSN
from flashql.store import Store
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
