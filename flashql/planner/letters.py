"""Upper and lower case, and what ignores it. Which letters have cases is the origin's to say, collation by collation.

Of most collations a change of case is one of each character by itself (towlower of libc, and Postgres's own C.UTF-8);
which characters it changes into which is asked of the origin, and where DuckDB's own function does otherwise it is
told. ICU and full Unicode mappings look at a character's neighbours and lengthen some: those are refused.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import duckdb
from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner.arithmetic import call
from flashql.planner.collations import ASCII_LOWER, ASCII_UPPER, Cases, Locale, is_ascii, plain
from flashql.planner.functions import matching, require_bytes
from flashql.planner.literals import BOOL, BPCHAR, TEXT, LikePattern
from flashql.planner.scalars import Scalar, as_text, function, refuse

_ASCII: Final = {"lower": ASCII_LOWER, "upper": ASCII_UPPER}
_HINT: Final = 'Write COLLATE "C" after the column: then ASCII letters alone change.'


def changed(to: str, value: Scalar, locale: Locale | None) -> Scalar:
    """`lower(value)` or `upper(value)`, which `to` says."""
    text = as_text(value)
    node = _changed(to, text.node, _cases(to, text, locale))
    return Scalar(node, PgType(TEXT, -1, "text"), text.collation, text.explicit)


def ilike(node: exp.Expr, value: Scalar, escape: str, locale: Locale | None) -> Scalar:
    """`value [NOT] ILIKE 'pattern'`: LIKE of both in lower case, as Postgres has it in UTF-8 (like.c)."""
    pattern = node.expression
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        raise refuse("ILIKE with a pattern that is not a constant")
    if value.oid != BPCHAR:
        value = as_text(value)
    require_bytes([value], "ILIKE")
    cases = _cases("lower", value, locale)
    lowered = str.maketrans(cases.changed, cases.into)
    tokens = (token.translate(lowered) for token in LikePattern.parse(pattern.name, escape).tokens)
    matched = matching(_changed("lower", value.node, cases), LikePattern(tuple(tokens)))
    negated = exp.Not(this=exp.Paren(this=matched)) if node.args.get("negate") else matched
    return Scalar(negated, PgType(BOOL, -1, "boolean"))


def _cases(to: str, value: Scalar, locale: Locale | None) -> Cases:
    if is_ascii(value.collation):
        return _ASCII[to]
    found = locale.cases(to, plain(value.collation)) if locale is not None and value.collation is not None else None
    if found is None:
        raise refuse(f"{to} under collation {value.collation or 'default'}", _HINT)
    return found


def _changed(to: str, text: exp.Expr, cases: Cases) -> exp.Expr:
    if cases == _ASCII[to]:
        return function("TRANSLATE", text, exp.Literal.string(cases.changed), exp.Literal.string(cases.into))
    ours, theirs = (dict(zip(one.changed, one.into, strict=True)) for one in (_local_cases(to), cases))
    odd = sorted(character for character in {*ours, *theirs} if ours.get(character) != theirs.get(character))
    plain = function(to.upper(), text)
    if not odd:
        return plain
    those = exp.Literal.string("".join(odd)), exp.Literal.string("".join(theirs.get(one, one) for one in odd))
    # Text without any of them is nearly all there is, and is done at once.
    some = function("REGEXP_MATCHES", text.copy(), exp.Literal.string(f"[{''.join(odd)}]"))
    return exp.Case(ifs=[exp.If(this=some, true=call(f"{to}ed", text.copy(), *those))], default=plain)


@cache
def _local_cases(to: str) -> Cases:
    """What DuckDB's function changes, character by character."""
    with duckdb.connect() as local:
        query = (
            f"SELECT string_agg(c, '' ORDER BY c), string_agg({to}(c), '' ORDER BY c) FROM ("
            "SELECT chr(code::INTEGER) AS c FROM (SELECT unnest(range(1, 55296) || range(57344, 1114112)) AS code)"
            f") WHERE {to}(c) <> c"
        )
        ((changed, into),) = local.execute(query).fetchall()
    return Cases(changed, into)
