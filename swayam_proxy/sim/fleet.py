"""The backends as they really are: slots, FIFO queues, set-up times, self-decommission, crashes, and their
bill.

Shared by Swayam's world and the baselines', so that all pay for the same machines in the same way: from the
order of a set-up to the moment the backend is cold. Knows nothing of frontends or of who ordered what.
"""

from collections.abc import Callable
from heapq import heapreplace
from math import log, log1p, sqrt
from random import Random

from swayam_proxy.core.vocabulary import BackendState
from swayam_proxy.sim.engine import Engine

COLD, WARMING, WARM = BackendState.COLD, BackendState.WARMING, BackendState.WARM
DRAINING, LOST = BackendState.DRAINING, BackendState.LOST

Listener = Callable[[int], None]
"""Called with the index of a backend whose state has changed."""


class FleetBackend:
    """One backend; `free_at` holds, per slot, when it has done all that was given to it."""

    __slots__ = (
        "free_at",
        "incarnation",
        "last_end_s",
        "life",
        "on_since_s",
        "served_count",
        "setup_s",
        "state",
    )

    def __init__(self, slots: int) -> None:
        """Begin cold."""
        self.state = COLD
        self.incarnation = 0
        """What frontends call its latest set-up; an order may raise it."""
        self.life = 0
        """Counts its set-ups, so that timers of a former one are told from those of this."""
        self.free_at = [0.0] * slots
        self.last_end_s = 0.0
        """When its last request ends or ended, or when it became warm."""
        self.on_since_s = 0.0
        self.setup_s = 0.0
        """How long the last set-up takes or took."""
        self.served_count = 0


class Fleet:
    """All backends of one service; indices count from 1."""

    def __init__(
        self,
        engine: Engine,
        rng: Random,
        *,
        backends_count: int,
        slots: int,
        setup_s: float,
        setup_cv: float,
        idle_s: float,
        bill_until_s: float,
    ) -> None:
        """Begin with every backend cold at time 0; set-up times are log-normal around `setup_s`."""
        self._engine = engine
        self._rng = rng
        self._setup_s = setup_s
        self._setup_sigma = sqrt(log1p(setup_cv * setup_cv))
        self._idle_s = idle_s
        self._bill_until_s = bill_until_s
        self.backends = [FleetBackend(slots) for _ in range(backends_count + 1)]
        """Place 0 is never used."""
        self.listener: Listener = _ignore
        self.on_count = 0
        """Backends that are billed now."""
        self.warm_count = 0
        self.peak_count = 0
        self.setups_count = 0
        self.changes: list[tuple[float, int]] = []
        """(when, billed backends from then on): the step function of the plots."""
        self._billed_s = 0.0

    # -- set-up and decommission --

    def begin_warm(self, count: int) -> None:
        """Let backends 1..count be warm at the start, without a set-up."""
        for index in range(1, count + 1):
            self._turn_on(index)
            self._became_warm(index, None)

    def set_up(self, index: int, incarnation: int = 0) -> bool:
        """Begin the set-up of a cold backend; return whether it was cold. Idempotent."""
        backend = self.backends[index]
        if backend.state is not COLD:
            return False
        backend.incarnation = max(backend.incarnation + 1, incarnation)
        backend.setup_s = self._setup_time_s()
        self._turn_on(index)
        self.setups_count += 1
        self._enter(index, WARMING)
        self._engine.call_at(self._engine.now + backend.setup_s, self._set_up_ended, index, backend.life)
        return True

    def renew(self, index: int, incarnation: int) -> bool:
        """Let a backend hear that its present set-up is still wanted: it stays for another while.

        Return whether it is warm by that set-up; else it has heard nothing.
        """
        backend = self.backends[index]
        if backend.state is not WARM or backend.incarnation != incarnation:
            return False
        backend.last_end_s = max(backend.last_end_s, self._engine.now)
        return True

    def _setup_time_s(self) -> float:
        sigma = self._setup_sigma
        if sigma == 0.0 or self._setup_s == 0.0:
            return self._setup_s
        return self._rng.lognormvariate(log(self._setup_s) - sigma * sigma / 2.0, sigma)

    def _set_up_ended(self, index: int, life: int) -> None:
        backend = self.backends[index]
        if backend.state is WARMING and backend.life == life:
            self._became_warm(index, None)

    def _became_warm(self, index: int, _: object) -> None:
        now = self._engine.now
        backend = self.backends[index]
        backend.free_at = [now] * len(backend.free_at)
        backend.last_end_s = now
        self.warm_count += 1
        self._enter(index, WARM)
        self._engine.call_at(now + self._idle_s, self._look_if_idle, index, backend.life)

    def _look_if_idle(self, index: int, life: int) -> None:
        """Decommission a backend that had no request for `idle_s`; else look again when that can be."""
        backend = self.backends[index]
        if backend.life != life or backend.state is not WARM:
            return
        idle_at = backend.last_end_s + self._idle_s
        if idle_at > self._engine.now:
            self._engine.call_at(idle_at, self._look_if_idle, index, life)
        else:
            self._turn_off(index, COLD)

    def retire(self, index: int) -> None:
        """Decommission at once, or as soon as what it was given is done.

        What baselines do when they scale in.
        """
        backend = self.backends[index]
        now = self._engine.now
        if backend.state is WARMING or (backend.state is WARM and backend.last_end_s <= now):
            self._turn_off(index, COLD)
        elif backend.state is WARM:
            self.warm_count -= 1
            self._enter(index, DRAINING)
            self._engine.call_at(backend.last_end_s, self._drained, index, backend.life)

    def _drained(self, index: int, life: int) -> None:
        backend = self.backends[index]
        if backend.state is DRAINING and backend.life == life:
            self._turn_off(index, COLD)

    def crash(self, index: int) -> bool:
        """Let a backend die; return whether it ran.

        It can be set up again: a fault of the process, not the machine.
        """
        if self.backends[index].state is COLD:
            return False
        self._turn_off(index, COLD)
        return True

    # -- requests --

    def run(self, index: int, reached_s: float, execution_s: float) -> float:
        """Give a request to a backend's FIFO queue; return when it ends.

        `reached_s` must not fall from call to call for one backend.
        """
        backend = self.backends[index]
        slots = backend.free_at
        free_s = slots[0]
        end_s = (free_s if free_s > reached_s else reached_s) + execution_s
        if len(slots) == 1:
            slots[0] = end_s
        else:
            heapreplace(slots, end_s)
        if end_s > backend.last_end_s:
            backend.last_end_s = end_s
        backend.served_count += 1
        return end_s

    # -- the bill --

    def backend_seconds(self) -> float:
        """Return what was billed until now, set-up included, nothing after the end of the trace."""
        until_s = min(self._engine.now, self._bill_until_s)
        running = (b.on_since_s for b in self.backends[1:] if b.state is not COLD)
        return self._billed_s + sum(max(0.0, until_s - since_s) for since_s in running)

    def _turn_on(self, index: int) -> None:
        backend = self.backends[index]
        backend.life += 1
        backend.on_since_s = self._engine.now
        self.on_count += 1
        self.peak_count = max(self.peak_count, self.on_count)
        self.changes.append((self._engine.now, self.on_count))

    def _turn_off(self, index: int, state: BackendState) -> None:
        backend = self.backends[index]
        self.warm_count -= backend.state is WARM
        until_s = min(self._engine.now, self._bill_until_s)
        self._billed_s += max(0.0, until_s - backend.on_since_s)
        self.on_count -= 1
        self.changes.append((self._engine.now, self.on_count))
        self._enter(index, state)

    def _enter(self, index: int, state: BackendState) -> None:
        self.backends[index].state = state
        self.listener(index)


def _ignore(index: int) -> None:
    """Nobody listens."""
