"""Random queries over three small tables; nothing is left to chance: LIMIT and windows order by all columns."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TABLES = """
CREATE TABLE a (k int, i int, s smallint, n numeric(8, 2), t text COLLATE "C", d date, f boolean);
CREATE TABLE b (k int, i int, big bigint, n numeric(6, 3), t text COLLATE "C", at timestamp);
CREATE TABLE "C" (k int, "I" int, x numeric, v varchar(4), d date);
"""
_TEXTS = ("", "a", "b", "ab", "B", "é", "a b", "abc", "ba")
_KINDS = ("number", "text", "moment", "truth")
_COLUMNS = {
    "a": {"k": "number", "i": "number", "s": "number", "n": "number", "t": "text", "d": "moment", "f": "truth"},
    "b": {"k": "number", "i": "number", "big": "number", "n": "number", "t": "text", "at": "moment"},
    '"C"': {"k": "number", '"I"': "number", "v": "text", "d": "moment"},
}


def inserts(chosen: random.Random) -> list[str]:
    """Statements that fill the tables with few values, so that they meet, and nulls."""

    def maybe(value: object) -> str:
        return "NULL" if chosen.random() < 0.15 else str(value)

    def text() -> str:
        return maybe(f"'{chosen.choice(_TEXTS)}'")

    def small() -> str:
        return maybe(chosen.randrange(-3, 6))

    def date() -> str:
        return maybe(f"'20{chosen.randrange(20, 25)}-0{chosen.randrange(1, 10)}-{chosen.randrange(10, 29)}'")

    rows = []
    for _ in range(chosen.randrange(0, 16)):
        n = maybe(f"{chosen.randrange(-500, 9999) / 100:.2f}")
        f = maybe(chosen.choice(("true", "false")))
        rows.append(f"INSERT INTO a VALUES ({small()}, {small()}, {small()}, {n}, {text()}, {date()}, {f})")
    for _ in range(chosen.randrange(0, 16)):
        n = maybe(f"{chosen.randrange(-500, 9999) / 1000:.3f}")
        rows.append(f"INSERT INTO b VALUES ({small()}, {small()}, {small()}, {n}, {text()}, {date()})")
    for _ in range(chosen.randrange(0, 8)):
        x = maybe(f"{chosen.randrange(0, 9999) / 10:.1f}")
        rows.append(f'INSERT INTO "C" VALUES ({small()}, {small()}, {x}, {text()}, {date()})')
    return rows


@dataclass(frozen=True)
class Sees:
    """Columns that an expression may name, as (spelling, kind)."""

    columns: tuple[tuple[str, str], ...]

    def of(self, kind: str) -> list[str]:
        """Those of a kind."""
        return [name for name, its in self.columns if its == kind]

    def __add__(self, other: Sees) -> Sees:
        return Sees((*self.columns, *other.columns))


class Queries:
    """Writes queries; everything comes from the generator it is given."""

    def __init__(self, chosen: random.Random) -> None:
        self.chosen = chosen
        self.aliases = 0

    def one(self, *writers: Callable[[], str]) -> str:
        return self.chosen.choice(writers)()

    def pick(self, *values: str) -> str:
        return self.chosen.choice(values)

    def alias(self) -> str:
        self.aliases += 1
        return f"q{self.aliases}"

    # -- expressions

    def value(self, kind: str, sees: Sees, depth: int) -> str:
        return {"number": self.number, "text": self.text, "moment": self.moment, "truth": self.truth}[kind](sees, depth)

    def number(self, sees: Sees, depth: int) -> str:
        leaves = [*sees.of("number"), "1", "2", "0.5", "-3"]
        if depth <= 0:
            return self.pick(*leaves)
        down = depth - 1
        return self.one(
            lambda: self.pick(*leaves),
            lambda: f"({self.number(sees, down)} {self.pick('+', '-', '*')} {self.number(sees, 0)})",
            lambda: f"({self.number(sees, 0)} / {self.pick('2', '3.5', '-7')})",
            lambda: f"coalesce({self.number(sees, 0)}, {self.number(sees, 0)})",
            lambda: f"CASE WHEN {self.truth(sees, down)} THEN {self.number(sees, 0)} ELSE {self.number(sees, 0)} END",
            lambda: f"length({self.text(sees, down)})",
            lambda: f"round(({self.number(sees, 0)})::numeric(12, 4), 1)",
            lambda: f"extract({self.pick('year', 'month', 'day')} FROM {self.moment(sees, 0)})",
            lambda: f"abs({self.pick(*(sees.of('number') or ['2']))})",
        )

    def text(self, sees: Sees, depth: int) -> str:
        leaves = [*sees.of("text"), "'a'", "'b'", "'ab'"]
        if depth <= 0:
            return self.pick(*leaves)
        return self.one(
            lambda: self.pick(*leaves),
            lambda: f"({self.text(sees, 0)} || {self.text(sees, 0)})",
            lambda: f'upper({self.text(sees, 0)} COLLATE "C")',
            lambda: f"left({self.text(sees, 0)}, 1)",
            lambda: f"coalesce({self.text(sees, 0)}, 'none')",
            lambda: f"concat({self.text(sees, 0)}, '-', {self.number(Sees(()), 0)})",
        )

    def moment(self, sees: Sees, depth: int) -> str:
        leaves = [*sees.of("moment"), "DATE '2022-05-15'"]
        if depth <= 0:
            return self.pick(*leaves)
        return self.one(
            lambda: self.pick(*leaves),
            lambda: f"({self.moment(sees, 0)} + interval '{self.pick('1 month', '3 days', '1 year 2 hours')}')",
            lambda: f"date_trunc('month', ({self.moment(sees, 0)})::timestamp)",
        )

    def truth(self, sees: Sees, depth: int) -> str:
        down = depth - 1
        if depth <= 0:
            return self.pick(*sees.of("truth"), f"{self.number(sees, 0)} > {self.number(sees, 0)}", "true")
        compare = self.pick("=", "<>", "<", ">=", "IS DISTINCT FROM")
        return self.one(
            lambda: f"({self.number(sees, down)} {compare} {self.number(sees, 0)})",
            lambda: f"({self.text(sees, down)} {self.pick('=', '<>')} {self.text(sees, 0)})",
            lambda: f"({self.moment(sees, down)} {compare} {self.moment(sees, 0)})",
            lambda: f"({self.truth(sees, down)} {self.pick('AND', 'OR')} {self.truth(sees, down)})",
            lambda: f"NOT ({self.truth(sees, down)})",
            lambda: f"{self.text(sees, 0)} LIKE '{self.pick('a%', '%b', '_', '%')}'",
            lambda: f"{self.value(self.pick(*_KINDS), sees, 0)} IS {self.pick('', 'NOT ')}NULL",
            lambda: f"{self.number(sees, 0)} IN (1, 2, {self.number(sees, 0)})",
        )

    def condition(self, sees: Sees, depth: int) -> str:
        """A truth that may ask another query."""
        if depth <= 0 or self.chosen.random() < 0.6:
            return self.truth(sees, 2)
        source, inner = self.table()
        link = f"{self.pick(*inner.of('number'))} = {self.number(sees, 0)}"
        where = f" WHERE {link} AND {self.truth(inner + sees, 1)}"
        column, total = self.pick(*inner.of("number")), self.pick("max", "sum", "avg", "count")
        return self.one(
            lambda: f"{self.pick('', 'NOT ')}EXISTS (SELECT 1 FROM {source}{where})",
            lambda: f"{self.number(sees, 0)} {self.pick('', 'NOT ')}IN (SELECT {column} FROM {source}{where})",
            lambda: f"{self.number(sees, 0)} IN (SELECT {column} FROM {source})",
            lambda: f"{self.number(sees, 0)} > (SELECT {total}({column}) FROM {source}{where})",
            lambda: f"{self.number(sees, 0)} {self.pick('>', '<>')} ALL (SELECT {column} FROM {source}{where})",
            lambda: f"{self.number(sees, 0)} {self.pick('<', '=')} ANY (SELECT {column} FROM {source})",
        )

    # -- queries

    def table(self) -> tuple[str, Sees]:
        name, alias = self.pick(*_COLUMNS), self.alias()
        columns = tuple((f"{alias}.{column}", kind) for column, kind in _COLUMNS[name].items())
        return f"{name} AS {alias}", Sees(columns)

    def source(self, depth: int) -> tuple[str, Sees]:
        if depth <= 0 or self.chosen.random() < 0.6:
            return self.table()
        alias = self.alias()
        kinds = [self.pick(*_KINDS) for _ in range(self.chosen.randrange(1, 4))] + ["number"]
        names = [f"c{at}" for at in range(len(kinds))]
        columns = tuple((f"{alias}.{name}", kind) for name, kind in zip(names, kinds, strict=True))
        return f"({self.query(kinds, depth - 1)}) AS {alias} ({', '.join(names)})", Sees(columns)

    def joined(self, depth: int) -> tuple[str, Sees]:
        left, sees = self.source(depth)
        for _ in range(self.chosen.choice((0, 0, 1, 1, 2))):
            right, more = self.source(depth - 1)
            kind = self.pick("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "JOIN")
            both = sees + more
            on = f"{self.pick(*sees.of('number'))} = {self.pick(*more.of('number'))}"
            if kind != "FULL JOIN" and self.chosen.random() < 0.4:
                on += f" AND {self.truth(both, 1)}"
            left += f" {kind} {right}" + ("" if kind == "CROSS JOIN" else f" ON {on}")
            sees = both
        return left, sees

    def query(self, kinds: Sequence[str], depth: int) -> str:
        """A query whose columns are of these kinds."""
        if depth > 0 and self.chosen.random() < 0.2:
            word = self.pick("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL", "INTERSECT ALL")
            return f"({self.query(kinds, depth - 1)}) {word} ({self.query(kinds, depth - 1)})"
        return self.one(
            lambda: self.plain(kinds, depth),
            lambda: self.plain(kinds, depth),
            lambda: self.grouped(kinds, depth),
            lambda: self.windowed(kinds, depth),
        )

    def plain(self, kinds: Sequence[str], depth: int) -> str:
        source, sees = self.joined(depth)
        items = ", ".join(self.value(kind, sees, 2) for kind in kinds)
        where = f" WHERE {self.condition(sees, depth)}" if self.chosen.random() < 0.7 else ""
        distinct = "DISTINCT " if self.chosen.random() < 0.15 else ""
        return f"SELECT {distinct}{items} FROM {source}{where}{self.tail(len(kinds))}"

    def tail(self, width: int) -> str:
        if self.chosen.random() < 0.8:
            return ""
        order = [f"{at + 1}{self.pick('', ' DESC', ' DESC NULLS LAST', ' NULLS FIRST')}" for at in range(width)]
        self.chosen.shuffle(order)
        return f" ORDER BY {', '.join(order)} LIMIT {self.chosen.randrange(1, 6)} OFFSET {self.chosen.randrange(3)}"

    def aggregate(self, kind: str, sees: Sees) -> str:
        keep = f" FILTER (WHERE {self.truth(sees, 1)})" if self.chosen.random() < 0.3 else ""
        number = self.number(sees, 1)
        if kind == "number":
            argument = self.pick("*", f"DISTINCT {number}", number)
            called = self.pick(f"count({argument})", *(f"{one}({number})" for one in ("sum", "avg", "min", "max")))
        elif kind == "truth":
            called = f"{self.pick('bool_and', 'bool_or')}({self.truth(sees, 1)})"
        else:
            called = f"{self.pick('min', 'max')}({self.value(kind, sees, 1)})"
        return called + keep

    def grouped(self, kinds: Sequence[str], depth: int) -> str:
        source, sees = self.joined(depth)
        items, keys = [], []
        for at, kind in enumerate(kinds):
            if self.chosen.random() < 0.5:
                items.append(self.value(kind, sees, 1))
                keys.append(str(at + 1))
            else:
                items.append(self.aggregate(kind, sees))
        group = ""
        if keys:
            listed = ", ".join(keys)
            group = f" GROUP BY {self.pick(listed, listed, f'ROLLUP ({listed})') if len(keys) > 1 else listed}"
        having = f" HAVING {self.aggregate('number', sees)} > 0" if self.chosen.random() < 0.3 else ""
        where = f" WHERE {self.condition(sees, depth)}" if self.chosen.random() < 0.5 else ""
        return f"SELECT {', '.join(items)} FROM {source}{where}{group}{having}"

    def windowed(self, kinds: Sequence[str], depth: int) -> str:
        source, sees = self.joined(depth)
        order = ", ".join(name for name, _ in sees.columns)
        items = [self.value(kind, sees, 1) for kind in kinds]
        at = next(at for at, kind in reversed(list(enumerate(kinds))) if kind == "number")
        partition = (
            f"PARTITION BY {self.pick(*(name for name, _ in sees.columns))} " if self.chosen.random() < 0.7 else ""
        )
        frame = self.pick("", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", " ROWS UNBOUNDED PRECEDING")
        called = self.pick(
            "row_number()",
            "rank()",
            f"sum({self.number(sees, 0)})",
            f"lag({self.pick(*sees.of('number'))})",
            "count(*)",
        )
        over = frame if called.startswith(("sum", "count")) else ""
        items[at] = f"{called} OVER ({partition}ORDER BY {order}{over})"
        return f"SELECT {', '.join(items)} FROM {source}"
