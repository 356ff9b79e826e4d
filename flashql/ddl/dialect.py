"""FlashQL's dialect of sqlglot: Postgres, with statements of our own.

The parser knows FlashQL's statements by their first words and leaves every other statement to DuckDB, word
for word. One method per statement; the phrases they share are in `phrases`.

The tokenizer is sqlglot's with its scan replaced; the parser has the shape of sqlglot's but does not inherit
from it, because sqlglot's compiled build (`sqlglot[c]`) refuses subclasses written in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import ClassVar

from sqlglot.dialects.postgres import Postgres
from sqlglot.tokenizer_core import Token, TokenType

from flashql.catalog import Persistence
from flashql.ddl import tokenizer
from flashql.ddl.options import SCHEMA_OPTIONS, VIEW_OPTIONS, check_parameters, check_together
from flashql.ddl.phrases import Phrases, word_of
from flashql.ddl.statements import (
    AlterSchema,
    AlterView,
    CreateSchema,
    CreateView,
    DropView,
    ExplainQuery,
    ExplainView,
    LocalSQL,
    RefreshView,
    Statement,
)
from flashql.ddl.tokenizer import UNCLOSED
from flashql.errors import DefinitionError, SyntaxProblem

_PERSISTENCES = tuple(persistence.upper() for persistence in Persistence)

_CREATE_HINT = "CREATE {} VIEW name [(column, ...)] [WITH (option = value, ...)] AS SELECT ..."
_ALTER_VIEW_HINT = "ALTER VIEW name SET (option = value, ...) or ALTER VIEW name RESET (option, ...)"
_DROP_HINT = "DROP VIEW [IF EXISTS] name [, ...] [CASCADE | RESTRICT]"
_REFRESH_HINT = "REFRESH VIEW name"
_CREATE_SCHEMA_HINT = "CREATE SCHEMA name WITH (replication_origin = 'primary')"
_ALTER_SCHEMA_HINT = "ALTER SCHEMA name SET (replication_origin = 'primary') or RESET (replication_origin)"


class StatementReader(Phrases):
    """Reads one statement: its tokens (at least one) to its value."""

    def read(self) -> Statement:
        """The statement; raises `SyntaxProblem` or `NotSupported` when it is FlashQL's and wrong."""
        first, last = self.tokens[0], self.tokens[-1]
        sql = self.sql[first.start : last.end + 1]
        return replace(self._own_statement() or LocalSQL(sql), sql=sql, start=first.start)

    def _own_statement(self) -> Statement | None:
        """The statement if it is FlashQL's; None leaves it to DuckDB."""
        read = self.STATEMENT_PARSERS.get(self.current.token_type)
        if read is None:
            return None
        self.index += 1
        try:
            statement: Statement | None = read(self)
        except SyntaxProblem:
            if self.claimed:
                raise
            return None
        # What is never closed and could be DuckDB's as well gets DuckDB's error.
        return None if self.tokens[-1].token_type == UNCLOSED else statement

    def _create(self) -> Statement | None:
        replaces = self.accept("OR", "REPLACE")
        if self.accept("SCHEMA"):
            return None if replaces else self._create_schema()
        if self.accept("VIEW"):
            return self._create_view(None, replaces)
        if word_of(self.current) in ("TEMP", "TEMPORARY") and word_of(self.ahead(1)) in _PERSISTENCES:
            self.claim()
            self.refuse("a FlashQL view cannot be temporary", hint=_CREATE_HINT.format(word_of(self.ahead(1))))
        keyword = self.accept_one(*_PERSISTENCES)
        if keyword:
            self.claim()
            self.expect("VIEW", hint=_CREATE_HINT.format(keyword))
            return self._create_view(Persistence(keyword.lower()), replaces)
        meant = get_close_matches(word_of(self.current), _PERSISTENCES, n=1, cutoff=0.7)
        if meant and word_of(self.ahead(1)) == "VIEW":
            self.claim()
            self.refuse(f"unexpected {self.found()}", hint=f"did you mean CREATE {meant[0]} VIEW?")
        return None

    def _create_view(self, keyword: Persistence | None, replaces: bool) -> CreateView:
        hint = _CREATE_HINT.format(keyword.upper() if keyword else "REALTIME")
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        if replaces and if_not_exists:
            self.refuse("OR REPLACE and IF NOT EXISTS exclude each other", at=self.ahead(-1))
        name_at = self.current
        name = self.dotted_name("the name of a view")
        columns, parameters = self.columns()
        options: dict[str, str] = {}
        self._options_before(keyword, options)
        self.expect("AS", hint=hint)
        self._refuse_with_data()
        stop = self.trailing_options()
        if stop < len(self.tokens):
            self.claim()
        query = self.query(stop, f"a view is made of a query: {hint}")
        if self.accept("WITH"):
            self.options(VIEW_OPTIONS, options)
        persistence = self._persistence(keyword, options.pop("persistence", None))
        try:
            check_together(options, persistence)
            check_parameters(parameters, options, persistence)
        except DefinitionError as problem:
            self.refuse(problem.message, at=name_at, hint=problem.hint)
        origin = options.pop("replication_origin", None)
        return CreateView(
            self.as_relation(name, name_at),
            columns,
            persistence,
            origin,
            options,
            query,
            replaces,
            if_not_exists,
            parameters,
        )

    def _options_before(self, keyword: Persistence | None, options: dict[str, str]) -> None:
        """`WITH (...)` in front of AS."""
        if not self.accept("WITH"):
            return
        # WITH (DEFER_BINDING) is DuckDB's own option of CREATE VIEW.
        if keyword is None and word_of(self.ahead(1)) == "DEFER_BINDING":
            self.refuse("DEFER_BINDING is DuckDB's")
        self.claim()
        self.options(VIEW_OPTIONS, options)

    def _refuse_with_data(self) -> None:
        """CREATE MATERIALIZED VIEW ... WITH [NO] DATA, which Postgres has."""
        tail = [word_of(token) for token in self.tokens[self.index :][-3:]]
        if tail[-2:] == ["WITH", "DATA"] or tail == ["WITH", "NO", "DATA"]:
            self.claim()
            self.refuse(
                f"{' '.join(tail[tail.index('WITH') :])} is not supported",
                at=self.tokens[-1 - tail[::-1].index("WITH")],
                hint="leave it out: a new view has no data yet; call db.sync.sync() when you want it",
            )

    def _persistence(self, keyword: Persistence | None, option: str | None) -> Persistence | None:
        if option is None:
            return keyword
        if keyword is not None and keyword != option:
            self.refuse(
                f"the view is created {keyword.upper()} but its options say persistence = {option}",
                at=self.tokens[0],
                hint="say it once",
            )
        return Persistence(option)

    def _alter(self) -> Statement | None:
        if self.accept("SCHEMA"):
            return self._alter_schema()
        keyword = self.accept_one(*_PERSISTENCES)
        if keyword:
            self.claim()
            self.expect("VIEW", hint=_ALTER_VIEW_HINT)
        return self._alter_view() if keyword or self.accept("VIEW") else None

    def _alter_view(self) -> AlterView:
        if_exists_at = self.current
        if_exists = self.accept("IF", "EXISTS")
        name_at = self.current
        name = self.dotted_name("the name of a view")
        verb = self._verb(_ALTER_VIEW_HINT)
        if if_exists:
            self.refuse(f"IF EXISTS cannot be combined with {verb}", at=if_exists_at, hint=_ALTER_VIEW_HINT)
        options: dict[str, str] = {}
        reset: tuple[str, ...] = ()
        options_at = self.current
        if verb == "SET":
            self.options(VIEW_OPTIONS, options)
        else:
            reset = self.option_names(VIEW_OPTIONS)
        self.expect_end(_ALTER_VIEW_HINT)
        if "persistence" in reset:
            hint = f"ALTER VIEW name SET (persistence = {' | '.join(Persistence)})"
            self.refuse("persistence has no default to go back to", at=options_at, hint=hint)
        if "persistence" in options:
            try:
                check_together(options, Persistence(options["persistence"]))
            except DefinitionError as problem:
                self.refuse(problem.message, at=options_at, hint=problem.hint)
        return AlterView(self.as_relation(name, name_at), options, reset)

    def _verb(self, hint: str) -> str:
        """SET or RESET before a parenthesis, which no statement of DuckDB has here."""
        verb = word_of(self.current)
        if verb not in ("SET", "RESET") or self.ahead(1).token_type != TokenType.L_PAREN:
            self.refuse(f"expected SET ( or RESET (, found {self.found()}", hint=hint)
        self.index += 1
        self.claim()
        return verb

    def _drop(self) -> DropView | None:
        keyword = self.accept_one(*_PERSISTENCES)
        if keyword:
            self.claim()
            self.expect("VIEW", hint=_DROP_HINT)
        elif not self.accept("VIEW"):
            return None
        if_exists = self.accept("IF", "EXISTS")
        names = [self.relation()]
        while self.accept_type(TokenType.COMMA):
            names.append(self.relation())
        behavior = self.accept_one("CASCADE", "RESTRICT")
        self.expect_end(_DROP_HINT)
        return DropView(tuple(names), if_exists, behavior == "CASCADE")

    def _refresh(self) -> RefreshView:
        self.claim()
        kind = self.current
        if self.accept_one(*_PERSISTENCES) == "ORIGIN":
            self.refuse("an origin view cannot be refreshed", at=kind, hint="it has no copy: it is always fresh")
        self.expect("VIEW", hint=_REFRESH_HINT)
        if word_of(self.current) == "CONCURRENTLY":
            self.refuse("unexpected CONCURRENTLY", hint=f"leave it out: a refresh never blocks. {_REFRESH_HINT}")
        name = self.relation()
        self.expect_end(_REFRESH_HINT)
        return RefreshView(name)

    def _create_schema(self) -> CreateSchema:
        if_not_exists = self.accept("IF", "NOT", "EXISTS")
        name_at = self.current
        name = self.dotted_name("the name of a schema")
        options: dict[str, str] = {}
        if self.accept("WITH"):
            if self.current.token_type == TokenType.L_PAREN:
                self.claim()
            self.options(SCHEMA_OPTIONS, options)
        self.expect_end(_CREATE_SCHEMA_HINT)
        if len(name) > 1:
            self.refuse("the name of a schema has one part", at=name_at, hint=_CREATE_SCHEMA_HINT)
        return CreateSchema(name[0], if_not_exists, options.get("replication_origin"))

    def _alter_schema(self) -> AlterSchema:
        name_at = self.current
        name = self.dotted_name("the name of a schema")
        options: dict[str, str] = {}
        if self._verb(_ALTER_SCHEMA_HINT) == "SET":
            self.options(SCHEMA_OPTIONS, options)
        else:
            self.option_names(SCHEMA_OPTIONS)
        self.expect_end(_ALTER_SCHEMA_HINT)
        if len(name) > 1:
            self.refuse("the name of a schema has one part", at=name_at, hint=_ALTER_SCHEMA_HINT)
        return AlterSchema(name[0], options.get("replication_origin"))

    def _explain(self) -> Statement | None:
        if self.accept("VIEW"):
            self.claim()
            name = self.relation()
            self.expect_end("EXPLAIN VIEW name")
            return ExplainView(name)
        analyze = self.accept("ANALYZE")
        return ExplainQuery(self.query(len(self.tokens), hint=""), analyze)

    STATEMENT_PARSERS: ClassVar[dict[TokenType, Callable[[StatementReader], Statement | None]]] = {
        TokenType.CREATE: _create,
        TokenType.ALTER: _alter,
        TokenType.DROP: _drop,
        TokenType.COMMAND: _refresh,
        TokenType.DESCRIBE: _explain,
    }


class Parser:
    """The parser of the FlashQL dialect: a script's tokens to its statements.

    It takes what sqlglot gives to any dialect's parser, and needs none of it.
    """

    def __init__(self, **_options: object) -> None:
        pass

    def parse(self, raw_tokens: list[Token], sql: str) -> list[Statement]:
        """The statements, in order. A semicolon ends one wherever it stands; empty ones are none."""
        chunks: list[list[Token]] = [[]]
        for token in raw_tokens:
            if token.token_type == TokenType.SEMICOLON:
                chunks.append([])
            else:
                chunks[-1].append(token)
        return [StatementReader(tokens, sql).read() for tokens in chunks if tokens]


class FlashQL(Postgres):
    """The dialect: `Postgres` whose statements are FlashQL's."""

    Tokenizer = tokenizer.Tokenizer
    Parser = Parser  # type: ignore[assignment]  # same use, no inheritance: see the head of this file


_DIALECT = FlashQL()


def parse_script(sql: str) -> tuple[Statement, ...]:
    """The statements of a script, in order; comments and empty statements are none.

    Raises `SyntaxProblem`, with the position in the script, when a statement of FlashQL is wrong, and
    `NotSupported` for what is reserved. Everything that is not FlashQL's comes back as `LocalSQL`, unread.

    >>> [type(statement).__name__ for statement in parse_script("CREATE SCHEMA shop; SELECT 1; -- done")]
    ['CreateSchema', 'LocalSQL']
    """
    return tuple(Parser().parse(_DIALECT.tokenize(sql), sql))
