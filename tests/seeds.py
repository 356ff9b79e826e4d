"""Randomness that can be had again.

Without more said a run meets the same worlds as the last: a change is judged by what it changes. New ones are looked
for on purpose, by `make hunt`.

    FLASHQL_TEST_SEED=7          that seed, as a failure has printed it, and those after it
    FLASHQL_TEST_SEED=random     one not met before
    FLASHQL_FUZZ_SECONDS=300     longer than the default
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator

USUAL = 20_260
NEW = os.environ.get("FLASHQL_TEST_SEED") == "random"


def first_seed(usual: int = USUAL) -> int:
    """The seed to begin with; printed, so that pytest shows it with a failure."""
    seed = random.SystemRandom().randrange(1 << 31) if NEW else int(os.environ.get("FLASHQL_TEST_SEED") or usual)
    sys.stdout.write(f"FLASHQL_TEST_SEED={seed}\n")
    return seed


def seeded() -> random.Random:
    """A generator that begins with that seed."""
    return random.Random(first_seed())


def rounds(least: int) -> Iterator[int]:
    """Numbers from 0: `least` of them, or as many as FLASHQL_FUZZ_SECONDS allow."""
    end = time.monotonic() + float(os.environ.get("FLASHQL_FUZZ_SECONDS") or 0)
    at = 0
    while at < least or time.monotonic() < end:
        yield at
        at += 1
