"""The yardsticks that know the future: ClairA1, ClairA2 and the clairvoyant prefix.

ClairA1 and ClairA2 are the deck's: deadline-driven, they know every execution time and never miss. The
clairvoyant prefix is ours: the same prefix rule, set-up time and idle time as Swayam, with the load of the
next moments known. Knows nothing of frontends, dispatch or forecasts.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from swayam_proxy.sim.workload import Counts, Floats, Workload

_CHUNK = 500_000


@dataclass(frozen=True, slots=True)
class ClairvoyantBill:
    """What a clairvoyant scaler uses."""

    backend_seconds: float
    peak_backends: int
    setups_count: int
    changes: tuple[tuple[float, int], ...] = field(repr=False, default=())
    """(when, billed backends from then on), beginning with the first set-up, before time 0."""


def claira1_backend_seconds(workload: Workload) -> float:
    """Zero set-up time, immediate scale-in: the bill is the work itself, the integral of busy backends."""
    return float(workload.executions_s.sum())


def claira2(workload: Workload, *, response_time_s: float, setup_s: float, idle_s: float) -> ClairvoyantBill:
    """Real set-up time, lazy scale-in.

    Requests in order of arrival; deadline = arrival + `response_time_s`; among open backends the one with
    the LATEST free time that still meets the deadline; if none, open one, billed from `arrival - setup_s`;
    it closes `idle_s` after its last completion. Two intervals of one backend never merge: what closed is a
    new set-up.
    """
    free_times: list[float] = []  # of the open backends, ascending
    opened_s: list[float] = []
    closed_s: list[float] = []
    for arrivals, executions in _chunks(workload):
        for arrival, execution in zip(arrivals, executions, strict=True):
            if free_times and free_times[0] < arrival - idle_s:
                expired = bisect_left(free_times, arrival - idle_s)
                closed_s += [free + idle_s for free in free_times[:expired]]
                del free_times[:expired]
            latest_start = arrival + response_time_s - execution
            place = bisect_right(free_times, latest_start) if latest_start >= arrival else 0
            if place:
                start = max(free_times.pop(place - 1), arrival)
            else:
                start = arrival
                opened_s.append(arrival - setup_s)
            insort(free_times, start + execution)
    closed_s += [free + idle_s for free in free_times]
    changes = _changes(opened_s, closed_s)
    return ClairvoyantBill(
        backend_seconds=sum(closed_s) - sum(opened_s),
        peak_backends=max((count for _, count in changes), default=0),
        setups_count=len(opened_s),
        changes=changes,
    )


def _changes(opened_s: list[float], closed_s: list[float]) -> tuple[tuple[float, int], ...]:
    """Return the number of open backends after each opening and closing."""
    moves = sorted([(when, 1) for when in opened_s] + [(when, -1) for when in closed_s])
    changes = []
    count = 0
    for when, move in moves:
        count += move
        changes.append((when, count))
    return tuple(changes)


def clairvoyant_prefix(
    workload: Workload,
    needs_of_rate: Callable[[float], int],
    *,
    setup_s: float,
    idle_s: float,
    tick_s: float = 1.0,
    look_s: float | None = None,
) -> tuple[ClairvoyantBill, Floats]:
    """Bill the prefix rule when the load of the next `look_s` (default: set-up time and one tick) is known.

    At each tick the load is the true mean rate over [now, now + look_s); `needs_of_rate` gives the least n.
    A backend is set up `setup_s` before it is needed and goes cold `idle_s` after. Returns the bill and,
    for each tick, the number of backends that are billed. A yardstick, not a bound: a rule may look
    further.
    """
    look = setup_s + tick_s if look_s is None else look_s
    ticks = np.arange(0.0, workload.duration_s, tick_s)
    upper = np.searchsorted(workload.arrivals_s, ticks + look)
    lower = np.searchsorted(workload.arrivals_s, ticks)
    span_s = np.minimum(ticks + look, workload.duration_s) - ticks
    rates = (upper - lower) / np.maximum(span_s, tick_s)
    needs = np.array([needs_of_rate(rate) for rate in rates.tolist()], dtype=np.int64)
    billed = _spread(needs, ahead=round(setup_s / tick_s), behind=round(idle_s / tick_s))
    growth = np.diff(billed, prepend=0)
    bill = ClairvoyantBill(
        backend_seconds=float(billed.sum()) * tick_s,
        peak_backends=int(billed.max(initial=0)),
        setups_count=int(growth[growth > 0].sum()),
    )
    return bill, billed.astype(np.float64)


def _chunks(workload: Workload) -> Iterator[tuple[list[float], list[float]]]:
    """Yield plain lists of a bounded size: Python floats are faster one by one than array scalars."""
    for first in range(0, workload.requests_count, _CHUNK):
        last = first + _CHUNK
        yield workload.arrivals_s[first:last].tolist(), workload.executions_s[first:last].tolist()


def _spread(needs: Counts, *, ahead: int, behind: int) -> Counts:
    """Return at each tick the largest need from `behind` ticks ago to `ahead` ticks on."""
    padded = np.concatenate((np.zeros(behind, dtype=needs.dtype), needs, np.zeros(ahead, dtype=needs.dtype)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, ahead + behind + 1)
    largest: Counts = windows.max(axis=1)
    return largest
