"""What dropped database files leave at an origin is found, and dropped only when nobody can ever come back for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

import flashql
from flashql.cli import main
from flashql.store.owner import owner_of
from tests.fix_postgres import Origin
from tests.postgres.pair import Pair, following
from tests.postgres.test_recovery import TABLES, VIEWS, until

Findings = dict[str, dict[str, object]]


def doctor(origin: Origin, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, Findings]:
    """The exit code and what was found about slots, by name."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["doctor", origin.dsn, "--json", *flags])
    found = json.loads(capsys.readouterr().out)
    code = ended.value.code
    return int(code or 0), {one["name"]: one for one in found if one["name"].startswith("slot ")}


@pytest.fixture
def closed(origin: Origin, database_path: str) -> Pair:
    """A database file that has a slot at the origin, and that nobody has open."""
    origin.execute(TABLES)
    pair = Pair(origin, database_path)
    pair.follow(**VIEWS)
    pair.db.close()
    return pair


def sign(pair: Pair, **changes: object) -> None:
    """Change what the publication says of its owner."""
    with flashql.connect(pair.path) as db:
        owner = replace(owner_of(db.store), **changes)  # type: ignore[arg-type]
    pair.origin.execute(f"COMMENT ON PUBLICATION {pair.publications()[0]} IS '{owner.comment()}'")


def test_an_orphan_is_listed_then_dropped(closed: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    Path(closed.path).unlink()
    name = f"slot {closed.slots()[0]}"
    code, found = doctor(closed.origin, capsys)
    assert (code, found[name]["ok"]) == (1, False)
    assert f"{closed.path} is gone" in str(found[name]["detail"])
    assert "--drop-orphans" in str(found[name]["remedy"])
    assert len(closed.slots()) == len(closed.publications()) == 1  # only looked at
    code, found = doctor(closed.origin, capsys, "--drop-orphans")
    assert (code, found[name]["ok"]) == (0, True)
    assert "dropped" in str(found[name]["detail"])
    assert closed.slots() == closed.publications() == []
    assert doctor(closed.origin, capsys) == (0, {})


def test_so_is_that_of_a_folder(closed: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(tmp_path)
    doctor(closed.origin, capsys, "--drop-orphans")
    assert closed.slots() == closed.publications() == []


def test_a_publication_alone_is_dropped_too(closed: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    closed.origin.execute(f"SELECT pg_drop_replication_slot('{closed.slots()[0]}')")
    Path(closed.path).unlink()
    doctor(closed.origin, capsys, "--drop-orphans")
    assert closed.publications() == []


def test_another_database_in_its_place(closed: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    Path(closed.path).unlink()
    flashql.connect(closed.path).close()
    _, found = doctor(closed.origin, capsys, "--drop-orphans")
    assert "another database" in str(found)
    assert closed.slots() == closed.publications() == []


def kept(pair: Pair, capsys: pytest.CaptureFixture[str], words: str) -> None:
    """Nothing is dropped; why is said, and so is the SQL for whoever knows better."""
    slots, publications = pair.slots(), pair.publications()
    code, found = doctor(pair.origin, capsys, "--drop-orphans")
    (finding,) = found.values()
    assert (code, finding["ok"]) == (0, True)
    assert words in str(finding["detail"])
    assert (pair.slots(), pair.publications()) == (slots, publications)


def test_what_is_in_use_is_kept(origin: Origin, database_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Even if its file seems to be gone: a process may go on with a file that was deleted."""
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        kept(pair, capsys, "in use by process")
        Path(database_path).rename(f"{database_path}.moved")
        kept(pair, capsys, "somebody reads it")


def test_what_has_its_file_is_kept(closed: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    kept(closed, capsys, closed.path)
    held = duckdb.connect(closed.path)  # whoever has it may be anyone
    kept(closed, capsys, closed.path)
    held.close()
    Path(closed.path).write_bytes(b"damaged")
    kept(closed, capsys, closed.path)


def test_what_another_machine_owns_is_kept(closed: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    sign(closed, machine="000000000000", host="elsewhere")
    Path(closed.path).unlink()
    kept(closed, capsys, "elsewhere")


def test_what_is_on_a_disk_that_is_not_here_is_kept(closed: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    sign(closed, device=1)
    Path(closed.path).unlink()
    kept(closed, capsys, closed.path)


@pytest.mark.parametrize("change", ["COMMENT ON PUBLICATION {} IS NULL", "DROP PUBLICATION {}"])
def test_what_nobody_signed_is_kept(closed: Pair, capsys: pytest.CaptureFixture[str], change: str) -> None:
    """Another's name proves nothing; the SQL that comes with it does drop it."""
    closed.origin.execute(change.format(closed.publications()[0]))
    Path(closed.path).unlink()
    kept(closed, capsys, "does not say whose it is")
    _, found = doctor(closed.origin, capsys)
    for statement in str(next(iter(found.values()))["remedy"]).splitlines():
        closed.origin.execute(statement)
    assert closed.slots() == closed.publications() == []


def test_the_comment_of_another_database_is_no_proof(closed: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    sign(closed, database_id="0123456789ab")
    Path(closed.path).unlink()
    kept(closed, capsys, "belongs to")


def test_a_file_that_moved_says_where_it_is(closed: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    moved = f"{closed.path}.moved"
    Path(closed.path).rename(moved)
    closed.path = moved
    closed.db = closed._open()
    closed.sync()
    closed.db.close()
    kept(closed, capsys, moved)


def test_what_a_killed_database_in_memory_leaves(origin: Origin, capsys: pytest.CaptureFixture[str]) -> None:
    origin.execute(TABLES)
    script = (
        "import flashql, os, sys; db = flashql.connect(origins={'primary': sys.argv[1]});"
        "db.execute(\"CREATE SCHEMA s WITH (replication_origin = 'primary')\");"
        "db.execute('CREATE REALTIME VIEW s.a AS SELECT * FROM a'); assert not db.sync.sync().failed;"
        "print(os.getpid(), flush=True); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, origin.dsn], check=False, capture_output=True, env=os.environ)
    until(lambda: not origin.query("SELECT FROM pg_replication_slots WHERE database = current_database()"))
    with flashql.connect(origins={"primary": origin.dsn}) as alive:
        alive.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        alive.execute("CREATE REALTIME VIEW s.a AS SELECT * FROM a")
        alive.sync.sync()
        doctor(origin, capsys, "--drop-orphans")
        left = origin.query("SELECT pubname FROM pg_publication")
        assert left == origin.query("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        assert len(left) == 1
