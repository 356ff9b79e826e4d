"""Keys that divide a query: when every changed input is cut down to some keys, its result is cut down to them too.

    SELECT c.id, count(o.id) FROM customers AS c LEFT JOIN orders AS o ON o.customer = c.id GROUP BY c.id

is divided by (c.id, o.customer): what changed for the customers in a set of keys T is the query over rows with these
keys as they are now, less the query over rows with these keys as they were. That holds for a query Q and inputs X if

    Q(X) = Q(X with keys in T) + Q(X with other keys)      as bags, for any T.

Joins on the key, groups, partitions and DISTINCT that contain it, and subqueries correlated by it are divided; a limit,
a grand total, or a subquery that looks at all rows is not. NULL is a key like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from flashql.planner.blocks import (
    Item,
    column_of,
    conjuncts,
    has_grouping_sets,
    is_aggregate,
    is_constant,
    items,
    output_names,
    own,
    subqueries,
    tables,
    where,
)

Column = tuple[str, str]  # alias, name
Cuts = dict[str, tuple[str, ...]]  # alias of a table -> the columns of it whose values are cut down to the keys


class _Undivided(Exception):
    """The query is not divided by this key."""


def dividing_keys(tree: exp.Query, changed: Collection[str]) -> Iterator[Cuts]:
    """Ways to cut down the tables under the aliases `changed`, and what else has to be, by keys that divide the query.

    Each gives, for every table cut down, or derived table that reads none, its columns with the key's parts.
    Longer keys come first.
    """
    if not isinstance(tree, exp.Select):
        names = output_names(tree)
        for name in names:
            try:
                yield _exposing(tree, (name,), frozenset(changed))
            except _Undivided:
                continue
        return
    level = _Level(tree)
    for key in level.candidates():
        try:
            yield _cut(tree, [level.around(one) for one in key], frozenset(changed), inner=False)
        except _Undivided:
            continue


def equal_columns(select: exp.Select) -> dict[Column, set[Column]]:
    """For columns of a SELECT's FROM items, those that have the same value in every row that it lets through."""
    return _Level(select).equal


@dataclass
class _Level:
    """The columns of one SELECT, and which of them have equal values in every row that it lets through."""

    select: exp.Select
    equal: dict[Column, set[Column]] = field(default_factory=dict)
    # From a column to those of outer-joined items that equal it where they are not NULL for want of a match.
    matched: dict[Column, set[Column]] = field(default_factory=dict)
    nullable: set[str] = field(default_factory=set)  # FROM items that may be all NULL for want of a match

    def __post_init__(self) -> None:
        before: set[str] = set()
        for item in items(self.select):
            pairs = list(_equalities(conjuncts(item.join.args.get("on") if item.join is not None else None)))
            if item.side in ("LEFT", "FULL"):
                self.nullable.add(item.alias)
            if item.side in ("RIGHT", "FULL"):
                self.nullable |= before
            for one, other in (ordered for pair in pairs for ordered in (pair, pair[::-1])):
                if item.side == "":
                    self._equate(one, other)
                elif item.side in ("LEFT", "FULL") and one[0] in before and other[0] == item.alias:
                    self.matched.setdefault(one, set()).add(other)
                if item.side in ("RIGHT", "FULL") and one[0] == item.alias and other[0] in before:
                    self.matched.setdefault(one, set()).add(other)
            before.add(item.alias)
        for one, other in _equalities(where(self.select)):
            self._equate(one, other)

    def _equate(self, one: Column, other: Column) -> None:
        merged = self.equal.get(one, {one}) | self.equal.get(other, {other})
        for column in merged:
            self.equal[column] = merged

    def around(self, column: Column) -> set[Column]:
        """The column, those equal to it, and those of outer joins that match it."""
        found: set[Column] = set()
        waiting = [column]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += [*self.equal.get(one, ()), *self.matched.get(one, ())]
        return found

    def candidates(self) -> list[tuple[Column, ...]]:
        """Keys worth trying: what is grouped or partitioned by, whole, then single columns."""
        group = self.select.args.get("group")
        lists = [group.expressions] if group is not None else []
        lists += [window.args.get("partition_by") or [] for window in own(self.select, exp.Window)]
        whole = [tuple(_columns(one)) for one in lists]
        single = [*self.equal, *self.matched, *(column for key in whole for column in key)]
        for item in items(self.select):
            if item.query is not None:
                single += [(item.alias, name) for name in output_names(item.query)]
        if self.select.args.get("distinct") is not None:
            single += _columns([node.unalias() for node in self.select.expressions])
        single += self._correlated()
        single += _columns([part.this for part in where(self.select) if isinstance(part, exp.In)])
        found = dict.fromkeys([*whole, *((column,) for column in single)])
        return sorted((key for key in found if key), key=len, reverse=True)

    def _correlated(self) -> list[Column]:
        """The columns that subqueries compare theirs with."""
        mine = {item.alias for item in items(self.select)}
        inside = [one for one in [*subqueries(self.select), *_laterals(self.select)] if isinstance(one, exp.Select)]
        pairs = [pair for query in inside for pair in _equalities(where(query))]
        return [side for pair in pairs for side in pair if side[0] in mine]


def _columns(expressions: Iterable[exp.Expr]) -> list[Column]:
    return [column for column in map(column_of, expressions) if column is not None]


def _equalities(parts: Iterable[exp.Expr]) -> Iterator[tuple[Column, Column]]:
    for part in parts:
        if isinstance(part, exp.EQ):
            left, right = column_of(part.this), column_of(part.expression)
            if left is not None and right is not None:
                yield left, right


def _laterals(select: exp.Select) -> list[exp.Query]:
    return [item.query for item in items(select) if isinstance(item.node, exp.Lateral) and item.query is not None]


def _changed_in(tree: exp.Expr, changed: frozenset[str]) -> bool:
    return any(table.alias_or_name in changed for table in tables(tree))


def _cut(
    select: exp.Select, key: list[set[Column]], changed: frozenset[str], *, inner: bool, keep: bool = False
) -> Cuts:
    """How to cut down a SELECT by a key, each part of which is a set of columns that are equal.

    `inner`: it is correlated with a query around it by the key, so all its rows have one. `keep`: it must be cut down
    even when nothing in it changes.
    """
    found: Cuts = {}
    required: set[str] = set()
    present = items(select)
    for query in [*subqueries(select), *_laterals(select)]:
        if _changed_in(query, changed):
            found |= _cut_subquery(select, query, key, changed, required)
    if not inner:
        _require_divided(select, key)
    plain = [item for item in present if not isinstance(item.node, exp.Lateral)]
    required |= {item.alias for item in plain if _item_changed(item, changed)}
    if keep and not required:
        required.add(_one_with_key({item.alias for item in present}, key, select))
    while more := _also_required(present, required, key, select) - required:
        required |= more
    for item in plain:
        if item.alias in required:
            found |= _cut_item(item, key, changed)
    return found


def _also_required(present: list[Item], required: set[str], key: list[set[Column]], select: exp.Select) -> set[str]:
    """FROM items that are to be cut down because of others: rows that find no match for it would be left over."""
    found: set[str] = set()
    for at, item in enumerate(present):
        left = {one.alias for one in present[:at]}
        if not required & {*left, item.alias} or item.side == "":
            continue
        if item.side == "LEFT":
            if item.alias in required:
                found.add(_one_with_key(left, key, select))
        elif item.side == "RIGHT":
            if left & required:
                found.add(item.alias)
        elif item.side == "FULL" and len(present) == 2:
            found |= {*left, item.alias}
        else:
            raise _Undivided
    return found


def _item_changed(item: Item, changed: frozenset[str]) -> bool:
    return item.alias in changed if isinstance(item.node, exp.Table) else _changed_in(item.node, changed)


def _one_with_key(aliases: set[str], key: list[set[Column]], select: exp.Select) -> str:
    """One of these FROM items that has every part of the key; one that may be all NULL only if there is no other."""
    nullable = _Level(select).nullable
    for alias in sorted(aliases, key=lambda alias: (alias in nullable, alias)):
        if all(any(column[0] == alias for column in part) for part in key):
            return alias
    raise _Undivided


def _cut_item(item: Item, key: list[set[Column]], changed: frozenset[str]) -> Cuts:
    names = []
    for part in key:
        name = min((column[1] for column in part if column[0] == item.alias), default=None)
        if name is None:
            raise _Undivided
        names.append(name)
    if isinstance(item.node, exp.Table) and item.node.db:
        return {item.alias: tuple(names)}
    if item.query is None:
        raise _Undivided
    if is_constant(item):
        return {item.alias: tuple(names)}
    return _exposing(item.query, tuple(names), changed)


def _exposing(query: exp.Query, names: tuple[str, ...], changed: frozenset[str]) -> Cuts:
    """How to cut down a query so that exactly its rows with the keys in these columns are left."""
    if isinstance(query, exp.Subquery) and isinstance(query.this, exp.Query):
        return _exposing(query.this, names, changed)
    if query.args.get("limit") or query.args.get("offset"):
        raise _Undivided
    if isinstance(query, exp.SetOperation):
        places = [output_names(query).index(name) for name in names]
        found: Cuts = {}
        for side in (query.left, query.right):
            found |= _exposing(side, tuple(output_names(side)[place] for place in places), changed)
        return found
    if not isinstance(query, exp.Select):
        raise _Undivided
    level = _Level(query)
    outputs = {item.alias_or_name: item.unalias() for item in query.expressions}
    key = []
    for name in names:
        column = column_of(outputs[name])
        if column is None or column[0] in level.nullable:
            raise _Undivided
        key.append(level.around(column))
    return _cut(query, key, changed, inner=False, keep=True)


def _require_divided(select: exp.Select, key: list[set[Column]]) -> None:
    """Raise unless what looks at many rows of the SELECT looks at rows with one key only."""
    if select.args.get("limit") or select.args.get("offset"):
        raise _Undivided
    level = _Level(select)

    def contains_key(expressions: Iterable[exp.Expr]) -> bool:
        sound = {one for one in _columns([e.unalias() for e in expressions]) if one[0] not in level.nullable}
        return all(part & sound for part in key)

    looks_at = [window.args.get("partition_by") or () for window in own(select, exp.Window)]
    group, distinct = select.args.get("group"), select.args.get("distinct")
    if group is not None:
        if has_grouping_sets(select):
            raise _Undivided
        looks_at.append(group.expressions)
    elif select.args.get("having") or any(is_aggregate(node) for node in own(select, exp.Func)):
        raise _Undivided
    if distinct is not None:
        on = distinct.args.get("on")
        looks_at.append(on.expressions if on is not None else select.expressions)
    if not all(contains_key(expressions) for expressions in looks_at):
        raise _Undivided


def _cut_subquery(
    select: exp.Select, query: exp.Query, key: list[set[Column]], changed: frozenset[str], required: set[str]
) -> Cuts:
    """How to cut down a subquery in the expressions of a SELECT, whose rows with a key see only rows with that key."""
    around = query.parent
    while isinstance(around, exp.Subquery):
        around = around.parent
    conditions = where(select)
    if isinstance(around, exp.In) and any(part is around for part in conditions):
        column = column_of(around.this)
        if column is not None and len(key) == 1 and column in key[0]:
            try:
                found = _exposing(query, (output_names(query)[0],), changed)
                required.add(column[0])
                return found
            except _Undivided:
                pass
    if not isinstance(query, exp.Select):
        raise _Undivided
    level, inside = _Level(query), []
    for part in key:
        links = [
            (one, other)
            for pair in _equalities(where(query))
            for one, other in (pair, pair[::-1])
            if other in part and other[0] not in {item.alias for item in items(query)}
        ]
        if not links:
            raise _Undivided
        mine, theirs = links[0]
        required.add(theirs[0])
        inside.append(level.around(mine))
    return _cut(query, inside, changed, inner=True)
