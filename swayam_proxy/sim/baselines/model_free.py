"""A prefix without a model: fill the lowest indices first, set one more up when the highest is used.

Source: HAProxy's `balance first`, whose manual recommends just that ("always use the smallest number of
servers so that extra servers can be powered off"); the chain of instances in hal-03171974 is akin. Backends
go cold by themselves after the idle time, as Swayam's do.
"""

from dataclasses import dataclass

from swayam_proxy.sim.baselines.base import Gauges, LargestOf, Service


@dataclass(frozen=True, slots=True)
class ModelFreeSettings:
    """How many spares stand above the highest backend in use, and for how long a use counts."""

    spare_count: int = 1
    memory_s: float = 60.0


class ModelFree:
    """Every second: the highest index used of late, and some spares."""

    def __init__(self, service: Service, settings: ModelFreeSettings) -> None:
        """Begin with nothing used."""
        self._settings = settings
        self._backends_max = service.backends_max
        self._used = LargestOf(settings.memory_s)

    def wanted(self, gauges: Gauges) -> int:
        """Decide every second."""
        highest = gauges.seconds[-1].highest_used if gauges.seconds else 0
        used = self._used.saw(gauges.now, highest)
        return min(self._backends_max, used + self._settings.spare_count)
