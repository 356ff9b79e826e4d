"""A kept view's plan: which tables hold it, and what each of them holds.

    SELECT c.city, sum(o.amount) FROM orders AS o JOIN customers AS c ON c.id = o.customer GROUP BY c.city LIMIT 3

is two steps: a table with a row for each group, that follows the joined rows by adding them up, and one with three of
these, that is computed anew when the first has changed. Every step is a query over stored tables: copies, other views'
rows, local tables, and earlier steps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlglot import exp

from flashql.planner.blocks import sql, tables

WEIGHT = "flashql_weight"
ROWS = "flashql_rows"  # of a group: how many rows it was made of


def compares_vaguely(kind: str) -> bool:
    """Whether DuckDB holds different values of a type for equal: 30 days and 1 month, 0 and -0."""
    return any(vague in kind for vague in ("INTERVAL", "FLOAT", "DOUBLE"))


@dataclass(frozen=True)
class Aggregate:
    """An aggregate of a step of groups.

    `kind` is 'count', 'sum', 'min', 'max' over the column `argument` of the rows grouped, or 'other'. A sum has two
    columns in the step's table: what was added up (0 for nothing) under `name`, and the count of values in `name`_n.
    """

    name: str
    kind: str
    argument: str | None
    expression: exp.Expr  # over the rows grouped, under the alias ROWS_ALIAS


ROWS_ALIAS = "flashql_r"


@dataclass(frozen=True)
class Grouping:
    """How a step's rows are groups: of the rows of `rows`, by its columns `keys`."""

    rows: exp.Select
    keys: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    vague: frozenset[str] = frozenset()  # the columns of `rows` whose type `compares_vaguely`

    @property
    def merges(self) -> bool:
        """Whether each group's new values come from its old ones and the rows that moved."""
        return all(one.kind in ("count", "sum") for one in self.aggregates)

    @property
    def extremes(self) -> tuple[Aggregate, ...]:
        """The aggregates that merge what arrives, and what leaves unless it was the extreme."""
        return tuple(one for one in self.aggregates if one.kind in ("min", "max"))


@dataclass(frozen=True)
class Step:
    """One table of a view's plan."""

    table: str  # in schema flashql_data
    query: exp.Query | None  # what it holds; None: `text` is not understood, and computed anew each time
    reasons: tuple[str, ...] = ()  # why it does not follow by delta, as far as it does not
    text: str = ""  # the query as SQL
    grouping: Grouping | None = None

    @property
    def strategy(self) -> str:
        """How it follows where it can: delta, groups or recompute."""
        if self.source is None or len(self.reasons) == len({table.name for table in tables(self.source)}):
            return "recompute"
        return "groups" if self.grouping is not None else "delta"

    def follows(self, changed: Collection[str]) -> bool:
        """Whether it follows by delta what changes in all these tables."""
        stuck = {reason.split(":", 1)[0] for reason in self.reasons}
        return self.source is not None and not stuck & set(changed)

    @property
    def source(self) -> exp.Query | None:
        """The query whose delta moves the table: its own, or that of the rows it groups."""
        return self.grouping.rows if self.grouping is not None else self.query


@dataclass(frozen=True)
class Steps:
    """All steps of a view, in order, and the query over the last one's table that the view shows."""

    steps: tuple[Step, ...]
    shown: exp.Select | None  # None: the last table as it is

    @property
    def last(self) -> Step:
        """The step whose table the view shows."""
        return self.steps[-1]


def whole(table: str, query: exp.Query, reasons: Sequence[str]) -> Steps:
    """A plan of one step that is computed anew each time."""
    return Steps((Step(table, None, tuple(reasons), sql(query)),), None)


def alike(query: exp.Query) -> str:
    """A query as text that is the same for queries that differ in their aliases alone."""
    query = query.copy()
    known = [alias for alias in query.find_all(exp.TableAlias) if alias.this is not None]
    numbers = {alias.name: f"a{number}" for number, alias in enumerate(known)}
    for alias in known:
        alias.set("this", exp.to_identifier(numbers[alias.name], quoted=True))
    for one in query.find_all(exp.Column):
        if one.table in numbers:
            one.set("table", exp.to_identifier(numbers[one.table], quoted=True))
    return sql(query)
