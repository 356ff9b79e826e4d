"""Seeds: shown at once, stale, and replaced by the clone in one commit; checked when they are named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import flashql
from flashql import SyncContext, errors
from flashql.database import Database
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.fix_shop import job, make_shop, until

WAIT_SECONDS = 60.0
NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"
PRODUCTS = "SELECT id, name FROM products"
ROWS = "SELECT 1::INTEGER AS id, 'from the seed' AS name UNION ALL SELECT 77, NULL"


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_shop(origin)


def make(db: Database, seed: str, kind: str = "REALTIME", query: str = PRODUCTS) -> None:
    quoted = seed.replace("'", "''")
    db.execute(f"CREATE {kind} VIEW v WITH (replication_origin = 'primary', seed = '{quoted}') AS {query}")


def rows(db: Database) -> list[Any]:
    return db.execute("SELECT id, name FROM v ORDER BY id").fetchall()


SEEDED = [(1, "from the seed"), (77, None)]


def write_seed(folder: Path, kind: str) -> str:
    """A seed of that kind, with its columns the other way round; what names it."""
    with flashql.connect() as db:
        db.execute(f"COPY (SELECT name, id FROM ({ROWS})) TO '{folder}/seed.{kind}'")
    return f"{folder}/seed.{kind}"


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "select", "table"])
@pytest.mark.parametrize("view", ["REALTIME", "MATERIALIZED"])
def test_a_seed_is_shown_until_the_clone(
    shop: Origin, database_path: str, tmp_path: Path, kind: str, view: str
) -> None:
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        db.execute(f"CREATE TABLE backup AS {ROWS}")
        seed = {"select": ROWS, "table": "main.backup"}.get(kind) or write_seed(tmp_path, kind)
        make(db, seed, view)
        with pytest.raises(errors.ViewNotReady):
            rows(db)
    with flashql.connect(database_path, origins={"primary": NOWHERE}) as db:
        failing = threading.Thread(target=db.sync.sync)
        failing.start()
        until(lambda: job(db, "v").state == "failed", "the origin is not there")
        assert rows(db) == SEEDED
        seeded = job(db, "v")
        assert (seeded.last_seen_commit, seeded.stale, seeded.rows, seeded.last_success_at) == (None, True, 2, None)
        ((stale,),) = db.execute("SELECT local_table LIKE 'seed%' FROM flashql.views").fetchall()
        assert stale
        db.sync.stop()
        failing.join()
        assert rows(db) == SEEDED
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert rows(db) == SEEDED
        assert job(db, "v").stale
        changes = db.changes("v")
        assert db.sync.resume()
        same_rows(shop, db, PRODUCTS, "SELECT * FROM v")
        change = changes.take(WAIT_SECONDS)
        assert change is not None
        assert (change.deleted.num_rows, change.inserted.num_rows) == (2, 10)
        assert not job(db, "v").stale
        assert job(db, "v").last_success_at is not None
        tables = db.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'flashql_data'").fetchall()
        assert not any(name.startswith("seed") for (name,) in tables)
        db.sync.sync()
        assert len(rows(db)) == 10


def test_a_seed_of_a_kept_view_and_its_phases(shop: Origin, database_path: str) -> None:
    query = "SELECT o.id, p.name FROM orders AS o JOIN products AS p ON p.id = o.product_id"
    told: list[SyncContext] = []
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        make(db, "SELECT 1::BIGINT AS id, 'seed' AS name", query=query)

        @db.sync.before_sync
        def look(context: SyncContext) -> None:
            told.append(context)

        assert db.sync.sync()
        same_rows(shop, db, query, "SELECT * FROM v")
        assert [(one.phase, one.origin, one.views, one.lsn is None) for one in told] == [
            ("seed", "primary", ("main.v",), True),
            ("clone", "primary", ("main.v",), False),
        ]
        assert [(one.payload["main.v"].deleted.num_rows, one.payload["main.v"].inserted.num_rows) for one in told] == [
            (0, 1),
            (1, 100),
        ]
        db.execute(f"CREATE OR REPLACE REALTIME VIEW v WITH (replication_origin = 'primary') AS {PRODUCTS}")
        assert db.sync.sync()
        same_rows(shop, db, PRODUCTS, "SELECT * FROM v")


def test_a_refused_seed_is_left_out(shop: Origin, database_path: str) -> None:
    with flashql.connect(database_path, origins={"primary": NOWHERE}) as db, pytest.raises(errors.OriginError):
        make(db, ROWS)
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        make(db, ROWS)

        @db.sync.before_sync
        def refuse(context: SyncContext) -> None:
            assert context.phase != "seed", "no seeds here"

        assert db.sync.sync()
        same_rows(shop, db, PRODUCTS, "SELECT * FROM v")


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        ("SELECT 1::INTEGER AS id", "lacks name"),
        ("SELECT 1::INTEGER AS id, 'x' AS name, 2 AS more", "has more beyond"),
        ("SELECT 1::INTEGER AS id, 'x' AS nam", "lacks name and has nam beyond"),
        ("SELECT 1::BIGINT AS id, 'x' AS name", "column id of the seed of main.v is BIGINT, in the view it is INTEGER"),
        ("nowhere", "cannot be read"),
        ("missing.parquet", "cannot be read"),
        ("missing.csv", "cannot be read"),
        ("SELECT 1; DROP TABLE backup", "cannot be read"),
        ("SELEKT 1", "cannot be read"),
        (" ", "seed is empty"),
    ],
)
def test_a_seed_that_does_not_fit_is_told_at_once(shop: Origin, seed: str, said: str) -> None:
    with flashql.connect(origins={"primary": shop.dsn}) as db:
        db.execute(f"CREATE TABLE backup AS {ROWS}")
        with pytest.raises(errors.DefinitionError, match=said):
            make(db, seed)
        assert db.views == {}
        make(db, ROWS)
        quoted = seed.replace("'", "''")
        with pytest.raises(errors.DefinitionError, match=said):
            db.execute(f"ALTER VIEW v SET (seed = '{quoted}')")
        assert db.execute("SELECT count(*) FROM backup").fetchall() == [(2,)]
        with pytest.raises(errors.DefinitionError, match="seed is for materialized and realtime views only"):
            db.execute("CREATE ORIGIN VIEW o WITH (replication_origin = 'primary', seed = 'backup') AS SELECT 1 AS a")


def test_a_file_whose_columns_do_not_fit(shop: Origin, tmp_path: Path) -> None:
    with flashql.connect(origins={"primary": shop.dsn}) as db:
        (tmp_path / "wrong.csv").write_text("id,label\n1,x\n", encoding="utf-8")
        with pytest.raises(errors.DefinitionError, match="lacks name and has label beyond"):
            make(db, f"{tmp_path}/wrong.csv")
        db.execute(f"COPY (SELECT 1::SMALLINT AS id, 'x' AS name) TO '{tmp_path}/wrong.parquet'")
        with pytest.raises(errors.DefinitionError, match="is SMALLINT, in the view it is INTEGER"):
            make(db, f"{tmp_path}/wrong.parquet")


def test_a_seed_that_cannot_be_read_any_more_keeps_nobody_from_cloning(
    shop: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with flashql.connect(origins={"primary": shop.dsn}) as db:
        (tmp_path / "seed.csv").write_text("id,name\nseven,x\n", encoding="utf-8")
        make(db, f"{tmp_path}/seed.csv")
        assert db.sync.sync()
        assert "the seed of main.v was left out" in caplog.text
        same_rows(shop, db, PRODUCTS, "SELECT * FROM v")
        assert job(db, "v").last_error is None


KILLED = """
import os, sys, signal
import flashql
from flashql import seeding
show = seeding.show_own
def killed(*arguments):
    if sys.argv[3] == "after":
        show(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
seeding.show_own = killed
db = flashql.connect(sys.argv[1], origins={"primary": sys.argv[2]})
db.sync.sync()
"""


@pytest.mark.kill
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_dies_while_it_seeds_leaves_nothing_behind(
    shop: Origin, database_path: str, moment: str
) -> None:
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        make(db, ROWS)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, database_path, shop.dsn, moment],
        capture_output=True,
        check=False,
        env=os.environ,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        assert job(db, "v").phase is None
        assert db.execute("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'flashql_data'").fetchall() == [
            (0,)
        ]
        assert db.sync.sync()
        same_rows(shop, db, PRODUCTS, "SELECT * FROM v")


def test_stopping_and_forgetting_a_seeded_view(shop: Origin, database_path: str) -> None:
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        make(db, ROWS, "MATERIALIZED")
        told: list[SyncContext] = []

        @db.sync.before_sync
        def refuse(context: SyncContext) -> Exception | None:
            told.append(context)
            return ValueError("not yet") if context.phase == "clone" else None

        assert not db.sync.sync()
        assert rows(db) == SEEDED
        db.sync.stop("v")
        db.sync.forget("v")
        assert rows(db) == SEEDED
        refuse.remove()
        assert db.sync.sync().materialized == ("main.v",)
        assert [one.phase for one in told] == ["seed", "clone"]
        same_rows(shop, db, PRODUCTS, "SELECT * FROM v")
