"""Status of a file that another process has open for writing: asked over the socket beside it."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pytest
from rich.console import Console

import flashql
from flashql import JobStatus, errors
from flashql.answering import Answers, NobodyAnswers, ask
from flashql.catalog import Persistence, View
from flashql.cli.looking import Look, Looks, Order, in_order, live_table
from flashql.store.jobs import blank
from tests.fix_cli import COMMAND, running
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import ORDERS_VIEW_SQL, make_orders, until

DEFINE = f"""{ORDERS_VIEW_SQL}CREATE ORIGIN VIEW shop.all AS SELECT * FROM public.orders;
"""


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_orders(origin)


def defined(tmp_path: Path, dsn: str) -> Path:
    """A database file with views, closed."""
    file = tmp_path / "app.duckdb"
    with flashql.connect(str(file), origins={"primary": dsn}) as db:
        db.execute(DEFINE)
    return file


def status(tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`flashql status --json` in a process of its own."""
    command = [*COMMAND, "status", "-d", "app.duckdb", "--json", *more]
    return subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip


def jobs(file: Path) -> dict[str, JobStatus]:
    return {one["relation_id"]: JobStatus(**one) for one in ask(str(file), "status", selector=["*"])}


def test_status_of_a_running_process(shop: Origin, proxy: Proxy, tmp_path: Path) -> None:
    """While `flashql run` has the file: its status, its errors, and how far it is behind."""
    file = defined(tmp_path, proxy.dsn)
    with running(["run", "-d", "app.duckdb", "-o", f"primary={proxy.dsn}"], tmp_path) as process:
        assert process.stdout is not None
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        until(lambda: _answers(file) and jobs(file)["shop.orders"].rows == 100, "it runs")
        shop.execute("UPDATE orders SET amount = 7 WHERE id <= 10")
        until(lambda: jobs(file)["shop.orders"].changes == 10, "changes have come")
        until(lambda: jobs(file)["shop.orders"].lag_seconds == 0, "it is up to date")

        told = status(tmp_path)
        assert (told.returncode, told.stderr) == (0, "")
        record = {one["relation_id"]: one for one in json.loads(told.stdout)}["shop.orders"]
        assert record.keys() == {field.name for field in fields(JobStatus)}
        assert (record["state"], record["rows"], record["changes"]) == ("running", 100, 10)
        assert [one["relation_id"] for one in json.loads(status(tmp_path, "shop.a*").stdout)] == ["shop.all"]

        proxy.refuse()
        proxy.cut()
        until(lambda: jobs(file)["shop.orders"].state == "failed", "the network is gone")
        failed = jobs(file)["shop.orders"]
        assert "primary" in (failed.last_error or "")
        assert failed.retry_count >= 1
        assert (failed.lag_seconds or 0) > 0
        assert failed.next_retry_at is None or failed.next_retry_at.tzinfo is not None
        proxy.accept()
        until(lambda: jobs(file)["shop.orders"].state == "running", "it is back")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        drain.join()
    assert not _socket(file).exists()
    assert json.loads(status(tmp_path, "shop.orders").stdout)[0]["state"] == "idle"


def _answers(file: Path) -> bool:
    try:
        ask(str(file), "status", selector="*")
    except NobodyAnswers:
        return False
    return True


def _socket(file: Path) -> Path:
    return file.with_name(file.name + ".sock")


def test_a_terminal_shows_a_live_table_of_a_running_process(shop: Origin, tmp_path: Path) -> None:
    file = defined(tmp_path, shop.dsn)
    with flashql.connect(str(file), origins={"primary": shop.dsn}) as db:
        db.sync.sync()
        db.sync.share_status()
        ours, theirs = pty.openpty()
        command = [*COMMAND, "status", "-d", "app.duckdb", "--watch", "--interval", "0.1", "--sort", "lag"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "TERM": "xterm", "COLUMNS": "100"}
        with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, env=environment) as process:
            os.close(theirs)
            shown = b""
            try:
                while b"rows/s" not in shown:  # which takes two looks
                    shown += os.read(ours, 4096)
                    assert len(shown) < 1 << 20
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == 0
            finally:
                process.kill()
                os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))
    assert "behind" in text
    assert re.search(r"shop\.orders +running", text)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100


def test_a_socket_left_by_a_killed_process_is_no_hindrance(shop: Origin, tmp_path: Path) -> None:
    file = defined(tmp_path, shop.dsn)
    with running(["run", "-d", "app.duckdb", "-o", f"primary={shop.dsn}"], tmp_path) as process:
        until(lambda: _answers(file), "it answers")
        process.kill()
        process.wait()
    assert _socket(file).exists()
    assert not _answers(file)
    left = status(tmp_path, "shop.orders", "-o", f"primary={shop.dsn}")  # it reads the file now
    assert left.returncode == 0, left.stderr
    with flashql.connect(str(file), origins={"primary": shop.dsn}) as db:
        with pytest.raises(NobodyAnswers):
            ask(str(file), "status", selector="*")
        db.sync.share_status()
        assert set(jobs(file)) == {"shop.all", "shop.orders"}
    assert not _socket(file).exists()


def test_a_process_that_does_not_share_is_named_in_advice(shop: Origin, tmp_path: Path) -> None:
    file = defined(tmp_path, shop.dsn)
    code = f"import flashql, time; db = flashql.connect({str(file)!r}); print('open', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            told = status(tmp_path)
            assert told.returncode == 1
            assert "share_status" in told.stderr
        finally:
            process.kill()


def test_only_its_user_may_ask_and_only_while_it_is_shared(database_path: str) -> None:
    file = Path(database_path)
    with flashql.connect(database_path) as db:
        shared = db.sync.share_status()
        assert db.sync.share_status() is shared
        mode = _socket(file).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert ask(database_path, "status", selector="*") == []
        shared.close()
        shared.close()
        with pytest.raises(NobodyAnswers):
            ask(database_path, "status", selector="*")
        with db.sync.share_status() as again:
            assert again is not shared
            assert ask(database_path, "status", selector="*") == []
    with pytest.raises(errors.DatabaseError, match="closed"):
        db.sync.share_status()
    with flashql.connect(database_path, read_only=True) as reader, pytest.raises(errors.DatabaseReadOnly):
        reader.sync.share_status()
    with flashql.connect() as memory, pytest.raises(errors.NotSupported):
        memory.sync.share_status()


def test_a_file_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("er" * 40)
    folder.mkdir(parents=True)
    file = folder / "app.duckdb"
    with flashql.connect(str(file)) as db:
        db.sync.share_status()
        assert ask(str(file), "status", selector="*") == []
        assert _socket(file).exists()
    assert not _socket(file).exists()
    with flashql.connect(str(folder / ("n" * 90))) as db, pytest.raises(errors.NotSupported, match="too long"):
        db.sync.share_status()


def test_a_link_to_the_file_leads_to_the_same_socket(tmp_path: Path, database_path: str) -> None:
    (tmp_path / "link.duckdb").symlink_to(database_path)
    with flashql.connect(database_path) as db:
        db.sync.share_status()
        assert ask(str(tmp_path / "link.duckdb"), "status", selector="*") == []


def test_many_may_ask_at_once_and_the_silent_keep_nobody_waiting_for_ever(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    with Answers(path, {"status": lambda: "well"}):
        silent = []
        for _ in range(8):
            one = socket.socket(socket.AF_UNIX)
            one.connect(f"{path}.sock")
            silent.append(one)
        began = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            assert list(pool.map(lambda _: ask(path, "status"), range(40))) == ["well"] * 40
        assert time.monotonic() - began < 14
        for one in silent:
            one.close()


@pytest.mark.parametrize(
    "sent", [b"", b"\n", b"nonsense\n", b"[]\n", b'{"ask": []}\n', b'{"ask": "sync"}\n', b"x" * 200_000, b"{}"]
)
def test_what_is_no_question_gets_advice_or_nothing(tmp_path: Path, sent: bytes) -> None:
    path = str(tmp_path / "file")
    with Answers(path, {"status": lambda: "well"}):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(f"{path}.sock")
            try:
                asking.sendall(sent)
                asking.shutdown(socket.SHUT_WR)
                answer = asking.recv(1 << 16)
            except OSError:
                answer = b""
        assert not answer or "knows no such question" in json.loads(answer)["error"]
        assert ask(path, "status") == "well"


def test_an_error_comes_as_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = str(tmp_path / "file")

    def fails() -> None:
        raise errors.OriginBusy("it is busy", hint="Wait.")

    def breaks() -> None:
        raise RuntimeError("a fault")

    with Answers(path, {"fails": fails, "breaks": breaks}):
        with pytest.raises(errors.FlashQLError, match="it is busy") as raised:
            ask(path, "fails")
        assert raised.value.hint == "Wait."
        with pytest.raises(NobodyAnswers):
            ask(path, "breaks")
    assert "a fault" in caplog.text


def test_a_reader_that_stands_still_keeps_replication_from_nothing(shop: Origin, database_path: str) -> None:
    """Eight who ask and never read their answers, while changes come."""
    with flashql.connect(database_path, origins={"primary": shop.dsn}) as db:
        db.execute(DEFINE)
        db.sync.sync()
        db.sync.share_status()
        asking = []
        for _ in range(8):
            one = socket.socket(socket.AF_UNIX)
            one.connect(f"{Path(database_path).resolve()}.sock")
            one.sendall(b'{"ask": "status", "selector": "*"}\n')
            asking.append(one)
        shop.execute("INSERT INTO orders SELECT n, n FROM generate_series(101, 200) AS n")
        db.sync.wait(timeout=5)
        assert db.execute("SELECT count(*) FROM shop.orders").fetchall() == [(200,)]
        for one in asking:
            one.close()


# -- the live table


def a_job(name: str, **changed: object) -> JobStatus:
    view = View("shop", name, Persistence.REALTIME, "primary", "SELECT 1", ())
    return replace(blank(view), **{"state": "running", **changed})  # type: ignore[arg-type]


FULL = {
    "state": "failed",
    "lag_bytes": 123_456_789,
    "lag_seconds": 72.0,
    "retry_count": 3,
    "last_error": "origin primary does not answer: " * 3,
    "retained_bytes": 5_000_000_000,
    "safe_bytes": 1_000_000,
    "seconds_to_loss": 1800,
    "rows": 12_345_678,
    "changes": 10,
}


def drawn(looks: list[Look], width: int) -> list[str]:
    out = Console(width=width, record=True, file=io.StringIO())
    out.print(live_table(looks, width))
    return out.export_text().splitlines()


@pytest.mark.parametrize(
    ("width", "kept", "left"),
    [
        (140, "view state lag behind rows/s rows retries slot lost error", ""),
        (100, "view state lag behind rows/s slot lost error", "retries"),
        (60, "view state behind error", "lag"),
        (34, "view state behind", "error"),
        (30, "view state", "behind"),
        (16, "view", "state"),
    ],
)
def test_a_narrow_terminal_leaves_out_what_counts_least(width: int, kept: str, left: str) -> None:
    lines = drawn([Look(a_job("orders", **FULL), 1234.5), Look(a_job("customers"), None)], width)
    assert max(len(line.rstrip()) for line in lines) <= width
    for word in kept.split():
        assert word in lines[0], lines
    assert not left or left not in lines[0]
    assert len([line for line in lines if "shop." in line]) == 2


def test_columns_that_say_nothing_are_left_out() -> None:
    assert drawn([Look(a_job("orders"), None)], 100)[0].split() == ["view", "state"]


def test_rates_are_differences_between_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    looks = Looks()

    def rate(changes: int | None) -> float | None:
        return looks.look([a_job("orders", changes=changes)])[0].rate

    assert rate(100) is None
    now[0] = 2.0
    assert rate(300) == 100.0
    now[0] = 3.0
    assert rate(5) is None  # another process has the file now
    now[0] = 4.0
    assert rate(5) == 0.0
    assert rate(None) is None


def test_views_are_sorted_as_asked() -> None:
    looks = [
        Look(a_job("b", state="synced"), 5.0),
        Look(a_job("a", lag_seconds=1.0), 1.0),
        Look(a_job("c", state="failed", lag_seconds=9.0), None),
    ]
    order: Callable[[Order], list[str]] = lambda by: [one.job.name for one in in_order(looks, by)]  # noqa: E731
    assert order(Order.VIEW) == ["a", "b", "c"]
    assert order(Order.STATE) == ["c", "a", "b"]
    assert order(Order.LAG) == ["c", "a", "b"]
    assert order(Order.RATE) == ["b", "a", "c"]
