"""Writes what was measured as Markdown."""

import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

from _benchmark_dataplane.contestants import Contestant
from _benchmark_dataplane.load import WORKLOADS, Cost

BASE = "HAProxy"
COST_BAR = 0.65
LATENCY_BAR = 1.2
"""Added latency over that of HAProxy."""
MEMORY_BAR_MIB = 114.0
"""120 MB."""
CONNECTION_BAR_KIB = 15.0


@dataclass
class Findings:
    """All that one run measured, by contestant."""

    costs: dict[str, dict[str, list[Cost]]] = field(default_factory=dict)
    """By workload, then contestant: one cost a round."""
    latencies_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """By contestant, "direct" among them: p50 and p99 of each round."""
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)
    """MiB at rest and KiB per idle connection."""


def ratio(costs: Mapping[str, Sequence[Cost]], name: str) -> float | None:
    """Return the median over rounds of a contestant's requests per CPU-second over HAProxy's, same round."""
    if BASE not in costs or name not in costs:
        return None
    pairs = zip(costs[name], costs[BASE], strict=False)
    return median(own.requests_per_cpu_s / base.requests_per_cpu_s for own, base in pairs)


def machine() -> str:
    """Say what was measured on, and with what."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    programs = []
    for command in (["haproxy", "-v"], ["nginx", "-v"]):
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
        programs.append(f"{command[0]} {found[0] if found else '?'}")
    programs += [f"Python {platform.python_version()}", f"uvloop {version('uvloop')}"]
    programs.append(f"httptools {version('httptools')}")
    return f"{cpu[1] if cpu else platform.machine()}, Linux {platform.release()}; {', '.join(programs)}"


def markdown(findings: Findings, contestants: Sequence[Contestant], how: str) -> str:
    """Write the whole report."""
    lines = [
        "# What a request costs",
        "",
        "Written by `scripts/benchmark-dataplane`. Each proxy has one processor of its own; the backend",
        "(nginx) and the load generator share another. Rounds are interleaved; cells are medians over them.",
        "",
        f"Measured on: {machine()}.",
        "",
        f"How: {how}",
        "",
        *(f"- {contestant.name}: {contestant.note}" for contestant in contestants),
        "",
    ]
    for key, costs in findings.costs.items():
        lines += [*_cost_table(key, costs), ""]
    if findings.latencies_s:
        lines += [*_latency_table(findings.latencies_s), ""]
    if findings.memory:
        lines += [*_memory_table(findings.memory), ""]
    lines += ["## Bars", "", *(f"- {verdict}" for verdict in verdicts(findings))]
    return "\n".join(lines) + "\n"


def _cost_table(key: str, costs: Mapping[str, Sequence[Cost]]) -> list[str]:
    workload = WORKLOADS[key]
    lines = [
        f"## {workload.title}, {workload.connections_count} connections",
        "",
        f"| | requests per proxy CPU-second | over {BASE} | us user | us system | requests/s |",
        "|---|---|---|---|---|---|",
    ]
    for name, rounds in costs.items():
        share = ratio(costs, name)
        lines.append(
            f"| {name} | {median(c.requests_per_cpu_s for c in rounds):,.0f} "
            f"| {'' if share is None else f'{share:.2f}'} | {median(c.user_us for c in rounds):.1f} "
            f"| {median(c.system_us for c in rounds):.1f} | {median(c.requests_per_s for c in rounds):,.0f} |"
        )
    return lines


def _latency_table(latencies_s: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    lines = [
        "## Added latency at 1,000 requests per second, 1 KB POST",
        "",
        "| | p50 us | p99 us | p50 added us | p99 added us |",
        "|---|---|---|---|---|",
    ]
    for name, rounds in latencies_s.items():
        p50, p99 = (median(pair[n] for pair in rounds) * 1e6 for n in (0, 1))
        added = "| | |" if name == "direct" else "| {:.0f} | {:.0f} |".format(*added_us(latencies_s, name))
        lines.append(f"| {name} | {p50:.0f} | {p99:.0f} {added}")
    return lines


def added_us(latencies_s: Mapping[str, Sequence[tuple[float, float]]], name: str) -> tuple[float, float]:
    """Return what a proxy adds to p50 and p99, in microseconds: from the medians over rounds."""
    p50_us, p99_us = (
        (median(pair[n] for pair in latencies_s[name]) - median(pair[n] for pair in latencies_s["direct"]))
        * 1e6
        for n in (0, 1)
    )
    return p50_us, p99_us


def _memory_table(memory: Mapping[str, tuple[float, float]]) -> list[str]:
    return [
        "## Memory",
        "",
        "| | MiB at rest | KiB more per idle connection (1,000 of them) |",
        "|---|---|---|",
        *(f"| {name} | {rest:.1f} | {each:.1f} |" for name, (rest, each) in memory.items()),
    ]


def verdicts(findings: Findings) -> list[str]:
    """Say of each bar whether it was met."""
    said = []
    for key in ("1k", "10k"):
        share = ratio(findings.costs.get(key, {}), "Swayam")
        if share is not None:
            met = "met" if share >= COST_BAR else "missed"
            said.append(f"{WORKLOADS[key].title}: {share:.2f} of {BASE}; bar {COST_BAR}: {met}")
    if {"Swayam", BASE} <= set(findings.latencies_s):
        own, base = added_us(findings.latencies_s, "Swayam"), added_us(findings.latencies_s, BASE)
        shares = [mine / its for mine, its in zip(own, base, strict=True)]
        met = "met" if max(shares) <= LATENCY_BAR else "missed"
        said.append(
            f"added latency: p50 {shares[0]:.2f}, p99 {shares[1]:.2f} of {BASE}; bar {LATENCY_BAR}: {met}"
        )
    if "Swayam" in findings.memory:
        rest, each = findings.memory["Swayam"]
        met = "met" if rest <= MEMORY_BAR_MIB and each <= CONNECTION_BAR_KIB else "missed"
        said.append(
            f"memory: {rest:.1f} MiB at rest, {each:.1f} KiB per idle connection; "
            f"bars {MEMORY_BAR_MIB:.0f} MiB and {CONNECTION_BAR_KIB:.0f} KiB: {met}"
        )
    return said
