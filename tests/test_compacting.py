"""A file that is mostly free is made smaller; whoever reads or writes meanwhile notices nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import flashql
from flashql.database import Database
from flashql.store.compacting import compact

ROWS, ROUNDS = 200_000, 30
SUMS = "SELECT count(*), sum(hash(id, text)) FROM s.kept"


def churned(path: Path) -> Database:
    """A database with a materialized view whose rows were replaced often while a reader held a snapshot."""
    db = flashql.connect(str(path))
    db.execute("CREATE SCHEMA s")
    rows = "SELECT range AS id, md5(range::VARCHAR) || md5((range + 1)::VARCHAR) AS text"
    db.execute(f"CREATE MATERIALIZED VIEW s.kept AS {rows} FROM range({ROWS})")
    db.sync.sync()
    ((table,),) = db.execute("SELECT local_table FROM flashql.views").fetchall()
    with db.cursor() as reader:
        reader.execute("BEGIN")
        reader.execute(SUMS)
        for at in range(ROUNDS):
            with db.store.transaction() as writer:
                writer.execute(f'DELETE FROM flashql_data."{table}" WHERE id % 6 = {at % 6}')
                writer.execute(
                    f'INSERT INTO flashql_data."{table}" {rows} FROM range({ROWS}) WHERE range % 6 = {at % 6}'
                )
        reader.execute("COMMIT")
    return db


def test_a_file_that_is_mostly_free_is_made_smaller_at_close(tmp_path: Path) -> None:
    path = tmp_path / "local.duckdb"
    with churned(path) as db:
        rows = db.execute(SUMS).fetchall()
        db.store.cursor().execute("CHECKPOINT")
        before = path.stat().st_size
    assert path.stat().st_size < before / 2
    with flashql.connect(str(path)) as again:
        assert again.execute(SUMS).fetchall() == rows


def test_readers_go_on_and_writers_wait(tmp_path: Path) -> None:
    with churned(tmp_path / "local.duckdb") as db:
        reader = db.cursor()
        reader.execute("BEGIN")
        rows = reader.execute(SUMS).fetchall()
        assert compact(db.store)
        assert not compact(db.store)
        assert reader.execute(SUMS).fetchall() == rows
        reader.execute("COMMIT")
        assert reader.execute(SUMS).fetchall() == rows
        db.execute("REFRESH MATERIALIZED VIEW s.kept")
        assert db.execute(SUMS).fetchall() == rows


def test_nothing_is_rewritten_amid_a_transaction_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashql.store.compacting._PATIENCE_SECONDS", 0.05)
    with churned(tmp_path / "local.duckdb") as db:
        begun, over = threading.Event(), threading.Event()

        def write() -> None:
            with db.store.transaction():
                begun.set()
                over.wait(30)

        writer = threading.Thread(target=write)
        writer.start()
        begun.wait(30)
        try:
            assert not compact(db.store)
        finally:
            over.set()
            writer.join()
        assert compact(db.store)


def test_memory_and_read_only_files_are_left_alone(tmp_path: Path) -> None:
    with flashql.connect() as db:
        assert not compact(db.store)
    churned(tmp_path / "local.duckdb").close()
    with flashql.connect(str(tmp_path / "local.duckdb"), read_only=True) as db:
        assert not compact(db.store)
