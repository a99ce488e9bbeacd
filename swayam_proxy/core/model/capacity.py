"""The least number of backends that keeps a promise, and what binds it.

Knows the model of one service; nothing of clocks, prefixes in force or other services.

Attainment grows with n, so that the least n is found by bisection, started where the last answer was. An
answer is infeasible where the execution time (and the messages) alone break the promise: no n helps, and
`needs` is the n from which on waiting adds less than a quarter to the misses that remain: beyond, policies
that wait at backends would take hundreds of backends to save a few requests of a promise that is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf, log

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.execution import ServiceTime
from swayam_proxy.core.model.response import ResponseTarget
from swayam_proxy.core.model.service_time import Distribution
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.model.waiting_late import holds_for
from swayam_proxy.core.vocabulary import DispatchPolicy

N_MAX = 1_000_000
"""An answer beyond this is a mistake in the input."""
WAITING_WORTH = 0.25
"""Where the promise cannot be kept: backends are added until waiting adds no more than this share to the
misses that executions cause by themselves."""
ROUND_TRIP_S = 0.0005


@dataclass(frozen=True, slots=True)
class Capacity:
    """The answer for one service.

    `binding`: "idle" (no traffic), "promise" (n-1 would break it), "load" (n-1 could not carry the load),
    "execution" (no n keeps it). `attainment` holds (n, share) around `needs`.
    """

    needs: int
    feasible: bool
    binding: str
    attainment: tuple[tuple[int, float], ...]
    utilisation: float


def least_backends(
    rate_per_s: float,
    service: Distribution | ServiceTime,
    response_time_s: float,
    level: float,
    *,
    policy: DispatchPolicy,
    frontends_count: int = 1,
    slots: int = 1,
    round_trip_s: float = ROUND_TRIP_S,
    holds_count: int | None = None,
    dispersion: float = 1.0,
    start: int | None = None,
    n_max: int = N_MAX,
    target: ResponseTarget | None = None,
) -> Capacity:
    """Return the least n with P(R <= response_time_s) >= level at this rate of arrivals.

    An answer of n_max + 1 means that n_max do not suffice. `start` is where to look first (the last
    answer); `target` may be kept between calls while service and threshold stay the same.
    """
    if not 0.0 <= rate_per_s < inf or not response_time_s > 0.0 or not 0.0 < level < 1.0:
        raise ModelError(
            f"no capacity for rate {rate_per_s!r}, threshold {response_time_s!r}, level {level!r}"
        )
    believed = service.distribution if isinstance(service, ServiceTime) else service
    holds = holds_for(response_time_s, believed.mean_s) if holds_count is None else holds_count
    setting = Setting(policy, slots, frontends_count, round_trip_s, holds, dispersion=dispersion)
    goal = target if target is not None else ResponseTarget(believed, response_time_s)
    if rate_per_s <= 0.0:
        return Capacity(0, goal.best_share >= level, "idle", ((0, goal.best_share),), 0.0)
    erlangs = rate_per_s * believed.mean_s
    floor = max(1, ceil(erlangs / slots))
    most = goal.share_unqueued(setting)
    search = _Search(lambda backends: goal.attainment(rate_per_s, backends, setting).tolist(), most, n_max)
    feasible = most >= level
    needs = search.least(level if feasible else most - WAITING_WORTH * (1.0 - most), floor, start)
    binding = "execution" if not feasible else "load" if needs == floor else "promise"
    around = search.at([n for n in (needs - 1, needs, needs + 1) if n >= 1])
    return Capacity(needs, feasible, binding, around, min(1.0, erlangs / (needs * slots)))


class _Search:
    """The least n that suffices, asking for several n at a time: that costs little more than one."""

    def __init__(self, shares: Callable[[list[int]], list[float]], most: float, n_max: int) -> None:
        """Search up to `n_max` among `shares`, which approach `most` as n grows."""
        self._shares = shares
        self._most = most
        self._known: dict[int, float] = {}
        self._n_max = n_max

    def at(self, backends: list[int]) -> tuple[tuple[int, float], ...]:
        """Return (n, share) for each n asked for."""
        missing = [n for n in backends if n not in self._known]
        if missing:
            self._known.update(zip(missing, self._shares(missing), strict=True))
        return tuple((n, self._known[n]) for n in backends)

    def least(self, wanted: float, floor: int, start: int | None) -> int:
        """Least n from `floor` on whose share is as wanted; n_max + 1 if none is."""
        if floor > self._n_max:
            return self._n_max + 1
        low, high = floor - 1, self._n_max + 1
        if start is None:
            batch = {floor, floor + 1, int(1.15 * floor) + 2, int(1.5 * floor) + 4}
        else:
            batch = {start - 1, start, start + 1}
        while high - low > 1:
            inside = sorted({min(max(n, low + 1), high - 1) for n in batch})
            for n, share in self.at(inside):
                if share >= wanted:
                    high = n
                    break
                low = n
            batch = self._closer(low, high, floor, wanted)
        return high

    def _closer(self, low: int, high: int, floor: int, wanted: float) -> set[int]:
        """Where to look next: further out while one side is open, else about where the shares cross."""
        if high > self._n_max:
            step = max(1, low // 8)
            return {low + 1, low + step, low + 4 * step, low + 16 * step}
        if low < floor:
            step = max(1, high // 16)
            return {high - 1, high - step, high - 3 * step, floor}
        left, right = self._lack(low, wanted), self._lack(high, wanted)
        crossing = low + (high - low) * left / (left - right) if left > right else 0.5 * (low + high)
        guess = ceil(crossing)
        return {guess - 1, guess, (low + high) // 2}

    def _lack(self, n: int, wanted: float) -> float:
        """Logarithm of what is missing to `most`, above what may be missing: about straight in n."""
        return log(max(self._most - self._known[n], 1e-12) / max(self._most - wanted, 1e-12))
