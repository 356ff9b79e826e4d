"""Functions by Postgres's name, over arguments already translated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import dates
from flashql.planner.arithmetic import rounded as rounded_to
from flashql.planner.functions import converted
from flashql.planner.literals import BOOL, FLOAT8, INT4, MAX_PRECISION, NUMERIC, TEXT, UNKNOWN
from flashql.planner.parsing import PREFIX
from flashql.planner.scalars import (
    FLOATS,
    INTEGERS,
    TEXTS,
    Scalar,
    as_double,
    as_text,
    cast,
    function,
    merged_collation,
    operand,
    refuse,
)

_TEXT: Final = PgType(TEXT, -1, "text")
_INTEGER: Final = PgType(INT4, -1, "integer")
_DOUBLE: Final = PgType(FLOAT8, -1, "double precision")
_NUMERIC: Final = PgType(NUMERIC, -1, "numeric")
_VOLATILE: Final = {
    "random", "gen_random_uuid", "clock_timestamp", "timeofday", "statement_timestamp", "transaction_timestamp",
    "nextval", "currval", "txid_current", "pg_current_xact_id", "setseed", "uuid_generate_v4", "now", "age",
}  # fmt: skip


def called(name: str, arguments: Sequence[Scalar]) -> Scalar:
    """A function's value; raises `NotSupported` for one that is not on the list."""
    name = name.lower().removeprefix(PREFIX)
    rule = _FUNCTIONS.get(name)
    if name in _VOLATILE:
        raise refuse(f"the function {name}, whose value is another one at each call,")
    if rule is None:
        raise refuse(f"the function {name}")
    least, most, made = rule
    if not least <= len(arguments) <= most:
        raise refuse(f"the function {name} of {len(arguments)} arguments")
    return made(*arguments)


def rounded(value: Scalar, digits: Scalar | None) -> Scalar:
    """round(numeric[, digits])."""
    return rounded_to(value, None if digits is None else _digits(digits, "round"))


def _digits(value: Scalar, what: str) -> int:
    if value.number is None or value.oid != INT4 or int(value.number) < 0:
        raise refuse(f"{what} with a number of digits that is not a constant from 0")
    return int(value.number)


def _interval(text: Scalar, unit: Scalar | None = None) -> Scalar:
    assert text.text is not None
    return dates.interval(text.text, unit.text if unit is not None else None)


def _date_part(field: Scalar, source: Scalar) -> Scalar:
    if field.text is None:
        raise refuse("date_part of a field that is not a constant")
    return dates.date_part(source, field.text)


def _date(value: Scalar) -> Scalar:
    return converted(value, PgType(1082, -1, "date"))


def _whole(name: str) -> Callable[[Scalar], Scalar]:
    """floor, ceil, trunc: numeric of a numeric, double precision of anything else."""

    def rule(value: Scalar) -> Scalar:
        if value.oid == NUMERIC and value.bounds is not None:
            precision, scale = value.bounds
            wide = min(precision - scale + 1, MAX_PRECISION)
            node = function(name, cast(value.node, f"DECIMAL({precision}, {scale})"))
            return Scalar(cast(node, f"DECIMAL({wide}, 0)"), _NUMERIC, bounds=(wide, 0), printed=True)
        if value.oid == FLOAT8 or value.oid in INTEGERS:
            return Scalar(function(name, as_double(value, name).node), _DOUBLE)
        raise refuse(f"{name.lower()} of {value.type.name}", "Cast it to numeric(p,s).")

    return rule


def _sign(value: Scalar) -> Scalar:
    if value.oid == NUMERIC and value.bounds is not None:
        node = function("SIGN", cast(value.node, "DECIMAL({}, {})".format(*value.bounds)))
        return Scalar(cast(node, "DECIMAL(1, 0)"), _NUMERIC, bounds=(1, 0), printed=True)
    raise refuse(f"sign of {value.type.name}", "Cast it to numeric(p,s).")


def _sqrt(value: Scalar) -> Scalar:
    """The square root of a double, which IEEE 754 says to the last bit; negative is an error in both."""
    if value.oid not in {*FLOATS, *INTEGERS}:
        raise refuse(f"sqrt of {value.type.name}", "Cast it to double precision.")
    return Scalar(function("SQRT", as_double(value, "sqrt").node), _DOUBLE)


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


def _repeat(value: Scalar, times: Scalar) -> Scalar:
    text, count = as_text(value), _digits(times, "repeat")
    return Scalar(function("REPEAT", text.node, exp.Literal.number(count)), _TEXT, text.collation, text.explicit)


def _split_part(value: Scalar, delimiter: Scalar, field: Scalar) -> Scalar:
    text, place = as_text(value), _digits(field, "split_part")
    if not delimiter.text or place == 0:
        raise refuse("split_part by what is not a constant", "Write a constant delimiter and a field from 1.")
    node = function("SPLIT_PART", text.node, exp.Literal.string(delimiter.text), exp.Literal.number(place))
    return Scalar(node, _TEXT, text.collation, text.explicit)


def _md5(value: Scalar) -> Scalar:
    return Scalar(function("MD5", as_text(value).node), _TEXT, "default")


def _num_nulls(*values: Scalar) -> Scalar:
    ones = [cast(exp.Is(this=operand(one.node), expression=exp.Null()), "INTEGER") for one in values]
    total = ones[0]
    for one in ones[1:]:
        total = exp.Add(this=total, expression=one)
    return Scalar(cast(total, "INTEGER"), _INTEGER)


_MANY: Final = 100
_FUNCTIONS: Final[dict[str, tuple[int, int, Callable[..., Scalar]]]] = {
    "interval": (1, 2, _interval),
    "date_part": (2, 2, _date_part),
    "date": (1, 1, _date),
    "to_char": (2, 2, dates.to_char),
    "floor": (1, 1, _whole("FLOOR")),
    "ceil": (1, 1, _whole("CEIL")),
    "ceiling": (1, 1, _whole("CEIL")),
    "trunc": (1, 1, _whole("TRUNC")),
    "sign": (1, 1, _sign),
    "sqrt": (1, 1, _sqrt),
    "concat": (1, _MANY, _concat),
    "concat_ws": (2, _MANY, _concat_ws),
    "repeat": (2, 2, _repeat),
    "split_part": (3, 3, _split_part),
    "md5": (1, 1, _md5),
    "num_nulls": (1, _MANY, _num_nulls),
}
