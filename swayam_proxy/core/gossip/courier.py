"""From an intention to a sealed datagram: letters are written, numbered, sealed and counted here.

Knows forms and keys; whom to write to, and when, is the membership's matter.
"""

from collections import Counter

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.identity import Address
from swayam_proxy.core.gossip.outputs import SendDatagram
from swayam_proxy.core.gossip.roster import Roster
from swayam_proxy.core.gossip.scribe import Reply, Scribe
from swayam_proxy.core.gossip.seal import HEADER_BYTES, TAG_BYTES, KeyRing
from swayam_proxy.core.gossip.sessions import Sessions
from swayam_proxy.core.gossip.wire import Letter, LetterKind, LetterWriter

_NOTHING_TOLD: frozenset[int] = frozenset()
_KIND_NAMES = {kind.value: kind.name.lower() for kind in LetterKind}


class Traffic:
    """What went out and came in since the start."""

    __slots__ = (
        "received",
        "received_bytes",
        "rejected",
        "round_trip_count",
        "round_trip_sum_s",
        "sent",
        "sent_bytes",
    )

    def __init__(self) -> None:
        """Begin at nothing."""
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.sent_bytes = 0
        self.received_bytes = 0
        self.round_trip_count = 0
        self.round_trip_sum_s = 0.0

    def note_received(self, kind: int) -> None:
        """Count a letter that was taken in."""
        self.received[_KIND_NAMES[kind]] += 1

    def note_round_trip(self, round_trip_s: float) -> None:
        """Count an answer."""
        self.round_trip_count += 1
        self.round_trip_sum_s += round_trip_s


class Courier:
    """Writes, seals and counts the letters of one member."""

    def __init__(
        self, roster: Roster, scribe: Scribe, sessions: Sessions, ring: KeyRing, config: GossipConfig
    ) -> None:
        """Write with this member's own tables."""
        self.ring = ring
        self.traffic = Traffic()
        self._own = roster.own
        self._roster = roster
        self._scribe = scribe
        self._sessions = sessions
        self._body_bytes_max = config.datagram_bytes_max - HEADER_BYTES - TAG_BYTES
        self._datagrams_max = config.sync_datagrams_max
        self._counter = 0

    def probe(
        self, boot_id: int, address: Address, now: float, *, token: int = 0, again: bool = False
    ) -> SendDatagram:
        """Ask for an answer; with the token of an earlier one, also say who we are.

        Whoever is asked `again` did not answer and may be gone: it is told what concerns itself and no
        rumors. They are told a limited number of times, which half a group that is gone would use up.
        """
        nonce = self._sessions.ask(boot_id, address, now, with_token=bool(token))
        letter = self._letter(LetterKind.PROBE, boot_id, nonce, token)
        if token:
            letter.record = self._own
        writer = LetterWriter(letter, self._body_bytes_max)
        if boot_id:
            self._scribe.write_reply(writer, Reply(), boot_id)
            if not again:
                self._scribe.write_rumors(writer, _NOTHING_TOLD, now)
        return self._post(letter, writer, address)

    def answer(self, boot_id: int, address: Address, nonce: int, reply: Reply, now: float) -> SendDatagram:
        """Answer a member's probe."""
        return self._full(self._letter(LetterKind.ANSWER, boot_id, nonce), address, reply, now)

    def note(self, boot_id: int, address: Address, reply: Reply, now: float) -> SendDatagram:
        """Tell a member something that it did not ask for."""
        return self._full(self._letter(LetterKind.NOTE, boot_id), address, reply, now)

    def challenge(self, boot_id: int, address: Address, nonce: int, now: float) -> list[SendDatagram]:
        """Answer a stranger's probe with who we are and a token; nothing if there are too many strangers."""
        token = self._sessions.challenge(boot_id, now)
        if not token:
            return []
        letter = self._letter(LetterKind.ANSWER, boot_id, nonce, token)
        letter.record = self._own
        return [self._post(letter, LetterWriter(letter, self._body_bytes_max), address)]

    def rest(self, boot_id: int, address: Address, reply: Reply, now: float) -> list[SendDatagram]:
        """Send the records that did not fit into the first letter, up to a bound."""
        records = reply.records
        letters: list[SendDatagram] = []
        while records and len(letters) < self._datagrams_max:
            letters.append(self.note(boot_id, address, Reply(records=records), now))
        return letters

    def _letter(self, kind: LetterKind, to: int, nonce: int = 0, token: int = 0) -> Letter:
        return Letter(kind, to, nonce, token, self._roster.view_hash, self._roster.own_incarnation)

    def _full(self, letter: Letter, address: Address, reply: Reply, now: float) -> SendDatagram:
        writer = LetterWriter(letter, self._body_bytes_max)
        self._scribe.write_reply(writer, reply, letter.to)
        self._scribe.write_rumors(writer, reply.told, now)
        return self._post(letter, writer, address)

    def _post(self, letter: Letter, writer: LetterWriter, address: Address) -> SendDatagram:
        self._counter += 1
        datagram = self.ring.close(self._own.boot_id, self._counter, writer.body())
        self.traffic.sent[_KIND_NAMES[letter.kind]] += 1
        self.traffic.sent_bytes += len(datagram)
        return SendDatagram(address, datagram)
