"""Values bound to a statement's parameters, as constants in the copy of an expression that is pushed down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlglot import exp

from flashql.errors import NotSupported

Parameters = Sequence[object] | Mapping[str, object] | None


def bound(expression: exp.Expr, parameters: Parameters) -> exp.Expr:
    """A copy with constants for parameters; raises `NotSupported` where there is no constant for one."""
    return expression.copy().transform(
        lambda node: _constant(node, parameters) if isinstance(node, exp.Placeholder) else node
    )


def bound_integer(expression: exp.Expr, parameters: Parameters) -> int | None:
    """The value of a LIMIT or OFFSET; None unless it is a whole number."""
    try:
        node = bound(expression, parameters)
    except NotSupported:
        return None
    if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
        return int(node.name)
    return None


def _constant(placeholder: exp.Placeholder, parameters: Parameters) -> exp.Expr:
    name = placeholder.name
    if isinstance(parameters, Mapping) and name in parameters:
        return _literal(parameters[name])
    numbered = isinstance(parameters, Sequence) and name.isdigit()
    if isinstance(parameters, Sequence) and numbered and 0 < int(name) <= len(parameters):
        return _literal(parameters[int(name) - 1])
    raise NotSupported(f"parameter {name} has no value")


def _literal(value: object) -> exp.Expr:
    """A constant of the type that DuckDB gives the Python value."""
    match value:
        case None:
            return exp.Null()
        case bool():
            return exp.Boolean(this=value)
        case int() | Decimal():
            return _number(value)
        case float():
            return _typed(repr(value), "DOUBLE")
        case str():
            return exp.Literal.string(value)
        case datetime():
            return _typed(value.isoformat(sep=" "), "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ")
        case date():
            return _typed(value.isoformat(), "DATE")
        case UUID():
            return _typed(str(value), "UUID")
        case _:
            raise NotSupported(f"a parameter of type {type(value).__name__} is not pushed down")


def _number(value: int | Decimal) -> exp.Expr:
    if not Decimal(value).is_finite():
        raise NotSupported("a number that is not finite is not pushed down")
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    literal = exp.Literal.number(text.lstrip("-"))
    return exp.Neg(this=literal) if text.startswith("-") else literal


def _typed(text: str, type_: str) -> exp.Expr:
    return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build(type_, dialect="duckdb"))
