"""A query brought to the form that planning works on: no common table expressions, aliases that are unique.

Raises `Recomputed` for queries whose parts cannot be told apart so.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import count

from sqlglot import exp

from flashql.planner.blocks import (
    Recomputed,
    column,
    first_select,
    has_grouping_sets,
    is_aggregate,
    is_plain,
    is_within,
    items,
    makes_rows,
    named_by,
    output_names,
    own,
    sql,
    where,
)
from flashql.planner.decorrelating import decorrelate
from flashql.planner.flattening import flatten
from flashql.planner.preaggregating import preaggregate
from flashql.quoting import fold


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
    push_clauses(tree)
    for operation in list(tree.find_all(exp.SetOperation)):
        for side in ("this", "expression"):
            operand = operation.args[side]
            if isinstance(operand, exp.Subquery):
                operand.replace(_unwrapped(operand, operation))
    _make_unique(tree)
    flatten(tree)
    decorrelate(tree)
    preaggregate(tree)
    for select in tree.find_all(exp.Select):
        _show_nothing_where_only_existence_counts(select)
        _write_out_groups(select)
        _complete_orders(select)
        _join_first(select)
    for query in tree.find_all(exp.Query):
        _write_out_order(query)
    return tree


def _show_nothing_where_only_existence_counts(select: exp.Select) -> None:
    """EXISTS (SELECT * ...) reads no column of what it finds."""
    if isinstance(select.parent, exp.Exists) and is_plain(select) and not makes_rows(select):
        select.set("expressions", [exp.alias_(exp.Literal.number(1), "one", quoted=True)])


_ENDS = ("order", "limit", "offset")


def _ends(query: exp.Expr) -> dict[str, exp.Expr]:
    """The clauses that may stand after a query in parentheses too."""
    return {clause: query.args[clause] for clause in _ENDS if query.args.get(clause)}


def push_clauses(tree: exp.Expr) -> None:
    """Let ORDER BY, LIMIT and OFFSET after each query in parentheses be that query's, or that of one around it."""
    for subquery in reversed(list(tree.find_all(exp.Subquery))):
        _push_clauses(subquery)


def _push_clauses(subquery: exp.Subquery) -> None:
    clauses = _ends(subquery)
    query = subquery.this
    while isinstance(query, exp.Subquery):
        query = query.this
    if not clauses or not isinstance(query, exp.Query):
        return
    if _ends(query):
        query = _around(query)
    for clause, value in clauses.items():
        subquery.set(clause, None)
        query.set(clause, value)
    subquery.set("this", query)


def _unwrapped(operand: exp.Subquery, operation: exp.SetOperation) -> exp.Query:
    """A side of a set operation without its parentheses; a derived table where they mean something."""
    query = operand.this
    while isinstance(query, exp.Subquery):
        query = query.this
    first = operation.args["this"] is operand
    leveled = isinstance(operation, (exp.Union, exp.Except)) and isinstance(query, (exp.Union, exp.Except)) and first
    plain = not _ends(query) and (isinstance(query, exp.Select) or leveled)
    return query if plain else _around(query)


def _around(query: exp.Query) -> exp.Select:
    """All rows of a query, as a derived table."""
    alias = "flashql_inner"
    if any(name in ("", "*") for name in output_names(query)):
        raise Recomputed("columns of the query have no names of their own")
    derived = exp.Subquery(this=query.copy(), alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    select = exp.Select(
        expressions=[exp.alias_(column(alias, name), name, quoted=True) for name in output_names(query)]
    )
    select.set("from_", exp.From(this=derived))
    return select


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
        join.set("on", exp.and_(on, condition))
        join.set("kind", None)
    rest = [one.copy() for one in conditions if one.find(exp.Query) is not None]
    select.set("where", exp.Where(this=exp.and_(*rest, copy=False)))


def _reads_itself(clause: exp.With) -> bool:
    return any(named_by(table) is cte for cte in clause.expressions for table in cte.find_all(exp.Table))


def _without_ctes(tree: exp.Query) -> exp.Query:
    for clause in reversed(list(tree.find_all(exp.With))):  # those within others first: their names hide outer ones
        assert clause.parent is not None
        found = [(table, named_by(table)) for table in clause.parent.find_all(exp.Table)]
        waiting = {id(cte): cte for cte in clause.expressions}
        while waiting:
            cte = next((one for one in waiting.values() if not _reads_one_of(one, found, waiting)), None)
            if cte is None:
                raise Recomputed("a recursive query looks at all of its own result")
            del waiting[id(cte)]
            if cte.args["alias"].columns:
                _rename_outputs(cte.this, [one.name for one in cte.args["alias"].columns])
            for table in [table for table, meant in found if meant is cte]:
                _replace_reference(table, cte.this)
        clause.pop()
    return tree


def _reads_one_of(cte: exp.CTE, found: Sequence[tuple[exp.Table, exp.CTE | None]], others: Container[int]) -> bool:
    return any(id(meant) in others and is_within(table, cte) for table, meant in found)


def _replace_reference(table: exp.Table, body: exp.Query) -> None:
    alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True))
    if table.args.get("alias") is not None and table.args["alias"].columns:
        alias = table.args["alias"]
    if any(table.args.get(clause) for clause in ("joins", "laterals", "sample", "pivots")):
        raise Recomputed("the query joins in an unusual way")
    table.replace(exp.Subquery(this=body.copy(), alias=alias))


def _write_out_groups(select: exp.Select) -> None:
    """GROUP BY ALL, and keys in parentheses, as a list of keys; without a list there is one group."""
    group = select.args.get("group")
    if group is None:
        return
    if group.args.get("all") and not any(own(select, exp.Window)):
        keys = [item.unalias() for item in select.expressions]
        keys = [key.copy() for key in keys if not any(is_aggregate(node) for node in key.find_all(exp.Func))]
        select.set("group", exp.Group(expressions=keys) if keys else None)
        return
    listed = [key for one in group.expressions for key in (one.expressions if isinstance(one, exp.Tuple) else [one])]
    group.set("expressions", listed)


# Window functions that tell rows apart that are peers in their order.
_OF_FRAMES = (exp.FirstValue, exp.LastValue, exp.NthValue)
_OF_ROWS = (exp.RowNumber, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)


def _complete_orders(select: exp.Select) -> None:
    """Let orders that decide what the rows are be of all that is read: the same rows give the same result each time.

    Rows alike in all that is read are the same to the query, so what it returns is one of its results still.
    """
    if has_grouping_sets(select):
        return
    ordered = [one for window in own(select, exp.Window) if (one := _ordered_in(window)) is not None]
    distinct = select.args.get("distinct")
    on = distinct.args.get("on") if distinct is not None else None
    if on is not None:
        shown = {item.alias_or_name: item.unalias() for item in select.expressions}
        on.set("expressions", [_meant(one, shown) for one in on.expressions])
        ordered.append(select)
    total = _all_read(select) if ordered else {}
    for node in ordered:
        order = node if isinstance(node, exp.Order) else node.args.get("order") or exp.Order(expressions=[])
        there = {sql(term.this) for term in order.expressions}
        for text in sorted(total.keys() - there):
            order.append("expressions", exp.Ordered(this=total[text].copy()))
        if node is not order:
            node.set("order", order if order.expressions else None)


def _ordered_in(window: exp.Expr) -> exp.Expr | None:
    """What of a window has the order of rows that its function goes by; None where it goes by peers alone."""
    call, spec = window.this, window.args.get("spec")
    while isinstance(call, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        call = call.this
    of_rows = spec is not None and (spec.args.get("kind") or "").upper() == "ROWS"
    if isinstance(call, _OF_FRAMES) and not of_rows:
        return _within_frames(call, window)
    return window if isinstance(call, _OF_ROWS) or of_rows else None


def _within_frames(call: exp.Expr, window: exp.Expr) -> exp.Order:
    """The order in which a function sees the rows of a frame: more keys in the window's would make other peers."""
    order = window.args.get("order")
    terms = [term.copy() for term in order.expressions] if order is not None else []
    last = "offset" if isinstance(call, exp.NthValue) else "this"  # of its arguments
    made = exp.Order(this=call.args[last], expressions=terms)
    call.set(last, made)
    return made


def _all_read(select: exp.Select) -> dict[str, exp.Expr]:
    """What tells the rows that a SELECT shows apart: its groups' keys, or all that it reads; by their text."""
    group = select.args.get("group")
    if group is not None or select.args.get("having") or any(is_aggregate(node) for node in own(select, exp.Func)):
        return {sql(one): one for one in (group.expressions if group is not None else ())}
    aliases = {item.alias for item in items(select)}
    return {sql(one): one for one in select.find_all(exp.Column) if one.table in aliases}


def _meant(term: exp.Expr, shown: Mapping[str, exp.Expr]) -> exp.Expr:
    """The column that a term is: a name alone is one of the select list."""
    meant = shown.get(term.name) if isinstance(term, exp.Column) and not term.table else None
    return meant.copy() if isinstance(meant, exp.Column) else term


def _write_out_order(query: exp.Query) -> None:
    """ORDER BY ALL as a list of all columns."""
    order = query.args.get("order")
    if order is None or not any(isinstance(term.this, exp.Var) for term in order.expressions):
        return
    (term,) = order.expressions
    names = [exp.column(exp.to_identifier(name, quoted=True)) for name in output_names(query)]
    order.set("expressions", [exp.Ordered(**{**term.args, "this": name}) for name in names])


def _rename_outputs(query: exp.Expr, names: list[str]) -> None:
    query = first_select(query)
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
            if (
                query.find(exp.Columns)
                or "*" in names
                or any(not name for name in names)
                or len({fold(name) for name in names}) < len(names)
            ):
                return False
    return True
