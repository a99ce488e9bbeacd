"""How long executions take: streaming statistics, mergeable between frontends, and their fit.

Knows execution times in seconds and when they were seen; nothing of requests, queues or peers' messages.

A sample costs one list append; arithmetic happens when a summary is asked for (once per tick) or when
the bounded buffer is full. Older samples fade with a half-life, but never below a floor of samples: a
quiet service forgets nothing merely because time passes.
"""

from dataclasses import dataclass
from math import exp, isfinite, log, log1p, sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.grid import Floats
from swayam_proxy.core.model.service_time import SIGMA_MIN, Distribution, Empirical, LogNormal

SHORTEST_S = 1e-6
LONGEST_S = 1e5
"""Times outside are taken as these."""
BINS_PER_OCTAVE = 8
_LOG_SHORTEST = log(SHORTEST_S)
_BIN_LOG = log(2.0) / BINS_PER_OCTAVE
BINS_COUNT = int((log(LONGEST_S) - _LOG_SHORTEST) / _BIN_LOG) + 1
_BUFFER_MAX = 4096
PRIOR_SAMPLES = 4.0
"""What the configured expectation is worth, in samples."""
EMPIRICAL_SAMPLES_MIN = 300.0
EMPIRICAL_KS_MIN = 0.04


@dataclass(frozen=True, slots=True)
class ExecutionSummary:
    """Sufficient statistics of one service's execution times; sums of two are those of all samples.

    `counts` are the weights of a histogram of log(t) in eighths of an octave from bin `first`;
    `cut_counts` likewise of the times at which executions were cut off ("at least this long").
    """

    weight: float = 0.0
    weight_squared: float = 0.0
    log_sum: float = 0.0
    log_square_sum: float = 0.0
    first: int = 0
    counts: tuple[float, ...] = ()
    cut_first: int = 0
    cut_counts: tuple[float, ...] = ()

    def to_numbers(self) -> tuple[float, ...]:
        """Return everything as a flat tuple, for the wire."""
        head = (self.weight, self.weight_squared, self.log_sum, self.log_square_sum)
        return (
            *head,
            float(self.first),
            float(len(self.counts)),
            *self.counts,
            float(self.cut_first),
            *self.cut_counts,
        )

    @classmethod
    def from_numbers(cls, numbers: tuple[float, ...]) -> "ExecutionSummary":
        """Read what `to_numbers` wrote; raises ModelError for what it cannot have written."""
        if len(numbers) < 7 or len(numbers) > 2 * BINS_COUNT + 7 or not all(map(isfinite, numbers)):
            raise ModelError("not an execution summary")
        first, length = int(numbers[4]), int(numbers[5])
        if not 0 <= length <= len(numbers) - 7:
            raise ModelError("an execution summary with a wrong length")
        counts, cut_first, cut = numbers[6 : 6 + length], int(numbers[6 + length]), numbers[7 + length :]
        fits = first >= 0 and cut_first >= 0 and max(first + length, cut_first + len(cut)) <= BINS_COUNT
        if not fits or min((*numbers[:2], *counts, *cut)) < 0.0:
            raise ModelError("an execution summary out of range")
        weight, squared, log_sum, log_square_sum = numbers[:4]
        return cls(weight, squared, log_sum, log_square_sum, first, counts, cut_first, cut)


def merge(summaries: list[ExecutionSummary]) -> ExecutionSummary:
    """Return the summary of all samples together."""
    counts, cuts = np.zeros(BINS_COUNT), np.zeros(BINS_COUNT)
    for one in summaries:
        counts[one.first : one.first + len(one.counts)] += one.counts
        cuts[one.cut_first : one.cut_first + len(one.cut_counts)] += one.cut_counts
    sums = (
        sum(one.weight for one in summaries),
        sum(one.weight_squared for one in summaries),
        sum(one.log_sum for one in summaries),
        sum(one.log_square_sum for one in summaries),
    )
    return ExecutionSummary(*sums, *_trim(counts), *_trim(cuts))


def _trim(counts: Floats) -> tuple[int, tuple[float, ...]]:
    used = np.flatnonzero(counts > 0.0)
    if used.size == 0:
        return 0, ()
    return int(used[0]), tuple(counts[used[0] : used[-1] + 1].tolist())


def _clean_logs(samples: list[float]) -> Floats:
    times = np.array(samples, dtype=np.float64)
    times = times[np.isfinite(times) & (times >= 0.0)]
    return np.log(np.clip(times, SHORTEST_S, LONGEST_S))


def _bins(logs: Floats) -> Floats:
    at = np.clip(((logs - _LOG_SHORTEST) / _BIN_LOG).astype(np.intp), 0, BINS_COUNT - 1)
    return np.bincount(at, minlength=BINS_COUNT).astype(np.float64)


class ExecutionStatistics:
    """The execution times of one service as one frontend sees them."""

    __slots__ = ("_at", "_buffer", "_counts", "_cut_buffer", "_cuts", "_half_life_s", "_keep", "_sums")

    def __init__(self, half_life_s: float = 120.0, keep_samples: float = 500.0) -> None:
        self._half_life_s = half_life_s
        self._keep = keep_samples
        self._buffer: list[float] = []
        self._cut_buffer: list[float] = []
        self._at: float | None = None
        self._sums = np.zeros(4)
        self._counts = np.zeros(BINS_COUNT)
        self._cuts = np.zeros(BINS_COUNT)

    def observe(self, execution_s: float, now: float) -> None:
        """Count one whole execution."""
        self._buffer.append(execution_s)
        if len(self._buffer) >= _BUFFER_MAX:
            self._fold(now)

    def observe_at_least(self, execution_s: float, now: float) -> None:
        """Count an execution that was cut off after this long."""
        self._cut_buffer.append(execution_s)
        if len(self._cut_buffer) >= _BUFFER_MAX:
            self._fold(now)

    def summary(self, now: float) -> ExecutionSummary:
        """Return what is known at `now`."""
        self._fold(now)
        weight, squared, log_sum, log_square_sum = self._sums.tolist()
        return ExecutionSummary(
            weight, squared, log_sum, log_square_sum, *_trim(self._counts), *_trim(self._cuts)
        )

    def _fold(self, now: float) -> None:
        passed_s = max(0.0, now - self._at) if self._at is not None else 0.0
        self._at = now if self._at is None else max(now, self._at)
        weight = self._sums[0]
        fade = 0.5 ** (passed_s / self._half_life_s)
        if weight > 0.0:
            fade = max(fade, min(1.0, (self._keep - len(self._buffer)) / weight))
        self._sums *= (fade, fade * fade, fade, fade)
        self._counts *= fade
        self._cuts *= fade
        if self._buffer:
            logs = _clean_logs(self._buffer)
            self._sums += (logs.size, logs.size, logs.sum(), (logs * logs).sum())
            self._counts += _bins(logs)
            self._buffer.clear()
        if self._cut_buffer:
            self._cuts += _bins(_clean_logs(self._cut_buffer))
            self._cut_buffer.clear()
        self._counts[self._counts < 1e-6] = 0.0
        self._cuts[self._cuts < 1e-6] = 0.0


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """A fitted execution time; also the distribution that the queueing formulas read.

    `ks` is the largest gap between the fit and the histogram, `tail_error` the fit's 99th percentile over
    the observed one, minus 1. `empirical` tells that the histogram is used because log-normal fits badly.
    """

    mean_s: float
    cv: float
    mu: float
    sigma: float
    samples_count: float
    ks: float
    tail_error: float
    empirical: bool
    distribution: Distribution

    @property
    def second_moment(self) -> float:
        """The mean of the square, in s^2."""
        return self.distribution.second_moment

    def cdf(self, x: Floats) -> Floats:
        """Probability of at most x."""
        return self.distribution.cdf(x)

    def quantile(self, p: float) -> float:
        """The time that a share p of executions does not exceed."""
        return self.distribution.quantile(p)

    def limited_mean(self, x: Floats) -> Floats:
        """The mean of min(S, x)."""
        return self.distribution.limited_mean(x)

    def residual_limited_mean(self, x: Floats) -> Floats:
        """The mean of min(R, x), R the residual time."""
        return self.distribution.residual_limited_mean(x)


def fit(summary: ExecutionSummary, prior_mean_s: float, prior_cv: float) -> ServiceTime:
    """Fit a service time; the prior counts as a few samples and is all there is without any."""
    prior = LogNormal.of_mean_cv(prior_mean_s, prior_cv)
    samples = _effective(summary)
    mu, sigma = prior.mu, prior.sigma
    if summary.weight > 0.0:
        mean_log, variance = _moments(summary)
        whole = samples + PRIOR_SAMPLES
        mu = (PRIOR_SAMPLES * prior.mu + samples * mean_log) / whole
        between = PRIOR_SAMPLES * samples / whole * (mean_log - prior.mu) ** 2 / whole
        variance = (PRIOR_SAMPLES * prior.sigma**2 + samples * variance) / whole + min(
            between, prior.sigma**2
        )
        sigma = max(SIGMA_MIN, min(3.0, sqrt(variance)))
    fitted = LogNormal(mu, sigma)
    ks, tail_error = _gauges(summary, fitted)
    if samples >= EMPIRICAL_SAMPLES_MIN and ks > EMPIRICAL_KS_MIN:
        found: Distribution = _empirical(summary)
    else:
        found = fitted
    cv = sqrt(max(0.0, found.second_moment / found.mean_s**2 - 1.0))
    return ServiceTime(found.mean_s, cv, mu, sigma, samples, ks, tail_error, found is not fitted, found)


def _effective(summary: ExecutionSummary) -> float:
    if summary.weight_squared <= 0.0:
        return 0.0
    return summary.weight * summary.weight / summary.weight_squared


def _moments(summary: ExecutionSummary) -> tuple[float, float]:
    """Mean and variance of log(t); those cut off are filled in at their expectation (EM, a few rounds)."""
    weight, total, square = summary.weight, summary.log_sum, summary.log_square_sum
    mean = total / weight
    variance = max(0.0, square / weight - mean * mean)
    if not summary.cut_counts:
        return mean, variance
    cuts = np.array(summary.cut_counts)
    at = _LOG_SHORTEST + _BIN_LOG * (summary.cut_first + np.arange(cuts.size) + 0.5)
    whole = weight + float(cuts.sum())
    for _ in range(30):
        sigma = max(1e-3, sqrt(variance))
        z = (at - mean) / sigma
        beyond = np.maximum(ndtr(-z), 1e-300)
        hazard = np.where(z > 30.0, z, np.exp(-0.5 * z * z) / sqrt(2.0 * np.pi) / beyond)
        first = mean + sigma * hazard
        second = mean * mean + 2.0 * mean * sigma * hazard + sigma * sigma * (1.0 + z * hazard)
        mean = (total + float(cuts @ first)) / whole
        variance = max(0.0, (square + float(cuts @ second)) / whole - mean * mean)
    return mean, variance


def _histogram(summary: ExecutionSummary) -> tuple[Floats, Floats]:
    """Upper edges (log) from one before the first bin, and the share at or below each."""
    counts = np.array(summary.counts)
    edges = _LOG_SHORTEST + _BIN_LOG * (summary.first + np.arange(counts.size + 1))
    upto = np.concatenate(([0.0], np.cumsum(counts)))
    return edges, upto / upto[-1]


def _gauges(summary: ExecutionSummary, fitted: LogNormal) -> tuple[float, float]:
    if not summary.counts or summary.weight < 2.0:
        return 0.0, 0.0
    edges, share = _histogram(summary)
    gap = float(np.max(np.abs(ndtr((edges - fitted.mu) / fitted.sigma) - share)))
    observed = float(np.interp(0.99, share, edges))
    return gap, exp(max(-20.0, min(20.0, fitted.mu + fitted.sigma * float(ndtri(0.99)) - observed))) - 1.0


def _empirical(summary: ExecutionSummary) -> Empirical:
    edges, share = _histogram(summary)
    fine = np.linspace(edges[0], edges[-1], 4 * (edges.size - 1) + 1)
    return Empirical(np.exp(fine), np.interp(fine, edges, share))


def lognormal_sigma(cv: float) -> float:
    """Standard deviation of log(t) of a log-normal with this coefficient of variation."""
    return sqrt(log1p(cv * cv))
