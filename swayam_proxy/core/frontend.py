"""One proxy's rules, whole: facts in, orders out. The live process and the simulator run this very class.

No I/O, no clock, no dice: `now` is monotonic seconds, `rng` is handed in. On the request path it is called by
plain methods that return small values; what happens beside it arrives by `handle`.
"""

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from swayam_proxy.core.commands import Command
from swayam_proxy.core.events import (
    BackendIdled,
    BackendProbed,
    BackendReported,
    DrainBegan,
    Event,
    HoldGranted,
    PeersCounted,
    PeersHeard,
    SetUpRefused,
    WakeupCame,
)
from swayam_proxy.core.explanation import Explanation, explain
from swayam_proxy.core.model.execution import ExecutionSummary
from swayam_proxy.core.routing import RouteMatch, Router
from swayam_proxy.core.service import Service
from swayam_proxy.core.snapshot import FrontendSnapshot
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    NEVER,
    Fault,
    FrontendSpec,
    Outcome,
    Refusal,
    Rng,
)


class Frontend:
    """A frontend with its services; N of them run side by side and never talk to a coordinator."""

    def __init__(self, spec: FrontendSpec, rng: Rng, now: float) -> None:
        """Begin at `now`, with the services' decisions spread evenly over their tick."""
        self.spec = spec
        self._router = Router(spec.services)
        self._frontends_count = spec.frontends_count
        self._draining = False
        self._services: dict[str, Service] = {
            service.name: Service(service, rng, now, spec.frontends_count) for service in spec.services
        }
        self._wakeups: list[tuple[float, int]] = []
        """A heap of (when, position of the service); entries that a later one replaced are skipped."""
        self._ordered = tuple(self._services.values())
        for position, service in enumerate(self._ordered):
            service.position = position
            service.scaling.decide_at += service.spec.tick_s * position / len(self._services)
            self.reschedule(service)

    @property
    def service_names(self) -> tuple[str, ...]:
        """The names of all services, in the order of the configuration."""
        return self._router.service_names

    # -- the request path --

    def service(self, name: str) -> Service:
        """Return the rules of one service, for a driver whose requests cannot afford the way through here.

        Whoever lets it admit a request that waits, or finish one with a fault, calls `reschedule` next.
        """
        return self._services[name]

    def route(self, host: str, path: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> RouteMatch | None:
        """Return the service that a request is for; None when no route matches."""
        return self._router.match(host, path, fields)

    def admit(
        self, service_name: str, now: float, deadline: float = NEVER, *, replayable: bool = True
    ) -> Ticket | Refusal:
        """Count an arrival; return its ticket, booked or waiting, or why it is not taken.

        `replayable` tells that the whole request is at hand, so that it can be sent to a second backend when
        the first says "busy". A ticket that waits may have left orders: see `take_orders`.
        """
        service = self._services[service_name]
        admission = service.admit(now, deadline, replayable)
        if isinstance(admission, Ticket) and not admission.backend_index:
            self.reschedule(service)
        return admission

    def rebook(self, ticket: Ticket, fault: Fault, now: float) -> Ticket | Refusal:
        """Book another backend for a request of which nothing was sent; a refusal ends the ticket."""
        service = self._services[ticket.service_name]
        admission = service.rebook(ticket, fault, now)
        self.reschedule(service)
        return admission

    def busy(self, ticket: Ticket, now: float) -> Ticket | Refusal:
        """Take in that the booked backend has no slot: the request is booked elsewhere, or waits."""
        service = self._services[ticket.service_name]
        admission = service.busy(ticket, now)
        self.reschedule(service)
        return admission

    def take_orders(self, service_name: str) -> Sequence[Command]:
        """Return what `admit` and `busy` made necessary beside the request itself, each order once."""
        return self._services[service_name].take_orders()

    def finish(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        *,
        execution_s: float | None = None,
        fault: Fault | None = None,
        idle: bool = False,
    ) -> Sequence[Command]:
        """End a booked request: exactly once for every ticket that was not refused.

        `execution_s` is what the backend measured itself; `idle` that nobody waits there for the slot.
        """
        service = self._services[ticket.service_name]
        commands = service.finish(ticket, outcome, now, execution_s=execution_s, fault=fault, idle=idle)
        if fault is not None:
            self.reschedule(service)
        return commands

    def cancel(self, ticket: Ticket, now: float) -> Sequence[Command]:
        """End a request whose client left; harmless when it has ended already."""
        return self._services[ticket.service_name].cancel(ticket, now)

    # -- the slow path --

    def handle(self, event: Event, now: float) -> Sequence[Command]:
        """Take in a fact; return the orders that follow from it."""
        match event:
            case WakeupCame():
                return self._wake_one(now)
            case BackendProbed(service_name, index, healthy):
                service = self._services[service_name]
                commands = service.backend_probed(index, healthy, now)
            case BackendReported(service_name, index, state, incarnation, setup_s):
                service = self._services[service_name]
                commands = service.backend_reported(index, state, incarnation, setup_s, now)
            case SetUpRefused(service_name, index, incarnation):
                service = self._services[service_name]
                commands = service.setup_refused(index, incarnation, now)
            case HoldGranted(service_name, index, hold_id):
                service = self._services[service_name]
                commands = service.granted(index, hold_id, now)
            case BackendIdled(service_name, index):
                service = self._services[service_name]
                commands = service.idled(index, now)
            case PeersCounted(frontends_count):
                self._frontends_count = max(1, frontends_count)
                return ()
            case PeersHeard(service_name, fresh_count, rate_per_s, execution):
                self._services[service_name].scaling.peers_heard(fresh_count, rate_per_s, execution)
                return ()
            case DrainBegan():
                self._draining = True
                return [command for each in self._ordered for command in each.drain(now)]
        self.reschedule(service)
        return commands

    def next_wakeup(self) -> float:
        """Return when `handle(WakeupCame())` is due; a time that has passed means at once."""
        wakeups = self._wakeups
        while wakeups:
            when, position = wakeups[0]
            if self._ordered[position].scheduled_at == when:
                return when
            heappop(wakeups)
        return NEVER

    def reschedule(self, service: Service) -> None:
        """See to it that `next_wakeup` knows when the service wants to be woken."""
        when = service.next_wakeup
        if when != service.scheduled_at and when < NEVER:
            service.scheduled_at = when
            heappush(self._wakeups, (when, service.position))

    def _wake_one(self, now: float) -> Sequence[Command]:
        """Wake the most overdue service only, so that no call takes longer than one decision."""
        if self.next_wakeup() > now:
            return ()
        service = self._ordered[heappop(self._wakeups)[1]]
        service.scheduled_at = NEVER
        commands = service.wake(now, self._frontends_count)
        self.reschedule(service)
        return commands

    def own_arrivals(self, service_name: str, now: float) -> int:
        """Return how many calls of a service came to this frontend in all seconds that have passed."""
        return self._services[service_name].scaling.load.own_arrivals(now)

    def own_executions(self, service_name: str, now: float) -> ExecutionSummary:
        """Return what this frontend has measured of a service's execution times, for its peers."""
        return self._services[service_name].own_executions(now)

    def explain(self, now: float) -> tuple[Explanation, ...]:
        """Return why each service's prefix is what it is; services that have not decided yet are left out."""
        return tuple(
            explain(scaling.rule.terms, scaling.rule.inputs, scaling.decision, scaling.rule.since, now)
            for scaling in (service.scaling for service in self._ordered)
            if scaling.decision is not None and scaling.rule.inputs is not None
        )

    def snapshot(self, now: float) -> FrontendSnapshot:
        """Return what is known now; alters nothing."""
        return FrontendSnapshot(
            frontend_id=self.spec.frontend_id,
            frontends_estimate=self._frontends_count,
            draining=self._draining,
            services=tuple(service.snapshot(now) for service in self._ordered),
        )
