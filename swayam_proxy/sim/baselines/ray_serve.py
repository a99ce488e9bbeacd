"""Ray Serve's autoscaling on ongoing requests, with its delays.

Source: ray python/ray/serve/{autoscaling_policy,config}.py and serve/_private/constants.py. Its router is the
power of two choices with replicas that refuse beyond `max_ongoing_requests`; see `dispatch.PowerOfTwo`.
"""

from dataclasses import dataclass
from math import ceil

from swayam_proxy.sim.baselines.base import Gauges, Service


@dataclass(frozen=True, slots=True)
class RayServeSettings:
    """Defaults since 2.32; the loop of 0.1 s is played once a second."""

    target_ongoing_requests: float = 2.0
    look_back_s: int = 30
    push_s: int = 10
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    replicas_min: int = 1


class RayServe:
    """Total ongoing over target; up after 30 s of agreement, down after 600 s."""

    def __init__(self, service: Service, settings: RayServeSettings) -> None:
        """Begin with no direction."""
        self._settings = settings
        self._service = service
        self._metric = 0.0
        self._direction = 0
        self._since_s = 0.0

    def wanted(self, gauges: Gauges) -> int:
        """Decide every second, on what the handles pushed last."""
        settings, now = self._settings, gauges.now
        if int(now) % settings.push_s == 0:
            self._metric = gauges.in_flight_mean(settings.look_back_s)
        current = gauges.wanted_count
        if current == 0:
            return max(1, ceil(settings.upscaling_factor)) if gauges.in_flight_count else 0
        raw = self._metric / settings.target_ongoing_requests
        factor = settings.upscaling_factor if raw > current else settings.downscaling_factor
        desired = ceil(current + factor * (raw - current) - 1e-9)
        desired = min(self._service.backends_max, max(settings.replicas_min, desired))
        direction = (desired > current) - (desired < current)
        if direction != self._direction:
            self._direction, self._since_s = direction, now
        delay_s = settings.upscale_delay_s if direction > 0 else settings.downscale_delay_s
        if direction == 0 or now - self._since_s < delay_s:
            return current
        self._direction = 0
        return desired
