"""One run as plain data: the promise, the machines, the network, the frontends.

Knows nothing of traces or time.
"""

from dataclasses import dataclass

from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.workload import WorkloadError


@dataclass(frozen=True, slots=True)
class Crash:
    """One backend's process dies at `at_s`."""

    at_s: float
    backend_index: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything but the requests; the defaults are the deck's evaluation."""

    frontends_count: int = 8
    backends_count: int = 100
    slots: int = 1
    response_time_ratio: float = 5.0
    """RT_max over the mean execution time C."""
    response_time_s: float | None = None
    """RT_max itself; None: `response_time_ratio` times C."""
    level: float = 0.99
    burst: float | None = 2.0
    """U; None is "auto"."""
    setup_s: float = 10.0
    setup_cv: float = 0.0
    idle_s: float = 60.0
    warm_at_start: int = 5
    dispatch: DispatchPolicy = DispatchPolicy.LEAST_OUTSTANDING
    tick_s: float = 1.0
    shrink_hold_s: float = 30.0
    shed_late: bool = True
    """Give each request the promise as its deadline, so that a frontend refuses what would be late anyway."""
    first_frontend_share: float | None = None
    """Share of the traffic that the first frontend gets (0.9: the 90/10 split); None: all get the same."""
    one_way_s: float = 0.00025
    jitter_s: float = 0.0
    """Mean of an exponential part on top of each message's way."""
    loss: float = 0.0
    """Share of messages that are lost and sent again after `resend_s`."""
    resend_s: float = 0.2
    gossip_s: float | None = 0.5
    """How often each frontend hears its peers' forecasts; None: never, so that L = F x L'."""
    gossip_loss: float = 0.0
    """Share of these that do not arrive; the next one brings the news."""
    gossip_fresh_s: float = 5.0
    """What was said longer ago counts no more."""
    gossip_statistics_s: float | None = 20.0
    """How often each frontend hears what its peers have measured of execution times; None: never."""
    crashes: tuple[Crash, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        problems = [
            (self.frontends_count < 1, "there must be at least one frontend"),
            (not 1 <= self.backends_count <= 10_000, "backends must number 1 to 10,000"),
            (self.slots < 1, "a backend has at least one slot"),
            (self.threshold_s(1.0) <= 0.0, "the response time must be positive"),
            (not 0.0 < self.level < 1.0, "the level must lie between 0 and 1"),
            (self.burst is not None and self.burst <= 0.0, "the burst factor must be positive"),
            (self.setup_s < 0.0 or self.setup_cv < 0.0, "set-up times must not be negative"),
            (self.idle_s <= 0.0, "the idle time must be positive"),
            (not 0 <= self.warm_at_start <= self.backends_count, "more backends begin warm than there are"),
            (self.tick_s <= 0.0, "the tick must be positive"),
            (min(self.one_way_s, self.jitter_s, self.resend_s) < 0.0, "delays must not be negative"),
            (not 0.0 <= self.loss < 1.0, "the share of lost messages must lie in [0, 1)"),
            (not 0.0 <= self.gossip_loss <= 1.0, "the share of lost gossip must lie in [0, 1]"),
            (self.gossip_s is not None and self.gossip_s <= 0.0, "the gossip interval must be positive"),
            (
                self.gossip_statistics_s is not None and self.gossip_statistics_s <= 0.0,
                "the interval of statistics must be positive",
            ),
            (
                self.first_frontend_share is not None and not 0.0 <= self.first_frontend_share <= 1.0,
                "the first frontend's share must lie in [0, 1]",
            ),
        ]
        for wrong, message in problems:
            if wrong:
                raise WorkloadError(message)

    def threshold_s(self, execution_mean_s: float) -> float:
        """Return RT_max for a service with that mean execution time."""
        return self.response_time_s or self.response_time_ratio * execution_mean_s
