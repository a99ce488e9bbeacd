"""How far two runs of one scenario agree."""

from dataclasses import dataclass

import numpy as np

from _compare_live.live import Seen
from _compare_live.scenario import Played
from swayam_proxy.sim.workload import Floats

SHARE_APART_MAX = 0.01
COST_APART_MAX = 0.05
SAME_MIN = 0.9
_STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class Verdict:
    """Two runs side by side, the first one live."""

    shares: tuple[float, float]
    """Within the promise."""
    p50_s: tuple[float, float]
    p99_s: tuple[float, float]
    costs: tuple[float, float]
    """Backend-seconds."""
    same_share: float
    """Of the time in which n was the same, all proxies of a run taken by their median."""
    near_share: float
    """The same within one."""

    @property
    def share_apart(self) -> float:
        """Difference of the shares."""
        return abs(self.shares[0] - self.shares[1])

    @property
    def cost_apart(self) -> float:
        """Relative to the first."""
        return abs(self.costs[1] / self.costs[0] - 1.0)

    @property
    def agrees(self) -> bool:
        """Whether all three bars are met."""
        return (
            self.share_apart <= SHARE_APART_MAX
            and self.cost_apart <= COST_APART_MAX
            and self.same_share >= SAME_MIN
        )


def times_of(played: Played) -> Floats:
    """Return the moments that are compared."""
    return np.arange(played.warm_up_s, played.duration_s, _STEP_S)


def at_times(changes: list[tuple[float, int]], times_s: Floats) -> Floats:
    """Return the value of a step function at each moment; 0 before its first."""
    if not changes:
        return np.zeros(times_s.size)
    places = np.searchsorted([when for when, _ in changes], times_s, side="right")
    return np.array([0, *(value for _, value in changes)], dtype=np.float64)[places]


def median_prefix(seen: Seen, times_s: Floats) -> Floats:
    """Return n at each moment: the median of the proxies, the lower one of two."""
    each = np.sort([at_times(changes, times_s) for changes in seen.prefixes], axis=0)
    found: Floats = each[(len(each) - 1) // 2]
    return found


def compare(played: Played, first: Seen, second: Seen) -> Verdict:
    """Compare two runs over the measured time."""
    times_s = times_of(played)
    apart = np.abs(median_prefix(first, times_s) - median_prefix(second, times_s))
    within, p50_s, p99_s, costs = [], [], [], []
    for seen in (first, second):
        counted = (seen.arrivals_s >= played.warm_up_s) & (seen.arrivals_s < played.duration_s)
        responses_s = seen.responses_s[counted]
        within.append(float((responses_s <= played.response_time_s).mean()))
        p50_s.append(float(np.quantile(responses_s, 0.5, method="inverted_cdf")))
        p99_s.append(float(np.quantile(responses_s, 0.99, method="inverted_cdf")))
        costs.append(float(at_times(seen.billed, times_s).sum()) * _STEP_S)
    return Verdict(
        (within[0], within[1]),
        (p50_s[0], p50_s[1]),
        (p99_s[0], p99_s[1]),
        (costs[0], costs[1]),
        float((apart == 0.0).mean()),
        float((apart <= 1.0).mean()),
    )
