"""A failing schedule made short: steps are left out, ever fewer at a time, while it still fails.

python -m tests.simulation.minimize SEED [LENGTH [controls]] > tests/simulation/regressions/what_it_shows.py
"""

from __future__ import annotations

import logging
import pprint
import random
import runpy
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.simulation.simulation import Mismatch, Simulation
from tests.simulation.steps import Step, controlled, schedule


@dataclass(frozen=True)
class Scenario:
    """A schedule and the settings it runs under."""

    steps: Sequence[Step]
    hold_bytes: int = 32 << 20  # a transaction larger than this waits on disk
    sends_empty: bool = False  # as Postgres 14 does, transactions without a published change are sent
    stream_after: int | None = None  # a transaction of so many changes is sent while it is under way

    @classmethod
    def drawn(cls, seed: int, length: int, *, controls: bool = False) -> Scenario:
        """The scenario of a seed; with hooks and wakes when it `controls`."""
        chance = random.Random(seed)
        hold_bytes, sends_empty = chance.choice([200, 32 << 20]), chance.random() < 0.3
        stream_after = chance.choice([None, None, 1, 3])
        steps = schedule(chance, length)
        return cls(controlled(chance, steps) if controls else steps, hold_bytes, sends_empty, stream_after)

    def run(self) -> Simulation:
        """Carry it out in a folder of its own. Raises `Mismatch`."""
        with tempfile.TemporaryDirectory() as folder:
            simulation = Simulation(
                Path(folder),
                hold_bytes=self.hold_bytes,
                sends_empty=self.sends_empty,
                stream_after=self.stream_after,
            )
            simulation.run(self.steps)
            return simulation

    def __str__(self) -> str:
        shown = pprint.pformat(list(self.steps), width=116, compact=True)
        settings = f"{self.hold_bytes}, {self.sends_empty}, {self.stream_after}"
        return f"STEPS = {shown}\nHOLD_BYTES, SENDS_EMPTY, STREAM_AFTER = {settings}\n"

    @classmethod
    def kept(cls, path: Path) -> Scenario:
        """The scenario of a regression."""
        found = runpy.run_path(str(path))
        return cls(found["STEPS"], found["HOLD_BYTES"], found["SENDS_EMPTY"], found.get("STREAM_AFTER"))


def fails(scenario: Scenario) -> bool:
    """Whether it fails."""
    try:
        scenario.run()
    except Mismatch:
        return True
    return False


def minimized(scenario: Scenario, failing: Callable[[Scenario], bool] = fails) -> Scenario:
    """The scenario with as few steps, and operations in them, as still fail."""
    steps = list(scenario.steps)
    size = max(1, len(steps) // 2)
    while True:
        at = len(steps)
        while (at := at - size) > -size:
            shorter = steps[: max(at, 0)] + steps[max(at, 0) + size :]
            if failing(replace(scenario, steps=shorter)):
                steps = shorter
        if size == 1:
            break
        size //= 2
    for at, step in enumerate(steps):
        if step[0] == "tx":
            for operation in step[1]:
                fewer = ("tx", tuple(one for one in steps[at][1] if one is not operation))
                if failing(replace(scenario, steps=[*steps[:at], fewer, *steps[at + 1 :]])):
                    steps[at] = fewer
    return replace(scenario, steps=steps)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    seed, length = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60
    sys.stdout.write(str(minimized(Scenario.drawn(seed, length, controls="controls" in sys.argv[3:]))))
