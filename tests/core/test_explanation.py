"""Why n is what it is, and what would change it."""

from dataclasses import replace

import pytest

from swayam_proxy.core.decision import DecisionInputs, DecisionTerms, decide
from swayam_proxy.core.explanation import Explanation, explain
from swayam_proxy.core.model.execution import ExecutionStatistics
from swayam_proxy.core.model.load import Forecast
from tests.core.playbook import service_spec

RATE = 200.0


def _case(rate: float = RATE, **changes: object) -> tuple[DecisionTerms, DecisionInputs]:
    executions = ExecutionStatistics()
    for k in range(1000):
        executions.observe(0.04 + 0.02 * (k % 21) / 20.0, 0.0)
    terms = DecisionTerms.of(service_spec(40, **changes))
    inputs = DecisionInputs(1.0, 1, 1.0, Forecast(rate, 0.0, rate, 1.0, 1.0), executions.summary(0.0))
    return terms, inputs


def _explained(terms: DecisionTerms, inputs: DecisionInputs) -> Explanation:
    return explain(terms, inputs, decide(terms, inputs), since=0.5, now=10.5)


def test_the_loads_that_change_the_answer_do_change_it() -> None:
    """Just above the named load more backends are needed, just below it not; likewise for less."""
    terms, inputs = _case()
    explanation = _explained(terms, inputs)
    needs = explanation.decision.model_needs

    def needs_at(rate: float) -> int:
        forecast = replace(inputs.forecast, mean_per_s=rate)
        return decide(terms, replace(inputs, forecast=forecast)).model_needs

    assert explanation.grows_above_per_s is not None and explanation.shrinks_below_per_s is not None
    assert needs_at(explanation.grows_above_per_s * 1.001) == needs + 1
    assert needs_at(explanation.grows_above_per_s * 0.999) == needs
    assert needs_at(explanation.shrinks_below_per_s * 0.999) == needs - 1
    assert needs_at(explanation.shrinks_below_per_s * 1.001) == needs


def test_slower_executions_that_change_the_answer_do_change_it() -> None:
    """The same for the mean execution time, all its samples stretched."""
    terms, inputs = _case()
    explanation = _explained(terms, inputs)
    limit = explanation.grows_above_execution_s
    assert limit is not None
    for factor, more in ((1.01, True), (0.99, False)):
        ratio = factor * limit / explanation.decision.execution_mean_s
        executions = ExecutionStatistics()
        for k in range(1000):
            executions.observe(ratio * (0.04 + 0.02 * (k % 21) / 20.0), 0.0)
        stretched = replace(inputs, execution=executions.summary(0.0))
        assert (decide(terms, stretched).model_needs > explanation.decision.model_needs) is more


def test_bounds_and_holds_are_told_apart() -> None:
    """At the minimum nothing shrinks it; while the hold lasts it is the hold that binds."""
    terms, inputs = _case(1.0, prefix_min=4)
    at_min = _explained(terms, inputs)
    assert at_min.shrinks_below_per_s is None
    assert not at_min.held
    assert at_min.in_force_for_s == pytest.approx(10.0)
    held = _explained(terms, replace(inputs, held_needs=9, needs_before=9))
    assert held.held


def test_silence_is_explained_too() -> None:
    """Without load there is nothing to scale, and no division by it."""
    explanation = _explained(*_case(0.0, prefix_min=0))
    assert explanation.decision.model_needs == 0
    assert explanation.grows_above_per_s is None
