"""The command line of the load generator: options in, a test, files and an exit status out."""

import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from _loadtest import report, search
from _loadtest.arrivals import Process, Schedule, profile_schedule, trace_schedule
from _loadtest.errors import LoadtestError, UsageError
from _loadtest.generator import Job
from _loadtest.plot import can_plot, write_plot
from _loadtest.profile import constant, parse_profile
from _loadtest.progress import ProgressView
from _loadtest.records import Table, table_of
from _loadtest.slo import Check, Condition, check, parse_slo
from _loadtest.summary import Options, Summary, summarise
from _loadtest.target import (
    RequestPlan,
    Target,
    Template,
    parse_target,
    require_loopback,
    require_reachable,
    template_bodies,
    template_path,
)
from _loadtest.trace import read_trace
from _loadtest.work import run_test
from fake_backend.quantities import parse_duration_s

EXIT_FAILED, EXIT_SLO_MISSED = 1, 3
EPILOG = """\b
Examples:
  scripts/loadtest 127.0.0.1:8080 --rate 200 --duration 30s --response-time 250ms
  scripts/loadtest 127.0.0.1:8081 127.0.0.1:8082 --load step:20,150,20 --template v2 --model digits
  scripts/loadtest 127.0.0.1:8080 --trace spikes.csv.gz --speed 10 --thin 0.5 --slo "p99<250ms,err<0.1%"
  scripts/loadtest 127.0.0.1:8080 --find-max --duration 10s --slo "p99<100ms"

\b
Latency counts from the moment when a request was meant to leave. It covers good (2xx) answers and those
that were given up; quick failures count in "errors" alone. "within" counts good answers in time over ALL
requests. The verdict is INVALID when the generator itself was late.

\b
Exit status: 0 ok, 1 INVALID or failed, 2 usage, 3 --slo missed, 4 a target cannot be reached.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One test's outcome."""

    summary: Summary
    checks: tuple[Check, ...]
    table: Table
    options: Options
    histogram: Any


class _Parsed(click.ParamType[Any]):
    """A parameter read by a function that raises ValueError or UsageError with a text for users."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value, or fail with the function's text."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (ValueError, UsageError) as error:
            return self.fail(str(error), param, ctx)


def _field(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator or not name.strip() or any(character in text for character in "\r\n\0"):
        raise ValueError(f"{text!r} is no header field; write 'Name: value'")
    return name.strip(), value.strip()


DURATION = _Parsed("duration", parse_duration_s)
SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


@click.command(context_settings=SETTINGS, epilog=EPILOG)
@click.argument("targets", nargs=-1, required=True, type=_Parsed("target", parse_target))
@click.option("--rate", type=click.FloatRange(0.001, 1e6), help="Constant load, requests per second.")
@click.option(
    "--load",
    type=_Parsed("profile", parse_profile),
    metavar="PROFILE",
    help="ramp:20-150, step:20,150,20, spike:50-200 (middle fifth), sine:20-150[/30s].",
)
@click.option(
    "--trace", type=click.Path(path_type=Path), help="CSV of t_s,count or arrival_s[,service_s]; .gz too."
)
@click.option(
    "--speed", type=click.FloatRange(0.001, 1e6), default=1.0, help="Play the trace that much faster."
)
@click.option("--thin", type=click.FloatRange(1e-6, 1), default=1.0, help="Keep this share of the trace.")
@click.option("--trace-from", type=DURATION, default="0s", help="Begin there in the trace.")
@click.option(
    "--arrivals",
    type=click.Choice([one.value for one in Process]),
    default="poisson",
    help="Spacing of requests under --rate or --load.",
)
@click.option(
    "--gamma-cv",
    type=click.FloatRange(0.01, 20),
    default=2.0,
    help="Coefficient of variation of gamma gaps: above 1 is burstier than Poisson.",
)
@click.option("--duration", type=DURATION, help="Length of the test; 10s, or to the end of the trace.")
@click.option("--requests", type=click.IntRange(1), help="Stop after that many requests.")
@click.option("--warm-up", type=DURATION, default="0s", help="Leave the first part out of the results.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Of arrivals and the choice of target; printed. [default: random]",
    show_default=False,
)
@click.option(
    "--spread",
    type=click.Choice(["turn", "random"]),
    default="turn",
    help="Which target is next, as a broker would choose.",
)
@click.option(
    "--template",
    type=click.Choice([one.value for one in Template]),
    default="raw",
    help="Protocol of path and body.",
)
@click.option("--model", default="model", help="Name of the model in paths and bodies.")
@click.option("--path", help="Path instead of the template's.")
@click.option(
    "--method", type=click.Choice(["GET", "POST", "PUT", "DELETE", "PATCH"]), default="POST", help="Method."
)
@click.option(
    "--body-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Body of every request."
)
@click.option(
    "--body-bytes", type=click.IntRange(0, 64 * 1024 * 1024), default=128, help="Size of raw bodies."
)
@click.option("--stream", is_flag=True, help="Ask for server-sent events (template openai).")
@click.option(
    "--header", "headers", multiple=True, type=_Parsed("field", _field), help="'Name: value'; repeatable."
)
@click.option("--no-keep-alive", is_flag=True, help="One connection per request.")
@click.option(
    "--connections-max", type=click.IntRange(1, 60_000), default=4096, help="Open connections at most."
)
@click.option("--timeout", type=DURATION, default="30s", help="Give a request up after that.")
@click.option("--response-time", type=DURATION, help="The promise: print the share of requests within it.")
@click.option(
    "--slo",
    type=_Parsed("conditions", parse_slo),
    metavar="CONDITIONS",
    help='Set the exit status by it: "p99<250ms,err<0.1%,within>99%".',
)
@click.option("--lag-limit", type=DURATION, default="10ms", help="INVALID beyond this own lag (p99).")
@click.option("--processes", type=click.IntRange(1, 64), default=1, help="Processes that make the load.")
@click.option(
    "--backend-header", default="X-Backend", help="Answer field that names the backend, for the counts."
)
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False), help="Authorities for https targets."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for summary.json, seconds.csv, latency.hgrm and plot.png.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option(
    "--find-max", is_flag=True, help="Search the highest rate that meets --slo; --duration is one try's."
)
@click.option("--allow-remote", is_flag=True, help="Allow targets that are not on this machine.")
def command(**options: Any) -> None:
    """Send requests on a schedule, whatever becomes of them, and say what clients would have felt."""
    try:
        sys.exit(_run(options))
    except LoadtestError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_status)


def _run(options: dict[str, Any]) -> int:
    conditions: tuple[Condition, ...] = options["slo"] or ()
    _check_options(options, conditions)
    seed = options["seed"] if options["seed"] is not None else secrets.randbelow(2**31)
    targets: tuple[Target, ...] = options["targets"]
    if not options["allow_remote"]:
        require_loopback(targets)
    plan = _plan(options)
    require_reachable(targets)
    if options["find_max"]:
        return search.find_max(lambda rate: _try_rate(options, plan, rate, seed, conditions), click.echo)
    schedule = _schedule(options, np.random.default_rng([seed, 0]))
    click.echo(
        f"{len(schedule.times_s)} requests over {schedule.duration_s:.1f} s to "
        f"{_named(targets)}, seed {seed}",
        err=True,
    )
    result = _test(
        options, plan, schedule, seed, conditions, ProgressView(schedule, is_quiet=options["quiet"])
    )
    _report(options, result, schedule.note, seed)
    if not result.summary.is_valid:
        return EXIT_FAILED
    return 0 if all(one.is_met for one in result.checks) else EXIT_SLO_MISSED


def _check_options(options: dict[str, Any], conditions: tuple[Condition, ...]) -> None:
    given = [name for name in ("rate", "load", "trace") if options[name] is not None]
    if options["find_max"]:
        if given or not conditions:
            raise UsageError(
                "--find-max needs --slo and chooses the rate itself", "leave --rate, --load, --trace out"
            )
    elif len(given) != 1:
        raise UsageError(
            "the load is given by one of --rate, --load and --trace", "add for example --rate 100"
        )
    if any(one.name == "within" for one in conditions) and options["response_time"] is None:
        raise UsageError('"within" needs the promise', "add for example --response-time 250ms")
    if options["stream"] and options["template"] != Template.OPENAI:
        raise UsageError("--stream goes with --template openai", "leave it out, or ask for --path /sse")
    if options["timeout"] <= 0 or options["duration"] == 0:
        raise UsageError("--timeout and --duration must be above 0", "write for example 30s")


def _plan(options: dict[str, Any]) -> RequestPlan:
    template = Template(options["template"])
    if options["body_file"] is not None:
        bodies: tuple[bytes, ...] = (options["body_file"].read_bytes(),)
    elif options["method"] in ("GET", "DELETE"):
        bodies = (b"",)
    else:
        bodies = template_bodies(template, options["model"], options["body_bytes"], stream=options["stream"])
    kind = "application/octet-stream" if template is Template.RAW else "application/json"
    fields = (
        []
        if any(name.lower() == "content-type" for name, _ in options["headers"])
        else [("Content-Type", kind)]
    )
    path = options["path"] or template_path(template, options["model"])
    if not path.startswith("/") or any(character <= " " or character > "~" for character in path):
        raise UsageError(
            f"{path!r} is no path", "begin it with / and percent-encode what is no plain character"
        )
    return RequestPlan(options["method"], path, bodies, (*fields, *options["headers"]))


def _schedule(options: dict[str, Any], rng: np.random.Generator) -> Schedule:
    if options["trace"] is not None:
        schedule = trace_schedule(
            read_trace(options["trace"]), rng, speed=options["speed"], thin=options["thin"],
            begin_s=options["trace_from"], duration_s=options["duration"],
        )  # fmt: skip
    else:
        profile = options["load"] or constant(options["rate"])
        duration_s = options["duration"] or 10.0
        process = Process(options["arrivals"])
        schedule = profile_schedule(profile, duration_s, process, rng, gamma_cv=options["gamma_cv"])
    return schedule.first(options["requests"]) if options["requests"] else schedule


def _test(
    options: dict[str, Any],
    plan: RequestPlan,
    schedule: Schedule,
    seed: int,
    conditions: tuple[Condition, ...],
    view: ProgressView,
) -> Result:
    count, targets = len(schedule.times_s), options["targets"]
    rng = np.random.default_rng([seed, 1])
    numbers = np.arange(count) % len(targets)
    if options["spread"] == "random":
        numbers = rng.integers(0, len(targets), count)
    job = Job(
        intended_s=schedule.times_s,
        target_numbers=numbers,
        targets=targets,
        plan=plan,
        execution_s=schedule.execution_s,
        keep_alive=not options["no_keep_alive"],
        timeout_s=options["timeout"],
        connections_count_max=options["connections_max"],
        backend_field=options["backend_header"],
        ca_file=options["ca_file"],
    )
    with view:
        records = run_test(job, options["processes"], view.show)
    table = table_of(records)
    asked = Options(schedule.duration_s, options["warm_up"], options["response_time"], options["lag_limit"])
    summary, histogram = summarise(table, asked)
    values = summary.values([one.name for one in conditions], histogram)
    return Result(summary, check(conditions, values), table, asked, histogram)


def _try_rate(
    options: dict[str, Any],
    plan: RequestPlan,
    rate_per_s: float,
    seed: int,
    conditions: tuple[Condition, ...],
) -> search.Try:
    schedule = _schedule({**options, "rate": rate_per_s}, np.random.default_rng([seed, 0]))
    view = ProgressView(schedule, is_quiet=True)
    result = _test(options, plan, schedule, seed, conditions, view)
    is_met = all(one.is_met for one in result.checks)
    return search.Try(
        rate_per_s, is_met, result.summary.is_valid, report.lines(result.summary, result.checks, "")[1]
    )


def _report(options: dict[str, Any], result: Result, note: str, seed: int) -> None:
    summary = result.summary
    surroundings = report.environment(report.arguments_of_this_process(), seed)
    content = report.as_json(summary, result.checks, surroundings, note)
    if options["as_json"]:
        click.echo(json.dumps(content, indent=2))
    else:
        for line in report.lines(summary, result.checks, note):
            click.echo(line)
    directory: Path | None = options["out"]
    if directory is None:
        return
    rows = report.seconds_rows(result.table, options["response_time"], result.options.duration_s)
    try:
        written = report.write_files(directory, content, rows, result.histogram)
        if can_plot():
            path = directory / "plot.png"
            title = f"{_named(options['targets'])}: {summary.goodput_per_s:.1f}/s good"
            write_plot(path, result.table, rows, result.options, title)
            written.append(path)
    except OSError as error:
        raise LoadtestError(
            f"cannot write to {directory}: {error}", "name another directory by --out"
        ) from error
    click.echo(f"written    {', '.join(str(path) for path in written)}", err=True)
    if not can_plot():
        click.echo("no plot: matplotlib is not installed (pip install 'swayam-proxy[report]')", err=True)


def _named(targets: tuple[Target, ...], shown_max: int = 4) -> str:
    """Return the targets, the first few by name."""
    shown = [target.authority for target in targets[:shown_max]]
    rest_count = len(targets) - len(shown)
    return ", ".join(shown) + (f" and {rest_count} more" if rest_count else "")
