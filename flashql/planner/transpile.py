"""Scalar expressions of Postgres as DuckDB expressions with exactly the same value, or a refusal.

An allow-list: a construct is here because `sql/spec/transpile` shows it and tests run both sides over awkward
values. Where a value cannot be the same (an infinite year) the translation raises in DuckDB; where Postgres
raises (overflow) there is no value to be wrong about, and DuckDB raises too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.catalog import Column
from flashql.datatypes import PgType
from flashql.planner import (
    bits,
    calls,
    containers,
    dates,
    enums,
    functions,
    intervals,
    lists,
    matches,
    moments,
    numbers,
    paths,
    patterns,
    records,
    rows,
    texts,
)
from flashql.planner.apart import apart
from flashql.planner.arithmetic import arithmetic, in_turn
from flashql.planner.collations import DEFAULT, Locale, of_database
from flashql.planner.literals import (
    BOOL,
    DATE,
    FLOAT4,
    INT4,
    INTERVAL,
    JSONB,
    NUMERIC,
    TIMESTAMP,
    UNKNOWN,
    number_type,
)
from flashql.planner.operators import (
    OTHERWISE,
    check_comparable,
    compared,
    key_of,
    negated,
    unified,
    written_otherwise,
)
from flashql.planner.parsing import PREFIX
from flashql.planner.predicates import to_origin
from flashql.planner.scalars import (
    FLOATS,
    INTEGERS,
    TEXTS,
    Scalar,
    as_numeric,
    cast,
    coerce,
    coerced,
    common_type,
    exact_number,
    interval,
    number_node,
    operand,
    refuse,
)
from flashql.planner.scopes import Scope, TableScope

__all__ = ["to_local", "to_origin"]

_BOOLEAN: Final = PgType(BOOL, -1, "boolean")


def to_local(expression: exp.Expr, columns: Mapping[str, Column], locale: Locale | None = None) -> exp.Expr:
    """The DuckDB expression with Postgres's value of `expression` for every row of one table.

    `expression` was read in Postgres's dialect; `columns` are the table's, held locally as `datatypes` says; `locale`
    is the origin, which knows its collations. Columns of the result are quoted and unqualified. Raises `NotSupported`
    for what is not on the list and `UnknownName` for a column that does not exist.

    >>> from sqlglot import parse_one
    >>> to_local(parse_one("qty / 2 > 3", read="postgres"),
    ...     {"qty": Column("qty", PgType(23, -1, "integer"))}).sql("duckdb")
    '(CAST("qty" AS INT) // CAST(2 AS INT)) > 3'
    """
    return apart(translate(expression, TableScope(columns, locale)).node)


def translate(node: exp.Expr, scope: Scope) -> Scalar:
    """Like `to_local`, with the type Postgres gives the expression."""
    value = scope.beyond(node) or _scalar(node, scope)
    if value.oid in TEXTS and value.collation in (None, DEFAULT) and scope.locale is not None:
        return replace(value, collation=of_database(scope.locale.default_collation()))
    return value


def _scalar(node: exp.Expr, scope: Scope) -> Scalar:
    rule = _RULES.get(type(node))
    if type(node) in _OF_THE_MOMENT:
        raise refuse(f"{node.sql('postgres')}, whose value is another one at each call,")
    if rule is None:
        raise refuse(node.sql("postgres").replace(PREFIX.upper(), ""))
    allowed, translation = rule
    odd = [name for name, value in node.args.items() if value and name not in allowed]
    if odd:
        raise refuse(f"{node.sql('postgres')} ({', '.join(odd)})")
    return translation(node, scope)


def _column(node: exp.Expr, scope: Scope) -> Scalar:
    assert isinstance(node, exp.Column)
    return scope.column(node)


def _literal(node: exp.Expr, _: Scope) -> Scalar:
    if not node.args["is_string"]:
        return _number(node.name)
    return Scalar(node.copy(), PgType(UNKNOWN, -1, "unknown"), text=node.name)


def _number(text: str) -> Scalar:
    oid, plain = number_type(text)
    if oid == NUMERIC:
        return exact_number(plain)
    node = number_node(plain)
    if plain == str(-(2**31)):
        node = cast(node, "INT")  # DuckDB 1 takes it for the negation of a BIGINT
    return Scalar(node, PgType(oid, -1, "integer" if oid == INT4 else "bigint"), number=plain)


def _boolean(node: exp.Expr, _: Scope) -> Scalar:
    return Scalar(node.copy(), _BOOLEAN)


def _null(_node: exp.Expr, _scope: Scope) -> Scalar:
    return Scalar(exp.Null(), PgType(UNKNOWN, -1, "unknown"))


def _paren(node: exp.Expr, scope: Scope) -> Scalar:
    inner = translate(node.this, scope)
    return replace(inner, node=operand(inner.node))


def condition(node: exp.Expr, scope: Scope) -> exp.Expr:
    """A boolean operand, parenthesised."""
    value = translate(node, scope)
    if value.oid == UNKNOWN:
        value = coerce(value, _BOOLEAN, "a condition")
    if value.oid != BOOL:
        raise refuse(f"{value.type.name} as a condition")
    return operand(value.node)


def _connector(node: exp.Expr, scope: Scope) -> Scalar:
    left, right = (condition(side, scope) for side in (node.this, node.expression))
    return Scalar(type(node)(this=left, expression=in_turn(type(node), left, right)), _BOOLEAN)


def _not(node: exp.Expr, scope: Scope) -> Scalar:
    return Scalar(exp.Not(this=condition(node.this, scope)), _BOOLEAN)


def _is(node: exp.Expr, scope: Scope) -> Scalar:
    assert isinstance(node, exp.Is)
    if isinstance(node.expression, exp.Null):
        of_row = records.null_test(node, scope)
        if of_row is not None:
            return of_row
        value = translate(node.this, scope)
        if value.type.kind == "c":
            raise refuse("IS NULL of a composite, which asks about its fields")
        tested: exp.Expr = exp.Is(this=operand(value.node), expression=exp.Null())
    elif isinstance(node.expression, exp.Boolean):
        tested = exp.Is(this=condition(node.this, scope), expression=node.expression.copy())
    else:
        raise refuse(node.sql("postgres"))
    return Scalar(exp.Not(this=exp.Paren(this=tested)) if node.args.get("negate") else tested, _BOOLEAN)


def _comparison(node: exp.Expr, scope: Scope) -> Scalar:
    plain = rows.as_scalars(node)
    if plain is not None:
        return translate(plain, scope)
    found = containers.quantified(node, lambda one: translate(one, scope))
    return found or compared(type(node), [translate(side, scope) for side in (node.this, node.expression)])


def _between(node: exp.Expr, scope: Scope) -> Scalar:
    value, low, high = (translate(node.args[name], scope) for name in ("this", "low", "high"))
    tests = []
    for least, most in ((low, high), (high, low)) if node.args.get("symmetric") else ((low, high),):
        above, below = compared(exp.GTE, [value, least]), compared(exp.LTE, [value, most])
        tests.append(exp.And(this=operand(above.node), expression=operand(below.node)))
    return Scalar(exp.or_(*tests) if len(tests) > 1 else tests[0], _BOOLEAN)


def _in(node: exp.Expr, scope: Scope) -> Scalar:
    plain = rows.as_scalars(node)
    if plain is not None:
        return translate(plain, scope)
    values = [translate(item, scope) for item in (node.this, *node.expressions)]
    if len(values) < 2:
        raise refuse(node.sql("postgres"))
    oids = {v.oid for v in values if v.oid != UNKNOWN}
    if oids & FLOATS and any(v.oid not in FLOATS and v.number is None for v in values if v.oid != UNKNOWN):
        raise refuse("IN of floats and other columns")
    if FLOAT4 in oids and len(oids) > 1:
        raise refuse("IN of real and other numbers", "Cast the column to double precision.")
    # One type for all is Postgres's rule, and what keeps a column held as text from being compared as text.
    common = common_type(values, "IN", comparing=True)
    if common.oid != INTERVAL:
        check_comparable(common, values, ordering=False)
    head, *items = coerced(values, "IN", comparing=True)
    if oids == {NUMERIC} or NUMERIC in oids:
        tests = [exp.EQ(this=operand(head.node), expression=operand(item.node)) for item in items]
        return Scalar(exp.or_(*tests, copy=False), _BOOLEAN)
    return Scalar(exp.In(this=operand(key_of(head)), expressions=[key_of(item) for item in items]), _BOOLEAN)


def _negation(node: exp.Expr, scope: Scope) -> Scalar:
    if isinstance(node.this, exp.Literal) and not node.this.is_string:
        return _number(f"-{node.this.name}")
    return negated(translate(node.this, scope))


def _arithmetic(node: exp.Expr, scope: Scope) -> Scalar:
    left, right = translate(node.this, scope), translate(node.expression, scope)
    less = paths.without(left, right) if isinstance(node, exp.Sub) and left.oid == JSONB else None
    if less is not None:
        return less
    dated = dates.dated_arithmetic(type(node), left, right)
    if (
        dated is None
        and isinstance(node, exp.Mod)
        and {left.oid, right.oid} <= {*INTEGERS, NUMERIC}
        and NUMERIC in (left.oid, right.oid)
    ):
        return numbers.remainder(as_numeric(left, "remainder"), as_numeric(right, "remainder"))
    return dated or arithmetic(type(node), left, right)


def _coalesce(node: exp.Expr, scope: Scope) -> Scalar:
    ready, model = unified([translate(v, scope) for v in (node.this, *node.expressions)], "COALESCE")
    first, *rest = (v.node for v in ready)
    return replace(model, node=exp.Coalesce(this=first, expressions=rest))


def _extreme(node: exp.Expr, scope: Scope) -> Scalar:
    values = [translate(v, scope) for v in (node.this, *node.expressions)]
    name = node.key.upper()
    ready, model = unified(values, name)
    if model.oid == INTERVAL:
        return intervals.extreme(ready, exp.GT if isinstance(node, exp.Greatest) else exp.LT)
    if enums.is_enum(model):
        return enums.extreme(type(node), ready)
    check_comparable(model.type, values, ordering=True)
    first, *rest = (v.node for v in ready)
    return replace(model, node=type(node)(this=first, expressions=rest, ignore_nulls=True))


def _nullif(node: exp.Expr, scope: Scope) -> Scalar:
    first, second = (translate(side, scope) for side in (node.this, node.expression))
    if first.oid == UNKNOWN:
        raise refuse("NULLIF of an untyped constant", "Cast it to text.")
    if second.oid not in (first.oid, UNKNOWN) and second.number is None:
        raise refuse("NULLIF of two types", "Cast one side.")
    same = compared(exp.EQ, [first, second])
    chosen = exp.Case(ifs=[exp.If(this=same.node, true=exp.Null())], default=first.node.copy())
    return replace(first, node=chosen, number=None)


def _case(node: exp.Expr, scope: Scope) -> Scalar:
    subject = translate(node.this, scope) if node.this else None
    conditions = []
    for branch in node.args["ifs"]:
        if subject is None:
            conditions.append(condition(branch.this, scope))
        else:
            conditions.append(compared(exp.EQ, [subject, translate(branch.this, scope)]).node)
    default = node.args.get("default") or exp.Null()
    results = [translate(v, scope) for v in (*(branch.args["true"] for branch in node.args["ifs"]), default)]
    ready, model = unified(results, "CASE")
    ifs = [exp.If(this=c, true=v.node) for c, v in zip(conditions, ready[:-1], strict=True)]
    return replace(model, node=exp.Case(ifs=ifs, default=ready[-1].node))


def _cast(node: exp.Expr, scope: Scope) -> Scalar:
    to = node.args["to"]
    if to.this == exp.DType.ARRAY and len(to.expressions) == 1:
        element = functions.cast_target(to.expressions[0])
        if isinstance(node.this, exp.Array) and not node.this.expressions:
            return lists.empty(element)
        return lists.converted(translate(node.this, scope), element)
    target = functions.cast_target(to)
    inner = node.this.unnest()
    if isinstance(inner, exp.TimestampTrunc) and target.oid in (DATE, TIMESTAMP):
        # Of a date it is a moment of the session's time zone, whose day is the same whatever the zone is.
        source = translate(inner.this, scope)
        if source.oid == DATE and not inner.args.get("zone"):
            moment = functions.converted(source, PgType(TIMESTAMP, -1, "timestamp without time zone"))
            return functions.converted(dates.date_trunc(moment, inner.args["unit"].name), target)
    value = translate(node.this, scope)
    if target.oid == INTERVAL and value.text is not None:
        return interval(value.text, None)
    return functions.converted(value, target)


def _call(function: Callable[..., Scalar], *arguments: str) -> Callable[[exp.Expr, Scope], Scalar]:
    """A rule for a function whose named arguments are expressions, None when left out."""

    def rule(node: exp.Expr, scope: Scope) -> Scalar:
        given = (node.args.get(name) for name in arguments)
        return function(*(translate(value, scope) if value is not None else None for value in given))

    return rule


def _named(node: exp.Expr, scope: Scope) -> Scalar:
    """A function by Postgres's name."""
    zoned = moments.ZONED.get(str(node.name).lower())
    if zoned is not None:
        return zoned([translate(one, scope) for one in node.expressions], scope.locale)
    return calls.called(str(node.name), records.arguments(str(node.name), node.expressions, scope, translate))


def _contained(rule: Callable[[exp.Expr, texts.Translate], Scalar]) -> Callable[[exp.Expr, Scope], Scalar]:
    return lambda node, scope: rule(node, lambda one: translate(one, scope))


def _of_place(
    rule: Callable[[exp.Expr, texts.Translate, Locale | None], Scalar],
) -> Callable[[exp.Expr, Scope], Scalar]:
    return lambda node, scope: rule(node, lambda one: translate(one, scope), scope.locale)


_OF_THE_MOMENT: Final = {
    exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Localtime, exp.Localtimestamp, exp.Rand, exp.Uuid,
}  # fmt: skip
_Rule = tuple[set[str], Callable[[exp.Expr, Scope], Scalar]]


def _binary(rule: Callable[[exp.Expr, Scope], Scalar]) -> _Rule:
    return {"this", "expression", "typed", "safe"}, rule


# By kind of node: the arguments that are understood, so that any other is a refusal, and the rule.
_RULES: Final[dict[type[exp.Expr], _Rule]] = {
    exp.Column: ({"this", "table", "db"}, _column),
    exp.Literal: ({"this", "is_string"}, _literal),
    exp.Boolean: ({"this"}, _boolean),
    exp.Null: (set(), _null),
    exp.Paren: ({"this"}, _paren),
    exp.Not: ({"this"}, _not),
    exp.Is: ({"this", "expression", "negate"}, _is),
    exp.Between: ({"this", "low", "high", "symmetric"}, _between),
    exp.In: ({"this", "expressions"}, _in),
    exp.Neg: ({"this"}, _negation),
    exp.Coalesce: ({"this", "expressions"}, _coalesce),
    exp.Nullif: ({"this", "expression"}, _nullif),
    exp.Case: ({"this", "ifs", "default"}, _case),
    exp.Cast: ({"this", "to"}, _cast),
    exp.Anonymous: ({"this", "expressions"}, _named),
    exp.Round: ({"this", "decimals"}, _call(calls.rounded, "this", "decimals")),
    **dict.fromkeys((exp.RegexpLike, exp.RegexpILike), ({"this", "expression"}, _contained(patterns.match))),
    exp.Abs: ({"this"}, _call(functions.absolute, "this")),
    exp.Length: ({"this"}, _call(functions.length, "this")),
    exp.Left: ({"this", "expression"}, _call(functions.left, "this", "expression")),
    exp.Right: ({"this", "expression"}, _call(functions.right, "this", "expression")),
    exp.Substring: ({"this", "start", "length"}, _call(matches.substring, "this", "start", "length")),
    exp.StartsWith: ({"this", "expression"}, _call(functions.starts_with, "this", "expression")),
    exp.StrPosition: ({"this", "substr"}, _call(functions.position, "this", "substr")),
    exp.Replace: (
        {"this", "expression", "replacement"},
        _call(functions.replaced, "this", "expression", "replacement"),
    ),
    exp.BitwiseNot: ({"this"}, _call(bits.flipped_bits, "this")),
    exp.BitwiseLeftShift: _binary(_call(bits.shifted("shifted_left"), "this", "expression")),
    exp.BitwiseRightShift: _binary(_call(bits.shifted("shifted_right"), "this", "expression")),
    exp.Pow: _binary(_call(numbers.power, "this", "expression")),
    **dict.fromkeys(OTHERWISE, ({"this"}, lambda node, _: written_otherwise(node))),
    **{kind: _binary(_call(rule, "this", "expression")) for kind, rule in bits.COMBINED.items()},
    **{kind: (allowed, _of_place(rule)) for kind, (allowed, rule) in (texts.RULES | moments.RULES).items()},
    **{kind: (allowed, _contained(rule)) for kind, (allowed, rule) in containers.RULES.items()},
    **dict.fromkeys((exp.And, exp.Or), _binary(_connector)),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), _binary(_comparison)),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), _binary(_comparison)),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod), _binary(_arithmetic)),
    **dict.fromkeys((exp.Greatest, exp.Least), ({"this", "expressions", "ignore_nulls"}, _extreme)),
}
