"""How many requests per second will come: a forecast at a horizon, as a distribution.

Knows the times of arrivals in bins of one second; nothing of requests, peers or backends.

Several simple predictors run side by side (the mean of the last seconds, of a longer window, and straight
lines fitted to the window). Each is scored by its own errors at the horizon in force, with fading memory,
and the forecast is their mean weighted by how well they did. The spread is the root mean square of the
combination's own past errors at that horizon, and never below the noise of counting.

A rise that chance does not explain is believed at once: the forecast is never below the lower confidence
bound of the shortest windows, nor of a straight line through the last seconds. Averages alone would trail a
step by their length, and that is when promises are broken.
"""

from collections import deque
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np
from scipy.special import ndtri

from swayam_proxy.core.model.grid import Floats

WINDOW_S = 120
_AHEAD_MAX = 4096
_FADE_S = 300.0
_LEVELS_S = (5, 15, 60)
_SLOPES_S = (15, 30, 60, 120)
_RISES_S = (6, 10, 20, 40)
_SURE = 2.0
"""Standard deviations below a short mean, or a line, that are still believed in a rise."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The rate expected `horizon_s` from now, and how far off such forecasts have been."""

    mean_per_s: float
    spread_per_s: float
    current_per_s: float
    dispersion: float
    """Variance over mean of the counts per second, without their trend; 1 is Poisson."""
    horizon_s: float

    def quantile(self, p: float) -> float:
        """The rate that is not exceeded with probability p; never below 0."""
        return max(0.0, self.mean_per_s + self.spread_per_s * float(ndtri(p)))


NOTHING = Forecast(0.0, 0.0, 0.0, 1.0, 0.0)


class LoadForecaster:
    """The arrivals of one service at one frontend."""

    __slots__ = ("_bin", "_bin_count", "_bins", "_error_square", "_errors", "_pending", "_scored_at")

    def __init__(self, now: float) -> None:
        self._bin = floor(now)
        self._bin_count = 0
        self._bins: deque[int] = deque(maxlen=WINDOW_S)
        self._pending: deque[tuple[int, Floats]] = deque(maxlen=_AHEAD_MAX)
        self._errors = np.zeros(len(_LEVELS_S) + len(_SLOPES_S) + 1)
        self._error_square: float = 0.0
        self._scored_at: int | None = None

    def count(self, now: float) -> None:
        """Count one arrival."""
        second = int(now)
        if second == self._bin:
            self._bin_count += 1
        else:
            self._roll(second)
            self._bin_count += 1

    def _roll(self, second: int) -> None:
        """Close the bins before `second`."""
        if second <= self._bin:
            return
        self._bins.append(self._bin_count)
        for _ in range(min(second - self._bin - 1, WINDOW_S)):
            self._bins.append(0)
        self._bin, self._bin_count = second, 0

    def forecast(self, now: float, horizon_s: float) -> Forecast:
        """Forecast the rate at `now + horizon_s`, and learn from the forecasts that fell due."""
        self._roll(floor(now))
        if not self._bins:
            return NOTHING
        counts = np.array(self._bins, dtype=np.float64)
        dispersion = _dispersion(counts)
        current = _current(counts, dispersion)
        guesses = self._guesses(counts, horizon_s)
        self._learn(self._bin, counts)
        weights = 1.0 / (self._errors[:-1] + 1e-3 + 0.01 * current)
        mean = float(weights @ guesses / weights.sum())
        rising = current > float(counts[-min(15, counts.size) :].mean())
        mean = max(0.0, max(mean, current, _risen(counts, dispersion, horizon_s)) if rising else mean)
        if not self._pending or self._pending[-1][0] < self._bin + int(horizon_s):
            self._pending.append((self._bin + int(horizon_s), np.append(guesses, mean)))
        noise = mean / min(counts.size, 5)
        spread = sqrt(max(float(self._errors[-1]), noise))
        return Forecast(mean, spread if mean > 0.0 or counts.any() else 0.0, current, dispersion, horizon_s)

    def _guesses(self, counts: Floats, horizon_s: float) -> Floats:
        levels = [float(counts[-min(k, counts.size) :].mean()) for k in _LEVELS_S]
        top = 2.0 * float(counts.max())
        lines = [min(top, max(0.0, _line(counts[-min(k, counts.size) :], horizon_s))) for k in _SLOPES_S]
        return np.array(levels + lines)

    def _learn(self, second: int, counts: Floats) -> None:
        while self._pending and self._pending[0][0] <= second:
            due, guesses = self._pending.popleft()
            behind = second - due
            if behind >= counts.size:
                continue
            came = counts[max(0, counts.size - behind - 5) : counts.size - behind]
            if came.size:
                rate = float(came.mean())
                square = np.maximum(0.0, (guesses - rate) ** 2 - rate / came.size)
                self._errors += (square - self._errors) / 60.0


def _current(counts: Floats, dispersion: float) -> float:
    """Rate of the last five seconds, or what fewer of them prove to be more than that."""
    found = float(counts[-min(5, counts.size) :].mean())
    for length in (1, 2, 3):
        mean = float(counts[-min(length, counts.size) :].mean())
        found = max(found, mean - _SURE * sqrt(dispersion * mean / length))
    return found


def _risen(counts: Floats, dispersion: float, horizon_s: float) -> float:
    """What a straight line through the last seconds proves of the rate at the horizon; 0 if nothing.

    The lower confidence bound of its prediction, for counts with a variance of dispersion times their mean.
    """
    found = 0.0
    for length in _RISES_S:
        if counts.size < length:
            break
        last = counts[-length:]
        half = (length - 1) / 2.0
        ahead = half + 0.5 + horizon_s
        spread = length * (length * length - 1.0) / 12.0
        mean = float(last.mean())
        slope = float((np.arange(length) - half) @ last) / spread
        if slope > 0.0:
            error = sqrt(dispersion * mean * (1.0 / length + ahead * ahead / spread))
            found = max(found, mean + slope * ahead - _SURE * error)
    return min(found, 2.0 * float(counts.max()))


def _line(counts: Floats, horizon_s: float) -> float:
    """Least squares through the counts, read `horizon_s` after the last."""
    length = counts.size
    if length < 3:
        return float(counts.mean())
    at = np.arange(length) - (length - 1) / 2.0
    slope = float(at @ counts) / float(at @ at)
    return float(counts.mean()) + slope * ((length - 1) / 2.0 + 0.5 + horizon_s)


def _dispersion(counts: Floats) -> float:
    """Variance over mean of counts from differences of neighbours, so that a trend does not count."""
    mean = float(counts.mean())
    if counts.size < 10 or mean <= 0.0:
        return 1.0
    squares = np.sort(np.diff(counts) ** 2)
    # a step is one large difference between two neighbours, and says nothing of the noise around it
    local = 0.5 * float(np.mean(squares[: -max(1, squares.size // 40)]))
    return min(50.0, max(1.0, local / mean))
