"""Aggregates over real and double precision, for views that have asked for them with `float_aggregates = 'any_order'`.

Postgres adds floats in the order in which it happens to read rows, and rounds at each step: the same query over the
same rows may end in other digits. Here rows are added in the order of their values, so that the same rows give the same
digits, whatever was changed in between; they differ from Postgres's by rounding alone. What is not finite, what is
null, and what of few rows has no value follows float8_accum and float8_regr_accum (float.c).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.aggregate_call import Call
from flashql.planner.arithmetic import call as macro
from flashql.planner.literals import FLOAT4, FLOAT8
from flashql.planner.scalars import Scalar, as_double, cast, function, operand, refuse

_DOUBLE: Final = PgType(FLOAT8, -1, "double precision")


def total(call: Call) -> Scalar:
    """The sum; of reals a real."""
    node = _total(call, as_double(call.argument, call.name))
    if call.argument.oid == FLOAT4:
        return Scalar(cast(node, "REAL"), call.argument.type)
    return Scalar(node, _DOUBLE)


def mean(call: Call) -> Scalar:
    """The sum over the count."""
    value = as_double(call.argument, call.name)
    return Scalar(macro("float_mean", _total(call, value), _count(call, value)), _DOUBLE)


def deviation(call: Call, *, sample: bool, root: bool) -> Scalar:
    """Variance, or its root: null of too few rows, NaN where a value is not finite."""
    value = as_double(call.argument, call.name)
    spread = macro("float_variance", _squares(call, value), _count(call, value), exp.Literal.number(int(sample)))
    return Scalar(function("SQRT", spread) if root else spread, _DOUBLE)


def of_pairs(call: Call) -> Scalar:
    """Covariance, correlation and regression of y (the first argument) on x, over rows where both are known."""
    if call.distinct or len(call.arguments) != 2:
        raise refuse(f"{call.name} of DISTINCT values")
    y, x = (as_double(one, call.name) for one in call.arguments)
    name, parts = _OF_PAIRS[call.name]
    made = [_PARTS[part](call, _with(y, x), _with(x, y)) for part in parts]
    return Scalar(macro(name, *made) if name else made[0], _DOUBLE)


def _total(call: Call, value: Scalar) -> exp.Expr:
    return macro("float_sum", _in_order(call, value).made(exp.Sum, value), _count_if(call, "ISINF", value))


def _squares(call: Call, value: Scalar) -> exp.Expr:
    """The sum of squares of how far the values are from their mean."""
    finite = _finite(value, value)
    spread = _in_order(call, finite).made(exp.VariancePop, finite)
    return macro("float_squares", spread, _count(call, value), _count_if(call, "ISFINITE", value, negate=True))


def _products(call: Call, y: Scalar, x: Scalar) -> exp.Expr:
    """The sum of products of how far both are from their means."""
    one, other = _finite(y, x), _finite(x, y)
    order = [exp.Ordered(this=part.node.copy(), nulls_first=False) for part in (one, other)]
    spread = call.wrap(exp.CovarPop(this=one.node, expression=exp.Order(this=other.node, expressions=order)))
    odd = Scalar(exp.Add(this=operand(y.node.copy()), expression=operand(x.node.copy())), _DOUBLE)
    return macro("float_squares", spread, _count(call, y), _count_if(call, "ISFINITE", odd, negate=True))


def _in_order(call: Call, value: Scalar) -> Call:
    """Rows in the order of the values: the digits are those of no other."""
    constant = value.node.find(exp.Column) is None
    return replace(call, order=() if constant else (exp.Ordered(this=value.node.copy(), nulls_first=False),))


def _count(call: Call, value: Scalar) -> exp.Expr:
    return replace(call, order=()).made(exp.Count, value, big_int=True)


def _count_if(call: Call, test: str, value: Scalar, *, negate: bool = False) -> exp.Expr:
    tested: exp.Expr = function(test, value.node.copy())
    one = exp.If(this=exp.Not(this=tested) if negate else tested, true=exp.Literal.number(1))
    return replace(call, order=(), distinct=False).made(exp.Count, Scalar(exp.Case(ifs=[one]), _DOUBLE), big_int=True)


def _with(value: Scalar, other: Scalar) -> Scalar:
    """The value, null where the other is."""
    there = exp.Not(this=exp.Paren(this=exp.Is(this=operand(other.node.copy()), expression=exp.Null())))
    return Scalar(exp.Case(ifs=[exp.If(this=there, true=value.node.copy())]), _DOUBLE)


def _finite(value: Scalar, other: Scalar) -> Scalar:
    """The value, null unless both are finite."""
    tests = exp.and_(*{one.node.sql(): function("ISFINITE", one.node.copy()) for one in (value, other)}.values())
    return Scalar(exp.Case(ifs=[exp.If(this=tests, true=value.node.copy())]), _DOUBLE)


_PARTS: Final[dict[str, Callable[[Call, Scalar, Scalar], exp.Expr]]] = {
    "n": lambda call, y, _: _count(call, y),
    "sx": lambda call, _, x: _total(call, x),
    "sy": lambda call, y, _: _total(call, y),
    "sxx": lambda call, _, x: _squares(call, x),
    "syy": lambda call, y, _: _squares(call, y),
    "sxy": _products,
    "all": lambda *_: exp.Literal.number(0),
    "sample": lambda *_: exp.Literal.number(1),
}
# By aggregate: the macro that makes its value, and what of.
_OF_PAIRS: Final[dict[str, tuple[str | None, Sequence[str]]]] = {
    "covar_pop": ("float_variance", ("sxy", "n", "all")),
    "covar_samp": ("float_variance", ("sxy", "n", "sample")),
    "corr": ("float_corr", ("sxx", "syy", "sxy")),
    "regr_avgx": ("float_mean", ("sx", "n")),
    "regr_avgy": ("float_mean", ("sy", "n")),
    "regr_sxx": (None, ("sxx",)),
    "regr_syy": (None, ("syy",)),
    "regr_sxy": (None, ("sxy",)),
    "regr_slope": ("float_slope", ("sxx", "sxy")),
    "regr_intercept": ("float_intercept", ("n", "sx", "sy", "sxx", "sxy")),
    "regr_r2": ("float_r2", ("sxx", "syy", "sxy")),
}
