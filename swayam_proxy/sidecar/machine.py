"""Several model servers of one machine behind one address, of which only so many may run at a time.

Every service has a sidecar's driver of its own, and all of them share the room of the machine
(`core/machine.py`). Requests and control connections say which service they mean by `Swayam-Service`. Knows
no bytes and no processes.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from swayam_proxy.core.admission import HoldKey
from swayam_proxy.core.machine import CLAIM_NONE, Answer, Machine, Occupant
from swayam_proxy.core.routing import RouteMatch
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import Fault, Outcome, Refusal, ServiceSpec
from swayam_proxy.live.driver import Exchange
from swayam_proxy.sidecar.driver import SidecarDriver
from swayam_proxy.sidecar.lifecycle import Order
from swayam_proxy.sidecar.request import CONTROL_PATHS, SERVICE_FIELD
from swayam_proxy.sidecar.served import CONTROL, spec_of

_TO_CONTROL = RouteMatch(CONTROL, "")
_log = logging.getLogger("swayam.machine")


class MachineDriver:
    """All services of one machine, as the data plane sees them."""

    def __init__(self, room_count: int, rest_s: float, token: str | None, clock: Callable[[], float]) -> None:
        """Begin without any service; `seat` and `add` bring them in."""
        self.clock = clock
        self.token = token
        self.machine = Machine(room_count, rest_s)
        self.sidecars: dict[str, SidecarDriver] = {}
        self._seats: dict[str, Seat] = {}
        self._matches: dict[bytes, RouteMatch] = {}

    def seat(self, name: str, perform: Callable[[Order], None]) -> "Seat":
        """Return what stands between a sidecar and its model server, which `perform` orders about."""
        self._seats[name] = seat = Seat(self, name, perform)
        return seat

    def add(self, sidecar: SidecarDriver) -> None:
        """Let a service be served."""
        self.sidecars[sidecar.name] = sidecar
        self._matches[sidecar.name.encode("latin-1")] = RouteMatch(sidecar.name, "")

    # -- requests, as the data plane calls --

    @property
    def services(self) -> tuple[ServiceSpec, ...]:
        """What is served."""
        return tuple(spec_of(name) for name in (*self.sidecars, CONTROL))

    def route(self, host: str, path: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> RouteMatch | None:
        """Return the service that a request names."""
        del host
        if path.startswith(CONTROL_PATHS):
            return _TO_CONTROL
        named = [value for name, value in fields if name.lower() == SERVICE_FIELD]
        return self._matches.get(named[-1]) if named else None

    def sidecar_of(self, service_name: str) -> SidecarDriver | None:
        """Return who runs a service; None for one that is not known here."""
        return self.sidecars.get(service_name)

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
        """Let the service's sidecar decide."""
        return self.sidecars[service_name].admit(
            service_name, exchange, now, deadline, replayable, grant=grant
        )

    def busy(self, ticket: Ticket) -> Refusal:
        """Pass it on to the service's sidecar, as the next three do."""
        return self.sidecars[ticket.service_name].busy(ticket)

    def rebook(self, ticket: Ticket, fault: Fault) -> Refusal:
        """The model server took no connection."""
        return self.sidecars[ticket.service_name].rebook(ticket, fault)

    def finish(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        execution_s: float | None = None,
        fault: Fault | None = None,
        idle: bool = False,
    ) -> None:
        """End a request."""
        self.sidecars[ticket.service_name].finish(ticket, outcome, now, execution_s, fault, idle)

    def cancel(self, ticket: Ticket) -> None:
        """End a request whose frontend left."""
        self.sidecars[ticket.service_name].cancel(ticket)

    # -- the machine as a whole --

    def start(self) -> None:
        """Begin to look after control connections."""
        for sidecar in self.sidecars.values():
            sidecar.start()

    def stop(self) -> None:
        """Close the control connections."""
        for sidecar in self.sidecars.values():
            sidecar.stop()

    def end(self) -> None:
        """Decommission everything for good; each sidecar tells when it is cold."""
        for sidecar in self.sidecars.values():
            sidecar.end()

    def machine_state(self) -> dict[str, Any]:
        """Return what is the case, for `GET /swayam/state` without a service."""
        machine = self.machine
        states: Mapping[str, Any] = {name: sidecar.state() for name, sidecar in self.sidecars.items()}
        return {
            "room": machine.room_count,
            "inside": sorted(machine.inside),
            "waiting": list(machine.waiting),
            "services": states,
        }

    def occupants(self) -> list[Occupant]:
        """Return the services that take room, as they are now."""
        found = []
        for name in sorted(self.machine.inside):
            sidecar = self.sidecars[name]
            admission, life = sidecar.admission, sidecar.life
            busy = admission.free_count < admission.slots or admission.holds_count > 0
            found.append(Occupant(name, life.state, busy, life.idle_since, life.used_at, life.setup_s or 0.0))
        return found

    def freed(self, name: str) -> None:
        """Let the next one in where a service has left."""
        following = self.machine.left(name)
        if following is not None:
            self._seats[following].sit_down()


class Seat:
    """One service's claim to the room of the machine: what its sidecar asks, and holds a start back for."""

    def __init__(self, driver: MachineDriver, name: str, perform: Callable[[Order], None]) -> None:
        """Order the model server about by `perform`."""
        self._driver = driver
        self._name = name
        self._perform = perform
        self._start_is_held = False

    def perform(self, order: Order) -> None:
        """Carry out an order at once, but for a start that still has no room."""
        self._start_is_held = order is Order.START and self._name not in self._driver.machine.inside
        if not self._start_is_held:
            self._perform(order)

    def sit_down(self) -> None:
        """Begin the set-up that waited for room."""
        if self._start_is_held:
            self.perform(Order.START)

    # -- as the sidecar asks --

    def claimed(self, claim: int | None, by: str) -> None:
        """Take in that a frontend wants this service here."""
        if claim is not None:
            self._driver.machine.claimed(self._name, claim, by, self._driver.clock())

    def may_set_up(self, claim: int | None) -> bool:
        """Take room, have somebody give way, or refuse."""
        driver = self._driver
        claim = CLAIM_NONE if claim is None else claim
        answer, victim = driver.machine.ask(self._name, claim, driver.occupants(), driver.clock())
        if victim is not None:
            _log.info("%s gives way to %s (claim %d)", victim, self._name, claim)
            driver.sidecars[victim].ask_retire(None)
        return answer is not Answer.FULL

    def left(self) -> None:
        """The model server has ended."""
        self._driver.freed(self._name)
