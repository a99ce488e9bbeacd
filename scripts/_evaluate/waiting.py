"""The deck's figure of waiting time over the number of backends, per dispatch policy, by simulation.

200 requests a second of 50 ms, cv 0.3: ten erlangs, eight frontends, a round trip of 0.5 ms. Swayam's
policies are the core's own dispatch and sidecar rules; the others are the baselines' ones.
"""

from dataclasses import replace

import numpy as np

from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.baseline_world import BaselineWorld
from swayam_proxy.sim.baselines.catalogue import BASELINES
from swayam_proxy.sim.record import RunRecord
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.workload import LogNormalLaw, Workload, workload_from_rates
from swayam_proxy.sim.world import World

RATE_PER_S, EXECUTION_S = 200.0, 0.05
COUNTS = (11, 12, 13, 14, 15, 16, 18, 20, 22, 25, 28, 32)
SWAYAM = ("late-binding", "p2c", "least-outstanding", "random")
OTHERS = {
    "central": "central queue",
    "power-of-two": "power of two, true queues",
    "random": "random, one proxy",
}


def waiting_p99_s(duration_s: float, seed: int = 1) -> dict[str, list[float]]:
    """Return P99 of waiting by policy, one value for each of COUNTS."""
    rng = np.random.default_rng(seed)
    rates = np.full(round(duration_s), RATE_PER_S)
    workload = workload_from_rates("steady", rates, 1.0, LogNormalLaw(EXECUTION_S, 0.3), rng)
    rows: dict[str, list[float]] = {}
    for name in SWAYAM:
        rows[name] = [_p99(_swayam(name, count, workload, seed), workload) for count in COUNTS]
    for name, label in OTHERS.items():
        rows[label] = [_p99(_other(name, count, workload, seed), workload) for count in COUNTS]
    return rows


def _scenario(count: int, seed: int) -> Scenario:
    # so high a burst factor keeps the whole list in use: here n is given, not decided
    return Scenario(
        backends_count=count, warm_at_start=count, burst=50.0, shed_late=False, idle_s=1e6, seed=seed
    )


def _swayam(name: str, count: int, workload: Workload, seed: int) -> RunRecord:
    return World(replace(_scenario(count, seed), dispatch=DispatchPolicy(name)), workload).run()


def _other(name: str, count: int, workload: Workload, seed: int) -> RunRecord:
    baseline = replace(BASELINES["fixed"].tuned(backends_count=count), dispatch=name)
    return BaselineWorld(baseline, _scenario(count, seed), workload).run()


def _p99(record: RunRecord, workload: Workload) -> float:
    settled = workload.arrivals_s > 5.0
    waits = np.where(record.responses_s >= 0.0, record.responses_s - workload.executions_s, np.inf)
    return float(np.quantile(waits[settled], 0.99, method="inverted_cdf"))
