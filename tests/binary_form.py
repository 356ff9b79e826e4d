"""Row messages of a text stream as a binary one has them: what Postgres's send functions write, from what it prints."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

from flashql.origins.base import Relation

_EPOCH = datetime(2000, 1, 1)


def numeric(text: str) -> bytes:
    """As numeric.c's `numeric_send`.

    >>> numeric("-12345.5").hex()
    '0003000140000001000109291388'
    """
    value = Decimal(text)
    if value.is_nan() or value.is_infinite():
        sign = 0xC000 if value.is_nan() else 0xF000 if value < 0 else 0xD000
        return struct.pack("!hhHH", 0, 0, sign, 0)
    negative, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    whole = "".join(map(str, digits)) + "0" * max(exponent, 0)
    scale = max(-exponent, 0)
    whole = whole.rjust(scale, "0")
    before, after = whole[: len(whole) - scale].lstrip("0"), whole[len(whole) - scale :]
    before = before.rjust(-(-len(before) // 4) * 4, "0")
    after = after.ljust(-(-len(after) // 4) * 4, "0")
    groups = [int((before + after)[at : at + 4]) for at in range(0, len(before + after), 4)]
    weight = len(before) // 4 - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    if not groups:
        return struct.pack("!hhHH", 0, 0, 0, scale)
    return struct.pack(f"!hhHH{len(groups)}h", len(groups), weight, 0x4000 * negative, scale, *groups)


def _timestamp(text: str) -> bytes:
    if text.endswith("infinity"):
        return struct.pack("!q", -(2**63) if text.startswith("-") else 2**63 - 1)
    moment = datetime.fromisoformat(text.removesuffix("+00"))
    return struct.pack("!q", (moment - _EPOCH) // timedelta(microseconds=1))


def _date(text: str) -> bytes:
    if text.endswith("infinity"):
        return struct.pack("!i", -(2**31) if text.startswith("-") else 2**31 - 1)
    return struct.pack("!i", (date.fromisoformat(text) - _EPOCH.date()).days)


def _integer(size: int) -> Callable[[str], bytes]:
    return lambda text: int(text).to_bytes(size, "big", signed=True)


SENT: Mapping[int, Callable[[str], bytes]] = {
    16: lambda text: bytes([text == "t"]),
    17: lambda text: bytes.fromhex(text.removeprefix("\\x")),
    20: _integer(8),
    21: _integer(2),
    23: _integer(4),
    25: str.encode,
    26: lambda text: int(text).to_bytes(4, "big"),
    114: str.encode,
    700: lambda text: struct.pack("!f", float(text)),
    701: lambda text: struct.pack("!d", float(text)),
    1043: str.encode,
    1082: _date,
    1114: _timestamp,
    1184: _timestamp,
    1700: numeric,
    2950: lambda text: uuid.UUID(text).bytes,
    3802: lambda text: b"\1" + text.encode(),
}


def in_binary(message: bytes, relation: Relation) -> bytes:
    """The row message of a relation, from text to binary form; what is null or was not sent stays so."""
    parts, at = [message[:5]], 5
    while at < len(message):
        (width,) = struct.unpack_from("!H", message, at + 1)
        parts.append(message[at : at + 3])
        at += 3
        for column in relation.columns[:width]:
            kind = message[at : at + 1]
            at += 1
            if kind != b"t":
                parts.append(kind)
                continue
            (length,) = struct.unpack_from("!I", message, at)
            value = SENT[column.type_oid](message[at + 4 : at + 4 + length].decode())
            parts += [b"b", struct.pack("!I", len(value)), value]
            at += 4 + length
    return b"".join(parts)
