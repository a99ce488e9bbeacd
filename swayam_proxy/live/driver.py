"""Performs the orders of `core.Frontend` on the real network, and tells it the time.

The one place of the live process that calls the rules. It arms a single timer for their next wake-up;
requests reach it through `Exchange` objects, which it calls back when a queued request gets a slot or is
refused.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, assert_never

from swayam_proxy.core.commands import (
    CancelHold,
    Command,
    ForwardRequest,
    PlaceHold,
    RecordDecision,
    RejectRequest,
    WarmBackend,
)
from swayam_proxy.core.events import Event, WakeupCame
from swayam_proxy.core.routing import RouteMatch
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER, Fault, Outcome, Refusal, ServiceSpec

if TYPE_CHECKING:
    # a sidecar uses the interfaces below, but none of the models that these bring with them
    from swayam_proxy.core.explanation import Explanation
    from swayam_proxy.core.frontend import Frontend
    from swayam_proxy.core.snapshot import FrontendSnapshot

_TIMER_S_MAX = 3600.0

BackendOrder = WarmBackend | PlaceHold | CancelHold
"""What is said to a backend's sidecar beside the requests themselves."""


class Exchange(Protocol):
    """One request of a client, as far as the rules call back."""

    def forward(self, ticket: Ticket) -> None:
        """Send the request to `ticket.backend_address`: it has waited and got a slot."""

    def reject(self, refusal: Refusal) -> None:
        """Answer the request, which has waited, with the refusal. Its ticket has ended."""


class RequestDriver(Protocol):
    """The rules as the data plane calls them; a sidecar has its own (`swayam_proxy/sidecar`)."""

    clock: Callable[[], float]
    """Monotonic seconds."""

    @property
    def services(self) -> tuple[ServiceSpec, ...]:
        """What is served."""

    def route(self, host: str, path: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> RouteMatch | None:
        """Return the service that a request is for."""

    def admit(
        self, service_name: str, exchange: Exchange, now: float, deadline: float, replayable: bool
    ) -> Ticket | Refusal:
        """Admit a request; one that has to wait is called back."""

    def busy(self, ticket: Ticket) -> Ticket | Refusal:
        """Tell that the booked backend has no slot."""

    def rebook(self, ticket: Ticket, fault: Fault) -> Ticket | Refusal:
        """Book another backend for a request of which nothing was sent."""

    def finish(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        execution_s: float | None = None,
        fault: Fault | None = None,
        idle: bool = False,
    ) -> None:
        """End a booked request."""

    def cancel(self, ticket: Ticket) -> None:
        """End a request whose client left."""


class Driver:
    """Runs one frontend on one event loop."""

    __slots__ = (
        "_armed_at",
        "_loop",
        "_on_backend_order",
        "_on_decision",
        "_services",
        "_stopped",
        "_timer",
        "_wakeup_s_max",
        "_wakeups_count",
        "_wakeups_s",
        "clock",
        "frontend",
    )

    def __init__(
        self,
        frontend: "Frontend",
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_decision: Callable[[RecordDecision], None] = lambda _: None,
        on_backend_order: Callable[[BackendOrder], None] = lambda _: None,
    ) -> None:
        """Drive `frontend`; `clock` gives monotonic seconds, the callbacks must not block."""
        self.frontend = frontend
        self._services = {name: frontend.service(name) for name in frontend.service_names}
        self.clock = clock
        self._loop = loop
        self._on_decision = on_decision
        self._on_backend_order = on_backend_order
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = NEVER
        self._stopped = False
        self._wakeup_s_max = 0.0
        self._wakeups_count = 0
        self._wakeups_s = 0.0

    @property
    def services(self) -> tuple[ServiceSpec, ...]:
        """What is served."""
        return self.frontend.spec.services

    def start(self) -> None:
        """Arm the first wake-up."""
        self._arm()

    def stop(self) -> None:
        """Disarm: no wake-up comes any more; requests in flight can still be finished."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stopped = True

    # -- the request path --

    def route(self, host: str, path: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> RouteMatch | None:
        """Return the service that a request is for."""
        return self.frontend.route(host, path, fields)

    def admit(
        self, service_name: str, exchange: Exchange, now: float, deadline: float, replayable: bool
    ) -> Ticket | Refusal:
        """Admit a request for `exchange`, which is called back if it has to wait.

        `replayable`: all of it is at hand, so that it can be sent again after a backend said "busy".
        """
        service = self._services[service_name]
        admission = service.admit(now, deadline, replayable)
        if isinstance(admission, Ticket):
            admission.owner = exchange
            if not admission.backend_index:
                self.frontend.reschedule(service)
                self.perform(service.take_orders())
        return admission

    def busy(self, ticket: Ticket) -> Ticket | Refusal:
        """Tell that the booked backend has no slot: the ticket is booked elsewhere, waits, or is refused."""
        admission = self.frontend.busy(ticket, self.clock())
        self.perform(self.frontend.take_orders(ticket.service_name))
        return admission

    def rebook(self, ticket: Ticket, fault: Fault) -> Ticket | Refusal:
        """Book another backend for a request of which nothing was sent."""
        admission = self.frontend.rebook(ticket, fault, self.clock())
        self._arm()
        return admission

    def finish(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        execution_s: float | None = None,
        fault: Fault | None = None,
        idle: bool = False,
    ) -> None:
        """End a booked request; `idle`: the backend said that nobody waits there for the slot."""
        service = self._services[ticket.service_name]
        commands = service.finish(ticket, outcome, now, execution_s, fault, idle)
        ticket.owner = None
        if fault is not None:
            self.frontend.reschedule(service)
            self.perform(commands)
        elif commands:
            self.perform(commands)

    def cancel(self, ticket: Ticket) -> None:
        """End a request whose client left, booked or waiting."""
        commands = self.frontend.cancel(ticket, self.clock())
        ticket.owner = None
        if commands:
            self.perform(commands)

    # -- the slow path --

    def handle(self, event: Event) -> None:
        """Tell the rules a fact and do what they say."""
        self.perform(self.frontend.handle(event, self.clock()))

    def explain(self) -> "tuple[Explanation, ...]":
        """Return why each service's prefix is what it is."""
        return self.frontend.explain(self.clock())

    def snapshot(self) -> "FrontendSnapshot":
        """Return what the rules know now."""
        return self.frontend.snapshot(self.clock())

    def decision_time(self) -> tuple[int, float, float]:
        """Return how many wake-ups there were, how long they took together, and the longest.

        Seconds in which the loop did nothing else; decisions are most of them.
        """
        return self._wakeups_count, self._wakeups_s, self._wakeup_s_max

    def perform(self, commands: Sequence[Command]) -> None:
        """Carry out orders, then arm the next wake-up."""
        for command in commands:
            match command:
                case ForwardRequest(ticket):
                    ticket.owner.forward(ticket)
                case RejectRequest(ticket, refusal):
                    owner, ticket.owner = ticket.owner, None
                    owner.reject(refusal)
                case WarmBackend() | PlaceHold() | CancelHold():
                    self._on_backend_order(command)
                case RecordDecision():
                    self._on_decision(command)
                case _:
                    assert_never(command)
        self._arm()

    def _arm(self) -> None:
        when = self.frontend.next_wakeup()
        if self._stopped or when >= self._armed_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_s = min(_TIMER_S_MAX, max(0.0, when - self.clock()))
        self._armed_at = when
        self._timer = self._loop.call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        due, self._armed_at = self._armed_at, NEVER
        # a timer may fire a hair early: the rules are told the time that they asked for, so it cannot loop
        began = self.clock()
        now = max(began, due) if due < began + 0.1 else began
        self.perform(self.frontend.handle(WakeupCame(), now))
        took_s = self.clock() - began
        self._wakeups_count += 1
        self._wakeups_s += took_s
        self._wakeup_s_max = max(self._wakeup_s_max, took_s)
