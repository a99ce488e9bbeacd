"""How many backends are needed now, and how that number falls: growth at once, shrinking after a hold.

Pure: inputs in, `Decision` out; what is remembered between ticks is the hold alone. The mathematics stands in
`core/model`; here it is put together, bounded by the user's min and max, and given its reason.
"""

from collections import deque
from dataclasses import dataclass

from swayam_proxy.core.late_binding import holds_for
from swayam_proxy.core.model.capacity import Capacity, least_backends
from swayam_proxy.core.model.execution import ExecutionSummary, ServiceTime, fit
from swayam_proxy.core.model.load import Forecast
from swayam_proxy.core.vocabulary import Decision, DecisionReason, ServiceSpec

AUTO_BURST_QUANTILE = 0.95
"""`burst = "auto"`: the load that the forecast exceeds with a chance of one in twenty."""


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """What is known at one tick; the same inputs always give the same needs."""

    at: float
    frontends_count: int
    horizon_s: float
    """How far ahead the forecast looks: the set-up time and one tick."""
    forecast: Forecast
    """Of this frontend's own arrivals."""
    execution: ExecutionSummary


class ShrinkHold:
    """The largest need of the last `hold_s` seconds: what a lull must outlast before backends are let go."""

    __slots__ = ("_needs", "hold_s")

    def __init__(self, hold_s: float, now: float, needs: int) -> None:
        """Begin as if `needs` had been needed at `now`."""
        self.hold_s = hold_s
        # a queue of (when, needs) with falling needs: the first is the maximum of the window
        self._needs: deque[tuple[float, int]] = deque([(now, needs)])

    @property
    def largest(self) -> int:
        """The largest need within the window as it was last seen."""
        return self._needs[0][1]

    def saw(self, now: float, needs: int) -> int:
        """Take in the need of this tick; return the largest within the window."""
        queue = self._needs
        while queue and queue[-1][1] <= needs:
            queue.pop()
        queue.append((now, needs))
        while queue[0][0] <= now - self.hold_s and len(queue) > 1:
            queue.popleft()
        return queue[0][1]


class PrefixRule:
    """Turns inputs into decisions for one service."""

    __slots__ = ("_hold", "_last_needs", "_spec", "execution_mean_s", "needs_max")

    def __init__(self, spec: ServiceSpec, now: float) -> None:
        """Begin with the configured start, or else with what is safe.

        Nothing is known of the load yet: where all backends run anyway, all are used; where using means
        setting up, the minimum is.
        """
        self._spec = spec
        self.needs_max = len(spec.backends) if spec.prefix_max is None else spec.prefix_max
        """The user's bound, or the length of the list."""
        start = spec.prefix_start
        if start is None:
            start = spec.prefix_min if spec.set_up_on_demand else self.needs_max
        self._hold = ShrinkHold(spec.shrink_hold_s, now, max(spec.prefix_min, min(start, self.needs_max)))
        self._last_needs: int | None = None
        self.execution_mean_s = spec.execution_s
        """The mean that the last decision used."""

    @property
    def needs(self) -> int:
        """How many working backends are in force."""
        return self._hold.largest

    def called(self, now: float) -> int:
        """A call came for a service that runs nowhere: one backend is needed until the hold ends."""
        return self._hold.saw(now, 1)

    def decide(self, inputs: DecisionInputs) -> Decision:
        """Return how many backends the promise needs, and what is in force after the hold."""
        spec = self._spec
        service = fit(inputs.execution, spec.execution_s, spec.execution_cv)
        self.execution_mean_s = service.mean_s
        load_per_s = self._load(inputs)
        capacity = least_backends(
            load_per_s,
            service,
            spec.sla.response_time_s,
            spec.sla.level,
            policy=spec.dispatch,
            frontends_count=inputs.frontends_count,
            slots=spec.backends[0].slots,
            holds_count=holds_for(spec.late_binding, spec.sla.response_time_s, service.mean_s),
            dispersion=inputs.forecast.dispersion,
            start=self._last_needs,
            n_max=self.needs_max,
        )
        self._last_needs = capacity.needs
        before = self._hold.largest
        wanted = max(spec.prefix_min, min(capacity.needs, self.needs_max))
        needs = self._hold.saw(inputs.at, wanted)
        reason = self._reason(capacity, wanted, before, needs)
        return _record(spec, inputs, service, load_per_s, capacity, needs, reason)

    def _load(self, inputs: DecisionInputs) -> float:
        forecast, burst = inputs.forecast, self._spec.sla.burst
        own = forecast.quantile(AUTO_BURST_QUANTILE) if burst is None else burst * forecast.mean_per_s
        return inputs.frontends_count * own

    def _reason(self, capacity: Capacity, wanted: int, before: int, needs: int) -> DecisionReason:
        if not capacity.feasible:
            return DecisionReason.INFEASIBLE
        if needs > before:
            return DecisionReason.MAX if capacity.needs > self.needs_max else DecisionReason.GROW
        if needs < before:
            return DecisionReason.SHRINK
        if wanted < needs:
            return DecisionReason.HOLD
        if capacity.needs > self.needs_max:
            return DecisionReason.MAX
        return DecisionReason.MIN if capacity.needs < self._spec.prefix_min else DecisionReason.STEADY


def _record(
    spec: ServiceSpec,
    inputs: DecisionInputs,
    service: ServiceTime,
    load_per_s: float,
    capacity: Capacity,
    needs: int,
    reason: DecisionReason,
) -> Decision:
    """Write down a decision with all that led to it."""
    forecast = inputs.forecast
    burst = "auto" if spec.sla.burst is None else f"{spec.sla.burst:g}"
    text = (
        f"load {load_per_s:.1f}/s ({inputs.frontends_count} frontends x {forecast.mean_per_s:.1f}/s, "
        f"burst {burst}), execution {service.mean_s * 1000.0:.1f} ms (cv {service.cv:.2f}): "
        f"needs {capacity.needs}, uses {needs}, {reason}"
    )
    return Decision(
        service_name=spec.name,
        at=inputs.at,
        prefix=needs,
        needs=needs,
        reason=reason,
        text=text,
        rate_per_s=forecast.current_per_s,
        global_rate_per_s=forecast.current_per_s * inputs.frontends_count,
        forecast_per_s=forecast.mean_per_s,
        forecast_spread_per_s=forecast.spread_per_s,
        load_per_s=load_per_s,
        dispersion=forecast.dispersion,
        horizon_s=inputs.horizon_s,
        frontends_count=inputs.frontends_count,
        policy=spec.dispatch,
        execution_mean_s=service.mean_s,
        execution_cv=service.cv,
        samples_count=service.samples_count,
        fit_ks=service.ks,
        feasible=capacity.feasible,
        attainment=capacity.attainment,
    )
