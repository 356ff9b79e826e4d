"""GROUP BY: keys, grouping sets, and columns that the key of their table determines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from flashql.planner.blocks import is_aggregate
from flashql.planner.literals import JSONB
from flashql.planner.operators import key_of
from flashql.planner.relations import Relation, check_groupable, typed
from flashql.planner.scalars import Scalar, cast, refuse
from flashql.planner.scopes import Level, Scope, folded, settled
from flashql.planner.transpile import translate


@dataclass
class Grouping:
    """The GROUP BY of a SELECT, at its level."""

    level: Level
    scope: Scope
    documents: list[exp.Expr] = field(default_factory=list)  # keys of jsonb

    def apply(self, node: exp.Select, relation: Relation) -> None:
        """Put the GROUP BY of `node` into its translation."""
        group = node.args.get("group")
        if group is None:
            return
        odd = [name for name, value in group.args.items() if value and name != "expressions"]
        if odd or group.args.get("all") is False:  # so sqlglot reads DISTINCT
            raise refuse(group.sql("postgres").strip() if odd else "GROUP BY DISTINCT")
        made = [self._element(one, relation) for one in group.expressions]
        plain = all(not isinstance(one, (exp.GroupingSets, exp.Rollup, exp.Cube, exp.Tuple)) for one in made)
        if not plain and any(one.find(exp.Column) is None for element in made for one in _keys(element)):
            # Where a set lacks it, it is NULL; but in the select list it is a constant like any other, and may be cast.
            raise refuse("a constant among the keys of grouping sets")
        if self.documents and not plain:
            raise refuse("jsonb among the keys of grouping sets", "Group by what is in it.")
        for document in self.documents:
            _show(relation.tree, document)
        keys = {one.sql("duckdb") for element in made for one in _keys(element)}
        for column in self._ungrouped(relation.tree, keys):
            if not plain:
                raise refuse(f"column {column.name}, which depends on a grouping set's columns,")
            if not any(_is_of(one, column.table) for one in made):  # no primary key of its table can be there
                raise refuse(f"column {column.name} within another expression than GROUP BY has it in")
            made.append(column.copy())
            keys.add(column.sql("duckdb"))
        relation.tree.set("group", exp.Group(expressions=made))

    def _element(self, one: exp.Expr, relation: Relation) -> exp.Expr:
        if isinstance(one, (exp.GroupingSets, exp.Rollup, exp.Cube)):
            return type(one)(expressions=[self._element(inner, relation) for inner in one.expressions])
        if isinstance(one, exp.Tuple):
            return exp.Tuple(expressions=[self._key(inner, relation) for inner in one.expressions])
        return self._key(one, relation)

    def _key(self, one: exp.Expr, relation: Relation) -> exp.Expr:
        while isinstance(one, exp.Paren):
            one = one.this
        value = settled(self._value(one, relation))
        check_groupable(value, "GROUP BY")
        key = typed(value)
        if value.oid == JSONB and not isinstance(key, exp.Literal):
            self.documents.append(key)
            key = key_of(value)
        # A number would be a column's place.
        return cast(key, "VARCHAR" if key.is_string else "INTEGER") if isinstance(key, exp.Literal) else key

    def _value(self, one: exp.Expr, relation: Relation) -> Scalar:
        """A key's value: a place or a name of the select list, but a column of FROM comes before a name."""
        if isinstance(one, exp.Literal) and not one.is_string:
            return self._output(int(one.name) - 1, relation)
        if isinstance(one, exp.Column) and not one.table and isinstance(one.this, exp.Identifier):
            name = folded(one.this)
            if all(column.name != name for column in self.level.namespace.star):
                for at, output in enumerate(relation.outputs):
                    if output.name == name:
                        return self._output(at, relation)
        return translate(one, self.scope)

    def _output(self, at: int, relation: Relation) -> Scalar:
        self.level.reads.add(relation.outputs[at].bases, computed=True)
        return relation.outputs[at].value

    def _ungrouped(self, tree: exp.Query, keys: set[str]) -> Iterator[exp.Column]:
        """Columns of this level outside aggregates and keys: Postgres has checked that the keys determine them."""
        aliases = {
            column.value.node.table
            for source in self.level.namespace.sources
            for column in source.columns
            if isinstance(column.value.node, exp.Column)
        }
        seen: set[str] = set()
        clauses = (tree.args.get(clause) for clause in ("having", "order", "distinct"))
        for part in (*tree.expressions, *(clause for clause in clauses if clause is not None)):
            for column in _outside(part, keys):
                spelled = column.sql("duckdb")
                if column.table in aliases and spelled not in seen:
                    seen.add(spelled)
                    yield column


def _show(tree: exp.Query, document: exp.Expr) -> None:
    """Of a group's documents, which are equal but may be spelled otherwise (1.0 and 1.00), show the first as text."""
    shown = cast(exp.Min(this=cast(document.copy(), "TEXT")), "JSON")
    for clause in ("expressions", "having", "order", "distinct"):
        value = tree.args.get(clause)
        for part in value if isinstance(value, list) else [value] if value is not None else []:
            for one in list(_spelled(part, document.sql("duckdb"))):
                one.replace(shown.copy())


def _spelled(node: exp.Expr, spelling: str) -> Iterator[exp.Expr]:
    """Where an expression stands outside of aggregates."""
    if node.sql("duckdb") == spelling:
        yield node
    elif isinstance(node, exp.Window):
        inner = node.this.this if isinstance(node.this, exp.Filter) else node.this
        for child in (*inner.iter_expressions(), *node.iter_expressions()):
            if child is not node.this:
                yield from _spelled(child, spelling)
    elif not is_aggregate(node) and not isinstance(node, exp.Filter):
        for child in node.iter_expressions():
            yield from _spelled(child, spelling)


def _is_of(key: exp.Expr, alias: str) -> bool:
    return isinstance(key, exp.Column) and key.table == alias


def _outside(node: exp.Expr, keys: set[str]) -> Iterator[exp.Column]:
    """Columns in an expression that are not inside of a key or of an aggregate's arguments."""
    if node.sql("duckdb") in keys:
        return
    if isinstance(node, exp.Column):
        yield node
        return
    if isinstance(node, exp.Window):
        inner = node.this.this if isinstance(node.this, exp.Filter) else node.this
        for child in (*inner.iter_expressions(), *node.iter_expressions()):
            if child is not node.this:
                yield from _outside(child, keys)
        return
    if is_aggregate(node) or isinstance(node, exp.Filter):
        return
    for child in node.iter_expressions():
        yield from _outside(child, keys)


def _keys(element: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(element, (exp.GroupingSets, exp.Rollup, exp.Cube, exp.Tuple)):
        for inner in element.expressions:
            yield from _keys(inner)
    else:
        yield element
