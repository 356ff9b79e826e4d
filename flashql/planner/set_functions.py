"""Set-returning functions: `unnest(tags)`, `generate_series(1, n)`, `jsonb_each(document)`, as lists of their rows.

    SELECT o.id, t.tag FROM orders AS o, unnest(o.tags) AS t(tag)

joins each row of orders with `SELECT unnest(o.tags) AS tag`, laterally: what moves in orders is all that is looked at.
Several lists go side by side, the shorter ones padded with nulls, as in ROWS FROM. In a select list such a function is
what it is in FROM, behind everything else there (nodeProjectSet.c).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from flashql.datatypes import PgType, ladder
from flashql.planner import documents, lists, matches
from flashql.planner.aggregates import aggregate_name
from flashql.planner.arithmetic import call
from flashql.planner.blocks import conjuncts
from flashql.planner.literals import DATE, INT4, INT8, INTERVAL, TEXT, TIMESTAMP
from flashql.planner.parsing import PREFIX
from flashql.planner.scalars import INTEGERS, Scalar, cast, interval, operand, refuse
from flashql.planner.scopes import Scope
from flashql.planner.transpile import translate
from flashql.quoting import fold

HIDDEN: Final = "flashql_rows"  # the alias, in FROM, of the set-returning functions of a select list
_DERIVED: Final = "flashql_derived"  # and of what they are over, where that is groups or windows
_TEXT: Final = PgType(TEXT, -1, "text")
BIGINT: Final = PgType(INT8, -1, "bigint")
_TIMESTAMP: Final = PgType(TIMESTAMP, -1, "timestamp without time zone")
_DATE: Final = PgType(DATE, -1, "date")


@dataclass(frozen=True)
class Listed:
    """A column of a set-returning function: a list with an element for each row.

    `name` is the column's where the function declares one; else it is called as its item in FROM is.
    """

    rows: exp.Expr
    element: Scalar  # what Postgres says of the elements; its node is none
    name: str = ""
    of_days: bool = False  # in Postgres they are midnights of the session's time zone: only their days are known


def called_name(node: exp.Expr | None) -> str | None:
    """The name of the set-returning function that a node calls; None when it calls none."""
    name = str(node.name).lower().removeprefix(PREFIX) if isinstance(node, exp.Anonymous) else ""
    return name if name in _FUNCTIONS else None


def columns_of(node: exp.Expr, scope: Scope) -> list[Listed]:
    """The columns of a call of a set-returning function; raises `NotSupported`."""
    name = called_name(node)
    if name is None:
        raise refuse(f"{node.sql('postgres')} in FROM")
    arguments = [translate(one, scope) for one in node.expressions]
    least, most, rule = _FUNCTIONS[name]
    if not least <= len(arguments) <= most:
        raise refuse(f"the function {name} of {len(arguments)} arguments")
    return rule(*arguments)


def may_raise(node: exp.Expr) -> bool:
    """Whether it raises an error for some values: a row that WHERE leaves out must not be asked."""
    return (called_name(node) or "").startswith("jsonb_")


def shielded(calls: Sequence[exp.Expr], condition: exp.Expr) -> None:
    """Let the lists of `UNNEST(list)` be computed only for rows that `condition` lets through, as far as it says.

    Postgres filters rows where it reads them, before functions over their columns are called.
    """
    for one in calls:
        rows = one.expressions[0]
        read = {column.table for column in rows.find_all(exp.Column)}
        tests = [
            test.copy()
            for test in conjuncts(condition)
            if test.find(exp.Query) is None and {column.table for column in test.find_all(exp.Column)} <= read
        ]
        if read and tests:
            held = exp.and_(*(operand(test) for test in tests), copy=False)
            one.set("expressions", [exp.Case(ifs=[exp.If(this=held, true=rows)])])


# -- in a select list


def in_from(select: exp.Select) -> exp.Select:
    """The SELECT with the set-returning functions of its select list as an item of FROM, under the alias HIDDEN."""
    calls = list(dict.fromkeys(one for item in select.expressions for one in _calls(item)))
    if not calls:
        return select
    if not _is_outermost(select):
        return in_from(_over_derived(select))
    made = select.copy()
    for at, item in enumerate(list(made.expressions)):
        if called_name(item) is not None:
            made.expressions[at].replace(exp.alias_(item.copy(), called_name(item), quoted=True))
    for at, one in enumerate(calls):
        column = exp.column(exp.to_identifier(f"c{at}", quoted=True), table=exp.to_identifier(HIDDEN, quoted=True))
        for clause in ("expressions", "group", "order", "distinct"):
            _replace(made, clause, one, column)
    names = [exp.to_identifier(f"c{at}", quoted=True) for at in range(len(calls))]
    alias = exp.TableAlias(this=exp.to_identifier(HIDDEN, quoted=True), columns=names)
    item = exp.Table(rows_from=[one.copy() for one in calls], alias=alias)
    if made.args.get("from_") is None:
        made.set("from_", exp.From(this=item))
    else:
        made.append("joins", exp.Join(this=item))
    return made


def _calls(node: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Query):
        return
    if called_name(node) is not None:
        yield node
        return
    for child in node.iter_expressions():
        yield from _calls(child)


def _replace(select: exp.Select, clause: str, old: exp.Expr, new: exp.Expr) -> None:
    value = select.args.get(clause)
    for part in value if isinstance(value, list) else [value] if value is not None else []:
        for one in list(_calls(part)):
            if one == old:
                one.replace(new.copy())


def _is_outermost(select: exp.Select) -> bool:
    """Whether it is the same if rows multiply before groups are made and window functions called, or after all else."""
    nodes = [node for item in select.expressions for node in item.find_all(exp.Func, exp.Window)]
    if any(isinstance(node, exp.Window) for node in nodes):
        return False
    group = select.args.get("group")
    if group is None and not any(aggregate_name(node) for node in nodes):
        return True
    keys = list(group.expressions) if group is not None else []
    for at, item in enumerate(select.expressions, 1):
        name = item.alias if isinstance(item, exp.Alias) else None
        grouped = any(
            key == item.unalias()
            or (isinstance(key, exp.Literal) and key.name == str(at))
            or (isinstance(key, exp.Column) and not key.table and key.name == name)
            for key in keys
        )
        if any(_calls(item)) and not grouped:
            return False
    return True


_OUTSIDE: Final = ("distinct", "order", "limit", "offset")


def _over_derived(select: exp.Select) -> exp.Select:
    """The set-returning functions of a select list over all else as a derived table, as rows multiply last."""
    inner, outer = select.copy(), exp.Select()
    for clause in (*_OUTSIDE, "with_"):
        inner.set(clause, None)
    alias = exp.to_identifier(_DERIVED, quoted=True)
    within: list[exp.Expr] = []

    def held(node: exp.Expr) -> exp.Expr:
        name = exp.to_identifier(f"c{len(within)}", quoted=True)
        within.append(exp.alias_(node.copy(), name.copy()))
        return exp.column(name, table=alias.copy())

    shown: list[exp.Expr] = []
    for item in select.expressions:
        bare = item.unalias()
        if isinstance(bare, exp.Star) or (isinstance(bare, exp.Column) and isinstance(bare.this, exp.Star)):
            raise refuse("* beside a set-returning function of groups or windows", "Name the columns.")
        if not any(_calls(item)):
            made = held(bare)
        elif called_name(bare) is not None:
            made = bare.copy()
            made.set("expressions", [one if _is_constant(one) else held(one) for one in bare.expressions])
        else:
            raise refuse(f"{bare.sql('postgres')} over groups or windows", "Write the groups as a subquery in FROM.")
        named = item.alias_or_name if isinstance(item, (exp.Alias, exp.Column)) else called_name(bare)
        shown.append(exp.alias_(made, exp.to_identifier(named or f"column{len(shown)}", quoted=True)))
    outer.set("expressions", shown)
    inner.set("expressions", within)
    outer.set("from_", exp.From(this=exp.Subquery(this=inner, alias=exp.TableAlias(this=alias))))
    for clause in _OUTSIDE:
        outer.set(clause, select.args[clause].copy() if select.args.get(clause) else None)
    _order_by_places(outer, select)
    return outer


def _is_constant(node: exp.Expr) -> bool:
    return node.find(exp.Column, exp.Query, exp.Func, exp.Window) is None


def _order_by_places(outer: exp.Select, select: exp.Select) -> None:
    """ORDER BY and DISTINCT of what is shown alone, by its place or name."""
    distinct, order = outer.args.get("distinct"), outer.args.get("order")
    if distinct is not None and distinct.args.get("on") is not None:
        raise refuse("DISTINCT ON beside a set-returning function of groups or windows")
    names = {item.alias for item in select.expressions if isinstance(item, exp.Alias)}
    for term in order.expressions if order is not None else ():
        place = next((at for at, item in enumerate(select.expressions, 1) if item.unalias() == term.this), None)
        if place is not None:
            term.set("this", exp.Literal.number(place))
        elif not isinstance(term.this, exp.Literal) and term.this.sql() not in names:
            raise refuse(f"ORDER BY {term.this.sql('postgres')} beside a set-returning function of groups or windows")


# -- functions


def _unnest(*arrays: Scalar) -> list[Listed]:
    found = []
    for array in arrays:
        element = lists.element_of(array, "unnest")
        rows = cast(array.node, f"{ladder(element)[0].name}[]")
        found.append(Listed(rows, Scalar(exp.Null(), element, array.collation), "unnest" if len(arrays) > 1 else ""))
    return found


def _subscripts(array: Scalar, dimension: Scalar) -> list[Listed]:
    if dimension.number != "1":
        raise refuse("generate_subscripts of another dimension than 1")
    rows = numbered(cast(array.node, f"{ladder(lists.element_of(array, 'generate_subscripts'))[0].name}[]"))
    return [Listed(cast(rows, "INTEGER[]"), Scalar(exp.Null(), PgType(INT4, -1, "integer")))]


def numbered(*rows: exp.Expr) -> exp.Expr:
    """The numbers of all rows of these lists side by side, from 1."""
    lengths: list[exp.Expr] = [exp.Anonymous(this="LEN", expressions=[one.copy()]) for one in rows]
    longest = lengths[0] if len(lengths) == 1 else exp.Anonymous(this="GREATEST", expressions=lengths)
    return exp.Anonymous(this="GENERATE_SERIES", expressions=[exp.Literal.number(1), longest])


def _series(start: Scalar, stop: Scalar, step: Scalar | None = None) -> list[Listed]:
    sides = [start, stop]
    if step is not None and all(one.oid in (DATE, TIMESTAMP) for one in sides):
        return _moments(start, stop, step)
    given = [*sides, *([step] if step is not None else [])]
    if any(one.oid not in INTEGERS for one in given):
        names = " and ".join(one.type.name or "an untyped constant" for one in given)
        raise refuse(f"generate_series of {names}", "Cast the bounds to integer or to timestamp.")
    type_ = BIGINT if any(one.oid == INT8 for one in given) else PgType(INT4, -1, "integer")
    nodes = [cast(one.node, "BIGINT") for one in given]
    rows = call("series", *nodes, *([] if step is not None else [exp.Literal.number(1)]))
    return [Listed(cast(rows, f"{ladder(type_)[0].name}[]"), Scalar(exp.Null(), type_))]


def _moments(start: Scalar, stop: Scalar, step: Scalar) -> list[Listed]:
    """Timestamps; of two dates they are the session's midnights, which `in_days` keeps to be cast to dates alone."""
    if step.text is not None:
        step = interval(step.text, None)
    if step.oid != INTERVAL:
        raise refuse(f"generate_series by {step.type.name}")
    of_days = start.oid == stop.oid == DATE
    if of_days and (step.days_apart is None or step.days_apart[2]):
        raise refuse("generate_series of dates by less than days", "Cast the bounds to timestamp.")
    rows = call("moments", cast(start.node, "TIMESTAMP"), cast(stop.node, "TIMESTAMP"), step.node)
    type_ = _DATE if of_days else _TIMESTAMP
    return [Listed(cast(rows, f"{ladder(type_)[0].name}[]"), Scalar(exp.Null(), type_), of_days=of_days)]


def in_days(around: exp.Select | None, names: set[str]) -> None:
    """Raise unless what `generate_series(date, date, step)` returns, under these names, is only cast to date.

    It returns timestamps with time zone: midnights where the session is, whose days are the same everywhere.
    """
    assert around is not None
    stars = [one for one in around.find_all(exp.Star) if not isinstance(one.parent, exp.Count)]
    read = [one for one in around.find_all(exp.Column) if fold(one.table or one.name) in names]
    date = exp.DataType.Type.DATE
    uncast = [one for one in read if not (isinstance(one.parent, exp.Cast) and one.parent.to.this == date)]
    joins = [join for join in around.find_all(exp.Join) if join.args.get("using") or join.method]
    if stars or uncast or joins:
        raise refuse(
            "generate_series of dates, which returns midnights of the session's time zone,",
            "Cast what it returns to date wherever it is named, or the bounds to timestamp.",
        )


def _pieces(text: Scalar, separator: Scalar) -> list[Listed]:
    """string_to_table: of the empty text nothing."""
    array = lists.split(text, separator)
    return [Listed(array.node, Scalar(exp.Null(), _TEXT, array.collation))]


def _matches_between(text: Scalar, pattern: Scalar) -> list[Listed]:
    """regexp_split_to_table: of the empty text itself."""
    array = matches.split(text, pattern)
    return [Listed(array.node, Scalar(exp.Null(), _TEXT, array.collation))]


def _matches(text: Scalar, pattern: Scalar, flags: Scalar | None = None) -> list[Listed]:
    """regexp_matches: an array for each match."""
    arrays = matches.every(text, pattern, flags)
    return [Listed(arrays.node, Scalar(exp.Null(), arrays.type, arrays.collation))]


def _elements(name: str, type_: PgType, *columns: str) -> Callable[[Scalar], list[Listed]]:
    def rule(document: Scalar) -> list[Listed]:
        found = []
        if "key" in columns or not columns:
            keys = documents.listed("json_names", document)
            found.append(Listed(keys, Scalar(exp.Null(), _TEXT, "default"), "key" if columns else ""))
        if "value" in columns:
            collation = "default" if type_.oid == TEXT else None
            found.append(Listed(documents.listed(name, document), Scalar(exp.Null(), type_, collation), "value"))
        return found

    return rule


_FUNCTIONS: Final[dict[str, tuple[int, int, Callable[..., list[Listed]]]]] = {
    "unnest": (1, 20, _unnest),
    "generate_subscripts": (2, 2, _subscripts),
    "generate_series": (2, 3, _series),
    "string_to_table": (2, 2, _pieces),
    "regexp_matches": (2, 3, _matches),
    "regexp_split_to_table": (2, 2, _matches_between),
    "jsonb_array_elements": (1, 1, _elements("json_list", documents.JSONB_TYPE, "value")),
    "jsonb_array_elements_text": (1, 1, _elements("json_texts", _TEXT, "value")),
    "jsonb_each": (1, 1, _elements("json_members", documents.JSONB_TYPE, "key", "value")),
    "jsonb_each_text": (1, 1, _elements("json_member_texts", _TEXT, "key", "value")),
    "jsonb_object_keys": (1, 1, _elements("", _TEXT)),
}
