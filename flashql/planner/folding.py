"""A SELECT of groups taken apart: the rows that are grouped, what is added up over them, and what is shown of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlglot import exp

from flashql.planner.blocks import Recomputed, column, is_aggregate, own, sql
from flashql.planner.steps import ROWS, ROWS_ALIAS, Aggregate

# Types that add up to the same sum in any order.
_EXACT = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL", "UTINYINT", "USMALLINT", "UINTEGER")
_KINDS: dict[type[exp.Expr], str] = {exp.Count: "count", exp.Sum: "sum", exp.Min: "min", exp.Max: "max"}


class Folded:
    """The aggregates of a SELECT, and the columns of the rows they are over."""

    def __init__(self, rows: exp.Select, columns: list[exp.Expr], aliases: set[str]) -> None:
        self.aggregates: list[Aggregate] = []
        self._rows = rows
        self._columns = columns
        self._aliases = aliases

    def replaced(self, node: exp.Expr, keys: Mapping[str, str], alias: str) -> exp.Expr:
        """An expression over groups: group keys and aggregates become columns of the table of groups."""

        def walk(part: exp.Expr, *, within: bool) -> exp.Expr:
            name = keys.get(sql(part)) if not isinstance(part, exp.Alias) else None
            if name is not None and not isinstance(part, exp.Literal):
                return column(alias, name)
            if not within and (whole_ := whole_aggregate(part)):
                return self._column_of(whole_, alias)
            for key, value in list(part.args.items()):
                nested = within or isinstance(part, exp.Query)
                if isinstance(value, exp.Expr):
                    part.set(key, walk(value, within=nested or isinstance(value, exp.Query)))
                elif isinstance(value, list):
                    part.set(
                        key,
                        [
                            walk(one, within=nested or isinstance(one, exp.Query)) if isinstance(one, exp.Expr) else one
                            for one in value
                        ],
                    )
            return part

        made = walk(node.copy(), within=False)
        if any(one.table in self._aliases for one in made.find_all(exp.Column)):
            raise Recomputed("it shows columns that are neither grouped by nor aggregated")
        return made

    def _column_of(self, node: exp.Expr, alias: str) -> exp.Expr:
        made = self._made(node)
        known = next((one for one in self.aggregates if sql(one.expression) == sql(made.expression)), None)
        if known is None:
            self.aggregates.append(made)
            known = made
        if known.kind == "sum":
            found = exp.Case().when(
                exp.GT(this=column(alias, f"{known.name}_n"), expression=exp.Literal.number(0)),
                column(alias, known.name),
            )
            return exp.Paren(this=found)
        return column(alias, known.name)

    def _made(self, node: exp.Expr) -> Aggregate:
        name = f"x{len(self.aggregates)}"
        inner, condition = node, None
        if isinstance(node, exp.Filter):
            inner, condition = node.this, node.expression.this
        kind = _KINDS.get(type(inner))
        simple = (
            kind is not None
            and not any(inner.args.get(more) for more in ("expressions", "count"))  # max(x, 3): the three largest
            and not isinstance(inner.this, (exp.Distinct, exp.Order))
        )
        if not simple:
            return Aggregate(name, "other", None, self._over_rows(node))
        of = None if inner.this is None or isinstance(inner.this, exp.Star) else inner.this.copy()
        if condition is not None:
            of = exp.Case().when(condition.copy(), of if of is not None else exp.Literal.number(1))
        if of is None:
            return Aggregate(name, "count", None, exp.Count(this=exp.Star()))
        argument = self._argument(of)
        assert kind is not None
        return Aggregate(name, kind, argument, type(inner)(this=column(ROWS_ALIAS, argument)))

    def _argument(self, expression: exp.Expr) -> str:
        for one in self._columns:
            if sql(one.unalias()) == sql(expression):
                return one.alias
        name = f"a{len(self._columns)}"
        self._columns.append(named(expression, name))
        return name

    def _over_rows(self, node: exp.Expr) -> exp.Expr:
        made = node.copy()
        if any(own(made, exp.Query)):
            raise Recomputed("an aggregate contains a query")
        for one in list(made.find_all(exp.Column)):
            one.replace(column(ROWS_ALIAS, self._argument(one.copy())))
        return made


def whole_aggregate(node: exp.Expr) -> exp.Expr | None:
    """A node that is an aggregate, with what belongs to it."""
    inner = node
    while isinstance(inner, (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)):
        inner = inner.this
    return node if is_aggregate(inner) else None


def exactly(one: Aggregate, kinds: Mapping[str, str]) -> Aggregate:
    """The aggregate, not to be merged where adding up is not exact."""
    kind = kinds.get(one.argument or "", "")
    exact = one.kind in ("count", "other") or (one.kind == "sum" and kind.startswith(_EXACT) and not kind.endswith("]"))
    if one.kind in ("min", "max"):
        exact = not any(vague in kind for vague in ("FLOAT", "DOUBLE", "INTERVAL"))
    return one if exact else Aggregate(one.name, "other", one.argument, one.expression)


def state(rows: exp.Select, keys: tuple[str, ...], aggregates: Iterable[Aggregate]) -> exp.Select:
    """What a table of groups holds."""
    columns = [named(column(ROWS_ALIAS, key), key) for key in keys]
    columns.append(named(exp.Count(this=exp.Star()), ROWS))
    for one in aggregates:
        if one.kind == "sum":
            assert one.argument is not None
            columns.append(
                named(exp.Coalesce(this=one.expression.copy(), expressions=[exp.Literal.number(0)]), one.name)
            )
            columns.append(named(exp.Count(this=column(ROWS_ALIAS, one.argument)), f"{one.name}_n"))
        else:
            columns.append(named(one.expression.copy(), one.name))
    select = exp.Select(expressions=columns)
    alias = exp.TableAlias(this=exp.to_identifier(ROWS_ALIAS, quoted=True))
    select.set("from_", exp.From(this=exp.Subquery(this=rows, alias=alias)))
    if keys:
        select.set("group", exp.Group(expressions=[column(ROWS_ALIAS, key) for key in keys]))
    return select


def named(node: exp.Expr, name: str) -> exp.Expr:
    """The expression as a column of that name."""
    return exp.alias_(node, name, quoted=True, copy=False)
