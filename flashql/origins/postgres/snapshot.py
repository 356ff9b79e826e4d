"""Rows of tables at one exact LSN: readers of an exported snapshot, several at once for a large table.

Every connection enters the same snapshot (`SET TRANSACTION SNAPSHOT`), which stays valid as long as the
replication connection that exported it does nothing else. A large table is read in ranges of its physical
pages, which Postgres 14 and later serve with TID range scans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pyarrow as pa

from flashql.catalog import Column, Table
from flashql.origins.base import Count, Snapshot
from flashql.origins.postgres.client import ALL_ROWS, PostgresClient, column_sql
from flashql.quoting import literal, qualified, quote

# Below this a second connection costs more than it saves (measured: two connections copy 1.6M rows a fifth faster).
_PARALLEL_BYTES = 64 << 20
CONNECTIONS = 2

Source = Callable[[], pa.RecordBatchReader]


@contextmanager
def sources(
    client: PostgresClient,
    snapshot: Snapshot,
    table: Table,
    columns: Sequence[Column],
    count: Count,
    condition: str | None = None,
) -> Iterator[list[Source]]:
    """Sources whose readers together give every row of the table once, columns named c0, c1, ...

    With a `condition`, in the origin's SQL, only the rows that meet it. `count` is told of each batch.

    A source may be opened again, for a second try. The connections close when the context ends.
    """
    query = rows_sql(table, columns)
    before = (
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        f"SET TRANSACTION SNAPSHOT {literal(snapshot.name)}",
        ALL_ROWS,
    )
    with ExitStack() as stack:

        def source(where: str) -> Source:
            def open_reader() -> pa.RecordBatchReader:
                return stack.enter_context(client.reader(query + where, *before))

            return counting(open_reader, count)

        yield [source(where) for where in ([f" WHERE {condition}"] if condition else ranges(table))]


def rows_sql(table: Table, columns: Sequence[Column]) -> str:
    """The query of all rows of the table, these columns as c0, c1, ..."""
    selected = ", ".join(f"{column_sql(column.type, quote(column.name))} AS c{at}" for at, column in enumerate(columns))
    return f"SELECT {selected or '1 AS c0'} FROM {_relation(table)}"


def _relation(table: Table) -> str:
    only = "" if table.kind == "p" else "ONLY "
    return only + qualified(table.schema, table.name)


def ranges(table: Table) -> list[str]:
    """WHERE clauses that split the table between connections: by physical page, the last one open-ended.

    >>> from flashql.catalog import Table
    >>> ranges(Table(1, "public", "t", (), ("id",), "d", estimated_bytes=128 << 20, pages=16384))
    [" WHERE ctid < '(8192,0)'::tid", " WHERE ctid >= '(8192,0)'::tid"]
    """
    if table.kind != "r" or table.estimated_bytes < _PARALLEL_BYTES:
        return [""]
    bounds = [f"'({table.pages * at // CONNECTIONS},0)'::tid" for at in range(1, CONNECTIONS)]
    lows, highs = ["", *bounds], [*bounds, ""]
    clauses = []
    for low, high in zip(lows, highs, strict=True):
        limits = [f"ctid >= {low}"] * bool(low) + [f"ctid < {high}"] * bool(high)
        clauses.append(f" WHERE {' AND '.join(limits)}")
    return clauses


def counting(open_reader: Source, count: Count) -> Source:
    """The same source; `count` is told of each batch, and takes back what was told when it is opened again."""
    told = [0, 0]

    def counted(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        for batch in reader:
            told[0] += batch.num_rows
            told[1] += batch.nbytes
            count(batch.num_rows, batch.nbytes)
            yield batch

    def open_again() -> pa.RecordBatchReader:
        if any(told):
            count(-told[0], -told[1])
            told[:] = 0, 0
        reader = open_reader()
        return pa.RecordBatchReader.from_batches(reader.schema, counted(reader))

    return open_again
