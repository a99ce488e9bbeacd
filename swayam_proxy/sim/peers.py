"""What frontends hear of each other: forecasts at the gossip's interval, late, and some of them lost.

Stands in for the membership protocol (which is simulated for itself, message by message, in
`gossip_network`): here only what reaches the decision counts. Knows nothing of how frontends decide.
"""

from random import Random

from swayam_proxy.core.events import PeersHeard
from swayam_proxy.core.vocabulary import Decision
from swayam_proxy.sim.scenario import Scenario

_Entry = tuple[float, float, float]
"""(when it was said, forecast per s, squared spread)."""


class Peers:
    """What each frontend has last heard of each other one."""

    def __init__(self, scenario: Scenario, rng: Random) -> None:
        """Begin with nothing heard."""
        count = scenario.frontends_count
        self._scenario = scenario
        self._rng = rng
        self._said: list[_Entry | None] = [None] * count
        self._heard: list[list[_Entry | None]] = [[None] * count for _ in range(count)]

    def decided(self, number: int, decision: Decision) -> None:
        """Remember what a frontend will tell its peers."""
        self._said[number] = (decision.at, decision.forecast_per_s, decision.forecast_spread_per_s**2)

    def exchange(self) -> None:
        """Let one interval pass: what was last said reaches every peer, unless it is lost."""
        loss, rng = self._scenario.gossip_loss, self._rng
        for number, heard in enumerate(self._heard):
            for other, entry in enumerate(self._said):
                if other != number and not (loss and rng.random() < loss):
                    heard[other] = entry

    def heard_by(self, number: int, service_name: str, now: float) -> PeersHeard:
        """Return the sums over the peers of whom `number` has heard lately."""
        oldest = now - self._scenario.gossip_fresh_s
        fresh = [entry for entry in self._heard[number] if entry is not None and entry[0] >= oldest]
        return PeersHeard(
            service_name,
            len(fresh),
            sum(entry[1] for entry in fresh),
            sum(entry[2] for entry in fresh),
        )
