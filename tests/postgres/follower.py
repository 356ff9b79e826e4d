"""A process that follows an origin under load, seen from the test that kills it."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flashql.lsn import LSN
from tests.fix_postgres import Origin

# Moments: the process has just started; its catalog is open (it connects, makes publication and slot); rows of a
# snapshot come in; its copies have just joined the stream (go-live is what happens around it); it follows.
MOMENTS = ("started", "opened", "copying", "synced", "applied")


class Load:
    """Transactions 1, 2, 3 and so on, one after another, until the block ends; none while `resting` is held."""

    def __init__(self, origin: Origin, transaction: Callable[[int], str]) -> None:
        """`transaction` gives the statements of the one with a number."""
        self.count = 0
        self.ends = [LSN(0)]  # of each transaction: its end, or a little after
        self.resting = threading.Lock()
        self._origin = origin
        self._transaction = transaction
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Load:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, after the transaction under way."""
        self._stopping.set()
        self._thread.join()

    def _write(self) -> None:
        with self._origin.connect() as connection:
            while not self._stopping.wait(0.002):
                with self.resting:
                    connection.execute(self._transaction(self.count + 1).encode())
                    end = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
                    assert end is not None
                    self.ends.append(LSN.parse(end[0]))
                    self.count += 1


class Follower:
    """The process under test, and the words it has said."""

    def __init__(
        self, path: str, dsn: str, script: Path | None = None, module: str = "tests.postgres.follower_process"
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, path, dsn, *([str(script)] if script else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        self.said: set[str] = set()
        self._words: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._words.put(line.strip())
        self._words.put(None)

    def reach(self, moment: str) -> None:
        """Return when it has said this, or something that only comes later."""
        later = MOMENTS[MOMENTS.index(moment) :]
        while moment != "started" and self.said.isdisjoint(later):
            word = self._words.get(timeout=120)
            if word is None:
                assert self.process.stderr is not None
                pytest.fail(f"the process ended by itself: {self.process.stderr.read()}")
            self.said.add(word)

    def kill(self) -> str:
        """End it with SIGKILL; returns how far it had come."""
        assert self.process.poll() is None, "it ended by itself"
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        while (word := self._words.get_nowait()) is not None:
            self.said.add(word)
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        assert "Traceback" not in errors, errors
        return max((word for word in self.said), key=MOMENTS.index, default="started")
