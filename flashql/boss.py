"""What a session asks of, and tells, whoever runs it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from flashql import errors
from flashql.lsn import LSN
from flashql.measuring import Meter


class Boss(Protocol):
    """What a session asks of, and tells, its worker."""

    meter: Meter

    @property
    def requested(self) -> int:
        """The number of the latest request to look again."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether the session should end."""
        ...

    @property
    def awaited(self) -> LSN:
        """The farthest position that somebody has waited for."""
        ...

    @property
    def halted(self) -> frozenset[str]:
        """Views to leave alone though they are enabled."""
        ...

    def outcome(self, request: int, live: Collection[str], failed: dict[str, errors.FlashQLError]) -> None:
        """The session has acted on everything asked for up to `request`."""

    def reached(self, lsn: LSN) -> None:
        """The copies contain everything the origin committed before `lsn`."""
