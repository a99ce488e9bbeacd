"""One member of the gossip: datagrams and time in, datagrams and facts out.

The door of this package. Knows when to write to whom; what letters say is `intake` and `scribe`, who is
counted is `roster`, who seems gone is `detector`, whom to believe is `seal` and `sessions`.

How it works, in short: every member probes the others in turn, fifteen a second however many there are, and
is answered at once; both letters carry what is worth passing on. So news reaches everyone in a second. Who
does not answer is asked again, then doubted; a doubt that several share and nobody refutes removes.
"""

from collections.abc import Iterable, Sequence

from swayam_proxy.core.errors import WireError
from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.courier import Courier
from swayam_proxy.core.gossip.departures import Departures
from swayam_proxy.core.gossip.detector import Detector
from swayam_proxy.core.gossip.identity import Address, Identity
from swayam_proxy.core.gossip.intake import Intake
from swayam_proxy.core.gossip.loads import LoadBook, ServicePayload
from swayam_proxy.core.gossip.order import ProbeOrder
from swayam_proxy.core.gossip.outputs import GossipOutput, MemberJoined, RemovalReason
from swayam_proxy.core.gossip.report import Reporter
from swayam_proxy.core.gossip.roster import Learned, Roster
from swayam_proxy.core.gossip.scribe import Reply, Scribe
from swayam_proxy.core.gossip.seal import Envelope, KeyRing, open_envelope
from swayam_proxy.core.gossip.seeds import Seeds
from swayam_proxy.core.gossip.sessions import Admission, Sessions
from swayam_proxy.core.gossip.sync import buckets_for
from swayam_proxy.core.gossip.view import GossipSnapshot, PeerLoad, PeerView
from swayam_proxy.core.gossip.wire import Letter, LetterKind, Tag, read_letter
from swayam_proxy.core.vocabulary import Rng

_HOUSEKEEPING_S = 1.0
_EAGER_COUNT = 16
"""The first members that a newcomer hears of, and some of those that one knows who was paused for long: they
are probed at once, not in turn."""
_PAUSE_S = 2.0
_MANY_DOUBTS = 3
"""So many doubts at once mean that much has failed together (a split, a rack): waiting for each one's turn
would then take longest, so `_EAGER_COUNT` are probed at once."""
_LOOK_AROUND_S = 5.0
""""At once" happens this often at most; it is what bounds the traffic when loss alone raises many doubts."""
_GOODBYES_COUNT = 16
_ROUNDING_S = 1e-6
"""Added to a wake-up, so that at that time the sum of all steps of the clock has surely reached it."""


class Membership:
    """One member: what it knows of the others, and what it has to do next."""

    def __init__(
        self,
        identity: Identity,
        service_names: Sequence[str],
        ring: KeyRing,
        config: GossipConfig,
        rng: Rng,
        now: float,
    ) -> None:
        """Begin alone; `now` is monotonic, as in all other calls."""
        self.identity = identity
        self._own = identity.boot_id
        self._config = config
        self._rng = rng
        self._now = now
        self._roster = Roster(identity, config)
        self._detector = Detector(self._roster, config, now)
        self._clock = self._detector.clock
        self._book = LoadBook(identity.boot_id, tuple(service_names), config)
        self._scribe = Scribe(self._roster, self._book, self._clock, config)
        self._intake = Intake(self._roster, self._detector, self._book, self._scribe, config, rng)
        self._sessions = Sessions(identity.boot_id, config, rng, now)
        self._departures = Departures(self._book.names, config.forget_s, config.members_max)
        self._reporter = Reporter(self._roster, self._detector, self._book, self._departures, self._sessions)
        self._courier = Courier(self._roster, self._scribe, self._sessions, ring, config)
        self._order = ProbeOrder(rng)
        self._seeds = Seeds(identity.address, config)
        self._eager_count = _EAGER_COUNT
        self._next_probe_s = 0.0
        self._next_lost_s = config.lost_probe_s
        self._next_housekeeping_s = _HOUSEKEEPING_S
        self._next_buckets_s = 0.0
        self._next_look_around_s = 0.0

    def receive(self, datagram: bytes, source: Address, now: float) -> Sequence[GossipOutput]:
        """Take one datagram, whatever it is; never raises, however wrong the bytes are."""
        traffic = self._courier.traffic
        traffic.received_bytes += len(datagram)
        try:
            envelope = open_envelope(datagram, self._courier.ring, self._config.datagram_bytes_max)
            letter = read_letter(envelope.body)
        except WireError as error:
            traffic.rejected[error.reason] += 1
            return ()
        outputs: list[GossipOutput] = []
        self._advance(outputs, now)
        if envelope.boot_id == self._own:
            traffic.rejected["own"] += 1
            self._meet_own(letter)
        else:
            self._take(envelope, letter, source, outputs)
        return outputs

    def tick(self, now: float) -> Sequence[GossipOutput]:
        """Do what is due; call it when `next_wakeup()` has come, and at any other time."""
        outputs: list[GossipOutput] = []
        self._advance(outputs, now)
        if self._roster.own_left:
            return outputs
        at_s = self._clock.now_s
        if at_s >= self._next_probe_s:
            interval_s = self._config.probe_interval_s
            self._next_probe_s = at_s + interval_s * (0.75 + 0.5 * self._rng.random())
            self._probe_next(outputs)
        if at_s >= self._detector.next_due_s():
            self._examine(outputs)
        if len(self._roster.doubts) >= _MANY_DOUBTS and at_s >= self._next_look_around_s:
            self._next_look_around_s = at_s + _LOOK_AROUND_S
            self._probe_eagerly(outputs)
        if at_s >= self._next_lost_s:
            self._next_lost_s = at_s + self._config.lost_probe_s
            self._probe_lost(outputs)
        if at_s >= self._seeds.due_s():
            alone = self._roster.count == 1
            addresses = self._seeds.ask(at_s, alone=alone, counted=self._roster.__contains__)
            outputs += [self._courier.probe(0, address, now) for address in addresses]
        if at_s >= self._next_housekeeping_s:
            self._next_housekeeping_s = at_s + _HOUSEKEEPING_S
            self._keep_house()
        return outputs

    def next_wakeup(self) -> float:
        """Return the monotonic time at which `tick` should be called; it may have passed already."""
        if self._roster.own_left:
            return float("inf")
        due_s = min(
            self._next_probe_s,
            self._next_lost_s,
            self._next_housekeeping_s,
            self._detector.next_due_s(),
            self._seeds.due_s(),
            self._clock.now_s + self._config.gap_s_max / 2,  # or a quiet time would look like a pause
        )
        return self._now + max(0.0, due_s - self._clock.now_s) + _ROUNDING_S

    def set_seeds(self, addresses: Sequence[Address]) -> None:
        """Take the addresses that the configured names stand for at present."""
        self._seeds.replace(addresses, self._clock.now_s)

    def introduce(self, identities: Iterable[Identity]) -> Sequence[GossipOutput]:
        """Count members that are known from elsewhere; whether they live is then found out as usual."""
        for identity in identities:
            self._roster.learn_record(identity, 0, self._clock.now_s)
        self._eager_count = 0
        outputs: list[GossipOutput] = []
        self._settle(outputs)
        return outputs

    def set_payload(self, service_name: str, payload: ServicePayload, now: float) -> None:
        """Take what this member expects of a service; call it at every decision."""
        tell_load, tell_summary = self._book.publish(service_name, payload, self._roster.count, now)
        load_key = self._book.keys[service_name], self._own
        self._departures.note(load_key[0], self._reporter.rate_per_s(service_name, now), now)
        if tell_load:
            self._scribe.loads.add(load_key)
        if tell_summary:
            self._scribe.summaries.add(load_key)

    def replace_keys(self, ring: KeyRing) -> None:
        """Take a changed key ring: from here on its first key seals, and all of its keys open."""
        self._courier.ring = ring

    def leave(self, now: float) -> Sequence[GossipOutput]:
        """Say good-bye to some members, who tell the rest; probes are still answered.

        To be called when this member takes no more load, and, in case of loss, again when it ends.
        """
        outputs: list[GossipOutput] = []
        self._advance(outputs, now)
        if not self._roster.own_left:
            self._roster.leave()
        self._scribe.states.add(self._own)
        for _ in range(min(_GOODBYES_COUNT, self._roster.count - 1)):
            boot_id = self._order.next()
            identity = None if boot_id is None else self._roster.get(boot_id)
            if identity is not None:
                reply = Reply(corrections=[self._own])
                outputs.append(self._courier.note(identity.boot_id, identity.address, reply, now))
        return outputs

    def peers(self, now: float) -> PeerView:
        """Return all members as this one sees them."""
        return self._reporter.view(now)

    def peer_load(self, service_name: str, now: float) -> PeerLoad:
        """Return what the others expect of one service; cheaper than the whole view."""
        return self._reporter.load(service_name, now)

    def frontends_count(self) -> int:
        """Return how many frontends are counted, this one included: distinct names."""
        return self._reporter.frontends_count()

    def counts(self, boot_id: int) -> bool:
        """Return whether another boot is counted."""
        return boot_id in self._roster

    def members_count(self) -> int:
        """Return how many boots are counted, this one included; cheap, and larger just after a restart."""
        return self._roster.count

    def snapshot(self) -> GossipSnapshot:
        """Return counters and sizes."""
        return self._reporter.snapshot(self._courier, self._scribe, self._intake.refused_count)

    def _take(self, envelope: Envelope, letter: Letter, source: Address, outputs: list[GossipOutput]) -> None:
        now, boot_id = self._now, envelope.boot_id
        courier = self._courier
        known = boot_id in self._roster or boot_id in self._roster.tombstones
        admission, asked = self._sessions.admit(boot_id, envelope.counter, letter, known=known, now=now)
        if admission is not Admission.FRESH:
            courier.traffic.rejected[admission.name.lower()] += 1
            if admission is Admission.STRANGER and letter.kind == LetterKind.PROBE:
                outputs += courier.challenge(boot_id, source, letter.nonce, now)
            return
        courier.traffic.note_received(letter.kind)
        if asked is not None:
            courier.traffic.note_round_trip(now - asked.at)
            self._seeds.answered(asked.address, boot_id)
        self._detector.heard(boot_id, answered=asked is not None)
        reply = self._intake.learn(letter, boot_id, now)
        if boot_id not in self._roster and boot_id not in self._roster.tombstones:
            self._sessions.forget(boot_id)  # refused, or its record is missing: still a stranger
        identity = self._roster.get(boot_id)
        address = source if identity is None else identity.address
        if letter.kind == LetterKind.PROBE:
            self._compare_views(letter, reply)
            outputs.append(courier.answer(boot_id, address, letter.nonce, reply, now))
        elif asked is not None and letter.token and not asked.with_token:
            outputs.append(courier.probe(boot_id, address, now, token=letter.token))
        elif reply.calls_for_letter():
            outputs.append(courier.note(boot_id, address, reply, now))
        outputs += courier.rest(boot_id, address, reply, now)
        for suspect, accusers in reply.suspects:
            if suspect in self._roster and self._detector.examine(suspect, accusers):
                self._ask(suspect, outputs)
        self._settle(outputs)

    def _meet_own(self, letter: Letter) -> None:
        address = self._sessions.asked_where(letter.nonce)
        if address is not None:  # one of the seeds is this member itself
            self._seeds.answered(address, self._own)

    def _compare_views(self, letter: Letter, reply: Reply) -> None:
        at_s = self._clock.now_s
        if letter.view_hash != self._roster.view_hash and at_s >= self._next_buckets_s:
            self._next_buckets_s = at_s + self._config.sync_s
            reply.sections.append((Tag.BUCKETS, buckets_for(self._roster)))

    def _probe_next(self, outputs: list[GossipOutput]) -> None:
        boot_id = self._order.next(self._detector.examined)
        if boot_id is not None and self._detector.examine(boot_id):
            self._ask(boot_id, outputs)

    def _ask(self, boot_id: int, outputs: list[GossipOutput], *, again: bool = False) -> None:
        identity = self._roster.get(boot_id)
        if identity is not None:
            self._detector.asked(boot_id)
            outputs.append(self._courier.probe(boot_id, identity.address, self._now, again=again))

    def _examine(self, outputs: list[GossipOutput]) -> None:
        again, accused = self._detector.tries()
        for boot_id, hearsay in accused:
            learned = self._roster.learn_doubt(boot_id, self._detector.own_doubt(boot_id, hearsay))
            if learned is Learned.NEWS:
                self._scribe.states.add(boot_id)
                self._detector.watch_doubt(boot_id)
        for boot_id in again:
            self._ask(boot_id, outputs, again=True)
        for boot_id in self._detector.ripe():
            self._roster.remove(boot_id, RemovalReason.LOST, self._clock.now_s)
        self._settle(outputs)

    def _probe_lost(self, outputs: list[GossipOutput]) -> None:
        tombstones = self._roster.tombstones.values()
        lost = [stone.identity for stone in tombstones if stone.reason is RemovalReason.LOST]
        if lost:
            identity = lost[self._rng.randrange(len(lost))]
            outputs.append(self._courier.probe(identity.boot_id, identity.address, self._now))

    def _keep_house(self) -> None:
        for boot_id in self._roster.forget_before(self._clock.now_s - self._config.tombstone_s):
            self._sessions.forget(boot_id)
        self._sessions.expire(self._now)
        if len(self._sessions) > self._roster.count + len(self._roster.tombstones):
            for boot_id in self._sessions.boot_ids():
                if boot_id not in self._roster and boot_id not in self._roster.tombstones:
                    self._sessions.forget(boot_id)

    def _advance(self, outputs: list[GossipOutput], now: float) -> None:
        if now <= self._now:
            return
        slept_before_s = self._clock.slept_s
        self._detector.advance(now)
        self._now = now
        if self._clock.slept_s - slept_before_s >= _PAUSE_S:
            self._probe_eagerly(outputs)

    def _probe_eagerly(self, outputs: list[GossipOutput]) -> None:
        for _ in range(_EAGER_COUNT):
            self._probe_next(outputs)

    def _settle(self, outputs: list[GossipOutput]) -> None:
        """Pass on who came and went, and let the other tables follow the roster."""
        if not self._roster.facts:
            return
        facts, self._roster.facts = self._roster.facts, []
        for fact in facts:
            boot_id = fact.identity.boot_id
            if not isinstance(fact, MemberJoined):
                self._order.remove(boot_id)
                self._detector.gone(boot_id)
                for key, spoke_at in self._book.drop(boot_id).items():
                    self._departures.went(key, fact.identity.name, spoke_at, self._now)
                continue
            self._order.add(boot_id)
            if self._eager_count and boot_id in self._roster and self._detector.examine(boot_id):
                self._eager_count -= 1
                self._ask(boot_id, outputs)
        outputs += facts
