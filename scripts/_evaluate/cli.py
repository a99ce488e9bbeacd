"""The command line of the evaluation, and the order of its work."""

import os
from pathlib import Path

import click

from _evaluate import plots
from _evaluate.jobs import Job, Store, pairs
from _evaluate.swayam import HEADLINE, ablation_results, control_results, settings_results
from _evaluate.tables import Findings, best_for_trace, document
from _evaluate.traces import DURATION_S, TraceSpec, trace_set
from _evaluate.tuning import tune
from _evaluate.waiting import waiting_p99_s
from swayam_proxy.sim.baselines.catalogue import BASELINES
from swayam_proxy.sim.workload import WorkloadError

LEVELLED = ("knative", "hpa", "ray-serve", "llm-d", "rule-of-thumb")
"""Tuned once more with Swayam's dispatch: one of each kind, and the rule of thumb."""
SHOWN = ("o01", "o03", "o06", "o08", "diurnal", "spiky", "bursty", "steady")
"""Traces of the pictures, as far as they are in the set."""
ABLATED = ("o03", "o04", "wandering", "bursty")
"""Traces of the ablations: one that climbs, one of bursty minutes."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--traces",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of traces (.csv, .csv.gz, stats.json). Without it the synthetic fifteen are played.",
)
@click.option(
    "--quick", is_flag=True, help="An hour of each trace, thinned, coarse grids: minutes, not hours."
)
@click.option("--processes", type=click.IntRange(1, 256), default=os.cpu_count() or 1, show_default=True)
@click.option(
    "--requests-max", type=int, help="Thin traces with more requests. Default 1,200,000; quick 60,000."
)
@click.option("--only", multiple=True, metavar="BASELINE", help="Tune only these baselines. Repeatable.")
@click.option(
    "--ablations/--no-ablations",
    default=True,
    help="Turn one thing at a time, too; play dispatch policies at fixed n.",
)
@click.option("--store", type=click.Path(path_type=Path), default=Path("build/evaluation"), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=Path("docs"), show_default=True)
def command(
    directory: Path | None,
    quick: bool,
    processes: int,
    requests_max: int | None,
    only: tuple[str, ...],
    ablations: bool,
    store: Path,
    output: Path,
) -> None:
    """Play all policies on all traces and write evaluation.md with its plots.

    Results are kept in the store, so that a run that was stopped goes on where it was.
    """
    unknown = sorted(set(only) - set(BASELINES))
    if unknown:
        raise click.UsageError(
            f"no baseline is called {', '.join(unknown)}; there are: {', '.join(BASELINES)}"
        )
    limit = requests_max or (60_000 if quick else 1_200_000)
    try:
        traces = trace_set(directory, limit, 3600.0 if quick else DURATION_S)
    except WorkloadError as error:
        raise click.UsageError(str(error)) from None
    results = Store(store, processes)
    shown = [trace for trace in traces if trace.name.startswith(SHOWN)][:4] or traces[:4]
    findings = _find(results, traces, quick=quick, only=only or tuple(BASELINES))
    if ablations:
        ablated = [trace for trace in traces if trace.name.startswith(ABLATED)][:2] or shown
        findings.ablations = ablation_results(results, ablated)
        findings.controls = control_results(results, shown)
    (output / "plots").mkdir(parents=True, exist_ok=True)
    _draw(output / "plots", findings, shown, quick=quick)
    (output / "evaluation.md").write_text(document(findings))
    click.echo(f"written: {output / 'evaluation.md'} and {output / 'plots'}")


def _find(store: Store, traces: list[TraceSpec], *, quick: bool, only: tuple[str, ...]) -> Findings:
    swayam = settings_results(store, traces)
    defaults, tuned, equal_idle, levelled = {}, {}, {}, {}
    for name in only:
        baseline = BASELINES[name]
        found = store.results([Job(trace, name) for trace in traces], f"{name}, defaults")
        defaults[name] = {trace.name: result for trace, result in zip(traces, found, strict=True)}
        tuned[name] = tune(store, baseline, traces, coarse=quick)
        if not baseline.idles:
            jobs = [Job(trace, name, tuned[name].per_set, variant=pairs({"idles": True})) for trace in traces]
            found = store.results(jobs, f"{name}, equal idle")
            equal_idle[name] = {trace.name: result for trace, result in zip(traces, found, strict=True)}
        if name in LEVELLED:
            variant = {"dispatch": "central", "sheds": True, "idles": True}
            levelled[name] = tune(store, baseline, traces, coarse=quick, variant=variant)
    return Findings(
        traces=traces,
        quick=quick,
        swayam=swayam,
        defaults=defaults,
        tuned=tuned,
        equal_idle=equal_idle,
        levelled=levelled,
    )


def _draw(directory: Path, findings: Findings, shown: list[TraceSpec], *, quick: bool) -> None:
    ours = findings.swayam[HEADLINE]
    best = {}
    for trace in shown:
        name, (_, result) = best_for_trace(findings, trace.name)
        best[trace.name] = (name, result)
    plots.backends_over_time(directory / "backends.png", shown, ours, best)
    plots.frontier(directory / "frontier.png", findings.swayam, findings.tuned, findings.counted)
    rows = {"swayam": ours} | {name: tuned.per_set_results for name, tuned in findings.tuned.items()}
    plots.responses(directory / "responses.png", shown[:3], rows)
    if not findings.ablations:
        return
    plots.waiting(directory / "waiting.png", waiting_p99_s(10.0 if quick else 120.0))
    first = next(iter(next(iter(findings.ablations.values())).values()))
    plots.ablations(directory / "ablations.png", findings.ablations, list(first))
