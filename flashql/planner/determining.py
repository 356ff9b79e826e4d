"""Which keys of groups tell a group from all others: with GROUP BY orders.id, orders.day, customers.name the first."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from flashql.planner.blocks import column_of, items
from flashql.planner.keys import equal_columns
from flashql.planner.steps import Grouping


def determining(grouping: Grouping, unique: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The fewest keys that are known to determine the others, by what is unique in tables; all keys when none are.

    `unique` has the columns that tell a table's rows apart, by its alias in the query of the rows.
    """
    rows = grouping.rows
    if any(item.side != "" for item in items(rows)):
        return grouping.keys
    equal = equal_columns(rows)
    made = {one.alias_or_name: one.unalias() for one in rows.expressions if one.alias_or_name in grouping.keys}
    plain = {column_of(node): key for key, node in made.items()}
    read = {key: {one.table for one in node.find_all(exp.Column)} for key, node in made.items()}
    if set(made) != set(grouping.keys) or any(node.find(exp.Query) for node in made.values()):
        return grouping.keys
    found = [grouping.keys]
    for alias, columns in unique.items():
        places = [equal.get((alias, name), set()) | {(alias, name)} for name in columns]
        keys = [next((plain[one] for one in sorted(place) if one in plain), None) for place in places]
        chosen = tuple(key for key in grouping.keys if key in keys)
        known = _determined(alias, equal, unique)
        if columns and None not in keys and all(key in chosen or read[key] <= known for key in grouping.keys):
            found.append(chosen)
    return min(found, key=len)


def _determined(
    alias: str, equal: Mapping[tuple[str, str], set[tuple[str, str]]], unique: Mapping[str, tuple[str, ...]]
) -> set[str]:
    """The tables of which a row of this one is joined with no more than one."""
    known: set[str] = set()
    more = {alias}
    while more:
        known |= more
        more = {
            other
            for other in unique.keys() - known
            if unique[other]
            and all(any(one in known for one, _ in equal.get((other, name), ())) for name in unique[other])
        }
    return known
