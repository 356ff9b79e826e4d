"""Applying changes to a copy: random streams against a model that applies them one by one.

The model is a dict (with a key) or a list (without one) of plain rows; the copy must hold the same rows whatever
the batch boundaries, key changes, toasted values left out, and whether the changes waited for a snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashql import pending
from flashql.apply import apply_changes
from flashql.catalog import Column, Copy, CopyColumn, CopyState
from flashql.datatypes import PgType
from flashql.errors import SchemaChanged
from flashql.following import Follower
from flashql.lsn import LSN
from flashql.origins.base import DELETE, INSERT, UPDATE, Relation, RowChanges, Tuples, WireColumn
from flashql.store import Store
from flashql.store.copies import data_tables, delete_copy, save_copy
from flashql.tabulating import column_places
from flashql.weighing import rowid_among
from tests.test_pgoutput import begin, commit, describe, frames, truncate

Row = tuple[str | None, ...]
UNCHANGED = "\0unchanged"  # no Postgres text holds a NUL

_TYPES = {"id": PgType(20, -1, "bigint"), "part": PgType(25, -1, "text"), "note": PgType(25, -1, "text")}


@dataclass(frozen=True)
class Change:
    """One change as the stream says it."""

    kind: int
    new: Row | None = None
    old: Row | None = None


def relation(key: tuple[str, ...]) -> Relation:
    columns = tuple(WireColumn(name, kind.oid, kind.typmod, name in key) for name, kind in _TYPES.items())
    return Relation(1, "public", "t", "d" if key else "f", columns)


def copy_of(key: tuple[str, ...]) -> Copy:
    columns = tuple(CopyColumn(Column(name, kind, declared=(kind.oid, kind.typmod))) for name, kind in _TYPES.items())
    return Copy(1, "primary", "public", "t", 1, columns, key, state=CopyState.LIVE, local_table="t1")


def run_of(key: tuple[str, ...], changes: list[Change], lsns: list[int]) -> RowChanges:
    """The changes as the decoder would give them."""

    def tuples(rows: list[Row | None]) -> Tuples:
        values, unchanged = [], []
        for at in range(len(_TYPES)):
            cells = [row[at] if row is not None else None for row in rows]
            mask = np.array([cell == UNCHANGED for cell in cells], np.bool_)
            values.append(pa.array([None if cell == UNCHANGED else cell for cell in cells], pa.string_view()))
            unchanged.append(mask if mask.any() else None)
        return Tuples(tuple(values), tuple(unchanged))

    has_old = np.array([change.old is not None for change in changes], np.bool_)
    return RowChanges(
        relation(key),
        np.array([change.kind for change in changes], np.uint8),
        np.arange(len(changes), dtype=np.int64) * 3,
        np.array(lsns, np.int64),
        tuples([change.new for change in changes]),
        tuples([change.old for change in changes]) if has_old.any() else None,
        has_old,
    )


class Model:
    """Applies one change at a time, and thinks up changes that an origin could make."""

    def __init__(self, draw: st.DrawFn, key: tuple[str, ...]) -> None:
        self._draw = draw
        self._key = key
        self._next_id = 100
        self.rows: list[Row] = []

    def key_of(self, row: Row) -> Row:
        names = list(_TYPES)
        return tuple(row[names.index(name)] for name in self._key)

    def change(self) -> Change:
        kind = self._draw(st.sampled_from([INSERT, UPDATE, UPDATE, DELETE])) if self.rows else INSERT
        at = self._draw(st.integers(0, len(self.rows) - 1)) if self.rows else 0
        if kind == DELETE:
            gone = self.rows.pop(at)
            return Change(DELETE, old=self._sent_old(gone))
        row: Row = (
            str(self._draw(st.integers(0, 6))),
            self._draw(st.sampled_from(["", "a", "b"])),
            self._draw(st.sampled_from([None, "", "x" * 20, "y"])),
        )
        others = self.rows if kind == INSERT else self.rows[:at] + self.rows[at + 1 :]
        if self._key and any(self.key_of(row) == self.key_of(other) for other in others):
            self._next_id += 1
            row = (str(self._next_id), row[1], row[2])
        if kind == INSERT:
            self.rows.append(row)
            return Change(INSERT, new=row)
        return self._update(at, row)

    def _update(self, at: int, row: Row) -> Change:
        before = self.rows[at]
        if self._draw(st.booleans()):
            row = (before[0], before[1], row[2])  # most updates leave the key alone
        sent = row
        if before[2] is not None and self._draw(st.booleans()):
            row = (row[0], row[1], before[2])
            sent = (row[0], row[1], UNCHANGED)
        self.rows[at] = row
        moved = not self._key or self.key_of(before) != self.key_of(row)
        return Change(UPDATE, new=sent, old=self._sent_old(before) if moved else None)

    def _sent_old(self, row: Row) -> Row:
        if not self._key:
            return row
        return tuple(cell if name in self._key else None for name, cell in zip(_TYPES, row, strict=True))


@st.composite
def streams(draw: st.DrawFn, key: tuple[str, ...]) -> tuple[list[list[Change]], list[Row]]:
    """Batches of changes, and the rows there are in the end."""
    model = Model(draw, key)
    batches = [[model.change() for _ in range(draw(st.integers(1, 12)))] for _ in range(draw(st.integers(1, 4)))]
    return batches, model.rows


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    made = Store(":memory:")
    yield made
    made.close()


def emptied(store: Store) -> None:
    with store.transaction() as writer:
        writer.execute("CREATE OR REPLACE TABLE flashql_data.t1 (id BIGINT, part VARCHAR, note VARCHAR)")


def held(store: Store) -> Counter[Row]:
    rows = store.rows("SELECT CAST(id AS VARCHAR), part, note FROM flashql_data.t1")
    return Counter(tuple(row) for row in rows)


KEYS: list[tuple[str, ...]] = [("id",), ("id", "part"), ()]


@pytest.mark.parametrize("key", KEYS, ids=["key", "composite key", "bag"])
@settings(max_examples=80, deadline=None)
@given(content=st.data())
def test_a_stream_in_batches_leaves_the_rows_of_the_model(
    store: Store, key: tuple[str, ...], content: st.DataObject
) -> None:
    batches, expected = content.draw(streams(key))
    emptied(store)
    for batch in batches:
        with store.transaction() as writer:
            apply_changes(writer, copy_of(key), run_of(key, batch, [5] * len(batch)))
    assert held(store) == Counter(expected)


@pytest.mark.parametrize("key", KEYS, ids=["key", "composite key", "bag"])
@settings(max_examples=80, deadline=None)
@given(content=st.data())
def test_changes_that_waited_for_a_snapshot_leave_the_same_rows(
    store: Store, key: tuple[str, ...], content: st.DataObject
) -> None:
    batches, expected = content.draw(streams(key))
    emptied(store)
    copy = copy_of(key)
    with store.transaction() as writer:
        pending.create(writer, copy)
        for number, batch in enumerate(batches):
            pending.keep(writer, copy, run_of(key, batch, [5] * len(batch)), number << 32)
        pending.release(writer, copy)
    assert held(store) == Counter(expected)
    assert store.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = 'p1'") == []


def test_rows_are_deleted_by_rowid_where_others_were_deleted(store: Store) -> None:
    """A committed row and one of this transaction, whose rowids lie far apart: DuckDB 2.0 passed over one, at times."""
    emptied(store)
    ids = "SELECT rowid AS id FROM flashql_data.t1 WHERE id IN (4, 6)"
    with store.transaction() as writer:
        writer.execute("INSERT INTO flashql_data.t1 SELECT range, '', NULL FROM range(5)")
    with store.transaction() as writer:
        writer.execute("DELETE FROM flashql_data.t1 WHERE id < 4")
    with store.transaction() as writer:
        writer.execute("INSERT INTO flashql_data.t1 VALUES (5, '', NULL), (6, '', NULL)")
        writer.execute("CREATE TEMP TABLE replaced AS " + ids)
        found = f"SELECT count(*) FROM flashql_data.t1 WHERE {rowid_among('FROM replaced')}"
        counts = {writer.execute(found).fetchone() for _ in range(500)}
        writer.execute(f"DELETE FROM flashql_data.t1 WHERE {rowid_among('FROM replaced')}")
        writer.execute("DROP TABLE replaced")
    assert counts == {(2,)}
    assert held(store) == Counter([("5", "", None)])


def test_what_the_snapshot_contains_is_left_out(store: Store) -> None:
    emptied(store)
    copy = replace(copy_of(("id",)), lsn=LSN(10))
    inserts = [Change(INSERT, new=(str(number), "", None)) for number in range(4)]
    with store.transaction() as writer:
        apply_changes(writer, copy, run_of(("id",), inserts, [8, 9, 10, 11]))
    assert held(store) == Counter([("2", "", None), ("3", "", None)])


def test_what_the_snapshot_contains_is_left_out_of_a_bag(store: Store) -> None:
    """With deletes, whose statements are others than those of keys and of inserts alone."""
    emptied(store)
    copy, row = replace(copy_of(()), lsn=LSN(10)), ("1", "", None)
    changes = [Change(INSERT, new=row), Change(INSERT, new=row), Change(DELETE, old=row), Change(INSERT, new=row)]
    with store.transaction() as writer:
        writer.execute("INSERT INTO flashql_data.t1 VALUES (1, '', NULL)")
        apply_changes(writer, copy, run_of((), changes, [8, 9, 10, 11]))
    assert held(store) == Counter([row])


def test_a_truncation_that_the_snapshot_contains_is_left_out(store: Store) -> None:
    emptied(store)
    with store.transaction() as writer:
        save_copy(writer, replace(copy_of(("id",)), lsn=LSN(10)))
        writer.execute("INSERT INTO flashql_data.t1 VALUES (1, '', NULL)")
    follower = Follower(store, "primary", LSN(0))
    for lsn, left in ((9, 1), (10, 0)):
        messages = (begin(lsn), describe(relation(("id",))), truncate(1), commit(lsn))
        follower.feed([frames(*messages)], lambda: LSN(20))
        assert len(held(store)) == left
    with store.transaction() as writer:
        writer.execute("DELETE FROM flashql.copies")


@pytest.mark.parametrize("end", ["deleted", "detached"])
def test_what_waits_goes_with_what_it_waits_for(store: Store, end: str) -> None:
    copy = replace(copy_of(("id",)), id=7, local_table=None, state=CopyState.COPYING)
    before = data_tables(store)
    with store.transaction() as writer:
        save_copy(writer, copy)
        pending.create(writer, copy)
        if end == "detached":
            save_copy(writer, replace(copy, state=CopyState.DETACHED))
        else:
            delete_copy(writer, copy)
    assert data_tables(store) == before
    with store.transaction() as writer:
        delete_copy(writer, copy)


def test_a_truncation_that_waited_empties_what_came_before_it(store: Store) -> None:
    emptied(store)
    copy = replace(copy_of(("id",)), lsn=LSN(10))
    with store.transaction() as writer:
        writer.execute("INSERT INTO flashql_data.t1 VALUES (7, '', NULL)")
        pending.create(writer, copy)
        pending.keep_truncation(writer, copy, 0, LSN(9))  # in the snapshot already
        pending.keep(writer, copy, run_of(("id",), [Change(INSERT, new=("1", "", None))], [11]), 1)
        pending.keep_truncation(writer, copy, 5, LSN(12))
        pending.keep(writer, copy, run_of(("id",), [Change(INSERT, new=("2", "", None))], [13]), 6)
        pending.release(writer, copy)
    assert held(store) == Counter([("2", "", None)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (WireColumn("other", 25, -1, False), "is gone"),
        (WireColumn("note", 23, -1, False), "changed type"),
        (WireColumn("note", 25, -1, True), "replica identity"),
    ],
)
def test_a_table_of_another_shape_is_noticed(changed: WireColumn, said: str) -> None:
    shape = relation(("id",))
    with pytest.raises(SchemaChanged, match=said):
        column_places(copy_of(("id",)), replace(shape, columns=(*shape.columns[:2], changed)))
