"""Commands of `flashql` in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-m", "flashql.cli"]


@contextmanager
def running(arguments: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, which the block ends."""
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
