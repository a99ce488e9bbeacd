"""Who gets a free slot: a request that finds it free, or the oldest hold, to which it is leased for a moment.

Rules 1, 2, 3 and 5 for the backend in docs/sidecar-protocol.md. Knows a clock and an alarm, both given;
nothing of connections, of HTTP, or of why the backend is open.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Protocol

from fake_backend.alarm import Alarm, Entry
from fake_backend.settings import QueueDiscipline
from fake_backend.slots import Admission, Claim, Slots

HOLD_S = 10.0
HOLDS_COUNT_MAX = 10_000

HoldKey = tuple[str, int]
"""A frontend and the number that it gave the hold."""


class Observer(Protocol):
    """Who is told what becomes of slots."""

    def granted(self, key: HoldKey) -> None:
        """A slot is leased to that hold from now on."""

    def fell_idle(self) -> None:
        """A lease has ended, its slot is free and nobody waits for it."""

    def emptied(self) -> None:
        """The last running request, or the last lease beside none running, has ended."""


@dataclass(frozen=True, slots=True, order=True)
class _Hold:
    """In the order in which holds are served: when the request arrived at its frontend, then first come."""

    born_at: float
    number: int
    ends_at: float
    key: HoldKey


@dataclass(frozen=True, slots=True)
class _Lease:
    ends_at: float
    entry: Entry


class LeasingSlots(Slots):
    """Slots without a queue: each is free, running, or leased. While one is free, no hold is kept."""

    def __init__(
        self,
        slots_count: int,
        *,
        lease_s: float,
        alarm: Alarm,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(slots_count, QueueDiscipline.BUSY, 0)
        self.lease_s = lease_s
        self._alarm = alarm
        self._observer = observer
        self._clock = clock
        self._is_open = False
        self._leases: dict[HoldKey, _Lease] = {}
        self._holds: dict[HoldKey, _Hold] = {}
        self._by_age: list[_Hold] = []
        self._by_end: deque[_Hold] = deque()
        self._numbers_used = 0
        self.grants_count = 0
        self.holds_ignored_count = 0

    @property
    def leased_count(self) -> int:
        """How many slots wait for the request to which they are leased."""
        return len(self._leases)

    @property
    def holds_count(self) -> int:
        """How many holds wait now."""
        self._drop_ended()
        return len(self._holds)

    @property
    def free_count(self) -> int:
        """How many slots a try may take now; none while the backend is closed."""
        return self.slots_count - self.running_count - len(self._leases) if self._is_open else 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs and nothing is leased."""
        return not (self.running_count or self._leases)

    def enter(self, claim: Claim, key: HoldKey | None = None) -> Admission:
        """Start the claim in the slot leased to `key`, or in a free one, or refuse it."""
        lease = None if key is None else self._leases.get(key)
        if key is not None and lease is not None:
            if self._clock() < lease.ends_at:
                self._alarm.cancel(lease.entry)
                del self._leases[key]
                self._start(claim)
                return Admission.STARTED
            self._end_lease(key)
        if self.free_count > 0:
            self._start(claim)
            return Admission.STARTED
        self.refused_count += 1
        return Admission.BUSY

    def leave(self) -> None:
        """Free a started claim's slot, once, and lease it to the oldest hold."""
        assert self.running_count > 0, "a slot was freed twice"
        self.running_count -= 1
        self._grant_free()
        if self.running_count == 0:
            self._observer.emptied()

    def hold(self, key: HoldKey, age_s: float) -> None:
        """Keep a wish for a slot, or grant it at once; ignored when closed, known, or beyond the bound."""
        if not self._is_open or key in self._holds or key in self._leases:
            return
        self._drop_ended()
        if len(self._holds) >= HOLDS_COUNT_MAX:
            self.holds_ignored_count += 1
            return
        now = self._clock()
        self._numbers_used += 1
        hold = _Hold(now - age_s, self._numbers_used, now + HOLD_S, key)
        self._holds[key] = hold
        heappush(self._by_age, hold)
        self._by_end.append(hold)
        self._grant_free()

    def cancel(self, key: HoldKey) -> None:
        """Forget a hold, or give its leased slot to the next; nothing happens where neither is known."""
        if self._holds.pop(key, None) is None and key in self._leases:
            self._alarm.cancel(self._leases[key].entry)
            self._end_lease(key)

    def forget(self, frontend: str) -> None:
        """End the holds of a frontend, then its leases."""
        for key in [key for key in self._holds if key[0] == frontend]:
            del self._holds[key]
        for key in [key for key in self._leases if key[0] == frontend]:
            self.cancel(key)

    def open(self) -> None:
        """Let tries and holds in."""
        self._is_open = True

    def close(self, *, end_leases: bool) -> None:
        """Let nobody in any more but those with a lease, unless these `end`, too; forget all holds."""
        self._is_open = False
        self._holds.clear()
        self._by_age.clear()
        self._by_end.clear()
        if end_leases:
            for lease in self._leases.values():
                self._alarm.cancel(lease.entry)
            self._leases.clear()

    def _grant_free(self) -> None:
        while self.free_count > 0:
            hold = self._take_oldest()
            if hold is None:
                return
            key, ends_at = hold.key, self._clock() + self.lease_s
            entry = self._alarm.call_at(ends_at, lambda key=key: self._end_lease(key))  # type: ignore[misc]
            self._leases[key] = _Lease(ends_at, entry)
            self.grants_count += 1
            self._observer.granted(key)

    def _take_oldest(self) -> _Hold | None:
        self._drop_ended()
        while self._by_age:
            hold = heappop(self._by_age)
            if self._holds.get(hold.key) is hold:
                del self._holds[hold.key]
                return hold
        return None

    def _end_lease(self, key: HoldKey) -> None:
        del self._leases[key]
        self._grant_free()
        if self.free_count > 0:
            self._observer.fell_idle()
        if self.is_empty:
            self._observer.emptied()

    def _drop_ended(self) -> None:
        """Drop holds that ended by themselves, and what is left of those that were cancelled."""
        now = self._clock()
        while self._by_end and self._by_end[0].ends_at <= now:
            hold = self._by_end.popleft()
            if self._holds.get(hold.key) is hold:
                del self._holds[hold.key]
        if len(self._by_end) > 2 * HOLDS_COUNT_MAX:
            self._by_end = deque(hold for hold in self._by_end if self._holds.get(hold.key) is hold)
        if len(self._by_age) > 2 * HOLDS_COUNT_MAX:
            self._by_age = [hold for hold in self._by_age if self._holds.get(hold.key) is hold]
            heapify(self._by_age)
