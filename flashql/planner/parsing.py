"""The origin's SQL text as a tree, without losing anything of what it says.

sqlglot reads Postgres's dialect, but some of it approximately: of an interval's text it keeps the first part, and
functions that several dialects have become one node, whatever they were. So tokens that would lose their meaning are
rewritten before they are parsed: to calls of functions that sqlglot does not know.
"""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from flashql import errors

PREFIX: Final = "postgres_"  # of a function's name that sqlglot must not know
INTERVAL: Final = f"{PREFIX}interval"

_KEPT_AS_CALLS: Final = {
    "date_part", "to_char", "to_date", "to_timestamp", "concat", "concat_ws", "initcap", "lpad", "rpad", "repeat",
    "reverse", "split_part", "ascii", "chr", "md5", "to_hex", "regexp_replace", "translate", "ceil", "ceiling", "floor",
    "trunc", "sign", "sqrt", "power", "pow", "exp", "ln", "log", "log10", "div", "gcd", "lcm", "mode",
    "first", "last", "date", "array_length", "array_to_string", "string_to_array", "variance", "var_samp", "var_pop",
    "stddev", "stddev_samp", "stddev_pop", "corr", "covar_pop", "covar_samp", "bit_and", "bit_or", "bit_xor",
    "any_value", "date_bin", "justify_days", "justify_hours", "justify_interval", "bit_length", "octet_length",
    "strpos", "format",
    "random", "gen_random_uuid", "unnest", "generate_series",
    "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "json_build_object", "json_build_array", "to_json",
    "regr_count", "regr_avgx", "regr_avgy", "regr_sxx", "regr_syy", "regr_sxy", "regr_slope", "regr_intercept",
    "regr_r2", "json_object", "width_bucket", "cbrt", "degrees", "radians", "pi", "sin", "cos", "tan", "cot", "asin",
    "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "factorial", "to_number",
    "regexp_substr", "regexp_count", "regexp_instr", "sha256", "encode", "decode", "array_position", "array_reverse",
    "array_sort",
}  # fmt: skip
_NAMES: Final = {TokenType.IDENTIFIER, TokenType.STRING}
_BEFORE_ALIASES: Final = {
    TokenType.ALIAS,
    TokenType.WITH,
    TokenType.RECURSIVE,
    TokenType.R_PAREN,
    TokenType.VAR,
    *_NAMES,
}
_ARROWS: Final = {
    TokenType.ARROW: (TokenType.HASH_ARROW, "#>"),
    TokenType.DARROW: (TokenType.DHASH_ARROW, "#>>"),
}
_UNITS: Final = {"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"}


def parsed(query: str) -> exp.Expr:
    """The statement as a tree; raises `DefinitionError` for what cannot be read.

    >>> parsed("SELECT interval '1 day 02:00' AS i").sql("postgres")
    "SELECT POSTGRES_INTERVAL('1 day 02:00') AS i"
    """
    dialect = Postgres()
    try:
        found = dialect.parser().parse(_rewritten(dialect.tokenize(query), query), query)
    except SqlglotError as error:
        raise errors.DefinitionError(f"the query cannot be read: {str(error).splitlines()[0]}") from error
    trees = [tree for tree in found if tree is not None]
    if len(trees) != 1:
        raise errors.DefinitionError("a view has one query")
    return trees[0]


def expression(text: str) -> exp.Expr:
    """An expression as a tree; raises `DefinitionError` for what cannot be read."""
    found: exp.Expr = parsed(f"SELECT {text}").expressions[0]
    return found


def _rewritten(tokens: list[Token], query: str) -> list[Token]:
    made: list[Token] = []
    at = 0
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else None
        if following is not None and token.token_type == TokenType.NUMBER and following.start == token.end + 1:
            _require_apart(token, following)
        if (
            token.token_type == TokenType.INTERVAL
            and following is not None
            and following.token_type == TokenType.STRING
        ):
            unit = tokens[at + 2] if at + 2 < len(tokens) and tokens[at + 2].text.upper() in _UNITS else None
            made += _interval(token, following, unit)
            at += 3 if unit is not None else 2
            continue
        path = _path(tokens[at + 1 : at + 3]) if token.token_type in _ARROWS else None
        if path is not None:
            made += [_like(token, *_ARROWS[token.token_type]), path]
            at += 2 if path.start == tokens[at + 1].start else 3
            continue
        if token.token_type == TokenType.BYTE_STRING:
            token = _like(token, TokenType.STRING, _unescaped(query[token.start : token.end + 1]))
        if token.text.lower() in _KEPT_AS_CALLS and _is_call(tokens, at):
            token = _like(token, TokenType.VAR, PREFIX + token.text.lower())
        made.append(token)
        at += 1
    return made


_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE: Final = re.compile(
    r"''|\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(?:u|U(?=[0-9a-fA-F]{8}))([0-9a-fA-F]{4}(?:(?<=U....)[0-9a-fA-F]{4})?)|(.))",
    re.DOTALL,
)


def _unescaped(written: str) -> str:
    r"""What a constant like E'a\n' says (scan.l); raises `NotSupported` for bytes, which may be no characters."""
    if written[:2].upper() != "E'" or written[-1:] != "'":
        raise errors.NotSupported(f"the constant {written} is not read")

    def said(part: re.Match[str]) -> str:
        hexadecimal, octal, code, other = part.groups()
        if other is not None or part[0] == "''":
            return _ESCAPES.get(other, other) if other else "'"
        value = int(octal, 8) if octal else int(hexadecimal or code, 16)
        if not 0 < value < (0x110000 if code else 0x80) or 0xD800 <= value < 0xE000:
            raise errors.NotSupported(f"the escape {part[0]} is not read", hint="Write the character itself.")
        return chr(value)

    return _ESCAPE.sub(said, written[2:-1])


def _is_call(tokens: list[Token], at: int) -> bool:
    """Whether the name is called, rather than given to something with a list of columns: `WITH log (a) AS (...)`."""
    if tokens[at].token_type in _NAMES or at + 1 == len(tokens) or tokens[at + 1].token_type != TokenType.L_PAREN:
        return False
    if at and tokens[at - 1].token_type in _BEFORE_ALIASES and not _ends_distinct_on(tokens[:at]):
        return False
    depth, end = 1, at + 2
    while end < len(tokens) and depth:
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(tokens[end].token_type, 0)
        end += 1
    behind = [token.text.upper() for token in tokens[end : end + 2]]
    return behind[:1] != ["AS"] or behind[1:] not in (["("], ["MATERIALIZED"], ["NOT"])


def _ends_distinct_on(tokens: list[Token]) -> bool:
    """Whether they end with `DISTINCT ON (...)`, which the select list follows."""
    depth = 0
    for at in reversed(range(len(tokens))):
        depth += {TokenType.R_PAREN: 1, TokenType.L_PAREN: -1}.get(tokens[at].token_type, 0)
        if not depth:
            return [token.text.upper() for token in tokens[max(at - 2, 0) : at]] == ["DISTINCT", "ON"]
    return False


def _require_apart(number: Token, following: Token) -> None:
    """Postgres 16 reads 1_000 and 0x1F as numbers, older ones and sqlglot as a number and a name."""
    if following.text[:1].isalnum() or following.text[:1] == "_":
        raise errors.NotSupported(f"the number {number.text}{following.text} is not read alike everywhere")


def _path(key: list[Token]) -> Token | None:
    """A constant key of jsonb as a path that documents.py reads: sqlglot takes what follows `->` for one of its own."""
    if key[0].token_type == TokenType.STRING and not re.search(r'["\\*]', key[0].text) and key[0].text:
        return _like(key[0], TokenType.STRING, f'$."{key[0].text}"')
    if key[0].token_type == TokenType.NUMBER and key[0].text.isdigit():
        return _like(key[0], TokenType.STRING, f"$[{key[0].text}]")
    if key[0].token_type == TokenType.DASH and key[1].token_type == TokenType.NUMBER and key[1].text.isdigit():
        return _like(key[1], TokenType.STRING, f"$[#-{key[1].text}]")
    return None


def _interval(interval: Token, text: Token, unit: Token | None) -> list[Token]:
    """`interval 'text' unit` as a call."""
    arguments = [text]
    if unit is not None:
        arguments += [_like(unit, TokenType.COMMA, ","), _like(unit, TokenType.STRING, unit.text.lower())]
    return [
        _like(interval, TokenType.VAR, INTERVAL),
        _like(interval, TokenType.L_PAREN, "("),
        *arguments,
        _like(unit or text, TokenType.R_PAREN, ")"),
    ]


def _like(token: Token, kind: TokenType, text: str) -> Token:
    """A token in another's place."""
    return Token(kind, text, token.line, token.col, token.start, token.end, list(token.comments))
