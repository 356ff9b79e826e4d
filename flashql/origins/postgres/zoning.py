"""The origin's time zones: when each was how far from UTC, asked for once and compared with what it does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from flashql.origins.postgres.client import PostgresClient
from flashql.planner.zones import Zone
from flashql.resources import sql_text


class Zones:
    """What an origin tells of its time zones, asked for once."""

    def __init__(self, client: PostgresClient) -> None:
        self.named = cache(lambda name: _zone(client, name))


def _zone(client: PostgresClient, name: str) -> Zone | None:
    ((abbreviated,),) = client.query(sql_text("origin/zone_of_session.sql"), {"zone": name})
    if abbreviated:
        return None
    (_, first), *changes = client.query(sql_text("origin/zone.sql"), {"zone": name})
    zone = Zone.of(first, changes)
    if zone is None:
        return None
    asked = sorted(set(_critical(first, changes)))
    answers = client.query(sql_text("origin/zone_local.sql"), {"zone": name, "locals": asked})
    kept = all(local - zone.locals.shift(local) == found for local, (found,) in zip(asked, answers, strict=True))
    return zone if kept else None


def _critical(first: int, changes: list[tuple[int, int]]) -> Iterator[int]:
    """The local times around changes, in seconds of the epoch."""
    before = first
    for second, after in changes:
        for shift in (before, after):
            for apart in (-86400, -1, 0, 1, 86400):
                yield second + shift + apart
        before = after
