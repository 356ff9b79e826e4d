"""Functions and casts of Postgres whose DuckDB form gives the same value, over operands already translated.

Positions and lengths count code points in both. Arguments that change what a function does (a position, a
pattern) must be constants, so that the differences between the two are settled here and not per row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import clocks, dates
from flashql.planner.arithmetic import call, rounded_ratio
from flashql.planner.collations import deterministic
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
    JSON,
    JSONB,
    NUMERIC,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    VARCHAR,
    LikePattern,
)
from flashql.planner.reading import from_text
from flashql.planner.scalars import (
    FLOATS,
    INTEGERS,
    LOCAL_TYPES,
    TEXTS,
    Scalar,
    as_double,
    as_numeric,
    as_text,
    cast,
    constant,
    function,
    merged_collation,
    number_node,
    numeric,
    numeric_bounds,
    operand,
    refuse,
    widened,
)

_BOOLEAN: Final = PgType(BOOL, -1, "boolean")
_INTEGER: Final = PgType(INT4, -1, "integer")
_TEXT: Final = PgType(TEXT, -1, "text")
_TRIMS: Final = {"BOTH": "TRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}

_CAST_TARGETS: Final = {
    exp.DType.BOOLEAN: _BOOLEAN,
    exp.DType.SMALLINT: PgType(INT2, -1, "smallint"),
    exp.DType.INT: _INTEGER,
    exp.DType.BIGINT: PgType(INT8, -1, "bigint"),
    exp.DType.FLOAT: PgType(FLOAT4, -1, "real"),
    exp.DType.DOUBLE: PgType(FLOAT8, -1, "double precision"),
    exp.DType.TEXT: _TEXT,
    exp.DType.VARCHAR: PgType(VARCHAR, -1, "character varying"),
    exp.DType.DATE: PgType(DATE, -1, "date"),
    exp.DType.TIME: clocks.TYPE,
    exp.DType.TIMESTAMP: PgType(TIMESTAMP, -1, "timestamp without time zone"),
    exp.DType.TIMESTAMPTZ: PgType(TIMESTAMPTZ, -1, "timestamp with time zone"),
    exp.DType.UUID: PgType(UUID, -1, "uuid"),
    exp.DType.JSONB: PgType(JSONB, -1, "jsonb"),
    exp.DType.INTERVAL: PgType(INTERVAL, -1, "interval"),
    exp.DType.VARBINARY: PgType(BYTEA, -1, "bytea"),
}


def cast_target(type_: exp.DataType) -> PgType:
    """The Postgres type a CAST names; raises `NotSupported` for those that are not on the list."""
    sizes = [int(p.name) for p in type_.expressions if p.name.isdigit()]
    if type_.this == exp.DType.DECIMAL and len(sizes) == len(type_.expressions) <= 2:
        if not sizes:
            return PgType(NUMERIC, -1, "numeric")
        target = numeric(sizes[0], sizes[1] if len(sizes) == 2 else 0)
        if numeric_bounds(target) is not None and sizes[0] > 0:
            return target
    if type_.this == exp.DType.VARCHAR and len(sizes) == len(type_.expressions) == 1 and sizes[0] > 0:
        return PgType(VARCHAR, sizes[0] + 4, f"character varying({sizes[0]})")
    if type_.this in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ) and len(sizes) == len(type_.expressions) == 1:
        return replace(_CAST_TARGETS[type_.this], typmod=min(sizes[0], 6))
    if type_.this == exp.DType.CHAR and len(sizes) == len(type_.expressions) == 1 and sizes[0] > 0:
        return PgType(BPCHAR, sizes[0] + 4, f"character({sizes[0]})")
    target_or_none = _CAST_TARGETS.get(type_.this)
    if target_or_none is None or type_.expressions or type_.args.get("nested"):
        raise refuse(f"a cast to {type_.sql('postgres')}")
    return target_or_none


def converted(value: Scalar, target: PgType) -> Scalar:
    """CAST(value AS target); raises `NotSupported` unless the conversion is exact or fails in both."""
    if value.is_null:
        local = LOCAL_TYPES.get(target.oid)
        return Scalar(cast(exp.Null(), local) if local else exp.Null(), target)
    if target.oid in (TIMESTAMP, TIMESTAMPTZ) and target.typmod >= 0:
        plain = replace(target, typmod=-1)
        return dates.rounded(converted(value, plain), target.typmod, target)
    if value.text is not None:
        value = constant(value.text, PgType(TEXT) if target.oid in (VARCHAR, BPCHAR) else target)
    if value.oid in (JSON, JSONB) and target.oid not in {value.oid, *TEXTS}:
        return _of_document(value, target)
    if target.oid == NUMERIC:
        return _to_numeric(value, target)
    if target.oid in {TEXT, VARCHAR}:
        return _to_text(value, target)
    if target.oid == BPCHAR:
        text = value if value.oid == BPCHAR else _text_of(value)  # cut and filled with spaces to its length
        size = exp.Literal.number(target.typmod - 4)
        padded = function("RPAD", text.node, size, exp.Literal.string(" "))
        return Scalar(padded, target, text.collation, text.explicit)
    if target.oid == value.oid:
        return value
    if value.oid in {TEXT, VARCHAR}:
        return from_text(value, target)
    return _number_of(value, target)


def _of_document(value: Scalar, target: PgType) -> Scalar:
    """Of json jsonb; a number or truth of jsonb: null of null, as from Postgres 18 on, an error of anything else."""
    document = cast(value.node, "JSON")
    if (value.oid, target.oid) == (JSON, JSONB):
        return Scalar(cast(call("jsonb_of", document), "JSON"), target)
    if value.oid == JSON or target.oid not in (BOOL, NUMERIC, *FLOATS, *INTEGERS):
        raise refuse(f"a cast of {value.type.name} to {target.name}")
    if target.oid == BOOL:
        return Scalar(call("json_boolean", document), target)
    shown = Scalar(call("json_numeric", document), PgType(TEXT, -1, "text"), "default")
    if target.oid in INTEGERS:
        return converted(from_text(shown, PgType(NUMERIC, -1, "numeric")), target)
    return from_text(shown, target)


def _number_of(value: Scalar, target: PgType) -> Scalar:
    if target.oid == TIME:
        return clocks.converted(value)
    if (value.oid, target.oid) == (TIME, INTERVAL):
        return clocks.as_interval(value)
    if target.oid == FLOAT8:
        return as_double(value, "a cast")
    local = LOCAL_TYPES.get(target.oid, "")
    if value.oid in FLOATS and target.oid in INTEGERS:
        # To the nearest, half to even (rint); what does not fit raises in both.
        return Scalar(cast(function("ROUND_EVEN", value.node, exp.Literal.number(0)), local), target)
    if (value.oid, target.oid) == (FLOAT8, FLOAT4):
        return Scalar(cast(call("narrowed", value.node, cast(value.node.copy(), local)), local), target)
    if (value.oid, target.oid) == (NUMERIC, FLOAT4):
        return Scalar(cast(cast(value.node, "TEXT"), local), target)  # DuckDB reads text rounding correctly
    if not _convertible(value, target.oid):
        raise refuse(
            f"a cast of {value.type.name or 'this type'} to {target.name}",
            "Say in which zone, as in (x AT TIME ZONE 'UTC')::date." if value.oid == TIMESTAMPTZ else None,
        )
    return Scalar(cast(value.node, local), target)


def _convertible(value: Scalar, target: int) -> bool:
    """Whether a cast rounds and overflows alike."""
    if target in INTEGERS:
        return value.oid in {NUMERIC, *INTEGERS} or (value.oid, target) == (BOOL, INT4)
    if target == FLOAT4:
        return value.oid in INTEGERS
    return (value.oid, target) in {(INT4, BOOL), (DATE, TIMESTAMP), (TIMESTAMP, DATE)}


def _to_numeric(value: Scalar, target: PgType) -> Scalar:
    if value.oid in {TEXT, VARCHAR} and value.number is None:
        return from_text(value, target)
    number = _of_float(value) if value.oid in FLOATS else as_numeric(value, "a cast to numeric")
    bounds = numeric_bounds(target)
    if bounds is not None:
        number = rounded_ratio(number, bounds[1]) or number
    return number if bounds is None else widened(number, *bounds, printed=True)


def _of_float(value: Scalar) -> Scalar:
    """The numeric that Postgres makes of a float: of its first 15 digits (6 of a real), rounded."""
    shown = function("FORMAT", exp.Literal.string("{:.6g}" if value.oid == FLOAT4 else "{:.15g}"), value.node)
    node = cast(call("decimal_of", shown), "DECIMAL(38, 19)")
    return Scalar(node, PgType(NUMERIC, -1, "numeric"), bounds=(38, 19))


def _to_text(value: Scalar, target: PgType) -> Scalar:
    text = _text_of(value)
    if target.typmod < 0:
        return Scalar(text.node, target, text.collation, text.explicit)
    length = exp.Literal.number(target.typmod - 4)
    return Scalar(function("LEFT", text.node, length), target, text.collation, text.explicit)


def _text_of(value: Scalar) -> Scalar:
    if value.oid in TEXTS:
        return as_text(value)
    if value.type.kind == "e":
        return Scalar(value.node, _TEXT, "default")
    node = value.node
    if value.oid in (JSON, JSONB):
        return Scalar(cast(node, "TEXT"), _TEXT, "default")
    if value.oid in FLOATS:
        return Scalar(call("float_text", node, exp.Boolean(this=value.oid == FLOAT4)), _TEXT, "default")
    if value.oid == BYTEA:
        digits = function("LOWER", function("HEX", node))
        return Scalar(exp.Paren(this=exp.DPipe(this=exp.Literal.string("\\x"), expression=digits)), _TEXT, "default")
    if value.oid in (DATE, TIMESTAMP, INTERVAL):
        shown = call("interval_text", node) if value.oid == INTERVAL else call("shown", cast(node, "TEXT"))
        return Scalar(shown, _TEXT, "default")
    if value.oid == NUMERIC and value.printed and value.bounds is not None:
        # DuckDB prints DECIMAL(2,2) without the zero before the point; one more digit brings it back.
        precision, scale = value.bounds
        if precision == scale == 38:
            raise refuse("a cast of numeric(38,38) to text")
        node = widened(value, max(precision, scale + 1), scale).node
    elif value.oid not in {BOOL, UUID, TIME, *INTEGERS}:
        raise refuse(f"a cast of {value.type.name} to text")
    return Scalar(cast(node, "TEXT"), _TEXT, "default")


def like(node: exp.Expr, value: Scalar, pattern: Scalar, escape: str) -> Scalar:
    """`value [NOT] LIKE pattern`. char(n) is matched with its padding, unlike in any other operator."""
    if value.oid != BPCHAR:
        value = as_text(value)
    require_bytes([value, pattern], "LIKE")
    if pattern.text is None:
        return _like_any(value, as_text(pattern), escape, negate=bool(node.args.get("negate")))
    matched = matching(value.node, LikePattern.parse(pattern.text, escape))
    return Scalar(exp.Not(this=exp.Paren(this=matched)) if node.args.get("negate") else matched, _BOOLEAN)


def _like_any(value: Scalar, pattern: Scalar, escape: str, *, negate: bool) -> Scalar:
    """A pattern that is another one in every row."""
    if len(escape) != 1 or escape in "%_":
        raise refuse("LIKE with such an ESCAPE and a pattern that is not a constant")
    matched: exp.Expr = exp.Like(this=operand(value.node), expression=operand(pattern.node))
    matched = exp.Escape(this=matched, expression=exp.Literal.string(escape))
    return Scalar(exp.Not(this=exp.Paren(this=matched)) if negate else matched, _BOOLEAN)


def matching(value: exp.Expr, pattern: LikePattern) -> exp.Expr:
    """`value LIKE pattern`."""
    text = str(pattern)
    matched = exp.Like(this=operand(value), expression=exp.Literal.string(text))
    return exp.Escape(this=matched, expression=exp.Literal.string("\\")) if "\\" in text else matched


def starts_with(value: Scalar, prefix: Scalar) -> Scalar:
    """Whether the text begins with `prefix`; `^@` is the same."""
    values = [as_text(value), as_text(prefix)]
    require_bytes(values, "starts_with")
    return Scalar(function("STARTS_WITH", *(v.node for v in values)), _BOOLEAN)


def length(value: Scalar) -> Scalar:
    """Length in code points; char(n) without its padding; of bytes how many they are."""
    if value.oid == BYTEA:
        return Scalar(cast(function("OCTET_LENGTH", value.node), "INTEGER"), _INTEGER)
    return Scalar(cast(function("LENGTH", as_text(value).node), "INTEGER"), _INTEGER)


def position(value: Scalar, part: Scalar) -> Scalar:
    """Where `part` begins in the text, from 1; 0 when absent."""
    values = [as_text(value), as_text(part)]
    require_bytes(values, "position")
    return Scalar(cast(function("STRPOS", *(v.node for v in values)), "INTEGER"), _INTEGER)


def replaced(value: Scalar, old: Scalar, new: Scalar) -> Scalar:
    """The text with every `old` replaced by `new`."""
    values = [as_text(value), as_text(old), as_text(new)]
    require_bytes(values, "replace")
    collation, explicit = merged_collation(values)
    return Scalar(function("REPLACE", *(v.node for v in values)), _TEXT, collation, explicit)


def left(value: Scalar, count: Scalar) -> Scalar:
    """The first `count` code points: all but the last -count code points when count is negative."""
    return _text_call("LEFT", as_text(value), _integer(count))


def right(value: Scalar, count: Scalar) -> Scalar:
    """The last `count` code points: all but the first -count code points when count is negative."""
    return _text_call("RIGHT", as_text(value), _integer(count))


def substring(value: Scalar, start: Scalar, count: Scalar | None) -> Scalar:
    """The standard's window, which may begin before the text; DuckDB counts such a start from the end."""
    text = as_text(value)
    if start.number is None or (count is not None and count.number is None):
        size = exp.Literal.number(2**32 - 1) if count is None else _integer(count)  # to the end, wherever it begins
        node = call("substring", text.node, _integer(start), size)
        return Scalar(node, _TEXT, text.collation, text.explicit)
    first, begin = int(start.number), max(int(start.number), 1)
    arguments = [exp.Literal.number(begin)]
    if count is not None and count.number is not None:
        wanted = int(count.number)
        if wanted < 0:
            raise refuse("substring of a negative length")
        arguments.append(exp.Literal.number(max(first + wanted - begin, 0)))
    return _text_call("SUBSTRING", text, *arguments)


def trim(value: Scalar, characters: Scalar | None, side: str) -> Scalar:
    """trim, ltrim, rtrim, btrim: of the space alone by default, where DuckDB takes every Unicode space."""
    removed = exp.Literal.string(" ") if characters is None else as_text(characters).node
    return _text_call(_TRIMS[side], as_text(value), removed)


def absolute(value: Scalar) -> Scalar:
    """The absolute value; that of the smallest integer overflows in both."""
    bounded = value.oid == NUMERIC and value.bounds is not None
    if value.oid == NUMERIC and not bounded:
        return Scalar(function("ABS", value.node), value.type)
    if not (bounded or value.oid in {*INTEGERS, FLOAT4, FLOAT8}) or not value.countable:
        raise refuse(f"abs of {value.type.name}", "Cast it to numeric(p,s).")
    local = LOCAL_TYPES.get(value.oid) or "DECIMAL({}, {})".format(*(value.bounds or ()))
    node = exp.Abs(this=cast(value.node, local))
    return Scalar(node, value.type, bounds=value.bounds, printed=value.printed)


def _text_call(name: str, value: Scalar, *arguments: exp.Expr) -> Scalar:
    return Scalar(function(name, value.node, *arguments), _TEXT, value.collation, value.explicit)


def require_bytes(values: list[Scalar], what: str) -> None:
    """Matching is by bytes: right for every deterministic collation."""
    collation, _ = merged_collation(values)
    if not deterministic(collation):
        raise refuse(f"{what} under collation {collation}", 'Write COLLATE "C" after the column.')


def _integer(value: Scalar) -> exp.Expr:
    if value.number is not None and value.oid == INT4:
        return number_node(value.number)
    if value.oid not in INTEGERS:
        raise refuse("a position or length that is not an integer")
    return cast(value.node, "BIGINT")
