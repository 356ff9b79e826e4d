"""docs/guides/operations.md as somebody follows it: its runbooks run as written, what it names is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import flashql
from flashql import errors
from flashql.openmetrics import FAMILIES
from tests.fix_database import same_rows
from tests.fix_postgres import Origin, PrivateServer

PAGE = Path(__file__).parent.parent / "docs" / "guides" / "operations.md"
TEXT = PAGE.read_text(encoding="utf-8")

SHOP = """
CREATE TABLE orders (id int PRIMARY KEY, amount int, note text);
INSERT INTO orders SELECT n, n, 'note ' || n FROM generate_series(1, 100) AS n;
CREATE TABLE customers (id int PRIMARY KEY);
INSERT INTO customers VALUES (1);
"""
DEFINE = """
CREATE SCHEMA shop WITH (replication_origin = 'primary');
CREATE REALTIME VIEW shop.orders AS SELECT id, amount, note FROM public.orders;
CREATE REALTIME VIEW shop.customers AS SELECT * FROM public.customers;
"""


def steps(runbook: str) -> Iterator[tuple[str, str]]:
    """The blocks of one runbook, in order: their language and text."""
    found = list(re.finditer(rf"^```(\w+) {runbook}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
    assert found
    return ((one[1], one[2]) for one in found)


def walk(runbook: str, origin: Origin, file: Path) -> str:
    """Do what the runbook says, with settings as it supposes; what its commands printed. None may fail."""
    printed = []
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PAGE.parents[2]),
        "FLASHQL_DATABASE": str(file),
        "FLASHQL_ORIGIN_PRIMARY": origin.dsn,
    }
    for language, text in steps(runbook):
        if language == "sql":
            for statement in filter(str.strip, text.split(";")):
                origin.execute(statement)
        else:
            script = text.replace("flashql ", f"{sys.executable} -m flashql.cli ")
            done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, timeout=90)
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
            printed.append(done.stdout)
    return "".join(printed)


def synced(origin: Origin, file: Path) -> None:
    """A file whose views were synced, and that nobody follows now."""
    origin.execute(SHOP)
    with flashql.connect(str(file), origins={"primary": origin.dsn}) as db:
        db.execute(DEFINE)
        assert db.sync.sync()


def job(file: Path, name: str) -> flashql.JobStatus:
    with flashql.connect(str(file), read_only=True) as db:
        (found,) = db.sync.status(name)
        return found


def test_a_lost_slot_by_its_runbook(private_server: PrivateServer, tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    synced(private_server, file)
    before = job(file, "shop.orders")
    private_server.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    private_server.execute("UPDATE orders SET amount = -amount WHERE id <= 50")
    private_server.execute("DELETE FROM orders WHERE id > 90")
    printed = walk("lost", private_server, file)
    assert "shop.orders\trealtime\tidle" in printed
    assert printed.count("\ttrue\t") == 2  # verify: both are equal
    assert private_server.query("SHOW max_slot_wal_keep_size") == [("20GB",)]
    with flashql.connect(str(file), read_only=True) as db:
        same_rows(private_server, db, "SELECT * FROM orders", "SELECT * FROM shop.orders")
    after = job(file, "shop.orders")
    assert (after.slot_id, after.state, after.last_error) == (before.slot_id, "idle", None)
    assert after.last_seen_commit != before.last_seen_commit


def test_a_schema_change_by_its_runbook(origin: Origin, tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    synced(origin, file)
    origin.execute("ALTER TABLE orders RENAME note TO remark")
    origin.execute("UPDATE orders SET remark = 'changed' WHERE id <= 10")
    with flashql.connect(str(file), origins={"primary": origin.dsn}) as db:
        report = db.sync.sync()
        assert set(report.failed) == {"shop.orders"}  # which is when somebody looks here
        assert db.execute("SELECT count(*) FROM shop.orders").fetchall() == [(100,)]
    assert "note" in (job(file, "shop.orders").last_error or "")
    printed = walk("schema", origin, file)
    assert "note" in printed  # the status says what is gone
    assert "\ttrue\t" in printed
    with flashql.connect(str(file), read_only=True) as db:
        same_rows(origin, db, "SELECT id, amount, remark FROM orders", "SELECT * FROM shop.orders")
        same_rows(origin, db, "SELECT * FROM customers", "SELECT * FROM shop.customers")
    assert job(file, "shop.orders").last_error is None


def test_a_transaction_that_holds_a_first_copy_is_found_as_written(origin: Origin) -> None:
    origin.execute(SHOP)
    ((_, query),) = steps("stuck")
    with origin.connect() as writing:
        writing.execute("BEGIN")
        writing.execute("DELETE FROM orders WHERE id = 1")
        pids = [row[0] for row in origin.query(query.strip().rstrip(";"))]
        assert writing.info.backend_pid in pids
        origin.execute("SELECT pg_terminate_backend(%s)", (writing.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            writing.execute("SELECT 1")


def test_moving_the_file_costs_no_copy(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    file = tmp_path / "old" / "app.duckdb"
    synced(origin, file)
    with flashql.connect(str(file)) as db:
        (copied,) = db.execute("SELECT count(*), max(id) FROM flashql.copies").fetchall()
    origin.execute("INSERT INTO orders VALUES (101, 1, 'later')")
    (tmp_path / "new").mkdir()
    moved = file.rename(tmp_path / "new" / "moved.duckdb")
    with flashql.connect(str(moved), origins={"primary": origin.dsn}) as db:
        assert db.sync.sync()
        db.sync.wait(timeout=30)
        same_rows(origin, db, "SELECT * FROM orders", "SELECT * FROM shop.orders")
        assert db.execute("SELECT count(*), max(id) FROM flashql.copies").fetchall() == [copied]
        (measured,) = db.sync.metrics().origins
        assert measured.copies == 0


# -- what the page names


def test_every_metric_it_names_is_there() -> None:
    known = {family.name + {"counter": "_total", "info": "_info"}.get(family.kind, "") for _, family in FAMILIES}
    section = TEXT[TEXT.index("### What to alarm on") : TEXT.index("## What each error means")]
    named = set(re.findall(r"\bflashql_(?:origin|view|slot|build)\w*", section))
    assert len(named) > 10
    assert named - known == set()


def test_every_error_that_syncing_meets_is_explained() -> None:
    section = TEXT[TEXT.index("## What each error means") : TEXT.index("## Runbooks")]
    explained = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
    met = {
        one.__name__
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.OriginError | errors.DatabaseError)
    }
    others = {"OriginUnfit", "UnknownName", "HookRefused"}  # of definitions, but they may show later, and of hooks
    assert explained == (met - {"DatabaseError"}) | others
