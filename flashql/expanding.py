"""A local query as a tree over stored tables: views replaced by what they show, names resolved, stars written out."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from flashql.planner.blocks import Recomputed, named_by, sql
from flashql.planner.normalizing import push_clauses
from flashql.quoting import fold
from flashql.store.relations import described

_DEEPEST = 32


def expanded(cursor: duckdb.DuckDBPyConnection, query: str) -> exp.Query:
    """The query over stored tables alone, each under its schema. Raises `Recomputed` when it cannot be read so."""
    try:
        tree = _over_tables(query, _shown(cursor))
        _require_told_apart(*(identifier.name for identifier in tree.find_all(exp.Identifier)))
        push_clauses(tree)  # `qualify` takes their names for those of the query around
        tree = qualify(tree, schema=_columns(cursor, tree), dialect="duckdb", quote_identifiers=True)
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


def _over_tables(query: str, shown: Mapping[tuple[str, str], str]) -> exp.Expr:
    tree = sqlglot.parse_one(query, read="duckdb")
    for _ in range(_DEEPEST):
        views = []
        for table in tree.find_all(exp.Table):
            if not isinstance(table.this, exp.Identifier) or named_by(table) is not None:
                continue
            if table.catalog:
                raise Recomputed("it names a database")
            text = shown.get((fold(table.db or "main"), fold(table.name)))
            create = sqlglot.parse_one(text, read="duckdb") if text is not None else None
            if isinstance(create, exp.Create) and isinstance(create.this, exp.Table):
                views.append((table, create.expression))
            elif not table.db:
                alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
                table.set("alias", alias)
                table.set("db", exp.to_identifier("main", quoted=True))
        if not views:
            return tree
        for table, body in views:
            derived = exp.Subquery(this=body, alias=exp.TableAlias(this=exp.to_identifier(table.alias_or_name)))
            if table.args.get("alias") is not None:
                derived.set("alias", table.args["alias"])
            table.replace(derived)
    raise Recomputed("it reads views of views too deep")


def _shown(cursor: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], str]:
    """What makes each view of the file, by schema and name in lower case."""
    rows = cursor.execute(
        "SELECT schema_name, view_name, sql FROM duckdb_views() "
        "WHERE NOT internal AND NOT temporary AND database_name = current_database()"
    ).fetchall()
    return {(fold(schema), fold(name)): text for schema, name, text in rows}


def _columns(cursor: duckdb.DuckDBPyConnection, tree: exp.Expr) -> dict[str, object]:
    """The columns, with their types, of the tables that a tree names."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    named = sorted({table.name for table in tree.find_all(exp.Table)})
    rows = cursor.execute(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
        "AND database_name = current_database() AND schema_name <> 'flashql' AND lower(table_name) IN "
        "(SELECT lower(unnest($1::VARCHAR[]))) ORDER BY column_index",
        [named],
    ).fetchall()
    for schema, table, name, kind in rows:
        _require_told_apart(schema, table, name)
        found.setdefault(schema, {}).setdefault(table, {})[name] = kind
    return dict(found)


def _require_told_apart(*names: str) -> None:
    """Raise `Recomputed` for names that DuckDB tells from others and `qualify`, which folds all letters, does not."""
    for name in names:
        if name.lower() != fold(name):
            raise Recomputed(f"{name} has capital letters beyond ASCII's")
