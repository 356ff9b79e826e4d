"""What FlashQL's statements are made of: words, names, option lists, and the text of a query.

A statement is *claimed* at the word that only FlashQL can mean; from there on a mistake is the user's to
mend. Before it a mistake means that the statement is DuckDB's to judge.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NoReturn

from sqlglot.tokenizer_core import Token, TokenType

from flashql.ddl.names import RESERVED_WORDS, RelationName
from flashql.ddl.options import Checks, check_name, normal_value
from flashql.ddl.statements import ParameterText
from flashql.ddl.tokenizer import UNCLOSED, line_and_column, starts_word
from flashql.errors import DefinitionError, SyntaxProblem
from flashql.quoting import fold, quote

# What a query may begin with: the contract's SELECT, TABLE, VALUES and WITH, and DuckDB's own ways.
QUERY_WORDS = frozenset({"SELECT", "TABLE", "VALUES", "WITH", "FROM", "PIVOT", "UNPIVOT"})
_CHANGING_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})

_QUOTED = frozenset({TokenType.STRING, TokenType.IDENTIFIER, TokenType.BYTE_STRING, UNCLOSED})
_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_SIGNS = {TokenType.DASH: "-", TokenType.PLUS: "+"}

# Behind the last token of a statement.
END = Token(TokenType.BREAK, "")


def word_of(token: Token) -> str:
    """The token as an unquoted word in upper case; nothing when it is quoted."""
    return "" if token.token_type in _QUOTED else token.text.upper()


class Phrases:
    """A cursor over the tokens of one statement, and the phrases that statements share."""

    def __init__(self, tokens: list[Token], sql: str) -> None:
        self.tokens = tokens
        self.sql = sql
        self.index = 0
        self.claimed = False

    @property
    def current(self) -> Token:
        """The token to read next; `END` behind the last."""
        return self.ahead(0)

    def ahead(self, count: int) -> Token:
        """The token that many behind the current one; `END` behind the last."""
        at = self.index + count
        return self.tokens[at] if at < len(self.tokens) else END

    def accept_type(self, token_type: TokenType) -> bool:
        """Step over a token of the type if it stands here."""
        if self.current.token_type != token_type:
            return False
        self.index += 1
        return True

    def claim(self) -> None:
        """From here on the statement is FlashQL's: its mistakes are errors."""
        self.claimed = True
        last = self.tokens[-1]
        if last.token_type == UNCLOSED:
            what = "comment" if last.text.startswith("/*") else "quote"
            self.refuse(f"the {what} that begins here is never closed", at=last)

    def refuse(self, message: str, *, at: Token | None = None, hint: str | None = None) -> NoReturn:
        """Raise `SyntaxProblem` at the token, or at the current one."""
        line, column = line_and_column(self.sql, self._offset(at))
        raise SyntaxProblem(message, line=line, column=column, hint=hint)

    def _offset(self, at: Token | None) -> int:
        token = at or self.current
        return self.tokens[-1].end + 1 if token is END else token.start

    def found(self) -> str:
        """What stands here, for a message. Strings are not echoed: they may hold secrets."""
        return "the end of the statement" if self.current is END else self._source(self.current)

    def _source(self, token: Token) -> str:
        string = token.token_type in (TokenType.STRING, TokenType.BYTE_STRING)
        return "a string" if string else self.sql[token.start : token.end + 1]

    def accept(self, *words: str) -> bool:
        """Step over the words if all of them stand here, unquoted."""
        here = self.tokens[self.index : self.index + len(words)]
        if [word_of(token) for token in here] != list(words):
            return False
        self.index += len(words)
        return True

    def accept_one(self, *words: str) -> str:
        """Step over one of the words: which one, or nothing."""
        word = word_of(self.current)
        if word not in words:
            return ""
        self.index += 1
        return word

    def expect(self, *words: str, hint: str) -> None:
        """Step over the words; raises `SyntaxProblem` when they do not stand here."""
        if not self.accept(*words):
            self.refuse(f"expected {' '.join(words)}, found {self.found()}", hint=hint)

    def expect_end(self, hint: str) -> None:
        """Raise `SyntaxProblem` unless the statement ends here."""
        if self.current is not END:
            self.refuse(f"unexpected {self.found()}", hint=hint)

    def identifier(self, what: str, *, reserved: bool = False) -> str:
        """Step over one identifier. Reserved words must be quoted unless `reserved` allows them."""
        token = self.current
        if token.token_type == TokenType.IDENTIFIER:
            name = token.text
        elif token.token_type not in _QUOTED and starts_word(token.text[:1]):
            name = fold(token.text)
            if name in RESERVED_WORDS and not reserved:
                self.refuse(
                    f"expected {what}, found the reserved word {token.text}",
                    hint=f"a name that is a reserved word needs quotes: {quote(name)}",
                )
        else:
            self.refuse(f"expected {what}, found {self.found()}")
        if not name or "\0" in name:
            self.refuse(f"{what} cannot be empty or contain a zero character")
        self.index += 1
        return name

    def dotted_name(self, what: str) -> tuple[str, ...]:
        """Step over a name of one or more parts."""
        parts = [self.identifier(what)]
        while self.accept_type(TokenType.DOT):
            parts.append(self.identifier(what, reserved=True))
        return tuple(parts)

    def as_relation(self, parts: tuple[str, ...], at: Token) -> RelationName:
        """The parts as the name of a view; raises `SyntaxProblem` when there are more than two."""
        if len(parts) > 2:
            self.refuse("the name of a view has at most two parts", at=at, hint="write schema.name")
        return RelationName(parts[0] if len(parts) == 2 else None, parts[-1])

    def relation(self) -> RelationName:
        """Step over the name of a view."""
        first = self.current
        return self.as_relation(self.dotted_name("the name of a view"), first)

    def options(self, known: Checks, into: dict[str, str]) -> None:
        """Step over `(name = value, ...)` and add the options, in normal form, to `into`."""
        hint = "write (option = value, ...); values of more than one word need quotes"
        if not self.accept_type(TokenType.L_PAREN):
            self.refuse(f"expected (, found {self.found()}", hint=hint)
        while True:
            option = self.current
            name = self._option_name(known)
            if name in into:
                self.refuse(f"the option {name} is given twice", at=option)
            if not self.accept_type(TokenType.EQ):
                self.refuse(f"expected = after {name}, found {self.found()}", hint=hint)
            value_at = self.current
            value = self._value(name)
            try:
                into[name] = normal_value(name, value, known)
            except DefinitionError as problem:
                self.refuse(problem.message, at=value_at, hint=problem.hint)
            if not self._goes_on(hint):
                return

    def option_names(self, known: Checks) -> tuple[str, ...]:
        """Step over `(name, ...)`: the names of the options."""
        hint = "write (option, ...)"
        if not self.accept_type(TokenType.L_PAREN):
            self.refuse(f"expected (, found {self.found()}", hint=hint)
        names = [self._option_name(known)]
        while self._goes_on(hint):
            names.append(self._option_name(known))
        return tuple(dict.fromkeys(names))

    def _goes_on(self, hint: str) -> bool:
        """Step over the comma (True) or closing parenthesis (False) after an item of a list."""
        if self.accept_type(TokenType.COMMA):
            return True
        if not self.accept_type(TokenType.R_PAREN):
            self.refuse(f"expected , or ), found {self.found()}", hint=hint)
        return False

    def _option_name(self, known: Checks) -> str:
        option = self.current
        name = self.identifier("the name of an option", reserved=True)
        try:
            check_name(name, known)
        except DefinitionError as problem:
            self.refuse(problem.message, at=option, hint=problem.hint)
        return name

    def _value(self, name: str) -> str:
        """Step over a string, number, boolean or bare word: its text."""
        sign = _SIGNS.get(self.current.token_type, "")
        if sign:
            self.index += 1
        token = self.current
        if token.token_type == TokenType.NUMBER or (token.token_type == TokenType.STRING and not sign):
            self.index += 1
            return sign + token.text
        if sign:
            self.refuse(f"expected a number, found {self.found()}")
        return self.identifier(f"a value for {name}", reserved=True)

    def columns(self) -> tuple[tuple[str, ...], tuple[ParameterText, ...]]:
        """Step over `(column, ...)` or `(parameter type [DEFAULT literal], ...)` if it stands here: one is empty."""
        hint = "write (column, ...), whose types come from the query, or (parameter type, ...)"
        names: list[str] = []
        parameters: list[ParameterText] = []
        if not self.accept_type(TokenType.L_PAREN):
            return (), ()
        while True:
            at = self.current
            names.append(self.identifier("the name of a column"))
            if self.current.token_type not in (TokenType.COMMA, TokenType.R_PAREN, END.token_type):
                parameters.append(self._parameter(names[-1]))
            if fold(names[-1]) in [fold(name) for name in names[:-1]]:
                self.refuse(f"the {'parameter' if parameters else 'column'} {names[-1]} is given twice", at=at)
            if parameters and len(parameters) < len(names):
                self.refuse("some of these have types and some have none", at=at, hint=hint)
            if not self._goes_on(hint):
                return ((), tuple(parameters)) if parameters else (tuple(names), ())

    def _parameter(self, name: str) -> ParameterText:
        """Step over a parameter's type, and its default where it has one."""
        if not starts_word(self.current.text[:1]):
            self.refuse(f"expected , or ), found {self.found()}")
        self.claim()
        first, depth = self.index, 0
        while depth or self.current.token_type not in (TokenType.COMMA, TokenType.R_PAREN, END.token_type):
            if self.current is END or (not depth and word_of(self.current) == "DEFAULT"):
                break
            depth += (self.current.token_type in _OPENING) - (self.current.token_type in _CLOSING)
            self.index += 1
        type_ = self.sql[self.tokens[first].start : self.tokens[self.index - 1].end + 1]
        if not self.accept("DEFAULT"):
            return ParameterText(name, type_)
        default = None if self.accept("NULL") else self._value(name)
        return ParameterText(name, type_, default, has_default=True)

    def trailing_options(self) -> int:
        """Where the query from here on ends: at a `WITH (...)` that ends the statement, or with it."""
        tokens, size = self.tokens, len(self.tokens)
        at, depth = size - 1, 0
        if tokens[at].token_type != TokenType.R_PAREN:
            return size
        while at >= self.index:
            depth += (tokens[at].token_type in _CLOSING) - (tokens[at].token_type in _OPENING)
            if not depth:
                break
            at -= 1
        return at - 1 if at > self.index and word_of(tokens[at - 1]) == "WITH" else size

    def query(self, stop: int, hint: str) -> str:
        """Step over a query that ends before the token at index `stop`: its text exactly as written.

        Only its kind is looked at; its grammar belongs to the database that will run it.
        """
        tokens = self.tokens[self.index : stop]
        opening = next((token for token in tokens if token.token_type != TokenType.L_PAREN), None)
        if opening is None:
            self.refuse("the query is missing", hint=hint)
        if word_of(opening) not in QUERY_WORDS:
            self.refuse(f"{self._source(opening)} does not begin a query", at=opening, hint=hint)
        if word_of(opening) == "WITH":
            self._refuse_change(tokens, opening, hint)
        self.index = stop
        return self.sql[tokens[0].start : tokens[-1].end + 1]

    def _refuse_change(self, tokens: list[Token], with_word: Token, hint: str) -> None:
        """WITH may also introduce an INSERT, which stands behind the last common table expression."""
        depth = 0
        for before, token in pairwise(tokens[tokens.index(with_word) :]):
            depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
            word = "" if depth else word_of(token)
            if word in QUERY_WORDS:
                return
            if word in _CHANGING_WORDS and before.token_type == TokenType.R_PAREN:
                self.refuse(f"{word} is not a query", at=token, hint=hint)
