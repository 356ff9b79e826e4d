"""Aggregate functions of Postgres as DuckDB's, with Postgres's types and values.

What stands for the whole call in the translation is an expression over DuckDB aggregates, so that whoever keeps it by
deltas finds sums and counts in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.errors import NotSupported
from flashql.planner import composing, enums, floats, intervals, records
from flashql.planner.aggregate_call import Call, Wrap
from flashql.planner.arithmetic import arithmetic, average, sum_of, variance
from flashql.planner.arithmetic import call as macro
from flashql.planner.lists import array_of
from flashql.planner.literals import (
    BOOL,
    INT2,
    INT4,
    INT8,
    INTERVAL,
    MAX_PRECISION,
    NUMERIC,
    TEXT,
    UNKNOWN,
)
from flashql.planner.operators import check_comparable, key_of
from flashql.planner.parsing import PREFIX
from flashql.planner.relations import check_groupable, typed
from flashql.planner.scalars import (
    FLOATS,
    INTEGERS,
    TEXTS,
    Scalar,
    as_numeric,
    as_text,
    cast,
    function,
    operand,
    refuse,
)

_BIGINT: Final = PgType(INT8, -1, "bigint")
_BOOLEAN: Final = PgType(BOOL, -1, "boolean")
_NUMERIC: Final = PgType(NUMERIC, -1, "numeric")
_TEXT: Final = PgType(TEXT, -1, "text")
_ANY_ORDER: Final = "give the view WITH (float_aggregates = 'any_order'): right but for the last digits."


def aggregate(call: Call) -> Scalar:
    """The value of an aggregate; raises `NotSupported` for those that are not on the list."""
    rule = _RULES.get(call.name)
    if rule is None:
        raise refuse(f"the aggregate {call.name}")
    if call.distinct and any(enums.has_place(one) for one in call.order):
        raise refuse(f"{call.name} of DISTINCT values in the order of an enum", "Write SELECT DISTINCT in FROM.")
    if call.distinct and call.name == "count" and call.argument.oid == INTERVAL:
        call = replace(call, arguments=(intervals.key(call.argument),))
    if call.distinct and not (call.name in ("min", "max") and call.argument.oid == INTERVAL):
        if call.argument.fields is not None:
            return _count_of_rows(call)
        check_groupable(call.argument, "DISTINCT")
    return rule(call)


def is_aggregate(name: str) -> bool:
    """Whether a function of that name is an aggregate that is on the list."""
    return name in _RULES


def _count(call: Call) -> Scalar:
    if not call.arguments:
        return Scalar(call.wrap(exp.Count(this=exp.Star(), big_int=True)), _BIGINT)
    if len(call.arguments) > 1:
        raise refuse("count of several columns")
    if call.argument.fields is not None:
        there = exp.Case(ifs=[exp.If(this=call.argument.node, true=exp.Literal.number(1))])
        return Scalar(replace(call, distinct=False).made(exp.Count, Scalar(there, _BIGINT), big_int=True), _BIGINT)
    value = _settled(call.argument)
    counted = replace(value, node=key_of(value)) if call.distinct else value
    return Scalar(call.made(exp.Count, counted, big_int=True), _BIGINT)


def _count_of_rows(call: Call) -> Scalar:
    """`count(DISTINCT (a, b))`."""
    if call.name != "count":
        raise refuse("DISTINCT of whole rows", "Write SELECT DISTINCT as a subquery in FROM.")
    return Scalar(call.made(exp.Count, records.key(call.argument), big_int=True), _BIGINT)


def _sum(call: Call) -> Scalar:
    value = call.argument
    if _of_floats(call):
        return floats.total(call)
    if value.oid == INTERVAL:
        return Scalar(macro("interval_of", *_interval_sums(call)), intervals.TYPE)
    if value.oid in (INT2, INT4):
        return Scalar(cast(call.made(exp.Sum), "BIGINT"), _BIGINT)
    if value.oid == INT8:
        node = cast(call.made(exp.Sum), f"DECIMAL({MAX_PRECISION}, 0)")
        return Scalar(node, _NUMERIC, bounds=(MAX_PRECISION, 0), printed=True)
    if value.oid == NUMERIC and value.countable:
        if value.bounds is None:
            return Scalar(call.made(exp.Sum), _NUMERIC)
        # A numeric(p,s) column is a DECIMAL of that size, or text, of which DuckDB has no sum.
        return Scalar(call.made(exp.Sum), _NUMERIC, bounds=(MAX_PRECISION, value.bounds[1]), printed=value.printed)
    raise refuse(f"sum of {value.type.name}")


def _interval_sums(call: Call) -> list[exp.Expr]:
    """The sums of an interval's months, of its days, and of its microseconds."""
    span = call.argument.node
    parts = (
        macro("months_of", span),
        function("DATE_PART", exp.Literal.string("day"), span),
        macro("microseconds_of", span),
    )
    return [call.made(exp.Sum, Scalar(part, _BIGINT)) for part in parts]


def _avg(call: Call) -> Scalar:
    value = call.argument
    if _of_floats(call):
        return floats.mean(call)
    if value.oid == INTERVAL:  # interval_avg divides the sum as / does
        counted = exp.Nullif(this=call.made(exp.Count, big_int=True), expression=exp.Literal.number(0))
        return Scalar(macro("interval_parts_quotient", *_interval_sums(call), cast(counted, "DOUBLE")), intervals.TYPE)
    if value.oid not in {*INTEGERS, NUMERIC} or not value.countable:
        raise refuse(f"avg of {value.type.name}")
    number = as_numeric(value, "avg") if value.oid in INTEGERS else value
    total, count = call.made(exp.Sum), call.made(exp.Count, big_int=True)
    return average(total, count, number)


def _extreme(kind: type[exp.Expr]) -> Callable[[Call], Scalar]:
    def rule(call: Call) -> Scalar:
        value = _settled(call.argument)
        if value.oid == INTERVAL:
            of_key = exp.ArgMin if kind is exp.Min else exp.ArgMax
            node = replace(call, distinct=False).made(of_key, value, expression=macro("interval_key", value.node))
            return Scalar(node, intervals.TYPE)
        if enums.is_enum(value):
            (place,) = enums.places([value])
            return enums.labelled(replace(call, distinct=False).made(kind, place), value.type)
        check_comparable(value.type, [value], ordering=True)
        if value.oid in TEXTS:
            value = as_text(value)
        return replace(value, node=replace(call, distinct=False).made(kind, value), number=None, text=None)

    return rule


def _boolean(kind: type[exp.Expr]) -> Callable[[Call], Scalar]:
    def rule(call: Call) -> Scalar:
        if call.argument.oid not in (BOOL, UNKNOWN):
            raise refuse(f"{call.name} of {call.argument.type.name}")
        return Scalar(replace(call, distinct=False).made(kind), _BOOLEAN)

    return rule


def _string_agg(call: Call) -> Scalar:
    value, separator = (as_text(one) for one in call.arguments)
    if call.arguments[1].text is None:
        raise refuse("string_agg with a separator that is not a constant")
    node = _ordered(call, value).made(exp.GroupConcat, value, separator=separator.node)
    return Scalar(node, _TEXT, value.collation, value.explicit)


def _ordered(call: Call, value: Scalar) -> Call:
    """With an order that leaves nothing to chance: rows that the query leaves in any order are in that of the value."""
    last = exp.Ordered(this=value.node.copy(), nulls_first=False)
    order = call.order or call.window_order
    if value.node.find(exp.Column) is None or any(one.this == value.node for one in order):
        return replace(call, order=order)
    return replace(call, order=(*order, last))


def _of_floats(call: Call) -> bool:
    """Whether it is over floats; raises `NotSupported` unless the view takes their sums in any order."""
    if call.argument.oid in FLOATS and not call.floats_in_any_order:
        raise NotSupported(
            f"{call.name} of {call.argument.type.name} depends on the order in which Postgres happens to read rows",
            hint=f"Cast the argument to numeric(p,s), or {_ANY_ORDER}",
        )
    return call.argument.oid in FLOATS


def _settled(value: Scalar) -> Scalar:
    """An untyped constant as text, a number of exactly its type."""
    if value.oid == UNKNOWN and value.text is not None:
        return as_text(value)
    return replace(value, node=typed(value))


def _array_agg(call: Call) -> Scalar:
    value = _settled(call.argument)
    if call.place is not None:
        one = function("LIST_EXTRACT", _ordered(call, value).made(exp.ArrayAgg, value), exp.Literal.number(call.place))
        return replace(value, node=one)
    type_ = array_of(value.type)
    made = _ordered(call, value).made(exp.ArrayAgg, value)
    return Scalar(made, type_, value.collation)


def _document_array(call: Call) -> Scalar:
    type_ = composing.type_of(call.name)
    if call.distinct:
        return _distinct_array(call, type_)
    value = call.argument
    text = Scalar(composing.part(value, type_), _TEXT)
    lines = "jsonb" not in call.name and composing.is_structured(value)
    if lines:
        text = Scalar(composing.on_a_line(value, type_), _TEXT)
    whole = call.wrap
    if call.name.endswith("_strict"):
        call = replace(call, wrap=_only_where(call.wrap, composing.is_there(value)))
    listed = _ordered(call, text).made(exp.GroupConcat, text, separator=exp.Literal.string(", "))
    if lines:
        listed = macro("json_first_line", listed)
    found = composing.composed([exp.Literal.string("["), listed, exp.Literal.string("]")], type_)
    return found if whole is call.wrap else _where_rows(found, whole, "[]")


def _only_where(wrap: Wrap, test: exp.Expr) -> Wrap:
    return lambda inner: wrap(exp.Filter(this=inner, expression=exp.Where(this=test.copy())))


def _where_rows(found: Scalar, wrap: Wrap, empty: str) -> Scalar:
    """What is left out leaves an empty document, but of no rows there is none."""
    count = wrap(exp.Count(this=exp.Star(), big_int=True))
    some = exp.GT(this=count, expression=exp.Literal.number(0))
    full = exp.Coalesce(this=found.node, expressions=[cast(exp.Literal.string(empty), "JSON")])
    return replace(found, node=exp.Case(ifs=[exp.If(this=some, true=full)]))


def _distinct_array(call: Call, type_: PgType) -> Scalar:
    """Each value once, in their order, nulls last: so Postgres finds which are distinct."""
    value = _settled(call.argument)
    check_comparable(value.type, [value], ordering=True)
    array = array_of(value.type)
    listed = Scalar(_ordered(call, value).made(exp.ArrayAgg, value), array)
    return composing.composed([composing.elements(listed, type_)], type_)


def _document(call: Call) -> Scalar:
    """jsonb_object_agg: of several members of one name the last one; json_object_agg has them all."""
    if call.distinct:
        raise refuse(f"{call.name} of DISTINCT values", "Write SELECT DISTINCT as a subquery in FROM.")
    if call.name.endswith("_strict"):
        inner = replace(call, name=call.name.removesuffix("_strict"))
        inner = replace(inner, wrap=_only_where(call.wrap, composing.is_there(call.arguments[1])))
        return _where_rows(_document(inner), call.wrap, "{}" if "jsonb" in call.name else "{ }")
    key, value = call.arguments
    if "jsonb" not in call.name:
        member = Scalar(composing.member(key, value), _TEXT)
        listed = _ordered(call, member).made(exp.GroupConcat, member, separator=exp.Literal.string(", "))
        return composing.composed(
            [exp.Literal.string("{ "), listed, exp.Literal.string(" }")], composing.type_of(call.name)
        )
    name, text = (
        Scalar(one, _TEXT) for one in (composing.name_of(key), composing.part(value, composing.type_of(call.name)))
    )
    same = _ordered(_ordered(call, name), text)
    lists = [same.made(exp.ArrayAgg, one) for one in (name, text)]
    return Scalar(cast(macro("json_from_members", *lists), "JSON"), composing.type_of(call.name))


def _regr_count(call: Call) -> Scalar:
    """How many rows have both."""
    nulls = exp.or_(*(exp.Is(this=operand(one.node), expression=exp.Null()) for one in call.arguments), copy=True)
    known = exp.Case(ifs=[exp.If(this=exp.Not(this=exp.Paren(this=nulls)), true=exp.Literal.number(1))])
    return Scalar(call.made(exp.Count, Scalar(known, _BIGINT), big_int=True), _BIGINT)


def _of_order(call: Call) -> Scalar:
    """Sums in double precision (float8_regr_accum), which round otherwise in another order of rows."""
    if call.floats_in_any_order:
        return floats.of_pairs(call)
    raise NotSupported(
        f"{call.name} is computed in double precision, and depends on the order in which Postgres happens to read rows",
        hint=f"Write it out in sums and counts of numeric(p,s), or {_ANY_ORDER}",
    )


def _any_value(call: Call) -> Scalar:
    """The least by DuckDB's order, of those that Postgres may choose from."""
    value = _settled(call.argument)
    return replace(value, node=replace(call, distinct=False).made(exp.Min, value), number=None, text=None)


def _bits(kind: type[exp.Expr]) -> Callable[[Call], Scalar]:
    def rule(call: Call) -> Scalar:
        if call.argument.oid not in INTEGERS:
            raise refuse(f"{call.name} of {call.argument.type.name}")
        value = _settled(call.argument)
        return Scalar(replace(call, distinct=False).made(kind, value), value.type)

    return rule


def _variance(*, sample: bool, root: bool = False) -> Callable[[Call], Scalar]:
    """Of exact numbers (numeric_stddev_internal): (N * sum(x^2) - sum(x)^2) / (N * (N - 1)), or / N^2; or its root."""

    def rule(call: Call) -> Scalar:
        value = call.argument
        if _of_floats(call):
            return floats.deviation(call, sample=sample, root=root)
        if value.oid not in {*INTEGERS, NUMERIC} or (value.bounds is None and value.oid == NUMERIC):
            raise refuse(f"{call.name} of {value.type.name}", "Cast it to numeric(p,s).")
        number = as_numeric(value, call.name)
        total = sum_of(call.made(exp.Sum, number), number)
        squares = sum_of(call.made(exp.Sum, arithmetic(exp.Mul, number, number)), arithmetic(exp.Mul, number, number))
        return variance(call.made(exp.Count, big_int=True), total, squares, sample=sample, root=root)

    return rule


_RULES: Final[dict[str, Callable[[Call], Scalar]]] = {
    "count": _count,
    "sum": _sum,
    "avg": _avg,
    "min": _extreme(exp.Min),
    "max": _extreme(exp.Max),
    "bool_and": _boolean(exp.LogicalAnd),
    "every": _boolean(exp.LogicalAnd),
    "bool_or": _boolean(exp.LogicalOr),
    "string_agg": _string_agg,
    "array_agg": _array_agg,
    "jsonb_agg": _document_array,
    "json_agg": _document_array,
    **dict.fromkeys(("jsonb_agg_strict", "json_agg_strict"), _document_array),
    **dict.fromkeys(("jsonb_object_agg", "json_object_agg"), _document),
    **dict.fromkeys(("jsonb_object_agg_strict", "json_object_agg_strict"), _document),
    "regr_count": _regr_count,
    "any_value": _any_value,
    **dict.fromkeys(("corr", "covar_pop", "covar_samp"), _of_order),
    **dict.fromkeys(("regr_avgx", "regr_avgy", "regr_sxx", "regr_syy", "regr_sxy"), _of_order),
    **dict.fromkeys(("regr_slope", "regr_intercept", "regr_r2"), _of_order),
    "bit_and": _bits(exp.BitwiseAndAgg),
    "bit_or": _bits(exp.BitwiseOrAgg),
    "bit_xor": _bits(exp.BitwiseXorAgg),
    "variance": _variance(sample=True),
    "var_samp": _variance(sample=True),
    "var_pop": _variance(sample=False),
    "stddev": _variance(sample=True, root=True),
    "stddev_samp": _variance(sample=True, root=True),
    "stddev_pop": _variance(sample=False, root=True),
}

_NODES: Final[dict[type[exp.Expr], str]] = {
    exp.Count: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.LogicalAnd: "bool_and",
    exp.LogicalOr: "bool_or",
    exp.GroupConcat: "string_agg",
    exp.ArrayAgg: "array_agg",
}


def aggregate_name(node: exp.Expr) -> str | None:
    """The name of the aggregate that a node calls; None when it calls none."""
    if isinstance(node, exp.Anonymous):
        name = str(node.name).lower().removeprefix(PREFIX)
        return name if is_aggregate(name) else None
    return _NODES.get(type(node)) or (node.key if isinstance(node, exp.AggFunc) else None)


def pieces(node: exp.Expr) -> tuple[list[exp.Expr], bool, Sequence[exp.Expr]]:
    """An aggregate's arguments as written, whether DISTINCT, and its ORDER BY."""
    if isinstance(node, exp.Anonymous):
        first, *more = node.expressions or [exp.Star()]
    else:
        first, more = node.this, list(node.expressions)
        if isinstance(node, exp.GroupConcat) and node.args.get("separator") is not None:
            more.append(node.args["separator"])
    order: Sequence[exp.Expr] = ()
    distinct = False
    if more and isinstance(more[-1], exp.Order):
        order, more[-1] = more[-1].expressions, more[-1].this
    if isinstance(first, exp.Order):
        order, first = first.expressions, first.this
    if isinstance(first, exp.Distinct):
        distinct = True
        first, *rest = first.expressions
        more = [*rest, *more]
    return ([] if isinstance(first, exp.Star) else [first, *more]), distinct, order
