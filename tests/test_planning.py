"""How queries are brought to a form that follows by less: what is merged, joined, narrowed, and what is left alone."""

from __future__ import annotations

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from flashql.planner.delta import Relation, delta_sql
from flashql.planner.determining import determining
from flashql.planner.narrowing import narrowed
from flashql.planner.normalizing import normalized
from flashql.planner.steps import Grouping, alike

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


O_AND_L = "d.o AS o LEFT JOIN d.l AS l ON l.o = o.id"


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT o.id, count(l.id) AS n, sum(l.q) AS q, min(l.q) AS least FROM {O_AND_L} GROUP BY o.id",
        f"SELECT o.a, count(*) AS n, max(l.q) AS most FROM {O_AND_L} GROUP BY o.a",
        f"SELECT o.a, max(o.n) AS n, count(l.q) AS q FROM {O_AND_L} AND l.q > 2 AND o.n < 3 GROUP BY o.a",
        f"SELECT o.a, coalesce(sum(l.q), 0) AS q FROM {O_AND_L} AND l.q = o.n GROUP BY o.a HAVING count(l.id) > 1",
        f"SELECT o.a, count(l.id) FILTER (WHERE l.q IS NULL OR l.q > 2) AS q FROM {O_AND_L} WHERE o.n > 1 GROUP BY o.a",
        f"SELECT o.a, sum(CASE WHEN l.q > 2 THEN 1 END) AS q FROM {O_AND_L} GROUP BY o.a ORDER BY count(l.id) LIMIT 9",
        "SELECT o.a, sum(l.q) AS q FROM d.l AS x JOIN d.o AS o ON x.o = o.id LEFT JOIN d.l AS l ON o.n = l.o "
        "GROUP BY o.a",
    ],
)
def test_what_a_left_join_finds_is_added_up_before_it_is_joined(text: str) -> None:
    assert "flashql_joined_0" in normal(text)
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS d; CREATE TABLE d.o (id int, a int, n int)")
        connection.execute("CREATE TABLE d.l (id int, o int, q int)")
        some = "hash(x * 13) % {0} = 0 THEN NULL ELSE hash(x * {0}) % {1} END"
        of_o = f"CASE WHEN {some.format(7, 5)} AS a, CASE WHEN {some.format(5, 4)} AS n"
        of_l = f"CASE WHEN {some.format(6, 25)} AS o, CASE WHEN {some.format(4, 5)} AS q"
        connection.execute(f"INSERT INTO d.o SELECT nullif(x, 3), {of_o} FROM range(20) AS r(x) UNION ALL FROM d.o")
        connection.execute(f"INSERT INTO d.l SELECT x, {of_l} FROM range(60) AS r(x)")
        queries = [text.split(" ORDER BY ")[0], normal(text.split(" ORDER BY ")[0])]
        rows, same = (sorted(connection.execute(query).fetchall(), key=repr) for query in queries)
        assert rows == same and len(rows) > 2


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT o.a, sum(coalesce(l.q, 5)) AS q FROM {O_AND_L} GROUP BY o.a",  # more than nothing, without a match
        f"SELECT o.a, count(CASE WHEN l.q IS NULL THEN 1 END) AS q FROM {O_AND_L} GROUP BY o.a",
        f"SELECT o.a, sum(CASE WHEN l.q > 1 THEN 1 ELSE 0 END) AS q FROM {O_AND_L} GROUP BY o.a",
        f"SELECT o.a, count(*) FILTER (WHERE l.q IS NULL) AS q FROM {O_AND_L} GROUP BY o.a",
        f"SELECT o.a, count(DISTINCT l.q) AS q FROM {O_AND_L} GROUP BY o.a",
        f"SELECT o.a, sum(o.n) AS n, sum(l.q) AS q FROM {O_AND_L} GROUP BY o.a",  # once for each match
        f"SELECT o.a, sum(l.q + o.n) AS q FROM {O_AND_L} GROUP BY o.a",
        f"SELECT o.a, sum(l.q * l.q) AS q FROM {O_AND_L} GROUP BY o.a",  # may raise for a row that is not joined
        f"SELECT o.a, max(CAST(l.q AS TINYINT)) AS q FROM {O_AND_L} GROUP BY o.a",
        f"SELECT o.a, max(l.q, 2) AS q FROM {O_AND_L} GROUP BY o.a",  # the two largest
        f"SELECT l.q, count(l.id) AS n FROM {O_AND_L} GROUP BY l.q",
        f"SELECT o.a, count(l.id) AS n FROM {O_AND_L} WHERE l.q IS NULL GROUP BY o.a",
        f"SELECT o.a, count(l.id) AS n FROM {O_AND_L} AND l.q < o.n GROUP BY o.a",
        f"SELECT o.a, count(l.id) AS n FROM {O_AND_L} GROUP BY ROLLUP (o.a)",
        f"SELECT count(l.id) AS n FROM {O_AND_L}",
        "SELECT o.a, count(l.id) AS n FROM d.o AS o JOIN d.l AS l ON l.o = o.id GROUP BY o.a",
        "SELECT o.a, count(l.id) AS n FROM d.l AS l LEFT JOIN d.o AS o ON l.o = o.id GROUP BY o.a",
    ],
)
def test_what_counts_otherwise_is_joined_row_by_row(text: str) -> None:
    assert "flashql_joined_0" not in normal(text)


def test_keys_are_narrowed_by_what_does_not_change() -> None:
    tree = parsed("SELECT l.q FROM d.l AS l JOIN d.o AS o ON o.id = l.o WHERE o.city = 'x' AND l.q > 3 AND o.id <> 7")
    cuts: dict[str, tuple[str, ...]] = {"l": ("o",)}
    assert narrowed(tree, cuts, {"l"}) == [
        "(flashql_keys.k0 <> 7)",
        'EXISTS (SELECT 1 FROM d.o AS o WHERE "o"."id" IS NOT DISTINCT FROM flashql_keys.k0 '
        "AND (o.city = 'x') AND (o.id <> 7))",
    ]
    assert narrowed(tree, cuts, {"l", "o"}) == ["(flashql_keys.k0 <> 7)"]


def test_keys_are_not_narrowed_by_what_another_query_finds() -> None:
    # Within the EXISTS it would be computed for all parts, not for those that moved alone.
    tree = parsed(
        "SELECT l.q AS q FROM d.l AS l JOIN d.p AS p ON p.id = l.part "
        "WHERE p.brand = 'x' AND p.n > (SELECT MAX(z.n) AS m FROM d.z AS z)"
    )
    assert narrowed(tree, {"l": ("part",), "p": ("id",)}, {"l"}) == [
        'EXISTS (SELECT 1 FROM d.p AS p WHERE "p"."id" IS NOT DISTINCT FROM flashql_keys.k0 AND (p.brand = \'x\'))'
    ]


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


@pytest.mark.parametrize(
    ("text", "changed", "leading"),
    [
        ("SELECT o.id AS id FROM d.o AS o WHERE EXISTS(SELECT 1 AS x FROM d.l AS l WHERE l.o = o.id)", "ol", "o"),
        ("SELECT o.id AS id FROM d.o AS o WHERE NOT EXISTS(SELECT 1 AS x FROM d.l AS l WHERE l.o = o.id)", "l", "s"),
        ("SELECT o.id AS id, l.q AS q FROM d.o AS o LEFT JOIN d.l AS l ON l.o = o.id AND l.q > 1", "l", "s"),
        (
            "SELECT o.id AS id FROM d.o AS o WHERE o.n > (SELECT MAX(l.q) AS m FROM d.l AS l WHERE l.o = o.id)",
            "ol",
            "o",
        ),
    ],
)
def test_rows_as_they_are_and_as_they_were_are_looked_at_by_one_query(text: str, changed: str, leading: str) -> None:
    written = delta_sql(parsed(text), frozenset(changed), {"o": ORDERS, "l": LINES})
    last = written.before[-1].rows  # staged, for it looks at other rows or joins from outside
    weights = {"o": '"o"."flashql_weight"', "s": '"flashql_sides"."flashql_weight"'}
    assert f'{weights[leading]} = "l"."flashql_weight"' in last
    assert "-1 FROM (SELECT" not in last
    assert not any("AS r WHERE flashql_weight > 0" in part.rows for part in written.before)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT o.id AS id FROM d.o AS o WHERE o.id IN (SELECT l.o AS o FROM d.l AS l WHERE l.q = o.n)",
        "SELECT o.id AS id FROM d.o AS o FULL JOIN d.l AS l ON l.o = o.id",
        "SELECT o.id AS id, (SELECT l.q AS q FROM d.l AS l WHERE l.o = o.id ORDER BY l.q LIMIT 1) AS q FROM d.o AS o",
        "SELECT o.id AS id, COUNT(*) AS n FROM d.o AS o JOIN d.l AS l ON l.o = o.id GROUP BY o.id",
    ],
)
def test_other_queries_are_over_each_side_by_itself(text: str) -> None:
    written = delta_sql(parsed(text), frozenset("ol"), {"o": ORDERS, "l": LINES})
    found = [written.query, *(part.rows for part in written.before)]
    assert any(", -1 FROM (SELECT" in one for one in found)


CUSTOMERS = "SELECT c.id AS k0, c.name AS k1, n.name AS k2, o.day AS k3 FROM d.c AS c JOIN d.o AS o ON o.c = c.id "


@pytest.mark.parametrize(
    ("text", "keys", "found"),
    [
        (f"{CUSTOMERS} JOIN d.n AS n ON n.id = c.n", ("k0", "k1", "k2"), ("k0",)),  # a customer is of one nation
        (f"{CUSTOMERS} JOIN d.n AS n ON n.id = c.n", ("k0", "k1", "k3"), ("k0", "k1", "k3")),  # with many orders
        (f"{CUSTOMERS} JOIN d.n AS n ON n.id <> c.n", ("k0", "k1", "k2"), ("k0", "k1", "k2")),
        (f"{CUSTOMERS} LEFT JOIN d.n AS n ON n.id = c.n", ("k0", "k1", "k2"), ("k0", "k1", "k2")),
        ("SELECT o.c AS k0, c.name || 'x' AS k1 FROM d.c AS c JOIN d.o AS o ON o.c = c.id", ("k0", "k1"), ("k0",)),
    ],
)
def test_keys_that_determine_the_others(text: str, keys: tuple[str, ...], found: tuple[str, ...]) -> None:
    rows = parsed(text)
    assert isinstance(rows, exp.Select)
    assert determining(Grouping(rows, keys, ()), {"c": ("id",), "o": ("id",), "n": ("id",)}) == found
