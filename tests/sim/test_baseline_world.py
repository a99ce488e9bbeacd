"""Baselines on the same machines as Swayam."""

from dataclasses import replace

import numpy as np
import pytest

from swayam_proxy.core.model.erlang import erlang_c
from swayam_proxy.sim.baseline_world import BaselineWorld, shedding
from swayam_proxy.sim.baselines.catalogue import BASELINES, DISPATCHERS
from swayam_proxy.sim.record import REFUSED, UNFINISHED
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.workload import EmpiricalLaw, ExecutionLaw, LogNormalLaw, Workload, workload_from_rates

SCENARIO = Scenario(backends_count=40, one_way_s=0.0)


class _Exponential:
    mean_s, cv = 0.1, 1.0

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.exponential(0.1, count)


def _workload(rates: list[float], law: ExecutionLaw | None = None) -> Workload:
    law = law or LogNormalLaw(0.2, 0.3)
    return workload_from_rates("x", np.array(rates), 1.0, law, np.random.default_rng(3))


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_every_baseline_follows_the_load(name: str) -> None:
    """All requests end, and after a long steady load there are at least as many backends as work."""
    record = BaselineWorld(BASELINES[name], SCENARIO, _workload([20.0] * 700)).run()
    assert not (record.responses_s == UNFINISHED).any()
    assert record.changes[-1][1] >= 4
    late = record.responses_s[-2000:] > 10.0
    assert late.mean() < 0.5, "a backlog that never ends is no autoscaler"


@pytest.mark.parametrize("dispatch", sorted(DISPATCHERS))
def test_every_dispatch_serves_everything(dispatch: str) -> None:
    """No dispatch loses or duplicates a request, with one slot and with three, while backends come and go."""
    workload = _workload([30.0] * 60 + [5.0] * 60 + [40.0] * 60)
    for slots in (1, 3):
        baseline = replace(BASELINES["knative"], dispatch=dispatch)
        record = BaselineWorld(baseline, replace(SCENARIO, slots=slots), workload).run()
        assert (record.responses_s >= workload.executions_s - 1e-9).all()


def test_the_central_queue_waits_as_erlang_says() -> None:
    """With exponential times the share that waits is Erlang's C, the mean wait follows from it."""
    baseline = BASELINES["fixed"].tuned(backends_count=6)
    workload = _workload([48.0] * 4000, _Exponential())
    record = BaselineWorld(baseline, replace(SCENARIO, warm_at_start=6), workload).run()
    waits = record.responses_s - workload.executions_s
    expected = erlang_c(6, 4.8)
    assert (waits > 1e-9).mean() == pytest.approx(expected, rel=0.04)
    assert waits.mean() == pytest.approx(expected * 0.1 / 1.2, rel=0.08)


def test_scaling_in_ends_work_first_and_idling_keeps_warm() -> None:
    """Without idling backends go at once; with it they stay warm for the idle time."""
    workload = _workload([40.0] * 60 + [2.0] * 200)
    tuned = BASELINES["rule-of-thumb"].tuned(burst=1.0, shrink_hold_s=0.0)
    bills = [
        BaselineWorld(replace(tuned, idles=idles), replace(SCENARIO, idle_s=60.0), workload).run()
        for idles in (False, True)
    ]
    assert bills[0].backend_seconds < bills[1].backend_seconds
    assert all((record.responses_s >= 0).all() for record in bills)


def test_shedding_refuses_what_would_be_late() -> None:
    """Under overload a shedding baseline refuses, and what it serves is in time."""
    fixed = BASELINES["fixed"].tuned(backends_count=4)
    workload = _workload([40.0] * 60, EmpiricalLaw(np.array([0.2])))
    record = BaselineWorld(shedding(fixed), replace(SCENARIO, warm_at_start=4), workload).run()
    served = record.responses_s[record.responses_s >= 0.0]
    assert (record.responses_s == REFUSED).mean() == pytest.approx(0.5, abs=0.06)
    assert (served <= record.response_time_s + 0.05).all()


def test_the_same_seed_gives_the_same_run() -> None:
    """Two runs are equal to the last bit."""
    workload = _workload([20.0] * 60)
    first, second = (BaselineWorld(BASELINES["ray-serve"], SCENARIO, workload).run() for _ in range(2))
    assert np.array_equal(first.responses_s, second.responses_s)
    assert first.backend_seconds == second.backend_seconds
