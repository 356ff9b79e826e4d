"""Postgres 14 to 18 as an origin.

`connecting` and `client` are ordinary connections; `preflight` asks what is missing; `replication` is a walsender
connection, on which `slot` makes slots, `snapshot` reads tables at one LSN, and `stream` moves the changes that
`pgoutput` decodes. `origin` is all of it behind one object.
"""

from flashql.origins.postgres.origin import PostgresOrigin

__all__ = ["PostgresOrigin"]
