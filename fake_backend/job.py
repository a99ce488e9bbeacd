"""One execution: waits for its slot, passes its time by sleeping or spinning, frees the slot.

Knows the slots and the alarm, nothing of HTTP. Driven by callbacks, without a task of its own, since a
hundred backends share one core.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fake_backend.alarm import Alarm, Entry
from fake_backend.slots import Slots

_SPIN_BLOCK = bytes(32 * 1024)
"""Long enough that hashing it lets other threads run (hashlib frees the interpreter lock beyond 2 KiB)."""


class Job:
    """A claim for a slot for `duration_s`; await `done` for the time from start to end, in seconds."""

    __slots__ = (
        "_alarm", "_entry", "_on_end", "_pool", "_slots", "_spin_abandoned",
        "done", "duration_s", "on_left", "started", "started_at",
    )  # fmt: skip

    def __init__(
        self,
        duration_s: float,
        *,
        loop: asyncio.AbstractEventLoop,
        alarm: Alarm,
        slots: Slots,
        pool: ThreadPoolExecutor | None,
        on_end: Callable[[float, bool], None],
        announce_start: bool = False,
    ) -> None:
        """Prepare to run; `pool` given means spinning in its threads. `on_end(seconds, whole)` is told."""
        self.duration_s = duration_s
        self.done: asyncio.Future[float] = loop.create_future()
        self.started: asyncio.Future[None] | None = loop.create_future() if announce_start else None
        self.started_at = 0.0
        self.on_left: Callable[[], None] | None = None
        """Told once the slot is free."""
        self._alarm = alarm
        self._slots = slots
        self._pool = pool
        self._on_end = on_end
        self._entry: Entry | None = None
        self._spin_abandoned = False

    def start(self) -> None:
        """Begin to execute; called by the slots."""
        self.started_at = time.monotonic()
        if self.started is not None and not self.started.done():
            self.started.set_result(None)
        if self._pool is None:
            self._entry = self._alarm.call_at(self.started_at + self.duration_s, self._end)
            return
        loop = self.done.get_loop()
        self._pool.submit(self._spin).add_done_callback(lambda _: _call_in(loop, self._end))

    def abandon(self, *, finish: bool) -> None:
        """The client left: leave the queue, or stop the execution unless it is to `finish`."""
        if self._slots.withdraw(self) or finish or not self.started_at:
            return
        if self._pool is not None:
            self._spin_abandoned = True
        elif self._entry is not None:
            self._alarm.cancel(self._entry)
            self._entry = None
            self._free(whole=False)

    def _spin(self) -> None:
        """Burn the duration in processor time of this thread, not in time that passes."""
        until = time.thread_time() + self.duration_s
        while time.thread_time() < until and not self._spin_abandoned:
            hashlib.sha256(_SPIN_BLOCK)

    def _end(self) -> None:
        self._entry = None
        self._free(whole=not self._spin_abandoned)

    def _free(self, *, whole: bool) -> None:
        executed_s = time.monotonic() - self.started_at
        self._on_end(executed_s, whole)
        if not self.done.done():
            self.done.set_result(executed_s)
        self._slots.leave()
        if self.on_left is not None:
            self.on_left()


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
