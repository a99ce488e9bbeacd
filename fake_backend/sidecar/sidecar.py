"""The sidecar before one emulated model server: state, slots, and the frontends that are connected.

Knows who is told what, docs/sidecar-protocol.md sections 2 and 4; nothing of HTTP.
"""

import asyncio
import math
import random
import re
import time
from collections.abc import Callable
from typing import Any

from fake_backend.alarm import Alarm
from fake_backend.job import Job
from fake_backend.lifecycle import Lifecycle
from fake_backend.settings import BackendSettings, ServerState, SidecarSettings
from fake_backend.sidecar import lines
from fake_backend.sidecar.connection import ControlConnection
from fake_backend.sidecar.leases import HoldKey, LeasingSlots
from fake_backend.slots import Admission

SILENCE_S = 5.0
"""A frontend pings every second; one that says nothing for so long is gone."""

FRONTEND = re.compile(r"[A-Za-z0-9._-]{1,64}")
_GRANT = re.compile(r"([A-Za-z0-9._-]{1,64})/([0-9]{1,18})")


class Visit:
    """A slot from the admission of a request to the end of its execution."""

    __slots__ = ("_is_over", "_slots")

    def __init__(self, slots: LeasingSlots) -> None:
        self._slots = slots
        self._is_over = False

    def start(self) -> None:
        """Take the slot; what needs it comes later, once the request has been read."""

    def hand_over(self, job: Job) -> None:
        """Execute in this slot, which the job frees at its end."""
        self._is_over = True
        job.start()

    def end(self) -> None:
        """Free the slot unless a job has it or had it."""
        if not self._is_over:
            self._is_over = True
            self._slots.leave()


class Sidecar:
    """Admission, state and control connections of one backend."""

    def __init__(
        self,
        settings: BackendSettings,
        *,
        seed: int,
        index: int,
        alarm: Alarm,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert settings.sidecar is not None
        self.settings: SidecarSettings = settings.sidecar
        self.slots = LeasingSlots(
            settings.slots_count, lease_s=self.settings.lease_s, alarm=alarm, observer=self, clock=clock
        )
        self.lifecycle = Lifecycle(
            alarm,
            setup_s=settings.setup_s,
            start=settings.start,
            idle_s=self.settings.idle_s,
            clock=clock,
        )
        self.lifecycle.on_change = self._changed
        self.lifecycle.has_requests = lambda: self.slots.running_count > 0
        self._connections: dict[str, ControlConnection] = {}
        self._random = random.Random(f"sidecar/{seed}/{index}")
        self._alarm = alarm
        self._clock = clock
        self._began_at = clock()
        self._cold = asyncio.Event()
        self._follow(self.lifecycle.state)

    @property
    def state(self) -> ServerState:
        """The present state."""
        return self.lifecycle.state

    @property
    def frontends(self) -> list[str]:
        """Who is connected."""
        return list(self._connections)

    def snapshot(self) -> dict[str, Any]:
        """Return what `GET /swayam/state` answers."""
        idle_s = self.settings.idle_s
        return {
            "state": self.state.name,
            "incarnation": self.lifecycle.incarnation,
            "slots": self.slots.slots_count,
            "running": self.slots.running_count,
            "leased": self.slots.leased_count,
            "holds": self.slots.holds_count,
            "setup_s": self.lifecycle.measured_setup_s,
            "idle_s": idle_s if idle_s < math.inf else None,
            "uptime_s": self._clock() - self._began_at,
        }

    def admit(self, grant: str | None) -> Visit | None:
        """Take a slot, the leased one where `Swayam-Grant` names it; None when busy."""
        visit = Visit(self.slots)
        return visit if self.slots.enter(visit, _key(grant)) is Admission.STARTED else None

    def set_up(self, incarnation: int | None) -> bool:
        """Set up when cold and the incarnation wanted is yet to come; whether anything changed.

        One that finds it warm says that it is wanted: its idle time begins anew.
        """
        if self.state is ServerState.WARM:
            self.lifecycle.wanted()
        if self.state is not ServerState.COLD:
            return False
        if incarnation is not None and incarnation <= self.lifecycle.incarnation:
            return False
        self.lifecycle.set_up()
        return True

    def retire(self, incarnation: int) -> bool:
        """Decommission that incarnation; False when it is another, or still in set-up."""
        if incarnation != self.lifecycle.incarnation or self.state is ServerState.WARMING:
            return False
        self.lifecycle.retire()
        return True

    async def drain(self) -> None:
        """Decommission because the process is to end; return when nothing runs any more."""
        if self.state is ServerState.WARMING:
            self.lifecycle.go_cold()
        self.lifecycle.retire()
        await self._cold.wait()

    def tell_idle(self) -> None:
        """Tell one frontend, any, that a slot is free, if one is."""
        if self.slots.free_count > 0 and self._connections:
            self._random.choice(list(self._connections.values())).send(lines.IDLE)

    def connect(self, frontend: str, transport: asyncio.Transport, head: bytes) -> ControlConnection:
        """Make a connection the control connection of a frontend; it replaces an older one."""
        older = self._connections.get(frontend)
        if older is not None:
            older.close()
        connection = ControlConnection(frontend, on_wish=self._perform, on_end=self._forget)
        self._connections[frontend] = connection
        connection.take_over(transport, head)
        connection.send(self._state_line())
        self._listen_for(connection)
        return connection

    def close(self) -> None:
        """End all control connections."""
        for connection in list(self._connections.values()):
            connection.close()

    def granted(self, key: HoldKey) -> None:
        """Tell the frontend that a slot is leased to its hold."""
        self._connections[key[0]].send(lines.grant_line(key[1], self.slots.lease_s))

    def fell_idle(self) -> None:
        """A lease ended and nobody waits."""
        self.tell_idle()

    def emptied(self) -> None:
        """Nothing runs any more: idle time begins, or draining may end."""
        if self.slots.running_count == 0:
            self.lifecycle.requests_ended()
        if self.slots.is_empty:
            self.lifecycle.drained()

    def _listen_for(self, connection: ControlConnection) -> None:
        """Look once in `SILENCE_S` whether anything came, and end the connection if nothing did."""
        heard_count = connection.heard_count

        def look() -> None:
            if self._connections.get(connection.frontend) is not connection:
                return
            if connection.heard_count == heard_count:
                connection.close()
            else:
                self._listen_for(connection)

        self._alarm.call_at(self._clock() + SILENCE_S, look)

    def _perform(self, connection: ControlConnection, wish: lines.Wish) -> None:
        if isinstance(wish, lines.Hold):
            self.slots.hold((connection.frontend, wish.number), wish.age_s)
        elif isinstance(wish, lines.Cancel):
            self.slots.cancel((connection.frontend, wish.number))
        elif isinstance(wish, lines.Ping):
            connection.send(lines.pong_line(wish.number))
        elif not self.set_up(wish.incarnation):
            connection.send(self._state_line())  # a change has been told to all, the asker included

    def _forget(self, connection: ControlConnection) -> None:
        if self._connections.get(connection.frontend) is connection:
            del self._connections[connection.frontend]
            self.slots.forget(connection.frontend)

    def _changed(self) -> None:
        state = self.state
        self._follow(state)
        line = self._state_line()
        for connection in list(self._connections.values()):
            connection.send(line)
        if state is ServerState.DRAINING and self.slots.is_empty:
            self.lifecycle.drained()

    def _follow(self, state: ServerState) -> None:
        if state is ServerState.WARM:
            self.slots.open()
        else:
            self.slots.close(end_leases=state is not ServerState.DRAINING)
        if state is ServerState.COLD:
            self._cold.set()
        else:
            self._cold.clear()

    def _state_line(self) -> bytes:
        lifecycle = self.lifecycle
        return lines.state_line(lifecycle.state.name, lifecycle.incarnation, lifecycle.measured_setup_s)


def _key(grant: str | None) -> HoldKey | None:
    """Return the hold of `Swayam-Grant: FRONTEND/HOLD`; None for one that cannot be read, which is a try."""
    match = _GRANT.fullmatch(grant) if grant else None
    return (match[1], int(match[2])) if match else None
