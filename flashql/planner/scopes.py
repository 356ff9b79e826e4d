"""Which names a part of a query can see, and what each stands for in the translation.

Names are found as Postgres finds them: level by level, an unqualified name among the columns of that level's FROM,
a qualified one by its source's alias. In the translation every source has an alias of its own in the whole query, and
a column the name it has locally (`quoting.local_name`), so that DuckDB, which ignores case, cannot mistake one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sqlglot import exp

from flashql.catalog import Column, Table
from flashql.datatypes import PgType, ladder
from flashql.errors import DefinitionError, NotSupported, UnknownName
from flashql.planner.collations import UNCERTAIN, Locale
from flashql.planner.literals import NUMERIC, UNKNOWN
from flashql.planner.scalars import TEXTS, Scalar, as_text, numeric_bounds, refuse
from flashql.quoting import fold, local_name

RECORD: Final = PgType(2249, -1, "record", kind="c")
TableName = tuple[str, str]  # schema and name at the origin
BaseColumn = tuple[TableName, str]


@dataclass(frozen=True)
class Output:
    """A column of a relation: Postgres's name of it, and its value; `bases` are the tables' columns that it shows."""

    name: str
    value: Scalar
    bases: tuple[BaseColumn, ...] = ()


@dataclass
class Reads:
    """What a query reads of base tables, in the order it was met; the first two are the view's options."""

    numeric: str = "auto"
    floats_in_any_order: bool = False
    tables: dict[TableName, Table] = field(default_factory=dict)
    columns: dict[TableName, dict[str, None]] = field(default_factory=dict)
    computed: dict[TableName, dict[str, None]] = field(default_factory=dict)

    def add_table(self, table: Table) -> TableName:
        """Note that the table is read; its name."""
        key = (table.schema, table.name)
        self.tables.setdefault(key, table)
        self.columns.setdefault(key, {})
        self.computed.setdefault(key, {})
        return key

    def add(self, bases: Iterable[BaseColumn], *, computed: bool) -> None:
        """Note that columns are read, and whether for more than to be shown; raises what keeps them from being read."""
        for key, name in bases:
            self.tables[key].streamed_column(name)
            self.columns[key][name] = None
            if computed:
                self._require_number(self.tables[key].column(name))
                self.computed[key][name] = None

    def _require_number(self, column: Column) -> None:
        """Raise `NotSupported` for a numeric that the view's option holds as text: 1.5 and 1.50 would differ."""
        if column.type.oid == NUMERIC and ladder(column.type, numeric=self.numeric)[0].name == "VARCHAR":
            raise NotSupported(
                f"column {column.name} is held as text (numeric = '{self.numeric}') and cannot be computed with",
                hint="Leave the option out, or cast the column to text in a materialized view.",
            )


@dataclass
class Names:
    """Aliases already given, in lower case: a query's are all different."""

    taken: set[str] = field(default_factory=set)

    def unique(self, wanted: str) -> str:
        """The name itself, or with the first free number behind it."""
        name, number = wanted, 1
        while fold(name) in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(fold(name))
        return name


@dataclass(frozen=True)
class Source:
    """An item of FROM: Postgres's name of it and its columns, as references to its alias in the translation."""

    name: str
    columns: tuple[Output, ...]
    table: TableName | None = None  # of a base table that has no alias: it may be named with its schema
    whole: Output | None = None  # what its name alone means: of a function, the one value it returns
    nullable: bool = False  # whether an outer join may have no row of it
    key: int | None = None  # which of the columns is null only where there is no row
    fields: tuple[str, ...] = ()  # what its columns are called in a row of it, where the alias calls them otherwise


@dataclass
class Namespace:
    """What a FROM clause shows: its sources by name, and its columns in the order of `*`."""

    sources: list[Source] = field(default_factory=list)
    star: list[Output] = field(default_factory=list)

    def add(self, source: Source) -> None:
        """One more item; raises for a second of the same name."""
        if any(one.name == source.name for one in self.sources if source.name):
            raise DefinitionError(f'table name "{source.name}" specified more than once')
        self.sources.append(source)
        self.star.extend(source.columns)

    def source(self, name: str, schema: str | None) -> Source | None:
        """The source that a qualifier names."""
        for one in self.sources:
            if one.name == name and (schema is None or (one.table is not None and one.table[0] == schema)):
                return one
        return None


class Scope(Protocol):
    """What an expression can see."""

    @property
    def locale(self) -> Locale | None:
        """The origin's collations; None where they are not known."""

    def column(self, node: exp.Column) -> Scalar:
        """The value of a column; raises `UnknownName`."""

    def row(self, node: exp.Column) -> Scalar | None:
        """The whole row that a name means; None for a column."""

    def beyond(self, node: exp.Expr) -> Scalar | None:
        """The value of what is more than a scalar of one row (a subquery, an aggregate); None for anything else."""


@dataclass(frozen=True)
class TableScope:
    """The columns of one table, and nothing beyond."""

    columns: Mapping[str, Column]
    locale: Locale | None = None

    def column(self, node: exp.Column) -> Scalar:
        """The value of a column; raises `UnknownName`."""
        name = folded(node.this)
        column = self.columns.get(name)
        if column is None:
            raise UnknownName(f'column "{name}" does not exist')
        return column_scalar(column, exp.column(name, quoted=True))

    def row(self, node: exp.Column) -> Scalar | None:  # noqa: ARG002 - there is nothing
        """None: the table has no name here."""
        return None

    def beyond(self, node: exp.Expr) -> Scalar | None:  # noqa: ARG002 - there is nothing
        """None: one row of one table is all there is."""
        return None


@dataclass(frozen=True)
class Named:
    """A CTE: its alias in the translation and its columns, named as they are seen."""

    alias: str
    outputs: tuple[Output, ...]


@dataclass
class Level:
    """One query level: its FROM, and the level around it, whose columns it may read too."""

    reads: Reads
    names: Names
    namespace: Namespace = field(default_factory=Namespace)
    outer: Level | None = None
    ctes: Mapping[str, Named] = field(default_factory=dict)
    read_here: int = 0  # how often a column of this level was read
    read_outside: int = 0  # ... of a level around it

    def find(self, node: exp.Column) -> Output:
        """The column that a reference names; raises `UnknownName` or `NotSupported`."""
        if not isinstance(node.this, exp.Identifier):
            raise refuse(node.sql("postgres"))
        name = folded(node.this)
        qualifier, schema = (folded(node.args[part]) if node.args.get(part) else None for part in ("table", "db"))
        for level in self._outwards():
            found = level._at_this_level(name, qualifier, schema)
            if found is not None:
                self._count(level)
                return found
        for level in self._outwards():  # a column of any level comes before an item of FROM (parse_expr.c)
            source = level.namespace.source(name, None) if qualifier is None else None
            if source is not None and source.whole is None:
                raise refuse(f"a whole row ({name})", "Write it as a document, as in to_jsonb(t).")
            if source is not None and source.whole is not None:
                self._count(level)
                return source.whole
        raise UnknownName(f'column "{node.sql("postgres")}" does not exist')

    def _outwards(self) -> Iterator[Level]:
        level: Level | None = self
        while level is not None:
            yield level
            level = level.outer

    def _at_this_level(self, name: str, qualifier: str | None, schema: str | None) -> Output | None:
        if qualifier is None:
            found = [one for one in self.namespace.star if one.name == name]
        else:
            source = self.namespace.source(qualifier, schema)
            if source is None:
                return None
            found = [one for one in source.columns if one.name == name]
            if not found:
                raise UnknownName(f'column "{name}" of "{qualifier}" does not exist')
        if len(found) > 1:
            raise DefinitionError(f'column reference "{name}" is ambiguous')
        return found[0] if found else None

    def _count(self, level: Level) -> None:
        if level is self:
            self.read_here += 1
        else:
            self.read_outside += 1

    def column(self, node: exp.Column) -> Scalar:
        """The value of a column that is computed with."""
        found = self.find(node)
        self.reads.add(found.bases, computed=True)
        return replace(found.value, node=found.value.node.copy())

    def row(self, node: exp.Column) -> Scalar | None:
        """The row that `name` or `name.*` means, of an item of FROM; None where it is a column, or there is none."""
        named = node.args.get("table") if isinstance(node.this, exp.Star) else node.this
        if not isinstance(named, exp.Identifier) or (named is node.this and node.args.get("table")):
            return None
        name, schema = folded(named), folded(node.args["db"]) if node.args.get("db") else None
        levels = list(self._outwards())
        if named is node.this and any(level._at_this_level(name, None, None) for level in levels):
            return None
        for level in levels:
            source = level.namespace.source(name, schema)
            if source is not None and source.whole is None:
                self._count(level)
                for output in source.columns:
                    self.reads.add(output.bases, computed=True)
                return _row_of(source)
        return None

    def stars(self, node: exp.Expr) -> Iterator[Output] | None:
        """The columns of `*` or `name.*`; None for anything else."""
        if isinstance(node, exp.Star):
            return iter(self.namespace.star)
        if not (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            return None
        qualifier, schema = (folded(node.args[part]) if node.args.get(part) else None for part in ("table", "db"))
        for level in self._outwards():
            source = level.namespace.source(qualifier or "", schema)
            if source is not None:
                return iter(source.columns)
        raise UnknownName(f'missing FROM-clause entry for table "{qualifier}"')


def folded(identifier: exp.Expr) -> str:
    """An identifier's name: unquoted ones are lower case in Postgres."""
    if not isinstance(identifier, exp.Identifier):
        raise refuse(identifier.sql("postgres"))
    return identifier.name if identifier.quoted else fold(identifier.name)


def _row_of(source: Source) -> Scalar:
    names = source.fields or [output.name for output in source.columns]
    values = [replace(output.value, node=output.value.node.copy()) for output in source.columns]
    present: exp.Expr = exp.true()
    if source.nullable:
        if source.key is None:
            raise refuse(
                f"the whole row {source.name}, of which an outer join may have none,",
                "Build it, as in CASE WHEN t.id IS NOT NULL THEN jsonb_build_object('id', t.id) END.",
            )
        present = exp.Not(this=exp.Paren(this=exp.Is(this=values[source.key].node.copy(), expression=exp.Null())))
    return Scalar(present, RECORD, fields=tuple(zip(names, values, strict=True)))


def column_scalar(column: Column, node: exp.Expr) -> Scalar:
    """The value of a table's column, held locally as `datatypes` says."""
    collation = column.collation
    if collation is None and column.type.oid in TEXTS:
        collation = UNCERTAIN
    bounds = numeric_bounds(column.type) if column.type.oid == NUMERIC else None
    # A column whose values once did not fit its DECIMAL is text: the casts put around it wherever it is
    # computed with make DuckDB read it as a number, or raise.
    return Scalar(node, column.type, collation, bounds=bounds, printed=bounds is not None)


def base_source(table: Table, key: TableName, name: str, alias: str, renamed: Sequence[str], *, bare: bool) -> Source:
    """A base table in FROM; `renamed` are its alias's names for its first columns."""
    if len(renamed) > len(table.columns):
        raise DefinitionError(f'table "{name}" has {len(table.columns)} columns but {len(renamed)} were named')
    columns = []
    for at, column in enumerate(table.columns):
        node = reference(alias, local_name(column.name))
        shown = renamed[at] if at < len(renamed) else column.name
        columns.append(Output(shown, column_scalar(column, node), ((key, column.name),)))
    own = tuple(column.name for column in table.columns)
    never_null = (at for at, column in enumerate(table.columns) if column.not_null and column.name in table.key)
    return Source(name, tuple(columns), key if bare else None, key=next(never_null, None), fields=own)


def derived_source(outputs: Sequence[Output], name: str, alias: str, renamed: Sequence[str]) -> Source:
    """A subquery, CTE or VALUES in FROM, whose tree names its columns as `local_names(outputs)` says."""
    if len(renamed) > len(outputs):
        raise DefinitionError(f'table "{name}" has {len(outputs)} columns but {len(renamed)} were named')
    columns = []
    for at, (output, local) in enumerate(zip(outputs, local_names(outputs), strict=True)):
        shown = renamed[at] if at < len(renamed) else output.name
        value = replace(settled(output.value), node=reference(alias, local), number=None, text=None, explicit=False)
        columns.append(Output(shown, value, output.bases))
    return Source(name, tuple(columns))


def settled(value: Scalar) -> Scalar:
    """The value as a query returns it: what has no type yet is text."""
    if value.oid != UNKNOWN:
        return value
    if value.text is not None:
        return as_text(value)
    return Scalar(value.node, replace(value.type, oid=25, name="text"), "default")


def local_names(outputs: Iterable[Output]) -> list[str]:
    """Names for a relation's columns that DuckDB tells apart."""
    names = Names()
    return [names.unique(local_name(output.name)) for output in outputs]


def reference(alias: str, name: str) -> exp.Column:
    """`"alias"."name"`."""
    return exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(alias, quoted=True))


def unsupported_clause(what: str) -> NotSupported:
    """The error for a clause that no realtime view can have."""
    return NotSupported(
        f"{what} in a realtime view is not supported", hint="Use a MATERIALIZED or ORIGIN view, or write it otherwise."
    )
