"""A copy that lost its stream is made anew from its own rows: only what differs is read from the origin again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flashql import renewing
from tests.fix_postgres import Origin
from tests.postgres.pair import WAIT_SECONDS, Pair, following

TABLES = """
CREATE TABLE big (id int PRIMARY KEY, v text, n numeric);
CREATE TABLE named (name text PRIMARY KEY, v int);
CREATE TABLE bag (a int, b text);
ALTER TABLE bag REPLICA IDENTITY FULL;
INSERT INTO big SELECT g, 'v' || g, g / 4.0 FROM generate_series(1, 20000) AS g;
INSERT INTO named SELECT 'n' || g, g FROM generate_series(1, 3000) AS g;
INSERT INTO bag SELECT g % 100, 'b' FROM generate_series(1, 3000) AS g;
"""
VIEWS = {"big": "SELECT id, v, n FROM big", "named": "SELECT * FROM named", "bag": "SELECT a FROM bag"}
FEW = """
UPDATE big SET v = 'changed' WHERE id IN (7, 19999); DELETE FROM big WHERE id = 100; INSERT INTO big VALUES (-5, '', 1);
UPDATE named SET name = 'other' WHERE v = 8; DELETE FROM bag WHERE a = 3; INSERT INTO bag VALUES (4, 'b'), (1000, 'c');
"""


class Lost:
    """A pair whose slot is dropped while its database is closed; `read` counts the rows read by the next sync."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.read: dict[str, int] = {}

    def count(self, what: str, done: int, total: int | None) -> None:
        del total
        self.read[what] = done

    def sync_after(self, statements: str) -> None:
        (slot,) = self.pair.slots()
        self.pair.db.close()
        self.pair.origin.execute(f"SELECT pg_drop_replication_slot('{slot}'); {statements}")
        self.pair.db = self.pair._open()
        self.pair.db.sync.progress = self.count
        self.pair.sync()
        self.pair.db.sync.wait(timeout=WAIT_SECONDS)
        assert [report.view for report in self.pair.db.sync.verify() if not report.equal] == []
        assert not self.pair.leftover_tables()


@pytest.fixture
def lost(origin: Origin, tmp_path: Path) -> Iterator[Lost]:
    origin.execute(TABLES)
    with following(origin, str(tmp_path / "lost.duckdb"), **VIEWS) as pair:
        yield Lost(pair)


def test_only_what_differs_is_read_again(lost: Lost) -> None:
    lost.sync_after(FEW)
    # The bag's places are whole rows: 30 of (4) are counted anew, 1 of (1000); those of (3) only go.
    assert lost.read == {"public.big": 3, "public.named": 1, "public.bag": 32}


def test_nothing_is_read_again_when_nothing_differs(lost: Lost) -> None:
    lost.sync_after("")
    assert lost.read == {}


def test_all_is_read_when_much_differs(lost: Lost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "MOST_PLACES", 100)
    lost.sync_after("UPDATE big SET v = 'changed' WHERE id % 2 = 0; TRUNCATE named")
    assert lost.read == {"public.big": 20_000}


def test_a_value_that_does_not_fit_makes_it_read_all(lost: Lost) -> None:
    lost.sync_after("INSERT INTO big VALUES (30000, 'wide', 'NaN')")
    assert lost.read["public.big"] >= 20_001  # once more as text
    assert lost.pair.local_type("big", "n") == "VARCHAR"


def test_another_shape_makes_it_read_all(lost: Lost) -> None:
    lost.sync_after("ALTER TABLE named ALTER v TYPE bigint")
    assert lost.read == {"public.named": 3000}


def test_refresh_compares(lost: Lost) -> None:
    pair = lost.pair
    (copy,) = [copy for copy in pair.copies() if copy.name == "big"]
    with pair.db.store.transaction() as writer:
        writer.execute(f"UPDATE flashql_data.{copy.local_table} SET v = 'wrong' WHERE id < 11")
    pair.db.sync.progress = lost.count
    pair.db.execute("REFRESH VIEW s.big")
    assert lost.read == {"public.big": 10}
    pair.check()
