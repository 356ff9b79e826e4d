"""A query over rows as they are and as they were, at once: two sides, told apart by the rows' weights.

One query instead of two over half the rows each, which DuckDB would plan twice. Rows of one side only meet each other:
what is joined, and what subqueries look at, is compared with the weight of the row that leads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlglot import exp, parse_one

from flashql.planner.blocks import column, is_one_row, is_plain, items, subqueries, tables
from flashql.planner.steps import WEIGHT

_SIDES = "flashql_sides"


def has_sides(tree: exp.Query, aliases: Collection[str]) -> bool:
    """Whether `on_sides` can tell a query what the sides of the tables under these aliases are."""
    if not isinstance(tree, exp.Select) or not is_plain(tree):
        return False
    present = items(tree)
    conditions = [item.join.args.get("on") for item in present if item.join is not None]
    if any(item.side not in ("", "LEFT") or isinstance(item.node, exp.Lateral) for item in present):
        return False
    if any(one is not None and one.find(exp.Query) for one in conditions):
        return False
    found = [item.alias for item in present if isinstance(item.node, exp.Table)]
    for query in _looks(tree):
        found += [item.alias for item in items(query)]
    return set(found).issuperset(aliases)


def on_sides(tree: exp.Query, aliases: Collection[str]) -> exp.Select:
    """The query, of which each row has the weight of the side it is of; `has_sides` says whether there is one."""
    made = tree.copy()
    assert isinstance(made, exp.Select)
    present = {item.alias: item for item in items(made)}
    leading = min((alias for alias in aliases if alias in present and present[alias].side == ""), default=_SIDES)
    for alias in sorted({*aliases} - {leading}):
        same = exp.EQ(this=column(leading, WEIGHT), expression=column(alias, WEIGHT))
        item = present.get(alias)
        if item is None:
            next(one for one in _looks(made) if alias in [inner.alias for inner in items(one)]).where(same, copy=False)
        elif item.side == "":
            made.where(same, copy=False)
        else:
            assert item.join is not None
            item.join.on(same, copy=False)
    made.append("expressions", exp.alias_(column(leading, WEIGHT), WEIGHT, quoted=True))
    if leading == _SIDES:
        both = parse_one(f"SELECT CAST(1 AS TINYINT) AS {WEIGHT} UNION ALL SELECT CAST(-1 AS TINYINT)", read="duckdb")
        assert isinstance(both, exp.Query)
        join = exp.Join(this=both.subquery(exp.to_identifier(_SIDES, quoted=True)), kind="CROSS")
        made.set("joins", [join, *(made.args.get("joins") or ())])
    return made


def _looks(tree: exp.Select) -> Iterator[exp.Select]:
    """The subqueries of EXISTS, and those that are one value of rows taken together, that only join stored tables."""
    for query in subqueries(tree):
        around = query.parent
        while isinstance(around, exp.Subquery):
            around = around.parent
        if not isinstance(query, exp.Select) or isinstance(around, (exp.In, exp.Any, exp.All)) or subqueries(query):
            continue
        ordered = any(query.args.get(clause) for clause in ("group", "distinct", "limit", "offset", "order", "having"))
        counts = is_one_row(query) if not isinstance(around, exp.Exists) else is_plain(query)
        joins = all(isinstance(item.node, exp.Table) and item.node.db and item.side == "" for item in items(query))
        if counts and joins and not ordered and len(tables(query)) == len(items(query)):
            yield query
