"""The instances of a scope, one for each of its views: their moves as one table, and the scope's state by their counts.

A scope has no state of its own making: what its instances have come to, and whether somebody still runs them, says it.
The diagram in docs/guides/scopes.md is generated from TRANSITIONS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class InstanceState(StrEnum):
    """Where one view of a scope stands."""

    NOT_STARTED = "not_started"  # it waits for its turn
    SYNCING = "syncing"  # begun, neither completed nor interrupted
    SYNCED = "synced"  # completed: it has a usable copy and, if realtime, follows its origin
    FAILED = "failed"  # completed, with an error
    INTERRUPTED = "interrupted"  # begun, and cut by the end of the process
    STOPPED = "stopped"  # left alone, since its job is disabled


class Turn(StrEnum):
    """What moves an instance from state to state."""

    BEGIN = "begin"
    SUCCEED = "succeed"
    FAIL = "fail"
    LEAVE = "leave"  # the view was stopped: a scope leaves it alone, as `sync()` does
    CUT = "cut"  # whoever ran the scope is gone


TRANSITIONS: dict[tuple[InstanceState, Turn], InstanceState] = {
    (InstanceState.NOT_STARTED, Turn.BEGIN): InstanceState.SYNCING,
    (InstanceState.NOT_STARTED, Turn.LEAVE): InstanceState.STOPPED,
    (InstanceState.SYNCING, Turn.SUCCEED): InstanceState.SYNCED,
    (InstanceState.SYNCING, Turn.FAIL): InstanceState.FAILED,
    (InstanceState.SYNCING, Turn.CUT): InstanceState.INTERRUPTED,
}


class ScopeState(StrEnum):
    """Where a scope stands."""

    SYNCING = "syncing"  # not all instances have completed; some may not have begun
    FAILED = "failed"  # all have completed, at least one with an error
    SYNCED = "synced"  # all have completed without
    INTERRUPTED = "interrupted"  # the run was cut with work left


@dataclass(frozen=True)
class Counts:
    """How many instances of a scope are in each state. Together they are the instances it was started with."""

    not_started: int = 0
    syncing: int = 0
    failed: int = 0
    synced: int = 0
    interrupted: int = 0
    stopped: int = 0

    @classmethod
    def of(cls, states: Iterable[str]) -> Counts:
        """Those of these instances' states.

        >>> Counts.of(["synced", "failed", "synced"])
        Counts(not_started=0, syncing=0, failed=1, synced=2, interrupted=0, stopped=0)
        """
        return cls(**Counter(InstanceState(state).value for state in states))


def scope_state(counts: Counts, *, cut: bool) -> ScopeState:
    """The scope's state by its counts; `cut` when nobody runs it (any more).

    A failure does not make it failed while others are still to complete. One without instances is synced: what was
    asked for is there.

    >>> scope_state(Counts(failed=1, syncing=1), cut=False), scope_state(Counts(failed=1, synced=1), cut=True)
    (<ScopeState.SYNCING: 'syncing'>, <ScopeState.FAILED: 'failed'>)
    """
    if counts.not_started + counts.syncing + counts.interrupted:
        return ScopeState.INTERRUPTED if cut else ScopeState.SYNCING
    return ScopeState.FAILED if counts.failed else ScopeState.SYNCED


def mermaid() -> str:
    """The states of an instance as a Mermaid diagram, for the docs."""
    moves = [f"    {before} --> {after}: {turn}" for (before, turn), after in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {InstanceState.NOT_STARTED}", *moves])
