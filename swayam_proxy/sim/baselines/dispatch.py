"""How baselines choose a backend for a request; each class is one policy over the same fleet.

A request is either given to a backend, which may queue it, or kept waiting here until a slot falls free.
Knows nothing of autoscaling. The messages of Ray's probes and of the activators take no time here, which is
kind to those baselines.
"""

from collections import deque
from heapq import heappop, heappush
from random import Random
from typing import Protocol


class Occupancy:
    """How many requests each backend has, queued ones included; place 0 is never used."""

    __slots__ = ("counts", "slots")

    def __init__(self, backends_count: int, slots: int) -> None:
        """Begin with nobody anywhere."""
        self.counts = [0] * (backends_count + 1)
        self.slots = slots


class Dispatcher(Protocol):
    """Chooses backends; positions are the requests' places in the workload."""

    def arrived(self, position: int) -> int:
        """Return the backend that gets the request now, or 0: it waits here."""

    def freed(self, index: int) -> tuple[int, int] | None:
        """A slot of backend `index` may be free: return (position, backend) of a waiting request, or None."""

    def usable_changed(self, usable: list[int]) -> None:
        """From now on only these backends may be chosen, in ascending order."""

    @property
    def waiting_count(self) -> int:
        """Requests that wait here."""


class CentralQueue:
    """One queue for everything, served by whichever backend is free: the lowest index first, or at random."""

    def __init__(self, occupancy: Occupancy, rng: Random, *, lowest_first: bool = False) -> None:
        """Begin with an empty queue."""
        self._counts = occupancy.counts
        self._slots = occupancy.slots
        self._rng = rng
        self._lowest_first = lowest_first
        self._queue: deque[int] = deque()
        self._usable: set[int] = set()
        self._idle: list[int] = []
        """A heap, or in no order; an index may be out of date and is checked when taken."""

    def arrived(self, position: int) -> int:
        """Give it to an idle backend, else let it wait."""
        if not self._queue:
            index = self._take_idle()
            if index:
                return index
        self._queue.append(position)
        return 0

    def _take_idle(self) -> int:
        idle = self._idle
        while idle:
            if self._lowest_first:
                index = heappop(idle)
            else:
                place = self._rng.randrange(len(idle))
                index, idle[place] = idle[place], idle[-1]
                idle.pop()
            if index in self._usable and self._counts[index] < self._slots:
                if self._counts[index] + 1 < self._slots:
                    self._put_idle(index)
                return index
        return 0

    def _put_idle(self, index: int) -> None:
        if self._lowest_first:
            heappush(self._idle, index)
        else:
            self._idle.append(index)

    def freed(self, index: int) -> tuple[int, int] | None:
        """Give the oldest waiting request to the backend that is free, else remember that it is."""
        if index not in self._usable or self._counts[index] >= self._slots:
            return None
        if self._queue:
            return self._queue.popleft(), index
        self._put_idle(index)
        return None

    def usable_changed(self, usable: list[int]) -> None:
        """Take the new list; `freed` is then called for each of it, which finds the idle ones."""
        self._usable = set(usable)
        self._idle = []

    @property
    def waiting_count(self) -> int:
        """Requests in the queue."""
        return len(self._queue)


class AtBackends:
    """Base of policies that queue at the backends.

    What cannot go anywhere yet waits for the first backend.
    """

    def __init__(self, occupancy: Occupancy, rng: Random) -> None:
        """Begin with no backend."""
        self._counts = occupancy.counts
        self._rng = rng
        self._queue: deque[int] = deque()
        self._usable: list[int] = []

    def arrived(self, position: int) -> int:
        """Choose at once, unless nobody may be chosen."""
        index = self._choose() if self._usable else 0
        if not index:
            self._queue.append(position)
        return index

    def _choose(self) -> int:
        raise NotImplementedError

    def freed(self, index: int) -> tuple[int, int] | None:  # noqa: ARG002
        """Let a request that waited go."""
        if not self._queue or not self._usable:
            return None
        chosen = self._choose()
        return (self._queue.popleft(), chosen) if chosen else None

    def usable_changed(self, usable: list[int]) -> None:
        """Take the new list."""
        self._usable = usable

    @property
    def waiting_count(self) -> int:
        """Requests that found no backend."""
        return len(self._queue)


class RandomBackend(AtBackends):
    """Uniform over all backends, FIFO at each: kube-proxy, and the deck's baseline."""

    def _choose(self) -> int:
        return self._usable[self._rng.randrange(len(self._usable))]


class PowerOfTwo(AtBackends):
    """The shorter true queue of two random backends, each of which refuses beyond `outstanding_max`.

    Ray Serve's router. A refused request waits for the next slot that falls free, where Ray backs off and
    tries again.
    """

    def __init__(self, occupancy: Occupancy, rng: Random, outstanding_max: int = 5) -> None:
        """Refuse beyond `outstanding_max` requests at one backend, running ones included."""
        super().__init__(occupancy, rng)
        self._outstanding_max = outstanding_max

    def _choose(self) -> int:
        usable, rng, counts = self._usable, self._rng, self._counts
        first = usable[rng.randrange(len(usable))]
        second = usable[rng.randrange(len(usable))]
        best = second if counts[second] < counts[first] else first
        return best if counts[best] < self._outstanding_max else 0


class Activators:
    """Knative's: each of A activators owns a disjoint slice of the pods and a queue of its own.

    Within its slice the first pod in order with a free slot gets the request (containerConcurrency <= 3).
    """

    def __init__(self, occupancy: Occupancy, rng: Random, count: int = 2) -> None:
        """Arrivals go to the activators at random."""
        self._rng = rng
        self._activators = [CentralQueue(occupancy, rng, lowest_first=True) for _ in range(count)]
        self._owners: dict[int, tuple[int, ...]] = {}

    def arrived(self, position: int) -> int:
        """Let a random activator take it."""
        return self._activators[self._rng.randrange(len(self._activators))].arrived(position)

    def freed(self, index: int) -> tuple[int, int] | None:
        """Let the owner of the pod serve its own queue; a shared pod serves any."""
        given = None
        for number in self._owners.get(index, ()):
            given = given or self._activators[number].freed(index)
        return given

    def usable_changed(self, usable: list[int]) -> None:
        """Deal the pods out anew; with fewer pods than activators all of them share."""
        count = len(self._activators)
        shared = len(usable) < count
        everyone = tuple(range(count))
        self._owners = {index: everyone if shared else (place % count,) for place, index in enumerate(usable)}
        for number, activator in enumerate(self._activators):
            activator.usable_changed(usable if shared else usable[number::count])

    @property
    def waiting_count(self) -> int:
        """Requests in all queues."""
        return sum(activator.waiting_count for activator in self._activators)
