"""Random worlds: tables, views over them in levels, and transactions, as the steps of a scenario.

A world is drawn whole from its seed before anything runs, so that steps can be left out of it. Several worlds share a
database, a slot and a file (`together`): what these cost is paid once for all, and none may disturb another.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tests.views.expressions import BOOL, FLOAT, INT, OF_ORIGIN, OPAQUE, STORED, TEXT, TIME, Column, Expressions
from tests.views.queries import Queries
from tests.views.scenario import Scenario, Step

TOGETHER = 25  # worlds
VIEWS = (1, 1, 2, 2, 3)  # of a world
ROUNDS = (3, 3, 4)  # bursts of transactions, each followed by a comparison
NUMBERS = 100  # the tables and views of a world at that place are numbered from so many times its place on


@dataclass(frozen=True)
class Table:
    """A table: its columns, and those of its key (none: rows may be there twice)."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    def create(self) -> list[str]:
        """The statements that make it."""
        columns = [f"{one.name} {one.kind}" for one in self.columns]
        if self.key:
            return [f"CREATE TABLE {self.name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(self.key)}))"]
        made = [f"CREATE TABLE {self.name} ({', '.join(columns)})"]
        return made if self.local else [*made, f"ALTER TABLE {self.name} REPLICA IDENTITY FULL"]

    @property
    def local(self) -> bool:
        """Whether it is a table of the DuckDB file."""
        return self.name.startswith("l.")


class World:
    """Draws everything from one source of chance. Its tables and views are numbered from `first` on.

    `plain` keeps to types that DuckDB writes as Postgres does.
    """

    def __init__(self, chance: random.Random, views: int, first: int = 0, *, plain: bool = False) -> None:
        self.chance = chance
        self.plain = plain
        self.draw = Expressions(chance, shared=True)
        self.first = first
        self.tables = [self._table(f"t{first + at}") for at in range(chance.randint(2, 3))]
        self.local = [self._table(f"l.t{first + 9}", keyed=False)] if chance.random() < 0.4 else []
        self.views = views
        self.late = views > 1 and chance.random() < 0.3  # the last of them is made between bursts
        self.seen: dict[str, tuple[Column, ...]] = {}  # views that views without an origin may read
        self._count = first

    def opening(self) -> Iterator[Step]:
        """Tables with rows, and views."""
        yield Step("origin", "", tuple(one for table in self.tables for one in table.create()))
        if self.local:
            yield Step("local", "", tuple(one for table in self.local for one in table.create()))
        for table in [*self.tables, *self.local]:
            rows = self._insert(table, self.chance.choice([1, 12, 20, 30, 30]))
            yield Step("commit local" if table.local else "commit", "", (rows,))
        for _ in range(self.views - self.late):
            yield self._view()

    def burst(self, count: int) -> Iterator[Step]:
        """So many transactions."""
        for _ in range(count):
            local = self.local and self.chance.random() < 0.3
            tables = self.local if local else self.tables
            statements = tuple(self._statement(self.chance.choice(tables)) for _ in range(self.chance.randint(1, 4)))
            yield Step("commit local" if local else "commit", "", statements)

    def later(self) -> Iterator[Step]:
        """The view that was left out at first."""
        if self.late:
            yield self._view()

    def listening(self) -> Iterator[Step]:
        """A live query, of some."""
        if _shared(self.seen) and self.chance.random() < 0.25:
            drawn = Queries(self.chance, _shared(self.seen), shared=True).query()
            yield Step("live", f"q{self.first}", (drawn.sql,))

    # -- tables --

    def _table(self, name: str, *, keyed: bool = True) -> Table:
        chance = self.chance
        key: tuple[str, ...] = ()
        columns = [Column("k", INT)]
        if keyed:
            key = chance.choice([("k",), ("k",), ("k", "j"), ()])
            columns += [Column("j", chance.choice([INT, TEXT]))] if "j" in key else []
        kinds = [INT, chance.choice([INT, TEXT]), *(chance.choice(STORED) for _ in range(chance.randint(0, 3)))]
        if not self.plain and not name.startswith("l."):
            kinds += [chance.choice(OF_ORIGIN) for _ in range(chance.choice([0, 0, 1, 2]))]
        columns += [Column(f"{kind[0]}{at}", kind) for at, kind in enumerate(kinds)]
        return Table(name, tuple(columns), key)

    def value(self, table: Table, column: Column) -> str:
        chance = self.chance
        if column.name in table.key:
            return str(chance.randint(0, 25)) if column.kind == INT else self.draw.literal(column.kind)
        if chance.random() < 0.15:
            return "NULL"
        if column.kind == FLOAT and chance.random() < 0.03:
            return f"'{chance.choice(['NaN', 'Infinity', '-Infinity'])}'::float8"
        return self.draw.literal(column.kind)

    def _statement(self, table: Table) -> str:
        chance = self.chance
        others = [one for one in table.columns if one.name not in table.key]
        some = self.some(table)
        kinds = ["insert", "update", "delete", "key", "empty", "refill"]
        match chance.choices(kinds, [8, 6, 3, 2, 0.2, 0.2])[0]:
            case "insert":
                return self._insert(table, chance.randint(1, 6))
            case "update":
                changed = chance.sample(others, chance.randint(1, min(2, len(others))))
                assigned = ", ".join(f"{one.name} = {self.value(table, one)}" for one in changed)
                return f"UPDATE {table.name} SET {assigned} WHERE {some}"
            case "key" if table.key:
                moved = chance.choice(["k + 30", "k - 30", "k + 1", "12 - k", str(chance.randint(0, 25))])
                return f"UPDATE {table.name} SET k = {moved} WHERE {some}"
            case "empty" if not table.local:
                return f"TRUNCATE {table.name}"
            case "refill":
                return f"UPDATE {table.name} SET {others[0].name} = {self.value(table, others[0])}"
            case _:
                return f"DELETE FROM {table.name} WHERE {some}"

    def _insert(self, table: Table, count: int) -> str:
        rows = [f"({', '.join(self.value(table, one) for one in table.columns)})" for _ in range(count)]
        return f"INSERT INTO {table.name} VALUES {', '.join(rows)}{' ON CONFLICT DO NOTHING' if table.key else ''}"

    def some(self, table: Table) -> str:
        """A condition that a few rows meet."""
        chance = self.chance
        first = chance.randint(0, 25)
        if chance.random() < 0.6:
            return f"k BETWEEN {first} AND {first + chance.randint(0, 4)}"
        column = chance.choice([one for one in table.columns if one.kind not in (TIME, BOOL, *OPAQUE)])
        return f"{column.name} {chance.choice(['=', '=', '<'])} {self.draw.literal(column.kind)}"

    # -- views --

    def _view(self) -> Step:
        """A view over tables of the origin, or one without an origin over views and local tables."""
        chance = self.chance
        at, self._count = self._count, self._count + 1
        if _shared(self.seen) and chance.random() < 0.35:
            relations = _shared(self.seen) | {table.name: table.columns for table in self.local}
            name = f"l.v{at}"
            drawn = Queries(chance, relations, shared=True).query()
        else:
            relations = {table.name: table.columns for table in self.tables}
            name = f"{chance.choice('sssz')}.v{at}"
            drawn = Queries(chance, relations).query()
        self.seen[name] = tuple(Column(f"c{nth}", kind) for nth, kind in enumerate(drawn.kinds))
        return Step("view", name, (drawn.sql,))


def together(first: int, only: Collection[int] | None = None) -> Scenario:
    """The worlds of the seeds from `first` on, side by side: their tables and views, then bursts of transactions.

    `only` some of them, by their places, which leaves these as they are beside the others.
    """
    steps = (step for place, step in _steps(first) if place is None or only is None or place in only)
    return Scenario(tuple(steps))


def place_of(view: str) -> int:
    """The place of the world that a view, or a table, is of."""
    return int(re.sub(r"\D", "", view)) // NUMBERS


def _steps(first: int) -> Iterator[tuple[int | None, Step]]:
    """The steps of all worlds, each with its world's place; None where it is for all."""
    chance = random.Random(f"together {first}")
    drawn = [random.Random(first + place) for place in range(TOGETHER)]
    worlds = [World(one, one.choice(VIEWS), NUMBERS * place) for place, one in enumerate(drawn)]

    def each(act: Callable[[World], Iterable[Step]]) -> Iterator[tuple[int, Step]]:
        yield from ((place, step) for place, world in enumerate(worlds) for step in act(world))

    if chance.random() < 0.3:
        yield None, Step("threads", "2")
    yield from each(World.opening)
    yield None, Step("compare")
    yield from each(World.listening)
    rounds = chance.choice(ROUNDS)
    late = chance.randrange(rounds)
    for at in range(rounds):
        if chance.random() < 0.2:
            yield None, Step("strategy", chance.choice(["anew", "measured", "deltas", "mixed"]))
        match chance.choices(["run", "pause", "reopen"], [8, 2, 1])[0]:
            case "run":
                yield from each(lambda world: world.burst(world.chance.randint(1, 3)))
            case "pause":
                yield None, Step("stop")
                yield from each(lambda world: world.burst(world.chance.randint(1, 6)))
                yield None, Step("resume")
            case _:
                yield from each(lambda world: world.burst(1))
                yield None, Step("reopen")
                yield from each(lambda world: world.burst(1))
        if at == late:
            yield from each(World.later)
        yield None, Step("compare")


def _shared(views: Mapping[str, tuple[Column, ...]]) -> dict[str, tuple[Column, ...]]:
    """The columns of views whose types both dialects read alike; views without one are left out."""
    found = {name: tuple(one for one in columns if one.kind not in OF_ORIGIN) for name, columns in views.items()}
    return {name: columns for name, columns in found.items() if columns}
