"""Listeners: what each is told waits in a buffer of its own, bounded, for a loop, an event loop or a callback's thread.

Whoever tells never waits for whoever listens. When too much waits, messages of one topic that only say how far
something is become one; what cannot be kept even so is left out, counted, and said in the log.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, Self, TypeVar

from flashql.taking import Taken

# This many messages wait one by one. A message is some hundred bytes.
BUFFERED_MESSAGES = 1_000

_log = logging.getLogger(__name__)


class Message(Protocol):
    """What listeners can be told."""

    @property
    def topic(self) -> Hashable | None:
        """What it says how far it is: of one topic only the last counts. None for what must be told by itself."""
        ...

    def following(self, older: Self) -> Self:
        """This message as it stands for an older one of its topic too."""
        ...


M = TypeVar("M", bound=Message)


class Listener(Taken[M]):
    """What one listener is told, in order: an iterator, also an asynchronous one.

    Iteration waits for the next message, and ends after `close` or, when all that waits was taken, after `end`. Any
    thread may tell, take and close. `left_out` counts the messages that were not kept because too many waited.
    """

    def __init__(self, title: str, limit: int = BUFFERED_MESSAGES) -> None:
        super().__init__(title)
        self.left_out = 0
        self._limit = limit
        self._waiting: OrderedDict[int, M] = OrderedDict()  # by number, ascending
        self._number = 0
        self._folding = False  # too much waits: one message of each topic is enough
        self._places: dict[Hashable, int] = {}  # while folding: where the message of a topic waits
        self._ended = False

    # -- what is told

    def tell(self, message: M) -> None:
        """The next message. Returns at once, whatever its taker does; raises nothing."""
        with self._condition:
            if self._ended:
                return
            if len(self._waiting) >= self._limit and not self._folding:
                self._fold()
            self._put(message)
            if len(self._waiting) > self._limit:
                self._leave_out()
            self._wake()

    def _put(self, message: M) -> None:
        topic = message.topic if self._folding else None
        if topic is not None:
            older = self._waiting.pop(self._places.get(topic, -1), None)
            if older is not None:
                message = message.following(older)
            self._places[topic] = self._number
        self._waiting[self._number] = message
        self._number += 1

    def _fold(self) -> None:
        """From now on, until what waits is taken, one message of each topic waits."""
        waiting, self._waiting = self._waiting, OrderedDict()
        self._folding = True
        for message in waiting.values():
            self._put(message)

    def _leave_out(self) -> None:
        """Nothing can be put together any more: the oldest is left out."""
        oldest, gone = self._waiting.popitem(last=False)
        if self._places.get(gone.topic) == oldest:
            del self._places[gone.topic]
        self.left_out += 1
        if self.left_out == 1 or self.left_out % self._limit == 0:
            _log.warning("%s does not keep up: %d messages were left out", self._title, self.left_out)

    def end(self) -> None:
        """No message comes any more; those that wait may be taken."""
        with self._condition:
            self._ended = True
            self._wake()

    # -- what is taken

    def _ready(self) -> bool:
        return self._ended or bool(self._waiting)

    def _next(self) -> M | None:
        if not self._waiting:
            return None
        _, message = self._waiting.popitem(last=False)
        if self._folding and len(self._waiting) <= self._limit // 2:
            self._folding = False
            self._places.clear()
        return message

    # -- its life

    @property
    def is_over(self) -> bool:
        """Whether nothing it could be told would be taken."""
        return self._ended

    def close(self) -> None:
        """End it, once: what waits is dropped, iteration ends, and no callback begins any more."""
        with self._condition:
            self._ended = True
            self._waiting.clear()
            self._wake()


class Handle:
    """What was asked for once and can be given up: `remove()` ends it. Removing what is removed does nothing."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove = remove

    def remove(self) -> None:
        """End it, from any thread, also from within a callback: none begins after this returns."""
        self._remove()
