"""The delta of a query from the deltas of what it reads, as SQL over present rows and deltas alone.

Rows as they were are the present ones less the delta. What changed in several inputs is told apart in rounds, each of
which takes the inputs of the rounds before it as they were and those of the rounds after it as they are:

    Q(new, new) - Q(old, old) = [Q(new, new) - Q(old, new)] + [Q(old, new) - Q(old, old)]

A round of one input that is joined row by row puts its delta in its place. Any other cuts its inputs down to the keys
that changed (keys.py), and takes the query over them as they are less the query over them as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from sqlglot import exp

from flashql.planner.blocks import (
    Item,
    Recomputed,
    column,
    columns_of,
    is_plain,
    items,
    names_sql,
    output_names,
    sql,
    tables,
)
from flashql.planner.keys import Cuts, dividing_keys
from flashql.planner.narrowing import KEYS_ALIAS, narrowed
from flashql.planner.sides import has_sides, on_sides
from flashql.planner.statistics import joins_outer
from flashql.planner.steps import WEIGHT
from flashql.quoting import quote

_COLUMNS = "{flashql_columns}"


@dataclass(frozen=True)
class Relation:
    """A stored table as deltas see it: where its delta is, and what tells its rows apart."""

    table: str  # qualified, quoted
    delta: str  # likewise; the same columns and WEIGHT
    unique: tuple[
        str, ...
    ] = ()  # columns that no two rows have alike, NULL counting as a value; () when there are none
    rows: int = 0  # about how many
    vague: frozenset[str] = frozenset()  # the columns whose type `compares_vaguely`, where nothing is unique


@dataclass(frozen=True)
class Round:
    """Inputs whose changes are taken into account together, by alias."""

    aliases: frozenset[str]
    cuts: Cuts | None  # None: the delta of the one alias takes its place


def follows(tree: exp.Query, alias: str) -> bool:
    """Whether a query follows what changes in the table under this alias by delta."""
    return _rows_path(tree, alias) is not None or next(dividing_keys(tree, {alias}), None) is not None


def ways(tree: exp.Query) -> dict[str, Cuts | None]:
    """How a query follows what changes in each of its tables alone, by alias.

    An empty dict: by its rows. Columns: by keys. None: not at all.
    """
    found: dict[str, Cuts | None] = {}
    for table in tables(tree):
        alias = table.alias_or_name
        found[alias] = {} if _rows_path(tree, alias) is not None else next(dividing_keys(tree, {alias}), None)
    return found


def rounds(tree: exp.Query, changed: frozenset[str], relations: Mapping[str, Relation]) -> list[Round]:
    """The rounds for changes in the tables under these aliases. Raises `Recomputed` when there are none."""
    found: list[Round] = []
    left = set(changed)
    while left:
        one = next(iter(left))
        if len(left) == 1 and _rows_path(tree, one) is not None:
            found.append(Round(frozenset(left), None))
            break
        cuts = next(dividing_keys(tree, left), None)
        if cuts is not None:
            found.append(Round(frozenset(left), cuts))
            break
        smallest = min(left, key=lambda alias: (_rows_path(tree, alias) is None, relations[alias].rows, alias))
        cuts = None if _rows_path(tree, smallest) is not None else next(dividing_keys(tree, {smallest}), None)
        if cuts is None and _rows_path(tree, smallest) is None:
            raise Recomputed(f"{smallest}: what changes in it may change any row")
        found.append(Round(frozenset({smallest}), cuts))
        left.remove(smallest)
    return found


@dataclass(frozen=True)
class Part:
    """A temporary table that deltas read: some rows of a relation, as they are or were.

    Deltas that read the same rows read the same table, whatever columns each of them wants: `rows` is the same text for
    them, in which _COLUMNS stands for all these columns (quoted, of the relation `r`).
    """

    rows: str
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The table, as SQL: another for other rows."""
        return f"flashql_part_{blake2b(self.rows.encode(), digest_size=8).hexdigest()}"

    def made(self, columns: Iterable[str]) -> str:
        """The statement that makes it, with these columns."""
        return f"CREATE OR REPLACE TEMP TABLE {self.name} AS {self.rows.replace(_COLUMNS, names_sql(sorted(columns)))}"


@dataclass(frozen=True)
class Written:
    """A delta as SQL: a query with the columns of what it is the delta of and WEIGHT.

    A row and its opposite may both be in it. It reads the temporary tables `before`, made in this order: for tables of
    their own DuckDB knows how many rows there are, on which the order of joins hangs.
    """

    before: tuple[Part, ...]
    query: str


def delta_sql(tree: exp.Query, changed: frozenset[str], relations: Mapping[str, Relation]) -> Written:
    """The delta of a query when the tables under these aliases have changed. Raises `Recomputed`."""
    writer = _Writer(tree, relations, changed)
    return writer.written(rounds(tree, changed, relations))


def _rows_path(tree: exp.Query, alias: str) -> list[exp.Query] | None:
    """The queries from the outermost to the one that names the table, if each only joins its rows with others.

    Then the delta of the table, in its place, gives the delta of the query.
    """
    if isinstance(tree, exp.Subquery) and isinstance(tree.this, exp.Query):
        return _rows_path(tree.this, alias)
    if isinstance(tree, exp.Union) and not tree.args.get("distinct"):
        if tree.args.get("limit") or tree.args.get("offset"):
            return None
        for side in (tree.left, tree.right):
            path = _rows_path(side, alias)
            if path is not None:
                return [tree, *path]
        return None
    if not isinstance(tree, exp.Select) or not is_plain(tree):
        return None
    present = items(tree)
    for at, item in enumerate(present):
        inside = _inside(item, alias)
        if inside is None:
            continue
        kept = item.side in ("", "RIGHT") and all(after.side in ("", "LEFT") for after in present[at + 1 :])
        return [tree, *inside] if kept else None
    return None


def _inside(item: Item, alias: str) -> list[exp.Query] | None:
    if isinstance(item.node, exp.Table):
        return [] if item.alias == alias and item.node.db else None
    return _rows_path(item.query, alias) if item.query is not None else None


@dataclass
class _Writer:
    tree: exp.Query
    relations: Mapping[str, Relation]
    changed: frozenset[str]
    parts: list[str] = field(default_factory=list)
    before: dict[str, Part] = field(default_factory=dict)

    def written(self, planned: Sequence[Round]) -> Written:
        past: set[str] = set()
        for one in planned:
            if one.cuts is None:
                (alias,) = one.aliases
                self._by_rows(alias, past)
            else:
                self._by_keys(one, one.cuts, past)
            past |= one.aliases
        rows = " UNION ALL ".join(self.parts)
        if joins_outer(self.tree):  # they are added up next
            rows = f"SELECT * FROM {self._part(rows, ())}"
        return Written(tuple(self.before.values()), rows)

    def _part(self, rows: str, columns: Iterable[str]) -> str:
        """The name of a temporary table with these columns of the rows."""
        part = Part(rows, tuple(sorted(columns)))
        known = self.before.get(part.name)
        self.before[part.name] = part if known is None else Part(rows, tuple(sorted({*known.columns, *part.columns})))
        return part.name

    def _by_rows(self, alias: str, past: set[str]) -> None:
        tree = self.tree.copy()
        replaced = {one: self._as_was(one, self.relations[one].table) for one in past}
        path = _rows_path(tree, alias)
        assert path is not None
        names = output_names(tree)
        for query in path:  # the other sides of a UNION ALL did not change
            if isinstance(query, exp.SetOperation):
                tree = self._side(tree, query, alias)
        path = [query for query in _rows_path(tree, alias) or [] if isinstance(query, exp.Select)]
        source = alias
        for select in reversed(path):
            select.append("expressions", exp.alias_(column(source, WEIGHT), WEIGHT, quoted=True))
            around = select.parent
            while around is not None and not around.args.get("alias"):
                around = around.parent
            source = around.alias if around is not None else ""
        inner = output_names(tree)
        found = ", ".join(f"{quote(one)} AS {quote(name)}" for one, name in zip(inner, names, strict=False))
        replaced[alias] = self.relations[alias].delta
        self.parts.append(f"SELECT {found}, {WEIGHT} FROM ({self._sql(tree, replaced)})")

    def _side(self, tree: exp.Query, union: exp.SetOperation, alias: str) -> exp.Query:
        """The tree with a UNION ALL replaced by its side with the alias, under the names of its first."""
        names = output_names(union)
        side = next(one for one in (union.left, union.right) if _rows_path(one, alias) is not None)
        while isinstance(side, exp.Subquery):
            side = side.this
        if isinstance(side, exp.Select):
            renamed = [
                exp.alias_(one.unalias(), name, quoted=True) for one, name in zip(side.expressions, names, strict=True)
            ]
            side.set("expressions", renamed)
        side.pop()
        if union is tree:
            return side
        union.replace(side)
        return tree

    def _by_keys(self, one: Round, cuts: Cuts, past: set[str]) -> None:
        width = len(next(iter(cuts.values())))
        found = dict.fromkeys(
            "SELECT "
            + ", ".join(f"{quote(name)} AS k{at}" for at, name in enumerate(cuts[alias]))
            + f" FROM {self.relations[alias].delta}"
            for alias in sorted(one.aliases)
        )
        rows = f"SELECT DISTINCT {_COLUMNS} FROM ({' UNION ALL '.join(found)}) AS {KEYS_ALIAS}"
        among = " AND ".join(narrowed(self.tree, cuts, self.changed))
        keys = self._part(f"{rows} WHERE {among}" if among else rows, [f"k{at}" for at in range(width)])
        both: dict[str, str] = {}
        now: dict[str, str] = {}
        was: dict[str, str] = {}
        for alias, names in cuts.items():
            keyed = _among(keys, "r", names, width)
            if alias not in self.relations:
                rows = f"SELECT {_COLUMNS} FROM {self._constant(alias)} AS r WHERE {keyed}"
                now[alias] = was[alias] = self._part(rows, {*self._used(alias), *names})
                continue
            relation = self.relations[alias]
            columns = {*self._used(alias), *relation.unique, *names, *(() if relation.unique else relation.vague)}
            if alias in one.aliases:
                both[alias] = self._part(_both(relation, keyed, left=f" AND {keyed}" if among else ""), columns)
            else:
                place = f"({_as_was(relation, relation.table)})" if alias in past else relation.table
                now[alias] = was[alias] = self._part(f"SELECT {_COLUMNS} FROM {place} AS r WHERE {keyed}", columns)
        unmoved = {alias: self._as_was(alias, self.relations[alias].table) for alias in past - set(cuts)}
        shown = ", ".join(quote(name) for name in output_names(self.tree))
        if has_sides(self.tree, both):
            rows = self._sql(on_sides(self.tree, both), now | both | unmoved)
            self.parts.append(f"SELECT {shown}, {WEIGHT} FROM ({rows})")
            return
        for alias, rows in both.items():
            # Tables of their own: DuckDB 2.0 takes some queries over two parts of one table for empty.
            now[alias], was[alias] = (
                self._part(f"SELECT {_COLUMNS} FROM {rows} AS r WHERE {WEIGHT} {sign} 0", self._used(alias))
                for sign in "><"
            )
        self.parts.append(f"SELECT {shown}, 1 AS {WEIGHT} FROM ({self._sql(self.tree.copy(), now | unmoved)})")
        self.parts.append(f"SELECT {shown}, -1 FROM ({self._sql(self.tree.copy(), was | unmoved)})")

    def _constant(self, alias: str) -> str:
        """A derived table that reads no stored table, in parentheses."""
        return next(f"({sql(one.this)})" for one in self.tree.find_all(exp.Subquery) if one.alias == alias)

    def _used(self, alias: str) -> list[str]:
        return columns_of(self.tree, alias)

    def _as_was(self, alias: str, present: str) -> str:
        """What the query reads of a table, in parentheses, before its delta."""
        return f"({_as_was(self.relations[alias], present).replace(_COLUMNS, names_sql(self._used(alias)))})"

    def _sql(self, tree: exp.Query, replaced: Mapping[str, str]) -> str:
        """The query with other relations under some of its aliases."""
        marks: dict[str, str] = {}
        derived = [one for one in tree.find_all(exp.Subquery) if one.alias and one.alias not in self.relations]
        for place in [*tables(tree), *derived]:
            relation = replaced.get(place.alias_or_name)
            if relation is not None:
                mark = f"flashql_mark_{len(marks)}_"
                marks[quote(mark)] = relation
                place.replace(exp.Table(this=exp.to_identifier(mark, quoted=True), alias=place.args.get("alias")))
        text = sql(tree)
        for mark, relation in marks.items():
            text = text.replace(mark, relation)
        return text


def _among(keys: str, alias: str, names: Sequence[str], width: int) -> str:
    same = " AND ".join(f"k.k{at} IS NOT DISTINCT FROM {alias}.{quote(names[at])}" for at in range(width))
    return f"EXISTS (SELECT 1 FROM {keys} AS k WHERE {same})"


def _both(relation: Relation, keyed: str, *, left: str) -> str:
    """The rows of a relation with the keys that moved: as they are with weight 1, and as they were with weight -1.

    `keyed` is the condition that picks them, `left` one for what left besides.
    """
    return (
        f"WITH flashql_cut AS MATERIALIZED (SELECT {_COLUMNS} FROM {relation.table} AS r WHERE {keyed}) "
        f"SELECT {_COLUMNS}, 1::TINYINT AS {WEIGHT} FROM flashql_cut UNION ALL "
        f"SELECT {_COLUMNS}, (-1)::TINYINT FROM ({_as_was(relation, 'flashql_cut', left)})"
    )


def _as_was(relation: Relation, present: str, left: str = "") -> str:
    """The rows of a relation before its delta; `present` is what of it is looked at, `left` which that left are."""
    gone = f"SELECT {_COLUMNS} FROM {relation.delta} AS r WHERE {WEIGHT} < 0{left}"
    if relation.unique:
        same = " AND ".join(f"d.{quote(name)} IS NOT DISTINCT FROM r.{quote(name)}" for name in relation.unique)
        stayed = (
            f"SELECT {_COLUMNS} FROM {present} AS r "
            f"WHERE NOT EXISTS (SELECT 1 FROM {relation.delta} AS d WHERE d.{WEIGHT} > 0 AND {same})"
        )
    else:
        exactly = ", ".join([_COLUMNS, *(f"CAST({quote(name)} AS VARCHAR)" for name in sorted(relation.vague))])
        arrived = f"SELECT {exactly} FROM {relation.delta} WHERE {WEIGHT} > 0"
        stayed = f"SELECT {exactly} FROM {present} EXCEPT ALL {arrived}"
        if relation.vague:
            stayed = f"SELECT {_COLUMNS} FROM ({stayed})"
    return f"{stayed} UNION ALL {gone}"
