"""How many backends are needed now, and how that number falls: growth at once, shrinking after a hold.

`decide` is pure: terms and inputs in, `Decision` out, so that any decision can be made again from its record.
`PrefixRule` remembers what lies between ticks, which is the hold alone. The mathematics stands in
`core/model`; here it is put together, bounded by the user's min and max, and given its reason.
"""

from collections import deque
from dataclasses import dataclass, replace

from swayam_proxy.core.late_binding import holds_for
from swayam_proxy.core.model.capacity import Capacity
from swayam_proxy.core.model.capacity_cells import least_backends_nearly
from swayam_proxy.core.model.execution import ExecutionSummary, ServiceTime, fit
from swayam_proxy.core.model.load import AUTO_QUANTILE, Forecast
from swayam_proxy.core.returning import ReturnMemory
from swayam_proxy.core.vocabulary import (
    Decision,
    DecisionReason,
    DispatchPolicy,
    LateBindingSpec,
    ServiceSpec,
    Sla,
)


@dataclass(frozen=True, slots=True)
class DecisionTerms:
    """What the user laid down for a service, as far as a decision depends on it."""

    service_name: str
    sla: Sla
    policy: DispatchPolicy
    slots: int
    """Of one backend; others count by their worth in units of it."""
    execution_s: float
    execution_cv: float
    needs_min: int
    needs_max: int
    late_binding: LateBindingSpec

    @classmethod
    def of(cls, spec: ServiceSpec) -> "DecisionTerms":
        """Take the terms out of a service's specification."""
        return cls(
            service_name=spec.name,
            sla=spec.sla,
            policy=spec.dispatch,
            slots=spec.backends[0].slots,
            execution_s=spec.execution_s,
            execution_cv=spec.execution_cv,
            needs_min=spec.prefix_min,
            needs_max=len(spec.backends) if spec.prefix_max is None else spec.prefix_max,
            late_binding=spec.late_binding,
        )


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """What is known at one tick."""

    at: float
    frontends_count: int
    horizon_s: float
    """How far ahead the forecast looks: the set-up time and one tick."""
    forecast: Forecast
    """Of the arrivals at all frontends together."""
    execution: ExecutionSummary
    """Of this frontend, merged with what its peers have measured."""
    fresh_count: int = 0
    """Other frontends whose arrivals are known, and not only made up for."""
    remembered_per_s: float = 0.0
    """A load that tends to come back and is carried on; 0 where it does not, or where U is given."""
    held_needs: int = 0
    """The largest need within the hold, before this tick."""
    needs_before: int = 0
    """In force until now."""
    search_from: int | None = None
    """Where the search for n begins: its time depends on it, and of the answer at most the sixth digit."""


def decide(terms: DecisionTerms, inputs: DecisionInputs) -> Decision:
    """Return how many backends the promise needs, and what is in force after the hold."""
    service = fit(inputs.execution, terms.execution_s, terms.execution_cv)
    load_per_s = max(load_to_carry_per_s(terms.sla.burst, inputs.forecast), inputs.remembered_per_s)
    capacity = capacity_at(terms, inputs, service, load_per_s)
    wanted = max(terms.needs_min, min(capacity.needs, terms.needs_max))
    if inputs.needs_before == inputs.held_needs == 0:
        wanted = terms.needs_min  # what runs nowhere is set up for a call, not for a forecast of one
    needs = max(wanted, inputs.held_needs)
    return _record(terms, inputs, service, load_per_s, capacity, needs)


def capacity_at(
    terms: DecisionTerms,
    inputs: DecisionInputs,
    service: ServiceTime,
    load_per_s: float,
) -> Capacity:
    """Return what the model says for a load, all else being as it is."""
    return least_backends_nearly(
        load_per_s,
        service,
        terms.sla.response_time_s,
        terms.sla.level,
        policy=terms.policy,
        frontends_count=inputs.frontends_count,
        slots=terms.slots,
        holds_count=holds_for(terms.late_binding, terms.sla.response_time_s, service.mean_s),
        dispersion=inputs.forecast.dispersion,
        start=inputs.search_from,
        n_max=max(1, terms.needs_max),
    )


def load_to_carry_per_s(burst: float | None, forecast: Forecast) -> float:
    """Return the load that the promise must hold at: the forecast with the burst applied."""
    return forecast.quantile(AUTO_QUANTILE) if burst is None else burst * forecast.mean_per_s


def own_share(decision: Decision) -> float:
    """Return this frontend's part of the service's traffic, in (0, 1]; an equal part while there is none."""
    if decision.forecast_per_s <= 0.0 or decision.global_forecast_per_s <= 0.0:
        return 1.0 / decision.frontends_count
    return min(1.0, decision.forecast_per_s / decision.global_forecast_per_s)


def _reason(terms: DecisionTerms, inputs: DecisionInputs, capacity: Capacity, needs: int) -> DecisionReason:
    if not capacity.feasible:
        return DecisionReason.INFEASIBLE
    if needs > inputs.needs_before:
        return DecisionReason.MAX if capacity.needs > terms.needs_max else DecisionReason.GROW
    if needs < inputs.needs_before:
        return DecisionReason.SHRINK
    if capacity.needs > terms.needs_max:
        return DecisionReason.MAX
    if capacity.needs < needs and inputs.held_needs == needs > terms.needs_min:
        return DecisionReason.HOLD
    if inputs.remembered_per_s > load_to_carry_per_s(terms.sla.burst, inputs.forecast):
        return DecisionReason.HOLD
    return DecisionReason.MIN if capacity.needs < terms.needs_min else DecisionReason.STEADY


def _record(
    terms: DecisionTerms,
    inputs: DecisionInputs,
    service: ServiceTime,
    load_per_s: float,
    capacity: Capacity,
    needs: int,
) -> Decision:
    """Write down a decision with all that led to it."""
    everyone, fresh_count = inputs.forecast, inputs.fresh_count
    own_per_s = everyone.own_share * everyone.mean_per_s
    reason = _reason(terms, inputs, capacity, needs)
    burst = "auto" if terms.sla.burst is None else f"{terms.sla.burst:g}"
    kept = ", as it tends to come back" if 0.0 < inputs.remembered_per_s == load_per_s else ""
    text = (
        f"load {load_per_s:.1f}/s{kept} (own {own_per_s:.1f}/s of {everyone.mean_per_s:.1f}/s, "
        f"{inputs.frontends_count} frontends, {fresh_count} heard, burst {burst}), "
        f"execution {service.mean_s * 1000.0:.1f} ms (cv {service.cv:.2f}): "
        f"needs {capacity.needs}, uses {needs}, {reason}"
    )
    return Decision(
        service_name=terms.service_name,
        at=inputs.at,
        prefix=needs,
        needs=needs,
        model_needs=capacity.needs,
        reason=reason,
        binding=capacity.binding,
        text=text,
        rate_per_s=everyone.own_share * everyone.current_per_s,
        global_rate_per_s=everyone.current_per_s,
        global_forecast_per_s=everyone.mean_per_s,
        forecast_per_s=own_per_s,
        forecast_spread_per_s=everyone.spread_per_s,
        load_per_s=load_per_s,
        dispersion=everyone.dispersion,
        horizon_s=inputs.horizon_s,
        frontends_count=inputs.frontends_count,
        policy=terms.policy,
        execution_mean_s=service.mean_s,
        execution_cv=service.cv,
        samples_count=service.samples_count,
        fit_ks=service.ks,
        feasible=capacity.feasible,
        utilisation=capacity.utilisation,
        attainment=capacity.attainment,
    )


class ShrinkHold:
    """The largest need of the last `hold_s` seconds: what a lull must outlast before backends are let go."""

    __slots__ = ("_needs", "hold_s")

    def __init__(self, hold_s: float, now: float, needs: int) -> None:
        """Begin as if `needs` had been needed at `now`."""
        self.hold_s = hold_s
        # a queue of (when, needs) with falling needs: the first is the maximum of the window
        self._needs: deque[tuple[float, int]] = deque([(now, needs)])

    def largest(self, now: float) -> int:
        """Return the largest need of the window that ends now; 0 when it is empty. Alters nothing."""
        return next((needs for when, needs in self._needs if when > now - self.hold_s), 0)

    def saw(self, now: float, needs: int) -> int:
        """Take in the need of this tick; return the largest within the window."""
        queue = self._needs
        while queue and queue[-1][1] <= needs:
            queue.pop()
        queue.append((now, needs))
        while queue[0][0] <= now - self.hold_s:
            queue.popleft()
        return queue[0][1]


class PrefixRule:
    """Makes the decisions of one service, one after the other."""

    __slots__ = ("_hold", "_memory", "_model_needs", "inputs", "needs", "since", "terms")

    def __init__(self, spec: ServiceSpec, now: float) -> None:
        """Begin with the configured start, or else with what is safe.

        Nothing is known of the load yet: where all backends run anyway, all are used; where using means
        setting up, the minimum is.
        """
        self.terms = DecisionTerms.of(spec)
        start = spec.prefix_start
        if start is None:
            start = spec.prefix_min if spec.set_up_on_demand else self.terms.needs_max
        self.needs = max(spec.prefix_min, min(start, self.terms.needs_max))
        """How many working backends are in force."""
        self.since = now
        """Since when they are."""
        self.inputs: DecisionInputs | None = None
        """Of the last decision."""
        self._hold = ShrinkHold(spec.shrink_hold_s, now, self.needs)
        self._memory = ReturnMemory(now)
        self._model_needs: int | None = None

    def called(self, now: float) -> int:
        """A call came for a service that runs nowhere: one backend is needed until the hold ends."""
        self._now_in_force(now, self._hold.saw(now, 1))
        return self.needs

    def decide(self, inputs: DecisionInputs) -> Decision:
        """Decide, and remember what is needed now for the hold."""
        now = inputs.at
        burst, remembered_per_s = self.terms.sla.burst, 0.0
        if burst is None:
            remembered_per_s = self._memory.saw(now, load_to_carry_per_s(burst, inputs.forecast))
        self.inputs = replace(
            inputs,
            remembered_per_s=remembered_per_s,
            held_needs=self._hold.largest(now),
            needs_before=self.needs,
            search_from=self._model_needs,
        )
        decision = decide(self.terms, self.inputs)
        self._model_needs = decision.model_needs
        if decision.needs or self.needs:
            self._hold.saw(now, max(self.terms.needs_min, min(decision.model_needs, self.terms.needs_max)))
        self._now_in_force(now, decision.needs)
        return decision

    def _now_in_force(self, now: float, needs: int) -> None:
        if needs != self.needs:
            self.needs, self.since = needs, now
