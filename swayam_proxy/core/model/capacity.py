"""The least number of backends that keeps a promise, and what binds it.

Knows the model of one service; nothing of clocks, prefixes in force or other services.

Attainment grows with n, so that the least n is found by bisection, started where the last answer was. An
answer is infeasible where the execution time (and the messages) alone break the promise: no n helps, and
`needs` is the n from which on waiting costs less than one part in a thousand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.response import ResponseTarget
from swayam_proxy.core.model.service_time import Distribution
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.model.waiting_late import holds_for
from swayam_proxy.core.vocabulary import DispatchPolicy

N_MAX = 1_000_000
"""An answer beyond this is a mistake in the input."""
WAITING_WORTH = 1e-3
"""Where the promise cannot be kept: backends are added while they help more requests than this share."""
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
    service: Distribution,
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
    holds = holds_for(response_time_s, service.mean_s) if holds_count is None else holds_count
    setting = Setting(policy, slots, frontends_count, round_trip_s, holds, dispersion=dispersion)
    goal = target if target is not None else ResponseTarget(service, response_time_s)
    if rate_per_s <= 0.0:
        return Capacity(0, goal.best_share >= level, "idle", ((0, goal.best_share),), 0.0)
    erlangs = rate_per_s * service.mean_s
    floor = max(1, ceil(erlangs / slots))
    search = _Search(lambda backends: goal.attainment(rate_per_s, backends, setting).tolist(), n_max)
    most = goal.share_unqueued(setting)
    feasible = most >= level
    needs = search.least(level if feasible else most - WAITING_WORTH, floor, start)
    binding = "execution" if not feasible else "load" if needs == floor else "promise"
    around = search.at([n for n in (needs - 1, needs, needs + 1) if n >= 1])
    return Capacity(needs, feasible, binding, around, min(1.0, erlangs / (needs * slots)))


class _Search:
    """The least n that suffices, asking for several n at a time: that costs little more than one."""

    def __init__(self, shares: Callable[[list[int]], list[float]], n_max: int) -> None:
        self._shares = shares
        self._known: dict[int, float] = {}
        self._n_max = n_max

    def at(self, backends: list[int]) -> tuple[tuple[int, float], ...]:
        missing = [n for n in backends if n not in self._known]
        if missing:
            self._known.update(zip(missing, self._shares(missing), strict=True))
        return tuple((n, self._known[n]) for n in backends)

    def least(self, wanted: float, floor: int, start: int | None) -> int:
        """Least n from `floor` on whose share is as wanted; n_max + 1 if none is."""
        if floor > self._n_max:
            return self._n_max + 1
        low, high = floor - 1, self._n_max + 1
        first = floor + 1 if start is None else start
        first = min(max(first, floor), self._n_max)
        step = 1
        batch = [n for n in (first - 1, first, first + 1) if floor <= n <= self._n_max]
        while batch:
            for n, share in self.at(batch):
                if share >= wanted:
                    high = min(high, n)
                    break
                low = max(low, n)
            if high - low <= 1:
                break
            batch, step = self._next(low, high, floor, step)
        return high

    def _next(self, low: int, high: int, floor: int, step: int) -> tuple[list[int], int]:
        """Gallop away from the side that is known, then cut what is left in four."""
        if high > self._n_max:
            upward = [min(self._n_max, low + step * k) for k in (1, 2, 4, 8)]
            return sorted(set(upward)), 8 * step
        if low < floor:
            downward = [max(floor, high - step * k) for k in (8, 4, 2, 1)]
            return sorted(set(downward)), 8 * step
        cuts = {low + (high - low) * k // 5 for k in (1, 2, 3, 4)}
        return sorted(n for n in cuts if low < n < high) or [low + 1], step


def prefix_for(needs: int, worths: Sequence[float]) -> int:
    """Least prefix of backends whose worths add up to `needs` equal ones; one more than all if none does.

    A backend's worth is its slots times its speed, over those of the equal backend that `needs` counts.
    """
    total = 0.0
    for index, worth in enumerate(worths, start=1):
        total += worth
        if total >= needs - 1e-9:
            return index
    return len(worths) + 1
