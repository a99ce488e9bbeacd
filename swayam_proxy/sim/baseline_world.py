"""A baseline on virtual time: its autoscaler and its dispatch over the same fleet, billed like Swayam's
world.

The autoscaler is asked once a second. Scaling out sets cold backends up from the lowest index on; scaling
in removes the highest, which first end what they were given. Knows no frontends: what baselines share in
their centre (one queue, true counts) takes no time here, which is kind to them.
"""

from dataclasses import replace

import numpy as np

from swayam_proxy.core.vocabulary import NEVER, BackendState
from swayam_proxy.sim.baselines.base import Gauges, Second, Service
from swayam_proxy.sim.baselines.catalogue import DISPATCHERS, Baseline
from swayam_proxy.sim.baselines.dispatch import Occupancy
from swayam_proxy.sim.engine import Engine, Progress
from swayam_proxy.sim.fleet import Fleet
from swayam_proxy.sim.record import REFUSED, ResponseLog, RunRecord
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.streams import scalar_stream
from swayam_proxy.sim.workload import Workload

WARM = BackendState.WARM
_AFTERLIFE_S = 3600.0


class BaselineWorld:
    """One run of one baseline."""

    def __init__(self, baseline: Baseline, scenario: Scenario, workload: Workload) -> None:
        """Build everything at time 0, with the scenario's first backends warm."""
        self._baseline = baseline
        self._scenario = scenario
        self._workload = workload
        self._engine = Engine()
        self._log = ResponseLog(workload.requests_count)
        self._arrivals_s = np.ascontiguousarray(workload.arrivals_s).data
        self._executions_s = np.ascontiguousarray(workload.executions_s).data
        self._threshold_s = scenario.threshold_s(workload.execution_mean_s)
        self._ways_s = 2.0 * scenario.one_way_s
        self._patience_s = (
            self._threshold_s - workload.execution_mean_s - self._ways_s if baseline.sheds else NEVER
        )
        self._fleet = Fleet(
            self._engine,
            scalar_stream(scenario.seed, "fleet"),
            backends_count=scenario.backends_count,
            slots=scenario.slots,
            setup_s=scenario.setup_s,
            setup_cv=scenario.setup_cv,
            idle_s=scenario.idle_s if baseline.idles else NEVER,
            bill_until_s=workload.duration_s,
        )
        self._occupancy = Occupancy(scenario.backends_count, scenario.slots)
        rng = scalar_stream(scenario.seed, "dispatch", baseline.name)
        self._dispatcher = DISPATCHERS[baseline.dispatch](self._occupancy, rng)
        service = Service(
            workload.execution_mean_s,
            self._threshold_s,
            scenario.level,
            scenario.slots,
            scenario.setup_s,
            scenario.backends_count,
        )
        self._autoscaler = baseline.kind(service, baseline.settings)
        self._gauges = Gauges()
        self._wanted = scenario.warm_at_start
        self._prefixes: list[tuple[float, int]] = [(0.0, self._wanted)]
        self._in_flight = self._running = 0
        self._in_flight_area = self._running_area = 0.0
        self._area_at = 0.0
        self._arrivals = self._answers = self._highest_used = 0
        self._response_sum_s = 0.0
        self._fleet.begin_warm(scenario.warm_at_start)
        self._fleet.listener = self._state_changed
        self._use()
        self._engine.call_at(1.0, self._second_passed)

    def run(self, progress: Progress | None = None) -> RunRecord:
        """Play the workload to its end and return what came of it."""
        self._engine.run_arrivals(self._workload.arrivals_s, self._arrived, progress)
        self._engine.run_until(self._workload.duration_s)
        backend_seconds = self._fleet.backend_seconds()
        wanted = self._workload.requests_count
        self._engine.run_until(self._engine.now + _AFTERLIFE_S, lambda: self._log.ended_count >= wanted)
        scenario = self._scenario
        return RunRecord(
            policy=self._baseline.name,
            response_time_s=self._threshold_s,
            level=scenario.level,
            setup_s=scenario.setup_s,
            idle_s=scenario.idle_s,
            responses_s=self._log.as_array(),
            backend_seconds=backend_seconds,
            peak_backends=self._fleet.peak_count,
            setups_count=self._fleet.setups_count,
            changes=tuple(self._fleet.changes),
            prefixes=tuple(self._prefixes),
        )

    # -- requests --

    def _arrived(self, position: int) -> None:
        self._count_areas()
        self._arrivals += 1
        self._in_flight += 1
        index = self._dispatcher.arrived(position)
        if index:
            self._start(position, index)
        elif self._wanted == 0:
            self._scale(1)

    def _start(self, position: int, index: int) -> None:
        counts = self._occupancy.counts
        counts[index] += 1
        self._running += counts[index] <= self._occupancy.slots
        if index > self._highest_used:
            self._highest_used = index
        end_s = self._fleet.run(index, self._engine.now, self._executions_s[position])
        self._engine.call_at(end_s, self._ended, position, index)

    def _ended(self, position: int, index: int) -> None:
        self._count_areas()
        counts = self._occupancy.counts
        counts[index] -= 1
        self._running -= counts[index] < self._occupancy.slots
        self._in_flight -= 1
        response_s = self._engine.now - self._arrivals_s[position] + self._ways_s
        self._log.times_s[position] = response_s
        self._log.ended_count += 1
        self._answers += 1
        self._response_sum_s += response_s
        self._serve(index)

    def _serve(self, index: int) -> None:
        """Let waiting requests go as long as the dispatcher gives any; those that would be late are
        refused.
        """
        now = self._engine.now
        while (given := self._dispatcher.freed(index)) is not None:
            position, chosen = given
            if now - self._arrivals_s[position] > self._patience_s:
                self._log.times_s[position] = REFUSED
                self._log.ended_count += 1
                self._in_flight -= 1
            else:
                self._start(position, chosen)

    def _count_areas(self) -> None:
        now = self._engine.now
        passed_s = now - self._area_at
        self._area_at = now
        self._in_flight_area += self._in_flight * passed_s
        self._running_area += self._running * passed_s

    # -- scaling --

    def _second_passed(self, _first: object, _second: object) -> None:
        self._count_areas()
        gauges = self._gauges
        gauges.seconds.append(
            Second(
                in_flight_mean=self._in_flight_area,
                running_mean=self._running_area,
                arrivals_count=self._arrivals,
                answers_count=self._answers,
                response_sum_s=self._response_sum_s,
                highest_used=self._highest_used,
            )
        )
        self._in_flight_area = self._running_area = self._response_sum_s = 0.0
        self._arrivals = self._answers = self._highest_used = 0
        gauges.now = self._engine.now
        gauges.in_flight_count = self._in_flight
        gauges.ready_count = self._fleet.warm_count
        gauges.wanted_count = self._wanted
        self._scale(self._autoscaler.wanted(gauges))
        self._engine.call_at(gauges.now + 1.0, self._second_passed)

    def _scale(self, wanted: int) -> None:
        wanted = max(0, min(wanted, self._scenario.backends_count))
        if wanted != self._wanted:
            self._wanted = wanted
            self._prefixes.append((self._engine.now, wanted))
            if not self._baseline.idles:
                for index in range(self._scenario.backends_count, wanted, -1):
                    self._fleet.retire(index)
            self._use()
        for index in range(1, wanted + 1):
            self._fleet.set_up(index)

    def _state_changed(self, index: int) -> None:
        if index <= self._wanted and self._fleet.backends[index].state is not BackendState.WARMING:
            self._use()

    def _use(self) -> None:
        """Tell the dispatcher who may be chosen: the warm backends of 1..wanted."""
        backends = self._fleet.backends
        usable = [index for index in range(1, self._wanted + 1) if backends[index].state is WARM]
        self._dispatcher.usable_changed(usable)
        for index in usable:
            self._serve(index)


def shedding(baseline: Baseline) -> Baseline:
    """Return the baseline with Swayam's refusal of what would be late: isolates the autoscaler from it."""
    return replace(baseline, sheds=True)
