"""Draws one run: backends over time against the work itself, and how the promise was kept minute by minute.

Needs matplotlib (the `report` extra), which only this module of the simulator imports.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swayam_proxy.sim.record import RunRecord
from swayam_proxy.sim.report import MINUTE_S, within_promise
from swayam_proxy.sim.workload import Floats, Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_run(record: RunRecord, workload: Workload, path: Path) -> None:
    """Write the plot as a file; its kind follows the name (.png, .svg, .pdf)."""
    figure, (upper, lower) = _figure()
    draw_backends(upper, record, workload)
    upper.set_title(f"{workload.name}: {record.policy}", fontsize=10)
    _draw_shares(lower, record, workload)
    figure.savefig(path, dpi=110)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    return figure, figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))


def busy_backends(workload: Workload, bin_s: float) -> tuple[Floats, Floats]:
    """Return (bin starts, mean busy backends) of ClairA1.

    The work of each bin's arrivals, spread over the bin.
    """
    bins = int(np.ceil(workload.duration_s / bin_s))
    place = np.minimum((workload.arrivals_s // bin_s).astype(np.int64), bins - 1)
    work = np.bincount(place, weights=workload.executions_s, minlength=bins)
    starts: Floats = np.arange(bins, dtype=np.float64) * bin_s
    return starts, work / bin_s


def steps(changes: tuple[tuple[float, int], ...], end_s: float) -> tuple[Floats, Floats]:
    """Return (times, values) of a step function up to `end_s`, for a plot with steps after."""
    kept = [(when, value) for when, value in changes if when <= end_s]
    times = np.array([when for when, _ in kept] + [end_s])
    values = np.array([float(value) for _, value in kept] + [float(kept[-1][1]) if kept else 0.0])
    return times, values


def draw_backends(axes: "Axes", record: RunRecord, workload: Workload, label: str | None = None) -> None:
    """Draw billed backends, and the work itself below them."""
    starts, busy = busy_backends(workload, 10.0)
    axes.fill_between(starts / 60.0, busy, step="post", color="0.85", label="the work itself (ClairA1)")
    times, values = steps(record.changes, workload.duration_s)
    axes.step(times / 60.0, values, where="post", lw=1.0, label=label or f"{record.policy}: backends billed")
    if record.prefixes:
        times, values = steps(record.prefixes, workload.duration_s)
        axes.step(times / 60.0, values, where="post", lw=0.7, color="C3", alpha=0.7, label="decided n")
    axes.set_ylabel("backends")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, loc="upper left")


def _draw_shares(axes: "Axes", record: RunRecord, workload: Workload) -> None:
    place = (workload.arrivals_s // MINUTE_S).astype(np.int64)
    totals = np.bincount(place)
    good = np.bincount(place, weights=within_promise(record).astype(np.float64))
    seen = totals > 0
    minutes, shares = np.flatnonzero(seen), good[seen] / totals[seen]
    missed = shares < record.level - 1e-12
    axes.axhline(100.0 * record.level, color="0.6", lw=0.8)
    axes.plot(minutes[~missed] + 0.5, 100.0 * shares[~missed], ".", ms=3)
    axes.plot(minutes[missed] + 0.5, 100.0 * shares[missed], "x", ms=5, color="C3")
    axes.set_ylabel(f"% within {record.response_time_s:.3g} s\n(each minute)")
    axes.set_xlabel("minutes")
