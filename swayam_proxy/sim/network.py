"""How long a message takes: a constant way, an exponential jitter, and now and then a loss that is sent
again.

Connections are TCP, so a lost message comes late, not never. Knows nothing of what the messages say.
"""

from random import Random

from swayam_proxy.sim.scenario import Scenario


class Network:
    """Draws the delay of each message."""

    __slots__ = ("_rng", "_scenario", "one_way_s", "steady")

    def __init__(self, scenario: Scenario, rng: Random) -> None:
        """Take delays from the scenario and chance from `rng`."""
        self._scenario = scenario
        self._rng = rng
        self.one_way_s = scenario.one_way_s
        self.steady = scenario.jitter_s == 0.0 and scenario.loss == 0.0
        """Every message takes `one_way_s`, so that messages never overtake each other."""

    def delay_s(self) -> float:
        """Return the delay of one message."""
        if self.steady:
            return self.one_way_s
        scenario, rng = self._scenario, self._rng
        delay_s = self.one_way_s
        if scenario.jitter_s:
            delay_s += rng.expovariate(1.0 / scenario.jitter_s)
        while scenario.loss and rng.random() < scenario.loss:
            delay_s += scenario.resend_s
        return delay_s
