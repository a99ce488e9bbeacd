"""One run as a job: what it plays, where its result is kept, and many of them on a pool of processes.

Results are kept as JSON by a hash of the job and of the sources that it depends on, so that an evaluation
that was interrupted, or whose tables are to be written anew, goes on where it was.
"""

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import swayam_proxy
from _evaluate.traces import TraceSpec, load
from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.baseline_world import BaselineWorld
from swayam_proxy.sim.baselines.catalogue import BASELINES
from swayam_proxy.sim.plot import busy_backends
from swayam_proxy.sim.record import RunRecord
from swayam_proxy.sim.report import Yardsticks, judge, yardsticks
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.workload import Workload
from swayam_proxy.sim.world import World

Result = dict[str, Any]
_CURVE_S = 10.0
_QUANTILES = np.concatenate((np.linspace(0.0, 0.9, 46), 1.0 - np.geomspace(0.1, 1e-4, 55)))


@dataclass(frozen=True, slots=True)
class Job:
    """One run. Settings and changes are sorted pairs, so that equal jobs have equal hashes."""

    trace: TraceSpec
    policy: str
    settings: tuple[tuple[str, Any], ...] = ()
    """Of a baseline."""
    scenario: tuple[tuple[str, Any], ...] = ()
    """What differs from the default scenario."""
    variant: tuple[tuple[str, Any], ...] = ()
    """Fields of the baseline itself: dispatch, idles, sheds."""
    seed: int = 1

    def with_scenario(self, **changes: Any) -> "Job":
        """Return the same job in another scenario."""
        return replace(self, scenario=pairs({**dict(self.scenario), **changes}))


def pairs(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return a mapping as sorted pairs."""
    return tuple(sorted(values.items()))


@lru_cache(maxsize=4)
def _sources_hash(*parts: str) -> str:
    root = Path(swayam_proxy.__file__).parent
    paths = sorted({path for part in parts for path in root.glob(part)})
    digest = blake2b(digest_size=8)
    for path in paths:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def key_of(job: Job) -> str:
    """Return the name under which the job's result is kept."""
    model = ("core/model/*.py",) if job.policy in ("rule-of-thumb", "faro") else ()
    parts = ("sim/**/*.py", "core/**/*.py") if job.policy == "swayam" else ("sim/**/*.py", *model)
    text = json.dumps([asdict(job), _sources_hash(*parts)], sort_keys=True, default=str)
    return f"{job.policy}-{job.trace.name}-{blake2b(text.encode(), digest_size=10).hexdigest()}"


def run(job: Job) -> Result:
    """Play the job."""
    workload = load(job.trace, job.seed)
    known = dict(job.scenario)
    if "dispatch" in known:
        known["dispatch"] = DispatchPolicy(known["dispatch"])
    scenario = Scenario(**{"seed": job.seed, **known})
    record = _play(job, scenario, workload)
    report = judge(record, workload, _yardsticks(job.trace, job.seed, scenario))
    return {**json.loads(report.to_json()), "curve": _curve(record, workload), **_responses(record)}


def _play(job: Job, scenario: Scenario, workload: Workload) -> RunRecord:
    if job.policy == "swayam":
        return World(scenario, workload).run()
    baseline = replace(BASELINES[job.policy].tuned(**dict(job.settings)), **dict(job.variant))
    return BaselineWorld(baseline, scenario, workload).run()


@lru_cache(maxsize=16)
def _yardsticks_of(
    trace: TraceSpec, seed: int, ratio: float, level: float, setup_s: float, idle_s: float
) -> Yardsticks:
    workload = load(trace, seed)
    return yardsticks(
        workload,
        response_time_s=ratio * workload.execution_mean_s,
        level=level,
        setup_s=setup_s,
        idle_s=idle_s,
    )


def _yardsticks(trace: TraceSpec, seed: int, scenario: Scenario) -> Yardsticks:
    ratio = scenario.response_time_ratio
    return _yardsticks_of(trace, seed, ratio, scenario.level, scenario.setup_s, scenario.idle_s)


def _curve(record: RunRecord, workload: Workload) -> list[float]:
    """Return billed backends, the mean of each ten seconds."""
    starts, _ = busy_backends(workload, _CURVE_S)
    times = np.array([when for when, _ in record.changes] + [workload.duration_s])
    counts = np.array([count for _, count in record.changes] + [0], dtype=np.float64)
    area = np.concatenate(([0.0], np.cumsum(counts[:-1] * np.diff(times))))
    edges = np.concatenate((starts, [workload.duration_s]))
    sums = np.interp(edges, times, area, left=0.0)
    return [round(float(value), 3) for value in np.diff(sums) / np.maximum(np.diff(edges), 1e-9)]


def _responses(record: RunRecord) -> Result:
    """Return quantiles of the response time over RT_max among all requests; what was not answered counts as
    inf.
    """
    responses = np.where(record.responses_s >= 0.0, record.responses_s, np.inf) / record.response_time_s
    quantiles = np.quantile(responses, _QUANTILES, method="inverted_cdf") if responses.size else _QUANTILES
    return {
        "quantile_levels": [round(float(level), 6) for level in _QUANTILES],
        "quantiles": [round(float(value), 5) if np.isfinite(value) else None for value in quantiles],
    }


class Store:
    """Results by job, kept in a directory."""

    def __init__(self, directory: Path, processes_count: int) -> None:
        """Keep results in `directory`, which is made."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._processes_count = processes_count

    def results(self, jobs: Iterable[Job], label: str) -> list[Result]:
        """Return the results in the order of the jobs; what is not kept yet is played."""
        ordered = list(jobs)
        keys = [key_of(job) for job in ordered]
        missing = {key: job for key, job in zip(keys, ordered, strict=True) if not self._path(key).is_file()}
        if missing:
            self._play_all(missing, label)
        return [json.loads(self._path(key).read_text()) for key in keys]

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.json"

    def _play_all(self, missing: dict[str, Job], label: str) -> None:
        columns = (TextColumn(f"{label:24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # one trace after the other, so that a process can use the workload that it has loaded
        waiting = sorted(missing.items(), key=lambda item: (item[1].trace.name, item[0]))
        with (
            ProcessPoolExecutor(self._processes_count, mp_context=get_context("fork")) as pool,
            Progress(*columns) as bar,
        ):
            task = bar.add_task(label, total=len(waiting))
            for future in as_completed([pool.submit(_played, key, job) for key, job in waiting]):
                key, result = future.result()
                unfinished = self._path(key).with_suffix(".part")
                unfinished.write_text(json.dumps(result))
                unfinished.rename(self._path(key))
                bar.advance(task)


def _played(key: str, job: Job) -> tuple[str, Result]:
    return key, run(job)
