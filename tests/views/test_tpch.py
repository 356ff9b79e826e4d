"""The 22 queries of TPC-H as realtime views: equal to Postgres after every batch of changes.

FLASHQL_TPCH_SCALE=0.1 FLASHQL_TPCH_BATCHES=30 pytest tests/views/test_tpch.py     more than the default
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import flashql
from benchmarks import tpch
from tests.fix_postgres import Origin
from tests.multisets import Connection, differing
from tests.views.scenario import WAIT_SECONDS

SCALE = float(os.environ.get("FLASHQL_TPCH_SCALE", "0.01"))
BATCHES = int(os.environ.get("FLASHQL_TPCH_BATCHES", "4"))


@pytest.mark.timeout(300 + 30 * BATCHES + 600 * SCALE)
def test_all_queries_under_refreshes(origin: Origin, tmp_path: Path) -> None:
    tpch.generate(tmp_path, SCALE)
    with origin.connect() as connection:
        tpch.load(connection, tmp_path)
        with flashql.connect(str(tmp_path / "local.duckdb"), origins={"primary": origin.dsn}) as db:
            db.execute("CREATE SCHEMA tpch WITH (replication_origin = 'primary')")
            for number, query in tpch.QUERIES.items():
                db.execute(f"CREATE REALTIME VIEW tpch.q{number} AS {query}")
            report = db.sync.sync()
            assert not report.failed, report.failed
            changed = compare(connection, db)
            for batch in range(BATCHES):
                before = dict(changed)
                tpch.refresh(connection, batch)
                db.sync.wait(timeout=WAIT_SECONDS)
                changed = compare(connection, db)
                assert changed != before, "a batch that no view sees proves nothing"


def compare(connection: Connection, db: flashql.Database) -> dict[int, list[tuple[object, ...]]]:
    """Assert that each view has the rows of its query; the rows of each."""
    for number, query in tpch.QUERIES.items():
        assert (difference := differing(connection, db, query, f"SELECT * FROM tpch.q{number}")) is None, (
            f"query {number}: {difference}"
        )
    return {number: db.execute(f"SELECT * FROM tpch.q{number}").fetchall() for number in tpch.QUERIES}
