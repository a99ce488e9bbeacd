"""Sidecars with real model servers, and proxies before them: processes that a test can kill one by one."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from tests.end_to_end.conftest import proxy_config, running_proxy
from tests.end_to_end.connection import CutMessageError, Message
from tests.end_to_end.proxy_process import ROOT, ProxyProcess, endpoint_of, wait_for
from tests.end_to_end.raw_client import RawClient

START_PATIENCE_S = 30.0


class SidecarProcess:
    """One `swayam sidecar` before a fake model server that it starts by itself."""

    def __init__(
        self, directory: Path, options: tuple[str, ...] = (), server: tuple[str, ...] = (), port: int = 0
    ) -> None:
        """Start it; `options` are the sidecar's, `server` those of the model server."""
        directory.mkdir(parents=True, exist_ok=True)
        self.log_path = directory / "sidecar.log"
        words = [
            sys.executable, "-m", "swayam_proxy", "sidecar", "--listen", f"127.0.0.1:{port}",
            "--health", "/health", "--stop-grace", "0s", *options, "--",
            sys.executable, "-m", "fake_backend", "--port", "{port}", "--slots", "100", *server,
        ]  # fmt: skip
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                words,
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.endpoint: tuple[str, int] = ("", 0)

    def wait_listening(self) -> None:
        """Return when it listens."""
        self.endpoint = wait_for(self._listening, START_PATIENCE_S, "a sidecar to listen")

    def _listening(self) -> tuple[str, int] | None:
        text = self.log()
        assert self.process.poll() is None, f"the sidecar ended at its start:\n{text}"
        for line in text.splitlines():
            if line.startswith('{"event": "listening"'):
                return endpoint_of(json.loads(line)["listen"][0])
        return None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.endpoint[0]}:{self.endpoint[1]}"

    def log(self) -> str:
        """What it and its model server wrote so far."""
        return self.log_path.read_text(errors="replace")

    def state(self) -> dict[str, Any]:
        """Return what `GET /swayam/state` answers."""
        return self._ask("GET", "/swayam/state")

    def post(self, what: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send a control request."""
        return self._ask("POST", f"/swayam/{what}", json.dumps(content))

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        connection = HTTPConnection(*self.endpoint, timeout=5.0)
        try:
            connection.request(method, path, body)
            return dict(json.loads(connection.getresponse().read()))
        finally:
            connection.close()

    def wait_state(self, state: str, within_s: float = 10.0) -> dict[str, Any]:
        """Wait until it is in `state`, and return what it says."""

        def find() -> dict[str, Any] | None:
            found = self.state()
            return found if found["state"] == state else None

        return wait_for(find, within_s, f"a sidecar to be {state}")

    def family(self) -> list[psutil.Process]:
        """Return all processes that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill_server(self) -> None:
        """Kill the model server itself, and nothing else."""
        killed = [child for child in self.family() if "fake_backend" in child.cmdline()[1:4]]
        assert killed, "no model server runs"
        for child in killed:
            if "warden.py" not in " ".join(child.cmdline()):
                child.kill()

    def kill(self) -> None:
        """End the sidecar alone, by SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; return its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


@contextmanager
def sidecars(
    directory: Path, count: int, options: tuple[str, ...] = (), server: tuple[str, ...] = ()
) -> Iterator[list[SidecarProcess]]:
    """Run some sidecars; none may have written a traceback or a warning."""
    running = [SidecarProcess(directory / f"sidecar-{n + 1}", options, server) for n in range(count)]
    try:
        for sidecar in running:
            sidecar.wait_listening()
        yield running
    finally:
        for sidecar in running:
            if sidecar.process.poll() is None:
                sidecar.process.send_signal(signal.SIGTERM)
        for sidecar in running:
            sidecar.stop()
    for sidecar in running:
        assert "Traceback" not in sidecar.log() and "Warning" not in sidecar.log(), sidecar.log()


@contextmanager
def proxies_before(
    directory: Path, addresses: list[str], count: int, **service: Any
) -> Iterator[list[ProxyProcess]]:
    """Run proxies before backends with sidecars, all with the same list; path "/model"."""
    table = {
        "backends": addresses,
        "sidecar": {},
        "sla": {"response_time": "1s", "level": 0.99, "burst": 1.2},
        "execution_time": "20ms",
        "setup_time": "1s",
        "tick": "250ms",
        "shrink_hold": "2s",
        **service,
    }
    config = proxy_config({"model": table}, peers={"count": count})
    with ExitStack() as stack:
        yield [stack.enter_context(running_proxy(directory / f"proxy-{n + 1}", config)) for n in range(count)]


@dataclass
class Load:
    """Open-loop calls to several proxies in turn, over as many connections as are needed at once."""

    endpoints: list[tuple[str, int]]
    path: str = "/model/predict"
    answers: list[tuple[float, Message | None, float]] = field(default_factory=list)
    """When it was sent, the answer (None: cut), and how long that took."""
    _idle: dict[tuple[str, int], list[RawClient]] = field(default_factory=dict)
    _number: int = 0

    async def call(self, endpoint: tuple[str, int] | None = None) -> Message | None:
        """Make one call; None when it was cut."""
        if endpoint is None:
            endpoint = self.endpoints[self._number % len(self.endpoints)]
            self._number += 1
        began_at = time.monotonic()
        idle = self._idle.setdefault(endpoint, [])
        answer: Message | None = None
        try:
            client = idle.pop() if idle else await RawClient.open(endpoint)
        except OSError:
            self.answers.append((began_at, None, time.monotonic() - began_at))
            return None
        try:
            answer = await client.ask("POST", self.path, body=b"{}")
            idle.append(client)
        except (CutMessageError, OSError):
            await client.close()
        self.answers.append((began_at, answer, time.monotonic() - began_at))
        return answer

    async def steps(self, *steps: tuple[float, float]) -> None:
        """Call evenly in time: pairs of rate per second and seconds."""
        async with asyncio.TaskGroup() as calls:
            due_at = time.monotonic()
            for per_s, for_s in steps:
                for _ in range(round(per_s * for_s)):
                    await asyncio.sleep(due_at - time.monotonic())
                    calls.create_task(self.call())
                    due_at += 1.0 / per_s

    def statuses(self) -> dict[int, int]:
        """Count the answers by status; 0 for those that were cut."""
        counts: dict[int, int] = {}
        for _, answer, _ in self.answers:
            status = 0 if answer is None else answer.status
            counts[status] = counts.get(status, 0) + 1
        return counts

    async def close(self) -> None:
        """Close every connection."""
        for clients in self._idle.values():
            for client in clients:
                await client.close()
