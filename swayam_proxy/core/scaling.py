"""How one service follows its load at one frontend: decides every tick, fits the prefix, has backends set up.

Knows the pool and what arrives, not the single request. The request path reads three of its figures: the mean
execution time, this frontend's share of the traffic, and when a warming backend is expected.
"""

from functools import partial

from swayam_proxy.core.commands import Command, RecordDecision
from swayam_proxy.core.decision import DecisionInputs, PrefixRule, own_share
from swayam_proxy.core.evidence import to_evidence
from swayam_proxy.core.learning import Learning
from swayam_proxy.core.lifecycle import REPORTED
from swayam_proxy.core.model.load import LoadForecaster
from swayam_proxy.core.pool import Backend, Pool
from swayam_proxy.core.setup import SetUp
from swayam_proxy.core.vocabulary import BackendState, Decision, ServiceSpec


class Scaling:
    """The decisions of one service and what is done about them."""

    def __init__(
        self, spec: ServiceSpec, pool: Pool, learning: Learning, now: float, frontends_count: int
    ) -> None:
        """Begin with what is configured; the first decision is due at once."""
        self._spec = spec
        self._pool = pool
        self._learning = learning
        self._setup = SetUp(spec, pool)
        self._fresh_count = 0
        self._others_per_s = 0.0
        self._frontends_count = frontends_count
        self.load = LoadForecaster(now)
        self._pool_counts()
        self.rule = PrefixRule(spec, now)
        self.decision: Decision | None = None
        self.decide_at = now
        self.execution_s = spec.execution_s
        """The mean that the last decision used."""
        self.share = 1.0 / frontends_count
        """This frontend's part of the service's traffic."""
        self.fit()

    def decide(self, now: float, frontends_count: int) -> list[Command]:
        """Make the decision of this tick, and return what follows from it."""
        self._frontends_count = frontends_count
        self._pool_counts()
        tick_s = self._spec.tick_s
        horizon_s = self._setup.duration_s + tick_s
        decision = self.rule.decide(
            DecisionInputs(
                at=now,
                frontends_count=frontends_count,
                horizon_s=horizon_s,
                forecast=self.load.forecast(now, horizon_s),
                execution=self._learning.executions(now),
                fresh_count=self._fresh_count,
            )
        )
        self.decision = decision
        self.share = own_share(decision)
        self.execution_s = decision.execution_mean_s
        self._pool.weigh(self.execution_s)
        if self._spec.shares_machines:
            self._setup.forgive(self.rule.needs)
        # the grid of ticks stays where it was, however late this one came
        self.decide_at += tick_s * max(1.0, (now - self.decide_at) // tick_s + 1.0)
        self.fit()
        assert self.rule.inputs is not None, "a decision has inputs"
        evidence = partial(to_evidence, self.rule.terms, self.rule.inputs)
        orders = self.warm_missing(now)
        if self._spec.set_up_on_demand and not self._spec.observe_only:
            orders += self._setup.renew(now)
        return [*orders, RecordDecision(decision, evidence)]

    def fit(self) -> None:
        """Let the prefix hold the backends that are needed; holes may push it past the user's maximum."""
        pool, needs = self._pool, self.rule.needs
        if self._spec.observe_only:
            pool.set_prefix(len(pool.backends))
            return
        wanted = pool.prefix_with(needs, counting_coming=self._spec.set_up_on_demand)
        pool.set_prefix(pool.reaching_over(wanted, needs) if self._spec.set_up_on_demand else wanted, wanted)

    def warm_missing(self, now: float) -> list[Command]:
        """Order the set-up of every cold backend of the prefix."""
        if not self._spec.set_up_on_demand or self._spec.observe_only:
            return []
        return self._setup.order_missing(now)

    def called_from_zero(self, now: float) -> list[Command]:
        """A call came for a service that runs nowhere: have its first backend set up at once."""
        self.rule.called(now)
        self._setup.called(now)
        self.fit()
        return self.warm_missing(now)

    def requests_wait(self, now: float) -> None:
        """Tell that requests wait, which is what gives a service its turn on machines that others use."""
        self._setup.called(now)

    def end_pauses(self, now: float) -> None:
        """End the ejections and pauses that are over, and give up set-ups that take far too long."""
        returned, overdue = self._pool.readmit(now), self._setup.give_up_overdue(now)
        if returned or overdue:
            self.fit()

    def reported(
        self, backend: Backend, state: BackendState, incarnation: int, setup_s: float | None, now: float
    ) -> bool:
        """Take in what a backend says of itself; False when it is news of an older set-up."""
        if state is BackendState.LOST:
            incarnation = 0  # a sidecar that comes back may have been started anew: it counts from 0
        elif incarnation < backend.incarnation:
            return False
        backend.incarnation = incarnation
        self._setup.reported(backend, state, setup_s, now)
        if self._pool.signal(backend, REPORTED[state]):
            self.fit()
        return True

    def refused(self, backend: Backend, incarnation: int, now: float) -> list[Command]:
        """Take in that a machine is full: the next index takes the place of this backend."""
        if not self._setup.refused(backend, incarnation, now):
            return []
        self._setup.forgive(self.rule.needs)
        self.fit()
        return self.warm_missing(now)

    def peers_heard(self, fresh_count: int, rate_per_s: float, execution: tuple[float, ...]) -> None:
        """Take in what the other frontends count and have measured; the next decision uses it."""
        self._fresh_count, self._others_per_s = fresh_count, rate_per_s
        self._pool_counts()
        self._learning.peers_measured(execution)

    def _pool_counts(self) -> None:
        """Each frontend that is not heard is taken to count what those that are known count on average."""
        known_count = 1 + self._fresh_count
        self.load.heard(self._others_per_s, max(known_count, self._frontends_count) / known_count)

    def warm_in_s(self, now: float) -> float:
        """Return how long until the first warming backend is expected to be warm; 0 when none is warming."""
        return self._setup.warm_in_s(now)
