"""The logs of `flashql run`: each line parses, says what happened, and holds no secret."""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

import flashql
from flashql.answering import NobodyAnswers, ask
from flashql.cli.journal import Journal, LogFormat, LogLevel
from flashql.events import ConnectivityChanged, Disconnected, DriftFound, SyncApplied, SyncFailed, SyncRetry
from tests.fix_cli import running
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import ORDERS_VIEW_SQL, make_orders, until

SECRET = "hunter2-s3cret"


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_orders(origin)


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """What was written to the standard output since the last call, by lines."""
    return lambda: capsys.readouterr().out.splitlines()


class Lines:
    """The lines of a process, as objects, as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.all: list[dict[str, Any]] = []
        self._out = process.stdout
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        assert self._out is not None
        for line in self._out:
            self.all.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.all if line["event"] == event]


def test_a_cut_shows_in_the_log_the_status_and_the_metrics(shop: Origin, proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with flashql.connect(str(file), origins={"primary": proxy.dsn}) as db:
        db.execute(ORDERS_VIEW_SQL)
    dsn = make_conninfo(proxy.dsn, password=SECRET)
    arguments = ["run", "-d", "app.duckdb", "-o", f"primary={dsn}", "--log-format", "json", "--metrics-port", "0"]
    with running(arguments, tmp_path) as process:
        lines = Lines(process)
        until(lambda: lines.of("metrics"), "it says where its metrics are")
        url = lines.of("metrics")[0]["url"]

        def told() -> dict[str, Any]:
            try:
                (found,) = ask(str(file), "status", selector="shop.orders")
            except NobodyAnswers:
                return {}
            return dict(found)

        def measured() -> str:
            with urllib.request.urlopen(url, timeout=10) as response:
                return str(response.read().decode())

        until(lambda: told().get("rows") == 100 and told()["lag_seconds"] == 0, "it follows")
        assert 'flashql_origin_connected{origin="primary"} 1.0' in measured()
        until(lambda: lines.of("connected"), "the log says so")
        before = len(lines.all)
        proxy.refuse()
        proxy.cut()
        until(lambda: len(lines.of("sync_retry")) >= 2, "the log says that it is tried again")
        until(lambda: told().get("state") == "failed", "the status says so")
        until(lambda: 'flashql_origin_connected{origin="primary"} 0.0' in measured(), "the metrics say so")
        retry = lines.of("sync_retry")[1]
        assert (retry["level"], retry["origin"]) == ("warning", "primary")
        assert retry["attempt"] >= 1
        assert retry["delay_seconds"] > 0
        assert "primary" in retry["error"]
        assert any(line["event"] == "disconnected" for line in lines.all[before:])
        proxy.accept()
        until(lambda: told().get("state") == "running", "it is back")
        until(lambda: len(lines.of("connected")) >= 2, "the log says that it is back")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        lines.thread.join()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert lines.all[-1]["event"] == "stopped"
    for line in lines.all:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
        assert line["level"] in set(LogLevel)
        assert SECRET not in json.dumps(line)
    times = [line["time"] for line in lines.of("connected")]
    assert times == sorted(times)


def test_an_event_is_a_line_with_its_fields(written: Callable[[], list[str]]) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC)
    journal = Journal(LogFormat.JSON, LogLevel.INFO)
    journal.event(
        SyncRetry(at=at, origin="primary", attempt=2, delay_seconds=0.5, error="it does not answer\nHint: Wait.")
    )
    journal.event(SyncFailed(at=at, view="shop.orders", phase="pull", lsn="0/1", error="gone"))
    assert [json.loads(line) for line in written()] == [
        {
            "time": "2026-01-02T03:04:05.678Z", "level": "warning", "event": "sync_retry", "origin": "primary",
            "attempt": 2, "delay_seconds": 0.5, "error": "it does not answer", "hint": "Wait.",
        },
        {
            "time": "2026-01-02T03:04:05.678Z", "level": "error", "event": "sync_failed", "view": "shop.orders",
            "phase": "pull", "lsn": "0/1", "error": "gone",
        },
    ]  # fmt: skip


def test_text_is_one_line_of_words(written: Callable[[], list[str]]) -> None:
    journal = Journal(LogFormat.TEXT, LogLevel.INFO)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    journal.event(SyncFailed(at=at, view="shop.orders", error='no "such"\ntable'))
    assert written() == ['2026-01-02T00:00:00.000Z ERROR sync_failed view=shop.orders error="no \\"such\\"\\ntable"']


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", 5), ("info", 4), ("warning", 3), ("error", 1)],
)
def test_a_level_leaves_out_what_matters_less(written: Callable[[], list[str]], level: str, shown: int) -> None:
    journal = Journal(LogFormat.JSON, LogLevel(level))
    journal.event(SyncApplied(origin="primary", rows=1, seconds=0.1))
    journal.event(ConnectivityChanged(origin="primary", online=True))
    journal.event(Disconnected(origin="primary", error="cut"))
    journal.event(DriftFound(view="shop.orders", rows=3))
    journal.event(SyncFailed(view="shop.orders", error="gone"))
    assert len(written()) == shown


def test_records_of_logging_and_their_tracebacks_come_too(written: Callable[[], list[str]], database_path: str) -> None:
    with flashql.connect(database_path) as db:
        with Journal(LogFormat.JSON, LogLevel.INFO, [f"postgresql://app:{SECRET}@nowhere/shop"]).of(db):
            try:
                raise RuntimeError(f"connecting with {SECRET} failed")
            except RuntimeError:
                logging.getLogger("flashql.session").exception("a fault")
            logging.getLogger("flashql.session").debug("not this")
            logging.getLogger("elsewhere").warning("postgresql://me:tops3cret@host/db and password=tops3cret x")
        logging.getLogger("flashql.session").info("nor this, any more")
    fault, other = [json.loads(line) for line in written()]
    assert (fault["event"], fault["level"], fault["logger"]) == ("log", "error", "flashql.session")
    assert "RuntimeError" in fault["traceback"]
    assert SECRET not in json.dumps(fault)
    assert other["message"] == "postgresql://me:***@host/db and password=*** x"


def test_a_reader_that_has_gone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    Journal(LogFormat.TEXT, LogLevel.INFO).write(LogLevel.INFO, "stopped")
