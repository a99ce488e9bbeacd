"""simulate: a trace under Swayam or a baseline on virtual time, with the decision code that runs live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swayam_proxy.cli.drawing import drawing
from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.options import CONTEXT, examples, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from swayam_proxy.sim.record import RunRecord
    from swayam_proxy.sim.report import Report
    from swayam_proxy.sim.workload import Workload

DISPATCHES = ("random", "least-outstanding", "p2c", "late-binding")


class Duration(click.ParamType[Any, Any]):
    """A duration such as 250ms, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, or say what to write instead."""
        from swayam_proxy.config.errors import RefusedValueError
        from swayam_proxy.config.quantities import parse_duration

        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except RefusedValueError as error:
            self.fail(f"{error.what}; {error.todo}", param, ctx)


class ResponseTime(Duration):
    """A duration, or a multiple of the mean execution time such as 5x: (ratio, seconds), one of them None."""

    name = "duration|Nx"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read either form."""
        if not isinstance(value, str):
            return value
        if value.strip().endswith("x"):
            try:
                return float(value.strip()[:-1]), None
            except ValueError:
                self.fail(f"{value!r} is no multiple; write 5x, or a duration such as 500ms", param, ctx)
        return None, super().convert(value, param, ctx)


class Burst(click.ParamType[Any, Any]):
    """A factor, or auto (None)."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Read either form."""
        if value == "auto":
            return None
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a factor such as 2 nor auto", param, ctx)


_WORKLOAD_OPTIONS = (
    click.option("--trace", type=click.Path(path_type=Path), metavar="FILE", help="A .csv or .csv.gz file."),
    click.option("--synthetic", metavar="KIND", help="A synthetic trace instead; KIND list shows them."),
    click.option("--function", metavar="HASH", help="Azure traces: the function (or how its hash begins)."),
    click.option("--execution-time", type=Duration(), help="Mean execution time, for traces without them."),
    click.option("--execution-cv", type=float, default=0.25, show_default=True, help="Deviation over mean."),
    click.option("--thin", type=float, default=1.0, help="Keep this share of the requests."),
    click.option("--speed", type=float, default=1.0, help="Play so many times faster, executions too."),
    click.option("--start", type=Duration(), default="0", help="Begin the trace here."),
    click.option("--duration", type=Duration(), help="Play only so long."),
)
_PROMISE_OPTIONS = (
    click.option("--response-time", type=ResponseTime(), default="5x", show_default=True, help="RT_max."),
    click.option("--level", type=float, default=0.99, show_default=True, help="Share that must be faster."),
    click.option("--burst", type=Burst(), default="2", show_default=True, help="U, or auto."),
)
_WORLD_OPTIONS = (
    click.option("--frontends", type=int, default=8, show_default=True, help="Number of proxies."),
    click.option("--backends", type=int, default=100, show_default=True, help="Length of the list."),
    click.option("--slots", type=int, default=1, show_default=True, help="Requests at once per backend."),
    click.option("--warm", type=int, default=5, show_default=True, help="Warm at the start."),
    click.option("--setup-time", type=Duration(), default="10s", show_default=True, help="Cold to warm."),
    click.option("--idle", type=Duration(), default="60s", show_default=True, help="Idle time before cold."),
    click.option("--tick", type=Duration(), default="1s", show_default=True, help="Between decisions."),
    click.option("--shrink-hold", type=Duration(), default="30s", show_default=True, help="Before n falls."),
    click.option("--dispatch", help="Swayam: " + ", ".join(DISPATCHES) + "."),
    click.option("--first-share", type=float, help="Of the traffic, at the first proxy (0.9: 90/10)."),
    click.option("--one-way", type=Duration(), default="250us", show_default=True, help="A message's way."),
    click.option("--jitter", type=Duration(), default="0", help="Mean of an exponential part on top."),
    click.option("--loss", type=float, default=0.0, help="Share of messages that are lost and sent again."),
)


def _with(options: tuple[Any, ...]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam simulate --synthetic diurnal
        swayam simulate --trace calls.csv.gz --execution-time 80ms --burst auto --dispatch late-binding --json
        swayam simulate --synthetic spiky --policy knative --setting target_utilisation=0.8 --plot run.png
        swayam simulate --synthetic list
        """
    ),
)
@_with(_WORKLOAD_OPTIONS)
@click.option("--policy", default="swayam", show_default=True, help="swayam, or a baseline such as knative.")
@click.option("--setting", "settings", multiple=True, metavar="NAME=VALUE", help="Of a baseline. Repeatable.")
@_with(_PROMISE_OPTIONS)
@_with(_WORLD_OPTIONS)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same report.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it (.png, .svg, .pdf).")
@json_option
def simulate(**given: Any) -> None:
    """Play a trace on virtual time and report the promise kept and the backend-seconds spent.

    Swayam runs its own live decision code; baselines are KPA, HPA and others. The cost is set against
    clairvoyant scalers. What lies below a trace's bins is made up and the report says so.
    """
    from swayam_proxy.sim.report import judge
    from swayam_proxy.sim.synthetic import SHAPES
    from swayam_proxy.sim.workload import WorkloadError

    if given["synthetic"] == "list":
        click.echo("\n".join(f"{kind:14} {note}" for kind, (note, _, _) in SHAPES.items()))
        return
    try:
        workload = _workload(given)
        record = _play(given, workload)
        report = judge(record, workload)
        if given["plot"] is not None:
            _draw(record, workload, given["plot"])
    except WorkloadError as error:
        raise CommandFailed(str(error), "see swayam simulate --help", Exit.USAGE) from None
    click.echo(report.to_json() if given["as_json"] else _table(report))


def _workload(given: dict[str, Any]) -> Workload:
    from swayam_proxy.sim.synthetic import DURATION_S, synthetic_workload
    from swayam_proxy.sim.traces import TraceOptions, read_trace, suggested_law
    from swayam_proxy.sim.workload import LogNormalLaw

    if (given["trace"] is None) == (given["synthetic"] is None):
        raise CommandFailed("name a trace", "give --trace FILE, or --synthetic KIND", Exit.USAGE)
    if given["synthetic"] is not None:
        until_s = DURATION_S if given["duration"] is None else given["start"] + given["duration"]
        workload = synthetic_workload(given["synthetic"], given["seed"], min(until_s, DURATION_S))
    else:
        path = given["trace"]
        mean_s = given["execution_time"]
        law = suggested_law(path) if mean_s is None else LogNormalLaw(mean_s, given["execution_cv"])
        options = TraceOptions(law, given["seed"], given["thin"], given["speed"], given["function"])
        workload = read_trace(path, options)
    if given["duration"] is None and not given["start"]:
        return workload
    end_s = workload.duration_s if given["duration"] is None else given["start"] + given["duration"]
    return workload.cut(given["start"], end_s)


def _play(given: dict[str, Any], workload: Workload) -> RunRecord:
    from swayam_proxy.core.vocabulary import DispatchPolicy
    from swayam_proxy.sim.play import SWAYAM, play
    from swayam_proxy.sim.scenario import Scenario

    ratio, seconds = given["response_time"]
    swayam = given["policy"] == SWAYAM
    if swayam and given["dispatch"] not in (None, *DISPATCHES):
        todo = f"there are: {', '.join(DISPATCHES)}"
        raise CommandFailed(f"swayam knows no dispatch {given['dispatch']!r}", todo, Exit.USAGE)
    scenario = Scenario(
        frontends_count=given["frontends"],
        backends_count=given["backends"],
        slots=given["slots"],
        response_time_ratio=5.0 if ratio is None else ratio,
        response_time_s=seconds,
        level=given["level"],
        burst=given["burst"],
        setup_s=given["setup_time"],
        idle_s=given["idle"],
        warm_at_start=given["warm"],
        dispatch=DispatchPolicy(given["dispatch"] or "late-binding") if swayam else DispatchPolicy.RANDOM,
        tick_s=given["tick"],
        shrink_hold_s=given["shrink_hold"],
        first_frontend_share=given["first_share"],
        one_way_s=given["one_way"],
        jitter_s=given["jitter"],
        loss=given["loss"],
        seed=given["seed"],
    )
    with _progress(workload.requests_count, quiet=given["as_json"]) as progress:
        return play(
            given["policy"],
            scenario,
            workload,
            settings=_settings(given["settings"]),
            baseline_dispatch=None if swayam else given["dispatch"],
            progress=progress,
        )


def _settings(texts: tuple[str, ...]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise CommandFailed(f"--setting {text!r} has no =", "write NAME=VALUE", Exit.USAGE)
    return dict(text.split("=", 1) for text in texts)


@contextmanager
def _progress(requests_count: int, *, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Show a bar with the time left on stderr, where someone can see it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("requests", total=requests_count)
        yield lambda count: bar.update(task, completed=count)


def _draw(record: RunRecord, workload: Workload, path: Path) -> None:
    with drawing(path):
        from swayam_proxy.sim.plot import draw_run

        draw_run(record, workload, path)


def _table(report: Report) -> str:
    p99 = "-" if report.p99_s is None else f"{report.p99_s:.4g} s"
    p50 = "-" if report.p50_s is None else f"{report.p50_s:.4g} s"
    rows = [
        ("trace", f"{report.trace}, {report.requests:,} requests, {report.erlangs_mean:.3g} erlangs"),
        ("", report.note),
        ("policy", report.policy),
        ("promise", f"{100.0 * report.level:g} % within {report.response_time_s:.4g} s"),
        ("within", f"{report.share_within:.4%}"),
        ("minutes kept", f"{report.windows_1min_ok:.2%} (missed {report.windows_1min_missed})"),
        ("5 minutes kept", f"{report.windows_5min_ok:.2%}"),
        ("response", f"p50 {p50}, p99 {p99}; {report.refused:,} refused, {report.failed:,} failed"),
        ("backend-seconds", f"{report.backend_seconds:,.0f} (set-up billed)"),
        ("  over ClairA1", f"{report.over_claira1:.3f}  (the work itself)"),
        ("  over ClairA2", f"{report.over_claira2:.3f}  (clairvoyant, same set-up and idle time)"),
        ("  over prefix", f"{report.over_clairvoyant_prefix:.3f}  (clairvoyant prefix)"),
        ("peak", f"{report.peak_backends} backends, {report.setups:,} set-ups"),
    ]
    return "\n".join(f"{name:16} {value}" for name, value in rows)
