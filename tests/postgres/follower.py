"""A process that follows an origin, seen from the test that kills it."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

# Moments: the process has just started; its catalog is open (it connects, makes publication and slot); rows of a
# snapshot come in; its copies have just joined the stream (go-live is what happens around it); it follows.
MOMENTS = ("started", "opened", "copying", "synced", "applied")


class Follower:
    """The process under test, and the words it has said."""

    def __init__(self, path: str, dsn: str, script: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.postgres.follower_process", path, dsn, *([str(script)] if script else [])],
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
