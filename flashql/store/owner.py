"""Whose a slot and a publication are: this very database file's, on this machine.

A copy of a database file has the file's id, and so the name of its slot. What it does not have is its inode. DuckDB
lets one process write a file and keeps others out by a lock on that inode; so whoever holds the file open knows that
a walsender which bears the same seal as itself was left behind by a process, or connection, that is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from flashql.store.duck import Store

_SEAL_DIGITS = 8


@dataclass(frozen=True)
class Owner:
    """The database that a slot or publication belongs to, as the publication's comment names it.

    `file` is its absolute path and `device` the number of the disk it is on; both are None in memory, where `pid` is
    its process. `host` is for people, `machine` tells the machine (or container) from others.
    """

    database_id: str
    host: str
    machine: str
    file: str | None = None
    device: int | None = None
    pid: int | None = None

    def comment(self) -> str:
        """The owner as the comment of a publication."""
        return json.dumps(asdict(self), sort_keys=True)

    def __str__(self) -> str:
        return f"{self.file or f'a database in memory of process {self.pid}'} on {self.host}"


def owner_of(store: Store) -> Owner:
    """The owner that this database is."""
    here = Owner(store.database_id, socket.gethostname(), machine())
    if store.in_memory:
        return replace(here, pid=os.getpid())
    file = Path(store.path).resolve()
    return replace(here, file=str(file), device=file.stat().st_dev)


def read_comment(text: str | None) -> Owner | None:
    """The owner that a comment names; None when it names none."""
    with suppress(ValueError, TypeError, AttributeError):
        said = json.loads(text or "")
        owner = Owner(**{field.name: said[field.name] for field in fields(Owner) if field.name in said})
        texts, numbers = (owner.database_id, owner.host, owner.machine), (owner.device, owner.pid)
        if all(isinstance(text, str) for text in texts) and all(isinstance(number, int | None) for number in numbers):
            return owner if isinstance(owner.file, str | None) else None
    return None


def seal(store: Store) -> str:
    """Eight hexadecimal digits for this very file, as long as the machine runs; for a database in memory, for it."""
    if store.in_memory:
        which = f"{os.getpid()}:{store.database_id}"
    else:
        found = Path(store.path).stat()
        which = f"{found.st_dev}:{found.st_ino}"
    return _digest(_boot(), which)[:_SEAL_DIGITS]


def machine() -> str:
    """Twelve hexadecimal digits for the machine or container that this process sees: its name and its disk's root."""
    root = Path("/").stat()
    own_id = _read("/etc/machine-id") or f"{uuid.getnode():x}"
    return _digest(socket.gethostname(), own_id, f"{root.st_dev}:{root.st_ino}")[:12]


def _boot() -> str:
    """What is new at each start of the machine, and shared by all of its containers; else the machine's name."""
    return _read("/proc/sys/kernel/random/boot_id") or socket.gethostname()


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8").strip()
    return ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
