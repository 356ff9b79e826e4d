"""Pauses between attempts, and when there is none any more: numbers in, numbers out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashql import errors
from flashql.retrying import Failures, RetryPolicy

policies = st.builds(
    RetryPolicy,
    base_seconds=st.floats(0, 100),
    multiplier=st.floats(1, 10),
    cap_seconds=st.floats(0, 1000),
    jitter=st.floats(0, 1),
)


def test_pauses_grow_to_a_limit_and_half_is_chance() -> None:
    policy = RetryPolicy()
    shortest = [policy.delay_seconds(attempt, 0.0) for attempt in range(1, 40)]
    longest = [policy.delay_seconds(attempt, 1.0) for attempt in range(1, 40)]
    assert shortest == sorted(shortest)
    assert longest[0] == 0.25
    assert longest[-1] == 30.0
    assert all(long == 2 * short for long, short in zip(longest, shortest, strict=True))
    assert policy.delay_seconds(10_000, 1.0) == 30.0


@given(policies, st.integers(1, 10_000), st.floats(0, 1))
def test_a_pause_is_within_its_limits_and_never_shrinks(policy: RetryPolicy, failures: int, chance: float) -> None:
    delay = policy.delay_seconds(failures, chance)
    slack = 1e-9 * policy.cap_seconds
    assert 0 <= delay <= policy.cap_seconds + slack
    assert delay <= policy.delay_seconds(failures + 1, chance) + slack
    without = policy.delay_seconds(failures, 1.0)
    assert (1 - policy.jitter) * without - slack <= delay <= without + slack


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_seconds": -1},
        {"multiplier": 0.5},
        {"cap_seconds": -0.1},
        {"jitter": 1.5},
        {"attempts": 0},
        {"budget_seconds": -1},
        {"base_seconds": float("nan")},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(errors.DefinitionError, match="no such retry policy"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


@given(st.integers(1, 20))
def test_so_many_attempts_and_no_more_until_forgotten(attempts: int) -> None:
    failures = Failures(RetryPolicy(attempts=attempts))
    for _ in range(2):
        delays = [failures.add(0.0, 0.5) for _ in range(attempts)]
        assert [delay is None for delay in delays] == [False] * (attempts - 1) + [True]
        failures.forget()


def test_the_time_counts_from_the_first_failure_after_a_success() -> None:
    failures = Failures(RetryPolicy(base_seconds=1, multiplier=1, jitter=0, budget_seconds=10))
    assert [failures.add(now, 0.0) for now in (100.0, 105.0, 109.0, 109.5)] == [1.0, 1.0, 1.0, None]
    failures.forget()
    assert failures.add(200.0, 0.0) == 1.0


def test_what_is_said_at_the_end_names_the_cause_and_how_long() -> None:
    failures = Failures(RetryPolicy(attempts=2))
    failures.add(10.0, 0.0)
    failures.add(12.5, 0.0)
    cause = errors.OriginUnreachable("origin primary does not answer")
    spent = failures.spent(cause, 12.5)
    assert spent.message == "origin primary does not answer (given up after 2 attempts in 2.5 s)"
    assert "sync()" in str(spent)
    assert spent.__cause__ is cause
    assert spent.retry is errors.Retry.MANUAL
