"""Why a step follows as it does, in words: EXPLAIN VIEW and flashql.view_steps say it."""

from __future__ import annotations

from collections.abc import Mapping

from flashql.planner.blocks import tables
from flashql.planner.delta import ways
from flashql.planner.steps import Step

_LATER = "; whichever of following and computing anew took less lately is done"


def reason(step: Step, names: Mapping[str, str]) -> str:
    """Why; `names` are what stored tables are called by whoever reads it."""
    if step.source is None:
        return f"computed anew: {'; '.join(step.reasons)}"
    called = {table.alias_or_name: names.get(table.name, table.name) for table in tables(step.source)}
    parts: dict[str, None] = {}
    for alias, way in ways(step.source).items():
        if way is None:
            parts[f"computed anew when {called[alias]} changes, which may change any row"] = None
        elif way == {}:
            parts[f"rows of {called[alias]} that move are joined with what they meet"] = None
        else:
            columns = ", ".join(
                dict.fromkeys(f"{called.get(one, one)}.{name}" for one, cut in way.items() for name in cut)
            )
            parts[f"when {called[alias]} changes, rows with the keys that moved are looked up ({columns})"] = None
    text = "; ".join(parts)
    if step.grouping is not None:
        again = [one for one in step.grouping.aggregates if one.kind == "other"]
        how = "groups that moved are computed anew" if again else "what moved is added to its groups"
        extremes = (
            ", and a group whose extreme leaves is looked at again" if step.grouping.extremes and not again else ""
        )
        text = f"{how}{extremes}; {text}"
    return text if step.strategy == "recompute" else text + _LATER
