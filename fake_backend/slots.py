"""Who may run: `slots` at once, the others wait in order or are told that it is busy.

Knows no clock, no HTTP and no loop. A claim is anything with a `start` method; the class decides when
it starts. Leases to those who asked for the next slot are in `sidecar/leases.py`.
"""

from collections import deque
from enum import Enum, auto
from typing import Protocol

from fake_backend.settings import QueueDiscipline


class Claim(Protocol):
    """One wish for a slot."""

    def start(self) -> None:
        """Use the slot from now on; called at most once, and never from within `leave` of itself."""


class Admission(Enum):
    """What became of a claim on arrival."""

    STARTED = auto()
    QUEUED = auto()
    BUSY = auto()


class Slots:
    """Slots and the queue before them."""

    def __init__(self, slots_count: int, discipline: QueueDiscipline, queue_count_max: int) -> None:
        self.slots_count = slots_count
        self._discipline = discipline
        self._queue_count_max = queue_count_max
        self._waiting: deque[Claim] = deque()
        self.running_count = 0
        self.running_count_max = 0
        self.waiting_count_max = 0
        self.refused_count = 0

    @property
    def waiting_count(self) -> int:
        """How many claims wait now."""
        return len(self._waiting)

    def enter(self, claim: Claim) -> Admission:
        """Start the claim, queue it, or refuse it."""
        if self.running_count < self.slots_count:
            self._start(claim)
            return Admission.STARTED
        if self._discipline is QueueDiscipline.BUSY or len(self._waiting) >= self._queue_count_max:
            self.refused_count += 1
            return Admission.BUSY
        self._waiting.append(claim)
        self.waiting_count_max = max(self.waiting_count_max, len(self._waiting))
        return Admission.QUEUED

    def leave(self) -> None:
        """Free a started claim's slot, once, and start who waits longest."""
        assert self.running_count > 0, "a slot was freed twice"
        self.running_count -= 1
        if self._waiting:
            self._start(self._waiting.popleft())

    def withdraw(self, claim: Claim) -> bool:
        """Take a claim out of the queue; False when it is not there (it has started)."""
        try:
            self._waiting.remove(claim)
        except ValueError:
            return False
        return True

    def _start(self, claim: Claim) -> None:
        self.running_count += 1
        self.running_count_max = max(self.running_count_max, self.running_count)
        claim.start()
