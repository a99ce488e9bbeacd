"""A whole pool on virtual time: real `Frontend` and real `MachineDriver` objects, with only the bytes, the
processes and the clock between them made up.

What is said over a control connection arrives one way later; a model server takes its time to start and to
stop, and its execution times are log-normal. More servers at a time than a machine has room for fail an
assertion.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import log
from random import Random
from typing import Any

from swayam_proxy.core.admission import HoldKey
from swayam_proxy.core.commands import (
    CancelHold,
    Command,
    ForwardRequest,
    PlaceHold,
    RejectRequest,
    WarmBackend,
)
from swayam_proxy.core.control_lines import Cancel, Full, Granted, Hold, Idle, Line, SetUpOrder, StateIs
from swayam_proxy.core.events import (
    BackendIdled,
    BackendReported,
    Event,
    HoldGranted,
    SetUpRefused,
    WakeupCame,
)
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.rendezvous import ordered
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    NEVER,
    BackendSpec,
    BackendState,
    DispatchPolicy,
    FrontendSpec,
    Outcome,
    QueueSpec,
    Refusal,
    RouteSpec,
    ServiceSpec,
    Sla,
)
from swayam_proxy.sidecar.driver import SidecarDriver
from swayam_proxy.sidecar.lifecycle import Order
from swayam_proxy.sidecar.machine import MachineDriver
from swayam_proxy.sidecar.settings import LifeSettings, ServerSettings, SidecarSettings

ONE_WAY_S = 0.0005
STOP_S = 0.2
THRESHOLD_S = 2.0
_SIGMA = 0.3


@dataclass
class Timer:
    """What `call_later` returns."""

    is_cancelled: bool = False

    def cancel(self) -> None:
        """Do nothing when the time has come."""
        self.is_cancelled = True


class VirtualLoop:
    """The one method of an event loop that sidecars use, on virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Timer, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()

    def call_later(self, delay_s: float, action: Callable[..., None], *words: Any) -> Timer:
        """Have `action(*words)` done after a while."""
        timer = Timer()
        entry = (self.now + max(0.0, delay_s), next(self._numbers), timer, action, words)
        heapq.heappush(self._heap, entry)
        return timer

    def run_until(self, until_s: float) -> None:
        """Do all that is due."""
        while self._heap and self._heap[0][0] <= until_s:
            when, _, timer, action, words = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            if not timer.is_cancelled:
                action(*words)
        self.now = until_s


@dataclass(frozen=True)
class ServiceLoad:
    """One service and its calls: pairs of until when, and how many a second."""

    name: str
    least: int
    phases: tuple[tuple[float, float], ...]


@dataclass
class Tally:
    """What became of the calls of one service."""

    calls_count: int = 0
    refused_count: int = 0
    responses_s: list[float] = field(default_factory=list)

    @property
    def in_time_share(self) -> float:
        """The share of the calls that were answered within the promise."""
        soon = sum(took_s <= THRESHOLD_S for took_s in self.responses_s)
        return soon / max(1, self.calls_count)


class Server:
    """One model server that is made up; tells its sidecar as `ModelServer` does."""

    def __init__(self, world: "PoolWorld", machine: int) -> None:
        self._world = world
        self._machine = machine
        self._life = 0
        self._runs = False
        self.sidecar: SidecarDriver

    def perform(self, order: Order) -> None:
        """Begin to carry out an order; it replaces the one before it."""
        loop, world = self._world.loop, self._world
        self._life += 1
        if order is Order.START:
            if not self._runs:
                self._runs = True
                world.servers_counts[self._machine] += 1
                assert world.servers_counts[self._machine] <= world.room_count, "more servers than room"
            world.setups_count += 1
            loop.call_later(world.setup_s, self._ready, self._life)
        else:
            loop.call_later(STOP_S if order is Order.STOP else 0.0, self._end, self._life)

    def _ready(self, life: int) -> None:
        if life == self._life:
            self.sidecar.server_healthy()

    def _end(self, life: int) -> None:
        if life == self._life:
            self._world.servers_counts[self._machine] -= self._runs
            self._runs = False
            self.sidecar.server_stopped()


class Link:
    """A control connection: lines become events one way later. Pings are left out: nobody dies here."""

    def __init__(self, world: "PoolWorld", number: int, service_name: str, index: int) -> None:
        self.frontend = f"f{number}"
        self.heard_at = 0.0
        self._world = world
        self._number = number
        self._place = (service_name, index)

    def say(self, line: Line) -> None:
        """Let the frontend hear a line of the sidecar."""
        event: Event
        match line:
            case StateIs(state, incarnation, setup_s):
                event = BackendReported(*self._place, state, incarnation, setup_s)
            case Granted(hold_id, _):
                event = HoldGranted(*self._place, hold_id)
            case Full(incarnation):
                event = SetUpRefused(*self._place, incarnation)
            case Idle():
                event = BackendIdled(*self._place)
            case _:
                raise AssertionError(line)
        self._world.loop.call_later(ONE_WAY_S, self._world.tell, self._number, event)

    def abort(self) -> None:
        """Never happens here."""
        raise AssertionError("a link was cut")


class PoolWorld:
    """F frontends before S services on M machines."""

    def __init__(
        self,
        loads: Sequence[ServiceLoad],
        *,
        machines_count: int,
        room_count: int,
        frontends_count: int = 2,
        setup_s: float = 5.0,
        idle_s: float = 30.0,
        execution_s: float = 0.2,
        tick_s: float = 2.0,
        seed: int = 1,
    ) -> None:
        self.loop = VirtualLoop()
        self.room_count, self.setup_s = room_count, setup_s
        self._rng = Random(seed)
        self._mu = log(execution_s) - 0.5 * _SIGMA**2
        self.servers_counts = [0] * machines_count
        self.setups_count = 0
        self.loads = {load.name: load for load in loads}
        self.tallies = {load.name: Tally() for load in loads}
        addresses = {f"m{number}:9001": 1.0 for number in range(machines_count)}
        self.orders = {
            load.name: [int(address[1:-5]) for address in ordered(load.name, addresses)] for load in loads
        }
        self.machines = [self._machine(number, idle_s) for number in range(machines_count)]
        specs = tuple(self._spec(load, execution_s, tick_s) for load in loads)
        self.frontends = [
            Frontend(FrontendSpec(f"f{n}", specs, frontends_count), Random(seed + n), 0.0)
            for n in range(frontends_count)
        ]
        self._links = {
            (n, name, index): Link(self, n, name, index)
            for n in range(frontends_count)
            for name, order in self.orders.items()
            for index in range(1, len(order) + 1)
        }
        self._woken_at = [float("inf")] * frontends_count
        for (_, name, index), link in self._links.items():
            self._sidecar(name, index).link_opened(link)  # type: ignore[arg-type]
        for load in loads:
            self._call_later(load)
        for n in range(frontends_count):
            self._arm(n)

    def _spec(self, load: ServiceLoad, execution_s: float, tick_s: float) -> ServiceSpec:
        return ServiceSpec(
            load.name,
            tuple(BackendSpec(f"m{number}:9001") for number in self.orders[load.name]),
            Sla(THRESHOLD_S, 0.99, 1.2),
            routes=(RouteSpec(f"/{load.name}"),),
            dispatch=DispatchPolicy.LATE_BINDING,
            setup_s=self.setup_s,
            execution_s=execution_s,
            prefix_min=load.least,
            tick_s=tick_s,
            shrink_hold_s=4.0 * tick_s,
            queue=QueueSpec(wait_s_max=60.0),
            set_up_on_demand=True,
            shares_machines=True,
        )

    def _machine(self, number: int, idle_s: float) -> MachineDriver:
        driver = MachineDriver(self.room_count, 5.0, None, lambda: self.loop.now)
        settings = SidecarSettings(ServerSettings(("serve",)), life=LifeSettings(idle_s=idle_s))
        for name in self.loads:
            server = Server(self, number)
            seat = driver.seat(name, server.perform)
            loop: Any = self.loop
            server.sidecar = SidecarDriver(
                settings, loop, lambda: self.loop.now, seat.perform, name=name, room=seat
            )
            driver.add(server.sidecar)
        return driver

    def _sidecar(self, name: str, index: int) -> SidecarDriver:
        return self.machines[self.orders[name][index - 1]].sidecars[name]

    # -- what is the case --

    def states_of(self, name: str) -> list[BackendState]:
        """Return what a service is on each machine, in its order."""
        return [self._sidecar(name, index).life.state for index in range(1, len(self.machines) + 1)]

    def warm_count(self, name: str) -> int:
        """Return how many backends of a service are warm."""
        return self.states_of(name).count(BackendState.WARM)

    # -- calls --

    def _rate_per_s(self, load: ServiceLoad) -> float:
        return next((rate for until_s, rate in load.phases if self.loop.now < until_s), 0.0)

    def _call_later(self, load: ServiceLoad) -> None:
        """Arrivals at the highest rate, of which those beyond the present one are left out."""
        highest = max(rate for _, rate in load.phases)
        self.loop.call_later(self._rng.expovariate(highest), self._maybe_call, load, highest)

    def _maybe_call(self, load: ServiceLoad, highest: float) -> None:
        if self._rng.random() * highest < self._rate_per_s(load):
            self.call(load.name)
        if self.loop.now < load.phases[-1][0]:
            self._call_later(load)

    def call(self, name: str) -> None:
        """Let one call come to one of the frontends."""
        self.tallies[name].calls_count += 1
        number = self._rng.randrange(len(self.frontends))
        self._admitted(number, name, self.frontends[number].admit(name, self.loop.now))

    def _admitted(self, number: int, name: str, admission: Ticket | Refusal) -> None:
        if isinstance(admission, Refusal):
            self.tallies[name].refused_count += 1
        elif admission.backend_index:
            self.loop.call_later(ONE_WAY_S, self._reached, number, admission)
        self.perform(number, self.frontends[number].take_orders(name))

    def _reached(self, number: int, ticket: Ticket) -> None:
        name = ticket.service_name
        sidecar = self._sidecar(name, ticket.backend_index)
        grant: HoldKey | None = (f"f{number}", ticket.grant) if ticket.grant else None
        running = sidecar.admit(name, self, self.loop.now, NEVER, grant=grant)  # type: ignore[arg-type]
        if isinstance(running, Refusal):
            self.loop.call_later(ONE_WAY_S, self._busy, number, ticket)
            return
        self.loop.call_later(
            self._rng.lognormvariate(self._mu, _SIGMA), self._executed, number, ticket, sidecar, running
        )

    def _busy(self, number: int, ticket: Ticket) -> None:
        self._admitted(number, ticket.service_name, self.frontends[number].busy(ticket, self.loop.now))

    def _executed(self, number: int, ticket: Ticket, sidecar: SidecarDriver, running: Ticket) -> None:
        idle = sidecar.nobody_waits()
        running.is_hinted = idle  # type: ignore[attr-defined]
        sidecar.finish(running, Outcome.SERVED, self.loop.now)
        self.loop.call_later(ONE_WAY_S, self._answered, number, ticket, idle)

    def _answered(self, number: int, ticket: Ticket, idle: bool) -> None:
        now = self.loop.now
        self.tallies[ticket.service_name].responses_s.append(now - ticket.arrived_at)
        self.perform(number, self.frontends[number].finish(ticket, Outcome.SERVED, now, idle=idle))

    # -- frontends --

    def tell(self, number: int, event: Event) -> None:
        """Let a frontend hear a fact."""
        self.perform(number, self.frontends[number].handle(event, self.loop.now))

    def perform(self, number: int, commands: Sequence[Command]) -> None:
        """Carry out a frontend's orders."""
        for command in commands:
            match command:
                case ForwardRequest(ticket):
                    self.loop.call_later(ONE_WAY_S, self._reached, number, ticket)
                case RejectRequest(ticket, _):
                    self.tallies[ticket.service_name].refused_count += 1
                case WarmBackend(name, index, incarnation, claim):
                    self._say(number, name, index, SetUpOrder(incarnation, claim))
                case PlaceHold(name, index, hold_id, age_s):
                    self._say(number, name, index, Hold(hold_id, age_s))
                case CancelHold(name, index, hold_id):
                    self._say(number, name, index, Cancel(hold_id))
        self._arm(number)

    def _say(self, number: int, name: str, index: int, line: Line) -> None:
        link, sidecar = self._links[number, name, index], self._sidecar(name, index)
        self.loop.call_later(ONE_WAY_S, sidecar.link_said, link, line)

    def _arm(self, number: int) -> None:
        when = self.frontends[number].next_wakeup()
        if when < self._woken_at[number]:
            self._woken_at[number] = when
            self.loop.call_later(when - self.loop.now, self._wake, number, when)

    def _wake(self, number: int, due: float) -> None:
        if self._woken_at[number] == due:
            self._woken_at[number] = float("inf")
            self.tell(number, WakeupCame())
