"""How a letter that was found fresh changes what this member knows, and what it calls for in return.

Knows sections and tables; sends nothing.
"""

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.detector import Detector
from swayam_proxy.core.gossip.identity import Identity
from swayam_proxy.core.gossip.loads import LoadBook
from swayam_proxy.core.gossip.roster import Learned, Roster
from swayam_proxy.core.gossip.scribe import Reply, Scribe
from swayam_proxy.core.gossip.sync import listing_for, missing_from
from swayam_proxy.core.gossip.wire import (
    DOUBT_AGE_RIPE,
    DOUBT_AGE_UNIT_S,
    SECTION_BYTES,
    AliveEntry,
    DoubtEntry,
    Letter,
    Tag,
    pack_listing,
)
from swayam_proxy.core.vocabulary import Rng

_LISTING_MARGIN_BYTES = 160
"""Fixed part, seal, and a few corrections beside the listing."""


class Intake:
    """Reads letters into the roster, the detector and the loads."""

    def __init__(
        self,
        roster: Roster,
        detector: Detector,
        book: LoadBook,
        scribe: Scribe,
        config: GossipConfig,
        rng: Rng,
    ) -> None:
        """Work on the tables of one member."""
        self._roster = roster
        self._detector = detector
        self._book = book
        self._scribe = scribe
        self._config = config
        self._rng = rng
        self.refused_count = 0
        """Newcomers not taken since the table was full or grew too fast."""

    def learn(self, letter: Letter, boot_id: int, now: float) -> Reply:
        """Take in a letter that its member `boot_id` wrote just now."""
        reply = Reply()
        roster, at_s = self._roster, self._detector.clock.now_s
        if letter.record is not None and letter.record.boot_id == boot_id:
            self._learn_record(letter.record, letter.incarnation, reply)
        else:
            self._note(roster.learn_alive(boot_id, letter.incarnation, at_s), boot_id, reply)
        for identity, incarnation in letter.records:
            self._learn_record(identity, incarnation, reply)
        for other, incarnation in letter.alive:
            self._note(roster.learn_alive(other, incarnation, at_s), other, reply)
        for entry in letter.doubts:
            self._learn_doubt(entry, reply)
        for other, incarnation in letter.left:
            self._note(roster.learn_left(other, incarnation, at_s), other, reply)
        if letter.listing is not None:
            self._learn_listing(*letter.listing, reply)
        if letter.buckets:
            self._compare(letter.buckets, reply)
        reply.records += [
            wanted for (wanted,) in letter.wants if wanted in roster or wanted == roster.own.boot_id
        ]
        self._learn_loads(letter, now)
        return reply

    def _learn_record(self, identity: Identity, incarnation: int, reply: Reply) -> None:
        boot_id = identity.boot_id
        heard_of = boot_id in self._roster or boot_id in self._roster.tombstones
        learned = self._roster.learn_record(identity, incarnation, self._detector.clock.now_s)
        if learned is Learned.NEWS and not heard_of:
            reply.told.add(boot_id)
            self._scribe.newcomers.add(boot_id)
        else:
            self._note(learned, boot_id, reply)

    def _note(self, learned: Learned, boot_id: int, reply: Reply) -> None:
        match learned:
            case Learned.NEWS:
                self._spread(boot_id, reply)
            case Learned.TELLER_BEHIND:
                reply.corrections.append(boot_id)
            case Learned.STRANGER:
                reply.wants.append(boot_id)
            case Learned.REFUSED:
                self.refused_count += 1

    def _spread(self, boot_id: int, reply: Reply) -> None:
        if boot_id == self._roster.own.boot_id:  # a doubt about us, contradicted: the teller must hear it too
            self._scribe.states.add(boot_id)
            return
        reply.told.add(boot_id)
        if boot_id in self._roster.doubts:
            self._detector.watch_doubt(boot_id)
        else:
            self._detector.refuted(boot_id)
        self._scribe.states.add(boot_id)

    def _learn_doubt(self, entry: DoubtEntry, reply: Reply) -> None:
        boot_id, incarnation, age, *accusers = entry
        if age == DOUBT_AGE_RIPE:
            learned = self._roster.learn_removed(boot_id, incarnation, tuple(accusers))
            if learned is Learned.UNSURE:
                reply.suspects.append((boot_id, tuple(accusers)))
                return
        else:
            doubt = self._detector.doubt_heard(incarnation, age * DOUBT_AGE_UNIT_S, tuple(accusers))
            if doubt is None:
                return
            learned = self._roster.learn_doubt(boot_id, doubt)
        self._note(learned, boot_id, reply)

    def _learn_listing(self, bits: int, entries: list[AliveEntry], reply: Reply) -> None:
        at_s = self._detector.clock.now_s
        for other, incarnation in entries:
            self._note(self._roster.learn_alive(other, incarnation, at_s), other, reply)
        reply.records += missing_from(self._roster, bits, entries, self._rng)

    def _compare(self, buckets: tuple[int, ...], reply: Reply) -> None:
        room_bytes = self._config.datagram_bytes_max - _LISTING_MARGIN_BYTES - SECTION_BYTES
        listing = listing_for(self._roster, buckets, room_bytes, self._rng)
        if listing is not None:
            reply.sections.append((Tag.LISTING, pack_listing(*listing)))

    def _learn_loads(self, letter: Letter, now: float) -> None:
        roster, book = self._roster, self._book
        for key, entries in letter.loads:
            for load in entries:
                if load[0] in roster and book.learn_load(key, load, now):
                    self._scribe.loads.add((key, load[0]))
        for summary in letter.summaries:
            if summary[1] in roster and book.learn_summary(summary, now):
                self._scribe.summaries.add((summary[0], summary[1]))
