"""Predicates of a query in DuckDB's dialect as Postgres predicates with the same truth for every row.

What cannot be said exactly raises `NotSupported` and is then not pushed. The query is right either way, so
this list is short: columns against constants, the predicates that save rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from flashql.catalog import Column
from flashql.errors import NotSupported
from flashql.planner.collations import by_bytes, deterministic
from flashql.planner.literals import (
    BOOL,
    DATE,
    FLOAT8,
    INT2,
    INT4,
    INT8,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    UUID,
    VARCHAR,
    LikePattern,
    canonical,
    decimal_bounds,
)
from flashql.planner.scalars import INTEGERS, numeric_bounds, operand
from flashql.quoting import fold

Columns = Mapping[str, Column]

_TEXTS: Final = {TEXT, VARCHAR}
_FLIPPED: Final[dict[type[exp.Expr], type[exp.Expr]]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.EQ: exp.EQ,
    exp.NEQ: exp.NEQ,
    exp.NullSafeEQ: exp.NullSafeEQ,
    exp.NullSafeNEQ: exp.NullSafeNEQ,
}
_ORDERINGS: Final = {exp.LT, exp.LTE, exp.GT, exp.GTE}
_NUMBER_DIGITS = 18  # beside 19 digits of a bigint these still fit DuckDB's 38
_DOUBLE_DIGITS = 15  # exact in a double before the division that a DECIMAL's conversion is

# By column: the types of constants that DuckDB brings to a comparison with it without changing their value.
# A number without a type is NUMERIC here, a string without one UNKNOWN.
_ACCEPTED: Final = {
    INT2: {INT2, INT4, INT8, NUMERIC, UNKNOWN},
    INT4: {INT2, INT4, INT8, NUMERIC, UNKNOWN},
    INT8: {INT2, INT4, INT8, NUMERIC, UNKNOWN},
    NUMERIC: {INT2, INT4, INT8, NUMERIC},
    FLOAT8: {INT2, INT4, INT8, NUMERIC, FLOAT8},
    BOOL: {BOOL},
    TEXT: {UNKNOWN, TEXT},
    VARCHAR: {UNKNOWN, TEXT},
    DATE: {UNKNOWN, DATE, TIMESTAMP},
    TIMESTAMP: {UNKNOWN, DATE, TIMESTAMP},
    TIMESTAMPTZ: {UNKNOWN, TIMESTAMPTZ},
    UUID: {UNKNOWN, UUID},
}
_CONSTANT_CASTS: Final = {
    exp.DType.SMALLINT: INT2,
    exp.DType.INT: INT4,
    exp.DType.BIGINT: INT8,
    exp.DType.DOUBLE: FLOAT8,
    exp.DType.TEXT: TEXT,
    exp.DType.DATE: DATE,
    exp.DType.TIMESTAMP: TIMESTAMP,
    exp.DType.TIMESTAMPNTZ: TIMESTAMP,  # what sqlglot reads TIMESTAMP as in DuckDB
    exp.DType.TIMESTAMPTZ: TIMESTAMPTZ,
    exp.DType.UUID: UUID,
}
_POSTGRES_NAMES: Final = {
    DATE: "DATE",
    TIMESTAMP: "TIMESTAMP",
    TIMESTAMPTZ: "TIMESTAMPTZ",
    UUID: "UUID",
    FLOAT8: "DOUBLE PRECISION",
}
_PAIRED: Final = {DATE, TIMESTAMP, TIMESTAMPTZ, UUID, BOOL, FLOAT8}


@dataclass(frozen=True)
class _Constant:
    """A constant of the outer query: its text, None for NULL, and the type DuckDB gives it."""

    text: str | None
    oid: int


def to_origin(expression: exp.Expr, columns: Columns) -> exp.Expr:
    r"""The Postgres predicate that is true, false and null for the same rows as `expression` in DuckDB.

    `expression` was read in DuckDB's dialect; `columns` are those of an origin view, whose rows DuckDB sees
    in the local types of `datatypes`. Names match case-insensitively, as in DuckDB. Columns of the result are
    quoted and unqualified. Raises `NotSupported` for everything that is not known to be the same.

    >>> from sqlglot import parse_one
    >>> from flashql.datatypes import PgType
    >>> name = Column("name", PgType(25, -1, "text"), collation="en_US.UTF-8")
    >>> to_origin(parse_one("name < 'm'", read="duckdb"), {"name": name}).sql("postgres")
    '"name" COLLATE "C" < \'m\''
    """
    rule = _RULES.get(type(expression))
    if rule is None:
        raise _refused(expression)
    return rule(expression, columns)


def find_column(node: exp.Expr, columns: Columns) -> Column | None:
    """The column that a column reference names; None when there is none, or more than one."""
    name = fold(node.name)
    found = [column for key, column in columns.items() if fold(key) == name]
    return found[0] if len(found) == 1 else None


def byte_ordered(column: Column) -> exp.Expr:
    """A text column such that Postgres orders it by bytes, as DuckDB does."""
    node = exp.column(column.name, quoted=True)
    if by_bytes(column.collation):
        return node
    return exp.Collate(this=node, expression=exp.to_identifier("C", quoted=True))


def _refused(node: exp.Expr) -> NotSupported:
    return NotSupported(f"{node.sql('duckdb')} is not pushed down to the origin")


def _column(node: exp.Expr, columns: Columns) -> Column:
    column = find_column(node, columns) if type(node) is exp.Column else None
    if column is None:
        raise _refused(node)
    return column


def _constant(node: exp.Expr) -> _Constant:
    if type(node) is exp.Paren:
        return _constant(node.this)
    if type(node) is exp.Null:
        return _Constant(None, UNKNOWN)
    if type(node) is exp.Boolean:
        return _Constant("true" if node.this else "false", BOOL)
    if type(node) is exp.Literal:
        if node.is_string:
            return _Constant(node.name, UNKNOWN)
        # DuckDB reads a number with an exponent as a double.
        return _Constant(node.name, FLOAT8 if "e" in node.name.lower() else NUMERIC)
    if type(node) is exp.Neg and type(node.this) is exp.Literal and not node.this.is_string:
        inner = _constant(node.this)
        return _Constant(f"-{inner.text}", inner.oid)
    if type(node) is exp.Cast and not node.to.expressions:
        return _cast_constant(node)
    raise _refused(node)


def _cast_constant(node: exp.Cast) -> _Constant:
    oid = _CONSTANT_CASTS.get(node.to.this)
    inner = _constant(node.this)
    alike = inner.oid == UNKNOWN or inner.oid == oid or (inner.oid == NUMERIC and oid in INTEGERS)
    if oid is None or not alike:
        raise _refused(node)
    return _Constant(inner.text if inner.text is None else canonical(inner.text, oid), oid)


def _rendered(constant: _Constant, column: Column, node: exp.Expr) -> exp.Expr:
    """The constant as Postgres is to see it beside the column."""
    oid = column.type.oid
    if constant.text is None:
        return exp.Null()
    if column.type.kind == "e" or oid in _TEXTS:
        if constant.oid not in {UNKNOWN, TEXT} or "\0" in constant.text:
            raise _refused(node)
        return exp.Literal.string(constant.text)
    if constant.oid not in _ACCEPTED.get(oid, ()):
        raise _refused(node)
    if oid == BOOL:
        return exp.Boolean(this=constant.text == "true")
    if constant.oid in {*INTEGERS, NUMERIC} or oid in INTEGERS:
        return _rendered_number(constant.text, constant.oid, column, node)
    target = TIMESTAMP if {oid, constant.oid} == {DATE, TIMESTAMP} else oid
    literal = exp.Literal.string(canonical(constant.text, target))
    return exp.Cast(this=literal, to=exp.DataType.build(_POSTGRES_NAMES[target], dialect="postgres"))


def _rendered_number(text: str, constant_oid: int, column: Column, node: exp.Expr) -> exp.Expr:
    oid = column.type.oid
    if oid == NUMERIC and numeric_bounds(column.type) is None:
        raise _refused(node)  # its local type is not known here: DuckDB may hold it as text
    plain = canonical(text, oid if constant_oid == UNKNOWN else NUMERIC)
    digits, scale = decimal_bounds(plain)
    if digits > (_DOUBLE_DIGITS if oid == FLOAT8 else _NUMBER_DIGITS):
        raise _refused(node)
    bounds = numeric_bounds(column.type) if oid == NUMERIC else None
    if bounds is not None and max(bounds[0] - bounds[1], digits - scale) + max(bounds[1], scale) > 38:
        raise _refused(node)
    literal = exp.Literal.number(plain.lstrip("-"))
    return exp.Neg(this=literal) if plain.startswith("-") else literal


def _comparison(node: exp.Expr, columns: Columns) -> exp.Expr:
    kind, left, right = type(node), node.this, node.expression
    if type(right) is exp.Column and type(left) is exp.Column:
        return _pair(node, columns)
    if type(right) is exp.Column:
        kind, left, right = _FLIPPED[kind], right, left
    column = _column(left, columns)
    return _compared(kind, column, _rendered(_constant(right), column, node))


def _pair(node: exp.Expr, columns: Columns) -> exp.Expr:
    left, right = _column(node.this, columns), _column(node.expression, columns)
    oids = {left.type.oid, right.type.oid}
    if not (oids <= INTEGERS or (len(oids) == 1 and oids <= _PAIRED)):
        raise _refused(node)
    return type(node)(this=exp.column(left.name, quoted=True), expression=exp.column(right.name, quoted=True))


def _compared(kind: type[exp.Expr], column: Column, constant: exp.Expr) -> exp.Expr:
    node: exp.Expr = exp.column(column.name, quoted=True)
    if column.type.kind == "e":
        node = exp.Cast(this=node, to=exp.DataType.build("TEXT", dialect="postgres"))
        if kind in _ORDERINGS:
            node = exp.Collate(this=node, expression=exp.to_identifier("C", quoted=True))
    elif column.type.oid in _TEXTS and kind in _ORDERINGS:
        node = byte_ordered(column)
    elif column.type.oid in _TEXTS and not _trusted(column):
        strict = kind(this=_collated(column), expression=constant.copy())
        if kind is not exp.EQ:
            return strict
        # Bytes alike are alike under every collation: the first half lets Postgres use an index.
        return exp.Paren(this=exp.And(this=exp.EQ(this=node, expression=constant), expression=strict))
    return kind(this=node, expression=constant)


def _trusted(column: Column) -> bool:
    """Whether equality under the column's own collation is equality of bytes."""
    return column.collation is not None and deterministic(column.collation)


def _collated(column: Column) -> exp.Expr:
    node = exp.column(column.name, quoted=True)
    return exp.Collate(this=node, expression=exp.to_identifier("C", quoted=True))


def _between(node: exp.Expr, columns: Columns) -> exp.Expr:
    if node.args.get("symmetric"):
        raise _refused(node)
    sides = [(exp.GTE, node.args["low"]), (exp.LTE, node.args["high"])]
    above, below = (to_origin(kind(this=node.this, expression=side), columns) for kind, side in sides)
    return exp.Paren(this=exp.And(this=above, expression=below))


def _in(node: exp.Expr, columns: Columns) -> exp.Expr:
    items = node.expressions
    if not items or any(node.args.get(name) for name in ("query", "unnest", "field", "is_global")):
        raise _refused(node)
    column = _column(node.this, columns)
    constants = [_constant(item) for item in items]
    # DuckDB brings the whole list to one type; with one kind of constant that is the same as one by one.
    if len({constant.oid for constant in constants if constant.text is not None}) > 1:
        raise _refused(node)
    rendered = [_rendered(constant, column, node) for constant in constants]
    if column.type.kind == "e":
        text = exp.Cast(this=exp.column(column.name, quoted=True), to=exp.DataType.build("TEXT"))
        return exp.In(this=text, expressions=rendered)
    plain = exp.In(this=exp.column(column.name, quoted=True), expressions=rendered)
    if column.type.oid not in _TEXTS or _trusted(column):
        return plain
    strict = exp.In(this=_collated(column), expressions=[item.copy() for item in rendered])
    return exp.Paren(this=exp.And(this=plain, expression=strict))


def _is(node: exp.Expr, columns: Columns) -> exp.Expr:
    column = _column(node.this, columns)
    test = node.expression
    if type(test) is exp.Null and column.type.kind != "c":  # a composite of nulls alone IS NULL in Postgres
        tested = exp.Is(this=exp.column(column.name, quoted=True), expression=exp.Null())
    elif type(test) is exp.Boolean and column.type.oid == BOOL:
        tested = exp.Is(this=exp.column(column.name, quoted=True), expression=test.copy())
    else:
        raise _refused(node)
    return exp.Not(this=exp.Paren(this=tested)) if node.args.get("negate") else tested


def _like(node: exp.Expr, columns: Columns) -> exp.Expr:
    return _matched(node, columns, escape="")


def _escape(node: exp.Expr, columns: Columns) -> exp.Expr:
    if type(node.this) is not exp.Like or type(node.expression) is not exp.Literal:
        raise _refused(node)
    return _matched(node.this, columns, escape=node.expression.name)


def _matched(node: exp.Expr, columns: Columns, escape: str) -> exp.Expr:
    """LIKE, whose escape is a backslash by default in Postgres and nothing in DuckDB."""
    pattern = node.expression
    if type(pattern) is not exp.Literal or not pattern.is_string or "\0" in pattern.name:
        raise _refused(node)
    matched = _pattern(_column(node.this, columns), LikePattern.parse(pattern.name, escape), node)
    return exp.Not(this=exp.Paren(this=matched)) if node.args.get("negate") else matched


def _starts_with(node: exp.Expr, columns: Columns) -> exp.Expr:
    prefix = node.expression
    if type(prefix) is not exp.Literal or not prefix.is_string or "\0" in prefix.name:
        raise _refused(node)
    return _pattern(_column(node.this, columns), LikePattern.prefix(prefix.name), node)


def _pattern(column: Column, pattern: LikePattern, node: exp.Expr) -> exp.Expr:
    if column.type.oid not in _TEXTS or column.type.kind == "e":
        raise _refused(node)
    text = exp.column(column.name, quoted=True) if _trusted(column) else _collated(column)
    return exp.Like(this=text, expression=exp.Literal.string(str(pattern)))


def _connector(node: exp.Expr, columns: Columns) -> exp.Expr:
    left, right = (operand(to_origin(side, columns)) for side in (node.this, node.expression))
    return type(node)(this=left, expression=right)


def _not(node: exp.Expr, columns: Columns) -> exp.Expr:
    return exp.Not(this=operand(to_origin(node.this, columns)))


def _paren(node: exp.Expr, columns: Columns) -> exp.Expr:
    return operand(to_origin(node.this, columns))


def _truth(node: exp.Expr, columns: Columns) -> exp.Expr:
    """A boolean column as a predicate."""
    column = _column(node, columns)
    if column.type.oid != BOOL:
        raise _refused(node)
    return exp.column(column.name, quoted=True)


_RULES: Final[dict[type[exp.Expr], Callable[[exp.Expr, Columns], exp.Expr]]] = {
    exp.And: _connector,
    exp.Or: _connector,
    exp.Not: _not,
    exp.Paren: _paren,
    exp.Boolean: lambda node, _: node.copy(),
    exp.Column: _truth,
    exp.Is: _is,
    exp.Between: _between,
    exp.In: _in,
    exp.Like: _like,
    exp.Escape: _escape,
    exp.StartsWith: _starts_with,
    **dict.fromkeys(_FLIPPED, _comparison),
}
