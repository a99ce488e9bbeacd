"""Members of a simulated network, whose datagrams are all encoded and decoded (rows F40 to F49)."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.identity import Address
from swayam_proxy.core.gossip.loads import ServicePayload
from swayam_proxy.core.gossip.seal import KeyRing
from swayam_proxy.core.gossip.view import MemberState
from swayam_proxy.sim.gossip_network import Change, GossipNetwork
from tests.core.gossip.network import changes_of, counts, group

OLD, NEW = b"the old key of the cluster", b"the new key of the cluster"


@pytest.mark.parametrize(("loss", "within_s"), [(0.0, 2.0), (0.1, 2.0), (0.3, 3.0)])
def test_a_crash_is_counted_by_all_within_the_bound(loss: float, within_s: float) -> None:
    """Eight members, one killed: the other seven count seven (F40)."""
    network = group(8, loss=loss)
    network.crash(3)
    network.run(network.now + within_s)
    assert counts(network) == {7}


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_a_newcomer_is_counted_by_all_within_the_bound(loss: float) -> None:
    """The ninth member is counted by all, and counts all, within 0.6 s."""
    network = group(8, loss=loss)
    network.start(8, (0, 1))
    network.run(network.now + 0.6)
    assert counts(network) == {9}


def test_a_short_pause_changes_nothing() -> None:
    """Half a second of silence, and a little, is no crash (F41)."""
    network = group(8)
    changes = changes_of(network)
    for index in range(8):
        network.pause(index, 0.6)
        network.run(network.now + 1.0)
    assert changes == []


def test_a_long_pause_removes_the_paused_one_and_nobody_else() -> None:
    """After a minute the woken member is counted at once, and has removed nobody (F42)."""
    network = group(8)
    network.pause(3, 60.0)
    network.run(network.now + 2.0)
    awake = [member for member in network.alive() if member.index != 3]
    assert {member.membership.members_count() for member in awake} == {7}
    changes = changes_of(network)
    network.run(network.now + 59.0)
    assert counts(network) == {8}
    assert all(change.joined for change in changes if change.observer_index == 3)


def test_loss_alone_removes_nobody() -> None:
    """At 30 % loss, a minute of 12 members removes nobody (F43, an hour of 64, is for the evaluation)."""
    network = group(12, loss=0.3)
    changes = changes_of(network)
    network.run(network.now + 60.0)
    assert changes == []


def test_one_broken_direction_removes_nobody() -> None:
    """One member's datagrams do not reach one other for a minute (F44)."""
    network = group(8)
    changes = changes_of(network)
    network.blocked = lambda index, target: (index, target) == (2, 5)
    network.run(network.now + 60.0)
    assert changes == []


def test_a_split_is_counted_and_heals_without_help() -> None:
    """Each half counts itself within 2 s, and all are together 2 s after the split ends (F45)."""
    network = group(8)
    network.blocked = lambda index, target: (index < 4) != (target < 4)
    network.run(network.now + 2.0)
    assert counts(network) == {4}
    network.run(network.now + 58.0)
    network.blocked = None
    network.run(network.now + 2.0)
    assert counts(network) == {8}


def test_old_datagrams_change_nothing() -> None:
    """A thousand captured datagrams, sent again 10 minutes later and after a restart (F46)."""
    network = group(4, config=GossipConfig(round_s=1.0))
    captured: list[tuple[int, int, bytes]] = []

    def tap(index: int, target: int, datagram: bytes) -> bytes:
        captured.append((index, target, datagram))
        return datagram

    network.tap = tap
    network.run(network.now + 50.0)
    network.tap = None
    assert len(captured) >= 1000
    for wait_s, restarted in ((600.0, None), (5.0, 1)):
        if restarted is not None:
            network.crash(restarted)
            network.start(restarted, (0, 2))
        network.run(network.now + wait_s)
        assert counts(network) == {4}
        changes = changes_of(network)
        for index, target, datagram in captured[:1000]:
            network.send(index, target, datagram)
        network.run(network.now + 5.0)
        assert changes == []
        rejected = [member.membership.snapshot().rejected for member in network.alive()]
        assert sum(sum(reasons.values()) for reasons in rejected) >= 1000


def test_keys_change_without_losing_anyone() -> None:
    """Add the new key everywhere, make it first, drop the old one: nobody is removed at any step (F49)."""
    network = GossipNetwork(1, ring=KeyRing.of_secrets([OLD], "c"))
    for index in range(6):
        network.start(index, (0,))
    network.run(3.0)
    changes = changes_of(network)
    for secrets in ([OLD, NEW], [NEW, OLD], [NEW]):
        for member in network.alive():
            member.membership.replace_keys(KeyRing.of_secrets(secrets, "c"))
            network.run(network.now + 0.5)
        network.run(network.now + 3.0)
    assert changes == []
    assert counts(network) == {6}


def test_junk_is_counted_by_reason_and_never_raises() -> None:
    """Random, cut, oversized and wrongly sealed datagrams leave the view as it is (F47)."""
    network = group(3)
    membership, source = network.members[0].membership, Address("192.0.2.1", 9)
    good = KeyRing.of_secrets([b"a key of the simulated network"], "sim").close(5, 1, bytes(60))
    wrong = KeyRing.of_secrets([b"another key, of nobody"], "sim").close(5, 1, bytes(60))
    now = network.now + network.members[0].clock_offset_s
    for datagram in (b"", b"x" * 100, good[:50], good + bytes(2000), wrong, good[:-1] + b"?", good):
        assert list(membership.receive(datagram, source, now)) == []
    reasons = membership.snapshot().rejected
    assert {"length", "magic", "key", "seal", "malformed"} <= set(reasons)
    assert membership.members_count() == 3


def test_a_member_that_leaves_is_forgotten_at_once() -> None:
    """Good-bye is heard by all in half a second, and shown as left."""
    network = group(8, loss=0.1)
    network.leave(5)
    network.run(network.now + 0.5)
    assert counts(network) == {7}
    member = network.members[0]
    view = member.membership.peers(network.now + member.clock_offset_s)
    assert [each.name for each in view.members if each.state is MemberState.LEFT] == ["m5"]


def test_a_restarted_member_counts_once() -> None:
    """Five restarts in ten seconds: names are counted, so F is never above the truth."""
    network = group(8)
    for _ in range(5):
        network.crash(4)
        network.start(4, (0, 1))
        for _ in range(20):
            network.run(network.now + 0.1)
            assert max(member.membership.frontends_count() for member in network.alive()) <= 8
    assert {member.membership.frontends_count() for member in network.alive()} == {8}


def test_payloads_reach_everyone_and_go_stale() -> None:
    """Counts add up at each member; a member that no longer tells becomes stale, not zero."""
    network = group(8)
    for second in range(3):
        for member in network.alive():
            payload = ServicePayload(10.0, 12 * second, 5, 7, b"statistics")
            member.membership.set_payload("digits", payload, network.now + member.clock_offset_s)
        network.run(network.now + 1.0)
    member = network.members[0]
    load = member.membership.peer_load("digits", network.now + member.clock_offset_s)
    assert (load.fresh_count, load.stale_count) == (7, 0)
    assert load.executions == (b"statistics",) * 7
    assert load.fresh_rate_sum_per_s == pytest.approx(7 * 12.0, rel=1e-3)
    network.run(network.now + 10.0)
    load = member.membership.peer_load("digits", network.now + member.clock_offset_s)
    assert (load.fresh_count, load.stale_count) == (0, 7)


def test_the_same_seed_gives_the_same_run() -> None:
    """Every change of every view, at the same time."""

    def run() -> list[Change]:
        network = GossipNetwork(7, loss=0.2)
        changes = changes_of(network)
        for index in range(12):
            network.start(index, (0, 1))
        network.run(4.0)
        network.crash(5)
        network.run(8.0)
        return changes

    assert run() == run()


@settings(max_examples=8, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck))
class RandomOperations(RuleBasedStateMachine):
    """Members start, crash, leave, pause and lose datagrams; in the end all views agree."""

    @initialize(seed=st.integers(0, 1000), loss=st.sampled_from([0.0, 0.1, 0.3]))
    def begin(self, seed: int, loss: float) -> None:
        """Start five members, of which the first two are seeds and stay."""
        self.network = GossipNetwork(seed, loss=loss)
        for index in range(5):
            self.network.start(index, (0, 1))
        self.network.run(3.0)
        self.wrong: list[Change] = []
        self.network.on_change = self._note

    def _note(self, change: Change) -> None:
        living = {member.boot_id for member in self.network.alive()}
        if not change.joined and change.subject_boot_id in living:
            self.wrong.append(change)

    @rule(index=st.integers(2, 7))
    def start(self, index: int) -> None:
        """Start or restart a member."""
        if index in self.network.members:
            self.network.crash(index)
        self.network.start(index, (0, 1))
        self.network.run(self.network.now + 0.5)

    @rule(index=st.integers(2, 4), politely=st.booleans())
    def end(self, index: int, politely: bool) -> None:
        """End a member, one way or the other."""
        if self.network.members[index].alive and not self.network.members[index].paused:
            (self.network.leave if politely else self.network.crash)(index)
        self.network.run(self.network.now + 0.3)

    @rule(index=st.integers(0, 4))
    def pause(self, index: int) -> None:
        """Stop a member for half a second."""
        if self.network.members[index].alive and not self.network.members[index].paused:
            self.network.pause(index, 0.5)
        self.network.run(self.network.now + 1.0)

    @invariant()
    def nobody_is_wrongly_removed(self) -> None:
        """Neither pauses nor loss remove a living member."""
        if hasattr(self, "wrong"):
            assert self.wrong == []

    def teardown(self) -> None:
        """All views converge to the living ones, and nothing is left to pass on."""
        if not hasattr(self, "network"):
            return
        self.network.run(self.network.now + 8.0)
        assert counts(self.network) == {len(self.network.alive())}


TestRandomOperations = RandomOperations.TestCase
