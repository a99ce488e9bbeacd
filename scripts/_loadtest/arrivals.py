"""The schedule: when each request is meant to leave, fixed before the first one does.

Knows no clock; the same seed gives the same schedule. Requests fall under a rate curve by time
rescaling: a process of rate 1 is drawn and each of its points is carried to the moment when the curve
has promised that many requests.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from _loadtest.errors import UsageError
from _loadtest.profile import Profile, cumulative
from _loadtest.trace import Trace

REQUESTS_COUNT_MAX = 20_000_000


class Process(StrEnum):
    """How requests are spaced under the curve."""

    EVEN = "even"
    POISSON = "poisson"
    GAMMA = "gamma"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Moments from the start (seconds, ascending) and, from traces that know them, execution times."""

    times_s: NDArray[np.float64]
    duration_s: float
    execution_s: NDArray[np.float64] | None = None
    note: str = ""
    """What a reader must know of it, as that it is made up below the bin."""

    def first(self, requests_count: int) -> "Schedule":
        """Return the schedule cut after that many requests; its time ends with the last of them."""
        if len(self.times_s) <= requests_count:
            return self
        execution_s = None if self.execution_s is None else self.execution_s[:requests_count]
        times_s = self.times_s[:requests_count]
        return Schedule(times_s, float(times_s[-1]), execution_s, self.note)


def profile_schedule(
    profile: Profile, duration_s: float, process: Process, rng: np.random.Generator, *, gamma_cv: float = 2.0
) -> Schedule:
    """Return requests under a curve; `gamma_cv` is the coefficient of variation of gamma gaps."""
    edges_s, expected = cumulative(profile, duration_s)
    total = float(expected[-1])
    if total > REQUESTS_COUNT_MAX:
        raise UsageError(
            f"the load is {total:.0f} requests, more than {REQUESTS_COUNT_MAX}",
            "lower the rate or --duration",
        )
    points = _unit_process(total, process, rng, gamma_cv)
    return Schedule(np.interp(points, expected, edges_s), duration_s)


def trace_schedule(
    trace: Trace,
    rng: np.random.Generator,
    *,
    speed: float,
    thin: float,
    begin_s: float,
    duration_s: float | None,
) -> Schedule:
    """Return a trace's requests from `begin_s` of it on, `speed` times as fast, each kept with chance `thin`.

    `duration_s` is the length of the test, after the speed-up; None plays to the end. Counts keep their
    number per bin and fall evenly at random within it: below the bin they are made up. Execution times
    are divided by the speed too, so that the number of busy backends stays that of the trace.
    """
    end_s = trace.end_s if duration_s is None else min(trace.end_s, begin_s + duration_s * speed)
    if begin_s >= end_s:
        raise UsageError(f"the trace ends at {trace.end_s:g} s, before --trace-from", "begin earlier")
    if trace.counts is None:
        chosen = (trace.times_s >= begin_s) & (trace.times_s < end_s)
        times_s = trace.times_s[chosen]
        execution_s = None if trace.execution_s is None else trace.execution_s[chosen]
        note = ""
    else:
        times_s = _spread_counts(trace, rng, begin_s, end_s)
        execution_s = None
        note = "arrivals are made up below the bin of the trace"
    if thin < 1.0:
        kept = rng.random(len(times_s)) < thin
        times_s = times_s[kept]
        execution_s = None if execution_s is None else execution_s[kept]
    if len(times_s) == 0:
        raise UsageError(
            "no request falls into this part of the trace", "choose another part, or a larger --thin"
        )
    if execution_s is not None:
        execution_s = execution_s / speed
    return Schedule((times_s - begin_s) / speed, (end_s - begin_s) / speed, execution_s, note)


def _unit_process(
    total: float, process: Process, rng: np.random.Generator, gamma_cv: float
) -> NDArray[np.float64]:
    """Return the points of a renewal process of rate 1 in [0, total)."""
    if process is Process.EVEN:
        return np.arange(int(np.ceil(total - 1e-9)), dtype=float)
    # Gaps are drawn in blocks until they cover the whole, so that no tail is lost whatever the spread.
    cv = 1.0 if process is Process.POISSON else gamma_cv
    shape = 1.0 / (cv * cv)
    blocks: list[NDArray[np.float64]] = []
    reached = 0.0
    while reached < total:
        size = int((total - reached) * 1.02) + 64
        points = reached + np.cumsum(rng.gamma(shape, 1.0 / shape, size))
        blocks.append(points)
        reached = float(points[-1])
    points = np.concatenate(blocks)
    return points[points < total]


def _spread_counts(
    trace: Trace, rng: np.random.Generator, begin_s: float, end_s: float
) -> NDArray[np.float64]:
    assert trace.counts is not None
    in_range = (trace.times_s + trace.bin_s > begin_s) & (trace.times_s < end_s)
    counts = trace.counts[in_range]
    if counts.sum() > REQUESTS_COUNT_MAX:
        raise UsageError(
            f"the trace holds {counts.sum()} requests", "play a part of it: --trace-from, --duration"
        )
    starts_s = np.repeat(trace.times_s[in_range], counts)
    times_s = np.sort(starts_s + trace.bin_s * rng.random(len(starts_s)))
    return times_s[(times_s >= begin_s) & (times_s < end_s)]
