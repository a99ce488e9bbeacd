"""What a process before model servers serves, by the names that its data plane uses; and who is asked whether
there is room for one more of them.
"""

from typing import Protocol

from swayam_proxy.core.vocabulary import ServiceSpec, Sla

MODEL, CONTROL = "model", "/swayam/"
"""The two services of a sidecar's data plane: the model server, and the sidecar itself; no other service can
have the second's name."""
_LONG_S = 3600.0


class Room(Protocol):
    """Whoever knows whether the machine has room for one more model server: `machine.Seat`."""

    def claimed(self, claim: int | None, by: str) -> None:
        """Take in that somebody wants this service here."""

    def may_set_up(self, claim: int | None) -> bool:
        """Say whether a set-up may begin; it then has room, or will have."""

    def left(self) -> None:
        """The model server has ended."""


def spec_of(name: str) -> ServiceSpec:
    """Return what the data plane needs to know of a service: promises are the frontends' business."""
    return ServiceSpec(name, (), Sla(_LONG_S, 0.5))
