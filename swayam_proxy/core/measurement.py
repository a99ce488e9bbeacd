"""How well one service keeps its promise: counts of all time and the share of the last minutes.

Knows requests as (good or not), nothing of backends. A request that was refused, or that broke, is not good.
"""

_BIN_S = 10.0
_BINS_COUNT = 30
WINDOW_S = _BIN_S * _BINS_COUNT
"""How far back the share looks."""


class Measurement:
    """Counters of one service, and what they were at the beginning of each of the last ten-second bins."""

    __slots__ = ("_before", "_bin", "_bin_ends", "good_count", "requests_count")

    def __init__(self, now: float) -> None:
        """Begin at `now` with nothing counted."""
        self.requests_count = 0
        self.good_count = 0
        self._before = [(0, 0)] * _BINS_COUNT
        """(requests, good ones) when each bin of the ring began."""
        self._bin = int(now // _BIN_S)
        self._bin_ends = (self._bin + 1) * _BIN_S

    def ended(self, now: float, good: bool) -> None:
        """Count one request that ended at `now`."""
        if now >= self._bin_ends:
            self._turn(int(now // _BIN_S))
        self.requests_count += 1
        if good:
            self.good_count += 1

    def _turn(self, current: int) -> None:
        counts = (self.requests_count, self.good_count)
        for passed in range(max(self._bin, current - _BINS_COUNT) + 1, current + 1):
            self._before[passed % _BINS_COUNT] = counts
        self._bin = current
        self._bin_ends = (current + 1) * _BIN_S

    def share_within(self, now: float) -> float | None:
        """Return the share of good requests in the last `WINDOW_S`; None without any. Alters nothing."""
        oldest = max(int(now // _BIN_S), self._bin) - _BINS_COUNT + 1
        if oldest > self._bin:
            return None
        requests_before, good_before = self._before[oldest % _BINS_COUNT]
        requests_count = self.requests_count - requests_before
        return (self.good_count - good_before) / requests_count if requests_count else None
