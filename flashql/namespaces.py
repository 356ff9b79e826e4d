"""Schemas made and altered, and the names that are not for users to take."""

from __future__ import annotations

from flashql import errors
from flashql.catalog import Schema
from flashql.ddl import AlterSchema, CreateSchema
from flashql.query import Origins
from flashql.quoting import fold, quote
from flashql.store import Store
from flashql.store.definitions import save_schema
from flashql.store.relations import has_schema

RESERVED = {"flashql", "flashql_data"}


def create_schema(store: Store, origins: Origins, statement: CreateSchema) -> None:
    """Make a schema, with its default origin."""
    require_not_reserved(statement.name)
    exists = has_schema(store, statement.name)
    if exists and not statement.if_not_exists and statement.name != "main":
        raise errors.NameTaken(
            f"schema {statement.name} exists already",
            hint="Use CREATE SCHEMA IF NOT EXISTS, or ALTER SCHEMA ... SET (replication_origin = '...').",
        )
    if statement.origin is not None:
        origins(statement.origin)
    _require_unlike_file(store, statement.name)
    with store.transaction() as writer:
        if not exists:
            writer.execute(f"CREATE SCHEMA {quote(statement.name)}")
        if statement.origin is not None:
            save_schema(writer, Schema(statement.name, statement.origin))


def _require_unlike_file(store: Store, schema: str) -> None:
    """DuckDB names a database after its file: a schema of that name makes `shop.orders` ambiguous."""
    ((database,),) = store.rows("SELECT current_database()")
    if fold(schema) == fold(database) and schema != "main":
        raise errors.NameTaken(
            f"schema {schema} would have the name of its database file, {store.path}, and DuckDB could not "
            "tell the two apart",
            hint=f"Name the file otherwise, as in flashql.connect('{schema}_local.duckdb'), or the schema.",
        )


def alter_schema(store: Store, origins: Origins, statement: AlterSchema) -> None:
    """Change a schema's default origin; views made before keep theirs."""
    if not has_schema(store, statement.name):
        raise errors.UnknownName(f"schema {statement.name} does not exist")
    if statement.origin is not None:
        origins(statement.origin)
    with store.transaction() as writer:
        save_schema(writer, Schema(statement.name, statement.origin))


def require_not_reserved(namespace: str) -> None:
    """Raise `NameTaken` for the schemas that hold FlashQL's own state."""
    if fold(namespace) in RESERVED:
        raise errors.NameTaken(f"schema {namespace} is FlashQL's own", hint="Choose another schema.")
