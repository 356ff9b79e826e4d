"""The table of states, and the pauses between attempts."""

from __future__ import annotations

import itertools

import pytest

from flashql.lifecycle import TRANSITIONS, Event, IllegalMove, State, backoff_seconds, mermaid, moved


def test_every_move_is_in_the_table_or_refused() -> None:
    for state, event in itertools.product(State, Event):
        if (state, event) in TRANSITIONS:
            assert moved(state.value, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(IllegalMove, match=f"{state} cannot {event}"):
                moved(state.value, event)


def test_every_state_is_reached_and_left() -> None:
    reached = {after for (before, _), after in TRANSITIONS.items() if before is not after}
    left = {before for (before, _), after in TRANSITIONS.items() if before is not after}
    assert reached | {State.IDLE} == set(State)
    assert left == set(State)


@pytest.mark.parametrize("state", list(State))
def test_an_attempt_may_fail_in_every_state(state: State) -> None:
    assert moved(state.value, Event.FAIL) is State.FAILED


def test_the_diagram_has_every_change_of_state() -> None:
    lines = mermaid().splitlines()
    changes = [(before, event, after) for (before, event), after in TRANSITIONS.items() if before is not after]
    assert len(lines) == 2 + len(changes)
    for before, event, after in changes:
        assert f"    {before} --> {after}: {event}" in lines


def test_pauses_grow_to_a_limit_and_half_is_chance() -> None:
    shortest = [backoff_seconds(attempt, 0.0) for attempt in range(1, 40)]
    longest = [backoff_seconds(attempt, 1.0) for attempt in range(1, 40)]
    assert shortest == sorted(shortest)
    assert longest[0] == 0.25
    assert longest[-1] == 30.0
    assert all(long == 2 * short for long, short in zip(longest, shortest, strict=True))
    assert backoff_seconds(10_000, 1.0) == 30.0
