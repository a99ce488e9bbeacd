"""What every baseline sees and answers: gauges second by second in, a wanted number of backends out.

An autoscaler is asked once a second at most, which is finer than any of them acts. Knows nothing of dispatch.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

_SECONDS_KEPT = 3600


@dataclass(frozen=True, slots=True)
class Service:
    """What a user would tell an autoscaler of the service."""

    execution_mean_s: float
    response_time_s: float
    level: float
    slots: int
    setup_s: float
    backends_max: int


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the service as a metrics system would see it."""

    in_flight_mean: float
    """Requests in the system, queued ones included, averaged over the second."""
    running_mean: float
    arrivals_count: int
    answers_count: int
    response_sum_s: float
    highest_used: int
    """The highest index that a request was given to; 0 for none."""


class Gauges:
    """The last hour, second by second, and how things stand now."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.seconds: deque[Second] = deque(maxlen=_SECONDS_KEPT)
        self.now = 0.0
        self.in_flight_count = 0
        self.ready_count = 0
        self.wanted_count = 0

    def last(self, window_s: int, lag_s: int = 0) -> list[Second]:
        """Return the seconds of the window that ended `lag_s` ago; fewer while young."""
        end = len(self.seconds) - lag_s
        return [self.seconds[place] for place in range(max(0, end - window_s), max(0, end))]

    def in_flight_mean(self, window_s: int, lag_s: int = 0) -> float:
        """Mean requests in the system over the window."""
        return _mean([second.in_flight_mean for second in self.last(window_s, lag_s)])

    def rate_per_s(self, window_s: int) -> float:
        """Mean arrivals per second over the window."""
        return _mean([float(second.arrivals_count) for second in self.last(window_s)])

    def response_mean_s(self, window_s: int) -> float:
        """Mean response time of the answers of the window; 0 without any."""
        seconds = self.last(window_s)
        answers = sum(second.answers_count for second in seconds)
        return sum(second.response_sum_s for second in seconds) / answers if answers else 0.0


class Autoscaler(Protocol):
    """One policy."""

    def wanted(self, gauges: Gauges) -> int:
        """Return how many backends there should be; asked once a second."""


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


class LargestOf:
    """The largest value of the last `window_s` seconds: how most autoscalers hold back from scaling in."""

    __slots__ = ("_seen", "window_s")

    def __init__(self, window_s: float) -> None:
        """Begin with nothing seen; a window of 0 returns each value as it comes."""
        self.window_s = window_s
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, now: float, value: int) -> int:
        """Take in a value; return the largest within the window."""
        seen = self._seen
        while seen and (seen[-1][1] <= value or self.window_s == 0.0):
            seen.pop()
        seen.append((now, value))
        while seen[0][0] < now - self.window_s:
            seen.popleft()
        return seen[0][1]
