"""A translated query: its tree in DuckDB's dialect and the columns it returns; how two become one set operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType, ladder
from flashql.planner.collations import joint
from flashql.planner.literals import BPCHAR, JSONB, NUMERIC, UNKNOWN
from flashql.planner.operators import check_comparable
from flashql.planner.scalars import Scalar, cast, coerced, numeric_bounds, refuse
from flashql.planner.scopes import Output, Reads, local_names, settled

_SLOT: Final = exp.column("flashql_slot")  # stands for a column's value in every branch of a set operation

_OF_ITSELF: Final[dict[str, tuple[type[exp.Expr], ...]]] = {
    "BIGINT": (exp.Count, exp.RowNumber, exp.Rank, exp.DenseRank),
    "DOUBLE": (exp.PercentRank, exp.CumeDist),
    "BOOLEAN": (
        *(exp.Boolean, exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Exists, exp.LogicalAnd, exp.LogicalOr, exp.Like),
        *(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    ),
}


@dataclass(frozen=True)
class Relation:
    """A translated query. Its tree's columns are named `local_names(outputs)`."""

    tree: exp.Query
    outputs: tuple[Output, ...]

    def retyped(self, at: int, value: Scalar) -> Relation:
        """With `value` as the column's: an expression over what `slot(at)` gave."""
        _put(self.tree, at, value.node)
        outputs = list(self.outputs)
        outputs[at] = replace(outputs[at], value=value, bases=outputs[at].bases if value.node == _SLOT else ())
        return replace(self, outputs=tuple(outputs))

    def settled(self) -> Relation:
        """With a type for every column: constants without one are text from here on."""
        relation = self
        for at, output in enumerate(self.outputs):
            if output.value.oid == UNKNOWN:
                value = settled(output.value)
                relation = relation.retyped(at, replace(value, node=typed(value)))
        return relation

    def slot(self, at: int) -> Scalar:
        """The column's value, as something to compute with: a constant is itself, anything else a placeholder."""
        value = self.outputs[at].value
        if value.number is not None or value.text is not None or value.is_null:
            return value
        return replace(value, node=_SLOT.copy())


def _put(tree: exp.Expr, at: int, node: exp.Expr) -> None:
    """Replace column `at` of every SELECT that the tree is made of, by `node` with the old value for its slots."""
    if isinstance(tree, exp.SetOperation):
        _put(tree.this, at, node)
        _put(tree.expression, at, node)
    elif isinstance(tree, exp.Subquery):
        _put(tree.this, at, node)
    else:
        item = tree.expressions[at]
        old = item.this
        item.set("this", node.copy().transform(lambda one: old.copy() if one == _SLOT else one))


def item(output: Output, local: str) -> exp.Expr:
    """An item of a select list, of exactly the type it is said to have."""
    return exp.alias_(typed(output.value), local, quoted=True)


def typed(value: Scalar) -> exp.Expr:
    """The value's node, cast where DuckDB would give it another type than Postgres's."""
    node = value.node
    if isinstance(node, exp.Column) or value.oid in (NUMERIC, UNKNOWN):
        return node
    local = ladder(value.type)[0].name
    target = exp.DataType.build(local, dialect="duckdb")
    if (isinstance(node, exp.Cast) and node.to == target) or _is_a(node, local):
        return node
    return cast(node, local)


def _is_a(node: exp.Expr, local: str) -> bool:
    """Whether DuckDB gives the node that type by itself, whatever is in it."""
    while isinstance(node, (exp.Paren, exp.Window, exp.Filter)):
        node = node.this
    return isinstance(node, _OF_ITSELF.get(local, ()))


def check_groupable(value: Scalar, what: str) -> None:
    """Raise `NotSupported` unless equal values of the type are equal in both databases."""
    value = settled(value)
    if value.oid == BPCHAR and value.type.typmod < 0:
        raise refuse(f"{what} of char without a length", "Cast it to text.")
    if value.oid == NUMERIC and numeric_bounds(value.type) is None and value.bounds is None:
        return  # a DECIMAL of some scale: equal numbers are equal
    check_comparable(value.type, [value], ordering=False)


def combined(kind: type[exp.SetOperation], left: Relation, right: Relation, *, distinct: bool) -> Relation:
    """`left kind right`, every column of one type; raises `NotSupported` where that or equality is not the same."""
    what = f"{kind.key.upper()}{'' if distinct else ' ALL'}"
    assert len(left.outputs) == len(right.outputs), "Postgres has described the query"
    for at in range(len(left.outputs)):
        left, right = _unified(left, right, at, what)
    outputs = []
    for one, other in zip(left.outputs, right.outputs, strict=True):
        outputs.append(_merged(one, other))
        if distinct or kind is not exp.Union:
            check_groupable(outputs[-1].value, what)
            if outputs[-1].value.oid == JSONB and (kind is not exp.Union or not distinct):
                raise refuse(f"{what} of jsonb", "Write it with EXISTS or NOT EXISTS.")
    tree = kind(this=_branch(left.tree), expression=_branch(right.tree), distinct=distinct)
    _rename(tree.this, local_names(outputs))
    return Relation(tree, tuple(outputs))


def recursive(first: Relation, second: Relation, reads: Reads, *, distinct: bool) -> Relation:
    """`first UNION second` where `second` reads the whole: every column has the type it has in `first`."""
    for at, (ours, theirs) in enumerate(zip(first.outputs, second.outputs, strict=True)):
        without_size = ours.value.oid == NUMERIC and ours.value.bounds is None
        if without_size:
            first, second = _unified(first, second, at, "WITH RECURSIVE")
        elif ours.value.oid == NUMERIC and not _fits(theirs.value, ours.value):
            raise refuse(
                f"column {ours.name} of WITH RECURSIVE, which grows,", "Cast it to numeric(p,s) in both parts."
            )
        reads.add((*ours.bases, *theirs.bases), computed=True)
        if theirs.value.oid == UNKNOWN and not without_size:
            second = second.settled()
        elif ours.value.oid != NUMERIC:
            node = cast(_SLOT.copy(), ladder(ours.value.type)[0].name)
            second = second.retyped(at, replace(theirs.value, node=node))
        if distinct:
            check_groupable(ours.value, "UNION")
            if ours.value.oid == JSONB:
                raise refuse("jsonb in WITH RECURSIVE ... UNION", "Write UNION ALL, or select what is in it.")
    tree = exp.Union(this=_branch(first.tree), expression=_branch(second.tree), distinct=distinct)
    return Relation(tree, tuple(replace(one, bases=()) for one in first.outputs))


def _fits(value: Scalar, into: Scalar) -> bool:
    """Whether every numeric of one size has the other."""
    if value.bounds is None or into.bounds is None:
        return False
    return value.bounds[1] <= into.bounds[1] and value.bounds[0] - value.bounds[1] <= into.bounds[0] - into.bounds[1]


def _branch(tree: exp.Query) -> exp.Query:
    """In parentheses where it has clauses of its own that would otherwise be the whole's."""
    own = any(tree.args.get(clause) for clause in ("order", "limit", "offset", "with_"))
    return exp.Subquery(this=tree) if own or isinstance(tree, exp.SetOperation) else tree


def _rename(tree: exp.Expr, names: Sequence[str]) -> None:
    """A set operation's columns have the names of its first SELECT."""
    if isinstance(tree, (exp.SetOperation, exp.Subquery)):
        _rename(tree.this, names)
    else:
        for one, name in zip(tree.expressions, names, strict=True):
            one.set("alias", exp.to_identifier(name, quoted=True))


def _unified(left: Relation, right: Relation, at: int, what: str) -> tuple[Relation, Relation]:
    """Both with column `at` of the type that Postgres resolves for the two."""
    sides = [left.slot(at), right.slot(at)]
    if {side.oid for side in sides} & {BPCHAR} and sides[0].type != sides[1].type:
        raise refuse(f"{what} of char(n) and something else", "Cast it to text.")
    if all(side.is_null for side in sides):
        ready = [settled(side) for side in sides]
    elif sides[0].type == sides[1].type and sides[0].oid not in (UNKNOWN, NUMERIC):
        ready = sides
    else:
        given = [settled(s) if _both_constant(sides) else s for s in sides]
        ready = coerced(given, what, comparing=False, apart=True)
        model = next(one for one in ready if not one.is_null)
        ready = [Scalar(one.node, model.type, model.collation) if one.is_null else one for one in ready]
    cast_ready = [replace(one, node=typed(one)) for one in ready]
    return left.retyped(at, cast_ready[0]), right.retyped(at, cast_ready[1])


def _both_constant(sides: Sequence[Scalar]) -> bool:
    return all(side.oid == UNKNOWN for side in sides)


def _merged(one: Output, other: Output) -> Output:
    """The column of the whole, from its two sides of one type."""
    left, right = one.value, other.value
    type_: PgType = left.type if left.type == right.type else replace(left.type, typmod=-1)
    bounds = left.bounds if left.bounds == right.bounds else None
    value = Scalar(
        left.node,
        type_,
        joint((left.collation, right.collation)),
        bounds=bounds,
        printed=left.printed and right.printed,
        countable=left.countable and right.countable,
    )
    return Output(one.name, value, (*one.bases, *other.bases))
