"""The simulation's schedules at a real server: see tests/simulation/replay.py.

FLASHQL_SIMULATION_SECONDS=300 pytest tests/postgres/test_simulation_replay.py -s      longer than the default
FLASHQL_TEST_SEED=...                                                                  that schedule first
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.fix_postgres import Origin, PrivateServer, fresh_origin
from tests.seeds import first_seed
from tests.simulation.minimize import Scenario
from tests.simulation.replay import LEFT_OUT, Replay, replay
from tests.simulation.steps import Step
from tests.simulation.test_simulation import FIXED_SEEDS, LENGTH, REGRESSIONS

SECONDS = float(os.environ.get("FLASHQL_SIMULATION_SECONDS", "4"))
# Seeds of schedules, and what they do to a whole server.
OF_A_SERVER = {6: {"new_system"}, 8: {"restart"}, 200: {"restart", "restore", "new_system"}}

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


@pytest.mark.parametrize("seed", OF_A_SERVER)
def test_what_happens_to_a_whole_server(private_server: PrivateServer, tmp_path: Path, seed: int) -> None:
    """Edge case 15."""
    life = replay(private_server, tmp_path, Scenario.drawn(seed, LENGTH), streamed=False)
    assert life.checks > 1
    assert life.carried_out >= OF_A_SERVER[seed]


def _amid_work(*events: Step) -> list[Step]:
    """The events, with work at the server before each, between and behind: some that FlashQL sees, some it does not."""
    steps: list[Step] = [
        ("create_table", "t0", "default", (("k0", "int"), ("c0", "int"), ("c1", "text"))),
        ("create_table", "t1", "bag", (("k0", "int"), ("c0", "text"))),
        ("view", "v0", "t0", "*", None),
        ("view", "v1", "t1", "*", None),
        ("view", "v2", "t0", ("c0",), ("c0", "> 10")),
        ("sync",),
    ]
    for at, event in enumerate(events):
        first = 100 * at
        steps += [
            ("tx", (("fill", "t0", first, 9), ("fill", "t1", first, 5), ("update", "t0", 3, first + 1))),
            ("all",),
            ("tx", (("delete", "t0", at), ("insert", "t1", first + 50), ("move", "t0", 2, first + 77))),
            ("all",),
            ("tx", (("update", "t0", 1, first + 6),)),
            event,
            ("tx", (("insert", "t0", first + 60), ("delete", "t1", 1))),
        ]
    return [*steps, ("all",)]


@pytest.mark.parametrize("keeps_slots", [True, False])
def test_a_server_is_restored_and_replaced(private_server: PrivateServer, tmp_path: Path, keeps_slots: bool) -> None:
    """Edge case 15."""
    restore = ("restore", 1, keeps_slots, True)
    steps = _amid_work(restore, ("restart",), restore, ("new_system",), restore, ("crash",), ("new_system",))
    life = replay(private_server, tmp_path, Scenario(steps), streamed=False)
    assert life.carried_out == {"restore", "restart", "new_system"}
    assert life.left_out == 0


def test_random_schedules(postgres_dsn: str, tmp_path: Path) -> None:
    seed = first_seed()
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
