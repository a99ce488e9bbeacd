"""Whether the model is loaded: cold, warming for `setup_s`, warm.

Knows the alarm, nothing of HTTP or of who asks for set-up.
"""

import time

from fake_backend.alarm import Alarm, Entry
from fake_backend.settings import ServerState


class Lifecycle:
    """One backend's state and its way from cold to warm."""

    def __init__(self, alarm: Alarm, *, setup_s: float, start: ServerState) -> None:
        self._alarm = alarm
        self._setup_s = setup_s
        self._entry: Entry | None = None
        self.state = ServerState.COLD
        self.setups_count = 0
        if start is ServerState.WARM:
            self.state = ServerState.WARM
        elif start is ServerState.WARMING:
            self.set_up()

    def set_up(self) -> None:
        """Begin to load unless loading or loaded: asking twice changes nothing."""
        if self.state is not ServerState.COLD:
            return
        self.state = ServerState.WARMING
        self.setups_count += 1
        self._entry = self._alarm.call_at(time.monotonic() + self._setup_s, self._loaded)

    def go_cold(self) -> None:
        """Unload at once; what executes is not disturbed."""
        if self._entry is not None:
            self._alarm.cancel(self._entry)
            self._entry = None
        self.state = ServerState.COLD

    def _loaded(self) -> None:
        self._entry = None
        self.state = ServerState.WARM
