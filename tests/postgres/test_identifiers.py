"""Names may hold any character, at the origin and here; they never become SQL.

    FLASHQL_FUZZ_SECONDS=300 pytest tests/postgres/test_identifiers.py -s     longer than the default
    FLASHQL_TEST_SEED=...                                                     the same names again

Each world has names for everything that has one, and goes the whole way: defined, copied, streamed, queried, changed,
dropped. A table `canary`, at the origin and here, is what names try to drop.
"""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

import flashql
from flashql import errors
from flashql.database import Database
from flashql.origins.postgres.preflight import diagnose
from flashql.quoting import fold, literal, qualified, quote
from tests.fix_database import same_rows
from tests.fix_postgres import Origin, fresh_origin
from tests.seeds import first_seed

SECONDS = float(os.environ.get("FLASHQL_FUZZ_SECONDS", "10"))

HOSTILE = [
    '"; DROP TABLE canary; --',
    "'; DROP TABLE canary; --",
    "x'); DROP TABLE canary; --",
    '"',
    '""',
    "'",
    "''",
    "\\",
    "\\'; DROP TABLE canary; --",
    "a\nb; DROP TABLE canary",
    "a\r\n--\n",
    "/* ",
    "*/",
    "--",
    ";",
    "%",
    "%s%(name)s%%",
    "{}{0}{name}",
    "$$; DROP TABLE canary; $$",
    "$1",
    ":a",
    "?",
    "a.b",
    "a,b",
    "(a)",
    " ",
    " leading and trailing ",
    "\t",
    "1st",
    "select",
    "SELECT",
    "order by",
    "Name",
    "naïve",
    "ÄÖ",
    "😀",
    "\u200b",
    "\u202e",
    "ı",
    "İ",
    "ſ",
    "x" * 63,
    "é" * 31,
    "😀" * 15,
    "c0",
    "n0",
    "seq",
    "kind",
    "rowid",
    "ctid2",
    "flashql_batch",
    "main",
    "\x1b[31m",
    "\x01",
    "[0]",
    "*",
    "a$1",
    "e'\\n",
    'U&"\\0041"',
]
ALPHABET = "abAB01_ \"'\\;%{}$-/*.,()[]\n\té😀\u200bıİſß"


def names(chance: random.Random) -> Iterator[str]:
    """Names, no two alike, of at most 63 bytes; now and then one that differs only in case from the one before."""
    seen: set[str] = set()
    while True:
        made = chance.choice(HOSTILE)
        if chance.random() < 0.3:
            made = "".join(chance.choice(ALPHABET) for _ in range(chance.randint(1, 20)))
        for name in (made, made.swapcase()) if chance.random() < 0.3 else (made,):
            if name not in seen and 0 < len(name.encode()) <= 63:
                seen.add(name)
                yield name


class World:
    """An origin and a database whose every name is hostile."""

    def __init__(self, origin: Origin, path: Path, role: str, made: Iterator[str]) -> None:
        self.origin = origin
        self.origin_name = next(name for name in made if name == name.strip() and ":" not in name)
        self.schema, self.other_schema, self.enum, self.index = (next(made) for _ in range(4))
        self.tables = [next(made) for _ in range(2)]
        self.columns = [next(name for name in made if name not in _SYSTEM) for _ in range(5)]
        self.labels = [next(made) for _ in range(2)]
        self.local_schema = next(name for name in made if "." not in name and fold(name) != "main")
        self.views = distinct(made, 6)
        self.path = path
        self.dsn = make_conninfo(origin.dsn, user=role)
        self.db = self.open()

    def open(self) -> Database:
        return flashql.connect(str(self.path), origins={self.origin_name: self.dsn})

    def prepare(self) -> None:
        key, label, note, more, tags = map(quote, self.columns)
        self.origin.execute(f"CREATE SCHEMA {quote(self.schema)}; CREATE TABLE canary (id int)")
        self.origin.execute(
            f"CREATE TYPE {qualified(self.schema, self.enum)} AS ENUM ({', '.join(map(literal, self.labels))})"
        )
        enum = qualified(self.schema, self.enum)
        for table in self.tables:
            self.origin.execute(
                f"CREATE TABLE {qualified(self.schema, table)} ({key} text, {label} {enum}, {note} text, {more} int, "
                f"{tags} {enum}[], PRIMARY KEY ({key}))"
            )
            self.write(table, 0)

    def write(self, table: str, at: int) -> None:
        """Some rows; their values are hostile as well."""
        enum, tags = qualified(self.schema, self.enum), ", ".join(map(literal, self.labels))
        rows = ", ".join(
            f"({literal(f'{at}{value}')}, {literal(label)}::{enum}, {literal(value)}, {at}, ARRAY[{tags}]::{enum}[])"
            for value, label in zip(HOSTILE, self.labels * len(HOSTILE), strict=False)
        )
        self.origin.execute(f"INSERT INTO {qualified(self.schema, table)} VALUES {rows}")

    def view(self, at: int) -> str:
        return qualified(self.local_schema, self.views[at])

    def define(self) -> dict[int, str]:
        """Views of every persistence; by number, the query that each shows."""
        key, label, note, more, _ = map(quote, self.columns)
        first, second = (qualified(self.schema, table) for table in self.tables)
        queries = {
            0: f"SELECT <*> FROM {first}",
            1: f"SELECT {key}, {label}, <tags> FROM {second} WHERE {label} = {literal(self.labels[0])}",
            2: f"SELECT t.{note} AS {key}, {more} + 1 AS {note} FROM {first} AS t "
            f"WHERE {note} <> {literal(HOSTILE[0])}",
        }
        origin = f"replication_origin = {literal(self.origin_name)}"
        self.db.execute(f"CREATE SCHEMA {quote(self.local_schema)} WITH ({origin}); CREATE TABLE canary (id int)")
        for at, query in queries.items():
            self.db.execute(f"CREATE REALTIME VIEW {self.view(at)} AS {self.defining(query)}")
        self.db.execute(f"CREATE MATERIALIZED VIEW {self.view(3)} AS {self.defining(queries[1])}")
        self.db.execute(f"CREATE ORIGIN VIEW {self.view(4)} AS {self.defining(queries[0])}")
        return {**queries, 3: queries[1], 4: queries[0]}

    def compare(self, queries: dict[int, str]) -> None:
        self.db.sync.wait(timeout=60)
        for at, query in queries.items():
            same_rows(self.origin, self.db, self.readable(query), f"SELECT * FROM {self.view(at)}")

    def readable(self, query: str) -> str:
        """The query as Python's client reads it: not knowing the enum, it leaves arrays of it as text."""
        key, label, note, more, tags = map(quote, self.columns)
        return query.replace("<*>", f"{key}, {label}, {note}, {more}, <tags>").replace("<tags>", f"{tags}::text[]")

    def defining(self, query: str) -> str:
        """The query as views have it."""
        return query.replace("<*>", "*").replace("<tags>", quote(self.columns[4]))

    def walk(self) -> None:
        """The whole way."""
        self.prepare()
        queries = self.define()
        self.synced()
        self.compare(queries)
        self.stream(queries)
        assert all(report.equal for report in self.db.sync.verify())
        self.ask()
        self.reshape(queries)
        self.end()
        assert self.origin.query("SELECT count(*) FROM canary") == [(0,)]
        assert self.db.execute("SELECT count(*) FROM main.canary").fetchall() == [(0,)]

    def synced(self) -> None:
        report = self.db.sync.sync()
        assert not report.failed, report.failed

    def stream(self, queries: dict[int, str]) -> None:
        key, _, note, _, _ = map(quote, self.columns)
        for table in self.tables:
            self.write(table, 1)
            target = qualified(self.schema, table)
            self.origin.execute(
                f"UPDATE {target} SET {note} = {note} || '!', {key} = {key} || '?' WHERE {key} LIKE '0%'"
            )
            self.origin.execute(f"DELETE FROM {target} WHERE {key} LIKE '1x%'")
        self.db.execute(f"REFRESH VIEW {self.view(3)}")
        self.compare(queries)

    def ask(self) -> None:
        """Filters, joins, plans, status, under every name."""
        key, label, note, _, _ = map(quote, self.columns)
        table = qualified(self.schema, self.tables[0])
        for at in (0, 4):
            # Names that differ only in case are told apart here.
            described = self.db.execute(f"SELECT * FROM {self.view(at)} LIMIT 0").description
            local_key, local_label, local_note, *_ = (quote(column[0]) for column in described or ())
            for value in (self.labels[1], HOSTILE[1], self.columns[0]):
                there = f"SELECT {key} FROM {table} WHERE {label}::text = {literal(value)} "
                here = f"SELECT {local_key} FROM {self.view(at)} WHERE {local_label} = {literal(value)} "
                changed = literal(value + "!")
                same_rows(self.origin, self.db, f"{there} OR {note} = {changed}", f"{here} OR {local_note} = {changed}")
                counted = f"SELECT count(*) FROM {self.view(at)} WHERE {local_note} = ?"
                bound = self.db.execute(counted, [value]).fetchall()
                assert bound == self.origin.query(f"SELECT count(*) FROM {table} WHERE {note} = {literal(value)}")
        joined = f"SELECT count(*) FROM {self.view(0)} AS a JOIN {self.view(4)} AS b ON a.{local_key} = b.{local_key}"
        assert self.db.execute(joined).fetchall() == self.db.execute(f"SELECT count(*) FROM {self.view(0)}").fetchall()
        for at in range(5):
            assert self.db.execute(f"EXPLAIN VIEW {self.view(at)}").fetchall()
        assert self.db.execute(f"EXPLAIN {joined}").fetchall()
        shown = {(status.namespace, status.name) for status in self.db.sync.status()}
        assert (self.local_schema, self.views[0]) in shown
        assert self.db.sync.status({self.local_schema: [self.views[0]]}) or "*" in self.views[0]
        assert all(one.ok for one in diagnose(self.dsn) if "canary" not in one.name)

    def reshape(self, queries: dict[int, str]) -> None:
        """Names that arrive in the stream, and those in what is said of it."""
        renamed = self.columns[3] + "2" if len(self.columns[3]) < 15 else "2"
        self.origin.execute(
            f"ALTER TABLE {qualified(self.schema, self.tables[0])} RENAME {quote(self.columns[3])} TO {quote(renamed)}"
        )
        self.origin.execute(f"UPDATE {qualified(self.schema, self.tables[0])} SET {quote(renamed)} = 7")
        failed = self.db.sync.sync().failed
        assert all(isinstance(error, errors.FlashQLError) for error in failed.values())
        assert failed, "a column that views name is gone"
        self.db.execute(f"CREATE OR REPLACE REALTIME VIEW {self.view(0)} AS {self.defining(queries[0])}")
        self.db.execute(f"DROP VIEW {self.view(2)}; DROP VIEW {self.view(4)}")
        self.columns[3] = renamed
        self.synced()
        self.compare({at: queries[at] for at in (0, 1)})
        with pytest.raises(errors.FlashQLError):
            self.db.execute(f"CREATE REALTIME VIEW {self.view(5)} AS SELECT {quote(self.columns[3])} FROM nowhere")

    def end(self) -> None:
        self.db.close()
        self.db = self.open()
        self.synced()
        for at in (0, 1, 3):
            self.db.execute(f"DROP VIEW {self.view(at)}")
        left = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
        assert self.origin.query(left) == [(0,)]
        assert self.origin.query("SELECT count(*) FROM pg_publication") == [(0,)]


_SYSTEM = ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid")


def distinct(made: Iterator[str], count: int) -> list[str]:
    """Names for DuckDB, which ignores the case of ASCII letters."""
    found: dict[str, str] = {}
    while len(found) < count:
        name = next(made)
        found.setdefault(fold(name), name)
    return list(found.values())


@pytest.mark.timeout(120 + 3 * SECONDS)
def test_hostile_names(postgres_dsn: str, tmp_path: Path) -> None:
    seed = first_seed()
    deadline, worlds = time.monotonic() + SECONDS / 2, 0
    while worlds == 0 or time.monotonic() < deadline:
        sys.stdout.write(f"FLASHQL_TEST_SEED={seed}\n")
        made = names(random.Random(seed))
        database, role = (f"{next(made)[:12]}{uuid.uuid4().hex[:8]}" for _ in range(2))  # the server's own
        with fresh_origin(postgres_dsn, database) as origin:
            origin.execute(f"CREATE ROLE {quote(role)} LOGIN SUPERUSER")
            world = World(origin, tmp_path / f"{worlds}.duckdb", role, made)
            try:
                world.walk()
            finally:
                world.db.close()
                origin.execute(f"DROP OWNED BY {quote(role)}; DROP ROLE {quote(role)}")
        seed, worlds = seed + 1, worlds + 1
    sys.stdout.write(f"{worlds} worlds\n")


def test_a_dot_in_a_name_does_not_make_two_views_one(origin: Origin) -> None:
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        db.execute("""
            CREATE SCHEMA "a.b" WITH (replication_origin = 'primary'); CREATE SCHEMA a;
            CREATE ORIGIN VIEW a."b.c" WITH (replication_origin = 'primary') AS SELECT 1 AS x;
        """)
        for statement in (
            'CREATE OR REPLACE ORIGIN VIEW "a.b".c AS SELECT 2 AS x',
            'DROP VIEW "a.b".c',
            'EXPLAIN VIEW "a.b".c',
            'REFRESH VIEW "a.b".c',
        ):
            with pytest.raises(errors.FlashQLError):
                db.execute(statement)
        assert db.execute('SELECT * FROM a."b.c"').fetchall() == [(1,)]


def test_a_quote_in_the_name_of_an_origin_view(origin: Origin) -> None:
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        create = "CREATE ORIGIN VIEW {} WITH (replication_origin = 'primary') AS SELECT 1 AS x"
        for name in ('a"b', '""', '"'):
            db.execute(create.format(quote(name)))
            assert db.execute(f"SELECT * FROM {quote(name)}").fetchall() == [(1,)]


def test_names_that_differ_in_the_case_of_other_letters(origin: Origin) -> None:
    """To Postgres without quotes, and to DuckDB always, only the letters of ASCII have a case."""
    origin.execute("""
        CREATE TABLE "Ä" (Ä int PRIMARY KEY, ä int, "İ" text, i text);
        CREATE TABLE ä (k int PRIMARY KEY, Ö int);
        INSERT INTO "Ä" VALUES (1, 10, 'dotted', 'plain'); INSERT INTO ä VALUES (1, 7), (2, 8);
    """)
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        shown = {
            "Ä.İ": 'SELECT * FROM public."Ä"',
            "Ä.I": "SELECT ä, İ, Ä FROM public.Ä",
            "ä.İ": "SELECT Ö FROM public.ä",
            "ä.i": "SELECT t.Ä, u.Ö, t.İ, t.I FROM public.Ä AS t JOIN public.ä AS u ON u.k >= t.Ä",
            "Ä.Σ": "SELECT ä.Ö FROM public.ä",
        }
        for schema in "Ää":
            db.execute(f"CREATE SCHEMA {schema} WITH (replication_origin = 'primary')")
        for name, query in shown.items():
            db.execute(f"CREATE REALTIME VIEW {name} AS {query}")
        db.execute("CREATE ORIGIN VIEW ä.Σ AS SELECT Ä AS k, ä FROM public.Ä; CREATE ORIGIN VIEW ä.σ AS SELECT 1 AS ä")
        db.execute("CREATE TABLE local (Ä int, ä int); INSERT INTO local VALUES (1, 2)")
        db.execute("CREATE REALTIME VIEW pairs AS SELECT l.Ä, l.ä, sum(Ö) AS Ö FROM local AS l, ä.İ GROUP BY ALL")
        db.sync.sync()
        origin.execute("INSERT INTO \"Ä\" VALUES (2, 20, 'D', 'P'); UPDATE ä SET Ö = Ö + 1; DELETE FROM ä WHERE k = 1")
        db.execute("INSERT INTO local VALUES (3, 4)")
        db.sync.wait(timeout=60)
        for name, query in shown.items():
            same_rows(origin, db, query, f"SELECT * FROM {name}")
        assert sorted(db.execute("SELECT k, ä FROM ä.Σ").fetchall()) == [(1, 10), (2, 20)]
        assert db.execute("SELECT Σ.ä FROM ä.σ AS Σ").fetchall() == [(1,)]
        assert sorted(db.execute("SELECT * FROM pairs").fetchall()) == [(1, 2, 9), (3, 4, 9)]
        assert [status.name for status in db.sync.status("Ä.Σ")] == ["Σ"]
        db.execute("DROP VIEW Ä.I; DROP VIEW ä.σ; DROP VIEW pairs; DROP SCHEMA Ä CASCADE")
        left = db.execute("SELECT name FROM flashql.views WHERE namespace = 'ä'").fetchall()
        assert {name for (name,) in left} == {"i", "İ", "Σ"}
        assert db.execute("SELECT count(*) FROM flashql.views").fetchall() == [(3,)]
        assert db.execute("SELECT count(*) FROM ä.İ").fetchall() == [(1,)]
