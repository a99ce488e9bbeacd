"""The life of one model server behind its sidecar: a table, and what follows from each change.

Pure rules: no process, no socket, no clock. Whoever drives it starts, checks and stops the server as ordered,
and tells what became of it. The table is section 4 of docs/sidecar-protocol.md.
"""

from enum import Enum, StrEnum, auto

from swayam_proxy.core.errors import LifecycleError
from swayam_proxy.core.vocabulary import NEVER, BackendState
from swayam_proxy.sidecar.settings import LifeSettings

_COLD, _WARMING, _WARM, _DRAINING = (
    BackendState.COLD,
    BackendState.WARMING,
    BackendState.WARM,
    BackendState.DRAINING,
)
_DEATHS_IN_ROW_MAX = 3
"""A server that has died so often, each time soon after it was warm, is not started again by ourselves."""
_STEADY_S = 30.0
"""Warm for so long, its earlier deaths are forgotten."""


class Signal(StrEnum):
    """What happens to the model server, or is asked of it."""

    SETUP_ASKED = "setup_asked"
    SERVER_HEALTHY = "server_healthy"
    SETUP_FAILED = "setup_failed"
    """It ended before it was healthy, or took too long."""
    IDLE_OVER = "idle_over"
    RETIRE_ASKED = "retire_asked"
    SERVER_UNREACHABLE = "server_unreachable"
    """It died, or takes no connection any more."""
    SERVER_STOPPED = "server_stopped"
    """It was ordered to stop, and has."""


TRANSITIONS: dict[tuple[BackendState, Signal], BackendState] = {
    (_COLD, Signal.SETUP_ASKED): _WARMING,
    (_WARMING, Signal.SERVER_HEALTHY): _WARM,
    (_WARMING, Signal.SETUP_FAILED): _COLD,
    (_WARMING, Signal.RETIRE_ASKED): _DRAINING,
    (_WARM, Signal.IDLE_OVER): _DRAINING,
    (_WARM, Signal.RETIRE_ASKED): _DRAINING,
    (_WARM, Signal.SERVER_UNREACHABLE): _WARMING,
    (_DRAINING, Signal.SERVER_STOPPED): _COLD,
}


def next_state(state: BackendState, signal: Signal) -> BackendState:
    """Return what becomes of `state` on `signal`.

    Raises:
        LifecycleError: the pair has no place in the table.
    """
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise LifecycleError(f"a model server that is {state} cannot hear {signal}") from None


class Order(Enum):
    """What is to be done to the model server."""

    START = auto()
    """Start it, and say when it is healthy."""
    CHECK = auto()
    """It may have a moment's trouble only: say when it is healthy again."""
    STOP = auto()
    """End it politely, and say when it has ended."""
    KILL = auto()
    """End it at once; nobody waits for it."""


class Lifecycle:
    """What one model server is now, since when, and what is due next."""

    __slots__ = (
        "_deaths_in_row",
        "_drain_until",
        "_is_only_checked",
        "_settings",
        "_stop_ordered",
        "_warm_since",
        "_warming_until",
        "failures_count",
        "idle_since",
        "incarnation",
        "running_count",
        "setup_s",
        "state",
        "used_at",
        "warming_since",
    )

    def __init__(self, settings: LifeSettings) -> None:
        """Begin cold."""
        self._settings = settings
        self.state = _COLD
        self.incarnation = 0
        """Rises by one on every way into WARMING."""
        self.setup_s: float | None = None
        """How long the last set-up took."""
        self.failures_count = 0
        """Set-ups that failed, and servers that died."""
        self.running_count = 0
        """Requests that hold the server up: running, or granted a slot."""
        self.idle_since = 0.0
        """When it last ran a request, became warm, or was asked for."""
        self.used_at = 0.0
        """When it last ran a request, or became warm."""
        self.warming_since = 0.0
        self._warming_until = NEVER
        self._warm_since = 0.0
        self._drain_until = NEVER
        self._stop_ordered = False
        self._deaths_in_row = 0
        self._is_only_checked = False
        """It was warm, was not reached for a moment, and has not been started anew."""

    # -- what is asked --

    def ask_setup(self, now: float, incarnation: int | None = None) -> list[Order]:
        """Set up if cold; an order for a set-up that has begun already, or is over, is left alone.

        Asking says that the server is wanted: one that is warm and idle stays for another while.
        """
        if self.state is _WARM:
            self.idle_since = now
        if not self.would_begin(incarnation):
            return []
        self.state = next_state(self.state, Signal.SETUP_ASKED)
        return self._start(now)

    def would_begin(self, incarnation: int | None = None) -> bool:
        """Say whether an order would begin a set-up now."""
        return self.state is _COLD and (incarnation is None or incarnation > self.incarnation)

    def ask_retire(self, now: float, incarnation: int | None = None) -> bool:
        """Begin to decommission, if `incarnation` is the present one and not just being set up.

        None means whichever it is: the sidecar itself ends.
        """
        if incarnation is not None and (incarnation != self.incarnation or self.state is _WARMING):
            return False
        if self.state in (_WARMING, _WARM):
            self._drain(Signal.RETIRE_ASKED, now)
        return True

    # -- what has happened --

    def server_healthy(self, now: float) -> None:
        """The server answers its checks."""
        if self.state is not _WARMING:
            return
        self.state = next_state(self.state, Signal.SERVER_HEALTHY)
        if not self._is_only_checked:
            self.setup_s = now - self.warming_since
            self._warm_since = now
        self.used(now)
        self._warming_until = NEVER

    def server_unreachable(self, now: float, *, has_ended: bool) -> list[Order]:
        """The server has ended by itself, or takes no connection."""
        if self.state is _WARMING and has_ended:
            self.failures_count += 1
            return self._died(now) if self._is_only_checked else self._setup_failed()
        if self.state is not _WARM:
            return []
        self.failures_count += 1
        self.state = next_state(self.state, Signal.SERVER_UNREACHABLE)
        if has_ended:
            return self._died(now)
        self._is_only_checked = True
        self.incarnation += 1
        self._warming_until = now + self._settings.setup_timeout_s
        return [Order.CHECK]

    def server_stopped(self) -> None:
        """The server that was to stop has ended."""
        if self.state is _DRAINING and self._stop_ordered:
            self._stop_ordered = False
            self.state = next_state(self.state, Signal.SERVER_STOPPED)

    def used(self, now: float) -> None:
        """A request has ended."""
        self.idle_since = self.used_at = now

    # -- time --

    def next_wakeup(self) -> float:
        """When `wake` is due."""
        if self.state is _WARM:
            return NEVER if self.running_count else self.idle_since + self._settings.idle_s
        if self.state is _WARMING:
            return self._warming_until
        if self.state is _DRAINING and not self._stop_ordered:
            return self._drain_until if self.running_count else 0.0
        return NEVER

    def wake(self, now: float) -> list[Order]:
        """Do what is due: decommission an idle server, give up a set-up, stop a drained one."""
        if now < self.next_wakeup():
            return []
        if self.state is _WARM:
            self._drain(Signal.IDLE_OVER, now)
        if self.state is _WARMING:
            self.failures_count += 1
            return self._setup_failed()
        if self.state is _DRAINING and not self._stop_ordered and self.next_wakeup() <= now:
            self._stop_ordered = True
            return [Order.STOP]
        return []

    # -- inside --

    def _start(self, now: float) -> list[Order]:
        self.incarnation += 1
        self._is_only_checked = False
        self.warming_since = now
        self._warming_until = now + self._settings.setup_timeout_s
        return [Order.START]

    def _died(self, now: float) -> list[Order]:
        """Start a server anew that ended after it was warm, unless it keeps doing so."""
        self._deaths_in_row = self._deaths_in_row + 1 if now - self._warm_since < _STEADY_S else 1
        orders = self._start(now)
        if self._deaths_in_row < _DEATHS_IN_ROW_MAX:
            return orders
        # whoever wants it asks again, and waits longer each time
        self._warming_until = now
        return []

    def _setup_failed(self) -> list[Order]:
        self.state = next_state(self.state, Signal.SETUP_FAILED)
        self._warming_until = NEVER
        return [Order.KILL]

    def _drain(self, signal: Signal, now: float) -> None:
        self.state = next_state(self.state, signal)
        self._drain_until = now + self._settings.drain_s
