"""The least n by brute force: play out n backends, more or fewer, until the promise just holds.

Knows the simulators under tests/; nothing of core/model, except the n at which to begin looking.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from _validate_model.cases import ROUND_TRIP, Case
from tests.core.model import brute_force, brute_force_late

BATCHES = 20
REQUESTS = {"late-binding": 150_000, "retry": 40_000, "join-idle-queue": 400_000}
REQUESTS_OTHERS = 200_000
PLAYED = 1_200_000
"""Requests of the fast simulators, at first."""
STEPS_MAX = 100_000
RELAXATIONS = 20.0
"""How many times longer than a queue takes to settle each of their copies is played, within the bounds."""
DOUBLINGS = 3
SURE = 3.0
"""Standard errors between a share and the level at which no more requests are played."""


@dataclass(frozen=True, slots=True)
class Played:
    """One n played out: the share in time, its standard error, the 99th percentile of the response time."""

    n: int
    share: float
    error: float
    p99: float


@dataclass(frozen=True, slots=True)
class Found:
    """The least n and its neighbour below (absent where that cannot carry the load)."""

    least: Played
    below: Played | None

    def clear(self, level: float) -> bool:
        """Tell whether chance cannot have moved the answer."""
        sides = [self.least] if self.below is None else [self.least, self.below]
        return all(abs(side.share - level) > SURE * side.error for side in sides)


def least_backends(case: Case, begin: int) -> Found:
    """Walk from `begin` to the least n that keeps the promise."""
    floor = int(np.floor(case.erlangs)) + 1
    at = play(case, max(begin, floor))
    above: Played | None = None
    while at.share < case.level:
        at = play(case, at.n + 1)
    while at.n > floor:
        above = at
        at = play(case, at.n - 1)
        if at.share < case.level:
            return Found(above, at)
    return Found(at, None)


def play(case: Case, n: int) -> Played:
    """Play out n backends, with more requests while the answer is in doubt."""
    size = 1
    while True:
        waits = _waits(case, n, size)
        hits = case.within(case.response_time - waits)
        batches = [float(part.mean()) for part in np.array_split(hits, BATCHES)]
        share, error = float(hits.mean()), float(np.std(batches, ddof=1) / np.sqrt(BATCHES))
        if abs(share - case.level) > SURE * error or size >= 2**DOUBLINGS:
            return Played(n, share, error, _p99(case, waits))
        size *= 2


def _p99(case: Case, waits: np.ndarray) -> float:
    sample = waits[:: max(1, waits.size // 200_000)]

    def excess(time: float) -> float:
        return float(case.within(time - sample).mean()) - 0.99

    high = 2.0
    while excess(high) < 0.0:
        high *= 1.5
    return float(brentq(excess, 0.0, high, xtol=1e-3))


def _steps(case: Case, erlangs: float, servers: int) -> int:
    """Arrivals per copy, so that the start from empty is forgotten well before the end."""
    spare = 1.0 - erlangs / servers
    settling = (1.0 + case.cv**2) / (servers * spare * spare)
    return int(min(STEPS_MAX, max(1_500.0, erlangs * (50.0 + RELAXATIONS * settling))))


def _waits(case: Case, n: int, size: int) -> np.ndarray:
    rng = np.random.default_rng([case.number, n, size])
    times = brute_force.lognormal(1.0, case.cv)
    count = size * REQUESTS.get(case.policy, REQUESTS_OTHERS)
    match case.policy:
        case "central-queue":
            steps = _steps(case, case.erlangs, n)
            return brute_force.central(rng, case.erlangs, n, times, steps, size * PLAYED // steps)
        case "random":
            steps = _steps(case, case.erlangs / n, 1)
            return brute_force.central(rng, case.erlangs / n, 1, times, steps, size * PLAYED // steps)
        case "p2c" | "least-outstanding":
            return brute_force.own_counts(
                rng, case.erlangs, n, times, count, frontends=case.frontends, two_choices=case.policy == "p2c"
            )
        case "join-idle-queue":
            return brute_force.join_idle_queue(rng, case.erlangs, n, times, count, frontends=case.frontends)
        case "retry":
            return brute_force.retry(rng, case.erlangs, n, times, count, round_trip_s=ROUND_TRIP)
        case _:
            waits, _ = brute_force_late.late_binding(
                rng,
                case.erlangs,
                n,
                times,
                count,
                frontends=case.frontends,
                holds=6 if case.response_time < 2.5 else 3,
                round_trip_s=ROUND_TRIP,
            )
            return waits
