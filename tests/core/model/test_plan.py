"""What-if on paper."""

from dataclasses import replace

import pytest

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.plan import Question, follow, plan
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.vocabulary import DispatchPolicy

QUESTION = Question(200.0, LogNormal.of_mean_cv(0.05, 0.3), 0.25, 0.99)


def test_answer_is_where_the_curve_crosses_the_level() -> None:
    """The curve rises, is below the level before n and at or above it from n on."""
    tight = replace(QUESTION, response_time_s=0.1)
    answer = plan(tight)
    shares = dict(answer.attainment)
    assert answer.feasible
    assert shares[answer.backends - 1] < tight.level <= shares[answer.backends]
    ordered = [shares[n] for n in sorted(shares)]
    assert ordered == sorted(ordered)
    assert answer.binding == "promise"


def test_loose_promise_is_bound_by_the_load() -> None:
    """Within five executions, late binding needs no more than what carries the load."""
    answer = plan(QUESTION)
    assert (answer.backends, answer.binding) == (11, "load")
    assert answer.utilisation == pytest.approx(10.0 / 11.0)


def test_reactions_point_the_right_way() -> None:
    """More load, longer or wider executions, a shorter threshold, a higher level, bursts: never fewer."""
    answer = plan(replace(QUESTION, response_time_s=0.12))
    by_name = {each.changed: each for each in answer.reactions}
    for name in ("rate", "execution mean", "execution cv", "level", "burst"):
        smaller, larger = by_name[name].backends_smaller, by_name[name].backends_larger
        assert smaller is not None
        assert larger is None or smaller <= larger
    threshold = by_name["response time"]
    assert threshold.backends_larger is not None
    assert threshold.backends_smaller is None or threshold.backends_smaller >= threshold.backends_larger


def test_remedies_make_an_impossible_promise_possible() -> None:
    """An infeasible promise says what would do; a response time a little beyond the one named does."""
    impossible = replace(QUESTION, response_time_s=0.08)
    answer = plan(impossible)
    assert not answer.feasible
    assert answer.binding == "execution"
    named_s = float(answer.remedies[0].split()[-2]) / 1000.0
    assert plan(replace(impossible, response_time_s=named_s + 0.002)).feasible
    assert not plan(replace(impossible, response_time_s=named_s - 0.002)).feasible


@pytest.mark.parametrize("policy", list(DispatchPolicy))
def test_impossible_promises_do_not_ask_for_everything(policy: DispatchPolicy) -> None:
    """Where no number of backends helps, the answer stays of the order of the load."""
    answer = plan(replace(QUESTION, response_time_s=0.08, policy=policy))
    assert 10 <= answer.backends <= 450


def test_course_is_followed_and_silence_is_free() -> None:
    """Each rate of a course has its own answer; close rates share one; none is needed without load."""
    course = follow(QUESTION, [0.0, 100.0, 100.2, 200.0, 0.0])
    assert course.backends[0] == course.backends[-1] == 0
    assert course.backends[1] == course.backends[2] < course.backends[3] == course.peak
    assert course.mean == pytest.approx(sum(course.backends) / 5.0)
    assert course.feasible


def test_auto_burst_is_the_least_drift() -> None:
    """Without a history, auto asks for an eighth more."""
    assert replace(QUESTION, burst=None).load_per_s == pytest.approx(225.6, rel=0.01)


def test_plans_need_a_load() -> None:
    """No rate, no plan."""
    with pytest.raises(ModelError, match="positive rate"):
        plan(replace(QUESTION, rate_per_s=0.0))
