"""How well one service keeps its promise: counts of all time and the share of the last minutes.

Knows requests as (good or not), nothing of backends. A request that was refused, or that broke, is not good.
"""

_BIN_S = 10.0
_BINS_COUNT = 30
WINDOW_S = _BIN_S * _BINS_COUNT
"""How far back the share looks."""


class Measurement:
    """Counters of one service, with a ring of ten-second bins for the recent share."""

    __slots__ = ("_bin", "_good", "_total", "good_count", "requests_count")

    def __init__(self, now: float) -> None:
        """Begin at `now` with nothing counted."""
        self.requests_count = 0
        self.good_count = 0
        self._bin = int(now // _BIN_S)
        self._total = [0] * _BINS_COUNT
        self._good = [0] * _BINS_COUNT

    def ended(self, now: float, *, good: bool) -> None:
        """Count one request that ended at `now`."""
        current = int(now // _BIN_S)
        if current != self._bin:
            self._turn(current)
        slot = current % _BINS_COUNT
        self.requests_count += 1
        self._total[slot] += 1
        if good:
            self.good_count += 1
            self._good[slot] += 1

    def _turn(self, current: int) -> None:
        for passed in range(max(self._bin, current - _BINS_COUNT) + 1, current + 1):
            self._total[passed % _BINS_COUNT] = 0
            self._good[passed % _BINS_COUNT] = 0
        self._bin = max(current, self._bin)

    def share_within(self, now: float) -> float | None:
        """Return the share of good requests in the last `WINDOW_S`; None without any. Alters nothing."""
        current = int(now // _BIN_S)
        kept = range(max(current - _BINS_COUNT, self._bin - _BINS_COUNT) + 1, self._bin + 1)
        total = sum(self._total[b % _BINS_COUNT] for b in kept)
        if total == 0:
            return None
        return sum(self._good[b % _BINS_COUNT] for b in kept) / total
