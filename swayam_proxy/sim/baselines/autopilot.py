"""A moving-window recommender in the manner of Autopilot, with its half-life shortened for runs of hours.

Source: Rzadca et al., "Autopilot", EuroSys 2020 (the idea; its horizontal part is described in words only,
so that the numbers below are choices of ours).
"""

from dataclasses import dataclass
from math import ceil

from swayam_proxy.sim.baselines.base import Gauges, LargestOf, Service


@dataclass(frozen=True, slots=True)
class AutopilotSettings:
    """A decaying percentile of the use, a margin, a target utilisation."""

    interval_s: int = 300
    half_life_s: float = 1200.0
    percentile: float = 0.98
    margin: float = 1.10
    target_utilisation: float = 0.7
    hold_s: float = 600.0
    change_min: float = 0.1


class Autopilot:
    """Every five minutes: a high percentile of the weighted past."""

    def __init__(self, service: Service, settings: AutopilotSettings) -> None:
        """Begin with an empty history."""
        self._settings = settings
        self._slots = service.slots
        self._held = LargestOf(settings.hold_s)

    def wanted(self, gauges: Gauges) -> int:
        """Decide at the end of each interval."""
        settings = self._settings
        current = max(1, gauges.wanted_count)
        if int(gauges.now) % settings.interval_s != 0:
            return current
        use = self._percentile([second.in_flight_mean for second in gauges.seconds])
        target = settings.target_utilisation * self._slots
        recommended = self._held.saw(gauges.now, max(1, ceil(use * settings.margin / target - 1e-9)))
        small = abs(recommended - current) < settings.change_min * current
        return current if small else recommended

    def _percentile(self, uses: list[float]) -> float:
        newest = len(uses)
        weighted = sorted(
            (use, 2.0 ** (-(newest - age) / self._settings.half_life_s)) for age, use in enumerate(uses)
        )
        wanted = self._settings.percentile * sum(weight for _, weight in weighted)
        for use, weight in weighted:
            wanted -= weight
            if wanted <= 0.0:
                return use
        return weighted[-1][0] if weighted else 0.0
