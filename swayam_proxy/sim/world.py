"""Swayam on virtual time: real `core.frontend.Frontend` objects before simulated backends and a simulated
network.

Performs the core's commands as `live/driver.py` does, and ends in the same `assert_never`. Nothing of the
rules is written again here: what the frontends decide is what they would decide live.
"""

from collections.abc import Sequence
from typing import assert_never

import numpy as np

from swayam_proxy.core.commands import (
    CancelHold,
    Command,
    ForwardRequest,
    PlaceHold,
    RecordDecision,
    RejectRequest,
    WarmBackend,
)
from swayam_proxy.core.events import BackendReported, Event, WakeupCame
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    NEVER,
    BackendSpec,
    BackendState,
    Decision,
    DispatchPolicy,
    Fault,
    FrontendSpec,
    Outcome,
    QueueSpec,
    Refusal,
    ServiceSpec,
    Sla,
)
from swayam_proxy.sim.engine import Engine, Progress
from swayam_proxy.sim.fleet import Fleet
from swayam_proxy.sim.network import Network
from swayam_proxy.sim.peers import Peers
from swayam_proxy.sim.record import FAILED, REFUSED, ResponseLog, RunRecord
from swayam_proxy.sim.roads import SERVICE, PlainRoad, Road, SidecarRoad
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.streams import array_stream, scalar_stream
from swayam_proxy.sim.workload import Workload

_AFTERLIFE_S = 3600.0
"""How long after the last arrival requests may still end."""


def service_spec(scenario: Scenario, workload: Workload) -> ServiceSpec:
    """Return what each frontend is told of the one service."""
    threshold_s = scenario.threshold_s(workload.execution_mean_s)
    return ServiceSpec(
        name=SERVICE,
        backends=tuple(
            BackendSpec(f"backend-{index}", scenario.slots) for index in range(1, scenario.backends_count + 1)
        ),
        sla=Sla(threshold_s, scenario.level, scenario.burst),
        dispatch=scenario.dispatch,
        setup_s=scenario.setup_s,
        execution_s=workload.execution_mean_s,
        prefix_start=max(1, scenario.warm_at_start),
        shrink_hold_s=scenario.shrink_hold_s,
        tick_s=scenario.tick_s,
        queue=QueueSpec(count_max=100_000, wait_s_max=max(30.0, scenario.setup_s + threshold_s)),
        set_up_on_demand=True,
    )


class World:
    """One run of Swayam: F frontends, N backends, one service."""

    def __init__(self, scenario: Scenario, workload: Workload) -> None:
        """Build everything at time 0; the first `warm_at_start` backends are warm, and every frontend knows
        it.
        """
        self._scenario = scenario
        self._workload = workload
        self._engine = Engine()
        self._network = Network(scenario, scalar_stream(scenario.seed, "network"))
        self._log = ResponseLog(workload.requests_count)
        self._threshold_s = scenario.threshold_s(workload.execution_mean_s)
        self._shed_after_s = self._threshold_s - workload.execution_mean_s if scenario.shed_late else NEVER
        # views give plain floats without a list of them: at ten million requests memory is what counts
        self._arrivals_s = np.ascontiguousarray(workload.arrivals_s).data
        self._executions_s = np.ascontiguousarray(workload.executions_s).data
        self._entrances = self._split()
        self._fleet = Fleet(
            self._engine,
            scalar_stream(scenario.seed, "fleet"),
            backends_count=scenario.backends_count,
            slots=scenario.slots,
            setup_s=scenario.setup_s,
            setup_cv=scenario.setup_cv,
            idle_s=scenario.idle_s,
            bill_until_s=workload.duration_s,
        )
        spec = service_spec(scenario, workload)
        self._frontends = [
            Frontend(
                FrontendSpec(f"frontend-{number}", (spec,), scenario.frontends_count),
                scalar_stream(scenario.seed, "frontend", number),
                0.0,
            )
            for number in range(scenario.frontends_count)
        ]
        self._armed = [NEVER] * scenario.frontends_count
        self._road = self._make_road()
        self._peers = Peers(scenario, scalar_stream(scenario.seed, "gossip"))
        self.decisions: list[tuple[int, Decision]] = []
        """(frontend, decision) in order, when `keep_decisions` asks for them."""
        self.keep_decisions = False
        self._prefixes: list[tuple[float, int]] = []
        self._rebooked_count = 0
        self._fleet.begin_warm(scenario.warm_at_start)
        self._fleet.listener = self._state_changed
        for number in range(scenario.frontends_count):
            for index in range(1, scenario.warm_at_start + 1):
                self.tell(number, BackendReported(SERVICE, index, BackendState.WARM))
            self._arm(number)
        if scenario.gossip_s is not None and scenario.frontends_count > 1:
            self._engine.call_at(scenario.gossip_s, self._gossip, scenario.gossip_s)
        for crash in scenario.crashes:
            self._engine.call_at(crash.at_s, self._crash, crash.backend_index)

    def _make_road(self) -> Road:
        scenario = self._scenario
        if scenario.dispatch is DispatchPolicy.LATE_BINDING:
            return SidecarRoad(
                self._engine,
                self._fleet,
                self._network,
                self,
                self._executions_s,
                scenario.slots,
                scenario.frontends_count,
            )
        return PlainRoad(self._engine, self._fleet, self._network, self, self._executions_s)

    def _split(self) -> Sequence[int]:
        """Return each request's frontend: even at random, or with the first one's share fixed."""
        scenario, count = self._scenario, self._workload.requests_count
        rng = array_stream(scenario.seed, "split")
        frontends = scenario.frontends_count
        if scenario.first_frontend_share is None or frontends == 1:
            numbers = rng.integers(0, frontends, count)
        else:
            others = rng.integers(1, frontends, count)
            numbers = np.where(rng.random(count) < scenario.first_frontend_share, 0, others)
        return numbers.astype(np.uint16).data

    def run(self, progress: Progress | None = None) -> RunRecord:
        """Play the workload to its end and return what came of it."""
        self._engine.run_arrivals(self._workload.arrivals_s, self._arrived, progress)
        self._engine.run_until(self._workload.duration_s)
        backend_seconds = self._fleet.backend_seconds()
        wanted = self._workload.requests_count
        self._engine.run_until(self._engine.now + _AFTERLIFE_S, lambda: self._log.ended_count >= wanted)
        scenario = self._scenario
        return RunRecord(
            policy="swayam",
            response_time_s=self._threshold_s,
            level=scenario.level,
            setup_s=scenario.setup_s,
            idle_s=scenario.idle_s,
            responses_s=self._log.as_array(),
            backend_seconds=backend_seconds,
            peak_backends=self._fleet.peak_count,
            setups_count=self._fleet.setups_count,
            changes=tuple(self._fleet.changes),
            prefixes=tuple(self._prefixes),
            rebooked_count=self._rebooked_count,
            messages_count=self._road.messages_count,
        )

    # -- a request's road --

    def _arrived(self, position: int) -> None:
        now = self._engine.now
        number = self._entrances[position]
        admission = self._frontends[number].admit(SERVICE, now, now + self._shed_after_s)
        if isinstance(admission, Refusal):
            self._end(position, REFUSED)
            return
        admission.owner = position
        if admission.backend_index:
            self._road.send(number, admission)
        else:
            self._perform(number, self._frontends[number].take_orders(SERVICE))

    def answered(self, number: int, ticket: Ticket, *, idle: bool = False) -> None:
        """End a served request at its frontend."""
        position = ticket.owner
        now = self._engine.now
        self._end(position, now - self._arrivals_s[position])
        commands = self._frontends[number].finish(
            ticket, Outcome.SERVED, now, execution_s=self._executions_s[position], idle=idle
        )
        if commands:
            self._perform(number, commands)

    def refused(self, number: int, ticket: Ticket) -> None:
        """Try another backend: nobody listened, so nothing was sent."""
        self._rebooked_count += 1
        self._go_on(number, ticket, self._frontends[number].rebook(ticket, Fault.REFUSED, self._engine.now))

    def busy(self, number: int, ticket: Ticket) -> None:
        """Try another backend, or wait: the sidecar had no slot."""
        self._go_on(number, ticket, self._frontends[number].busy(ticket, self._engine.now))

    def _go_on(self, number: int, ticket: Ticket, admission: Ticket | Refusal) -> None:
        if isinstance(admission, Refusal):
            self._end(ticket.owner, REFUSED)
        elif admission.backend_index:
            self._road.send(number, admission)
        self._perform(number, self._frontends[number].take_orders(SERVICE))

    def broken(self, number: int, ticket: Ticket) -> None:
        """End a request that died with its backend: it was sent, so it is lost."""
        self._end(ticket.owner, FAILED)
        now = self._engine.now
        self._perform(
            number, self._frontends[number].finish(ticket, Outcome.UNUSABLE, now, fault=Fault.RESET)
        )

    def _end(self, position: int, response_s: float) -> None:
        self._log.times_s[position] = response_s
        self._log.ended_count += 1

    # -- the frontends' orders --

    def _perform(self, number: int, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:  # the frequent ones first
                case PlaceHold():
                    self._road.place_hold(number, command)
                case CancelHold():
                    self._road.cancel_hold(number, command)
                case ForwardRequest(ticket):
                    self._road.send(number, ticket)
                case WarmBackend(_, index, incarnation):
                    # an order for what is warm only keeps it from idling: nobody waits for an answer
                    if not self._fleet.renew(index, incarnation):
                        when = self._engine.now + self._network.delay_s()
                        self._engine.call_at(when, self._set_up, number, command)
                case RejectRequest(ticket, _):
                    self._end(ticket.owner, REFUSED)
                case RecordDecision(decision, _):
                    self._decided(number, decision)
                case _:
                    assert_never(command)
        self._arm(number)

    def _decided(self, number: int, decision: Decision) -> None:
        arrivals_count = self._frontends[number].own_arrivals(SERVICE, decision.at)
        self._peers.decided(number, decision, arrivals_count)
        if number == 0 and (not self._prefixes or self._prefixes[-1][1] != decision.prefix):
            self._prefixes.append((decision.at, decision.prefix))
        if self.keep_decisions:
            self.decisions.append((number, decision))

    def _arm(self, number: int) -> None:
        """Have the frontend woken when it wants to be, unless an earlier or equal call stands already."""
        when = self._frontends[number].next_wakeup()
        if when < self._armed[number]:
            self._armed[number] = when
            self._engine.call_at(max(when, self._engine.now), self._wake, number, when)

    def _wake(self, number: int, armed: float) -> None:
        if armed != self._armed[number]:
            return  # an earlier call took its place
        self._armed[number] = NEVER
        self._perform(number, self._frontends[number].handle(WakeupCame(), self._engine.now))

    # -- what the frontends hear --

    def tell(self, number: int, event: Event) -> None:
        """Let a frontend hear a fact, and do what it then says."""
        self._perform(number, self._frontends[number].handle(event, self._engine.now))

    def _gossip(self, interval_s: float, _: object) -> None:
        now = self._engine.now
        self._peers.exchange()
        self._peers.exchange_statistics(lambda each: self._frontends[each].own_executions(SERVICE, now), now)
        for number, frontend in enumerate(self._frontends):
            frontend.handle(self._peers.heard_by(number, SERVICE, now), now)
        self._engine.call_at(now + interval_s, self._gossip, interval_s)

    def _set_up(self, number: int, order: WarmBackend) -> None:
        """Let a backend hear an order; one that is not cold answers with its state, under the order's
        number.
        """
        index = order.backend_index
        if self._fleet.set_up(index, order.incarnation):
            return  # all frontends hear of it
        backend = self._fleet.backends[index]
        backend.incarnation = max(backend.incarnation, order.incarnation)
        event = BackendReported(SERVICE, index, backend.state, backend.incarnation)
        self._engine.call_at(self._engine.now + self._network.delay_s(), self.tell, number, event)

    def _state_changed(self, index: int) -> None:
        """Let every frontend hear of a backend's new state, one way later."""
        backend = self._fleet.backends[index]
        warm = backend.state is BackendState.WARM
        if warm:
            self._road.set_up(index)
        setup_s = backend.setup_s if warm else None
        event = BackendReported(SERVICE, index, backend.state, backend.incarnation, setup_s)
        for number in range(len(self._frontends)):
            self._engine.call_at(self._engine.now + self._network.delay_s(), self.tell, number, event)

    def _crash(self, index: int, _: object) -> None:
        if self._fleet.crash(index):
            self._road.crash(index)
