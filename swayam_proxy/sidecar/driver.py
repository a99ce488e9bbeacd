"""Performs the backend's rules on the real network: slots, leases and holds, and the model server's life.

The data plane calls it for every request, control connections for every line, the model server for what
becomes of it. One timer for everything that is due. Knows no bytes and no processes.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from swayam_proxy.core.admission import Admission, Grant, HoldKey
from swayam_proxy.core.control_lines import Cancel, Full, Granted, Hold, Idle, Line, SetUpOrder, StateIs
from swayam_proxy.core.routing import RouteMatch
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    NEVER,
    BackendState,
    Fault,
    Outcome,
    Refusal,
    RefusalReason,
    ServiceSpec,
)
from swayam_proxy.live.driver import Exchange
from swayam_proxy.sidecar.control_link import SILENCE_S_MAX, ControlLink
from swayam_proxy.sidecar.lifecycle import Lifecycle, Order
from swayam_proxy.sidecar.request import CONTROL_PATHS
from swayam_proxy.sidecar.served import CONTROL, MODEL, Room, spec_of
from swayam_proxy.sidecar.settings import SidecarSettings

LINKS_COUNT_MAX = 1000
_LOOK_S = 1.0
"""How late a silent control connection may be noticed."""
_BUSY = Refusal(RefusalReason.NO_BACKEND, 1.0)
_TO_MODEL, _TO_CONTROL = RouteMatch(MODEL, ""), RouteMatch(CONTROL, "")

_log = logging.getLogger("swayam.sidecar")


class SidecarTicket(Ticket):
    """A request that runs."""

    __slots__ = ("is_hinted",)

    is_hinted: bool
    """Its answer says that its slot falls free."""


class SidecarDriver:
    """Runs the rules of one backend on one event loop."""

    def __init__(
        self,
        settings: SidecarSettings,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        perform: Callable[[Order], None],
        *,
        name: str = MODEL,
        room: Room | None = None,
    ) -> None:
        """Begin with a cold server; `perform` carries out what its life needs.

        `name` is what the data plane calls it, `room` whoever must be asked before it is set up.
        """
        self.name = name
        self._room = room
        self.clock = clock
        self.token = settings.token
        """What the control API asks for."""
        self.admission = Admission(settings.slots, lease_s=settings.lease_s)
        self.life = Lifecycle(settings.life)
        self._settings = settings
        self._loop = loop
        self._perform = perform
        self._links: dict[str, ControlLink] = {}
        self._began = clock()
        self._address = ""
        self._running: dict[Ticket, float] = {}
        """When each began, the oldest first."""
        self._served_at = 0.0
        self._told = (self.life.state, self.life.incarnation)
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = NEVER
        self._ending = False
        self._idle_told_count = 0
        self.on_cold: Callable[[], None] = lambda: None
        self.on_moved: Callable[[str], None] = lambda _address: None
        """Called with the address at which the model server listens no more."""
        self.requests_count = 0
        self.busy_count = 0

    def start(self) -> None:
        """Arm the timer; a server that runs anyway is looked for at once."""
        self._look()
        if not self._settings.server.command:
            self.ask_setup(None)

    def stop(self) -> None:
        """Disarm the timer and close the control connections."""
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        for link in list(self._links.values()):
            link.abort()

    # -- requests, as the data plane calls --

    @property
    def services(self) -> tuple[ServiceSpec, ...]:
        """What is served."""
        return tuple(spec_of(name) for name in (self.name, CONTROL))

    def sidecar_of(self, service_name: str) -> "SidecarDriver":
        """Return who runs a service: there is but one here, whatever frontends call it."""
        del service_name
        return self

    def machine_state(self) -> dict[str, Any] | None:
        """Return what is the case on the machine as a whole: that is not known here."""
        return None

    def route(self, host: str, path: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> RouteMatch:
        """Tell requests for the sidecar from those for the model server."""
        del host, fields
        return _TO_CONTROL if path.startswith(CONTROL_PATHS) else _TO_MODEL

    def admit(
        self,
        service_name: str,
        exchange: Exchange,
        now: float,
        deadline: float,
        replayable: bool = True,
        *,
        grant: HoldKey | None = None,
    ) -> Ticket | Refusal:
        """Let a request run in its leased slot, or in a free one, or refuse it at once."""
        del replayable, exchange
        self.requests_count += 1
        state = self.life.state
        if state is not BackendState.WARM and not (state is BackendState.DRAINING and grant is not None):
            self.busy_count += 1
            return _BUSY
        admission = self.admission
        if admission.next_wakeup() <= now:
            self._send(admission.expire(now))
        if not admission.admit(now, grant):
            self.busy_count += 1
            return _BUSY
        ticket = SidecarTicket(service_name, now, deadline)
        ticket.is_hinted = False
        ticket.backend_index = 1
        ticket.backend_address = self._address
        self._running[ticket] = now
        return ticket

    def busy(self, ticket: Ticket) -> Refusal:
        """Pass on that the model server, another sidecar perhaps, has no slot."""
        self._ended(ticket)
        return _BUSY

    def rebook(self, ticket: Ticket, fault: Fault) -> Refusal:
        """Take in that the model server took no connection: nothing was executed, so others may be tried."""
        del fault
        self._orders(self.life.server_unreachable(self.clock(), has_ended=False))
        self._ended(ticket)
        return _BUSY

    def finish(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        execution_s: float | None = None,
        fault: Fault | None = None,
        idle: bool = False,
    ) -> None:
        """End a request; its slot goes to whoever waited longest."""
        del execution_s, fault, idle
        if outcome is Outcome.SERVED:
            self._served_at = now
        self._ended(ticket)

    def cancel(self, ticket: Ticket) -> None:
        """End a request whose frontend left."""
        self._ended(ticket)

    def nobody_waits(self) -> bool:
        """Say whether a slot that falls free now stays free."""
        return not self.admission.holds_count and self.life.state is BackendState.WARM

    def _ended(self, ticket: Ticket) -> None:
        assert not ticket.ended, "a request ends once"
        ticket.ended = True
        del self._running[ticket]
        now = self.clock()
        life = self.life
        life.used(now)
        self._send(
            self.admission.ended(now), tell_idle=not (isinstance(ticket, SidecarTicket) and ticket.is_hinted)
        )
        if life.state is BackendState.WARM:
            self._arm(now + self._settings.life.idle_s)
        else:
            self._settle()

    # -- control, as frontends and operators call --

    def link_opened(self, link: ControlLink) -> None:
        """Greet a frontend; an older connection of the same name is over."""
        older = self._links.get(link.frontend)
        self._links[link.frontend] = link
        if older is not None:
            self._send(self.admission.lost(link.frontend, self.clock()))
            older.abort()
        link.say(StateIs(self.life.state, self.life.incarnation, self.life.setup_s))

    @property
    def links_count(self) -> int:
        """Control connections that are open."""
        return len(self._links)

    def link_closed(self, link: ControlLink) -> None:
        """Forget what a frontend held here."""
        if self._links.get(link.frontend) is link:
            del self._links[link.frontend]
            if not self._ending:
                self._send(self.admission.lost(link.frontend, self.clock()), tell_idle=True)

    def link_said(self, link: ControlLink, line: Line) -> None:
        """Act on a line of a frontend."""
        now = link.heard_at = self.clock()
        if self._links.get(link.frontend) is not link:
            return
        match line:
            case Hold(hold_id, age_s):
                if self.life.state is BackendState.WARM:
                    self._send(self.admission.hold((link.frontend, hold_id), age_s, now))
            case Cancel(hold_id):
                self._send(self.admission.cancel((link.frontend, hold_id), now), tell_idle=True)
            case SetUpOrder(incarnation, claim):
                before = self._told
                if not self.ask_setup(incarnation, claim, link.frontend):
                    link.say(Full(incarnation))
                elif self._told == before:
                    link.say(StateIs(self.life.state, self.life.incarnation, self.life.setup_s))
            case _:
                pass

    def ask_setup(self, incarnation: int | None, claim: int | None = None, by: str = "") -> bool:
        """Set up if cold; False when the machine is full.

        Nothing is set up by a sidecar that is about to end.
        """
        if self._ending:
            return True
        room = self._room
        if room is not None:
            room.claimed(claim, by)
            if self.life.would_begin(incarnation) and not room.may_set_up(claim):
                return False
        self._orders(self.life.ask_setup(self.clock(), incarnation))
        return True

    def ask_retire(self, incarnation: int | None) -> bool:
        """Begin to decommission the set-up of that number."""
        retired = self.life.ask_retire(self.clock(), incarnation)
        self._settle()
        return retired

    def end(self) -> None:
        """Decommission for good: `on_cold` is called when it is done."""
        self._ending = True
        self.ask_retire(None)
        if self.life.state is BackendState.COLD:
            self.on_cold()

    def state(self) -> dict[str, Any]:
        """Return what is the case, for `GET /swayam/state`."""
        life, admission = self.life, self.admission
        idle_s = self._settings.life.idle_s
        return {
            "state": life.state.value.upper(),
            "incarnation": life.incarnation,
            "slots": admission.slots,
            "running": admission.running_count,
            "leased": admission.leases_count,
            "holds": admission.holds_count,
            "setup_s": life.setup_s,
            "idle_s": idle_s if idle_s < NEVER else None,
            "uptime_s": self.clock() - self._began,
            "frontends": len(self._links),
            "requests": self.requests_count,
            "busy": self.busy_count,
            "failures": life.failures_count,
        }

    # -- the model server --

    def server_started(self, host: str, port: int) -> None:
        """It will listen there."""
        before, self._address = self._address, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if before and before != self._address:
            self.on_moved(before)

    def server_healthy(self) -> None:
        """It answers its checks."""
        self.life.server_healthy(self.clock())
        self._settle()

    def may_hang(self, since: float) -> bool:
        """Say whether nothing was served since then, and nothing runs that was begun before."""
        return self._served_at < since <= next(iter(self._running.values()), NEVER)

    def server_unreachable(self, *, has_ended: bool) -> None:
        """It has ended by itself, or takes no connection."""
        self._orders(self.life.server_unreachable(self.clock(), has_ended=has_ended))

    def server_stopped(self) -> None:
        """It was ordered to stop, or killed, and has ended."""
        self.life.server_stopped()
        self._settle()
        if self._room is not None and self.life.state is BackendState.COLD:
            self._room.left()

    # -- inside --

    def _send(self, grants: list[Grant], *, tell_idle: bool = False) -> None:
        for grant in grants:
            self._links[grant.frontend].say(Granted(grant.hold_id, self._settings.lease_s))
        if grants:
            self._arm(self.admission.next_wakeup())
        elif tell_idle and self._links and self.nobody_waits() and self.admission.free_count > 0:
            # to one frontend only, each in its turn: two would come at once
            self._idle_told_count += 1
            position = self._idle_told_count % len(self._links)
            next(islice(self._links.values(), position, None)).say(Idle())

    def _orders(self, orders: list[Order]) -> None:
        for order in orders:
            self._perform(order)
        self._settle()

    def _settle(self) -> None:
        """Tell what has changed, do what is due at once, and arm the timer."""
        life = self.life
        self._announce()
        while True:
            life.running_count = self.admission.slots - self.admission.free_count
            now = self.clock()
            if life.next_wakeup() > now:
                break
            for order in life.wake(now):
                self._perform(order)
            self._announce()
        self._arm(life.next_wakeup())

    def _announce(self) -> None:
        life = self.life
        told = (life.state, life.incarnation)
        if told == self._told:
            return
        self._told = told
        _log.info("the model server is %s (set-up %d)", *told)
        if life.state is not BackendState.WARM:
            self.admission.forget_holds()
        for link in list(self._links.values()):
            link.say(StateIs(life.state, life.incarnation, life.setup_s))
        if life.state is BackendState.COLD and self._ending:
            self.on_cold()

    def _arm(self, when: float) -> None:
        if when >= self._armed_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = when
        self._timer = self._loop.call_later(max(0.0, when - self.clock()), self._wake)

    def _wake(self) -> None:
        due, self._armed_at, self._timer = self._armed_at, NEVER, None
        now = max(due, self.clock())
        if self.admission.next_wakeup() <= now:
            self._send(self.admission.expire(now), tell_idle=True)
        self._settle()
        self._arm(self.admission.next_wakeup())

    def _look(self) -> None:
        """End control connections on which nothing was heard for too long."""
        silent_since = self.clock() - SILENCE_S_MAX
        for link in [link for link in self._links.values() if link.heard_at < silent_since]:
            _log.warning("nothing heard of frontend %s", link.frontend)
            link.abort()
        if not self._ending:
            self._loop.call_later(_LOOK_S, self._look)
