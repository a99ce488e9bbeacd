"""The result as a picture: rates and latency over time, and the latency distribution.

matplotlib is an extra: without it there is no picture, and the caller says so.
"""

import importlib.util
from pathlib import Path

import numpy as np

from _loadtest.records import Table
from _loadtest.report import Row
from _loadtest.summary import Options, latency_rows

_CURVE_POINTS_COUNT = 600


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write_plot(path: Path, table: Table, rows: list[Row], options: Options, title: str) -> None:
    """Write a PNG with three panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 9), layout="constrained")
    FigureCanvasAgg(figure)
    over_time, latency, distribution = figure.subplots(3, 1)
    seconds = [row["t_s"] for row in rows]
    over_time.plot(seconds, [row["intended"] for row in rows], label="offered")
    over_time.plot(seconds, [row["good"] for row in rows], label="good answers")
    over_time.plot(seconds, [row["errors"] for row in rows], label="errors", color="tab:red")
    over_time.set(ylabel="requests per second", xlabel="intended moment, s", title=title)
    for name in ("p50_ms", "p99_ms", "max_ms"):
        known = [(row["t_s"], row[name]) for row in rows if row[name] != ""]
        latency.plot([one[0] for one in known], [one[1] for one in known], label=name.removesuffix("_ms"))
    latency.set(ylabel="latency, ms", xlabel="intended moment, s", yscale="log")
    measured_ms = np.sort(table.latency_s[latency_rows(table, options.warm_up_s)]) * 1e3
    if len(measured_ms):
        nines = np.linspace(0.0, np.log10(max(10, len(measured_ms))), _CURVE_POINTS_COUNT)
        distribution.plot(
            10**nines, np.quantile(measured_ms, 1 - 10**-nines), label="from the intended moment"
        )
        ticks = [10.0**power for power in range(int(nines[-1]) + 1)]
        distribution.set_xscale("log")
        distribution.set_xticks(ticks, [f"{100 - 100 / tick:g}%" for tick in ticks])
        distribution.set(ylabel="latency, ms", xlabel="percentile", yscale="log")
    for panel in (latency, distribution):
        if options.response_time_s is not None:
            promised_ms = options.response_time_s * 1e3
            panel.axhline(promised_ms, color="tab:red", linestyle="--", linewidth=1, label="promise")
    for panel in (over_time, latency, distribution):
        panel.grid(alpha=0.3)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(loc="best", fontsize="small")
    figure.savefig(path, dpi=110)
