"""What those who have just gone brought: the load of a service does not vanish with one of its frontends.

Knows sums and times, no members. Whoever drains or dies leaves its traffic to the others, who count it as
theirs some seconds later. Until then the load is taken to be at least what all together counted when the one
that is gone spoke last; not what is counted now plus what the one brought then, for some of that has moved.
"""

from collections import deque
from collections.abc import Container, Iterable
from typing import NamedTuple

_HISTORY_S = 30.0
"""Longer than it takes to notice a crash, however many members there are."""
_NOTE_S = 0.4
"""Between two entries of the history; a decision comes every second."""
_MEAN_S = 5.0
"""The load at a moment is the mean of so many seconds before: one second's count is noise."""


class Held(NamedTuple):
    """How many are gone but not forgotten, and the rate that there is at least for their sake."""

    gone_count: int
    rate_per_s: float


class Departures:
    """Per service key: what was counted lately, and who went when."""

    def __init__(self, keys: Iterable[int], hold_s: float, gone_max: int) -> None:
        """Hold for `hold_s`, as long as F stays up; remember at most `gone_max` of one service."""
        self._hold_s = hold_s
        history_max = int(_HISTORY_S / _NOTE_S)
        self._history: dict[int, deque[tuple[float, float]]] = {
            key: deque(maxlen=history_max) for key in keys
        }
        self._gone: dict[int, deque[tuple[float, str, float]]] = {key: deque(maxlen=gone_max) for key in keys}

    def note(self, key: int, rate_per_s: float, now: float) -> None:
        """Remember what is counted at this moment, and forget what was held for long enough."""
        history, gone = self._history[key], self._gone[key]
        if not history or now - history[-1][0] >= _NOTE_S:
            history.append((now, rate_per_s))
        while gone and now - gone[0][0] >= self._hold_s:
            gone.popleft()

    def went(self, key: int, name: str, spoke_at: float, now: float) -> None:
        """A member whose last word is from `spoke_at` is not counted any more."""
        rates = [rate for at, rate in self._history[key] if spoke_at - _MEAN_S <= at <= spoke_at]
        self._gone[key].append((now, name, sum(rates) / len(rates) if rates else 0.0))

    def held(self, key: int, counted_names: Container[str], now: float) -> Held:
        """Return what must not be forgotten yet; whoever is counted again has not gone."""
        held = {
            name: rate
            for at, name, rate in self._gone[key]
            if now - at < self._hold_s and name not in counted_names
        }
        return Held(len(held), max(held.values(), default=0.0))
