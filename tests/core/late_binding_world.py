"""Late binding played out message by message: real frontends, real admission, a network with delay and loss.

Used by the tests of the protocol and by its experiments. Everything the live parts say to each other is a
message here: requests (tries and granted ones), busy replies, holds, grants, cancels, answers.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, log, sqrt
from random import Random

from swayam_proxy.core.admission import Admission, Grant
from swayam_proxy.core.commands import CancelHold, Command, ForwardRequest, PlaceHold, RejectRequest
from swayam_proxy.core.events import BackendReported, HoldGranted, WakeupCame
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    BackendSpec,
    BackendState,
    DispatchPolicy,
    Fault,
    FrontendSpec,
    LateBindingSpec,
    Outcome,
    QueueSpec,
    Refusal,
    ServiceSpec,
    Sla,
)


@dataclass
class Tally:
    """What happened in a run."""

    waits_s: list[float] = field(default_factory=list)
    responses_s: list[float] = field(default_factory=list)
    messages_count: int = 0
    admitted_count: int = 0
    ended_count: int = 0
    refused_count: int = 0


class World:
    """F frontends before n backends of one service."""

    def __init__(
        self,
        *,
        frontends_count: int = 8,
        backends_count: int = 12,
        round_trip_s: float = 0.0005,
        loss: float = 0.0,
        execution_s: float = 0.05,
        cv: float = 0.3,
        late_binding: LateBindingSpec | None = None,
        lease_s: float = 0.05,
        seed: int = 1,
    ) -> None:
        self.now = 0.0
        self.rng = Random(seed)
        self.loss = loss
        self.one_way_s = round_trip_s / 2.0
        self._sigma = sqrt(log(1.0 + cv * cv))
        self._mu = log(execution_s) - self._sigma**2 / 2.0
        self.tally = Tally()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        spec = ServiceSpec(
            name="s",
            backends=tuple(BackendSpec(f"b{k}") for k in range(backends_count)),
            sla=Sla(5 * execution_s, 0.99, 1.0),
            dispatch=DispatchPolicy.LATE_BINDING,
            execution_s=execution_s,
            prefix_min=backends_count,
            queue=QueueSpec(count_max=100_000, wait_s_max=1000.0),
            late_binding=late_binding or LateBindingSpec(),
            tick_s=10.0,
        )
        self.frontends = [
            Frontend(FrontendSpec(f"f{k}", (spec,), frontends_count), Random(seed * 1000 + k), 0.0)
            for k in range(frontends_count)
        ]
        self.backends = [Admission(1, lease_s=lease_s) for _ in range(backends_count)]
        self.alive = [True] * backends_count
        self.life = [0] * backends_count
        self._woken_at = [float("inf")] * frontends_count
        self._expiring_at = [float("inf")] * backends_count
        for f in range(frontends_count):
            self._arm_frontend(f)

    # -- the world's clockwork --

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Let something happen at a moment."""
        self._sequence += 1
        heapq.heappush(self._events, (when, self._sequence, what))

    def send(self, what: Callable[[], None], *, may_be_lost: bool = True) -> None:
        """Let a message arrive after one way; control messages may get lost."""
        self.tally.messages_count += 1
        if may_be_lost and self.loss and self.rng.random() < self.loss:
            return
        self.at(self.now + self.one_way_s, what)

    def run(self, until: float) -> None:
        """Play everything that happens until then."""
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = until

    def poisson(self, rate_per_s: float, until: float) -> None:
        """Let requests arrive at random frontends until then."""
        when = self.now + self.rng.expovariate(rate_per_s)
        if when > until:
            return

        def arrive() -> None:
            self.arrive(self.rng.randrange(len(self.frontends)))
            self.poisson(rate_per_s, until)

        self.at(when, arrive)

    # -- frontends --

    def arrive(self, f: int) -> None:
        """A client's request comes to frontend f."""
        self.tally.admitted_count += 1
        self._admitted(f, self.frontends[f].admit("s", self.now))

    def _admitted(self, f: int, admission: Ticket | Refusal) -> None:
        if isinstance(admission, Refusal):
            self.tally.refused_count += 1
        elif admission.backend_index:
            self._forward(f, admission)
        self.perform(f, self.frontends[f].take_orders("s"))

    def perform(self, f: int, commands: "list[Command] | tuple[Command, ...] | object") -> None:
        """Carry out a frontend's orders."""
        for command in commands:  # type: ignore[attr-defined]
            match command:
                case ForwardRequest(ticket):
                    self._forward(f, ticket)
                case RejectRequest():
                    self.tally.refused_count += 1
                case PlaceHold(_, index, hold_id, age_s):
                    self.send(lambda i=index - 1, h=hold_id, a=age_s: self._hold(i, f, h, a))
                case CancelHold(_, index, hold_id):
                    self.send(lambda i=index - 1, h=hold_id: self._cancel(i, f, h))
        self._arm_frontend(f)

    def _forward(self, f: int, ticket: Ticket) -> None:
        index, grant = ticket.backend_index - 1, ticket.grant
        self.send(lambda: self._request(index, f, ticket, grant), may_be_lost=False)

    def _arm_frontend(self, f: int) -> None:
        when = self.frontends[f].next_wakeup()
        if when < self._woken_at[f]:
            self._woken_at[f] = when
            self.at(max(when, self.now), lambda: self._wake(f, when))

    def _wake(self, f: int, due: float) -> None:
        if self._woken_at[f] == due:
            self._woken_at[f] = float("inf")
            self.perform(f, self.frontends[f].handle(WakeupCame(), self.now))

    # -- backends --

    def _request(self, index: int, f: int, ticket: Ticket, grant: int) -> None:
        if not self.alive[index]:
            self.at(self.now + self.one_way_s, lambda: self._refused(f, ticket))
            return
        backend = self.backends[index]
        if not backend.admit(self.now, (f"f{f}", grant) if grant else None):
            self.send(lambda: self._busy(f, ticket), may_be_lost=False)
            return
        self.tally.waits_s.append(self.now - ticket.arrived_at)
        execution_s = exp(self.rng.gauss(self._mu, self._sigma))
        life = self.life[index]
        self.at(self.now + execution_s, lambda: self._executed(index, f, ticket, execution_s, life))

    def _executed(self, index: int, f: int, ticket: Ticket, execution_s: float, life: int) -> None:
        if self.life[index] != life:
            self.at(self.now + self.one_way_s, lambda: self._broke(f, ticket))
            return
        backend = self.backends[index]
        self._grants(index, backend.ended(self.now))
        idle = backend.holds_count == 0 and backend.free_count > 0
        self.at(self.now + self.one_way_s, lambda: self._answered(f, ticket, execution_s, idle))

    def _hold(self, index: int, f: int, hold_id: int, age_s: float) -> None:
        if self.alive[index]:
            self._grants(index, self.backends[index].hold((f"f{f}", hold_id), age_s, self.now))

    def _cancel(self, index: int, f: int, hold_id: int) -> None:
        if self.alive[index]:
            self._grants(index, self.backends[index].cancel((f"f{f}", hold_id), self.now))

    def _grants(self, index: int, grants: list[Grant]) -> None:
        for grant in grants:
            f = int(grant.frontend[1:])
            self.send(lambda f=f, h=grant.hold_id: self._granted(f, index, h))
        self._arm_backend(index)

    def _arm_backend(self, index: int) -> None:
        when = self.backends[index].next_wakeup()
        if when < self._expiring_at[index]:
            self._expiring_at[index] = when
            self.at(when, lambda: self._expire(index, when))

    def _expire(self, index: int, due: float) -> None:
        if self._expiring_at[index] == due:
            self._expiring_at[index] = float("inf")
            self._grants(index, self.backends[index].expire(self.now))

    # -- answers --

    def _granted(self, f: int, index: int, hold_id: int) -> None:
        self.perform(f, self.frontends[f].handle(HoldGranted("s", index + 1, hold_id), self.now))

    def _busy(self, f: int, ticket: Ticket) -> None:
        self._admitted(f, self.frontends[f].busy(ticket, self.now))

    def _refused(self, f: int, ticket: Ticket) -> None:
        self._admitted(f, self.frontends[f].rebook(ticket, Fault.REFUSED, self.now))

    def _broke(self, f: int, ticket: Ticket) -> None:
        self.tally.ended_count += 1
        self.perform(f, self.frontends[f].finish(ticket, Outcome.UNUSABLE, self.now, fault=Fault.RESET))

    def _answered(self, f: int, ticket: Ticket, execution_s: float, idle: bool) -> None:
        self.tally.ended_count += 1
        self.tally.responses_s.append(self.now - ticket.arrived_at)
        frontend = self.frontends[f]
        self.perform(f, frontend.finish(ticket, Outcome.SERVED, self.now, execution_s=execution_s, idle=idle))

    # -- trouble --

    def kill(self, index: int) -> None:
        """Kill a sidecar: what it ran breaks, what it promised is void; its frontends notice."""
        self.alive[index] = False
        self.life[index] += 1
        self.backends[index] = Admission(1, lease_s=0.05)
        self._report(index, BackendState.LOST)

    def revive(self, index: int) -> None:
        """Start a killed sidecar anew, with all slots free."""
        self.alive[index] = True
        self._report(index, BackendState.WARM)

    def _report(self, index: int, state: BackendState) -> None:
        for f, frontend in enumerate(self.frontends):
            self.perform(f, frontend.handle(BackendReported("s", index + 1, state), self.now))
