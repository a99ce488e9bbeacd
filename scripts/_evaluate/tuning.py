"""Tunes baselines: every point of the grid on every trace, then the cheapest that keeps the promise.

Kept means at least 99 % of requests and at least 98 % of one-minute windows. Where no point keeps it on all
traces, the one that misses on the fewest is taken, and the table says on how many.
"""

from dataclasses import dataclass, field
from itertools import product
from math import exp, log
from typing import Any

from _evaluate.jobs import Job, Result, Store, pairs
from _evaluate.traces import TraceSpec
from swayam_proxy.sim.baselines.catalogue import Baseline

SHARE_MIN = 0.99
WINDOWS_MIN = 0.98
_COARSE_VALUES = 3

Point = tuple[tuple[str, Any], ...]


def kept(result: Result) -> bool:
    """Say whether a run kept the promise."""
    return bool(result["share_within"] >= SHARE_MIN and result["windows_1min_ok"] >= WINDOWS_MIN)


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean; 0 without values."""
    return exp(sum(log(value) for value in values) / len(values)) if values else 0.0


def grid_points(baseline: Baseline, *, coarse: bool) -> list[Point]:
    """Return all settings to try."""
    axes = []
    for name, values in baseline.grid:
        kept_values = values if not coarse else _spread(values)
        axes.append([(name, value) for value in kept_values])
    return [tuple(sorted(point)) for point in product(*axes)]


def _spread(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(values) <= _COARSE_VALUES:
        return values[:1] if len(values) == 1 else (values[0], values[-1])
    return (values[0], values[len(values) // 2], values[-1])


@dataclass(frozen=True, slots=True)
class Tuned:
    """The outcome for one baseline."""

    name: str
    per_set: Point
    """One setting for all traces."""
    per_set_results: dict[str, Result] = field(repr=False)
    per_trace: dict[str, tuple[Point, Result]] = field(repr=False)
    everything: dict[Point, dict[str, Result]] = field(repr=False)


def tune(
    store: Store,
    baseline: Baseline,
    traces: list[TraceSpec],
    *,
    coarse: bool,
    variant: dict[str, Any] | None = None,
) -> Tuned:
    """Play the grid and choose."""
    points = grid_points(baseline, coarse=coarse)
    jobs = [
        Job(trace, baseline.name, point, variant=pairs(variant or {})) for point in points for trace in traces
    ]
    results = store.results(jobs, f"tuning {baseline.name}")
    everything: dict[Point, dict[str, Result]] = {point: {} for point in points}
    for job, result in zip(jobs, results, strict=True):
        everything[job.settings][job.trace.name] = result
    counted = [trace.name for trace in traces if not trace.hopeless]
    per_set = min(points, key=lambda point: _badness(everything[point], counted))
    per_trace = {
        trace.name: min(
            ((point, everything[point][trace.name]) for point in points), key=lambda pair: _one(pair[1])
        )
        for trace in traces
    }
    return Tuned(baseline.name, per_set, everything[per_set], per_trace, everything)


def _badness(results: dict[str, Result], counted: list[str]) -> tuple[int, float]:
    missed = sum(not kept(results[name]) for name in counted)
    return missed, geometric_mean([results[name]["over_claira1"] for name in counted])


def _one(result: Result) -> tuple[int, float]:
    return (0, result["over_claira1"]) if kept(result) else (1, -result["windows_1min_ok"])
