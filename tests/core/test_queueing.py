"""The queue of requests that wait for a slot."""

from swayam_proxy.core.queueing import RequestQueue
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER


def _queue(*deadlines: float) -> tuple[RequestQueue, list[Ticket]]:
    queue = RequestQueue()
    tickets = [Ticket("s", 0.001 * k, deadline) for k, deadline in enumerate(deadlines)]
    for ticket in tickets:
        queue.push(ticket, 0.0)
    return queue, tickets


def test_first_come_first_served_skipping_those_who_left() -> None:
    """A client that left is passed over and no longer counted."""
    queue, (first, second) = _queue(9.0, 9.0)
    queue.remove(first)
    assert queue.count == 1
    assert queue.first() is second
    queue.remove(second)
    assert queue.count == 0
    assert queue.first() is None
    assert queue.sweep_at == NEVER


def test_one_that_comes_back_keeps_its_place_by_age() -> None:
    """A request whose grant was too late returns before those that came after it."""
    queue, (first, second) = _queue(9.0, 9.0)
    queue.remove(first)
    queue.push(first, 0.5)
    assert list(queue) == [first, second]


def test_deadline_in_the_middle_is_met() -> None:
    """A request whose own deadline is short is taken out though others stand before it."""
    queue, (a, b, c) = _queue(9.0, 0.5, 9.0)
    assert queue.expired(0.05) == []
    assert queue.expired(0.6) == [b]
    assert queue.count == 2
    assert queue.first() is a
    assert queue.expired(10.0) == [a, c]


def test_draining_takes_out_all_that_wait() -> None:
    """Those who left before are not among them."""
    queue, (a, b) = _queue(9.0, 9.0)
    queue.remove(a)
    assert queue.drain() == [b]
    assert queue.count == 0
