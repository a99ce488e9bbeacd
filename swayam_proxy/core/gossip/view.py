"""What a member can say about its peers at one moment: frozen values for decisions, status and metrics.

Knows no protocol; `Membership` fills these in.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from swayam_proxy.core.gossip.identity import Address


class MemberState(StrEnum):
    """How a member stands; alive and suspect ones are counted."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    LEFT = "left"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class LoadView:
    """One member's forecast of one service; `fresh` when young enough to be added up."""

    service_name: str
    forecast_per_s: float
    rate_per_s: float
    prefix: int
    age_s: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member; `age_s` is the age of the newest thing known to come from itself (None: nothing yet)."""

    name: str
    boot_id: int
    address: Address
    state: MemberState
    age_s: float | None
    own: bool
    loads: tuple[LoadView, ...]


@dataclass(frozen=True, slots=True)
class PeerLoad:
    """What the other members count of one service.

    `frontends_count` counts this member too. `executions` are fresh and stale alike,
    since execution times do not depend on the load of the moment.
    """

    frontends_count: int
    fresh_rate_sum_per_s: float
    fresh_count: int
    stale_count: int
    executions: tuple[bytes, ...]
    prefixes: tuple[int, ...]
    gone_count: int = 0
    """Members that went so lately that their traffic may be on its way to others."""
    gone_rate_per_s: float = 0.0
    """What is missing to the rate that all together had counted before they went."""


@dataclass(frozen=True, slots=True)
class PeerView:
    """All members as one of them sees them."""

    frontends_count: int
    """Distinct names that are counted, the own one included: a restarted member counts once."""
    members: tuple[MemberView, ...]
    """Counted ones first, then those removed within the last minute."""
    services: Mapping[str, PeerLoad]
    conflicting_names: tuple[str, ...]
    """Names that more than one counted boot carries (shortly after a restart this is usual)."""
    other_configs: tuple[tuple[str, str], ...]
    """Pairs of service and member name where the member runs another list or SLA than we do."""

    def service(self, service_name: str) -> PeerLoad:
        """Return what the others expect of one service."""
        return self.services[service_name]


@dataclass(frozen=True, slots=True)
class GossipSnapshot:
    """Counters since the start, and sizes now, for metrics."""

    frontends_count: int
    states: Mapping[str, int]
    sent: Mapping[str, int]
    """Datagrams by kind of letter."""
    received: Mapping[str, int]
    sent_bytes: int
    received_bytes: int
    rejected: Mapping[str, int]
    """Datagrams by reason."""
    round_trip_count: int
    round_trip_sum_s: float
    failure_share: float
    """Of tries at healthy members; loss on the way there and back."""
    doubts_raised_count: int
    slept_s: float
    """Time in which this member did not run when it should have."""
    rumors_count: int
    tombstones_count: int
    authenticated: bool


class FrontendsEstimate:
    """F for decisions: rises at once, falls only after `hold_s`.

    Too small an F undercounts the load, which breaks promises; too large a one costs a backend for a while.
    """

    __slots__ = ("_hold_s", "_peaks")

    def __init__(self, frontends_count: int, hold_s: float, now: float) -> None:
        """Begin with what the configuration expects."""
        self._hold_s = hold_s
        self._peaks: deque[tuple[float, int]] = deque([(now, frontends_count)])

    def observe(self, frontends_count: int, now: float) -> int:
        """Take the count of this moment; return the largest count of the last `hold_s`."""
        while self._peaks and self._peaks[-1][1] <= frontends_count:
            self._peaks.pop()
        self._peaks.append((now, frontends_count))
        while now - self._peaks[0][0] >= self._hold_s and len(self._peaks) > 1:
            self._peaks.popleft()
        return self._peaks[0][1]
