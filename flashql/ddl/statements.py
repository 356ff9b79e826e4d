"""What a script is made of: one immutable value per statement.

`sql` is the statement's own text (comments around it and the semicolon left out) and `start` its offset in
the script. Two statements are equal when they mean the same, so neither takes part in comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flashql.catalog import Persistence
from flashql.ddl.names import RelationName
from flashql.quoting import literal


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a statement stands in its script."""

    sql: str = field(default="", repr=False, compare=False)
    start: int = field(default=0, repr=False, compare=False)


@dataclass(frozen=True)
class ParameterText:
    """A parameter as it is written: a name, the origin's type, and a literal where it has a default."""

    name: str
    type: str
    default: str | None = None  # the literal's text, unquoted; None with `has_default` is NULL
    has_default: bool = False

    def __str__(self) -> str:
        default = "NULL" if self.default is None else literal(self.default)
        return f"{self.name} {self.type}{f' DEFAULT {default}' if self.has_default else ''}"


@dataclass(frozen=True)
class CreateView(Source):
    """CREATE [OR REPLACE] [ORIGIN | MATERIALIZED | REALTIME] VIEW.

    With neither persistence nor origin nor options the statement is also DuckDB's own: whether it means a
    FlashQL view depends on its schema's origin, which the reader of this value knows.
    """

    name: RelationName
    columns: tuple[str, ...]  # () when the query names them
    persistence: Persistence | None
    origin: str | None  # from replication_origin, without the kind: 'primary'
    options: dict[str, str]  # the other options: refresh_every, numeric
    query: str  # exactly as written
    replace: bool = False
    if_not_exists: bool = False
    parameters: tuple[ParameterText, ...] = ()


@dataclass(frozen=True)
class AlterView(Source):
    """ALTER VIEW name SET (...) or RESET (...): one of the two is empty."""

    name: RelationName
    set: dict[str, str]  # options in normal form; persistence and replication_origin among them
    reset: tuple[str, ...]


@dataclass(frozen=True)
class DropView(Source):
    """DROP VIEW. The views may be FlashQL's or DuckDB's own."""

    names: tuple[RelationName, ...]
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True)
class RefreshView(Source):
    """REFRESH VIEW name: read the view's rows from its origin again."""

    name: RelationName


@dataclass(frozen=True)
class CreateSchema(Source):
    """CREATE SCHEMA, with or without a default origin for its views."""

    name: str
    if_not_exists: bool = False
    origin: str | None = None


@dataclass(frozen=True)
class AlterSchema(Source):
    """ALTER SCHEMA name SET (replication_origin = ...); `origin` is None for RESET."""

    name: str
    origin: str | None


@dataclass(frozen=True)
class ExplainView(Source):
    """EXPLAIN VIEW name: how the view is kept."""

    name: RelationName


@dataclass(frozen=True)
class ExplainQuery(Source):
    """EXPLAIN [ANALYZE] query: what runs where."""

    query: str  # exactly as written
    analyze: bool = False


@dataclass(frozen=True)
class LocalSQL:
    """Everything else: DuckDB's, word for word."""

    sql: str
    start: int = field(default=0, repr=False, compare=False)


Statement = (
    CreateView | AlterView | DropView | RefreshView | CreateSchema | AlterSchema | ExplainView | ExplainQuery | LocalSQL
)
