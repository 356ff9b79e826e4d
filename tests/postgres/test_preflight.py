"""What keeps a table from being followed is found before anything is made, with what to run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flashql import errors
from flashql.origins.postgres import PostgresOrigin
from flashql.origins.postgres.preflight import diagnose, require_followable
from tests.fix_postgres import Origin


@pytest.fixture
def postgres(origin: Origin) -> Iterator[PostgresOrigin]:
    made = PostgresOrigin("primary", lambda: origin.dsn)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("definition", "kind", "found", "advice"),
    [
        ("CREATE VIEW t AS SELECT 1 AS id", errors.NotSupported, "kind: a view", "MATERIALIZED"),
        ("CREATE MATERIALIZED VIEW t AS SELECT 1 AS id", errors.NotSupported, "a materialized view", "ORIGIN"),
        ("CREATE UNLOGGED TABLE t (id int PRIMARY KEY)", errors.OriginUnfit, "logged: unlogged", "SET LOGGED"),
        (
            "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
            "CREATE UNLOGGED TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9)",
            errors.OriginUnfit,
            "has a partition that is so",
            "SET LOGGED",
        ),
        ("CREATE TABLE t (id int)", errors.OriginUnfit, "key: no primary key", "REPLICA IDENTITY FULL"),
        (
            "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE)",
            errors.OriginUnfit,
            "its primary key is DEFERRABLE",
            "REPLICA IDENTITY FULL",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING",
            errors.OriginUnfit,
            "key:",
            "REPLICA IDENTITY FULL",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE child () INHERITS (t)",
            errors.NotSupported,
            "inheritance",
            "partitions",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_with_advice(
    origin: Origin,
    postgres: PostgresOrigin,
    definition: str,
    kind: type[errors.DefinitionError],
    found: str,
    advice: str,
) -> None:
    origin.execute(definition)
    with pytest.raises(kind) as caught:
        require_followable(postgres.client, postgres.table("public", "t"))
    assert found in caught.value.message
    assert caught.value.hint is not None
    assert advice in caught.value.hint


@pytest.mark.parametrize(
    "definition",
    [
        "CREATE TABLE t (id int PRIMARY KEY)",
        "CREATE TABLE t (id int); ALTER TABLE t REPLICA IDENTITY FULL",
        "CREATE TABLE t (id int NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY USING INDEX t_id_key",
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9)",
    ],
)
def test_what_can_be_followed_is_not_refused(origin: Origin, postgres: PostgresOrigin, definition: str) -> None:
    origin.execute(definition)
    require_followable(postgres.client, postgres.table("public", "t"))


def test_diagnose_says_of_every_table_whether_it_can_be_followed(origin: Origin) -> None:
    origin.execute("CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE bad (id int)")
    findings = {finding.name: finding for finding in diagnose(origin.dsn)}
    assert findings["wal_level"].ok
    assert findings["table public.good"].ok
    assert not findings["table public.bad: key"].ok
    assert "REPLICA IDENTITY FULL" in (findings["table public.bad: key"].remedy or "")
