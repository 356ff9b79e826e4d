"""Bad input gets a clear error at the earliest moment, and nothing changes; no error shows a password."""

from __future__ import annotations

import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import flashql
from flashql import errors
from flashql.database import Database
from flashql.origins.postgres.connecting import as_ours, conninfo, redacted
from tests.fix_postgres import Origin, PrivateServer
from tests.fix_shop import make_shop, open_shop, publications, slots

SECRET = "hunter2-s3cret"


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_shop(origin)


@pytest.fixture
def role(shop: Origin) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"weak_{uuid.uuid4().hex[:8]}"
    shop.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    yield name
    shop.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}")


def state(db: Database, origin: Origin) -> tuple[object, ...]:
    """All that a failed statement must leave as it was."""
    views = db.execute("SELECT namespace, name, definition FROM flashql.views ORDER BY 1, 2").fetchall()
    stored = db.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY 1, 2").fetchall()
    shown = db.execute(
        "SELECT schema_name, view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY 1"
    ).fetchall()
    jobs = db.execute("SELECT relation_id, state FROM flashql.sync_jobs ORDER BY 1").fetchall()
    return views, stored, sorted(shown), jobs, slots(origin), publications(origin)


@pytest.mark.parametrize(
    ("statement", "kind", "says"),
    [
        ("CREATE REALTIME VIEW shop.x AS SELEC 1", errors.SyntaxProblem, "line 1, column 32"),
        ("CREATE REALTIM VIEW shop.x AS SELECT 1", errors.SyntaxProblem, "did you mean CREATE REALTIME VIEW"),
        (
            "CREATE VIEW shop.x WITH (persistance = 'origin') AS SELECT 1",
            errors.SyntaxProblem,
            "did you mean persistence",
        ),
        ("CREATE VIEW shop.x WITH (persistence = 'live') AS SELECT 1", errors.SyntaxProblem, "is one of: origin"),
        (
            "CREATE MATERIALIZED VIEW shop.x WITH (persistence = 'origin') AS SELECT 1",
            errors.SyntaxProblem,
            "say it once",
        ),
        (
            "CREATE MATERIALIZED VIEW shop.x WITH (refresh_every = '5 parsecs') AS SELECT 1",
            errors.SyntaxProblem,
            "'5 minutes'",
        ),
        (
            "CREATE ORIGIN VIEW shop.x WITH (replication_origin = 'nowhere') AS SELECT 1",
            errors.UnknownName,
            "known: primary",
        ),
        ("CREATE SCHEMA other WITH (replication_origin = 'nowhere')", errors.UnknownName, "known: primary"),
        ("CREATE ORIGIN VIEW shop.x AS SELECT * FROM public.missing", errors.UnknownName, 'relation "public.missing"'),
        ("CREATE REALTIME VIEW shop.x AS SELECT missing FROM orders", errors.UnknownName, 'column "missing"'),
        ("CREATE ORIGIN VIEW nowhere.x AS SELECT 1 AS a", errors.UnknownName, "CREATE SCHEMA nowhere"),
        ("CREATE ORIGIN VIEW x AS SELECT 1 AS a", errors.DefinitionError, "replication_origin"),
        ("CREATE REALTIME VIEW shop.x AS SELECT * FROM keyless", errors.OriginUnfit, "REPLICA IDENTITY FULL"),
        (
            "CREATE REALTIME VIEW shop.x AS SELECT count(*), now() FROM orders",
            errors.NotSupported,
            "another one at each call",
        ),
        ("CREATE REALTIME VIEW shop.x AS SELECT o.*, random() FROM orders AS o", errors.NotSupported, "random"),
        ("CREATE ORIGIN VIEW shop.x AS SELEC", errors.SyntaxProblem, "begin a query"),
        ("CREATE ORIGIN VIEW shop.x AS SELECT 1 +", errors.DefinitionError, "Postgres"),
        ("CREATE ORIGIN VIEW shop.taken AS SELECT 1 AS a", errors.NameTaken, "is a table already"),
        ("CREATE OR REPLACE ORIGIN VIEW shop.taken AS SELECT 1 AS a", errors.NameTaken, "DROP TABLE"),
        ("CREATE ORIGIN VIEW shop.orders AS SELECT 1 AS a", errors.NameTaken, "CREATE OR REPLACE"),
        ("ALTER VIEW shop.nothing SET (persistence = 'origin')", errors.UnknownName, "flashql.views"),
        ("ALTER VIEW shop.orders SET (nonsense = 1)", errors.SyntaxProblem, "known options"),
        ("REFRESH VIEW shop.nothing", errors.UnknownName, "no FlashQL view"),
        ("SELECT * FROM shop.nothing", errors.QueryFailed, "nothing"),
        ("SELECT nothing FROM shop.orders", errors.FlashQLError, "nothing"),
    ],
)
def test_a_wrong_statement(shop: Origin, statement: str, kind: type[errors.FlashQLError], says: str) -> None:
    shop.execute("CREATE TABLE keyless (a int)")
    with open_shop(shop) as db:
        db.execute("CREATE TABLE shop.taken (id int)")
        before = state(db, shop)
        with pytest.raises(kind) as raised:
            db.execute(statement)
        assert says in str(raised.value)
        assert state(db, shop) == before


@pytest.mark.parametrize("verb", ["sync", "stop", "resume", "forget", "wait"])
def test_a_selector_that_names_nothing(shop: Origin, verb: str) -> None:
    with open_shop(shop) as db:
        with pytest.raises(errors.UnknownName, match=r"Did you mean shop\.orders\?"):
            getattr(db.sync, verb)("shop.ordres")
        with pytest.raises(errors.DefinitionError, match="A selector is"):
            getattr(db.sync, verb)(42)
        assert db.sync.status("shop.ordres") == []


def test_an_origin_that_does_not_answer() -> None:
    dsn = f"postgresql://app:{SECRET}@127.0.0.1:1/shop"
    with flashql.connect(origins={"primary": dsn}) as db:
        with pytest.raises(errors.OriginUnreachable, match="origin primary does not answer") as raised:
            db.execute("CREATE ORIGIN VIEW x WITH (replication_origin = 'primary') AS SELECT 1 AS a")
        assert "host and port" in str(raised.value)
        assert raised.value.retry is errors.Retry.BACKOFF
        assert SECRET not in str(raised.value) + repr(raised.value)
        assert db.views == {}


def test_a_database_that_does_not_exist(shop: Origin) -> None:
    dsn = make_conninfo(shop.dsn, dbname="no_such_database")
    with flashql.connect(origins={"primary": dsn}) as db:
        assert db.views == {}
        with pytest.raises(errors.OriginRefused, match="no_such_database"):
            db.execute("CREATE ORIGIN VIEW x WITH (replication_origin = 'primary') AS SELECT 1 AS a")


def test_a_role_that_does_not_exist(shop: Origin) -> None:
    with flashql.connect(origins={"primary": make_conninfo(shop.dsn, user="no_such_role", password=SECRET)}) as db:
        with pytest.raises(errors.OriginRefused, match="no_such_role") as raised:
            db.execute("CREATE ORIGIN VIEW x WITH (replication_origin = 'primary') AS SELECT 1 AS a")
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://app:{SECRET}@[half/shop",
        f"password={SECRET} nonsense",
        f"postgresql://app:tops@{SECRET}@localhost/shop",
        f"postgresql://app:{SECRET}@tops@localhost/shop",
        f"postgresql://app:tops@{SECRET}@localhost:5432/shop",
        f"postgresql://app:tops/{SECRET}@localhost/shop",
        f"postgresql://app:{SECRET}/tops@localhost/shop",
        f"postgresql://app:tops@/{SECRET}@localhost/shop",
        f"postgresql://app:1/b?sslmode={SECRET}@localhost/shop",
        f"postgresql://app:1/b?connect_timeout={SECRET}@localhost/shop",
        f"postgresql://app:{SECRET}",
        f"postgresql://app:{SECRET}/shop",
        f"postgresql://app:%{SECRET}@localhost/shop",
        f"postgresql://app:{SECRET} %zz@localhost/shop",
        f"postgres:/app:{SECRET}@localhost/shop",
        f"mysql://app:a={SECRET}@localhost/shop",
        f"dbname=postgresql://app:{SECRET}@localhost/shop",
        f"host=localhost password=a {SECRET} user=app",
        f"host=localhost password='a'{SECRET}' user=app",
        f"host=localhost password='{SECRET} user=app",
        f"host=localhost password=a {SECRET}=b user=app",
    ],
)
def test_a_dsn_that_cannot_be_right(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """No part of a password that was not quoted as it must be is shown, by whatever libpq takes it for."""
    with flashql.connect(origins={"primary": dsn}) as db:
        with pytest.raises(errors.OriginRefused, match="DSN cannot be") as raised:
            db.execute("CREATE ORIGIN VIEW x WITH (replication_origin = 'primary') AS SELECT 1 AS a")
        shown: BaseException | None = raised.value
        while shown is not None:
            assert SECRET not in str(shown) + repr(shown)
            shown = shown.__cause__ or shown.__context__
    assert SECRET not in redacted(dsn)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://app:to%40ps%2Fcr%3Fet@localhost:5432/shop",
        "postgresql://app%40corp@h1:1,h2/shop?sslmode=prefer&application_name=a@b",
        "host=/run/pg,localhost port=,5433 user=app@corp password='a@b c'",
        "",
    ],
)
def test_a_dsn_that_is_right(dsn: str) -> None:
    assert conninfo(dsn, "flashql")


def test_a_dsn_that_wants_gssapi() -> None:
    """The driver of rows has none: better said when the view is defined than when it is copied."""
    dsn = "host=localhost dbname=shop gssencmode=require"
    with (
        flashql.connect(origins={"primary": dsn}) as db,
        pytest.raises(errors.OriginRefused, match="gssencmode=disable"),
    ):
        db.execute("CREATE ORIGIN VIEW x WITH (replication_origin = 'primary') AS SELECT 1 AS a")


@pytest.mark.parametrize(
    "text",
    [
        'connection to server at "127.0.0.1", port 5432 failed: GSSAPI authentication not supported\n',
        'IO: [libpq] Failed to connect: gssencmode value "require" invalid when GSSAPI support is not compiled in\n',
        "connection is bad: GSSAPI encryption required but no credential cache",
        "connection failed: GSSAPI continuation error: No credentials were supplied: No Kerberos credentials available",
    ],
)
def test_a_server_that_wants_gssapi(text: str) -> None:
    """What libpq says then, as psycopg and the driver of rows pass it on."""
    error = as_ours("primary", None, text)
    assert isinstance(error, errors.OriginRefused)
    assert "gssencmode=disable" in str(error)


def test_a_dsn_where_a_name_belongs(shop: Origin) -> None:
    with open_shop(shop) as db:
        with pytest.raises(errors.DefinitionError, match="a name") as raised:
            db.execute(f"CREATE SCHEMA x WITH (replication_origin = 'postgresql://app:{SECRET}@h/d')")
        assert SECRET not in str(raised.value)


def test_privileges_are_asked_for_one_by_one(shop: Origin, role: str) -> None:
    """What lacks for a realtime view is named with the statement that mends it; run, the next is named."""
    create = "CREATE REALTIME VIEW v WITH (replication_origin = 'primary') AS SELECT id, name FROM products"
    dsn = make_conninfo(shop.dsn, user=role, password=SECRET)
    with flashql.connect(origins={"primary": dsn}) as db:
        db.execute("CREATE ORIGIN VIEW o WITH (replication_origin = 'primary') AS SELECT * FROM products")
        with pytest.raises(errors.OriginRefused, match="permission denied for table products"):
            db.execute("SELECT * FROM o")
        steps = [
            ("REPLICATION", f"ALTER ROLE {role} REPLICATION"),
            ("GRANT CREATE ON DATABASE", f'GRANT CREATE ON DATABASE "{shop.name}" TO {role}'),
            ("GRANT SELECT ON", f"GRANT SELECT ON products TO {role}"),
            ("owner", f"ALTER TABLE products OWNER TO {role}"),
            (
                "row security",
                "ALTER TABLE products DISABLE ROW LEVEL SECURITY",
            ),
        ]
        shop.execute("ALTER TABLE products ENABLE ROW LEVEL SECURITY; ALTER TABLE products FORCE ROW LEVEL SECURITY")
        before = state(db, shop)
        for says, mend in steps:
            with pytest.raises(errors.OriginUnfit) as raised:
                db.execute(create)
            assert says in str(raised.value)
            assert "Run at the origin" in str(raised.value)
            assert SECRET not in str(raised.value)
            assert state(db, shop) == before
            shop.execute(mend)
        db.execute(create)
        assert db.sync.sync().failed == {}
        assert db.execute("SELECT count(*) FROM v").fetchall() == [(10,)]


def test_wal_level_and_free_slots(private_server: PrivateServer, database_path: str) -> None:
    private_server.execute("CREATE TABLE t (id int PRIMARY KEY)")
    private_server.conf(wal_level="replica")
    create = "CREATE REALTIME VIEW v WITH (replication_origin = 'primary') AS SELECT * FROM t"
    with flashql.connect(database_path, origins={"primary": private_server.dsn}) as db:
        with pytest.raises(errors.OriginUnfit, match="ALTER SYSTEM SET wal_level = 'logical'"):
            db.execute(create)
        assert db.views == {}
        private_server.conf(wal_level="logical", max_replication_slots=1)
        private_server.execute("SELECT pg_create_logical_replication_slot('taken', 'pgoutput')")
        db.execute(create)
        failed = db.sync.sync().failed["main.v"]
        assert isinstance(failed, errors.OriginUnfit)
        assert "max_replication_slots" in str(failed)
        private_server.execute("SELECT pg_drop_replication_slot('taken')")
        assert db.sync.sync().failed == {}


def test_a_file_open_in_another_process(database_path: str) -> None:
    with flashql.connect(database_path):
        program = f"import flashql; flashql.connect({database_path!r})"
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert other.returncode == 1
    assert "DatabaseLocked" in other.stderr
    assert "is open in another process" in other.stderr


def test_a_database_opened_read_only(shop: Origin, database_path: str) -> None:
    with open_shop(shop, database_path) as db:
        db.sync.sync()
    with flashql.connect(database_path, origins={"primary": shop.dsn}, read_only=True) as db:
        assert db.execute("SELECT count(*) FROM shop.orders").fetchall() == [(100,)]
        assert len(db.sync.status()) == 4
        for statement in (
            "CREATE ORIGIN VIEW shop.x AS SELECT 1 AS a",
            "DROP VIEW shop.orders",
            "CREATE TABLE t (a int)",
        ):
            with pytest.raises(errors.DatabaseReadOnly, match="read_only=False"):
                db.execute(statement)
        for verb in ("sync", "stop", "resume", "forget"):
            with pytest.raises(errors.DatabaseReadOnly, match="read_only=False"):
                getattr(db.sync, verb)("*")


def test_what_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "no.duckdb"
    file.write_text("this is not a database, but it is long enough to be looked at" * 100)
    with pytest.raises(errors.DatabaseError, match="cannot open"):
        flashql.connect(str(file))
    with pytest.raises(errors.DatabaseError, match="cannot open"):
        flashql.connect(str(tmp_path / "missing" / "x.duckdb"))


def test_no_secret_is_written_anywhere(shop: Origin, database_path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the file, its write-ahead log, status, errors or log records."""
    caplog.set_level(logging.DEBUG)
    dsn = make_conninfo(shop.dsn, password=SECRET)
    shown: list[str] = []
    with flashql.connect(database_path, origins={"primary": dsn}) as db:
        db.execute("""
            CREATE SCHEMA shop WITH (replication_origin = 'primary');
            CREATE REALTIME VIEW shop.orders AS SELECT * FROM orders;
            CREATE MATERIALIZED VIEW shop.broken AS SELECT 1 / (id - 1) AS x FROM products;
        """)
        report = db.sync.sync()
        shown += [f"{error} {error!r} {error.__cause__!r}" for error in report.failed.values()]
        db.sync.wait("shop.orders", timeout=30)
        shown.append(repr(db.sync.status()))
        shown.append(
            repr([db.execute(f"SELECT * FROM flashql.{name}").fetchall() for name in ("origins", "sync_jobs")])
        )
        assert SECRET not in Path(database_path).read_bytes().decode(errors="replace")
        for file in Path(database_path).parent.iterdir():
            assert SECRET.encode() not in file.read_bytes()
    assert SECRET.encode() not in Path(database_path).read_bytes()
    assert SECRET not in "\n".join(shown) + caplog.text


def test_every_error_is_ours_and_says_whether_it_is_tried_again(shop: Origin) -> None:
    with open_shop(shop) as db, pytest.raises(errors.FlashQLError) as raised:
        db.execute("SELECT 1 / 'x'").fetchall()
    assert raised.value.retry in errors.Retry
    assert not isinstance(raised.value, psycopg.Error)


def test_a_wrong_password(private_server: PrivateServer) -> None:
    private_server.execute(f"CREATE ROLE app LOGIN PASSWORD '{SECRET}'")
    ((file,),) = private_server.query("SHOW hba_file")
    rules = Path(file).read_text()
    Path(file).write_text(f"local all app scram-sha-256\nhost all app all scram-sha-256\n{rules}")
    private_server.execute("SELECT pg_reload_conf()")
    wrong = make_conninfo(private_server.dsn, user="app", password=f"{SECRET}-wrong")
    with flashql.connect(origins={"primary": wrong}) as db:
        with pytest.raises(errors.OriginRefused, match="password authentication failed") as raised:
            db.execute("CREATE ORIGIN VIEW x WITH (replication_origin = 'primary') AS SELECT 1 AS a")
        assert "Check user, password" in str(raised.value)
        assert raised.value.retry is errors.Retry.MANUAL
        assert SECRET not in str(raised.value) + repr(raised.value.__cause__)
        assert db.views == {}
    right = make_conninfo(private_server.dsn, user="app", password=SECRET)
    with flashql.connect(origins={"primary": right}) as db:
        db.execute("CREATE ORIGIN VIEW x WITH (replication_origin = 'primary') AS SELECT 1 AS a")
        assert db.execute("SELECT a FROM x").fetchall() == [(1,)]
