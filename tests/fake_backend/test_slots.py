"""Slots: never more at once than there are, first come first served, bounds kept."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_backend.settings import QueueDiscipline
from fake_backend.slots import Admission, Slots


@dataclass(eq=False)
class Visit:
    """A claim that writes down when it starts."""

    name: int
    started: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Note the order of starting."""
        self.started.append(self.name)


def test_the_queue_is_first_come_first_served() -> None:
    """Claims beyond the slots start in order of arrival, as slots come free."""
    slots, started = Slots(2, QueueDiscipline.FIFO, 10), []
    admissions = [slots.enter(Visit(name, started)) for name in range(5)]
    assert admissions == [Admission.STARTED] * 2 + [Admission.QUEUED] * 3
    assert started == [0, 1]
    slots.leave()
    slots.leave()
    assert started == [0, 1, 2, 3]
    assert (slots.running_count, slots.waiting_count) == (2, 1)


def test_a_full_queue_is_busy() -> None:
    """Beyond the queue's bound the claim is refused and counted."""
    slots = Slots(1, QueueDiscipline.FIFO, 1)
    assert [slots.enter(Visit(name)) for name in range(3)] == [
        Admission.STARTED, Admission.QUEUED, Admission.BUSY,
    ]  # fmt: skip
    assert slots.refused_count == 1


def test_busy_discipline_never_queues() -> None:
    """With busy replies a claim starts or is refused."""
    slots = Slots(1, QueueDiscipline.BUSY, 10)
    assert [slots.enter(Visit(0)), slots.enter(Visit(1))] == [Admission.STARTED, Admission.BUSY]
    slots.leave()
    assert slots.enter(Visit(2)) is Admission.STARTED


def test_a_withdrawn_claim_never_starts() -> None:
    """Who leaves the queue is passed over; who has started cannot be withdrawn."""
    slots, started = Slots(1, QueueDiscipline.FIFO, 10), []
    running, second, third = (Visit(name, started) for name in range(3))
    for visit in (running, second, third):
        slots.enter(visit)
    assert slots.withdraw(second)
    assert not slots.withdraw(running)
    slots.leave()
    assert started == [0, 2]


def test_a_slot_cannot_be_freed_twice() -> None:
    """Freeing more than was taken is our own mistake and stops at once."""
    slots = Slots(1, QueueDiscipline.FIFO, 10)
    slots.enter(Visit(0))
    slots.leave()
    with pytest.raises(AssertionError):
        slots.leave()


@given(st.integers(1, 4), st.integers(0, 5), st.lists(st.booleans(), max_size=60))
def test_counts_stay_in_bounds(slots_count: int, queue_max: int, moves: list[bool]) -> None:
    """Whatever arrives and leaves: nobody waits beside a free slot, and no bound is broken."""
    slots, started = Slots(slots_count, QueueDiscipline.FIFO, queue_max), []
    for number, arrives in enumerate(moves):
        if arrives:
            slots.enter(Visit(number, started))
        elif slots.running_count:
            slots.leave()
        assert slots.running_count <= slots_count
        assert slots.waiting_count <= queue_max
        assert slots.waiting_count == 0 or slots.running_count == slots_count
    assert started == sorted(started)
