"""What is played, live and simulated alike: the load, the backends, the promise."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.streams import array_stream
from swayam_proxy.sim.workload import Floats, LogNormalLaw, Workload, workload_from_rates

QUIET_S = 5.0
"""Before the first request: proxies and sidecars find each other."""
LAW = LogNormalLaw(0.1, 0.3)


@dataclass(frozen=True, slots=True)
class Played:
    """One scenario; times in seconds from the moment when the load's clock starts."""

    proxies_count: int = 4
    backends_count: int = 40
    response_time_s: float = 0.5
    level: float = 0.99
    setup_s: float = 5.0
    idle_s: float = 20.0
    least_per_s: float = 40.0
    most_per_s: float = 80.0
    waves_count: int = 1
    warm_up_s: float = 60.0
    """Played but not judged: everything begins cold."""
    measured_s: float = 300.0
    seed: int = 1

    @property
    def duration_s(self) -> float:
        """Until the last request."""
        return self.warm_up_s + self.measured_s

    def workload(self) -> Workload:
        """Poisson arrivals whose rate rises and falls, and an execution time for each."""
        times_s = np.arange(0.0, self.duration_s, 1.0)
        middle, swing = (self.most_per_s + self.least_per_s) / 2.0, (self.most_per_s - self.least_per_s) / 2.0
        waves = np.cos(2.0 * np.pi * self.waves_count * (times_s - self.warm_up_s) / self.measured_s)
        rates: Floats = np.where(times_s < QUIET_S, 0.0, middle - swing * waves)
        rng = array_stream(self.seed, "compare-live")
        return workload_from_rates("waves", rates, 1.0, LAW, rng)

    def scenario(self, seed: int) -> Scenario:
        """Return what the simulator is told; `seed` is that of its own dice."""
        return Scenario(
            frontends_count=self.proxies_count,
            backends_count=self.backends_count,
            response_time_s=self.response_time_s,
            level=self.level,
            burst=None,
            setup_s=self.setup_s,
            idle_s=self.idle_s,
            warm_at_start=0,
            dispatch=DispatchPolicy.LATE_BINDING,
            shed_late=False,
            seed=seed,
        )

    def write_trace(self, path: Path, workload: Workload) -> None:
        """Write the requests as `scripts/loadtest --trace` reads them."""
        with path.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(("arrival_s", "service_s"))
            pairs = zip(workload.arrivals_s.tolist(), workload.executions_s.tolist(), strict=True)
            lines.writerows((f"{at:.6f}", f"{took:.6f}") for at, took in pairs)

    def configuration(self, directory: Path, addresses: list[str]) -> str:
        """Return the proxies' configuration, with the settings that the simulator has."""
        return f"""
        [listen]
        port = 0
        [admin]
        port = 0
        [process]
        access_log = "{directory / "access.jsonl"}"
        decision_log = "{directory / "decisions.jsonl"}"
        [services.model]
        backends = {json.dumps(addresses)}
        min = 1
        execution_time = "{LAW.mean_s:g}s"
        setup_time = "{self.setup_s:g}s"
        shrink_hold = "30s"
        queue = {{ count_max = 100000, wait_max = "30s" }}
        [services.model.sla]
        response_time = "{self.response_time_s:g}s"
        level = {self.level}
        burst = "auto"
        [services.model.sidecar]
        """
