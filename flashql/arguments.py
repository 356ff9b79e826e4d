"""Values for a view's parameters, each in one spelling: that which Postgres prints, whatever it was given as.

So equal sets of values have equal texts. Where Postgres's cast to the declared type would change a value (a text too
long, a date with a time) it is refused, but that numbers are rounded to a declared scale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from flashql.catalog import Parameter
from flashql.datatypes import PgType, ladder
from flashql.errors import DefinitionError, NotSupported

# One text for each parameter, in the order they are declared; None is NULL.
Values = tuple[str | None, ...]

_TRUTHS: Final = {"true": "t", "t": "t", "yes": "t", "on": "t", "1": "t"} | dict.fromkeys(
    ("false", "f", "no", "off", "0"), "f"
)
_DIGITS: Final = Context(prec=1000)
_TYPMOD_HEADER: Final = 4


def _integer(bits: int) -> Callable[[PgType, Any], str]:
    def normal(_type: PgType, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
            raise ValueError(value)
        number = int(value) if not isinstance(value, Decimal) or value == int(value) else None
        if number is None or not -(1 << bits - 1) <= number < 1 << bits - 1:
            raise ValueError(value)
        return str(number)

    return normal


def _numeric(type_: PgType, value: Any) -> str:
    if isinstance(value, bool | float) or not isinstance(value, int | str | Decimal):
        raise ValueError(value)
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(value)
    if type_.typmod >= _TYPMOD_HEADER:
        precision, scale = (type_.typmod - _TYPMOD_HEADER) >> 16, (type_.typmod - _TYPMOD_HEADER) & 0x7FF
        scale = scale - 2048 if scale > 1023 else scale  # numeric.c: numeric_typmod_scale
        number = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _DIGITS)
        if abs(number) >= Decimal(10) ** (precision - scale):
            raise ValueError(value)
    text = format(number, "f")
    plain = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if plain in ("-0", "") else plain


def _text(type_: PgType, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(value)
    if _TYPMOD_HEADER <= type_.typmod < len(value) + _TYPMOD_HEADER:
        raise ValueError(value)
    return value


def _boolean(_type: PgType, value: Any) -> str:
    return _TRUTHS[str(value).strip().lower()]


def _uuid(_type: PgType, value: Any) -> str:
    return str(UUID(str(value)))


def _date(_type: PgType, value: Any) -> str:
    if isinstance(value, datetime):
        raise ValueError(value)
    return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()


def _timestamp(_type: PgType, value: Any) -> str:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is not None:
        raise ValueError(value)
    return _moment(moment)


def _timestamptz(_type: PgType, value: Any) -> str:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return f"{_moment(moment.astimezone(UTC).replace(tzinfo=None))}+00"


def _moment(moment: datetime) -> str:
    """As Postgres prints it under DateStyle ISO: no zeros at the end of a second's fraction."""
    text = moment.isoformat(sep=" ")
    return re.sub(r"(\.\d*?)0+$", r"\1", text) if "." in text else text


# By the type's oid (pg_type.dat): which types parameters may have.
_NORMAL: Final[Mapping[int, Callable[[PgType, Any], str]]] = {
    16: _boolean,
    20: _integer(64),
    21: _integer(16),
    23: _integer(32),
    25: _text,
    1043: _text,
    1082: _date,
    1114: _timestamp,
    1184: _timestamptz,
    1700: _numeric,
    2950: _uuid,
}
_INTEGERS: Final = (20, 21, 23)


def require_type(name: str, type_: PgType) -> None:
    """Raise `NotSupported` for a type that parameters cannot have."""
    if type_.oid not in _NORMAL:
        raise NotSupported(
            f"parameter {name} cannot be {type_.name}",
            hint="Parameters are integers, numeric, text, varchar, boolean, uuid, date or timestamps.",
        )


def normal(name: str, type_: PgType, value: object) -> str | None:
    """The value's text; raises `DefinitionError` for one that the type does not have.

    >>> normal("issue", PgType(20, -1, "bigint"), " 042 "), normal("day", PgType(1082, -1, "date"), "2024-02-29")
    ('42', '2024-02-29')
    """
    if value is None:
        return None
    try:
        return _NORMAL[type_.oid](type_, value)
    except (ValueError, KeyError, TypeError, InvalidOperation, OverflowError):
        raise DefinitionError(f"parameter {name} is {type_.name}, which {value!r} is not") from None


def of_subscription(parameters: Sequence[Parameter], given: Mapping[str, object]) -> Values:
    """One value for each parameter: that given, or its default. Raises `DefinitionError` for what does not fit them."""
    unknown = [name for name in given if name not in {parameter.name for parameter in parameters}]
    if unknown:
        known = ", ".join(parameter.name for parameter in parameters) or "none"
        raise DefinitionError(f"there is no parameter {unknown[0]}", hint=f"The view's parameters: {known}.")
    missing = [parameter.name for parameter in parameters if parameter.name not in given and not parameter.has_default]
    if missing:
        raise DefinitionError(f"parameter {missing[0]} has no default, so it must be given")
    return tuple(
        normal(parameter.name, parameter.type, given[parameter.name]) if parameter.name in given else parameter.default
        for parameter in parameters
    )


def to_json(parameters: Sequence[Parameter], values: Values) -> str:
    """The values as a JSON object, in the order of the parameters: integers as numbers, others as text.

    Equal values make equal texts.
    """
    shown = {
        parameter.name: int(value) if value is not None and parameter.type.oid in _INTEGERS else value
        for parameter, value in zip(parameters, values, strict=True)
    }
    return json.dumps(shown, ensure_ascii=False)


def from_json(parameters: Sequence[Parameter], text: str) -> Values:
    """The values that `to_json` made text of. Raises `DefinitionError` when the parameters are others by now."""
    return of_subscription(parameters, json.loads(text))


def local_types(parameters: Sequence[Parameter], numeric: str) -> list[str]:
    """The DuckDB type that holds each parameter's values."""
    return [ladder(parameter.type, numeric=numeric)[0].name for parameter in parameters]
