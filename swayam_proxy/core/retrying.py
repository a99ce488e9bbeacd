"""How many second attempts may be made: a share of the first ones, so that no outage is multiplied."""

_WINDOW_S = 10.0
_CONSTANT_COUNT = 10.0
"""Retries that are always possible within the window, so that a quiet service can retry at all."""


class RetryBudget:
    """A token bucket that every first attempt fills by `ratio` and every retry empties by one."""

    __slots__ = ("_at", "_cap", "_ratio", "_tokens")

    def __init__(self, ratio: float, now: float) -> None:
        """Begin full."""
        self._ratio = ratio
        self._cap = _CONSTANT_COUNT * (1.0 + ratio * 10.0)
        self._tokens = _CONSTANT_COUNT
        self._at = now

    def attempted(self) -> None:
        """Take note of a first attempt."""
        tokens = self._tokens + self._ratio
        self._tokens = tokens if tokens < self._cap else self._cap

    def take(self, now: float) -> bool:
        """Spend one retry; False when there is none left."""
        refill = (now - self._at) * _CONSTANT_COUNT / _WINDOW_S
        self._tokens = min(self._cap, self._tokens + max(0.0, refill))
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
