"""One ordered list per service over the machines of a pool, the same wherever it is made.

Every pair of a service and a machine draws a number from a hash; a service's list is its machines in the
order of these numbers. So all frontends have the same list without talking; the lists of many services begin
at different machines; and a machine that comes or goes takes its own place in each list and moves no other.

Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998), call it highest random
weight. A machine with room for more services comes first more often, in proportion: each draws an exponential
time whose rate is its weight, and the first one wins.
"""

from collections.abc import Mapping
from hashlib import blake2b
from math import log

_BITS = 64


def ordered(service_name: str, machines: Mapping[str, float]) -> list[str]:
    """Return the addresses of `machines` (address to weight, above 0) in the order of one service.

    Depends on nothing but the arguments: neither on their order nor on the process.
    """
    return sorted(machines, key=lambda address: (_draw(service_name, address) / machines[address], address))


def _draw(service_name: str, address: str) -> float:
    """Return an exponential time with mean 1 that belongs to this pair alone."""
    digest = blake2b(f"{service_name}\n{address}".encode(), digest_size=_BITS // 8, person=b"swayam-pool")
    share = (int.from_bytes(digest.digest(), "big") + 1) / (1 << _BITS)
    return -log(share)
