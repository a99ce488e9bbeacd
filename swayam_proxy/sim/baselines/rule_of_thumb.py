"""The rule that every engineer knows: n = ceil(U L C) + 1, with the same forecast and horizon as Swayam.

No model of waiting at all, so that what it costs more, or misses, is what the model is worth. Our own
control; with `model` the queueing model takes the place of the rule, and without `forecast` the present
rate that of the forecast, so that each can be weighed alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from swayam_proxy.core.model.capacity import least_backends
from swayam_proxy.core.model.load import LoadForecaster
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.baselines.base import Gauges, LargestOf, Service


@dataclass(frozen=True, slots=True)
class RuleOfThumbSettings:
    """U as in the promise; the hold as in Swayam."""

    burst: float = 2.0
    spare_count: int = 1
    shrink_hold_s: float = 30.0
    forecast: bool = True
    rate_window_s: int = 20
    """Without a forecast: the mean of the last seconds."""
    model: bool = False
    """Ask the model of a central queue how many backends the load needs."""


class RuleOfThumb:
    """Every second: the forecast at the set-up horizon, times the burst factor, times the mean execution."""

    def __init__(self, service: Service, settings: RuleOfThumbSettings) -> None:
        """Begin without a history."""
        self._settings = settings
        self._service = service
        self._forecaster = LoadForecaster(0.0)
        self._held = LargestOf(settings.shrink_hold_s)
        self._needs: Callable[[float], int] = self._modelled if settings.model else self._thumbed
        self._law = LogNormal.of_mean_cv(service.execution_mean_s, 0.3)

    def wanted(self, gauges: Gauges) -> int:
        """Decide every second."""
        settings = self._settings
        if settings.forecast:
            for _ in range(gauges.seconds[-1].arrivals_count if gauges.seconds else 0):
                self._forecaster.count(gauges.now - 0.5)
            rate = self._forecaster.forecast(gauges.now, self._service.setup_s + 1.0).mean_per_s
        else:
            rate = gauges.rate_per_s(settings.rate_window_s)
        return self._held.saw(gauges.now, self._needs(settings.burst * rate) + settings.spare_count)

    def _thumbed(self, rate_per_s: float) -> int:
        return ceil(rate_per_s * self._service.execution_mean_s / self._service.slots - 1e-9)

    def _modelled(self, rate_per_s: float) -> int:
        service = self._service
        found = least_backends(
            rate_per_s,
            self._law,
            service.response_time_s,
            service.level,
            policy=DispatchPolicy.CENTRAL_QUEUE,
            slots=service.slots,
        )
        return found.needs
