"""What the keys that moved must fulfil for rows of the query to have them; others need not be looked up.

    SELECT ... FROM lines AS l JOIN parts AS p ON p.id = l.part WHERE p.brand = 'x' AND l.quantity < (
        SELECT avg(a.quantity) FROM lines AS a WHERE a.part = p.id)

is divided by (p.id, l.part, a.part). When only `lines` changes, of the parts that lines moved of only those of brand x
matter: p.id IN (SELECT p.id FROM parts AS p WHERE p.brand = 'x').
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sqlglot import exp

from flashql.planner.blocks import Item, column_of, conjuncts, items, sql, tables, where
from flashql.planner.keys import Column, Cuts, equal_columns
from flashql.quoting import quote

KEYS_ALIAS = "flashql_keys"


def narrowed(tree: exp.Query, cuts: Cuts, changed: Collection[str]) -> list[str]:
    """Conditions on keys (k0, k1, ... of KEYS_ALIAS) as SQL: where one does not hold, no row of the query has that key.

    `changed` are the aliases of all tables that change in the batch: what reads one of them is no condition, for it
    holds at one time and not at another.
    """
    if not isinstance(tree, exp.Select):
        return []
    present = items(tree)
    if any(item.side not in ("", "LEFT") for item in present):
        return []
    lasting = {item.alias: item for item in present if item.side == "" and isinstance(item.node, exp.Table)}
    keyed = next((alias for alias in cuts if alias in lasting), None)
    if keyed is None:
        return []
    equal = equal_columns(tree)
    place: dict[Column, int] = {}
    for at, name in enumerate(cuts[keyed]):
        place |= dict.fromkeys(sorted(equal.get((keyed, name), {(keyed, name)})), at)
    conditions = [one for one in _conditions(tree, present) if _is_cheap(one, changed)]
    of_keys = [one for one in conditions if _columns(one) and _columns(one) <= place.keys()]
    found = [_on_keys(one, place) for one in of_keys if not _says_equal(one, place)]
    for alias, item in lasting.items():
        mine = {name: at for (one, name), at in place.items() if one == alias}
        # One that compares with what a query finds would cost more within the EXISTS than the rows it leaves out.
        local = [
            one for one in conditions if {column[0] for column in _columns(one)} == {alias} and not one.find(exp.Query)
        ]
        if alias not in changed and mine and any(not _columns(one) <= place.keys() for one in local):
            found.append(_among_rows(item, mine, local))
    return found


def _conditions(tree: exp.Select, present: list[Item]) -> Iterator[exp.Expr]:
    """What holds for every row that is let through."""
    yield from where(tree)
    for item in present:
        if item.join is not None and item.side == "":
            yield from conjuncts(item.join.args.get("on"))


def _columns(condition: exp.Expr) -> set[Column]:
    """The columns that a condition reads, without those that a subquery reads of its own tables."""
    own = {table.alias_or_name for table in condition.find_all(exp.Table, exp.Subquery, exp.Lateral)}
    return {(one.table, one.name) for one in condition.find_all(exp.Column) if one.table not in own}


def _is_cheap(condition: exp.Expr, changed: Collection[str]) -> bool:
    """Whether it holds throughout the batch or throughout does not, and is found without a look at each key's rows."""
    own = {table.alias_or_name for table in condition.find_all(exp.Table, exp.Subquery, exp.Lateral)}
    inside = [column for query in condition.find_all(exp.Query) for column in query.find_all(exp.Column)]
    lasts = not any(table.alias_or_name in changed for table in tables(condition))
    return lasts and all(column.table in own for column in inside)


def _says_equal(condition: exp.Expr, place: Mapping[Column, int]) -> bool:
    """Whether a condition is what makes columns one part of the key."""
    sides = (
        [column_of(side) for side in (condition.this, condition.expression)] if isinstance(condition, exp.EQ) else []
    )
    return len(sides) == 2 and None not in sides and len({place[side] for side in sides if side is not None}) == 1


def _on_keys(condition: exp.Expr, place: Mapping[Column, int]) -> str:
    around = exp.Paren(this=condition.copy())  # so that a condition that is a column can be replaced
    for column in list(around.find_all(exp.Column)):
        at = place.get((column.table, column.name))
        if at is not None:
            column.replace(exp.column(f"k{at}", table=KEYS_ALIAS))
    return sql(around)


def _among_rows(item: Item, mine: dict[str, int], local: list[exp.Expr]) -> str:
    """That the table of a FROM item has a row with the key that fulfils what is asked of it."""
    same = [
        f"{quote(item.alias)}.{quote(name)} IS NOT DISTINCT FROM {KEYS_ALIAS}.k{at}"
        for at, name in {at: name for name, at in mine.items()}.items()
    ]
    return f"EXISTS (SELECT 1 FROM {sql(item.node)} WHERE {' AND '.join([*same, *(f'({sql(one)})' for one in local)])})"
