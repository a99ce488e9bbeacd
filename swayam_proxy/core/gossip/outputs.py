"""What the membership asks for and tells: datagrams to send, and facts for logs.

Plain data; performing it is the driver's matter.
"""

from dataclasses import dataclass
from enum import StrEnum

from swayam_proxy.core.gossip.identity import Address, Identity


class RemovalReason(StrEnum):
    """Why a member is no longer counted."""

    LEFT = "left"
    """It said so."""
    LOST = "lost"
    """Several members found it silent, and it did not object."""


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """These bytes shall go to this address; whether they arrive is nobody's promise."""

    address: Address
    datagram: bytes


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """A member is counted from here on, for the first time or again."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """A member is not counted from here on."""

    identity: Identity
    reason: RemovalReason


GossipOutput = SendDatagram | MemberJoined | MemberRemoved
