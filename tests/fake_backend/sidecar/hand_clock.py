"""A clock that stands still until a test moves it, with the alarms that ring on the way."""

import math
from collections.abc import Callable

from fake_backend.alarm import Entry


class HandClock:
    """Call it for the time; it also takes the part of the alarm."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._entries: list[Entry] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Entry:
        """Ring at `when`."""
        entry = Entry(when, callback)
        self._entries.append(entry)
        return entry

    def cancel(self, entry: Entry) -> None:
        """Do not ring."""
        entry.callback = None

    @property
    def alarms_count(self) -> int:
        """How many alarms are still to ring."""
        return sum(entry.callback is not None for entry in self._entries)

    def advance(self, seconds: float) -> None:
        """Let time pass, and ring what is due, in order."""
        until = self.now + seconds
        while True:
            self._entries = [entry for entry in self._entries if entry.callback is not None]
            entry = min(self._entries, key=lambda one: one.when, default=Entry(math.inf, bool))
            if entry.when > until:
                break
            self.now = max(self.now, entry.when)
            callback, entry.callback = entry.callback, None
            if callback is not None:
                callback()
        self.now = until
