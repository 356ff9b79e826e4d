"""What the DSN says of TLS holds for every kind of connection: introspection, replication, rows as Arrow.

Needs the program `openssl`, which makes the certificates, and the programs of a Postgres that was built with it, which
the embedded one was not: any of /usr/lib/postgresql, as Debian's packages install them, or the `pg_config` on the path.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

import flashql
from flashql import errors
from flashql.cli.embedded import SETTINGS, embedded_postgres
from tests.fix_postgres import Origin
from tests.postgres.pair import following

SECRET = "hunter2-s3cret"


@dataclass
class Encrypted:
    """A server that takes `app`, with password, and `certified`, with a certificate, by TLS only."""

    origin: Origin
    certificates: Path
    port: int

    def dsn(self, **more: str) -> str:
        """How to connect as `app`, insisting on TLS and on the right server, unless told otherwise."""
        given = {
            "user": "app",
            "password": SECRET,
            "sslmode": "verify-full",
            "sslrootcert": self.file("ca.crt"),
            **more,
        }
        return make_conninfo(f"host=localhost hostaddr=127.0.0.1 port={self.port} dbname=postgres", **given)

    def file(self, name: str) -> str:
        """The path of a certificate or key."""
        return str(self.certificates / name)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    certificates = tmp_path_factory.mktemp("certificates")
    authority(certificates, "ca")
    authority(certificates, "stranger")
    issue(certificates, "server", "/CN=localhost", "subjectAltName=DNS:localhost")
    issue(certificates, "client", "/CN=certified", "extendedKeyUsage=clientAuth")
    with running(certificates) as (origin, port):
        origin.execute(f"""
            CREATE ROLE app LOGIN SUPERUSER PASSWORD '{SECRET}';
            CREATE ROLE certified LOGIN;
            CREATE TABLE t (id int PRIMARY KEY, note text);
            INSERT INTO t SELECT g, 'note ' || g FROM generate_series(1, 50) AS g;
            GRANT SELECT ON t TO certified;
        """)
        yield Encrypted(origin, certificates, port)


@contextmanager
def running(certificates: Path) -> Iterator[tuple[Origin, int]]:
    """A server with these certificates, which lets TCP in by TLS only; its superuser's way in, and its port."""
    programs, port = with_openssl(), free_port()
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="flashql-tls-", ignore_cleanup_errors=True) as folder:
        base, data = Path(folder), Path(folder) / "data"
        shutil.chown(base, user or os.geteuid())

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", str(data), *arguments]
            # The server inherits pg_ctl's output, so a pipe would stay open as long as it runs.
            quiet = subprocess.DEVNULL
            subprocess.run(command, check=True, user=user, cwd=folder, timeout=60, stdout=quiet, stderr=quiet)

        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        configure(data, certificates, port)
        run("pg_ctl", "start", "-w", "-l", str(base / "log"), "-o", f"-k '{folder}'")
        origin = Origin(f"postgresql://postgres@/postgres?host={folder}&port={port}")
        try:
            yield origin, port
        finally:
            origin.disconnect()
            run("pg_ctl", "stop", "-w", "-m", "immediate")


def with_openssl() -> Path:
    """The folder of programs of a Postgres that speaks TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_config"), reverse=True)
    on_path = shutil.which("pg_config")
    for program in [*([on_path] if on_path else []), *found]:
        built = subprocess.run([str(program), "--configure", "--bindir"], capture_output=True, text=True).stdout
        folder = Path(built.splitlines()[-1])
        if "openssl" in built and (folder / "initdb").exists():
            return folder
    pytest.skip("no Postgres built with OpenSSL here: see the top of this file")


def authority(folder: Path, name: str) -> None:
    openssl(folder, f"req -x509 {_NEW_KEY} -keyout {name}.key -out {name}.crt -days 30 -subj /CN={name}")


def issue(folder: Path, name: str, subject: str, extension: str) -> None:
    """A certificate signed by `ca`."""
    (folder / f"{name}.ext").write_text(extension)
    openssl(folder, f"req {_NEW_KEY} -keyout {name}.key -out {name}.csr -subj {subject}")
    openssl(
        folder,
        f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out {name}.crt "
        f"-extfile {name}.ext",
    )
    (folder / f"{name}.key").chmod(0o600)


_NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def openssl(folder: Path, arguments: str) -> None:
    program = shutil.which("openssl")
    assert program, "this test makes its certificates with the program openssl"
    subprocess.run([program, *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=30)


def configure(data: Path, certificates: Path, port: int) -> None:
    owner = data.stat()
    for name in ("server.crt", "server.key", "ca.crt"):
        shutil.copy(certificates / name, data / name)
        (data / name).chmod(0o600)
        shutil.chown(data / name, owner.st_uid, owner.st_gid)
    chosen = {**SETTINGS, "ssl": "on", "ssl_ca_file": "ca.crt", "listen_addresses": "127.0.0.1", "port": port}
    with (data / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in chosen.items())
    (data / "pg_hba.conf").write_text(
        "local all all trust\nhostssl all app all scram-sha-256\nhostssl all certified all cert\n"
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


ENCRYPTED = "SELECT s.ssl, a.backend_type FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a USING (pid)"


@pytest.mark.parametrize("more", [{}, {"channel_binding": "require"}, {"sslmode": "require"}, {"sslmode": "verify-ca"}])
def test_every_connection_is_encrypted(
    encrypted: Encrypted, database_path: str, more: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    dsn = encrypted.dsn(**more)
    with following(encrypted.origin, database_path, dsn, t="SELECT * FROM t") as pair:
        encrypted.origin.execute("UPDATE t SET note = note || '!' WHERE id < 10")
        pair.check()
        # An origin view's rows come as Arrow: it shows the connection that fetches it.
        pair.db.execute(f"CREATE ORIGIN VIEW s.mine AS {ENCRYPTED} WHERE pid = pg_backend_pid()")
        assert pair.db.execute("SELECT * FROM s.mine").fetchall() == [(True, "client backend")]
        seen = encrypted.origin.query(f"{ENCRYPTED} WHERE a.usename = 'app'")
        assert {kind for _, kind in seen} == {"client backend", "walsender"}
        assert {is_encrypted for is_encrypted, _ in seen} == {True}
        shown = [
            repr(pair.db),
            repr(pair.db.sync.status()),
            repr(vars(pair.db)),
            str(pair.db.execute("EXPLAIN VIEW s.t")),
        ]
        shown += [
            repr(pair.db.execute(f"SELECT * FROM flashql.{name}").fetchall()) for name in ("origins", "sync_jobs")
        ]
        shown.append(repr(pair.db.execute("EXPLAIN SELECT * FROM s.mine").fetchall()))
        for file in Path(database_path).parent.iterdir():
            assert SECRET.encode() not in file.read_bytes()
        pair.db.sync.forget("*")
    assert SECRET not in "\n".join(shown) + caplog.text
    assert SECRET.encode() not in Path(database_path).read_bytes()


def test_a_certificate_instead_of_a_password(encrypted: Encrypted) -> None:
    dsn = encrypted.dsn(
        user="certified", password="", sslcert=encrypted.file("client.crt"), sslkey=encrypted.file("client.key")
    )
    with flashql.connect(origins={"primary": dsn}) as db:
        db.execute("CREATE ORIGIN VIEW v WITH (replication_origin = 'primary') AS SELECT id FROM t")
        assert db.execute("SELECT count(*) FROM v").fetchall() == [(50,)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"sslrootcert": "stranger.crt"}, "certificate verify failed"),
        ({"sslrootcert": "missing.crt"}, "root certificate file"),
        ({"host": "127.0.0.1", "hostaddr": ""}, "does not match host name"),
        ({"sslmode": "disable"}, "pg_hba.conf"),
        ({"user": "certified", "password": ""}, "client certificate"),
    ],
)
def test_a_wrong_certificate_is_refused(
    encrypted: Encrypted, database_path: str, more: dict[str, str], says: str
) -> None:
    if "sslrootcert" in more:
        more = {"sslrootcert": encrypted.file(more["sslrootcert"])}
    refused(encrypted.dsn(**more), says)
    # A DSN that is wrong from now on stops what runs, and says so; nothing falls back to no encryption.
    given = [encrypted.dsn()]
    with flashql.connect(database_path, origins={"primary": lambda: given[0]}) as db:
        db.execute("CREATE REALTIME VIEW v WITH (replication_origin = 'primary') AS SELECT * FROM t")
        db.execute("CREATE ORIGIN VIEW o WITH (replication_origin = 'primary') AS SELECT * FROM t")
        assert not db.sync.sync().failed
        db.sync.stop()
        given[0] = encrypted.dsn(**more)
        with pytest.raises(errors.OriginRefused):
            db.execute("SELECT * FROM o")
        error = db.sync.resume().failed["main.v"]
        assert isinstance(error, errors.OriginRefused)
        assert SECRET not in f"{error} {error!r} {error.__cause__!r}"
        assert SECRET not in str(db.sync.status("main.v")[0])
        given[0] = encrypted.dsn()
        assert not db.sync.resume().failed
        db.sync.forget("*")
    assert SECRET.encode() not in Path(database_path).read_bytes()


def refused(dsn: str, says: str) -> None:
    with flashql.connect(origins={"primary": dsn}) as db:
        with pytest.raises(errors.OriginRefused, match=says) as raised:
            db.execute("CREATE ORIGIN VIEW x WITH (replication_origin = 'primary') AS SELECT 1 AS a")
        assert SECRET not in f"{raised.value} {raised.value.__cause__!r}"


def test_a_server_without_tls_is_refused() -> None:
    port = free_port()
    with embedded_postgres(16, listen_addresses="127.0.0.1", port=port):
        refused(f"host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=require", "does not support SSL")
