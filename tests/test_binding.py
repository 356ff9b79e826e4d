"""Binding on a real origin: names and types are its own, and what cannot be kept exactly is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flashql import errors
from flashql.catalog import Persistence, View
from flashql.origins.postgres import PostgresOrigin
from flashql.planner.binding import Bound, bind, view_names
from tests.fix_postgres import Origin


@pytest.fixture
def postgres(origin: Origin) -> Iterator[PostgresOrigin]:
    origin.execute(
        """
        CREATE DOMAIN positive AS numeric(10, 2) CHECK (VALUE > 0);
        CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TABLE orders (
            id bigint PRIMARY KEY, "Amount" positive, total numeric, feeling mood, tags text[], note varchar(20),
            twice numeric GENERATED ALWAYS AS (total * 2) STORED
        );
        CREATE TABLE "Odd ""name" (id int PRIMARY KEY, "x y" text, "X y" text);
        """
    )
    made = PostgresOrigin("primary", lambda: origin.dsn)
    yield made
    made.close()


def bound(postgres: PostgresOrigin, query: str, persistence: Persistence = Persistence.REALTIME) -> Bound:
    return bind(View("shop", "v", persistence, "primary", query, ()), [], postgres)


def test_names_and_types_are_the_origins(postgres: PostgresOrigin) -> None:
    query = 'SELECT id, "Amount", total, feeling, tags, note FROM orders'
    view = bound(postgres, query, Persistence.ORIGIN).view
    assert [(column.name, column.local_type) for column in view.columns] == [
        ("id", "BIGINT"),
        ("Amount", "DECIMAL(10,2)"),
        ("total", "DECIMAL(38,9)"),
        ("feeling", "VARCHAR"),
        ("tags", "VARCHAR[]"),
        ("note", "VARCHAR"),
    ]
    assert [column.pg_type.name for column in view.columns if column.pg_type] == [
        "bigint", "numeric(10,2)", "numeric", "mood", "text[]", "character varying(20)",
    ]  # fmt: skip


def test_a_realtime_view_reads_only_the_columns_it_needs_and_the_key(postgres: PostgresOrigin) -> None:
    found = bound(postgres, "SELECT note AS remark FROM public.orders AS o WHERE o.total > 5")
    assert found.tables[0].key == ("id",)
    assert found.view.sources[0].table == ("public", "orders")
    assert found.view.sources[0].columns == ("id", "total", "note")
    assert found.view.sources[0].computed_from == ("total",)
    assert found.view.local_select == '"note" AS "remark"'


@pytest.mark.parametrize(
    "query",
    ["TABLE orders", "select * from ORDERS", 'SELECT o.* FROM "orders" o', "SELECT * FROM ONLY public.orders"],
)
def test_every_spelling_of_all_columns_is_the_same(postgres: PostgresOrigin, query: str, origin: Origin) -> None:
    if origin.version < 18:
        with pytest.raises(errors.NotSupported, match="generated"):
            bound(postgres, query)
        return
    view = bound(postgres, query).view
    assert [column.name for column in view.columns] == [
        "id", "Amount", "total", "feeling", "tags", "note", "twice",
    ]  # fmt: skip


def test_names_that_differ_only_in_case_get_a_suffix(postgres: PostgresOrigin) -> None:
    view = bound(postgres, 'SELECT * FROM "Odd ""name"').view
    assert [column.name for column in view.columns] == ["id", "x y", "X y_1"]
    assert view.local_select == '"id" AS "id", "x y" AS "x y", "X y$1" AS "X y_1"'


def test_view_names_never_collide() -> None:
    assert view_names(["a", "A", "a_1"], []) == ["a", "A_1", "a_1_1"]
    assert view_names(["a", "b"], ["B"]) == ["B", "b_1"]
    with pytest.raises(errors.DefinitionError, match="names 2 columns, but its query returns 1"):
        view_names(["a"], ["x", "y"])
    with pytest.raises(errors.DefinitionError, match="same name"):
        view_names(["a", "b"], ["x", "X"])


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("SELECT a.note FROM orders a JOIN orders b USING (id)", ("id", "note")),
        ("SELECT count(*) FROM orders", ("id",)),
        ("SELECT note FROM orders GROUP BY note", ("id", "note")),
        ("SELECT DISTINCT note FROM orders", ("id", "note")),
        ("SELECT id FROM orders ORDER BY id LIMIT 5", ("id",)),
        ("SELECT row_number() OVER (ORDER BY id) FROM orders", ("id",)),
        ("SELECT id FROM orders WHERE total IN (SELECT 1)", ("id", "total")),
        ("SELECT note FROM (SELECT note FROM orders) AS q", ("id", "note")),
        ("WITH q AS (SELECT 1 AS x) SELECT id FROM orders, q", ("id",)),
        ("SELECT id FROM orders UNION SELECT id FROM orders WHERE total > 1", ("id", "total")),
    ],
)
def test_any_other_query_reads_the_columns_it_names_and_the_key(
    postgres: PostgresOrigin, query: str, columns: tuple[str, ...]
) -> None:
    found = bound(postgres, query)
    assert [(source.table, source.columns) for source in found.view.sources] == [(("public", "orders"), columns)]
    assert found.view.is_kept and not found.view.shows_copy
    assert found.view.local_query


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT id FROM orders LIMIT 5", "LIMIT without ORDER BY"),
        ("SELECT id FROM orders TABLESAMPLE SYSTEM (10)", "sample"),
        ("SELECT id FROM orders FOR UPDATE", "FOR UPDATE"),
        ("SELECT 1 AS x", "reads no table"),
        ("VALUES (1)", "reads no table"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(postgres: PostgresOrigin, query: str, why: str) -> None:
    with pytest.raises(errors.NotSupported, match=why):
        bound(postgres, query)


def test_what_does_not_exist_is_said_by_its_name(postgres: PostgresOrigin) -> None:
    with pytest.raises(errors.UnknownName, match="nowhere"):
        bound(postgres, "SELECT * FROM nowhere")
    with pytest.raises(errors.UnknownName, match="missing"):
        bound(postgres, "SELECT missing FROM orders")


def test_random_values_are_refused(postgres: PostgresOrigin) -> None:
    with pytest.raises(errors.NotSupported):
        bound(postgres, "SELECT id, random() FROM orders")
    with pytest.raises(errors.NotSupported):
        bound(postgres, "SELECT id FROM orders WHERE now() > '2020-01-01'")
