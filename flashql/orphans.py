"""Slots and publications at an origin whose database file is gone: found, and dropped when that is proved.

A name proves nothing: a slot that nobody reads at the moment may belong to a process that is restarting, or to a file
on another machine. Proof is the owner in the publication's comment: it names this machine, and its file is not there
any more, or is another database now.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from flashql import errors
from flashql.origins.postgres.client import PostgresClient
from flashql.origins.postgres.connecting import DsnSource
from flashql.origins.postgres.preflight import Finding
from flashql.origins.postgres.slot import drop
from flashql.quoting import literal, quote
from flashql.resources import sql_text
from flashql.store.owner import Owner, machine, read_comment


@dataclass(frozen=True)
class Holding:
    """A slot and a publication of one name, or one of the two."""

    name: str
    has_slot: bool
    has_publication: bool
    active_pid: int | None
    retained_bytes: int
    owner: Owner | None

    @property
    def remedy(self) -> str:
        """The SQL that drops it."""
        lines = [f"SELECT pg_drop_replication_slot({literal(self.name)});"] if self.has_slot else []
        return "\n".join(lines + ([f"DROP PUBLICATION {quote(self.name)};"] if self.has_publication else []))


def holdings(client: PostgresClient) -> list[Holding]:
    """What FlashQL, of whichever database, holds in the origin's database."""
    rows = client.query(sql_text("origin/holdings.sql"))
    return [
        Holding(called, slot, publication, pid, retained, read_comment(comment))
        for called, slot, publication, pid, retained, comment in rows
    ]


def orphan_findings(name: str, dsn: DsnSource, *, dropping: bool) -> list[Finding]:
    """What FlashQL holds at the origin, and whose it is; orphans are dropped when asked to.

    An orphan that is left is not ok. What may be somebody's is, with the SQL for a person who knows better.
    """
    client = PostgresClient(name, dsn)
    try:
        return [_finding(client, holding, dropping) for holding in holdings(client)]
    finally:
        client.close()


def _finding(client: PostgresClient, holding: Holding, dropping: bool) -> Finding:
    kept = f"retains {holding.retained_bytes} bytes of WAL" if holding.has_slot else "has no slot, so retains nothing"
    what, owner = f"slot {holding.name}", holding.owner
    proof = why_orphan(holding)
    if proof is None:
        whose = f"belongs to {owner}" if owner else "does not say whose it is"
        used = f", in use by process {holding.active_pid}" if holding.active_pid is not None else ""
        by_hand = holding.remedy if holding.active_pid is None else None
        return Finding(what, True, f"{whose}{used}; {kept}; {why_kept(holding)}", by_hand)
    if not dropping:
        return Finding(what, False, f"an orphan: {proof}; {kept}", f"flashql doctor --drop-orphans\n{holding.remedy}")
    # The seal of nobody: a walsender that came back meanwhile is not ended, and then nothing is dropped.
    try:
        drop(client, holding.name, "")
    except errors.OriginBusy as error:
        return Finding(what, True, f"in use again, so it was left: {error.message}", None)
    return Finding(what, True, f"dropped: {proof}; it {kept}", None)


def why_orphan(holding: Holding) -> str | None:
    """The proof that nobody will ever come back for it; None when there is none."""
    owner = holding.owner
    if holding.active_pid is not None or owner is None or owner.machine != machine():
        return None
    if not holding.name.startswith(f"flashql_{owner.database_id}_"):
        return None  # a comment copied from elsewhere
    if owner.file is None:
        alive = owner.pid is None or _is_running(owner.pid)
        return None if alive or holding.has_slot else f"process {owner.pid} with its database in memory is gone"
    file = Path(owner.file)
    if not file.is_absolute():
        return None
    if _is_gone(file, owner.device):
        return f"{file} is gone"
    found = _database_id(file)
    return f"{file} is another database now" if found not in (None, owner.database_id) else None


def why_kept(holding: Holding) -> str:
    """What keeps `why_orphan` from being sure."""
    owner = holding.owner
    if holding.active_pid is not None:
        return "somebody reads it"
    if owner is None:
        return "drop it by hand if you know that its database is gone"
    if owner.machine != machine():
        return f"look for it on {owner.host}; this is another machine or container"
    return "it is there, or its disk is not" if owner.file else "its process is there"


def _is_gone(file: Path, device: int | None) -> bool:
    """Whether the disk it was on is here and has no such file: it might merely not be mounted."""
    try:
        file.lstat()
        return False
    except (FileNotFoundError, NotADirectoryError):
        there = next(folder for folder in file.parents if folder.exists())
        return there.stat().st_dev == device
    except (OSError, ValueError):
        return False


def _database_id(file: Path) -> str | None:
    """The id of FlashQL's database in the file; None when it cannot be told: in use, or no database at all."""
    with suppress(duckdb.Error, OSError, ValueError):
        if not file.is_file():
            return None
        connection = duckdb.connect(file, read_only=True)
        try:
            row = connection.execute("SELECT database_id FROM flashql.identity").fetchone()
            return str(row[0]) if row else None
        finally:
            connection.close()
    return None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
