"""Random queries over tables, as SQL that Postgres accepts and that has one result, as a multiset.

Whatever depends on an order is ordered by every column, so that rows that tie are the same row.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.views.expressions import (
    BIG,
    BOOL,
    BYTES,
    DATE,
    DOC,
    FINE,
    FIXED,
    FLOAT,
    INT,
    INTS,
    NUM,
    OF_ORIGIN,
    OPAQUE,
    ORDERED,
    PLAIN,
    SHORT,
    STAMP,
    TEXT,
    TEXTS,
    UUID,
    Column,
    Expressions,
    Scope,
    aggregate,
    window,
)

Relation = Sequence[Column]
_COMPARABLE = (INT, BIG, NUM, TEXT, DATE, FLOAT, BOOL, STAMP, UUID, SHORT, FIXED, BYTES, FINE)


@dataclass(frozen=True)
class Drawn:
    """A query and the kinds of its columns, which are named c0, c1 and so on."""

    sql: str
    kinds: tuple[str, ...]
    ordered: bool = False  # it ends with ORDER BY every column


@dataclass
class Queries:
    """Draws queries over relations: name as written in FROM -> columns.

    `shared` keeps to what DuckDB reads and means alike.
    """

    chance: random.Random
    relations: Mapping[str, Relation]
    shared: bool = False
    _aliases: int = 0
    _ctes: dict[str, Relation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw = Expressions(self.chance, shared=self.shared)

    def query(self) -> Drawn:
        """A whole query, with CTEs and an order perhaps; it reads at least one of the relations."""
        while not any(re.search(rf"\b{name} AS ", (drawn := self._whole()).sql) for name in self.relations):
            pass
        return drawn

    def _whole(self) -> Drawn:
        self._aliases, self._ctes = 0, {}
        prefix = ""
        if self._some(0.07):
            prefix = f"WITH RECURSIVE {self._recursive()} "
        elif self._some(0.15):
            prefix = f"WITH {', '.join(self._cte() for _ in range(self.chance.randint(1, 2)))} "
        drawn = self._body(depth=2)
        return Drawn(prefix + self._cut(drawn), drawn.kinds)

    def _some(self, probability: float) -> bool:
        return self.draw.some(probability)

    def _alias(self, prefix: str = "r") -> str:
        self._aliases += 1
        return f"{prefix}{self._aliases}"

    def _cut(self, drawn: Drawn, probability: float = 0.12) -> str:
        """Perhaps with ORDER BY all columns, LIMIT and OFFSET."""
        if not self._some(probability):
            return drawn.sql
        named = self._some(0.3)
        positions = [f"c{at}" if named else str(at + 1) for at in range(len(drawn.kinds))]
        self.chance.shuffle(positions)
        limit = f" LIMIT {self.chance.randint(1, 8)}" if self._some(0.9) else ""
        if drawn.ordered:
            return drawn.sql + limit
        if limit and not self.shared and self._some(0.15):
            first = positions[0]
            return f"{drawn.sql} ORDER BY {self.draw.order([first])} FETCH FIRST {limit[7:]} ROWS WITH TIES"
        offset = f" OFFSET {self.chance.randint(1, 4)}" if self._some(0.4) else ""
        return f"{drawn.sql} ORDER BY {self.draw.order(positions)}{limit}{offset}"

    # -- queries --

    def _body(self, depth: int, outer: Scope = ()) -> Drawn:
        """One SELECT or several in a set operation."""
        if depth and self._some(0.15):
            kinds = [self.chance.choice(PLAIN) for _ in range(self.chance.randint(1, 3))]
            parts = [self._of_kinds(kinds, depth - 1, outer) for _ in range(2 + self._some(0.25))]
            sql = f"({parts[0].sql})" if self._some(0.2) else parts[0].sql
            for part in parts[1:]:
                operator = self.chance.choice(["UNION", "UNION", "INTERSECT", "EXCEPT"])
                right = part.sql
                if self._some(0.15):
                    other = self.chance.choice(["UNION", "INTERSECT", "EXCEPT", "UNION ALL", "EXCEPT ALL"])
                    right = f"({right} {other} {self._of_kinds(kinds, 0, outer).sql})"
                elif self._some(0.2):
                    right = f"({self._cut(part, 0.3)})"
                sql = f"{sql} {operator}{self.chance.choice(['', ' ALL'])} {right}"
            return Drawn(sql, tuple(kinds))
        shapes: list[Callable[[int, Scope], Drawn]] = [
            self._plain, self._plain, self._grouped, self._grouped, self._windowed, self._distinct,
        ]  # fmt: skip
        return self.chance.choice(shapes)(depth, outer)

    def _of_kinds(self, kinds: Sequence[str], depth: int, outer: Scope = ()) -> Drawn:
        """A SELECT whose columns are of these kinds."""
        from_, scope = self._from(depth)
        items = [self.draw.of(kind, scope, 1) for kind in kinds]
        distinct = "DISTINCT " if self._some(0.1) else ""
        return Drawn(f"SELECT {distinct}{_named(items)} FROM {from_}{self._where(scope, depth, outer)}", tuple(kinds))

    def _plain(self, depth: int, outer: Scope) -> Drawn:
        from_, scope = self._from(depth)
        kinds = self._kinds(scope)
        items = [self._item(kind, scope, depth) for kind in kinds]
        if not self.shared and self._some(0.06):
            function, kind = self._rows_of(scope)
            items, kinds = [*items, function], [*kinds, kind]
        return Drawn(f"SELECT {_named(items)} FROM {from_}{self._where(scope, depth, outer)}", tuple(kinds))

    def _distinct(self, depth: int, outer: Scope) -> Drawn:
        from_, scope = self._from(depth)
        kinds = [kind for kind in self._kinds(scope) if kind not in OPAQUE] or [INT]
        items = [self.draw.of(kind, scope, 1) for kind in kinds]
        rest = f"FROM {from_}{self._where(scope, depth, outer)}"
        if self._some(0.6):
            return Drawn(f"SELECT DISTINCT {_named(items)} {rest}", tuple(kinds))
        alias = self._alias()
        names = [f"{alias}.c{at}" for at in range(len(items))]
        on = ", ".join(names[: self.chance.randint(1, len(names))])
        inner = f"(SELECT {_named(items)} {rest}) AS {alias}"
        sql = f"SELECT DISTINCT ON ({on}) {_named(names)} FROM {inner} ORDER BY {self.draw.order(names)}"
        return Drawn(sql, tuple(kinds), ordered=True)

    def _grouped(self, depth: int, outer: Scope) -> Drawn:
        from_, scope = self._from(depth)
        counted = self._counted(from_, scope) if self._some(0.15) else None
        from_, found = counted or (from_, [aggregate(self.draw, scope) for _ in range(self.chance.randint(1, 3))])
        fewest = 0 if counted is None else 1
        keys = [Column(name, kind) for name, kind in {self._key(scope) for _ in range(self.chance.randint(fewest, 2))}]
        keys.sort(key=lambda one: one.name)
        return self._of_groups(from_, self._where(scope, depth, outer), keys, [Column(*one) for one in found], depth)

    def _counted(self, left: str, scope: list[Column]) -> tuple[str, list[tuple[str, str]]] | None:
        """What a LEFT JOIN finds in one table more, and aggregates of that: rows without a match are there too."""
        name, alias = self.chance.choice(sorted(self.relations)), self._alias()
        added = _in(alias, self.relations[name])
        pairs = [(a, b) for a in scope for b in added if a.kind == b.kind and a.kind in _COMPARABLE]
        if not pairs:
            return None
        asked = [f"{a.name} = {b.name}" for a, b in [self.chance.choice(pairs) for _ in range(1 + self._some(0.2))]]
        asked += [self.draw.predicate(one) for one in (added, scope) if self._some(0.2)]
        found = []
        for _ in range(self.chance.randint(1, 3)):
            column = self.chance.choice(added)
            if self._some(0.2):
                found.append(("count(*)", BIG))
            elif column.kind in ORDERED and self._some(0.3):
                found.append((f"{self.chance.choice(['min', 'max'])}({column.name})", column.kind))
            elif column.kind == INT and self._some(0.5):
                found.append((f"sum({column.name})", BIG))
            elif self._some(0.3):
                found.append(aggregate(self.draw, added))
            else:
                of = f" FILTER (WHERE {self.draw.predicate(added, 0)})" if self._some(0.3) else ""
                found.append((f"count({column.name}){of}", BIG))
        return f"{left} LEFT JOIN {name} AS {alias} ON {' AND '.join(asked)}", found

    def _of_groups(self, from_: str, where: str, keys: list[Column], found: list[Column], depth: int) -> Drawn:
        after = [*keys, *found]
        shown = self.chance.sample(after, self.chance.randint(1, len(after))) if self._some(0.2) else after
        items = [(one.name, one.kind) for one in shown]
        if self._some(0.15):
            kind = self.chance.choice([one.kind for one in after if one.kind in ORDERED] or [INT])
            items.append((self.draw.of(kind, after, 1), kind))
        if self._some(0.08):
            items.append(window(self.draw, [one for one in after if one.kind not in OPAQUE] or after))
        names = [name for name, _ in items]
        distinct, ordered = self._distinct_groups(names) if self._some(0.1) else ("", "")
        sql = f"SELECT {distinct}{_named(names)} FROM {from_}{where}"
        if keys:
            sql += f" GROUP BY {self._grouping([one.name for one in keys])}"
        having = [self.draw.predicate(after)] if self._some(0.25) else []
        if depth and self._some(0.06):
            having.append(f"count(*) >= {self._scalar(BIG, ())}")
        if having:
            sql += f" HAVING {' AND '.join(having)}"
        return Drawn(sql + ordered, tuple(kind for _, kind in items), ordered=bool(ordered))

    def _distinct_groups(self, names: Sequence[str]) -> tuple[str, str]:
        """DISTINCT of groups, or the first group of each value of the first column in an order of all."""
        if self._some(0.4):
            return "DISTINCT ", ""
        rest = [f"c{at}" for at in range(1, len(names))]
        self.chance.shuffle(rest)
        return f"DISTINCT ON ({names[0]}) ", f" ORDER BY {self.draw.order([names[0], *rest])}"

    def _key(self, scope: Scope) -> tuple[str, str]:
        column = self.chance.choice([one for one in scope if one.kind not in OPAQUE] or list(scope))
        if column.kind in PLAIN and self._some(0.2):
            return f"coalesce({column.name}, {self.draw.literal(column.kind)})", column.kind
        return column.name, column.kind

    def _grouping(self, keys: list[str]) -> str:
        plain = ", ".join(keys)
        if not self._some(0.15):
            return plain
        several = [f"ROLLUP ({plain})", f"CUBE ({plain})", f"GROUPING SETS (({plain}), ({keys[-1]}), ())"]
        return self.chance.choice(several)

    def _windowed(self, depth: int, outer: Scope) -> Drawn:
        from_, scope = self._from(depth)
        ordered = [one for one in scope if one.kind not in OPAQUE] or list(scope)
        items = [(one.name, one.kind) for one in self.chance.sample(list(scope), min(len(scope), 2))]
        items += [window(self.draw, ordered) for _ in range(self.chance.randint(1, 2))]
        sql = f"SELECT {_named([name for name, _ in items])} FROM {from_}{self._where(scope, depth, outer)}"
        return Drawn(sql, tuple(kind for _, kind in items))

    def _values(self, kinds: Sequence[str]) -> Drawn:
        rows = [f"({', '.join(self.draw.literal(kind) for kind in kinds)})" for _ in range(self.chance.randint(1, 3))]
        alias = self._alias("w")
        names = [f"c{at}" for at in range(len(kinds))]
        columns = ", ".join(names)
        return Drawn(
            f"SELECT {', '.join(f'{alias}.{name} AS {name}' for name in names)} "
            f"FROM (VALUES {', '.join(rows)}) AS {alias}({columns})",
            tuple(kinds),
        )

    def _cte(self) -> str:
        drawn = self._body(depth=1)
        name = self._alias("q")
        how = "" if self._some(0.6) else self.chance.choice(["MATERIALIZED ", "NOT MATERIALIZED "])
        self._ctes[name] = _columns(drawn.kinds)
        return f"{name} AS {how}({self._cut(drawn)})"

    def _recursive(self) -> str:
        """Who is reached from some numbers over a table with two of them, or steps counted up to a bound."""
        name, alias = self._alias("q"), self._alias()
        pairs = {table: [c.name for c in columns if c.kind == INT] for table, columns in self.relations.items()}
        pairs = {table: names for table, names in pairs.items() if len(names) > 1}
        start = self._of_kinds([INT], 0)
        if pairs and self._some(0.7):
            table = self.chance.choice(sorted(pairs))
            one, other = self.chance.sample(pairs[table], 2)
            self._ctes[name] = _columns([INT])
            step = f"SELECT {alias}.{other} FROM {name} JOIN {table} AS {alias} ON {alias}.{one} = {name}.c0"
            return f"{name}(c0) AS ({start.sql} UNION {step})"
        self._ctes[name] = _columns([INT, INT])
        step = f"SELECT {name}.c0, {name}.c1 + 1 FROM {name} WHERE {name}.c1 < {self.chance.randint(1, 4)}"
        return f"{name}(c0, c1) AS (SELECT {alias}.c0, 0 FROM ({start.sql}) AS {alias} UNION ALL {step})"

    # -- FROM and WHERE --

    def _kinds(self, scope: Scope) -> list[str]:
        shown = PLAIN if self.shared else (*PLAIN, *OF_ORIGIN)
        there = [column.kind for column in scope if column.kind in shown] or [INT]
        return [self.chance.choice(there) for _ in range(self.chance.randint(1, 4))]

    def _item(self, kind: str, scope: Scope, depth: int) -> str:
        if depth and self._some(0.1):
            return self._scalar(kind, scope)
        return self.draw.of(kind, scope)

    def _from(self, depth: int) -> tuple[str, list[Column]]:
        sql, scope = self._source(depth)
        for _ in range(self.chance.choices([0, 1, 2], [5, 5, 1])[0] if depth else self._some(0.3)):
            sql, scope = self._join(sql, scope, depth)
        return sql, scope

    def _source(self, depth: int) -> tuple[str, list[Column]]:
        alias = self._alias()
        if depth and self._some(0.15):
            drawn = self._body(depth - 1)
            return f"({self._cut(drawn)}) AS {alias}", _in(alias, _columns(drawn.kinds))
        if depth and self._some(0.04):
            return self._with_its_own(alias)
        if self._ctes and self._some(0.6):
            name = self.chance.choice(sorted(self._ctes))
            return f"{name} AS {alias}", _in(alias, self._ctes[name])
        if depth and self._some(0.05):
            drawn = self._values([self.chance.choice(PLAIN) for _ in range(2)])
            return f"({drawn.sql}) AS {alias}", _in(alias, _columns(drawn.kinds))
        name = self.chance.choice(sorted(self.relations))
        return f"{name} AS {alias}", _in(alias, self.relations[name])

    def _with_its_own(self, alias: str) -> tuple[str, list[Column]]:
        """A derived table with a CTE of its own, whose name may hide that of another."""
        outer = dict(self._ctes)
        name = self.chance.choice(sorted(outer)) if outer and self._some(0.6) else self._alias("q")
        first = self._of_kinds([self.chance.choice(PLAIN)], 0)
        self._ctes = {name: _columns(first.kinds)}
        drawn = self._body(depth=0)
        self._ctes = outer
        return f"(WITH {name} AS ({first.sql}) {drawn.sql}) AS {alias}", _in(alias, _columns(drawn.kinds))

    def _join(self, left: str, scope: list[Column], depth: int) -> tuple[str, list[Column]]:
        if depth and self._some(0.1):
            alias = self._alias()
            drawn = self._of_kinds([self.chance.choice(PLAIN)], 0, scope)
            if self._some(0.4):
                drawn = self._grouped(0, scope)
            limited = self._cut(drawn, 0.5)
            kind, on = self.chance.choice([("CROSS JOIN", ""), ("LEFT JOIN", " ON true")])
            return f"{left} {kind} LATERAL ({limited}) AS {alias}{on}", [*scope, *_in(alias, _columns(drawn.kinds))]
        if not self.shared and self._some(0.12):
            return self._join_rows(left, scope)
        right, added = self._source(depth - 1 if depth else 0)
        both = [*scope, *added]
        pairs = [(a, b) for a in scope for b in added if a.kind == b.kind and a.kind in _COMPARABLE]
        kind = self.chance.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"])
        if not pairs or kind == "CROSS JOIN":
            return f"{left} CROSS JOIN {right}", both
        chosen = [self.chance.choice(pairs) for _ in range(1 + self._some(0.2))]
        on = " AND ".join(f"{a.name} = {b.name}" for a, b in chosen)
        if kind != "FULL JOIN" and self._some(0.2):  # a full join can only hash or merge
            on += f" AND {self.draw.predicate(both)}"
        elif kind == "JOIN" and self._some(0.1):
            a, b = chosen[0]
            on = f"{a.name} {self.chance.choice(['<', '>=', 'IS NOT DISTINCT FROM'])} {b.name}"
        return f"{left} {kind} {right} ON {on}", both

    def _rows_of(self, scope: Scope) -> tuple[str, str]:
        """A call of a set-returning function that returns one column, and its kind."""
        choices = [(f"generate_series(1, ({self.draw.of(INT, scope, 0)}) % 4)", INT)]
        choices += [(f"string_to_table({one}, 'a')", TEXT) for one in self.draw.columns(scope, TEXT)[:1]]
        choices += [(f"unnest({one})", INT) for one in self.draw.columns(scope, INTS)]
        choices += [(f"unnest({one})", TEXT) for one in self.draw.columns(scope, TEXTS)]
        for one in self.draw.columns(scope, DOC):
            listed = f"CASE WHEN jsonb_typeof({one}) = 'array' THEN {one} ELSE '[]' END"
            named = f"CASE WHEN jsonb_typeof({one}) = 'object' THEN {one} ELSE '{{}}' END"
            choices += [(f"jsonb_array_elements({listed})", DOC), (f"jsonb_object_keys({named})", TEXT)]
        return self.chance.choice(choices)

    def _join_rows(self, left: str, scope: list[Column]) -> tuple[str, list[Column]]:
        """Joined with the rows that a function makes of each row, or with those of a series."""
        alias = self._alias()
        if self._some(0.25):
            series, keys = (
                f"generate_series(0, {self.chance.randint(1, 5)}) AS {alias}(c0)",
                self.draw.columns(scope, INT),
            )
            added = [*scope, Column(f"{alias}.c0", INT)]
            if not keys:
                return f"{left} CROSS JOIN {series}", added
            side = self.chance.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
            return f"{left} {side} {series} ON {alias}.c0 = {self.chance.choice(keys)}", added
        function, kind = self._rows_of(scope)
        columns = [Column(f"{alias}.c0", kind)]
        numbered = self._some(0.3)
        if numbered:
            columns.append(Column(f"{alias}.c1", BIG))
        item = f"{function}{' WITH ORDINALITY' if numbered else ''} AS {alias}(c0{', c1' if numbered else ''})"
        choices = [f"{left} CROSS JOIN {item}", f"{left} LEFT JOIN LATERAL {item} ON true"]
        return self.chance.choice(choices), [*scope, *columns]

    def _where(self, scope: Scope, depth: int, outer: Scope) -> str:
        conditions = []
        if outer:
            pairs = [(a, b) for a in scope for b in outer if a.kind == b.kind and a.kind in _COMPARABLE]
            if pairs:
                a, b = self.chance.choice(pairs)
                operator = "=" if self._some(0.8) else self.chance.choice(["<", ">=", "<>"])
                conditions.append(f"{a.name} {operator} {b.name}")
        if self._some(0.3):
            conditions.append(self.draw.predicate(scope))
        if depth and self._some(0.25):
            found = self._subquery(scope, depth)
            conditions.append(f"({found} OR {self.draw.predicate(scope)})" if self._some(0.2) else found)
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def _subquery(self, scope: Scope, depth: int) -> str:
        """A condition with a subquery, correlated perhaps."""
        outer = scope if self._some(0.5) else ()
        kinds = [column.kind for column in scope if column.kind in _COMPARABLE] or [INT]
        kind = self.chance.choice(kinds)
        one = self.draw.of(kind, scope, 0)
        inner = self._of_kinds([kind], depth - 1, outer).sql
        operator = self.chance.choice(["=", "<", ">=", "<>"])
        choices: list[Callable[[], str]] = [
            lambda: f"EXISTS ({inner})",
            lambda: f"NOT EXISTS ({inner})",
            lambda: f"{one} IN ({inner})",
            lambda: f"{one} NOT IN ({inner})",
            lambda: f"({one} = ANY ({inner}) OR {self.draw.predicate(scope, 0)})",
            lambda: f"{one} {operator} ALL ({inner})",
            lambda: f"({one}, {one}) IN (SELECT s.c0, s.c0 FROM ({inner}) AS s)",
            lambda: f"{one} {operator} {self._scalar(kind, outer)}",
        ]
        return self.chance.choice(choices)()

    def _scalar(self, kind: str, outer: Scope) -> str:
        """A scalar subquery: an aggregate without GROUP BY, or the first row in some order."""
        from_, scope = self._from(0)
        where = self._where(scope, 0, outer)
        if self._some(0.2) or kind in OF_ORIGIN:
            value = self.draw.of(kind, scope, 1)
            return f"(SELECT {value} AS c0 FROM {from_}{where} ORDER BY {self.draw.order(['c0'])} LIMIT 1)"
        if kind == BIG:
            return f"(SELECT count(*) FROM {from_}{where})"
        if kind in ORDERED:
            return f"(SELECT {self.chance.choice(['min', 'max'])}({self.draw.of(kind, scope, 1)}) FROM {from_}{where})"
        return f"(SELECT bool_or({self.draw.of(BOOL, scope, 1)}) FROM {from_}{where})"


def _named(items: Sequence[str]) -> str:
    return ", ".join(f"{item} AS c{at}" for at, item in enumerate(items))


def _columns(kinds: Sequence[str]) -> list[Column]:
    return [Column(f"c{at}", kind) for at, kind in enumerate(kinds)]


def _in(alias: str, columns: Relation) -> list[Column]:
    return [Column(f"{alias}.{column.name}", column.kind) for column in columns]
