"""Who a member is: a name that lasts, a boot that does not, and where it listens.

Knows nothing of liveness. A boot id is 64 random bits, drawn anew by every start of a process, so that a
restarted member is never mistaken for its former self and no clock is needed to tell them apart.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

NAME_BYTES_MAX = 64
BOOT_ID_MAX = (1 << 64) - 1


class Address(NamedTuple):
    """Where datagrams go: an IP address in its canonical text form, and a UDP port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Identity:
    """One boot of one member; never changes while that boot lasts."""

    name: str
    boot_id: int
    address: Address

    def __post_init__(self) -> None:
        """Refuse what the wire could not carry, since it would be lost silently there."""
        if not 1 <= len(self.name.encode()) <= NAME_BYTES_MAX:
            raise ValueError(f"a member's name has 1 to {NAME_BYTES_MAX} bytes, not {self.name!r}")
        if not 1 <= self.boot_id <= BOOT_ID_MAX:
            raise ValueError("a boot id is a positive 64-bit number")
        if not 1 <= self.address.port <= 65535:
            raise ValueError(f"a member's port is 1 to 65535, not {self.address.port}")
        if str(ip_address(self.address.host)) != self.address.host:
            raise ValueError(f"a member's address is a canonical IP address, not {self.address.host!r}")


def accuser_id(boot_id: int) -> int:
    """Return 1 to 65535: enough of a boot id to tell the few accusers of one member apart."""
    return (boot_id & 0xFFFF) or 1
