"""Whether the model is loaded: cold, warming for `setup_s`, warm, draining.

Knows the alarm, nothing of HTTP or of who asks for set-up. The way from state to state is the table `NEXT`,
section 4 of docs/sidecar-protocol.md; without an idle time nothing but a test's hand leaves WARM.
"""

import math
import time
from collections.abc import Callable
from enum import Enum, auto

from fake_backend.alarm import Alarm, Entry
from fake_backend.settings import ServerState


class Signal(Enum):
    """What moves the state."""

    SETUP_ASKED = auto()
    HEALTHY = auto()
    SETUP_FAILED = auto()
    IDLE = auto()
    RETIRED = auto()
    DIED = auto()
    DIED_FOR_GOOD = auto()
    DRAINED = auto()


NEXT = {
    (ServerState.COLD, Signal.SETUP_ASKED): ServerState.WARMING,
    (ServerState.WARMING, Signal.HEALTHY): ServerState.WARM,
    (ServerState.WARMING, Signal.SETUP_FAILED): ServerState.COLD,
    (ServerState.WARM, Signal.IDLE): ServerState.DRAINING,
    (ServerState.WARM, Signal.RETIRED): ServerState.DRAINING,
    (ServerState.WARM, Signal.DIED): ServerState.WARMING,
    (ServerState.WARM, Signal.DIED_FOR_GOOD): ServerState.COLD,
    (ServerState.DRAINING, Signal.DRAINED): ServerState.COLD,
}
"""A pair that is not here is a mistake of ours."""


class Lifecycle:
    """One backend's state and its way from cold to warm and back."""

    def __init__(
        self,
        alarm: Alarm,
        *,
        setup_s: float,
        start: ServerState,
        idle_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alarm = alarm
        self._setup_s = setup_s
        self._idle_s = idle_s
        self._clock = clock
        self._setup_entry: Entry | None = None
        self._setup_began_at = 0.0
        self._idle_entry: Entry | None = None
        self._idle_since = clock()
        self.state = ServerState.COLD
        self.incarnation = 0
        """Set-ups so far, those that go on and those that failed included."""
        self.measured_setup_s: float | None = None
        """How long the last set-up that ended well took."""
        self.setups_to_fail_count = 0
        """So many of the next set-ups fail when their time is over."""
        self.has_requests: Callable[[], bool] = bool
        """Asked before the backend decommissions itself."""
        self.on_change: Callable[[], None] | None = None
        if start is ServerState.WARM:
            self.state = ServerState.WARM
            self._rest()
        elif start is ServerState.WARMING:
            self.set_up()

    def set_up(self) -> None:
        """Begin to load unless loading or loaded: asking twice changes nothing."""
        if self.state is ServerState.COLD:
            self._take(Signal.SETUP_ASKED)

    def retire(self) -> None:
        """Leave WARM for DRAINING; in another state nothing happens."""
        if self.state is ServerState.WARM:
            self._take(Signal.RETIRED)

    def drained(self) -> None:
        """Nothing runs any more: DRAINING ends; in another state nothing happens."""
        if self.state is ServerState.DRAINING:
            self._take(Signal.DRAINED)

    def die(self, *, is_started_again: bool) -> bool:
        """Lose the model server; False when there is none that could be lost."""
        if self.state is ServerState.WARM:
            self._take(Signal.DIED if is_started_again else Signal.DIED_FOR_GOOD)
        elif self.state is ServerState.DRAINING:
            self._take(Signal.DRAINED)
        else:
            return False
        return True

    def go_cold(self) -> None:
        """Unload at once, by a test's hand or at the end; what executes is not disturbed."""
        self._move(ServerState.COLD)

    def requests_ended(self) -> None:
        """The last request has ended: the idle time begins."""
        if self.state is ServerState.WARM:
            self._rest()

    def wanted(self) -> None:
        """Somebody has ordered what is warm already: the idle time begins anew."""
        if self.state is ServerState.WARM:
            self._rest()

    def _take(self, signal: Signal) -> None:
        self._move(NEXT[self.state, signal])

    def _move(self, state: ServerState) -> None:
        if state is self.state:
            return
        for entry in (self._setup_entry, self._idle_entry):
            if entry is not None:
                self._alarm.cancel(entry)
        self._setup_entry = self._idle_entry = None
        self.state = state
        if state is ServerState.WARMING:
            self.incarnation += 1
            self._setup_began_at = self._clock()
            self._setup_entry = self._alarm.call_at(self._setup_began_at + self._setup_s, self._loaded)
        elif state is ServerState.WARM:
            self._rest()
        if self.on_change is not None:
            self.on_change()

    def _loaded(self) -> None:
        self._setup_entry = None
        if self.setups_to_fail_count:
            self.setups_to_fail_count -= 1
            self._take(Signal.SETUP_FAILED)
            return
        self.measured_setup_s = self._clock() - self._setup_began_at
        self._take(Signal.HEALTHY)

    def _rest(self) -> None:
        """Count the idle time from now; one alarm serves any number of requests."""
        self._idle_since = self._clock()
        if self._idle_entry is None and self._idle_s < math.inf:
            self._idle_entry = self._alarm.call_at(self._idle_since + self._idle_s, self._idle_passed)

    def _idle_passed(self) -> None:
        self._idle_entry = None
        if self.has_requests():
            return  # their end begins the idle time anew
        ends_at = self._idle_since + self._idle_s
        if self._clock() < ends_at:
            self._idle_entry = self._alarm.call_at(ends_at, self._idle_passed)
        else:
            self._take(Signal.IDLE)
