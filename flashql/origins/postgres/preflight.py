"""What an origin and its tables lack for a realtime view, each with the statement that mends it.

Asked at DDL time, so that nothing fails later, and by `flashql doctor`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from flashql import errors
from flashql.catalog import Table
from flashql.origins.postgres.client import OLDEST_VERSION, PostgresClient
from flashql.origins.postgres.connecting import redacted
from flashql.quoting import qualified, quote
from flashql.resources import sql_text


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is as needed, what was found, and what to run at the origin if not."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


def _row(client: PostgresClient, file: str, parameters: dict[str, object]) -> dict[str, Any]:
    cursor = client.asked(lambda connection: connection.execute(sql_text(f"origin/{file}").encode(), parameters))
    row = cursor.fetchone()
    if row is None:
        raise errors.UnknownName(f"the table is gone from origin {client.name}")
    return dict(zip([column.name for column in cursor.description or ()], row, strict=True))


def server_findings(client: PostgresClient) -> list[Finding]:
    """What the server and the role offer."""
    seen = _row(client, "preflight.sql", {})
    role, major = quote(seen["role"]), seen["version"] // 10000
    return [
        Finding(
            "version", major >= OLDEST_VERSION, f"Postgres {major}", f"Upgrade to Postgres {OLDEST_VERSION} or later."
        ),
        Finding("primary", not seen["standby"], "primary" if not seen["standby"] else "standby", "Use the primary."),
        Finding(
            "wal_level",
            seen["wal_level"] == "logical",
            seen["wal_level"],
            "ALTER SYSTEM SET wal_level = 'logical';  -- then restart the server",
        ),
        Finding("replication", seen["may_replicate"], f"role {role}", f"ALTER ROLE {role} REPLICATION;"),
        Finding(
            "publication",
            seen["may_publish"],
            f"CREATE on database {quote(seen['database'])}",
            f"GRANT CREATE ON DATABASE {quote(seen['database'])} TO {role};",
        ),
        Finding(
            "slots",
            seen["free_slots"] > 0,
            f"{seen['free_slots']} free",
            "ALTER SYSTEM SET max_replication_slots = 20;  -- then restart the server; or drop slots nobody uses",
        ),
    ]


def table_findings(client: PostgresClient, table: Table) -> list[Finding]:
    """What one table offers."""
    return list(_table_findings(client, table))


def _table_findings(client: PostgresClient, table: Table) -> Iterator[Finding]:
    seen = _row(client, "table_preflight.sql", {"oid": table.oid})
    name, role = qualified(table.schema, table.name), quote(seen["role"])
    kinds = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence"}
    plain = seen["kind"] in ("r", "p")
    yield Finding(
        "kind",
        plain,
        "a table" if plain else kinds.get(seen["kind"], "not a table"),
        "Only tables write changes to the WAL. Select from the tables below it, or use a MATERIALIZED or ORIGIN view.",
    )
    if not plain:
        return
    unlogged = "unlogged, temporary, or has a partition that is so or foreign"
    yield Finding("logged", seen["logged"], "logged" if seen["logged"] else unlogged, f"ALTER TABLE {name} SET LOGGED;")
    yield Finding("select", seen["may_read"], "SELECT privilege", f"GRANT SELECT ON {name} TO {role};")
    yield Finding(
        "owner",
        seen["may_publish"],
        f"owned by {seen['owner']}",
        f"GRANT {quote(seen['owner'])} TO {role};  -- only a table's owner may publish it",
    )
    yield Finding(
        "row security",
        not seen["rows_hidden"],
        "hides rows from this role" if seen["rows_hidden"] else "hides nothing",
        f"ALTER ROLE {role} BYPASSRLS;  -- a copy must see all rows to be right",
    )
    yield Finding(
        "inheritance",
        not seen["inherited"],
        "other tables inherit from it" if seen["inherited"] else "none",
        "Rows of inheriting tables are rows of theirs in the stream. Follow each table, or use declarative partitions.",
    )
    identified = bool(table.key) or table.replica_identity == "f"
    why = "its primary key is DEFERRABLE" if seen["deferrable_key"] else "no primary key or replica identity"
    yield Finding(
        "key",
        identified,
        f"key ({', '.join(table.key)})" if table.key else ("whole row" if identified else why),
        f"ALTER TABLE {name} REPLICA IDENTITY FULL;  -- or give it a primary key",
    )


def require_followable(client: PostgresClient, table: Table) -> None:
    """Raise `OriginUnfit` (or `NotSupported`) for the first thing that keeps the table from being followed."""
    for finding in server_findings(client):
        # A slot of ours may exist already: whether one is free matters only when one is made.
        if not finding.ok and finding.name != "slots":
            raise errors.OriginUnfit(
                f"origin {client.name} cannot feed a realtime view: {finding.name}: {finding.detail}",
                hint=f"Run at the origin: {finding.remedy}" if finding.name != "primary" else finding.remedy,
            )
    for finding in table_findings(client, table):
        if not finding.ok:
            kind = errors.NotSupported if finding.name in ("kind", "inheritance") else errors.OriginUnfit
            raise kind(
                f"{table.schema}.{table.name} at origin {client.name} cannot feed a realtime view: "
                f"{finding.name}: {finding.detail}",
                hint=finding.remedy if kind is errors.NotSupported else f"Run at the origin: {finding.remedy}",
            )


def require_apart(client: PostgresClient, table: Table, followed: Collection[tuple[str, str]]) -> None:
    """Raise `NotSupported` when the table is a partition, at any level, of a table that is followed too.

    The stream names a row's topmost published table (documentation: CREATE PUBLICATION, publish_via_partition_root),
    so it would say nothing of the partition itself.
    """
    for root in _relatives(client, "pg_partition_ancestors", table, followed):
        raise _partition(client, (table.schema, table.name), root)


def require_no_partition_of(client: PostgresClient, table: Table, followed: Collection[tuple[str, str]]) -> None:
    """Raise `NotSupported` when a table that is followed is a partition, at any level, of this one."""
    for partition in _relatives(client, "pg_partition_tree", table, followed):
        raise _partition(client, partition, (table.schema, table.name))


def _relatives(
    client: PostgresClient, function: str, table: Table, followed: Collection[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Those followed that a function of Postgres's finds above or below the table, but for the table itself."""
    rows = client.query(
        f"SELECT n.nspname, c.relname FROM pg_catalog.{function}(%s) AS found "
        "JOIN pg_catalog.pg_class AS c ON c.oid = found.relid "
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid <> %s",
        [table.oid, table.oid],
    )
    return sorted(set(rows) & set(followed))


def _partition(client: PostgresClient, partition: tuple[str, str], whole: tuple[str, str]) -> errors.NotSupported:
    name, root = ".".join(partition), ".".join(whole)
    return errors.NotSupported(
        f"{name} at origin {client.name} is a partition of {root}, which a realtime view reads: "
        f"its changes come as those of {root}",
        hint=f"Select from {root} instead, with the partition's bounds in WHERE.",
    )


def diagnose(dsn: str, name: str = "origin") -> list[Finding]:
    """Everything a server still needs, for people: the server's own state and each of its tables."""
    client = PostgresClient(name, lambda: dsn)
    try:
        findings = [Finding("connection", True, redacted(dsn)), *server_findings(client)]
        tables = client.query(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c "
            "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' "
            "ORDER BY 1, 2"
        )
        for schema, table_name in tables:
            lacking = [one for one in table_findings(client, client.table(schema, table_name)) if not one.ok]
            shown = f"table {schema}.{table_name}"
            findings += [Finding(f"{shown}: {one.name}", False, one.detail, one.remedy) for one in lacking]
            if not lacking:
                findings.append(Finding(shown, True, "can be followed"))
        return findings
    finally:
        client.close()
