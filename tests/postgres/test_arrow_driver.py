"""The Arrow driver: readers side by side, and what it gets wrong when their connections close in the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import cast

import pytest
from adbc_driver_manager import AdbcConnection, AdbcStatusCode, InternalError

from flashql.origins.postgres.client import PostgresClient, _closed_at_end
from tests.fix_postgres import Origin


class Miscounting:
    """A connection whose driver says something when it is closed."""

    def __init__(self, message: str) -> None:
        self.message = message

    def close(self) -> None:
        raise InternalError(self.message, status_code=AdbcStatusCode.INTERNAL)


def test_readers_side_by_side(origin: Origin) -> None:
    def read(last: int) -> int:
        with client.reader(f"SELECT i FROM generate_series(1, {last}) AS i") as rows:
            return int(rows.read_all().num_rows)

    with closing(PostgresClient("primary", lambda: origin.dsn)) as client, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, range(200))) == list(range(200))


def test_a_connection_that_was_miscounted_was_closed_all_the_same() -> None:
    connection = cast("AdbcConnection", Miscounting("INTERNAL: [libpq] Open connection count underflowed"))
    with _closed_at_end(connection) as same:
        assert same is connection


def test_other_errors_of_closing_are_raised() -> None:
    with (
        pytest.raises(InternalError, match="something else"),
        _closed_at_end(cast("AdbcConnection", Miscounting("something else"))),
    ):
        pass
