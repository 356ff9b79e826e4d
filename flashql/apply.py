"""Row changes -> local copies.

The same statements apply what comes from the stream and what waited for a snapshot: both are events (tabulating.py).

With a key, a batch is netted to the last change of each key; rows of touched keys are deleted, the last versions
inserted. This beats MERGE and UPDATE by far on a copy without index (measured: 5-50 times). Without a key (replica
identity full), rows are a bag: each distinct row's changes are added up, and that many copies inserted or deleted.

The usual batch from the stream, with a key and without toasted values left out, or of inserts alone, needs no events
relation: it is netted in memory (`netting.py`), and its statements only delete and insert.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa

from flashql.arrays import to_arrow
from flashql.catalog import Copy
from flashql.deltas import Delta
from flashql.netting import Netted, netted
from flashql.origins.base import DELETE, UPDATE, BoolArray, RowChanges
from flashql.planner.steps import compares_vaguely
from flashql.quoting import literal, local_name, qualified, quote
from flashql.store import DATA_SCHEMA, registered
from flashql.store.parsed import repeated
from flashql.store.prepared import run_over
from flashql.store.sets import matching
from flashql.tabulating import Events, column_array, column_places, events_sql, events_table, is_text
from flashql.weighing import rowid_among

_BATCH, _REPLACED = "flashql_batch", "flashql_replaced"
# Up to here planning a statement takes longer than running it.
_FEW_ROWS = 1000
_NOBODY = literal("a toasted value was not sent and its row is not in the copy")


class Incomplete(Exception):
    """A row has come into a partial copy whose toasted values are only at the origin. Nothing was applied."""

    def __init__(self, copy: Copy) -> None:
        super().__init__(f"a row of {copy.schema}.{copy.name} came into {copy.view} without its toasted values")
        self.copy = copy


def apply_changes(
    writer: duckdb.DuckDBPyConnection, copy: Copy, changes: RowChanges, delta: Delta | None = None
) -> None:
    """Apply a run of row changes to the copy's table, inside the writer's transaction; `delta` is told what moved.

    Changes of transactions that the copy's snapshot contains are left out. Raises `SchemaChanged`, and DuckDB's
    conversion errors when a value does not fit its column's local type.
    """
    late = changes.final_lsns >= int(copy.lsn)
    if not late.any():
        return
    places = column_places(copy, changes.relation)
    unchanged = tuple(at for at, place in enumerate(places) if _any(changes.new.unchanged[place]))
    if not unchanged and (copy.key or changes.only_inserts):
        net = netted(changes, late, [places[at] for at in _key_places(copy)])
        _apply_netted(writer, copy, changes, places, net, delta)
        return
    # (Arrow cannot filter string views, so DuckDB does.)
    events = events_table(copy, changes, all_columns=False)
    relation = events_sql(_BATCH, events)
    if not late.all():
        relation = f"(SELECT * FROM {relation} WHERE final_lsn >= {int(copy.lsn)})"
    whole = changes.relation.replica_identity == "f"
    with registered(writer, _BATCH, events):
        splits = _splits(changes, places, unchanged) if unchanged and not whole else ()
        apply_events(writer, copy, Events(relation, False, unchanged, splits, old_is_whole=whole), delta)


def _apply_netted(
    writer: duckdb.DuckDBPyConnection,
    copy: Copy,
    changes: RowChanges,
    places: Sequence[int],
    net: Netted,
    delta: Delta | None,
) -> None:
    if net.touched and len(net.touched[0]):
        keys = pa.table({f"k{at}": column for at, column in zip(_key_places(copy), net.touched, strict=True)})
        typed = ", ".join(f"{_value(copy, at, 'k', keys)} AS k{at}" for at in _key_places(copy))
        with registered(writer, _BATCH, keys):
            _run(writer, _delete(copy, f"SELECT {typed} FROM {_BATCH}"), delta)
    if net.stays.any():
        rows = {f"n{at}": column_array(changes.new.values[place], len(changes)) for at, place in enumerate(places)}
        table = pa.table({**rows, "stays": to_arrow(net.stays)})
        before, after = _insert(copy, [_value(copy, at, "n", table) for at in range(len(copy.columns))])
        if len(changes) <= _FEW_ROWS and delta is None and copy.restriction is None:
            run_over(writer, before, table, "WHERE stays")
            return
        with registered(writer, _BATCH, table):
            _run(writer, f"{before}{_BATCH}{'' if net.stays.all() else ' WHERE stays'}{after}", delta)


def _run(writer: duckdb.DuckDBPyConnection, statement: str, delta: Delta | None) -> None:
    """Run an INSERT or DELETE on a copy's table; `delta` is told which rows it moved."""
    if delta is None:
        repeated(writer, statement)
    else:
        delta.run(statement)


def _any(mask: BoolArray | None) -> bool:
    return mask is not None and bool(mask.any())


def _splits(changes: RowChanges, places: Sequence[int], unchanged: Sequence[int]) -> tuple[int, ...]:
    moved = (changes.kinds == UPDATE) & changes.has_old
    lacking = np.zeros(len(changes), np.bool_)
    for at in unchanged:
        mask = changes.new.unchanged[places[at]]
        if mask is not None:
            lacking |= mask
    return tuple(int(seq) for seq in changes.sequence[moved & lacking])


def apply_events(writer: duckdb.DuckDBPyConnection, copy: Copy, events: Events, delta: Delta | None = None) -> None:
    """Apply an events relation without truncations to the copy's table; `delta` is told what moved."""
    if events.only_inserts:
        _run(writer, _insert_all(copy, events.relation), delta)
    elif not copy.key:
        for statement in _bag_statements(copy, events):
            _run(writer, statement, delta)
    elif not events.unchanged:
        for statement in _keyed_statements(copy, events.relation):
            _run(writer, statement, delta)
    else:
        for low, high in _segments(events.splits):
            part = f"(SELECT * FROM {events.relation} WHERE seq >= {low} AND seq < {high})"
            _apply_lacking(writer, copy, part, events, delta)


def _segments(splits: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges [low, high) of seq between and at the splits.

    >>> _segments([5])
    [(0, 5), (5, 6), (6, 9223372036854775807)]
    """
    bounds = [0]
    for seq in splits:
        bounds += [seq, seq + 1]
    bounds.append((1 << 63) - 1)
    return list(pairwise(bounds))


def target(copy: Copy) -> str:
    """The copy's table, as SQL."""
    assert copy.local_table is not None
    return qualified(DATA_SCHEMA, copy.local_table)


def _names(copy: Copy) -> str:
    return ", ".join(quote(column.local_name) for column in copy.columns)


def _typed(copy: Copy, at: int, expression: str) -> str:
    return copy.local_type(copy.columns[at]).from_text(expression)


def _value(copy: Copy, at: int, letter: str, rows: pa.Table) -> str:
    """SQL for the value of a column of the copy, which is text or itself in `rows`."""
    name = f"{letter}{at}"
    return _typed(copy, at, name) if is_text(rows.schema.field(name).type) else name


def _key_places(copy: Copy) -> list[int]:
    names = [column.name for column in copy.columns]
    return [names.index(name) for name in copy.key]


def _insert(copy: Copy, values: Sequence[str]) -> tuple[str, str]:
    """INSERT of these values, what is before their FROM's relation and what is after: of rows that the copy has."""
    into = f"INSERT INTO {target(copy)} ({_names(copy)}) "
    if copy.restriction is None:
        return f"{into}SELECT {', '.join(values)} FROM ", ""
    named = [f"{value} AS {quote(kept.local_name)}" for value, kept in zip(values, copy.columns, strict=True)]
    return f"{into}SELECT {_names(copy)} FROM (SELECT {', '.join(named)} FROM ", f") AS r WHERE {matching(copy)}"


def _insert_all(copy: Copy, relation: str) -> str:
    before, after = _insert(copy, [_typed(copy, at, f"n{at}") for at in range(len(copy.columns))])
    return f"{before}{relation}{after}"


def _keyed_statements(copy: Copy, relation: str) -> list[str]:
    won = f"{relation} WHERE seq IN ({_winners(copy, relation, ())})"
    return [_delete(copy, _touched(copy, relation, ())), _insert_all(copy, won)]


def _new_key(copy: Copy, at: int, unchanged: Sequence[int]) -> str:
    """A key column of the new row, as text: a toasted one that did not change is only in the old key.

    Servers before the minor releases of May 2022 do not send it there either.
    """
    if at not in unchanged:
        return f"n{at}"
    nowhere = literal(f"the key {copy.columns[at].name} of {copy.schema}.{copy.name} was not sent: upgrade the origin")
    return f"(CASE WHEN NOT u{at} THEN n{at} WHEN has_old THEN o{at} ELSE error({nowhere}) END)"


def _touched(copy: Copy, relation: str, unchanged: Sequence[int]) -> str:
    """The keys, as k<place>, of the rows there may be that a change names; inserts name a key that is not there."""
    places = _key_places(copy)
    new = ", ".join(f"{_typed(copy, at, _new_key(copy, at, unchanged))} AS k{at}" for at in places)
    old = ", ".join(f"{_typed(copy, at, f'o{at}')} AS k{at}" for at in places)
    return (
        f"SELECT {new} FROM {relation} WHERE kind = {UPDATE} AND NOT has_old "
        f"UNION ALL SELECT {old} FROM {relation} WHERE has_old"
    )


def _delete(copy: Copy, touched: str) -> str:
    """Delete the rows whose key is among the touched: a query with a column k<place> for each of the key's."""
    places = _key_places(copy)
    if len(places) == 1:
        return f"DELETE FROM {target(copy)} WHERE {quote(local_name(copy.key[0]))} IN ({touched})"
    same = " AND ".join(
        f"t.{quote(local_name(name))} = touched.k{at}" for name, at in zip(copy.key, places, strict=True)
    )
    return f"DELETE FROM {target(copy)} AS t USING (SELECT DISTINCT * FROM ({touched})) AS touched WHERE {same}"


def _winners(copy: Copy, relation: str, unchanged: Sequence[int]) -> str:
    """The seq of the change that leaves each key with a row: its last one, unless that took the row away.

    A key is the same iff its text is: Postgres decides by its bytes whether an update changed the key.
    """
    places = _key_places(copy)
    new = ", ".join(f"{_new_key(copy, at, unchanged)} AS k{at}" for at in places)
    old = ", ".join(f"o{at} AS k{at}" for at in places)
    keys = ", ".join(f"k{at}" for at in places)
    return (
        f"SELECT seq FROM (SELECT max(step) // 2 AS seq, max(step) % 2 AS stays FROM ("
        f"SELECT {new}, seq * 2 + 1 AS step FROM {relation} WHERE kind <> {DELETE} "
        f"UNION ALL SELECT {old}, seq * 2 AS step FROM {relation} WHERE has_old) GROUP BY {keys}) WHERE stays = 1"
    )


def _apply_lacking(
    writer: duckdb.DuckDBPyConnection, copy: Copy, relation: str, events: Events, delta: Delta | None
) -> None:
    """Apply events to a copy with a key, where some new rows lack toasted values: those are the previous version's.

    That version is the old row of the message where it is whole, else the latest change of the same key in this
    run that has the value, else the row in the copy (found by its key before the change). So rows are inserted while
    those they replace are still there, which are then deleted by their rowids. (A temporary table of the new versions
    would hold its memory until the transaction ends.)
    """
    same = " AND ".join(
        f"t.{quote(local_name(name))} = touched.k{at}" for name, at in zip(copy.key, _key_places(copy), strict=True)
    )
    touched = _touched(copy, relation, events.unchanged)
    found = f"SELECT t.rowid AS id FROM {target(copy)} AS t SEMI JOIN ({touched}) AS touched ON {same}"
    replaced = writer.execute(found).fetchnumpy()["id"]
    insert, lacking = _insert_lacking(copy, relation, events)
    if lacking and writer.execute(lacking).fetchone() is not None:
        raise Incomplete(copy)
    _run(writer, insert, delta)
    if len(replaced):
        # The range, which is a filter of its own, lets DuckDB pass over the row groups that have none of them.
        within = f"{rowid_among(f'FROM {_REPLACED}')} AND rowid BETWEEN {replaced.min()} AND {replaced.max()}"
        with registered(writer, _REPLACED, pa.table({"id": to_arrow(replaced)})):
            _run(writer, f"DELETE FROM {target(copy)} WHERE {within}", delta)


def _insert_lacking(copy: Copy, relation: str, events: Events) -> tuple[str, str]:
    """The INSERT of new versions; and, for a partial copy, a query for one that belongs to it and is not known whole.

    A row that was in none of its sets and comes into one has its toasted values nowhere here.
    """
    places = _key_places(copy)
    keys = ", ".join(f"n{at}" for at in places)
    joins, values = [], []
    nowhere = "NULL" if copy.restriction is not None else f"error({_NOBODY})"
    lacks, unsure = ["false"], ["false"]
    for at in range(len(copy.columns)):
        sent = _typed(copy, at, f"w.n{at}")
        if at not in events.unchanged:
            values.append(sent)
        elif events.old_is_whole:
            values.append(f"CASE WHEN w.u{at} THEN {_typed(copy, at, f'w.o{at}')} ELSE {sent} END")
        else:
            joins.append(
                f"LEFT JOIN (SELECT {keys}, arg_max(struct_pack(v := n{at}), seq) AS got FROM {relation} "
                f"WHERE kind <> {DELETE} AND NOT u{at} GROUP BY {keys}) AS p{at} "
                f"ON {' AND '.join(f'p{at}.n{k} = w.n{k}' for k in places)}"
            )
            values.append(
                f"CASE WHEN NOT w.u{at} THEN {sent} WHEN p{at}.got IS NOT NULL "
                f"THEN {_typed(copy, at, f'p{at}.got.v')} WHEN c.rowid IS NULL THEN {nowhere} "
                f"ELSE c.{quote(copy.columns[at].local_name)} END"
            )
            lacks.append(f"(w.u{at} AND p{at}.got IS NULL AND c.rowid IS NULL)")
            if copy.restriction is not None and copy.columns[at].name in copy.restriction.columns:
                unsure.append(lacks[-1])
    before = " AND ".join(
        f"c.{quote(local_name(name))} = {_typed(copy, at, f'CASE WHEN w.has_old THEN w.o{at} ELSE w.n{at} END')}"
        for name, at in zip(copy.key, places, strict=True)
    )
    if not events.old_is_whole:
        joins.append(f"LEFT JOIN {target(copy)} AS c ON {before}")
    won = f"{relation} AS w {' '.join(joins)} WHERE w.seq IN ({_winners(copy, relation, events.unchanged)})"
    into, after = _insert(copy, values)
    if copy.restriction is None or events.old_is_whole:
        return f"{into}{won}{after}", ""
    named = ", ".join(f"{value} AS {quote(kept.local_name)}" for value, kept in zip(values, copy.columns, strict=True))
    found = f"SELECT {named}, {' OR '.join(unsure)} AS flashql_unsure FROM {won} AND ({' OR '.join(lacks)})"
    return f"{into}{won}{after}", f"SELECT 1 FROM ({found}) AS r WHERE flashql_unsure OR {matching(copy)} LIMIT 1"


def _bag_statements(copy: Copy, events: Events) -> list[str]:
    """Replica identity full without a key: add up each distinct row's weight, then delete or insert that many.

    They are added up for each of the two: a temporary table would hold its memory until the transaction ends.
    """
    count = len(copy.columns)
    names = [quote(column.local_name) for column in copy.columns]
    weight = _unlike("weight", names)
    vague = [compares_vaguely(copy.local_type(column).name) for column in copy.columns]

    def new(at: int) -> str:
        sent = f"CASE WHEN u{at} THEN o{at} ELSE n{at} END" if at in events.unchanged else f"n{at}"
        return f"{_typed(copy, at, sent)} AS {names[at]}"

    def exact(at: int, row: str) -> str:
        return f"CAST({row}.{names[at]} AS VARCHAR)" if vague[at] else f"{row}.{names[at]}"

    def exactly(row: str) -> str:
        return ", ".join(exact(at, row) for at in range(count))

    arriving = ", ".join(new(at) for at in range(count))
    leaving = ", ".join(f"{_typed(copy, at, f'o{at}')} AS {names[at]}" for at in range(count))
    kept = ", ".join(f"any_value(e.{name}) AS {name}" if vague[at] else f"e.{name}" for at, name in enumerate(names))
    same = " AND ".join(f"{exact(at, 'c')} IS NOT DISTINCT FROM {exact(at, 'w')}" for at in range(count))
    belongs = f"WHERE {matching(copy)} " if copy.restriction is not None else ""
    weighed = (
        f"(SELECT {kept}, sum({weight})::BIGINT AS {weight} "
        f"FROM (SELECT {arriving}, 1 AS {weight} FROM {events.relation} WHERE kind <> {DELETE} "
        f"UNION ALL SELECT {leaving}, -1 FROM {events.relation} WHERE has_old) AS e {belongs}"
        f"GROUP BY {exactly('e')} HAVING sum({weight})"
    )
    leaves = (
        f"SELECT id FROM (SELECT c.rowid AS id, w.{weight} AS weight, "
        f"row_number() OVER (PARTITION BY {exactly('c')}) AS nth "
        f"FROM {target(copy)} AS c JOIN {weighed} < 0) AS w ON {same}) WHERE nth <= -weight"
    )
    return [
        f"DELETE FROM {target(copy)} WHERE {rowid_among(leaves)}",
        f"INSERT INTO {target(copy)} ({', '.join(names)}) SELECT {', '.join(f'w.{name}' for name in names)} "
        f"FROM {weighed} > 0) AS w, range(w.{weight}) AS copies",
    ]


def _unlike(name: str, taken: Sequence[str]) -> str:
    """The name, quoted, made longer until it is none of the quoted names that are taken.

    >>> _unlike("weight", ['"id"', '"weight"'])
    '"weight_"'
    """
    while quote(name) in taken:
        name += "_"
    return quote(name)
