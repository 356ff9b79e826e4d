"""Names as statements write them: what an unquoted identifier means, and which names need quotes."""

from __future__ import annotations

import string
from dataclasses import dataclass

from flashql.quoting import quote

# Words that DuckDB does not take as the name of a relation without quotes: `duckdb_keywords()` of the
# categories reserved and type_function, DuckDB 1.5 and 2.0 together.
_RESERVED = """
all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast
check collate collation column columns concurrently constraint create cross default deferrable desc
describe distinct do else end except false fetch for foreign freeze from full generated glob group having
ilike in initially inner intersect into is isnull join lambda lateral leading left like limit map natural
not notnull null offset on only or order outer overlaps pivot pivot_longer pivot_wider placing positional
primary qualify references returning right select semi show similar some struct summarize symmetric table
tablesample then to trailing true try_cast tuple union unique unpack unpivot using variadic verbose when
where window with
"""
RESERVED_WORDS = frozenset(_RESERVED.split())

_PLAIN_START = frozenset(string.ascii_lowercase + "_")
_PLAIN = _PLAIN_START | frozenset(string.digits)


def quote_if_needed(name: str) -> str:
    """The name as a person would write it: quoted only when it would be read differently without.

    >>> quote_if_needed("orders"), quote_if_needed("Orders"), quote_if_needed("order")
    ('orders', '"Orders"', '"order"')
    """
    plain = name[:1] in _PLAIN_START and _PLAIN.issuperset(name) and name not in RESERVED_WORDS
    return name if plain and name else quote(name)


@dataclass(frozen=True)
class RelationName:
    """The name of a view as a statement gives it; without a schema it means the current one."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        name = quote_if_needed(self.name)
        return name if self.schema is None else f"{quote_if_needed(self.schema)}.{name}"
