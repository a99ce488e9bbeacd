"""fit: what distribution measured execution times have, and how well it fits, as the proxy would see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swayam_proxy.cli.drawing import drawing
from swayam_proxy.cli.options import CONTEXT, examples, json_option
from swayam_proxy.cli.samples import UNITS, read_samples

if TYPE_CHECKING:
    from swayam_proxy.core.model.execution import ServiceTime

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam fit executions.txt --unit ms
        swayam fit trace.csv.gz --column service_s --plot fit.png
        """
    ),
)
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--unit", type=click.Choice(list(UNITS)), default="s", show_default=True, help="Of the numbers."
)
@click.option("--column", metavar="NAME", help="Of a CSV file with several columns.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it (.png, .svg, .pdf).")
@json_option
def fit(path: Path, unit: str, column: str | None, plot: Path | None, as_json: bool) -> None:
    """Fit the execution times in FILE: parameters, goodness of fit, percentiles.

    FILE holds one number a line, or is a CSV with a column of them (service_s, execution_s or --column).
    """
    samples_s = read_samples(path, unit, column)
    found = fitted(samples_s)
    if plot is not None:
        draw(plot, found, samples_s)
    answer = _answer(found, samples_s)
    click.echo(json.dumps(answer) if as_json else _table(answer))


def fitted(samples_s: list[float]) -> ServiceTime:
    """Fit samples as a proxy does that has measured them all, without an expectation of its own."""
    from math import sqrt
    from statistics import fmean, pstdev

    from swayam_proxy.core.model.execution import SHORTEST_S, ExecutionStatistics
    from swayam_proxy.core.model.execution import fit as fit_summary

    statistics = ExecutionStatistics(keep_samples=float(len(samples_s)))
    for sample_s in samples_s:
        statistics.observe(sample_s, 0.0)
    mean_s = max(fmean(samples_s), SHORTEST_S)
    cv = min(10.0, pstdev(samples_s) / mean_s) if len(samples_s) > 1 else 1.0 / sqrt(10.0)
    return fit_summary(statistics.summary(0.0), mean_s, cv)


def draw(path: Path, found: ServiceTime, samples_s: list[float]) -> None:
    """Write the plot; ends the command where that cannot be."""
    with drawing(path):
        from swayam_proxy.cli.plots import draw_fit

        draw_fit(path, found, samples_s)


def _answer(found: ServiceTime, samples_s: list[float]) -> dict[str, Any]:
    from swayam_proxy.core.model.service_time import LogNormal

    ordered = sorted(samples_s)
    plain = LogNormal(found.mu, found.sigma)
    return {
        "samples": len(ordered),
        "mean_s": found.mean_s,
        "cv": found.cv,
        "mu": found.mu,
        "sigma": found.sigma,
        "ks": found.ks,
        "tail_error": found.tail_error,
        "distribution": "empirical" if found.empirical else "log-normal",
        "quantiles": [
            {
                "p": p,
                "observed_s": ordered[min(len(ordered) - 1, int(p * len(ordered)))],
                "fitted_s": plain.quantile(p),
            }
            for p in QUANTILES
        ],
    }


def _time(seconds: float) -> str:
    return f"{seconds:.4g} s" if seconds >= 10.0 else f"{1000.0 * seconds:.4g} ms"


def _table(answer: dict[str, Any]) -> str:
    verdict = {
        "log-normal": "log-normal is used",
        "empirical": "log-normal fits badly: the measured distribution itself is used",
    }
    lines = [
        f"{'samples':14} {answer['samples']:,}",
        f"{'mean':14} {_time(answer['mean_s'])}, cv {answer['cv']:.3f}",
        f"{'log-normal':14} mu {answer['mu']:.4f}, sigma {answer['sigma']:.4f} (of ln seconds)",
        f"{'fit':14} KS {answer['ks']:.4f}, 99th percentile off by {100.0 * answer['tail_error']:+.1f} %",
        f"{'':14} {verdict[answer['distribution']]}",
        f"{'percentile':14} {'observed':>12} {'log-normal':>12}",
    ]
    lines += [
        f"{100.0 * q['p']:<14g} {_time(q['observed_s']):>12} {_time(q['fitted_s']):>12}"
        for q in answer["quantiles"]
    ]
    return "\n".join(lines)
