"""Swayam's world: the core's frontends on virtual time."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.report import judge
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.workload import LogNormalLaw, Workload, workload_from_rates
from swayam_proxy.sim.world import World

SCENARIO = Scenario(
    frontends_count=2, backends_count=30, burst=1.2, dispatch=DispatchPolicy.LATE_BINDING, shrink_hold_s=10.0
)


def _workload(rates: list[float], seed: int = 2) -> Workload:
    return workload_from_rates("x", np.array(rates), 1.0, LogNormalLaw(0.2, 0.3), np.random.default_rng(seed))


def test_backends_follow_a_step_up_and_down() -> None:
    """More load sets backends up within a set-up time; less load lets them go after hold and idle time."""
    workload = _workload([15.0] * 90 + [60.0] * 120 + [15.0] * 150)
    record = World(replace(SCENARIO, idle_s=20.0), workload).run()
    times = np.array([when for when, _ in record.changes])
    counts = np.array([count for _, count in record.changes])

    def billed(at_s: float) -> int:
        return int(counts[np.searchsorted(times, at_s, side="right") - 1])

    assert 4 <= billed(85.0) <= 9
    assert billed(110.0) >= 12
    assert billed(330.0) <= 10
    within = (record.responses_s >= 0.0) & (record.responses_s <= record.response_time_s)
    calm = (workload.arrivals_s > 15.0) & ~((workload.arrivals_s > 90.0) & (workload.arrivals_s < 110.0))
    assert within[calm].mean() > 0.99


def test_frontends_agree_when_they_hear_each_other() -> None:
    """With gossip the prefix of all frontends differs by little, also with traffic split 90/10."""
    workload = _workload([50.0] * 60)
    scenario = replace(SCENARIO, frontends_count=4, first_frontend_share=0.9)
    world = World(scenario, workload)
    world.keep_decisions = True
    world.run()
    last: dict[int, list[int]] = {}
    for number, decision in world.decisions:
        if decision.at > 30.0:
            last.setdefault(number, []).append(decision.prefix)
    means = [float(np.mean(prefixes)) for prefixes in last.values()]
    assert len(means) == 4
    assert max(means) - min(means) <= 3.0
    deaf = World(replace(scenario, gossip_s=None), workload)
    deaf.keep_decisions = True
    deaf.run()
    alone = [d.prefix for number, d in deaf.decisions if number == 0 and d.at > 30.0]
    assert float(np.mean(alone)) > 1.5 * max(means), "without gossip L = F x L' misjudges a 90/10 split"


def test_silence_costs_one_backend_at_most_and_ends() -> None:
    """After the load ends nothing stays warm for ever but what the minimum keeps."""
    record = World(replace(SCENARIO, idle_s=15.0), _workload([30.0] * 30 + [0.0] * 120)).run()
    assert record.changes[-1][1] <= 1


def test_a_request_that_would_be_late_is_refused() -> None:
    """Under overload shedding keeps those that are served within the promise; without it hardly any is."""
    workload = _workload([60.0] * 40)
    scenario = replace(SCENARIO, backends_count=8, warm_at_start=8)
    kept, queued = (World(replace(scenario, shed_late=shed), workload).run() for shed in (True, False))
    shares = [((r.responses_s >= 0.0) & (r.responses_s <= r.response_time_s)).mean() for r in (kept, queued)]
    assert shares[0] > 0.45
    assert shares[0] > 3.0 * shares[1]


REPLAY = """
import numpy as np
from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.report import judge
from swayam_proxy.sim.scenario import Crash, Scenario
from swayam_proxy.sim.workload import LogNormalLaw, workload_from_rates
from swayam_proxy.sim.world import World
workload = workload_from_rates("x", np.full(40, 30.0), 1.0, LogNormalLaw(0.2, 0.3), np.random.default_rng(2))
scenario = Scenario(frontends_count=3, backends_count=20, burst=None, dispatch=DispatchPolicy.LATE_BINDING,
                    jitter_s=0.001, loss=0.01, gossip_loss=0.2, setup_cv=0.3, crashes=(Crash(20.0, 1),),
                    seed=SEED)
print(judge(World(scenario, workload).run(), workload).to_json())
"""


def _report(hash_seed: str, seed: int) -> str:
    result = subprocess.run(
        [sys.executable, "-c", REPLAY.replace("SEED", str(seed))],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_same_seed_same_report_byte_for_byte() -> None:
    """Neither the process nor PYTHONHASHSEED changes a byte of the report; another seed does."""
    first = _report("1", 7)
    assert first == _report("4242", 7)
    assert json.loads(first)["backend_seconds"] != json.loads(_report("1", 8))["backend_seconds"]


def test_a_run_in_this_process_gives_the_same_again() -> None:
    """Two worlds side by side share no state."""
    workload = _workload([30.0] * 30)
    first, second = (judge(World(SCENARIO, workload).run(), workload).to_json() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("frontends", [1, 5])
def test_every_frontend_count_runs(frontends: int) -> None:
    """One frontend needs no gossip; many share the load."""
    workload = _workload([20.0] * 30)
    record = World(replace(SCENARIO, frontends_count=frontends), workload).run()
    assert (record.responses_s >= 0.0).mean() > 0.9
