"""How two members find what one of them missed: hashes of 64 parts of the table, then the parts that differ.

Knows rosters and entries, no datagrams. Rumors reach nearly everyone; this repairs the rest, teaches
newcomers, and costs nothing while views agree, since eight bytes in each letter say so. Whatever the number
of members, a digest is 256 bytes and a listing one datagram.
"""

from collections.abc import Iterable

from swayam_proxy.core.gossip.roster import Roster, bucket_of
from swayam_proxy.core.gossip.wire import ALIVE_BYTES, BOOT_BYTES, BUCKETS_COUNT, AliveEntry, pack_buckets
from swayam_proxy.core.vocabulary import Rng

_LOW_HALF = 0xFFFFFFFF


def buckets_for(roster: Roster) -> bytes:
    """Return the digest of a whole roster."""
    return pack_buckets(roster.bucket_hashes)


def listing_for(
    roster: Roster, their_buckets: tuple[int, ...], room_bytes: int, rng: Rng
) -> tuple[int, list[AliveEntry]] | None:
    """Return what we know of the buckets that differ, as many as fit; None when none differs."""
    room_bytes -= BOOT_BYTES
    bits = 0
    entries: list[AliveEntry] = []
    start = rng.randrange(BUCKETS_COUNT)
    for step in range(BUCKETS_COUNT):
        index = (start + step) % BUCKETS_COUNT
        if roster.bucket_hashes[index] & _LOW_HALF == their_buckets[index]:
            continue
        content = _entries_of(roster, index)
        if bits and len(content) * ALIVE_BYTES > room_bytes:
            break
        content = content[: max(0, room_bytes) // ALIVE_BYTES]  # only far beyond 4,096 members; the rest
        room_bytes -= len(content) * ALIVE_BYTES  # is told again, which wastes a little and harms nothing
        bits |= 1 << index
        entries += content
    return (bits, entries) if bits else None


def missing_from(roster: Roster, bits: int, entries: Iterable[AliveEntry], rng: Rng) -> list[int]:
    """Return the boot ids that we count, this member's own included, and a listing lacks."""
    listed = {boot_id for boot_id, _ in entries}
    missing: list[int] = []
    start = rng.randrange(BUCKETS_COUNT)
    for step in range(BUCKETS_COUNT):
        index = (start + step) % BUCKETS_COUNT
        if bits >> index & 1:
            missing += [boot_id for boot_id, _ in _entries_of(roster, index) if boot_id not in listed]
    return missing


def _entries_of(roster: Roster, index: int) -> list[AliveEntry]:
    entries = [(boot_id, roster.incarnation(boot_id)) for boot_id in roster.bucket(index)]
    if bucket_of(roster.own.boot_id) == index and not roster.own_left:
        entries.append((roster.own.boot_id, roster.own_incarnation))
    return entries
