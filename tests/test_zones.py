"""Time zones: each by the origin's own table, compared with the origin around every change and far from all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flashql import errors
from flashql.planner.zones import LAST_YEAR, Changes, Zone, start_of
from tests.fix_postgres import Origin
from tests.fix_worlds import TwoDatabases
from tests.seeds import seeded

# Local mean time with seconds; southern summers; half hours; a day left out; winter time as the exception; no summer
# time in a month of fasting, until 2087; changes of what is no summer; two hours at once.
_ZONES = [
    "Europe/Berlin", "america/new_york", "Australia/Lord_Howe", "Pacific/Apia", "Europe/Dublin", "Africa/Casablanca",
    "Europe/Moscow", "America/Nuuk", "Asia/Kolkata", "America/Caracas", "Antarctica/Troll", "Asia/Gaza", "+02", "UTC+3",
    "<+0330>-3:30",
]  # fmt: skip
_FAR = [
    "infinity", "-infinity", "4713-01-01 BC", "0044-03-15 12:00 BC", "0001-01-01", "9999-12-31 23:59:59.999999",
    "9999-07-01", "100000-03-31 01:30", "100004-10-29 01:30", "294246-07-01", "2068-01-01", "2100-02-28 23:59:59.5",
]  # fmt: skip


@pytest.fixture
def world(origin: Origin) -> Iterator[TwoDatabases]:
    origin.execute("CREATE TABLE moment (id serial PRIMARY KEY, ts timestamp, tz timestamptz)")
    made = TwoDatabases(origin)
    yield made
    made.close()


def _fill(origin: Origin, seconds: list[int]) -> None:
    """Rows of local times and moments: at each second, a microsecond before, and those that are always there."""
    origin.execute("TRUNCATE moment")
    origin.execute(
        "INSERT INTO moment (ts, tz) SELECT at, at AT TIME ZONE 'UTC' FROM (SELECT timestamp 'epoch' "
        f"+ second * interval '1 second' - less * interval '1 microsecond' AS at FROM unnest(ARRAY{seconds}::bigint[]) "
        "AS second, generate_series(0, 1) AS less) AS q"
    )
    for text in _FAR:
        day, era = text.removesuffix(" BC"), " BC" * text.endswith(" BC")
        zone = "" if "infinity" in text else "+00" if ":" in day else " 00:00+00"
        origin.execute(f"INSERT INTO moment (ts, tz) VALUES ('{text}', '{day}{zone}{era}'), (NULL, NULL)")


def _changes(world: TwoDatabases, zone: str) -> list[int]:
    found = world.origin.zone(zone)
    assert found is not None
    return [*found.moments.turns, *found.locals.turns]


@pytest.mark.parametrize("zone", _ZONES)
def test_every_change_of_a_zone_is_the_origins(world: TwoDatabases, zone: str) -> None:
    chosen = seeded()
    turns = _changes(world, zone)
    some = chosen.sample(turns, min(80, len(turns)))
    near = [at + apart for at in some for apart in (-7200, -3600, -1800, -1, 0, 1, 1800, 3600, 7200)]
    anywhere = [chosen.randrange(start_of(1800), start_of(3000)) for _ in range(500)]
    _fill(world.server, near + anywhere)
    cut = ", ".join(f"date_trunc('{unit}', tz, '{zone}')" for unit in ("minute", "hour", "day", "month"))
    assert world.check(f"SELECT id, tz AT TIME ZONE '{zone}', ts AT TIME ZONE '{zone}' FROM moment") > 1000
    assert world.check(f"SELECT id, {cut} FROM moment WHERE id % 3 = 0") > 300


def test_forms_of_zones(world: TwoDatabases) -> None:
    _fill(world.server, list(range(0, 10**9, 10**7)))
    for written in (
        "timezone('Europe/Paris', tz)", "timezone('Europe/Paris', ts)", "(tz AT TIME ZONE 'Europe/Paris')::date",
        "tz AT TIME ZONE interval '02:30'", "ts AT TIME ZONE interval '-00:00:01.7'", "ts AT TIME ZONE 'zulu'",
        "extract(minute FROM tz AT TIME ZONE 'Asia/Kathmandu')",
        "row_number() OVER (ORDER BY tz AT TIME ZONE 'Europe/Paris', id)",
        "tz AT TIME ZONE 'Asia/Tokyo' AT TIME ZONE 'America/Lima'",
    ):  # fmt: skip
        world.check(f"SELECT id, {written} FROM moment")


@pytest.mark.parametrize("zone", ["CET", "pst", "EST5EDT,M3.2.0,M11.1.0"])
def test_zones_refused(world: TwoDatabases, zone: str) -> None:
    with pytest.raises(errors.NotSupported, match="the time zone") as refusal:
        world.translation(f"SELECT tz AT TIME ZONE '{zone}' FROM moment")
    assert "full name" in str(refusal.value.hint)


def test_what_postgres_has_no_timestamp_for_raises(world: TwoDatabases) -> None:
    world.server.execute("INSERT INTO moment (ts, tz) VALUES ('4714-11-24 00:30 BC', '4714-11-24 00:30+00 BC')")
    for written in ("tz AT TIME ZONE 'America/Lima'", "ts AT TIME ZONE 'Asia/Tokyo'", "tz AT TIME ZONE '+02'"):
        translated = world.translation(f"SELECT {written} AS at FROM moment").tree.sql("duckdb")
        with pytest.raises(Exception, match="out of range"):
            world.server.query(f"SELECT {written} FROM moment")
        with pytest.raises(Exception, match="out of range"):
            world.local.execute(translated).fetchall()


def test_a_rule_goes_on_by_years_of_the_same_days() -> None:
    """The first of April to the first of October, every year from 1990 on."""
    changes = []
    for year in range(1990, LAST_YEAR + 1):
        april = start_of(year) + (90 + (start_of(year + 1) - start_of(year) > 365 * 86400)) * 86400
        changes += [(april, 3600), (april + 183 * 86400, 0)]
    zone = Zone.of(0, changes)
    assert zone is not None
    assert zone.moments.until == start_of(2068)
    assert len(zone.moments.turns) == 2 * (2068 - 1990)
    for at, shift in changes:
        assert (zone.moments.shift(at - 1), zone.moments.shift(at)) == (3600 - shift, shift)


def test_changes_without_a_rule_are_no_table() -> None:
    assert Zone.of(0, [(start_of(year) + year * 1000, year % 7) for year in range(1990, LAST_YEAR + 1)]) is None
    assert Zone.of(0, [(start_of(1700), 3600)]) is None
    assert Zone.of(5, []) == Zone(Changes((), (5,)), Changes((), (5,)))
