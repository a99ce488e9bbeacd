"""Draws what `plan` and `fit` say. Needs matplotlib (the `report` extra), which only this module imports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swayam_proxy.core.model.execution import ServiceTime
    from swayam_proxy.core.model.plan import Course, Plan, Question

_LEAST_MISS = 1e-6
_POINTS_MAX = 20_000


def _figure(columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0 * columns, 4.0), layout="constrained")
    return figure, figure.subplots(1, columns)


def draw_plan(path: Path, question: Question, answer: Plan, course: tuple[Course, float] | None) -> None:
    """The share of late requests over n; n along the trace where there is one (with its step in seconds)."""
    figure, axes = _figure(1 if course is None else 2)
    axis = axes if course is None else axes[0]
    backends = [n for n, _ in answer.attainment]
    late = [max(1.0 - share, _LEAST_MISS) for _, share in answer.attainment]
    axis.semilogy(backends, late, marker="o", markersize=3.5, label="late, as the model expects")
    axis.axhline(1.0 - question.level, color="tab:red", linewidth=1.0, label="late, as promised at most")
    axis.axhline(
        max(1.0 - answer.best_share, _LEAST_MISS), color="grey", linestyle=":", label="late without a queue"
    )
    axis.axvline(answer.backends, color="tab:green", linewidth=1.0, label=f"n = {answer.backends}")
    axis.set(xlabel="backends", ylabel="share of requests", ylim=(max(_LEAST_MISS, 0.3 * min(late)), 1.5))
    axis.set_title(f"{answer.load_per_s:g}/s, {answer.erlangs:.3g} erlangs, {question.policy}", fontsize=10)
    axis.legend(fontsize=8)
    if course is not None:
        followed, step_s = course
        minutes = np.arange(len(followed.backends)) * step_s / 60.0
        axes[1].step(minutes, followed.backends, where="post", linewidth=1.0)
        axes[1].set(xlabel="minutes", ylabel="backends", ylim=(0, None), title="following the trace")
    figure.savefig(path, dpi=110)


def draw_fit(path: Path, found: ServiceTime, samples_s: Sequence[float]) -> None:
    """The distribution function, and the share longer than t on a logarithmic axis, where promises live."""
    from scipy.special import ndtr

    ordered = np.sort(np.asarray(samples_s, dtype=float))
    if ordered.size > _POINTS_MAX:
        ordered = np.quantile(ordered, np.linspace(0.0, 1.0, _POINTS_MAX))
    below = (np.arange(ordered.size) + 0.5) / ordered.size
    times = np.geomspace(max(ordered[0], 1e-7), max(ordered[-1], 2e-7) * 1.3, 400)
    fitted = ndtr((np.log(times) - found.mu) / found.sigma)
    figure, (left, right) = _figure(2)
    left.plot(1000.0 * ordered, below, linewidth=2.0, label="measured")
    left.plot(1000.0 * times, fitted, linewidth=1.2, label="log-normal")
    left.set(xscale="log", xlabel="execution time, ms", ylabel="share not longer")
    right.loglog(1000.0 * ordered, 1.0 - below, linewidth=2.0, label="measured")
    right.loglog(1000.0 * times, np.maximum(1.0 - fitted, 1e-12), linewidth=1.2, label="log-normal")
    if found.empirical:
        slower = 1.0 - found.distribution.cdf(times)
        right.loglog(1000.0 * times, np.maximum(slower, 1e-12), linewidth=1.2, label="as used")
    right.set(xlabel="execution time, ms", ylabel="share longer", ylim=(0.3 / len(samples_s), 1.5))
    left.set_title(f"mean {1000.0 * found.mean_s:.4g} ms, cv {found.cv:.3f}, KS {found.ks:.3f}", fontsize=10)
    for axis in (left, right):
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
