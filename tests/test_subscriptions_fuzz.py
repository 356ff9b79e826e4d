"""Many overlapping subscriptions under random transactions, with Postgres as the oracle after every batch.

Sets of parameters come and go while rows move into and out of them, with values that the stream leaves out, changed
keys, rows without a key, truncations; each view must have the rows of the sets that are subscribed, and no other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import flashql
from flashql.database import Database
from flashql.moved import Change
from tests.fix_database import same_rows
from tests.fix_postgres import Origin
from tests.seeds import seeded

TABLES = """
CREATE TABLE issues (id int PRIMARY KEY, title text, owner int);
CREATE TABLE comments (
    id int PRIMARY KEY, issue_id int, day date, kind text COLLATE "C", price numeric(8, 2), body text STORAGE EXTERNAL
);
CREATE TABLE visits (page int, hits bigint);
ALTER TABLE visits REPLICA IDENTITY FULL;
CREATE TABLE files (path text PRIMARY KEY, folder int, content text STORAGE EXTERNAL);
ALTER TABLE files REPLICA IDENTITY FULL;
INSERT INTO issues SELECT g, 'issue ' || g, g % 7 FROM generate_series(0, 39) AS g;
INSERT INTO comments SELECT g, g % 40, date '2024-01-01' + g % 50, chr(97 + g % 5), g % 100 + 0.5,
    repeat(md5(g::text), 100) FROM generate_series(1, 400) AS g;
INSERT INTO visits SELECT g % 30, g % 4 FROM generate_series(1, 200) AS g;
INSERT INTO files SELECT 'file ' || g, g % 20, repeat(md5(g::text), 100) FROM generate_series(1, 100) AS g;
"""


@dataclass(frozen=True)
class Parameterized:
    """A view with parameters: its declaration, and its query with a placeholder for each of them."""

    declared: str
    query: str  # with `issue` and so on in place of parameters
    condition: str  # the part of it that they are in, over `given`, a row of them
    draw: Callable[[random.Random], dict[str, Any]]

    def union(self, sets: Sequence[dict[str, Any]]) -> str:
        """The origin's query for these sets together."""
        if not sets:
            return self.query.replace(self.condition, "false")
        names = ", ".join(sets[0])
        values = ", ".join(f"({', '.join(self._shown(value) for value in one.values())})" for one in sets)
        given = f"(VALUES {values}) AS given({names})"
        return self.query.replace(self.condition, f"EXISTS (SELECT 1 FROM {given} WHERE {self.condition})")

    @staticmethod
    def _shown(value: object) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, str):
            return f"date '{value}'" if value.startswith("2024") else f"'{value}'"
        return str(value)


VIEWS = {
    "by_issue": Parameterized(
        "issue bigint",
        "SELECT id, issue_id, kind, body FROM comments WHERE issue_id = issue",
        "issue_id = issue",
        lambda random_: {"issue": random_.randrange(40)},
    ),
    "span": Parameterized(
        "low numeric, high numeric",
        "SELECT id, price, body FROM comments AS c WHERE price BETWEEN low AND high AND c.id > 3",
        "price BETWEEN low AND high",
        lambda random_: (lambda low: {"low": low, "high": low + random_.randrange(6)})(random_.randrange(100)),
    ),
    "since": Parameterized(
        "sort text, since date",
        "SELECT id, kind, day FROM comments WHERE (kind = sort AND day >= since)",
        "(kind = sort AND day >= since)",
        lambda random_: {"sort": random_.choice("abcdef"), "since": f"2024-02-{random_.randrange(10, 29)}"},
    ),
    "joined": Parameterized(
        "issue int",
        "SELECT c.id, i.title, c.body FROM comments c JOIN issues i ON i.id = c.issue_id WHERE c.issue_id = issue",
        "c.issue_id = issue",
        lambda random_: {"issue": random_.randrange(40)},
    ),
    "of_owner": Parameterized(
        "boss int",
        "SELECT i.id, c.id AS comment, c.kind FROM issues i LEFT JOIN comments c ON c.issue_id = i.id "
        "WHERE i.owner IN (boss, boss)",
        "i.owner IN (boss, boss)",
        lambda random_: {"boss": random_.randrange(7)},
    ),
    "totals": Parameterized(
        "issue bigint",
        "SELECT issue_id, count(*) AS n, sum(price) AS price FROM comments WHERE issue_id = issue GROUP BY issue_id",
        "issue_id = issue",
        lambda random_: {"issue": random_.randrange(40)},
    ),
    "pages": Parameterized(
        "number int",
        "SELECT page, hits FROM visits WHERE page = number",
        "page = number",
        lambda random_: {"number": random_.randrange(30)},
    ),
    "in_folder": Parameterized(
        "place int",
        "SELECT path, folder, content FROM files WHERE folder <= place AND folder > 3",
        "folder <= place",
        lambda random_: {"place": random_.randrange(20)},
    ),
}


def transaction(random_: random.Random, fresh: Iterator[int]) -> str:
    """The statements of one transaction."""
    found = []
    for _ in range(random_.randrange(1, 6)):
        one, other, new = random_.randrange(1, 400), random_.randrange(40), next(fresh)
        found.append(
            random_.choice(
                [
                    f"UPDATE comments SET issue_id = {other} WHERE id = {one}",
                    f"UPDATE comments SET issue_id = {other}, body = repeat(md5('{new}'), 100) WHERE id = {one}",
                    f"UPDATE comments SET issue_id = NULLIF({other}, 3), price = {other} + 0.5 WHERE id % 37 = {other}",
                    f"UPDATE comments SET id = {new} WHERE id = {one}",
                    f"UPDATE comments SET kind = '{random_.choice('abcde')}' WHERE id BETWEEN {one} AND {one + 9}",
                    f"INSERT INTO comments VALUES ({new}, {other}, '2024-02-{random_.randrange(1, 29):02}', "
                    f"'{random_.choice('abcde')}', {random_.randrange(100)}, repeat(md5('{new}'), 90))",
                    f"DELETE FROM comments WHERE id = {one}",
                    f"UPDATE issues SET owner = {random_.randrange(7)} WHERE id = {other}",
                    f"DELETE FROM issues WHERE id = {other}",
                    f"INSERT INTO issues VALUES ({other}, 'again', 2) ON CONFLICT DO NOTHING",
                    f"UPDATE visits SET page = {other} WHERE page = {random_.randrange(30)}",
                    f"INSERT INTO visits SELECT {other % 30}, g FROM generate_series(1, 3) AS g",
                    f"DELETE FROM visits WHERE hits = {random_.randrange(8)} AND page = {other % 30}",
                    f"UPDATE files SET folder = {other % 20} WHERE path = 'file {one % 100}'",
                    f"UPDATE files SET path = 'file {new}' WHERE path = 'file {one % 100}'",
                ]
            )
        )
    if random_.random() < 0.03:
        found.append(f"TRUNCATE {random_.choice(['visits', 'files', 'comments'])}")
    return "; ".join(found)


@pytest.fixture
def followed(origin: Origin, tmp_path: Path) -> Iterator[Database]:
    """A database that follows every view, with no subscription."""
    origin.execute(TABLES)
    with flashql.connect(str(tmp_path / "local.duckdb"), origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        for name, view in VIEWS.items():
            db.execute(f"CREATE REALTIME VIEW s.{name}({view.declared}) AS {view.query}")
        report = db.sync.sync()
        assert report, report.failed
        yield db


def check(origin: Origin, db: Database, wanted: dict[str, list[dict[str, Any]]]) -> None:
    """Every view has the rows of the sets that are wanted of it."""
    report = db.sync.sync()
    assert report, report.failed
    db.sync.wait(timeout=60)
    for name, view in VIEWS.items():
        try:
            same_rows(origin, db, view.union(wanted[name]), f"SELECT * FROM s.{name}")
        except AssertionError as wrong:
            raise AssertionError(f"s.{name}: {wrong}") from wrong


@pytest.mark.parametrize("many", [8, 1000])
def test_random_subscriptions_equal_the_oracle(origin: Origin, followed: Database, many: int) -> None:
    random_, fresh = seeded(), iter(range(1000, 10**9))
    wanted: dict[str, list[dict[str, Any]]] = {name: [] for name in VIEWS}
    shown: dict[str, list[tuple[Any, ...]]] = {"by_issue": [], "totals": []}
    feeds = {name: followed.changes(f"s.{name}", _collector(shown[name])) for name in shown}
    for round_ in range(12):
        for _ in range(random_.randrange(1, max(2, many // 6))):
            name = random_.choice(list(VIEWS))
            parameters = VIEWS[name].draw(random_)
            if random_.random() < 0.3 and wanted[name]:
                gone = wanted[name].pop(random_.randrange(len(wanted[name])))
                followed.sync.subscribe(f"s.{name}", gone).unsubscribe()
            elif parameters not in wanted[name]:
                followed.sync.subscribe(f"s.{name}", parameters, priority=random_.choice([None, 0, 1, 2]))
                wanted[name].append(parameters)
            if random_.random() < 0.3:
                origin.execute(transaction(random_, fresh))
        for _ in range(random_.randrange(10)):
            origin.execute(transaction(random_, fresh))
        check(origin, followed, wanted)
        if round_ % 4 == 3:
            wrong = [report for report in followed.sync.verify() if not report.equal]
            assert not wrong, wrong
    for name, feed in feeds.items():
        feed.close()
        assert sorted(map(repr, shown[name])) == sorted(
            map(repr, followed.execute(f"SELECT * FROM s.{name}").fetchall())
        )


def _collector(rows: list[tuple[Any, ...]]) -> Callable[[Change], None]:
    """Applies each change to `rows`."""

    def collect(change: Change) -> None:
        for row in change.deleted.to_pylist():
            rows.remove(tuple(row.values()))
        rows.extend(tuple(row.values()) for row in change.inserted.to_pylist())

    return collect
