"""A query brought to the form that planning works on: no common table expressions, aliases that are unique.

Raises `Recomputed` for queries whose parts cannot be told apart so.
"""

from __future__ import annotations

from itertools import count

from sqlglot import exp

from flashql.planner.blocks import Recomputed, is_plain, items, output_names, where
from flashql.planner.decorrelating import decorrelate
from flashql.planner.flattening import flatten


def normalized(tree: exp.Query) -> exp.Query:
    """The query with each reference to a common table expression replaced by its text, under unique aliases."""
    if any(clause.args.get("recursive") and _reads_itself(clause) for clause in tree.find_all(exp.With)):
        raise Recomputed("a recursive query looks at all of its own result")
    tree = _without_ctes(tree.copy())
    for derived in list(tree.find_all(exp.Subquery)):
        alias = derived.args.get("alias")
        if isinstance(alias, exp.TableAlias) and alias.columns:  # a value of the select list has a plain name
            _rename_outputs(derived.this, [one.name for one in alias.columns])
            alias.set("columns", None)
    for operation in list(tree.find_all(exp.SetOperation)):
        for side in ("this", "expression"):
            operand = operation.args[side]
            if isinstance(operand, exp.Subquery) and not operand.args.get("limit") and not operand.args.get("order"):
                operand.replace(operand.this)
    _make_unique(tree)
    flatten(tree)
    decorrelate(tree)
    for select in tree.find_all(exp.Select):
        _show_nothing_where_only_existence_counts(select)
        _join_first(select)
    return tree


def _show_nothing_where_only_existence_counts(select: exp.Select) -> None:
    """EXISTS (SELECT * ...) reads no column of what it finds."""
    if isinstance(select.parent, exp.Exists) and is_plain(select):
        select.set("expressions", [exp.alias_(exp.Literal.number(1), "one", quoted=True)])


def _join_first(select: exp.Select) -> None:
    """Let the conditions without subqueries be those of joins, so that the others see joined rows only.

    DuckDB 2 evaluates a correlated subquery beside the FROM items as they are crossed, before it joins them.
    """
    present = items(select)
    conditions = where(select)
    plain = [one for one in conditions if one.find(exp.Query) is None]
    if len(present) < 2 or len(plain) == len(conditions) or any(item.side for item in present):
        return
    for condition in plain:
        read = {column.table for column in condition.find_all(exp.Column)}
        at = max((place for place, item in enumerate(present) if item.alias in read), default=1)
        join = present[max(at, 1)].join
        assert join is not None
        on = join.args.get("on")
        join.set("on", condition.copy() if on is None else exp.And(this=exp.paren(on), expression=condition.copy()))
        join.set("kind", None)
    rest = [one.copy() for one in conditions if one.find(exp.Query) is not None]
    select.set("where", exp.Where(this=exp.and_(*rest, copy=False)))


def _reads_itself(clause: exp.With) -> bool:
    return any(
        table.name == cte.alias and not table.db for cte in clause.expressions for table in cte.find_all(exp.Table)
    )


def _without_ctes(tree: exp.Query) -> exp.Query:
    while (clause := tree.find(exp.With)) is not None:
        owner = clause.parent
        assert owner is not None
        clause.pop()
        for at, cte in enumerate(clause.expressions):
            body = cte.this
            if cte.args["alias"].columns:
                _rename_outputs(body, [one.name for one in cte.args["alias"].columns])
            for place in (owner, *clause.expressions[at + 1 :]):
                _replace_references(place, cte.alias, body)
    return tree


def _replace_references(place: exp.Expr, name: str, body: exp.Query) -> None:
    for table in list(place.find_all(exp.Table)):
        if table.name == name and not table.db:
            alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True))
            if table.args.get("alias") is not None and table.args["alias"].columns:
                alias = table.args["alias"]
            derived = exp.Subquery(this=body.copy(), alias=alias)
            for clause in ("joins", "laterals", "sample"):
                if table.args.get(clause):
                    raise Recomputed("the query joins in an unusual way")
            table.replace(derived)


def _rename_outputs(query: exp.Expr, names: list[str]) -> None:
    while isinstance(query, exp.SetOperation):
        query = query.left
    while isinstance(query, exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select) or len(query.expressions) < len(names):
        raise Recomputed("the query names columns in an unusual way")
    renamed = [
        exp.alias_(item.unalias(), name, quoted=True) for item, name in zip(query.expressions, names, strict=False)
    ]
    query.set("expressions", [*renamed, *query.expressions[len(names) :]])


def _make_unique(tree: exp.Query) -> None:
    taken: set[str] = set()
    for select in list(tree.find_all(exp.Select)):
        for item in items(select):
            if item.alias in taken:
                number = next(n for n in count(1) if f"{item.alias}_{n}" not in taken)
                _rename(select, item.node, item.alias, f"{item.alias}_{number}")
                taken.add(f"{item.alias}_{number}")
            taken.add(item.alias)


def _rename(select: exp.Select, node: exp.Expr, old: str, new: str) -> None:
    """Give a FROM item of a SELECT another alias, wherever it is meant."""

    def walk(part: exp.Expr) -> None:
        if isinstance(part, exp.Select) and part is not select and old in {item.alias for item in items(part)}:
            return
        if isinstance(part, exp.Column) and part.table == old:
            part.set("table", exp.to_identifier(new, quoted=True))
        for child in part.iter_expressions():
            walk(child)

    walk(select)
    alias = exp.TableAlias(this=exp.to_identifier(new, quoted=True))
    existing = node.args.get("alias")
    if isinstance(existing, exp.TableAlias) and existing.columns:
        alias.set("columns", existing.columns)
    node.set("alias", alias)


def outputs_known(tree: exp.Query) -> bool:
    """Whether every column of the query and of what it reads has a name of its own."""
    for query in tree.find_all(exp.Query):
        if isinstance(query, exp.Select):
            names = output_names(query)
            if "*" in names or any(not name for name in names) or len({name.lower() for name in names}) < len(names):
                return False
    return True
