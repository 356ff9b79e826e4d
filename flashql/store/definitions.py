"""Schemas and views, loaded and saved."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import duckdb

from flashql.catalog import Persistence, Schema, View
from flashql.store.duck import Store
from flashql.store.inputs import let_stand
from flashql.store.records import dump, load

# As committed, with the version of the catalog that was taken before they were read.
_committed: WeakKeyDictionary[Store, tuple[int, dict[str, View]]] = WeakKeyDictionary()


def views(store: Store) -> dict[str, View]:
    """Every view, by relation id, in order of their names; each statement asks, so they are read once per change."""
    if not store.has_catalog:
        return {}
    if store.is_writing:
        return _read(store)
    version = store.version
    known = _committed.get(store)
    if known is None or known[0] != version:
        known = _committed[store] = version, _read(store)
    return dict(known[1])


def _read(store: Store) -> dict[str, View]:
    rows = store.rows("SELECT definition FROM flashql.views ORDER BY namespace, name")
    return {view.relation_id: view for view in (load(View, definition) for (definition,) in rows)}


def realtime_views(store: Store, origin: str) -> list[View]:
    """The realtime views that follow one origin."""
    return [
        view for view in views(store).values() if view.origin == origin and view.persistence is Persistence.REALTIME
    ]


def save_view(writer: duckdb.DuckDBPyConnection, view: View) -> None:
    """Add the view, in place of one of the same name."""
    delete_view(writer, view)
    writer.execute(
        "INSERT INTO flashql.views (namespace, name, persistence, origin, query, definition) VALUES (?, ?, ?, ?, ?, ?)",
        [view.namespace, view.name, view.persistence.value, view.origin, view.query, dump(view)],
    )


def redefine_view(writer: duckdb.DuckDBPyConnection, view: View) -> None:
    """Change what is known of the view; its rows stay as they are."""
    writer.execute(
        "UPDATE flashql.views SET definition = ? WHERE namespace = ? AND name = ?",
        [dump(view), view.namespace, view.name],
    )


def delete_view(writer: duckdb.DuckDBPyConnection, view: View) -> None:
    """Forget the view's definition."""
    let_stand(writer, view.relation_id)
    writer.execute("DELETE FROM flashql.views WHERE namespace = ? AND name = ?", [view.namespace, view.name])


def schemas(store: Store) -> dict[str, Schema]:
    """The local schemas FlashQL was told of, by name."""
    if not store.has_catalog:
        return {}
    rows = store.rows("SELECT name, replication_origin FROM flashql.schemas")
    return {name: Schema(name, origin) for name, origin in rows}


def save_schema(writer: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Remember the schema's default origin."""
    writer.execute("DELETE FROM flashql.schemas WHERE name = ?", [schema.name])
    if schema.replication_origin is not None:
        writer.execute("INSERT INTO flashql.schemas VALUES (?, ?)", [schema.name, schema.replication_origin])
