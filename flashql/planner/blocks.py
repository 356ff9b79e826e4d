"""The parts of a query as maintenance looks at them: FROM items, conjuncts, subqueries, and what each level does.

Trees are in DuckDB's dialect, as `normalized` leaves them: no common table expressions, every FROM item under an alias
that is unique in the whole tree, every column qualified by one, stored tables as `exp.Table` with a schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from sqlglot import exp

from flashql.quoting import fold, quote


class Recomputed(Exception):
    """A query has no way to follow by delta; the text says why."""


@dataclass(frozen=True)
class Item:
    """A FROM item: a table, a derived table, or something that reads no stored table."""

    alias: str
    node: exp.Expr
    join: exp.Join | None  # None for the first

    @property
    def query(self) -> exp.Query | None:
        """The query of a derived table, lateral or not."""
        inner = self.node.this if isinstance(self.node, exp.Lateral) else self.node
        return inner.this if isinstance(inner, exp.Subquery) and isinstance(inner.this, exp.Query) else None

    @property
    def side(self) -> str:
        """How it is joined to what stands before it: '', LEFT, RIGHT, FULL, SEMI, ANTI, or odder."""
        if self.join is None:
            return ""
        side, kind = str(self.join.args.get("side") or "").upper(), str(self.join.args.get("kind") or "").upper()
        if self.join.args.get("method") or self.join.args.get("using"):
            return "NATURAL"
        return side or ("" if kind in ("INNER", "CROSS", "") else kind)


def items(select: exp.Select) -> list[Item]:
    """The FROM items of a SELECT, in order."""
    start = select.args.get("from_")
    if start is None:
        return []
    found = [Item(start.this.alias_or_name, start.this, None)]
    found += [Item(join.this.alias_or_name, join.this, join) for join in select.args.get("joins") or ()]
    return found


def is_constant(item: Item) -> bool:
    """Whether it is a derived table that reads no stored table and nothing around it: VALUES, or a series."""
    if item.query is None or isinstance(item.node, exp.Lateral) or tables(item.query):
        return False
    inside = {one.alias for one in item.query.find_all(exp.Subquery, exp.Lateral, exp.Values, exp.Unnest)}
    return all(one.table in inside for one in item.query.find_all(exp.Column))


def tables(tree: exp.Expr) -> list[exp.Table]:
    """The stored tables that a tree reads, once per place."""
    return [table for table in tree.find_all(exp.Table) if table.db]


def fresh_aliases(tree: exp.Expr, prefix: str) -> Iterator[str]:
    """Aliases that no FROM item of the tree has."""
    taken = {node.alias_or_name for node in tree.find_all(exp.Table, exp.Subquery, exp.Lateral)}
    return (name for number in count() if (name := f"{prefix}_{number}") not in taken)


COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """The parts of a condition that must all hold."""
    if condition is None:
        return
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        yield from conjuncts(condition.this)
        yield from conjuncts(condition.expression)
    else:
        yield condition


def where(select: exp.Select) -> list[exp.Expr]:
    """The conjuncts of its WHERE."""
    clause = select.args.get("where")
    return list(conjuncts(clause.this if clause is not None else None))


def own(select: exp.Expr, kinds: type[exp.Expr] | tuple[type[exp.Expr], ...]) -> Iterator[exp.Expr]:
    """Nodes of these kinds in the expressions of a query, not in the queries within it nor in its FROM items."""

    def walk(node: exp.Expr) -> Iterator[exp.Expr]:
        for child in node.iter_expressions():
            if isinstance(child, exp.Query):
                if isinstance(child, kinds):
                    yield child
                continue
            if isinstance(child, kinds):
                yield child
            yield from walk(child)

    for part in _parts(select):
        if isinstance(part, kinds):
            yield part
        if not isinstance(part, exp.Query):
            yield from walk(part)


def _parts(select: exp.Expr) -> Iterator[exp.Expr]:
    """What stands in the clauses of a query, FROM left out; of a join its condition."""
    for clause, value in select.args.items():
        if clause == "from_" or value is None:
            continue
        for part in value if isinstance(value, list) else [value]:
            found = part.args.get("on") if isinstance(part, exp.Join) else part
            if isinstance(found, exp.Expr):
                yield found


def subqueries(select: exp.Expr) -> list[exp.Query]:
    """The queries in its expressions, outermost only."""
    found = []
    for query in own(select, exp.Query):
        while isinstance(query, exp.Subquery) and isinstance(query.this, exp.Query):
            query = query.this
        if isinstance(query, exp.Query):
            found.append(query)
    return found


def column_of(node: exp.Expr) -> tuple[str, str] | None:
    """Alias and name of a plain column, also of one whose integers are only made wider."""
    node = node.unnest()
    if isinstance(node, exp.Cast) and node.to.this in _INTEGERS:
        node = node.this.unnest()
    return (node.table, node.name) if isinstance(node, exp.Column) and node.table else None


_INTEGERS = {exp.DataType.Type.SMALLINT, exp.DataType.Type.INT, exp.DataType.Type.BIGINT, exp.DataType.Type.INT128}


def columns_of(tree: exp.Expr, alias: str) -> list[str]:
    """The columns that a tree reads of a FROM item, in the order of their names."""
    return sorted({column.name for column in tree.find_all(exp.Column) if column.table == alias})


def has_grouping_sets(select: exp.Select) -> bool:
    """Whether it groups by several lists of keys, so that a row is in several groups, or by keys not written out."""
    group = select.args.get("group")
    if group is None:
        return False
    several = any(isinstance(one, (exp.GroupingSets, exp.Rollup, exp.Cube, exp.Tuple)) for one in group.expressions)
    return several or any(value for clause, value in group.args.items() if clause != "expressions")


def named_by(table: exp.Table) -> exp.CTE | None:
    """The common table expression that a name in FROM means; None for a stored table or view."""
    if table.db:
        return None
    within: exp.Expr = table
    around = table.parent
    while around is not None:
        clause = around.args.get("with_")
        for one in clause.expressions if clause is not None else ():
            if within is clause and is_within(table, one) and not clause.args.get("recursive"):
                break  # it reads those before it
            if fold(one.alias) == fold(table.name):
                assert isinstance(one, exp.CTE)
                return one
        within, around = around, around.parent
    return None


def is_within(node: exp.Expr, other: exp.Expr) -> bool:
    """Whether a node is another, or a part of it."""
    around: exp.Expr | None = node
    while around is not None and around is not other:
        around = around.parent
    return around is not None


def output_names(query: exp.Query) -> list[str]:
    """The names of a query's columns."""
    return [item.alias_or_name for item in first_select(query).expressions]


def first_select(query: exp.Expr) -> exp.Expr:
    """The SELECT that names a query's columns."""
    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.left if isinstance(query, exp.SetOperation) else query.this
    return query


def column(alias: str, name: str) -> exp.Column:
    """A qualified, quoted column."""
    return exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(alias, quoted=True))


def sql(node: exp.Expr) -> str:
    """As DuckDB's SQL."""
    return node.sql(dialect="duckdb")


def names_sql(names: list[str], alias: str = "") -> str:
    """A select list."""
    return ", ".join(f"{quote(alias)}.{quote(name)}" if alias else quote(name) for name in names) or "1"


# Aggregates of DuckDB that sqlglot takes for functions it does not know.
_AGGREGATES = frozenset(
    [
        "arbitrary",
        "arg_max_null",
        "arg_max_nulls_last",
        "arg_min_null",
        "arg_min_nulls_last",
        "bitstring_agg",
        "combine_aggr",
        "count_star",
        "decimal_average",
        "entropy",
        "favg",
        "fsum",
        "histogram",
        "histogram_exact",
        "kahan_sum",
        "kurtosis_pop",
        "lttb",
        "mad",
        "mean",
        "product",
        "reservoir_quantile",
        "sem",
        "sum_no_overflow",
        "sumkahan",
        "variant_group_object",
    ]
)


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a function takes many rows to one value; over a window it does not take them."""
    around: exp.Expr | None = node.parent
    within: exp.Expr | None = node
    while isinstance(around, (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)):
        around, within = around.parent, around
    if isinstance(around, exp.Window) and around.this is within:
        return False
    unknown = isinstance(node, exp.Anonymous) and not isinstance(node.parent, exp.Dot)
    return isinstance(node, exp.AggFunc) or (unknown and node.name.lower() in _AGGREGATES)


def is_plain(select: exp.Select) -> bool:
    """Whether a SELECT only joins, filters and computes: each combination of its inputs' rows gives at most one row."""
    clauses = ("group", "having", "distinct", "limit", "offset", "qualify", "windows", "laterals", "order", "sample")
    return not any(select.args.get(clause) for clause in clauses) and not any(
        isinstance(node, exp.Window) or is_aggregate(node) for node in own(select, (exp.Window, exp.Func))
    )


def makes_rows(select: exp.Select) -> bool:
    """Whether functions of its select list make several rows of one, or none: `unnest` and the like."""
    return any(
        isinstance(node, exp.UDTF) or (isinstance(node, exp.Anonymous) and node.name.lower() in _OF_ROWS)
        for node in own(select, (exp.UDTF, exp.Func))
    )


def is_one_row(select: exp.Select) -> bool:
    """Whether it takes all rows together, none of them too: then it has one row, or (by HAVING) none."""
    together = bool(select.args.get("having")) or any(is_aggregate(node) for node in own(select, exp.Func))
    return together and not select.args.get("group") and not makes_rows(select)


_OF_ROWS = frozenset(["unnest", "generate_subscripts"])


def stands_alone(part: exp.Query) -> bool:
    """Whether a query within another looks at nothing outside of itself, at any depth."""
    inside = {one.alias_or_name for one in part.find_all(exp.Table, exp.Subquery, exp.Lateral, exp.Values, exp.Unnest)}
    return not any(one.table and one.table not in inside for one in part.find_all(exp.Column))
