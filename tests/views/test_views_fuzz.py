"""Random views over random tables: after every burst of random transactions each is what Postgres says it is.

    FLASHQL_FUZZ_SECONDS=3600 pytest tests/views/test_views_fuzz.py -s     for so long instead of so many worlds
    FLASHQL_TEST_SEED=...                                                  from that world on
    python -m tests.views.minimize SEED                                    the least that still fails

A world is a few tables, some views over them, in levels, and bursts of transactions; worlds run side by side in one
database. A view that FlashQL refuses when it is made is counted, and why is printed. What was ever found is kept,
minimized, in `regressions/`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_postgres import fresh_origin
from tests.seeds import first_seed
from tests.views.scenario import Mismatch, Tally, parsed, run
from tests.views.worlds import TOGETHER, together

# The same worlds each time, unless others are asked for: new ones are looked for on purpose, and for longer.
FIRST_SEED = 900
WORLDS = 200
SECONDS = float(os.environ.get("FLASHQL_FUZZ_SECONDS") or 0)
REFUSED_AT_MOST = 0.35  # of the views; what is refused is printed, most frequent first
REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.sql"))

pytestmark = pytest.mark.timeout(900 + 3 * SECONDS)


def seeds() -> Iterator[int]:
    """The first seed of each group of worlds."""
    seed, made = first_seed(FIRST_SEED), 0
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline if SECONDS else made < WORLDS:
        yield seed + made
        made += TOGETHER


def explore(seed: int, postgres_dsn: str, path: Path) -> Tally:
    """Run the worlds from a seed on. Raises `Mismatch`."""
    with fresh_origin(postgres_dsn) as origin:
        try:
            return run(together(seed), origin, str(path))
        except Exception as problem:
            problem.add_note(f"FLASHQL_TEST_SEED={seed}; python -m tests.views.minimize {seed}")
            raise
        finally:
            path.unlink(missing_ok=True)


def test_random_worlds(postgres_dsn: str, tmp_path: Path) -> None:
    worlds, tally = 0, Tally()
    for seed in seeds():
        sys.stdout.write(f"FLASHQL_TEST_SEED={seed}\n")  # pytest shows it when the test fails
        tally.add(explore(seed, postgres_dsn, tmp_path / f"{seed}.duckdb"))
        worlds += TOGETHER
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
