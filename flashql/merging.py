"""Groups follow the rows that moved: by adding up, and where that does not tell, by looking at the group again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
from sqlglot import exp

from flashql.deltas import NESTS, Delta
from flashql.planner.blocks import sql
from flashql.planner.steps import ROWS, ROWS_ALIAS, WEIGHT, Aggregate, Grouping, Step
from flashql.quoting import qualified, quote
from flashql.store import DATA_SCHEMA
from flashql.store.parsed import repeated
from flashql.weighing import Columns

_MOVED, _AGAIN = "flashql_moved_groups", "flashql_groups_again"
_GONE, _CAME = "flashql_groups_gone", "flashql_groups_come"


def merge(
    writer: duckdb.DuckDBPyConnection,
    step: Step,
    rows_delta: str,
    delta: Delta,
    *,
    columns: Columns,
    found_by: Sequence[str],
    listed: bool,
    in_place: bool,
) -> None:
    """Bring a table of groups to what it is after the delta of its rows; `delta` becomes what moved in the table.

    `columns` are the table's, `found_by` keys that determine the others. Unless it is to be `listed`, perhaps only how
    much that is will be known of it: it is `lost` then. `in_place`, when it is not listed, says that rows had better
    change where they are.
    """
    grouping = step.grouping
    assert grouping is not None
    moved = _moved(grouping, columns, rows_delta)
    if in_place and grouping.merges and not grouping.vague & {*grouping.keys}:
        delta.arrived = _add_in_place(writer, step.table, grouping, columns, moved)
        delta.lost = True
        return
    if NESTS and grouping.merges:
        among = _among(_MOVED, "t", found_by, columns)
        _add_up(writer, step.table, grouping, among, moved, delta, listed=listed)
        return
    made = repeated(writer, f"CREATE OR REPLACE TEMP TABLE {_MOVED} AS {moved}").fetchone()
    if made == (0,):
        return
    table = qualified(DATA_SCHEMA, step.table)
    delta.create()
    delta.run(f"DELETE FROM {table} AS t WHERE {_among(_MOVED, 't', grouping.keys, columns)}")
    again = _find_again(writer, grouping, delta)
    if again != "all":
        old = f"{delta.name} WHERE {WEIGHT} < 0"
        delta.run(f"INSERT INTO {table} {_merged(grouping, old, again)}")
    if again:
        delta.run(f"INSERT INTO {table} {_looked_at_again(step, grouping, _AGAIN if again == 'some' else _MOVED)}")


def _add_up(
    writer: duckdb.DuckDBPyConnection,
    name: str,
    grouping: Grouping,
    among: str,
    moved: str,
    delta: Delta,
    *,
    listed: bool,
) -> None:
    """The same in one statement, for groups whose aggregates only take what moved."""
    table = qualified(DATA_SCHEMA, name)
    changed = (
        f"WITH {_MOVED} AS MATERIALIZED ({moved}), "
        f"{_GONE} AS (DELETE FROM {table} AS t WHERE {among} RETURNING *), "
        f"{_CAME} AS (INSERT INTO {table} {_merged(grouping, _GONE, '')} RETURNING *)"
    )
    if listed:
        both = f"SELECT *, (-1)::TINYINT AS {WEIGHT} FROM {_GONE} UNION ALL SELECT *, 1 FROM {_CAME}"
        row = repeated(writer, f"CREATE OR REPLACE TEMP TABLE {delta.bare_name} AS {changed} {both}").fetchone()
    else:
        both = f"(SELECT count(*) FROM {_GONE}) + (SELECT count(*) FROM {_CAME})"
        row = repeated(writer, f"{changed} SELECT {both}").fetchone()
        delta.lost = True
    assert row is not None
    delta.arrived = row[0]


def _add_in_place(
    writer: duckdb.DuckDBPyConnection, name: str, grouping: Grouping, columns: Columns, moved: str
) -> int:
    """The same where nobody reads what moved, half as long to plan; for how many groups.

    Groups are found by all their keys here: one that left and one that came may share those that determine the others.
    """
    table = qualified(DATA_SCHEMA, name)
    added = [quote(column) for column, _ in columns if column not in grouping.keys]
    sums = ", ".join(f"{one} = t.{one} + m.{one}" for one in added)
    if not grouping.keys:  # its one row is always there
        row = repeated(writer, f"UPDATE {table} AS t SET {sums} FROM ({moved}) AS m").fetchone()
    else:
        row = repeated(
            writer,
            f"MERGE INTO {table} AS t USING ({moved}) AS m ON {_same('m', 't', grouping.keys, columns)} "
            f"WHEN MATCHED AND t.{ROWS} + m.{ROWS} <= 0 THEN DELETE WHEN MATCHED THEN UPDATE SET {sums} "
            f"WHEN NOT MATCHED AND m.{ROWS} > 0 THEN INSERT BY NAME",
        ).fetchone()
    assert row is not None
    count: int = row[0]
    return count


def _keys(grouping: Grouping, alias: str = "") -> list[str]:
    return [f"{alias}.{quote(key)}" if alias else quote(key) for key in grouping.keys]


def _among(groups: str, alias: str, keys: Sequence[str], columns: Columns = ()) -> str:
    """Whether a group is among those of these keys."""
    same = _same("m", alias, keys, columns)
    return f"EXISTS (SELECT 1 FROM {groups} AS m{f' WHERE {same}' if same else ''})"


def _same(alias: str, other: str, keys: Sequence[str], columns: Columns) -> str:
    """Whether groups under two aliases have the same keys; '' for no keys."""
    pairs = [(f"{alias}.{quote(key)}", f"{other}.{quote(key)}") for key in keys]
    if [dict(columns).get(key) for key in keys] == ["VARCHAR"]:
        # As bytes: for one text DuckDB 2.0 would make a filter of its first letters, megabytes of it for a few groups.
        pairs = [(f"encode({one})", f"encode({another})") for one, another in pairs]
    return " AND ".join(f"{one} IS NOT DISTINCT FROM {another}" for one, another in pairs)


def _moved(grouping: Grouping, columns: Columns, rows_delta: str) -> str:
    """For each group that rows moved in: how many more it has, and what the aggregates gain or lose by it."""
    source, changed = f"({rows_delta})", [f"{ROWS} <> 0"]
    if not grouping.merges:  # a row that came and went is no row that came
        names = [*_keys(grouping), *_arguments(grouping)]
        exactly = [f"CAST({quote(name)} AS VARCHAR)" for name in sorted(grouping.vague)]
        also, by = (f"{', '.join(names)}, ", f" GROUP BY {', '.join([*names, *exactly])}") if names else ("", "")
        source = (
            f"(SELECT {also}sign({WEIGHT})::TINYINT AS {WEIGHT} FROM (SELECT {also}sum({WEIGHT}) AS {WEIGHT} "
            f"FROM {source}{by} HAVING sum({WEIGHT}) <> 0), range(abs({WEIGHT})::BIGINT))"
        )
    selected = [*_keys(grouping), f"sum({WEIGHT})::BIGINT AS {ROWS}"]
    for one in grouping.aggregates:
        gained = _gains(one, dict(columns))
        selected += [f"{expression} AS {quote(name)}" for name, expression in gained.items()]
        if one.kind in ("count", "sum"):
            changed += [f"{quote(name)} <> 0" for name in gained]
    keys = ", ".join(_keys(grouping))
    having = " OR ".join(changed) if grouping.merges else "count(*) > 0"
    return f"SELECT {', '.join(selected)} FROM {source}{f' GROUP BY {keys}' if keys else ''} HAVING {having}"


def _arguments(grouping: Grouping) -> list[str]:
    """The columns of the rows that aggregates read, other than the keys."""
    read = {
        column.name
        for one in grouping.aggregates
        for column in one.expression.find_all(exp.Column)
        if column.table == ROWS_ALIAS
    }
    return [quote(name) for name in sorted(read - set(grouping.keys))]


def _gains(one: Aggregate, kinds: Mapping[str, str]) -> dict[str, str]:
    value = quote(one.argument) if one.argument is not None else "1"
    counted = f"coalesce(sum({WEIGHT}) FILTER (WHERE {value} IS NOT NULL), 0)::BIGINT"
    if one.kind == "count":
        return {one.name: counted}
    if one.kind == "sum":
        if kinds[one.name].startswith("DECIMAL"):  # whose opposites are of the same type, all of them
            gained = f"coalesce(sum(CASE WHEN {WEIGHT} > 0 THEN {value} ELSE -{value} END), 0)"
        else:
            added = [f"coalesce(sum({value}) FILTER (WHERE {WEIGHT} {sign} 0), 0)" for sign in (">", "<")]
            gained = " - ".join(added)
        return {one.name: gained, f"{one.name}_n": counted}
    if one.kind in ("min", "max"):
        return {
            f"{one.name}_in": f"{one.kind}({value}) FILTER (WHERE {WEIGHT} > 0)",
            f"{one.name}_out": f"{one.kind}({value}) FILTER (WHERE {WEIGHT} < 0)",
        }
    return {}


def _find_again(writer: duckdb.DuckDBPyConnection, grouping: Grouping, delta: Delta) -> str:
    """Which of the groups that moved must be looked at again: '' none, 'some' (in _AGAIN), or 'all'."""
    if any(one.kind == "other" for one in grouping.aggregates):
        return "all"
    if not grouping.extremes:
        return ""
    gone = " OR ".join(_is_gone(one) for one in grouping.extremes)
    same = " AND ".join(f"m.{quote(key)} IS NOT DISTINCT FROM d.{quote(key)}" for key in grouping.keys) or "true"
    keys = ", ".join(_keys(grouping, "m")) or "1 AS k0"
    row = repeated(
        writer,
        f"CREATE OR REPLACE TEMP TABLE {_AGAIN} AS SELECT {keys} FROM {_MOVED} AS m "
        f"JOIN {delta.name} AS d ON d.{WEIGHT} < 0 AND {same} WHERE {gone}",
    ).fetchone()
    return "some" if row is not None and row[0] else ""


def _is_gone(one: Aggregate) -> str:
    """Whether a group's extreme left it, and nothing as extreme came."""
    left, came, was = f"m.{quote(f'{one.name}_out')}", f"m.{quote(f'{one.name}_in')}", f"d.{quote(one.name)}"
    reaches = "<=" if one.kind == "min" else ">="
    return f"({left} {reaches} {was} AND ({came} {reaches} {left}) IS NOT TRUE)"


def _merged(grouping: Grouping, before: str, again: str) -> str:
    """The groups that moved, as they are now. `before` is what there is of them, as it was."""
    old, new, merged = [*_keys(grouping), ROWS], [*_keys(grouping), ROWS], [*_keys(grouping), f"sum({ROWS})::BIGINT"]
    for one in grouping.aggregates:
        names = [one.name, f"{one.name}_n"] if one.kind == "sum" else [one.name]
        old += [quote(name) for name in names]
        if one.kind in ("min", "max"):
            new.append(quote(f"{one.name}_in"))
            merged.append(f"{one.kind}({quote(one.name)})")
        else:
            new += [quote(name) for name in names]
            merged += [f"sum({quote(name)})" for name in names]
    keys = ", ".join(_keys(grouping))
    among = f" WHERE NOT {_among(_AGAIN, 'g', grouping.keys)}" if again else ""
    text = (
        f"SELECT {', '.join(merged)} FROM (SELECT {', '.join(old)} FROM {before} UNION ALL "
        f"SELECT {', '.join(new)} FROM {_MOVED}) AS g{among}"
    )
    if keys:
        return f"{text} GROUP BY {keys} HAVING sum({ROWS}) > 0"
    return f"{text} HAVING count(*) > 0"


def _looked_at_again(step: Step, grouping: Grouping, keys: str) -> str:
    """The groups of these keys, from their rows as they are now."""
    if not grouping.keys:
        return step.text
    assert step.query is not None
    query = step.query.copy()
    mark = exp.column("flashql_among")
    query.set("where", exp.Where(this=mark))
    text = sql(query)
    assert text.count("flashql_among") == 1
    return text.replace("flashql_among", _among(keys, ROWS_ALIAS, grouping.keys))
