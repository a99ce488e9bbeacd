"""Gossip between real processes on loopback: fault matrix rows F40 to F42 and F44 to F48.

Eight members, each a process of its own with the gossip of a proxy and nothing else, talk through a relay of
ours. Each writes down every change of its count as it happens, so that nothing is missed between two looks.
Disturbances are short here; `scripts/evaluate-gossip real` lets them last as long as the matrix says. Whole
proxies, under load, are in `test_gossip_proxies.py`; an hour of loss (F43) is played in virtual time.
"""

import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swayam_proxy.core.gossip.seal import KeyRing

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from _evaluate_gossip.processes import HOST, Group

COUNT = 8
AT_LENGTH = "SWAYAM_TEST_GOSSIP_AT_LENGTH" in os.environ
LONG_S = 60.0 if AT_LENGTH else 1.5
"""How long the long disturbances last; a crash is counted out within 1.5 s."""
BUSY_S = 1.0
"""What processes may take beyond the bound when the machine has no time for them."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 if AT_LENGTH else 120)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Eight members that have found each other."""
    with Group(tmp_path_factory.mktemp("gossip"), COUNT, relayed=True) as made:
        yield made


@pytest.fixture
def group(running: Group) -> Iterator[Group]:
    """The eight, all living and undisturbed, before and after each test."""
    assert running.relay is not None
    running.agreed_at(COUNT, range(COUNT), 10.0)
    yield running
    running.relay.loss = 0.0
    running.relay.blocked = lambda _sender, _receiver: False


def pass_time(for_s: float) -> float:
    """Let so much time pass, which is what the members are watched during; return when that began."""
    began = time.monotonic()
    time.sleep(for_s)
    return began


def half(index: int) -> bool:
    """Return on which side of a split a member is."""
    return index < COUNT // 2


def test_f40_a_killed_member_is_counted_out_within_two_seconds(group: Group) -> None:
    """Kill -9 of one of eight: the other seven count seven; started again, all count eight soon."""
    killed_at = time.monotonic()
    group.kill(7)
    assert group.agreed_at(COUNT - 1, range(7), 5.0) - killed_at <= 2.0 + BUSY_S
    started_at = time.monotonic()
    group.start(7)
    assert group.agreed_at(COUNT, range(COUNT), 5.0) - started_at <= 0.6 + BUSY_S


def test_f41_a_pause_of_600_ms_changes_nothing(group: Group) -> None:
    """SIGSTOP for 0.6 s, then SIGCONT: nobody counts fewer at any time."""
    group.send_signal(5, signal.SIGSTOP)
    began = pass_time(0.6)
    group.send_signal(5, signal.SIGCONT)
    pass_time(1.0)
    assert group.changes_since(began, range(COUNT)) == []


def test_f42_a_long_pause_removes_and_a_woken_member_accuses_nobody(group: Group) -> None:
    """Stopped it is counted out; woken, all count all again within a second, and it never counted fewer."""
    began = time.monotonic()
    others = [index for index in range(COUNT) if index != 5]
    group.send_signal(5, signal.SIGSTOP)
    assert group.agreed_at(COUNT - 1, others, 5.0) - began <= 2.0 + BUSY_S
    pass_time(LONG_S)
    woken_at = time.monotonic()
    group.send_signal(5, signal.SIGCONT)
    assert group.agreed_at(COUNT, range(COUNT), 5.0) - woken_at <= 1.0 + BUSY_S
    assert group.changes_since(began, [5]) == []


def test_f44_one_blocked_direction_and_loss_remove_nobody(group: Group) -> None:
    """What one sends to another does not arrive, and a tenth of everything else: nobody is removed."""
    assert group.relay is not None
    group.relay.blocked = lambda sender, receiver: (sender, receiver) == (2, 6)
    group.relay.loss = 0.1
    began = pass_time(LONG_S)
    assert group.changes_since(began, range(COUNT)) == []


def test_a_crash_is_counted_by_all_through_a_relay_that_loses_three_of_ten(group: Group) -> None:
    """Loss makes the others patient, and they count the crash within three seconds all the same."""
    assert group.relay is not None
    group.relay.loss = 0.3
    assert group.changes_since(pass_time(LONG_S), range(COUNT)) == []
    killed_at = time.monotonic()
    group.kill(3)
    others = [index for index in range(COUNT) if index != 3]
    assert group.agreed_at(COUNT - 1, others, 8.0) - killed_at <= 3.0 + BUSY_S
    group.start(3)


def test_f45_a_split_is_counted_and_heals_without_help(group: Group) -> None:
    """Each half counts itself within two seconds; healed, all count all within two."""
    assert group.relay is not None
    began = time.monotonic()
    group.relay.blocked = lambda sender, receiver: half(sender) != half(receiver)
    assert group.agreed_at(COUNT // 2, range(COUNT), 6.0) - began <= 2.0 + BUSY_S
    pass_time(LONG_S if AT_LENGTH else 0.5)
    healed_at = time.monotonic()
    group.relay.blocked = lambda _sender, _receiver: False
    assert group.agreed_at(COUNT, range(COUNT), 6.0) - healed_at <= 2.0 + BUSY_S


def test_f46_old_datagrams_change_nothing_not_even_after_a_restart(group: Group) -> None:
    """A thousand captured datagrams, sent again after one of their senders was restarted: all are dropped."""
    relay = group.relay
    assert relay is not None
    relay.kept.clear()
    relay.keep_count = 1000
    group.wait(lambda: relay.keep_count == 0, 20.0, "a thousand datagrams")
    group.kill(1)
    group.start(1)
    group.agreed_at(COUNT, range(COUNT), 5.0)
    if AT_LENGTH:
        pass_time(LONG_S * 10)
    rejected_before = sum(group.state(index)["rejected"] for index in range(COUNT))
    began = time.monotonic()
    for passed in relay.kept:
        relay.send(passed)

    def dropped() -> bool:
        return sum(group.state(index)["rejected"] for index in range(COUNT)) - rejected_before >= 900

    group.wait(dropped, 10.0, "the drops to be counted")
    assert group.changes_since(began, range(COUNT)) == []


def test_f47_junk_is_dropped_at_a_quarter_of_a_core(group: Group) -> None:
    """Ten thousand datagrams in a second, random, cut, oversized or under a wrong key: nothing changes."""
    rng = random.Random(47)
    wrong = KeyRing.of_secrets([b"another key of that length"], "swayam").close(7, 1, bytes(60))
    junk = [rng.randbytes(length) for length in (3, 40, 300, 1400, 4000)] + [wrong, wrong[:40]]
    before_s, began, rejected = group.cpu_s(0), time.monotonic(), group.state(0)["rejected"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for step in range(100):
            for _ in range(100):
                sender.sendto(rng.choice(junk), (HOST, group.ports[0]))
            time.sleep(max(0.0, began + (step + 1) / 100 - time.monotonic()))
    took_s = time.monotonic() - began
    assert group.cpu_s(0) - before_s < 0.25 * max(took_s, 1.0)
    group.wait(lambda: group.state(0)["rejected"] > rejected + 1000, 5.0, "the drops to be counted")
    assert group.changes_since(began, range(COUNT)) == []


def test_f48_a_jump_of_the_wall_clock_changes_nothing(group: Group) -> None:
    """One member's wall clock jumps an hour ahead, then two back: no count changes, and it speaks on."""
    began = time.monotonic()
    for hours in (1, -1):
        group.send_signal(4, signal.SIGUSR1)
        group.wait(
            lambda hours=hours: abs(group.state(4)["wall"] - time.time() - hours * 3600) < 60,
            5.0,
            "the wall clock to jump",
        )
        sent = group.state(4)["sent"]
        group.wait(lambda sent=sent: group.state(4)["sent"] > sent + 20, 5.0, "the member to speak on")
    assert group.changes_since(began, range(COUNT)) == []


def test_five_restarts_in_a_row_count_as_one_member(group: Group) -> None:
    """Killed and started again five times: nobody ever counts more than eight, and all eight in the end."""
    began = time.monotonic()
    for _ in range(5):
        group.kill(6)
        group.start(6)
        pass_time(2.0 if AT_LENGTH else 0.3)
    ended = time.monotonic()
    assert group.agreed_at(COUNT, range(COUNT), 5.0) - ended <= 1.0 + BUSY_S
    assert max((count.counted for _, count in group.changes_since(began, range(COUNT))), default=0) <= COUNT
