"""What is done to a network of gossiping members, and what is measured: one function per scenario.

Knows the network in virtual time and what is promised of it; prints nothing. Every function takes the
number of members, the loss and a seed, and returns one `Outcome`; equal arguments give equal outcomes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from swayam_proxy.core.gossip.loads import ServicePayload
from swayam_proxy.sim.gossip_network import GossipNetwork, SimMember
from swayam_proxy.sim.gossip_watch import GossipWatch

SEED_INDICES = (0, 1, 2)
SERVICE = "digits"
_COLD_START_MAX = 64
"""Larger networks begin acquainted, since what is measured is not their coming together."""
_STEP_S = 0.05


@dataclass(slots=True)
class Outcome:
    """What one run of one scenario showed; times in seconds, one entry per event."""

    scenario: str
    members_count: int
    loss: float
    seed: int
    crash_s: list[float] = field(default_factory=list)
    """From a crash until the last living member has removed the dead one."""
    join_s: list[float] = field(default_factory=list)
    """From a start until all count the new one, and it counts all."""
    settle_s: list[float] = field(default_factory=list)
    """From the end of a disturbance until every member counts exactly the living."""
    wrong_s: list[float] = field(default_factory=list)
    """How long living members were missing in someone's view, each time."""
    off_by_more_share: float = 0.0
    """Share of samples in which a member's F was off by more than one."""
    bytes_per_s: float = 0.0
    """Sent per member while nothing happened."""
    datagrams_per_s: float = 0.0
    doubts_per_s: float = 0.0
    """Raised by all members together while nothing happened."""
    missed: list[str] = field(default_factory=list)
    """What did not come about within the time given."""


class _Run:
    """One network with its watch, and the usual beginnings."""

    def __init__(
        self, scenario: str, members_count: int, loss: float, seed: int, *, loads: bool = False
    ) -> None:
        self.outcome = Outcome(scenario, members_count, loss, seed)
        self.rng = Random(f"{seed} scenario")
        self.network = GossipNetwork(seed, loss=loss, service_names=(SERVICE,) if loads else ())
        self.watch = GossipWatch(self.network)
        self.count = members_count

    def settle(self, for_s: float = 10.0) -> None:
        """Bring all members together, by seeds where they are not too many."""
        if self.count <= _COLD_START_MAX:
            for index in range(self.count):
                self.start(index)
        else:
            self.network.start_acquainted(range(self.count))
            for member in self.network.alive():
                self.watch.born(member.boot_id)
                self.watch.known_counts[member.index] = self.count - 1
        self.network.run(self.network.now + for_s)
        if self.wait(self.converged, 60.0) is None:
            self.outcome.missed.append("coming together")
        self.watch.wrong_s.clear()

    def start(self, index: int) -> SimMember:
        """Start a member with the usual seeds, as someone that the others are to count."""
        member = self.network.start(index, SEED_INDICES)
        self.watch.known_counts[index] = 0
        self.watch.born(member.boot_id)
        return member

    def end(self, index: int, *, politely: bool = False) -> None:
        """End a process."""
        member = self.network.members[index]
        self.watch.died(member.boot_id)
        for other in self.network.alive():  # those who count it will miss it without being wrong
            if other is not member and other.membership.counts(member.boot_id):
                self.watch.known_counts[other.index] -= 1
        if politely:
            self.network.leave(index)
        else:
            self.network.crash(index)

    def converged(self) -> bool:
        """Return whether every living member counts exactly the living."""
        alive = self.network.alive()
        return all(
            self.watch.known_counts[member.index] == len(alive) - 1 == member.membership.members_count() - 1
            for member in alive
        )

    def wait(self, condition: Callable[[], bool], within_s: float) -> float | None:
        """Let time pass until the condition holds; return how long it took, None if it did not."""
        began_at = self.network.now
        while not condition():
            if self.network.now - began_at >= within_s:
                return None
            self.network.run(self.network.now + _STEP_S)
        return self.network.now - began_at

    def finish(self) -> Outcome:
        """Add up what went wrong."""
        self.outcome.wrong_s += self.watch.all_wrong_s()
        return self.outcome


def calm(members_count: int, loss: float, seed: int, for_s: float = 30.0) -> Outcome:
    """Nothing happens; each member tells what it expects once a second."""
    run = _Run("calm", members_count, loss, seed, loads=True)
    run.settle()
    network, outcome = run.network, run.outcome
    before = _traffic(network.alive())
    off_count = samples_count = 0
    end_at = network.now + for_s
    while network.now < end_at:
        for member in network.alive():
            payload = ServicePayload(
                10.0 + member.index % 7 + network.now % 1, int(10.0 * network.now), 5, 1, bytes(200)
            )
            member.membership.set_payload(SERVICE, payload, network.now + member.clock_offset_s)
        for _ in range(5):
            network.run(network.now + 0.2)
            for member in network.alive():
                samples_count += 1
                off_count += abs(member.membership.members_count() - members_count) > 1
    after = _traffic(network.alive())
    outcome.off_by_more_share = off_count / samples_count
    outcome.bytes_per_s, outcome.datagrams_per_s, outcome.doubts_per_s = (
        (late - early) / for_s / scale
        for late, early, scale in zip(after, before, (members_count, members_count, 1), strict=True)
    )
    return run.finish()


def crash(members_count: int, loss: float, seed: int, events_count: int = 5) -> Outcome:
    """Some members are killed, one second apart; the seeds among them at times."""
    run = _Run("crash", members_count, loss, seed)
    run.settle()
    killed = run.rng.sample(range(members_count), min(events_count, members_count // 2))
    killed_at: dict[int, float] = {}
    for index in killed:
        boot_id = run.network.members[index].boot_id
        run.watch.watch(boot_id)
        killed_at[boot_id] = run.network.now
        run.end(index)
        run.network.run(run.network.now + 1.0)
    if run.wait(run.converged, 60.0) is None:
        run.outcome.missed.append("counting the crashes")
    run.outcome.crash_s += _delays(run.watch.removed_at, killed_at, run.network.alive())
    return run.finish()


def join(members_count: int, loss: float, seed: int, events_count: int = 5) -> Outcome:
    """Some members are started, one after the other, until there are `members_count`."""
    events_count = min(events_count, members_count // 2)
    run = _Run("join", members_count - events_count, loss, seed)
    run.outcome.members_count = members_count
    run.settle()
    for index in range(members_count - events_count, members_count):
        run.start(index)
        took_s = run.wait(run.converged, 30.0)
        if took_s is None:
            run.outcome.missed.append("counting a newcomer")
            break
        run.outcome.join_s.append(took_s)
        run.network.run(run.network.now + 1.0)
    return run.finish()


def mass_restart(members_count: int, loss: float, seed: int) -> Outcome:
    """All members are killed and started again within one second."""
    run = _Run("mass restart", members_count, loss, seed)
    run.settle()
    began_at = run.network.now
    for index in sorted(range(members_count), key=lambda _: run.rng.random()):
        run.network.run(began_at + (index + 1) / members_count)
        run.end(index)
        run.start(index)
    _note_settling(run, "counting all again")
    return run.finish()


def rolling_restart(members_count: int, loss: float, seed: int, events_count: int = 8) -> Outcome:
    """One after the other leaves and is started again half a second later."""
    run = _Run("rolling restart", members_count, loss, seed)
    run.settle()
    off_count = samples_count = 0
    for index in range(min(events_count, members_count)):
        run.end(index, politely=True)
        run.network.run(run.network.now + 0.5)
        run.start(index)
        for _ in range(10):
            run.network.run(run.network.now + 0.1)
            for member in run.network.alive():
                samples_count += 1
                off_count += abs(member.membership.frontends_count() - members_count) > 1
    run.outcome.off_by_more_share = off_count / samples_count
    _note_settling(run, "counting all again")
    return run.finish()


def split(members_count: int, loss: float, seed: int, for_s: float = 60.0) -> Outcome:
    """The network falls into two halves and is healed again; both times count as settling."""
    run = _Run("split", members_count, loss, seed)
    run.settle()
    half_count = members_count // 2
    run.network.blocked = lambda index, target: (index < half_count) != (target < half_count)
    run.watch.excuse(excused=True)
    began_at = run.network.now
    sizes = {True: half_count, False: members_count - half_count}

    def sides_counted() -> bool:
        return all(
            member.membership.members_count() == sizes[member.index < half_count]
            for member in run.network.alive()
        )

    took_s = run.wait(sides_counted, for_s)
    if took_s is None:
        run.outcome.missed.append("counting the own half")
    else:
        run.outcome.crash_s.append(took_s)
    run.network.run(began_at + for_s)
    run.network.blocked = None
    _note_settling(run, "healing")
    run.watch.excuse(excused=False)
    run.network.run(run.network.now + 5.0)
    return run.finish()


def one_way(members_count: int, loss: float, seed: int, for_s: float = 60.0) -> Outcome:
    """One direction of one link is cut, and of another one at a seed."""
    run = _Run("one-way link", members_count, loss, seed)
    run.settle()
    cut = {(1, 4), (5, 0)}
    run.network.blocked = lambda index, target: (index, target) in cut
    run.network.run(run.network.now + for_s)
    return run.finish()


def pauses(members_count: int, loss: float, seed: int) -> Outcome:
    """Members stop for 0.6 s, often; then one stops for a minute."""
    run = _Run("pauses", members_count, loss, seed)
    run.settle()
    for _ in range(10):
        run.network.pause(run.rng.randrange(members_count), 0.6)
        run.network.run(run.network.now + 1.5)
    index = run.rng.randrange(members_count)
    boot_id = run.network.members[index].boot_id
    run.watch.watch(boot_id)
    stopped_at = run.network.now
    run.watch.excuse(excused=True)
    run.network.pause(index, 60.0)
    others = [member for member in run.network.alive() if member.index != index]
    run.network.run(stopped_at + 60.0)
    run.outcome.crash_s += _delays(run.watch.removed_at, {boot_id: stopped_at}, others)
    run.watch.excuse(excused=False)
    _note_settling(run, "counting the woken one")
    return run.finish()


def hour(members_count: int, loss: float, seed: int, for_s: float = 3600.0) -> Outcome:
    """Nothing happens for an hour, but for loss; F is looked at every fifth of a second at every member."""
    outcome = calm(members_count, loss, seed, for_s)
    outcome.scenario = "hour"
    return outcome


SCENARIOS: dict[str, Callable[[int, float, int], Outcome]] = {
    "calm": calm,
    "crash": crash,
    "join": join,
    "mass restart": mass_restart,
    "rolling restart": rolling_restart,
    "split": split,
    "one-way link": one_way,
    "pauses": pauses,
}
"""What an evaluation plays; `hour` is left to those who ask for it, since it takes minutes."""


def _note_settling(run: _Run, what: str) -> None:
    took_s = run.wait(run.converged, 60.0)
    if took_s is None:
        run.outcome.missed.append(what)
    else:
        run.outcome.settle_s.append(took_s)


def _delays(
    noted: dict[int, dict[int, float]], since: dict[int, float], observers: Iterable[SimMember]
) -> list[float]:
    observers = list(observers)
    delays = []
    for boot_id, at in since.items():
        times = [noted[boot_id].get(observer.index, float("inf")) for observer in observers]
        delays.append(max(times) - at)
    return delays


def _traffic(members: list[SimMember]) -> tuple[int, int, int]:
    snapshots = [member.membership.snapshot() for member in members]
    return (
        sum(snapshot.sent_bytes for snapshot in snapshots),
        sum(sum(snapshot.sent.values()) for snapshot in snapshots),
        sum(snapshot.doubts_raised_count for snapshot in snapshots),
    )
