"""How each view's sync stands: its job row, with what is known better than the row has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from flashql import errors
from flashql.catalog import Persistence, View
from flashql.lifecycle import FOLLOWING
from flashql.measuring import followed
from flashql.origins.postgres import PostgresOrigin
from flashql.origins.postgres.slot import slot_name
from flashql.retention import asked, retained_now
from flashql.selecting import Selector, select
from flashql.store import Store
from flashql.store.copies import origin_record
from flashql.store.definitions import views
from flashql.store.jobs import JobStatus, Retained, blank, jobs, last_retained, with_retained
from flashql.store.relations import counted
from flashql.worker import Worker
from flashql.works import Works, fields_of

# How long is waited for an origin that nothing here follows.
_ANSWER_SECONDS = 2.0

# How far the copies of an origin are behind, and what its slot retains; None when it does not say.
_Waiting = tuple[int, Retained] | None


def standing(
    store: Store, origins: Callable[[str], PostgresOrigin], workers: Mapping[str, Worker], selector: Selector
) -> list[JobStatus]:
    """One record per selected view; origins are asked only for slots that wait for nobody's session here."""
    known = jobs(store)
    chosen = select(views(store), selector, strict=False)
    named = {view.origin for view in chosen if view.persistence is Persistence.REALTIME and view.origin}
    waiting = {
        name: _waiting_slot(store, origins, name)
        for name in sorted(named)
        if _slot_waits(store, workers.get(name), name)
    }
    return [_fresh(store, workers, view, known.get(view.relation_id, blank(view)), waiting) for view in chosen]


def _slot_waits(store: Store, worker: Worker | None, origin: str) -> bool:
    """Whether the origin has a slot of ours that no session makes use of."""
    if origin_record(store, origin).slot is None or store.in_memory:
        return False
    return worker is None or not worker.running


def _waiting_slot(store: Store, origins: Callable[[str], PostgresOrigin], origin: str) -> _Waiting:
    with suppress(errors.FlashQLError):
        state = asked(origins(origin), slot_name(store.database_id, origin), _ANSWER_SECONDS)
        if state is not None and state.lost is None:
            lag_bytes = max(0, state.origin_lsn - origin_record(store, origin).applied_lsn)
            return lag_bytes, retained_now(state, last_retained(store, origin))
    return None


def _fresh(
    store: Store, workers: Mapping[str, Worker], view: View, job: JobStatus, waiting: Mapping[str, _Waiting]
) -> JobStatus:
    origin = view.origin or ""
    rows, unfit = counted(store, view)
    job = replace(job, rows=rows, unfit_values=unfit, **fields_of(Works.of(store).now(view.relation_id)))
    job = followed(store, view, job)
    if view.persistence is not Persistence.REALTIME:
        return job
    if origin in waiting and job.slot_id is not None:
        return with_retained(job, waiting[origin])
    worker = workers.get(origin)
    lag = worker.lag_bytes() if worker is not None and job.phase in FOLLOWING else None
    return job if lag is None else replace(job, lag_bytes=lag)
