"""Knative's pod autoscaler (KPA), as KServe's serverless mode uses it too.

Source: knative/serving pkg/autoscaler/scaling/{autoscaler,multiscaler}.go,
config/core/configmaps/autoscaler.yaml. Its activators stand in the path while capacity is scarce, which
with one slot per pod is always.
"""

from dataclasses import dataclass
from math import ceil, floor

from swayam_proxy.sim.baselines.base import Gauges, LargestOf, Service


@dataclass(frozen=True, slots=True)
class KnativeSettings:
    """Defaults of config-autoscaler; the target is a share of the pod's slots (containerConcurrency)."""

    target_utilisation: float = 0.7
    stable_window_s: int = 60
    panic_window_share: float = 0.1
    panic_threshold: float = 2.0
    scale_down_delay_s: float = 0.0
    scale_down_rate_max: float = 2.0
    scale_up_rate_max: float = 1000.0
    zero_grace_s: float = 30.0


class Knative:
    """Every 2 s.

    The mean in flight of 60 s over the target; of 6 s when that is twice what is ready (panic).
    """

    def __init__(self, service: Service, settings: KnativeSettings) -> None:
        """Begin outside panic."""
        self._settings = settings
        self._target = settings.target_utilisation * service.slots
        self._panic_since_s: float | None = None
        self._panic_largest = 0
        self._delayed = LargestOf(settings.scale_down_delay_s)
        self._active_at_s = 0.0
        self._answer = 0

    def wanted(self, gauges: Gauges) -> int:
        """Decide every other second."""
        if int(gauges.now) % 2 == 0 or self._answer == 0:
            self._answer = self._decide(gauges)
        return self._answer

    def _decide(self, gauges: Gauges) -> int:
        settings, now = self._settings, gauges.now
        panic_window_s = max(1, round(settings.stable_window_s * settings.panic_window_share))
        stable = ceil(gauges.in_flight_mean(settings.stable_window_s) / self._target - 1e-9)
        panic = ceil(gauges.in_flight_mean(panic_window_s) / self._target - 1e-9)
        ready = max(1, gauges.ready_count)
        low, high = floor(ready / settings.scale_down_rate_max), ceil(ready * settings.scale_up_rate_max)
        over = panic / ready >= settings.panic_threshold
        stable, panic = min(max(stable, low), high), min(max(panic, low), high)
        if over:
            self._panic_since_s = now
        elif self._panic_since_s is not None and now > self._panic_since_s + settings.stable_window_s:
            self._panic_since_s, self._panic_largest = None, 0
        desired = stable
        if self._panic_since_s is not None:
            self._panic_largest = desired = max(self._panic_largest, stable, panic)
        if gauges.in_flight_mean(settings.stable_window_s) > 0.0:
            self._active_at_s = now
        elif now < self._active_at_s + settings.zero_grace_s:
            desired = max(1, desired)
        return self._delayed.saw(now, desired)
