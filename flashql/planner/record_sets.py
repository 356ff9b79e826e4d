"""`jsonb_to_record` and `jsonb_to_recordset` in FROM, written out as casts of an object's members.

FROM jsonb_to_recordset(d) AS x(a int)  ->  LATERAL (SELECT (e.value ->> 'a')::int AS a
                                                     FROM jsonb_array_elements(d) AS e(value)) AS x
"""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from flashql.planner.parsing import PREFIX
from flashql.planner.scalars import refuse
from flashql.planner.scopes import folded

OBJECT: Final = "object_required"  # of a document that is no object it raises, as these functions do
_FUNCTIONS: Final = {"jsonb_to_record", "jsonb_to_recordset"}
_ELEMENT: Final = "flashql_element"
_TYPES: Final = {
    exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.DECIMAL, exp.DType.TEXT, exp.DType.BOOLEAN,
    exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.UUID, exp.DType.DOUBLE, exp.DType.JSONB,
}  # fmt: skip


def written_out(node: exp.Expr) -> exp.Lateral | None:
    """The item of FROM as a subquery; None for what is no such call. Raises `NotSupported` for other types."""
    call = node.this
    name = str(call.name).lower() if isinstance(call, exp.Anonymous) else ""
    alias = node.args.get("alias")
    if name not in _FUNCTIONS or alias is None or len(call.expressions) != 1 or node.args.get("ordinality"):
        return None
    document = call.expressions[0].copy()
    select = exp.Select()
    if name == "jsonb_to_recordset":
        listed = exp.Anonymous(this="jsonb_array_elements", expressions=[document])
        shown = exp.TableAlias(this=exp.to_identifier(_ELEMENT), columns=[exp.to_identifier("value")])
        select.set("from_", exp.From(this=exp.Table(this=listed, alias=shown)))
        document = exp.column("value", table=_ELEMENT)
    items = [_member(one, exp.Anonymous(this=PREFIX + OBJECT, expressions=[document.copy()])) for one in alias.columns]
    select.set("expressions", items)
    around = exp.TableAlias(this=alias.this.copy())
    return exp.Lateral(this=exp.Subquery(this=select), alias=around)


def _member(column: exp.Expr, document: exp.Expr) -> exp.Expr:
    kind = column.args.get("kind")
    name = folded(column.this)
    if kind is None or kind.this not in _TYPES or re.search(r'["\\*]', name):
        raise refuse(f"a column {column.sql('postgres')} of a record of jsonb", "Declare it as text, and cast that.")
    path = exp.Literal.string(f'$."{name}"')
    value: exp.Expr = exp.JSONBExtractScalar(this=document, expression=path)
    if kind.this == exp.DType.JSONB:
        null = exp.Cast(this=exp.Literal.string("null"), to=kind.copy())
        value = exp.Nullif(this=exp.JSONBExtract(this=document, expression=path), expression=null)
    elif kind.this != exp.DType.TEXT:
        value = exp.Cast(this=value, to=kind.copy())
    return exp.alias_(value, name, quoted=True)
