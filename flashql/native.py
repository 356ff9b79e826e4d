"""Types that come as Arrow's own values: which, and the SQL from what the ADBC driver delivers to local types.

Proven value by value against Postgres's text in tests/postgres/test_type_round_trip.py. Everything else is selected
as text: uuid because older drivers deliver bytes, oid because it turns negative, numeric because it comes as text
anyhow and the server prints it faster, ...
"""

from __future__ import annotations

from flashql.datatypes import LocalType, PgType, ladder


def is_native(type: PgType) -> bool:  # noqa: A002
    """Whether a column of the type is selected as it is, rather than as text."""
    return type.oid in _NATIVE


def arriving(type: PgType, *, numeric: str = "auto") -> tuple[LocalType, ...]:  # noqa: A002
    """The rungs of `ladder(type)`, each with the SQL over what arrives: Arrow's value, else text.

    What arrives has DuckDB's type `arriving_type(type)`; it may be outside what that type prints, so read it
    through a rung's `from_text` or `fits` alone.
    """
    return _NATIVE.get(type.oid) or ladder(type, numeric=numeric)


def arriving_type(type: PgType) -> str:  # noqa: A002
    """The DuckDB type of the Arrow values that arrive."""
    return _NATIVE[type.oid][0].name if is_native(type) else "VARCHAR"


# Postgres counts from 2000, Arrow from 1970, and the driver adds the difference unchecked: so the two infinities (the
# largest and smallest integers) arrive as years that no value has, and timestamps that 64 bits cannot count from 1970
# arrive below those. Postgres's first moment is 4714-11-24 BC (timestamp.h); DuckDB's last is the last integer but one.
_INFINITE_DAY, _INFINITE_MICROSECOND = -2_147_472_692, -9_222_425_352_054_775_809  # each minus infinity is one above
_FIRST_MICROSECOND, _LAST_MICROSECOND = -210_866_803_200_000_000, 9_223_372_036_854_775_806
_MICROSECONDS_IN_400_YEARS = 146_097 * 86_400_000_000


def _error(name: str, shown: str) -> str:
    return f"error('this value does not fit {name}: ' || {shown})"


def _date() -> LocalType:
    days = "({text} - DATE '1970-01-01')"
    return LocalType(
        "DATE",
        f"CASE WHEN {{text}} >= DATE '4714-11-24 (BC)' THEN {{text}} WHEN {days} = {_INFINITE_DAY} THEN DATE 'infinity'"
        f" WHEN {days} = {_INFINITE_DAY + 1} THEN DATE '-infinity' WHEN {days} IS NOT NULL THEN {_error('DATE', days)} "
        "END",
    )


def _moment(name: str, zone: str) -> tuple[LocalType, ...]:
    """A timestamp, and its text, which ends with `zone`. DuckDB may fail badly on casts of what no timestamp is."""
    count = "epoch_us({text})"  # NULL for what DuckDB takes for infinite
    ordinary = f"{count} BETWEEN {_FIRST_MICROSECOND} AND {_LAST_MICROSECOND}"
    plus, minus = f"{count} = {_INFINITE_MICROSECOND}", f"{count} = {_INFINITE_MICROSECOND + 1}"
    held = LocalType(
        name,
        f"CASE WHEN {ordinary} THEN {{text}} WHEN {plus} THEN CAST('infinity' AS {name}) WHEN {minus} "
        f"THEN CAST('-infinity' AS {name}) WHEN {{text}} IS NOT NULL "
        f"THEN {_error(name, f'coalesce({count}, {_LAST_MICROSECOND + 1})')} END",
        f"({{text}} IS NULL OR coalesce({ordinary} OR {plus} OR {minus}, false))",
    )
    printed = f"CAST(make_timestamp({count}) AS VARCHAR) || '{zone}'"
    with_era = f"regexp_replace({printed}, '^(\\S+) \\(BC\\)(.*)$', '\\1\\2 BC')"
    # The rest is late, in the years 294247 to 294276: printed as 400 years earlier, which is a whole number of days.
    beyond = f"CASE WHEN {{text}} = CAST('infinity' AS {name}) THEN {(1 << 63) - 1} ELSE {(1 << 63) + 1} END"
    late = f"coalesce({count}::HUGEINT + {1 << 64}, {beyond})"
    earlier = f"CAST(make_timestamp(CAST({late} - {_MICROSECONDS_IN_400_YEARS} AS BIGINT)) AS VARCHAR)"
    text = LocalType(
        "VARCHAR",
        f"CASE WHEN {{text}} IS NULL THEN NULL WHEN {plus} THEN 'infinity' WHEN {minus} THEN '-infinity' "
        f"WHEN {ordinary} THEN {with_era} "
        f"ELSE CAST(CAST(left({earlier}, 6) AS INTEGER) + 400 AS VARCHAR) || substr({earlier}, 7) || '{zone}' END",
    )
    return held, text


_AS_IT_IS = (16, 21, 23, 20, 700, 701, 25, 1043, 1042, 19, 17, 1083)

_NATIVE: dict[int, tuple[LocalType, ...]] = {
    **{oid: (LocalType(ladder(PgType(oid))[0].name),) for oid in _AS_IT_IS},
    1082: (_date(),),
    1114: _moment("TIMESTAMP", ""),
    1184: _moment("TIMESTAMP WITH TIME ZONE", "+00"),
}
