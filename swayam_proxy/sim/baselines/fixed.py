"""A fixed number of backends: static provisioning, the deck's starting point."""

from dataclasses import dataclass

from swayam_proxy.sim.baselines.base import Gauges, Service


@dataclass(frozen=True, slots=True)
class FixedSettings:
    """How many."""

    backends_count: int = 20


class Fixed:
    """Always the same."""

    def __init__(self, service: Service, settings: FixedSettings) -> None:
        """Bound the number by what there is."""
        self._count = min(settings.backends_count, service.backends_max)

    def wanted(self, gauges: Gauges) -> int:  # noqa: ARG002
        """Return the number."""
        return self._count
