"""The origin's collations: the database's own, and which letters have which cases under each."""

from __future__ import annotations

from functools import cache

from flashql.origins.postgres.client import PostgresClient
from flashql.planner.collations import DEFAULT, Cases
from flashql.resources import sql_text


class Collations:
    """What an origin tells of its collations, asked for once."""

    def __init__(self, client: PostgresClient) -> None:
        self.default = cache(lambda: _default(client))
        self.cases = cache(lambda function, collation: _cases(client, self.default(), function, collation))


def _default(client: PostgresClient) -> str:
    ((name,),) = client.query(sql_text("origin/default_collation.sql"))
    return str(name)


def _cases(client: PostgresClient, default: str, function: str, collation: str) -> Cases | None:
    found = client.query(sql_text("origin/collation.sql"), {"name": collation})
    spelled = f'pg_catalog."{DEFAULT}"' if collation == default else found[0][0] if found else None
    if spelled is None:
        return None
    query = (
        sql_text("origin/cases.sql")
        .replace("function(", f"{function}(")
        .replace("COLLATE collation", f"COLLATE {spelled}")
    )
    ((changed, into),) = client.query(query)
    return None if into is None else Cases(changed, into)
