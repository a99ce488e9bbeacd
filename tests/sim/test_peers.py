"""What simulated frontends hear of each other."""

from random import Random

from swayam_proxy.core.commands import RecordDecision
from swayam_proxy.core.events import WakeupCame
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.vocabulary import Decision, FrontendSpec
from swayam_proxy.sim.peers import Peers
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.world import service_spec
from tests.sim.test_world import SCENARIO, _workload


def _decision_at(at: float, rate: int) -> Decision:
    """A real decision of a frontend that saw `rate` requests a second."""
    workload = _workload([1.0])
    spec = service_spec(SCENARIO, workload)
    frontend = Frontend(FrontendSpec("f", (spec,)), Random(1), 0.0)
    for position in range(int(at) * rate):
        frontend.admit(spec.name, position / rate)
    frontend.handle(WakeupCame(), 0.0)
    commands = frontend.handle(WakeupCame(), at)
    return next(c.decision for c in commands if isinstance(c, RecordDecision))


def test_fresh_rates_are_summed_and_stale_ones_left_out() -> None:
    """Own arrivals are not heard; what is older than the limit counts no more."""
    peers = Peers(Scenario(frontends_count=3, gossip_fresh_s=5.0), Random(1))
    first, second = _decision_at(10.0, 4), _decision_at(13.0, 6)
    peers.decided(0, first, 40)
    peers.decided(1, _decision_at(11.0, 6), 66)
    peers.decided(1, second, 80)
    assert peers.heard_by(2, "m", 10.0).fresh_count == 0
    peers.exchange()
    heard = peers.heard_by(2, "m", 14.0)
    assert heard.fresh_count == 2
    assert heard.rate_per_s == first.forecast_per_s + 7.0
    assert peers.heard_by(0, "m", 14.0).rate_per_s == 7.0
    assert peers.heard_by(2, "m", 16.0).fresh_count == 1


def test_lost_gossip_leaves_the_last_news() -> None:
    """With everything lost nothing is ever heard, and the frontends fall back on their own number."""
    peers = Peers(Scenario(frontends_count=2, gossip_loss=1.0), Random(1))
    peers.decided(0, _decision_at(5.0, 3), 15)
    peers.exchange()
    assert peers.heard_by(1, "m", 5.0).fresh_count == 0
