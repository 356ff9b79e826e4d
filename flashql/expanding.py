"""A local query as a tree over stored tables: views replaced by what they show, names resolved, stars written out."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from flashql.planner.blocks import Recomputed, named_by, sql
from flashql.store.relations import described

_DEEPEST = 32


def expanded(cursor: duckdb.DuckDBPyConnection, query: str) -> exp.Query:
    """The query over stored tables alone, each under its schema. Raises `Recomputed` when it cannot be read so."""
    try:
        tree = _over_tables(query, _shown(cursor))
        tree = qualify(tree, schema=_columns(cursor), dialect="duckdb", quote_identifiers=True)
    except SqlglotError as error:
        raise Recomputed(f"its text is not understood in every part ({str(error).splitlines()[0]})") from error
    if not isinstance(tree, exp.Query):
        raise Recomputed("its text is not understood in every part")
    try:
        same = [kind for _, kind in described(cursor, sql(tree))] == [kind for _, kind in described(cursor, query)]
    except duckdb.Error:
        same = False
    if not same:
        raise Recomputed("its text is not understood in every part")
    return tree


def _over_tables(query: str, shown: Mapping[tuple[str, str], exp.Expr]) -> exp.Expr:
    tree = sqlglot.parse_one(query, read="duckdb")
    for _ in range(_DEEPEST):
        views = []
        for table in tree.find_all(exp.Table):
            if not isinstance(table.this, exp.Identifier) or named_by(table) is not None:
                continue
            if table.catalog:
                raise Recomputed("it names a database")
            body = shown.get(((table.db or "main").lower(), table.name.lower()))
            if body is not None:
                views.append((table, body))
            elif not table.db:
                alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
                table.set("alias", alias)
                table.set("db", exp.to_identifier("main", quoted=True))
        if not views:
            return tree
        for table, body in views:
            derived = exp.Subquery(this=body.copy(), alias=exp.TableAlias(this=exp.to_identifier(table.alias_or_name)))
            if table.args.get("alias") is not None:
                derived.set("alias", table.args["alias"])
            table.replace(derived)
    raise Recomputed("it reads views of views too deep")


def _shown(cursor: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], exp.Expr]:
    """What each view of the file shows, by schema and name in lower case."""
    found: dict[tuple[str, str], exp.Expr] = {}
    rows = cursor.execute(
        "SELECT schema_name, view_name, sql FROM duckdb_views() "
        "WHERE NOT internal AND NOT temporary AND database_name = current_database()"
    ).fetchall()
    for schema, name, text in rows:
        create = sqlglot.parse_one(text, read="duckdb")
        if isinstance(create, exp.Create) and isinstance(create.this, exp.Table):
            found[schema.lower(), name.lower()] = create.expression
    return found


def _columns(cursor: duckdb.DuckDBPyConnection) -> dict[str, object]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    rows = cursor.execute(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE NOT internal AND database_name = current_database() AND schema_name <> 'flashql' ORDER BY column_index"
    ).fetchall()
    for schema, table, name, kind in rows:
        found.setdefault(schema, {}).setdefault(table, {})[name] = kind
    return dict(found)
