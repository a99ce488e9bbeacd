"""Callbacks at a moment, to a tenth of a millisecond.

Knows a heap of moments and one kernel timer. The event loops round timers to whole milliseconds
(asyncio always late, by 0.6 ms on average; uvloop early or late by up to 1 ms), which would distort
execution times of a few milliseconds and the moments of an open-loop load. A timerfd in the loop's
poll set is on time to about 0.1 ms; where there is none, the loop's own timers are used.
"""

import asyncio
import contextlib
import ctypes
import math
import os
import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_TFD_TIMER_ABSTIME = 1
_DEAD_ENTRIES_MIN = 1_000


class _TimerSpec(ctypes.Structure):
    """struct itimerspec: the interval, then the first expiry, each as seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class _KernelTimer:
    """One timerfd on the monotonic clock, the clock of `time.monotonic` on Linux."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._spec = _TimerSpec(0, 0, 0, 0)
        self._spec_reference = ctypes.byref(self._spec)
        self.descriptor = int(libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC))
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")

    def arm(self, when: float) -> None:
        """Expire at `when`, at once if that has passed."""
        nanoseconds = max(1, int(when * 1e9))
        self._spec.value_s, self._spec.value_ns = divmod(nanoseconds, 1_000_000_000)
        self._settime(self.descriptor, _TFD_TIMER_ABSTIME, self._spec_reference, None)

    def acknowledge(self) -> None:
        """Take the expiry away, so that the descriptor is not readable any more."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 8)

    def close(self) -> None:
        os.close(self.descriptor)


def _kernel_timer() -> _KernelTimer | None:
    try:
        return _KernelTimer()
    except (OSError, AttributeError, TypeError):
        return None


class Entry:
    """One callback that is due at a moment; cancelling it is free and final."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: "Entry") -> bool:
        """Order by moment, as the heap needs it."""
        return self.when < other.when


class Alarm:
    """Calls back at monotonic moments; belongs to one running event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, precise: bool = True) -> None:
        self._loop = loop
        self._heap: list[Entry] = []
        self._armed_for = math.inf
        self._cancelled_count = 0
        self._kernel = _kernel_timer() if precise else None
        self._loop_timer: asyncio.TimerHandle | None = None
        if self._kernel is not None:
            loop.add_reader(self._kernel.descriptor, self._fire)

    @property
    def is_precise(self) -> bool:
        """Whether the kernel's timer is in use."""
        return self._kernel is not None

    @property
    def entries_count(self) -> int:
        """How many entries are kept, cancelled ones that were not yet swept included."""
        return len(self._heap)

    def call_at(self, when: float, callback: Callable[[], None]) -> Entry:
        """Call back at `when` (seconds of `time.monotonic`), as soon as possible if it has passed."""
        entry = Entry(when, callback)
        heappush(self._heap, entry)
        if when < self._armed_for:
            self._arm(when)
        return entry

    def cancel(self, entry: Entry) -> None:
        """Forget a callback; of one that has run, nothing happens."""
        if entry.callback is None:
            return
        entry.callback = None
        self._cancelled_count += 1
        if self._cancelled_count > max(_DEAD_ENTRIES_MIN, len(self._heap) // 2):
            self._heap = [one for one in self._heap if one.callback is not None]
            heapify(self._heap)
            self._cancelled_count = 0

    def close(self) -> None:
        """Drop what is due and give the descriptor back."""
        self._heap.clear()
        if self._loop_timer is not None:
            self._loop_timer.cancel()
        if self._kernel is not None:
            self._loop.remove_reader(self._kernel.descriptor)
            self._kernel.close()
            self._kernel = None

    def _arm(self, when: float) -> None:
        self._armed_for = when
        if self._kernel is not None:
            self._kernel.arm(when)
            return
        if self._loop_timer is not None:
            self._loop_timer.cancel()
        delay_s = max(0.0, when - time.monotonic())
        self._loop_timer = self._loop.call_later(delay_s, self._fire)

    def _fire(self) -> None:
        if self._kernel is not None:
            self._kernel.acknowledge()
        try:
            while self._heap and self._heap[0].when <= time.monotonic():
                entry = heappop(self._heap)
                callback, entry.callback = entry.callback, None
                if callback is None:
                    self._cancelled_count -= 1
                else:
                    callback()
        finally:
            self._armed_for = math.inf
            if self._heap and self._heap[0].when < math.inf:
                self._arm(self._heap[0].when)
