"""What FlashQL knows: schemas, views, origins, tables, copies, and who depends on whom. Immutable values.

`store.py` loads and saves them; everything else passes them around.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from flashql.datatypes import LocalType, PgType, ladder
from flashql.errors import NotSupported, UnknownName
from flashql.lsn import LSN, NOWHERE
from flashql.quoting import local_name


class Persistence(StrEnum):
    """How a view's data behaves locally."""

    ORIGIN = "origin"
    MATERIALIZED = "materialized"
    REALTIME = "realtime"


@dataclass(frozen=True)
class Column:
    """A column of a table or query at an origin, as the origin's own catalog or description gives it."""

    name: str
    type: PgType
    not_null: bool = False
    generated: bool = False  # computed by the origin and absent from its stream
    collation: str | None = None  # 'C', 'en_US.UTF-8', ...; None when the type has no collation
    declared: tuple[int, int] = (0, -1)  # oid and typmod as declared (a domain's own), as the stream names them


@dataclass(frozen=True)
class Shape:
    """What in an origin's catalog tells that a table's rows changed without a word in its stream (shape.sql).

    Tokens are compared, never read. `shapes.undisturbed` says which differences matter.
    """

    file: int  # pg_class.relfilenode: 0 for a partitioned table
    columns: tuple[tuple[str, int, str], ...]  # name, attnum, and xmin of its row in pg_attribute
    partitions: tuple[str, ...] = ()  # at every level: which, in which file, since which transaction
    streamed: tuple[str, ...] = ()  # those of them that brought no rows along: born as partitions, or empty
    types: tuple[tuple[str, str], ...] = ()  # column, and a label or the attributes of a type that it is made of


@dataclass(frozen=True)
class Table:
    """A table at an origin: enough to publish, copy and follow it."""

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]  # columns that identify a row in the stream; () means the whole row (identity full)
    replica_identity: str  # pg_class.relreplident: d default, n nothing, f full, i index
    kind: str = "r"  # pg_class.relkind: r table, p partitioned table, v view, m materialized view, f foreign
    estimated_rows: int = -1
    estimated_bytes: int = 0
    pages: int = 0  # of its rows' own file, without what TOAST holds
    shape: Shape | None = None  # of a table ('r' or 'p')

    def column(self, name: str) -> Column:
        """The column of that name; raises `UnknownName`."""
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownName(f'column "{name}" does not exist in {self.schema}.{self.name}')

    def streamed_column(self, name: str) -> Column:
        """The column of that name; raises `UnknownName`, or `NotSupported` when its values are not in the stream."""
        column = self.column(name)
        if column.generated:
            raise NotSupported(
                f"column {name} of {self.schema}.{self.name} is generated, and the origin does not stream it",
                hint="Define the view again without it.",
            )
        return column


@dataclass(frozen=True)
class ViewColumn:
    """A column of a view: its local name and type, and the origin's type where it came from one."""

    name: str
    local_type: str  # DuckDB's spelling: BIGINT, DECIMAL(38,9)
    pg_type: PgType | None = None


@dataclass(frozen=True)
class Source:
    """An origin table that a realtime view reads."""

    schema: str
    name: str
    columns: tuple[str, ...]  # those of it that the view reads, its key included
    computed_from: tuple[str, ...] = ()  # those of them read by more than plain projection
    computed_types: tuple[tuple[int, int], ...] = ()  # how those were declared when the view was bound
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of its enums, in the order that the view was written with

    @property
    def table(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema, self.name


# What a copy is of: a table, and the view that it belongs to alone (empty: all views of the table share it).
CopyName = tuple[str, str, str]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a view, as it was declared."""

    name: str
    type: PgType
    has_default: bool = False
    default: str | None = None  # as `arguments` spells it; None is NULL


@dataclass(frozen=True)
class Restriction:
    """Which rows of one table a view with parameters reads: those that meet the condition for some set of them.

    A set is a row of a relation `flashql_set`: at the origin with the parameters' names, here `flashql_p0` and so on.
    """

    table: tuple[str, str]
    parameters: tuple[Parameter, ...]
    at_origin: str  # the condition in the origin's SQL, columns quoted and unqualified
    locally: str  # the same in DuckDB's, over the columns of the table's copy
    columns: tuple[str, ...]  # those it reads


@dataclass(frozen=True)
class View:
    """One FlashQL view, as the catalog keeps it."""

    namespace: str  # the local schema
    name: str
    persistence: Persistence
    origin: str | None  # None: local names, DuckDB's dialect
    query: str  # as written, without options
    columns: tuple[ViewColumn, ...]
    options: dict[str, str] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()  # realtime, with an origin: the tables it reads there
    local_select: str | None = None  # rows and columns of one table: the select list over its copy, in DuckDB's dialect
    local_where: str | None = None  # rows and columns of one table: the condition over its copy, in DuckDB's dialect
    local_query: str | None = None  # any other realtime view: the query in DuckDB's dialect, over what it reads
    local_tree: str | None = None  # the same as a syntax tree, with an origin: reading its text again may not give it
    reads: tuple[str, ...] = ()  # relation ids of other FlashQL views it reads (views without an origin)
    local_tables: tuple[str, ...] = ()  # realtime, without an origin: relation ids of DuckDB's own tables it reads
    restriction: Restriction | None = None  # of a view with parameters, whose local query is that without them

    @property
    def relation_id(self) -> str:
        """`namespace.name`, the id used in selectors, status and SQL."""
        return f"{self.namespace}.{self.name}"

    @property
    def shows_copy(self) -> bool:
        """Whether it is shown over its table's copy, and has no rows of its own while it follows."""
        return self.local_select is not None

    @property
    def is_kept(self) -> bool:
        """Whether it has rows of its own that are kept equal to its query."""
        return self.persistence is Persistence.REALTIME and self.local_query is not None

    @property
    def tables(self) -> frozenset[tuple[str, str]]:
        """The origin tables it reads."""
        return frozenset(source.table for source in self.sources)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters, in the order they were declared."""
        return self.restriction.parameters if self.restriction is not None else ()

    def copy_of(self, source: Source) -> CopyName:
        """The copy of one of its sources that it reads."""
        own = self.restriction is not None and self.restriction.table == source.table
        return (*source.table, self.relation_id if own else "")

    @property
    def copies(self) -> frozenset[CopyName]:
        """The copies it reads."""
        return frozenset(self.copy_of(source) for source in self.sources)

    @property
    def numeric(self) -> str:
        """How unconstrained numerics are held: the view's option."""
        return self.options.get("numeric", "auto")

    @property
    def floats_in_any_order(self) -> bool:
        """Whether it takes what floats add up to in any order: the view's option."""
        return self.options.get("float_aggregates") == "any_order"


class CopyState(StrEnum):
    """Where the local copy of an origin table stands."""

    MISSING = "missing"  # wanted, not begun (or begun by a process that is gone)
    COPYING = "copying"  # rows are being read from a snapshot; changes wait in its pending table
    LIVE = "live"  # follows the stream
    DETACHED = "detached"  # no running view reads it; true at its LSN, must be copied again to go on


@dataclass(frozen=True)
class CopyColumn:
    """A column of a copy: the origin's column, and which rung of its type's ladder holds it."""

    column: Column
    rung: int = 0

    @property
    def name(self) -> str:
        """The origin's name of the column."""
        return self.column.name

    @property
    def local_name(self) -> str:
        """Its name in the copy's table."""
        return local_name(self.column.name)

    def local_type(self, numeric: str) -> LocalType:
        """How it is held in DuckDB."""
        return ladder(self.column.type, numeric=numeric)[self.rung]


@dataclass(frozen=True)
class Copy:
    """The local copy of one origin table, shared by every realtime view that reads it.

    One with a restriction is partial: it belongs to one view with parameters, and has the rows for its sets (see
    `store.sets`). One that `fills` another has the rows of sets that are about to join it.
    """

    id: int
    origin: str
    schema: str
    name: str
    oid: int
    columns: tuple[CopyColumn, ...]
    key: tuple[str, ...]  # () when the whole row identifies
    numeric: str = "auto"  # how unconstrained numerics are held: the views' option
    state: CopyState = CopyState.MISSING
    local_table: str | None = None  # its rows, in schema flashql_data; kept readable while copied again
    lsn: LSN = NOWHERE  # of its snapshot: it lacks exactly the transactions whose final LSN is at or after it
    shape: Shape | None = None  # of the origin's table when last looked at; None: made before shapes were kept
    # The publication that feeds it, and since when (see origins/base.py); None: made before that was kept.
    published: tuple[str, str] | None = None
    view: str = ""  # the view that it belongs to alone; empty: shared
    restriction: Restriction | None = None  # of a partial copy
    fills: int | None = None  # the id of the copy that its rows are for

    @property
    def of(self) -> CopyName:
        """What it is a copy of."""
        return self.schema, self.name, self.view

    def local_type(self, column: CopyColumn) -> LocalType:
        """How that column is held in DuckDB."""
        return column.local_type(self.numeric)


@dataclass(frozen=True)
class Origin:
    """What an origin holds for this database file, and how far its stream has been applied."""

    name: str
    slot: str | None
    publication: str | None
    system_identifier: str | None
    timeline: int | None
    applied_lsn: LSN  # every transaction that ends at or before it is in the live copies


@dataclass(frozen=True)
class Schema:
    """A local schema and its default origin."""

    name: str
    replication_origin: str | None = None
