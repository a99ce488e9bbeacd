"""The frontend's side of late binding: which backend to try, where to hold, what a grant is for.

A request first tries backends that are not known to be busy (one that said it is idle before any other).
Refused, it waits in the frontend's queue and is held at a few backends of the prefix; the first that grants
gets it, the other holds are cancelled, and a grant that nobody needs is given back. Nothing here waits for
ever: holds are placed anew when they have not been answered for a while, whatever became of the messages.

Kin: sparrow-style late binding (Ousterhout et al., "Sparrow", SOSP 2013) with holds that carry an age, and
join-idle-queue (Lu et al., 2011) for the hints.
"""

from swayam_proxy.core.commands import CancelHold, Command, PlaceHold
from swayam_proxy.core.model import waiting_late
from swayam_proxy.core.pool import Backend, Pool
from swayam_proxy.core.queueing import RequestQueue
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import LateBindingSpec, Rng


def holds_for(spec: LateBindingSpec, response_time_s: float, execution_mean_s: float) -> int:
    """Return at how many backends a request is held: as configured, or what the model takes to be best.

    Three holds are as good as a central queue from thresholds of about three executions on, at some six
    messages a request; a tighter promise is worth the messages of six (20 erlangs, 99 % within two
    executions: 27 backends instead of 29).
    """
    if spec.holds_count is not None:
        return spec.holds_count
    return waiting_late.holds_for(response_time_s, execution_mean_s)


class LateBinding:
    """What one frontend knows of the slots of one service's backends, and its holds there."""

    __slots__ = (
        "_busy_until",
        "_held",
        "_hints",
        "_next_hold_id",
        "_pool",
        "_rng",
        "_service_name",
        "_spec",
        "holds_count",
    )

    def __init__(self, service_name: str, spec: LateBindingSpec, pool: Pool, rng: Rng) -> None:
        """Begin with nothing known of any backend."""
        self._service_name = service_name
        self._spec = spec
        self._pool = pool
        self._rng = rng
        self.holds_count = spec.holds_count or waiting_late.HOLDS_COUNT
        self._hints: dict[int, None] = {}
        """Indices that fell idle, the latest last."""
        self._busy_until: dict[int, float] = {}
        self._held: dict[int, Ticket] = {}
        """Ticket by hold id."""
        self._next_hold_id = 1

    # -- tries --

    def idle_heard(self, index: int) -> None:
        """A backend said that it is idle: it is tried before any other."""
        self._hints.pop(index, None)
        self._hints[index] = None
        self._busy_until.pop(index, None)

    def busy_heard(self, index: int, now: float, execution_s: float) -> None:
        """A backend refused: it is not tried for about half an execution."""
        self._hints.pop(index, None)
        self._busy_until[index] = now + 0.5 * execution_s

    def take_hinted(self) -> Backend | None:
        """Return a backend that is thought idle, the latest news first; its hint is used up."""
        while self._hints:
            index, _ = self._hints.popitem()
            backend = self._pool.at(index)
            if backend.usable and backend.outstanding_count < backend.slots:
                return backend
        return None

    def choose_try(self, ticket: Ticket, now: float) -> Backend | None:
        """Return whom to try next: a hinted backend, or a random one that is not known to be busy."""
        if ticket.tries_count >= self._spec.tries_max:
            return None
        hinted = self.take_hinted()
        if hinted is not None:
            return hinted
        if ticket.tries_count >= self._spec.blind_tries_max:
            return None
        idle = self._pool.idle
        for _ in range(min(len(idle), 4)):
            backend = idle[self._rng.randrange(len(idle))]
            if self._busy_until.get(backend.index, 0.0) <= now and backend.index not in ticket.tried:
                return backend
        return None

    # -- holds --

    def place(self, ticket: Ticket, now: float) -> list[Command]:
        """Hold the waiting ticket at as many backends as configured; former holds of it are cancelled."""
        commands = self.withdraw(ticket)
        usable = self._pool.usable
        for backend in self._sample(usable, self.holds_count):
            hold_id = self._next_hold_id
            self._next_hold_id += 1
            self._held[hold_id] = ticket
            ticket.holds[hold_id] = backend.index
            commands.append(PlaceHold(self._service_name, backend.index, hold_id, now - ticket.arrived_at))
        ticket.held_at = now
        return commands

    def _sample(self, usable: list[Backend], count: int) -> list[Backend]:
        """Return distinct backends: the hinted first, the others at random."""
        chosen: dict[int, Backend] = {}
        while len(chosen) < count and (hinted := self.take_hinted()) is not None:
            chosen[hinted.index] = hinted
        if count >= len(usable):
            return list(usable)
        while len(chosen) < count:
            backend = usable[self._rng.randrange(len(usable))]
            chosen[backend.index] = backend
        return list(chosen.values())

    def granted(self, hold_id: int, index: int) -> tuple[Ticket | None, list[Command]]:
        """A backend leased a slot: return for whom, and the orders that follow.

        Without a ticket the slot is not needed (its request ended, or was granted elsewhere) and given back.
        """
        ticket = self._held.get(hold_id)
        if ticket is None or ticket.holds.get(hold_id) != index:
            return None, [CancelHold(self._service_name, index, hold_id)]
        del self._held[hold_id], ticket.holds[hold_id]
        return ticket, self.withdraw(ticket)

    def withdraw(self, ticket: Ticket) -> list[Command]:
        """Cancel all holds of a ticket."""
        commands: list[Command] = []
        for hold_id, index in ticket.holds.items():
            del self._held[hold_id]
            commands.append(CancelHold(self._service_name, index, hold_id))
        ticket.holds.clear()
        return commands

    def contact_lost(self, index: int) -> None:
        """Forget the hints and holds of a backend that cannot be reached; `refresh` places new ones."""
        self._hints.pop(index, None)
        for hold_id, ticket in list(self._held.items()):
            if ticket.holds.get(hold_id) == index:
                del self._held[hold_id], ticket.holds[hold_id]
                ticket.held_at = -self._spec.refresh_s

    def refresh(self, queue: RequestQueue, now: float) -> list[Command]:
        """Place the holds anew of all that have waited too long for an answer."""
        return [
            command
            for ticket in list(queue)
            if now - ticket.held_at >= self._spec.refresh_s
            for command in self.place(ticket, now)
        ]

    def place_unheld(self, queue: RequestQueue, now: float) -> list[Command]:
        """Place holds for all that wait without any."""
        if not self._pool.usable:
            return []
        return [command for ticket in list(queue) if not ticket.holds for command in self.place(ticket, now)]

    @property
    def unanswered_count(self) -> int:
        """Holds that wait for an answer."""
        return len(self._held)
