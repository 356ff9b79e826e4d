"""The choice between following by delta and computing anew, by times alone."""

from __future__ import annotations

from flashql.pacing import Pace


def run(pace: Pace, batches: int, moved: int, *, delta_ms: float, anew_ms: float) -> tuple[float, int]:
    """Milliseconds that so many batches take, and how many of them were computed anew."""
    spent, count = 0.0, 0
    for _ in range(batches):
        anew = pace.better_anew(moved)
        took = anew_ms if anew else delta_ms
        pace.took(moved, took, anew=anew)
        spent, count = spent + took, count + anew
    return spent, count


def test_the_cheaper_way_is_found_and_trying_the_other_costs_little() -> None:
    spent, anew = run(Pace(50.0), 1000, 100, delta_ms=10.0, anew_ms=50.0)
    assert spent < 1.06 * 1000 * 10.0
    assert 0 < anew < 15
    spent, anew = run(Pace(10.0), 1000, 100, delta_ms=50.0, anew_ms=10.0)
    assert spent < 1.06 * 1000 * 10.0
    assert 985 < anew < 1000


def test_what_takes_next_to_nothing_follows_by_delta() -> None:
    assert run(Pace(1.0), 100, 1, delta_ms=3.0, anew_ms=1.0) == (300.0, 0)


def test_a_way_that_is_dreadful_is_not_tried() -> None:
    spent, anew = run(Pace(100_000.0), 1000, 100, delta_ms=20.0, anew_ms=100_000.0)
    assert anew == 0 and spent == 20_000.0


def test_sizes_of_batches_are_told_apart() -> None:
    pace = Pace(30.0)
    run(pace, 20, 1_000_000, delta_ms=300.0, anew_ms=30.0)
    assert not pace.better_anew(10)
    run(pace, 20, 10, delta_ms=5.0, anew_ms=30.0)
    assert pace.better_anew(1_000_000)
    assert not pace.better_anew(10)
