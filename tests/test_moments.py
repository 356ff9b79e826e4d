"""Times of day, moments by fields and formats, in Postgres and as translated; errors in one are errors in the other."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import psycopg
import pytest

from flashql import errors
from tests.fix_postgres import fresh_origin
from tests.fix_worlds import TwoDatabases
from tests.seeds import seeded

_CLOCKS = ["00:00", "24:00", "12:34:56.789", "23:59:59.999999", "00:00:00.000001", "06:00"]
_MOMENTS = [
    "2000-01-01", "1999-12-31 23:59:59.9995", "2000-01-01 00:00:00.0005", "2024-02-29 12:00:00.123456", "0001-01-01",
    "2001-01-01", "1900-12-31 23:59", "0044-03-15 12:00:00.0000005 BC", "0001-12-31 BC", "0010-06-01 BC",
    "0011-06-01 BC", "1000-06-01 BC", "1001-06-01 BC", "4000-01-01 BC", "9999-12-31 23:59:59.9999995",
    "100000-07-01", "infinity", "-infinity",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(postgres_dsn: str) -> Iterator[TwoDatabases]:
    chosen = seeded()
    with fresh_origin(postgres_dsn) as origin:
        origin.execute(
            "CREATE TABLE at (id serial PRIMARY KEY, clock time, other time, ts timestamp, tz timestamptz, day date,"
            " span interval, i int, f float8, n numeric(20, 6))"
        )
        for text in _MOMENTS:
            origin.execute(
                f"INSERT INTO at (clock, other, ts, tz, day, i, f, n) SELECT clock::time, '{chosen.choice(_CLOCKS)}',"
                f" ts, ts AT TIME ZONE 'UTC', ts::date, {chosen.randrange(9)}, {chosen.uniform(0, 59)},"
                f" {chosen.uniform(-1e9, 4e9)} FROM (SELECT timestamp '{text}' AS ts) AS q,"
                f" unnest(ARRAY{_CLOCKS} || NULL::text) AS clock"
            )
        origin.execute("INSERT INTO at (id) SELECT generate_series(10001, 10003)")
        origin.execute(
            "UPDATE at SET span = make_interval(months => id % 3, days => id % 50 - 20,"
            " secs => (id * 7919 % 200000) - 1e5)"
        )
        made = TwoDatabases(origin)
        yield made
        made.close()


_PAIRS = "(VALUES (date '2024-01-01'), ('2024-01-03'), ('2024-01-05'), (NULL))"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, ts::time, clock = other, clock < other, clock IN ('24:00', other), greatest(clock, other) FROM at",
        "SELECT id, clock::text, clock::text::time, clock::interval, span::time, time '12:00' - clock FROM at",
        "SELECT id, clock + span, clock - span, span + clock, clock + interval '1 day 25 hours' FROM at",
        "SELECT id, clock - other, day + clock, clock + day, ts + clock, ts - clock FROM at",
        "SELECT id, extract(hour FROM clock), extract(minute FROM clock), date_part('epoch', clock) FROM at",
        "SELECT id, extract(second FROM clock), extract(milliseconds FROM clock), extract(microseconds FROM clock)"
        " FROM at",
        "SELECT clock, min(other)::text, max(other)::text, count(DISTINCT other) FROM at GROUP BY clock",
        "SELECT id, make_time(i, i, f)::text, make_time(23, 59, 60)::text, make_time(24, 0, 0)::text FROM at",
        "SELECT id, rank() OVER (ORDER BY clock) FROM at WHERE clock BETWEEN '00:00:00.000001' AND '24:00'",
        "SELECT id, date_trunc('decade', ts), date_trunc('century', ts), date_trunc('millennium', ts) FROM at",
        "SELECT id, extract(decade FROM ts), extract(century FROM ts), extract(millennium FROM ts),"
        " extract(isoyear FROM ts) FROM at WHERE isfinite(ts)",
        "SELECT id, extract(decade FROM day), extract(century FROM day), extract(julian FROM day),"
        " date_part('isoyear', day) FROM at WHERE isfinite(day)",
        "SELECT id, ts::timestamp(3), ts::timestamp(0), tz::timestamptz(2), ts::timestamp(6), ts::timestamp(5) FROM at",
        "SELECT id, to_timestamp(f), to_timestamp(n), to_timestamp(i), to_timestamp('infinity'::float8) FROM at",
        "SELECT id, make_timestamp(2020 + i, i + 1, 28, i, 59, f) FROM at",
        "SELECT id, make_timestamptz(2020 + i, i + 1, 28, i, 59, f, 'America/New_York') FROM at",
        f"SELECT a, b, c, d, (a, b) OVERLAPS (c, d) FROM {_PAIRS} p (a), {_PAIRS} q (b),"
        f" {_PAIRS} r (c), {_PAIRS} s (d)",
        "SELECT id, (ts, span) OVERLAPS (timestamp '2000-01-01', interval '1 day') FROM at",
        "SELECT id, (clock, other) OVERLAPS (time '05:00', time '06:30') FROM at",
    ],
)
def test_moments_are_the_same_in_both(world: TwoDatabases, query: str) -> None:
    world.check(query)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("age(tz, tz)", "age of timestamp with time zone"),
        ("clock::time(3)", "a cast to TIME(3)"),
        ("sum(clock)", "sum of time"),
        ("tz::time", "a cast of timestamp with time zone to time"),
        ("extract(julian FROM ts)", "extract(julian)"),
        ("extract(day FROM clock)", "extract(day)"),
        ("make_timestamptz(2020, 1, 1, 1, 1, 1)", "without a zone"),
        ("make_timestamptz(2020, 1, 1, 1, 1, 1, '+02')", "such a zone"),
    ],
)
def test_moments_refused(world: TwoDatabases, written: str, reason: str) -> None:
    with pytest.raises(errors.NotSupported) as refusal:
        world.translation(f"SELECT {written} AS x FROM at")
    assert reason in refusal.value.message


@pytest.mark.parametrize(
    "written",
    [
        "make_time(25, i, 0)", "make_time(24, i, 1)", "make_time(i, 60, 0)", "make_time(i, 0, 60.1)",
        "make_time(i, i, 'NaN'::float8)", "to_timestamp(f * 'NaN'::float8)", "to_timestamp(f - 1e15)",
        "make_timestamp(2020, 2, 30 + i, 0, 0, 0)",
        "date_trunc('century', timestamp '0001-01-01' - interval '4712 years' + i * interval '1 day')",
    ],
)  # fmt: skip
def test_what_is_no_moment_raises_in_both(world: TwoDatabases, written: str) -> None:
    query = f"SELECT {written} AS x FROM at WHERE i IS NOT NULL"
    try:
        translated = world.translation(query).tree.sql("duckdb")
    except errors.NotSupported:
        pytest.fail(f"{written} is refused")
    with pytest.raises(psycopg.Error):
        world.server.query(query)
    with pytest.raises(duckdb.Error):
        world.local.execute(translated).fetchall()
