"""SIGINT and SIGTERM as one exception, at a good moment: whatever is open closes properly on the way out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block the first SIGINT or SIGTERM raises `KeyboardInterrupt`.

    Later ones are ignored until the block ends: an impatient second Ctrl-C must not break the closing that the
    first one began. For the main thread only.
    """

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


@contextmanager
def deferred() -> Iterator[None]:
    """SIGINT and SIGTERM that come within the block take effect at its end: for steps that must not be torn.

    Outside the main thread, where signals never arrive, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda signum, _: arrived.append(signum))
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        if arrived:
            signal.raise_signal(arrived[0])
