"""Where a statement in DuckDB's dialect names origin views: by its syntax tree, or by its tokens alone.

Positions are offsets in the text as given, the end exclusive, so that a reference can be replaced in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError

from flashql.quoting import fold

Span = tuple[int, int]

# Where a table is written to or defined, not read.
_TARGETS = (exp.Insert, exp.Create, exp.Update, exp.Delete, exp.Merge, exp.Alter, exp.Comment)
_NAME_TOKENS = {TokenType.VAR, TokenType.IDENTIFIER}
_BEFORE_TABLE = {TokenType.FROM, TokenType.JOIN, TokenType.TABLE, TokenType.SUMMARIZE, TokenType.COMMA}
_OPAQUE = {"PREPARE", "EXECUTE", "CALL"}
_EXPLAIN = re.compile(r"\A\s*EXPLAIN\b(?:\s+ANALYZE\b)?(?:\s*\([^()]*\)(?=\s*\w))?", re.IGNORECASE)
_WRITING = {TokenType.INTO, TokenType.UPDATE, TokenType.DROP}


class Unreadable(Exception):
    """The statement has no syntax tree with positions; its tokens must do."""


@dataclass(frozen=True)
class Reference:
    """One place where a statement reads an origin view."""

    relation_id: str
    start: int
    end: int
    alias: str
    has_alias: bool
    table: exp.Table | None = None  # None when found by tokens
    select: exp.Select | None = None  # the SELECT whose FROM or JOIN names it
    described: bool = False  # only its columns are asked for
    qualified: tuple[Span, ...] = ()  # found by tokens: `schema.name` within column references


@dataclass(frozen=True)
class Parsed:
    """The syntax trees of a text and a map of their positions to the text as it was given."""

    statements: tuple[exp.Expr, ...]
    insertions: tuple[tuple[int, int], ...]  # (position in the text parsed, characters inserted before it)

    def span(self, identifiers: Sequence[exp.Expr]) -> Span:
        """Where a dotted name stands in the given text; raises `Unreadable` when the parser did not say."""
        first, last = identifiers[0].meta, identifiers[-1].meta
        if "start" not in first or "end" not in last:
            raise Unreadable
        return self._given(first["start"]), self._given(last["end"]) + 1

    def _given(self, position: int) -> int:
        return position - sum(count for after, count in self.insertions if after <= position)


def parse(sql: str) -> Parsed:
    """Parse all statements, with `?` read as `$1`, `$2`, ... in the order written.

    EXPLAIN is read as the statement it explains. Raises `Unreadable` for what sqlglot cannot parse in DuckDB's
    dialect.
    """
    sql = _EXPLAIN.sub(lambda match: " " * len(match[0]), sql)
    try:
        tokens = DuckDB().tokenize(sql)
    except SqlglotError:
        raise Unreadable from None
    # What sqlglot takes as an opaque command it also logs.
    if tokens and (tokens[0].token_type == TokenType.COMMAND or tokens[0].text.upper() in _OPAQUE):
        raise Unreadable
    text, insertions = _numbered(sql, tokens)
    try:
        statements = tuple(tree for tree in sqlglot.parse(text, read="duckdb") if tree is not None)
    except SqlglotError:
        raise Unreadable from None
    if any(tree.find(exp.Command) for tree in statements):
        raise Unreadable
    return Parsed(statements, insertions)


def _numbered(sql: str, tokens: Sequence[Token]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The text with its question marks numbered from left to right, and what that inserted."""
    pieces, insertions, done, written = [], [], 0, 0
    marks = [token.start for token in tokens if token.token_type == TokenType.PLACEHOLDER and token.text == "?"]
    for number, start in enumerate(marks, 1):
        explicit = sql[start + 1 : start + 2].isdigit()  # ?1 is another spelling of $1
        mark = "$" if explicit else f"${number}"
        pieces += [sql[done:start], mark]
        written += start - done + len(mark)
        done = start + 1
        insertions.append((written, len(mark) - 1))
    return "".join([*pieces, sql[done:]]), tuple(insertions)


def find_references(parsed: Parsed, views: Mapping[str, str], default_schema: str) -> Iterator[Reference]:
    """The places that read a view, in the order of the text.

    `views` maps 'schema.name' in lower case to the relation id. Raises `Unreadable` without positions.
    """
    found = []
    for statement in parsed.statements:
        if isinstance(statement, exp.Create) and statement.kind in ("VIEW", "MACRO", "FUNCTION"):
            continue  # a definition reads nothing
        described = isinstance(statement, exp.Describe)
        for table in statement.find_all(exp.Table):
            relation_id = _relation_id(table, views, default_schema)
            if relation_id is None or _is_target(table):
                continue
            start, end = parsed.span(table.parts)
            found.append(
                Reference(
                    relation_id=relation_id,
                    start=start,
                    end=end,
                    alias=table.alias or table.name,
                    has_alias=bool(table.alias),
                    table=table,
                    select=_reading_select(table),
                    described=described,
                )
            )
    yield from sorted(found, key=lambda reference: reference.start)


def _relation_id(table: exp.Table, views: Mapping[str, str], default_schema: str) -> str | None:
    if not isinstance(table.this, exp.Identifier):
        return None
    if not table.db and fold(table.name) in _visible_ctes(table):
        return None
    return views.get(fold(f"{table.db or default_schema}.{table.name}"))


def _visible_ctes(table: exp.Expr) -> set[str]:
    """Names of the common table expressions that hide a view from here.

    Within WITH, an expression sees those before it, and itself if the WITH is recursive.
    """
    names: set[str] = set()
    node: exp.Expr = table
    while node.parent is not None:
        came_from, node = node, node.parent
        with_ = node.args.get("with_")
        if isinstance(node, exp.With):
            before = node.expressions[: node.expressions.index(came_from)]
            names.update(fold(cte.alias) for cte in before)
            if node.args.get("recursive"):
                names.add(fold(came_from.alias))
        elif with_ is not None and came_from is not with_:
            names.update(fold(cte.alias) for cte in with_.expressions)
    return names


def _is_target(table: exp.Table) -> bool:
    node: exp.Expr | None = table
    while isinstance(node, exp.Table | exp.Schema):
        parent = node.parent
        if isinstance(parent, _TARGETS) and parent.this is node:
            return True
        if isinstance(parent, exp.Drop | exp.TruncateTable | exp.Index):
            return True
        if isinstance(parent, exp.Copy) and parent.args.get("kind"):  # COPY table FROM
            return True
        node = parent
    return False


def _reading_select(table: exp.Table) -> exp.Select | None:
    clause = table.parent
    if isinstance(clause, exp.From | exp.Join) and clause.this is table and isinstance(clause.parent, exp.Select):
        return clause.parent
    return None


def find_by_tokens(sql: str, views: Mapping[str, str], default_schema: str) -> Iterator[Reference]:
    """References in a text that has no syntax tree. A chain of names that ends with a view's is one.

    A view of the default schema named without it counts where a table is expected.
    """
    try:
        tokens = DuckDB().tokenize(sql)
        while tokens and tokens[0].token_type == TokenType.COMMAND:  # the tokenizer leaves what follows it whole
            sql = " " * (tokens[0].end + 1) + sql[tokens[0].end + 1 :]
            tokens = DuckDB().tokenize(sql)
    except SqlglotError:
        return
    chains = list(_chains(tokens))
    spans: dict[str, list[Span]] = {}
    for chain in chains:
        for left, right in pairwise(chain[:-1]):
            relation_id = views.get(fold(f"{left.text}.{right.text}"))
            if relation_id is not None:
                spans.setdefault(relation_id, []).append((chain[0].start, right.end + 1))
    position = {token.start: index for index, token in enumerate(tokens)}
    for chain in chains:
        first, last = position[chain[0].start], position[chain[-1].start]
        before = tokens[first - 1].token_type if first else None
        relation_id = _token_relation(chain, before, views, default_schema)
        if relation_id is None or before in _WRITING:
            continue
        after = {token.token_type for token in tokens[last + 1 : last + 2]}
        has_alias = bool(after & {TokenType.ALIAS, *_NAME_TOKENS})
        qualified = () if has_alias else tuple(spans.pop(relation_id, ()))
        end = chain[-1].end + 1
        yield Reference(relation_id, chain[0].start, end, chain[-1].text, has_alias, qualified=qualified)


def _token_relation(
    chain: Sequence[Token], before: TokenType | None, views: Mapping[str, str], default_schema: str
) -> str | None:
    if len(chain) > 1:
        return views.get(fold(f"{chain[-2].text}.{chain[-1].text}"))
    named = views.get(fold(f"{default_schema}.{chain[0].text}"))
    return named if before in _BEFORE_TABLE else None


def _chains(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Runs of names joined by dots. After a dot even a keyword is a name."""
    chain: list[Token] = []
    joined = False
    for token in tokens:
        if token.token_type == TokenType.DOT and chain:
            joined = True
            continue
        word = token.token_type != TokenType.STRING and re.fullmatch(r"\w+", token.text) is not None
        nameable = word or token.token_type in _NAME_TOKENS
        if joined and nameable:
            chain.append(token)
        else:
            if chain:
                yield chain
            chain = [token] if nameable else []
        joined = False
    if chain:
        yield chain
