"""A call that may take for ever, waited for as long as its caller has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T], name: str) -> T:
    """What the call returns or raises, on a thread of that name.

    Raises `TimeoutError` when it takes longer. The call goes on then, by its own limits, and nobody hears of it.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(min(max(0.0, seconds), threading.TIMEOUT_MAX))
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError(f"{name} took longer than {seconds:.3g} s")
    return results[0]
