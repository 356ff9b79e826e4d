"""A backlog of changes behind a replication slot, and who can work it off: FlashQL, `pg_recvlogical`, Postgres.

A backlog is loaded once, behind a slot that is then copied for every run, so that all runs of all programs see the
same bytes from the same starting point, one after another on an idle server.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import (
    CHECK,
    TABLE,
    VIEWS,
    Connection,
    drop_slot,
    fill,
    in_own_process,
    opened,
    postgres_program,
    require_equal,
    session,
    subscriber_database,
    synced,
    timed,
)

_TEMPLATE, _DRAINED, _SUBSCRIPTION = "flashql_bench_template", "flashql_bench_drained", "flashql_bench_native"
_POLL_SECONDS, _NATIVE_SECONDS = 0.005, 900


@dataclass(frozen=True)
class Scenario:
    """A backlog: the table and what it holds before, how the changes are made, how many of them."""

    name: str
    existing: int
    changes: int
    load: Callable[[Connection, int], None]
    table: str = TABLE
    check: str = CHECK


def repeat(origin: Connection, times: int, *statements: str) -> None:
    """Run the statements as one transaction each time, for n from 0."""
    body = "; ".join(statements)
    block = f"DO $$ BEGIN FOR n IN 0..{times - 1} LOOP {body}; COMMIT; END LOOP; END $$"
    origin.execute(block.encode())


@dataclass(frozen=True)
class Backlog:
    """A loaded backlog: the FlashQL file as it was before it, FlashQL's slot name, the log's end."""

    scenario: Scenario
    dsn: str
    file: Path
    slot: str
    end_lsn: str

    def drain_by_flashql(self, origin: Connection, folder: Path) -> dict[str, float]:
        """One run of FlashQL, in a process of its own over a fresh copy of the file; checks the result."""
        file = folder / "run.duckdb"
        shutil.copyfile(self.file, file)
        _copy_slot(origin, self.slot)
        figures = in_own_process("benchmarks.apply", "--drain", str(file), self.dsn, self.end_lsn)
        require_equal(origin, file, self.scenario.check)
        drop_slot(origin, self.slot)
        file.unlink()
        return figures

    def drain_by_postgres(self, origin: Connection) -> float:
        """Seconds `pg_recvlogical` takes to write the same backlog to /dev/null."""
        _copy_slot(origin, _DRAINED)
        command = [postgres_program("pg_recvlogical"), "--dbname", self.dsn, "--slot", _DRAINED, "--start"]
        command += ["--file", "/dev/null", "--endpos", self.end_lsn, "--no-loop"]
        command += ["-o", "proto_version=1", "-o", f"publication_names={self.slot}"]
        seconds = timed(lambda: subprocess.run(command, check=True))
        drop_slot(origin, _DRAINED)
        return seconds

    def drain_by_subscription(self, origin: Connection, subscriber: Connection) -> float:
        """Seconds from ENABLE until the subscriber has told the origin that it applied all; checks the result."""
        subscriber.execute(b"DROP TABLE IF EXISTS measured")
        subscriber.execute(self.scenario.table.encode())
        if self.scenario.existing:
            fill(subscriber, self.scenario.existing)
        _copy_slot(origin, _DRAINED)
        subscriber.execute(
            f"CREATE SUBSCRIPTION {_SUBSCRIPTION} CONNECTION '{self.dsn}' PUBLICATION {self.slot} WITH "
            f"(enabled = false, create_slot = false, slot_name = {_DRAINED}, copy_data = false)".encode()
        )
        try:
            seconds = timed(lambda: self._await_subscription(origin, subscriber))
        finally:
            subscriber.execute(f"ALTER SUBSCRIPTION {_SUBSCRIPTION} DISABLE".encode())
            subscriber.execute(f"ALTER SUBSCRIPTION {_SUBSCRIPTION} SET (slot_name = NONE)".encode())
            subscriber.execute(f"DROP SUBSCRIPTION {_SUBSCRIPTION}".encode())
            drop_slot(origin, _DRAINED)
        check = self.scenario.check.format("measured").encode()
        if origin.execute(check).fetchone() != subscriber.execute(check).fetchone():
            raise SystemExit("the native subscription's table is not the origin's")
        return seconds

    def _await_subscription(self, origin: Connection, subscriber: Connection) -> None:
        subscriber.execute(f"ALTER SUBSCRIPTION {_SUBSCRIPTION} ENABLE".encode())
        given_up = time.monotonic() + _NATIVE_SECONDS
        applied = "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND replay_lsn >= %s"
        while origin.execute(applied, [_SUBSCRIPTION, self.end_lsn]).fetchone() is None:
            if time.monotonic() > given_up:
                raise SystemExit(f"the native subscription has not applied the backlog within {_NATIVE_SECONDS} s")
            time.sleep(_POLL_SECONDS)


@contextmanager
def loaded(scenario: Scenario, origin: Connection, dsn: str, folder: Path) -> Iterator[Backlog]:
    """Let FlashQL follow the table, stop it, and make the backlog; its slot is dropped at the end of the block."""
    origin.execute(scenario.table.encode())
    if scenario.existing:
        fill(origin, scenario.existing)
    file = folder / "before.duckdb"
    with opened(file, dsn) as database:
        database.execute(VIEWS)
        synced(database)
        database.sync.stop()
        slot = database.sync.status()[0].slot_id
    assert slot is not None
    origin.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [slot, _TEMPLATE])
    drop_slot(origin, slot)
    scenario.load(origin, scenario.changes)
    row = origin.execute(b"SELECT pg_current_wal_lsn()").fetchone()
    origin.execute(b"CHECKPOINT")
    assert row is not None
    yield Backlog(scenario, dsn, file, slot, str(row[0]))
    drop_slot(origin, _TEMPLATE)
    origin.execute(f'DROP PUBLICATION "{slot}"'.encode())
    origin.execute(b"DROP TABLE measured")
    file.unlink()


def _copy_slot(origin: Connection, name: str) -> None:
    origin.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [_TEMPLATE, name])


@contextmanager
def subscriber_session() -> Iterator[Connection | None]:
    """A session at the second server, on which Postgres's own subscription runs; None when there is none."""
    with subscriber_database() as dsn:
        if dsn is None:
            yield None
            return
        with session(dsn) as subscriber:
            yield subscriber
