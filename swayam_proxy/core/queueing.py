"""The requests of one service that wait in the frontend for a slot: first come, first served, bounded.

A request that ends while it waits (its client left) stays in the deque as an ended ticket and is skipped
later, so that leaving costs nothing; the count is of those that still wait.
"""

from collections import deque

from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER

_SWEEP_S = 0.1
"""Deadlines in the middle of the queue are met to within this."""


class RequestQueue:
    """Waiting tickets in order of arrival."""

    __slots__ = ("_tickets", "count", "sweep_at")

    def __init__(self) -> None:
        """Begin empty."""
        self._tickets: deque[Ticket] = deque()
        self.count = 0
        self.sweep_at = NEVER
        """When `expired` wants to be called next."""

    def push(self, ticket: Ticket, now: float) -> None:
        """Let the ticket wait at the end."""
        self._tickets.append(ticket)
        self.count += 1
        self.sweep_at = min(self.sweep_at, now + _SWEEP_S)

    def left(self) -> None:
        """Take note that a waiting ticket has ended without being served."""
        self.count -= 1
        if self.count == 0:
            self._tickets.clear()
            self.sweep_at = NEVER

    def first(self) -> Ticket | None:
        """Return the ticket that has waited longest, without taking it out."""
        while self._tickets:
            ticket = self._tickets[0]
            if not ticket.ended:
                return ticket
            self._tickets.popleft()
        return None

    def take_first(self) -> None:
        """Take out what `first` returned: it has got a slot."""
        self._tickets.popleft()
        self.left()

    def expired(self, now: float) -> list[Ticket]:
        """Take out and return every ticket whose deadline has passed."""
        if now < self.sweep_at:
            return []
        late = [t for t in self._tickets if not t.ended and t.deadline <= now]
        for ticket in late:
            ticket.ended = True
        self._tickets = deque(t for t in self._tickets if not t.ended)
        self.count = len(self._tickets)
        self.sweep_at = now + _SWEEP_S if self._tickets else NEVER
        return late

    def drain(self) -> list[Ticket]:
        """Take out and return all that wait."""
        waiting = [t for t in self._tickets if not t.ended]
        self._tickets.clear()
        self.count = 0
        self.sweep_at = NEVER
        return waiting
