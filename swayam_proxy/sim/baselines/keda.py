"""KEDA's HTTP add-on: interceptors count requests in flight, an HPA scales on that count, unaveraged.

Source: kedacore/http-add-on scaler/handlers.go, pkg/queue, operator/apis/http. Requests go to the service's
one address (kube-proxy: random), with no limit per backend. The add-on's own default of 100 requests in
flight per backend can keep no promise where a backend has one slot, so that "default" here means one per
slot.
"""

from dataclasses import dataclass, field

from swayam_proxy.sim.baselines.base import Gauges, Service
from swayam_proxy.sim.baselines.hpa import Hpa, HpaSettings


@dataclass(frozen=True, slots=True)
class KedaSettings:
    """Defaults of the add-on and of the HPA behind it."""

    target_utilisation: float = 1.0
    scaledown_period_s: float = 300.0
    hpa: HpaSettings = field(default_factory=HpaSettings)


class Keda:
    """The HPA's rules on the count of this instant; to zero after five idle minutes."""

    def __init__(self, service: Service, settings: KedaSettings) -> None:
        """Begin active."""
        inner = settings.hpa
        self._settings = settings
        self._hpa = Hpa(
            service,
            HpaSettings(settings.target_utilisation, inner.sync_s, inner.tolerance, inner.stabilisation_s),
        )
        self._active_at_s = 0.0
        self._answer: int | None = None

    def wanted(self, gauges: Gauges) -> int:
        """Decide every 15 s; from zero at once."""
        if gauges.in_flight_count > 0:
            self._active_at_s = gauges.now
        if gauges.now - self._active_at_s >= self._settings.scaledown_period_s:
            self._answer = 0
        elif self._answer in (0, None):
            self._answer = max(1, gauges.wanted_count)
        elif int(gauges.now) % self._settings.hpa.sync_s == 0:
            self._answer = self._hpa.decide(float(gauges.in_flight_count), gauges)
        return self._answer if self._answer is not None else 1
