"""The model server and a real one beside it, which is told in SQL whatever the model did.

The model decides: which row an operation meets, what a real server would refuse or make wait, and is left out then.
So a schedule is the same list of changes in both, and their rows must be equal whenever they are looked at.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from flashql.quoting import literal
from tests.fix_postgres import Origin
from tests.simulation.altering import carried_out
from tests.simulation.server import TOASTED_CHARACTERS, ModelTable, Primitive, Row, Server, value_of
from tests.simulation.simulation import ModelView, plain
from tests.simulation.steps import Step
from tests.test_pgoutput import Value

_TOASTED_BYTES = 2400  # not compressible, so Postgres keeps it out of line
_IDENTITIES = {"default": "DEFAULT", "full": "FULL", "bag": "FULL"}


def stored(value: Value) -> str | None:
    """A model's value as the real server has it: what the model keeps out of line is too long for a row here."""
    if value is None or len(value) < TOASTED_CHARACTERS or value.isdigit():
        return value
    digits = (hashlib.sha256(f"{value}{at}".encode()).hexdigest() for at in range(_TOASTED_BYTES // 64 + 1))
    return value + "".join(digits)


def _literal(value: Value) -> str:
    text = stored(value)
    return "NULL" if text is None else literal(text)


class RealServer:
    """A database at a real server, and its model."""

    def __init__(self, origin: Origin) -> None:
        self.model = Server()
        self._origin = origin
        self._open: dict[str, psycopg.Connection[Any]] = {}

    # -- steps

    def carry_out(self, step: Step) -> bool:
        """Carry out a step in both; False when it is none that is SQL on tables."""
        match step:
            case ("tx", operations):
                self.carry_out(("begin", ""))
                for operation in operations:
                    self.carry_out(("op", "", operation))
                self.carry_out(("commit", ""))
            case ("begin" | "op" | "commit" | "abort", name, *_):
                carried_out(self.model, step)
                self._transact(str(step[0]), str(name))
            case _:
                before = self.model.state
                if not carried_out(self.model, step):
                    return False
                if self.model.state is not before:
                    for statement in _statements(step, before, self.model):
                        self._origin.execute(statement)
        return True

    def _transact(self, kind: str, name: str) -> None:
        if kind in ("commit", "abort"):
            connection = self._open.pop(name, None)
            if connection is not None:
                connection.execute(b"COMMIT" if kind == "commit" else b"ROLLBACK")
                connection.close()
            return
        done = self.model.done
        if kind == "begin" or not done:
            return
        if name not in self._open:
            # Nobody waits here for a lock unless the model is wrong: the test is to end then, and say so.
            self._open[name] = self._origin.connect(options="-c lock_timeout=30s", prepare_threshold=None)
            self._open[name].execute(b"BEGIN")
        truncated = [one.table.name for one in done if isinstance(one, Primitive) and one.kind == "truncate"]
        if truncated:
            self._open[name].execute(f"TRUNCATE {', '.join(truncated)}".encode())
            return
        for primitive in done:
            if isinstance(primitive, str):
                self._open[name].execute(primitive.encode())
                continue
            changed = self._open[name].execute(_sql(primitive).encode())
            assert changed.rowcount == 1, f"{changed.rowcount} rows, by {_sql(primitive)}"

    def end_transactions(self, names: Iterable[str] | None = None) -> None:
        """Commit what is open: these transactions, or all."""
        for name in list(self.model.transactions) if names is None else names:
            self.carry_out(("commit", name))

    @property
    def truncating(self) -> list[str]:
        """The open transactions that nobody can read the tables of."""
        return [name for name, one in self.model.transactions.items() if one.truncated]

    def forget_transactions(self) -> None:
        """The real server ended them."""
        self.model.abort_all()
        for connection in self._open.values():
            connection.close()
        self._open = {}

    def restore(self, states: int) -> None:
        """The model goes back to the time when it had had so many states, as the real server has done."""
        self.forget_transactions()
        back = len(self.model.history) - states
        self.model.restore(back, keeps_slots=True, new_timeline=True)

    def rebuild(self) -> None:
        """Tables and rows as the model has them, at a real server that has none."""
        self.forget_transactions()
        for table in self.model.state.values():
            for statement in _create(table):
                self._origin.execute(statement)
            for row in table.rows.values():
                self._origin.execute(_sql(Primitive("insert", table, None, row)))

    def close(self) -> None:
        """Roll everything back."""
        self.forget_transactions()

    # -- the oracle

    def rows(self, view: ModelView) -> Counter[Any]:
        """The rows at the real server of a view that can be computed there, with values as text.

        Raises `AssertionError` when the model has others: then the replay itself is wrong.
        """
        modelled = view.rows(self.model.state)
        assert modelled is not None
        kinds = self.kinds(view)
        shown = ", ".join(f"{name}::text" for name in view.columns)
        condition = f" WHERE {' '.join(view.condition)}" if view.condition is not None else ""
        try:
            found = self._origin.query(f"SELECT {shown} FROM {view.table}{condition}")
        except psycopg.Error as problem:
            raise AssertionError(f"{view}: {problem}") from problem
        there = counted(found, kinds)
        expected = counted(([stored(value) for value in row] for row in modelled.elements()), kinds)
        assert there == expected, f"the model is wrong about {view}: {there - expected} and not {expected - there}"
        return there

    def kinds(self, view: ModelView) -> list[str]:
        """The types that the view's columns have now."""
        known = {column.name: column.kind for column in self.model.state[view.table].columns}
        return [known[name] for name in view.columns]


def counted(rows: Iterable[Sequence[str | None]], kinds: Sequence[str]) -> Counter[Any]:
    """Rows, given as text, with how often each is there."""
    return Counter(tuple(plain(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in rows)


def _sql(done: Primitive) -> str:
    """The row change as a statement for exactly one row."""
    table, old, new = done.table, done.old, done.new
    if old is None:
        assert new is not None
        names = ", ".join(column.name for column in table.columns)
        return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join(map(_literal, table.values(new)))})"
    if new is None:
        return f"DELETE FROM {table.name} WHERE {_place(table, old)}"
    # What is not assigned is what Postgres does not send when it is kept out of line.
    assigned = [
        f"{column.name} = {_literal(new.get(column.number))}"
        for column in table.columns
        if new.get(column.number) != old.get(column.number)
    ]
    same = table.columns[-1].name
    return f"UPDATE {table.name} SET {', '.join(assigned) or f'{same} = {same}'} WHERE {_place(table, old)}"


def _place(table: ModelTable, row: Row) -> str:
    """Which row: by its key, else one of those that are equal in all columns, which nobody else is changing."""
    chosen = table.key or table.columns
    alike = " AND ".join(f"{column.name} IS NOT DISTINCT FROM {_literal(row.get(column.number))}" for column in chosen)
    if table.key:
        return alike
    return f"ctid = (SELECT ctid FROM {table.name} WHERE {alike} LIMIT 1 FOR UPDATE SKIP LOCKED)"


def _statements(step: Step, before: Any, model: Server) -> list[str]:
    """What tells a real server of a schema change that the model has made."""
    name = step[1]
    match step:
        case ("create_table", *_):
            return _create(model.state[name])
        case ("drop_table", _):
            return [f"DROP TABLE {name}"]
        case ("rename_table", _, new):
            return [f"ALTER TABLE {name} RENAME TO {new}"]
        case ("add_column", _, column, kind, number):
            return [f"ALTER TABLE {name} ADD COLUMN {column} {kind} DEFAULT {_literal(value_of(kind, number))}"]
        case ("drop_column", _, column):
            return [f"ALTER TABLE {name} DROP COLUMN {column}"]
        case ("rename_column", _, column, new):
            return [f"ALTER TABLE {name} RENAME COLUMN {column} TO {new}"]
        case ("retype", _, column, kind, _):
            return [f"ALTER TABLE {name} ALTER COLUMN {column} TYPE {kind}"]
        case ("rewrite", _, column):
            kinds = {one.name: one.kind for one in before[name].columns}
            return [f"ALTER TABLE {name} ALTER COLUMN {column} TYPE {kinds[column]} USING {column} + 1"]
        case ("vacuum_full", _):
            return [f"VACUUM FULL {name}"]
        case ("identity", *_):
            return [_identity(model.state[name])]
    raise AssertionError(step)


def _create(table: ModelTable) -> list[str]:
    columns = [f"{column.name} {column.kind}" for column in table.columns]
    if table.key:
        columns.append(f"CONSTRAINT key{table.oid} PRIMARY KEY ({', '.join(column.name for column in table.key)})")
    return [f"CREATE TABLE {table.name} ({', '.join(columns)})", _identity(table)]


def _identity(table: ModelTable) -> str:
    identity = _IDENTITIES.get(table.identity, f"USING INDEX key{table.oid}")
    return f"ALTER TABLE {table.name} REPLICA IDENTITY {identity}"
