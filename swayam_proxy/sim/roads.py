"""The way of a request from a frontend to a backend and back: plain servers with a FIFO queue, or sidecars.

The sidecar's rules are `core.admission.Admission`, the same that the real sidecar runs. Knows nothing of what
frontends decide; calls the world back when something reaches a frontend.
"""

from collections.abc import Sequence
from typing import Protocol

from swayam_proxy.core.admission import Admission, Grant
from swayam_proxy.core.commands import CancelHold, PlaceHold
from swayam_proxy.core.events import Event, HoldGranted
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER, BackendState
from swayam_proxy.sim.engine import Action, Engine, Entry
from swayam_proxy.sim.fleet import Fleet
from swayam_proxy.sim.network import Network

WARM = BackendState.WARM

SERVICE = "model"
"""The one service of a simulated world."""


class Frontends(Protocol):
    """The world, as far as a road calls it back; `number` is the frontend's."""

    def answered(self, number: int, ticket: Ticket, *, idle: bool = False) -> None:
        """The whole answer has reached the frontend; `idle`: nobody waits for the slot."""

    def refused(self, number: int, ticket: Ticket) -> None:
        """Nobody listens at the backend; nothing was sent."""

    def busy(self, number: int, ticket: Ticket) -> None:
        """The sidecar has no slot."""

    def broken(self, number: int, ticket: Ticket) -> None:
        """The backend died with the request."""

    def tell(self, number: int, event: Event) -> None:
        """A message of a sidecar has reached the frontend."""


class Road(Protocol):
    """How requests travel."""

    messages_count: int
    """One-way messages beside the requests and their answers."""

    def send(self, number: int, ticket: Ticket) -> None:
        """Send the request of a booked ticket off."""

    def place_hold(self, number: int, hold: PlaceHold) -> None:
        """Send a hold off."""

    def cancel_hold(self, number: int, hold: CancelHold) -> None:
        """Send a cancellation off."""

    def crash(self, index: int) -> None:
        """Break every request that the backend, which has just died, had not ended."""

    def set_up(self, index: int) -> None:
        """Begin anew at a backend that has become warm."""


class PlainRoad:
    """Servers without a sidecar: each runs its slots and queues the rest, first come, first served."""

    def __init__(
        self, engine: Engine, fleet: Fleet, network: Network, world: Frontends, executions_s: Sequence[float]
    ) -> None:
        """Take execution times by the ticket's owner, which is the request's position."""
        self._engine = engine
        self._fleet = fleet
        self._network = network
        self._world = world
        self._executions_s = executions_s
        self.messages_count = 0

    def send(self, number: int, ticket: Ticket) -> None:
        """Send the request off; without jitter its end is foreseen, which saves an event.

        Every message then takes equally long, so that requests reach a backend in the order of sending.
        """
        network, engine = self._network, self._engine
        if not network.steady:
            engine.call_at(engine.now + network.delay_s(), self._reached, number, ticket)
            return
        way_s = network.one_way_s
        if self._fleet.backends[ticket.backend_index].state is not WARM:
            engine.call_at(engine.now + 2.0 * way_s, self._world.refused, number, ticket)
            return
        end_s = self._fleet.run(ticket.backend_index, engine.now + way_s, self._executions_s[ticket.owner])
        engine.call_at(end_s + way_s, self._world.answered, number, ticket)

    def _reached(self, number: int, ticket: Ticket) -> None:
        engine = self._engine
        if self._fleet.backends[ticket.backend_index].state is not WARM:
            engine.call_at(engine.now + self._network.delay_s(), self._world.refused, number, ticket)
            return
        end_s = self._fleet.run(ticket.backend_index, engine.now, self._executions_s[ticket.owner])
        engine.call_at(end_s + self._network.delay_s(), self._world.answered, number, ticket)

    def place_hold(self, number: int, hold: PlaceHold) -> None:
        """Never happens: plain servers take no holds."""
        raise AssertionError(f"frontend {number} held a slot of a plain server, {hold.backend_index}")

    def cancel_hold(self, number: int, hold: CancelHold) -> None:
        """Never happens: plain servers take no holds."""
        raise AssertionError(f"frontend {number} cancelled at a plain server, {hold.backend_index}")

    def crash(self, index: int) -> None:
        """Break every request whose answer had not left the backend."""
        way_s = self._network.one_way_s
        _break_entries(self._engine, self._world.answered, self._world.broken, index, way_s, way_s)

    def set_up(self, index: int) -> None:
        """A plain server begins with an empty queue; the fleet has seen to it."""


class SidecarRoad:
    """Backends behind sidecars.

    A request runs at once or is told that the backend is busy; holds are granted.
    """

    def __init__(
        self,
        engine: Engine,
        fleet: Fleet,
        network: Network,
        world: Frontends,
        executions_s: Sequence[float],
        slots: int,
        frontends_count: int,
    ) -> None:
        """Put one sidecar before each backend."""
        self._engine = engine
        self._fleet = fleet
        self._network = network
        self._world = world
        self._executions_s = executions_s
        self._slots = slots
        self._names = [str(number) for number in range(frontends_count)]
        self._admissions = [Admission(slots) for _ in fleet.backends]
        self._expires_at = [NEVER] * len(fleet.backends)
        self.messages_count = 0

    def send(self, number: int, ticket: Ticket) -> None:
        """Send the request off, with its grant if it has one."""
        self._engine.call_at(self._engine.now + self._network.delay_s(), self._reached, number, ticket)

    def _reached(self, number: int, ticket: Ticket) -> None:
        engine, index = self._engine, ticket.backend_index
        now = engine.now
        backend = self._fleet.backends[index]
        if backend.state is not WARM:
            engine.call_at(now + self._network.delay_s(), self._world.refused, number, ticket)
            return
        self._end_promises(index)
        grant = (self._names[number], ticket.grant) if ticket.grant else None
        if not self._admissions[index].admit(now, grant):
            self.messages_count += 2
            engine.call_at(now + self._network.delay_s(), self._world.busy, number, ticket)
            return
        end_s = now + self._executions_s[ticket.owner]
        backend.served_count += 1
        if end_s > backend.last_end_s:
            backend.last_end_s = end_s
        engine.call_at(end_s, self._ended, number, ticket)

    def _ended(self, number: int, ticket: Ticket) -> None:
        index = ticket.backend_index
        admission = self._admissions[index]
        self._give(index, admission.ended(self._engine.now))
        idle = admission.free_count > 0 and admission.holds_count == 0
        when = self._engine.now + self._network.delay_s()
        self._engine.call_at(when, self._idle_answer if idle else self._world.answered, number, ticket)

    def _idle_answer(self, number: int, ticket: Ticket) -> None:
        self._world.answered(number, ticket, idle=True)

    def place_hold(self, number: int, hold: PlaceHold) -> None:
        """Send a hold off."""
        self.messages_count += 1
        self._engine.call_at(self._engine.now + self._network.delay_s(), self._hold_came, number, hold)

    def _hold_came(self, number: int, hold: PlaceHold) -> None:
        index = hold.backend_index
        if self._fleet.backends[index].state is WARM:
            self._end_promises(index)
            key = (self._names[number], hold.hold_id)
            grants = self._admissions[index].hold(key, hold.age_s, self._engine.now)
            if grants:
                self._give(index, grants)
            else:
                self._see_to_ends(index)

    def cancel_hold(self, number: int, hold: CancelHold) -> None:
        """Send a cancellation off."""
        self.messages_count += 1
        self._engine.call_at(self._engine.now + self._network.delay_s(), self._cancel_came, number, hold)

    def _cancel_came(self, number: int, hold: CancelHold) -> None:
        grants = self._admissions[hold.backend_index].cancel(
            (self._names[number], hold.hold_id), self._engine.now
        )
        self._give(hold.backend_index, grants)

    def _give(self, index: int, grants: list[Grant]) -> None:
        """Tell the frontends of their grants, and see that leases end when nobody comes."""
        for grant in grants:
            self.messages_count += 1
            event = HoldGranted(SERVICE, index, grant.hold_id)
            when = self._engine.now + self._network.delay_s()
            self._engine.call_at(when, self._world.tell, int(grant.frontend), event)
        if grants:
            self._see_to_ends(index)

    def _see_to_ends(self, index: int) -> None:
        """Have `_expire` called when the first of the leases and holds ends."""
        due = self._admissions[index].next_wakeup()
        if due < self._expires_at[index]:
            self._expires_at[index] = due
            self._engine.call_at(due, self._expire, index, due)

    def _expire(self, index: int, due: float) -> None:
        if self._expires_at[index] == due:
            self._end_promises(index)
            self._expires_at[index] = NEVER
            self._see_to_ends(index)

    def _end_promises(self, index: int) -> None:
        """End leases and holds that are over; cheap when there are none, since the first end is known."""
        now = self._engine.now
        if self._expires_at[index] <= now:
            self._give(index, self._admissions[index].expire(now))

    def crash(self, index: int) -> None:
        """Break what ran, forget what was held."""
        way_s = self._network.one_way_s
        self._admissions[index] = Admission(self._slots)
        _break_entries(self._engine, self._ended, self._world.broken, index, 0.0, way_s)

    def set_up(self, index: int) -> None:
        """A new sidecar process knows nothing of the last one's holds."""
        self._admissions[index] = Admission(self._slots)


def _break_entries(
    engine: Engine,
    ending: Action,
    broken: Action,
    index: int,
    answer_way_s: float,
    way_s: float,
) -> None:
    """Turn what would end at backend `index` after now into a broken connection, one way from now."""
    now = engine.now

    def change(entry: Entry) -> tuple[float, Action, int, Ticket] | None:
        when, _, action, number, ticket = entry
        if action != ending or ticket.backend_index != index or when - answer_way_s <= now:
            return None
        return now + way_s, broken, number, ticket

    engine.replace(change)
