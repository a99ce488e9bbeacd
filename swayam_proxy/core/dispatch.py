"""Choice of the backend for one request, among those that the pool calls usable.

The caller books the slot in the same call. A frontend knows only its own requests in flight, so its count at
one backend is capped at its own share of that backend's slots; what exceeds it waits in the frontend's queue,
where it goes to whichever backend falls free first.
"""

from math import ceil
from typing import Protocol

from swayam_proxy.core.pool import Backend, Pool
from swayam_proxy.core.vocabulary import DispatchPolicy, QueueSpec, Rng


class Chooser(Protocol):
    """One dispatch policy."""

    def choose(self, pool: Pool, share: float, avoid: tuple[int, ...]) -> Backend | None:
        """Return a backend with room, none of `avoid`; None when there is none.

        `share` is this frontend's part of the service's traffic, in (0, 1].
        """


_EXACT = 1e-9
"""A share of slots that is whole but for rounding is whole."""


def own_cap(slots: int, share: float) -> int:
    """Return how many requests of its own a frontend may have at a backend with that many slots."""
    return max(1, ceil(slots * share - _EXACT))


def has_room(backend: Backend, share: float) -> bool:
    """Say whether a backend holds fewer of our requests than `own_cap`, without the detour."""
    held_count = backend.outstanding_count
    return not held_count or held_count < backend.slots * share - _EXACT


class RandomChooser:
    """Uniform over the usable backends, each with a bounded queue of its own [deck: the baseline]."""

    __slots__ = ("_outstanding_max", "_rng")

    def __init__(self, rng: Rng, queue: QueueSpec) -> None:
        """Draw from `rng`; keep at most `queue.outstanding_max` beyond the slots at one backend."""
        self._rng = rng
        self._outstanding_max = queue.outstanding_max

    def choose(self, pool: Pool, share: float, avoid: tuple[int, ...]) -> Backend | None:  # noqa: ARG002
        """Return a uniform choice among the backends with room."""
        usable = pool.usable
        if not usable:
            return None
        first = usable[int(self._rng.random() * len(usable))]
        if not avoid and first.outstanding_count < first.slots + self._outstanding_max:
            return first
        room = [
            b
            for b in usable
            if b.index not in avoid and b.outstanding_count < b.slots + self._outstanding_max
        ]
        return room[self._rng.randrange(len(room))] if room else None


class LeastOutstandingChooser:
    """The backend with the fewest own requests per slot, ties at random."""

    __slots__ = ("_rng",)

    def __init__(self, rng: Rng) -> None:
        """Draw ties from `rng`."""
        self._rng = rng

    def choose(self, pool: Pool, share: float, avoid: tuple[int, ...]) -> Backend | None:
        """Return an idle backend where there is one; else the least occupied one below its cap."""
        idle = pool.idle
        if idle and not avoid:
            return idle[int(self._rng.random() * len(idle))]
        best: Backend | None = None
        ties = 0
        for backend in pool.usable:
            if backend.index in avoid or not has_room(backend, share):
                continue
            if best is None:
                best, ties = backend, 1
                continue
            # a/b < c/d without a division, so that ties are exact
            left, right = backend.outstanding_count * best.slots, best.outstanding_count * backend.slots
            if left < right:
                best, ties = backend, 1
            elif left == right:
                ties += 1
                if self._rng.randrange(ties) == 0:
                    best = backend
        return best


class PowerOfTwoChooser:
    """Of two distinct usable backends at random the less occupied one; any with room if it is full."""

    __slots__ = ("_fallback", "_rng")

    def __init__(self, rng: Rng) -> None:
        """Draw from `rng`."""
        self._rng = rng
        self._fallback = LeastOutstandingChooser(rng)

    def choose(self, pool: Pool, share: float, avoid: tuple[int, ...]) -> Backend | None:
        """Return the less occupied of two; where it has no room, any that has."""
        usable = pool.usable
        count = len(usable)
        if not count or avoid:
            return self._fallback.choose(pool, share, avoid)
        if count == 1:
            first = usable[0]
        else:
            i, j = divmod(int(self._rng.random() * (count * (count - 1))), count - 1)
            first, second = usable[i], usable[j + (j >= i)]
            if second.outstanding_count * first.slots < first.outstanding_count * second.slots:
                first = second
        # `has_room`, but the usual case is spared a call
        held_count = first.outstanding_count
        if not held_count or held_count < first.slots * share - _EXACT:
            return first
        return None if count == 1 else self._fallback.choose(pool, share, avoid)


def make_chooser(policy: DispatchPolicy, rng: Rng, queue: QueueSpec) -> Chooser:
    """Return the chooser of `policy`.

    Raises:
        ValueError: the policy is a yardstick of the model and the simulator only.
    """
    match policy:
        case DispatchPolicy.RANDOM:
            return RandomChooser(rng, queue)
        case DispatchPolicy.LEAST_OUTSTANDING | DispatchPolicy.LATE_BINDING:
            # late binding tries and holds by itself; this is for requests that a connection failed
            return LeastOutstandingChooser(rng)
        case DispatchPolicy.P2C:
            return PowerOfTwoChooser(rng)
        case _:
            raise ValueError(f"dispatch policy {policy.value!r} is not one of a frontend")
