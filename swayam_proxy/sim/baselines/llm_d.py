"""llm-d's workload-variant autoscaler in its model-based form, for requests that are one batch step.

Source: llm-d-incubation/workload-variant-autoscaler pkg/analyzer/{queueanalyzer,mm1modelstatedependent}.go,
pkg/core/allocation.go. It bounds the MEAN wait, not a percentile; it looks neither ahead nor at bursts.
"""

from dataclasses import dataclass
from math import ceil

from swayam_proxy.sim.baselines.base import Gauges, Service


@dataclass(frozen=True, slots=True)
class LlmDSettings:
    """Defaults; `target_share` of RT_max is what the mean may use up."""

    interval_s: int = 60
    rate_window_s: int = 60
    target_share: float = 1.0
    queue_per_slot: int = 10


def replica_rate_per_s(slots: int, execution_s: float, target_s: float, queue_per_slot: int) -> float:
    """Largest arrival rate at one replica that keeps the mean of waiting and execution within the target.

    An M/M/1 queue with state-dependent rate (k requests run at k / execution) and room for K = N + 10 N.
    """
    low, high = 1e-6 / execution_s, (1.0 - 1e-6) * slots / execution_s
    for _ in range(60):
        middle = (low + high) / 2.0
        if _mean_response_s(middle, slots, execution_s, queue_per_slot) <= target_s:
            low = middle
        else:
            high = middle
    return low


def _mean_response_s(rate_per_s: float, slots: int, execution_s: float, queue_per_slot: int) -> float:
    places = slots * (1 + queue_per_slot)
    weights = [1.0]
    for count in range(1, places + 1):
        weights.append(weights[-1] * rate_per_s * execution_s / min(count, slots))
    total = sum(weights)
    in_system = sum(count * weight for count, weight in enumerate(weights)) / total
    throughput = rate_per_s * (1.0 - weights[-1] / total)
    return in_system / throughput


class LlmD:
    """Every minute: the rate of the last minute over what one replica can take."""

    def __init__(self, service: Service, settings: LlmDSettings) -> None:
        """Solve the replica's model once; it does not change."""
        self._settings = settings
        target_s = settings.target_share * service.response_time_s
        self._per_replica = replica_rate_per_s(
            service.slots, service.execution_mean_s, target_s, settings.queue_per_slot
        )

    def wanted(self, gauges: Gauges) -> int:
        """Decide at the end of each interval."""
        if int(gauges.now) % self._settings.interval_s != 0:
            return max(1, gauges.wanted_count)
        return max(1, ceil(gauges.rate_per_s(self._settings.rate_window_s) / self._per_replica - 1e-9))
