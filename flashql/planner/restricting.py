"""Parameters of a view taken out of its query: which rows of one table they select, and the query without them.

    CREATE REALTIME VIEW shop.issue_comments(issue BIGINT) AS
        SELECT id, body FROM comments WHERE issue_id = issue AND NOT hidden

reads the rows of `comments` that meet `issue_id = issue` for some set of parameters, and is otherwise the view
`SELECT id, body FROM comments WHERE true AND NOT hidden`. What it shows is the union of its queries over its sets, so
whatever makes the query over all of the rows another thing than the union of queries over some is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.tokenizer_core import Token, TokenType

from flashql import arguments, errors
from flashql.catalog import Column, Parameter, Restriction, Table
from flashql.ddl.statements import ParameterText
from flashql.planner import parsing
from flashql.planner.aggregates import aggregate_name
from flashql.planner.collations import DEFAULT, Locale
from flashql.planner.enums import has_place
from flashql.planner.transpile import to_local
from flashql.quoting import fold, local_name, qualified, quote

SET: Final = "flashql_set"  # what a row of parameters is called in a restriction's conditions
_ENDS_WHERE: Final = {"GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR"}
_COMBINES: Final = {"UNION", "EXCEPT", "INTERSECT"}
_OPENS: Final = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.CASE}
_CLOSES: Final = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.END}
# What a condition on parameters is made of: it is the same for every row in both databases, and never an error.
_ALLOWED: Final = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Neg, exp.Paren, exp.And, exp.Or, exp.Not,
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip
_HINT: Final = "Parameters restrict one table, in conditions that AND joins: WHERE issue_id = issue AND day >= since."


class Describer(Locale, Protocol):
    """What is asked of the origin."""

    def describe(self, query: str) -> tuple[Column, ...]:
        """The columns a query returns; nothing is run."""

    def table(self, schema: str | None, name: str) -> Table:
        """The table of that name. Raises `UnknownName`."""


@dataclass(frozen=True)
class _Named:
    """A table of the query's own FROM, under its name there; `optional` where an outer join may leave it out."""

    name: str
    table: Table
    optional: bool


def restricted(query: str, texts: Sequence[ParameterText], origin: Describer) -> tuple[str, Restriction]:
    """The query without its conditions on parameters, and those. Raises what keeps a view from having them."""
    parameters = declared(texts, origin)
    names = {parameter.name for parameter in parameters}
    base, conditions = _taken_out(query, names)
    origin.describe(_with_nulls(query, {text.name: text.type for text in texts}))  # the origin judges names and types
    select = parsing.parsed(base)
    if not isinstance(select, exp.Select):
        raise errors.NotSupported("a view with parameters is one SELECT", hint=_HINT)
    tables = list(_tables(select, origin))
    for named in tables:
        for column in named.table.columns:
            if column.name in names:
                raise errors.DefinitionError(
                    f"parameter {column.name} has the name of a column of {named.name}", hint="Name it otherwise."
                )
    trees = [parsing.expression(condition) for condition in conditions]
    target = _target(trees, names, tables)
    _require_once(select, target.table, origin)
    _require_union(select, trees, names, target)
    condition = exp.and_(*(tree.copy() for tree in trees))
    columns = tuple(dict.fromkeys(_name(column) for column in _columns(trees) if _name(column) not in names))
    restriction = Restriction(
        (target.table.schema, target.table.name),
        parameters,
        _at_origin(condition, names),
        _locally(condition, parameters, target.table, origin),
        columns,
    )
    _check(restriction, texts, origin)
    return base, restriction


def declared(texts: Sequence[ParameterText], origin: Describer) -> tuple[Parameter, ...]:
    """The parameters with the types that the origin knows by their names."""
    nulls = ", ".join(f"CAST(NULL AS {text.type}) AS {quote(text.name)}" for text in texts)
    described = origin.describe(f"SELECT {nulls}")
    if len(described) != len(texts):
        raise errors.DefinitionError("the types of the parameters cannot be read")
    found = []
    for text, column in zip(texts, described, strict=True):
        arguments.require_type(text.name, column.type)
        default = arguments.normal(text.name, column.type, text.default) if text.has_default else None
        found.append(Parameter(text.name, column.type, text.has_default, default))
    return tuple(found)


def _taken_out(query: str, names: set[str]) -> tuple[str, list[str]]:
    """The query with `true` in place of each condition that names a parameter, and those conditions, as written."""
    tokens = Postgres().tokenize(query)
    found = [_mentions(tokens, at, names) for at in range(len(tokens))]
    made, conditions, copied = "", [], 0
    for first, last in _conjuncts(tokens):
        if any(found[first:last]):
            start, end = tokens[first].start, tokens[last - 1].end + 1
            conditions.append(query[start:end])
            made += f"{query[copied:start]}true"
            copied = end
            found[first:last] = [""] * (last - first)
    elsewhere = next((name for name in found if name), None)
    if elsewhere is not None:
        raise errors.NotSupported(f"parameter {elsewhere} stands elsewhere than in a condition of WHERE", hint=_HINT)
    return made + query[copied:], conditions


def _with_nulls(query: str, types: Mapping[str, str]) -> str:
    """The query with a null of the parameter's type wherever one is named."""
    tokens = Postgres().tokenize(query)
    made, copied = "", 0
    for at, token in enumerate(tokens):
        name = _mentions(tokens, at, set(types))
        if name:
            made += f"{query[copied : token.start]}CAST(NULL AS {types[name]})"
            copied = token.end + 1
    return made + query[copied:]


def _mentions(tokens: Sequence[Token], at: int, names: set[str]) -> str:
    """The parameter that the token names, if it does."""
    token = tokens[at]
    name = token.text if token.token_type == TokenType.IDENTIFIER else fold(token.text)
    if token.token_type == TokenType.STRING or name not in names:
        return ""
    beside = [tokens[near].token_type for near in (at - 1, at + 1) if 0 <= near < len(tokens)]
    follows = tokens[at + 1].token_type if at + 1 < len(tokens) else None
    return "" if TokenType.DOT in beside or follows == TokenType.L_PAREN else name


def _conjuncts(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Where the conditions are that AND joins in the query's own WHERE: the first token of each, and that behind it."""
    depth, begins, between = 0, None, 0
    spans: list[tuple[int, int]] = []
    for at, token in enumerate(tokens):
        word = token.text.upper().partition(" ")[0] if token.token_type not in _QUOTED else ""
        depth -= token.token_type in _CLOSES
        if not depth and word in _COMBINES:
            raise errors.NotSupported(f"a view with parameters cannot have {word}", hint=_HINT)
        if not depth and begins is None:
            begins = at + 1 if word == "WHERE" else None
        elif not depth and begins is not None:
            between += word == "BETWEEN"
            if word == "AND" and between:
                between -= 1
            elif word == "AND" or word in _ENDS_WHERE:
                spans.append((begins, at))
                begins = at + 1
                if word in _ENDS_WHERE:
                    return iter(spans)
            elif word == "OR":
                raise errors.NotSupported("OR in the WHERE of a view with parameters needs parentheses", hint=_HINT)
        depth += token.token_type in _OPENS
    if begins is not None:
        spans.append((begins, len(tokens)))
    return iter(spans)


_QUOTED: Final = {TokenType.STRING, TokenType.IDENTIFIER}


def _tables(select: exp.Select, origin: Describer) -> Iterator[_Named]:
    """The tables that the query's own FROM names."""
    source = select.args.get("from_")
    joins = select.args.get("joins") or []
    items = [(source.this, "")] if source is not None else []
    items += [(join.this, join.side.upper()) for join in joins]
    within = {cte.alias for cte in select.ctes}
    for at, (item, side) in enumerate(items):
        optional = side in ("LEFT", "FULL") or any(later in ("RIGHT", "FULL") for _, later in items[at + 1 :])
        if isinstance(item, exp.Table) and isinstance(item.this, exp.Identifier) and item.name not in within:
            table = _origin_table(item, origin)
            alias = item.args.get("alias")
            name = _folded(alias.this) if alias is not None and alias.this is not None else table.name
            if item.alias_column_names:
                continue
            yield _Named(name, table, optional)


def _origin_table(item: exp.Table, origin: Describer) -> Table:
    schema = item.args.get("db")
    return origin.table(_folded(schema) if schema is not None else None, _folded(item.this))


def _folded(identifier: exp.Expr) -> str:
    return identifier.name if identifier.args.get("quoted") else fold(identifier.name)


def _name(column: exp.Column) -> str:
    return _folded(column.this)


def _columns(trees: Iterable[exp.Expr]) -> Iterator[exp.Column]:
    for tree in trees:
        yield from tree.find_all(exp.Column)


def _target(trees: Sequence[exp.Expr], names: set[str], tables: Sequence[_Named]) -> _Named:
    """The one table whose columns the conditions compare with parameters."""
    used: set[str] = set()
    targets: dict[str, _Named] = {}
    for tree in trees:
        for node in tree.walk():
            negated = isinstance(node, exp.Neg) and not isinstance(node.this, exp.Literal)  # it may overflow
            if not isinstance(node, _ALLOWED) or negated or (isinstance(node, exp.In) and node.args.get("query")):
                raise errors.NotSupported(
                    f"a condition on parameters cannot have {node.sql('postgres')}",
                    hint="It compares columns with parameters and constants: issue_id = issue, day BETWEEN a AND b.",
                )
    for column in _columns(trees):
        if not column.table and _name(column) in names:
            used.add(_name(column))
            continue
        owner = _owner(column, tables)
        targets[owner.name] = owner
    missing = sorted(names - used)
    if missing:
        raise errors.DefinitionError(f"parameter {missing[0]} is not used in the query's WHERE", hint=_HINT)
    if len(targets) != 1:
        raise errors.NotSupported("the conditions on parameters are not about one table", hint=_HINT)
    (target,) = targets.values()
    if target.optional:
        raise errors.NotSupported(
            f"{target.name} is on the side of an outer join that may be missing, so parameters cannot restrict it",
            hint="Restrict the table whose rows are always there.",
        )
    return target


def _owner(column: exp.Column, tables: Sequence[_Named]) -> _Named:
    wanted = _folded(column.args["table"]) if column.table else None
    for named in tables:
        there = wanted is None and any(one.name == _name(column) for one in named.table.columns)
        if there or wanted == named.name:
            named.table.streamed_column(_name(column))
            return named
    raise errors.NotSupported(f"{column.sql('postgres')} is no column of a table in FROM", hint=_HINT)


def _require_once(select: exp.Select, table: Table, origin: Describer) -> None:
    """The table is read in one place, or another place would need all of its rows."""
    within = {cte.alias for cte in select.find_all(exp.CTE)}
    times = 0
    for item in select.find_all(exp.Table):
        if isinstance(item.this, exp.Identifier) and (item.db or item.name not in within):
            times += _origin_table(item, origin).oid == table.oid
    if times != 1:
        raise errors.NotSupported(
            f"{table.schema}.{table.name}, which parameters restrict, is read more than once in the query"
        )


def _require_union(select: exp.Select, trees: Sequence[exp.Expr], names: set[str], target: _Named) -> None:
    """The query over the rows of all sets is the union of the queries over the rows of each."""
    for clause in ("limit", "offset", "fetch", "sample"):
        if select.args.get(clause):
            raise errors.NotSupported(f"a view with parameters cannot have {clause.upper()}: it would be of all sets")
    distinct = select.args.get("distinct")
    if distinct is not None and distinct.args.get("on"):
        raise errors.NotSupported("a view with parameters cannot have DISTINCT ON: it would be of all sets")
    if any(window.parent_select is select for window in select.find_all(exp.Window)):
        raise errors.NotSupported("a view with parameters cannot have window functions: they would see all sets")
    group = select.args.get("group")
    aggregates = (node for node in select.walk() if aggregate_name(node) is not None)
    if group is None and not select.args.get("having") and all(one.parent_select is not select for one in aggregates):
        return
    grouping = [one for one in (group.expressions if group is not None else []) if isinstance(one, exp.Column)]
    plain = group is not None and not any(value for key, value in group.args.items() if key != "expressions")
    keys = {_name(one) for one in grouping if not one.table or _folded(one.args["table"]) == target.name}
    for tree in trees:
        sides = [tree.this, tree.expression] if isinstance(tree, exp.EQ) else []
        compared = [_name(side) for side in sides if isinstance(side, exp.Column) and _name(side) not in names]
        if not plain or len(compared) != 1 or len(sides) != len(compared) + 1 or compared[0] not in keys:
            raise errors.NotSupported(
                f"{tree.sql('postgres')} would make groups of parts: a row of one set's could count in another's",
                hint="With GROUP BY, each parameter equals a column that is grouped by.",
            )


def _at_origin(condition: exp.Expr, names: set[str]) -> str:
    def named(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        name = exp.to_identifier(_name(node), quoted=True)
        of_set = not node.table and _name(node) in names
        return exp.column(name, table=exp.to_identifier(SET)) if of_set else exp.column(name)

    return condition.copy().transform(named).sql("postgres")


def _locally(condition: exp.Expr, parameters: Sequence[Parameter], table: Table, locale: Locale) -> str:
    """The condition in DuckDB's dialect. Raises `NotSupported` for what would not be the same there."""
    places = {parameter.name: at for at, parameter in enumerate(parameters)}
    bare = condition.copy()
    for column in list(bare.find_all(exp.Column)):
        column.replace(exp.column(exp.to_identifier(_name(column), quoted=True)))
    known: Mapping[str, Column] = {column.name: column for column in table.columns} | {
        parameter.name: Column(parameter.name, parameter.type, collation=DEFAULT) for parameter in parameters
    }
    local = to_local(bare, known, locale)
    if has_place(local):
        raise errors.NotSupported(
            f"a condition on parameters cannot have {condition.sql('postgres')}, the order of an enum",
            hint="Compare it with =, or with a CASE over its labels in the view's other conditions.",
        )
    for column in list(local.find_all(exp.Column)):
        at = places.get(column.name)
        if at is None:
            column.set("this", exp.to_identifier(local_name(column.name), quoted=True))
        else:
            column.replace(exp.column(exp.to_identifier(f"flashql_p{at}"), table=exp.to_identifier(SET)))
    return local.sql(dialect="duckdb")


def _check(restriction: Restriction, texts: Sequence[ParameterText], origin: Describer) -> None:
    """Let the origin judge the condition's types."""
    nulls = ", ".join(f"CAST(NULL AS {text.type}) AS {quote(text.name)}" for text in texts)
    origin.describe(
        f"SELECT 1 AS one FROM {qualified(*restriction.table)}, (SELECT {nulls}) AS {SET} WHERE {restriction.at_origin}"
    )
