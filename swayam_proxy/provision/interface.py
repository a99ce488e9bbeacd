"""What every provisioner does: it sets backends of an ordered list up, lets single ones go, tells what is.

Any number of frontends use one at the same time, and none of them leads. So raising is idempotent, letting go
is compare-and-set by the number of the set-up, and silence changes nothing: whoever cannot be asked is what
it was when it last answered.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from swayam_proxy.core.vocabulary import BackendState


@dataclass(frozen=True, slots=True)
class Place:
    """One backend of the list, as it last told."""

    index: int
    """Counted from 1."""
    incarnation: int
    """Counts its set-ups."""
    address: str
    state: BackendState
    is_reachable: bool
    """False: nobody answers there now, and the rest is what was true before."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole list at one moment."""

    places: tuple[Place, ...]

    @property
    def warm_count(self) -> int:
        """Places that are warm, or were when they last answered."""
        return sum(place.state is BackendState.WARM for place in self.places)


class Provisioner(Protocol):
    """Whoever sets backends up."""

    async def ensure(self, count: int) -> None:
        """Have the backends 1 to `count` set up that are cold; never let one go.

        Returns when all orders are given, not when the backends are warm. What cannot be reached is left out:
        whoever still wants it asks again.
        """

    async def retire(self, index: int, incarnation: int) -> bool:
        """Let one backend go if that is its present set-up; False when it is not, or cannot be reached."""

    def watch(self) -> AsyncIterator[Snapshot]:
        """Yield the present snapshot, then every one that differs from the one before; never ends."""

    def snapshot(self) -> Snapshot:
        """Return what is known now."""

    async def close(self) -> None:
        """End watching, and whatever was started for it."""
