"""Origins for tests: a Postgres server per test process, a fresh database per test.

The server is the first of these that is there:

1. the one FLASHQL_TEST_POSTGRES_URL names (a superuser's DSN; wal_level=logical),
2. a container, when a Docker daemon answers,
3. the embedded one of the extra `flashql[demo]`, which has versions 16 and 18.

FLASHQL_TEST_POSTGRES_VERSION chooses the major version of 2 and 3; 18 when unset. A test that stops,
crashes or reconfigures its server asks for `private_server`, which is always an embedded one (18
when the embedded one lacks the version asked for).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from flashql.cli.embedded import SETTINGS, EmbeddedPostgres, Setting, embedded_postgres

Parameters = Sequence[Any] | Mapping[str, Any] | None

EMBEDDED_VERSIONS = (16, 18)

_TERMINATE_TIMEOUT_MS = 10_000
_DOCKER_TIMEOUT_SECONDS = 3


class Origin:
    """A database at a Postgres server, as tests use it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @property
    def name(self) -> str:
        """The database's name."""
        return str(conninfo_to_dict(self.dsn)["dbname"])

    @property
    def version(self) -> int:
        """The server's major version."""
        return self._session().info.server_version // 10_000

    def connect(self, **parameters: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A new connection in autocommit mode; the caller closes it."""
        return psycopg.connect(self.dsn, autocommit=True, **parameters)

    def execute(self, query: str, parameters: Parameters = None) -> None:
        """Run a statement, or several when there are no parameters, and commit."""
        self._session().execute(query.encode(), parameters)

    def query(self, query: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._session().execute(query.encode(), parameters).fetchall()

    def disconnect(self) -> None:
        """Close the connection that `execute` and `query` share; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        return self._connection


class PrivateServer(Origin):
    """An origin that is alone on its server, which may therefore be stopped, crashed and reconfigured."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        super().__init__(server.dsn)
        self.server = server

    def start(self) -> None:
        """Start and wait until it answers."""
        self.server.start()

    def stop(self, mode: str = "fast") -> None:
        """Stop and wait until it has; mode `immediate` is a crash."""
        self.disconnect()
        self.server.stop(mode)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def conf(self, **settings: Setting) -> None:
        """Change settings, and restart so that they are in force."""
        self.server.configure(**settings)
        self.restart()

    def backup(self, folder: Path) -> None:
        """Copy the data directory as it is, slots included, while the server runs (Postgres 15 and later)."""
        with self.connect() as session:
            session.execute("SELECT pg_backup_start('here', true)")
            # Files may go while they are copied: the WAL, copied last, makes up for that.
            subprocess.run(["cp", "-a", f"{self.server.directory}/.", str(folder)], check=False, stderr=subprocess.PIPE)
            ((label,),) = session.execute("SELECT labelfile FROM pg_backup_stop(false)").fetchall()
        subprocess.run(["cp", "-a", f"{self.server.directory}/pg_wal", str(folder)], check=True)
        for name in (*_SOCKETS, "postmaster.pid", "postmaster.opts"):
            (folder / name).unlink(missing_ok=True)
        (folder / "backup_label").write_text(label, encoding="utf-8")

    def restore(self, folder: Path, *, keeps_slots: bool) -> None:
        """Go back to the moment of a backup, as a recovery to a point in time does: on a timeline of its own."""
        self.stop("immediate")
        self._empty()
        subprocess.run(["cp", "-a", f"{folder}/.", str(self.server.directory)], check=True)
        (self.server.directory / "recovery.signal").touch()
        if not keeps_slots:
            for slot in (self.server.directory / "pg_replslot").iterdir():
                shutil.rmtree(slot)
        self.server.configure(restore_command="false", recovery_target="immediate", recovery_target_action="promote")
        for path in self.server.directory.iterdir():
            shutil.chown(path, self.server.directory.owner(), self.server.directory.group())
        self.start()
        while self.query("SELECT pg_is_in_recovery()") == [(True,)]:
            self.query("SELECT pg_sleep(0.05)")

    def replace(self) -> None:
        """Another server takes its place, empty: it has another system identifier."""
        self.stop("immediate")
        self._empty()
        made = EmbeddedPostgres(self.server.directory, self.server.version)
        made.configure(**SETTINGS)
        self.server = made
        self.start()

    def _empty(self) -> None:
        for path in self.server.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


_SOCKETS = (".s.PGSQL.5432", ".s.PGSQL.5432.lock")


@pytest.fixture(scope="session")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a superuser at this test process's server."""
    given = os.environ.get("FLASHQL_TEST_POSTGRES_URL")
    if given:
        yield given
    elif _docker_answers():
        with _container() as dsn:
            yield dsn
    else:
        with _server(tmp_path_factory) as server:
            yield server.dsn


@pytest.fixture
def origin(postgres_dsn: str) -> Iterator[Origin]:
    """A fresh database, dropped at the end of the test with its slots and whoever is connected."""
    with fresh_origin(postgres_dsn) as fresh:
        yield fresh


@pytest.fixture
def private_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """A server of the test's own, deleted at its end."""
    with _server(tmp_path_factory) as server:
        private = PrivateServer(server)
        try:
            yield private
        finally:
            private.disconnect()


@contextmanager
def fresh_origin(postgres_dsn: str, name: str | None = None) -> Iterator[Origin]:
    """What the fixture `origin` is; for tests that want several, or a name of their own, or want to see one end."""
    name = name or f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        fresh = Origin(with_database(postgres_dsn, name))
        try:
            yield fresh
        finally:
            fresh.disconnect()
            _drop_database(admin, name)


def with_database(dsn: str, database: str) -> str:
    """The same DSN, for another database, as a URL where it was one."""
    if "://" not in dsn:
        return make_conninfo(dsn, dbname=database)
    address, separator, options = dsn.partition("?")
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.split('/')[0]}/{quote(database, safe='')}{separator}{options}"


def _drop_database(admin: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    # In this order: nobody may come back, then whoever streams must be gone (DROP DATABASE refuses an active
    # logical slot even WITH FORCE); inactive slots of the database it drops itself.
    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    admin.execute(
        "SELECT pg_terminate_backend(active_pid, %s) FROM pg_replication_slots "
        "WHERE database = %s AND active_pid IS NOT NULL",
        [_TERMINATE_TIMEOUT_MS, name],
    )
    admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _version() -> int:
    return int(os.environ.get("FLASHQL_TEST_POSTGRES_VERSION", "18"))


@contextmanager
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with ExitStack() as stack:
        # One at a time: as root the first start on a machine adds a system user; two at once would collide.
        in_parallel = "PYTEST_XDIST_WORKER" in os.environ
        with _exclusive(tmp_path_factory.getbasetemp().parent) if in_parallel else nullcontext():
            server = stack.enter_context(embedded_postgres(_version() if _version() in EMBEDDED_VERSIONS else 18))
        yield server


@contextmanager
def _exclusive(shared: Path) -> Iterator[None]:
    with (shared / "embedded.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        asked = subprocess.run(["docker", "version"], capture_output=True, timeout=_DOCKER_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0  # it is not when only the client answers


@contextmanager
def _container() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from testcontainers.postgres import PostgresContainer

        settings = {name: value for name, value in SETTINGS.items() if name != "listen_addresses"}
        command = " ".join(f"-c {name}={value}" for name, value in settings.items())
        container = PostgresContainer(f"postgres:{_version()}", driver=None).with_command(f"postgres {command}")
        container.start()
    try:
        yield str(container.get_connection_url())
    finally:
        container.stop()
