"""Push down: what each reference to an origin view has to fetch for an outer query in DuckDB's dialect.

    SELECT name FROM shop.customers WHERE id = 7 AND random() < 0.5

fetches `name` and `id` of the rows with `"id" = 7`. The outer query runs unchanged over what was fetched, its
own WHERE included, so a pushed predicate may only drop rows that the outer query drops too. Whatever is not
surely so is not pushed; whatever is not surely unneeded is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from flashql.catalog import Column
from flashql.errors import FlashQLError
from flashql.planner.columns import Source, needed_columns, owns_all, qualified_spans, sources_of
from flashql.planner.literals import BOOL, DATE, FLOAT8, NUMERIC, TEXT, TIMESTAMP, TIMESTAMPTZ, UUID, VARCHAR
from flashql.planner.parameters import Parameters, bound, bound_integer
from flashql.planner.predicates import byte_ordered, find_column, to_origin
from flashql.planner.references import Parsed, Reference, Unreadable, find_by_tokens, find_references, parse
from flashql.planner.scalars import INTEGERS, numeric_bounds, operand
from flashql.quoting import fold

# Clauses of a SELECT under which rows that its WHERE drops are not missed.
_FILTERABLE = {
    "expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct",
    "windows", "qualify", "with_", "kind", "hint",
}  # fmt: skip
# Clauses under which the first rows of the source are the first rows of the result.
_LIMITABLE = {"expressions", "from_", "where", "order", "limit", "offset", "with_"}
# Functions of one row. Any other in a select list may be an aggregate or make several rows.
_ROW_FUNCTIONS = (
    exp.Cast, exp.Coalesce, exp.Case, exp.If, exp.Lower, exp.Upper, exp.Abs, exp.Round, exp.Length,
    exp.Substring, exp.Trim, exp.Concat, exp.And, exp.Or, exp.JSONExtract, exp.JSONExtractScalar,
)  # fmt: skip
_SORTABLE = {*INTEGERS, FLOAT8, BOOL, DATE, TIMESTAMP, TIMESTAMPTZ, UUID}
_BY_BYTES = {TEXT, VARCHAR}


@dataclass(frozen=True)
class Fetch:
    """What one reference needs of its view, and where the reference stands in the outer query.

    `columns` are in the view's order; () means that only the number of rows matters. `where` and `order_by` are
    Postgres SQL over the view's columns, those of a relation `v`. `sql[start:end]` is the reference without its
    alias, and each range in `qualified` the same name within a column reference; the caller replaces them all.
    """

    relation_id: str
    columns: tuple[str, ...]
    where: str | None
    order_by: str | None
    limit: int | None
    start: int
    end: int
    alias: str  # the name to give the replacement when the reference has no alias
    has_alias: bool
    qualified: tuple[tuple[int, int], ...] = ()


def push_down(
    sql: str,
    views: Mapping[str, Mapping[str, Column]],
    parameters: Parameters = None,
    default_schema: str = "main",
) -> tuple[Fetch, ...]:
    """One Fetch per place where the statement reads a view, in the order of the text.

    `views` maps 'schema.name' to the view's columns in order. Names match in any case, a catalog in front is
    allowed, common table expressions hide views. `parameters` become constants of what is pushed. Never
    raises: a statement that cannot be understood fetches everything.
    """
    names = {fold(relation_id): relation_id for relation_id in views}
    try:
        parsed = parse(sql)
        references = tuple(find_references(parsed, names, default_schema))
        if len(parsed.statements) > 1:
            parameters = None  # which statement they belong to is not known
        return tuple(_fetch(reference, references, parsed, views, parameters) for reference in references)
    except (Unreadable, RecursionError):
        found = find_by_tokens(sql, names, default_schema)
        return tuple(_everything(reference, views[reference.relation_id]) for reference in found)


def render(fetch: Fetch, query: str, column_sql: Callable[[str], str]) -> str:
    """The Postgres SELECT that fetches it from the view's `query`.

    `column_sql` gives the select-list item of a column of "v". Without columns the result is one row with the
    number of rows, `count`.
    """
    source = f"(\n{query.strip().rstrip(';')}\n) AS v"
    clauses = [f" WHERE {fetch.where}" if fetch.where else ""]
    clauses += [f" ORDER BY {fetch.order_by}" if fetch.order_by else ""]
    clauses += [f" LIMIT {fetch.limit}" if fetch.limit is not None else ""]
    if fetch.columns:
        items = ", ".join(column_sql(name) for name in fetch.columns)
        return f"SELECT {items} FROM {source}{''.join(clauses)}"
    if fetch.limit is None:
        return f"SELECT count(*) AS count FROM {source}{clauses[0]}"
    return f"SELECT count(*) AS count FROM (SELECT 1 FROM {source}{clauses[0]}{clauses[2]}) AS v"


def _everything(reference: Reference, columns: Mapping[str, Column], limit: int | None = None) -> Fetch:
    return Fetch(
        relation_id=reference.relation_id,
        columns=tuple(columns),
        where=None,
        order_by=None,
        limit=limit,
        start=reference.start,
        end=reference.end,
        alias=reference.alias,
        has_alias=reference.has_alias,
        qualified=reference.qualified,
    )


def _fetch(
    reference: Reference,
    references: Sequence[Reference],
    parsed: Parsed,
    views: Mapping[str, Mapping[str, Column]],
    parameters: Parameters,
) -> Fetch:
    columns = views[reference.relation_id]
    whole = _everything(reference, columns, 0 if reference.described else None)
    qualified = tuple(parsed.span(part) for part in qualified_spans(reference))
    select, table = reference.select, reference.table
    plain_table = table is not None and _given(table.args) <= {"this", "db", "catalog", "alias"}
    if select is None or table is None or not plain_table or table.alias_column_names or reference.described:
        return replace(whole, qualified=qualified or whole.qualified)
    sources = sources_of(select, references, views)
    source = next(candidate for candidate in sources if candidate.table is table)
    needed = needed_columns(select, source, sources)
    where, complete = _pushed_predicates(select, source, sources, parameters)
    order_by, limit = None, None
    if complete and len(sources) == 1:
        order_by, limit = _pushed_limit(select, source, parameters)
    return replace(whole, columns=needed, where=where, order_by=order_by, limit=limit, qualified=qualified)


def _given(args: Mapping[str, object]) -> set[str]:
    return {name for name, value in args.items() if value}


def _pushed_predicates(
    select: exp.Select, source: Source, sources: Sequence[Source], parameters: Parameters
) -> tuple[str | None, bool]:
    """The conjuncts that the origin can apply for this source, and whether they are all of WHERE."""
    where = select.args.get("where")
    conditions = list(_conjuncts(where.this)) if where is not None else []
    if not _given(select.args) <= _FILTERABLE or not _keeps_rows_apart(source, sources):
        return None, False
    own = len(conditions)
    for join in (s.join for s in sources if s.join is not None):
        if not join.side and join.kind in ("", "INNER", "CROSS") and join.args.get("on") is not None:
            conditions += [on for on in _conjuncts(join.args["on"]) if on.find(exp.Column)]
    predicates = [_pushed_predicate(condition, source, sources, parameters) for condition in conditions]
    pushed = [predicate for predicate in predicates if predicate is not None]
    complete = None not in predicates[:own]
    if len(pushed) > 1:
        pushed = [operand(predicate) for predicate in pushed]
    return " AND ".join(predicate.sql("postgres") for predicate in pushed) or None, complete


def _pushed_predicate(
    condition: exp.Expr, source: Source, sources: Sequence[Source], parameters: Parameters
) -> exp.Expr | None:
    if not owns_all(condition, source, sources):
        return None
    try:
        return to_origin(bound(condition, parameters), source.columns or {})
    except FlashQLError:
        return None


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    inner = condition.unnest()
    if isinstance(inner, exp.And):
        yield from _conjuncts(inner.this)
        yield from _conjuncts(inner.expression)
    else:
        yield inner


def _keeps_rows_apart(source: Source, sources: Sequence[Source]) -> bool:
    """Whether dropping a row of the source drops exactly the joined rows made from it.

    Not so on the null-extended side of an outer join, nor where a join picks rows by their position or by
    what is nearest; NATURAL and USING merge columns, and a name may then mean another table's.
    """
    own = sources.index(source)
    for position, other in enumerate(sources):
        join = other.join
        if join is None:
            continue
        if join.method or join.args.get("using") or (join.side in ("FULL", "RIGHT") and position > own):
            return False
        if position == own and (join.side or join.kind not in ("", "INNER", "CROSS")):
            return False
    return True


def _pushed_limit(select: exp.Select, source: Source, parameters: Parameters) -> tuple[str | None, int | None]:
    """ORDER BY and LIMIT, where the rows that the outer query needs are the first ones of the source."""
    limit, offset, order = (select.args.get(name) for name in ("limit", "offset", "order"))
    if limit is None or not _given(select.args) <= _LIMITABLE or not _is_row_by_row(select):
        return None, None
    if not isinstance(limit, exp.Limit) or _given(limit.args) - {"expression", "this"}:
        return None, None
    wanted = bound_integer(limit.expression, parameters)
    skipped = 0 if offset is None else bound_integer(offset.expression, parameters)
    if wanted is None or skipped is None:
        return None, None
    if order is None:
        return None, wanted + skipped
    keys = [_sort_key(key, select, source) for key in order.expressions]
    if any(key is None for key in keys):
        return None, None
    return ", ".join(key for key in keys if key is not None), wanted + skipped


def _is_row_by_row(select: exp.Select) -> bool:
    """Whether the select list makes one row of one row, and leaves the names of columns to them."""
    for node in select.walk():
        if isinstance(node, exp.Star) and (node.args.get("replace") or node.args.get("rename")):
            return False
        if isinstance(node, exp.AggFunc | exp.Window | exp.Columns):
            return False
        if isinstance(node, exp.Func) and not isinstance(node, (*_ROW_FUNCTIONS, exp.Binary)):
            return False
    return True


def _sort_key(key: exp.Expr, select: exp.Select, source: Source) -> str | None:
    """A key of ORDER BY as Postgres sorts it alike, nulls told where to go; None if there is none."""
    if not isinstance(key, exp.Ordered) or type(key.this) is not exp.Column or key.args.get("with_fill"):
        return None
    aliases = {fold(item.alias) for item in select.expressions if isinstance(item, exp.Alias)}
    column = find_column(key.this, source.columns or {})
    if column is None or not owns_all(key.this, source, [source]) or fold(key.this.name) in aliases:
        return None
    sized = column.type.oid == NUMERIC and numeric_bounds(column.type) is not None
    if column.type.kind == "e" or not (sized or column.type.oid in _SORTABLE | _BY_BYTES):
        return None
    by_bytes = column.type.oid in _BY_BYTES
    node = byte_ordered(column) if by_bytes else exp.column(column.name, quoted=True)
    # A bare name in ORDER BY would be the select list's item of that name: its text.
    for name in node.find_all(exp.Column):
        name.set("table", exp.to_identifier("v"))
    direction = "DESC" if key.args.get("desc") else "ASC"
    nulls = "FIRST" if key.args.get("nulls_first") else "LAST"
    return f"{node.sql('postgres')} {direction} NULLS {nulls}"
