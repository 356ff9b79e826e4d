"""Statements over Arrow rows that are planned once: each run sees its own rows, also after rollbacks and DDL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from flashql import errors
from flashql.store import Store
from flashql.store.prepared import run_over

INSERT = 'INSERT INTO flashql_data."a{0}" SELECT CAST(n0 AS BIGINT) FROM'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(str(tmp_path / "prepared.duckdb"))
    with store.transaction() as writer:
        writer.execute('CREATE TABLE flashql_data."a{0}" (n BIGINT)')
    yield store
    store.close()


def insert(store: Store, *numbers: str, where: str = "WHERE true", then: Exception | None = None) -> None:
    with store.transaction(of_stream=True) as writer:
        run_over(writer, INSERT, pa.table({"n0": pa.array(numbers, pa.string())}), where)
        if then is not None:
            raise then


def held(store: Store) -> list[int]:
    return [number for (number,) in store.rows('SELECT n FROM flashql_data."a{0}" ORDER BY n')]


def test_each_run_has_its_own_rows(store: Store) -> None:
    insert(store, "1", "2")
    insert(store, "3")
    insert(store)
    assert held(store) == [1, 2, 3]


def test_a_rollback_of_the_first_run_or_of_a_later_one_is_survived(store: Store) -> None:
    for number in ("1", "2"):
        with pytest.raises(ZeroDivisionError):
            insert(store, "9", then=ZeroDivisionError())
        insert(store, number)
    assert held(store) == [1, 2]


def test_a_value_that_does_not_fit_fails_only_its_own_run(store: Store) -> None:
    insert(store, "1")
    with pytest.raises(errors.FlashQLError, match="many"):
        insert(store, "many")
    insert(store, "2")
    assert held(store) == [1, 2]


def test_ddl_between_runs_is_survived(store: Store) -> None:
    insert(store, "1")
    with store.transaction() as writer:
        writer.execute("CREATE TABLE flashql_data.other (n BIGINT)")
        writer.execute('DROP TABLE flashql_data."a{0}"')
        writer.execute('CREATE TABLE flashql_data."a{0}" (n BIGINT)')
    insert(store, "2")
    assert held(store) == [2]


def test_more_statements_than_are_kept(store: Store) -> None:
    for number in range(70):
        insert(store, str(number), where=f"WHERE {number} = {number}")
    insert(store, "70", where="WHERE 0 = 0")
    assert held(store) == list(range(71))
