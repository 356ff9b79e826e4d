"""A job's states, every legal move between them as one table, and when to try again.

The diagram in docs/reference/sync.md is generated from TRANSITIONS.
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


def backoff_seconds(
    attempt: int, chance: float, *, base: float = 0.25, multiplier: float = 2.0, cap: float = 30.0
) -> float:
    """How long to wait before the next attempt: exponential, capped, with half of it left to chance.

    `attempt` counts from 1, `chance` is uniform in [0, 1). Half the delay is fixed so that a server that restarts
    is not hammered, half is random so that many clients do not come back at the same moment ("equal jitter").

    >>> backoff_seconds(1, 0.0), backoff_seconds(1, 1.0), backoff_seconds(100, 1.0)
    (0.125, 0.25, 30.0)
    """
    delay = min(cap, base * multiplier ** min(attempt - 1, 32))
    return delay / 2 + delay / 2 * chance


def mermaid() -> str:
    """The states as a Mermaid diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> idle"]
    lines += [f"    {before} --> {after}: {event}" for (before, event), after in TRANSITIONS.items() if before != after]
    return "\n".join(lines)
