"""How many second attempts may be made: a share of the first ones, so that no outage is multiplied."""

_WINDOW_S = 10.0
_CONSTANT_COUNT = 10.0
"""Retries that are always possible within the window, so that a quiet service can retry at all."""


class RetryBudget:
    """A token bucket that every first attempt fills by `ratio` and every retry empties by one."""

    __slots__ = ("_at", "_cap", "_ratio", "_tokens", "attempted_count")

    def __init__(self, ratio: float, now: float) -> None:
        """Begin full."""
        self._ratio = ratio
        self._cap = _CONSTANT_COUNT * (1.0 + ratio * 10.0)
        self._tokens = _CONSTANT_COUNT
        self._at = now
        self.attempted_count = 0
        """First attempts since the last retry; whoever makes one counts it here, which costs less than a
        call."""

    def take(self, now: float) -> bool:
        """Spend one retry; False when there is none left."""
        refill = max(0.0, now - self._at) * _CONSTANT_COUNT / _WINDOW_S + self.attempted_count * self._ratio
        self._tokens = min(self._cap, self._tokens + refill)
        self._at = now
        self.attempted_count = 0
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
