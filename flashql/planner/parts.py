"""Which parts of a query get a table of their own, since what is around them follows by it."""

from __future__ import annotations

from sqlglot import exp

from flashql.planner.blocks import is_aggregate, is_plain, is_within, items, own, stands_alone, tables


def derived_groups(query: exp.Query) -> list[exp.Query]:
    """Derived tables of groups in FROM: kept by themselves, what changes is added up instead of looked up."""
    found: list[exp.Query] = []
    for derived in query.find_all(exp.Subquery):
        inner = derived.this
        if not isinstance(derived.parent, (exp.From, exp.Join)) or not isinstance(inner, exp.Select):
            continue
        aggregates = [node for node in own(inner, exp.Func) if is_aggregate(node)]
        merges = all(
            isinstance(node, (exp.Count, exp.Sum, exp.Min, exp.Max)) and not isinstance(node.this, exp.Distinct)
            for node in aggregates
        )
        if inner.args.get("group") is not None and merges and not inner.args.get("limit") and stands_alone(inner):
            found.append(inner)
    return [one for one in found if not any(one is not other and is_within(one, other) for other in found)]


def chosen_values(query: exp.Query) -> list[exp.Query]:
    """Subqueries of IN that choose or join rows for themselves: kept, they need not be chosen anew in each batch."""
    found = []
    for part in query.find_all(exp.In):
        inner = part.args.get("query")
        while isinstance(inner, exp.Subquery):
            inner = inner.this
        if not isinstance(inner, exp.Select) or not is_plain(inner) or not tables(inner) or not stands_alone(inner):
            continue
        if len(items(inner)) > 1 or inner.args.get("where") is not None:
            found.append(inner)
    return [one for one in found if not any(one is not other and is_within(one, other) for other in found)]


def part_around(query: exp.Query, table: exp.Table) -> exp.Query | None:
    """The outermost query within `query` that reads the table and can be stored: one that looks at nothing outside."""
    chain: list[exp.Query] = []
    around: exp.Expr | None = table
    while around is not None and around is not query:
        if isinstance(around, exp.Query) and not isinstance(around, exp.Subquery):
            chain.append(around)
        around = around.parent
    for part in reversed(chain):
        if stands_alone(part) and (not _is_table(part) or divides(part)):
            return part
    return None


def divides(part: exp.Query) -> bool:
    """Whether a derived table computes what all windows of the query around it are partitioned by."""
    around = part.find_ancestor(exp.Select)
    if not isinstance(part, exp.Select) or not isinstance(part.parent, exp.Subquery) or around is None:
        return False
    computed = {one.alias for one in part.expressions if not isinstance(one.unalias(), exp.Column)}
    windows = [
        {
            one.name
            for one in window.args.get("partition_by") or ()
            if isinstance(one, exp.Column) and one.table == part.parent.alias
        }
        for window in own(around, exp.Window)
        if isinstance(window, exp.Window)
    ]
    return bool(windows) and bool(set.intersection(*windows) & computed)


def _is_table(query: exp.Query) -> bool:
    """Whether a query only shows columns of one stored table."""
    if not isinstance(query, exp.Select) or not is_plain(query) or query.args.get("where") is not None:
        return False
    return [type(item.node) for item in items(query)] == [exp.Table]
