"""What clients ask for: when requests arrive and how long each one runs.

Makes arrays of arrivals and execution times from rates, counts and laws, whole arrays at a time. Knows
nothing of files, frontends or backends. Everything drawn comes from a generator that is handed in.
"""

from dataclasses import dataclass, field, replace
from math import log, log1p, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swayam_proxy.core.errors import SwayamError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

REQUESTS_MAX = 50_000_000
"""Beyond it the arrays alone would fill a small machine's memory; thin the trace instead."""


class WorkloadError(SwayamError, ValueError):
    """A workload that makes no sense or is too large to hold."""


class ExecutionLaw(Protocol):
    """How long one request runs on an idle backend."""

    @property
    def mean_s(self) -> float:
        """The mean, in seconds."""

    @property
    def cv(self) -> float:
        """Standard deviation over mean."""

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return `count` execution times in seconds."""


@dataclass(frozen=True, slots=True)
class LogNormalLaw:
    """Log-normal execution times, as the deck finds them: low variance around a mean."""

    mean_s: float
    cv: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what is no law."""
        if not (0.0 < self.mean_s < 86_400.0 and 0.0 <= self.cv <= 20.0):
            raise WorkloadError(
                f"execution time mean {self.mean_s} s, cv {self.cv}: the mean must lie in (0, 1 day), "
                "the cv in [0, 20]"
            )

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw with sigma^2 = ln(1 + cv^2) and mu = ln(mean) - sigma^2 / 2."""
        variance = log1p(self.cv * self.cv)
        return rng.lognormal(log(self.mean_s) - variance / 2.0, sqrt(variance), count)


@dataclass(frozen=True, slots=True)
class EmpiricalLaw:
    """Execution times drawn with replacement from measured ones."""

    samples_s: Floats = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse an empty or impossible sample."""
        if self.samples_s.size == 0 or not bool(np.all(np.isfinite(self.samples_s) & (self.samples_s > 0))):
            raise WorkloadError("execution time samples must be finite and positive, at least one")

    @property
    def mean_s(self) -> float:
        """The samples' mean."""
        return float(self.samples_s.mean())

    @property
    def cv(self) -> float:
        """The samples' coefficient of variation."""
        return float(self.samples_s.std() / self.samples_s.mean())

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Draw `count` samples, each equally likely."""
        return self.samples_s[rng.integers(0, self.samples_s.size, count)]


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests in order of arrival; both arrays have one entry per request."""

    name: str
    arrivals_s: Floats = field(repr=False)
    executions_s: Floats = field(repr=False)
    duration_s: float
    execution_mean_s: float
    """C of the promise "RT_max = 5C": the law's mean where there is one, else the measured mean."""
    bin_s: float = 0.0
    """Below this the arrival times are made up (spread evenly over the source's bins); 0.

    All real or synthetic.
    """
    note: str = ""

    @property
    def requests_count(self) -> int:
        """How many requests there are."""
        return int(self.arrivals_s.size)

    @property
    def erlangs_mean(self) -> float:
        """The work itself as a mean number of busy backends."""
        return float(self.executions_s.sum()) / self.duration_s

    def cut(self, start_s: float, end_s: float) -> "Workload":
        """Return the part in [start_s, end_s), with time counted from `start_s`."""
        if not 0.0 <= start_s < min(end_s, self.duration_s):
            raise WorkloadError(
                f"cannot cut from {start_s:g} s to {end_s:g} s: the trace is {self.duration_s:g} s long"
            )
        first, last = np.searchsorted(self.arrivals_s, (start_s, end_s))
        return replace(
            self,
            arrivals_s=self.arrivals_s[first:last] - start_s,
            executions_s=self.executions_s[first:last],
            duration_s=min(end_s, self.duration_s) - start_s,
        )


def check_requests_count(count: float, what: str) -> None:
    """Raise WorkloadError when `count` requests are more than the arrays should hold."""
    if count > REQUESTS_MAX:
        raise WorkloadError(
            f"{what} holds {count:,.0f} requests, more than {REQUESTS_MAX:,}; keep a share of them (thinning)"
        )


def arrivals_from_counts(counts: Counts, bin_s: float, rng: np.random.Generator) -> Floats:
    """Spread each bin's count evenly at random over the bin.

    Poisson given the counts, made up below the bin.
    """
    check_requests_count(float(counts.sum()), "the trace")
    starts = np.arange(counts.size, dtype=np.float64) * bin_s
    arrivals = np.repeat(starts, counts)
    arrivals += rng.random(arrivals.size) * bin_s
    arrivals.sort()
    return arrivals


def arrivals_from_rates(rates_per_s: Floats, bin_s: float, rng: np.random.Generator) -> Floats:
    """Poisson arrivals whose rate is constant over each bin of `bin_s` seconds."""
    check_requests_count(float(rates_per_s.sum()) * bin_s, "the rate profile")
    return arrivals_from_counts(rng.poisson(rates_per_s * bin_s), bin_s, rng)


def workload_from_rates(
    name: str, rates_per_s: Floats, bin_s: float, law: ExecutionLaw, rng: np.random.Generator, note: str = ""
) -> Workload:
    """Make a whole workload from a rate profile and a law of execution times."""
    arrivals = arrivals_from_rates(rates_per_s, bin_s, rng)
    return Workload(
        name=name,
        arrivals_s=arrivals,
        executions_s=law.draw(rng, arrivals.size),
        duration_s=rates_per_s.size * bin_s,
        execution_mean_s=law.mean_s,
        note=note,
    )
