"""Whole rows as values: `t` and `t.*` of an item of FROM, `ROW(a, b)`. Only what takes rows asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.literals import BOOL
from flashql.planner.operators import key_of
from flashql.planner.parsing import PREFIX
from flashql.planner.relations import check_groupable, typed
from flashql.planner.scalars import Scalar
from flashql.planner.scopes import RECORD, Scope, settled

_OF_ROWS: Final = {
    "count", "row_to_json", "to_json", "to_jsonb", "json_build_array", "jsonb_build_array", "json_build_object",
    "jsonb_build_object", "json_agg", "jsonb_agg", "json_agg_strict", "jsonb_agg_strict", "json_object_agg",
    "jsonb_object_agg", "json_object_agg_strict", "jsonb_object_agg_strict",
}  # fmt: skip
Translate = Callable[[exp.Expr, Scope], Scalar]


def arguments(name: str, nodes: Sequence[exp.Expr], scope: Scope, translate: Translate) -> list[Scalar]:
    """A function's arguments; where it takes rows, a name may be a row's."""
    if name.lower().removeprefix(PREFIX) not in _OF_ROWS:
        return [translate(one, scope) for one in nodes]
    return [argument(one, scope, translate) for one in nodes]


def argument(node: exp.Expr, scope: Scope, translate: Translate) -> Scalar:
    """A value that may be a row: `fields` are then its columns, and the node whether there is one."""
    named = scope.row(node) if isinstance(node, exp.Column) else None
    if named is not None:
        return named
    written = _written(node)
    if written is None:
        return translate(node, scope)
    values: list[Scalar] = []
    for one in written:
        row = scope.row(one) if isinstance(one, exp.Column) and isinstance(one.this, exp.Star) else None
        values += [argument(one, scope, translate)] if row is None else [value for _, value in row.fields or ()]
    return Scalar(exp.true(), RECORD, fields=tuple((f"f{at}", value) for at, value in enumerate(values, 1)))


def _written(node: exp.Expr) -> Sequence[exp.Expr] | None:
    if isinstance(node, exp.Tuple) or (isinstance(node, exp.Anonymous) and str(node.name).lower() == "row"):
        return node.expressions
    return None


def null_test(node: exp.Is, scope: Scope) -> Scalar | None:
    """`t IS NULL`: all of its columns are; `t IS NOT NULL`: none of them is. None for what is no row."""
    row = scope.row(node.this) if isinstance(node.this, exp.Column) else None
    if row is None:
        return None
    tests: list[exp.Expr] = [
        exp.Is(this=exp.Paren(this=value.node), expression=exp.Null()) for _, value in row.fields or ()
    ]
    if node.args.get("negate"):
        tests = [exp.Not(this=exp.Paren(this=one)) for one in tests]
    return Scalar(exp.Paren(this=exp.and_(*tests, copy=False)), PgType(BOOL, -1, "boolean"))


def key(row: Scalar) -> Scalar:
    """What tells rows apart, as DISTINCT does; null of none."""
    parts = []
    for name, value in row.fields or ():
        check_groupable(value, "DISTINCT")
        part = key_of(replace(value, node=typed(settled(value))))
        parts.append(exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=part))
    return replace(row, node=exp.Case(ifs=[exp.If(this=row.node, true=exp.Struct(expressions=parts))]))
