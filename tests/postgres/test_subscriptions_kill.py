"""Kill -9 while sets of parameters come and go under load: each view has the rows of what is subscribed, and no other.

FLASHQL_KILLS=60 pytest tests/postgres/test_subscriptions_kill.py -s      more kills than the default
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

import flashql
from flashql.catalog import CopyState
from flashql.database import Database
from flashql.store.copies import copies, data_tables
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.postgres.follower import MOMENTS, Follower, Load
from tests.postgres.subscriber_process import VIEWS
from tests.postgres.test_kill import TABLES, forget, transaction
from tests.seeds import first_seed

KILLS = int(os.environ.get("FLASHQL_KILLS", "10"))
LATEST_SECONDS = 0.4  # after the moment chosen, the kill comes within this


@pytest.mark.kill
@pytest.mark.timeout(60 + 15 * KILLS)
def test_sets_that_come_and_go_while_the_process_is_killed(origin: Origin, tmp_path: Path) -> None:
    seed = first_seed()
    chance = random.Random(seed)
    origin.execute(TABLES)
    path, reached = str(tmp_path / "0.duckdb"), Counter[str]()
    with Load(origin, transaction) as load:
        for kill in range(1, KILLS + 1):
            if kill % 5 == 0:
                forget(origin, path)
                path = str(tmp_path / f"{kill}.duckdb")
            follower = Follower(path, origin.dsn, module="tests.postgres.subscriber_process")
            try:
                follower.reach(chance.choice(MOMENTS))
                threading.Event().wait(LATEST_SECONDS * chance.random() ** 2)
            finally:
                reached[follower.kill()] += 1
            with load.resting, flashql.connect(path, origins={"primary": origin.dsn}) as db:
                compare(origin, db)
    sys.stdout.write(f"{KILLS} kills, {load.count} transactions; reached: {dict(reached)}\n")


def compare(origin: Origin, db: Database) -> None:
    """Sync, and compare every view with its query for what is subscribed; nothing may be left over."""
    if len(db.views) < len(VIEWS):
        return
    report = db.sync.sync()
    assert report, report.failed
    db.sync.wait(timeout=60)
    for declared, query in VIEWS.items():
        name, condition = declared.partition("(")[0], query.partition("WHERE ")[2].partition(" GROUP")[0]
        sets = [json.loads(row.parameters) for row in db.sync.subscriptions(f"s.{name}")]
        names = [part.split()[0] for part in declared.partition("(")[2].split(",")]
        values = ", ".join(f"({', '.join(str(one[part]) for part in names)})" for one in sets)
        given = f"EXISTS (SELECT 1 FROM (VALUES {values}) AS given({', '.join(names)}) WHERE {condition})"
        same_rows(origin, db, query.replace(condition, given if sets else "false"), f"SELECT * FROM s.{name}")
    there = copies(db.store, "primary")
    assert {(copy.state, copy.fills) for copy in there} == {(CopyState.LIVE, None)}
    steps = {table for (table,) in db.store.rows("SELECT local_table FROM flashql.view_steps")}
    tables = {table for copy in there for table in (copy.local_table, f"s{copy.id}")}
    assert data_tables(db.store) == tables | steps
