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
from _demo.stage import Part, Script, Stage, StageError
from _demo.state import BackendLife, History, Reading, read

EXIT_FAILED, EXIT_SLO_MISSED = 1, 3
_ENDLESS_S = 3600.0
_PERIOD_S_MAX = 60.0
_TEXTS_PERIOD_S_MAX = 30.0
_PERIOD_SHARE = 0.8
"""The rest is for decommission to be seen."""
_REFRESH_S = 0.25
_LINE_EVERY_S = 2.0
EPILOG = """\b
Examples:
  scripts/demo                 until Ctrl-C (an hour at most)
  scripts/demo --seconds 30    ends by itself

\b
Each line of backends: # in use and busy, = in use and idle, + warm but not in use, ~ in set-up, - draining,
. cold, ! down.

\b
Exit status: 0 the promises were kept, 1 failed, 2 usage, 3 a promise was missed.
"""


class _EndedError(Exception):
    """Ctrl-C, or a request to terminate."""


def script_of(seconds: float | None, seed: int) -> Script:
    """Return what is played: loads that go up and down once, or once a minute and twice a minute."""
    duration_s = seconds or _ENDLESS_S
    period_s = min(_PERIOD_SHARE * duration_s, _PERIOD_S_MAX)
    return Script(
        proxies_count=3,
        parts=(
            Part("photos", 7, 2, f"sine:15-60/{period_s:g}s"),
            Part("texts", 5, 2, f"sine:4-28/{min(period_s, _TEXTS_PERIOD_S_MAX):g}s"),
        ),
        execution_mean_s=0.04,
        execution_cv=0.3,
        setup_s=1.0,
        idle_s=4.0,
        response_time_s=0.3,
        level=0.99,
        duration_s=duration_s,
        seed=seed,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option(
    "--seconds", type=click.FloatRange(5, _ENDLESS_S), help="End by itself after so many seconds of load."
)
@click.option("--seed", type=click.IntRange(0), help="Of arrivals and execution times.  [default: random]")
def command(seconds: float | None, seed: int | None) -> None:
    """Start 3 proxies and 12 fake backends of two services, make loads that rise and fall, and show it.

    Backends are cold until a proxy has them set up, and decommission themselves when nobody needs them.
    """
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
        histories = {name: History() for name in script.names}
        is_stopped = False
        try:
            _watch(console, script, stage, admins, histories)
        except _EndedError:
            is_stopped = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # from here on the end is near, and orderly
        results = stage.load_results(stop=is_stopped)
        lives = stage.backend_lives()
    for line in summary_lines(script, histories, results, lives):
        console.print(line, markup=False, soft_wrap=True)
    return exit_status(script, results)


def _watch(
    console: Console, script: Script, stage: Stage, admins: list[str], histories: dict[str, History]
) -> None:
    """Read and show until the load has ended."""
    if not console.is_terminal:
        _watch_lines(console, script, stage, admins, histories)
        return
    is_ascii = not (console.encoding or "").lower().startswith("utf")
    with Live(console=console, auto_refresh=False) as live:
        while not stage.load_has_ended():
            readings = _take(admins, histories)
            live.update(view.page(script, readings, histories, is_ascii=is_ascii), refresh=True)
            time.sleep(_REFRESH_S)


def _watch_lines(
    console: Console, script: Script, stage: Stage, admins: list[str], histories: dict[str, History]
) -> None:
    next_line_at_s = 0.0
    while not stage.load_has_ended():
        readings = _take(admins, histories)
        at_s = max(reading.at_s for reading in readings.values())
        if any(history.began_at is not None for history in histories.values()) and at_s >= next_line_at_s:
            next_line_at_s = at_s + _LINE_EVERY_S
            console.print(view.line(script, readings), markup=False, soft_wrap=True)
        time.sleep(_REFRESH_S)


def _take(admins: list[str], histories: dict[str, History]) -> dict[str, Reading]:
    """Read all proxies once, and keep what they say of each service."""
    proxies = read(admins, list(histories))
    now = time.monotonic()
    return {name: history.take(proxies[name], now) for name, history in histories.items()}


def summary_lines(
    script: Script,
    histories: dict[str, History],
    results: dict[str, dict[str, Any]],
    lives: list[BackendLife],
) -> list[str]:
    """Return the end of the story, from the clients' side, the proxies' and the backends'."""
    lines = [""]
    for part in script.parts:
        lines.extend(_service_lines(script, part, histories[part.name], results[part.name]))
    setups_count = sum(life.setups_count for life in lives)
    given_back_count = setups_count - sum(not life.is_cold for life in lives)
    lines.append(f"set-ups {setups_count}, of which backends decommissioned themselves {given_back_count}")
    return lines


def _service_lines(script: Script, part: Part, history: History, result: dict[str, Any]) -> list[str]:
    share = result["within_share"] or 0.0
    kept = "kept" if share >= script.level else "MISSED"
    latency = result["latency"]
    lines = [
        f"{part.name}: promise {kept}: {share:.3%} of {result['requests_count']} requests within "
        f"{script.response_time_s * 1e3:g} ms (promised {script.level:.0%}); "
        f"failed {result['requests_count'] - result['good_count']}",
        f"latency p50 {_ms(latency['p50_ms'])}, p99 {_ms(latency['p99_ms'])}, max {_ms(latency['max_ms'])}",
    ]
    prefixes = history.prefixes
    if prefixes:
        average = sum(prefixes) / len(prefixes)
        lines.append(
            f"prefix between {min(prefixes)} and {max(prefixes)}, {average:.1f} of {part.backends_count} "
            f"backends in use on average; requests per backend: {_per_backend(result['backends'])}"
        )
    lines.extend(f"note: {reason}" for reason in result["invalid_reasons"])
    return lines


def exit_status(script: Script, results: dict[str, dict[str, Any]]) -> int:
    """Return 0 when every promise was kept, 3 when one was missed, 1 when nothing was measured."""
    shares = [result["within_share"] for result in results.values() if result["requests_count"]]
    if len(shares) < len(script.parts) or None in shares:
        return EXIT_FAILED
    return 0 if min(shares) >= script.level else EXIT_SLO_MISSED


def _per_backend(counts: dict[str, int]) -> str:
    by_index = sorted((int(name.partition(":")[0]), count) for name, count in counts.items())
    return " ".join(str(count) for _, count in by_index)


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.0f} ms"
