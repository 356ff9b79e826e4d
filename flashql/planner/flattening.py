"""Derived tables merged into the query around them, where they only join, filter and compute.

    SELECT y, sum(v) FROM (SELECT year(o.day) AS y, l.price * 2 AS v FROM o JOIN l ON l.o = o.id) AS d GROUP BY y

groups the rows of a join as well as `SELECT year(o.day), sum(l.price * 2) FROM o JOIN l ON l.o = o.id GROUP BY 1` does.
But only in the latter form a key is seen that joins them, and divides the query.
"""

from __future__ import annotations

from sqlglot import exp

from flashql.planner.blocks import is_plain, items, makes_rows, own


def flatten(tree: exp.Query) -> None:
    """Merge, in place, each derived table that is all a SELECT reads. Aliases are unique in the tree, and stay so."""
    for select in list(tree.find_all(exp.Select)):
        while merge(select):
            pass


def merge(select: exp.Select) -> bool:
    """Merge a derived table that is all a SELECT reads, in place; False when it is none, or not one of that kind."""
    inner = _mergeable(select)
    if inner is None:
        return False
    alias = items(select)[0].alias
    values = {item.alias_or_name: item.unalias() for item in inner.expressions}
    if any(column.table == alias and column.name not in values for column in select.find_all(exp.Column)):
        return False
    for item in select.expressions:
        if isinstance(item, exp.Column):  # it keeps its name
            item.replace(exp.alias_(item.copy(), item.name, quoted=True))
    for column in [column for column in select.find_all(exp.Column) if column.table == alias]:
        value = values[column.name].copy()
        column.replace(value if isinstance(value, exp.Column) else exp.paren(value, copy=False))
    conditions = [clause.this for query in (inner, select) if (clause := query.args.get("where")) is not None]
    for clause in ("from_", "joins"):
        select.set(clause, inner.args.get(clause))
    if conditions:
        select.set("where", exp.Where(this=exp.and_(*conditions)))
    return True


def _mergeable(select: exp.Select) -> exp.Select | None:
    present = items(select)
    if len(present) != 1 or select.args.get("laterals") or not isinstance(present[0].node, exp.Subquery):
        return None
    if any(own(select, exp.Window)):  # DuckDB partitions by nothing that may raise an error
        return None
    if any(not one.table for one in select.find_all(exp.Column)):  # ORDER BY a name of the select list
        return None
    inner = present[0].query
    if not isinstance(inner, exp.Select) or not is_plain(inner) or makes_rows(inner) or inner.args.get("from_") is None:
        return None
    # A constant would be a place in GROUP BY; a subquery in an aggregate is not kept.
    fit = all(one.find(exp.Column) is not None and one.find(exp.Query) is None for one in inner.expressions)
    return inner if fit else None
