"""A query split into steps: parts that can follow by delta stay whole, parts that cannot get a table of their own.

Groups, DISTINCT and set operations become tables of groups, which follow by adding up. The first rows in some order are
taken from a table of all. A derived table or subquery without a key that divides what is around it is kept by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count

from sqlglot import exp

from flashql.planner.blocks import (
    Recomputed,
    column,
    has_grouping_sets,
    is_aggregate,
    is_plain,
    items,
    output_names,
    own,
    sql,
    subqueries,
    tables,
)
from flashql.planner.delta import follows
from flashql.planner.flattening import merge
from flashql.planner.folding import Folded, exactly, named, state
from flashql.planner.normalizing import normalized, outputs_known
from flashql.planner.parts import chosen_values, derived_groups, divides, part_around
from flashql.planner.statistics import without_bounds
from flashql.planner.steps import Aggregate, Grouping, Step, Steps, alike, compares_vaguely, whole

# The columns and types of a query, by name; nothing is run.
Describe = Callable[[str], Mapping[str, str]]


def split(tree: exp.Query, prefix: str, schema: str, describe: Describe) -> Steps:
    """The steps of a query over stored tables of `schema`; their tables are named `prefix`, `prefix`_1, ...

    They are tried on the database's binder: raises what `describe` does when they are no valid SQL, and AssertionError
    when they show other columns than the query.
    """
    try:
        known = normalized(tree)
        if not outputs_known(known):
            raise Recomputed("columns of the query have no names of their own")
        splitter = _Splitter(prefix, schema, describe)
        steps = splitter.root(known)
        shown = splitter.written_out(steps.shown or _all_of(steps, schema))
        assert [*describe(sql(shown)).values()] == [*describe(sql(tree)).values()], "other columns than the query's"
        return steps
    except Recomputed as why:
        return whole(prefix, without_bounds(tree), [str(why)])


class _Splitter:
    def __init__(self, prefix: str, schema: str, describe: Describe) -> None:
        self._prefix = prefix
        self._schema = schema
        self._describe = describe
        self._steps: list[Step] = []
        self._tables: dict[str, str] = {}  # of the steps, by their queries as `alike` writes them
        self._aliases = count()

    def root(self, tree: exp.Query) -> Steps:
        top = self.placed(tree)
        if self._is_shown(top):
            assert isinstance(top, exp.Select)
            return Steps(tuple(self._steps), top)
        self.stored(top)
        return Steps(tuple(self._steps), None)

    def _is_shown(self, top: exp.Query) -> bool:
        """Whether it only filters and computes from the rows of the last step."""
        if not isinstance(top, exp.Select):
            return False
        read = tables(top)
        alone = len(read) == 1 and len(items(top)) == 1 and isinstance(items(top)[0].node, exp.Table)
        return alone and bool(self._steps) and read[0].name == self._steps[-1].table and is_plain(top)

    # -- queries over stored tables

    def placed(self, query: exp.Query) -> exp.Query:
        """A query with the same rows over stored tables, as few of its parts as need be stored."""
        if query.args.get("limit") or query.args.get("offset"):
            return self._first_rows(query)
        query.set("order", None if not _orders_distinct(query) else query.args.get("order"))
        if isinstance(query, exp.Subquery) and isinstance(query.this, exp.Query):
            return self.placed(query.this)
        if isinstance(query, exp.SetOperation) and not (
            isinstance(query, exp.Union) and not query.args.get("distinct")
        ):
            return self._set_operation(query)
        if not isinstance(query, exp.Select):
            return query
        if query.args.get("group") or query.args.get("having") or any(is_aggregate(n) for n in own(query, exp.Func)):
            return self._grouped(query)
        distinct = query.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is None and not any(own(query, exp.Window)):
            return self._distinct(query)
        return query

    def stored(self, query: exp.Query) -> str:
        """The name of a table that holds the rows of a query over stored tables."""
        query, reasons = self.following(query)
        return self._step(without_bounds(query), None, reasons)

    def _step(self, query: exp.Query, grouping: Grouping | None, reasons: Iterable[str]) -> str:
        same = alike(query)
        if same in self._tables:
            return self._tables[same]
        table = self._tables[same] = f"{self._prefix}_{len(self._steps)}" if self._steps else self._prefix
        self._steps.append(Step(table, query, tuple(dict.fromkeys(reasons)), sql(query), grouping))
        return table

    def _read(self, table: str, alias: str) -> exp.Table:
        return exp.Table(
            this=exp.to_identifier(table, quoted=True),
            db=exp.to_identifier(self._schema, quoted=True),
            alias=_alias_of(alias),
        )

    def following(self, query: exp.Query) -> tuple[exp.Query, list[str]]:
        """The query, those parts stored that it cannot follow otherwise, and what it cannot follow."""
        if isinstance(query, exp.SetOperation):
            exp.Subquery(this=query)  # so that its sides can be replaced
        for part in derived_groups(query):
            self._replace(part)
        for part in chosen_values(query):
            self._replace(part, keep=True)
        seen: set[str] = set()
        while True:
            stuck = [table for table in tables(query) if not follows(query, table.alias_or_name)]
            around = (part_around(query, table) for table in stuck)
            held = next((part for part in around if part is not None and sql(part) not in seen), None)
            if held is None:
                break
            seen.add(sql(held))
            self._replace(held)
        return query, [f"{table.name}: what changes in it may change any row" for table in stuck]

    def _replace(self, part: exp.Query, *, keep: bool = False) -> None:
        """Let a derived table or subquery be read from stored tables; from one of its own where it is to `keep`."""
        kept, placed = keep or divides(part), self.placed(part.copy())
        if kept or not (isinstance(placed, exp.Select) and is_plain(placed) and not subqueries(placed)):
            if keep and isinstance(placed, exp.Select):  # nobody reads it by the names it has
                placed.set("expressions", [named(one.unalias(), f"c{at}") for at, one in enumerate(placed.expressions)])
            names = output_names(placed)
            table = self.stored(placed)
            alias = self._alias()
            placed = exp.Select(expressions=[named(column(alias, name), name) for name in names])
            placed.set("from_", exp.From(this=self._read(table, alias)))
        part.replace(placed)

    def _alias(self) -> str:
        """An alias that is nowhere else; what other views show, and is read here, has aliases with their prefix."""
        return f"flashql_{self._prefix}_{next(self._aliases)}"

    # -- the first rows

    def _first_rows(self, query: exp.Query) -> exp.Query:
        """All rows stored, with what they are ordered by, and the first of them read from there."""
        names = output_names(query)
        tail = {clause: query.args.get(clause) for clause in ("limit", "offset")}
        order = query.args.get("order")
        inner = query.copy()
        if _orders_distinct(inner):
            raise Recomputed("the first rows of DISTINCT ON are taken from all")
        for clause in ("order", "limit", "offset"):
            inner.set(clause, None)
        alias = self._alias()
        ordered: list[exp.Expr] = []
        for term in order.expressions if order is not None else ():
            name = _place_of(term.this, inner, names)
            if name is None:
                if not isinstance(inner, exp.Select) or inner.args.get("distinct"):
                    raise Recomputed("it is ordered by what it does not show")
                name = f"flashql_by{len(ordered)}"
                inner.set("expressions", [*inner.expressions, named(term.this.copy(), name)])
            again = term.copy()
            again.set("this", column(alias, name))
            ordered.append(again)
        rows = self.placed(inner)
        first = exp.Select(expressions=[named(column(alias, name), name) for name in names])
        shown = self._is_shown(rows) and not rows.args.get("where") and not subqueries(rows)
        if shown:  # as they are computed from a table that is there, they need none of their own
            first.set("from_", exp.From(this=exp.Subquery(this=rows, alias=_alias_of(alias))))
        else:
            first.set("from_", exp.From(this=self._read(self.stored(rows), alias)))
        if ordered:
            first.set("order", exp.Order(expressions=ordered))
        for clause, value in tail.items():
            first.set(clause, value)
        if shown and not merge(first):
            first.set("from_", exp.From(this=self._read(self.stored(rows), alias)))
        return first

    # -- groups

    def _grouped(self, select: exp.Select) -> exp.Query:
        group = select.args.get("group")
        if has_grouping_sets(select) or select.args.get("windows"):
            return select
        rows = exp.Select()
        for clause in ("from_", "joins", "where", "laterals"):
            rows.set(clause, select.args.get(clause))
        keys = {sql(one): f"k{at}" for at, one in enumerate(group.expressions if group is not None else ())}
        columns = [named(one.copy(), f"k{at}") for at, one in enumerate(group.expressions if group is not None else ())]
        builder = Folded(rows, columns, {item.alias for item in items(select)})
        alias = self._alias()
        top = exp.Select()
        replaced = {
            clause: [builder.replaced(one, keys, alias) for one in select.args.get(clause) or ()]
            for clause in ("expressions",)
        }
        top.set(
            "expressions",
            [
                named(one.unalias(), name)
                for one, name in zip(replaced["expressions"], output_names(select), strict=True)
            ],
        )
        having = select.args.get("having")
        if having is not None:
            top.set("where", exp.Where(this=builder.replaced(having.this, keys, alias)))
        for clause in ("distinct", "qualify", "order"):  # placed() has left an order only where DISTINCT ON takes it
            if select.args.get(clause):
                top.set(clause, builder.replaced(select.args[clause], keys, alias))
        table = self._groups(rows, columns, tuple(keys.values()), builder.aggregates)
        top.set("from_", exp.From(this=self._read(table, alias)))
        return self.placed(top)

    def _groups(
        self, rows: exp.Select, columns: list[exp.Expr], keys: tuple[str, ...], aggregates: list[Aggregate]
    ) -> str:
        rows.set("expressions", columns or [named(exp.Literal.number(1), "one")])
        kinds = self._describe(sql(self.written_out(rows)))
        exact = [exactly(one, kinds) for one in aggregates]
        source, reasons = self.following(rows)
        assert isinstance(source, exp.Select)
        source = without_bounds(source)
        vague = frozenset(name for name, kind in kinds.items() if compares_vaguely(kind))
        return self._step(state(source, keys, exact), Grouping(source, keys, tuple(exact), vague), reasons)

    def written_out(self, query: exp.Query) -> exp.Query:
        """The query with the tables of steps, which are not there yet, replaced by what they will hold."""
        query = query.copy()
        for step in reversed(self._steps):
            for table in tables(query):
                if table.name == step.table:
                    assert step.query is not None
                    table.replace(exp.Subquery(this=step.query.copy(), alias=table.args["alias"].copy()))
        return query

    def _distinct(self, select: exp.Select) -> exp.Query:
        names = output_names(select)
        inner = select.copy()
        inner.set("distinct", None)
        return self._grouped_by_all(inner, names, self._alias())

    def _grouped_by_all(
        self, inner: exp.Query, names: list[str], alias: str, having: exp.Expr | None = None
    ) -> exp.Query:
        select = exp.Select(expressions=[named(column(alias, name), name) for name in names])
        derived = exp.Subquery(this=inner, alias=_alias_of(alias))
        select.set("from_", exp.From(this=derived))
        select.set("group", exp.Group(expressions=[column(alias, name) for name in names]))
        if having is not None:
            select.set("having", exp.Having(this=having))
        return self._grouped(select)

    def _set_operation(self, query: exp.SetOperation) -> exp.Query:
        names = output_names(query)
        if isinstance(query, exp.Union):
            every = query.copy()
            for union in every.find_all(exp.Union):
                if _only_unions_between(union, every):
                    union.set("distinct", False)
            return self._grouped_by_all(every, names, self._alias())
        if not query.args.get("distinct"):
            raise Recomputed("INTERSECT ALL and EXCEPT ALL look at all rows of both sides")
        sides = []
        for number, side in enumerate((query.left, query.right)):
            alias = self._alias()
            own_names = output_names(side)
            marked = exp.Select(
                expressions=[named(column(alias, one), name) for one, name in zip(own_names, names, strict=True)]
            )
            for mark in range(2):
                value = exp.Literal.number(1) if mark == number else exp.Null()
                marked.append("expressions", named(exp.Cast(this=value, to=exp.DataType.build("int")), _MARKS[mark]))
            derived = exp.Subquery(this=side.copy(), alias=_alias_of(alias))
            marked.set("from_", exp.From(this=derived))
            sides.append(marked)
        both = exp.Union(this=sides[0], expression=sides[1], distinct=False)
        alias = self._alias()
        counts = [exp.Count(this=column(alias, mark)) for mark in _MARKS]
        zero = exp.Literal.number(0)
        right = exp.EQ if isinstance(query, exp.Except) else exp.GT
        having = exp.And(
            this=exp.GT(this=counts[0], expression=zero), expression=right(this=counts[1], expression=zero.copy())
        )
        return self._grouped_by_all(both, names, alias, having)


def _alias_of(name: str) -> exp.TableAlias:
    return exp.TableAlias(this=exp.to_identifier(name, quoted=True))


_MARKS = ("flashql_left", "flashql_right")


def _only_unions_between(inner: exp.Expr, outer: exp.Expr) -> bool:
    """Whether a UNION is a side of another, of a side of it, and so on: duplicates are left out by the outermost."""
    while inner is not outer:
        if (
            not isinstance(inner.parent, (exp.Union, exp.Subquery))
            or inner.args.get("limit")
            or inner.args.get("offset")
        ):
            return False
        if isinstance(inner.parent, exp.Subquery) and inner.parent.args.get("alias"):
            return False
        inner = inner.parent
    return True


def _orders_distinct(query: exp.Expr) -> bool:
    distinct = query.args.get("distinct")
    return isinstance(distinct, exp.Distinct) and distinct.args.get("on") is not None


def _place_of(term: exp.Expr, query: exp.Query, names: list[str]) -> str | None:
    """The name of the query's column that an ORDER BY term is, by number or by being the same."""
    if isinstance(term, exp.Literal) and not term.is_string:
        return names[int(term.this) - 1]
    if isinstance(query, exp.Select):
        for item in query.expressions:
            if sql(item.unalias()) == sql(term):
                return str(item.alias_or_name)
    if isinstance(term, exp.Column) and not term.table and term.name in names:
        return str(term.name)
    return None


def shown_sql(steps: Steps, schema: str) -> str:
    """What the view shows, as SQL."""
    return sql(steps.shown or _all_of(steps, schema))


def _all_of(steps: Steps, schema: str) -> exp.Select:
    return exp.select("*").from_(exp.table_(steps.last.table, db=schema, alias=steps.last.table, quoted=True))
