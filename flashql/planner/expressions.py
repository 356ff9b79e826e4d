"""Expressions of one query level: columns, and what is beyond one row: subqueries, aggregates, window functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlglot import exp

from flashql.datatypes import PgType, ladder
from flashql.errors import NotSupported
from flashql.planner import records, windows
from flashql.planner.aggregate_call import Call, Wrap
from flashql.planner.aggregates import aggregate, aggregate_name, pieces
from flashql.planner.blocks import stands_alone
from flashql.planner.collations import Locale
from flashql.planner.literals import BOOL, INT4
from flashql.planner.operators import compared
from flashql.planner.ordered_sets import ordered_set
from flashql.planner.parsing import PREFIX
from flashql.planner.relations import Relation, typed
from flashql.planner.scalars import Scalar, cast, operand, refuse
from flashql.planner.scopes import Level, derived_source, folded, settled
from flashql.planner.set_functions import called_name
from flashql.planner.sorting import ordered
from flashql.planner.sources import Queries
from flashql.planner.transpile import condition, translate

_BOOLEAN: Final = PgType(BOOL, -1, "boolean")
_TAIL: Final = ("order", "limit", "offset")
_QUANTIFIED: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


@dataclass
class Expressions:
    """What an expression at a level can see."""

    level: Level
    queries: Queries
    windows: dict[str, exp.Window] = field(default_factory=dict)
    keys: set[exp.Expr] = field(default_factory=set)  # expressions among the group keys

    @property
    def locale(self) -> Locale:
        """The origin's collations."""
        return self.queries.locale

    def name_windows(self, defined: Iterable[exp.Window]) -> None:
        """The WINDOW clause."""
        for window in defined:
            self.windows[folded(window.this)] = window

    def name_keys(self, select: exp.Select) -> None:
        """The GROUP BY clause: what is a key is spelled as the key is, wherever it stands, for so DuckDB knows it."""
        group = select.args.get("group")
        for key in group.expressions if group is not None else ():
            found = key
            if isinstance(key, exp.Literal) and not key.is_string:
                found = select.expressions[int(key.name) - 1].unalias()
            elif isinstance(key, exp.Column) and not key.table:
                found = next((one.this for one in select.expressions if one.alias == key.name), key)
            if not isinstance(found, (exp.Column, exp.Literal)):
                self.keys.add(found.unnest())

    def column(self, node: exp.Column) -> Scalar:
        """The value of a column; raises `UnknownName`."""
        return self.level.column(node)

    def row(self, node: exp.Column) -> Scalar | None:
        """The whole row that a name means; None for a column."""
        return self.level.row(node)

    def beyond(self, node: exp.Expr) -> Scalar | None:
        """A subquery, an aggregate, a window function or an expression to group by; None for anything else."""
        if node in self.keys:
            value = settled(translate(node, replace(self, keys=set())))
            return replace(value, node=typed(value))
        return self._beyond(node)

    def _beyond(self, node: exp.Expr) -> Scalar | None:
        for kind, rule in _RULES.items():
            if isinstance(node, kind):
                return rule(self, node)
        if isinstance(node, exp.Array) and len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Query):
            return self._array(node.expressions[0])
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            return self._in(node)
        if isinstance(node, _QUANTIFIED) and isinstance(node.expression, (exp.Any, exp.All)):
            return self._quantified(node)
        return self._aggregate(node, lambda call: call) if aggregate_name(node) else None

    # -- aggregates and window functions

    def _element(self, node: exp.Bracket) -> Scalar | None:
        """`(array_agg(x ORDER BY y))[1]`, whose elements may be of types that no array here has; None for others."""
        listed, place = node.this.unnest(), node.expressions[0]
        call = listed.this if isinstance(listed, exp.Filter) else listed
        if not isinstance(call, exp.ArrayAgg) or not isinstance(place, exp.Literal) or place.is_string:
            return None
        at = int(place.name) + 1  # sqlglot counts from 0
        if len(node.expressions) > 1 or at < 1:
            return None
        if isinstance(listed, exp.Filter):
            return self._filtered(listed, lambda call: call, place=at)
        return self._aggregate(call, lambda call: call, place=at)

    def _aggregate(
        self, node: exp.Expr, wrap: Wrap, window: exp.Window | None = None, place: int | None = None
    ) -> Scalar:
        name = aggregate_name(node)
        if name is None:
            called = str(node.name) if isinstance(node, exp.Anonymous) else node.key
            raise refuse(f"the aggregate {called.lower().removeprefix(PREFIX)}")
        written, distinct, order = pieces(node)
        here, outside = self.level.read_here, self.level.read_outside
        arguments = tuple(records.arguments(name, written, self, translate))
        sorted_by = tuple(ordered(one, self) for one in order)
        if self.level.read_here == here and self.level.read_outside > outside:
            raise refuse(f"{node.sql('postgres')} over columns of an outer query alone")
        over = window.args.get("order") if window is not None else None
        window_order = tuple(over.expressions) if over is not None else ()
        floats = self.level.reads.floats_in_any_order
        return aggregate(Call(name, arguments, distinct, sorted_by, wrap, window_order, floats, place))

    def _filtered(
        self, node: exp.Filter, wrap: Wrap, window: exp.Window | None = None, place: int | None = None
    ) -> Scalar:
        test = condition(node.expression.this, self)

        def filtered(call: exp.Expr) -> exp.Expr:
            if isinstance(call, exp.Filter):  # of its own, beside the query's
                both = exp.and_(call.expression.this, test.copy(), copy=False)
                return wrap(exp.Filter(this=call.this, expression=exp.Where(this=both)))
            return wrap(exp.Filter(this=call, expression=exp.Where(this=test.copy())))

        if isinstance(node.this, exp.WithinGroup):
            return ordered_set(node.this, self, filtered)
        return self._aggregate(node.this, filtered, window, place)

    def _window(self, node: exp.Window) -> Scalar:
        window = windows.specification(windows.resolved(node, self.windows), self)
        call = node.this
        if isinstance(call, (exp.IgnoreNulls, exp.RespectNulls)):
            raise refuse(node.sql("postgres"))
        if windows.is_window_function(call):
            return windows.window_function(call, window, self)

        def over(inner: exp.Expr) -> exp.Expr:
            made = window.copy()
            made.set("this", inner)
            return made

        if isinstance(call, exp.Filter):
            return self._filtered(call, over, window)
        if aggregate_name(call) is None:
            raise refuse(node.sql("postgres"))
        return self._aggregate(call, over, window)

    def _grouping(self, node: exp.Grouping) -> Scalar:
        keys = [typed(translate(one, self)) for one in node.expressions]
        return Scalar(cast(exp.Grouping(expressions=keys), "INTEGER"), PgType(INT4, -1, "integer"))

    # -- subqueries

    def _subquery(self, node: exp.Expr) -> Relation:
        query = node
        while isinstance(query, exp.Subquery) and not any(
            query.args.get(part) for part in ("order", "limit", "offset")
        ):
            query = query.this
        return self.queries.query(query, self.level, self.level)

    def _scalar(self, node: exp.Subquery) -> Scalar:
        relation = self._subquery(node).settled()
        if len(relation.outputs) != 1:
            raise refuse("a subquery of several columns as a value")
        value = relation.outputs[0].value
        return Scalar(
            exp.Subquery(this=relation.tree),
            value.type,
            value.collation,
            bounds=value.bounds,
            printed=value.printed,
            countable=value.countable,
        )

    def _array(self, query: exp.Query) -> Scalar:
        """`ARRAY(SELECT x ... ORDER BY y)` as an aggregate of the same rows; of none it is empty."""
        clauses = ("group", "having", "distinct", "limit", "offset", "windows", "with_")
        only = isinstance(query, exp.Select) and len(query.expressions) == 1
        if not only or any(query.args.get(clause) for clause in clauses) or is_many(query.expressions[0]):
            raise refuse(f"ARRAY({query.sql('postgres')})", "Write SELECT x FROM (...) AS q ORDER BY y in it.")
        select = query.copy()
        order = select.args.pop("order", None)
        item = select.expressions[0].unalias().copy()
        listed = exp.Order(this=item, expressions=order.expressions) if order is not None else item
        select.set("expressions", [exp.ArrayAgg(this=listed)])
        found = self._scalar(exp.Subquery(this=select))
        empty = cast(exp.Array(expressions=[]), ladder(found.type)[0].name)
        return replace(found, node=exp.Coalesce(this=found.node, expressions=[empty]))

    def _exists(self, node: exp.Exists) -> Scalar:
        query, limit = node.this.copy(), node.this.args.get("limit")
        some = (
            isinstance(limit, exp.Limit) and isinstance(limit.expression, exp.Literal) and limit.expression.name != "0"
        )
        if some and not query.args.get("offset"):
            query.set("limit", None)  # there is a row, or there is none
        if isinstance(query, exp.Select) and not query.expressions:
            query.set("expressions", [exp.Literal.number(1)])  # EXISTS (SELECT FROM t)
        return Scalar(exp.Exists(this=self._subquery(query).tree), _BOOLEAN)

    def _in(self, node: exp.In) -> Scalar:
        odd = [name for name, value in node.args.items() if value and name not in ("this", "query")]
        if odd:
            raise refuse(node.sql("postgres"))
        if isinstance(node.this, exp.Tuple):
            return self._compared_with_rows(node, node.this.expressions, node.args["query"])
        relation, left, _ = self._against(node.this, node.args["query"], exp.EQ)
        if _confuses(relation.tree):
            return self._compared_with_rows(node, [node.this], node.args["query"])
        return Scalar(exp.In(this=operand(left.node), query=exp.Subquery(this=relation.tree)), _BOOLEAN)

    def _compared_with_rows(
        self,
        node: exp.Expr,
        left: Sequence[exp.Expr],
        query: exp.Expr,
        kind: type[exp.Expr] = exp.EQ,
        *,
        with_all: bool = False,
    ) -> Scalar:
        """`(a, b) IN (SELECT ...)`, `a < ALL (SELECT ...)`: whether there is a row that decides it, or might."""
        values = [translate(one, self) for one in left]

        def exists(test: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
            relation = self._subquery(query).settled()
            alias = self.level.names.unique("members")
            source = derived_source(relation.outputs, "", alias, ())
            sides = zip(values, source.columns, strict=True)
            same = exp.and_(*(compared(kind, [one, other.value]).node for one, other in sides), copy=True)
            inner = exp.Subquery(this=relation.tree, alias=exp.TableAlias(this=exp.to_identifier(alias, True)))
            select = exp.Select(expressions=[exp.Literal.number(1)], where=exp.Where(this=test(same)))
            select.set("from_", exp.From(this=inner))
            return exp.Exists(this=select)

        found = exists(lambda same: exp.Not(this=exp.Paren(this=same)) if with_all else same)
        if _only_filters(node) and not with_all:
            return Scalar(found, _BOOLEAN)
        unknown = exists(lambda same: exp.Is(this=exp.Paren(this=same), expression=exp.Null()))
        ifs = [exp.If(this=found, true=exp.false() if with_all else exp.true())]
        ifs.append(exp.If(this=unknown, true=cast(exp.Null(), "BOOLEAN")))
        return Scalar(exp.Case(ifs=ifs, default=exp.true() if with_all else exp.false()), _BOOLEAN)

    def _quantified(self, node: exp.Binary) -> Scalar | None:
        quantifier = node.expression
        inner = quantifier.this
        if not isinstance(inner, exp.Query):
            return None
        kind = type(node)
        relation, left, _ = self._against(node.this, inner, kind)
        if _confuses(relation.tree):
            with_all = isinstance(quantifier, exp.All)
            return self._compared_with_rows(node, [node.this], inner, kind, with_all=with_all)
        made = type(quantifier)(this=exp.Subquery(this=relation.tree))
        return Scalar(kind(this=operand(left.node), expression=made), _BOOLEAN)

    def _against(self, left: exp.Expr, query: exp.Expr, kind: type[exp.Expr]) -> tuple[Relation, Scalar, Scalar]:
        """A value and a subquery's one column, both of the type in which Postgres compares them."""
        value, relation = translate(left, self), self._subquery(query)
        if len(relation.outputs) != 1:
            raise NotSupported("a subquery of several columns is compared with one value")
        test = compared(kind, [value, relation.slot(0)], apart=True).node
        ready, other = _bare(test.this), _bare(test.expression)
        right = Scalar(other, relation.outputs[0].value.type)
        return relation.retyped(0, right), Scalar(ready, value.type), right


def is_many(node: exp.Expr) -> bool:
    """Whether what is shown is computed from many rows, or is many rows itself."""
    return any(
        isinstance(one, exp.Window) or aggregate_name(one) or called_name(one)
        for one in node.find_all(exp.Func, exp.Window)
    )


def _confuses(query: exp.Query) -> bool:
    """Whether DuckDB 2.0 may take no row for an unknown one when a value is looked for among the rows of this query.

    It does where the query looks at rows around it and is more than tables that are joined and filtered: `x IN (SELECT
    ... WHERE a = outer.b AND c > (SELECT ... LIMIT 1))` is null, not false, where there is none such.
    """
    kinds = (exp.Subquery, exp.SetOperation, exp.Limit, exp.Offset, exp.Distinct, exp.Group, exp.Window, exp.AggFunc)
    return query.find(*kinds) is not None and not stands_alone(query)


def _only_filters(node: exp.Expr) -> bool:
    """Whether all that counts is for which rows the condition is true."""
    parent = node.parent
    while isinstance(parent, (exp.And, exp.Paren)):
        parent = parent.parent
    return isinstance(parent, (exp.Where, exp.Having))


def _bare(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Paren) else node


_RULES: Final[dict[type[exp.Expr], Callable[[Expressions, Any], Scalar | None]]] = {
    exp.Window: Expressions._window,
    exp.Filter: lambda here, node: here._filtered(node, lambda call: call),
    exp.WithinGroup: lambda here, node: ordered_set(node, here, lambda call: call),
    exp.Bracket: Expressions._element,
    exp.Grouping: Expressions._grouping,
    exp.Exists: Expressions._exists,
    exp.Subquery: Expressions._scalar,
}
