"""Who may speak: the key ring, and the envelope around every datagram.

Knows neither letters nor members. An envelope is a header in clear (magic, version, cluster and key labels,
the sender's boot id and counter) and a sealed body. Checks run cheapest first, so that junk costs little:
length, magic, labels, then one HMAC over everything.

Keys change without losing anyone: add the new one everywhere (all are accepted), make it first everywhere
(the first one seals), then drop the old one.
"""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest, digest
from struct import Struct
from typing import NamedTuple, Protocol

from swayam_proxy.core.errors import WireError

MAGIC = b"Sw\x01"
"""Two letters and the version of everything that follows."""
HEADER = Struct(">3s2s2sQ6s")
HEADER_BYTES = HEADER.size
TAG_BYTES = 16
KEYS_MAX = 8
SECRET_BYTES_MIN = 16
COUNTER_MAX = (1 << 48) - 1


class Seal(Protocol):
    """One way to protect bodies with one key; `live` may hand in an encrypting one.

    `boot_id` and `counter` never repeat together under one key, so they can make a nonce.
    """

    @property
    def label(self) -> bytes:
        """Two bytes by which receivers find the key."""

    def seal(self, boot_id: int, counter: int, header: bytes, body: bytes) -> bytes:
        """Return the sealed body, at most `TAG_BYTES` longer than `body`."""

    def open(self, boot_id: int, counter: int, header: bytes, sealed: bytes) -> bytes | None:
        """Return the body, or None when header or body are not what was sealed."""


class HmacSeal:
    """HMAC-SHA-256, cut to 128 bits, behind a body in clear; the key is bound to the cluster's name."""

    __slots__ = ("_key", "_label")

    def __init__(self, secret: bytes, cluster: str) -> None:
        """Derive the working key; the secret itself is not kept."""
        self._key = digest(secret, b"swayam gossip 1 hmac " + cluster.encode(), "sha256")
        self._label = sha256(self._key + b" label").digest()[:2]

    @property
    def label(self) -> bytes:
        """Two bytes by which receivers find the key."""
        return self._label

    def seal(self, boot_id: int, counter: int, header: bytes, body: bytes) -> bytes:  # noqa: ARG002
        """Append the tag of header and body."""
        return body + digest(self._key, header + body, "sha256")[:TAG_BYTES]

    def open(self, boot_id: int, counter: int, header: bytes, sealed: bytes) -> bytes | None:  # noqa: ARG002
        """Check the tag in constant time and cut it off."""
        body = sealed[:-TAG_BYTES]
        tag = digest(self._key, header + body, "sha256")[:TAG_BYTES]
        return body if compare_digest(tag, sealed[-TAG_BYTES:]) else None


class KeyRing:
    """The keys of one cluster: the first seals, every one opens."""

    __slots__ = ("_by_label", "_first", "authenticated", "cluster_label")

    def __init__(self, seals: Sequence[Seal], cluster: str, *, authenticated: bool = True) -> None:
        """Refuse an empty ring, too many keys, and two keys that receivers could not tell apart."""
        if not 1 <= len(seals) <= KEYS_MAX:
            raise ValueError(f"a key ring has 1 to {KEYS_MAX} keys, not {len(seals)}")
        self.cluster_label = sha256(b"swayam cluster " + cluster.encode()).digest()[:2]
        self.authenticated = authenticated
        self._first = seals[0]
        self._by_label = {self.cluster_label + seal.label: seal for seal in seals}
        if len(self._by_label) != len(seals):
            raise ValueError("two gossip keys have the same label: one is there twice, or make a new one")

    @classmethod
    def of_secrets(cls, secrets: Sequence[bytes], cluster: str) -> "KeyRing":
        """Make a ring of HMAC keys, the one that seals first."""
        if any(len(secret) < SECRET_BYTES_MIN for secret in secrets):
            raise ValueError(f"a gossip key has at least {SECRET_BYTES_MIN} bytes")
        return cls([HmacSeal(secret, cluster) for secret in secrets], cluster)

    @classmethod
    def without_secret(cls, cluster: str) -> "KeyRing":
        """Make a ring that finds accidents but stops no attacker: for loopback only."""
        return cls([HmacSeal(b"no secret", cluster)], cluster, authenticated=False)

    def labels(self) -> list[str]:
        """Return what names each key on the wire, the sealing one first; no secret can be guessed from it."""
        first = self._first.label.hex()
        return [
            first,
            *sorted(seal.label.hex() for seal in self._by_label.values() if seal is not self._first),
        ]

    def close(self, boot_id: int, counter: int, body: bytes) -> bytes:
        """Return the datagram that carries `body`."""
        first = self._first
        header = HEADER.pack(MAGIC, self.cluster_label, first.label, boot_id, counter.to_bytes(6))
        return header + first.seal(boot_id, counter, header, body)

    def seal_for(self, datagram: bytes) -> Seal:
        """Return the key that a datagram names; `WireError` when it names none of ours."""
        seal = self._by_label.get(datagram[3:7])
        if seal is None:
            raise WireError("key" if datagram[3:5] == self.cluster_label else "cluster")
        return seal


class Envelope(NamedTuple):
    """An opened datagram: surely sealed by a holder of one of our keys, though perhaps long ago."""

    boot_id: int
    counter: int
    body: bytes


def open_envelope(datagram: bytes, ring: KeyRing, bytes_max: int) -> Envelope:
    """Check and open one datagram; `WireError` says what is wrong with it."""
    if not HEADER_BYTES + TAG_BYTES < len(datagram) <= bytes_max:
        raise WireError("length")
    if datagram[:3] != MAGIC:
        raise WireError("version" if datagram[:2] == MAGIC[:2] else "magic")
    seal = ring.seal_for(datagram)
    header = datagram[:HEADER_BYTES]
    _, _, _, boot_id, counter_bytes = HEADER.unpack(header)
    counter = int.from_bytes(counter_bytes)
    body = seal.open(boot_id, counter, header, datagram[HEADER_BYTES:])
    if body is None:
        raise WireError("seal")
    if boot_id == 0:
        raise WireError("malformed")
    return Envelope(boot_id, counter, body)
