"""Which datagrams of one sender were seen before: a sliding window over its counter.

Knows nothing of keys or members. A sender numbers all its datagrams, to whomever they go, from 1; so a
receiver sees gaps, which are not losses. What is older than the window is refused, since it cannot be told
from a replay.
"""

WINDOW_COUNT = 128
"""Datagrams of one sender that may overtake each other: four seconds of its usual traffic."""
_MASK = (1 << WINDOW_COUNT) - 1


class ReplayWindow:
    """The highest counter seen from one boot, which of the `WINDOW_COUNT` before it were seen, and when."""

    __slots__ = ("_seen_bits", "heard_at", "highest")

    def __init__(self, counter: int, now: float) -> None:
        """Begin with one datagram that is known to be fresh."""
        self.highest = counter
        self.heard_at = now
        self._seen_bits = 1

    def accept(self, counter: int, now: float) -> bool:
        """Return True, once, for a counter that is new."""
        ahead = counter - self.highest
        if ahead > 0:
            self.highest = counter
            self.heard_at = now
            self._seen_bits = ((self._seen_bits << ahead) & _MASK) | 1 if ahead < WINDOW_COUNT else 1
            return True
        if -ahead >= WINDOW_COUNT:
            return False
        bit = 1 << -ahead
        if self._seen_bits & bit:
            return False
        self._seen_bits |= bit
        return True
