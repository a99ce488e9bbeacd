"""Waiting times by playing queues out, request by request: what the formulas are held against.

Shares no code with the package. Plain numpy and a heap; each dispatch policy in its simplest words.
Time is in seconds; every function takes a seeded generator and returns the waiting times of the requests
after a warm-up (response time minus execution time, in the order of arrival or completion).

Since no policy looks at the execution time of the request that it places, waiting and execution of one
request are independent, and the share of requests within T is the mean of F_S(T - W): far less noisy than
counting.
"""

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace

import numpy as np

Waits = np.ndarray
Sampler = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def lognormal(mean_s: float, cv: float) -> Sampler:
    """Execution times with this mean and coefficient of variation."""
    sigma = np.sqrt(np.log1p(cv * cv))
    mu = np.log(mean_s) - sigma * sigma / 2.0
    return lambda rng, shape: np.exp(mu + sigma * rng.standard_normal(shape))


def central(
    rng: np.random.Generator, rate: float, servers: int, sampler: Sampler, steps: int, runs: int = 400
) -> Waits:
    """One queue, first come first served: `runs` independent copies side by side (Kiefer and Wolfowitz).

    Each copy remembers when each server falls free; a request takes the server that is free first.
    """
    free = np.zeros((runs, servers))
    row = np.arange(runs)
    now = np.zeros(runs)
    warm = steps // 4
    waits = np.empty((steps - warm, runs))
    for begin in range(0, steps, 256):
        block = min(256, steps - begin)
        gaps = rng.exponential(1.0 / rate, (block, runs))
        services = sampler(rng, (block, runs))
        for k in range(block):
            now += gaps[k]
            best = free.argmin(axis=1)
            start = np.maximum(now, free[row, best])
            free[row, best] = start + services[k]
            if begin + k >= warm:
                waits[begin + k - warm] = start - now
    return waits.ravel()


def random_fifo(
    rng: np.random.Generator, rate: float, n: int, sampler: Sampler, steps: int, slots: int = 1
) -> Waits:
    """A random backend, first come first served there: one backend sees a Poisson stream of rate / n."""
    return central(rng, rate / n, slots, sampler, steps)


def _arrivals(
    rng: np.random.Generator, rate: float, frontends: int, sampler: Sampler, count: int
) -> tuple[list[float], list[int], list[float]]:
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    return times.tolist(), rng.integers(0, frontends, count).tolist(), sampler(rng, (count,)).tolist()


class _Counting:
    """Frontends that go by their own counts, capped at their share of the slots; FIFO at the backends.

    Beyond the cap a request waits in its frontend, first come first served.
    """

    def __init__(
        self, rng: np.random.Generator, n: int, frontends: int, slots: int, two_choices: bool
    ) -> None:
        self.n, self.two_choices = n, two_choices
        self.cap = max(1, -(-slots // frontends))
        self.own = [[0] * n for _ in range(frontends)]
        self.slot_free = [[0.0] * slots for _ in range(n)]
        self.queues: list[deque[int]] = [deque() for _ in range(frontends)]
        self.ends: list[tuple[float, int, int]] = []
        self.rng = rng
        self._draws: list[float] = []

    def draw(self, below: int) -> int:
        if not self._draws:
            self._draws = self.rng.random(1 << 14).tolist()
        return int(self._draws.pop() * below)

    def choose(self, mine: list[int]) -> int:
        """Return the backend with fewest own requests, of two or of all; -1 when all are at the cap."""
        if self.two_choices and self.n > 1:
            first = self.draw(self.n)
            second = (first + 1 + self.draw(self.n - 1)) % self.n
            better = first if mine[first] <= mine[second] else second
            if mine[better] < self.cap:
                return better
        least = min(mine)
        if least >= self.cap:
            return -1
        ties = [b for b, x in enumerate(mine) if x == least]
        return ties[self.draw(len(ties))]

    def place(self, f: int, b: int, now: float, service: float) -> float:
        """Send a request to a backend; return when it starts."""
        start = max(now, self.slot_free[b][0])
        heapreplace(self.slot_free[b], start + service)
        self.own[f][b] += 1
        heappush(self.ends, (start + service, f, b))
        return start


def own_counts(
    rng: np.random.Generator,
    rate: float,
    n: int,
    sampler: Sampler,
    count: int,
    *,
    frontends: int,
    two_choices: bool,
    slots: int = 1,
) -> Waits:
    """p2c or least-outstanding by each frontend's own counts."""
    times, origins, services = _arrivals(rng, rate, frontends, sampler, count)
    world = _Counting(rng, n, frontends, slots, two_choices)
    waits = [0.0] * count

    def finish_until(limit: float) -> None:
        while world.ends and world.ends[0][0] <= limit:
            now, f, b = heappop(world.ends)
            world.own[f][b] -= 1
            if world.queues[f]:
                k = world.queues[f].popleft()
                waits[k] = world.place(f, world.choose(world.own[f]), now, services[k]) - times[k]

    for k, now in enumerate(times):
        finish_until(now)
        f = origins[k]
        b = -1 if world.queues[f] else world.choose(world.own[f])
        if b < 0:
            world.queues[f].append(k)
        else:
            waits[k] = world.place(f, b, now, services[k]) - now
    finish_until(float("inf"))
    return np.array(waits[count // 10 :])


def join_idle_queue(
    rng: np.random.Generator, rate: float, n: int, sampler: Sampler, count: int, *, frontends: int
) -> Waits:
    """An idle backend lists itself at one random frontend; without a listed one, any backend at random.

    A backend that is given a request while it is listed elsewhere withdraws its listing. One slot each.
    """
    times, origins, services = _arrivals(rng, rate, frontends, sampler, count)
    draws = iter(rng.random(3 * count + n).tolist())
    free_at = [0.0] * n
    jobs = [0] * n
    listed_at = [-1] * n
    idle: list[dict[int, None]] = [{} for _ in range(frontends)]
    for b in range(n):
        listed_at[b] = int(next(draws) * frontends)
        idle[listed_at[b]][b] = None
    ends: list[tuple[float, int]] = []
    waits = [0.0] * count
    for k, now in enumerate(times):
        while ends and ends[0][0] <= now:
            _, b = heappop(ends)
            jobs[b] -= 1
            if jobs[b] == 0:
                listed_at[b] = int(next(draws) * frontends)
                idle[listed_at[b]][b] = None
        known = idle[origins[k]]
        b = next(iter(known)) if known else int(next(draws) * n)
        if listed_at[b] >= 0:
            del idle[listed_at[b]][b]
            listed_at[b] = -1
        start = max(now, free_at[b])
        free_at[b] = start + services[k]
        jobs[b] += 1
        waits[k] = start - now
        heappush(ends, (free_at[b], b))
    return np.array(waits[count // 10 :])


def retry(
    rng: np.random.Generator,
    rate: float,
    n: int,
    sampler: Sampler,
    count: int,
    *,
    round_trip_s: float,
    slots: int = 1,
) -> Waits:
    """A random backend; refused by a busy one, at once another at random, until one is free."""
    times, _, services = _arrivals(rng, rate, 1, sampler, count)
    half = round_trip_s / 2.0
    free_slots = [slots] * n
    heap: list[tuple[float, int, int]] = [(t + half, k, -1) for k, t in enumerate(times)]
    heapify(heap)
    draw, draws = 0, rng.integers(0, n, 1 << 16).tolist()
    waits = [0.0] * count
    while heap:
        now, k, b = heappop(heap)
        if b >= 0:
            free_slots[b] += 1
            continue
        b = draws[draw]
        draw = (draw + 1) & 0xFFFF
        if draw == 0:
            draws = rng.integers(0, n, 1 << 16).tolist()
        if free_slots[b]:
            free_slots[b] -= 1
            waits[k] = now + half - times[k]
            heappush(heap, (now + services[k], k, b))
        else:
            heappush(heap, (now + round_trip_s, k, -1))
    return np.array(waits[count // 10 :])
