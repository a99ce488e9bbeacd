"""How long executions take: streaming statistics, mergeable between frontends, and their fit.

Knows execution times in seconds and when they were seen; nothing of requests, queues or peers' messages.

A sample costs one list append; arithmetic happens when a summary is asked for (once per tick) or when
the bounded buffer is full. Older samples fade with a half-life, but never below a floor of samples: a
quiet service forgets nothing merely because time passes. What a frontend knows is a small set of sums and a
histogram of log(t); those of two frontends add up.

**The fit.** Log-normal, by the moments of log(t), with the configured expectation as `PRIOR_SAMPLES` samples.
Executions that were cut off count as "at least this long": they are filled in at their expectation, round by
round (EM for a censored normal). Where the fit is bad the histogram itself is used, with what was cut off
spread over longer times (Kaplan and Meier).

**Caution.** n reacts to the fit without symmetry: a little too few backends break the promise for many
requests, a little too many cost a little. So the queue is computed with the upper quartile of what mean and
sigma may be (normal and chi-squared), which fades as 1/sqrt(samples): at 500 samples and cv 0.3 it adds 1 %
to the mean. What is published is the plain estimate. docs/model-sensitivity.md shows what 50, 500 and 5,000
samples make of it, also where the execution time alone uses up the promise, and what else was tried (plain
moments, a stronger prior, Student's predictive distribution, the upper decile).
"""

from dataclasses import dataclass
from math import exp, expm1, isfinite, log, sqrt

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.grid import Floats
from swayam_proxy.core.model.service_time import SIGMA_MIN, Distribution, Empirical, LogNormal, cv_squared

SHORTEST_S = 1e-6
LONGEST_S = 1e5
"""Times outside are taken as these."""
BINS_PER_OCTAVE = 8
_LOG_SHORTEST = log(SHORTEST_S)
_BIN_LOG = log(2.0) / BINS_PER_OCTAVE
BINS_COUNT = int((log(LONGEST_S) - _LOG_SHORTEST) / _BIN_LOG) + 1
_BUFFER_MAX = 4096
_SIGMA_MAX = 3.0
PRIOR_SAMPLES = 5.0
"""What the configured expectation is worth, in samples: forgotten after fifty."""
CAUTION = 0.75
"""Which quantile of what mean and sigma may be the queue is computed with; 0.5 is the plain estimate."""
EMPIRICAL_SAMPLES_MIN = 300.0
"""Fewer do not tell the 99th percentile better than a wrong distribution does."""
EMPIRICAL_KS_MIN = 0.04
EMPIRICAL_KS_ROOT = 1.3
"""The histogram is used where the gap is beyond both, the second over sqrt(samples): 0.89 would be chance in
one case of twenty (Lilliefors)."""
_EM_ROUNDS = 40


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
    """A fitted execution time.

    `mean_s`, `cv`, `mu` and `sigma` are the plain estimate; `distribution` is what queues are to be computed
    with, a little longer and wider the fewer samples there are. `ks` is the largest gap between the
    log-normal and the histogram, `tail_error` its 99th percentile over the observed one, minus 1.
    `empirical` tells that the distribution is the histogram, since the log-normal fits badly.
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

    def cdf(self, x: Floats) -> Floats:
        """Probability of at most x, by the distribution for queues."""
        return self.distribution.cdf(x)

    def quantile(self, p: float) -> float:
        """The time that a share p of executions does not exceed, by the distribution for queues."""
        return self.distribution.quantile(p)


def fit(summary: ExecutionSummary, prior_mean_s: float, prior_cv: float) -> ServiceTime:
    """Fit a service time; the prior counts as a few samples and is all there is without any."""
    prior = LogNormal.of_mean_cv(prior_mean_s, prior_cv)
    samples = _effective(summary)
    if samples <= 0.0:
        return ServiceTime(prior_mean_s, prior_cv, prior.mu, prior.sigma, 0.0, 0.0, 0.0, False, prior)
    mean_log, variance = _moments(summary)
    whole = samples + PRIOR_SAMPLES
    mu = (PRIOR_SAMPLES * prior.mu + samples * mean_log) / whole
    variance = (PRIOR_SAMPLES * prior.sigma**2 + samples * variance) / whole
    plain = LogNormal(mu, max(SIGMA_MIN, min(_SIGMA_MAX, sqrt(variance))))
    ks, tail_error = _gauges(summary, plain)
    longer, wider = _caution(plain.sigma, samples)
    used: Distribution = LogNormal(mu + log(longer), min(_SIGMA_MAX, plain.sigma * wider))
    mean_s, square = plain.mean_s, cv_squared(plain)
    empirical = samples >= EMPIRICAL_SAMPLES_MIN and ks > max(
        EMPIRICAL_KS_MIN, EMPIRICAL_KS_ROOT / sqrt(samples)
    )
    if empirical:
        used = _empirical(summary, longer)
        mean_s, square = used.mean_s / longer, cv_squared(used)
    return ServiceTime(mean_s, sqrt(square), mu, plain.sigma, samples, ks, tail_error, empirical, used)


def _effective(summary: ExecutionSummary) -> float:
    """How many samples of equal weight tell as much."""
    if summary.weight_squared <= 0.0:
        return 0.0
    return summary.weight * summary.weight / summary.weight_squared


def _caution(sigma: float, samples: float) -> tuple[float, float]:
    """Factors for time and sigma: the upper quantile of what they may be, all of it once samples matter."""
    z = float(ndtri(CAUTION))
    freedom = samples + PRIOR_SAMPLES
    # lower quantile of chi-squared over its freedom, by Wilson and Hilferty
    third = 2.0 / (9.0 * freedom)
    ratio = max(0.05, (1.0 - third - z * sqrt(third)) ** 3)
    share = samples / freedom
    return exp(share * z * sigma / sqrt(freedom)), ratio ** (-0.5 * share)


def _moments(summary: ExecutionSummary) -> tuple[float, float]:
    """Mean and variance of log(t); those cut off are filled in at their expectation (EM)."""
    weight, total, square = summary.weight, summary.log_sum, summary.log_square_sum
    mean = total / weight
    variance = max(0.0, square / weight - mean * mean) * weight / max(1.0, weight - 1.0)
    if not summary.cut_counts:
        return mean, variance
    cuts = np.array(summary.cut_counts)
    at = _LOG_SHORTEST + _BIN_LOG * (summary.cut_first + np.arange(cuts.size) + 0.5)
    whole = weight + float(cuts.sum())
    for _ in range(_EM_ROUNDS):
        sigma = max(1e-3, sqrt(variance))
        z = (at - mean) / sigma
        # the mean of a normal beyond z; far out it is z itself
        beyond = np.exp(-0.5 * np.minimum(z * z, 1400.0) - log_ndtr(-np.minimum(z, 37.0))) / sqrt(2.0 * np.pi)
        hazard = np.where(z > 37.0, z, beyond)
        first = mean + sigma * hazard
        second = mean * mean + 2.0 * mean * sigma * hazard + sigma * sigma * (1.0 + z * hazard)
        mean = (total + float(cuts @ first)) / whole
        variance = min(_SIGMA_MAX**2, max(0.0, (square + float(cuts @ second)) / whole - mean * mean))
    return mean, variance


def _histogram(summary: ExecutionSummary) -> tuple[Floats, Floats]:
    """Edges of the bins (log), and the share at or below each; what was cut off last is beyond the last."""
    first = min(summary.first, summary.cut_first) if summary.cut_counts else summary.first
    last = max(summary.first + len(summary.counts), summary.cut_first + len(summary.cut_counts))
    counts, cuts = np.zeros(last - first), np.zeros(last - first)
    counts[summary.first - first :][: len(summary.counts)] = summary.counts
    if summary.cut_counts:
        cuts[summary.cut_first - first :][: len(summary.cut_counts)] = summary.cut_counts
    edges = _LOG_SHORTEST + _BIN_LOG * (first + np.arange(counts.size + 1))
    at_risk = np.cumsum((counts + cuts)[::-1])[::-1]
    kept = 1.0 - np.divide(counts, at_risk, out=np.zeros_like(counts), where=at_risk > 0.0)
    return edges, np.concatenate(([0.0], 1.0 - np.cumprod(np.clip(kept, 0.0, 1.0))))


def _gauges(summary: ExecutionSummary, fitted: LogNormal) -> tuple[float, float]:
    """Largest gap between fit and histogram, and the relative error of the 99th percentile."""
    if not summary.counts or summary.weight < 2.0:
        return 0.0, 0.0
    edges, share = _histogram(summary)
    gap = float(np.max(np.abs(ndtr((edges - fitted.mu) / fitted.sigma) - share)))
    observed = float(np.interp(0.99, share, edges))
    return gap, expm1(max(-20.0, min(20.0, fitted.mu + fitted.sigma * float(ndtri(0.99)) - observed)))


def _empirical(summary: ExecutionSummary, longer: float) -> Empirical:
    """The histogram, even in log(t) within a bin, times `longer`; an octave for what was cut off last."""
    edges, share = _histogram(summary)
    if share[-1] < 1.0 - 1e-9:
        edges = np.append(edges, edges[-1] + BINS_PER_OCTAVE * _BIN_LOG)
        share = np.append(share, 1.0)
    fine = np.interp(np.arange(4 * (edges.size - 1) + 1) / 4.0, np.arange(edges.size), edges)
    return Empirical(np.exp(fine) * longer, np.minimum(1.0, np.interp(fine, edges, share)))
