"""The command line of the demonstration: play, show, sum up, exit status."""

import secrets
import signal
import sys
import time
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from _demo import view
from _demo.stage import SERVICE, Script, Stage, StageError
from _demo.state import History, read

EXIT_FAILED, EXIT_SLO_MISSED = 1, 3
_ENDLESS_S = 3600.0
_PERIOD_S_MAX = 60.0
_REFRESH_S = 0.25
_LINE_EVERY_S = 2.0
EPILOG = """\b
Examples:
  scripts/demo                 until Ctrl-C (an hour at most)
  scripts/demo --seconds 30    ends by itself

\b
Exit status: 0 the promise was kept, 1 failed, 2 usage, 3 the promise was missed.
"""


class _EndedError(Exception):
    """Ctrl-C, or a request to terminate."""


def script_of(seconds: float | None, seed: int) -> Script:
    """Return what is played: between 20 and 110 requests per second, up and down once, or once a minute."""
    duration_s = seconds or _ENDLESS_S
    period_s = min(duration_s, _PERIOD_S_MAX)
    return Script(
        proxies_count=3,
        backends_count=12,
        execution_mean_s=0.04,
        execution_cv=0.3,
        response_time_s=0.25,
        level=0.99,
        load=f"sine:20-110/{period_s:g}s",
        duration_s=duration_s,
        seed=seed,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option(
    "--seconds", type=click.FloatRange(5, _ENDLESS_S), help="End by itself after so many seconds of load."
)
@click.option("--seed", type=click.IntRange(0), help="Of arrivals and execution times.  [default: random]")
def command(seconds: float | None, seed: int | None) -> None:
    """Start 3 proxies and 12 fake backends of one service, make a load that rises and falls, and show it."""
    console = Console(highlight=False)
    script = script_of(seconds, secrets.randbelow(2**31) if seed is None else seed)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        sys.exit(_play(console, script))
    except StageError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_FAILED)
    except _EndedError:
        console.print("ended before the load began")
        sys.exit(EXIT_FAILED)


def _end(_: int, __: FrameType | None) -> None:
    raise _EndedError


def _play(console: Console, script: Script) -> int:
    console.print(f"starting {script.backends_count} fake backends and {script.proxies_count} proxies ...")
    with Stage(script) as stage:
        admins = [proxy.admin for proxy in stage.proxies]
        console.print(view.addresses_text(admins), soft_wrap=True)
        console.print(f"{view.promise_text(script)}; seed {script.seed}")
        stage.start_load()
        history = History()
        is_stopped = False
        try:
            _watch(console, script, stage, admins, history)
        except _EndedError:
            is_stopped = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # from here on the end is near, and orderly
        result = stage.load_result(stop=is_stopped)
    for line in summary_lines(script, history, result):
        console.print(line, markup=False, soft_wrap=True)
    return exit_status(script, result)


def _watch(console: Console, script: Script, stage: Stage, admins: list[str], history: History) -> None:
    """Read and show until the load has ended."""
    if not console.is_terminal:
        _watch_lines(console, script, stage, admins, history)
        return
    is_ascii = not (console.encoding or "").lower().startswith("utf")
    with Live(console=console, auto_refresh=False) as live:
        while not stage.load_has_ended():
            reading = history.take(read(admins, SERVICE), time.monotonic())
            live.update(view.page(script, reading, history, is_ascii=is_ascii), refresh=True)
            time.sleep(_REFRESH_S)


def _watch_lines(console: Console, script: Script, stage: Stage, admins: list[str], history: History) -> None:
    next_line_at_s = 0.0
    while not stage.load_has_ended():
        reading = history.take(read(admins, SERVICE), time.monotonic())
        if history.began_at is not None and reading.at_s >= next_line_at_s:
            next_line_at_s = reading.at_s + _LINE_EVERY_S
            console.print(view.line(script, reading), markup=False, soft_wrap=True)
        time.sleep(_REFRESH_S)


def summary_lines(script: Script, history: History, result: dict[str, Any]) -> list[str]:
    """Return the end of the story, from the clients' side and from the proxies'."""
    share = result["within_share"] or 0.0
    kept = "kept" if share >= script.level else "MISSED"
    latency = result["latency"]
    lines = [
        "",
        f"promise {kept}: {share:.3%} of {result['requests_count']} requests within "
        f"{script.response_time_s * 1e3:g} ms (promised {script.level:.0%}); "
        f"failed {result['requests_count'] - result['good_count']}",
        f"latency p50 {_ms(latency['p50_ms'])}, p99 {_ms(latency['p99_ms'])}, max {_ms(latency['max_ms'])}",
    ]
    prefixes = history.prefixes
    if prefixes:
        average = sum(prefixes) / len(prefixes)
        lines.append(
            f"prefix between {min(prefixes)} and {max(prefixes)}, {average:.1f} of {script.backends_count} "
            f"backends in use on average; requests per backend: {_per_backend(result['backends'])}"
        )
    lines.extend(f"note: {reason}" for reason in result["invalid_reasons"])
    return lines


def exit_status(script: Script, result: dict[str, Any]) -> int:
    """Return 0 when the promise was kept, 3 when it was missed, 1 when nothing was measured."""
    if not result["requests_count"] or result["within_share"] is None:
        return EXIT_FAILED
    return 0 if result["within_share"] >= script.level else EXIT_SLO_MISSED


def _per_backend(counts: dict[str, int]) -> str:
    by_index = sorted((int(name.partition(":")[0]), count) for name, count in counts.items())
    return " ".join(str(count) for _, count in by_index)


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.0f} ms"
