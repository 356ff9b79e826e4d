"""Kill -9 while a scope runs: the next to open the file finds it interrupted, counted right, and can complete it.

FLASHQL_KILLS=60 pytest tests/postgres/test_scopes_kill.py -s      more kills than the default
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
from flashql.store.scopes import ScopeStatus
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.postgres.follower import MOMENTS, Follower, Load
from tests.postgres.follower_process import VIEWS
from tests.postgres.scope_process import MATERIALIZED, SCOPE
from tests.postgres.test_kill import TABLES, forget, transaction
from tests.seeds import first_seed

KILLS = int(os.environ.get("FLASHQL_KILLS", "10"))
QUERIES = VIEWS | MATERIALIZED
LATEST_SECONDS = 0.5  # after the moment chosen, the kill comes within this


@pytest.mark.kill
@pytest.mark.timeout(60 + 15 * KILLS)
def test_a_scope_killed_at_any_moment(origin: Origin, tmp_path: Path) -> None:
    seed = first_seed()
    chance = random.Random(seed)
    origin.execute(TABLES)
    path, found, before = str(tmp_path / "0.duckdb"), Counter[str](), None
    with Load(origin, transaction) as load:
        for kill in range(1, KILLS + 1):
            if kill % 4 == 0:  # in a new file views have no copies yet
                forget(origin, path)
                path, before = str(tmp_path / f"{kill}.duckdb"), None
            follower = Follower(path, origin.dsn, module="tests.postgres.scope_process")
            try:
                follower.reach(chance.choice(MOMENTS))
                threading.Event().wait(LATEST_SECONDS * chance.random() ** 2)
            finally:
                follower.kill()
            with load.resting:
                before = look(origin, path, before)
                found[before.state if before is not None else "none"] += 1
    sys.stdout.write(f"{KILLS} kills, {load.count} transactions; found: {dict(found)}\n")


def look(origin: Origin, path: str, before: ScopeStatus | None) -> ScopeStatus | None:
    """Open the file that a killed process left; the scope as it was found, None without one. Then complete it.

    `before` is what it was found as, and completed from, the last time.
    """
    with flashql.connect(path, origins={"primary": origin.dsn}) as db:
        scopes = db.sync.scopes.status()
        if len(db.views) < len(QUERIES):  # killed before it had made them
            return None
        if scopes:
            (scope,) = scopes
            check(scope)
            assert before is None or scope.last_started_at >= before.last_started_at
            rows = db.execute("SELECT count(*) FROM flashql.sync_status WHERE state = 'syncing'").fetchall()
            assert rows == [(0,)]
        done = db.sync.scopes.start(SCOPE, "s.*", wait=True, force=True).status()
        assert (done.state, done.synced, len(done.details)) == ("synced", len(QUERIES), len(QUERIES))
        assert not scopes or done.last_failed_at == scopes[0].last_failed_at
        db.sync.wait(timeout=60)
        for name, query in QUERIES.items():
            same_rows(origin, db, query, f"SELECT * FROM s.{name}")
        return scopes[0] if scopes else None


def check(scope: ScopeStatus) -> None:
    """What a scope says of itself is in step, and nobody runs it."""
    states = Counter(one["state"] for one in scope.details.values())
    assert set(scope.details) == {f"s.{name}" for name in QUERIES}
    counted = {"not_started": scope.not_started, "failed": scope.failed, "synced": scope.synced}
    assert {name: states[name] for name in counted} == counted
    assert states["syncing"] == scope.syncing == 0
    left = states["not_started"] + states["interrupted"]
    assert scope.state == ("interrupted" if left else "failed" if scope.failed else "synced"), scope
