"""The least number of backends that keeps a promise, and what binds it.

Knows the model of one service; nothing of clocks, prefixes in force or other services.

Attainment grows with n, so that the least n is found by bisection, started where the last answer was. An
answer is infeasible where the execution time alone breaks the promise: P(S <= threshold) < level. Then
no n helps, and `needs` is the n from which on waiting costs less than one part in a thousand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.response import ResponseTarget
from swayam_proxy.core.model.service_time import Distribution
from swayam_proxy.core.model.waiting import Setting
from swayam_proxy.core.vocabulary import DispatchPolicy

N_MAX = 1_000_000
"""An answer beyond this is a mistake in the input."""
WAITING_WORTH = 1e-3
"""Where the promise cannot be kept: backends are added while they help more requests than this share."""


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
    round_trip_s: float = 0.0005,
    holds_count: int = 3,
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
    setting = Setting(policy, slots, frontends_count, round_trip_s, holds_count, dispersion)
    goal = target if target is not None else ResponseTarget(service, response_time_s)
    if rate_per_s <= 0.0:
        return Capacity(0, goal.best_share >= level, "idle", ((0, goal.best_share),), 0.0)
    tried: dict[int, float] = {}

    def share(n: int) -> float:
        if n not in tried:
            tried[n] = goal.attainment(rate_per_s, n, setting)
        return tried[n]

    erlangs = rate_per_s * service.mean_s
    floor = max(1, ceil(erlangs / setting.slots))
    feasible = goal.best_share >= level
    wanted = level if feasible else goal.best_share - WAITING_WORTH
    needs = _least(lambda n: share(n) >= wanted, floor, start, n_max)
    binding = "execution" if not feasible else "load" if needs == floor else "promise"
    around = tuple((n, share(n)) for n in range(max(1, needs - 1), needs + 2))
    return Capacity(needs, feasible, binding, around, min(1.0, erlangs / (needs * setting.slots)))


def _least(enough: Callable[[int], bool], floor: int, start: int | None, n_max: int) -> int:
    """Least n >= floor that is enough, by doubling steps from `start` and then bisection."""
    if floor > n_max:
        return n_max + 1
    guess = min(max(floor, start if start is not None else floor + 1), n_max)
    step = 1
    if enough(guess):
        high = guess
        while high > floor and enough(low := max(floor, high - step)):
            high, step = low, 2 * step
        if high == floor:
            return floor
    else:
        low, high = guess, min(n_max, guess + step)
        while not enough(high):
            if high >= n_max:
                return n_max + 1
            step *= 2
            low, high = high, min(n_max, high + step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


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
