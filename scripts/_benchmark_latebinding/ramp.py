"""A load that rises to ten times and falls again, before sidecars that need seconds for a set-up.

Tells whether the promise holds on the way up, and how soon the extra backends are cold after the way down.
"""

import json
import random
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlopen

import click
from _processes import ROOT

from _benchmark_latebinding.fleet import Shape, backends, proxy

_LOW_PER_S, _HIGH_PER_S = 20.0, 200.0
_EXECUTION_S = 0.05
_BACKENDS_COUNT = 24
_BEFORE_S, _TOP_S, _AFTER_S = 15, 15, 30
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Ramp:
    """How it rises, and what the backends are like."""

    rise_s: int
    setup_s: float
    idle_s: float
    burst: str
    proxies_count: int


def run_ramp(ramp: Ramp, root: Path) -> bool:
    """Play it, tell what came of it, and return whether both bars hold."""
    promise_s = 5.0 * _EXECUTION_S
    service = (
        f'sla = {{ response_time = "{promise_s * 1000:g}ms", level = 0.99, burst = {ramp.burst} }}\n'
        f'setup_time = "{ramp.setup_s:g}s"\nshrink_hold = "1s"\n[services.model.sidecar]'
    )
    shape = Shape(ramp.proxies_count, _BACKENDS_COUNT, _EXECUTION_S, 0.3, 0.0, 0.0, service, backends_min=1)
    options = ("--sidecar", "--setup", f"{ramp.setup_s:g}s", "--idle", f"{ramp.idle_s:g}s")
    rates = rates_per_s(ramp.rise_s)
    trace = root / "trace.csv"
    trace.write_text("t_s,count\n" + "".join(f"{t},{n}\n" for t, n in enumerate(counts_of(rates))))
    with ExitStack() as stack:
        addresses = stack.enter_context(backends(shape, root, options))
        gossiping = [replace(shape, service=service + peers) for peers in gossip_of(ramp.proxies_count)]
        targets = [
            stack.enter_context(proxy(each, root / f"proxy-{number}", addresses))[1]
            for number, each in enumerate(gossiping)
        ]
        _wait_warm(addresses, 1)
        words = [
            str(ROOT / "scripts" / "loadtest"), "--trace", str(trace), "--seed", "1", "--quiet", "--json",
            "--response-time", f"{promise_s * 1000:g}ms", "--warm-up", f"{_BEFORE_S}s",
            *(f"http://{target}" for target in targets),
        ]  # fmt: skip
        began = time.monotonic()
        test = subprocess.Popen(words, stdout=subprocess.PIPE)
        counts = _watch(addresses, test, began)
        assert test.stdout is not None, "it was piped"
        summary = json.loads(test.stdout.read())
    return _tell(ramp, counts, summary, fell_at=len(rates) - _AFTER_S)


def gossip_of(count: int) -> list[str]:
    """Return the tables that let proxies find each other on this machine."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    seeds = json.dumps([f"127.0.0.1:{port}" for port in ports])
    return [f"\n[peers.gossip]\nport = {port}\nseeds = {seeds}" for port in ports]


def rates_per_s(rise_s: int) -> list[float]:
    """Return the rate of each second."""
    way = [_LOW_PER_S + (_HIGH_PER_S - _LOW_PER_S) * (t + 0.5) / rise_s for t in range(rise_s)]
    low, top = [_LOW_PER_S], [_HIGH_PER_S]
    return low * _BEFORE_S + way + top * _TOP_S + way[::-1] + low * _AFTER_S


def counts_of(rates: list[float]) -> list[int]:
    """Return Poisson arrivals of each second, the same ones every time."""
    rng = random.Random(1)
    counts = []
    for rate in rates:
        at, count = rng.expovariate(rate), 0
        while at < 1.0:
            at, count = at + rng.expovariate(rate), count + 1
        counts.append(count)
    return counts


def _watch(addresses: list[str], test: "subprocess.Popen[bytes]", began: float) -> list[tuple[float, int]]:
    """Return how many backends were warm, and when that changed, until the load ends."""
    counts: list[tuple[float, int]] = []
    while test.poll() is None:
        count = _warm_count(addresses)
        if not counts or counts[-1][1] != count:
            counts.append((time.monotonic() - began, count))
        time.sleep(_LOOK_S)
    return counts


def _tell(ramp: Ramp, counts: list[tuple[float, int]], summary: dict[str, float], fell_at: float) -> bool:
    most = max(count for _, count in counts)
    # what is left in the end is what the low load needs; the rest is extra
    needed = counts[-1][1]
    cold_at = next(at for at, count in counts if at > ramp.rise_s and count <= needed)
    for at, count in counts:
        if at > ramp.rise_s and count > needed:
            cold_at = at
    cold_at = next((at for at, _ in counts if at > cold_at), cold_at)
    within = summary["within_share"]
    click.echo(
        f"up within {ramp.rise_s} s, set-up {ramp.setup_s:g} s, idle {ramp.idle_s:g} s, burst {ramp.burst}"
    )
    click.echo("warm backends: " + ", ".join(f"{count} at {at:.0f} s" for at, count in counts))
    click.echo(f"{within:.2%} of {summary['requests_count']} within the promise; at most {most} backends")
    late_s = cold_at - fell_at
    click.echo(
        f"extra backends cold {late_s:.1f} s after the load was low again (bar: {ramp.idle_s + 5:g} s)"
    )
    return bool(within >= 0.99 and late_s <= ramp.idle_s + 5.0)


def _warm_count(addresses: list[str]) -> int:
    found = 0
    for address in addresses:
        with urlopen(f"http://{address}/swayam/state", timeout=5.0) as answer:
            found += json.loads(answer.read())["state"] == "WARM"
    return found


def _wait_warm(addresses: list[str], count: int) -> None:
    deadline = time.monotonic() + 30.0
    while _warm_count(addresses) < count:
        if time.monotonic() > deadline:
            raise click.ClickException("no backend becomes warm")
        time.sleep(_LOOK_S)
