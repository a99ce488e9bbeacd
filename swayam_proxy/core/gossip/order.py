"""Whom to probe next: everyone once per cycle, in an order that is new in each.

Knows boot ids only. Against choosing at random each time: no member waits longer than two cycles. The
shuffle is done one step at a time, so thousands of members cost no more per probe than eight.
"""

from collections.abc import Container

from swayam_proxy.core.vocabulary import Rng


class ProbeOrder:
    """A cycle over members that come and go."""

    __slots__ = ("_boot_ids", "_leftover", "_next_index", "_rng")

    def __init__(self, rng: Rng) -> None:
        """Begin empty."""
        self._rng = rng
        self._boot_ids: list[int] = []
        self._next_index = 0
        self._leftover: set[int] = set()  # removed, but still in the list

    def add(self, boot_id: int) -> None:
        """Probe this member too; its turn comes within this cycle."""
        if boot_id in self._leftover:
            self._leftover.discard(boot_id)
        else:
            self._boot_ids.append(boot_id)

    def remove(self, boot_id: int) -> None:
        """Skip this member from here on."""
        self._leftover.add(boot_id)

    def next(self, busy: Container[int] = ()) -> int | None:
        """Return whose turn it is, None when there is nobody; those in `busy` lose their turn."""
        for _ in range(len(self._boot_ids)):
            boot_id = self._step()
            if boot_id is None:
                return None
            if boot_id not in busy:
                return boot_id
        return None

    def _step(self) -> int | None:
        boot_ids = self._boot_ids
        while boot_ids:
            if self._next_index >= len(boot_ids):
                self._next_index = 0
            chosen = self._next_index + self._rng.randrange(len(boot_ids) - self._next_index)
            boot_id = boot_ids[chosen]
            if boot_id in self._leftover:
                self._leftover.discard(boot_id)
                boot_ids[chosen] = boot_ids[-1]
                boot_ids.pop()
                continue
            boot_ids[chosen] = boot_ids[self._next_index]
            boot_ids[self._next_index] = boot_id
            self._next_index += 1
            return boot_id
        return None
