"""Facts that reach a frontend beside the request path, in the past tense; plain data."""

from dataclasses import dataclass

from swayam_proxy.core.vocabulary import BackendState


@dataclass(frozen=True, slots=True)
class WakeupCame:
    """The moment that `next_wakeup()` asked for has come."""


@dataclass(frozen=True, slots=True)
class BackendProbed:
    """An active health check of one backend ended."""

    service_name: str
    backend_index: int
    healthy: bool


@dataclass(frozen=True, slots=True)
class BackendReported:
    """A sidecar or provisioner told the state of one backend.

    `incarnation` counts its set-ups, so that stale news is told from fresh; `setup_s` is the measured
    time from cold to warm, where it was seen.
    """

    service_name: str
    backend_index: int
    state: BackendState
    incarnation: int = 0
    setup_s: float | None = None


@dataclass(frozen=True, slots=True)
class SetUpRefused:
    """A machine has no room for a set-up that we ordered; it has not begun."""

    service_name: str
    backend_index: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class HoldGranted:
    """A backend leased a slot to one of our holds."""

    service_name: str
    backend_index: int
    hold_id: int


@dataclass(frozen=True, slots=True)
class BackendIdled:
    """A backend has a free slot and nobody waits for it."""

    service_name: str
    backend_index: int


@dataclass(frozen=True, slots=True)
class PeersCounted:
    """The number of frontends, this one included, is known anew."""

    frontends_count: int


@dataclass(frozen=True, slots=True)
class PeersHeard:
    """What the other frontends count of one service, as far as it is fresh: a sum over `fresh_count` of them.

    `execution` is what they have measured, merged, in the form of `ExecutionSummary.to_numbers`; empty when
    nothing is known.
    """

    service_name: str
    fresh_count: int
    rate_per_s: float
    """Their arrivals per second, each over the time since it last told."""
    execution: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class DrainBegan:
    """No new request is taken from here on; those in flight and in the queue may end."""


Event = (
    WakeupCame
    | BackendProbed
    | BackendReported
    | SetUpRefused
    | HoldGranted
    | BackendIdled
    | PeersCounted
    | PeersHeard
    | DrainBegan
)
