"""Sums of which DuckDB knows wrong bounds, hidden from it.

DuckDB 2.0 takes an outer join for empty when statistics tell that one side is, and then any sum over it for 0:

    SELECT sum(a.v) FROM a LEFT JOIN b ON b.k = a.k AND b.k > 100 HAVING sum(a.v) > 0

returns nothing, whatever is in `a`, when no k of `b` is above 100. What compares the sum is decided as for 0, and where
rows with it are sorted or made distinct it is packed as if it were. Of what `greatest` returns no bounds are known.
"""

from __future__ import annotations

from typing import TypeVar

from sqlglot import exp

from flashql.planner.blocks import subqueries

_Tree = TypeVar("_Tree", bound=exp.Query)


def joins_outer(tree: exp.Expr) -> bool:
    """Whether DuckDB joins outer in it: for an outer join, or for a subquery in an expression."""
    nested = any(subqueries(select) for select in tree.find_all(exp.Select))
    return nested or any(join.side for join in tree.find_all(exp.Join))


def without_bounds(tree: _Tree) -> _Tree:
    """The query, where it joins outer, with `greatest(sum(x), NULL)` for each of its sums, which is the sum.

    >>> from sqlglot import parse_one
    >>> without_bounds(parse_one("SELECT sum(a.v) FROM a LEFT JOIN b ON b.k = a.k")).sql("duckdb")
    'SELECT GREATEST(SUM(a.v), NULL) FROM a LEFT JOIN b ON b.k = a.k'
    """
    if not joins_outer(tree):
        return tree
    made = tree.copy()
    for one in list(made.find_all(exp.Sum)):
        whole: exp.Expr = one
        while isinstance(whole.parent, exp.Filter) and whole.parent.this is whole:
            whole = whole.parent
        if not isinstance(whole.parent, (exp.Window, exp.Greatest)):
            whole.replace(exp.Greatest(this=whole.copy(), expressions=[exp.Null()], ignore_nulls=True))
    return made
