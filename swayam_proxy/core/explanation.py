"""Why n is what it is: the last decision of a service, and what would change it.

Computed when somebody asks, never on the tick.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from swayam_proxy.core.decision import DecisionInputs, DecisionTerms, capacity_at
from swayam_proxy.core.model.execution import fit
from swayam_proxy.core.vocabulary import Decision

_RATIO_MAX = 1024.0
_STEPS = 24
"""Halvings of an interval: six digits are plenty for people."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One service's decision in the words of its inputs. Rates are of all frontends, per second."""

    service_name: str
    decision: Decision
    in_force_for_s: float
    """How long the present number has been in force."""
    held: bool
    """A smaller number would do now; the hold keeps the larger one."""
    grows_above_per_s: float | None
    """The load above which the model asks for more; None: no load within reach does (the maximum)."""
    shrinks_below_per_s: float | None
    """The load below which the model asks for less; None at the minimum."""
    grows_above_execution_s: float | None
    """The mean execution time above which the model asks for more, at the present load."""


def explain(
    terms: DecisionTerms, inputs: DecisionInputs, decision: Decision, since: float, now: float
) -> Explanation:
    """Return why the decision is what it is and what would change it."""
    service = fit(inputs.execution, terms.execution_s, terms.execution_cv)
    load, needs = decision.load_per_s, decision.model_needs

    def needs_at_load(ratio: float) -> int:
        return capacity_at(terms, inputs, service, load * ratio).needs

    def needs_at_execution(ratio: float) -> int:
        # time has no scale: executions r times as long are a threshold r times shorter at r times the rate
        sla = replace(terms.sla, response_time_s=terms.sla.response_time_s / ratio)
        return capacity_at(replace(terms, sla=sla), inputs, service, load * ratio).needs

    grows = shrinks = slower = None
    if load > 0.0 and needs <= terms.needs_max:
        grows = _first_above(lambda ratio: needs_at_load(ratio) > needs)
        slower = _first_above(lambda ratio: needs_at_execution(ratio) > needs)
    if load > 0.0 and needs > max(1, terms.needs_min):
        shrinks = _last_below(lambda ratio: needs_at_load(ratio) < needs)
    return Explanation(
        service_name=terms.service_name,
        decision=decision,
        in_force_for_s=max(0.0, now - since),
        held=max(needs, terms.needs_min) < decision.needs,
        grows_above_per_s=None if grows is None else load * grows,
        shrinks_below_per_s=None if shrinks is None else load * shrinks,
        grows_above_execution_s=None if slower is None else service.mean_s * slower,
    )


def _first_above(changed: Callable[[float], bool]) -> float | None:
    """Return the least ratio above 1 from which on `changed` holds, or None up to a thousandfold."""
    high = 2.0
    while not changed(high):
        high *= 2.0
        if high > _RATIO_MAX:
            return None
    low = 1.0
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if changed(middle) else (middle, high)
    return high


def _last_below(changed: Callable[[float], bool]) -> float | None:
    """Return the greatest ratio below 1 at which `changed` holds; None when not even silence does it."""
    if not changed(1e-9):
        return None
    low, high = 1e-9, 1.0
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if changed(middle) else (low, middle)
    return low
