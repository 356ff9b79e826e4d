"""Tables in Postgres and their copies in DuckDB, and the comparison of a query's rows in both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import duckdb

from flashql.catalog import Table
from flashql.datatypes import LocalType, PgType, ladder, select_text
from flashql.origins.postgres import PostgresOrigin
from flashql.planner.translating import Translation, translate
from flashql.quoting import local_name, qualified, quote
from flashql.resources import sql_text
from tests.fix_postgres import Origin

_NUMERIC = 1700


class TwoDatabases:
    """An origin and a DuckDB that holds the tables translations read, as copies hold them."""

    def __init__(self, server: Origin) -> None:
        self.server = server
        self.origin = PostgresOrigin("primary", lambda: server.dsn)
        self.local = duckdb.connect()
        self.local.execute("SET TimeZone = 'UTC'")
        self.local.execute("CREATE SCHEMA flashql")
        for functions in ("0004_numeric", "0005_floats", "0006_functions", "0010_rows", "0011_documents"):
            self.local.execute(sql_text(f"catalog/{functions}.sql"))
        self._copied: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Close both."""
        self.origin.close()
        self.local.close()

    def translation(self, query: str) -> Translation:
        """The query's translation, its tables copied."""
        translation = translate(query, self.origin)
        for key, (table, _) in translation.tables.items():
            if key not in self._copied:
                self._copy(table)
                self._copied.add(key)
        return translation

    def forget(self) -> None:
        """Copy tables anew from now on: their rows have changed."""
        for key in self._copied:
            self.local.execute(f"DROP TABLE {qualified(*key)}")
        self._copied.clear()

    def _copy(self, table: Table) -> None:
        columns = [column for column in table.columns if not column.generated]
        texts = ", ".join(select_text(c.type, quote(c.name)) for c in columns)
        rows = self.server.query(f"SELECT {texts} FROM {qualified(table.schema, table.name)}")
        names = [quote(local_name(column.name)) for column in columns]
        self.local.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(table.schema)}")
        with self._texts(rows, len(columns)) as texts_table:
            types = [self._held(column.type, f"c{at}", texts_table) for at, column in enumerate(columns)]
            values = (
                f"{t.from_text(f'c{at}')} AS {name}" for at, (t, name) in enumerate(zip(types, names, strict=True))
            )
            target = qualified(table.schema, table.name)
            self.local.execute(f"CREATE TABLE {target} AS SELECT {', '.join(values)} FROM {texts_table}")

    def _held(self, type_: PgType, column: str, texts: str) -> LocalType:
        """The first rung that fits the column's values."""
        for rung in ladder(type_):
            if self.local.execute(f"SELECT bool_and({rung.fits(column)}) FROM {texts}").fetchall() != [(False,)]:
                return rung
        raise AssertionError(f"no rung takes every {type_}")

    def _texts(self, rows: Sequence[tuple[Any, ...]], width: int) -> _Texts:
        return _Texts(self.local, rows, width)

    def check(self, query: str) -> int:
        """Assert that the query and its translation return the same rows and types; say how many."""
        translation = self.translation(query)
        sql = translation.tree.sql("duckdb")
        types = [column.type for column in translation.columns]
        expected = Counter(self._expected(query, types))
        found = self.local.execute(sql)
        local_types = [str(one[1]) for one in found.description or ()]
        rows = Counter(tuple(_comparable(value) for value in row) for row in found.fetchall())
        where = f"\n{query}\n->\n{sql}\n"
        assert rows == expected, f"{where}only in Postgres: {expected - rows}\nonly in DuckDB: {rows - expected}"
        for type_, local in zip(types, local_types, strict=True):
            if type_.oid != _NUMERIC:
                wanted = self.local.execute(f"SELECT NULL::{ladder(type_)[0].name}").description
                assert wanted is not None
                assert local == str(wanted[0][1]), f"{where}{local} for {type_}"
            else:
                assert local.startswith(("DECIMAL", "INTEGER")), f"{where}{local} for {type_}"
        return rows.total()

    def _expected(self, query: str, types: Sequence[PgType]) -> Iterator[tuple[object, ...]]:
        """Postgres's rows, as DuckDB returns their values."""
        names = ", ".join(f"c{at}" for at in range(len(types)))
        texts = ", ".join(select_text(type_, f"c{at}") for at, type_ in enumerate(types))
        rows = self.server.query(f"SELECT {texts} FROM ({query}\n) AS q ({names})")
        readers = (
            f"c{at}" if type_.oid == _NUMERIC else ladder(type_)[0].from_text(f"c{at}")
            for at, type_ in enumerate(types)
        )
        with self._texts(rows, len(types)) as texts_table:
            read = self.local.execute(f"SELECT {', '.join(readers)} FROM {texts_table}").fetchall()
        for row in read:
            yield tuple(
                _comparable(Decimal(value) if type_.oid == _NUMERIC and value is not None else value)
                for value, type_ in zip(row, types, strict=True)
            )


class _Texts:
    """A table of texts, for as long as it is needed."""

    def __init__(self, local: duckdb.DuckDBPyConnection, rows: Sequence[tuple[Any, ...]], width: int) -> None:
        self._local, self._rows, self._width = local, rows, width

    def __enter__(self) -> str:
        names = ", ".join(f"c{at} VARCHAR" for at in range(self._width))
        self._local.execute(f"CREATE TEMP TABLE texts ({names})")
        if self._rows:
            self._local.executemany(f"INSERT INTO texts VALUES ({', '.join('?' * self._width)})", self._rows)
        return "texts"

    def __exit__(self, *_: object) -> None:
        self._local.execute("DROP TABLE texts")


def _comparable(value: object) -> object:
    """A value that equals itself and can be counted."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, list):
        return tuple(_comparable(one) for one in value)
    return value
