"""Backends that speak the sidecar protocol, proxies before them, and load: all as processes."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from _processes import ROOT, running

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What is run."""

    proxies_count: int
    backends_count: int
    execution_s: float
    cv: float
    rate_per_s: float
    duration_s: float
    service: str
    """The service's own lines of TOML."""
    backends_min: int | None = None
    """Of the prefix; None: all are always in use."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    waits_s: list[float]
    codes: dict[int, int]
    cpu_s_per_request: float
    """Of all proxies together."""
    busy_count: int


def run(shape: Shape, directory: Path, options: tuple[str, ...]) -> Outcome:
    """Start everything, send the load, and read what the proxies logged and used."""
    directory.mkdir()
    with ExitStack() as stack:
        addresses = stack.enter_context(backends(shape, directory, options))
        proxies = [
            stack.enter_context(proxy(shape, directory / f"proxy-{n}", addresses))
            for n in range(shape.proxies_count)
        ]
        time.sleep(3.0)  # links come up and the first decision is made; nothing of it is measured
        targets = [address for _, address in proxies]
        _load(shape, targets, 3.0)
        before_s, skipped = [_cpu_s(process) for process, _ in proxies], _logged_counts(shape, directory)
        _load(shape, targets, shape.duration_s)
        used_s = sum(_cpu_s(process) - before for (process, _), before in zip(proxies, before_s, strict=True))
    records = _records(shape, directory, skipped)
    codes: dict[int, int] = {}
    for record in records:
        codes[record["code"]] = codes.get(record["code"], 0) + 1
    return Outcome(
        [record["queue_ms"] / 1000.0 for record in records if record["code"] == 200],
        codes,
        used_s / max(1, len(records)),
        sum(record["attempts"] - 1 for record in records),
    )


@contextmanager
def backends(shape: Shape, directory: Path, options: tuple[str, ...]) -> Iterator[list[str]]:
    """Run the backends of one process; yields their addresses."""
    ready = directory / "ready"
    words = [
        sys.executable, "-m", "fake_backend", "--port", "0", "--count", str(shape.backends_count),
        "--mean", f"{shape.execution_s * 1000:g}ms", "--cv", f"{shape.cv:g}", "--ready-file", str(ready),
        *options,
    ]  # fmt: skip
    with running(words, directory / "backends.log"):
        deadline = time.monotonic() + _PATIENCE_S
        while not ready.exists():
            if time.monotonic() > deadline:
                raise RuntimeError((directory / "backends.log").read_text())
            time.sleep(0.05)
        time.sleep(0.1)
        yield ready.read_text().split()


@contextmanager
def proxy(shape: Shape, directory: Path, addresses: list[str]) -> Iterator[tuple[psutil.Process, str]]:
    """Run one proxy; yields its process and where it listens."""
    directory.mkdir()
    (directory / "swayam.toml").write_text(
        f"""
        [listen]
        port = 0
        [admin]
        port = 0
        [process]
        access_log = "{directory / "access.log"}"
        [peers]
        count = {shape.proxies_count}
        [services.model]
        backends = {json.dumps(addresses)}
        min = {shape.backends_count if shape.backends_min is None else shape.backends_min}
        execution_time = "{shape.execution_s * 1000:g}ms"
        queue = {{ wait_max = "10s" }}
        {shape.service}
        """
    )
    words = [sys.executable, "-m", "swayam_proxy", "serve", "-c", str(directory / "swayam.toml")]
    errors = directory / "stderr.log"
    with running(words, errors) as process:
        deadline = time.monotonic() + _PATIENCE_S
        while '"listening"' not in errors.read_text():
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(errors.read_text())
            time.sleep(0.05)
        line = next(line for line in errors.read_text().splitlines() if '"listening"' in line)
        yield psutil.Process(process.pid), json.loads(line)["listen"][0]


def _load(shape: Shape, targets: list[str], duration_s: float) -> None:
    words = [
        str(ROOT / "scripts" / "loadtest"), "--rate", f"{shape.rate_per_s:g}",
        "--duration", f"{duration_s:g}s", "--spread", "random", "--seed", "1",
        *(f"http://{target}" for target in targets),
    ]  # fmt: skip
    subprocess.run(words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _lines(directory: Path, number: int) -> list[str]:
    return (directory / f"proxy-{number}" / "access.log").read_text().splitlines()


def _logged_counts(shape: Shape, directory: Path) -> list[int]:
    time.sleep(1.0)  # the log is written by a thread of its own
    return [len(_lines(directory, number)) for number in range(shape.proxies_count)]


def _records(shape: Shape, directory: Path, skipped: list[int]) -> list[dict[str, float]]:
    return [
        json.loads(line)
        for number in range(shape.proxies_count)
        for line in _lines(directory, number)[skipped[number] :]
    ]
