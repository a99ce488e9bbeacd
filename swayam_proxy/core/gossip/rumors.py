"""What is worth passing on, least often told first.

Knows only keys and how often each was told; what a key means, and how it is written, is the caller's
matter. A rumor is dropped after a number of tellings that grows with the logarithm of the members, which
reaches nearly all; the digest repairs the rest.
"""

from collections.abc import Callable, Container
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Rumors(Generic[Key]):
    """Keys in the order of how often they were told; all operations take constant time per key."""

    __slots__ = ("_levels", "_told_count")

    def __init__(self) -> None:
        """Begin with nothing to tell."""
        self._told_count: dict[Key, int] = {}
        self._levels: list[dict[Key, None]] = [{}]

    def __len__(self) -> int:
        return len(self._told_count)

    def add(self, key: Key) -> None:
        """Something new is known of `key`: tell it from the beginning."""
        self.discard(key)
        self._told_count[key] = 0
        self._levels[0][key] = None

    def discard(self, key: Key) -> None:
        """Tell no more of `key`."""
        told_count = self._told_count.pop(key, None)
        if told_count is not None:
            del self._levels[told_count][key]

    def take(
        self,
        room_bytes: int,
        tellings_max: int,
        pack: Callable[[Key], bytes | None],
        skip: Container[Key] = (),
    ) -> tuple[list[tuple[Key, bytes]], int]:
        """Fill at most `room_bytes` with what `pack` makes of the least told keys.

        A key that packs to None is dropped; one in `skip` (whoever it is told to, knows it) keeps its
        place. Returns the packed keys and the bytes that are left.
        """
        taken: list[tuple[Key, bytes]] = []
        if not self._told_count:
            return taken, room_bytes
        dead: list[Key] = []
        for level in self._levels:
            for key in level:
                if key in skip:
                    continue
                packed = pack(key)
                if packed is None:
                    dead.append(key)
                    continue
                if len(packed) > room_bytes:
                    break
                room_bytes -= len(packed)
                taken.append((key, packed))
            else:
                continue
            break
        for key in dead:
            self.discard(key)
        for key, _ in taken:
            self._promote(key, tellings_max)
        return taken, room_bytes

    def _promote(self, key: Key, tellings_max: int) -> None:
        told_count = self._told_count[key]
        del self._levels[told_count][key]
        told_count += 1
        if told_count >= tellings_max:
            del self._told_count[key]
            return
        if told_count == len(self._levels):
            self._levels.append({})
        self._levels[told_count][key] = None
        self._told_count[key] = told_count
