"""DDL carried out: views and schemas made, altered and dropped, whole or not at all.

What an origin must say is asked first; then everything local happens in one transaction; what an origin must give
up (slot, publication) comes last and, if it cannot be reached, is made up for by the next sync.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count

import duckdb

from flashql import errors
from flashql.catalog import Persistence, Schema, Table, View
from flashql.ddl import (
    AlterSchema,
    AlterView,
    CreateSchema,
    CreateView,
    DropView,
    ParameterText,
    RefreshView,
    RelationName,
    Statement,
    Touch,
)
from flashql.ddl.options import check_parameters, check_together, misplaced
from flashql.keeping import computed_columns, kept_locally
from flashql.namespaces import alter_schema, create_schema, require_not_reserved
from flashql.planner.binding import bind
from flashql.query import Origins
from flashql.quoting import fold, qualified, quote
from flashql.rebinding import bound_locally
from flashql.seeding import require_fit
from flashql.store import Store
from flashql.store.definitions import (
    delete_view,
    realtime_views,
    redefine_view,
    save_schema,
    save_view,
    schemas,
    views,
)
from flashql.store.jobs import delete_job
from flashql.store.relations import (
    has_schema,
    kind_of,
    remove,
    show_nothing,
)
from flashql.store.sets import require_fits
from flashql.store.subscriptions import delete_subscriptions
from flashql.sync import Sync

_log = logging.getLogger(__name__)


class Definer:
    """Carries out DDL for one database. One statement at a time."""

    def __init__(self, store: Store, origins: Origins, sync: Sync) -> None:
        self._store = store
        self._origins = origins
        self._sync = sync
        self._live_numbers = count(1)

    def carry_out(self, statement: Statement | Touch) -> bool:
        """Carry out a statement that `is_ours`; whether there is something new to sync."""
        match statement:
            case CreateView():
                return self.create_view(statement) is not None
            case AlterView():
                self.alter_view(statement)
                return True
            case DropView():
                self.drop_view(statement)
            case RefreshView():
                self.refresh_view(statement)
            case CreateSchema():
                create_schema(self._store, self._origins, statement)
            case AlterSchema():
                alter_schema(self._store, self._origins, statement)
            case Touch():
                self.drop_schema(statement)
        return False

    def is_ours(self, statement: Statement | Touch) -> bool:
        """Whether the statement is FlashQL's to carry out, and not DuckDB's."""
        if isinstance(statement, CreateView):
            return self._means_ours(statement)
        return not isinstance(statement, DropView) or any(self._find(name) is not None for name in statement.names)

    # -- views

    def create_view(self, statement: CreateView) -> View | None:
        """Make a FlashQL view; None when it exists and that is fine. Raises what keeps it from being made."""
        namespace, name = self._placed(statement.name)
        existing = self._find(statement.name)
        kind = kind_of(self._store, namespace, name)
        if statement.if_not_exists and kind is not None:
            return None
        if kind == "table" or (kind == "view" and existing is None):
            raise errors.NameTaken(
                f"{namespace}.{name} is a {kind} already", hint=f"Choose another name, or DROP {kind.upper()} it first."
            )
        if existing is not None and not statement.replace:
            raise errors.NameTaken(
                f"view {existing.relation_id} exists already", hint="Use CREATE OR REPLACE VIEW, or DROP VIEW it first."
            )
        view = View(
            namespace,
            name,
            statement.persistence or Persistence.ORIGIN,
            statement.origin or self._default_origin(namespace),
            statement.query,
            (),
            dict(statement.options),
        )
        return self._define(view, statement.columns, existing, statement.parameters)

    def _means_ours(self, statement: CreateView) -> bool:
        """Whether CREATE VIEW means a FlashQL view: it says so, or its schema has an origin."""
        if statement.persistence or statement.origin or statement.options:
            return True
        if self._default_origin(self._placed(statement.name, checked=False)[0]) is not None:
            return True
        existing = self._find(statement.name)
        if existing is not None and not statement.if_not_exists:
            raise errors.NameTaken(
                f"{existing.relation_id} is a FlashQL view; this would make a plain DuckDB view of it",
                hint="DROP VIEW it first, or say what it shall be: CREATE OR REPLACE MATERIALIZED VIEW ...",
            )
        return False

    def _define(
        self,
        view: View,
        column_names: Sequence[str],
        existing: View | None,
        parameters: Sequence[ParameterText] = (),
    ) -> View:
        """Bind the view and put it in place of `existing`."""
        view, tables = self._bound(view, column_names, parameters)
        for table in tables:
            self._origins(view.origin or "").require_followable(table)
            self._require_one_numeric(view)
            self._require_apart(view, table)
        with self._store.transaction() as writer:
            follows = existing is not None and existing.persistence is view.persistence is Persistence.REALTIME
            follows = follows and existing is not None and existing.origin == view.origin
            if existing is not None:
                remove(writer, self._store, existing)
                if not follows:
                    delete_job(writer, existing.relation_id)
            if view.persistence is Persistence.REALTIME:
                view = replace(view, columns=computed_columns(writer, view, tables))
            require_fit(writer, view)
            save_view(writer, view)
            show_nothing(writer, view)
            if existing is not None and existing.parameters != view.parameters:
                delete_subscriptions(writer, view.relation_id)
        if existing is not None:
            self._let_go([existing])
        return view

    def _bound(
        self, view: View, column_names: Sequence[str], parameters: Sequence[ParameterText]
    ) -> tuple[View, tuple[Table, ...]]:
        if view.origin is not None:
            bound = bind(view, column_names, self._origins(view.origin), parameters)
            defaults = tuple(parameter.default for parameter in bound.view.parameters)
            require_fits(self._store, bound.view.parameters, view.numeric, defaults)
            return bound.view, bound.tables
        if parameters:
            raise errors.NotSupported(
                f"{view.relation_id} has parameters, but no origin at which they could select rows",
                hint="Give it WITH (replication_origin = '...'), or a WHERE where it is read.",
            )
        if view.persistence is Persistence.ORIGIN:
            raise errors.DefinitionError(
                f"origin view {view.relation_id} has no origin to be read at",
                hint="Give it WITH (replication_origin = '...'), or its schema: ALTER SCHEMA ... SET (...).",
            )
        bound_here = bound_locally(self._store, view, column_names)
        if view.persistence is Persistence.REALTIME:
            bound_here = kept_locally(self._store, bound_here)
        return bound_here, ()

    def live_view(self, text: str) -> View:
        """A query over local names as a realtime view that no catalog has. Raises what keeps it from being one."""
        name = f"live_{next(self._live_numbers)}"
        view = View("flashql", name, Persistence.REALTIME, None, text, ())
        return kept_locally(self._store, bound_locally(self._store, view, ()))

    def _require_one_numeric(self, view: View) -> None:
        for other in realtime_views(self._store, view.origin or ""):
            shared = other.tables & view.tables
            if shared and other.relation_id != view.relation_id and other.numeric != view.numeric:
                raise errors.DefinitionError(
                    f"{other.relation_id} shares the copy of {'.'.join(min(shared))} "
                    f"and has numeric = '{other.numeric}'",
                    hint="Give both views the same numeric option.",
                )

    def _require_apart(self, view: View, table: Table) -> None:
        """A partition and the table that it is part of are not followed both: see `origins.postgres.preflight`."""
        assert view.origin is not None
        origin = self._origins(view.origin)
        others = [one for one in realtime_views(self._store, view.origin) if one.relation_id != view.relation_id]
        followed = {table for one in others for table in one.tables}
        origin.require_apart(table, followed)
        origin.require_no_partition_of(table, followed)

    def alter_view(self, statement: AlterView) -> View:
        """Change a view's options: its query stays, what they change is made anew."""
        view = self._get(statement.name)
        options = {name: value for name, value in view.options.items() if name not in statement.reset}
        options |= statement.set
        persistence = options.pop("persistence", None) or view.persistence.value
        origin = options.pop("replication_origin", None) or view.origin
        for name in statement.reset:
            if name == "persistence":
                persistence = Persistence.ORIGIN.value
            if name == "replication_origin":
                origin = self._default_origin(view.namespace)
        check_together(statement.set, Persistence(persistence))
        for name in misplaced(list(options), Persistence(persistence)):
            del options[name]
        check_parameters(view.parameters, options, Persistence(persistence))
        changed = replace(view, persistence=Persistence(persistence), origin=origin, options=options)
        if changed == view:
            return view
        same = changed.numeric == view.numeric and changed.floats_in_any_order == view.floats_in_any_order
        if same and replace(changed, options=view.options) == view:
            with self._store.transaction() as writer:
                require_fit(writer, changed)
                redefine_view(writer, changed)
            return changed
        texts = [ParameterText(one.name, one.type.name, one.default, one.has_default) for one in view.parameters]
        return self._define(changed, [column.name for column in view.columns], view, texts)

    def drop_view(self, statement: DropView) -> None:
        """Drop FlashQL views: rows, jobs, and what their origins held for the last of them."""
        dropped: list[View] = []
        plain: list[RelationName] = []
        for name in statement.names:
            view = self._find(name)
            if view is not None:
                dropped.append(view)
            elif kind_of(self._store, name.schema or "main", name.name) == "view":
                plain.append(name)
            elif not statement.if_exists:
                raise errors.UnknownName(f"there is no view {name}")
        with self._store.transaction() as writer:
            dropped = self._remove(writer, dropped, statement.cascade)
            for name in plain:
                writer.execute(f"DROP VIEW {qualified(name.schema or 'main', name.name)}")
        self._let_go(dropped)

    def _remove(self, writer: duckdb.DuckDBPyConnection, dropped: list[View], cascade: bool) -> list[View]:
        """Drop FlashQL views and, with `cascade`, those that read them: all that were dropped."""
        known = views(self._store)
        dropped = list({view.relation_id: view for view in dropped}.values())
        for view in dropped:
            readers = [one.relation_id for one in known.values() if view.relation_id in one.reads]
            readers = [name for name in readers if name not in {one.relation_id for one in dropped}]
            if readers and not cascade:
                raise errors.DefinitionError(
                    f"{', '.join(readers)} read {view.relation_id}", hint="Use DROP ... CASCADE to drop them too."
                )
            dropped += [known[name] for name in readers]
        for view in dropped:
            remove(writer, self._store, view)
            delete_view(writer, view)
            delete_job(writer, view.relation_id)
            delete_subscriptions(writer, view.relation_id)
        return dropped

    def refresh_view(self, statement: RefreshView) -> None:
        """Read the view's rows from its origin again."""
        self._sync.refresh(self._get(statement.name))

    def _let_go(self, gone: Iterable[View]) -> None:
        """After realtime views are gone: their workers look again, or the origins give up slot and publication."""
        for origin in {view.origin for view in gone if view.persistence is Persistence.REALTIME and view.origin}:
            try:
                self._sync.release(origin)
            except (errors.OriginError, errors.UnknownName) as error:
                _log.warning(
                    "origin %s could not be told to drop its slot; the next sync or drop tries again: %s", origin, error
                )

    # -- schemas

    def holds_ours(self, drop: Touch) -> bool:
        """Whether DROP SCHEMA names a schema that FlashQL knows of. Raises `NameTaken` for FlashQL's own."""
        return drop.verb == "DROP" and any(self._knows(name.name) for name in drop.names)

    def _knows(self, namespace: str) -> bool:
        require_not_reserved(namespace)
        known = {view.namespace for view in views(self._store).values()} | set(schemas(self._store))
        return fold(namespace) in {fold(name) for name in known}

    def drop_schema(self, drop: Touch) -> None:
        """Drop schemas; with CASCADE also the FlashQL views in them, and what their origins held for the last."""
        names = {fold(name.name) for name in drop.names}
        inside = [view for view in views(self._store).values() if fold(view.namespace) in names]
        if inside and not drop.cascade:
            raise errors.DefinitionError(
                f"{', '.join(view.relation_id for view in inside)} would be dropped too",
                hint="Use DROP SCHEMA ... CASCADE, or drop the views first.",
            )
        with self._store.transaction() as writer:
            inside = self._remove(writer, inside, drop.cascade)
            for name in drop.names:
                exists = " IF EXISTS" if drop.if_exists else ""
                writer.execute(f"DROP SCHEMA{exists} {quote(name.name)}{' CASCADE' if drop.cascade else ''}")
                for known in schemas(self._store):
                    if fold(known) == fold(name.name):
                        save_schema(writer, Schema(known, None))
        self._let_go(inside)

    def refuse_touching(self, touch: Touch) -> None:
        """Raise `DefinitionError` when a statement of DuckDB's own would take a FlashQL view's name or place."""
        for name in touch.names:
            if touch.kind == "SCHEMA":
                continue
            require_not_reserved(name.schema or "main")
            view = self._find(name)
            if view is None:
                continue
            if touch.verb == "CREATE":
                raise errors.NameTaken(
                    f"{view.relation_id} is a FlashQL view", hint="Choose another name, or DROP VIEW it first."
                )
            if touch.verb == "DROP":
                raise errors.DefinitionError(f"{view.relation_id} is a view", hint="Use DROP VIEW.")
            raise errors.NotSupported(
                f"{view.relation_id} is a FlashQL view: it can be neither renamed nor altered in this way",
                hint="CREATE it under its new name and DROP VIEW this one. ALTER VIEW ... SET (...) changes options.",
            )

    # -- names

    def _placed(self, name: RelationName, *, checked: bool = True) -> tuple[str, str]:
        namespace = name.schema or "main"
        if checked:
            require_not_reserved(namespace)
            if "." in namespace:  # "a.b".c and a."b.c" would have one relation id
                raise errors.NotSupported(f'views cannot be in schema "{namespace}", whose name has a dot')
            if not has_schema(self._store, namespace):
                raise errors.UnknownName(
                    f"schema {namespace} does not exist", hint=f"Run CREATE SCHEMA {namespace} first."
                )
        return namespace, name.name

    def _default_origin(self, namespace: str) -> str | None:
        schema = schemas(self._store).get(namespace)
        return schema.replication_origin if schema is not None else None

    def _find(self, name: RelationName) -> View | None:
        wanted = (fold(name.schema or "main"), fold(name.name))
        for view in views(self._store).values():
            if (fold(view.namespace), fold(view.name)) == wanted:
                return view
        return None

    def _get(self, name: RelationName) -> View:
        view = self._find(name)
        if view is None:
            raise errors.UnknownName(f"there is no FlashQL view {name}", hint="SELECT * FROM flashql.views lists them.")
        return view
