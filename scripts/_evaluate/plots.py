"""The pictures of the evaluation. Colours and names are the same in all of them."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from _evaluate.jobs import Result
from _evaluate.swayam import HEADLINE
from _evaluate.traces import TraceSpec, load
from _evaluate.tuning import Tuned, geometric_mean, kept
from _evaluate.waiting import COUNTS
from swayam_proxy.sim.clairvoyant import claira2
from swayam_proxy.sim.plot import busy_backends, steps

_DPI = 100
_ORDER = ("swayam", "knative", "hpa", "keda", "ray-serve", "sagemaker", "llm-d", "faro", "autopilot")
_MORE = ("rule-of-thumb", "model-free", "fixed")
COLOURS = dict(zip(_ORDER, ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C9", "C8"), strict=True)) | dict(
    zip(_MORE, ("black", "0.5", "0.75"), strict=True)
)


def backends_over_time(
    path: Path, traces: list[TraceSpec], swayam: dict[str, Result], best: dict[str, tuple[str, Result]]
) -> None:
    """The deck's figure: backends against ClairA1 and ClairA2, with the best baseline beside."""
    figure = Figure(figsize=(10.0, 2.6 * len(traces)), layout="constrained")
    for place, spec in enumerate(traces, start=1):
        axes = figure.add_subplot(len(traces), 1, place)
        workload = load(spec, 1)
        starts, busy = busy_backends(workload, 10.0)
        axes.fill_between(starts / 60.0, busy, color="0.85", label="ClairA1: the work itself")
        threshold_s = swayam[spec.name]["response_time_s"]
        second = claira2(workload, response_time_s=threshold_s, setup_s=10.0, idle_s=60.0)
        times, values = steps(second.changes, workload.duration_s)
        axes.step(times / 60.0, values, where="post", lw=0.6, color="0.55", label="ClairA2")
        name, other = best[spec.name]
        minutes = starts / 60.0
        axes.step(minutes, other["curve"], where="post", lw=0.9, color=COLOURS[name], label=f"{name}, tuned")
        axes.step(minutes, swayam[spec.name]["curve"], where="post", lw=1.2, color="C0", label=HEADLINE)
        axes.set_title(
            f"{spec.name}: over ClairA1 {swayam[spec.name]['over_claira1']:.2f}, "
            f"{name} {other['over_claira1']:.2f}",
            fontsize=9,
        )
        axes.set_ylabel("backends billed")
        axes.set_ylim(0, 1.15 * max(*swayam[spec.name]["curve"], float(np.percentile(other["curve"], 99))))
        if place == 1:
            axes.legend(fontsize=7, ncols=4, loc="upper center")
    axes.set_xlabel("minutes")
    figure.savefig(path, dpi=_DPI)


def frontier(
    path: Path, swayam: dict[str, dict[str, Result]], tuned: dict[str, Tuned], counted: list[str]
) -> None:
    """Cost over attainment: every grid point of every baseline, and Swayam's settings."""
    figure = Figure(figsize=(10.0, 4.6), layout="constrained")
    measures = (
        ("windows_1min_ok", "one-minute windows that missed, %"),
        ("share_within", "requests that missed, %"),
    )
    for place, (field, label) in enumerate(measures, start=1):
        axes = figure.add_subplot(1, 2, place)
        for name, outcome in tuned.items():
            points = [_point(results, counted, field) for results in outcome.everything.values()]
            axes.plot(*_lower_edge(points), "-", lw=0.8, color=COLOURS[name])
            axes.plot(
                [x for x, _ in points], [y for _, y in points], ".", ms=3, color=COLOURS[name], label=name
            )
        for setting, results in swayam.items():
            x, y = _point(results, counted, field)
            axes.plot(
                [x], [y], "*" if setting == HEADLINE else "o", ms=13 if setting == HEADLINE else 5, color="C0"
            )
            axes.annotate(
                setting.removeprefix("swayam, "),
                (x, y),
                fontsize=7,
                xytext=(4, 4),
                textcoords="offset points",
            )
        axes.axvline(2.0 if field == "windows_1min_ok" else 1.0, color="0.6", lw=0.8, ls="--")
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xlim(0.0, 100.0)
        axes.set_xticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
        axes.set_yscale("log")
        axes.set_ylim(1.0, 8.0)
        axes.set_yticks([1, 1.25, 1.5, 2, 3, 5, 8], ["1", "1.25", "1.5", "2", "3", "5", "8"])
        axes.minorticks_off()
        axes.set_xlabel(f"{label} (mean over traces)")
        axes.set_ylabel("backend-seconds over the work itself")
        if place == 2:
            axes.legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=_DPI)


def _point(results: dict[str, Result], counted: list[str], field: str) -> tuple[float, float]:
    missed = 100.0 * (1.0 - float(np.mean([results[name][field] for name in counted])))
    return missed, geometric_mean([results[name]["over_claira1"] for name in counted])


def _lower_edge(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    edge: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not edge or y < edge[-1][1]:
            edge.append((x, y))
    return [x for x, _ in edge], [y for _, y in edge]


def responses(path: Path, traces: list[TraceSpec], rows: dict[str, dict[str, Result]]) -> None:
    """Tails of the response time over RT_max, one panel per trace."""
    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    for place, spec in enumerate(traces, start=1):
        axes = figure.add_subplot(1, len(traces), place)
        for name, results in rows.items():
            result = results[spec.name]
            values = np.array([np.nan if value is None else value for value in result["quantiles"]])
            missed = 100.0 * (1.0 - np.array(result["quantile_levels"]))
            width = 2.0 if name == "swayam" else 0.9
            axes.plot(values, missed, lw=width, color=COLOURS[name], label=name)
        axes.axvline(1.0, color="0.6", lw=0.8, ls="--")
        axes.axhline(1.0, color="0.6", lw=0.8, ls="--")
        axes.set_yscale("log")
        axes.set_xlim(0, 3)
        axes.set_ylim(0.02, 100)
        axes.set_title(spec.name, fontsize=9)
        axes.set_xlabel("response time over RT_max")
        if place == 1:
            axes.set_ylabel("% of requests that are slower")
            figure.legend(*axes.get_legend_handles_labels(), fontsize=7, loc="outside right center")
    figure.savefig(path, dpi=_DPI)


def waiting(path: Path, rows: dict[str, list[float]]) -> None:
    """P99 of waiting over the number of backends, per dispatch policy."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, values in rows.items():
        axes.plot(COUNTS, [1000.0 * value for value in values], "o-", ms=3, lw=1.0, label=name)
    axes.axhline(200.0, color="0.6", lw=0.8, ls="--")
    axes.annotate(
        "what 5C leaves for waiting", (COUNTS[-1], 205.0), fontsize=7, ha="right", va="bottom", color="0.4"
    )
    axes.set_yscale("log")
    axes.set_ylim(0.3, 20_000)
    axes.set_xlabel("backends (10 erlangs, 50 ms, 8 frontends)")
    axes.set_ylabel("P99 of waiting, ms")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=_DPI)


def ablations(path: Path, rows: dict[str, dict[str, dict[str, Result]]], counted: list[str]) -> None:
    """Each ablation as bars of cost, with the windows that missed written on them."""
    count = len(rows)
    figure = Figure(figsize=(10.0, 2.5 * ((count + 2) // 3)), layout="constrained")
    for place, (title, by_label) in enumerate(rows.items(), start=1):
        axes: Any = figure.add_subplot((count + 2) // 3, 3, place)
        labels = list(by_label)
        costs = [
            geometric_mean([by_label[label][name]["over_claira1"] for name in counted]) for label in labels
        ]
        missed = [
            100.0 * (1.0 - float(np.mean([by_label[label][name]["windows_1min_ok"] for name in counted])))
            for label in labels
        ]
        good = [all(kept(by_label[label][name]) for name in counted) for label in labels]
        axes.barh(range(len(labels)), costs, color=["C0" if ok else "C3" for ok in good], height=0.6)
        for row, (cost, miss) in enumerate(zip(costs, missed, strict=True)):
            axes.text(cost, row, f" {cost:.2f}, {miss:.1f} %", va="center", fontsize=6)
        axes.set_yticks(range(len(labels)), labels, fontsize=7)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.45 * max(costs))
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(title, fontsize=9)
    figure.supxlabel(
        "backend-seconds over the work; % of one-minute windows missed; red: promise not kept", fontsize=8
    )
    figure.savefig(path, dpi=_DPI)
