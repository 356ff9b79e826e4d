"""Aggregates over floats, where a view takes them in any order: Postgres's values but for the last digits.

The view's own digits depend on its rows alone: whatever was changed in between, they are those of the view made anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flashql
from flashql import errors
from flashql.database import Database
from flashql.pacing import Pace
from tests.fix_postgres import Origin
from tests.seeds import seeded

VALUES = [0.0, -0.0, 1.0, 0.1, -2.5, 1e4, 1e-10, 3.0, 7.25, None, None]
ODD = [*VALUES, math.inf, -math.inf, math.nan]
ONE = ["count", "sum", "avg", "var_pop", "var_samp", "variance", "stddev_pop", "stddev_samp", "stddev"]
TWO = [
    *("corr", "covar_pop", "covar_samp", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2"),
    *("regr_slope", "regr_sxx", "regr_sxy", "regr_syy"),
]
GROUPED = (
    "SELECT g, count(*) AS n, "
    + ", ".join(f"{name}(y) AS {name}_y, {name}(small) AS {name}_small" for name in ONE)
    + ", "
    + ", ".join(f"{name}(y, x) AS {name}" for name in TWO)
    + ", sum(DISTINCT y) AS distinct_y, avg(x) FILTER (WHERE y > 0) AS some_x, sum(x ORDER BY k) AS ordered_x"
    + " FROM samples GROUP BY g"
)
OVER = (
    "SELECT k, sum(x) OVER w AS s, avg(x) OVER w AS a, stddev(x) OVER w AS d, sum(x) OVER (PARTITION BY g) AS whole"
    " FROM samples WINDOW w AS (PARTITION BY g ORDER BY k)"
)
ALL = "SELECT sum(y) AS s, corr(y, x) AS c, regr_slope(y, x) + avg(x) AS t FROM samples"


@pytest.fixture
def followed(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(Pace, "better_anew", lambda *_: False)
    origin.execute(
        "CREATE TABLE samples (k int PRIMARY KEY, g int, y double precision, x double precision, small real)"
    )
    with flashql.connect(str(tmp_path / "local.duckdb"), origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        yield db


def alike(mine: Any, theirs: Any, scale: float) -> bool:
    if not isinstance(mine, float) or not isinstance(theirs, float):
        return bool(mine == theirs)
    if not (math.isfinite(mine) and math.isfinite(theirs)):
        return repr(mine) == repr(theirs)
    return math.isclose(mine, theirs, rel_tol=1e-5, abs_tol=scale)


def compare(origin: Origin, db: Database, query: str, view: str, *, tolerance: float) -> None:
    theirs = sorted(origin.query(query), key=lambda row: str(row[0]))
    mine = sorted(db.execute(f"SELECT * FROM {view}").fetchall(), key=lambda row: str(row[0]))
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        wrong = [(at, a, b) for at, (a, b) in enumerate(zip(one, other, strict=True)) if not alike(a, b, tolerance)]
        assert not wrong, (one[0], wrong)


def test_floats_add_up_to_what_postgres_has_but_for_the_last_digits(origin: Origin, followed: Database) -> None:
    chance = seeded()
    for name, query in (("grouped", GROUPED), ("over", OVER), ("all_of", ALL)):
        followed.execute(f"CREATE REALTIME VIEW s.{name} WITH (float_aggregates = 'any_order') AS {query}")

    def value(odd: bool) -> str:
        found = chance.choice(ODD if odd else VALUES) if chance.random() < 0.5 else chance.uniform(-1e3, 1e3)
        return "NULL" if found is None else f"'{found!r}'"

    def row(key: int) -> str:
        group = chance.randrange(6)  # two groups have what is not finite
        return f"({key}, {group}, {value(group > 3)}, {value(group > 3)}, {value(group > 3)})"

    origin.execute(f"INSERT INTO samples VALUES {', '.join(row(key) for key in range(60))}")
    followed.sync.sync()
    for turn in range(6):
        keys = range(100 * (turn + 1), 100 * (turn + 1) + 8)
        origin.execute(f"INSERT INTO samples VALUES {', '.join(row(key) for key in keys)}")
        origin.execute(f"UPDATE samples SET x = x / 3, g = {turn % 3} WHERE k % 7 = {turn}")
        origin.execute(f"DELETE FROM samples WHERE k % 11 = {turn}")
        followed.sync.wait()
        compare(origin, followed, GROUPED, "s.grouped", tolerance=1e-4)
        compare(origin, followed, OVER, "s.over", tolerance=1e-4)
    followed.execute(f"CREATE REALTIME VIEW s.anew WITH (float_aggregates = 'any_order') AS {GROUPED}")
    followed.execute(f"CREATE REALTIME VIEW s.over_anew WITH (float_aggregates = 'any_order') AS {OVER}")
    followed.sync.sync()
    for one, other in (("s.grouped", "s.anew"), ("s.over", "s.over_anew")):
        both = [sorted(map(repr, followed.execute(f"SELECT * FROM {view}").fetchall())) for view in (one, other)]
        assert both[0] == both[1]


def test_few_rows_and_none(origin: Origin, followed: Database) -> None:
    followed.execute(f"CREATE REALTIME VIEW s.grouped WITH (float_aggregates = 'any_order') AS {GROUPED}")
    followed.execute(f"CREATE REALTIME VIEW s.all_of WITH (float_aggregates = 'any_order') AS {ALL}")
    followed.sync.sync()
    rows = ["(1, 1, 2.5, 1, 0.1)", "(2, 1, 2.5, 3, 0.1)", "(3, 2, 4, 4, NULL)", "(4, 2, NULL, 4, 1)", "(5, 1, 5, 2, 7)"]
    for row in ["(0, 0, NULL, 1, NULL)", *rows, "(6, 0, 'Infinity', 1, 'NaN')", "(7, 0, '-Infinity', 1, 3)"]:
        origin.execute(f"INSERT INTO samples VALUES {row}")
        followed.sync.wait()
        compare(origin, followed, GROUPED, "s.grouped", tolerance=1e-9)
        compare(origin, followed, ALL, "s.all_of", tolerance=1e-9)


def test_too_large_a_sum_is_an_error_as_at_the_origin(origin: Origin, followed: Database) -> None:
    followed.execute(
        "CREATE REALTIME VIEW s.v WITH (float_aggregates = 'any_order') AS SELECT sum(y) AS s FROM samples"
    )
    origin.execute("INSERT INTO samples (k, y) VALUES (1, 1.5e308), (2, 1.5e308)")
    followed.sync.sync()
    with pytest.raises(errors.FlashQLError, match="overflow of a sum"):
        followed.execute("SELECT * FROM s.v").fetchall()
    origin.execute("DELETE FROM samples WHERE k = 2")
    followed.sync.wait()
    assert followed.execute("SELECT * FROM s.v").fetchall() == [(1.5e308,)]


def test_the_option_is_asked_for_and_can_be_altered(origin: Origin, followed: Database) -> None:
    with pytest.raises(errors.NotSupported, match="order in which Postgres") as refused:
        followed.execute("CREATE REALTIME VIEW s.v AS SELECT sum(y) AS s FROM samples")
    assert "float_aggregates = 'any_order'" in (refused.value.hint or "")
    with pytest.raises(errors.DefinitionError, match="realtime views only"):
        followed.execute("CREATE MATERIALIZED VIEW s.m WITH (float_aggregates = 'any_order') AS SELECT * FROM samples")
    with pytest.raises(errors.DefinitionError, match="float_aggregates cannot be 'fast'"):
        followed.execute("CREATE REALTIME VIEW s.v WITH (float_aggregates = 'fast') AS SELECT sum(y) AS s FROM samples")
    followed.execute(
        "CREATE REALTIME VIEW s.v WITH (float_aggregates = 'any_order') AS SELECT sum(y) AS s FROM samples"
    )
    with pytest.raises(errors.NotSupported):
        followed.execute("ALTER VIEW s.v RESET (float_aggregates)")
    followed.execute("ALTER VIEW s.v SET (persistence = 'materialized')")
    with pytest.raises(errors.NotSupported):
        followed.execute("ALTER VIEW s.v SET (persistence = 'realtime')")
    followed.execute("ALTER VIEW s.v SET (persistence = 'realtime', float_aggregates = 'any_order')")
    origin.execute("INSERT INTO samples (k, y) VALUES (1, 0.5)")
    followed.sync.sync()
    assert followed.execute("SELECT s FROM s.v").fetchall() == [(0.5,)]
