"""Randomness that can be had again: FLASHQL_TEST_SEED names the seed that a failure has printed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator


def seeded(purpose: str) -> random.Random:
    """A generator whose seed is printed, so that pytest shows it with a failure."""
    seed = int(os.environ.get("FLASHQL_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"{purpose}: FLASHQL_TEST_SEED={seed}")  # noqa: T201
    return random.Random(seed)


def rounds(least: int) -> Iterator[int]:
    """Numbers from 0: `least` of them, or as many as FLASHQL_FUZZ_SECONDS allow."""
    end = time.monotonic() + float(os.environ.get("FLASHQL_FUZZ_SECONDS") or 0)
    at = 0
    while at < least or time.monotonic() < end:
        yield at
        at += 1
