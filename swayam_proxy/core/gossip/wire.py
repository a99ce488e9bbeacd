"""What members write to each other: the body of a datagram, to bytes and back.

Knows the form and its bounds, not what anything means. Every field is checked on the way in: whatever the
bytes, `read_letter` returns a well-formed `Letter` or raises `WireError("malformed")`, nothing else.

A body is a fixed part, the sender's own record where the receiver may not know it, and sections
(tag, length, content). Unknown tags are skipped, so that new sections can be added within one version.
"""

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from struct import Struct

from swayam_proxy.core.errors import WireError
from swayam_proxy.core.gossip.identity import NAME_BYTES_MAX, Address, Identity

_FIXED = Struct(">BQQQQIB")
_SECTION = Struct(">BH")
_ALIVE = Struct(">QI")
_DOUBT = Struct(">QIBHHH")
_BOOT = Struct(">Q")
_RECORD_HEAD = Struct(">QHB")
_INCARNATION = Struct(">I")
_BUCKETS = Struct(">64I")
_SERVICE = Struct(">Q")
_LOAD = Struct(">QIHffH")
_SUMMARY = Struct(">QQIHQH")

FIXED_BYTES = _FIXED.size
SECTION_BYTES = _SECTION.size
ALIVE_BYTES = _ALIVE.size
DOUBT_BYTES = _DOUBT.size
BOOT_BYTES = _BOOT.size
SERVICE_BYTES = _SERVICE.size
LOAD_BYTES = _LOAD.size
BUCKETS_COUNT = 64
SUMMARY_BYTES_MAX = 512
RATE_PER_S_MAX = 1e9
LOAD_AGE_UNIT_S = 0.02
LOAD_AGE_S_MAX = 0xFFFF * LOAD_AGE_UNIT_S
DOUBT_AGE_UNIT_S = 0.05
DOUBT_AGE_RIPE = 255
"""Instead of an age: the teller has removed the member already."""


class LetterKind(IntEnum):
    """What the sender wants."""

    PROBE = 1
    """An answer, at once."""
    ANSWER = 2
    """To answer a probe."""
    NOTE = 3
    """Nothing."""


class Tag(IntEnum):
    """What a section holds."""

    ALIVE = 1
    DOUBT = 2
    LEFT = 3
    RECORDS = 4
    BUCKETS = 5
    LISTING = 6
    WANTS = 7
    LOADS = 8
    SUMMARIES = 9


AliveEntry = tuple[int, int]
"""boot id, incarnation"""
DoubtEntry = tuple[int, int, int, int, int, int]
"""boot id, incarnation, age in `DOUBT_AGE_UNIT_S`, three accusers (0 = none)"""
LoadEntry = tuple[int, int, int, float, float, int]
"""boot id, version, age in `LOAD_AGE_UNIT_S`, forecast and arrivals per second, prefix"""
SummaryEntry = tuple[int, int, int, int, int, bytes]
"""service key, boot id, version, age, config hash, execution statistics"""


def service_key(service_name: str) -> int:
    """Return the 64 bits that stand for a service's name on the wire."""
    return int.from_bytes(blake2b(service_name.encode(), digest_size=8).digest())


class Letter:
    """One body, read: absent sections are empty, repeated ones are joined."""

    __slots__ = (
        "alive",
        "buckets",
        "doubts",
        "incarnation",
        "kind",
        "left",
        "listing",
        "loads",
        "nonce",
        "record",
        "records",
        "summaries",
        "to",
        "token",
        "view_hash",
        "wants",
    )

    def __init__(self, kind: int, to: int, nonce: int, token: int, view_hash: int, incarnation: int) -> None:
        """Begin with the fixed part.

        `to` is the receiver's boot id, 0 where it is not known. `nonce` names a probe; its answer repeats
        it. `token`, in an answer to a stranger, is what he must repeat in his next probe.
        """
        self.kind = kind
        self.to = to
        self.nonce = nonce
        self.token = token
        self.view_hash = view_hash
        self.incarnation = incarnation
        self.record: Identity | None = None
        self.alive: list[AliveEntry] = []
        self.doubts: list[DoubtEntry] = []
        self.left: list[AliveEntry] = []
        self.records: list[tuple[Identity, int]] = []
        self.buckets: tuple[int, ...] = ()
        self.listing: tuple[int, list[AliveEntry]] | None = None
        self.wants: list[tuple[int]] = []
        self.loads: list[tuple[int, list[LoadEntry]]] = []
        self.summaries: list[SummaryEntry] = []


@lru_cache(maxsize=16_384)
def pack_record(identity: Identity) -> bytes:
    """Return the form that `read_record` reads."""
    host = ip_address(identity.address.host)
    name = identity.name.encode()
    head = _RECORD_HEAD.pack(identity.boot_id, identity.address.port, host.version)
    return head + host.packed + bytes((len(name),)) + name


@lru_cache(maxsize=16_384)
def read_record(raw: bytes) -> Identity:
    """Read one record; the cache spares most of the work, since the same few come again and again."""
    if len(raw) < _RECORD_HEAD.size:
        raise WireError("malformed")
    boot_id, port, version = _RECORD_HEAD.unpack_from(raw)
    if version not in (4, 6):
        raise WireError("malformed")
    name_at = _RECORD_HEAD.size + (4 if version == 4 else 16)
    if len(raw) <= name_at or raw[name_at] != len(raw) - name_at - 1 or raw[name_at] > NAME_BYTES_MAX:
        raise WireError("malformed")
    try:
        host = str(ip_address(raw[_RECORD_HEAD.size : name_at]))
        return Identity(raw[name_at + 1 :].decode(), boot_id, Address(host, port))
    except ValueError as error:
        raise WireError("malformed") from error


def pack_alive(boot_id: int, incarnation: int) -> bytes:
    """Return one entry of an alive or a left section."""
    return _ALIVE.pack(boot_id, incarnation)


def pack_doubt(boot_id: int, incarnation: int, age: int, accusers: tuple[int, ...]) -> bytes:
    """Return one entry of a doubt section."""
    return _DOUBT.pack(boot_id, incarnation, age, *(*accusers, 0, 0, 0)[:3])


def pack_known(identity: Identity, incarnation: int) -> bytes:
    """Return one entry of a records section."""
    record = pack_record(identity)
    return _INCARNATION.pack(incarnation) + bytes((len(record),)) + record


def pack_buckets(hashes: Iterable[int]) -> bytes:
    """Return a buckets section: the low half of each hash."""
    return _BUCKETS.pack(*(value & 0xFFFFFFFF for value in hashes))


def pack_listing(bucket_bits: int, entries: Iterable[AliveEntry]) -> bytes:
    """Return a listing section: all members of the marked buckets."""
    return _BOOT.pack(bucket_bits) + b"".join(_ALIVE.pack(*entry) for entry in entries)


def pack_wants(boot_ids: Iterable[int]) -> bytes:
    """Return a wants section."""
    return b"".join(map(_BOOT.pack, boot_ids))


def pack_load(entry: LoadEntry) -> bytes:
    """Return one entry of a loads section."""
    return _LOAD.pack(*entry)


def pack_service(key: int) -> bytes:
    """Return the head of a loads section."""
    return _SERVICE.pack(key)


def pack_summary(entry: SummaryEntry) -> bytes:
    """Return one entry of a summaries section."""
    key, boot_id, version, age, config_hash, execution = entry
    return _SUMMARY.pack(key, boot_id, version, age, config_hash, len(execution)) + execution


class LetterWriter:
    """A body being written, which knows how much room is left."""

    __slots__ = ("_parts", "room_bytes")

    def __init__(self, letter: Letter, bytes_max: int) -> None:
        """Write the fixed part and the record of `letter`; sections follow by `add`."""
        record = pack_record(letter.record) if letter.record is not None else b""
        fixed = _FIXED.pack(
            letter.kind,
            letter.to,
            letter.nonce,
            letter.token,
            letter.view_hash,
            letter.incarnation,
            len(record),
        )
        self._parts = [fixed, record]
        self.room_bytes = bytes_max - len(fixed) - len(record)

    def add(self, tag: Tag, content: bytes) -> None:
        """Append a section; the caller has seen to it that there is room."""
        assert SECTION_BYTES + len(content) <= self.room_bytes
        self._parts.append(_SECTION.pack(tag, len(content)))
        self._parts.append(content)
        self.room_bytes -= SECTION_BYTES + len(content)

    def body(self) -> bytes:
        """Return all of it."""
        return b"".join(self._parts)


def read_letter(body: bytes) -> Letter:
    """Read one body; `WireError("malformed")` for anything out of form or out of bounds."""
    if len(body) < FIXED_BYTES:
        raise WireError("malformed")
    kind, to, nonce, token, view_hash, incarnation, record_bytes = _FIXED.unpack_from(body)
    if not LetterKind.PROBE <= kind <= LetterKind.NOTE:
        raise WireError("malformed")
    letter = Letter(kind, to, nonce, token, view_hash, incarnation)
    at = FIXED_BYTES + record_bytes
    if at > len(body):
        raise WireError("malformed")
    if record_bytes:
        letter.record = read_record(body[FIXED_BYTES:at])
    while at < len(body):
        if at + SECTION_BYTES > len(body):
            raise WireError("malformed")
        tag, length = _SECTION.unpack_from(body, at)
        at += SECTION_BYTES
        if at + length > len(body):
            raise WireError("malformed")
        _read_section(letter, tag, body[at : at + length])
        at += length
    return letter


def _read_section(letter: Letter, tag: int, content: bytes) -> None:
    match tag:
        case Tag.ALIVE:
            letter.alive += _entries(_ALIVE, content)
        case Tag.DOUBT:
            letter.doubts += _entries(_DOUBT, content)
        case Tag.LEFT:
            letter.left += _entries(_ALIVE, content)
        case Tag.RECORDS:
            letter.records += _read_records(content)
        case Tag.BUCKETS:
            if len(content) != _BUCKETS.size:
                raise WireError("malformed")
            letter.buckets = _BUCKETS.unpack(content)
        case Tag.LISTING:
            if len(content) < BOOT_BYTES:
                raise WireError("malformed")
            letter.listing = _BOOT.unpack_from(content)[0], _entries(_ALIVE, content[BOOT_BYTES:])
        case Tag.WANTS:
            letter.wants += _entries(_BOOT, content)
        case Tag.LOADS:
            letter.loads.append(_read_loads(content))
        case Tag.SUMMARIES:
            letter.summaries += _read_summaries(content)


def _entries(form: Struct, content: bytes) -> list[tuple]:  # type: ignore[type-arg]  # the form decides
    if len(content) % form.size:
        raise WireError("malformed")
    return list(form.iter_unpack(content))


def _read_records(content: bytes) -> list[tuple[Identity, int]]:
    records = []
    at = 0
    while at < len(content):
        record_at = at + _INCARNATION.size + 1
        if record_at > len(content):
            raise WireError("malformed")
        end = record_at + content[record_at - 1]
        if end > len(content):
            raise WireError("malformed")
        records.append((read_record(content[record_at:end]), _INCARNATION.unpack_from(content, at)[0]))
        at = end
    return records


def _read_loads(content: bytes) -> tuple[int, list[LoadEntry]]:
    if len(content) < SERVICE_BYTES:
        raise WireError("malformed")
    entries: list[LoadEntry] = _entries(_LOAD, content[SERVICE_BYTES:])
    for entry in entries:
        if not (0.0 <= entry[3] <= RATE_PER_S_MAX and 0.0 <= entry[4] <= RATE_PER_S_MAX):
            raise WireError("malformed")
    return _SERVICE.unpack_from(content)[0], entries


def _read_summaries(content: bytes) -> list[SummaryEntry]:
    summaries = []
    at = 0
    while at < len(content):
        execution_at = at + _SUMMARY.size
        if execution_at > len(content):
            raise WireError("malformed")
        *head, length = _SUMMARY.unpack_from(content, at)
        at = execution_at + length
        if length > SUMMARY_BYTES_MAX or at > len(content):
            raise WireError("malformed")
        summaries.append((*head, content[execution_at:at]))
    return summaries
