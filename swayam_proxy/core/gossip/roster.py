"""Who is counted: the table of members, and how news about one of them changes it.

Knows no datagrams and no timers; the detector decides when a doubt is ripe. Per member the newest news
wins, in this order: the higher incarnation; within one incarnation "left", then "doubted", then "alive".
Only a member itself raises its incarnation, to contradict a doubt. So views converge whatever the order.

A doubted member is still counted. A removed one leaves a tombstone, so that late news does not revive it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.identity import Identity
from swayam_proxy.core.gossip.outputs import MemberJoined, MemberRemoved, RemovalReason
from swayam_proxy.core.gossip.wire import BUCKETS_COUNT

_MASK = (1 << 64) - 1
_BUCKET_SHIFT = 64 - BUCKETS_COUNT.bit_length() + 1


class Learned(Enum):
    """What a piece of news turned out to be."""

    NOTHING = auto()
    """Known already."""
    NEWS = auto()
    """It changed the table and is worth passing on."""
    TELLER_BEHIND = auto()
    """The teller does not know the newest yet."""
    STRANGER = auto()
    """It is about a member whose record is missing here."""
    UNSURE = auto()
    """The teller has removed a member that nobody doubts here: worth a look of our own."""
    REFUSED = auto()
    """The table is full, or grows too fast."""


class Doubt:
    """Why a member may be gone, and who says so (at most three); times are of the detector's clock."""

    __slots__ = ("accusers", "began_s", "born_s", "incarnation")

    def __init__(self, incarnation: int, born_s: float, began_s: float, accusers: tuple[int, ...]) -> None:
        """Begin a doubt of one incarnation.

        `born_s` is when the first accuser raised it, wherever that was; `began_s` is what our own
        window counts from, later where we heard of it late.
        """
        self.incarnation = incarnation
        self.born_s = born_s
        self.began_s = began_s
        self.accusers = _three(accusers)


@dataclass(slots=True)
class Tombstone:
    """A removed member: its last incarnation, who accused it (nobody if it left), and when that was."""

    identity: Identity
    incarnation: int
    accusers: tuple[int, ...]
    reason: RemovalReason
    removed_s: float
    born_s: float
    """When the doubt was raised that led to the removal."""


def bucket_of(boot_id: int) -> int:
    """Return which of the `BUCKETS_COUNT` parts of the table a boot belongs to."""
    return boot_id >> _BUCKET_SHIFT


def fingerprint(boot_id: int, incarnation: int) -> int:
    """Mix 64 bits that change with either number; no defence against forgery, which the seal is."""
    mixed = ((boot_id ^ (incarnation * 0x9E3779B97F4A7C15)) * 0xD6E8FEB86659FD93) & _MASK
    return mixed ^ (mixed >> 32)


class Roster:
    """The members that one member counts, itself included, and those it counted lately."""

    def __init__(self, own: Identity, config: GossipConfig) -> None:
        """Begin alone."""
        self.own = own
        self.own_incarnation = 0
        self.own_left = False
        self.doubts: dict[int, Doubt] = {}
        self.tombstones: dict[int, Tombstone] = {}
        self.facts: list[MemberJoined | MemberRemoved] = []
        """Changes since the caller last took them."""
        self.count = 1
        """Members counted, this one included."""
        self.view_hash = 0
        self.bucket_hashes = [0] * BUCKETS_COUNT
        self._config = config
        self._buckets: list[dict[int, Identity]] = [{} for _ in range(BUCKETS_COUNT)]
        self._incarnations: dict[int, int] = {}  # only those above 0, since nearly all are 0
        self._growth_left = float(config.growth_burst)
        self._growth_s = 0.0
        self._toggle(own.boot_id, 0)

    def __contains__(self, boot_id: int) -> bool:
        return boot_id in self._buckets[bucket_of(boot_id)]

    def get(self, boot_id: int) -> Identity | None:
        """Return a counted peer (never this member itself)."""
        return self._buckets[bucket_of(boot_id)].get(boot_id)

    def peers(self) -> Iterator[Identity]:
        """Iterate over the counted members except this one."""
        for bucket in self._buckets:
            yield from bucket.values()

    def bucket(self, index: int) -> dict[int, Identity]:
        """Return the counted peers of one bucket; the caller must not change it."""
        return self._buckets[index]

    def incarnation(self, boot_id: int) -> int:
        """Return the newest incarnation heard of (0 for one that is not counted)."""
        return self._incarnations.get(boot_id, 0)

    def undoubted_count(self) -> int:
        """Members, this one included, that nobody doubts."""
        return self.count - len(self.doubts)

    def learn_record(self, identity: Identity, incarnation: int, at_s: float) -> Learned:
        """Someone counts this member, and tells who it is."""
        learned = self.learn_alive(identity.boot_id, incarnation, at_s)
        if learned is not Learned.STRANGER:
            return learned
        if self.count >= self._config.members_max or not self._may_grow(at_s):
            return Learned.REFUSED
        self._insert(identity, incarnation)
        return Learned.NEWS

    def learn_alive(self, boot_id: int, incarnation: int, at_s: float) -> Learned:
        """Someone counts the member in this incarnation."""
        if boot_id == self.own.boot_id:
            return self._learn_own(incarnation, contradict=incarnation > self.own_incarnation)
        if boot_id in self:
            known = self._incarnations.get(boot_id, 0)
            if incarnation <= known:
                return Learned.TELLER_BEHIND if incarnation < known else Learned.NOTHING
            self.doubts.pop(boot_id, None)
            self._raise(boot_id, known, incarnation)
            return Learned.NEWS
        tombstone = self.tombstones.get(boot_id)
        if tombstone is None:
            return Learned.STRANGER
        if incarnation <= tombstone.incarnation:
            return Learned.TELLER_BEHIND
        if not self._may_grow(at_s):
            return Learned.REFUSED
        del self.tombstones[boot_id]
        self._insert(tombstone.identity, incarnation)
        return Learned.NEWS

    def learn_left(self, boot_id: int, incarnation: int, at_s: float) -> Learned:
        """Someone heard the member say good-bye in this incarnation."""
        if boot_id == self.own.boot_id:
            return self._learn_own(incarnation, contradict=incarnation >= self.own_incarnation)
        if boot_id in self:
            if incarnation < self._incarnations.get(boot_id, 0):
                return Learned.TELLER_BEHIND
            self.remove(boot_id, RemovalReason.LEFT, at_s, incarnation)
            return Learned.NEWS
        tombstone = self.tombstones.get(boot_id)
        if tombstone is not None and incarnation >= tombstone.incarnation:
            tombstone.incarnation = incarnation
            tombstone.reason = RemovalReason.LEFT
        return Learned.NOTHING

    def learn_doubt(self, boot_id: int, heard: Doubt) -> Learned:
        """Someone doubts the member in this incarnation."""
        if boot_id == self.own.boot_id:
            return self._learn_own(heard.incarnation, contradict=heard.incarnation >= self.own_incarnation)
        if boot_id not in self:
            return self._learn_doubt_of_removed(boot_id, heard)
        known = self._incarnations.get(boot_id, 0)
        if heard.incarnation < known:
            return Learned.TELLER_BEHIND
        if heard.incarnation > known:
            self._raise(boot_id, known, heard.incarnation)
            self.doubts.pop(boot_id, None)
        doubt = self.doubts.get(boot_id)
        if doubt is None:
            self.doubts[boot_id] = heard
            return Learned.NEWS
        doubt.born_s = min(doubt.born_s, heard.born_s)
        doubt.began_s = min(doubt.began_s, heard.began_s)
        before_count = len(doubt.accusers)
        doubt.accusers = _three(doubt.accusers + heard.accusers)
        return Learned.NEWS if len(doubt.accusers) > before_count else Learned.NOTHING

    def learn_removed(self, boot_id: int, incarnation: int, accusers: tuple[int, ...]) -> Learned:
        """Someone has removed the member: no proof here, where it may be seen well (after a partition)."""
        if boot_id == self.own.boot_id:
            return self._learn_own(incarnation, contradict=incarnation >= self.own_incarnation)
        if boot_id not in self:
            return Learned.NOTHING
        if incarnation < self._incarnations.get(boot_id, 0):
            return Learned.TELLER_BEHIND
        doubt = self.doubts.get(boot_id)
        if doubt is None:
            return Learned.UNSURE
        if doubt.incarnation == incarnation:
            doubt.accusers = _three(doubt.accusers + accusers)
        return Learned.NOTHING

    def remove(self, boot_id: int, reason: RemovalReason, at_s: float, incarnation: int = 0) -> None:
        """Stop counting a member that is counted, and remember that it was."""
        identity = self._buckets[bucket_of(boot_id)].pop(boot_id)
        known = self._incarnations.pop(boot_id, 0)
        self._toggle(boot_id, known)
        self.count -= 1
        doubt = self.doubts.pop(boot_id, None)
        accusers, born_s = (doubt.accusers, doubt.born_s) if doubt is not None else ((), at_s)
        newest = max(known, incarnation)
        self.tombstones[boot_id] = Tombstone(identity, newest, accusers, reason, at_s, born_s)
        if len(self.tombstones) > self._config.members_max:
            del self.tombstones[next(iter(self.tombstones))]
        self.facts.append(MemberRemoved(identity, reason))

    def forget_before(self, at_s: float) -> list[int]:
        """End the tombstones of members removed before `at_s`; return their boot ids."""
        ended = []
        for boot_id, tombstone in self.tombstones.items():  # in the order of removal
            if tombstone.removed_s >= at_s:
                break
            ended.append(boot_id)
        for boot_id in ended:
            del self.tombstones[boot_id]
        return ended

    def leave(self) -> None:
        """Say good-bye: from here on nobody's doubt is contradicted."""
        self._raise_own(self.own_incarnation + 1)
        self.own_left = True

    def _learn_own(self, incarnation: int, *, contradict: bool) -> Learned:
        if not contradict or self.own_left:
            return Learned.NOTHING
        self._raise_own(incarnation + 1)
        return Learned.NEWS

    def _learn_doubt_of_removed(self, boot_id: int, heard: Doubt) -> Learned:
        tombstone = self.tombstones.get(boot_id)
        if tombstone is None or heard.incarnation <= tombstone.incarnation:
            return Learned.NOTHING
        del self.tombstones[boot_id]  # it came back, which we missed, and is doubted again
        self._insert(tombstone.identity, heard.incarnation)
        self.doubts[boot_id] = heard
        return Learned.NEWS

    def _insert(self, identity: Identity, incarnation: int) -> None:
        self._buckets[bucket_of(identity.boot_id)][identity.boot_id] = identity
        if incarnation:
            self._incarnations[identity.boot_id] = incarnation
        self._toggle(identity.boot_id, incarnation)
        self.count += 1
        self.facts.append(MemberJoined(identity))

    def _raise(self, boot_id: int, before: int, after: int) -> None:
        self._toggle(boot_id, before)
        self._incarnations[boot_id] = after
        self._toggle(boot_id, after)

    def _raise_own(self, incarnation: int) -> None:
        self._toggle(self.own.boot_id, self.own_incarnation)
        self.own_incarnation = min(incarnation, 0xFFFFFFFF)
        self._toggle(self.own.boot_id, self.own_incarnation)

    def _toggle(self, boot_id: int, incarnation: int) -> None:
        bits = fingerprint(boot_id, incarnation)
        self.view_hash ^= bits
        self.bucket_hashes[bucket_of(boot_id)] ^= bits

    def _may_grow(self, at_s: float) -> bool:
        config = self._config
        earned = (at_s - self._growth_s) * config.growth_per_s
        self._growth_left = min(float(config.growth_burst), self._growth_left + earned)
        self._growth_s = at_s
        if self._growth_left < 1.0:
            return False
        self._growth_left -= 1.0
        return True


def _three(accusers: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({accuser for accuser in accusers if accuser})[:3])
