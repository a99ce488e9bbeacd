"""Kubernetes' horizontal pod autoscaler on requests in flight per backend (AverageValue).

Source: kubernetes pkg/controller/podautoscaler/{horizontal,replica_calculator}.go and the defaults of
autoscaling/v2. The staleness of the metric (scrape and adapter) is chosen here: nobody documents one.
"""

from dataclasses import dataclass
from math import ceil

from swayam_proxy.sim.baselines.base import Gauges, LargestOf, Service


@dataclass(frozen=True, slots=True)
class HpaSettings:
    """Defaults of the controller; the target is a share of the backend's slots."""

    target_utilisation: float = 0.7
    sync_s: int = 15
    tolerance: float = 0.1
    stabilisation_s: float = 300.0
    metric_window_s: int = 15
    metric_lag_s: int = 15
    up_pods_per_period: int = 4
    up_share_per_period: float = 1.0
    replicas_min: int = 1


class Hpa:
    """Every 15 s: total over target, within a tolerance; down only to the largest answer of five minutes."""

    def __init__(self, service: Service, settings: HpaSettings) -> None:
        """Begin with no recommendation seen."""
        self._settings = settings
        self._target = settings.target_utilisation * service.slots
        self._stabilised = LargestOf(settings.stabilisation_s)
        self._answer: int | None = None

    def wanted(self, gauges: Gauges) -> int:
        """Decide every `sync_s` seconds."""
        if self._answer is None or int(gauges.now) % self._settings.sync_s == 0:
            settings = self._settings
            in_flight = gauges.in_flight_mean(settings.metric_window_s, settings.metric_lag_s)
            self._answer = self.decide(in_flight, gauges)
        return self._answer

    def decide(self, in_flight: float, gauges: Gauges) -> int:
        """Apply the controller's rules to a total of requests in flight."""
        settings = self._settings
        current = max(1, gauges.wanted_count)
        recommended = current
        if abs(in_flight / (self._target * current) - 1.0) > settings.tolerance:
            recommended = max(settings.replicas_min, ceil(in_flight / self._target - 1e-9))
        stabilised = self._stabilised.saw(gauges.now, recommended)
        if stabilised < current:
            return stabilised
        # two policies limit growth per 15 s, and the kinder one holds
        limit = max(current + settings.up_pods_per_period, ceil(current * (1 + settings.up_share_per_period)))
        return min(max(recommended, current), limit)
