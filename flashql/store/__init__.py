"""The local DuckDB database: the single writer, and the rows in which FlashQL keeps what it knows.

`duck` opens it and makes transactions; `definitions`, `copies` and `jobs` load and save the catalog; `relations`
makes the tables and views that users query.
"""

from flashql.store.duck import DATA_SCHEMA, Store, registered, translated

__all__ = ["DATA_SCHEMA", "Store", "registered", "translated"]
