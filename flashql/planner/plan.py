"""A plan: steps, each saying where it runs, what it does and why. `str(plan)` is EXPLAIN's text.

>>> print(Plan((Step("duckdb", "SELECT 1", "nothing else is needed"),)))
1. duckdb: SELECT 1
   why: nothing else is needed
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: `place` is 'duckdb' or 'origin <name>'."""

    place: str
    action: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = []
        for number, step in enumerate(self.steps, 1):
            lines += [f"{number}. {step.place}: {step.action}", f"   why: {step.reason}"]
        return "\n".join(lines)
