"""The processes of the demonstration: fake backends, proxies, load generator; all on free ports of loopback.

Knows command lines, log files and signals; what the processes do is read elsewhere. Every child has a
session of its own, so that a Ctrl-C reaches the demonstration alone, which then ends them in order.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from _demo.state import BackendLife, ask_backend

ROOT = Path(__file__).resolve().parents[2]
_START_S = 30.0
_LOOK_S = 0.05
_LOADTEST_END_S = 40.0
_DRAIN_S = 12.0
_LOG_LINES_SHOWN = 15
_SERVERS = ("proxies", "fake backends")


class StageError(Exception):
    """A process that did not start or died; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Part:
    """One service: its name, its share of the backends, how many of them stay warm, and its load."""

    name: str
    backends_count: int
    prefix_min: int
    load: str
    """Profile of the load generator."""

    @property
    def generator(self) -> str:
        """The name of the process that makes its load."""
        return f"load generator of {self.name}"


@dataclass(frozen=True, slots=True)
class Script:
    """What is played."""

    proxies_count: int
    parts: tuple[Part, ...]
    execution_mean_s: float
    execution_cv: float
    setup_s: float
    idle_s: float
    response_time_s: float
    level: float
    duration_s: float
    seed: int

    @property
    def backends_count(self) -> int:
        """How many backends all services have together."""
        return sum(part.backends_count for part in self.parts)

    @property
    def names(self) -> list[str]:
        """The services' names."""
        return [part.name for part in self.parts]


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where one proxy listens."""

    listen: str
    admin: str


class Stage:
    """All processes, as a context: entering starts servers, leaving ends whatever runs."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.proxies: list[Proxy] = []
        self.backend_addresses: list[str] = []
        self._directory = tempfile.TemporaryDirectory(prefix="swayam-demo-")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []

    def __enter__(self) -> "Stage":
        """Start backends and proxies, and wait until they listen and what must be warm is warm."""
        try:
            self._start_backends()
            self._start_proxies()
            wanted = sum(part.prefix_min for part in self.script.parts)
            self._wait("proxies", lambda: sum(one.is_warm for one in self.backend_lives()) >= wanted)
        except BaseException:
            self._end_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process and remove the files."""
        self._end_all()

    def start_load(self) -> None:
        """Begin to send each service's requests to all proxies in turn."""
        script = self.script
        for number, part in enumerate(script.parts):
            self._start(
                part.generator,
                [
                    sys.executable, str(ROOT / "scripts" / "loadtest"),
                    *(proxy.listen for proxy in self.proxies), "--load", part.load,
                    "--duration", f"{script.duration_s:.3f}s", "--seed", str(script.seed + number),
                    "--response-time", f"{script.response_time_s * 1e3:g}ms", "--lag-limit", "25ms",
                    "--quiet", "--timeout", "5s", "--template", "v2", "--model", part.name,
                    "--out", str(self._out(part)),
                ],
            )  # fmt: skip

    def load_has_ended(self) -> bool:
        """Whether all load generators are done; raises StageError when a server died meanwhile."""
        for name in _SERVERS:
            process = self._processes[name]
            if process.poll() is not None:
                raise StageError(f"the {name} ended with status {process.returncode}\n{self._log_end(name)}")
        return all(self._processes[part.generator].poll() is not None for part in self.script.parts)

    def load_results(self, *, stop: bool) -> dict[str, dict[str, Any]]:
        """Wait for the load generators, told to stop if need be, and return their summaries by service."""
        results: dict[str, dict[str, Any]] = {}
        if stop:
            for part in self.script.parts:
                _signal(self._processes[part.generator], signal.SIGINT)
        for part in self.script.parts:
            try:
                self._processes[part.generator].wait(_LOADTEST_END_S)
            except subprocess.TimeoutExpired:
                raise StageError(f"the {part.generator} does not end") from None
            summary = self._out(part) / "summary.json"
            if not summary.is_file():
                raise StageError(f"the {part.generator} failed\n{self._log_end(part.generator)}")
            results[part.name] = json.loads(summary.read_text())
        return results

    def backend_lives(self) -> list[BackendLife]:
        """Ask the backends themselves, in order; who does not answer is left out."""
        return [life for address in self.backend_addresses if (life := ask_backend(address)) is not None]

    @property
    def _path(self) -> Path:
        return Path(self._directory.name)

    def _out(self, part: Part) -> Path:
        return self._path / f"load-{part.name}"

    def _start_backends(self) -> None:
        script, ready = self.script, self._path / "ready"
        self._start(
            "fake backends",
            [
                sys.executable, "-m", "fake_backend", "--port", "0", "--count", str(script.backends_count),
                "--mean", f"{script.execution_mean_s * 1e3:g}ms", "--cv", f"{script.execution_cv:g}",
                "--seed", str(script.seed), "--ready-file", str(ready), "--sidecar",
                "--setup", f"{script.setup_s:g}s", "--idle", f"{script.idle_s:g}s",
            ],
        )  # fmt: skip
        self._wait("fake backends", lambda: ready.is_file() and ready.read_text().endswith("\n"))
        self.backend_addresses = ready.read_text().split()

    def _start_proxies(self) -> None:
        config = self._path / "swayam.toml"
        config.write_text(configuration(self.script, self.backend_addresses))
        count = str(self.script.proxies_count)
        self._start(
            "proxies",
            [
                sys.executable, "-m", "swayam_proxy", "launch", "-n", count, "--ports", "separate",
                "--config", str(config),
            ],
        )  # fmt: skip
        self._wait("proxies", lambda: len(self._listening()) == self.script.proxies_count)
        self.proxies = sorted(self._listening(), key=lambda proxy: proxy.listen)

    def _listening(self) -> list[Proxy]:
        """Return the proxies that have said where they listen."""
        found = []
        for line in self._log_path("proxies").read_text(errors="replace").splitlines():
            if '"listening"' in line:
                event = json.loads(line)
                found.append(Proxy(event["listen"][0], event["admin"]))
        return found

    def _start(self, name: str, command: list[str]) -> None:
        log = self._log_path(name).open("wb")
        self._logs.append(log)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._processes[name] = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _wait(self, name: str, is_ready: Any) -> None:
        deadline = time.monotonic() + _START_S
        while not is_ready():
            ended = self._processes[name].poll() is not None
            if ended or time.monotonic() > deadline:
                what = "ended" if ended else f"did not start within {_START_S:g} s"
                raise StageError(f"the {name} {what}\n{self._log_end(name)}")
            time.sleep(_LOOK_S)

    def _log_path(self, name: str) -> Path:
        return self._path / f"{name.replace(' ', '-')}.log"

    def _log_end(self, name: str) -> str:
        lines = self._log_path(name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES_SHOWN:])

    def _end_all(self) -> None:
        """End the loads, then the proxies, which drain, then the backends; nothing survives."""
        for name in (*(part.generator for part in self.script.parts), *_SERVERS):
            process = self._processes.get(name)
            if process is None:
                continue
            if process.poll() is None:
                _signal(process, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_DRAIN_S)
            _signal(process, signal.SIGKILL)
            process.wait()
        for log in self._logs:
            log.close()
        self._directory.cleanup()


def configuration(script: Script, backend_addresses: list[str]) -> str:
    """Return the proxies' TOML: what a user would write, but for a shrink hold that suits a short show."""
    unused = iter(backend_addresses)
    services = "".join(
        service_table(script, part, list(islice(unused, part.backends_count))) for part in script.parts
    )
    return f"""\
[listen]
port = 0

[admin]
port = 0

[process]
access_log = "off"

{services}"""


def service_table(script: Script, part: Part, backend_addresses: list[str]) -> str:
    """Return the TOML of one service, whose backends have sidecars."""
    backends = ", ".join(f'"{address}"' for address in backend_addresses)
    return f"""
[services.{part.name}]
backends = [{backends}]
routes = [{{ path_prefix = "/v2/models/{part.name}" }}]
min = {part.prefix_min}
execution_time = "{script.execution_mean_s * 1e3:g}ms"
execution_cv = {script.execution_cv:g}
setup_time = "{script.setup_s:g}s"
shrink_hold = "2s"

[services.{part.name}.sla]
response_time = "{script.response_time_s * 1e3:g}ms"
level = {script.level:g}
burst = 2.5

[services.{part.name}.sidecar]
"""


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Signal a process and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
