"""Which columns of a view a SELECT may read, and which source of it a column reference names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from flashql.catalog import Column
from flashql.planner.references import Reference
from flashql.quoting import fold

# Identifiers below these name something new, or are read with the whole reference.
_NAMING = (exp.Column, exp.Alias, exp.TableAlias, exp.Table)


@dataclass(frozen=True, eq=False)
class Source:
    """One item of a SELECT's FROM: a table, subquery or function."""

    alias: str  # in lower case
    table: exp.Expr
    join: exp.Join | None  # None for the first
    columns: Mapping[str, Column] | None  # None when they are not known here
    qualifier: tuple[str, str] | None = None  # schema and name, in lower case, usable where there is no alias

    def has(self, name: str) -> bool:
        """Whether it has a column of this name, in any case."""
        return self.columns is not None and any(fold(key) == fold(name) for key in self.columns)


def sources_of(
    select: exp.Select, references: Sequence[Reference], views: Mapping[str, Mapping[str, Column]]
) -> tuple[Source, ...]:
    """The sources of a SELECT in order; the columns of those that are views are known."""
    known = {id(reference.table): reference for reference in references}
    return tuple(_source(item, join, known.get(id(item)), views) for item, join in _items(select))


def _items(select: exp.Select) -> list[tuple[exp.Expr, exp.Join | None]]:
    from_, joins = select.args.get("from_"), select.args.get("joins") or []
    return ([(from_.this, None)] if from_ is not None else []) + [(join.this, join) for join in joins]


def _source(
    item: exp.Expr,
    join: exp.Join | None,
    reference: Reference | None,
    views: Mapping[str, Mapping[str, Column]],
) -> Source:
    if reference is None or not isinstance(item, exp.Table) or item.alias_column_names:
        return Source(fold(item.alias_or_name), item, join, None)
    qualifier = None if reference.has_alias or not item.db else (fold(item.db), fold(item.name))
    return Source(fold(reference.alias), item, join, views[reference.relation_id], qualifier)


def owns_all(expression: exp.Expr, source: Source, sources: Sequence[Source]) -> bool:
    """Whether every column in the expression surely is the source's; False for anything with a subquery."""
    if expression.find(exp.Query, exp.Star, exp.Columns, exp.PositionalColumn):
        return False
    return all(_owns(column, source, sources) for column in expression.find_all(exp.Column))


def _owns(column: exp.Column, source: Source, sources: Sequence[Source]) -> bool:
    if not source.has(column.name):
        return False
    if column.db:
        return source.qualifier == (fold(column.db), fold(column.table))
    others = [other for other in sources if other is not source]
    if column.table:
        alone = all(other.alias != source.alias for other in others)
        return alone and fold(column.table) == source.alias and not source.has(column.table)
    return all(other.columns is not None and not other.has(column.name) for other in others)


def needed_columns(select: exp.Select, source: Source, sources: Sequence[Source]) -> tuple[str, ...]:
    """The source's columns whose names occur where they may mean it, in the view's order."""
    columns = tuple(source.columns or ())
    if any(join.method == "NATURAL" for join in (s.join for s in sources) if join is not None):
        return columns
    names: set[str] = set()
    for node in select.walk():
        if _reads_all(node, select, source):
            return columns
        names.update(_named(node, source))
    return tuple(name for name in columns if fold(name) in names)


def _reads_all(node: exp.Expr, select: exp.Select, source: Source) -> bool:
    """Whether the node stands for every column: `*`, `alias.*`, COLUMNS(...), `#1`, or the row as a value."""
    if isinstance(node, exp.Columns | exp.PositionalColumn):
        return True
    if isinstance(node, exp.Column):
        if isinstance(node.this, exp.Star):
            return bool(node.db) or fold(node.table) == source.alias
        return fold(node.name) == source.alias and not node.table
    if isinstance(node, exp.Star):
        in_column = isinstance(node.parent, exp.Column | exp.Count)
        return not in_column and node.find_ancestor(exp.Select) is select
    return False


def _named(node: exp.Expr, source: Source) -> Iterator[str]:
    """Names that the node mentions, in lower case: more than are meant, never fewer."""
    if isinstance(node, exp.Column):
        qualifier = fold(node.parts[0].name) if node.table else source.alias
        if qualifier != source.alias and not node.db and not source.has(qualifier):
            return  # another source's, or that of a query around
        yield from (fold(part.name) for part in node.parts)
    elif isinstance(node, exp.Var) or (isinstance(node, exp.Identifier) and not isinstance(node.parent, _NAMING)):
        yield fold(node.name)


def qualified_spans(reference: Reference) -> Iterator[list[exp.Expr]]:
    """The parts `schema.name` of column references that mean this reference, as identifiers."""
    table = reference.table
    if table is None or reference.has_alias or not table.db:
        return
    qualifier = (fold(table.db), fold(table.name))
    scope = reference.select or table.root()
    for column in scope.find_all(exp.Column):
        if (fold(column.db), fold(column.table)) == qualifier and _nearest(column, qualifier) in (
            None,
            table,
        ):
            yield column.parts[:-1]


def _nearest(column: exp.Column, qualifier: tuple[str, str]) -> exp.Expr | None:
    """The table of this name, without an alias, in the innermost SELECT around the column that has one."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        for item, _ in _items(select):
            names = [fold(part.name) for part in item.parts] if isinstance(item, exp.Table) else []
            if tuple(names[-2:]) == qualifier and not item.alias:
                return item
        select = select.find_ancestor(exp.Select)
    return None
