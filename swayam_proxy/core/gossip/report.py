"""From tables to what others read: views of the peers, and counters.

Knows how to look, changes nothing.
"""

from collections import Counter
from collections.abc import Mapping

from swayam_proxy.core.gossip.courier import Courier
from swayam_proxy.core.gossip.departures import Departures
from swayam_proxy.core.gossip.detector import Detector
from swayam_proxy.core.gossip.identity import Identity
from swayam_proxy.core.gossip.loads import Load, LoadBook
from swayam_proxy.core.gossip.outputs import RemovalReason
from swayam_proxy.core.gossip.roster import Roster
from swayam_proxy.core.gossip.scribe import Scribe
from swayam_proxy.core.gossip.sessions import Sessions
from swayam_proxy.core.gossip.view import (
    GossipSnapshot,
    LoadView,
    MemberState,
    MemberView,
    PeerLoad,
    PeerView,
)

_REMOVED_SHOWN_S = 60.0


class Reporter:
    """Looks at the tables of one member."""

    def __init__(
        self,
        roster: Roster,
        detector: Detector,
        book: LoadBook,
        departures: Departures,
        sessions: Sessions,
    ) -> None:
        """Read from these."""
        self._roster = roster
        self._detector = detector
        self._clock = detector.clock
        self._book = book
        self._departures = departures
        self._sessions = sessions

    def frontends_count(self) -> int:
        """Return the number of distinct names that are counted, the own one included."""
        names = {identity.name for identity in self._roster.peers()}
        names.add(self._roster.own.name)
        return len(names)

    def states(self) -> dict[str, int]:
        """Return how many members stand how, as the metric of frontends wants it."""
        suspects_count = len(self._roster.doubts)
        reasons = Counter(tombstone.reason for tombstone in self._roster.tombstones.values())
        return {
            MemberState.ALIVE: self._roster.count - suspects_count,
            MemberState.SUSPECT: suspects_count,
            MemberState.LEFT: reasons[RemovalReason.LEFT],
            MemberState.LOST: reasons[RemovalReason.LOST],
        }

    def load(self, service_name: str, now: float) -> PeerLoad:
        """Return what the other members expect of one service."""
        roster = self._roster
        by_name = self._fresh(service_name, now)
        held = self._departures.held(self._book.keys[service_name], by_name, now)
        frontends_count = self.frontends_count()
        executions = [
            summary.execution
            for boot_id, summary in self._book.summaries(service_name).items()
            if boot_id in roster and summary.execution
        ]
        return PeerLoad(
            frontends_count=frontends_count,
            fresh_rate_sum_per_s=sum(load.rate_per_s for load in by_name.values()),
            fresh_count=len(by_name),
            stale_count=frontends_count - 1 - len(by_name),
            executions=tuple(executions),
            prefixes=tuple(load.prefix for load in by_name.values()),
            gone_count=held.gone_count,
            gone_rate_per_s=max(0.0, held.rate_per_s - self._rate_per_s(service_name, by_name)),
        )

    def rate_per_s(self, service_name: str, now: float) -> float:
        """Return what all members whose word is fresh count together, this one included."""
        return self._rate_per_s(service_name, self._fresh(service_name, now))

    def _rate_per_s(self, service_name: str, by_name: Mapping[str, Load]) -> float:
        own = self._book.loads(service_name).get(self._roster.own.boot_id)
        others_per_s = sum(load.rate_per_s for load in by_name.values())
        return others_per_s if own is None else others_per_s + own.rate_per_s

    def _fresh(self, service_name: str, now: float) -> dict[str, Load]:
        """Return the fresh loads of the others by name; of a restarted member, the younger boot's."""
        roster = self._roster
        fresh_s = self._book.fresh_s(roster.count)
        by_name: dict[str, Load] = {}
        for boot_id, load in self._book.loads(service_name).items():
            identity = roster.get(boot_id)
            if identity is None or identity.name == roster.own.name or now - load.born_at > fresh_s:
                continue
            other = by_name.get(identity.name)
            if other is None or other.born_at < load.born_at:
                by_name[identity.name] = load
        return by_name

    def snapshot(self, courier: Courier, scribe: Scribe, refused_count: int) -> GossipSnapshot:
        """Return counters and sizes."""
        traffic = courier.traffic
        rejected = dict(traffic.rejected)
        if refused_count:
            rejected["full"] = refused_count
        return GossipSnapshot(
            frontends_count=self.frontends_count(),
            states=self.states(),
            sent=dict(traffic.sent),
            received=dict(traffic.received),
            sent_bytes=traffic.sent_bytes,
            received_bytes=traffic.received_bytes,
            rejected=rejected,
            round_trip_count=traffic.round_trip_count,
            round_trip_sum_s=traffic.round_trip_sum_s,
            failure_share=self._detector.loss.share(),
            doubts_raised_count=self._detector.doubts_raised_count,
            slept_s=self._clock.slept_s,
            rumors_count=scribe.rumors_count(),
            tombstones_count=len(self._roster.tombstones),
            authenticated=courier.ring.authenticated,
        )

    def view(self, now: float) -> PeerView:
        """Return everything about everyone."""
        roster = self._roster
        members = [self._member(roster.own, MemberState.ALIVE, now)]
        for identity in roster.peers():
            state = MemberState.SUSPECT if identity.boot_id in roster.doubts else MemberState.ALIVE
            members.append(self._member(identity, state, now))
        shown_after_s = self._clock.now_s - _REMOVED_SHOWN_S
        removed = [
            self._member(tombstone.identity, MemberState(tombstone.reason.value), now)
            for tombstone in roster.tombstones.values()
            if tombstone.removed_s > shown_after_s
        ]
        names = Counter(member.name for member in members)
        return PeerView(
            frontends_count=len(names),
            members=(*sorted(members, key=_by_name), *sorted(removed, key=_by_name)),
            services={name: self.load(name, now) for name in self._book.names.values()},
            conflicting_names=tuple(sorted(name for name, count in names.items() if count > 1)),
            other_configs=tuple(sorted(self._other_configs())),
        )

    def _member(self, identity: Identity, state: MemberState, now: float) -> MemberView:
        own = identity.boot_id == self._roster.own.boot_id
        fresh_s = self._book.fresh_s(self._roster.count)
        loads = [
            LoadView(name, load.forecast_per_s, load.rate_per_s, load.prefix, now - load.born_at, fresh)
            for name, load in self._book.loads_of(identity.boot_id)
            for fresh in (now - load.born_at <= fresh_s,)
        ]
        ages_s = [load.age_s for load in loads]
        heard_at = self._sessions.heard_at(identity.boot_id)
        if heard_at is not None:
            ages_s.append(now - heard_at)
        age_s = 0.0 if own else min(ages_s, default=None)
        return MemberView(identity.name, identity.boot_id, identity.address, state, age_s, own, tuple(loads))

    def _other_configs(self) -> set[tuple[str, str]]:
        roster = self._roster
        others = set()
        for service_name in self._book.names.values():
            summaries = self._book.summaries(service_name)
            own = summaries.get(roster.own.boot_id)
            for boot_id, summary in summaries.items():
                identity = roster.get(boot_id)
                if identity is not None and own is not None and summary.config_hash != own.config_hash:
                    others.add((service_name, identity.name))
        return others


def _by_name(member: MemberView) -> tuple[str, int]:
    return member.name, member.boot_id
