"""The command line: what it prints, where its settings come from, and its exit codes 0, 1 and 2."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flashql.catalog import Persistence, View
from flashql.cli import main
from flashql.cli.demo.shop import load_shop
from flashql.cli.output import is_nearly_lost, slot_text
from flashql.cli.settings import load
from flashql.origins.base import no_progress
from flashql.resources import sql_files
from flashql.store.jobs import blank
from tests.fix_cli import running
from tests.fix_postgres import Origin
from tests.fix_shop import until

ORDERS = 500


@dataclass
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


FlashQL = Callable[..., Outcome]


@pytest.fixture
def flashql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> FlashQL:
    """Runs a command in an empty directory, with no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("FLASHQL_"):
            monkeypatch.delenv(name)

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), captured.out, captured.err)

    return run


@pytest.fixture
def shop(origin: Origin, tmp_path: Path) -> Origin:
    """The demo's shop at the origin, and a flashql.toml that names it."""
    with origin.connect() as connection:
        load_shop(connection, ORDERS, no_progress)
    (tmp_path / "flashql.toml").write_text(
        f'[database]\npath = "app.duckdb"\n\n[origins]\nprimary = "{origin.dsn}"\n', encoding="utf-8"
    )
    (tmp_path / "views.sql").write_text("\n".join(text for _, text in sql_files("views")), encoding="utf-8")
    return origin


def test_views_are_made_synced_shown_and_queried(flashql: FlashQL, shop: Origin) -> None:
    assert flashql("sql", "views.sql") == Outcome(0, "", "")

    synced = flashql("sync", "--json")
    assert synced.code == 0, synced.err
    outcomes = {record["view"]: record for record in json.loads(synced.out)}
    assert outcomes["shop.products"]["outcome"] == "materialized"
    assert outcomes["shop.orders"]["outcome"] == "realtime"
    assert outcomes["shop.orders"]["rows"] == ORDERS

    status = {record["relation_id"]: record for record in json.loads(flashql("status", "--json").out)}
    assert set(status) == {"shop.customers", "shop.products", "shop.orders"}
    assert status["shop.orders"]["last_seen_commit"] == outcomes["shop.orders"]["last_seen_commit"]
    lines = flashql("status", "shop.orders").out.splitlines()
    assert lines[0].split("\t")[:3] == ["view", "persistence", "state"]
    assert lines[1].split("\t")[:2] == ["shop.orders", "realtime"]

    joined = flashql(
        "sql", "-c",
        "SELECT count(*) AS n FROM shop.orders o JOIN shop.customers c ON c.id = o.customer_id "
        "JOIN shop.products p ON p.id = o.product_id",
    )  # fmt: skip
    assert joined == Outcome(0, f"n\n{ORDERS}\n", "")


def test_a_sync_goes_on_from_the_last_one(flashql: FlashQL, shop: Origin) -> None:
    flashql("sql", "views.sql")
    flashql("sync")
    shop.execute("DELETE FROM public.orders WHERE id <= 100")
    assert flashql("sql", "-c", "SELECT count(*) FROM shop.orders").out.endswith(f"\n{ORDERS}\n")
    assert flashql("sync", "shop.orders").code == 0
    assert flashql("sql", "-c", "SELECT count(*) FROM shop.orders").out.endswith(f"\n{ORDERS - 100}\n")


def test_a_failed_view_makes_sync_exit_with_1(flashql: FlashQL, shop: Origin) -> None:
    flashql("sql", "views.sql")
    shop.execute("DROP TABLE public.products CASCADE")
    outcome = flashql("sync", "--json")
    assert outcome.code == 1
    failed = {record["view"]: record for record in json.loads(outcome.out) if record["outcome"] == "failed"}
    assert set(failed) == {"shop.products"}
    assert "products" in failed["shop.products"]["error"]


def test_run_follows_until_sigterm_and_ends_cleanly(flashql: FlashQL, shop: Origin, tmp_path: Path) -> None:
    flashql("sql", "views.sql")
    with running(["run"], tmp_path) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith("shop.orders running") for line in lines)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.endswith("stopped\n")
    assert shop.query("SELECT active FROM pg_replication_slots WHERE database = current_database()") == [(False,)]
    assert json.loads(flashql("status", "shop.orders", "--json").out)[0]["state"] == "idle"


def test_status_is_watched_until_interrupted(flashql: FlashQL, shop: Origin, tmp_path: Path) -> None:
    flashql("sql", "views.sql")
    with running(["status", "shop.orders", "--watch", "--interval", "0.1"], tmp_path) as process:
        assert process.stdout is not None
        shown = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert shown[:2] == shown[2:]
    assert shown[1].startswith("shop.orders\trealtime\tidle")


@pytest.mark.parametrize(
    ("retained", "safe", "seconds", "text", "alarm"),
    [
        (None, None, None, "", False),
        (5_000, None, None, "keeps 5.0 kB", False),
        (5_000, 95_000, None, "keeps 5.0 kB, 95.0 kB left", False),
        (5_000, 95_000, 3_600, "keeps 5.0 kB, 95.0 kB left, lost in 60 min", False),
        (5_000, 95_000, 3_599, "! keeps 5.0 kB, 95.0 kB left, lost in 59 min", True),
        (95_000, 5_000, None, "! keeps 95.0 kB, 5.0 kB left", True),
        (95_000, -7, 0, "! keeps 95.0 kB, 0 B left, lost in 0 s", True),
    ],
)
def test_status_warns_of_a_slot_that_may_be_lost(
    retained: int | None, safe: int | None, seconds: int | None, text: str, alarm: bool
) -> None:
    view = View("shop", "orders", Persistence.REALTIME, "primary", "SELECT 1", ())
    job = replace(blank(view), retained_bytes=retained, safe_bytes=safe, seconds_to_loss=seconds)
    assert (slot_text(job), is_nearly_lost(job)) == (text, alarm)


def test_doctor_finds_a_table_without_a_key(flashql: FlashQL, shop: Origin) -> None:
    healthy = flashql("doctor", "primary")
    assert healthy.code == 0, healthy.out
    assert "This origin is ready." in healthy.out
    shop.execute("CREATE TABLE public.notes (body text)")
    findings = json.loads(flashql("doctor", shop.dsn, "--json").out)
    lacking = [finding for finding in findings if not finding["ok"]]
    assert len(lacking) == 1
    assert "notes" in lacking[0]["name"]
    assert "REPLICA IDENTITY" in lacking[0]["remedy"]
    told = flashql("doctor", "primary")
    assert told.code == 1
    assert lacking[0]["remedy"].splitlines()[0] in told.out


def test_a_scope_is_started_shown_and_deleted(flashql: FlashQL, shop: Origin, tmp_path: Path) -> None:
    flashql("sql", "views.sql")
    assert flashql("scope", "status").out.split("\t")[:2] == ["id", "state"]
    done = flashql("scope", "start", "nightly", "shop.*", "--wait", "--json")
    assert done.code == 0, done.err
    assert {one["view"]: one["state"] for one in json.loads(done.out)} == dict.fromkeys(
        ("shop.customers", "shop.products", "shop.orders"), "synced"
    )
    (shown,) = json.loads(flashql("scope", "status", "--json").out)
    assert (shown["id"], shown["state"], shown["synced"], shown["failed"]) == ("nightly", "synced", 3, 0)
    assert shown["details"]["shop.orders"]["state"] == "synced"
    lines = flashql("scope", "status", "nightly").out.splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [[view, "synced"] for view in sorted(shown["details"])]

    shop.execute("DROP TABLE public.products CASCADE")
    failed = flashql("scope", "start", "nightly", "shop.products", "--force")
    assert failed.code == 1
    assert "shop.products\tfailed" in failed.out
    (shown,) = json.loads(flashql("scope", "status", "nightly", "--json").out)
    assert (shown["state"], shown["failed"]) == ("failed", 1)
    assert shown["last_synced_at"] is not None

    assert flashql("scope", "delete", "nightly") == Outcome(0, "", "")
    assert json.loads(flashql("scope", "status", "--json").out) == []
    for command in ("status", "delete"):
        unknown = flashql("scope", command, "nightly")
        assert (unknown.code, unknown.out) == (1, "")
        assert "there is no scope nightly" in unknown.err
    assert flashql("scope", "start", "nightly", "shop.nothing").code == 1
    assert flashql("scope", "start").code == 2


def test_a_scope_whose_command_is_ended_is_interrupted(flashql: FlashQL, shop: Origin, tmp_path: Path) -> None:
    flashql("sql", "views.sql")
    with shop.connect() as other:
        other.execute("BEGIN; LOCK TABLE public.products")  # whoever reads it waits
        with running(["scope", "start", "s"], tmp_path) as process:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            until(lambda: shop.query(waiting) == [(1,)], "it waits for the table")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        other.execute("ROLLBACK")
    assert process.returncode == 1
    assert err == "Error: interrupted\n"
    (shown,) = json.loads(flashql("scope", "status", "--json").out)
    assert shown["state"] == "interrupted"
    assert shown["details"]["shop.products"]["state"] == "interrupted"
    assert flashql("scope", "start", "s").code == 0


@pytest.mark.parametrize(
    "command",
    [
        "demo", "sql", "sync", "status", "verify", "run", "doctor", "scope start", "scope status", "scope delete",
    ],
)  # fmt: skip
def test_help_teaches_with_examples(flashql: FlashQL, command: str) -> None:
    outcome = flashql(*command.split(), "--help")
    assert outcome.code == 0
    assert "Examples" in outcome.out
    assert f"flashql {command}" in outcome.out


def test_help_and_version(flashql: FlashQL) -> None:
    assert "doctor" in flashql("--help").out
    assert flashql("--version").out.startswith("flashql ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status"], "FLASHQL_DATABASE"),
        (["sql", "-d", ":memory:"], "FILE"),
        (["sql", "no-such-file.sql", "-d", ":memory:"], "no-such-file.sql"),
        (["sync", "-d", ":memory:", "-o", "primary"], "NAME=DSN"),
        (["sync", "-d", ":memory:", "--timeout", "soon"], "timeout"),
        (["fly"], "fly"),
    ],
)
def test_misuse_exits_with_2(flashql: FlashQL, arguments: list[str], words: str) -> None:
    outcome = flashql(*arguments)
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[database", "flashql.toml"),
        ("[databases]\npath = 'a'", "databases"),
        ("[database]\nfile = 'a'", "database.file"),
        ("[database]\npath = 1", "database.path"),
        ("origins = 'x'", "[origins]"),
        ("[origins]\nprimary = 5432", "primary"),
    ],
)
def test_a_malformed_settings_file_exits_with_2(flashql: FlashQL, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "flashql.toml").write_text(text, encoding="utf-8")
    outcome = flashql("status")
    assert outcome.code == 2
    assert words in " ".join(outcome.err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sql", "-d", ":memory:", "-c", "SELEC 1"], "SELEC"),
        (["sql", "-d", ":memory:", "-c", "SELECT * FROM nothing"], "nothing"),
        (["sync", "-d", ":memory:", "shop.orders"], "shop.orders"),
        (["status", "-d", "missing.duckdb"], "missing.duckdb"),
        (["doctor", "nowhere"], "--origin nowhere="),
        (["doctor", "postgresql://me:s3cret@127.0.0.1:1/shop"], "Hint:"),
    ],
)
def test_an_error_is_advice_and_exits_with_1(flashql: FlashQL, arguments: list[str], words: str) -> None:
    outcome = flashql(*arguments)
    assert outcome.code == 1
    assert outcome.err.startswith("Error: ")
    assert words in outcome.err
    assert "Traceback" not in outcome.err
    assert "s3cret" not in outcome.err
    assert outcome.out == ""


def test_a_view_of_an_unknown_origin_says_how_to_name_it(flashql: FlashQL) -> None:
    ddl = "CREATE SCHEMA s WITH (replication_origin = 'crm'); CREATE ORIGIN VIEW s.t AS SELECT 1 AS one"
    outcome = flashql("sql", "-d", "app.duckdb", "-c", ddl)
    assert outcome.code == 1
    assert "FLASHQL_ORIGIN_CRM" in outcome.err


def test_rows_in_a_pipe_are_tab_separated(flashql: FlashQL) -> None:
    query = "SELECT 1 AS a, 'x\ty' AS b, NULL AS c, true AS d UNION ALL SELECT 2, 'z', 3, false ORDER BY a"
    assert flashql("sql", "-d", ":memory:", "-c", query).out == "a\tb\tc\td\n1\tx\\ty\t\ttrue\n2\tz\t3\tfalse\n"


def test_json_keeps_values_exact_and_columns_apart(flashql: FlashQL) -> None:
    query = "SELECT 1.10::DECIMAL(5, 2) AS a, 'NaN'::DOUBLE AS b, 2 AS a, [1, 2] AS c, 'é\"'  AS d, '\\xFF'::BLOB AS e"
    records = json.loads(flashql("sql", "-d", ":memory:", "-c", query, "--json").out)
    assert records == [{"a": "1.10", "b": "NaN", "a_1": 2, "c": [1, 2], "d": 'é"', "e": "\\xff"}]
    assert json.loads(flashql("sql", "-d", ":memory:", "-c", "SELECT 1 WHERE false", "--json").out) == []
    assert len(json.loads(flashql("sql", "-d", ":memory:", "-c", "FROM range(3000)", "--json").out)) == 3000


def test_statements_may_come_from_standard_input(flashql: FlashQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("CREATE TABLE t AS SELECT 7 AS a; FROM t"))
    assert flashql("sql", "-d", ":memory:", "-") == Outcome(0, "a\n7\n", "")


def test_an_interrupted_command_exits_with_1(flashql: FlashQL, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(io.StringIO):
        def read(self, *_: object) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupting())
    outcome = flashql("sql", "-d", ":memory:", "-")
    assert outcome.code == 1
    assert outcome.err.endswith("Error: interrupted\n")


def test_an_empty_result_has_its_header(flashql: FlashQL) -> None:
    assert flashql("sql", "-d", ":memory:", "-c", "SELECT 1 AS one WHERE false").out == "one\n"


def test_settings_come_from_flags_then_environment_then_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flashql.toml").write_text(
        '[database]\npath = "file"\n[origins]\na = "file"\nb = "file"\nc = "file"\n', encoding="utf-8"
    )
    monkeypatch.setenv("FLASHQL_ORIGIN_B", "environment")
    monkeypatch.setenv("FLASHQL_ORIGIN_C", "environment")
    found = load(None, ["c=host=h dbname=x"])
    assert found.database == "file"
    assert found.origins == {"a": "file", "b": "environment", "c": "host=h dbname=x"}
    assert load("flag").database == "flag"


def test_the_database_may_come_from_the_environment(flashql: FlashQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHQL_DATABASE", "from_environment.duckdb")
    assert flashql("sql", "-c", "CREATE TABLE t AS SELECT 1 AS a").code == 0
    assert Path("from_environment.duckdb").exists()
    assert flashql("sql", "-c", "FROM t").out == "a\n1\n"
