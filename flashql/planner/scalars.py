"""Typed scalar expressions on their way from Postgres to DuckDB: types, collations, and what coerces to what.

The rules are those of the Postgres documentation, chapter "Type Conversion", for the types on the allow-list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType, ladder
from flashql.errors import NotSupported
from flashql.planner import literals
from flashql.planner.collations import joint
from flashql.planner.literals import (
    BOOL,
    BPCHAR,
    BYTEA,
    DATE,
    FLOAT4,
    FLOAT8,
    INT2,
    INT4,
    INT8,
    INTERVAL,
    JSONB,
    MAX_PRECISION,
    NAME,
    NUMERIC,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    UUID,
    VARCHAR,
)

LOCAL_TYPES: Final = {
    BOOL: "BOOLEAN",
    INT2: "SMALLINT",
    INT4: "INTEGER",
    INT8: "BIGINT",
    FLOAT4: "REAL",
    FLOAT8: "DOUBLE",
    TEXT: "TEXT",
    VARCHAR: "TEXT",
    BPCHAR: "TEXT",
    DATE: "DATE",
    TIME: "TIME",
    TIMESTAMP: "TIMESTAMP",
    TIMESTAMPTZ: "TIMESTAMPTZ",
    UUID: "UUID",
    INTERVAL: "INTERVAL",
    JSONB: "JSON",
}
INTEGERS: Final = {INT2, INT4, INT8}  # ascending by oid is not by width: see _WIDTH
FLOATS: Final = {FLOAT4, FLOAT8}
TEXTS: Final = {TEXT, VARCHAR, NAME, BPCHAR}
EXACT: Final = {*INTEGERS, BOOL, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, UUID, BYTEA, *FLOATS}
_WIDTH: Final = {INT2: 0, INT4: 1, INT8: 2}
_INTEGER_DIGITS: Final = {INT2: 5, INT4: 10, INT8: 19}
_USUAL_SCALE = 9  # of most numerics without a size (datatypes.py)
_DOUBLE_DIGITS = 15  # decimals of so many digits convert to double precision correctly rounded by division


@dataclass(frozen=True)
class Scalar:
    """An expression in DuckDB's dialect and what Postgres says of it.

    `number` is the text of a numeric constant and `text` of a string constant, which take their type from
    what they meet. `bounds` is the (precision, scale) that a numeric fits in, None for a column without a
    typmod. `printed` says that Postgres prints every value with exactly that scale. `countable` is False
    where no arithmetic is known. `days_apart` are a constant interval's months, days and microseconds.
    """

    node: exp.Expr
    type: PgType
    collation: str | None = None
    explicit: bool = False  # the collation was asked for by COLLATE
    number: str | None = None
    text: str | None = None
    bounds: tuple[int, int] | None = None
    printed: bool = False
    countable: bool = True
    days_apart: tuple[int, int, int] | None = None
    fields: tuple[tuple[str, Scalar], ...] | None = None  # of a row (records.py); its node says whether there is one

    @property
    def oid(self) -> int:
        """The type's oid."""
        return self.type.oid

    @property
    def is_null(self) -> bool:
        """Whether this is the constant NULL without a type."""
        return self.oid == UNKNOWN and self.text is None


def numeric_bounds(type_: PgType) -> tuple[int, int] | None:
    """(precision, scale) of a numeric's typmod; None without one or when DuckDB has no such DECIMAL."""
    if type_.typmod < 4:
        return None
    precision = (type_.typmod - 4) >> 16 & 0xFFFF
    scale = ((type_.typmod - 4 & 0x7FF) ^ 1024) - 1024  # 11 bits, signed (numeric.c)
    return (precision, scale) if 0 <= scale <= precision <= MAX_PRECISION else None


def numeric(precision: int, scale: int) -> PgType:
    """The numeric type of so many digits, `scale` of them after the point."""
    return PgType(NUMERIC, (precision << 16 | scale) + 4, f"numeric({precision},{scale})")


_OTHERWISE: Final = "Compute it where the view is read, or make it a MATERIALIZED view."


def refuse(what: str, hint: str | None = None) -> NotSupported:
    """The error for something that is not on the list, with what to do instead."""
    return NotSupported(f"{what} is not translated between Postgres and DuckDB", hint=hint or _OTHERWISE)


def cast(node: exp.Expr, local_type: str) -> exp.Expr:
    """CAST(node AS local_type), in DuckDB's dialect."""
    return exp.Cast(this=node, to=exp.DataType.build(local_type, dialect="duckdb"))


def function(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A call that is printed with exactly this name."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def operand(node: exp.Expr) -> exp.Expr:
    """The node, in parentheses unless it binds tighter than any operator."""
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return node
    loose = (exp.Binary, exp.Unary, exp.Between, exp.In, exp.Escape, exp.Is)
    return exp.Paren(this=node) if isinstance(node, loose) and not isinstance(node, exp.Paren) else node


def number_node(text: str) -> exp.Expr:
    """A plain number as a literal."""
    literal = exp.Literal.number(text.lstrip("-"))
    return exp.Neg(this=literal) if text.startswith("-") else literal


def constant(text: str, type_: PgType) -> Scalar:
    """A string constant read as a type; raises `NotSupported` when the spelling is not safe."""
    if type_.kind == "e":
        return Scalar(exp.Literal.string(text), type_)
    if type_.oid == INTERVAL:
        return interval(text, None)
    if type_.element is not None:
        words = literals.array_elements(text)
        items = [exp.Null() if word is None else constant(word, type_.element).node for word in words]
        return Scalar(cast(exp.Array(expressions=items), ladder(type_)[0].name), type_)
    plain = literals.canonical(text, type_.oid)
    if type_.oid in INTEGERS:
        return Scalar(cast(number_node(plain), LOCAL_TYPES[type_.oid]), type_)
    if type_.oid == NUMERIC:
        return exact_number(plain)
    if type_.oid == BYTEA:
        return Scalar(exp.Anonymous(this="FROM_HEX", expressions=[exp.Literal.string(plain[2:])]), type_)
    if type_.oid in TEXTS:
        return Scalar(exp.Literal.string(plain), PgType(TEXT, -1, "text"))
    if type_.oid == BOOL:
        return Scalar(exp.Boolean(this=plain == "true"), type_)
    return Scalar(cast(exp.Literal.string(plain), LOCAL_TYPES[type_.oid]), type_)


def interval(text: str, unit: str | None) -> Scalar:
    """A constant interval: months, days and microseconds apart, as both databases keep them."""
    months, days, microseconds = literals.interval_parts(text, unit)
    parts = [("TO_MONTHS", months), ("TO_DAYS", days), ("TO_MICROSECONDS", microseconds)]
    calls = [function(name, integer(count)) for name, count in parts if count]
    node = calls[0] if calls else function("TO_DAYS", integer(0))
    for one in calls[1:]:
        node = exp.Add(this=node, expression=one)
    return Scalar(operand(node), PgType(INTERVAL, -1, "interval"), days_apart=(months, days, microseconds))


def integer(value: int) -> exp.Expr:
    """An integer as a literal."""
    literal = exp.Literal.number(abs(value))
    return exp.Neg(this=literal) if value < 0 else literal


def exact_number(plain: str) -> Scalar:
    """A plain decimal number as a numeric constant."""
    bounds = literals.decimal_bounds(plain)
    node = cast(exp.Literal.string(plain), "DECIMAL({}, {})".format(*bounds))
    return Scalar(node, numeric(*bounds), bounds=bounds, printed=True, number=plain)


def merged_collation(values: Sequence[Scalar]) -> tuple[str | None, bool]:
    """The collation of an expression over these, and whether COLLATE chose it ("Collation Support")."""
    explicit = [v.collation for v in values if v.explicit]
    return joint(explicit or [v.collation for v in values]), bool(explicit)


def common_type(values: Sequence[Scalar], what: str, *, comparing: bool) -> PgType:
    """The type Postgres brings these to; raises `NotSupported` where it is not exactly the same in DuckDB."""
    types = {v.oid: v.type for v in values if v.oid != UNKNOWN}
    oids = set(types)
    if not oids:
        return PgType(TEXT, -1, "text")
    if len(oids) == 1:
        return next(iter(types.values()))
    if oids <= INTEGERS:
        return types[max(oids, key=_WIDTH.__getitem__)]
    if oids <= {*INTEGERS, NUMERIC}:
        return PgType(NUMERIC, -1, "numeric")
    # select_common_type() keeps real where only explicit casts lead on; operators go to double precision.
    if oids <= {*INTEGERS, NUMERIC, *FLOATS} and (comparing or FLOAT4 not in oids):
        return PgType(FLOAT8, -1, "double precision")
    if oids <= TEXTS:
        return PgType(TEXT, -1, "text")
    if oids == {DATE, TIMESTAMP}:
        return types[TIMESTAMP]
    names = " and ".join(sorted(t.name or f"type {oid}" for oid, t in types.items()))
    raise refuse(f"{what} of {names}", "Cast one side so that both have the same type.")


def coerced(values: Sequence[Scalar], what: str, *, comparing: bool, apart: bool = False) -> list[Scalar]:
    """All brought to their common type, ready to be compared with each other or to be one result.

    Where they are columns of queries `apart`, each is computed from itself alone.
    """
    target = common_type(values, what, comparing=comparing)
    if target.oid == NUMERIC:
        return _coerced_numerics(values, what, comparing=comparing, apart=apart)
    if comparing and target.oid in INTEGERS:  # DuckDB compares integers of all widths exactly
        return [v if v.text is None else coerce(v, target, what) for v in values]
    return [coerce(v, target, what) for v in values]


def coerce(value: Scalar, target: PgType, what: str) -> Scalar:
    """The value as `target` (not numeric), by Postgres's implicit conversion."""
    if value.is_null:
        return value
    if value.text is not None:
        # A char(n) is compared without its padding: the constant must have none either.
        found = constant(value.text.rstrip(" ") if target.oid == BPCHAR else value.text, target)
        return replace(found, type=target) if target.oid == VARCHAR else found
    if target.oid == FLOAT8:
        return as_double(value, what)
    if target.oid in TEXTS:
        return replace(as_text(value), type=target) if target.oid == VARCHAR else as_text(value)
    if target.element is not None:  # a column of arrays may have become text
        return replace(value, node=cast(value.node, ladder(target)[0].name))
    if target.oid in INTEGERS and (value.number is not None or value.oid != target.oid):
        return Scalar(cast(value.node, LOCAL_TYPES[target.oid]), target)
    if target.oid == TIMESTAMP and value.oid == DATE:
        return Scalar(cast(value.node, "TIMESTAMP"), target)
    return value


def as_text(value: Scalar) -> Scalar:
    """Text of a text, varchar or char(n): the last loses its padding on conversion (bpchar to text)."""
    if value.oid == UNKNOWN and value.text is not None:
        return constant(value.text, PgType(TEXT))
    if value.is_null:
        return replace(constant("", PgType(TEXT)), node=cast(exp.null(), "TEXT"), text=None)
    if value.oid not in TEXTS:
        raise refuse(f"text of {value.type.name or 'this type'} here", "Cast it to text.")
    if value.oid == BPCHAR:
        trimmed = exp.Anonymous(this="RTRIM", expressions=[value.node, exp.Literal.string(" ")])
        return replace(value, node=trimmed, type=PgType(TEXT, -1, "text"))
    return replace(value, type=PgType(TEXT, -1, "text"))


def as_double(value: Scalar, what: str) -> Scalar:
    """Double precision of a number; raises `NotSupported` where DuckDB's conversion may round differently."""
    target = PgType(FLOAT8, -1, "double precision")
    if value.number is not None:
        return constant(value.number, target)
    if value.oid == FLOAT8:
        return value
    if value.oid == NUMERIC and (value.bounds is None or value.bounds[0] > _DOUBLE_DIGITS):
        return Scalar(cast(cast(value.node, "TEXT"), "DOUBLE"), target)  # DuckDB reads text rounding correctly
    if value.oid not in {*INTEGERS, NUMERIC, FLOAT4}:
        raise refuse(f"{what} of {value.type.name} as a number")
    return Scalar(cast(value.node, "DOUBLE"), target)


def as_numeric(value: Scalar, what: str) -> Scalar:
    """Numeric of an integer, a numeric, or a constant."""
    if value.oid == UNKNOWN and value.text is not None:
        return exact_number(literals.canonical(value.text, NUMERIC))
    if value.number is not None:
        return exact_number(value.number)
    if value.oid in INTEGERS:
        digits = _INTEGER_DIGITS[value.oid]
        return Scalar(cast(value.node, f"DECIMAL({digits}, 0)"), numeric(digits, 0), bounds=(digits, 0), printed=True)
    if value.oid != NUMERIC:
        raise refuse(f"{what} of {value.type.name}")
    return value


def _coerced_numerics(values: Sequence[Scalar], what: str, *, comparing: bool, apart: bool) -> list[Scalar]:
    """All as DECIMAL of one width, so that DuckDB neither rounds nor overflows.

    A column without a typmod has a local width that is not known here; no view computes from one that is held as text.
    DuckDB compares DECIMALs of any two widths exactly or raises, but rounds them where it brings them to one.
    """
    numbers = [v if v.is_null else as_numeric(v, what) for v in values]
    known = [v.bounds for v in numbers if v.bounds is not None]
    scale = max((s for _, s in known), default=0)
    if any(v.bounds is None and not v.is_null for v in numbers):
        if apart:
            return [v if v.is_null else _pinned(v, max(scale, _USUAL_SCALE)) for v in numbers]
        return [replace(v, bounds=None) for v in numbers] if comparing else _aligned(numbers, scale)
    # What does not fit raises in DuckDB.
    precision = min(max((p - s for p, s in known), default=1) + scale, MAX_PRECISION)
    exact = len({s for _, s in known}) == 1
    return [v if v.is_null else widened(v, precision, scale, printed=exact and v.printed) for v in numbers]


def _aligned(numbers: Sequence[Scalar], scale: int) -> list[Scalar]:
    """All of the scale that the widest has, by adding zeros of all others: sums of DECIMALs are exact or raise."""
    zeros = {v.node: _zero_of(v.node) for v in numbers if v.bounds is None and not v.is_null}
    made = []
    for value in numbers:
        node = value.node
        added = [] if value.is_null else [zero for of, zero in zeros.items() if of != value.node]
        if scale and not value.is_null:
            added.append(cast(exp.Literal.number(0), f"DECIMAL({scale}, {scale})"))
        for zero in added:
            node = exp.Paren(this=exp.Add(this=operand(node), expression=zero.copy()))
        made.append(Scalar(node, value.type, countable=value.countable))
    return made


def _zero_of(number: exp.Expr) -> exp.Expr:
    """0 with as many digits after the point as a DECIMAL's type has."""
    never = exp.Case(ifs=[exp.If(this=exp.false(), true=number.copy())])
    return exp.Coalesce(this=never, expressions=[cast(exp.Literal.number(0), "DECIMAL(1, 1)")])


def _pinned(value: Scalar, scale: int) -> Scalar:
    """The number as DECIMAL(38, scale), or an error where it has more digits: said of it without the others."""
    if value.bounds is not None:
        return widened(value, MAX_PRECISION, scale)
    made = cast(value.node, f"DECIMAL({MAX_PRECISION}, {scale})")
    message = f"a numeric with more than {scale} digits after the point: cast it to numeric(p,s)"
    more = exp.NEQ(this=operand(made), expression=operand(value.node.copy()))
    raised = function("ERROR", exp.Literal.string(message))
    node = cast(
        exp.Case(ifs=[exp.If(this=more, true=raised)], default=made.copy()), f"DECIMAL({MAX_PRECISION}, {scale})"
    )
    return Scalar(node, value.type, bounds=(MAX_PRECISION, scale), countable=value.countable)


def widened(value: Scalar, precision: int, scale: int, *, printed: bool = False) -> Scalar:
    """A numeric whose bounds fit, as DECIMAL(precision, scale)."""
    local = f"DECIMAL({precision}, {scale})"
    if isinstance(value.node, exp.Cast) and value.bounds == (precision, scale):
        return replace(value, number=None, printed=printed)
    inner = value.node.this if value.number is not None and isinstance(value.node, exp.Cast) else value.node
    return Scalar(
        cast(inner, local),
        numeric(precision, scale),
        bounds=(precision, scale),
        printed=printed,
        countable=value.countable,
    )
