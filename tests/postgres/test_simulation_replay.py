"""The simulation's schedules at a real server: see tests/simulation/replay.py.

FLASHQL_SIMULATION_SECONDS=300 pytest tests/postgres/test_simulation_replay.py -s      longer than the default
FLASHQL_TEST_SEED=...                                                                  that schedule first
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from tests.fix_postgres import Origin, PrivateServer, fresh_origin
from tests.simulation.minimize import Scenario
from tests.simulation.replay import LEFT_OUT, Replay, replay
from tests.simulation.test_simulation import FIXED_SEEDS, LENGTH, REGRESSIONS

SECONDS = float(os.environ.get("FLASHQL_SIMULATION_SECONDS", "4"))
RESTARTS = 3  # a seed whose schedule restarts the server

pytestmark = pytest.mark.timeout(180 + 3 * SECONDS)


# What a server put back to an earlier state means is nothing a running one can show.
REPLAYED = [path for path in REGRESSIONS if not any(step[0] in LEFT_OUT for step in Scenario.kept(path).steps)]


def replayed(origin: Origin, folder: Path, seed: int) -> Replay:
    """The schedule of a seed; half of them stream transactions under way, where the server can be told to."""
    sys.stdout.write(f"FLASHQL_TEST_SEED={seed}\n")  # pytest shows it when the test fails
    return replay(origin, folder, Scenario.drawn(seed, LENGTH), streamed=origin.version >= 16 and seed % 2 == 0)


@pytest.mark.parametrize("seed", FIXED_SEEDS)
def test_a_fixed_schedule(origin: Origin, tmp_path: Path, seed: int) -> None:
    assert replayed(origin, tmp_path, seed).checks > 1


def test_a_schedule_with_restarts(private_server: PrivateServer, tmp_path: Path) -> None:
    scenario = Scenario.drawn(RESTARTS, LENGTH)
    assert ("restart",) in scenario.steps
    assert replay(private_server, tmp_path, scenario, streamed=False).checks > 1


def test_random_schedules(postgres_dsn: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("FLASHQL_TEST_SEED") or random.randrange(2**31))
    deadline = time.monotonic() + SECONDS
    schedules = checks = 0
    while schedules == 0 or time.monotonic() < deadline:
        with fresh_origin(postgres_dsn) as origin:
            checks += replayed(origin, tmp_path, seed).checks
        schedules += 1
        seed += 1
    sys.stdout.write(f"{schedules} schedules, {checks} comparisons\n")
    assert checks > schedules


@pytest.mark.parametrize("path", REPLAYED, ids=lambda path: path.stem)
def test_what_was_found_before(origin: Origin, tmp_path: Path, path: Path) -> None:
    assert replay(origin, tmp_path, Scenario.kept(path), streamed=False).checks > 0
