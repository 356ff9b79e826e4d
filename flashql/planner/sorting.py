"""ORDER BY, LIMIT, OFFSET, DISTINCT and DISTINCT ON: which rows a query returns, for order itself is not kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from flashql.errors import NotSupported
from flashql.planner import enums, intervals
from flashql.planner.literals import BPCHAR, INTERVAL, JSONB, UNKNOWN
from flashql.planner.operators import check_comparable, key_of
from flashql.planner.relations import Relation, check_groupable, item, typed
from flashql.planner.scalars import Scalar, as_text, cast, coerce, refuse
from flashql.planner.scopes import Level, Output, Scope, derived_source, folded, local_names, reference
from flashql.planner.transpile import translate

_CUTS = ("limit", "offset")


@dataclass
class Sorting:
    """The end of a query, at its level."""

    level: Level
    scope: Scope

    def of_select(self, node: exp.Select, relation: Relation) -> None:
        """DISTINCT, ORDER BY and LIMIT of a SELECT, put into its translation."""
        distinct = node.args.get("distinct")
        keys = list(distinct.args["on"].expressions) if distinct is not None and distinct.args.get("on") else []
        if distinct is not None:
            relation.tree.set("distinct", self._distinct(keys, relation) if keys else exp.Distinct())
            if not keys:
                self._check_distinct(relation)
                if any(output.value.oid == JSONB for output in relation.outputs):
                    distinct_documents(relation)
        if with_ties(node):
            return
        if keys or _cut(node):
            self._order(node, relation)
        self._cut(node, relation)

    def of_whole(self, node: exp.Expr, relation: Relation) -> Relation:
        """ORDER BY and LIMIT of a set operation, VALUES or parentheses: names and places of columns only."""
        if not _cut(node):
            return relation
        if with_ties(node):
            return self.tied(node, relation)
        if any(relation.tree.args.get(part) for part in ("order", *_CUTS)):
            raise refuse("LIMIT of what has a LIMIT of its own", "Write it as a subquery in FROM.")
        self._order(node, relation)
        self._cut(node, relation)
        return relation

    def tied(self, node: exp.Expr, relation: Relation) -> Relation:
        """FETCH FIRST n ROWS WITH TIES: those whose rank is n at most; `relation` is the query without that clause."""
        distinct = node.args.get("distinct") if isinstance(node, exp.Select) else None
        if node.args.get("offset") is not None or (distinct is not None and distinct.args.get("on")):
            raise refuse("WITH TIES beside OFFSET or DISTINCT ON")
        places = [self._place(one.this, relation) for one in node.args["order"].expressions]
        over_windows = any(relation.outputs[at].value.node.find(exp.Window) for at in places if at is not None)
        if over_windows and None in places:
            raise refuse("WITH TIES by a window function and what is not shown", "Show what it is ordered by.")
        if distinct is not None or not isinstance(node, exp.Select) or over_windows:
            relation = self._enclosed(relation)
        items = []
        for one in node.args["order"].expressions:
            place = self._place(one.this, relation)
            items.append(ordered(one, self.scope) if place is None else in_order(relation.outputs[place].value, one))
            if place is not None:
                self.level.reads.add(relation.outputs[place].bases, computed=True)
        rank = local_names([*relation.outputs, Output("place", relation.outputs[0].value)])[-1]
        ranking = exp.Window(this=exp.Rank(), order=exp.Order(expressions=items), over="OVER")
        relation.tree.append("expressions", exp.alias_(ranking, rank, quoted=True))
        made = self._enclosed(relation)
        test = exp.LTE(this=reference(_alias_of(made.tree), rank), expression=_count(_fetched(node)))
        made.tree.set("where", exp.Where(this=test))
        return made

    def distinct_union(self, relation: Relation) -> Relation:
        """DISTINCT of the rows of UNION ALL, where they have jsonb."""
        made = self._enclosed(relation)
        distinct_documents(made)
        return made

    def _enclosed(self, relation: Relation) -> Relation:
        """The relation as a subquery in FROM."""
        alias = self.level.names.unique("ordered")
        columns = derived_source(relation.outputs, "", alias, ()).columns
        names = local_names(relation.outputs)
        select = exp.Select(expressions=[item(one, name) for one, name in zip(columns, names, strict=True)])
        inner = exp.Subquery(this=relation.tree, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        select.set("from_", exp.From(this=inner))
        return Relation(select, columns)

    def _distinct(self, keys: Sequence[exp.Expr], relation: Relation) -> exp.Distinct:
        values = []
        for key in keys:
            place = self._place(key, relation)
            value = relation.outputs[place].value if place is not None else translate(key, self.scope)
            check_groupable(value, "DISTINCT ON")
            values.append(key_of(value) if value.oid == JSONB else typed(value))
            if place is not None:
                self.level.reads.add(relation.outputs[place].bases, computed=True)
        return exp.Distinct(on=exp.Tuple(expressions=values))

    def _check_distinct(self, relation: Relation) -> None:
        for output in relation.outputs:
            check_groupable(output.value, "DISTINCT")
            self.level.reads.add(output.bases, computed=True)

    def _order(self, node: exp.Expr, relation: Relation) -> None:
        """What is asked for, then every other column: so that equal rows alone are left to chance."""
        order = node.args.get("order")
        items, places = [], set()
        for one in order.expressions if order is not None else ():
            place = self._place(one.this, relation)
            if place is None:
                items.append(ordered(one, self.scope))
                continue
            places.add(place)
            item_ = in_order(relation.outputs[place].value, one)  # also for what it refuses
            self.level.reads.add(relation.outputs[place].bases, computed=True)
            if not enums.is_enum(relation.outputs[place].value):
                item_ = _by_place(place, one)
            elif _is_distinct(relation.tree):
                raise refuse("the order of an enum beside DISTINCT or UNION", "Write these as a subquery in FROM.")
            items.append(item_)
        if order is None and not _takes_nothing(node):
            raise NotSupported(
                "LIMIT without ORDER BY leaves to chance which rows there are", hint="Add an ORDER BY to the query."
            )
        rest = (place for place in range(len(relation.outputs)) if place not in places)
        items.extend(_by_place(place, exp.Ordered(nulls_first=False)) for place in rest)
        relation.tree.set("order", exp.Order(expressions=items))

    def _place(self, node: exp.Expr, relation: Relation) -> int | None:
        """Which column of the result an item of ORDER BY names, by place or by name; None for an expression."""
        if isinstance(node, exp.Literal) and not node.is_string:
            return int(node.name) - 1
        if isinstance(node, exp.Column) and not node.table and isinstance(node.this, exp.Identifier):
            name = folded(node.this)
            for at, output in enumerate(relation.outputs):
                if output.name == name:
                    return at
        return None

    def _cut(self, node: exp.Expr, relation: Relation) -> None:
        limit, offset = node.args.get("limit"), node.args.get("offset")
        if isinstance(limit, exp.Fetch):
            relation.tree.set("limit", exp.Limit(expression=_count(_fetched(node))))
        elif limit is not None and not _is_all(limit.expression):
            relation.tree.set("limit", exp.Limit(expression=_count(limit.expression)))
        if offset is not None and not _is_all(offset.expression):
            relation.tree.set("offset", exp.Offset(expression=_count(offset.expression)))


def distinct_documents(relation: Relation) -> None:
    """DISTINCT of rows with jsonb: of those that are equal the first as text."""
    values = [output.value for output in relation.outputs]
    keys = [key_of(one) if one.oid == JSONB else typed(one) for one in values if one.number is None]
    relation.tree.set("distinct", exp.Distinct(on=exp.Tuple(expressions=[key.copy() for key in keys])))
    places = [_by_place(at, exp.Ordered(nulls_first=False)) for at in range(len(values))]
    relation.tree.set("order", exp.Order(expressions=places))


def with_ties(node: exp.Expr) -> bool:
    """Whether rows that tie with the last one are there too."""
    limit = node.args.get("limit")
    options = limit.args.get("limit_options") if isinstance(limit, exp.Fetch) else None
    return options is not None and bool(options.args.get("with_ties"))


def _fetched(node: exp.Expr) -> exp.Expr:
    found = node.args["limit"].args.get("count")
    return found if isinstance(found, exp.Expr) else exp.Literal.number(1)


def _alias_of(select: exp.Expr) -> str:
    return str(select.args["from_"].this.alias)


def _by_place(place: int, like: exp.Ordered) -> exp.Ordered:
    return exp.Ordered(
        this=exp.Literal.number(place + 1),
        desc=bool(like.args.get("desc")),
        nulls_first=bool(like.args.get("nulls_first")),
    )


def _cut(node: exp.Expr) -> bool:
    """Whether LIMIT or OFFSET leaves rows out."""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    limits = limit is not None and (isinstance(limit, exp.Fetch) or not _is_all(limit.expression))
    return limits or (offset is not None and not _is_all(offset.expression))


def _is_distinct(tree: exp.Expr) -> bool:
    """Whether rows are ordered by columns of the result alone: of DISTINCT (not ON), UNION, VALUES."""
    distinct = tree.args.get("distinct")
    return not isinstance(tree, exp.Select) or (distinct is not None and not distinct.args.get("on"))


def _takes_nothing(node: exp.Expr) -> bool:
    limit = node.args.get("limit")
    return isinstance(limit, exp.Limit) and isinstance(limit.expression, exp.Literal) and limit.expression.name == "0"


def _is_all(count: exp.Expr) -> bool:
    return isinstance(count, exp.Null) or (isinstance(count, (exp.Var, exp.Column)) and count.name.upper() == "ALL")


def _count(node: exp.Expr) -> exp.Expr:
    """A constant number of rows; Postgres takes it for a bigint."""
    bare = node.unnest()
    if isinstance(bare, exp.Cast) and bare.to.this in (exp.DType.INT, exp.DType.BIGINT, exp.DType.SMALLINT):
        return _count(bare.this)
    if isinstance(bare, exp.Literal) and bare.name.isdigit():
        return exp.Literal.number(bare.name)
    if isinstance(bare, (exp.Add, exp.Sub, exp.Mul)):
        left, right = (int(_count(side).name) for side in (bare.this, bare.expression))
        number = {exp.Add: left + right, exp.Sub: left - right, exp.Mul: left * right}[type(bare)]
        if number >= 0:
            return exp.Literal.number(number)
    raise refuse(f"{node.sql('postgres')} as a number of rows", "Write a constant.")


def ordered(node: exp.Expr, scope: Scope) -> exp.Ordered:
    """An item of an ORDER BY, where nulls go written out; raises `NotSupported` for orders that differ."""
    assert isinstance(node, exp.Ordered)
    return in_order(translate(node.this, scope), node)


def in_order(value: Scalar, node: exp.Ordered) -> exp.Ordered:
    """The value as an item of an ORDER BY with the direction and place of nulls of `node`."""
    if node.args.get("with_fill"):
        raise refuse(node.sql("postgres"))
    if value.oid == UNKNOWN:
        value = as_text(value) if value.text is not None else value
    if value.oid == INTERVAL:
        value = intervals.key(value)
    if enums.is_enum(value):
        (value,) = enums.places([value])
    check_comparable(value.type, [value], ordering=not value.is_null)
    if value.type.element is not None:
        value = coerce(value, value.type, "ORDER BY")
    key = as_text(value).node if value.oid == BPCHAR else typed(value)  # as it would be spelled in GROUP BY
    if isinstance(key, (exp.Literal, exp.Neg)):
        key = cast(key, "BIGINT") if not key.is_string else cast(key, "TEXT")  # a number would be a column's place
    return exp.Ordered(this=key, desc=bool(node.args.get("desc")), nulls_first=bool(node.args.get("nulls_first")))
