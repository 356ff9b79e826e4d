"""FROM: tables, subqueries, CTEs, VALUES and joins, as sources whose columns a query level sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sqlglot import exp

from flashql.catalog import Table
from flashql.errors import DefinitionError, NotSupported
from flashql.planner.collations import Locale, joint
from flashql.planner.literals import NUMERIC
from flashql.planner.operators import compared, unified
from flashql.planner.relations import Relation, item
from flashql.planner.scalars import Scalar, function, operand, refuse
from flashql.planner.scopes import (
    Level,
    Namespace,
    Output,
    Scope,
    Source,
    base_source,
    derived_source,
    folded,
    local_names,
)
from flashql.planner.scopes import unsupported_clause as unsupported
from flashql.planner.set_functions import (
    BIGINT,
    HIDDEN,
    called_name,
    columns_of,
    in_days,
    may_raise,
    numbered,
    shielded,
)
from flashql.planner.transpile import condition

_OUTER: Final = {"LEFT", "RIGHT", "FULL"}


class Queries(Protocol):
    """What FROM asks of the rest: to translate what stands in it."""

    @property
    def locale(self) -> Locale:
        """The origin's collations."""

    def table(self, schema: str | None, name: str) -> Table:
        """The origin's table of that name."""

    def query(self, node: exp.Expr, outer: Level | None, level: Level) -> Relation:
        """A query in FROM of `level`, which sees the columns of `outer`."""

    def values(self, node: exp.Values, level: Level) -> Relation:
        """VALUES."""

    def scope(self, level: Level) -> Scope:
        """What expressions at this level see."""


@dataclass
class From:
    """A FROM clause on its way: the level that sees it, and whoever translates what is in it."""

    level: Level
    queries: Queries
    begin: int = 0  # where the columns of the present item and what is joined to it begin in `*`
    first: int = 0  # ... and its place among all items
    select: exp.Select | None = None  # the one that is translated
    raising: list[exp.Expr] = field(default_factory=list)  # of lists that must not be asked of what WHERE leaves out

    def clause(self, select: exp.Select) -> tuple[exp.From | None, list[exp.Join]]:
        """FROM and joins of the translation, in an order that means the same as a plain left-to-right chain."""
        self.select = select
        first = select.args.get("from_")
        if first is None:
            return None, []
        if select.args.get("laterals"):
            raise unsupported("LATERAL VIEW")
        groups: list[tuple[exp.Expr, list[exp.Join]]] = [(first.this, [])]
        for join in _joins(select, first.this):
            if _is_comma(join):
                groups.append((join.this, _joins(None, join.this)))
            else:
                groups[-1][1].append(join)
        shown = [self._group(head, joins, nested=len(groups) > 1) for head, joins in groups]
        start, joins = shown[0]
        for head, more in shown[1:]:
            joins += [exp.Join(this=head, kind="CROSS"), *more]
        return exp.From(this=start), joins

    def _group(self, head: exp.Expr, joins: Sequence[exp.Join], *, nested: bool) -> tuple[exp.Expr, list[exp.Join]]:
        """An item of FROM and what is joined to it; outer joins to the right of a comma see only that item."""
        if nested and any(join.side in ("RIGHT", "FULL") for join in joins):
            return self._enclosed(head, joins), []
        self.begin, self.first = len(self.level.namespace.star), len(self.level.namespace.sources)
        start = self._item(head)
        return start, [self._join(join) for join in joins]

    def _enclosed(self, head: exp.Expr, joins: Sequence[exp.Join]) -> exp.Expr:
        """Joins in parentheses: a subquery whose columns are those of everything in it."""
        inner = Level(self.level.reads, self.level.names, Namespace(), self.level.outer, self.level.ctes)
        part = From(inner, self.queries, select=self.select, raising=self.raising)
        start = part._item(head)
        made = [part._join(join) for join in joins]
        alias = self.level.names.unique("joined")
        everything = [output for source in inner.namespace.sources for output in source.columns]
        everything += [output for output in inner.namespace.star if all(output is not one for one in everything)]
        for output in everything:
            self.level.reads.add(output.bases, computed=False)
        locals_ = local_names(everything)
        select = exp.Select(expressions=[item(o, name) for o, name in zip(everything, locals_, strict=True)])
        select.set("from_", exp.From(this=start))
        select.set("joins", made)
        outside = dict(zip(map(id, everything), derived_source(everything, "", alias, ()).columns, strict=True))
        for source in inner.namespace.sources:
            columns = tuple(outside[id(output)] for output in source.columns)
            self._see(replace(source, columns=columns), [])
        self.level.namespace.star += [outside[id(output)] for output in inner.namespace.star]
        return exp.Subquery(this=select, alias=_alias(alias))

    def _see(self, source: Source, star: Sequence[Output]) -> None:
        namespace = self.level.namespace
        if source.name and namespace.source(source.name, None) is not None:
            raise DefinitionError(f'table name "{source.name}" specified more than once')
        namespace.sources.append(source)
        namespace.star.extend(star)

    # -- items

    def _item(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            return self._named(node)
        if isinstance(node, (exp.Table, exp.Lateral)) and (node.args.get("rows_from") or called_name(node.this)):
            return self._functions(node)
        if isinstance(node, exp.Values):
            return self._derived(node, self.queries.values(node, self.level), lateral=False)
        if isinstance(node, exp.Subquery) and isinstance(node.this, (exp.Table, exp.Subquery)) and not node.alias:
            inner = node.this
            joins = _joins(None, inner)
            if isinstance(inner, exp.Table) or joins:
                return self._enclosed(inner, joins) if joins else self._item(inner)
        if isinstance(node, exp.Subquery) and isinstance(node.this, (exp.Query, exp.Values)):
            _only(node, {"this", "alias"})
            return self._derived(node, self.queries.query(node.this, self.level.outer, self.level), lateral=False)
        if isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            _only(node, {"this", "alias"})
            return self._derived(node, self.queries.query(node.this, self.level, self.level), lateral=True)
        raise refuse(f"{node.sql('postgres')} in FROM")

    def _named(self, node: exp.Table) -> exp.Expr:
        _only(node, {"this", "db", "catalog", "alias", "joins"})
        if node.catalog:
            raise NotSupported(f"{node.sql('postgres')} names a database; the origin's DSN already does")
        name, schema = folded(node.this), folded(node.args["db"]) if node.args.get("db") else None
        shown, renamed = _shown(node, name)
        names = self.level.names
        cte = self.level.ctes.get(name) if schema is None else None
        if cte is not None:
            alias = names.unique(shown)
            self._add(derived_source(cte.outputs, shown, alias, renamed))
            return exp.Table(this=exp.to_identifier(cte.alias, quoted=True), alias=_alias(alias))
        table = self.queries.table(schema, name)
        key = self.level.reads.add_table(table)
        alias = names.unique(shown)
        self._add(base_source(table, key, shown, alias, renamed, bare=not node.alias))
        return exp.Table(
            this=exp.to_identifier(table.name, quoted=True),
            db=exp.to_identifier(table.schema, quoted=True),
            alias=_alias(alias),
        )

    def _derived(self, node: exp.Expr, relation: Relation, *, lateral: bool) -> exp.Expr:
        relation = relation.settled()
        shown, renamed = _shown(node, "")
        alias = self.level.names.unique(shown or "subquery")
        self._add(derived_source(relation.outputs, shown, alias, renamed))
        subquery = exp.Subquery(this=relation.tree, alias=None if lateral else _alias(alias))
        return exp.Lateral(this=subquery, alias=_alias(alias)) if lateral else subquery

    def _functions(self, node: exp.Table | exp.Lateral) -> exp.Expr:
        """Set-returning functions side by side, as a SELECT of the elements of lists."""
        _only(node, {"this", "alias", "rows_from", "ordinality", "joins"})
        given = node.args.get("rows_from") or [node]
        calls = [one.this if isinstance(one, (exp.Table, exp.Lateral)) else one for one in given]
        here, scope = self.level.read_here, self.queries.scope(self.level)
        found = [(one, column) for one in calls for column in columns_of(one, scope)]
        shown, renamed = _shown(node, called_name(calls[0]) or "")
        if any(column.of_days for _, column in found):
            in_days(self.select, {shown, *renamed})
        names = [column.name or (shown if len(calls) == 1 else called_name(one) or "") for one, column in found]
        outputs = [Output(name, column.element) for name, (_, column) in zip(names, found, strict=True)]
        selected = [function("UNNEST", column.rows) for _, column in found]
        if node.args.get("ordinality"):
            outputs.append(Output("ordinality", Scalar(exp.Null(), BIGINT)))
            selected.append(function("UNNEST", numbered(*(column.rows for _, column in found))))
        self.raising += selected if any(map(may_raise, calls)) else []
        alias = self.level.names.unique(shown)
        source = derived_source(outputs, shown, alias, renamed)
        whole = source.columns[0] if len(outputs) == 1 else None
        self._see(replace(source, whole=whole), [] if shown == HIDDEN else source.columns)
        columns = zip(selected, local_names(outputs), strict=True)
        select = exp.Select(expressions=[exp.alias_(one, name, quoted=True) for one, name in columns])
        lateral = self.level.read_here > here
        subquery = exp.Subquery(this=select, alias=None if lateral else _alias(alias))
        return exp.Lateral(this=subquery, alias=_alias(alias)) if lateral else subquery

    def _add(self, source: Source) -> None:
        self._see(source, source.columns)

    # -- joins

    def _join(self, join: exp.Join) -> exp.Join:
        _only(join, {"this", "side", "kind", "method", "on", "using"})
        seen, items = len(self.level.namespace.star), len(self.level.namespace.sources)
        nested = _joins(None, join.this)
        right = self._enclosed(join.this, nested) if nested else self._item(join.this)
        before, after = self.level.namespace.star[self.begin : seen], self.level.namespace.star[seen:]
        side = (join.side or "").upper()
        if (join.kind or "").upper() not in ("", "INNER", "OUTER", "CROSS"):
            raise refuse(f"{join.sql('postgres')} in FROM")
        made = exp.Join(this=right, side=side or None)
        self._may_lack(items, side)
        if side in ("RIGHT", "FULL"):
            self.raising.clear()  # a row that finds no match there is let through by conditions on it
        shared = self._shared(join, before, after)
        if shared is not None:
            made.set("on", self._merge(shared, before, after, side))
        elif join.args.get("on") is not None:
            made.set("on", condition(join.args["on"], self.queries.scope(self.level)).unnest())
            if not side:
                shielded(self.raising, made.args["on"])
        if made.args.get("on") is None:
            if side in _OUTER:
                made.set("on", exp.true())
            else:
                made.set("kind", "CROSS")
        return made

    def _may_lack(self, joined: int, side: str) -> None:
        """Note of which items an outer join may have no row: `joined` is the place of the first that it joins."""
        sources = self.level.namespace.sources
        for at in range(self.first, len(sources)):
            if side == "FULL" or side == ("LEFT" if at >= joined else "RIGHT"):
                sources[at] = replace(sources[at], nullable=True)

    def _shared(self, join: exp.Join, left: Sequence[Output], right: Sequence[Output]) -> list[str] | None:
        """The columns that USING or NATURAL equates; None when neither is there."""
        if join.args.get("using"):
            return [folded(one if isinstance(one, exp.Identifier) else one.this) for one in join.args["using"]]
        if (join.method or "").upper() == "NATURAL":
            names = {one.name for one in right}
            return [one.name for one in left if one.name in names]
        return None

    def _merge(
        self, shared: Sequence[str], left: Sequence[Output], right: Sequence[Output], side: str
    ) -> exp.Expr | None:
        """The condition of USING; the level's `*` afterwards shows each shared column once, first."""
        merged, tests = [], []
        for name in shared:
            one, other = _only_one(left, name), _only_one(right, name)
            for output in (one, other):
                self.level.reads.add(output.bases, computed=True)
            tests.append(compared(exp.EQ, [one.value, other.value]).node)
            merged.append(_merged(name, one, other, side))
        rest = [one for one in (*left, *right) if one.name not in shared]
        self.level.namespace.star[self.begin :] = [*merged, *rest]
        return exp.and_(*(operand(test) for test in tests), copy=False) if tests else None


def _merged(name: str, left: Output, right: Output, side: str) -> Output:
    """The column that USING shows: the side that is never null, or for FULL the one that is not."""
    if left.value.type != right.value.type or (side == "FULL" and left.value.oid == NUMERIC):
        ready, model = unified([left.value, right.value], "USING")
        values = [Scalar(one.node, model.type, model.collation, bounds=one.bounds) for one in ready]
    else:
        values = [left.value, right.value]
    if side != "FULL":
        at = 1 if side == "RIGHT" else 0
        same = values[at] is (left, right)[at].value
        return Output(name, values[at], (left, right)[at].bases if same else ())
    both = exp.Coalesce(this=values[0].node.copy(), expressions=[values[1].node.copy()])
    collation = joint(one.collation for one in values)
    return Output(name, Scalar(both, values[0].type, collation, bounds=values[0].bounds))


def _only_one(columns: Sequence[Output], name: str) -> Output:
    found = [one for one in columns if one.name == name]
    if len(found) != 1:
        raise DefinitionError(f'common column name "{name}" appears {len(found)} times in one side of a join')
    return found[0]


def _is_comma(join: exp.Join) -> bool:
    return not any(join.args.get(part) for part in ("side", "kind", "method", "on", "using"))


def _joins(select: exp.Expr | None, head: exp.Expr) -> list[exp.Join]:
    own = select.args.get("joins") if select is not None else None
    return [*(head.args.get("joins") or ()), *(own or ())]


def _shown(node: exp.Expr, name: str) -> tuple[str, list[str]]:
    """What an item is called: its alias or `name`, and its alias's names for columns."""
    alias = node.args.get("alias")
    if alias is None:
        return name, []
    return folded(alias.this) if alias.this else name, [folded(column) for column in alias.columns]


def _alias(name: str) -> exp.TableAlias:
    return exp.TableAlias(this=exp.to_identifier(name, quoted=True))


def _only(node: exp.Expr, understood: set[str]) -> None:
    odd = [name for name, value in node.args.items() if value and name not in understood]
    if odd:
        raise refuse(f"{node.sql('postgres')} ({', '.join(odd)})")


def place_equalities(select: exp.Select) -> None:
    """Put `a.x = b.y` of WHERE into the join that brings the later of the two, where all joins are inner ones.

    That means the same, and DuckDB then joins by it though another condition may raise, which it does not move.
    """
    joins, where = select.args.get("joins") or [], select.args.get("where")
    if where is None or any(join.side or isinstance(join.this, exp.Lateral) for join in joins):
        return
    places = {join.this.alias: at for at, join in enumerate(joins)}
    places[select.args["from_"].this.alias] = -1
    rest = []
    for one in _conjuncts(where.this):
        sides = [side.unnest() for side in (one.this, one.expression)] if isinstance(one, exp.EQ) else []
        tables = {side.table for side in sides if isinstance(side, exp.Column) and side.table in places}
        if len(tables) < 2:
            rest.append(one)
            continue
        join = joins[max(places[table] for table in tables)]
        known = join.args.get("on")
        join.set("kind", None)
        join.set("on", one if known is None else exp.And(this=operand(known), expression=operand(one)))
    kept = exp.and_(*map(operand, rest), copy=False) if len(rest) > 1 else next(iter(rest), None)
    select.set("where", None if kept is None else exp.Where(this=kept))


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(node.unnest(), exp.And):
        for side in (node.unnest().this, node.unnest().expression):
            yield from _conjuncts(side)
    else:
        yield node.unnest()
