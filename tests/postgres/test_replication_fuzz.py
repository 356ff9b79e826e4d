"""Random tables, random transactions, random views; after each burst every view equals its query at the origin.

    FLASHQL_FUZZ_SECONDS=300 pytest tests/postgres/test_replication_fuzz.py -s     longer than the default
    FLASHQL_TEST_SEED=...                                                          the same world again

The oracle is Postgres. Values are compared as Python values where both databases have them alike, else as text.
"""

from __future__ import annotations

import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from flashql.errors import ViewNotReady
from flashql.origins.postgres import assembling
from tests.fix_database import same_rows
from tests.fix_postgres import Origin, fresh_origin
from tests.postgres.pair import Pair
from tests.seeds import first_seed

SECONDS = float(os.environ.get("FLASHQL_FUZZ_SECONDS", "10"))

# A value not stored inline, different for each number.
TOASTED = "(SELECT string_agg(md5(({n} * 100 + g)::text), '') FROM generate_series(1, 120) AS g)"

# Type -> SQL for a value made of the number {n}; small numbers, so that values meet again.
TYPES = {
    "int": ["{n}", "-{n}"],
    "bigint": ["{n} * 10000000007"],
    "text": ["'t{n}'", "''", "'é \"{n}'", TOASTED, TOASTED],
    "varchar(20000)": ["'v{n}'", TOASTED],
    "numeric": ["{n}.5", "{n}.50", "{n}e-3", "{n}.000000001"],
    "numeric(12,3)": ["{n}.125", "-{n}"],
    "float8": ["{n} / 3.0", "'NaN'", "'-Infinity'", "-0.0"],
    "boolean": ["{n} % 2 = 0"],
    "date": ["date '2024-01-01' + {n}", "'infinity'", "'0044-03-15 BC'"],
    "timestamptz": ["timestamptz '2024-01-01 12:00+00' + {n} * interval '1 hour'"],
    "interval": ["{n} * interval '1 day'", "'1 mon'", "'30 days'"],
    "uuid": ["md5('{n}')::uuid"],
    "jsonb": ["jsonb_build_object('n', {n})", "'null'"],
    "int[]": ["ARRAY[{n}, NULL]", "'{{}}'"],
    "text[]": ["ARRAY['a{n}', 'b,c', NULL, '']"],
    "bytea": ["'\\x00{n:02x}'"],
    "mood": ["(ARRAY['sad', 'ok', 'glad']::mood[])[{n} % 3 + 1]"],
    "char(5)": ["'c{n}'"],
}
# Held as they are compared: the rest is compared as the text that Postgres prints.
KEY_TYPES = ("int", "bigint", "text", "uuid", "numeric(12,3)", "date", "numeric")
SURPRISES = {"numeric": ["'NaN'", "1e35", "{n}.00000000000001"]}  # the copy is made anew, with a wider column


@dataclass
class Table:
    """A random table: its columns, how its rows are identified, and the views over it."""

    name: str
    columns: dict[str, str]  # name -> type
    key: list[str]
    identity: str  # default, full, index
    views: dict[str, str] = field(default_factory=dict)

    def create(self) -> str:
        """The statements that make it."""
        columns = [
            f"{name} {type_}{' NOT NULL' if self.identity == 'index' and name in self.key else ''}"
            for name, type_ in self.columns.items()
        ]
        keyed = self.key and self.identity != "index"
        if keyed:
            columns.append(f"PRIMARY KEY ({', '.join(self.key)})")
        statements = [f"CREATE TABLE {self.name} ({', '.join(columns)})"]
        if self.identity == "index":
            statements.append(f"CREATE UNIQUE INDEX {self.name}_key ON {self.name} ({', '.join(self.key)})")
            statements.append(f"ALTER TABLE {self.name} REPLICA IDENTITY USING INDEX {self.name}_key")
        if self.identity == "full":
            statements.append(f"ALTER TABLE {self.name} REPLICA IDENTITY FULL")
        return "; ".join(statements)


class World:
    """Tables at an origin and statements that change them, all drawn from one seed."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.tables = [self._table(f"t{at}") for at in range(chance.randint(2, 3))]

    def _table(self, name: str) -> Table:
        chance = self.chance
        identity = chance.choice(["default", "default", "full", "index", "bag"])
        width = chance.randint(1, 2)
        columns = {f"k{at}": chance.choice(KEY_TYPES) for at in range(width)}
        key = list(columns)
        columns |= {f"c{at}": chance.choice(list(TYPES)) for at in range(chance.randint(1, 5))}
        if identity == "bag":
            return Table(name, columns, [], "full")
        shuffled = list(columns.items())
        chance.shuffle(shuffled)
        return Table(name, dict(shuffled), key, identity)

    def view(self, table: Table) -> str:
        """The query of a random view."""
        chance = self.chance
        names = list(table.columns)
        shown = names if chance.random() < 0.5 else chance.sample(names, chance.randint(1, len(names)))
        query = f"SELECT {', '.join(shown)} FROM {table.name}"
        column = chance.choice(names)
        kind, number = table.columns[column], chance.randint(0, 20)
        conditions = [f"{column} IS NULL", f"{column} IS NOT NULL"]
        if kind in ("int", "bigint"):
            conditions += [f"{column} > {number}", f"{column} BETWEEN 3 AND {number + 3}", f"NOT ({column} = {number})"]
        if kind == "boolean":
            conditions += [column, f"NOT {column}"]
        return query + (f" WHERE {chance.choice(conditions)}" if chance.random() < 0.6 else "")

    def value(self, kind: str, *, nullable: bool = True) -> str:
        """SQL for a random value of a type."""
        if nullable and self.chance.random() < 0.15:
            return "NULL"
        choices = TYPES[kind]
        if not nullable:  # of a key
            choices = [one for one in choices if one is not TOASTED]
        elif kind in SURPRISES and self.chance.random() < 0.002:
            choices = SURPRISES[kind]
        return f"({self.chance.choice(choices).format(n=self.chance.randint(0, 25))})::{kind}"

    def statement(self, table: Table) -> str:
        """One random change of a table."""
        chance = self.chance
        first, count = chance.randint(0, 20), chance.randint(1, 8)
        some = f"ctid IN (SELECT ctid FROM {table.name} ORDER BY ctid OFFSET {first} LIMIT {count})"
        others = [name for name in table.columns if name not in table.key]
        match chance.choices(["insert", "update", "move", "delete", "truncate", "touch"], [8, 8, 4, 4, 0.3, 3])[0]:
            case "insert":
                rows = ", ".join(self._row(table) for _ in range(chance.randint(1, 6)))
                conflict = "" if not table.key else " ON CONFLICT DO NOTHING"
                return f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES {rows}{conflict}"
            case "update":
                changed = chance.sample(others, chance.randint(1, len(others)))
                assigned = ", ".join(f"{name} = {self.value(table.columns[name])}" for name in changed)
                return f"UPDATE {table.name} SET {assigned} WHERE {some}"
            case "move" if table.key:
                changed = chance.sample(table.key, chance.randint(1, len(table.key)))
                assigned = ", ".join(f"{name} = {self.value(table.columns[name], nullable=False)}" for name in changed)
                if chance.random() < 0.3:
                    name = chance.choice(others)
                    assigned += f", {name} = {self.value(table.columns[name])}"
                one = f"ctid = (SELECT ctid FROM {table.name} ORDER BY ctid OFFSET {chance.randint(0, 20)} LIMIT 1)"
                return f"UPDATE {table.name} SET {assigned} WHERE {one}"
            case "truncate":
                return f"TRUNCATE {', '.join(one.name for one in chance.sample(self.tables, chance.randint(1, 2)))}"
            case "delete":
                return f"DELETE FROM {table.name} WHERE {some}"
            case _:
                name = chance.choice(others)
                return f"UPDATE {table.name} SET {name} = {name} WHERE {some}"

    def _row(self, table: Table) -> str:
        values = [self.value(kind, nullable=name not in table.key) for name, kind in table.columns.items()]
        return f"({', '.join(values)})"

    def transaction(self) -> list[str]:
        """Some statements, with savepoints among them."""
        statements = [self.statement(self.chance.choice(self.tables)) for _ in range(self.chance.randint(1, 6))]
        if self.chance.random() < 0.2:
            at = self.chance.randrange(len(statements))
            statements.insert(at, "SAVEPOINT p")
            statements.append("ROLLBACK TO p" if self.chance.random() < 0.5 else "RELEASE p")
        return statements


def run(origin: Origin, statements: list[str], *, commit: bool) -> None:
    """One transaction; a statement that breaks a key is rolled back alone, as an application would."""
    with origin.connect() as connection, connection.transaction(force_rollback=not commit):
        for statement in statements:
            try:
                if statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
                    connection.execute(statement.encode())
                    continue
                with connection.transaction():
                    connection.execute(statement.encode())
            except psycopg.errors.UniqueViolation:
                continue


def prepare(origin: Origin, chance: random.Random) -> World:
    """The tables, with some rows."""
    world = World(chance)
    origin.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad')")
    for table in world.tables:
        origin.execute(table.create())
    for _ in range(5):
        run(origin, world.transaction(), commit=True)
    return world


def compared(table: Table, query: str) -> tuple[str, str]:
    """The query at the origin and over the view, with columns made alike."""
    shown = query.removeprefix("SELECT ").split(" FROM ")[0].split(", ")
    there, here = [], []
    for name in shown:
        kind = table.columns[name]
        if kind.startswith("numeric"):
            # Zeros at the end do not count: the local type may have others, and text has what Postgres prints.
            there.append(f"trim_scale({name})::text")
            here.append(
                f"CASE WHEN contains({name}::VARCHAR, '.') "
                f"THEN regexp_replace({name}::VARCHAR, '\\.?0*$', '') ELSE {name}::VARCHAR END"
            )
        elif kind == "interval":
            there.append(
                f"(extract(year from {name}) * 12 + extract(month from {name}))::int || ' ' || extract(day from {name})"
            )
            here.append(
                f"(datepart('year', {name}) * 12 + datepart('month', {name})) || ' ' || datepart('day', {name})"
            )
        elif kind == "date":
            there.append(f"CASE WHEN isfinite({name}) THEN ({name} - date '2000-01-01')::text ELSE {name}::text END")
            here.append(
                f"CASE WHEN isfinite({name}) THEN ({name} - date '2000-01-01')::VARCHAR ELSE {name}::VARCHAR END"
            )
        elif kind in ("jsonb", "float8"):
            there.append(f"{name}::text" if kind == "jsonb" else name)
            here.append(f"{name}::VARCHAR" if kind == "jsonb" else name)
        elif kind == "timestamptz":
            there.append(f"extract(epoch from {name})::bigint")
            here.append(f"CAST(epoch({name}) AS BIGINT)")
        else:
            there.append(name)
            here.append(name)
    return f"SELECT {', '.join(there)} FROM {query.split(' FROM ', 1)[1]}", f"SELECT {', '.join(here)}"


@pytest.mark.timeout(120 + 3 * SECONDS)
def test_random_worlds(postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = first_seed()
    deadline = time.monotonic() + SECONDS
    worlds = 0
    while worlds == 0 or time.monotonic() < deadline:
        sys.stdout.write(f"FLASHQL_TEST_SEED={seed}\n")  # pytest shows it when the test fails
        with fresh_origin(postgres_dsn) as origin:
            explore(origin, random.Random(seed), str(tmp_path / f"{worlds}.duckdb"), monkeypatch, deadline)
        worlds += 1
        seed += 1
    sys.stdout.write(f"{worlds} worlds\n")


def explore(origin: Origin, chance: random.Random, path: str, monkeypatch: pytest.MonkeyPatch, deadline: float) -> None:
    """One world: its tables followed through bursts of transactions, stops, restarts and new views."""
    # Each change is sent as soon as it is decoded: a setting for Postgres's own tests.
    at_once = ["debug_logical_replication_streaming = immediate"] if origin.version >= 16 else []
    monkeypatch.setattr(assembling, "HOLD_BYTES", chance.choice([3_000, 32 << 20]))
    monkeypatch.setattr(assembling, "CHUNK_BYTES", chance.choice([1, 10_000, 8 << 20]))
    for setting in chance.choice([[], ["logical_decoding_work_mem = '64kB'"], at_once]):
        origin.execute(f"ALTER DATABASE {origin.name} SET {setting}")
    world = prepare(origin, chance)
    pair = Pair(origin, path)
    try:
        views: dict[str, tuple[Table, str]] = {}

        def add(table: Table) -> None:
            name = f"v{len(views)}"
            query = world.view(table)
            pair.db.execute(f"CREATE REALTIME VIEW s.{name} AS {query}")
            views[name] = (table, query)

        for table in world.tables:
            add(table)
        pair.sync()
        for burst in range(chance.randint(4, 12)):
            if time.monotonic() > deadline and burst > 3:
                break
            action = chance.random()
            if action < 0.15:
                add(chance.choice(world.tables))  # what is written now meets its copy
                pair.db.sync._worker("primary").look()
            elif action < 0.3:
                pair.db.sync.stop()  # the burst comes all at once afterwards
            elif action < 0.4:
                pair.reopen()
            for _ in range(chance.randint(1, 15)):
                run(origin, world.transaction(), commit=chance.random() < 0.9)
            report = pair.db.sync.resume()
            assert not report.failed, report.failed
            check(pair, views)
    finally:
        pair.db.close()


def check(pair: Pair, views: dict[str, tuple[Table, str]]) -> None:
    """Every view is what its query at the origin is."""
    pair.db.sync.wait(timeout=60)
    for name, (table, query) in views.items():
        there, here = compared(table, query)
        compare(pair, name, table, query, there, here)


def compare(pair: Pair, name: str, table: Table, query: str, there: str, here: str) -> None:
    """Compare one view, saying all there is to know when it differs."""
    try:
        same_rows(pair.origin, pair.db, there, f"{here} FROM s.{name}")
    except ViewNotReady as error:
        if " WHERE " not in query or "only keep as text" not in str(error):
            raise
    except AssertionError as error:
        error.add_note(f"view {name}: {query}; {table.create()}")
        raise
