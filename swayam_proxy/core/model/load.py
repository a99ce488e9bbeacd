"""How many requests per second will come: a forecast at a horizon, as a distribution.

Knows the times of arrivals in bins of one second; nothing of requests, peers or backends.

**The rate now.** The longest recent window that all shorter ones agree with (Lepski's method; Goldenshluger
and Nemirovski, "On spatially adaptive estimation of nonparametric regression", Math. Methods Stat. 6, 1997).
Windows of 1, 2, 3, 5, 8, ... seconds are looked at in turn; each gives an interval of some standard errors
around its mean, and the first whose interval misses that of a shorter one ends the search. A steady stream is
averaged over minutes, a jump is believed within a second or two, silence is zero after a few missed
arrivals, a single burst is forgotten as soon as it is over. Upward evidence needs fewer standard errors than
downward evidence: too few backends break the promise, too many cost a little. With F frontends each sees
an F-th of the traffic and errors average out among them, so less evidence is asked for (F^-1/6, by trial).

**The rate then.** Two guesses, the rate now and a straight line through the last minutes, weighted by the
inverse squares of their own fading errors at the horizon in force; never below the rate now while that
rises.

**How far off.** Two parts. `spread_per_s` is the noise of counting: independent between frontends, it adds up
in squares. `drift` is the rate's own movement, relative, and common to all frontends: it is measured by
comparing past forecasts at this horizon with what came, as their upper quintile over a quarter of an hour,
less the noise of counting. A quantile and not a mean square, so that one spike, however high, does not make
the next quarter of an hour expensive, while a rate that keeps jumping does. It is never taken as less than
`DRIFT_MIN`: a quiet past does not promise a quiet future.

`scripts/evaluate` and the tests show what it does to real traces; `AUTO_QUANTILE` is what `burst = "auto"`
should ask for.
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from math import floor, hypot, sqrt

import numpy as np
from scipy.special import ndtri

from swayam_proxy.core.model.grid import Floats

WINDOWS_S = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610)
KEPT_S = WINDOWS_S[-1]
RISES = 2.0
FALLS = 3.0
"""Standard errors of evidence for a rise, and for a fall, that end the search for a longer window."""
DRIFT_MIN = 0.12
"""Relative; at AUTO_QUANTILE it is a tenth of the rate. Smaller: jumps of minute-to-minute traffic break the
promise for the set-up time. Larger: paid for every second. See the trials in the tests."""
DRIFT_QUANTILE = 0.8
AUTO_QUANTILE = 0.8
"""The load that `burst = "auto"` should plan for. Growth is at once and shrinking is held, so what counts is
the largest of many quantiles, and a high one pays twice."""
_DRIFT_Z = float(ndtri(DRIFT_QUANTILE))
_JUDGED_S = 5
"""A forecast is compared with the mean rate of so many seconds."""
_ERRORS_KEPT = 900
_ERRORS_MIN = 60
_PENDING_MAX = 4_096
_FADE = 1.0 / 60.0
_DISPERSION_S = 120
_DISPERSION_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """The rate expected `horizon_s` from now, and how far off it may be."""

    mean_per_s: float
    spread_per_s: float
    """Standard deviation from counting, independent between frontends."""
    current_per_s: float
    dispersion: float
    """Variance over mean of the counts per second, without their trend; 1 is Poisson."""
    horizon_s: float
    drift: float = 0.0
    """Standard deviation of what the rate itself may do, over the mean; common to all frontends."""

    @property
    def deviation_per_s(self) -> float:
        """Both parts together."""
        return hypot(self.spread_per_s, self.drift * self.mean_per_s)

    def quantile(self, p: float) -> float:
        """The rate that is not exceeded with probability p; never below 0."""
        return max(0.0, self.mean_per_s + self.deviation_per_s * float(ndtri(p)))


class LoadForecaster:
    """The arrivals of one service at one frontend."""

    __slots__ = (
        "_begun",
        "_bin",
        "_bin_count",
        "_drift_errors",
        "_drift_sorted",
        "_pending",
        "_square_errors",
        "_totals",
    )

    def __init__(self, now: float) -> None:
        """Begin at `now`, with nothing seen."""
        self._bin = floor(now)
        self._bin_count = 0
        self._begun = self._bin
        self._totals: deque[int] = deque([0], maxlen=KEPT_S + 1)
        """Arrivals since the beginning, at the end of each second."""
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

    def _roll(self, second: int) -> None:
        """Close the seconds before `second`; time does not run backwards."""
        if second <= self._bin:
            return
        total = self._totals[-1] + self._bin_count
        self._totals.append(total)
        for _ in range(min(second - self._bin - 1, KEPT_S)):
            self._totals.append(total)
        self._bin, self._bin_count = second, 0

    def forecast(self, now: float, horizon_s: float, frontends_count: int = 1) -> Forecast:
        """Forecast the rate at `now + horizon_s`, and learn from the forecasts that have fallen due."""
        self._roll(floor(now))
        totals = self._totals
        seen_s = len(totals) - 1
        if seen_s == 0 or totals[-1] == totals[0]:
            return Forecast(0.0, 0.0, 0.0, 1.0, horizon_s)
        counts = np.diff(np.array(list(totals)[-_DISPERSION_S - 1 :], dtype=np.float64))
        dispersion = _dispersion(counts)
        level, window_s = self._level(dispersion, frontends_count ** (-1.0 / 6.0))
        self._learn(dispersion)
        line = _line(counts, level, horizon_s)
        weights = 1.0 / (self._square_errors + (0.02 * level) ** 2 + 1e-9) ** 2
        mean = float(weights @ (level, line) / weights.sum())
        mean = max(mean, level) if line > level else mean
        self._pending.append((self._bin + floor(horizon_s), np.array((level, line)), mean))
        spread = sqrt(dispersion * max(level * window_s, 1.0)) / window_s if level > 0.0 else 0.0
        return Forecast(mean, spread, level, dispersion, horizon_s, self._drift())

    def _level(self, dispersion: float, ease: float) -> tuple[float, int]:
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
            error = ease * sqrt(dispersion * max(count, 1)) / window_s
            low, high = mean - RISES * error, mean + FALLS * error
            if high < lowest or low > highest:
                break
            lowest, highest = max(lowest, low), min(highest, high)
            level, chosen_s = mean, window_s
        return level, chosen_s

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
    at = np.arange(length) - (length - 1) / 2.0
    slope = float(at @ counts) / float(at @ at)
    return min(2.0 * level, max(0.5 * level, level + slope * horizon_s))


def _dispersion(counts: Floats) -> float:
    """Variance over mean of counts by differences of neighbours: trends and single jumps do not count.

    The median square of a normal difference is 0.455 of its mean; small counts are not normal, and there the
    plain mean is taken.
    """
    mean = float(counts.mean())
    if counts.size < 20 or mean <= 0.0:
        return 1.0
    squares = np.diff(counts) ** 2
    local = 0.5 * float(np.median(squares)) / 0.455 if mean > 5.0 else 0.5 * float(squares.mean())
    return min(_DISPERSION_MAX, max(1.0, local / mean))
