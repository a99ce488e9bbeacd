"""The command line of the benchmark: live, simulated, and what the messages of late binding cost."""

import tempfile
from pathlib import Path

import click
import numpy as np

from _benchmark_latebinding.fleet import Outcome, Shape, run
from _benchmark_latebinding.ramp import Ramp, run_ramp
from tests.core.late_binding_world import World

_CV = 0.3
_SLACK_S = 5.0


@click.group()
def command() -> None:
    """Measure late binding, and set-up ahead of need, with real processes on this machine."""


@command.command()
@click.option("--rise", default=25, show_default=True, help="Seconds from 20 to 200 requests a second.")
@click.option("--setup", "setup_s", default=3.0, show_default=True, help="Seconds of a set-up.")
@click.option("--idle", "idle_s", default=10.0, show_default=True, help="Seconds until an idle backend goes.")
@click.option("--burst", default="2.0", show_default=True, help='Of the promise; or "auto", in quotes.')
@click.option("--proxies", default=2, show_default=True, help="Proxy processes, each with its share.")
@click.pass_context
def ramp(context: click.Context, rise: int, setup_s: float, idle_s: float, burst: str, proxies: int) -> None:
    """Let the load rise to ten times and fall again before backends that are set up on demand.

    Exit status 1 where fewer than 99 % of the requests keep the promise, or extra backends stay too long.
    """
    with tempfile.TemporaryDirectory() as name:
        if not run_ramp(Ramp(rise, setup_s, idle_s, burst, proxies), Path(name)):
            context.exit(1)


@command.command()
@click.option("--proxies", default=4, show_default=True, help="Proxy processes.")
@click.option("--backends", default=20, show_default=True, help="Backends of one slot.")
@click.option("--execution-ms", default=50.0, show_default=True, help="Mean execution time.")
@click.option("--load", default=0.85, show_default=True, help="Share of the backends that is busy.")
@click.option("--seconds", default=60.0, show_default=True, help="Length of the measured load.")
@click.option("--round-trip-ms", default=0.4, show_default=True, help="Of the simulated network.")
@click.option("--costs/--no-costs", default=True, help="Also measure what holds cost in processor time.")
def waiting(
    proxies: int,
    backends: int,
    execution_ms: float,
    load: float,
    seconds: float,
    round_trip_ms: float,
    costs: bool,
) -> None:
    """Compare the waiting of live requests with that of the same rules on virtual time.

    Everything runs on this machine: the backends sleep, so that two cores are enough for the proxies.
    """
    execution_s = execution_ms / 1000.0
    rate_per_s = load * backends / execution_s
    promise = f'sla = {{ response_time = "{5 * execution_ms:g}ms", level = 0.99 }}'
    sidecars = ("--sidecar", "--idle", "0s")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shape = Shape(
            proxies, backends, execution_s, _CV, rate_per_s, seconds, f"{promise}\n[services.model.sidecar]"
        )
        live = run(shape, root / "live", sidecars)
        _tell("live", live.waits_s)
        simulated_s = simulate(proxies, backends, execution_s, rate_per_s, seconds, round_trip_ms / 1000.0)
        _tell("simulated", simulated_s)
        ratio = _percentile_ms(live.waits_s, 99.0) / _percentile_ms(simulated_s, 99.0)
        click.echo(f"P99 live over simulated: {ratio:.2f}")
        click.echo(f"answers by status: {live.codes}; attempts beyond the first: {live.busy_count}")
        if costs:
            _tell_costs(root, proxies, backends, execution_s, promise)


def simulate(
    frontends: int, backends: int, execution_s: float, rate_per_s: float, seconds: float, round_trip_s: float
) -> list[float]:
    """Play the same load out, message by message; return the waiting times in seconds."""
    world = World(
        frontends_count=frontends,
        backends_count=backends,
        round_trip_s=round_trip_s,
        execution_s=execution_s,
        cv=_CV,
    )
    world.poisson(rate_per_s, seconds)
    world.run(seconds + _SLACK_S)
    click.echo(f"simulated messages a request: {world.tally.messages_count / world.tally.admitted_count:.2f}")
    return world.tally.waits_s


def _tell(what: str, waits_s: list[float]) -> None:
    shown = ", ".join(
        f"P{share:g} {_percentile_ms(waits_s, share):.2f}" for share in (50.0, 90.0, 99.0, 99.9)
    )
    click.echo(f"{what}: {len(waits_s)} requests, waiting in ms: {shown}")


def _percentile_ms(waits_s: list[float], share: float) -> float:
    return float(np.percentile(waits_s, share)) * 1000.0


def _tell_costs(root: Path, proxies: int, backends: int, execution_s: float, promise: str) -> None:
    """Compare a load whose every request is held with one that nobody holds, at the same low load."""
    rate_per_s = 0.3 * backends / execution_s

    def at(name: str, service: str, options: tuple[str, ...]) -> Outcome:
        shape = Shape(proxies, backends, execution_s, _CV, rate_per_s, 15.0, f"{promise}\n{service}")
        return run(shape, root / name, options)

    held = at("held", "[services.model.sidecar]\ntries = 0\nholds = 3", ("--sidecar", "--idle", "0s"))
    tried = at("tried", "[services.model.sidecar]", ("--sidecar", "--idle", "0s"))
    plain = at("plain", 'dispatch = "p2c"', ())
    for name, outcome in (("p2c", plain), ("late binding, tries", tried), ("late binding, 3 holds", held)):
        click.echo(f"{name}: {outcome.cpu_s_per_request * 1e6:.0f} us of the proxies' processors a request")
    # 3 holds, at least 1 grant, 2 cancels; grants that came together are given back by as many cancels
    message_us = (held.cpu_s_per_request - plain.cpu_s_per_request) * 1e6 / 6.0
    click.echo(f"a hold, grant or cancel: about {message_us:.0f} us")
