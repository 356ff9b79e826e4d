"""DuckDB's own statements that could pull the ground from under FlashQL views, told apart by their first words.

DROP SCHEMA, DROP TABLE, ALTER TABLE, ALTER VIEW, CREATE TABLE: everything else cannot touch a view's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from flashql.ddl.dialect import FlashQL
from flashql.ddl.names import RelationName
from flashql.ddl.phrases import Phrases, word_of
from flashql.errors import SyntaxProblem


@dataclass(frozen=True)
class Touch:
    """What such a statement does, to what: `kind` is SCHEMA, TABLE or VIEW; a schema's name is the name's last part."""

    verb: str  # CREATE, ALTER or DROP
    kind: str
    names: tuple[RelationName, ...]
    if_exists: bool = False
    cascade: bool = False


def touch_of(sql: str) -> Touch | None:
    """What one statement of DuckDB's touches; None when it cannot touch a view, or DuckDB has to refuse it.

    >>> touch_of("DROP SCHEMA IF EXISTS shop CASCADE").cascade
    True
    >>> touch_of("SELECT 1") is None
    True
    """
    phrases = Phrases(list(FlashQL().tokenize(sql)), sql)
    verb = phrases.accept_one("CREATE", "ALTER", "DROP")
    if not verb:
        return None
    phrases.accept("OR", "REPLACE")
    if phrases.accept_one("TEMP", "TEMPORARY"):
        return None
    kind = phrases.accept_one("SCHEMA", "TABLE", "VIEW")
    if not kind or (kind == "SCHEMA" and verb != "DROP"):
        return None
    phrases.accept("IF", "NOT", "EXISTS")
    if_exists = phrases.accept("IF", "EXISTS")
    try:
        names = _names(phrases)
    except SyntaxProblem:
        return None
    return Touch(verb, kind, names, if_exists, word_of(phrases.tokens[-1]) == "CASCADE")


def _names(phrases: Phrases) -> tuple[RelationName, ...]:
    names = []
    while True:
        parts = phrases.dotted_name("a name")
        names.append(RelationName(parts[-2] if len(parts) > 1 else None, parts[-1]))
        if word_of(phrases.current) or phrases.current.text != ",":
            return tuple(names)
        phrases.index += 1
