"""Kill -9 at random moments of a process that follows an origin under load: nothing is lost or doubled.

FLASHQL_KILLS=60 pytest tests/postgres/test_kill.py -s      more kills than the default
FLASHQL_TEST_SEED=...                                       the same moments again, as far as time allows
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

import flashql
from tests.fix_postgres import Origin
from tests.postgres.follower import MOMENTS, Follower, Load
from tests.postgres.follower_process import VIEWS
from tests.postgres.pair import Pair
from tests.seeds import first_seed

KILLS = int(os.environ.get("FLASHQL_KILLS", "12"))
COMPARED_EVERY = 6
LATEST_SECONDS = 0.4  # after the moment chosen, the kill comes within this

TABLES = (
    "CREATE TABLE a (id int PRIMARY KEY, v int, body text); CREATE TABLE b (id int PRIMARY KEY, v int);"
    "CREATE TABLE c (v int, note text); ALTER TABLE c REPLICA IDENTITY FULL;"
    "INSERT INTO a SELECT g, 0, repeat('body ', 20) FROM generate_series(1, 40000) g;"
    "INSERT INTO b SELECT g, 0 FROM generate_series(1, 300) g;"
    "INSERT INTO c SELECT g % 7, 'n' FROM generate_series(1, 50) g"
)


def transaction(at: int) -> str:
    """One transaction of every kind of change."""
    row = at % 300 + 1
    large = f"UPDATE a SET v = {at} WHERE id % 50 = {at % 50};" if at % 40 == 0 else ""
    if at % 80 == 0:
        large += f"SAVEPOINT s; DELETE FROM a WHERE id % 30 = {at % 30}; ROLLBACK TO s; {large}"
    emptied = "TRUNCATE c; INSERT INTO c SELECT g % 7, 'n' FROM generate_series(1, 50) g;" if at % 150 == 0 else ""
    return (
        f"BEGIN; UPDATE a SET v = {at} WHERE id = {row}; {large}"
        f"DELETE FROM b WHERE id = {row + 1000}; UPDATE b SET id = id + 1000 WHERE id = {row}; "
        f"INSERT INTO b VALUES ({row}, {at % 100}); INSERT INTO c VALUES ({at % 5}, 'x'); {emptied}"
        f"UPDATE c SET v = v + 1 WHERE ctid = (SELECT min(ctid) FROM c); "
        f"DELETE FROM c WHERE ctid = (SELECT max(ctid) FROM c WHERE v > 3); COMMIT"
    )


def compare(origin: Origin, path: str) -> None:
    """Open the file here, sync, and compare everything with the origin; nothing may be left over anywhere."""
    pair = Pair.__new__(Pair)
    pair.origin, pair.path, pair._dsn, pair.queries = origin, path, origin.dsn, {}
    pair.db = pair._open()
    try:
        if not pair.db.views:  # killed before it could make any
            return
        pair.queries = {name: query for name, query in VIEWS.items() if f"s.{name}" in pair.db.views}
        pair.sync()
        pair.check()
        assert len(pair.slots()) == 1
        assert len(pair.publications()) == 1
        assert not pair.leftover_tables()
        assert {status.state for status in pair.db.sync.status()} == {"running"}
    finally:
        pair.db.close()


@pytest.mark.kill
@pytest.mark.timeout(60 + 10 * KILLS)
def test_killed_at_any_moment(origin: Origin, tmp_path: Path) -> None:
    seed = first_seed()
    chance = random.Random(seed)
    origin.execute(f"ALTER DATABASE {origin.name} SET logical_decoding_work_mem = '64kB'")  # streams large ones
    origin.execute(TABLES)
    generation, path = 0, str(tmp_path / "0.duckdb")
    ends: Counter[str] = Counter()
    with Load(origin, transaction) as load:
        for kill in range(1, KILLS + 1):
            # Only a new file is copied from the start; an old one catches up.
            moment = chance.choice(MOMENTS)
            if moment == "copying" or chance.random() < 0.1:
                forget(origin, path)
                generation += 1
                path = str(tmp_path / f"{generation}.duckdb")
            follower = Follower(path, origin.dsn)
            try:
                follower.reach(moment)
                threading.Event().wait(LATEST_SECONDS * chance.random() ** 3)  # mostly soon: what follows is quick
            finally:
                ends[follower.kill()] += 1
            if kill % COMPARED_EVERY == 0:
                with load.resting:
                    compare(origin, path)
    compare(origin, path)
    sys.stdout.write(f"{KILLS} kills, {generation + 1} files, {load.count} transactions; killed after: {dict(ends)}\n")


def forget(origin: Origin, path: str) -> None:
    """Give up a file: what it holds at the origin goes with it."""
    with flashql.connect(path, origins={"primary": origin.dsn}) as db:
        for name in db.views:
            db.execute(f"DROP VIEW {name}")
    assert origin.query("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()") == []
    assert origin.query("SELECT pubname FROM pg_publication") == []
