"""What the active views of an origin need of it, and whether a copy there is serves.

Views of one table share one copy, which has every column that any of them reads; a view with parameters has a partial
copy of its own of the table that they restrict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import duckdb

from flashql import errors, recopies
from flashql.catalog import Copy, CopyColumn, CopyName, CopyState, Restriction, Table, View
from flashql.origins.base import Publication
from flashql.origins.postgres.forms import binary_form
from flashql.origins.postgres.origin import PostgresOrigin
from flashql.shapes import shape_of, undisturbed
from flashql.store import Store
from flashql.store.copies import copies, next_id, save_copy

TableName = tuple[str, str]
# Told of views that cannot be served, and why.
Fail = Callable[[Sequence[View], errors.FlashQLError], None]


@dataclass
class Need:
    """What the active views of one copy need: the columns any of them reads, and of a partial one which rows."""

    of: CopyName
    views: list[View] = field(default_factory=list)
    columns: dict[str, None] = field(default_factory=dict)

    @property
    def table(self) -> TableName:
        """Schema and name of the table."""
        return self.of[:2]

    @property
    def restriction(self) -> Restriction | None:
        """Of the one view that a partial copy belongs to."""
        return self.views[0].restriction if self.of[2] else None

    @property
    def numeric(self) -> str:
        """How unconstrained numerics are held: all views of a table agree (checked when they are made)."""
        return self.views[0].numeric


def needs(views: Iterable[View]) -> dict[CopyName, Need]:
    """What these views need, by copy."""
    found: dict[CopyName, Need] = {}
    for view in views:
        for source in view.sources:
            need = found.setdefault(view.copy_of(source), Need(view.copy_of(source)))
            need.views.append(view)
            need.columns.update(dict.fromkeys(source.columns))
    return found


def readers(needs: Mapping[CopyName, Need]) -> dict[CopyName, list[str]]:
    """The views that need each copy, as relation ids."""
    return {name: [view.relation_id for view in need.views] for name, need in needs.items()}


def serves(copy: Copy, need: Need, table: Table) -> bool:
    """Whether the copy follows the stream of this very table, in its present shape, with every column needed."""
    covers = copy.numeric == need.numeric and set(need.columns) <= {kept.name for kept in copy.columns}
    covers = covers and copy.restriction == need.restriction
    return copy.state is CopyState.LIVE and covers and spoiled(copy, table) is None


def spoiled(copy: Copy, table: Table) -> str | None:
    """What happened at the origin to the copy's table so that the stream no longer keeps it right; None: nothing."""
    name = f"{table.schema}.{table.name}"
    if copy.oid != table.oid:
        return f"{name} was dropped and made anew"
    if copy.key != table.key:
        return f"the key of {name} changed"
    now = {column.name: column.declared for column in table.columns}
    for kept in copy.columns:
        if now.get(kept.name) != kept.column.declared:
            return f"column {kept.name} of {name} changed type, name or place"
    if copy.shape is not None and table.shape is not None and not undisturbed(copy.shape, table.shape):
        return f"rows of {name} changed without a word in the stream (it was rewritten, or a partition or type changed)"
    return None


def why_no_more(store: Store, origin: str, slot: str, table: Table) -> str | None:
    """Why the table's copy cannot go on, when it was made anew too often for that to happen once more."""
    name = (table.schema, table.name)
    for copy in copies(store, origin):
        of_table = (copy.schema, copy.name) == name and copy.state is CopyState.LIVE
        if of_table and (why := spoiled(copy, table)):
            recopies.note(slot, name, copy.id, why)
    return recopies.spent(slot, name)


def remember(writer: duckdb.DuckDBPyConnection, copy: Copy, table: Table) -> None:
    """Keep the shape of a table that its copy was found to serve: the next look compares with this one.

    Without that a new partition's later end would go unnoticed, and two harmless changes on different days (VACUUM
    FULL, then SET NOT NULL) would together look like a rewrite. With it goes the order of an enum's labels.
    """
    shape = shape_of(table, {kept.name for kept in copy.columns})
    if shape is not None and shape != copy.shape:
        columns = tuple(_with_labels(kept, table) for kept in copy.columns)
        save_copy(writer, replace(copy, shape=shape, columns=columns))


def _with_labels(kept: CopyColumn, table: Table) -> CopyColumn:
    return replace(kept, column=replace(kept.column, type=table.column(kept.name).type))


def comes_in_binary(
    store: Store, origin: str, needs: Mapping[CopyName, Need], tables: Mapping[CopyName, Table]
) -> bool:
    """Whether every column that copies of these tables hold can be read from the binary form of its type."""
    known = copies(store, origin)
    return all(
        binary_form(kept.column.type, kept.local_type(needs[name].numeric).name) is not None
        for name, table in tables.items()
        for kept in _columns(known, needs[name], table)
    )


def _columns(made: Iterable[Copy], need: Need, table: Table) -> tuple[CopyColumn, ...]:
    """The columns needed, at the rungs the last copy had come to."""
    rungs: dict[tuple[str, tuple[int, int]], int] = {}
    for copy in made:
        if (copy.schema, copy.name) == need.table and copy.numeric == need.numeric:
            for kept in copy.columns:
                known = (kept.name, kept.column.declared)
                rungs[known] = max(kept.rung, rungs.get(known, 0))
    return tuple(
        CopyColumn(column, rungs.get((name, column.declared), 0))
        for name, column in ((name, table.column(name)) for name in need.columns)
    )


def new_copy(store: Store, origin: str, need: Need, table: Table, publication: Publication) -> Copy:
    """A copy to be made: the columns needed, beginning at the rungs the last copy had come to.

    Table and publication were looked at before its snapshot is taken. What happens to them in between makes them look
    changed next time though the snapshot may have it already: copied once too often, rather than once too seldom.
    """
    with store.transaction() as writer:
        number = next_id(writer)
    return Copy(
        number,
        origin,
        table.schema,
        table.name,
        table.oid,
        _columns(copies(store, origin), need, table),
        table.key,
        need.numeric,
        shape=shape_of(table, need.columns),
        published=(publication.identity, publication.tables.get(need.table, "")),
        view=need.of[2],
        restriction=need.restriction,
    )


def tables_of(origin: PostgresOrigin, needs: Mapping[CopyName, Need], fail: Fail) -> dict[CopyName, Table]:
    """The tables that copies are needed of, as they are now; `fail` is told of views that cannot have theirs."""
    found: dict[CopyName, Table] = {}
    for name, need in needs.items():
        try:
            table = origin.table(*need.table)
            origin.require_followable(table)
            origin.require_apart(table, {one.table for one in needs.values()})
        except errors.DefinitionError as error:
            fail(need.views, error)
            continue
        for view in need.views:
            try:
                _require_columns(view, need, table)
            except errors.DefinitionError as error:
                fail([view], error)
        found[name] = table
    return found


def _require_columns(view: View, need: Need, table: Table) -> None:
    """Raise `DefinitionError` when the table lacks a column of the view's, which then fails and keeps its rows."""
    for source in view.sources:
        if view.copy_of(source) == need.of:
            for column in source.columns:
                table.streamed_column(column)


def copies_of(
    store: Store,
    origin: str,
    needs: Mapping[CopyName, Need],
    tables: Mapping[CopyName, Table],
    publication: Publication,
    fail: Fail,
) -> list[tuple[Copy, Table]]:
    """A copy to be made of each of these tables; `fail` is told of views that cannot have theirs."""
    wanted: list[tuple[Copy, Table]] = []
    for name, table in tables.items():
        copy = new_copy(store, origin, needs[name], table, publication)
        try:
            require_restrictable(copy)
        except errors.NotSupported as error:
            fail(needs[name].views, error)
            continue
        wanted.append((copy, table))
    return wanted


def require_restrictable(copy: Copy) -> None:
    """Raise `NotSupported` when the condition of a partial copy is about values that are held as text by now."""
    for kept in copy.columns:
        held_as_text = kept.rung > 0 and copy.local_type(kept).name == "VARCHAR"
        if copy.restriction is not None and kept.name in copy.restriction.columns and held_as_text:
            raise errors.NotSupported(
                f"{copy.view} compares column {kept.name} of {copy.schema}.{copy.name} with a parameter, and "
                "it has values that DuckDB can only keep as text"
            )
