"""An origin and the database that follows it, and the comparison that every test of replication ends with.

The oracle is the origin: each view is compared with its own query, run there, after `wait`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import flashql
from flashql.catalog import Copy
from flashql.database import Database
from flashql.store.copies import copies
from tests.fix_database import same_rows
from tests.fix_postgres import Origin

WAIT_SECONDS = 60.0

SCHEMA = "CREATE SCHEMA s WITH (replication_origin = 'primary')"


class Pair:
    """An origin and a database file with realtime views of it, in schema `s`."""

    def __init__(self, origin: Origin, path: str = ":memory:", dsn: str | None = None) -> None:
        self.origin = origin
        self.path = path
        self.queries: dict[str, str] = {}  # view -> its query
        self._dsn = dsn or origin.dsn
        self.db = self._open()
        self.db.execute(SCHEMA)

    def _open(self) -> Database:
        return flashql.connect(self.path, origins={"primary": self._dsn})

    def define(self, **queries: str) -> None:
        """Make realtime views, without syncing them."""
        for name, query in queries.items():
            self.db.execute(f"CREATE REALTIME VIEW s.{name} AS {query}")
            self.queries[name] = query

    def follow(self, **queries: str) -> None:
        """Make realtime views and sync until they follow."""
        self.define(**queries)
        self.sync()

    def sync(self) -> None:
        """Sync everything; nothing may fail."""
        report = self.db.sync.sync()
        assert not report.failed, report.failed

    def check(self) -> None:
        """Wait, compare every view with its query at the origin, and let FlashQL compare the copies as well."""
        self.db.sync.wait(timeout=WAIT_SECONDS)
        self.compare()
        wrong = [report for report in self.db.sync.verify() if not report.equal]
        assert not wrong, wrong

    def compare(self) -> None:
        """Compare every view with its query at the origin, as they are now."""
        for name, query in self.queries.items():
            try:
                same_rows(self.origin, self.db, query, f"SELECT * FROM s.{name}")
            except AssertionError as error:
                error.add_note(f"view {name}: {query}")
                raise

    def reopen(self) -> None:
        """Close the database and open the file again; nothing is synced yet."""
        self.db.close()
        self.db = self._open()

    def copies(self) -> list[Copy]:
        """The copies there are."""
        return copies(self.db.store, "primary")

    def local_type(self, view: str, column: str) -> str:
        """The DuckDB type of a view's column."""
        for name, type_, *_ in self.db.execute(f"DESCRIBE s.{view}").fetchall():
            if name == column:
                return str(type_)
        raise KeyError(column)

    def leftover_tables(self) -> set[str]:
        """Tables of schema flashql_data that belong to no live copy and no view."""
        there = {
            name
            for (name,) in self.db.execute(
                "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'flashql_data'"
            ).fetchall()
        }
        used = {copy.local_table for copy in self.copies()}
        used |= {name for (name,) in self.db.execute("SELECT local_table FROM flashql.views").fetchall()}
        return there - {name for name in used if name is not None}

    def slots(self) -> list[str]:
        """The slots that exist at the origin's database."""
        return [
            name
            for (name,) in self.origin.query(
                "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
            )
        ]

    def publications(self) -> list[str]:
        """The publications that exist at the origin's database."""
        return [name for (name,) in self.origin.query("SELECT pubname FROM pg_publication")]


@contextmanager
def following(origin: Origin, path: str = ":memory:", dsn: str | None = None, **queries: str) -> Iterator[Pair]:
    """A pair whose views follow the origin; the database is closed at the end."""
    pair = Pair(origin, path, dsn)
    try:
        pair.follow(**queries)
        yield pair
    finally:
        pair.db.close()
