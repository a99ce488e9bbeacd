"""The requests of one service that wait in the frontend for a slot: oldest first, bounded by the caller.

A request leaves from anywhere: served, expired, or its client gone. Knows deadlines, not backends.
"""

from collections import OrderedDict
from collections.abc import Iterator

from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER

_SWEEP_S = 0.1
"""Deadlines are met to within this."""


class RequestQueue:
    """Waiting tickets, the oldest first."""

    __slots__ = ("_tickets", "count", "sweep_at")

    def __init__(self) -> None:
        """Begin empty."""
        self._tickets: OrderedDict[Ticket, None] = OrderedDict()
        self.sweep_at = NEVER
        """When `expired` wants to be called next."""
        self.count = 0
        """How many wait; a plain number because every request asks."""

    def __iter__(self) -> Iterator[Ticket]:
        """Go through the waiting tickets, the oldest first."""
        return iter(self._tickets)

    def push(self, ticket: Ticket, now: float) -> None:
        """Let the ticket wait: at the end, or at the front if it came before all others."""
        oldest = self.first()
        self._tickets[ticket] = None
        self.count += 1
        if oldest is not None and ticket.arrived_at < oldest.arrived_at:
            self._tickets.move_to_end(ticket, last=False)
        self.sweep_at = min(self.sweep_at, now + _SWEEP_S)

    def first(self) -> Ticket | None:
        """Return the ticket that has waited longest, without taking it out."""
        return next(iter(self._tickets), None)

    def remove(self, ticket: Ticket) -> None:
        """Take out a ticket that got a slot or whose client left."""
        del self._tickets[ticket]
        self.count -= 1
        if not self.count:
            self.sweep_at = NEVER

    def expired(self, now: float) -> list[Ticket]:
        """Take out and return every ticket whose deadline has passed."""
        if now < self.sweep_at:
            return []
        late = [ticket for ticket in self._tickets if ticket.deadline <= now]
        for ticket in late:
            del self._tickets[ticket]
        self.count -= len(late)
        self.sweep_at = now + _SWEEP_S if self.count else NEVER
        return late

    def drain(self) -> list[Ticket]:
        """Take out and return all that wait."""
        waiting = list(self._tickets)
        self._tickets.clear()
        self.count = 0
        self.sweep_at = NEVER
        return waiting
