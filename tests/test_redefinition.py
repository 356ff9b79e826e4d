"""What happens to views when the ground moves: a column's type at the origin, or an origin that is not named."""

from __future__ import annotations

import logging

import pytest

import flashql
from flashql import errors
from tests.fix_database import same_rows
from tests.fix_postgres import Origin


def test_a_column_that_changed_its_type_is_not_computed_with_as_before(origin: Origin, database_path: str) -> None:
    origin.execute("CREATE TABLE t (id int PRIMARY KEY, n numeric(10, 2)); INSERT INTO t VALUES (1, 1), (2, 70)")
    large, doubled = "SELECT id, n FROM t WHERE n > 50", "SELECT id, n * 2 AS n FROM t"
    with flashql.connect(database_path, origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        db.execute(f"CREATE REALTIME VIEW s.large AS {large}; CREATE REALTIME VIEW s.doubled AS {doubled}")
        db.execute("CREATE REALTIME VIEW s.plain AS SELECT * FROM t")
        assert db.sync.sync()
        origin.execute("ALTER TABLE t ALTER n TYPE numeric(12, 4)")
        origin.execute("UPDATE t SET n = 50.004 WHERE id = 1")  # 50.00 when rounded to the type it was
        db.sync.wait(timeout=60)
        same_rows(origin, db, "SELECT * FROM t", "SELECT * FROM s.plain")
        for name in ("large", "doubled"):
            with pytest.raises(errors.ViewNotReady, match=f"{name} computes from column n.*CREATE OR REPLACE VIEW"):
                db.execute(f"SELECT * FROM s.{name}")
        db.execute(f"CREATE OR REPLACE REALTIME VIEW s.large AS {large}")
        db.execute(f"CREATE OR REPLACE REALTIME VIEW s.doubled AS {doubled}")
        assert db.sync.sync()
        same_rows(origin, db, large, "SELECT * FROM s.large")
        same_rows(origin, db, doubled, "SELECT * FROM s.doubled")


def test_a_view_can_be_dropped_where_its_origin_is_not_named(
    origin: Origin, database_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    origin.execute("CREATE TABLE t (id int PRIMARY KEY)")
    slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    with flashql.connect(database_path, origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary'); CREATE REALTIME VIEW s.t AS TABLE t")
        assert db.sync.sync()
    with flashql.connect(database_path) as db, caplog.at_level(logging.WARNING, "flashql"):
        db.execute("DROP VIEW s.t")
        assert db.views == {}
    assert "origin primary could not be told" in caplog.text
    assert origin.query(slots) == [(1,)]
    with flashql.connect(database_path, origins={"primary": origin.dsn}) as db:
        db.execute("CREATE REALTIME VIEW s.t AS TABLE t; DROP VIEW s.t")
    assert origin.query(slots) == [(0,)]


def test_closing_twice_is_closing_once(database_path: str) -> None:
    with flashql.connect(database_path) as db:
        db.close()
    db.close()
