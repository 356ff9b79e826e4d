"""Random plans over tables in DuckDB alone: after every change each view is what its query computed anew gives.

    FLASHQL_FUZZ_SECONDS=600 pytest tests/views/test_plans_fuzz.py -s      longer than the default
    FLASHQL_TEST_SEED=...                                                  from that seed on

Here nothing is translated and no stream runs, so that hundreds of plans a minute are tried. In half of the worlds
deltas are followed wherever there is a way, in the others steps are computed anew by chance. What the
values of expressions are is the business of `test_views_fuzz.py`.
"""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest.mock import patch

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from flashql.catalog import Persistence, View
from flashql.deltas import Deltas
from flashql.keeping import Followed, planned
from flashql.pacing import Pace
from flashql.planner.blocks import is_one_row
from flashql.planner.delta import Relation
from flashql.planner.splitting import shown_sql
from flashql.planner.steps import WEIGHT
from flashql.quoting import qualified
from flashql.sharing import Parts
from flashql.stepping import Program, build
from flashql.store import DATA_SCHEMA
from flashql.store.relations import described
from flashql.weighing import consolidated
from tests.seeds import first_seed
from tests.views.expressions import INT, Column
from tests.views.queries import Queries
from tests.views.scenario import FAULTS_OF_DUCKDB, Faults
from tests.views.worlds import Table, World

# The same plans each time, unless others are asked for: new ones are looked for on purpose, and for longer.
FIRST_SEED = 6000
SECONDS = float(os.environ.get("FLASHQL_FUZZ_SECONDS", "20"))
LARGEST_ROWS = 3_000
VIEWS, ROUNDS = 5, 6

pytestmark = pytest.mark.timeout(120 + 3 * SECONDS)


@dataclass
class Kept:
    """A view that is kept: its query, and what keeps it."""

    name: str
    query: str
    program: Program


@dataclass
class Plans:
    """Tables, views over them and over each other, and changes."""

    seed: int
    tables: tuple[Table, ...] = ()  # none: as the seed draws them
    kept: list[Kept] = field(default_factory=list)
    unfit: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.world = World(self.chance, 0, plain=True)
        self.world.tables = [*self.tables] or self.world.tables
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 1; SET TimeZone = 'UTC'")
        self.connection.execute(f"CREATE SCHEMA {DATA_SCHEMA}; CREATE SCHEMA s")
        self.relations: dict[str, tuple[Column, ...]] = {}
        self.copies: dict[str, Relation] = {}
        self.parts = Parts()
        for table in self.world.tables:
            self.connection.execute(f"CREATE TABLE {DATA_SCHEMA}.{table.create()[0].removeprefix('CREATE TABLE ')}")
            self.insert(table, self.chance.choice([0, 1, 12, 20, 30]), None)
            self.relations[f"{DATA_SCHEMA}.{table.name}"] = table.columns
            name = qualified(DATA_SCHEMA, table.name)
            self.copies[table.name] = Relation(name, f'temp.main."delta_{table.name}"', table.key)

    def insert(self, table: Table, count: int, deltas: Deltas | None) -> None:
        """Insert random rows, those with the same keys deleted first."""
        for _ in range(count):
            values = {one.name: self.world.value(table, one) for one in table.columns}
            if table.key:
                same = " AND ".join(f"{name} = {values[name]}" for name in table.key)
                self.run(table, f"DELETE FROM {DATA_SCHEMA}.{table.name} WHERE {same}", deltas)
            self.run(table, f"INSERT INTO {DATA_SCHEMA}.{table.name} VALUES ({', '.join(values.values())})", deltas)

    def run(self, table: Table, statement: str, deltas: Deltas | None) -> None:
        """Run a statement on a table, noted in its delta."""
        delta = deltas.of(table.name) if deltas is not None else None
        if delta is None:
            self.connection.execute(statement)
        else:
            delta.run(statement)

    def draw(self, number: int) -> None:
        """One view more, if DuckDB can run the query drawn and it is not too large."""
        drawn = Queries(self.chance, self.relations, shared=True).query()
        try:
            described(self.connection, drawn.sql)
            found = self.connection.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM ({drawn.sql}) AS q LIMIT {LARGEST_ROWS})"
            ).fetchone()
        except duckdb.Error as error:
            self.unfit[str(error).splitlines()[0][:80]] += 1
            return
        assert found is not None
        if _is_mistaken(drawn.sql):
            self.unfit["DuckDB has no row where DISTINCT or ORDER BY look, within LATERAL, at the sum of no rows"] += 1
        elif found[0] < LARGEST_ROWS:
            self.make(f"v{number}", drawn.sql)
            self.relations[f"s.v{number}"] = tuple(Column(f"c{at}", kind) for at, kind in enumerate(drawn.kinds))

    def make(self, name: str, query: str) -> None:
        """One view more."""
        view = View("s", name, Persistence.REALTIME, None, query, (), local_query=query)
        inputs = {table.name: table.name for table in self.world.tables}
        inputs |= {step.table: step.table for one in self.kept for step in one.program.steps.steps}
        steps = planned(self.connection, view, inputs, name)
        build(self.connection, steps)
        self.connection.execute(f"CREATE VIEW s.{name} AS {shown_sql(steps, DATA_SCHEMA)}")
        program = Program(Followed(view, inputs, name), steps, self.copies, {}, self.parts)
        self.kept.append(Kept(f"s.{name}", query, program))

    def change(self) -> None:
        """Random changes of some tables, which every view follows."""
        wanted = {table.name for table in self.world.tables} | self._read_by_others()
        deltas = Deltas(self.connection, wanted, all_listed=self.chance.random() < 0.5)
        for table in self.chance.sample(self.world.tables, self.chance.randint(1, len(self.world.tables))):
            for _ in range(self.chance.randint(0, 2)):
                self.run(table, f"DELETE FROM {DATA_SCHEMA}.{table.name} WHERE {self.world.some(table)}", deltas)
            if self.chance.random() < 0.03:
                self.run(table, f"DELETE FROM {DATA_SCHEMA}.{table.name}", deltas)
            self.insert(table, self.chance.choice([0, 1, 1, 3]), deltas)
        deltas.net()
        for name in list(deltas):
            deltas[name].count()
        for one in self.kept:
            one.program.run(self.connection, deltas)

    def _read_by_others(self) -> set[str]:
        """The tables of steps that other views than theirs read: what moves in them is listed."""
        texts = {one.name: " ".join(step.text for step in one.program.steps.steps) for one in self.kept}
        return {
            step.table
            for one in self.kept
            for step in one.program.steps.steps
            if any(f'"{step.table}"' in text for name, text in texts.items() if name != one.name)
        }

    def compare(self) -> None:
        """Every view has the rows of its query, exactly."""
        for one in self.kept:
            shown = f"SELECT * FROM {one.name}"
            columns = described(self.connection, shown)
            names = ", ".join(f'"{name}"' for name, _ in columns)
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE anew AS SELECT * FROM ({one.query}) AS q({names})")
            weighted = f"SELECT *, 1 AS {WEIGHT} FROM anew UNION ALL SELECT *, -1 FROM ({shown})"
            stray = self.connection.execute(consolidated(columns, weighted)).fetchall()
            assert not stray, f"{one.name}: {stray[:4]}\n{one.query}"


def _is_mistaken(query: str) -> bool:
    """Whether DuckDB itself, the oracle here, has other rows than the query; the translation writes around it."""
    selects = sqlglot.parse_one(query, dialect="duckdb").find_all(exp.Select)
    return any((select.args.get("distinct") or select.args.get("order")) and is_one_row(select) for select in selects)


def plans(seed: int) -> Plans:
    """Make and change what belongs to a seed, and compare after each change."""
    made, choice = Plans(seed), random.Random(seed)
    anew = choice.choice([0.0, 0.0, 0.2, 0.5])  # the share of batches after which a step is computed anew
    try:
        with patch.object(Pace, "better_anew", lambda *_: choice.random() < anew), Faults() as faults:
            for number in range(VIEWS):
                made.draw(number)
            for _ in range(ROUNDS):
                made.change()
                made.compare()
                assert not faults.found, faults.found[0]
    except Exception as problem:
        if not any(words in str(problem) for words in FAULTS_OF_DUCKDB):
            problem.add_note(f"FLASHQL_TEST_SEED={seed}")
            raise
        made.unfit[str(problem).splitlines()[0][:80]] += 1
    finally:
        made.connection.close()
    return made


def seeds() -> Iterator[int]:
    """From the first on, which is printed, for as long as there is time."""
    seed = first_seed(FIRST_SEED)
    deadline = time.monotonic() + SECONDS
    while True:
        yield seed
        seed += 1
        if time.monotonic() > deadline:
            return


def test_random_plans() -> None:
    count, views, unfit = 0, 0, Counter[str]()
    for seed in seeds():
        made = plans(seed)
        count, views, unfit = count + 1, views + len(made.kept), unfit + made.unfit
    sys.stdout.write(f"{count} worlds, {views} views; queries that DuckDB cannot run: {unfit.most_common(10)}\n")
    assert unfit.total() < max(views, 10)


K, I0, I1 = Column("k", INT), Column("i0", INT), Column("i1", INT)
FEW = (Table("t0", (K, I0, I1), ("k",)), Table("t1", (K, I0)))
IN_DUCKDBS_WORDS = """
SELECT k, count(*) AS n FROM t0 GROUP BY ALL
SELECT i0, i1, count(*) AS n FROM t0 GROUP BY (i0, i1)
SELECT i0, max(i1) AS m FROM t0 GROUP BY ROLLUP (i0)
SELECT max(i1) AS m FROM t0 GROUP BY CUBE (i0)
SELECT i0 AS i1, i1 AS i0, k FROM t0 ORDER BY ALL LIMIT 3
SELECT i0 AS i1, i1 AS i0, k FROM t0 ORDER BY i0, i1, k LIMIT 3
SELECT DISTINCT ON (i0) i0, count(*) AS n FROM t0 GROUP BY i0, i1 ORDER BY i0, count(*) DESC, n
SELECT i0, sum(k) OVER w AS s FROM t0 WINDOW w AS (PARTITION BY i0 ORDER BY k, i1)
SELECT i0, sum(count(*)) OVER w AS s FROM t0 GROUP BY i0 WINDOW w AS (ORDER BY i0)
SELECT k, i0 FROM t0 QUALIFY row_number() OVER (PARTITION BY i0 ORDER BY k, i1) = 1
FROM t0 SELECT k, i0
SELECT x.k FROM t0 AS x JOIN t1 AS y USING (k)
SELECT x.k FROM t0 AS x NATURAL JOIN (SELECT k FROM t1) AS y
SELECT x.k, y.i0 FROM t0 AS x ASOF JOIN t1 AS y ON x.k >= y.k AND x.i0 = y.i0 WHERE false
SELECT x.k FROM t0 AS x SEMI JOIN t1 AS y ON x.i0 = y.i0
SELECT x.k FROM t0 AS x ANTI JOIN t1 AS y ON x.i0 = y.i0
SELECT x.k, y.n FROM t0 AS x, LATERAL (SELECT count(*) AS n FROM t1 AS z WHERE z.i0 = x.i0) AS y
SELECT * EXCLUDE (i1) FROM t0
SELECT * REPLACE (i0 + 1 AS i0) FROM t0
SELECT k, unnest([i0, i1]) AS u FROM t0
SELECT list(k ORDER BY k) AS l FROM t0 GROUP BY i0
SELECT i0, arg_max(i1, k ORDER BY i1) AS m FROM (SELECT DISTINCT ON (k) * FROM t0 ORDER BY k, i0, i1) AS s GROUP BY i0
SELECT list_transform([1, 2], lambda x: x + k) AS l FROM t0
SELECT k, i0 FROM t0 WHERE (i0, k) IN (SELECT i0, max(k) FROM t1 GROUP BY i0)
WITH p AS (SELECT k, i0 FROM t0 WHERE k > 3), u AS (SELECT p.k FROM p) SELECT u.k, p.i0 FROM u JOIN p ON p.k = u.k
WITH q AS (SELECT k FROM t0) SELECT q.k FROM (WITH q AS (SELECT i0 FROM t1) SELECT i0 FROM q) AS s JOIN q ON q.k = s.i0
(SELECT k FROM t0 ORDER BY k LIMIT 5) ORDER BY k DESC LIMIT 2
SELECT k FROM t0 UNION ALL ((SELECT i0 FROM t1) ORDER BY i0 LIMIT 1)
SELECT k FROM t0 UNION ALL (SELECT i0 FROM t1 EXCEPT ALL SELECT i0 FROM t0)
SELECT k FROM t0 EXCEPT (SELECT k FROM t1 UNION SELECT i0 FROM t1)
SELECT x.k, x.i0 FROM t0 AS x JOIN t1 AS y ON x.k = y.k WHERE (x.i0 = 1 OR y.i0 = 2) AND EXISTS (SELECT 1 FROM t1)
SELECT k, i0 AS s, s + 1 AS t FROM t0 WHERE s > 1
SELECT g.x, t0.i0 FROM range(5) AS g(x) JOIN t0 ON t0.k = g.x
SELECT i0, CAST(max(k, 2) AS VARCHAR) AS m FROM t0 GROUP BY i0
SELECT x.i0, CAST(max(y.i0, 2) AS TEXT) AS m, count(y.k) AS n FROM t0 AS x LEFT JOIN t1 AS y ON y.k = x.k GROUP BY x.i0
SELECT x.i0, count(y.k) AS n, sum(y.i0) AS s, count(*) AS r FROM t0 AS x LEFT JOIN t1 AS y ON y.k = x.k GROUP BY x.i0
SELECT v.x, t0.i0 FROM (VALUES (1), (2)) AS v(x) LEFT JOIN t0 ON t0.i0 = v.x AND t0.k > 90
"""

# DuckDB 1 cannot parse that.
LIMITED_TWICE = re.compile(r"^\(.* LIMIT \d+\) .*LIMIT \d+$")


@pytest.mark.parametrize("query", IN_DUCKDBS_WORDS.strip().splitlines())
def test_queries_in_duckdbs_own_words(query: str) -> None:
    made = Plans(next(seeds()), FEW)
    query = re.sub(r"\b(FROM|JOIN) (t[01])\b", rf"\1 {DATA_SCHEMA}.\2", query)
    if LIMITED_TWICE.search(query) and duckdb.__version__.startswith("1."):
        with pytest.raises(duckdb.ParserException):
            made.make("v", query)
        return
    with patch.object(Pace, "better_anew", lambda *_: False), Faults() as faults:
        made.make("v", query)
        for _ in range(ROUNDS):
            made.change()
            made.compare()
    assert not faults.found, faults.found[0]
