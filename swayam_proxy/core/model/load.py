"""How many requests per second will come: a forecast at a horizon, as a distribution.

Knows the times of its own arrivals in bins of one second, and the rate at which the others' arrivals come;
nothing of requests, peers or backends.

**Everyone's arrivals.** What is forecast is the load of all frontends together, from what all of them count:
each second's own arrivals plus the rate that the others have counted lately, scaled up for those that are
silent. With nobody heard that is the deck's L = F x L'. Sums of forecasts, each made from an F-th of the
counts, would be several times as noisy: with eight frontends they cost 8 % more backends on steady traffic.

**The rate now.** The longest recent window that all shorter ones agree with (Lepski's method; Goldenshluger
and Nemirovski, "On spatially adaptive estimation of nonparametric regression", Math. Methods Stat. 6, 1997).
Windows of 1, 2, 3, 5, 8, ... seconds are looked at in turn; each gives an interval of some standard errors
around its mean, and the first whose interval misses that of a shorter one ends the search; what the shorter
ones are sure of is the least that is believed. A steady stream is
averaged over minutes, a jump is believed within a second or two, silence is zero after a few missed
arrivals, a single burst is forgotten as soon as it is over. Upward evidence needs fewer standard errors than
downward evidence: too few backends break the promise, too many cost a little.

**The rate then.** Two guesses, the rate now and a straight line through the last minutes, weighted by the
inverse squares of their own fading errors at the horizon in force; never below the rate now while that
rises. Where the last seconds climb beyond doubt, and a line explains them better than a jump would, it is a
ramp and is followed to the horizon at once, as steeply as is sure.

**How far off.** Two parts. `spread_per_s` is the noise of counting; where silent frontends are made up for,
it is that of the fewer counts. `drift` is the rate's own movement, relative: it is measured by comparing past
forecasts at this horizon with what came, as their upper quintile over a quarter of an hour, less the noise of
counting. A quantile and not a mean square, so that one spike, however high, does not make the next quarter of
an hour expensive, while a rate that keeps jumping does. It is never taken as less than `DRIFT_MIN`: a quiet
past does not promise a quiet future.

`scripts/evaluate` and the tests show what it does to real traces; `AUTO_QUANTILE` is what `burst = "auto"`
should ask for.
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from math import floor, hypot, sqrt

import numpy as np
from scipy.special import ndtri

from swayam_proxy.core.model.grid import Floats

WINDOWS_S = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610)
KEPT_S = WINDOWS_S[-1]
RISES = 3.0
FALLS = 5.0
AGREES = 2.0
"""Standard errors by which an older window may reach up to meet a shorter one's lower end."""
CLIMBS = 4.0
"""Standard errors by which the counts of some seconds must climb to be taken for a ramp; as much is taken
off their slope."""
_RAMPS_S = (8, 13, 21)
_LINE_BETTER = 4.0
"""So much more of the squares a line explains than the best single jump does, in variances of one count."""
DRIFT_MIN = 0.1
"""Relative; at AUTO_QUANTILE it is an eighth of the rate. Smaller: jumps of minute-to-minute traffic break
the promise for the set-up time. Larger: paid for every second. See the trials in the tests."""
DRIFT_QUANTILE = 0.8
AUTO_QUANTILE = 0.9
"""The load that `burst = "auto"` should plan for. Growth is at once and shrinking is held, so what counts is
the largest of many quantiles, and a higher one pays twice."""
_DRIFT_Z = float(ndtri(DRIFT_QUANTILE))
_JUDGED_S = 5
"""A forecast is compared with the mean rate of so many seconds."""
_ERRORS_KEPT = 900
_ERRORS_MIN = 60
_PENDING_MAX = 4_096
_FADE = 1.0 / 60.0
_DISPERSION_S = 120
_DISPERSION_MAX = 20.0
_SHARE_S = 30
"""A frontend's share of the traffic is taken over at least so many seconds."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The rate expected of all frontends together `horizon_s` from now, and how far off it may be."""

    mean_per_s: float
    spread_per_s: float
    """Standard deviation from counting."""
    current_per_s: float
    dispersion: float
    """Variance over mean of the counts per second, without their trend; 1 is Poisson."""
    horizon_s: float
    drift: float = 0.0
    """Standard deviation of what the rate itself may do, over the mean."""
    own_share: float = 1.0
    """The part of it that has lately come to this frontend, in [0, 1]."""

    @property
    def deviation_per_s(self) -> float:
        """Both parts together."""
        return hypot(self.spread_per_s, self.drift * self.mean_per_s)

    def quantile(self, p: float) -> float:
        """The rate that is not exceeded with probability p; never below 0."""
        return max(0.0, self.mean_per_s + self.deviation_per_s * float(ndtri(p)))


class LoadForecaster:
    """The arrivals of one service: counted at one frontend, heard of from the others."""

    __slots__ = (
        "_begun",
        "_bin",
        "_bin_count",
        "_drift_errors",
        "_drift_sorted",
        "_others_per_s",
        "_own_totals",
        "_pending",
        "_scale",
        "_square_errors",
        "_totals",
    )

    def __init__(self, now: float) -> None:
        """Begin at `now`, with nothing seen."""
        self._bin = floor(now)
        self._bin_count = 0
        self._begun = self._bin
        self._totals: deque[float] = deque([0.0], maxlen=KEPT_S + 1)
        """Everyone's arrivals since the beginning, at the end of each second."""
        self._own_totals: deque[int] = deque([0], maxlen=KEPT_S + 1)
        self._others_per_s = 0.0
        self._scale = 1.0
        self._pending: deque[tuple[int, Floats, float]] = deque(maxlen=_PENDING_MAX)
        self._square_errors = np.zeros(2)
        self._drift_errors: deque[float] = deque()
        self._drift_sorted: list[float] = []

    def count(self, now: float) -> None:
        """Count one arrival."""
        second = int(now)
        if second != self._bin:
            self._roll(second)
        self._bin_count += 1

    def heard(self, others_per_s: float, scale: float) -> None:
        """From now on the others that are heard count `others_per_s`.

        `scale` is the number of all frontends over that of those whose arrivals are known, this one included.
        """
        self._others_per_s, self._scale = others_per_s, scale

    def own_arrivals(self, now: float) -> int:
        """Return how many arrivals this frontend has counted in the seconds that have passed."""
        self._roll(floor(now))
        return self._own_totals[-1]

    def _roll(self, second: int) -> None:
        """Close the seconds before `second`; time does not run backwards."""
        if second <= self._bin:
            return
        own_total, total = self._own_totals[-1] + self._bin_count, self._totals[-1]
        others, scale = self._others_per_s, self._scale
        total += (self._bin_count + others) * scale
        self._own_totals.append(own_total)
        self._totals.append(total)
        for _ in range(min(second - self._bin - 1, KEPT_S)):
            total += others * scale
            self._own_totals.append(own_total)
            self._totals.append(total)
        self._bin, self._bin_count = second, 0

    def forecast(self, now: float, horizon_s: float) -> Forecast:
        """Forecast the rate at `now + horizon_s`, and learn from the forecasts that have fallen due."""
        self._roll(floor(now))
        totals = self._totals
        seen_s = len(totals) - 1
        if seen_s == 0 or totals[-1] == totals[0]:
            return Forecast(0.0, 0.0, 0.0, 1.0, horizon_s)
        ends = np.array(list(totals)[-_DISPERSION_S - 1 :], dtype=np.float64)
        counts = ends[1:] - ends[:-1]
        # scaling a count up scales its variance over its mean up as well: noise of ours, not of the traffic
        dispersion = self._scale * _dispersion(counts / self._scale)
        level, window_s = self._level(dispersion)
        self._learn(dispersion)
        line = _line(counts, level, horizon_s)
        weights = 1.0 / (self._square_errors + (0.02 * level) ** 2 + 1e-9) ** 2
        mean = float(weights @ (level, line) / weights.sum())
        mean = max(mean, level) if line > level else mean
        mean = max(mean, min(2.0 * level, _ramp(counts, dispersion, horizon_s)))
        self._pending.append((self._bin + floor(horizon_s), np.array((level, line)), mean))
        spread = sqrt(dispersion * max(level * window_s, 1.0)) / window_s if level > 0.0 else 0.0
        own_share = self._own_share(window_s)
        return Forecast(mean, spread, level, dispersion / self._scale, horizon_s, self._drift(), own_share)

    def _own_share(self, window_s: int) -> float:
        window_s = min(max(window_s, _SHARE_S), len(self._totals) - 1)
        everyone = self._totals[-1] - self._totals[-1 - window_s]
        own = self._own_totals[-1] - self._own_totals[-1 - window_s]
        return min(1.0, own / everyone) if everyone > 0.0 else 0.0

    def _level(self, dispersion: float) -> tuple[float, int]:
        """Mean of the longest window that agrees with all shorter ones, and its length in seconds."""
        totals = self._totals
        last, seen_s = totals[-1], len(totals) - 1
        lowest, highest = 0.0, float("inf")
        level, chosen_s = 0.0, 1
        for window_s in WINDOWS_S:
            if window_s > seen_s:
                break
            count = last - totals[-1 - window_s]
            mean = count / window_s
            error = sqrt(dispersion * max(count, 1.0)) / window_s
            low = mean - RISES * error
            if mean + AGREES * error < lowest or low > highest:
                break
            lowest, highest = max(lowest, low), min(highest, mean + FALLS * error)
            level, chosen_s = mean, window_s
        # a jump that the longest window dilutes, but does not contradict yet: believed as far as it is sure
        return max(level, lowest), chosen_s

    def _learn(self, dispersion: float) -> None:
        """Compare the forecasts that have fallen due with the mean rate of the seconds around it."""
        totals = self._totals
        while self._pending and self._pending[0][0] + _JUDGED_S <= self._bin:
            due, guesses, mean = self._pending.popleft()
            end = -1 - (self._bin - due - _JUDGED_S)
            if -end + _JUDGED_S > len(totals):
                continue
            came = (totals[end] - totals[end - _JUDGED_S]) / _JUDGED_S
            noise = dispersion * max(mean, came) / _JUDGED_S
            self._square_errors += _FADE * (
                np.maximum((guesses - came) ** 2 - noise, 0.0) - self._square_errors
            )
            if mean > 0.0:
                self._keep_error((came - mean) / mean, noise / (mean * mean))

    def _keep_error(self, error: float, noise_square: float) -> None:
        """Remember a relative error, less what counting explains at the quantile asked for."""
        square = error * abs(error) - _DRIFT_Z * _DRIFT_Z * noise_square
        kept = sqrt(square) if square > 0.0 else 0.0
        if len(self._drift_errors) >= _ERRORS_KEPT:
            oldest = self._drift_errors.popleft()
            del self._drift_sorted[bisect_left(self._drift_sorted, oldest)]
        self._drift_errors.append(kept)
        insort(self._drift_sorted, kept)

    def _drift(self) -> float:
        count = len(self._drift_sorted)
        if count < _ERRORS_MIN:
            return DRIFT_MIN
        return max(DRIFT_MIN, self._drift_sorted[int(DRIFT_QUANTILE * (count - 1))] / _DRIFT_Z)


def _line(counts: Floats, level: float, horizon_s: float) -> float:
    """A straight line through the last minutes, read at the horizon; from the level on, within bounds."""
    length = counts.size
    if length < 30:
        return level
    at, square = _places(length)
    slope = float(at @ counts) / square
    return min(2.0 * level, max(0.5 * level, level + slope * horizon_s))


@lru_cache(maxsize=_DISPERSION_S + 1)
def _places(length: int) -> tuple[Floats, float]:
    """Return the seconds of a window around its middle, and the sum of their squares."""
    at = np.arange(length) - (length - 1) / 2.0
    return at, float(at @ at)


def _ramp(counts: Floats, dispersion: float, horizon_s: float) -> float:
    """The rate at the horizon, where the last seconds are a ramp beyond doubt; else 0."""
    found = 0.0
    for length in _RAMPS_S:
        if length > counts.size:
            break
        recent = counts[-length:]
        at, squares = _places(length)
        mean, slope = float(recent.mean()), float(at @ recent) / squares
        variance = dispersion * max(mean, 1.0)
        sure = slope - CLIMBS * sqrt(variance / squares)
        if sure > 0.0 and slope * slope * squares > _by_a_jump(recent - mean) + _LINE_BETTER * variance:
            found = max(found, mean + sure * ((length - 1) / 2.0 + horizon_s))
    return found


def _by_a_jump(deviations: Floats) -> float:
    """How much of the squares of deviations from their mean the best single jump explains."""
    before = np.cumsum(deviations)[:-1]
    count = np.arange(1, deviations.size)
    return float((before * before * deviations.size / (count * (deviations.size - count))).max())


def _dispersion(counts: Floats) -> float:
    """Variance over mean of counts by differences of neighbours: trends and single jumps do not count.

    The median square of a normal difference is 0.455 of its mean; small counts are not normal, and there the
    plain mean is taken.
    """
    mean = float(counts.mean())
    if counts.size < 20 or mean <= 0.0:
        return 1.0
    squares = (counts[1:] - counts[:-1]) ** 2
    local = 0.5 * _median(squares) / 0.455 if mean > 5.0 else 0.5 * float(squares.mean())
    return min(_DISPERSION_MAX, max(1.0, local / mean))


def _median(values: Floats) -> float:
    """Return what `np.median` does, for a few finite values in a fraction of its time."""
    ordered = np.sort(values)
    half = ordered.size // 2
    return float(ordered[half] if ordered.size % 2 else (ordered[half - 1] + ordered[half]) / 2.0)
