"""Virtual time: a heap of what happens next, merged with the sorted arrivals. Knows nothing of what happens.

Lean on purpose, since it runs a few times per request: one tuple per event, ordered by (time, sequence), so
that ties are settled by who asked first and never by what the action is; arrivals are read from their array
and never enter the heap.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from swayam_proxy.sim.workload import Floats

Action = Callable[[Any, Any], None]
Entry = tuple[float, int, Action, Any, Any]
Progress = Callable[[int], None]
"""Called now and then with the number of arrivals played."""

_CHUNK = 20_000


class Engine:
    """One run's clock and agenda."""

    __slots__ = ("_heap", "_sequence", "now")

    def __init__(self) -> None:
        """Begin at time 0 with an empty agenda."""
        self.now = 0.0
        self._heap: list[Entry] = []
        self._sequence = 0

    def call_at(self, when: float, action: Action, first: Any = None, second: Any = None) -> None:
        """Have `action(first, second)` done at `when`; a time that has passed means next."""
        self._sequence += 1
        heappush(self._heap, (when, self._sequence, action, first, second))

    def replace(self, change: Callable[[Entry], tuple[float, Action, Any, Any] | None]) -> None:
        """Let `change` look at every entry: None keeps it, else (when, action, first, second) takes its
        place.

        For rare events such as a crash: it costs as much as the agenda is long.
        """
        kept: list[Entry] = []
        for entry in sorted(self._heap, key=_time_and_sequence):
            changed = change(entry)
            if changed is None:
                kept.append(entry)
            else:
                self._sequence += 1
                when, action, first, second = changed
                kept.append((when, self._sequence, action, first, second))
        self._heap[:] = kept
        heapify(self._heap)

    def run_arrivals(
        self,
        arrivals_s: Floats,
        on_arrival: Callable[[int], None],
        on_chunk: Progress | None = None,
    ) -> None:
        """Play all arrivals and whatever is due before the last of them; events come before arrivals at a
        tie.

        `on_arrival` gets the request's position, `on_chunk` now and then the number of arrivals played.
        """
        heap = self._heap
        index = 0
        for first in range(0, arrivals_s.size, _CHUNK):
            for when in arrivals_s[first : first + _CHUNK].tolist():
                while heap and heap[0][0] <= when:
                    entry = heappop(heap)
                    if entry[0] > self.now:
                        self.now = entry[0]
                    entry[2](entry[3], entry[4])
                self.now = when
                on_arrival(index)
                index += 1
            if on_chunk is not None:
                on_chunk(index)

    def run_until(self, until_s: float, done: Callable[[], bool] | None = None) -> None:
        """Play the agenda up to `until_s`, or until `done()`; the clock then stands where it stopped."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            if done is not None and done():
                return
            when, _, action, first, second = heappop(heap)
            self.now = max(self.now, when)
            action(first, second)
        if done is None:
            self.now = max(self.now, until_s)


def _time_and_sequence(entry: Entry) -> tuple[float, int]:
    return entry[:2]
