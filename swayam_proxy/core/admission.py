"""The backend's side of late binding: who may use a slot now, and who is next.

Pure rules, run by the sidecar on the real network and by the simulator on virtual time. A slot is free,
leased (granted to a hold whose request is on its way) or running. A slot that falls free goes to the oldest
hold, by the age that the hold brought, so that service is first come, first served across frontends.
Everything that is promised ends by itself: leases and holds have an end, and a frontend that is lost takes
its own with it.
"""

import heapq
from dataclasses import dataclass

from swayam_proxy.core.vocabulary import NEVER

HoldKey = tuple[str, int]
"""A frontend's name and its number for the hold."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Tell the frontend that its hold has got a slot, leased for a short time."""

    frontend: str
    hold_id: int


class Admission:
    """Slots, leases and holds of one backend."""

    __slots__ = (
        "_hold_ttl_s",
        "_holds",
        "_holds_max",
        "_lease_s",
        "_leases",
        "_queue",
        "_sequence",
        "running_count",
        "slots",
    )

    def __init__(
        self, slots: int, *, lease_s: float = 0.05, hold_ttl_s: float = 10.0, holds_max: int = 10_000
    ) -> None:
        """Begin with all slots free.

        A lease must outlast a round trip to a frontend; a longer one wastes the slot when a grant is lost.
        """
        self.slots = slots
        self._lease_s = lease_s
        self._hold_ttl_s = hold_ttl_s
        self._holds_max = holds_max
        self.running_count = 0
        self._leases: dict[HoldKey, float] = {}
        """When each lease ends, in the order in which they were given."""
        self._holds: dict[HoldKey, float] = {}
        """When each hold ends, in the order in which they came."""
        self._queue: list[tuple[float, int, HoldKey]] = []
        """A heap of (arrival of the request, sequence, key); keys that are no longer held are skipped."""
        self._sequence = 0

    @property
    def free_count(self) -> int:
        """Slots that are neither leased nor running."""
        return self.slots - self.running_count - len(self._leases)

    @property
    def leases_count(self) -> int:
        """Slots that wait for their request."""
        return len(self._leases)

    @property
    def holds_count(self) -> int:
        """Holds that wait for a slot."""
        return len(self._holds)

    def admit(self, now: float, grant: HoldKey | None = None) -> bool:
        """Say whether a request may run now; if so, it does.

        With a grant it uses the leased slot. A grant whose lease has ended is worth no more than a try.
        """
        del now  # leases are ended by `expire`, which the caller runs first
        if grant is not None and self._leases.pop(grant, None) is not None:
            self.running_count += 1
            return True
        if self.free_count <= 0:
            return False
        self.running_count += 1
        return True

    def ended(self, now: float) -> list[Grant]:
        """Take note that a running request has ended; return the grants that follow."""
        assert self.running_count > 0, "no request is running"
        self.running_count -= 1
        return self._grant(now)

    def hold(self, key: HoldKey, age_s: float, now: float) -> list[Grant]:
        """Let a request of that age wait for a slot; it may get one at once. Beyond the bound: ignored."""
        if key in self._leases or key in self._holds or len(self._holds) >= self._holds_max:
            return []
        self._sequence += 1
        self._holds[key] = now + self._hold_ttl_s
        heapq.heappush(self._queue, (now - age_s, self._sequence, key))
        return self._grant(now)

    def cancel(self, key: HoldKey, now: float) -> list[Grant]:
        """Forget a hold, or take back the slot that it was granted; return the grants that follow."""
        self._holds.pop(key, None)
        if self._leases.pop(key, None) is None:
            return []
        return self._grant(now)

    def lost(self, frontend: str, now: float) -> list[Grant]:
        """Forget all holds and leases of a frontend that is gone."""
        for held in (self._holds, self._leases):
            for key in [key for key in held if key[0] == frontend]:
                del held[key]
        return self._grant(now)

    def forget_holds(self) -> None:
        """Grant nothing more to those that wait now; what is leased stays leased."""
        self._holds.clear()
        self._queue.clear()

    def next_wakeup(self) -> float:
        """When `expire` is due."""
        # entries of a kind last equally long, so that the first of each ends first
        due = NEVER
        for held in (self._leases, self._holds):
            for until in held.values():
                due = min(due, until)
                break
        return due

    def expire(self, now: float) -> list[Grant]:
        """End the leases and holds whose time is over; return the grants that follow."""
        for held in (self._leases, self._holds):
            # every entry lasts equally long, so that the oldest come first
            while held:
                key, until = next(iter(held.items()))
                if until > now:
                    break
                del held[key]
        return self._grant(now)

    def _grant(self, now: float) -> list[Grant]:
        grants: list[Grant] = []
        while self._holds and self.free_count > 0:
            _, _, key = heapq.heappop(self._queue)
            if self._holds.pop(key, None) is None:
                continue
            self._leases[key] = now + self._lease_s
            grants.append(Grant(*key))
        if not self._holds:
            self._queue.clear()
        elif len(self._queue) > 2 * len(self._holds) + 64:
            self._queue = [entry for entry in self._queue if entry[2] in self._holds]
            heapq.heapify(self._queue)
        return grants
