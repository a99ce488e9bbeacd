"""What goes into a letter: answers first, then what is worth passing on, then forecasts, as far as it fits.

Knows what this member knows and how to write it; whom to write to, and when, is the membership's matter.
"""

from collections.abc import Container
from dataclasses import dataclass, field

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.detector import AwakeClock
from swayam_proxy.core.gossip.loads import LoadBook
from swayam_proxy.core.gossip.outputs import RemovalReason
from swayam_proxy.core.gossip.roster import Roster
from swayam_proxy.core.gossip.rumors import Rumors
from swayam_proxy.core.gossip.wire import (
    DOUBT_AGE_RIPE,
    DOUBT_AGE_UNIT_S,
    SECTION_BYTES,
    SERVICE_BYTES,
    LetterWriter,
    Tag,
    pack_alive,
    pack_doubt,
    pack_known,
    pack_load,
    pack_service,
    pack_summary,
    pack_wants,
)

_WANTS_MAX = 64
_CORRECTIONS_MAX = 64
LoadKey = tuple[int, int]
"""service key, boot id"""


@dataclass(slots=True)
class Reply:
    """What a letter that was read calls for."""

    corrections: list[int] = field(default_factory=list)
    """Boot ids of which the writer does not know the newest."""
    wants: list[int] = field(default_factory=list)
    """Boot ids whose records we lack."""
    records: list[int] = field(default_factory=list)
    """Boot ids whose records the writer lacks."""
    sections: list[tuple[Tag, bytes]] = field(default_factory=list)
    suspects: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    """Members that the writer has removed, with their accusers: to be examined."""
    told: set[int] = field(default_factory=set)
    """Boot ids of which the writer told us the newest."""

    def calls_for_letter(self) -> bool:
        """Return whether the writer should hear from us even if he did not ask."""
        return bool(self.corrections or self.wants or self.records or self.sections)


class Scribe:
    """The rumors under way, and the hand that writes them down."""

    def __init__(self, roster: Roster, loads: LoadBook, clock: AwakeClock, config: GossipConfig) -> None:
        """Begin with nothing to tell."""
        self.states: Rumors[int] = Rumors()
        """Boot ids whose liveness changed."""
        self.newcomers: Rumors[int] = Rumors()
        """Boot ids whose whole record is to be told."""
        self.loads: Rumors[LoadKey] = Rumors()
        self.summaries: Rumors[LoadKey] = Rumors()
        self._roster = roster
        self._book = loads
        self._clock = clock
        self._config = config

    def rumors_count(self) -> int:
        """Return how many things are being passed on."""
        return len(self.states) + len(self.newcomers) + len(self.loads) + len(self.summaries)

    def write_reply(self, writer: LetterWriter, reply: Reply, to: int) -> None:
        """Write what `reply` calls for; records that do not fit stay in it."""
        corrections = reply.corrections[:_CORRECTIONS_MAX]
        if to in self._roster.doubts or to in self._roster.tombstones:
            corrections.append(to)
        room_bytes = writer.room_bytes - len(Tag) * SECTION_BYTES
        entries: list[tuple[Tag, bytes]] = []
        for boot_id in dict.fromkeys(corrections):
            entry = self._state_entry(boot_id)
            if entry is not None and len(entry[1]) <= room_bytes:
                entries.append(entry)
                room_bytes -= len(entry[1])
        while reply.records:
            record = self._record_of(reply.records[-1])
            if record is not None and len(record) > room_bytes:
                break
            reply.records.pop()
            if record is not None:
                entries.append((Tag.RECORDS, record))
                room_bytes -= len(record)
        _write_sections(writer, entries)
        for tag, content in reply.sections:
            if SECTION_BYTES + len(content) <= writer.room_bytes:
                writer.add(tag, content)
        wants = pack_wants(reply.wants[:_WANTS_MAX])
        if wants and SECTION_BYTES + len(wants) <= writer.room_bytes:
            writer.add(Tag.WANTS, wants)

    def write_rumors(self, writer: LetterWriter, told: Container[int], now: float) -> None:
        """Fill the letter with what its reader may not know."""
        tellings_max = self._config.retransmissions_for(self._roster.count)
        if self.states:
            self._write_states(writer, told, tellings_max)
        if self.newcomers:
            taken, _ = self.newcomers.take(
                writer.room_bytes - SECTION_BYTES, tellings_max, self._record_of, told
            )
            _write_sections(writer, [(Tag.RECORDS, packed) for _, packed in taken])
        if self.loads:
            self._write_loads(writer, self._config.load_retransmissions_for(self._roster.count), now)
        if self.summaries:
            self._write_summaries(writer, self._config.load_retransmissions_for(self._roster.count), now)

    def _write_states(self, writer: LetterWriter, told: Container[int], tellings_max: int) -> None:
        tags: dict[int, Tag] = {}

        def pack(boot_id: int) -> bytes | None:
            entry = self._state_entry(boot_id)
            if entry is None:
                return None
            tags[boot_id] = entry[0]
            return entry[1]

        room_bytes = writer.room_bytes - 3 * SECTION_BYTES
        taken, _ = self.states.take(room_bytes, tellings_max, pack, told)
        _write_sections(writer, [(tags[boot_id], packed) for boot_id, packed in taken])

    def _write_loads(self, writer: LetterWriter, tellings_max: int, now: float) -> None:
        head_bytes = SECTION_BYTES + SERVICE_BYTES
        begun: set[int] = set()

        def pack(load_key: LoadKey) -> bytes | None:
            entry = self._book.load_entry(*load_key, now)
            if entry is None:
                return None
            padding = b"" if load_key[0] in begun else bytes(head_bytes)  # room for the section's head
            begun.add(load_key[0])
            return padding + pack_load(entry)

        taken, _ = self.loads.take(writer.room_bytes, tellings_max, pack)
        by_service: dict[int, list[bytes]] = {}
        for (key, _), packed in taken:
            if key in by_service:
                by_service[key].append(packed)
            else:
                by_service[key] = [pack_service(key), packed[head_bytes:]]
        for parts in by_service.values():
            writer.add(Tag.LOADS, b"".join(parts))

    def _write_summaries(self, writer: LetterWriter, tellings_max: int, now: float) -> None:
        def pack(load_key: LoadKey) -> bytes | None:
            entry = self._book.summary_entry(*load_key, now)
            return None if entry is None else pack_summary(entry)

        taken, _ = self.summaries.take(writer.room_bytes - SECTION_BYTES, tellings_max, pack)
        _write_sections(writer, [(Tag.SUMMARIES, packed) for _, packed in taken])

    def _state_entry(self, boot_id: int) -> tuple[Tag, bytes] | None:
        roster = self._roster
        if boot_id == roster.own.boot_id:
            tag = Tag.LEFT if roster.own_left else Tag.ALIVE
            return tag, pack_alive(boot_id, roster.own_incarnation)
        if boot_id in roster:
            doubt = roster.doubts.get(boot_id)
            if doubt is None:
                return Tag.ALIVE, pack_alive(boot_id, roster.incarnation(boot_id))
            age = self._age_of(doubt.born_s)
            return Tag.DOUBT, pack_doubt(boot_id, doubt.incarnation, age, doubt.accusers)
        tombstone = roster.tombstones.get(boot_id)
        if tombstone is None:
            return None
        if tombstone.reason is RemovalReason.LEFT:
            return Tag.LEFT, pack_alive(boot_id, tombstone.incarnation)
        # who missed the doubt may still take it from us; later he has to look for himself, since by then
        # the member may be well on his side of a partition
        recent_s = 2 * self._config.window_for_s(self._roster.count)
        recent = self._clock.now_s - tombstone.removed_s < recent_s
        age = self._age_of(tombstone.born_s) if recent else DOUBT_AGE_RIPE
        return Tag.DOUBT, pack_doubt(boot_id, tombstone.incarnation, age, tombstone.accusers)

    def _age_of(self, born_s: float) -> int:
        return min(DOUBT_AGE_RIPE - 1, int((self._clock.now_s - born_s) / DOUBT_AGE_UNIT_S))

    def _record_of(self, boot_id: int) -> bytes | None:
        roster = self._roster
        if boot_id == roster.own.boot_id:
            return None if roster.own_left else pack_known(roster.own, roster.own_incarnation)
        identity = roster.get(boot_id)
        return None if identity is None else pack_known(identity, roster.incarnation(boot_id))


def _write_sections(writer: LetterWriter, entries: list[tuple[Tag, bytes]]) -> None:
    by_tag: dict[Tag, list[bytes]] = {}
    for tag, packed in entries:
        by_tag.setdefault(tag, []).append(packed)
    for tag, parts in by_tag.items():
        writer.add(tag, b"".join(parts))
