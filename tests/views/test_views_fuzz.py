"""Random views over random tables: after every burst of random transactions each is what Postgres says it is.

    FLASHQL_FUZZ_SECONDS=3600 pytest tests/views/test_views_fuzz.py -s     longer than the default
    FLASHQL_TEST_SEED=...                                                  from that world on
    python -m tests.views.minimize SEED                                    the least that still fails

A world is a few tables, some views over them in several levels, and bursts of transactions. A view that FlashQL
refuses when it is made is counted, and why is printed. What was ever found is kept, minimized, in `regressions/`.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from tests.fix_postgres import fresh_origin
from tests.views.scenario import Mismatch, Tally, parsed, run
from tests.views.worlds import VIEWS, World

# The same worlds each time, unless others are asked for: new ones are looked for on purpose, and for longer.
FIRST_SEED = 900
SECONDS = float(os.environ.get("FLASHQL_FUZZ_SECONDS", "50"))
REFUSED_AT_MOST = 0.35  # of the views; what is refused is printed, most frequent first
REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.sql"))

pytestmark = pytest.mark.timeout(120 + 3 * SECONDS)


def explore(seed: int, postgres_dsn: str, path: Path) -> Tally:
    """Run the world of a seed. Raises `Mismatch`."""
    scenario = World(random.Random(seed), VIEWS).scenario()
    with fresh_origin(postgres_dsn) as origin:
        try:
            return run(scenario, origin, str(path))
        except Exception as problem:
            problem.add_note(f"FLASHQL_TEST_SEED={seed}; python -m tests.views.minimize {seed}")
            raise
        finally:
            path.unlink(missing_ok=True)


def test_random_worlds(postgres_dsn: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("FLASHQL_TEST_SEED") or FIRST_SEED)
    deadline = time.monotonic() + SECONDS
    worlds, tally = 0, Tally()
    while worlds == 0 or time.monotonic() < deadline:
        sys.stdout.write(f"FLASHQL_TEST_SEED={seed}\n")  # pytest shows it when the test fails
        tally.add(explore(seed, postgres_dsn, tmp_path / f"{worlds}.duckdb"))
        worlds += 1
        seed += 1
    sys.stdout.write(f"{worlds} worlds, {tally}\n")
    for reason, views in tally.refused.most_common(40):
        sys.stdout.write(f"{views:6} refused: {reason}\n")
    assert tally.refused.total() <= REFUSED_AT_MOST * max(tally.views, 50)


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_was_found_before(path: Path, postgres_dsn: str, tmp_path: Path) -> None:
    """One that begins with `-- KNOWN` is not mended yet: it must fail."""
    text = path.read_text(encoding="utf-8")
    with fresh_origin(postgres_dsn) as origin:
        if text.startswith("-- KNOWN"):
            with pytest.raises(Mismatch):
                run(parsed(text), origin, str(tmp_path / "local.duckdb"))
            return
        tally = run(parsed(text), origin, str(tmp_path / "local.duckdb"))
    assert not tally.refused, tally.refused
    assert tally.comparisons
