"""Random queries over random rows, at Postgres and translated in DuckDB. Seeds are printed, see seeds.py."""

from __future__ import annotations

import random
import re
from collections import Counter

import duckdb
import psycopg
import pytest

from flashql import errors
from tests.fix_postgres import Origin
from tests.fix_worlds import TwoDatabases
from tests.random_queries import TABLES, Queries, inserts
from tests.seeds import rounds, seeded

# What Postgres raises for a row, or DuckDB for a value that no DECIMAL holds.
_NO_VALUE = re.compile(r"division by zero|(?i:out of range)|no exact local value|not known how many digits")
_RAISED = (duckdb.Error, psycopg.DataError, errors.OriginQueryFailed)


@pytest.mark.timeout(0)
def test_random_queries_return_the_same_rows_in_both(origin: Origin) -> None:
    chosen = seeded()
    origin.execute(TABLES)
    world = TwoDatabases(origin)
    compared = 0
    why: Counter[str] = Counter()
    try:
        for at in rounds(150):
            if at % 30 == 0:
                _fill(world, chosen)
            kinds = ["number", "text", "moment", "truth"][: chosen.randrange(1, 5)]
            query = Queries(chosen).query(kinds, 2)
            try:
                world.check(query)
                compared += 1
            except errors.NotSupported as refusal:
                why[refusal.message[:60]] += 1
            except _RAISED as error:
                if not _NO_VALUE.search(str(error)):
                    pytest.fail(f"{query}\n{error}")
    finally:
        world.close()
        origin.disconnect()
    print(f"{compared} compared; refused: {why.most_common(12)}")  # noqa: T201
    assert compared > 60


def _fill(world: TwoDatabases, chosen: random.Random) -> None:
    world.server.execute('TRUNCATE a, b, "C"')
    for statement in inserts(chosen):
        world.server.execute(statement)
    world.forget()
