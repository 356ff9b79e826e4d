"""Rows as numbers that an origin and DuckDB compute alike, so that tables are compared without being sent.

Each value has a canonical text that both sides print: the stream's own text, except where DuckDB cannot spell that
(floats and intervals, compared by their bits, except that a NaN is one whatever its bits, which arithmetic and text
make differently; numerics, where zeros at the end are free). A row's text joins those
of its columns so that no two rows share one; its hash is the first 60 bits of the text's md5, which both sides have.
A row's *place* bounds and orders it: its key where that is one integer, so that ranges of places are ranges of the
key, else the hash of its key, or of the whole row where nothing identifies it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flashql.catalog import Copy, CopyColumn
from flashql.datatypes import LocalType, PgType, select_text
from flashql.quoting import quote

Field = Callable[[PgType, LocalType, str], str]

_INTEGERS = ("SMALLINT", "INTEGER", "BIGINT")
# Canonical texts of these have no comma and are no lone minus: such mark a value's end, and NULL.
_PLAIN = (*_INTEGERS, "UINTEGER", "UBIGINT", "BOOLEAN", "FLOAT", "DOUBLE", "DATE", "UUID", "BLOB", "INTERVAL")
_PLAIN_PREFIXES = ("DECIMAL", "TIME")


# The places of rows that are known by a hash.
PLACES = (0, (1 << 60) - 1)


@dataclass(frozen=True)
class Fingerprint:
    """SQL over the columns of a table, on one side: `place` and `hash` are 64-bit integers, never NULL.

    `is_key` says that places are the key itself; else they lie in `PLACES`.
    """

    place: str
    hash: str
    is_key: bool


def of_origin(copy: Copy) -> Fingerprint:
    """Over the columns of the origin's table, in Postgres's dialect."""
    hashed = f"('x' || left(md5({_in_utf8('concat({fields})')}), 15))::bit(60)::int8"
    return _fingerprint(copy, lambda kept: quote(kept.name), _origin_field, "{key}", hashed)


def of_local(copy: Copy) -> Fingerprint:
    """Over the columns of the copy's table, in DuckDB's dialect."""
    hashed = "CAST('0x' || left(md5(concat({fields})), 15) AS BIGINT)"
    return _fingerprint(copy, lambda kept: quote(kept.local_name), _local_field, "CAST({key} AS BIGINT)", hashed)


def _fingerprint(copy: Copy, name: Callable[[CopyColumn], str], field: Field, integer: str, hashed: str) -> Fingerprint:
    def joined(columns: Iterable[CopyColumn]) -> str:
        fields = [field(kept.column.type, copy.local_type(kept), name(kept)) for kept in columns]
        return hashed.replace("{fields}", ", ".join(fields) or "''")

    row = joined(copy.columns)
    by_name = {kept.name: kept for kept in copy.columns}
    key = [by_name[part] for part in copy.key]
    if len(key) == 1 and copy.local_type(key[0]).name in _INTEGERS:
        return Fingerprint(integer.replace("{key}", name(key[0])), row, is_key=True)
    return Fingerprint(joined(key) if key else row, row, is_key=False)


def _is_plain(local: LocalType) -> bool:
    return local.name in _PLAIN or (local.name.startswith(_PLAIN_PREFIXES) and not _is_list(local))


def _is_list(local: LocalType) -> bool:
    return local.name.endswith("[]")


def _element(local: LocalType) -> LocalType:
    return LocalType(local.name.removesuffix("[]"))


def _origin_field(type_: PgType, local: LocalType, value: str) -> str:
    text = _origin_text(type_, local, value)
    if _is_plain(local):
        return f"coalesce({text}, '-'), ','"
    return f"coalesce(octet_length({_in_utf8(text)}) || ':' || {text}, '-')"


def _in_utf8(text: str) -> str:
    """The bytes that DuckDB holds, whatever encoding the origin's database has."""
    return f"convert_to({text}, 'UTF8')"


def _local_field(type_: PgType, local: LocalType, value: str) -> str:
    text = _local_text(type_, local, value)
    if _is_plain(local):
        return f"coalesce({text}, '-'), ','"
    return f"coalesce(strlen({text}) || ':' || {text}, '-')"


def _origin_text(type_: PgType, local: LocalType, value: str) -> str:
    """Postgres SQL for the canonical text of a value that is held as `local`."""
    if _is_list(local):
        assert type_.element is not None
        element = _origin_field(type_.element, _element(local), f"{value}[nth]")
        joined = f"(SELECT string_agg(concat({element}), '' ORDER BY nth) FROM generate_subscripts({value}, 1) AS nth)"
        return f"CASE WHEN {value} IS NOT NULL THEN concat(array_dims({value}), {joined}) END"
    if local.name in ("FLOAT", "DOUBLE"):
        bits = f"encode(float{4 if local.name == 'FLOAT' else 8}send({value}), 'hex')"
        return f"CASE WHEN {value} = 'NaN' THEN 'nan' ELSE {bits} END"
    if local.name == "INTERVAL":
        return f"encode(interval_send({value}), 'hex')"
    if local.name.startswith("DECIMAL"):
        return f"trim_scale({value})::text"
    return select_text(type_, value)


def _local_text(type_: PgType, local: LocalType, value: str) -> str:
    """DuckDB SQL for the same."""
    text = f"CAST({value} AS VARCHAR)"
    if _is_list(local):
        assert type_.element is not None
        element = _local_field(type_.element, _element(local), "flashql_item")
        dimensions = f"CASE WHEN len({value}) > 0 THEN '[1:' || len({value}) || ']' ELSE '' END"
        return f"({dimensions} || array_to_string([concat({element}) FOR flashql_item IN {value}], ''))"
    if local.name in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isnan({value}) THEN 'nan' ELSE lower(hex(CAST(CAST({value} AS BIT) AS BLOB))) END"
    if local.name == "INTERVAL":
        return _interval(value)
    if local.name.startswith("DECIMAL"):
        return _decimal(local, text)
    if local.name == "BOOLEAN":
        return f"left({text}, 1)"
    if local.name == "BLOB":
        return f"'\\x' || lower(hex({value}))"
    if local.name == "TIMESTAMP WITH TIME ZONE":  # its own text would depend on the session's time zone
        finite = f"make_timestamp(epoch_us({value}))"
        return f"CASE WHEN isinf({value}) THEN {text} ELSE {_with_era(f'CAST({finite} AS VARCHAR)', '+00')} END"
    if local.name in ("TIMESTAMP", "DATE"):
        return _with_era(text, "")
    return text


def _decimal(local: LocalType, text: str) -> str:
    """Without zeros at the end. DuckDB prints no zero before the point when all digits are behind it."""
    width, _, scale = local.name.removeprefix("DECIMAL(").removesuffix(")").partition(",")
    if scale == "0":
        return text
    if width == scale:
        text = f"regexp_replace({text}, '^(-?)\\.', '\\10.')"
    return f"rtrim(rtrim({text}, '0'), '.')"


def _with_era(text: str, zone: str) -> str:
    """'0044-03-15 (BC) 10:00:00' -> '0044-03-15 10:00:00+00 BC'."""
    return (
        f"CASE WHEN contains({text}, ' (BC)') THEN replace({text}, ' (BC)', '') || '{zone} BC' "
        f"ELSE {text} || '{zone}' END"
    )


def _interval(value: str) -> str:
    """Microseconds, days and months in hexadecimal: what interval_send writes (timestamp.c)."""
    time = (
        f"date_part('hour', {value}) * 3600000000 + date_part('minute', {value}) * 60000000 "
        f"+ date_part('microseconds', {value})"
    )
    months = f"date_part('year', {value}) * 12 + date_part('month', {value})"
    return f"printf('%016x%08x%08x', {time}, date_part('day', {value}) & 4294967295, ({months}) & 4294967295)"
