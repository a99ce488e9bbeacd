"""The small parts: keys, windows, rumors, order, seeds, estimates, bounds."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.core.errors import WireError
from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.detector import AwakeClock, LossEstimate
from swayam_proxy.core.gossip.identity import Address, Identity
from swayam_proxy.core.gossip.order import ProbeOrder
from swayam_proxy.core.gossip.outputs import RemovalReason
from swayam_proxy.core.gossip.replay import WINDOW_COUNT, ReplayWindow
from swayam_proxy.core.gossip.roster import Doubt, Learned, Roster
from swayam_proxy.core.gossip.rumors import Rumors
from swayam_proxy.core.gossip.seal import KeyRing, open_envelope
from swayam_proxy.core.gossip.seeds import Seeds
from swayam_proxy.core.gossip.view import FrontendsEstimate

SECRET = b"sixteen bytes or more"


def _identity(boot_id: int) -> Identity:
    return Identity(f"m{boot_id}", boot_id, Address("10.0.0.1", boot_id % 65535 + 1))


@given(st.lists(st.integers(1, 400), max_size=80))
def test_a_counter_is_accepted_at_most_once(counters: list[int]) -> None:
    """Whatever the order, no number is taken twice, and every new highest one is taken."""
    window, taken = ReplayWindow(200, 0.0), {200}
    for counter in counters:
        is_new = window.accept(counter, 1.0)
        assert not (is_new and counter in taken)
        assert is_new == (counter not in taken and counter > window.highest - WINDOW_COUNT)
        if is_new:
            taken.add(counter)


@pytest.mark.parametrize(
    ("ring", "reason"),
    [
        (KeyRing.of_secrets([b"another key of that length"], "c"), "key"),
        (KeyRing.of_secrets([SECRET], "elsewhere"), "cluster"),
    ],
)
def test_other_keys_and_clusters_are_told_apart(ring: KeyRing, reason: str) -> None:
    """The counter says what is wrong."""
    with pytest.raises(WireError) as caught:
        open_envelope(ring.close(7, 1, b"body"), KeyRing.of_secrets([SECRET], "c"), 1400)
    assert caught.value.reason == reason


@given(st.integers(0, 50), st.integers(1, 255))
def test_any_changed_byte_breaks_the_seal(place: int, change: int) -> None:
    """Header and body are both sealed."""
    ring = KeyRing.of_secrets([SECRET], "c")
    datagram = bytearray(ring.close(7, 1, b"fourteen bytes"))
    assert open_envelope(bytes(datagram), ring, 1400).body == b"fourteen bytes"
    datagram[place] ^= change
    with pytest.raises(WireError):
        open_envelope(bytes(datagram), ring, 1400)


def test_weak_and_repeated_keys_are_refused() -> None:
    """A ring that could not work is not made."""
    for secrets in ([], [b"short"], [SECRET, SECRET]):
        with pytest.raises(ValueError, match="key"):
            KeyRing.of_secrets(secrets, "c")


def test_rumors_are_told_least_often_told_first_and_end() -> None:
    """What does not fit comes next; after so many tellings it is dropped."""
    rumors: Rumors[int] = Rumors()
    for key in (1, 2, 3):
        rumors.add(key)
    told = [[key for key, _ in rumors.take(8, 2, lambda _: b"four")[0]] for _ in range(4)]
    assert [sorted(each) for each in told] == [[1, 2], [1, 3], [2, 3], []]
    assert len(rumors) == 0


def test_everyone_is_probed_once_per_cycle() -> None:
    """Those who come and go do not break the cycle."""
    order = ProbeOrder(Random(1))
    for boot_id in range(1, 9):
        order.add(boot_id)
    assert sorted(order.next() or 0 for _ in range(8)) == list(range(1, 9))
    order.remove(3)
    order.add(9)
    assert 3 not in {order.next() for _ in range(16)}
    for boot_id in (1, 2, 4, 5, 6, 7, 8, 9):
        order.remove(boot_id)
    assert order.next() is None


def test_seeds_are_asked_for_ever_but_not_while_their_owner_is_counted() -> None:
    """Quickly while alone, and no more once a counted member answered there."""
    own, seed = Address("10.0.0.1", 1), Address("10.0.0.2", 1)
    seeds = Seeds(own, GossipConfig())
    seeds.replace([own, seed], 0.0)
    assert seeds.ask(0.0, alone=True, counted=lambda _: False) == [seed]
    assert seeds.ask(0.01, alone=True, counted=lambda _: False) == []
    assert seeds.ask(1000.0, alone=True, counted=lambda _: False) == [seed]
    seeds.answered(seed, 5)
    assert seeds.ask(2000.0, alone=False, counted=lambda boot_id: boot_id == 5) == []
    assert seeds.ask(3000.0, alone=False, counted=lambda _: False) == [seed]


def test_the_detectors_clock_stops_when_we_do() -> None:
    """A minute's pause counts as a quarter of a second, and is noticed."""
    clock = AwakeClock(100.0, 0.25)
    assert not clock.advance(100.2)
    assert clock.advance(160.2)
    assert clock.now_s == pytest.approx(0.45)
    assert clock.slept_s == pytest.approx(59.75)


def test_more_loss_asks_for_more_tries() -> None:
    """Patience grows with the loss and with the members, within its bounds."""
    config, loss = GossipConfig(), LossEstimate()
    for _ in range(500):
        loss.succeeded(1)
    assert loss.share() == pytest.approx(0.5, abs=0.02)
    assert config.tries_for(8, 0.02) == config.tries_min
    assert config.tries_for(8, 0.5) < config.tries_for(4096, 0.5) <= config.tries_max


def test_views_do_not_depend_on_the_order_of_news() -> None:
    """Higher incarnations win; doubts are dropped by a refutation, whichever comes first."""
    hashes = set()
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        roster = Roster(_identity(1), GossipConfig())
        roster.learn_record(_identity(2), 0, 0.0)
        news = (
            lambda r=roster: r.learn_doubt(2, Doubt(0, 0.0, 0.0, (5,))),
            lambda r=roster: r.learn_alive(2, 1, 0.0),
            lambda r=roster: r.learn_alive(2, 0, 0.0),
        )
        for each in order:
            news[each]()
        assert roster.doubts == {}
        hashes.add(roster.view_hash)
    assert len(hashes) == 1


def test_a_doubted_member_contradicts() -> None:
    """Only the member itself raises its incarnation; after a good-bye it does not."""
    roster = Roster(_identity(1), GossipConfig())
    assert roster.learn_doubt(1, Doubt(0, 0.0, 0.0, (5,))) is Learned.NEWS
    assert roster.own_incarnation == 1
    assert roster.learn_doubt(1, Doubt(0, 0.0, 0.0, (5,))) is Learned.NOTHING
    roster.leave()
    assert roster.learn_doubt(1, Doubt(9, 0.0, 0.0, (5,))) is Learned.NOTHING


def test_the_table_is_bounded_in_size_and_growth() -> None:
    """Members beyond the maximum, or too many at once, are refused; tombstones end."""
    roster = Roster(_identity(1), GossipConfig(members_max=5, growth_burst=3, growth_per_s=1.0))
    learned = [roster.learn_record(_identity(boot_id), 0, 0.0) for boot_id in range(2, 7)]
    assert learned == [Learned.NEWS] * 3 + [Learned.REFUSED] * 2
    assert roster.learn_record(_identity(9), 0, 10.0) is Learned.NEWS
    assert roster.learn_record(_identity(10), 0, 20.0) is Learned.REFUSED
    roster.remove(2, RemovalReason.LOST, 20.0)
    assert roster.learn_alive(2, 0, 21.0) is Learned.TELLER_BEHIND
    assert roster.forget_before(30.0) == [2]
    assert roster.learn_alive(2, 0, 31.0) is Learned.STRANGER


def test_f_rises_at_once_and_falls_after_the_hold() -> None:
    """The largest count of the last ten seconds."""
    estimate = FrontendsEstimate(1, 10.0, 0.0)
    assert estimate.observe(4, 1.0) == 4
    assert estimate.observe(4, 5.0) == 4
    assert [estimate.observe(3, at) for at in (6.0, 14.9, 15.1)] == [4, 4, 3]
    assert estimate.observe(8, 16.0) == 8


@pytest.mark.parametrize(
    "wrong", [{"round_s": 0.0}, {"fan_out": 0}, {"tries_min": 9, "tries_max": 3}, {"tombstone_s": 5.0}]
)
def test_contradictory_numbers_are_refused(wrong: dict[str, float]) -> None:
    """A config that could not work does not start."""
    with pytest.raises(ValueError, match=r"must be|at least"):
        GossipConfig(**wrong)  # type: ignore[arg-type]
