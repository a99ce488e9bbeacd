"""The scenario on real sockets: backends with sidecars, launched proxies, the load test; what was seen.

Knows processes and their logs, nothing of the simulator.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from _processes import ROOT, environment, running

from _compare_live.scenario import LAW, Played
from swayam_proxy.sim.workload import Floats, Workload

_PATIENCE_S = 60.0
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a run; times in seconds of the load's clock."""

    prefixes: list[list[tuple[float, int]]]
    """(when, n), for each proxy."""
    billed: list[tuple[float, int]]
    """(when, backends that are not cold)."""
    arrivals_s: Floats
    responses_s: Floats
    """inf where there was no good answer."""
    longest_wakeup_s: float
    """The longest that the rules have kept any proxy's event loop."""
    wakeups_mean_s: float


def play_live(played: Played, workload: Workload, directory: Path, say: Callable[[str], None]) -> Seen:
    """Run it; takes as long as the workload, and some seconds more."""
    trace, out = directory / "trace.csv", directory / "load"
    played.write_trace(trace, workload)
    with _backends(played, directory) as addresses, _proxies(played, directory, addresses) as bound:
        targets, admins = [each["listen"][0] for each in bound], [each["admin"] for each in bound]
        say(f"{len(targets)} proxies, {len(addresses)} backends; the load takes {played.duration_s:.0f} s")
        watch = _Watch(admins[0])
        options = ("--trace", str(trace), "--spread", "random", "--seed", str(played.seed), "--out", str(out))
        # a moment late is as good: the arrivals are read from the proxies' own log
        options += ("--lag-limit", "100ms")
        words = [sys.executable, str(ROOT / "scripts" / "loadtest"), *targets, *options, "--quiet"]
        load = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
        if load.returncode != 0:
            raise RuntimeError(f"the load test failed:\n{load.stdout}{load.stderr}")
        changes = watch.stop()
        wakeups = [_wakeups(admin) for admin in admins]
    requests = [json.loads(line) for line in (directory / "access.jsonl").read_text().splitlines()]
    ended_s = np.array([_seconds(request["ts"]) for request in requests])
    took_s = np.array([request["total_ms"] for request in requests]) / 1000.0
    good = np.array([200 <= request["code"] < 300 for request in requests])
    order = np.argsort(ended_s - took_s)
    begun_s = (ended_s - took_s)[order]
    # the load's clock: where the whole of the arrivals fits best, whatever single ones were late by
    count = min(begun_s.size, workload.requests_count)
    zero = float(np.median(begun_s[:count] - workload.arrivals_s[:count]))
    return Seen(
        prefixes=_prefixes(directory / "decisions.jsonl", zero),
        billed=[(at - zero, backends) for at, backends in changes],
        arrivals_s=begun_s - zero,
        responses_s=np.where(good, took_s, np.inf)[order],
        longest_wakeup_s=max(longest for _, _, longest in wakeups),
        wakeups_mean_s=sum(total for _, total, _ in wakeups)
        / max(1.0, sum(count for count, _, _ in wakeups)),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _prefixes(path: Path, zero: float) -> list[list[tuple[float, int]]]:
    found: dict[str, list[tuple[float, int]]] = {}
    for line in path.read_text().splitlines():
        decision = json.loads(line)
        found.setdefault(decision["proxy_id"], []).append(
            (_seconds(decision["ts"]) - zero, decision["prefix"])
        )
    return [sorted(each) for each in found.values()]


@contextmanager
def _backends(played: Played, directory: Path) -> Iterator[list[str]]:
    ready, log = directory / "ready", directory / "backends.log"
    words = [
        sys.executable, "-m", "fake_backend", "--port", "0", "--count", str(played.backends_count),
        "--mean", f"{LAW.mean_s:g}s", "--cv", f"{LAW.cv:g}", "--sidecar", "--setup", f"{played.setup_s:g}s",
        "--idle", f"{played.idle_s:g}s", "--on-disconnect", "finish", "--ready-file", str(ready),
    ]  # fmt: skip
    with running(words, log) as process:
        _wait(
            lambda: ready.exists() and len(ready.read_text().split()) == played.backends_count, process, log
        )
        yield ready.read_text().split()


@contextmanager
def _proxies(played: Played, directory: Path, addresses: list[str]) -> Iterator[list[dict[str, Any]]]:
    configuration, log = directory / "swayam.toml", directory / "proxies.log"
    configuration.write_text(played.configuration(directory, addresses))
    words = [sys.executable, "-m", "swayam_proxy", "launch", "-n", str(played.proxies_count)]

    def bound() -> list[dict[str, Any]]:
        lines = [
            line for line in log.read_text().splitlines() if '"listening"' in line and line.endswith("}")
        ]
        return [json.loads(line) for line in lines]

    with running([*words, "--ports", "separate", "-c", str(configuration)], log) as process:
        _wait(lambda: len(bound()) == played.proxies_count, process, log)
        yield bound()


def _wait(done: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(log.read_text())
        time.sleep(0.05)


class _Watch:
    """Looks at a proxy's view of the backends, and notes when the number of those that cost changes."""

    def __init__(self, admin: str) -> None:
        self._admin = admin
        self._changes: list[tuple[float, int]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            with urlopen(f"http://{self._admin}/state", timeout=10.0) as answer:
                state = json.loads(answer.read())
            services = state["services"]
            service = services["model"] if isinstance(services, dict) else services[0]
            count = sum(backend["state"] != "cold" for backend in service["backends"])
            if not self._changes or self._changes[-1][1] != count:
                self._changes.append((time.time(), count))

    def stop(self) -> list[tuple[float, int]]:
        """Return (wall clock, number) of every change."""
        self._stopped.set()
        self._thread.join(15.0)
        return self._changes


def _wakeups(admin: str) -> tuple[float, float, float]:
    """Return the number of wake-ups of a proxy's rules, the sum of their time, and the longest."""
    with urlopen(f"http://{admin}/metrics", timeout=10.0) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines() if not line.startswith("#")]
    values = {line[0]: float(line[1]) for line in lines if line[0].startswith("swayam_decision_duration")}
    return (
        values["swayam_decision_duration_seconds_count"],
        values["swayam_decision_duration_seconds_sum"],
        values["swayam_decision_duration_max_seconds"],
    )
