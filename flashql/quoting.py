"""Names and values as SQL text: the one place where a foreign string becomes part of a statement.

Both Postgres (with standard_conforming_strings, the default) and DuckDB double the quote character inside
quoted identifiers and string literals and give no other character a meaning there.
"""

from __future__ import annotations


def quote(name: str) -> str:
    """An identifier, always quoted.

    >>> print(quote('a"b'))
    "a""b"
    """
    return '"' + name.replace('"', '""') + '"'


def qualified(*names: str) -> str:
    """A dotted name, each part quoted.

    >>> qualified("shop", "orders")
    '"shop"."orders"'
    """
    return ".".join(quote(name) for name in names)


def literal(text: str) -> str:
    """A string literal.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"
