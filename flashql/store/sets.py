"""The sets of parameters that a partial copy has rows for, as a table beside it: `s<copy>` of schema flashql_data.

A set is known by its values' JSON text (see `arguments`). Its values, as DuckDB holds them, are columns `flashql_p0`
and so on; a row of the copy's table belongs to it when the copy's restriction holds for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb

from flashql import arguments
from flashql.catalog import Copy, Parameter
from flashql.datatypes import ladder
from flashql.errors import DefinitionError
from flashql.quoting import literal, qualified, quote
from flashql.store.copies import sets_table
from flashql.store.duck import DATA_SCHEMA, Store


def require_fits(store: Store, parameters: Sequence[Parameter], numeric: str, values: arguments.Values) -> None:
    """Raise `DefinitionError` for a value that DuckDB cannot hold as parameters of its type are held."""
    for parameter, value in zip(parameters, values, strict=True):
        held = ladder(parameter.type, numeric=numeric)[0]
        if value is not None and store.rows(f"SELECT {held.fits('x')} FROM (SELECT ?::VARCHAR AS x)", [value]) != [
            (True,)
        ]:
            raise DefinitionError(f"parameter {parameter.name} is held as {held.name}, which {value} does not fit")


def create_sets(writer: duckdb.DuckDBPyConnection, copy: Copy, sets: Sequence[str]) -> None:
    """Make the table, with these sets."""
    assert copy.restriction is not None
    types = arguments.local_types(copy.restriction.parameters, copy.numeric)
    columns = ", ".join(f"flashql_p{at} {type_}" for at, type_ in enumerate(types))
    writer.execute(f"CREATE OR REPLACE TABLE {_table(copy)} (flashql_values VARCHAR NOT NULL, {columns})")
    if not sets:
        return
    texts = [arguments.from_json(copy.restriction.parameters, one) for one in sets]
    inputs = ", ".join(f"unnest(${at + 2}::VARCHAR[]) AS x{at}" for at in range(len(types)))
    readers = [ladder(one.type, numeric=copy.numeric)[0] for one in copy.restriction.parameters]
    values = ", ".join(reader.from_text(f"x{at}") for at, reader in enumerate(readers))
    given = [[row[at] for row in texts] for at in range(len(types))]
    writer.execute(
        f"INSERT INTO {_table(copy)} SELECT given, {values} FROM (SELECT unnest($1::VARCHAR[]) AS given, {inputs})",
        [list(sets), *given],
    )


def move_sets(writer: duckdb.DuckDBPyConnection, source: Copy, target: Copy) -> None:
    """Add the sets of one partial copy to those of another."""
    writer.execute(f"INSERT INTO {_table(target)} FROM {_table(source)}")


def sets_of(cursor: duckdb.DuckDBPyConnection, copy: Copy) -> set[str]:
    """The sets that the partial copy has rows for, as the cursor sees them."""
    return {values for (values,) in cursor.execute(f"SELECT flashql_values FROM {_table(copy)}").fetchall()}


def committed_sets(store: Store, copy: Copy) -> set[str]:
    """The same, as committed; inside a transaction as it sees them."""
    return {values for (values,) in store.rows(f"SELECT flashql_values FROM {_table(copy)}")}


def remove_sets(writer: duckdb.DuckDBPyConnection, copy: Copy, sets: Iterable[str]) -> None:
    """Take sets from those of the copy; its rows stay."""
    writer.execute(f"DELETE FROM {_table(copy)} WHERE flashql_values IN (SELECT unnest($1::VARCHAR[]))", [list(sets)])


def matching(copy: Copy) -> str:
    """DuckDB's SQL for whether a row with the columns of the partial copy belongs to one of its sets."""
    assert copy.restriction is not None
    return f"EXISTS (SELECT 1 FROM {_table(copy)} AS flashql_set WHERE {copy.restriction.locally})"


def subscribed(copy: Copy, sets: Iterable[str]) -> str:
    """The same for these sets and rows of the origin's table, in the origin's SQL."""
    assert copy.restriction is not None
    parameters = copy.restriction.parameters
    rows = [
        ", ".join(
            f"CAST({'NULL' if value is None else literal(value)} AS {parameter.type.name})"
            for parameter, value in zip(parameters, arguments.from_json(parameters, one), strict=True)
        )
        for one in sorted(sets)
    ]
    if not rows:
        return "false"
    names = ", ".join(quote(parameter.name) for parameter in parameters)
    values = ", ".join(f"({row})" for row in rows)
    return f"EXISTS (SELECT 1 FROM (VALUES {values}) AS flashql_set ({names}) WHERE {copy.restriction.at_origin})"


def _table(copy: Copy) -> str:
    return qualified(DATA_SCHEMA, sets_table(copy))
