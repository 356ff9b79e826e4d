"""Aggregates over what a LEFT JOIN finds, added up by its key before it is joined ("eager aggregation").

    SELECT c.id, count(o.id), sum(o.amount) FROM c LEFT JOIN o ON o.customer = c.id AND o.paid GROUP BY c.id

shows the same as a join with `SELECT o.customer AS k0, count(o.id) AS x0, sum(o.amount) AS x1 FROM o
WHERE o.paid GROUP BY o.customer`, in which counts and sums are summed up. These groups are kept as a table that follows
by adding up; otherwise all rows of each customer that moved would be looked for in all of `o`, as they are and as they
were. (W. Yan and P. Larson: Eager Aggregation and Lazy Aggregation, VLDB 1995.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from flashql.planner.blocks import (
    COMPARISONS,
    Item,
    column,
    column_of,
    conjuncts,
    fresh_aliases,
    has_grouping_sets,
    items,
    own,
    sql,
)
from flashql.planner.folding import named, whole_aggregate

_CLAUSES = ("distinct", "qualify", "windows", "laterals", "sample")
_SHOWN = ("expressions", "having", "order")
_ROWS = "n"
# What raises nothing: it is computed for rows without a partner too. Arithmetic and casts may.
_HARMLESS = (
    *(exp.Column, exp.Literal, exp.Null, exp.Boolean, exp.Paren),
    *(*COMPARISONS, exp.And, exp.Or, exp.Not, exp.Is, exp.Like, exp.In, exp.Case, exp.If),
)


def preaggregate(tree: exp.Query) -> None:
    """Add up, in place, what can be before it is joined. Aliases are unique in the tree, and stay so."""
    fresh = fresh_aliases(tree, "flashql_joined")
    for select in list(tree.find_all(exp.Select)):
        found = _found(select)
        if found is not None:
            found.join(next(fresh))


@dataclass
class _Joined:
    """The groups that take the place of the last FROM item of a SELECT."""

    item: Item
    keys: list[exp.Column]  # its columns that the join compares with others
    local: list[exp.Expr]  # what else the join asks of it
    rest: list[exp.Expr]  # the join's other conditions, those with the keys among them
    aggregates: list[exp.Expr]
    added: dict[str, tuple[str, exp.Expr]] = field(default_factory=dict)  # by its SQL: an aggregate and its name

    def join(self, alias: str) -> None:
        """Replace the item by its groups, and the aggregates over its rows by those over groups."""
        names: dict[str, str] = {}
        for key in self.keys:
            names.setdefault(key.name, f"k{len(names)}")
        of = {name: named(column(self.item.alias, key), name) for key, name in names.items()}
        for one in self.aggregates:
            one.replace(self._summed(one, alias))
        groups = exp.Select(
            expressions=[
                *of.values(),
                *(named(value, name) for name, value in self.added.values()),
            ]
        )
        groups.set("from_", exp.From(this=self.item.node.copy()))
        if self.local:
            groups.set("where", exp.Where(this=exp.and_(*self.local)))
        groups.set("group", exp.Group(expressions=[one.this.copy() for one in of.values()]))
        for key in self.keys:
            key.replace(column(alias, names[key.name]))
        derived = exp.Subquery(this=groups, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        assert self.item.join is not None
        self.item.join.set("on", exp.and_(*self.rest))
        self.item.node.replace(derived)

    def _summed(self, node: exp.Expr, alias: str) -> exp.Expr:
        """An aggregate over rows, from those over groups: a row without a match has a group of none."""
        if _counts_rows(node):
            self.added[""] = _ROWS, exp.Count(this=exp.Star())
            rows = exp.Coalesce(this=column(alias, _ROWS), expressions=[exp.Literal.number(1)])
            return _as_count(exp.Sum(this=rows))
        if not _reads(node, self.item.alias):
            return node.copy()
        name, _ = self.added.setdefault(sql(node), (f"x{len(self.added)}", node.copy()))
        inner = node.this if isinstance(node, exp.Filter) else node
        if isinstance(inner, exp.Count):
            total = exp.Sum(this=column(alias, name))
            return _as_count(exp.Coalesce(this=total, expressions=[exp.Literal.number(0)]))
        return type(inner)(this=column(alias, name))


def _as_count(total: exp.Expr) -> exp.Cast:
    return exp.Cast(this=total, to=exp.DataType.build("bigint"))


def _found(select: exp.Select) -> _Joined | None:
    """The last item of a SELECT where it can be grouped before it is joined."""
    present = items(select)
    group = select.args.get("group")
    if len(present) < 2 or group is None or not group.expressions or has_grouping_sets(select):
        return None
    last = present[-1]
    if last.side != "LEFT" or not isinstance(last.node, exp.Table) or not last.node.db:
        return None
    if any(select.args.get(clause) for clause in _CLAUSES) or any(own(select, exp.Window)):
        return None
    aggregates = list(_aggregates(select))
    if not all(_adds_up(one, last.alias) for one in aggregates):
        return None
    if not any(_reads(one, last.alias) for one in aggregates):
        return None
    found = _split(last, aggregates)
    inside = [node for part in (*aggregates, *_on(last)) for node in part.find_all(exp.Column)]
    others = [one for one in select.find_all(exp.Column) if not any(one is node for node in inside)]
    return None if any(one.table == last.alias for one in others) else found


def _split(last: Item, aggregates: list[exp.Expr]) -> _Joined | None:
    """What the join of the last item asks, told apart; None where it is more than equal keys and its own conditions."""
    keys, local, rest = [], [], []
    for condition in _on(last):
        if condition.find(exp.Query):
            return None
        if not _reads(condition, last.alias):
            rest.append(condition)
        elif all(one.table == last.alias for one in condition.find_all(exp.Column)):
            local.append(condition)
        elif isinstance(condition, exp.EQ) and (key := _key(condition, last.alias)) is not None:
            keys.append(key)
            rest.append(condition)
        else:
            return None
    return _Joined(last, keys, local, rest, aggregates) if keys else None


def _on(item: Item) -> list[exp.Expr]:
    return list(conjuncts(item.join.args.get("on") if item.join is not None else None))


def _key(condition: exp.EQ, alias: str) -> exp.Column | None:
    """The column of a FROM item that a condition compares with what is not of it."""
    for side, other in ((condition.this, condition.expression), (condition.expression, condition.this)):
        found = column_of(side)
        if found is not None and found[0] == alias and not _reads(other, alias):
            return next((one for one in side.find_all(exp.Column)), None)
    return None


def _reads(node: exp.Expr, alias: str) -> bool:
    return any(one.table == alias for one in node.find_all(exp.Column))


def _aggregates(select: exp.Select) -> Iterator[exp.Expr]:
    """The aggregates that a SELECT of groups shows, orders or chooses by, each with what belongs to it."""

    def walk(node: exp.Expr) -> Iterator[exp.Expr]:
        found = whole_aggregate(node)
        if found is not None:
            yield found
        elif not isinstance(node, exp.Query):
            for child in node.iter_expressions():
                yield from walk(child)

    for clause in _SHOWN:
        value = select.args.get(clause)
        for part in value if isinstance(value, list) else [value] if value is not None else []:
            yield from walk(part)


def _counts_rows(node: exp.Expr) -> bool:
    return isinstance(node, exp.Count) and isinstance(node.this, (exp.Star, exp.Literal))


def _adds_up(node: exp.Expr, alias: str) -> bool:
    """Whether an aggregate comes from those over groups, and takes a row without a match for nothing."""
    if _counts_rows(node):
        return True
    inner = node.this if isinstance(node, exp.Filter) else node
    argument = inner.this
    if (
        any(inner.args.get(more) for more in ("expressions", "count"))
        or isinstance(argument, (exp.Distinct, exp.Order))
        or node.find(exp.Query)
    ):
        return False
    read = {one.table for one in node.find_all(exp.Column)}
    if isinstance(inner, (exp.Min, exp.Max)) and alias not in read:
        return True  # of a row that stands for several
    plain = all(isinstance(one, _HARMLESS) for one in _values(node))
    return (
        isinstance(inner, (exp.Count, exp.Sum, exp.Min, exp.Max)) and read == {alias} and plain and _is_null(argument)
    )


def _values(node: exp.Expr) -> Iterator[exp.Expr]:
    """What an aggregate computes with."""
    inner = node.this if isinstance(node, exp.Filter) else node
    for part in (inner.this, node.expression.this if isinstance(node, exp.Filter) else None):
        if part is not None:
            yield from part.walk(prune=lambda one: isinstance(one, exp.Column))


def _is_null(node: exp.Expr) -> bool:
    """Whether a value is NULL where all columns are."""
    if isinstance(node, (exp.Column, exp.Null)):
        return True
    if isinstance(node, exp.Paren):
        return _is_null(node.this)
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        chosen = all(_is_unknown(one.this) or _is_null(one.args["true"]) for one in node.args["ifs"])
        return node.this is None and chosen and (default is None or _is_null(default))
    return False


def _is_unknown(node: exp.Expr) -> bool:
    """Whether a condition is NULL where all columns are."""
    if isinstance(node, COMPARISONS):
        return _is_null(node.this) or _is_null(node.expression)
    if isinstance(node, (exp.And, exp.Or)):
        return _is_unknown(node.this) and _is_unknown(node.expression)
    if isinstance(node, (exp.Not, exp.Paren)):
        return _is_unknown(node.this)
    if isinstance(node, (exp.Like, exp.In)):
        return _is_null(node.this)
    return isinstance(node, exp.Column)
