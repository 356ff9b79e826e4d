"""Window functions: partitions, orders and frames, written out in full; and the functions that only windows have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.literals import DATE, FLOAT8, INT4, INT8, JSONB, NUMERIC, TIMESTAMP, TIMESTAMPTZ
from flashql.planner.operators import key_of, unified
from flashql.planner.relations import check_groupable, typed
from flashql.planner.scalars import INTEGERS, Scalar, cast, interval, refuse
from flashql.planner.scopes import Scope, folded
from flashql.planner.sorting import ordered
from flashql.planner.transpile import translate

_RANKS: Final = {exp.RowNumber, exp.Rank, exp.DenseRank}
_FRACTIONS: Final = {exp.PercentRank, exp.CumeDist}
_PLACES: Final = {exp.FirstValue, exp.LastValue}
_SHIFTS: Final = {exp.Lag, exp.Lead}


def resolved(window: exp.Window, named: Mapping[str, exp.Window]) -> exp.Window:
    """The window with what it takes from a named one written out: partition and order; a frame only if used as is."""
    alias = window.args.get("alias")
    if alias is None:
        return window
    base = resolved(named[folded(alias)], named)
    found = window.copy()
    found.set("alias", None)
    for part in ("partition_by", "order", "spec"):
        if not found.args.get(part) and base.args.get(part):
            value = base.args[part]
            found.set(part, [one.copy() for one in value] if isinstance(value, list) else value.copy())
    return found


def specification(window: exp.Window, scope: Scope) -> exp.Window:
    """PARTITION BY, ORDER BY and frame, translated, of a window without its function."""
    partition = []
    for one in window.args.get("partition_by") or ():
        value = translate(one, scope)
        check_groupable(value, "PARTITION BY")
        partition.append(key_of(value) if value.oid == JSONB else typed(value))
    made = exp.Window(partition_by=partition, over="OVER")
    order = window.args.get("order")
    if order is not None:
        made.set("order", exp.Order(expressions=[ordered(one, scope) for one in order.expressions]))
    if window.args.get("spec") is not None:
        made.set("spec", _frame(window, scope))
    return made


def _frame(window: exp.Window, scope: Scope) -> exp.WindowSpec:
    """A frame whose offsets are constants: counts of rows or groups, or of RANGE what is added to the order's key."""
    spec: exp.WindowSpec = window.args["spec"].copy()
    for side in ("start", "end"):
        bound = spec.args.get(side)
        if not isinstance(bound, exp.Expr):
            continue
        if (spec.args.get("kind") or "").upper() == "RANGE":
            key = translate(window.args["order"].expressions[0].this, scope)
            spec.set(side, _distance(key, bound, translate(bound, scope)))
        elif not isinstance(bound, exp.Literal) or bound.is_string or not bound.name.isdigit():
            raise refuse(f"the frame {spec.sql('postgres')}", "Write constants.")
    return spec


def _distance(key: Scalar, written: exp.Expr, offset: Scalar) -> exp.Expr:
    """How far from the key of the current row those of a RANGE frame are at most, as a constant."""
    if key.oid in (DATE, TIMESTAMP, TIMESTAMPTZ):
        span = interval(offset.text, None) if offset.text is not None else offset
        apart = span.days_apart
        if apart is not None and min(apart) >= 0 and (key.oid != TIMESTAMPTZ or not any(apart[:2])):
            return span.node
    integers = key.oid in INTEGERS and (offset.number or "").isdigit()
    decimals = key.oid == NUMERIC and key.bounds is not None and offset.number is not None
    if (integers or decimals) and Decimal(offset.number or "-1") >= 0:
        return offset.node
    raise refuse(
        f"a frame of RANGE by {written.sql('postgres')} over {key.type.name}",
        "Offsets are constants, of integers, numeric(p,s), dates and timestamps.",
    )


def is_window_function(node: exp.Expr) -> bool:
    """Whether the node calls a function that only windows have."""
    return type(node) in {*_RANKS, *_FRACTIONS, *_PLACES, *_SHIFTS, exp.Ntile, exp.NthValue}


def window_function(node: exp.Expr, window: exp.Window, scope: Scope) -> Scalar:
    """The value of a function that only windows have, over a translated window."""

    def over(call: exp.Expr) -> exp.Expr:
        made = window.copy()
        made.set("this", call)
        return made

    kind = type(node)
    if kind in _RANKS:
        return Scalar(over(kind()), PgType(INT8, -1, "bigint"))
    if kind in _FRACTIONS:
        return Scalar(over(kind()), PgType(FLOAT8, -1, "double precision"))
    if kind is exp.Ntile:
        return Scalar(cast(over(exp.Ntile(this=_count(node.this))), "INTEGER"), PgType(INT4, -1, "integer"))
    if kind in _SHIFTS:
        return _shifted(node, over, scope)
    value = _plain(translate(node.this, scope))
    call = exp.NthValue(this=value.node, offset=_count(node.args["offset"])) if kind is exp.NthValue else None
    return replace(value, node=over(call or kind(this=value.node)))


def _shifted(node: exp.Expr, over: Callable[[exp.Expr], exp.Expr], scope: Scope) -> Scalar:
    value = _plain(translate(node.this, scope))
    offset = _count(node.args["offset"]) if node.args.get("offset") is not None else None
    default = node.args.get("default")
    made = type(node)(this=value.node, offset=offset)
    if default is not None:
        other = translate(default, scope)
        if other.oid != value.oid and other.number is None and not other.is_null and other.text is None:
            raise refuse(f"{node.key} with a default of another type")
        (first, second), model = unified([value, other], node.key)
        if value.oid == NUMERIC or model.oid == value.oid:
            made = type(node)(this=first.node, offset=offset or exp.Literal.number(1), default=second.node)
            value = model
        else:
            raise refuse(f"{node.key} with a default of another type")
    return replace(value, node=over(made))


def _plain(value: Scalar) -> Scalar:
    return replace(value, node=typed(value), number=None, text=None)


def _count(node: exp.Expr) -> exp.Expr:
    """A constant count of rows."""
    if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
        return node.copy()
    raise refuse(f"{node.sql('postgres')} as a number of rows", "Write a constant.")
