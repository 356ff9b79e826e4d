"""How queries are brought to a form that follows by less: what is merged, joined, narrowed, and what is left alone."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from flashql.planner.delta import Relation, delta_sql
from flashql.planner.narrowing import narrowed
from flashql.planner.normalizing import normalized
from flashql.planner.steps import alike

ORDERS, LINES = Relation("d.o", "delta_o", ("id",)), Relation("d.l", "delta_l", ("id",))


def parsed(text: str) -> exp.Query:
    tree = sqlglot.parse_one(text, read="duckdb")
    assert isinstance(tree, exp.Query)
    return tree


def normal(text: str) -> str:
    return normalized(parsed(text)).sql(dialect="duckdb")


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        (
            "SELECT q.x AS x FROM (SELECT o.a + 1 AS x FROM d.o AS o WHERE o.b OR o.c) AS q WHERE NOT q.x = 2",
            "SELECT (o.a + 1) AS x FROM d.o AS o WHERE (o.b OR o.c) AND NOT (o.a + 1) = 2",
        ),
        ("SELECT q.x FROM (SELECT o.a AS x FROM d.o AS o) AS q", 'SELECT o.a AS "x" FROM d.o AS o'),
    ],
)
def test_a_derived_table_that_only_joins_and_computes_is_merged(text: str, merged: str) -> None:
    assert normal(text) == merged


@pytest.mark.parametrize(
    "text",
    [
        "SELECT q.x AS x FROM (SELECT DISTINCT o.a AS x FROM d.o AS o) AS q",
        "SELECT q.x AS x, COUNT(*) AS n FROM (SELECT 1 AS x FROM d.o AS o) AS q GROUP BY q.x",
        "SELECT RANK() OVER (PARTITION BY q.x) AS r FROM (SELECT o.a + 1 AS x FROM d.o AS o) AS q",
        "SELECT q.x AS x FROM (SELECT o.a AS x FROM d.o AS o LIMIT 3) AS q",
    ],
)
def test_other_derived_tables_stay(text: str) -> None:
    assert normal(text) == text


def test_a_sum_that_is_looked_up_is_joined() -> None:
    found = normalized(
        parsed("SELECT o.id AS id FROM d.o AS o WHERE o.n > (SELECT 2 * SUM(l.q) AS s FROM d.l AS l WHERE l.o = o.id)")
    )
    assert found.find(exp.Join) is not None and found.find(exp.Group) is not None


@pytest.mark.parametrize(
    "value",
    [
        "COUNT(*)",  # 0 where there is no row
        "COALESCE(SUM(l.q), 0)",
        "SUM(l.q + o.n)",
    ],
)
def test_what_has_a_value_without_rows_or_reads_others_is_not_joined(value: str) -> None:
    text = f"SELECT o.id AS id FROM d.o AS o WHERE o.n > (SELECT {value} AS s FROM d.l AS l WHERE l.o = o.id)"
    assert normalized(parsed(text)).find(exp.Join) is None


def test_keys_are_narrowed_by_what_does_not_change() -> None:
    tree = parsed("SELECT l.q FROM d.l AS l JOIN d.o AS o ON o.id = l.o WHERE o.city = 'x' AND l.q > 3 AND o.id <> 7")
    cuts: dict[str, tuple[str, ...]] = {"l": ("o",)}
    assert narrowed(tree, cuts, {"l"}) == [
        "(flashql_keys.k0 <> 7)",
        'EXISTS (SELECT 1 FROM d.o AS o WHERE "o"."id" IS NOT DISTINCT FROM flashql_keys.k0 '
        "AND (o.city = 'x') AND (o.id <> 7))",
    ]
    assert narrowed(tree, cuts, {"l", "o"}) == ["(flashql_keys.k0 <> 7)"]


def test_keys_of_an_outer_join_that_may_be_null_are_not_narrowed() -> None:
    tree = parsed("SELECT o.id FROM d.l AS l RIGHT JOIN d.o AS o ON o.id = l.o WHERE o.city = 'x'")
    assert narrowed(tree, {"o": ("id",), "l": ("o",)}, {"l"}) == []


def test_views_that_look_up_the_same_rows_read_the_same_table() -> None:
    one = parsed("SELECT o.a FROM d.o AS o JOIN d.l AS l ON l.o = o.id WHERE o.b > 3")
    other = parsed("SELECT l.q, o.c FROM d.l AS l JOIN d.o AS o ON o.id = l.o")
    parts = [
        {part.name for part in delta_sql(tree, frozenset({"o", "l"}), {"o": ORDERS, "l": LINES}).before}
        for tree in (one, other)
    ]
    assert parts[0] == parts[1] and len(parts[0]) == 3  # the keys, and what of either table has them


def test_queries_that_differ_in_aliases_alone_are_alike() -> None:
    one, other = "SELECT a.x AS x FROM d.o AS a", "SELECT b.x AS x FROM d.o AS b"
    assert alike(parsed(one)) == alike(parsed(other)) != alike(parsed("SELECT b.x AS y FROM d.o AS b"))
