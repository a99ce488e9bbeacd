"""The rule that every engineer knows: n = ceil(U L C) + 1, with the same forecast and horizon as Swayam.

No model of waiting at all, so that what it costs more, or misses, is what the model is worth. Our own
control.
"""

from dataclasses import dataclass
from math import ceil

from swayam_proxy.core.model.load import LoadForecaster
from swayam_proxy.sim.baselines.base import Gauges, LargestOf, Service


@dataclass(frozen=True, slots=True)
class RuleOfThumbSettings:
    """U as in the promise; the hold as in Swayam."""

    burst: float = 2.0
    spare_count: int = 1
    shrink_hold_s: float = 30.0


class RuleOfThumb:
    """Every second: the forecast at the set-up horizon, times the burst factor, times the mean execution."""

    def __init__(self, service: Service, settings: RuleOfThumbSettings) -> None:
        """Begin without a history."""
        self._settings = settings
        self._service = service
        self._forecaster = LoadForecaster(0.0)
        self._held = LargestOf(settings.shrink_hold_s)

    def wanted(self, gauges: Gauges) -> int:
        """Decide every second."""
        for _ in range(gauges.seconds[-1].arrivals_count if gauges.seconds else 0):
            self._forecaster.count(gauges.now - 0.5)
        forecast = self._forecaster.forecast(gauges.now, self._service.setup_s + 1.0)
        erlangs = self._settings.burst * forecast.mean_per_s * self._service.execution_mean_s
        needs = ceil(erlangs / self._service.slots - 1e-9) + self._settings.spare_count
        return self._held.saw(gauges.now, needs)
