"""A job's states and phases, and every legal move between them, as tables.

The diagrams in docs/reference/sync.md are generated from TRANSITIONS and PHASE_MOVES.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job stands."""

    IDLE = "idle"  # not running
    SYNCED = "synced"  # a materialized copy was populated
    RUNNING = "running"  # a realtime job is active
    FAILED = "failed"  # the last attempt failed


class Event(StrEnum):
    """What moves a job from state to state."""

    START = "start"  # a realtime job's worker takes it up
    POPULATE = "populate"  # a materialized copy has been made
    FAIL = "fail"  # an attempt failed; rows stay as they were
    STOP = "stop"  # by stop(), or because the process ends


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.START): State.RUNNING,
    (State.IDLE, Event.POPULATE): State.SYNCED,
    (State.IDLE, Event.FAIL): State.FAILED,
    (State.IDLE, Event.STOP): State.IDLE,
    (State.SYNCED, Event.POPULATE): State.SYNCED,
    (State.SYNCED, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.START): State.RUNNING,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.STOP): State.IDLE,
    (State.FAILED, Event.START): State.RUNNING,
    (State.FAILED, Event.POPULATE): State.SYNCED,
    (State.FAILED, Event.FAIL): State.FAILED,
    (State.FAILED, Event.STOP): State.IDLE,
}


class Phase(StrEnum):
    """What a job is doing. None stands for nothing: it rests, as of its last commit."""

    SEED = "seed"  # takes the rows its option `seed` names, to be shown until the first clone
    CLONE = "clone"  # its rows are read from the origin (a materialized view's query is run), or it waits for that
    PULL = "pull"  # a realtime view follows its origin, from the last local commit on
    PUSH = "push"  # reserved: local writes carried back to the origin
    CLONE_UP = "clone_up"  # reserved: rows made while offline, carried to the origin in bulk
    RECONCILE = "reconcile"  # follows as in `pull`, and is compared with its origin meanwhile


# In these a realtime view follows its origin.
FOLLOWING = (Phase.PULL, Phase.RECONCILE)

# From phase to phase, and why. From any of them a job may come to rest (it stopped, failed or is done); a phase may
# begin anew. `push` and `clone_up` have no moves yet.
PHASE_MOVES: dict[tuple[Phase | None, Phase], str] = {
    (None, Phase.SEED): "no rows yet, and a seed",
    (None, Phase.CLONE): "no copy",
    (None, Phase.PULL): "a copy that can go on",
    (Phase.SEED, Phase.CLONE): "no copy",
    (Phase.SEED, Phase.PULL): "a copy that can go on",
    (Phase.CLONE, Phase.PULL): "the copy joins the stream",
    (Phase.PULL, Phase.CLONE): "the copy cannot go on",
    (Phase.PULL, Phase.RECONCILE): "on demand, on schedule",
    (Phase.RECONCILE, Phase.PULL): "equal again",
    (Phase.RECONCILE, Phase.CLONE): "too much differs",
}


class IllegalMove(AssertionError):
    """A bug: the table has no such move."""


def moved(state: str, event: Event) -> State:
    """The state after the event; raises `IllegalMove` and changes nothing when there is no such move.

    >>> moved("idle", Event.START)
    <State.RUNNING: 'running'>
    """
    try:
        return TRANSITIONS[State(state), event]
    except KeyError:
        raise IllegalMove(f"a job that is {state} cannot {event}") from None


def entered(before: str | None, after: str | None) -> Phase | None:
    """The phase `after`, entered from `before`; raises `IllegalMove` when the table has no such move.

    >>> entered("clone", "pull")
    <Phase.PULL: 'pull'>
    """
    came, goes = (None if phase is None else Phase(phase) for phase in (before, after))
    if goes is not None and came is not goes and (came, goes) not in PHASE_MOVES:
        raise IllegalMove(f"a job in phase {before} cannot enter {after}")
    return goes


def mermaid() -> str:
    """The states as a Mermaid diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> idle"]
    lines += [f"    {before} --> {after}: {event}" for (before, event), after in TRANSITIONS.items() if before != after]
    return "\n".join(lines)


def phases_mermaid() -> str:
    """The phases as a Mermaid diagram, for the docs."""
    lines = ["stateDiagram-v2"]
    lines += [f"    {before or '[*]'} --> {after}: {why}" for (before, after), why in PHASE_MOVES.items()]
    lines += [f"    {phase} --> [*]" for phase in Phase if phase not in (Phase.PUSH, Phase.CLONE_UP)]
    return "\n".join(lines)
