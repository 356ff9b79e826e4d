"""The policies of the stream's reader; the stream itself is tested by replication."""

from __future__ import annotations

import pytest

from flashql.origins.postgres.stream import gather_seconds, status_interval_seconds


@pytest.mark.parametrize(("overhead", "share"), [(0.008, 0.05), (0.008, 0.2), (0.008, 0.3), (0.008, 0.6), (0.05, 0.9)])
def test_gathering_settles_where_the_fixed_cost_of_a_commit_is_small(overhead: float, share: float) -> None:
    """`overhead` seconds a commit costs by itself, and `share` seconds per second of the origin's flow."""
    busy = 0.0
    for _ in range(100):
        flow = gather_seconds(busy) + busy
        busy = overhead + share * flow
        assert busy < 10, "the commits grow without end"
    # A consumer with time to spare stays quick; one without is not slowed by the fixed cost.
    assert overhead / flow <= 1 / 5
    assert flow < 0.1 or share > 0.1


@pytest.mark.parametrize("busy", [0.0, 0.001, 0.1, 1.0, 1000.0])
def test_gathering_is_bounded(busy: float) -> None:
    assert 0.005 <= gather_seconds(busy) <= 0.5


@pytest.mark.parametrize("timeout", [0.0, 1.0, 60.0, 3600.0])
def test_reports_are_at_most_ten_seconds_apart(timeout: float) -> None:
    assert 0.2 <= status_interval_seconds(timeout) <= 10
