"""Tables whose copying failed: when they are tried again, and why no more until somebody asks for them."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flashql import errors, recopies
from flashql.catalog import CopyName
from flashql.copying import Copied
from flashql.events import Events, SyncRetry
from flashql.joining import mark_failed
from flashql.lifecycle import Phase
from flashql.needing import Need
from flashql.origins.postgres import PostgresOrigin
from flashql.retrying import Failures
from flashql.store import Store
from flashql.store.copies import delete_copy


class Setbacks:
    """Of one session; used by its thread. Passes that fail in a row are paced by the origin's retry policy."""

    def __init__(self, store: Store, origin: PostgresOrigin, slot: str) -> None:
        self._store = store
        self._origin = origin
        self._slot = slot
        self._failures = Failures(origin.retry)
        self._retry_at: float | None = None
        self._given_up: dict[CopyName, errors.FlashQLError] = {}

    @property
    def due(self) -> bool:
        """Whether it is time to try again."""
        return self._retry_at is not None and time.monotonic() >= self._retry_at

    def given_up(self, table: CopyName) -> errors.FlashQLError | None:
        """Why the table is not tried again by itself; None when it may be."""
        return self._given_up.get(table)

    def begin(self) -> None:
        """What failed is tried again now."""
        self._retry_at = None

    def asked(self) -> None:
        """Somebody asks for views: what was given up is tried again."""
        if self._given_up:
            self._given_up.clear()
            self._failures.forget()

    def overcome(self) -> None:
        """A pass has succeeded."""
        self._failures.forget()

    def note(self, failed: Sequence[Copied], needs: Mapping[CopyName, Need]) -> dict[str, errors.FlashQLError]:
        """These tables of one pass could not be copied: the errors by relation id, which their jobs show too."""
        delay: float | None = None
        if any(done.error is not None and done.error.retry is not errors.Retry.MANUAL for done in failed):
            delay = self._failures.add(time.monotonic(), random.random())  # noqa: S311 - not a secret
            self._retry_at = time.monotonic() + delay if delay is not None else None
        found: dict[str, errors.FlashQLError] = {}
        for done in failed:
            assert done.error is not None
            with self._store.transaction() as writer:
                delete_copy(writer, replace(done.copy, local_table=None))
            need = needs.get(done.copy.of)
            found |= self._failed(done, done.error, need, delay)
        return found

    def _failed(
        self, done: Copied, error: errors.FlashQLError, need: Need | None, delay_seconds: float | None
    ) -> dict[str, errors.FlashQLError]:
        name = done.copy.of
        if error.retry is errors.Retry.RECOPY:
            recopies.note(self._slot, name[:2], done.copy.id, error.message)
        if error.retry is errors.Retry.MANUAL:
            delay_seconds = None
        elif delay_seconds is None:
            error = self._given_up[name] = self._failures.spent(error, time.monotonic())
        if need is None:
            return {}
        due = None if delay_seconds is None else datetime.now(UTC) + timedelta(seconds=delay_seconds)
        mark_failed(self._store, need.views, error, due)
        if delay_seconds is not None:
            self._tell(need, error, delay_seconds)
        return {view.relation_id: error for view in need.views}

    def _tell(self, need: Need, error: errors.FlashQLError, delay_seconds: float) -> None:
        for view in need.views:
            Events.of(self._store).tell(
                SyncRetry(
                    view=view.relation_id,
                    origin=self._origin.name,
                    phase=Phase.CLONE,
                    attempt=self._failures.count,
                    delay_seconds=delay_seconds,
                    error=str(error),
                )
            )
