"""When to knock at the addresses that were configured: quickly while alone, now and then for ever after.

Knows addresses, not how names become addresses: `live` resolves them again and again and hands in the
result. A seed that a known member answered for is left alone as long as that member is counted.
"""

from collections.abc import Callable, Sequence

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.identity import Address

_ALONE_FIRST_S = 0.05
_ALONE_GROWTH = 1.2
"""Of the pause between two knocks while alone: seven in the first half second, so that even with a third of
all datagrams lost, and four needed to come in, hardly any newcomer takes longer (doubling: one in thirty)."""
_ADDRESSES_MAX = 1024
_ALONE_COUNT = 4
"""Seeds asked at once by a member that knows nobody."""


class Seeds:
    """The addresses at which other members may be found."""

    def __init__(self, own: Address, config: GossipConfig) -> None:
        """Begin without any."""
        self._own = own
        self._config = config
        self._addresses: tuple[Address, ...] = ()
        self._owners: dict[Address, int] = {}
        self._next_index = 0
        self._due_s = 0.0
        self._alone_wait_s = _ALONE_FIRST_S

    def replace(self, addresses: Sequence[Address], at_s: float) -> None:
        """Take the result of a new resolution; new addresses are asked at once."""
        fresh = tuple(dict.fromkeys(a for a in addresses if a != self._own))[:_ADDRESSES_MAX]
        if not set(fresh) <= set(self._addresses):
            self._due_s = at_s
            self._alone_wait_s = _ALONE_FIRST_S
        self._addresses = fresh
        self._owners = {a: owner for a, owner in self._owners.items() if a in fresh}

    def answered(self, address: Address, boot_id: int) -> None:
        """Note that this boot lives at a seed's address (our own does, when we asked ourselves)."""
        if address in self._addresses:
            self._owners[address] = boot_id

    def due_s(self) -> float:
        """Return when `ask` wants to be called."""
        return self._due_s if self._addresses else float("inf")

    def ask(self, at_s: float, *, alone: bool, counted: Callable[[int], bool]) -> list[Address]:
        """Return the addresses to probe now."""
        if at_s < self._due_s or not self._addresses:
            return []
        if alone:
            self._due_s = at_s + self._alone_wait_s
            self._alone_wait_s = min(self._config.seed_probe_s, self._alone_wait_s * _ALONE_GROWTH)
        else:
            self._due_s = at_s + self._config.seed_probe_s
            self._alone_wait_s = _ALONE_FIRST_S
        return self._unowned(_ALONE_COUNT if alone else 1, counted)

    def _unowned(self, count_max: int, counted: Callable[[int], bool]) -> list[Address]:
        chosen: list[Address] = []
        for _ in range(len(self._addresses)):
            self._next_index = (self._next_index + 1) % len(self._addresses)
            address = self._addresses[self._next_index]
            owner = self._owners.get(address)
            if owner is None or not counted(owner):
                chosen.append(address)
                if len(chosen) == count_max:
                    break
        return chosen
