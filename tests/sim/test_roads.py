"""How requests reach backends, and what becomes of them when one dies."""

from dataclasses import replace

import numpy as np
import pytest

from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.record import FAILED, REFUSED, UNFINISHED
from swayam_proxy.sim.scenario import Crash, Scenario
from swayam_proxy.sim.workload import LogNormalLaw, Workload, workload_from_rates
from swayam_proxy.sim.world import World

SCENARIO = Scenario(frontends_count=3, backends_count=12, burst=1.2, warm_at_start=6)


@pytest.fixture(scope="module")
def workload() -> Workload:
    """Two minutes at three erlangs."""
    return workload_from_rates("x", np.full(120, 15.0), 1.0, LogNormalLaw(0.2, 0.3), np.random.default_rng(4))


POLICIES = [DispatchPolicy.RANDOM, DispatchPolicy.LEAST_OUTSTANDING, DispatchPolicy.LATE_BINDING]


@pytest.mark.parametrize("dispatch", POLICIES)
def test_every_request_ends_once(workload: Workload, dispatch: DispatchPolicy) -> None:
    """Calm weather: all are answered, none faster than its execution and two ways."""
    record = World(replace(SCENARIO, dispatch=dispatch), workload).run()
    answered = record.responses_s >= 0.0
    assert answered.mean() > 0.98
    assert not (record.responses_s == UNFINISHED).any()
    fastest = workload.executions_s[answered] + 2.0 * SCENARIO.one_way_s
    assert (record.responses_s[answered] >= fastest - 1e-9).all()


@pytest.mark.parametrize("dispatch", POLICIES)
def test_a_dying_backend_breaks_only_what_it_ran(workload: Workload, dispatch: DispatchPolicy) -> None:
    """A crash loses the requests at that backend; the rest are served elsewhere, and all end."""
    # several deaths, since a single one may find its backend idle
    crashes = tuple(Crash(30.0 + 7.0 * number, 1 + number % 4) for number in range(10))
    record = World(replace(SCENARIO, dispatch=dispatch, crashes=crashes), workload).run()
    lost = workload.arrivals_s[record.responses_s == FAILED]
    assert 0 < lost.size <= 60
    assert all(any(0.0 <= crash.at_s - at < 2.0 for crash in crashes) for at in lost)
    assert not (record.responses_s == UNFINISHED).any()
    assert (record.responses_s >= 0.0).mean() > 0.95


@pytest.mark.parametrize("dispatch", POLICIES)
def test_jitter_and_loss_strand_nothing(workload: Workload, dispatch: DispatchPolicy) -> None:
    """Messages that overtake each other or come late leave no request and no slot behind."""
    scenario = replace(SCENARIO, dispatch=dispatch, jitter_s=0.002, loss=0.02, shed_late=False)
    record = World(scenario, workload).run()
    assert not (record.responses_s == UNFINISHED).any()
    assert (record.responses_s == REFUSED).mean() < 0.02
    assert (record.responses_s >= 0.0).mean() > 0.97
