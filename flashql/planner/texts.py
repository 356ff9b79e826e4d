"""Operators of text as sqlglot reads them, over operands already translated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType
from flashql.planner import binary, containers, documents, functions, letters, lists, patterns, strings
from flashql.planner.collations import Locale
from flashql.planner.literals import BYTEA, JSONB, TEXT, UNKNOWN
from flashql.planner.scalars import TEXTS, Scalar, as_text, merged_collation, operand, refuse
from flashql.planner.scopes import folded
from flashql.quoting import fold

Translate = Callable[[exp.Expr], Scalar]


def like(node: exp.Expr, translate: Translate, locale: Locale | None, escape: str = "\\") -> Scalar:
    """`LIKE` and `ILIKE`, also of ANY and ALL patterns of a list."""
    found = containers.quantified(node, translate)
    if found is not None:
        return found
    value = translate(node.this)
    if isinstance(node, exp.ILike):
        return letters.ilike(node, value, escape, locale)
    return functions.like(node, value, translate(node.expression), escape)


def similar(node: exp.Expr, translate: Translate, _: Locale | None, escape: str = "\\") -> Scalar:
    """`SIMILAR TO`."""
    return patterns.similar(translate(node.this), translate(node.expression), escape)


def overlay(node: exp.Expr, translate: Translate, _: Locale | None) -> Scalar:
    """`overlay(text placing other from 2 for 3)`."""
    given = (node.args.get(name) for name in ("this", "expression", "from_", "for_"))
    return strings.overlaid(*(translate(one) for one in given if one is not None))


def cased(node: exp.Expr, translate: Translate, locale: Locale | None) -> Scalar:
    """The functions lower and upper."""
    return letters.changed(node.key, translate(node.this), locale)


def escape(node: exp.Expr, translate: Translate, locale: Locale | None) -> Scalar:
    """`LIKE ... ESCAPE`, `SIMILAR TO ... ESCAPE`."""
    found, marked = node.this, node.expression
    if not isinstance(found, (exp.Like, exp.ILike, exp.SimilarTo)) or not isinstance(marked, exp.Literal):
        raise refuse(node.sql("postgres"))
    if isinstance(found, exp.SimilarTo):
        return similar(found, translate, locale, marked.name)
    return like(found, translate, locale, marked.name)


def collate(node: exp.Expr, translate: Translate, _: Locale | None) -> Scalar:
    """`value COLLATE name`."""
    value = translate(node.this)
    if value.oid == UNKNOWN and value.text is not None:
        value = as_text(value)
    found = node.expression
    named = found.this if isinstance(found, exp.Column) else found
    qualified = isinstance(found, exp.Column) and fold(found.table) not in ("", "pg_catalog")
    if value.oid not in TEXTS or qualified or not isinstance(named, (exp.Identifier, exp.Var)):
        raise refuse(node.sql("postgres"))
    name = fold(named.name) if isinstance(named, exp.Var) else folded(named)
    return replace(value, collation=name, explicit=True)


def concatenation(node: exp.Expr, translate: Translate, _: Locale | None) -> Scalar:
    """`||` of text, of text and anything else, of arrays."""
    values = [translate(side) for side in (node.this, node.expression)]
    listed = lists.concatenated(*values)
    if listed is not None:
        return listed
    oids = {one.oid for one in values}
    if oids == {BYTEA}:
        return binary.joined(*values)
    if JSONB in oids and oids <= {JSONB, UNKNOWN} and not any(one.is_null for one in values):
        return documents.joined(*values)
    if not oids & {*TEXTS, UNKNOWN}:
        raise refuse(f"|| of {values[0].type.name} and {values[1].type.name}", "Cast one side to text.")
    text = PgType(TEXT, -1, "text")
    values = [as_text(one) if one.oid in {*TEXTS, UNKNOWN} else functions.converted(one, text) for one in values]
    collation, explicit = merged_collation(values)
    joined = exp.DPipe(this=operand(values[0].node), expression=operand(values[1].node))
    return Scalar(joined, values[0].type, collation, explicit)


def trim(node: exp.Expr, translate: Translate, _: Locale | None) -> Scalar:
    """The function trim, of both sides or one."""
    characters = node.args.get("expression")
    return functions.trim(
        translate(node.this),
        translate(characters) if characters is not None else None,
        node.args.get("position") or "BOTH",
    )


RULES: Final[dict[type[exp.Expr], tuple[set[str], Callable[[exp.Expr, Translate, Locale | None], Scalar]]]] = {
    exp.Like: ({"this", "expression", "negate"}, like),
    exp.ILike: ({"this", "expression", "negate"}, like),
    exp.SimilarTo: ({"this", "expression"}, similar),
    exp.Escape: ({"this", "expression"}, escape),
    exp.Collate: ({"this", "expression"}, collate),
    exp.DPipe: ({"this", "expression", "safe"}, concatenation),
    exp.Trim: ({"this", "expression", "position"}, trim),
    exp.Overlay: ({"this", "expression", "from_", "for_"}, overlay),
    exp.Lower: ({"this"}, cased),
    exp.Upper: ({"this"}, cased),
}
