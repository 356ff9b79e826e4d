"""Names and values as SQL text: the one place where a foreign string becomes part of a statement.

Both Postgres (with standard_conforming_strings, the default) and DuckDB double the quote character inside
quoted identifiers and string literals and give no other character a meaning there.
"""

from __future__ import annotations

import string

_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


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


def fold(name: str) -> str:
    """A name with its ASCII letters in lower case, all others as they are.

    So Postgres reads an identifier without quotes (`downcase_identifier`, in UTF-8), and so does DuckDB compare all of
    them: to it `Orders` and `orders` are one name, `Ä` and `ä` are two. Its SQL function `lower` knows all letters.

    >>> fold("OrdersÄ")
    'ordersÄ'
    """
    return name.translate(_FOLD)


def local_name(name: str) -> str:
    """A name for a column of a copy: DuckDB ignores case, so names that differ only in that are told apart.

    The name of a column with capitals gets their places as a suffix (bits, in hexadecimal). So does `rowid`, by which
    FlashQL finds rows of a table in DuckDB: a column of that name would take its place.

    >>> local_name("name"), local_name("Name"), local_name("nAmE"), local_name("rowid")
    ('name', 'Name$1', 'nAmE$a', 'rowid$0')
    """
    capitals = sum(1 << at for at, letter in enumerate(name) if letter != letter.lower())
    return f"{name}${capitals:x}" if capitals or "$" in name or name == "rowid" else name


def literal(text: str) -> str:
    """A string literal.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"
