"""Functions by Postgres's name, over arguments already translated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import (
    binary,
    bits,
    composing,
    dates,
    documents,
    formats,
    intervals,
    lists,
    matches,
    numbers,
    paths,
    strings,
)
from flashql.planner.arithmetic import rounded as rounded_to
from flashql.planner.functions import converted, length
from flashql.planner.literals import BOOL, BYTEA, FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC, TEXT, UNKNOWN, VARCHAR
from flashql.planner.parsing import PREFIX
from flashql.planner.scalars import (
    FLOATS,
    INTEGERS,
    TEXTS,
    Scalar,
    as_text,
    cast,
    function,
    interval,
    merged_collation,
    operand,
    refuse,
)

_JUSTIFIED: Final = ("justify_hours", "justify_days", "justify_interval")
_TEXT: Final = PgType(TEXT, -1, "text")
_INTEGER: Final = PgType(INT4, -1, "integer")
_DOUBLE: Final = PgType(FLOAT8, -1, "double precision")
_NUMERIC: Final = PgType(NUMERIC, -1, "numeric")
_VOLATILE: Final = {
    "random", "gen_random_uuid", "clock_timestamp", "timeofday", "statement_timestamp", "transaction_timestamp",
    "nextval", "currval", "txid_current", "pg_current_xact_id", "setseed", "uuid_generate_v4", "now",
}  # fmt: skip


def called(name: str, arguments: Sequence[Scalar]) -> Scalar:
    """A function's value; raises `NotSupported` for one that is not on the list."""
    name = name.lower().removeprefix(PREFIX)
    rule = _FUNCTIONS.get(name)
    if name in _VOLATILE or (name == "age" and len(arguments) < 2):
        raise refuse(f"the function {name}, whose value is another one at each call,")
    if rule is None:
        raise refuse(f"the function {name}")
    least, most, made = rule
    if not least <= len(arguments) <= most:
        raise refuse(f"the function {name} of {len(arguments)} arguments")
    return made(*arguments)


def rounded(value: Scalar, digits: Scalar | None) -> Scalar:
    """round(numeric[, digits]), and round(double precision)."""
    if digits is not None and digits.number is None:
        return numbers.to_digits(value, digits, rounded=True)
    places = None if digits is None else numbers.constant_digits(digits, "round")
    if places is not None and places < 0:
        return numbers.rounded_up(value, places)
    if places is None and value.oid in {*FLOATS, *INTEGERS}:
        return numbers.rounded_double(value)
    return rounded_to(value, places)


def _interval(text: Scalar, unit: Scalar | None = None) -> Scalar:
    assert text.text is not None
    return interval(text.text, unit.text if unit is not None else None)


def _date_part(field: Scalar, source: Scalar) -> Scalar:
    if field.text is None:
        raise refuse("date_part of a field that is not a constant")
    return dates.date_part(source, field.text)


def _date(value: Scalar) -> Scalar:
    return converted(value, PgType(1082, -1, "date"))


def _concat(*values: Scalar) -> Scalar:
    """The texts of all, nulls left out."""
    return _joined("CONCAT", [_shown(one) for one in values])


def _concat_ws(separator: Scalar, *values: Scalar) -> Scalar:
    """The texts of all with the separator between, nulls left out; null where the separator is."""
    return _joined("CONCAT_WS", [as_text(separator), *(_shown(one) for one in values)])


def _joined(name: str, values: Sequence[Scalar]) -> Scalar:
    collation, explicit = merged_collation(values)
    return Scalar(function(name, *(one.node for one in values)), _TEXT, collation or "default", explicit)


def _shown(value: Scalar) -> Scalar:
    """The value's text as concat shows it: a boolean is t or f."""
    if value.oid == UNKNOWN:
        return as_text(value) if value.text is not None else Scalar(cast(exp.Null(), "TEXT"), _TEXT)
    if value.oid == BOOL:
        letter = exp.Case(
            ifs=[exp.If(this=operand(value.node), true=exp.Literal.string("t"))],
            default=exp.Case(ifs=[exp.If(this=exp.Not(this=operand(value.node)), true=exp.Literal.string("f"))]),
        )
        return Scalar(letter, _TEXT)
    return converted(value, _TEXT) if value.oid not in TEXTS else as_text(value)


def _format(pattern: Scalar, *values: Scalar) -> Scalar:
    return strings.formatted(pattern, *(_shown(one) for one in values))


def _shown_as_cast(value: Scalar) -> Scalar:
    return as_text(value) if value.oid in {*TEXTS, UNKNOWN} else converted(value, _TEXT)


def _num_nonnulls(*values: Scalar) -> Scalar:
    return Scalar(exp.Sub(this=exp.Literal.number(len(values)), expression=_num_nulls(*values).node), _INTEGER)


def _md5(value: Scalar) -> Scalar:
    return Scalar(function("MD5", value.node if value.oid == BYTEA else as_text(value).node), _TEXT, "default")


def _num_nulls(*values: Scalar) -> Scalar:
    ones = [cast(exp.Is(this=operand(one.node), expression=exp.Null()), "INTEGER") for one in values]
    total = ones[0]
    for one in ones[1:]:
        total = exp.Add(this=total, expression=one)
    return Scalar(cast(total, "INTEGER"), _INTEGER)


_OF_LIBRARY: Final = (
    "exp", "ln", "log", "log10", "cbrt", "sin", "cos", "tan", "cot", "asin", "acos", "atan", "atan2", "sinh", "cosh",
    "tanh", "asinh", "acosh", "atanh", "sind", "cosd", "tand", "cotd", "asind", "acosd", "atand", "atan2d", "erf",
    "erfc", "gamma", "lgamma",
)  # fmt: skip
# Types whose names are functions that cast.
_CASTS: Final = {
    "int2": PgType(INT2, -1, "smallint"), "int4": _INTEGER, "int8": PgType(INT8, -1, "bigint"),
    "float4": PgType(FLOAT4, -1, "real"), "float8": _DOUBLE, "text": _TEXT,
    "bool": PgType(BOOL, -1, "boolean"), "varchar": PgType(VARCHAR, -1, "character varying"),
}  # fmt: skip
_MANY: Final = 100
_FUNCTIONS: Final[dict[str, tuple[int, int, Callable[..., Scalar]]]] = {
    "interval": (1, 2, _interval),
    "date_part": (2, 2, _date_part),
    "date": (1, 1, _date),
    "to_char": (2, 2, formats.to_char),
    "to_date": (2, 2, formats.to_date),
    "floor": (1, 1, numbers.whole("FLOOR")),
    "ceil": (1, 1, numbers.whole("CEIL")),
    "ceiling": (1, 1, numbers.whole("CEIL")),
    "trunc": (1, 2, numbers.whole("TRUNC")),
    "sign": (1, 1, numbers.sign),
    "sqrt": (1, 1, numbers.sqrt),
    "scale": (1, 1, numbers.scale_of),
    "min_scale": (1, 1, numbers.least_scale),
    "trim_scale": (1, 1, numbers.without_zeros),
    "degrees": (1, 1, numbers.angle(exp.Div)),
    "radians": (1, 1, numbers.angle(exp.Mul)),
    "pi": (0, 0, numbers.pi),
    "width_bucket": (2, 4, numbers.bucket),
    **dict.fromkeys(("power", "pow"), (2, 2, numbers.power)),
    **{name: (1, 2, numbers.of_library(name)) for name in _OF_LIBRARY},
    **{name: (1, 1, partial(converted, target=type_)) for name, type_ in _CASTS.items()},
    "factorial": (1, 1, numbers.factorial),
    "gcd": (2, 2, numbers.divisor("gcd")),
    "lcm": (2, 2, numbers.divisor("lcm")),
    "div": (2, 2, numbers.quotient_whole),
    "concat": (1, _MANY, _concat),
    "concat_ws": (2, _MANY, _concat_ws),
    "repeat": (2, 2, strings.repeated),
    "split_part": (3, 3, strings.field_of),
    "reverse": (1, 1, strings.reverse),
    "initcap": (1, 1, strings.initcap),
    "lpad": (2, 3, partial(strings.padded, "lpad")),
    "rpad": (2, 3, partial(strings.padded, "rpad")),
    "translate": (3, 3, strings.translated),
    "ascii": (1, 1, strings.first_code),
    "chr": (1, 1, strings.character),
    "octet_length": (1, 1, lambda value: (length if value.oid == BYTEA else strings.octets)(value)),
    "bit_length": (1, 1, strings.bits),
    "get_byte": (2, 2, binary.byte),
    "bit_count": (1, 1, bits.counted),
    "uuid_extract_version": (1, 1, bits.uuid_version),
    "sha256": (1, 1, partial(binary.digest, "sha256")),
    "encode": (2, 2, binary.encoded),
    "decode": (2, 2, binary.decoded),
    "strpos": (2, 2, strings.position),
    **{name: (1, 1, bits.digits(name)) for name in ("to_bin", "to_oct", "to_hex")},
    "format": (1, _MANY, _format),
    "regexp_match": (2, 2, matches.parts),
    "regexp_substr": (2, 2, matches.whole),
    "regexp_instr": (2, 2, matches.place),
    "regexp_count": (2, 2, matches.count),
    "regexp_replace": (3, 4, matches.replaced),
    "regexp_split_to_array": (2, 2, matches.split),
    "md5": (1, 1, _md5),
    "cardinality": (1, 1, lists.cardinality),
    "array_length": (2, 2, lists.length),
    "array_upper": (2, 2, lists.length),
    "array_lower": (2, 2, lists.lower),
    "array_ndims": (1, 1, lists.dimensions),
    "array_dims": (1, 1, lists.shown_dimensions),
    "array_position": (2, 3, lists.place_of),
    "array_positions": (2, 2, lists.places_of),
    "array_replace": (3, 3, lists.exchanged),
    "trim_array": (2, 2, lists.trimmed),
    "array_fill": (2, 2, lists.filled),
    "array_reverse": (1, 1, lists.reverse),
    "array_sort": (1, 1, lists.sort),
    "array_to_string": (2, 3, lists.joined),
    "string_to_array": (2, 3, lists.split),
    "quote_literal": (1, 1, lambda value: strings.quoted(_shown_as_cast(value))),
    "quote_nullable": (1, 1, lambda value: strings.quoted_or_null(_shown_as_cast(value))),
    **{name: (0, _MANY, partial(composing.object_, name)) for name in ("jsonb_build_object", "json_build_object")},
    **{name: (0, _MANY, partial(composing.array, name)) for name in ("jsonb_build_array", "json_build_array")},
    **{name: (1, 1, partial(composing.converted_whole, name)) for name in ("to_jsonb", "to_json")},
    "row_to_json": (1, 2, composing.row_to_json),
    "array_to_json": (1, 1, composing.array_to_json),
    "object_required": (1, 1, documents.object_required),
    "jsonb_set": (3, 4, paths.replaced),
    "jsonb_set_lax": (3, 5, paths.replaced_lax),
    "jsonb_insert": (3, 4, paths.inserted),
    "jsonb_strip_nulls": (1, 1, paths.without_nulls),
    "jsonb_pretty": (1, 1, paths.pretty),
    **{name: (1, 2, partial(paths.of_texts, name)) for name in ("jsonb_object", "json_object")},
    "jsonb_extract_path": (2, _MANY, paths.extracted),
    "jsonb_extract_path_text": (2, _MANY, paths.extracted_text),
    **dict.fromkeys(("jsonb_typeof", "json_typeof"), (1, 1, documents.type_of)),
    **dict.fromkeys(("jsonb_array_length", "json_array_length"), (1, 1, documents.array_length)),
    "make_date": (3, 3, dates.made_date),
    "to_timestamp": (1, 1, dates.of_epoch),
    "age": (2, 2, dates.age),
    "date_bin": (3, 3, dates.binned),
    "isfinite": (1, 1, dates.is_finite),
    **{name: (1, 1, partial(intervals.justified, name)) for name in _JUSTIFIED},
    "num_nulls": (1, _MANY, _num_nulls),
    "num_nonnulls": (1, _MANY, _num_nonnulls),
}
