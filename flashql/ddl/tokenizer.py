"""SQL text to tokens, by the lexical rules that Postgres and DuckDB share.

sqlglot's own scanner reads `$1,$2` as the beginning of a dollar-quoted string and miscounts some nested
comments; a statement would then end in the wrong place. So this one follows the databases' rules to the
letter (Postgres documentation, "Lexical Structure"; DuckDB's scanner is a descendant of Postgres's). It never
fails: what is not closed becomes one last token of type UNKNOWN.

Tokens carry `start` and `end` (inclusive), which are offsets; lines and columns are made from offsets, by
`line_and_column`, when somebody asks.
"""

from __future__ import annotations

import string
from typing import ClassVar

from sqlglot.dialects.postgres import Postgres
from sqlglot.tokenizer_core import Token, TokenType

UNCLOSED = TokenType.UNKNOWN

# Beyond ASCII these are spaces to DuckDB, the byte order mark among them; no other character is.
_SPACES = frozenset([*string.whitespace, *map(chr, range(0x2000, 0x200C)), *"\u00a0\u202f\u205f\u2060\u3000\ufeff"])
_WORD_START = frozenset(string.ascii_letters + "_")
_WORD = _WORD_START | frozenset(string.digits + "$")
_STRING_PREFIXES = frozenset("eEbBxXnN")


def line_and_column(sql: str, offset: int) -> tuple[int, int]:
    """Where an offset is, both counted from 1."""
    return sql.count("\n", 0, offset) + 1, offset - sql.rfind("\n", 0, offset)


def starts_word(character: str) -> bool:
    """Whether an unquoted identifier may begin with the character: a letter, `_`, or any beyond ASCII."""
    return character in _WORD_START or (character > "\x7f" and character not in _SPACES)


def _goes_on_word(character: str) -> bool:
    return character in _WORD or (character > "\x7f" and character not in _SPACES)


class Scanner:
    """One pass over one text."""

    def __init__(self, sql: str, keywords: dict[str, TokenType], symbols: dict[str, TokenType]) -> None:
        self.sql = sql
        self.keywords = keywords
        self.symbols = symbols
        self.tokens: list[Token] = []

    def scan(self) -> list[Token]:
        """All tokens of the text."""
        at = 0
        while at < len(self.sql):
            at = self._step(at)
        return self.tokens

    def _step(self, at: int) -> int:
        """Read what begins at the offset; the offset behind it."""
        character, following = self.sql[at], self.sql[at + 1 : at + 2]
        if character in _SPACES:
            return at + 1
        if starts_word(character):
            return self._word(at)
        if character == "-" and following == "-":
            return self._line_comment(at)
        if character == "/" and following == "*":
            return self._block_comment(at)
        if character in "'\"":
            return self._quoted(at, at, TokenType.STRING if character == "'" else TokenType.IDENTIFIER)
        if character == "$":
            return self._dollar(at)
        if character.isdigit():
            return self._number(at)
        return self._add(self.symbols.get(character, TokenType.VAR), at, at + 1, character)

    def _add(self, token_type: TokenType, start: int, stop: int, text: str) -> int:
        self.tokens.append(Token(token_type, text, start=start, end=stop - 1))
        return stop

    def _unclosed(self, start: int) -> int:
        return self._add(UNCLOSED, start, len(self.sql), self.sql[start:])

    def _line_comment(self, at: int) -> int:
        newline = self.sql.find("\n", at)
        end = len(self.sql) if newline < 0 else newline
        carriage_return = self.sql.find("\r", at, end)
        return end if carriage_return < 0 else carriage_return

    def _block_comment(self, start: int) -> int:
        depth, at = 1, start + 2
        while depth:
            closing = self.sql.find("*/", at)
            if closing < 0:
                return self._unclosed(start)
            opening = self.sql.find("/*", at, closing + 1)
            nested = 0 <= opening < closing
            depth += 1 if nested else -1
            at = (opening if nested else closing) + 2
        return at

    def _quoted(self, start: int, quote_at: int, token_type: TokenType, *, backslashes: bool = False) -> int:
        """What begins at `start` and has its opening quote at `quote_at`; a doubled quote stands for one."""
        sql, mark = self.sql, self.sql[quote_at]
        pieces: list[str] = []
        at = quote_at + 1
        while True:
            end = sql.find(mark, at)
            escape = sql.find("\\", at, end) if backslashes and end >= 0 else -1
            if end < 0:
                return self._unclosed(start)
            if escape >= 0:
                pieces.append(sql[at : escape + 2])
                at = escape + 2
            elif sql.startswith(mark, end + 1):
                pieces.append(sql[at : end + 1])
                at = end + 2
            else:
                break
        return self._add(token_type, start, end + 1, "".join([*pieces, sql[at:end]]))

    def _dollar(self, start: int) -> int:
        """`$tag$ ... $tag$`, or the dollar sign of a parameter."""
        at = start + 1
        while at < len(self.sql) and self.sql[at] != "$" and _goes_on_word(self.sql[at]):
            at += 1
        tag = self.sql[start : at + 1]
        if not tag.endswith("$") or len(tag) < 2 or tag[1].isdigit():
            return self._add(TokenType.PARAMETER, start, start + 1, "$")
        end = self.sql.find(tag, at + 1)
        if end < 0:
            return self._unclosed(start)
        return self._add(TokenType.STRING, start, end + len(tag), self.sql[at + 1 : end])

    def _word(self, start: int) -> int:
        at = start + 1
        while at < len(self.sql) and _goes_on_word(self.sql[at]):
            at += 1
        word = self.sql[start:at]
        if word in _STRING_PREFIXES and self.sql.startswith("'", at):
            # The text of a prefixed string is not decoded: none of FlashQL's own statements takes one.
            return self._quoted(start, at, TokenType.BYTE_STRING, backslashes=word in "eE")
        return self._add(self.keywords.get(word.upper(), TokenType.VAR), start, at, word)

    def _number(self, start: int) -> int:
        at = start + 1
        while at < len(self.sql) and (self.sql[at] in "._" or self.sql[at].isalnum()):
            at += 1
        return self._add(TokenType.NUMBER, start, at, self.sql[start:at])


class Tokenizer(Postgres.Tokenizer):
    """The tokenizer of the FlashQL dialect.

    Only the words that open FlashQL's own statements are keywords; a query is not looked into.
    """

    COMMANDS: ClassVar[set[TokenType]] = set()
    KEYWORDS: ClassVar[dict[str, TokenType]] = {
        "CREATE": TokenType.CREATE,
        "ALTER": TokenType.ALTER,
        "DROP": TokenType.DROP,
        "REFRESH": TokenType.COMMAND,
        "EXPLAIN": TokenType.DESCRIBE,
    }
    SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
        symbol: TokenType.VAR if token_type == UNCLOSED else token_type
        for symbol, token_type in Postgres.Tokenizer.SINGLE_TOKENS.items()
    }

    def tokenize(self, sql: str) -> list[Token]:
        """The tokens of the text; the last is UNCLOSED when a quote or comment has no end."""
        return Scanner(sql, self.KEYWORDS, self.SINGLE_TOKENS).scan()
