"""Postgres types and how DuckDB holds them (being written)."""
from __future__ import annotations
from dataclasses import dataclass

@dataclass(frozen=True)
class PgType:
    """A type at the origin, domains already resolved to what is below them."""

    oid: int
    typmod: int = -1
    name: str = ""  # format_type() of the declared type: 'numeric(10,2)', 'text[]', 'public.mood', a domain's name
    kind: str = "b"  # pg_type.typtype: b base, e enum, c composite, r range, m multirange, p pseudo
    element: PgType | None = None  # of an array's elements
