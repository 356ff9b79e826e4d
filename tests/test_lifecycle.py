"""The table of states."""

from __future__ import annotations

import itertools

import pytest

from flashql.lifecycle import (
    FOLLOWING,
    PHASE_MOVES,
    TRANSITIONS,
    Event,
    IllegalMove,
    Phase,
    State,
    entered,
    mermaid,
    moved,
    phases_mermaid,
)


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


RESERVED = {Phase.PUSH, Phase.CLONE_UP}


def test_every_phase_is_entered_by_the_table_or_refused() -> None:
    for before, after in itertools.product([None, *Phase], [None, *Phase]):
        if after is None or before is after or (before, after) in PHASE_MOVES:
            assert entered(before, after) is after
        else:
            with pytest.raises(IllegalMove, match=f"phase {before} cannot enter {after}"):
                entered(before, after)


def test_what_is_reserved_is_never_entered_and_all_else_can_be() -> None:
    assert {after for _, after in PHASE_MOVES} == set(Phase) - RESERVED
    assert {before for before, _ in PHASE_MOVES} == {None, *Phase} - RESERVED


def test_a_phase_comes_in_the_order_of_the_cycle() -> None:
    """seed, clone, pull, reconcile: none is skipped on the way to `reconcile`, and `seed` is only ever the first."""
    assert {before for before, after in PHASE_MOVES if after is Phase.SEED} == {None}
    assert {before for before, after in PHASE_MOVES if after is Phase.RECONCILE} == {Phase.PULL}
    assert set(FOLLOWING) == {Phase.PULL, Phase.RECONCILE}


def test_the_diagram_of_phases_has_every_move() -> None:
    lines = phases_mermaid().splitlines()
    assert [f"    {before or '[*]'} --> {after}: {why}" for (before, after), why in PHASE_MOVES.items()] == lines[
        1 : 1 + len(PHASE_MOVES)
    ]
    assert lines[1 + len(PHASE_MOVES) :] == [f"    {phase} --> [*]" for phase in Phase if phase not in RESERVED]
