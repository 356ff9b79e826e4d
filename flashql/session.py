"""One connection's worth of following an origin, from looking at what is needed to the stream's end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from flashql import detaching, errors, joining, needing, recopies
from flashql.apply import Incomplete
from flashql.attaching import attach, publish, require_alone
from flashql.boss import Boss
from flashql.catalog import Copy, CopyName, CopyState, Table, View
from flashql.copying import Copied, CopyPass
from flashql.events import Connected, Events
from flashql.feeding import Feed, Stopped
from flashql.filling import Fills
from flashql.following import MISFIT, CopyBroken, Follower
from flashql.hooks import syncing
from flashql.lifecycle import Event, Phase, moved
from flashql.lsn import LSN
from flashql.maintenance import Maintenance
from flashql.moments import Moment, Moments
from flashql.needing import Need, copies_of, tables_of
from flashql.origins.base import NeedsText, Received
from flashql.origins.postgres.origin import HeldSlot, PostgresOrigin
from flashql.origins.postgres.slot import slot_name
from flashql.origins.postgres.stream import Stream
from flashql.retention import Watch
from flashql.setbacks import Setbacks
from flashql.store import Store
from flashql.store.copies import copies
from flashql.store.sets import committed_sets
from flashql.subscribers import Subscribers
from flashql.telling import tell_cloned
from flashql.widening import widened_by_waiting
from flashql.works import Works

# The origin's catalog is compared this often, since many changes of a table say nothing in the stream.
_RECONCILE_SECONDS = 60.0
# At a description of a table in the stream it is compared too, but not more often than this.
_RECONSIDER_SECONDS = 2.0


class Session:
    """Follows an origin until it is told to stop, nothing is left to follow, or something fails (raised)."""

    def __init__(self, store: Store, origin: PostgresOrigin, boss: Boss, *, binary: bool) -> None:
        self._store = store
        self._origin = origin
        self._boss = boss
        self._binary = binary  # whether values may come in binary form
        self._slot = slot_name(store.database_id, origin.name)
        self._maintenance = Maintenance.of(store)
        self._events = Events.of(store)
        self._stream: Stream | None = None
        self._follower: Follower | None = None
        self._pass: CopyPass | None = None
        self._held: HeldSlot | None = None  # the slot just made, while its snapshot can be used
        self._active: list[View] = []
        self._tables: dict[CopyName, Table] = {}
        self._failed: dict[str, errors.FlashQLError] = {}
        self._setbacks = Setbacks(store, origin, self._slot)
        self._request = -1
        self._looked = 0.0
        self._feed: Feed | None = None
        self._received: Received | None = None
        self._moments = Moments(origin, self._slot, self._go_on)
        self._fills = Fills(store, origin, self._slot, self.interrupt, self._without_broken)

    # -- asked by the worker, from other threads

    def interrupt(self) -> None:
        """Make the session look up at once."""
        if self._stream is not None:
            self._stream.interrupt()

    def ask_position(self) -> None:
        """Make the origin say how far it has sent."""
        if self._stream is not None:
            self._stream.ask_position()

    def at(self, moment: Moment) -> None:
        """Act at a moment, as soon as the stream has come to it."""
        self._moments.ask(moment)
        self.interrupt()

    def lag_bytes(self) -> int | None:
        """WAL beyond what the copies contain, as of the origin's last message."""
        received, feed = self._received, self._feed
        return None if received is None or feed is None else max(0, received.origin_lsn - feed.position)

    @property
    def followed(self) -> bool:
        """Whether it got anywhere: then the next failure is a new one."""
        return self._feed is not None and self._feed.followed

    @property
    def connected(self) -> bool:
        """Whether its stream has begun."""
        return self._stream is not None

    @property
    def _is_streaming(self) -> bool:
        return self._stream is not None and self._pass is None

    def _brought(self) -> int | None:
        """How often the stream brought something; None while a copy is made, or a transaction has come in part."""
        feed = self._feed
        return None if feed is None or feed.amid_transaction or not self._is_streaming else feed.brought

    # -- the session

    def run(self) -> None:
        """Follow until the worker is stopping or nothing is left to follow."""
        try:
            joining.clear_unfinished(self._store, self._origin.name)
            if not self._look():
                return
            with Watch(self._store, self._origin, self._slot, lambda: not self._is_streaming, self._brought):
                self._connect()
                self._start_pass()
                while not self._boss.stopping:
                    if not self._reconsider():
                        return
                    self._moments.begin()
                    self._step()
        except Stopped:
            pass
        finally:
            self._close()

    def _reconsider(self) -> bool:
        """Look again when asked, or when it is time; False when nothing is left to follow."""
        now = time.monotonic()
        # What could not be copied may have changed: it is looked at again before it is tried again.
        due = self._pass is None and self._setbacks.due
        described = self._follower is not None and self._follower.described
        if described and now - self._looked > _RECONSIDER_SECONDS:
            due = True
        asked = self._boss.requested != self._request
        if asked:
            self._setbacks.asked()
            self._fills.asked()
        if due or asked or now - self._looked > _RECONCILE_SECONDS:
            if not self._look():
                return False
            self._start_pass()
        return True

    def _close(self) -> None:
        self._moments.close()
        if self._pass is not None:
            self._pass.cancel()
        for part in (self._fills, self._held, self._stream, self._feed):
            if part is not None:
                part.close()

    def _look(self) -> bool:
        """See what the active views need and make the origin publish it; False when nothing is active."""
        self._request, self._looked = self._boss.requested, time.monotonic()
        if self._follower is not None:
            self._follower.described = False
        Subscribers.of(self._store).look()
        self._active = joining.active_views(self._store, self._origin.name, self._boss.halted)
        if not self._active:
            self._boss.outcome(self._request, (), {})
            return False
        with self._store.transaction() as writer:
            joining.park(writer, self._store, self._origin.name, self._active)
        self._failed = self._maintenance.leaving.left(view.relation_id for view in self._active)
        tables = tables_of(self._origin, needing.needs(self._active), self._fail)
        self._needs: dict[CopyName, Need] = needing.needs(self._sound())
        self._tables = {name: table for name, table in tables.items() if name in self._needs}
        self._followed = {(schema, name) for schema, name, _ in self._tables}
        if self._stream is None:
            require_alone(self._store, self._origin, self._slot)
        # Before it is mended: whatever happens next, it must be known that the publication had holes.
        lost = detaching.doubt(self._store, self._origin.name, self._slot, self._origin.published(self._slot))
        detaching.claim(self._store, self._origin.name, self._slot)
        self._publication = publish(self._store, self._origin, self._slot, self._followed)
        if lost and self._stream is not None:
            raise errors.SlotLost(f"origin {self._origin.name}: publication {self._slot} was dropped there")
        if self._binary and not needing.comes_in_binary(self._store, self._origin.name, self._needs, self._tables):
            if self._stream is not None:
                raise NeedsText("a table has a column that cannot be read in binary form")
            self._binary = False
        return True

    def _fail(self, views: Sequence[View], error: errors.FlashQLError) -> None:
        joining.mark_failed(self._store, views, error)
        self._failed.update({view.relation_id: error for view in views})

    def _go_on(self, _waited_seconds: float = 0.0) -> None:
        if self._boss.stopping:
            raise errors.OriginBusy(f"following origin {self._origin.name} was stopped")

    def _connect(self) -> None:
        """Start the stream where the last local commit was."""
        attached = attach(self._store, self._origin, self._slot, self._followed, self._go_on, binary=self._binary)
        self._stream, self._held = attached.stream, attached.held
        self._events.reachable(self._origin.name, True)
        self._events.tell(Connected(origin=self._origin.name, lsn=str(attached.start)))
        self._publication = attached.publication or self._publication
        self._follower = Follower(self._store, self._origin.name, attached.start, binary=self._binary)
        self._feed = Feed(
            self._origin.name,
            self._stream,
            self._follower,
            self._moments,
            folder=self._store.folder,
            works=Works.of(self._store),
            meter=self._boss.meter,
            events=self._events,
            stopping=lambda: self._boss.stopping,
            reached=self._boss.reached,
        )
        lost = {"last_error": attached.lost} if attached.lost else {}
        joining.mark(self._store, self._active, lambda _: {"slot_id": self._slot, **lost})

    def _start_pass(self) -> None:
        """Let views show the live copies that serve them, and begin to copy what none serves."""
        self._without_broken(self._change_over)
        self._maintenance.try_again()
        if self._pass is None:
            self._setbacks.begin()
            self._copy_missing()
        self._report()

    def _copy_missing(self) -> None:
        assert self._follower is not None
        origin, live = self._origin.name, self._live_copies()
        lacking = {name: table for name, table in self._tables.items() if name not in live}
        for name in list(lacking):
            if spent := self._setbacks.given_up(name):
                self._failed.update({view.relation_id: spent for view in self._needs[name].views})
                del lacking[name]
            elif why := needing.why_no_more(self._store, origin, self._slot, lacking[name]):
                del lacking[name]
                self._give_up(self._needs[name], why)
        wanted = copies_of(self._store, origin, self._needs, lacking, self._publication, self._fail)
        if wanted:
            joining.begin(self._store, [copy for copy, _ in wanted])
            self._join_empty(wanted)
        if wanted:
            views = [view for copy, _ in wanted for view in self._needs[copy.of].views]
            joining.mark(
                self._store, views, lambda job: {"state": moved(job.state, Event.START).value, "phase": Phase.CLONE}
            )
            self._follower.reload()
            held, self._held = self._held, None
            readers = needing.readers(self._needs)
            self._pass = CopyPass(self._store, self._origin, self._slot, wanted, held, readers, self.interrupt)
        elif self._held is not None:
            self._held.close()
            self._held = None

    def _join_empty(self, wanted: list[tuple[Copy, Table]]) -> None:
        """Partial copies without sets need no snapshot: they are whole as they are. Those are no longer wanted."""
        assert self._follower is not None and self._feed is not None
        if empty := [one for one in wanted if one[0].restriction and not committed_sets(self._store, one[0])]:
            with self._store.transaction() as writer:
                done = [(Copied(joining.make_empty(writer, copy)), table) for copy, table in empty]
            self._without_broken(lambda: self._join(done))
            self._follower.reload()
            wanted[:] = [one for one in wanted if one not in empty]

    def _give_up(self, need: Need, why: str) -> None:
        """The table is not copied again: its views fail, and keep the rows they show."""
        with self._store.transaction() as writer:
            detaching.detach(writer, self._store, self._origin.name, {need.table})
        message = f"{'.'.join(need.table)} was copied again {recopies.AT_MOST} times within an hour; now {why}"
        hint = "End what does that at the origin. It is copied again when the hour is over."
        self._fail(need.views, errors.OriginError(message, hint=hint))

    def _without_broken(self, act: Callable[[], None]) -> None:
        """Do it, and again without each view whose query turns out to fail."""
        while True:
            try:
                return act()
            except errors.ViewBroken as broken:
                self._failed[broken.relation_id] = broken  # it stands still now

    def _change_over(self) -> None:
        """Active views whose table has a live copy show it (again): after resume, or a view made beside others."""
        assert self._follower is not None
        with syncing(Phase.PULL, self._origin.name), self._store.transaction() as writer:
            now = joining.active_views(self._store, self._origin.name, self._boss.halted)
            live = self._live_copies()
            for name, copy in live.items():
                needing.remember(writer, copy, self._tables[name])
            for view in self._sound():
                if view in now and joining.serve(view, live):  # not dropped or defined anew since we looked
                    joining.follow(writer, self._store, view, live, self._follower.applied_lsn)
            joining.level(writer, self._store, self._origin.name)

    def _live_copies(self) -> dict[CopyName, Copy]:
        """The copies that follow the stream with all that their active views need."""
        found: dict[CopyName, Copy] = {}
        for copy in copies(self._store, self._origin.name):
            need, table = self._needs.get(copy.of), self._tables.get(copy.of)
            if need and table and needing.serves(copy, need, table):
                found.setdefault(copy.of, copy)
        return found

    def _sound(self) -> list[View]:
        """The active views that nothing at the origin keeps from following it."""
        return [view for view in self._active if view.relation_id not in self._failed]

    def _report(self) -> None:
        """Tell the worker which views follow the stream now, unless some are still being copied."""
        live = self._live_copies()
        names = [one.relation_id for one in self._sound() if one.copies <= live.keys() and self._fills.settled(one)]
        self._boss.outcome(self._request, names, self._failed | self._fills.failed)

    def _fill(self) -> None:
        """See to the sets of views with parameters that are asked for, or no longer."""
        assert self._feed is not None and self._follower is not None
        with syncing(Phase.CLONE, self._origin.name):
            changed = self._fills.step(self._sound(), self._tables, self._feed.position)
        if changed:
            self._follower.reload()
            self._report()

    def _step(self) -> None:
        """Take what came, apply it, confirm it; let a finished pass join."""
        assert self._stream is not None and self._feed is not None
        received = self._stream.take(0.2 if self._pass or self._fills.busy else 1.0, self._feed.enough_bytes)
        self._received = received
        try:
            self._feed.take(received)
            self._fill()
            late = len(received.frames) and self._feed.position < self._boss.awaited
            if late or self._moments.lsn is not None or self._feed.position < (self._fills.waits_for or LSN(0)):
                self._stream.ask_position()
            if self._pass is not None and self._pass.finished:
                (self._finish_pass if self._feed.position >= self._pass.lsn else self._stream.ask_position)()
        except CopyBroken as broken:
            self._break(broken)
            raise broken.reason from broken
        except Incomplete as incomplete:
            detaching.set_aside(self._store, incomplete.copy)
            raise
        except errors.ViewBroken as broken:
            self._failed[broken.relation_id] = broken  # it stands still now
            raise

    def _finish_pass(self) -> None:
        """Let what was copied join the stream; what failed is tried again later, or not at all."""
        assert self._pass is not None and self._follower is not None
        finished, self._pass = self._pass, None
        # A copy that is no longer being made was given up meanwhile, when its last view was dropped.
        making = {copy.id for copy in copies(self._store, self._origin.name) if copy.state is CopyState.COPYING}
        good = []
        for done, (_, table) in zip(finished.results, finished.tables, strict=True):
            if done.error is None and done.copy.id in making and done.copy.of in self._needs:
                good.append((done, table))
                self._tables[done.copy.of] = table  # as it was when its rows were read
            else:
                finished.discard(done)
        if failed := [done for done in finished.results if done.error is not None]:
            self._boss.meter.failed_copies += len(failed)
            self._failed.update(self._setbacks.note(failed, self._needs))
        if good:
            self._go_live(finished, good)
            self._boss.meter.copies += len(good)
        self._follower.reload()
        if failed:
            self._report()
        else:
            self._setbacks.overcome()
            self._start_pass()

    def _go_live(self, finished: CopyPass, good: list[tuple[Copied, Table]]) -> None:
        assert self._feed is not None
        try:
            self._without_broken(lambda: self._join(good))
        except errors.FlashQLError as error:
            for done, _ in good:
                finished.discard(done)
            if isinstance(error, errors.HookRefused) or not isinstance(error.__cause__, MISFIT):
                raise
            made = [done.copy for done, _ in good]
            wider = [widened_by_waiting(self._store, copy) for copy in made]
            misfits = [after for before, after in zip(made, wider, strict=True) if after != before]
            raise CopyBroken((misfits or wider)[0], errors.ValueUnrepresentable(str(error))) from error
        made = [done.copy for done, _ in good]
        tell_cloned(self._store, self._origin.name, made, self._sound(), finished.seconds)

    def _join(self, good: list[tuple[Copied, Table]]) -> None:
        assert self._feed is not None
        with syncing(Phase.CLONE, self._origin.name), self._store.transaction() as writer:
            joining.go_live(
                writer, self._store, self._origin.name, good, self._boss.halted, self._failed, self._feed.position
            )

    def _break(self, broken: CopyBroken) -> None:
        """Detach a copy that cannot go on: its rows stay readable, and the next session copies the table anew."""
        copy = broken.copy
        recopies.note(self._slot, (copy.schema, copy.name), copy.id, broken.reason.message)
        detaching.set_aside(self._store, copy)
