"""The command line: start everything, measure in interleaved rounds, write the table."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from _benchmark_dataplane import memory
from _benchmark_dataplane.contestants import (
    STARTERS,
    Contestant,
    MissingProgramError,
    processors,
    require,
    start_backend,
)
from _benchmark_dataplane.latency import Pacer, percentile
from _benchmark_dataplane.load import WORKLOADS, LoadFailedError, run
from _benchmark_dataplane.report import Findings, markdown, verdicts

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmark-dataplane.md"
_RATE_PER_S = 1000.0
_QUIET_LOAD = 0.5
PARTS = (*WORKLOADS, "latency", "memory")


@click.command()
@click.option(
    "--seconds", type=click.IntRange(1, 120), default=5, show_default=True, help="Of each measurement."
)
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True, help="Interleaved.")
@click.option("--part", type=click.Choice(PARTS), multiple=True, help="Only these parts.")
@click.option("--proxy", type=click.Choice(list(STARTERS)), multiple=True, help="Only these proxies.")
@click.option(
    "--write/--no-write", default=True, show_default=True, help="Write docs/benchmark-dataplane.md."
)
def command(seconds: int, rounds: int, part: tuple[str, ...], proxy: tuple[str, ...], write: bool) -> None:
    """Compare what a request costs in HAProxy, nginx and Swayam.

    Requests per second of the proxy's processor time, latency added at 1,000 requests a second, memory. Run
    it on a machine that does nothing else. Needs haproxy, nginx and wrk (Debian packages).
    """
    names = proxy or tuple(STARTERS)
    try:
        require("wrk", "nginx", *(["haproxy"] if {"haproxy", "haproxy-log"} & set(names) else []))
    except MissingProgramError as error:
        raise click.ClickException(str(error)) from None
    parts = part or PARTS
    load_before = os.getloadavg()[0]
    if load_before > _QUIET_LOAD:
        click.echo(
            f"this machine is busy (load average {load_before:.1f}): the numbers will suffer", err=True
        )
    with tempfile.TemporaryDirectory(prefix="swayam-benchmark-") as made, ExitStack() as stack:
        directory = Path(made)
        directory.chmod(0o755)  # the backend's worker may be another user
        own_cpus, other_cpus = processors()
        backend = start_backend(directory, other_cpus)
        stack.callback(backend.stop)
        contestants = []
        for name in names:
            contestant = STARTERS[name](directory, backend.port, own_cpus)
            stack.callback(contestant.stop)
            contestants.append(contestant)
        os.sched_setaffinity(0, other_cpus)
        try:
            findings = _measure(contestants, backend, parts, seconds, rounds, directory, other_cpus)
        except (LoadFailedError, RuntimeError) as error:
            raise click.ClickException(
                f"{error}\nsee what else runs on this machine, then try again"
            ) from None
        how = (
            f"{rounds} rounds of {seconds} s each; wrk with one thread, closed loop; {', '.join(parts)}. "
            f"Processes that wanted to run before it began (load average): {load_before:.1f}; "
            f"niceness of all that was measured: {os.nice(0)}."
        )
        if load_before > _QUIET_LOAD:
            how += (
                " So the machine was busy with other work: rates and the 99th percentiles suffer from it "
                "most, the ratios of processor time least."
            )
        text = markdown(findings, contestants, how)
    if write:
        DOCS.write_text(text)
    click.echo(text)
    for verdict in verdicts(findings):
        click.echo(verdict, err=True)


def _measure(
    contestants: list[Contestant],
    backend: Contestant,
    parts: tuple[str, ...],
    seconds: int,
    rounds: int,
    directory: Path,
    cpus: set[int],
) -> Findings:
    findings = Findings()
    if "memory" in parts:
        for contestant in contestants:
            findings.memory[contestant.name] = memory.measure(contestant)
    for key in (key for key in WORKLOADS if key in parts):
        by_name = findings.costs.setdefault(key, {contestant.name: [] for contestant in contestants})
        for _ in range(rounds):
            for contestant in contestants:
                cost = run(contestant, WORKLOADS[key], seconds, directory, cpus)
                by_name[contestant.name].append(cost)
                click.echo(
                    f"{key} {contestant.name}: {cost.requests_per_cpu_s:,.0f} per CPU-second", err=True
                )
    if "latency" in parts:
        asked = {"direct": backend.port} | {each.name: each.port for each in contestants}
        for _ in range(rounds):
            for name, port in asked.items():
                pair = _latency(port, seconds)
                findings.latencies_s.setdefault(name, []).append(pair)
                click.echo(
                    f"latency {name}: p50 {pair[0] * 1e6:.0f} us, p99 {pair[1] * 1e6:.0f} us", err=True
                )
    return findings


def _latency(port: int, seconds: int) -> tuple[float, float]:
    """Warm up, then ask at the steady rate; return p50 and p99 in seconds."""
    pacer = Pacer(port)
    try:
        pacer.run(_RATE_PER_S, 1.0)
        taken_s = pacer.run(_RATE_PER_S, float(seconds))
    finally:
        pacer.close()
    return percentile(taken_s, 0.5), percentile(taken_s, 0.99)
