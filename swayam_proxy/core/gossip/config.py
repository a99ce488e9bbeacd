"""Every tunable of the gossip, with its unit, its default, the reason for it and what goes wrong otherwise.

Knows no protocol state. Limits that the wire format itself sets are in `wire.py` and `identity.py`.
"""

from dataclasses import dataclass
from math import ceil, log, log2

TOKEN_EPOCH_S = 30.0
"""A stranger's token is valid in the epoch of its issue and the next; a tombstone must outlive it."""


@dataclass(frozen=True, slots=True)
class GossipConfig:
    """How a member talks, when it doubts, what it forgets, and the bounds of what it keeps."""

    round_s: float = 0.2
    """One round; `fan_out` probes are spread evenly over it. Longer: slower joins and detection."""
    fan_out: int = 3
    """Probes per round. 3 spreads a fact to 4,096 members within 1 s at 30 % loss; 2 misses 0.6 s at 8."""
    retry_s: float = 0.1
    """Between tries at a member that has not answered. Below the network's round trip it wastes datagrams,
    above 150 ms a crash under loss takes longer than promised."""
    tries_min: int = 3
    """Tries before a silent member is doubted, however good the network is."""
    tries_max: int = 24
    """The same, however bad it is: 2.4 s with the defaults."""
    false_doubts_per_s: float = 1.0
    """Wrong doubts that all members together may raise; sets the tries from the measured loss. More: traffic
    and refutations grow. Less: detection takes longer."""
    window_s: float = 0.9
    """A doubt that nobody refutes for so long removes the member, up to 64 members. Shorter: members that
    pause for half a second are removed."""
    window_growth_s: float = 0.35
    """Added to the window for every doubling of the members beyond 64, since news travels further."""
    accusers_count: int = 3
    """Different members that must have found a member silent before it is removed (fewer where fewer are
    left to accuse). 1 would let a single broken link remove members."""
    doubts_checked_max: int = 16
    """Silent members that one member examines at a time; bounds its traffic when half of all vanish."""
    gap_s_max: float = 0.25
    """The detector's clock advances by at most this between two calls, so that a paused member does not take
    its own pause for the silence of others."""
    lost_probe_s: float = 0.5
    """Between probes of members that were removed, so that a healed partition is found."""
    seed_probe_s: float = 1.0
    """Between probes of seeds that no known member answers for; while alone they start faster."""
    tombstone_s: float = 600.0
    """How long a removed member is remembered. Much shorter: an old datagram could bring it back."""
    retransmit_factor: float = 5.0
    """A fact is passed on this often, times log2 of the members. Less: the digest has to repair more."""
    sync_s: float = 0.1
    """Between two digests sent because views differ. Shorter: more traffic while news spreads anyway."""
    sync_datagrams_max: int = 8
    """Datagrams that answer one listing. Less: a newcomer among thousands learns them too slowly."""
    load_interval_s: float = 1.0
    """Between two publications of an unchanged forecast, as long as there are few members and services."""
    loads_per_s_max: float = 64.0
    """Unchanged forecasts that all members together publish per second; beyond it, less often each."""
    load_change_share: float = 0.2
    """A forecast that changed by more than this share is published at once."""
    load_retransmit_factor: float = 1.0
    """As `retransmit_factor`, for forecasts and statistics: what is missed is told again anyway."""
    summary_interval_s: float = 20.0
    """Between two publications of the same service's execution statistics, likewise stretched."""
    forget_s: float = 10.0
    """How long the load of a member that has gone is held. Shorter: fewer backends than needed while its
    traffic moves to others. Longer: a load that really ended with it keeps backends."""
    members_max: int = 8192
    """Members known at a time, and removed ones remembered; further ones are refused and counted."""
    growth_burst: int = 4096
    """Members that may be learnt at once; beyond it `growth_per_s` holds. Bounds what a mad member can do."""
    growth_per_s: float = 256.0
    services_max: int = 1000
    loads_max: int = 65_536
    """Forecasts kept, over all members and services."""
    challenges_per_s: float = 200.0
    """Answers to strangers. Higher: old datagrams sent again make us send more."""
    datagram_bytes_max: int = 1400
    """Fits the smallest usual MTU with all headers, tunnels included."""

    def __post_init__(self) -> None:
        """Refuse numbers that contradict each other or the protocol."""
        positive = (
            "round_s",
            "retry_s",
            "window_s",
            "gap_s_max",
            "lost_probe_s",
            "seed_probe_s",
            "tombstone_s",
            "forget_s",
        )
        for name in positive:
            if not 0.0 < getattr(self, name) < 1e6:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)!r}")
        if not 1 <= self.fan_out <= 64:
            raise ValueError("fan_out must be 1 to 64")
        if not 1 <= self.tries_min <= self.tries_max:
            raise ValueError("tries_min must be at least 1 and at most tries_max")
        if not 1 <= self.accusers_count <= 3:
            raise ValueError("accusers_count must be 1 to 3")
        if not 576 <= self.datagram_bytes_max <= 1400:
            raise ValueError("datagram_bytes_max must be 576 to 1400")
        if not self.tombstone_s >= TOKEN_EPOCH_S * 2:
            raise ValueError("tombstone_s must be at least 60 s, or old datagrams could revive a member")

    @property
    def probe_interval_s(self) -> float:
        """Seconds between two regular probes."""
        return self.round_s / self.fan_out

    def window_for_s(self, members_count: int) -> float:
        """Seconds that a doubt must stand unrefuted among so many members."""
        return self.window_s + self.window_growth_s * max(0.0, log2(max(1, members_count) / 64))

    def tries_for(self, members_count: int, failure_share: float) -> int:
        """Return how many tries in a row must fail before a member is doubted.

        All members start `members_count / probe_interval_s` examinations a second, and an examination of
        a healthy member fails with `failure_share ** tries`: the least number that keeps their product
        within `false_doubts_per_s`.
        """
        examinations_per_s = max(1, members_count) / self.probe_interval_s
        tries = ceil(log(self.false_doubts_per_s / examinations_per_s) / log(failure_share))
        return min(self.tries_max, max(self.tries_min, tries))

    def retransmissions_for(self, members_count: int) -> int:
        """Return how often one member passes a change of the members on."""
        return ceil(self.retransmit_factor * log2(members_count + 1)) + 1

    def load_retransmissions_for(self, members_count: int) -> int:
        """Return how often one member passes a forecast on."""
        return ceil(self.load_retransmit_factor * log2(members_count + 1)) + 1
