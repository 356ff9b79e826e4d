"""Ordered-set aggregates: `percentile_disc(0.5) WITHIN GROUP (ORDER BY x)` and the like, over a sorted list."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import enums
from flashql.planner.aggregate_call import Wrap
from flashql.planner.arithmetic import call
from flashql.planner.literals import FLOAT8, NUMERIC
from flashql.planner.parsing import PREFIX
from flashql.planner.relations import check_groupable, typed
from flashql.planner.scalars import FLOATS, INTEGERS, Scalar, as_double, cast, function, refuse
from flashql.planner.scopes import Scope
from flashql.planner.sorting import in_order
from flashql.planner.transpile import translate

_DOUBLE: Final = PgType(FLOAT8, -1, "double precision")


def ordered_set(node: exp.WithinGroup, scope: Scope, wrap: Wrap) -> Scalar:
    """The value of an ordered-set aggregate; `wrap` puts FILTER around DuckDB's aggregate."""
    order = node.expression.expressions
    if len(order) != 1:
        raise refuse(f"{node.sql('postgres')} over several columns")
    value = translate(order[0].this, scope)
    value = replace(value, node=typed(value), number=None, text=None)
    name = str(node.this.name).lower().removeprefix(PREFIX) if isinstance(node.this, exp.Anonymous) else node.this.key
    if name == "mode" and not node.this.expressions:
        return _mode(value, order[0], wrap)
    if name == "percentiledisc":
        return _discrete(value, order[0], _fraction(node.this.this, scope), wrap)
    if name == "percentilecont" and value.oid in {*FLOATS, *INTEGERS, NUMERIC}:
        double = as_double(value, "percentile_cont")
        listed = _sorted(double, order[0], wrap)
        return Scalar(cast(call("percentile_cont", listed, _fraction(node.this.this, scope)), "DOUBLE"), _DOUBLE)
    raise refuse(node.sql("postgres"))


def _sorted(value: Scalar, like: exp.Ordered, wrap: Wrap) -> exp.Expr:
    """DuckDB's sorted list of all that is not null; null of none."""
    item = in_order(value, like)
    listed = exp.Order(this=value.node.copy(), expressions=[item])
    known = exp.Not(this=exp.Paren(this=exp.Is(this=value.node.copy(), expression=exp.Null())))
    return wrap(exp.Filter(this=exp.ArrayAgg(this=listed), expression=exp.Where(this=known)))


def _discrete(value: Scalar, like: exp.Ordered, fraction: exp.Expr, wrap: Wrap) -> Scalar:
    """The first value that so large a part of all is at or before."""
    listed = _sorted(value, like, wrap)
    place = function("CEIL", exp.Mul(this=fraction, expression=function("LEN", listed.copy())))
    first = exp.Greatest(this=cast(place, "BIGINT"), expressions=[exp.Literal.number(1)], ignore_nulls=True)
    return replace(value, node=function("LIST_EXTRACT", listed, first))


def _mode(value: Scalar, like: exp.Ordered, wrap: Wrap) -> Scalar:
    """The most frequent value; of several the first in the order."""
    check_groupable(value, "mode")
    if enums.is_enum(value):
        raise refuse("mode of an enum", "Cast it to text.")
    in_order(value, like)
    counts = wrap(function("HISTOGRAM", value.node.copy()))
    name = "last_mode" if like.args.get("desc") else "first_mode"
    return replace(value, node=call(name, counts))


def _fraction(node: exp.Expr, scope: Scope) -> exp.Expr:
    """A constant from 0 to 1, as a double."""
    value = translate(node, scope)
    if value.number is None or not 0 <= float(value.number) <= 1:
        raise refuse(f"a percentile of {node.sql('postgres')}", "Write a constant from 0 to 1.")
    return as_double(value, "a percentile").node
