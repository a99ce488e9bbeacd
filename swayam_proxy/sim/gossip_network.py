"""A network of gossiping members in virtual time: loss, delay, partitions, crashes, pauses.

Runs the very `Membership` that live processes run; every datagram is encoded, sealed, opened and decoded.
Knows what goes wrong and when; what to measure is `gossip_scenarios`. Equal seeds give equal runs.
"""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import NamedTuple

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.identity import Address, Identity
from swayam_proxy.core.gossip.membership import Membership
from swayam_proxy.core.gossip.outputs import GossipOutput, MemberJoined, SendDatagram
from swayam_proxy.core.gossip.seal import KeyRing

INBOX_COUNT_MAX = 256
"""Datagrams that wait for a paused process, about what a socket's receive buffer holds."""
_PORT = 7946


class Change(NamedTuple):
    """One member began or ceased to count another."""

    at: float
    observer_index: int
    subject_boot_id: int
    joined: bool


class SimMember:
    """One process: its membership, and what is wrong with it."""

    __slots__ = ("alive", "armed_at", "boot_id", "clock_offset_s", "inbox", "index", "membership", "paused")

    def __init__(self, index: int, membership: Membership, clock_offset_s: float) -> None:
        """Begin well."""
        self.index = index
        self.boot_id = membership.identity.boot_id
        self.membership = membership
        self.clock_offset_s = clock_offset_s
        self.alive = True
        self.paused = False
        self.inbox: list[tuple[bytes, Address]] = []
        self.armed_at = float("inf")


class GossipNetwork:
    """Members, the links between them, and one queue of events."""

    def __init__(
        self,
        seed: int,
        config: GossipConfig | None = None,
        *,
        loss: float = 0.0,
        delay_s: tuple[float, float] = (0.0002, 0.0008),
        service_names: Sequence[str] = (),
        ring: KeyRing | None = None,
    ) -> None:
        """Prepare an empty network; `loss` is the share of datagrams that vanish, each by itself."""
        self.now = 0.0
        self.config = config or GossipConfig()
        self.loss = loss
        self.members: dict[int, SimMember] = {}
        self.on_change: Callable[[Change], None] | None = None
        """Hears of every change of anyone's view."""
        self.datagrams_count = 0
        self.blocked: Callable[[int, int], bool] | None = None
        """Says whether the way from one index to another is cut."""
        self.tap: Callable[[int, int, bytes], bytes | None] | None = None
        """Sees every datagram under way and may change or swallow it."""
        self._seed = seed
        self._delay_s = delay_s
        self._service_names = service_names
        self._ring = ring or KeyRing.of_secrets([b"a key of the simulated network"], "sim")
        self._rng = Random(f"{seed} network")
        self._queue: list[tuple[float, int, int, bytes | None, int]] = []
        self._actions: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._boots_count = 0

    @staticmethod
    def address(index: int) -> Address:
        """Return where the member with this index listens."""
        return Address(f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}", _PORT)

    def start(self, index: int, seed_indices: Sequence[int] = ()) -> SimMember:
        """Start a process, anew if it ran before; its monotonic clock begins anywhere."""
        self._boots_count += 1
        rng = Random(f"{self._seed} member {index} boot {self._boots_count}")
        identity = Identity(f"m{index}", rng.randrange(1, 1 << 64), self.address(index))
        offset_s = rng.random() * 1e6
        membership = Membership(
            identity, self._service_names, self._ring, self.config, rng, self.now + offset_s
        )
        member = SimMember(index, membership, offset_s)
        self.members[index] = member
        membership.set_seeds([self.address(seed) for seed in seed_indices])
        self._arm(member)
        return member

    def start_acquainted(self, indices: Sequence[int]) -> None:
        """Start members that all know each other, which spares the time of their coming together."""
        for index in indices:
            self.start(index)
        identities = [self.members[index].membership.identity for index in indices]
        for index in indices:
            membership = self.members[index].membership
            membership.introduce(identity for identity in identities if identity is not membership.identity)

    def crash(self, index: int) -> None:
        """Kill a process without a word."""
        self.members[index].alive = False

    def leave(self, index: int) -> None:
        """Let a process say good-bye and end."""
        member = self.members[index]
        self._perform(member, member.membership.leave(self.now + member.clock_offset_s))
        member.alive = False

    def pause(self, index: int, for_s: float) -> None:
        """Stop a process, as SIGSTOP does; its socket goes on receiving until the buffer is full."""
        member = self.members[index]
        member.paused = True
        self.at(self.now + for_s, lambda: self._resume(member))

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a later time."""
        self._sequence += 1
        heappush(self._actions, (time, self._sequence, action))

    def send(self, index: int, target: int, datagram: bytes) -> None:
        """Put a datagram on the way, whoever wrote it."""
        self._transmit(index, target, datagram)

    def run(self, until: float) -> None:
        """Let virtual time pass."""
        queue, actions = self._queue, self._actions
        while True:
            queue_at = queue[0][0] if queue else float("inf")
            action_at = actions[0][0] if actions else float("inf")
            if min(queue_at, action_at) > until:
                break
            if action_at <= queue_at:
                at, _, action = heappop(actions)
                self.now = max(self.now, at)
                action()
                continue
            at, _, index, datagram, source_index = heappop(queue)
            self.now = max(self.now, at)
            if datagram is None:
                self._wake(self.members[index], at)
            else:
                self._deliver(self.members[index], datagram, source_index)
        self.now = max(self.now, until)

    def alive(self) -> list[SimMember]:
        """Return the processes that were not ended."""
        return [member for member in self.members.values() if member.alive]

    def _wake(self, member: SimMember, at: float) -> None:
        if member.armed_at != at or not member.alive or member.paused:
            return
        member.armed_at = float("inf")
        now = max(self.now + member.clock_offset_s, member.membership.next_wakeup())  # never early
        self._perform(member, member.membership.tick(now))
        self._arm(member)

    def _deliver(self, member: SimMember, datagram: bytes, source_index: int) -> None:
        if not member.alive:
            return
        source = self.address(source_index)
        if member.paused:
            if len(member.inbox) < INBOX_COUNT_MAX:
                member.inbox.append((datagram, source))
            return
        outputs = member.membership.receive(datagram, source, self.now + member.clock_offset_s)
        if outputs:
            self._perform(member, outputs)
            self._arm(member)

    def _resume(self, member: SimMember) -> None:
        member.paused = False
        member.armed_at = float("inf")
        inbox, member.inbox = member.inbox, []
        for datagram, source in inbox:
            self._perform(
                member, member.membership.receive(datagram, source, self.now + member.clock_offset_s)
            )
        self._perform(member, member.membership.tick(self.now + member.clock_offset_s))
        self._arm(member)

    def _arm(self, member: SimMember) -> None:
        due_at = max(self.now, member.membership.next_wakeup() - member.clock_offset_s)
        if due_at < member.armed_at and due_at != float("inf"):
            member.armed_at = due_at
            self._sequence += 1
            heappush(self._queue, (due_at, self._sequence, member.index, None, 0))

    def _perform(self, member: SimMember, outputs: Sequence[GossipOutput]) -> None:
        for output in outputs:
            if isinstance(output, SendDatagram):
                _, high, middle, low = output.address.host.split(".")
                target = int(high) << 16 | int(middle) << 8 | int(low)
                self._transmit(member.index, target, output.datagram)
            elif self.on_change is not None:
                joined = isinstance(output, MemberJoined)
                self.on_change(Change(self.now, member.index, output.identity.boot_id, joined))

    def _transmit(self, index: int, target: int, datagram: bytes) -> None:
        self.datagrams_count += 1
        if target not in self.members or self._rng.random() < self.loss:
            return
        if self.blocked is not None and self.blocked(index, target):
            return
        if self.tap is not None:
            changed = self.tap(index, target, datagram)
            if changed is None:
                return
            datagram = changed
        least_s, most_s = self._delay_s
        at = self.now + least_s + (most_s - least_s) * self._rng.random()
        self._sequence += 1
        heappush(self._queue, (at, self._sequence, target, datagram, index))
