"""What frontends hear of each other: rates of arrival at the gossip's interval, late, and some of them lost.

Stands in for the membership protocol (which is simulated for itself, message by message, in
`gossip_network`): here only what reaches the decision counts. Knows nothing of how frontends decide.
"""

from collections.abc import Callable
from random import Random

from swayam_proxy.core.events import PeersHeard
from swayam_proxy.core.gossip.executions import merged_executions, pack_executions
from swayam_proxy.core.model.execution import ExecutionSummary
from swayam_proxy.core.vocabulary import Decision
from swayam_proxy.sim.scenario import Scenario

_Entry = tuple[float, float]
"""(when it was said, arrivals per second since it was last said)."""


class Peers:
    """What each frontend has last heard of each other one."""

    def __init__(self, scenario: Scenario, rng: Random) -> None:
        """Begin with nothing heard."""
        count = scenario.frontends_count
        self._scenario = scenario
        self._rng = rng
        self._said: list[_Entry | None] = [None] * count
        self._told_counts = [0] * count
        self._heard: list[list[_Entry | None]] = [[None] * count for _ in range(count)]
        self._executions: list[tuple[float, ...]] = [()] * count
        self._statistics_due = 0.0

    def decided(self, number: int, decision: Decision, arrivals_count: int) -> None:
        """Remember what a frontend will tell its peers, who has counted so many arrivals."""
        last = self._said[number]
        if last is None:
            rate_per_s = decision.forecast_per_s
        elif decision.at <= last[0]:
            return
        else:
            rate_per_s = (arrivals_count - self._told_counts[number]) / (decision.at - last[0])
        self._said[number] = (decision.at, rate_per_s)
        self._told_counts[number] = arrivals_count

    def exchange(self) -> None:
        """Let one interval pass: what was last said reaches every peer, unless it is lost."""
        loss, rng = self._scenario.gossip_loss, self._rng
        for number, heard in enumerate(self._heard):
            for other, entry in enumerate(self._said):
                if other != number and not (loss and rng.random() < loss):
                    heard[other] = entry

    def exchange_statistics(self, own: Callable[[int], ExecutionSummary], now: float) -> None:
        """When it is time, let every frontend hear what the others have measured, as the wire carries it."""
        interval_s = self._scenario.gossip_statistics_s
        if interval_s is None or now < self._statistics_due:
            return
        self._statistics_due = now + interval_s
        packed = [pack_executions(own(number)) for number in range(len(self._executions))]
        for number in range(len(packed)):
            self._executions[number] = merged_executions([*packed[:number], *packed[number + 1 :]])

    def heard_by(self, number: int, service_name: str, now: float) -> PeersHeard:
        """Return the sums over the peers of whom `number` has heard lately."""
        oldest = now - self._scenario.gossip_fresh_s
        fresh = [entry for entry in self._heard[number] if entry is not None and entry[0] >= oldest]
        return PeersHeard(
            service_name,
            len(fresh),
            sum(entry[1] for entry in fresh),
            self._executions[number],
        )
