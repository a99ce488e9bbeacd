"""Tunes baselines: along one axis of the grid after the other, on every trace, to the cheapest that keeps.

Every value of an axis is tried with the best known values of the others, again and again until nothing
changes (a few passes). That finds most of what the whole grid would, at a tenth of its runs, but not all: of
the strongest baselines the whole grid is played. Kept means at least 99 % of requests and at least 98 % of
one-minute windows. Where no point keeps it on all traces, the one that misses on the fewest is taken, and the
table says on how many.
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
WHOLE = ("knative", "rule-of-thumb")
"""The strongest: every point of their grids is played."""
_COARSE_VALUES = 3
_PASSES_MAX = 3

Point = tuple[tuple[str, Any], ...]


def kept(result: Result) -> bool:
    """Say whether a run kept the promise."""
    return bool(result["share_within"] >= SHARE_MIN and result["windows_1min_ok"] >= WINDOWS_MIN)


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean; 0 without values."""
    return exp(sum(log(value) for value in values) / len(values)) if values else 0.0


def grid_axes(baseline: Baseline, *, coarse: bool) -> dict[str, tuple[Any, ...]]:
    """Return the values to try of each setting."""
    return {name: _spread(values) if coarse else values for name, values in baseline.grid}


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
    """Play what is promising of the grid and choose."""
    everything: dict[Point, dict[str, Result]] = {}
    counted = [trace.name for trace in traces if not trace.hopeless]

    def best() -> Point:
        return min(everything, key=lambda point: _badness(everything[point], counted))

    axes = grid_axes(baseline, coarse=coarse)
    if baseline.name in WHOLE:
        points = [pairs(dict(zip(axes, values, strict=True))) for values in product(*axes.values())]
        _play(store, baseline.name, points, traces, variant or {}, everything)
    middle = {name: values[len(values) // 2] for name, values in axes.items()}
    for _ in range(_PASSES_MAX):
        before = len(everything)
        for name, values in axes.items():
            known = dict(best()) if everything else middle
            points = [pairs({**known, name: value}) for value in values]
            _play(store, baseline.name, points, traces, variant or {}, everything)
        if len(everything) == before:
            break
    per_set = best()
    per_trace = {
        trace.name: min(
            ((point, results[trace.name]) for point, results in everything.items()),
            key=lambda pair: _one(pair[1]),
        )
        for trace in traces
    }
    return Tuned(baseline.name, per_set, everything[per_set], per_trace, everything)


def _play(
    store: Store,
    name: str,
    points: list[Point],
    traces: list[TraceSpec],
    variant: dict[str, Any],
    everything: dict[Point, dict[str, Result]],
) -> None:
    jobs = [Job(trace, name, point, variant=pairs(variant)) for point in points for trace in traces]
    for job, result in zip(jobs, store.results(jobs, f"tuning {name}"), strict=True):
        everything.setdefault(job.settings, {})[job.trace.name] = result


def _badness(results: dict[str, Result], counted: list[str]) -> tuple[int, float]:
    missed = sum(not kept(results[name]) for name in counted)
    return missed, geometric_mean([results[name]["over_claira1"] for name in counted])


def _one(result: Result) -> tuple[int, float]:
    return (0, result["over_claira1"]) if kept(result) else (1, -result["windows_1min_ok"])
