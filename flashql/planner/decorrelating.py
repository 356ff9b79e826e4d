"""Sums that are looked up for each row, as joins with the sums of all groups.

    SELECT ... FROM p WHERE p.quantity > (SELECT 0.5 * sum(l.quantity) FROM l WHERE l.part = p.part)

shows the same rows as a join with `SELECT l.part, sum(l.quantity) AS s FROM l GROUP BY l.part` where p.quantity is more
than 0.5 * s. These groups are kept as a table that follows by adding up; otherwise the rows of each group that moved
would be looked for in all of `l`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from flashql.planner.blocks import (
    COMPARISONS,
    column,
    column_of,
    fresh_aliases,
    is_aggregate,
    items,
    own,
    subqueries,
    where,
)

# What gives NULL for any NULL: a comparison with it lets no row through.
_STRICT = (exp.Cast, exp.Paren, exp.Add, exp.Sub, exp.Mul, exp.Neg)
_CLAUSES = ("group", "having", "distinct", "limit", "offset", "order", "qualify", "windows", "laterals", "sample")


def decorrelate(tree: exp.Query) -> None:
    """Join, in place, the sums that conditions look up. Aliases are unique in the tree, and stay so."""
    fresh = fresh_aliases(tree, "flashql_sums")
    for select in list(tree.find_all(exp.Select)):
        if any(item.side for item in items(select)) or select.args.get("laterals") or not items(select):
            continue
        for condition in where(select):
            for lookup in _lookups(condition):
                _join(select, lookup, fresh)


def _lookups(condition: exp.Expr) -> list[exp.Subquery]:
    """The subqueries that a condition does not hold for if they are NULL."""
    if not isinstance(condition, COMPARISONS):
        return []
    found = []
    for side in (condition.this, condition.expression):
        while isinstance(side, (exp.Cast, exp.Paren)):
            side = side.this
        if isinstance(side, exp.Subquery) and isinstance(side.this, exp.Select):
            found.append(side)
    return found


def _join(select: exp.Select, lookup: exp.Subquery, fresh: Iterator[str]) -> None:
    query = lookup.this
    links = _links(query, {item.alias for item in items(select)})
    if not links or not _only_sums(query):
        return
    alias, inside = next(fresh), [inner for _, inner in links]
    sums = list(query.expressions[0].find_all(exp.Sum))
    groups = exp.Select(
        expressions=[
            *(exp.alias_(inner.copy(), f"k{at}", quoted=True) for at, inner in enumerate(inside)),
            *(exp.alias_(one.copy(), f"s{at}", quoted=True) for at, one in enumerate(sums)),
        ]
    )
    for clause in ("from_", "joins"):
        groups.set(clause, query.args.get(clause))
    rest = [one for one in where(query) if not any(one is link for link, _ in links)]
    if rest:
        groups.set("where", exp.Where(this=exp.and_(*rest)))
    groups.set("group", exp.Group(expressions=[inner.copy() for inner in inside]))
    value = exp.Paren(this=query.expressions[0].unalias().copy())
    for at, one in enumerate(list(value.find_all(exp.Sum))):
        one.replace(column(alias, f"s{at}"))
    for at, (_, inner) in enumerate(links):
        inner.replace(column(alias, f"k{at}"))
    derived = exp.Subquery(this=groups, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    select.append("joins", exp.Join(this=derived, on=exp.and_(*(link for link, _ in links))))
    lookup.replace(value)


def _links(query: exp.Select, outside: set[str]) -> list[tuple[exp.Expr, exp.Column]]:
    """The conditions that link a subquery's own columns with those around it, and in each the column of its own.

    None when it is linked in another way too, or twice by one column.
    """
    mine = {item.alias for item in items(query)}
    found: list[tuple[exp.Expr, exp.Column]] = []
    for condition in where(query):
        if all(one.table in mine for one in condition.find_all(exp.Column)):
            continue
        sides = [condition.this, condition.expression] if isinstance(condition, exp.EQ) else []
        columns = [one for side in sides if column_of(side) is not None for one in side.find_all(exp.Column)]
        own_ = [one for one in columns if one.table in mine]
        if len(columns) != 2 or len(own_) != 1 or not all(one.table in mine | outside for one in columns):
            return []
        found.append((condition, own_[0]))
    places = [query.expressions[0], *(join for join in query.args.get("joins") or ())]
    read = {one.table for place in places for one in place.find_all(exp.Column)}
    once = len({column_of(inner) for _, inner in found}) == len(found)
    return found if read <= mine and once else []


def _only_sums(query: exp.Select) -> bool:
    """Whether a query over joined tables shows one value: computed from sums, and NULL where there is no row."""
    if any(query.args.get(clause) for clause in _CLAUSES) or len(query.expressions) != 1 or subqueries(query):
        return False
    if any(item.side or not isinstance(item.node, exp.Table) for item in items(query)):
        return False
    if not all(isinstance(one, exp.Sum) for one in own(query, exp.Func) if is_aggregate(one)):
        return False

    def strict(node: exp.Expr) -> bool:
        if isinstance(node, exp.Sum):
            return not isinstance(node.this, exp.Distinct)
        if isinstance(node, exp.Literal):
            return True
        parts = [part for part in node.iter_expressions() if not isinstance(part, exp.DataType)]
        return isinstance(node, _STRICT) and all(strict(part) for part in parts)

    value = query.expressions[0].unalias()
    return value.find(exp.Sum) is not None and strict(value)
