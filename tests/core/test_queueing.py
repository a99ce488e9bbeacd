"""The queue of requests that wait for a slot."""

from swayam_proxy.core.queueing import RequestQueue
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER


def _queue(*deadlines: float) -> tuple[RequestQueue, list[Ticket]]:
    queue, tickets = RequestQueue(), [Ticket("s", 0.0, deadline) for deadline in deadlines]
    for ticket in tickets:
        queue.push(ticket, 0.0)
    return queue, tickets


def test_first_come_first_served_skipping_those_who_left() -> None:
    """A client that left is passed over and no longer counted."""
    queue, (first, second) = _queue(9.0, 9.0)
    first.ended = True
    queue.left()
    assert queue.count == 1
    assert queue.first() is second
    queue.take_first()
    assert queue.count == 0
    assert queue.first() is None
    assert queue.sweep_at == NEVER


def test_deadline_in_the_middle_is_met() -> None:
    """A request whose own deadline is short is taken out though others stand before it."""
    queue, (a, b, c) = _queue(9.0, 0.5, 9.0)
    assert queue.expired(0.05) == []
    assert queue.expired(0.6) == [b]
    assert b.ended
    assert queue.count == 2
    assert queue.first() is a
    assert queue.expired(10.0) == [a, c]


def test_draining_takes_out_all_that_wait() -> None:
    """Those who left before are not among them."""
    queue, (a, b) = _queue(9.0, 9.0)
    a.ended = True
    queue.left()
    assert queue.drain() == [b]
    assert queue.count == 0
