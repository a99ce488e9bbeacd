"""From inputs to a number of backends, with its reason."""

from swayam_proxy.core.decision import DecisionInputs, PrefixRule, ShrinkHold, own_share
from swayam_proxy.core.model.execution import ExecutionStatistics
from swayam_proxy.core.model.load import Forecast
from swayam_proxy.core.vocabulary import DecisionReason, ServiceSpec, Sla
from tests.core.playbook import service_spec


def _inputs(
    at: float, rate: float, *, frontends_count: int = 1, spread: float = 0.0, own_share: float = 1.0
) -> DecisionInputs:
    executions = ExecutionStatistics()
    for k in range(2000):
        executions.observe(0.045 + 0.01 * (k % 11) / 10.0, at)
    forecast = Forecast(rate, spread, rate, 1.0, 1.0, own_share=own_share)
    return DecisionInputs(at, frontends_count, 1.0, forecast, executions.summary(at))


def _rule(**changes: object) -> tuple[PrefixRule, ServiceSpec]:
    spec = service_spec(40, prefix_start=1, **changes)
    return PrefixRule(spec, 0.0), spec


def test_growth_is_at_once_and_shrinking_waits_for_the_hold() -> None:
    """A smaller answer must last as long as the hold; any larger one is in force the same tick."""
    rule, _ = _rule(shrink_hold_s=30.0)
    grown = rule.decide(_inputs(1.0, 200.0))
    assert grown.reason is DecisionReason.GROW
    held = rule.decide(_inputs(2.0, 20.0))
    assert (held.reason, held.needs) == (DecisionReason.HOLD, grown.needs)
    assert rule.decide(_inputs(30.9, 20.0)).needs == grown.needs
    shrunk = rule.decide(_inputs(31.1, 20.0))
    assert shrunk.reason is DecisionReason.SHRINK
    assert shrunk.needs < grown.needs


def test_load_is_everyones_forecast_times_burst() -> None:
    """Where all together expect 100/s, a burst of 2 must carry 200/s [deck: U x L]."""
    rule, _ = _rule(sla=Sla(0.25, 0.99, burst=2.0))
    decision = rule.decide(_inputs(1.0, 100.0, frontends_count=4))
    assert decision.load_per_s == 200.0
    alone, _ = _rule(sla=Sla(0.25, 0.99, burst=1.0))
    assert alone.decide(_inputs(1.0, 200.0)).needs <= decision.needs


def test_auto_burst_follows_the_spread_of_the_forecast() -> None:
    """A forecast that has been wrong asks for headroom; one that has been right does not."""
    calm, _ = _rule(sla=Sla(0.25, 0.99, burst=None))
    wild, _ = _rule(sla=Sla(0.25, 0.99, burst=None))
    assert calm.decide(_inputs(1.0, 100.0)).needs < wild.decide(_inputs(1.0, 100.0, spread=60.0)).needs


def test_min_and_max_bound_the_answer_and_say_so() -> None:
    """The user's bounds hold whatever the model says, and the reason names them."""
    low, _ = _rule(prefix_min=3)
    assert low.decide(_inputs(1.0, 1.0)).needs == 3
    assert low.decide(_inputs(2.0, 1.0)).reason is DecisionReason.MIN
    high, _ = _rule(prefix_max=5)
    decision = high.decide(_inputs(1.0, 500.0))
    assert (decision.needs, decision.reason) == (5, DecisionReason.MAX)


def test_a_promise_that_no_number_keeps_is_infeasible() -> None:
    """Executions of 50 ms cannot answer within 20 ms: the decision says so and adds no machines for it."""
    rule, _ = _rule(sla=Sla(0.02, 0.99, burst=1.0))
    decision = rule.decide(_inputs(1.0, 100.0))
    assert not decision.feasible
    assert decision.reason is DecisionReason.INFEASIBLE
    assert decision.needs < 40


def test_silence_needs_the_minimum_only() -> None:
    """Nothing at zero traffic keeps backends."""
    rule, _ = _rule(prefix_min=0, shrink_hold_s=5.0)
    rule.decide(_inputs(1.0, 0.0))
    assert rule.decide(_inputs(7.0, 0.0)).needs == 0


def test_attainment_brackets_the_answer() -> None:
    """The share kept at n - 1 is below the level, at n it is not: that is what least means."""
    rule, spec = _rule()
    decision = rule.decide(_inputs(1.0, 300.0))
    shares = dict(decision.attainment)
    assert shares[decision.needs - 1] < spec.sla.level <= shares[decision.needs]


def test_hold_is_a_sliding_maximum() -> None:
    """After each step the hold equals the plain maximum over its window."""
    hold, seen = ShrinkHold(10.0, 0.0, 4), [(0.0, 4)]
    for step, needs in enumerate([1, 3, 2, 2, 5, 1, 1, 1, 1, 1, 1, 0, 2, 1, 1, 1], start=1):
        now = step * 2.0
        seen.append((now, needs))
        assert hold.saw(now, needs) == max(n for at, n in seen if at > now - 10.0)


def test_own_part_of_the_load_is_told_apart() -> None:
    """Traffic split 90/10: the busy frontend and the quiet one come to the same n, each with its share."""
    busy = _rule()[0].decide(_inputs(1.0, 100.0, frontends_count=2, own_share=0.9))
    quiet = _rule()[0].decide(_inputs(1.0, 100.0, frontends_count=2, own_share=0.1))
    assert busy.load_per_s == quiet.load_per_s == 100.0
    assert busy.needs == quiet.needs
    assert (busy.forecast_per_s, quiet.rate_per_s) == (90.0, 10.0)
    assert own_share(busy) == 0.9
    assert own_share(quiet) == 0.1


def _decided(rule: PrefixRule, rates: list[tuple[float, float]]) -> list[tuple[float, DecisionReason]]:
    """Decide every 5 s with each (rate, for how long) in turn; return (load to carry, reason) of each."""
    statistics, at, found = _inputs(0.0, 0.0).execution, 0.0, []
    for rate, lasting_s in rates:
        for _ in range(int(lasting_s / 5.0)):
            at += 5.0
            forecast = Forecast(rate, 0.0, rate, 1.0, 1.0)
            decision = rule.decide(DecisionInputs(at, 1, 1.0, forecast, statistics))
            found.append((decision.load_per_s, decision.reason))
    return found


DIPS = [(200.0, 300.0), (50.0, 300.0), (200.0, 120.0), (50.0, 300.0), (200.0, 120.0), (50.0, 300.0)]


def test_a_load_that_came_back_twice_is_carried_through_the_next_dip() -> None:
    """The first two dips end at the low load, the third keeps most of the high one, and says so."""
    found = _decided(_rule(shrink_hold_s=5.0, sla=Sla(0.25, 0.99, burst=None))[0], DIPS)
    assert found[60 + 59] == (50.0, DecisionReason.STEADY)
    load_per_s, reason = found[-1]
    assert 120.0 < load_per_s < 200.0
    assert reason in (DecisionReason.HOLD, DecisionReason.SHRINK)


def test_a_given_burst_factor_is_all_that_is_added() -> None:
    """With U laid down by the user nothing is remembered: the load is U times the forecast [deck]."""
    found = _decided(_rule(shrink_hold_s=5.0, sla=Sla(0.25, 0.99, burst=1.5))[0], DIPS)
    assert found[-1][0] == 75.0


def test_a_quiet_frontend_among_silent_ones_has_an_equal_share() -> None:
    """Without any traffic the share of slots is that of equals."""
    assert own_share(_rule()[0].decide(_inputs(1.0, 0.0, frontends_count=4))) == 0.25


def test_a_service_at_zero_is_set_up_for_a_call_not_for_a_forecast() -> None:
    """The rest of an old forecast wakes nobody; the first call does, and then the forecast counts again."""
    rule, _ = _rule(prefix_min=0, shrink_hold_s=5.0)
    rule.decide(_inputs(1.0, 0.0))
    assert rule.decide(_inputs(7.0, 0.0)).needs == 0
    assert rule.decide(_inputs(8.0, 0.3)).needs == 0
    assert rule.called(8.5) == 1
    assert rule.decide(_inputs(9.0, 0.3)).needs == 1
    assert rule.decide(_inputs(14.0, 0.3)).needs == 1
