"""Kill -9 at random moments while views are maintained: each is its query at the very transaction the file has reached.

    FLASHQL_KILLS=60 pytest tests/views/test_views_kill.py -s      more kills than the default
    FLASHQL_TEST_SEED=...                                          the same moments again, as far as time allows

The file is opened after each kill and read as it is, without a connection to the origin. A view tells which transaction
was the last that the file contains; a second database replays the same transactions up to that one, and is the oracle.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

import flashql
from flashql.lsn import LSN
from tests.fix_postgres import Origin, fresh_origin
from tests.multisets import differing
from tests.postgres.follower import Follower, Load
from tests.seeds import first_seed
from tests.views.scenario import WAIT_SECONDS, connected

KILLS = int(os.environ.get("FLASHQL_KILLS", "10"))
LATEST_SECONDS = 1.2  # after the moment chosen, the kill comes within this
MOMENTS = ("opened", "copying", "synced", "applied", "applied", "applied")

TABLES = """
CREATE TABLE mark (n int PRIMARY KEY);
CREATE TABLE customer (id int PRIMARY KEY, region text, credit numeric(10,2));
CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric(10,2), day date);
CREATE TABLE item (product text, quantity int, ordered int);
ALTER TABLE item REPLICA IDENTITY FULL;
INSERT INTO mark VALUES (0);
INSERT INTO customer SELECT g, 'region ' || g % 7, g FROM generate_series(1, 200) AS g;
INSERT INTO orders SELECT g, g % 210, g % 97, date '2024-01-01' + g % 60 FROM generate_series(1, 3000) AS g;
INSERT INTO item SELECT 'p' || g % 23, g % 5, g % 3100 FROM generate_series(1, 5000) AS g;
"""

VIEWS = {
    "s.mark": "SELECT n FROM mark",
    "s.joined": "SELECT o.id, c.region, o.amount FROM orders AS o JOIN customer AS c ON c.id = o.customer",
    "s.left_joined": "SELECT c.id, o.id AS ordered FROM customer AS c LEFT JOIN orders AS o ON o.customer = c.id",
    "s.grouped": "SELECT c.region, count(*) AS n, sum(o.amount) AS total, max(o.day) AS latest FROM orders AS o "
    "JOIN customer AS c ON c.id = o.customer GROUP BY c.region",
    "s.several": "SELECT product, count(DISTINCT ordered) AS orders FROM item GROUP BY product HAVING count(*) > 3",
    "s.without": "SELECT id FROM orders AS o WHERE NOT EXISTS (SELECT 1 FROM item AS i WHERE i.ordered = o.id)",
    "s.ranked": "SELECT customer, id, row_number() OVER (PARTITION BY customer ORDER BY amount DESC, id) AS place "
    "FROM orders",
    "s.top": "SELECT id, amount FROM orders ORDER BY amount DESC, id LIMIT 20",
    "s.either": "SELECT customer FROM orders UNION SELECT id FROM customer",
    "l.regions": "SELECT region, min(amount) AS least, count(*) AS n FROM s.joined GROUP BY region",
    "l.busy": "SELECT r.region FROM l.regions AS r WHERE r.n > (SELECT min(g.n) FROM s.grouped AS g)",
}


def transaction(at: int) -> str:
    """The transaction of that number: the same for ever, whatever it meets."""
    row = at * 37 % 3000 + 1
    many = f"UPDATE orders SET amount = amount + 1 WHERE id % 40 = {at % 40};" if at % 25 == 0 else ""
    emptied = "TRUNCATE item; INSERT INTO item SELECT 'p' || g % 23, g % 5, g FROM generate_series(1, 4000) AS g;"
    return (
        f"BEGIN; UPDATE mark SET n = {at}; {many} {emptied if at % 90 == 0 else ''}"
        f"UPDATE orders SET customer = {at % 210}, amount = {at % 97} WHERE id = {row};"
        f"DELETE FROM orders WHERE id = {(row + 700) % 3000};"
        f"INSERT INTO orders VALUES ({(row + 1500) % 3000}, {at % 211}, {at % 50}, date '2024-03-01' + {at % 9}) "
        f"ON CONFLICT (id) DO UPDATE SET day = excluded.day;"
        f"UPDATE customer SET region = 'region {at % 8}' WHERE id = {at % 200 + 1};"
        f"INSERT INTO item VALUES ('p{at % 29}', {at % 5}, {row}), ('p{at % 29}', {at % 5}, {row});"
        f"DELETE FROM item WHERE ordered = {(row + 11) % 3000}; COMMIT"
    )


def create(origin: Origin) -> None:
    """The tables with their rows, and a Postgres view for each view, of the same name."""
    origin.execute(TABLES + "CREATE SCHEMA s; CREATE SCHEMA l;")
    for name, query in VIEWS.items():
        origin.execute(f"CREATE VIEW {name} AS {query}")


def script(folder: Path) -> Path:
    """What makes the views here."""
    schemas = "CREATE SCHEMA IF NOT EXISTS s WITH (replication_origin = 'primary'); CREATE SCHEMA IF NOT EXISTS l;\n"
    views = [f"CREATE REALTIME VIEW IF NOT EXISTS {name} AS {query};\n" for name, query in VIEWS.items()]
    path = folder / "views.sql"
    path.write_text(schemas + "".join(views), encoding="utf-8")
    return path


def reached(path: str, dsn: str, shadow: Origin, load: Load, replayed: int) -> int:
    """Read the file as the kill left it, and compare; the number of the last transaction that it contains.

    The views have no rows before their first copy: then it is what it was, `replayed`.
    """
    with flashql.connect(path, origins={"primary": dsn}) as db:
        if len(db.views) < len(VIEWS):
            return replayed
        seen = {status.last_seen_commit for status in db.sync.status("s.*")}  # those without an origin have none
        if None in seen:
            return replayed
        assert len(seen) == 1, seen
        (marked,) = db.execute("SELECT n FROM s.mark").fetchall()
        at = int(marked[0])
        assert at >= replayed, "what was durable is gone"
        for number in range(replayed + 1, at + 1):
            shadow.execute(transaction(number))
        compare(shadow, db)
        low, high = load.ends[max(at - 1, 0)], load.ends[at + 1] if at < load.count else None
        lsn = LSN.parse(str(seen.pop()))
        assert low < lsn and (high is None or lsn < high), (low, lsn, high)
        return at


def compare(origin: Origin, db: flashql.Database) -> None:
    """Assert that every view has the rows of its query."""
    with connected(origin) as oracle:
        for name in VIEWS:
            assert (difference := differing(oracle, db, f"SELECT * FROM {name}")) is None, f"{name}: {difference}"


@pytest.mark.kill
@pytest.mark.timeout(120 + 15 * KILLS)
def test_killed_while_views_are_maintained(origin: Origin, postgres_dsn: str, tmp_path: Path) -> None:
    seed = first_seed()
    chance = random.Random(seed)
    path, views, ends, moved = str(tmp_path / "local.duckdb"), script(tmp_path), Counter[str](), 0
    create(origin)
    with fresh_origin(postgres_dsn) as shadow, Load(origin, transaction) as load:
        create(shadow)
        at = 0
        for _ in range(KILLS):
            follower = Follower(path, origin.dsn, views)
            try:
                follower.reach(chance.choice(MOMENTS))
                threading.Event().wait(LATEST_SECONDS * chance.random())
            finally:
                ends[follower.kill()] += 1
            with load.resting:
                now = reached(path, origin.dsn, shadow, load, at)
            moved, at = moved + (now > at), now
        assert moved >= KILLS // 6, "it hardly got anywhere"
        with load.resting, flashql.connect(path, origins={"primary": origin.dsn}) as db:
            db.execute(views.read_text(encoding="utf-8"))
            assert not (report := db.sync.sync()).failed, report.failed
            db.sync.wait(timeout=WAIT_SECONDS)
            compare(origin, db)
    sys.stdout.write(f"{KILLS} kills, {moved} moved on, {load.count} transactions; killed after: {dict(ends)}\n")
