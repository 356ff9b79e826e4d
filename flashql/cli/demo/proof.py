"""Proof that a copy equals its origin: both databases reduce their rows to a number by themselves, and they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from flashql import Database

# Both sides hash the same text of each row; a sum does not depend on order, and duplicates count in it.
# placed_at goes in as microseconds, since the two print timestamps differently.
_ORIGIN = """
SELECT count(*), coalesce(sum(('x' || substr(md5(concat_ws('|', id, customer_id, product_id, quantity, amount,
    status, (extract(epoch FROM placed_at) * 1000000)::bigint)), 1, 8))::bit(32)::bigint), 0)
FROM public.orders
"""
_LOCAL = """
SELECT count(*), coalesce(sum(CAST('0x' || substr(md5(concat_ws('|', id, customer_id, product_id, quantity, amount,
    status, epoch_us(placed_at))), 1, 8) AS BIGINT)), 0)
FROM shop.orders
"""


@dataclass(frozen=True)
class Fingerprint:
    """How many rows there are, and the sum of their hashes."""

    rows: int
    hash_sum: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows, hash {self.hash_sum:x}"


def at_origin(connection: psycopg.Connection[Any]) -> Fingerprint:
    """The fingerprint of public.orders, computed by Postgres."""
    return _fingerprint(connection.execute(_ORIGIN).fetchone())


def in_copy(db: Database) -> Fingerprint:
    """The fingerprint of shop.orders, computed by DuckDB over the local copy."""
    return _fingerprint(db.execute(_LOCAL).fetchone())


def _fingerprint(row: tuple[Any, ...] | None) -> Fingerprint:
    assert row is not None
    return Fingerprint(int(row[0]), int(row[1]))
