"""Target tracking on invocations per instance, as SageMaker's endpoints do it.

Source: docs.aws.amazon.com, sagemaker endpoint-auto-scaling and endpoint-scaling-loadtest, application auto
scaling target tracking. How many points an alarm needs (3 up, 15 down) is common knowledge, not in those
pages.
"""

from dataclasses import dataclass
from math import ceil

from swayam_proxy.sim.baselines.base import Gauges, Service


@dataclass(frozen=True, slots=True)
class SageMakerSettings:
    """Defaults; the target is MAX_RPS x SAFETY_FACTOR x 60, MAX_RPS being slots over the mean execution."""

    safety_factor: float = 0.5
    points_high: int = 3
    points_low: int = 15
    low_share: float = 0.9
    cooldown_out_s: float = 300.0
    cooldown_in_s: float = 300.0


class SageMaker:
    """Minute by minute: in proportion to the metric when an alarm has stood long enough."""

    def __init__(self, service: Service, settings: SageMakerSettings) -> None:
        """Begin with both alarms off."""
        self._settings = settings
        self._target = 60.0 * settings.safety_factor * service.slots / service.execution_mean_s
        self._high_count = self._low_count = 0
        self._out_at_s = self._in_at_s = float("-inf")

    def wanted(self, gauges: Gauges) -> int:
        """Decide at the end of each minute."""
        current = max(1, gauges.wanted_count)
        if int(gauges.now) % 60 != 0:
            return current
        settings, now = self._settings, gauges.now
        calls = sum(second.arrivals_count for second in gauges.last(60))
        per_instance = calls / max(1, gauges.ready_count)
        self._high_count = self._high_count + 1 if per_instance > self._target else 0
        self._low_count = self._low_count + 1 if per_instance < settings.low_share * self._target else 0
        proportional = ceil(calls / self._target - 1e-9)
        # a larger scale-out may still go ahead during the cool-down
        if self._high_count >= settings.points_high and proportional > current:
            self._out_at_s = now
            return proportional
        cooled = now >= max(self._in_at_s + settings.cooldown_in_s, self._out_at_s + settings.cooldown_out_s)
        if self._low_count >= settings.points_low and cooled:
            self._in_at_s = now
            return max(1, min(current, proportional))
        return current
