"""What `execute` returns: DuckDB's own result methods, with its errors as FlashQL's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from flashql.store import translated

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Result:
    """The result of the last statement on a cursor; the next `execute` on that cursor replaces it, as in DuckDB."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; None after the last."""
        with translated():
            row: tuple[Any, ...] | None = self._connection.fetchone()
            return row

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """The next rows, at most `size`."""
        with translated():
            return self._connection.fetchmany(size)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All remaining rows."""
        with translated():
            return self._connection.fetchall()

    def df(self) -> pd.DataFrame:
        """All remaining rows as a pandas DataFrame."""
        with translated():
            frame: pd.DataFrame = self._connection.df()
            return frame

    def pl(self) -> pl.DataFrame:
        """All remaining rows as a polars DataFrame."""
        with translated():
            if hasattr(self._connection, "pl"):
                frame: pl.DataFrame = self._connection.pl()
                return frame
        import polars  # an extra of the user's; DuckDB 2 no longer converts by itself

        return polars.DataFrame(self.fetch_arrow_table())

    def fetch_arrow_table(self) -> pa.Table:
        """All remaining rows as an Arrow table."""
        with translated():
            # DuckDB 2 renamed fetch_arrow_table, and warns that a relation would save a copy of the rows.
            named = "to_arrow_table" if hasattr(self._connection, "to_arrow_table") else "fetch_arrow_table"
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
                return getattr(self._connection, named)()

    @property
    def description(self) -> list[tuple[Any, ...]] | None:
        """The columns, as DB-API describes them."""
        return self._connection.description

    def __getattr__(self, name: str) -> Any:
        """DuckDB's other methods on results (fetchnumpy, to_arrow_reader, ...)."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._connection, name)
