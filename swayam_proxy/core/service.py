"""One service at one frontend: admits, books, queues, refuses and measures requests; decides the prefix.

The request path (`admit`, `rebook`, `finish`, `cancel`) is plain methods on small values; the slow path
(`wake`, `backend_*`) returns commands. Knows nothing of connections, and no clock but the
`now` that is handed in.
"""

from collections.abc import Sequence

from swayam_proxy.core.commands import Command, ForwardRequest, RejectRequest
from swayam_proxy.core.dispatch import make_chooser
from swayam_proxy.core.late_binding import LateBinding, holds_for
from swayam_proxy.core.learning import Learning
from swayam_proxy.core.model.execution import ExecutionSummary
from swayam_proxy.core.pool import Backend, Pool
from swayam_proxy.core.queueing import RequestQueue
from swayam_proxy.core.retrying import RetryBudget
from swayam_proxy.core.scaling import Scaling
from swayam_proxy.core.snapshot import ServiceSnapshot, backend_snapshots
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    NEVER,
    BackendState,
    DispatchPolicy,
    Fault,
    Outcome,
    Refusal,
    RefusalReason,
    Rng,
    ServiceSpec,
)

_RETRY_AFTER_S_MAX = 60.0
_WAIT_DOUBT = 1.15
"""A request is refused on arrival, while it costs nothing, rather than after having waited in vain: what is
expected to wait almost too long is refused, too."""
_NOTHING: tuple[Command, ...] = ()
_SERVED = Outcome.SERVED
"""To look a member up costs more than all else that is done with it for a request."""


class Service:
    """What one frontend knows of, and does for, one service."""

    def __init__(self, spec: ServiceSpec, rng: Rng, now: float, frontends_count: int) -> None:
        """Begin at `now`; the first decision is due at once."""
        self.spec = spec
        self._name = spec.name
        initial = BackendState.COLD if spec.set_up_on_demand else BackendState.WARM
        self.pool = Pool(spec.backends, spec.health, initial)
        self._chooser = make_chooser(spec.dispatch, rng, spec.queue)
        self._late: LateBinding | None = None
        if spec.dispatch is DispatchPolicy.LATE_BINDING:
            self._late = LateBinding(spec.name, spec.late_binding, self.pool, rng)
        self._queue = RequestQueue()
        self._budget = RetryBudget(spec.retry.budget_ratio, now)
        self._learning = Learning(spec.sla.response_time_s, now)
        self.scaling = Scaling(spec, self.pool, self._learning, now, frontends_count)
        self._refusals: dict[str, int] = {}
        self._retries: dict[str, int] = {}
        self._orders: list[Command] = []
        self._draining = False
        self.scheduled_at = NEVER
        """When the frontend has a wake-up for this service, and `position` is its place there."""
        self.position = 0

    # -- the request path --

    def admit(self, now: float, deadline: float, replayable: bool) -> Ticket | Refusal:
        """Count an arrival; book a slot for it, let it wait, or refuse it."""
        if self._draining:
            return Refusal(RefusalReason.DRAINING, 1.0)
        self.scaling.load.count(now)
        ticket = Ticket(self._name, now, deadline)
        ticket.replayable = replayable
        if not self._queue.count:
            if self._late is None:
                backend = self._chooser.choose(self.pool, self.scaling.share, ())
            else:
                backend = self._choose(ticket, now)
            if backend is not None:
                self._budget.attempted_count += 1
                self._book(ticket, backend, now)
                return ticket
        return self._enqueue(ticket, now)

    def _choose(self, ticket: Ticket, now: float) -> Backend | None:
        if self._late is None:
            return self._chooser.choose(self.pool, self.scaling.share, ticket.tried)
        return self._late.choose_try(ticket, now) if ticket.replayable else None

    def _book(self, ticket: Ticket, backend: Backend, now: float, grant: int = 0) -> None:
        if self._late is not None:
            ticket.grant = grant
            ticket.tries_count += not grant
        ticket.backend_index = backend.index
        ticket.backend_address = backend.address
        ticket.alone = backend.outstanding_count == 0
        ticket.booked_at = now
        ticket.prefix = self.pool.prefix
        ticket.attempts += 1
        self.pool.book(backend)

    def _enqueue(self, ticket: Ticket, now: float) -> Ticket | Refusal:
        queue_spec = self.spec.queue
        if self.pool.prefix == 0:
            # a call for a service that runs nowhere: its first backend is set up at once
            self._orders += self.scaling.called_from_zero(now)
        if not (self.pool.usable or self.spec.set_up_on_demand):
            return self._refuse(RefusalReason.NO_BACKEND, now)
        if self._queue.count >= queue_spec.count_max:
            return self._refuse(RefusalReason.QUEUE_FULL, now)
        wait_s = self.expected_wait_s(now)
        if wait_s * _WAIT_DOUBT > queue_spec.wait_s_max:
            return self._refuse(RefusalReason.WAIT_TOO_LONG, now)
        if now + wait_s > ticket.deadline:
            return self._refuse(RefusalReason.DEADLINE, now)
        ticket.deadline = min(ticket.deadline, now + queue_spec.wait_s_max)
        ticket.backend_index = 0
        self._queue.push(ticket, now)
        if self._late is not None:
            self._orders += self._late.place(ticket, now)
        return ticket

    def take_orders(self) -> list[Command]:
        """Return, once, what admitting or refusing a request made necessary elsewhere."""
        orders, self._orders = self._orders, []
        return orders

    def expected_wait_s(self, now: float) -> float:
        """Return how long a request that joined the queue now would wait, in seconds."""
        share = self.scaling.share
        turns = (self._queue.count + 1) / max(1.0, self.pool.usable_slots * share)
        if self._late is not None:
            # whichever slot falls free grants the oldest hold: ours wait among everyone's, not for our share
            turns = min(turns, (self._queue.count / share + 1.0) / max(1.0, self.pool.usable_slots))
        wait_s = turns * self.scaling.execution_s
        if not self.pool.usable:
            wait_s += self.scaling.warm_in_s(now)
        return wait_s

    def _refuse(self, reason: RefusalReason, now: float) -> Refusal:
        self._refusals[reason] = self._refusals.get(reason, 0) + 1
        self._learning.refused(now)
        return Refusal(reason, min(_RETRY_AFTER_S_MAX, max(1.0, self.expected_wait_s(now))))

    def rebook(self, ticket: Ticket, fault: Fault, now: float) -> Ticket | Refusal:
        """Give a request of which nothing was sent to another backend, within the retry budget.

        The booked backend is blamed with `fault` and its slot freed. A refusal ends the ticket.
        """
        assert not ticket.ended and ticket.backend_index, "only a booked request can be booked again"
        failed = self._release(ticket)
        self.pool.faulted(failed, now)
        ticket.tried = (*ticket.tried, failed.index)
        self.scaling.fit()
        if ticket.attempts < self.spec.retry.attempts_max:
            backend = self._untried(ticket)
            if backend is not None and self._budget.take(now):
                self._retries[fault] = self._retries.get(fault, 0) + 1
                self._book(ticket, backend, now)
                return ticket
            reason = RefusalReason.NO_BACKEND if backend is None else RefusalReason.RETRY_BUDGET
        else:
            reason = RefusalReason.NO_BACKEND
        ticket.ended = True
        return self._refuse(reason, now)

    def _untried(self, ticket: Ticket) -> Backend | None:
        """Return a backend that has not failed this request: of the prefix, or the next one behind it.

        The prefix grows to take the latter in, so that calls never leave it.
        """
        backend = self._chooser.choose(self.pool, self.scaling.share, ticket.tried)
        if backend is not None:
            return backend
        untried = [b for b in self.pool.usable if b.index not in ticket.tried]
        if untried:
            return min(untried, key=lambda b: b.outstanding_count)
        spare = self.pool.next_warm_after(self.pool.prefix)
        if spare is not None and not self.spec.observe_only:
            self.pool.set_prefix(spare.index)
        return spare

    def busy(self, ticket: Ticket, now: float) -> Ticket | Refusal:
        """Take in that the booked backend refused for want of a slot: try another, or wait.

        A refusal ends the ticket.
        """
        assert not ticket.ended and ticket.backend_index, "only a booked request can meet a busy backend"
        backend = self._release(ticket)
        ticket.tried = (*ticket.tried, backend.index)
        if self._late is not None:
            self._late.busy_heard(backend.index, now, self.scaling.execution_s)
        if not self._queue.count and (other := self._choose(ticket, now)) is not None:
            self._book(ticket, other, now)
            return ticket
        ticket.tried = ()
        admission = self._enqueue(ticket, now)
        ticket.ended = isinstance(admission, Refusal)
        return admission

    def finish(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        execution_s: float | None = None,
        fault: Fault | None = None,
        idle: bool = False,
    ) -> Sequence[Command]:
        """End a booked request, learn from it, and give its slot to the one that waited longest."""
        assert not ticket.ended, "a request ends once"
        ticket.ended = True
        pool = self.pool
        backend = pool.backends[ticket.backend_index - 1]
        pool.free(backend)
        if fault is not None:
            if pool.faulted(backend, now):
                self.scaling.fit()
        elif outcome is _SERVED and backend.faults_in_row:
            pool.succeeded(backend)
        took_s = self._learning.ended(ticket, outcome, now, execution_s, fault is not None)
        if took_s is not None:
            pool.executed(backend, took_s)
        if idle and self._late is not None:
            self._late.idle_heard(backend.index)
        return self._serve_queue(now) if self._queue.count else _NOTHING

    def cancel(self, ticket: Ticket, now: float) -> Sequence[Command]:
        """End a request whose client left, booked or waiting; it says nothing of the promise."""
        if ticket.ended:
            return _NOTHING
        if ticket.backend_index:
            return self.finish(ticket, Outcome.UNUSABLE, now)
        ticket.ended = True
        self._queue.remove(ticket)
        return _NOTHING if self._late is None else self._late.withdraw(ticket)

    def _release(self, ticket: Ticket) -> Backend:
        backend = self.pool.at(ticket.backend_index)
        self.pool.free(backend)
        return backend

    def _serve_queue(self, now: float) -> list[Command]:
        commands = self._reject(self._queue.expired(now), RefusalReason.WAIT_TOO_LONG, now)
        while (ticket := self._queue.first()) is not None:
            if self._late is None:
                backend = self._chooser.choose(self.pool, self.scaling.share, ())
            else:
                backend = self._late.take_hinted() if ticket.replayable else None
            if backend is None:
                break
            commands += self._forward(ticket, backend, now)
        return commands

    def _forward(self, ticket: Ticket, backend: Backend, now: float, grant: int = 0) -> list[Command]:
        """Let a waiting request go to a backend."""
        commands = [] if self._late is None else self._late.withdraw(ticket)
        self._queue.remove(ticket)
        self._budget.attempted_count += 1
        self._book(ticket, backend, now, grant)
        return [*commands, ForwardRequest(ticket)]

    def _reject(self, tickets: list[Ticket], reason: RefusalReason, now: float) -> list[Command]:
        """End requests that waited in vain."""
        commands: list[Command] = []
        for ticket in tickets:
            ticket.ended = True
            if self._late is not None:
                commands += self._late.withdraw(ticket)
            commands.append(RejectRequest(ticket, self._refuse(reason, now)))
        return commands

    # -- the slow path --

    @property
    def next_wakeup(self) -> float:
        """When `wake` wants to be called."""
        return min(self.scaling.decide_at, self._queue.sweep_at, self.pool.next_return())

    def wake(self, now: float, frontends_count: int) -> list[Command]:
        """Do whatever is due: end ejections, reject what waited too long, decide."""
        commands: list[Command] = []
        self.scaling.end_pauses(now)
        if self._queue.count:
            self.scaling.requests_wait(now)
        if now >= self.scaling.decide_at:
            commands += self.scaling.decide(now, frontends_count)
            if self._late is not None:
                sla = self.spec.sla
                self._late.holds_count = holds_for(
                    self.spec.late_binding, sla.response_time_s, self.scaling.execution_s
                )
        if self._queue.count:
            commands += self._serve_queue(now)
            if self._late is not None:
                commands += self._late.refresh(self._queue, now)
        return commands

    def backend_probed(self, index: int, healthy: bool, now: float) -> list[Command]:
        """Take in an active check; a fallen backend becomes a hole at once."""
        if self.pool.probed(self.pool.at(index), healthy=healthy):
            self.scaling.fit()
        return self._serve_queue(now) if self._queue.count else []

    def backend_reported(
        self, index: int, state: BackendState, incarnation: int, setup_s: float | None, now: float
    ) -> list[Command]:
        """Take in what a backend, or its provisioner, says of itself; news of an older set-up is ignored."""
        backend = self.pool.at(index)
        was_warm = backend.state is BackendState.WARM
        if not self.scaling.reported(backend, state, incarnation, setup_s, now):
            return []
        commands = self.scaling.warm_missing(now)
        if self._late is not None:
            if state is not BackendState.WARM:
                self._late.contact_lost(index)
            elif not was_warm:
                self._late.idle_heard(index)
        if self._queue.count:
            commands += self._serve_queue(now)
            if self._late is not None:
                # those that found nobody to hold at, or only this one, need not wait for the next refresh
                commands += self._late.place_unheld(self._queue, now)
        return commands

    def setup_refused(self, index: int, incarnation: int, now: float) -> list[Command]:
        """Take in that a machine has no room for a set-up that we ordered."""
        return self.scaling.refused(self.pool.at(index), incarnation, now)

    def granted(self, index: int, hold_id: int, now: float) -> list[Command]:
        """Take in that a backend leased a slot to one of our holds."""
        assert self._late is not None, "only late binding places holds"
        ticket, commands = self._late.granted(hold_id, index)
        if ticket is None:
            return commands
        return commands + self._forward(ticket, self.pool.at(index), now, hold_id)

    def idled(self, index: int, now: float) -> list[Command]:
        """Take in that a backend has a free slot for which nobody waits there."""
        if self._late is not None:
            self._late.idle_heard(index)
        return self._serve_queue(now) if self._queue.count else []

    def own_executions(self, now: float) -> ExecutionSummary:
        """Return what this frontend itself has measured."""
        return self._learning.own_executions(now)

    def drain(self, now: float) -> list[Command]:
        """Refuse all that wait, and whatever comes."""
        self._draining = True
        return self._reject(self._queue.drain(), RefusalReason.DRAINING, now)

    def snapshot(self, now: float) -> ServiceSnapshot:
        """Return what is known now; alters nothing."""
        spec, pool, decision = self.spec, self.pool, self.scaling.decision
        return ServiceSnapshot(
            name=spec.name,
            rate_per_s=decision.rate_per_s if decision else 0.0,
            forecast_per_s=decision.forecast_per_s if decision else 0.0,
            prefix=pool.prefix,
            prefix_min=spec.prefix_min,
            prefix_max=self.scaling.rule.terms.needs_max,
            needs=self.scaling.rule.needs,
            share_within=self._learning.measurement.share_within(now),
            sla=spec.sla,
            dispatch=spec.dispatch,
            observe_only=spec.observe_only,
            fail_open=pool.fail_open,
            queue_count=self._queue.count,
            in_flight_count=sum(backend.outstanding_count for backend in pool),
            requests_count=self._learning.measurement.requests_count,
            good_count=self._learning.measurement.good_count,
            refusals=dict(self._refusals),
            retries=dict(self._retries),
            ejections_denied_count=pool.ejections_denied_count,
            decision=decision,
            backends=backend_snapshots(pool),
        )
