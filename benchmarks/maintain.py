"""What it costs to keep views equal to their queries, beside computing them anew and beside keeping no view at all.

`python -m benchmarks.maintain` measures three things: the 22 queries of TPC-H as realtime views under batches that
change a thousandth of the orders, one view over a small and a ten times larger table, and twenty views over three
tables. After each, every view is compared with its query at Postgres; a wrong one ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from benchmarks import tpch
from benchmarks.measuring import (
    RESULTS,
    Connection,
    bounded,
    keep_as_template,
    opened,
    origin_database,
    save,
    session,
    synced,
    table,
    timed,
)
from flashql.database import Database
from flashql.keeping import found_inputs, local_body
from flashql.store.definitions import views
from tests.multisets import differing

SCALE, BATCHES = 1.0, 12
_SETTLING = 3  # batches at first, in which both ways are tried: shown, but not in the medians
SMALL_ROWS, LARGE_ROWS, CHANGED_ROWS, CHANGES, RECOMPUTED = 2_000_000, 20_000_000, 100, 21, 5
DIMENSION_ROWS = 100_000
ROUNDS, TRANSACTIONS = 5, 100
_AT_MOST_SECONDS = 5400
_WAIT_SECONDS = 600.0

_SCHEMA = "CREATE SCHEMA tpch WITH (replication_origin = 'primary');"
_MIRRORS = "".join(f"CREATE REALTIME VIEW tpch.{name} AS SELECT * FROM {name};" for name in tpch.TABLES)
_THREE = ("customer", "orders", "lineitem")
_THREE_MIRRORS = "".join(f"CREATE REALTIME VIEW tpch.{name} AS SELECT * FROM {name};" for name in _THREE)
_TWENTY = (tpch.SQL / "views.sql").read_text(encoding="utf-8")

_GROWN = f"""
CREATE TABLE dimension (id int PRIMARY KEY, region int NOT NULL);
INSERT INTO dimension SELECT g, g % 500 FROM generate_series(1, {DIMENSION_ROWS}) AS g;
CREATE TABLE fact (id bigint PRIMARY KEY, dimension int NOT NULL, quantity int NOT NULL, amount numeric(12,2) NOT NULL);
"""
_GROWN_VIEW = """
CREATE SCHEMA grown WITH (replication_origin = 'primary');
CREATE REALTIME VIEW grown.by_region AS
SELECT d.region, count(*) AS facts, sum(f.quantity) AS quantity, sum(f.amount) AS amount
FROM fact AS f JOIN dimension AS d ON d.id = f.dimension GROUP BY d.region;
"""


@contextmanager
def following(file: Path, dsn: str, script: str) -> Iterator[Database]:
    """A database whose views follow the origin; at the end they are forgotten there."""
    with opened(file, dsn) as database:
        database.execute(script)
        synced(database)
        try:
            yield database
        finally:
            database.sync.forget("*")


def drained(database: Database) -> float:
    """Seconds from `resume()` until everything committed at the origin is durable and visible; then it is stopped."""

    def drain() -> None:
        report = database.sync.resume()
        if report.failed:
            raise SystemExit(f"resume failed: {report.failed}")
        database.sync.wait(timeout=_WAIT_SECONDS)

    seconds = timed(drain)
    database.sync.stop()
    return seconds


def step_ms(database: Database) -> dict[str, float]:
    """Milliseconds that the steps of each view have taken so far, by the view's name."""
    rows = database.execute("SELECT relation_id, sum(milliseconds) FROM flashql.view_steps GROUP BY ALL").fetchall()
    return {relation_id: float(milliseconds) for relation_id, milliseconds in rows}


def require_equal(origin: Connection, database: Database, queries: Mapping[str, str]) -> None:
    """Refuse to report anything about views that are not what their queries return."""
    for name, query in queries.items():
        difference = differing(origin, database, query, f"SELECT * FROM {name}")
        if difference:
            raise SystemExit(f"{name} is wrong: {difference}")


# -- the 22 queries of TPC-H --


def measure_tpch(
    origin: Connection, dsn: str, folder: Path, batches: int, chosen: Sequence[int] = ()
) -> dict[str, object]:
    """Time per batch of each of the 22 views, or of those chosen, over computing it anew from the same copies.

    After each batch every view is computed anew, in two ways: what slows the machine down for a while slows both.
    """
    queries = {f"tpch.q{at:02}": query for at, query in tpch.QUERIES.items() if not chosen or at in chosen}
    defined = "".join(f"CREATE REALTIME VIEW {name} AS {query};" for name, query in queries.items())
    spent: list[dict[str, float]] = []
    seconds, anew = [], []
    with following(folder / "views.duckdb", dsn, _SCHEMA + _MIRRORS + defined) as database:
        said("copied, and views built")
        for batch in range(batches):
            before = step_ms(database)
            tpch.refresh(origin, batch)
            seconds.append(timed(lambda: database.sync.wait(timeout=_WAIT_SECONDS)))
            after = step_ms(database)
            spent.append({name: after[name] - before.get(name, 0.0) for name in queries})
            anew.append({name: recomputed_ms(database, name) for name in queries})
            both = sum(spent[-1].values()), sum(map(min, anew[-1].values()))
            said(f"batch {batch + 1} of {batches}: {both[0]:.0f} ms in views, anew {both[1]:.0f} ms")
        said("comparing with Postgres")
        tpch.ready_for_queries(origin)
        database.sync.wait(timeout=_WAIT_SECONDS)
        require_equal(origin, database, queries)
    settled = spent[min(_SETTLING, len(spent) - 1) :]
    medians = {name: statistics.median(one[name] for one in settled) for name in queries}
    recomputed = {name: faster(one[name] for one in anew) for name in queries}
    results = [
        {
            "view": name,
            "batch_ms": round(medians[name], 2),
            "recomputed_ms": round(recomputed[name], 2),
            "ratio": round(medians[name] / recomputed[name], 3),
            "first_batches_ms": [round(one[name], 2) for one in spent[:_SETTLING]],
        }
        for name in queries
    ]
    reached = [name for name in queries if medians[name] > 0]
    ratios = [medians[name] / recomputed[name] for name in reached]
    return {
        "batches": batches,
        "views_reached": len(reached),
        "ratio_geometric_mean": round(statistics.geometric_mean(ratios), 3),
        "ratio_worst": round(max(ratios), 3),
        "all_views_ms_median": round(statistics.median(sum(one.values()) for one in settled), 1),
        "all_recomputed_ms": round(sum(recomputed[name] for name in reached), 1),
        "visible_after_seconds_median": round(statistics.median(seconds[_SETTLING:] or seconds), 3),
        "results": results,
    }


def recomputed_ms(database: Database, name: str) -> tuple[float, ...]:
    """Milliseconds of computing a view from the copies into a new table, in each of two ways.

    One is its query as FlashQL has it, in one statement; the other are the steps it is planned in, one after another.
    """
    view = views(database.store)[name]
    whole = [local_body(view, found_inputs(database.store, view))]
    steps = [
        query
        for (query,) in database.execute(
            "SELECT query FROM flashql.view_steps WHERE relation_id = ? ORDER BY step", [name]
        ).fetchall()
    ]
    with database.store.cursor() as cursor:

        def compute(way: Sequence[duckdb.Statement]) -> None:
            for statement in way:
                cursor.execute(statement)

        made = [[f"CREATE OR REPLACE TEMP TABLE recomputed AS {query}" for query in way] for way in (whole, steps)]
        parsed = [cursor.extract_statements(";".join(way)) for way in made]  # as what is repeated in batches is
        return tuple(1000 * timed(lambda: compute(way)) for way in parsed)  # noqa: B023


def faster(taken: Iterable[Sequence[float]]) -> float:
    """The median of the way that is faster by its median."""
    return min(float(statistics.median(way)) for way in zip(*taken, strict=True))


def said(what: str) -> None:
    """Tell how far it is, on the terminal."""
    print(f"{datetime.now():%H:%M:%S} {what}", file=sys.stderr, flush=True)


# -- one view over tables of two sizes --


def measure_growth(origin: Connection, dsn: str, folder: Path, sizes: Sequence[int]) -> dict[str, object]:
    """Time per batch of a hundred changed rows, over a table of each size."""
    results = []
    for rows in sizes:
        origin.execute(_GROWN.encode())
        origin.execute(
            f"INSERT INTO fact SELECT g, g * 7919 % {DIMENSION_ROWS} + 1, g % 10, g % 1000 / 4.0 "
            f"FROM generate_series(1::bigint, {rows}) AS g".encode()
        )
        origin.execute(b"VACUUM ANALYZE fact")
        with following(folder / f"{rows}.duckdb", dsn, _GROWN_VIEW) as database:
            waited, spent = [], []
            for batch in range(CHANGES):
                before = step_ms(database)["grown.by_region"]
                origin.execute(_changed(rows, batch).encode())
                waited.append(timed(lambda: database.sync.wait(timeout=_WAIT_SECONDS)))
                spent.append(step_ms(database)["grown.by_region"] - before)
            recomputed = faster(recomputed_ms(database, "grown.by_region") for _ in range(RECOMPUTED))
            query = _GROWN_VIEW.split(" AS\n", 1)[1].strip().rstrip(";")
            require_equal(origin, database, {"grown.by_region": query})
        results.append(
            {
                "rows": rows,
                "changed_rows": CHANGED_ROWS,
                "batch_ms": round(statistics.median(spent), 2),
                "visible_after_ms": round(1000 * statistics.median(waited), 2),
                "recomputed_ms": round(recomputed, 2),
            }
        )
        origin.execute(b"DROP TABLE fact, dimension")
    first, last = results[0], results[-1]
    return {
        "growth": round(float(last["batch_ms"]) / float(first["batch_ms"]), 2),
        "visible_growth": round(float(last["visible_after_ms"]) / float(first["visible_after_ms"]), 2),
        "results": results,
    }


def _changed(rows: int, batch: int) -> str:
    some = f"SELECT ({batch} * 1000 + g) * 104729::bigint % {rows} + 1 FROM generate_series(1, {CHANGED_ROWS}) AS g"
    moved = f"dimension = dimension % {DIMENSION_ROWS} + 1"
    return f"UPDATE fact SET quantity = quantity + 1, amount = amount + 0.25, {moved} WHERE id IN ({some})"


# -- twenty views over three tables --


def measure_twenty(origin: Connection, dsn: str, folder: Path, rounds: int, transactions: int) -> dict[str, object]:
    """Throughput of applying small transactions with twenty views over that with the mirrors of their tables alone."""
    statements = (tpch.SQL / "trickle.sql").read_text(encoding="utf-8")
    found = origin.execute(b"SELECT count(*) FROM orders").fetchone()
    assert found is not None
    statements = statements.replace("{orders}", str(found[0])).replace("{n}", "n")
    pairs: list[dict[str, float]] = []
    with (
        following(folder / "three.duckdb", dsn, _SCHEMA + _THREE_MIRRORS) as mirrors,
        following(folder / "twenty.duckdb", dsn, _SCHEMA + _THREE_MIRRORS + _TWENTY) as database,
    ):
        mirrors.sync.stop()
        database.sync.stop()
        for number in range(rounds):
            first = number * transactions
            block = f"BEGIN FOR n IN {first}..{first + transactions - 1} LOOP {statements}; COMMIT; END LOOP; END"
            origin.execute(f"DO $${block}$$".encode())
            both = [("mirrors_seconds", mirrors), ("views_seconds", database)]
            pairs.append({name: round(drained(one), 3) for name, one in (both if number % 2 else both[::-1])})
        require_equal(origin, database, _defined(_TWENTY))
    ratios = [pair["mirrors_seconds"] / pair["views_seconds"] for pair in pairs]
    return {
        "transactions": transactions,
        "mirrors_seconds_median": statistics.median(pair["mirrors_seconds"] for pair in pairs),
        "views_seconds_median": statistics.median(pair["views_seconds"] for pair in pairs),
        "throughput_ratio_median": round(statistics.median(ratios), 3),
        "pairs": pairs,
    }


def _defined(script: str) -> dict[str, str]:
    """The queries of a script of CREATE REALTIME VIEW statements, by view."""
    statements = [one.split("CREATE REALTIME VIEW ", 1)[1] for one in script.split(";\n") if "CREATE" in one]
    return {name: query for name, _, query in (one.partition(" AS ") for one in statements)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--scale", type=float, default=SCALE, help="of TPC-H")
    parser.add_argument("--only", choices=("tpch", "growth", "twenty"), help="one of them")
    parser.add_argument("--queries", default="", help="numbers of queries of TPC-H, by commas; not saved")
    parser.add_argument("--batches", type=int, default=BATCHES)
    options = parser.parse_args()
    share = 10 if options.quick else 1
    scale = options.scale / share
    figures: dict[str, object] = {}
    with bounded(_AT_MOST_SECONDS), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.only in (None, "growth"):
            with origin_database() as dsn, session(dsn) as origin:
                figures["growth"] = measure_growth(origin, dsn, folder, (SMALL_ROWS // share, LARGE_ROWS // share))
        if options.only in (None, "tpch", "twenty"):
            with loaded(folder, scale) as dsn, session(dsn) as origin:
                if options.only in (None, "tpch"):
                    chosen = [int(one) for one in options.queries.split(",") if one]
                    figures["tpch"] = measure_tpch(origin, dsn, folder, options.batches, chosen) | {"scale": scale}
                if options.only in (None, "twenty"):
                    figures["twenty"] = measure_twenty(origin, dsn, folder, ROUNDS, TRANSACTIONS) | {"scale": scale}
    if not (options.queries or options.quick):
        save("maintain", _saved() | figures)
    for name in ("tpch", "growth", "twenty"):
        if isinstance(found := figures.get(name), dict):
            print(table([{key: value for key, value in found.items() if key not in ("results", "pairs")}]))
            print(table(found.get("results") or found["pairs"]))


@contextmanager
def loaded(folder: Path, scale: float) -> Iterator[str]:
    """The DSN of a database with TPC-H in it; at a server that stays it is loaded once."""
    template = f"flashql_tpch_{scale:g}"
    with origin_database(template) as dsn:
        with session(dsn) as origin:
            there = tpch.is_loaded(origin)
            if not there:
                said("generating and loading")
                tpch.generate(folder, scale)
                tpch.load(origin, folder)
        if not there:
            keep_as_template(dsn, template)
        said("loaded")
        yield dsn


def _saved() -> dict[str, object]:
    """What was measured before: each of the three can be measured by itself."""
    path = RESULTS / "maintain.json"
    found: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return {name: found[name] for name in ("tpch", "growth", "twenty") if name in found}


if __name__ == "__main__":
    main()
