"""The least number of backends for decisions that come every second: the model's answers, kept in cells.

Knows the model of one service, like `capacity`; nothing of who asks or when. From tick to tick the inputs of
a decision drift by less than they are known, and solving the queue anew each time would be most of a
frontend's work beside the requests. So the queue is solved at rounded inputs, and the answers are kept:

- The load in erlangs is not rounded. It falls between two edges of a grid, 1.5 to 3 % apart, less where it
  is large, and the share of late requests is interpolated between them (its logarithm, which is nearly
  straight). Where the upper edge is beyond what n backends can carry, they count as too few.
- The mean execution time over the threshold is rounded to the nearest of steps of 1 to 2 % (the load
  keeps the true one), sigma to 2 to 4 %, the dispersion to 3 to 6 %. That is less than 500 samples, or two
  minutes of counts, leave open, and as often up as down.
- A cell is six numbers of backends 4j - 1 to 4j + 4 at both edges, solved in one call. The shares that are
  reported for n, n - 1 and n + 1 come from the cell j = n // 4 always, so that the answer is a function of
  the inputs alone: neither the order of questions nor what is kept changes a digit of it. Where to look
  first is learnt from the last answer: how many roots of the load n was above the load.

What is steep goes to `least_backends` as it is: promises of which executions alone use up a good part, for
there n follows the smallest change of the fit; and histograms, which are never the same twice.
`tests/core/model/test_capacity_cells.py` compares both.
"""

from functools import lru_cache
from math import ceil, exp, frexp, inf, log, sqrt

from swayam_proxy.core.model.capacity import ROUND_TRIP_S, Capacity, least_backends
from swayam_proxy.core.model.execution import ServiceTime
from swayam_proxy.core.model.response import ResponseTarget
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.vocabulary import DispatchPolicy

LOAD_STEPS = 32
LOAD_STEPS_ROOT = 4.0
"""Edges of the load between a power of two and the next: so many, or so many times the root of the load."""
MEAN_STEPS = 48
SIGMA_STEPS = 24
DISPERSION_STEPS = 16
"""Values of the others between a power of two and the next."""
_CELLS_KEPT = 20_000
_TARGETS_KEPT = 128
"""Some 12 MB and as much when full."""
STEEP = 0.5
"""Executions alone may use up so much of what may be late."""
_LEAST_LACK = 1e-12
_GUESS_SPREADS = 2.5
_GUESS_SPREADS_TOGETHER = 0.8
"""Where to look first of all: roots of the load above it; fewer where a free slot takes whoever waits."""
_BLOCK = 4
_SPREADS_KEPT = 1_000
_VISITS_MAX = 60


def least_backends_nearly(
    rate_per_s: float,
    service: ServiceTime,
    response_time_s: float,
    level: float,
    *,
    policy: DispatchPolicy,
    frontends_count: int,
    slots: int,
    holds_count: int,
    dispersion: float,
    start: int | None,
    n_max: int,
) -> Capacity:
    """Return what `least_backends` would, with inputs rounded as told above; raises what it raises.

    `start` is where to look first; it does not change the answer.
    """
    believed = service.distribution
    if (
        isinstance(believed, LogNormal)
        and 0.0 < rate_per_s < inf
        and response_time_s > 0.0
        and 0.0 < level < 1.0
    ):
        setting = Setting(
            policy,
            slots,
            frontends_count,
            ROUND_TRIP_S,
            holds_count,
            dispersion=rounded(max(1.0, dispersion), DISPERSION_STEPS),
        )
        mean_s, sigma = rounded(believed.mean_s, MEAN_STEPS), rounded(believed.sigma, SIGMA_STEPS)
        cells = _Cells(mean_s, sigma, response_time_s, setting)
        if 1.0 - cells.most <= STEEP * (1.0 - level):
            return cells.least(rate_per_s * believed.mean_s, level, start, n_max)
    return least_backends(
        rate_per_s,
        service,
        response_time_s,
        level,
        policy=policy,
        frontends_count=frontends_count,
        slots=slots,
        holds_count=holds_count,
        dispersion=dispersion,
        start=start,
        n_max=n_max,
    )


def rounded(value: float, steps: int) -> float:
    """Return the nearest of `steps` values, evenly spaced, between a power of two and the next."""
    fraction, exponent = frexp(value)
    return round(fraction * 2 * steps) / (2 * steps) * 2.0**exponent


class _Cells:
    """The cells of one service at one promise."""

    __slots__ = ("_asked", "_setting", "most")

    def __init__(self, mean_s: float, sigma: float, response_time_s: float, setting: Setting) -> None:
        self._asked = (mean_s, sigma, response_time_s)
        self._setting = setting
        self.most = _share_unqueued(mean_s, sigma, response_time_s, setting)
        """What infinitely many backends reach."""

    def least(self, erlangs: float, level: float, start: int | None, n_max: int) -> Capacity:
        """Return the least n whose share of late requests is small enough; n_max + 1 if none is."""
        slots = self._setting.slots
        floor = max(1, ceil(erlangs / slots))
        root = sqrt(erlangs * self._setting.dispersion)
        alike = self._alike(level)
        together = self._setting.policy in (DispatchPolicy.LATE_BINDING, DispatchPolicy.CENTRAL_QUEUE)
        usual = _GUESS_SPREADS_TOGETHER if together else _GUESS_SPREADS
        guess_n = ceil((erlangs + _SPREADS.get(alike, usual) * root) / slots)
        if alike in _SPREADS or start is None or not floor <= start <= 2 * guess_n:
            start = guess_n
        needs = n_max + 1 if floor > n_max else self._search(erlangs, self.most - level, start, n_max)
        if needs <= n_max:
            if len(_SPREADS) >= _SPREADS_KEPT:
                _SPREADS.clear()
            _SPREADS[alike] = ((needs - 0.5) * slots - erlangs) / root
        binding = "load" if needs == floor else "promise"
        first, lacks = self._block(erlangs, needs // _BLOCK)
        shares = ((first + k, max(0.0, self.most - lack)) for k, lack in enumerate(lacks))
        around = tuple((n, share) for n, share in shares if abs(n - needs) <= 1 and n >= 1)
        return Capacity(needs, True, binding, around, min(1.0, erlangs / (needs * slots)))

    def _alike(self, level: float) -> tuple[object, ...]:
        """Return what questions have in common whose answers are about as many roots above their loads."""
        mean_s, _, response_time_s = self._asked
        setting = self._setting
        tightness = round(4.0 * log(response_time_s / mean_s))
        return setting.policy, setting.slots, setting.frontends_count, setting.holds_count, tightness, level

    def _block(self, erlangs: float, block: int) -> tuple[int, list[float]]:
        """Return (n, shares that are late for want of backends at n, n + 1, ... n + 5)."""
        fraction, exponent = frexp(erlangs)
        steps = 2 * max(LOAD_STEPS, ceil(LOAD_STEPS_ROOT * 2.0 ** (exponent // 2)))
        place = fraction * steps
        cell = int(place)
        between = place - cell
        edges = cell / steps * 2.0**exponent, (cell + 1) / steps * 2.0**exponent
        low, high = _cell(*self._asked, self._setting, *edges, block)
        return _BLOCK * block - 1, [
            exp(left + between * (right - left)) for left, right in zip(low, high, strict=True)
        ]

    def _search(self, erlangs: float, spare: float, start: int, n_max: int) -> int:
        """Follow the logarithm of what is lacking, about straight in n, from block to block."""
        lowest, highest = 0, n_max + 1
        """Every n up to the one is too few, every n from the other on is enough or too many to have."""
        n = start
        for _ in range(_VISITS_MAX):
            n = max(lowest + 1, min(n, highest - 1, n_max))
            first, lacks = self._block(erlangs, n // _BLOCK)
            last = first + len(lacks) - 1
            if lacks[0] <= spare and first >= 1:
                highest = min(highest, first)
                step, reference, lack = -1, first, lacks[0]
            elif lacks[-1] > spare:
                lowest = max(lowest, last)
                step, reference, lack = 1, last, lacks[-1]
            else:
                found = first + next(k for k, lack in enumerate(lacks) if lack <= spare)
                if found // _BLOCK == n // _BLOCK or found > n_max:
                    return min(found, n_max + 1)
                # the last of this block: its own block decides
                lowest, n = max(lowest, found - 1), found
                continue
            if highest - lowest <= 1:
                return highest
            fall = (log(lacks[0]) - log(lacks[-1])) / (len(lacks) - 1)
            distance = abs(log(lack) - log(spare)) / fall if fall > 1e-9 else float(highest)
            n = reference + step * max(1, ceil(min(distance, 1e6)))
            if not lowest < n < highest:
                n = (lowest + min(highest, 2 * lowest + 8)) // 2 if step > 0 else (lowest + highest) // 2
        raise AssertionError("a search among shares that grow with n ends")


_SPREADS: dict[tuple[object, ...], float] = {}
"""By `_alike`: changes where a search begins, never its answer."""


@lru_cache(maxsize=_TARGETS_KEPT)
def _target(mean_s: float, sigma: float, response_time_s: float) -> ResponseTarget:
    return ResponseTarget(LogNormal(log(mean_s) - sigma * sigma / 2.0, sigma), response_time_s)


@lru_cache(maxsize=8 * _TARGETS_KEPT)
def _share_unqueued(mean_s: float, sigma: float, response_time_s: float, setting: Setting) -> float:
    return _target(mean_s, sigma, response_time_s).share_unqueued(setting)


_Logs = tuple[float, ...]


@lru_cache(maxsize=_CELLS_KEPT)
def _cell(
    mean_s: float,
    sigma: float,
    response_time_s: float,
    setting: Setting,
    lower_erlangs: float,
    upper_erlangs: float,
    block: int,
) -> tuple[_Logs, _Logs]:
    """Return the logarithms of the late shares at the lower and at the upper edge of the load."""
    target = _target(mean_s, sigma, response_time_s)
    most = target.share_unqueued(setting)
    numbers = range(_BLOCK * block - 1, _BLOCK * block + _BLOCK + 1)
    backends = [n for n in numbers if n * setting.slots > upper_erlangs]
    nothing = (log(most),) * (len(numbers) - len(backends))
    if not backends:
        return nothing, nothing
    rates = [erlangs / mean_s for erlangs in (lower_erlangs, upper_erlangs) for _ in backends]
    shares = target.attainment(rates, backends * 2, setting).tolist()
    logs = tuple(log(max(most - share, _LEAST_LACK)) for share in shares)
    return (*nothing, *logs[: len(backends)]), (*nothing, *logs[len(backends) :])


def solved_count() -> int:
    """Return how often a cell had to be solved since the beginning, or since `forget`."""
    return _cell.cache_info().misses


def forget() -> None:
    """Forget all cells: the next answers are the same and take longer."""
    _cell.cache_clear()
    _target.cache_clear()
    _share_unqueued.cache_clear()
    _SPREADS.clear()
