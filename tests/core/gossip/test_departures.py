"""The load of those who have just gone."""

from swayam_proxy.core.gossip.departures import Departures, Held
from swayam_proxy.core.gossip.loads import ServicePayload
from swayam_proxy.sim.gossip_network import GossipNetwork
from tests.core.gossip.network import group

KEY = 7


def _departures() -> Departures:
    """Ten seconds in which all together counted 100 a second."""
    departures = Departures([KEY], hold_s=10.0, gone_max=3)
    for second in range(10):
        departures.note(KEY, 100.0, float(second))
    return departures


def test_what_was_counted_before_is_held_and_then_forgotten() -> None:
    """What came after the last word does not count: it may have been counted twice."""
    departures = _departures()
    departures.note(KEY, 150.0, 10.0)
    departures.went(KEY, "p1", spoke_at=9.2, now=10.5)
    assert departures.held(KEY, (), 10.5) == Held(1, 100.0)
    assert departures.held(KEY, (), 20.4) == Held(1, 100.0)
    assert departures.held(KEY, (), 20.5) == Held(0, 0.0)


def test_whoever_is_counted_again_has_not_gone() -> None:
    """A restarted frontend keeps its name; several boots of one name are one."""
    departures = _departures()
    departures.went(KEY, "p1", 9.0, 9.5)
    departures.went(KEY, "p1", 9.1, 9.6)
    assert departures.held(KEY, (), 10.0).gone_count == 1
    assert departures.held(KEY, ("p1",), 10.0) == Held(0, 0.0)


def test_nobody_is_remembered_without_bound() -> None:
    """The oldest departures make room; a service of which nothing was ever counted holds nothing."""
    departures = _departures()
    for number in range(5):
        departures.went(KEY, f"p{number}", 9.0, 9.5)
    assert departures.held(KEY, (), 10.0).gone_count == 3
    silent = Departures([KEY], 10.0, 3)
    silent.went(KEY, "p1", 1.0, 2.0)
    assert silent.held(KEY, (), 2.0) == Held(1, 0.0)


def _tell(network: GossipNetwork, rates_per_s: dict[int, float], for_s: int) -> None:
    """Let members publish what they count each second."""
    for _ in range(for_s):
        for member in network.alive():
            now = network.now + member.clock_offset_s
            counted = int(rates_per_s[member.index] * now)
            payload = ServicePayload(rates_per_s[member.index], counted, 5)
            member.membership.set_payload("digits", payload, now)
        network.run(network.now + 1.0)


def test_the_load_neither_falls_nor_doubles_when_a_member_goes() -> None:
    """Seven see all that eight saw, while the traffic of the eighth moves to them, and not more."""
    network = group(8)
    _tell(network, dict.fromkeys(range(8), 10.0), 8)
    network.leave(3)
    network.run(network.now + 0.5)
    member = network.members[0]

    def seen() -> tuple[int, float]:
        load = member.membership.peer_load("digits", network.now + member.clock_offset_s)
        rate_per_s = load.fresh_rate_sum_per_s + load.gone_rate_per_s
        return load.fresh_count + load.gone_count, round(rate_per_s)

    assert seen() == (7, 70)
    _tell(network, dict.fromkeys(range(8), 80 / 7), 4)
    known_count, rate_per_s = seen()
    assert known_count == 7
    assert 67 <= rate_per_s <= 70
    _tell(network, dict.fromkeys(range(8), 80 / 7), 8)
    assert seen()[0] == 6
