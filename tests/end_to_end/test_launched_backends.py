"""`swayam launch --backends` with real processes: what it starts serves, comes again, and leaves with it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

from tests.end_to_end.proxy_process import ROOT, toml_of, wait_for

COMMAND = [sys.executable, "-m", "fake_backend", "--port", "{port}", "--mean", "1ms"]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Launched:
    """A launcher with one proxy, one sidecar and one plain server."""

    def __init__(self, directory: Path) -> None:
        self.port, admin, behind, self.plain_port = free_ports(4)
        promise = {"response_time": "1s", "level": 0.99}
        server = {"command": COMMAND, "health": "/health", "stop_grace": "1s"}
        services = {
            "behind": {"backends": [f"127.0.0.1:{behind}"], "sidecar": {}, "min": 0, "setup_time": "1s"},
            "plain": {"backends": [f"127.0.0.1:{self.plain_port}"]},
        }
        tables = {
            name: {**table, "sla": promise, "server": server, "routes": [{"path_prefix": f"/{name}"}]}
            for name, table in services.items()
        }
        config = {"listen": {"port": self.port}, "admin": {"port": admin}, "services": tables}
        (directory / "swayam.toml").write_text(toml_of(config))
        self.log_path = directory / "log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "swayam_proxy", "launch", "-n", "1", "--backends"],
                cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def status_of(self, path: str) -> int | None:
        """Make a call; None when nobody answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10.0)
        try:
            connection.request("POST", path, b"{}")
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def wait_served(self, path: str) -> None:
        """Return when a call is answered by 200."""

        def find() -> bool | None:
            assert self.process.poll() is None, self.log_path.read_text()
            return True if self.status_of(path) == 200 else None

        wait_for(find, 30.0, f"an answer to {path}")

    def family(self) -> list[psutil.Process]:
        """Return everything that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def launched(directory: Path) -> Iterator[Launched]:
    """Run it; whatever a test leaves is killed."""
    running = Launched(directory)
    family: list[psutil.Process] = []
    try:
        yield running
    finally:
        if running.process.poll() is None:
            family = running.family()
            running.process.kill()
        running.process.wait()
        for each in psutil.wait_procs(family, 5.0)[1]:
            each.kill()


def test_backends_are_started_kept_and_stopped(tmp_path: Path) -> None:
    """Both kinds serve; a plain server that is killed comes again; SIGTERM ends all, with status 0."""
    with launched(tmp_path) as running:
        running.wait_served("/plain/x")
        running.wait_served("/behind/x")
        (killed,) = [
            each
            for each in running.family()
            if each.cmdline()[1:5] == [*COMMAND[1:4], str(running.plain_port)]
        ]
        killed.kill()
        psutil.wait_procs([killed], 5.0)
        running.wait_served("/plain/x")
        family = running.family()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20.0) == 0, running.log_path.read_text()
        assert not psutil.wait_procs(family, 5.0)[1]
        assert "Traceback" not in running.log_path.read_text()


def test_nothing_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL for the launcher: proxies and sidecars notice the end of their line, wardens end the rest."""
    with launched(tmp_path) as running:
        running.wait_served("/plain/x")
        running.wait_served("/behind/x")
        family = running.family()
        assert len(family) >= 5, "a proxy, a sidecar, its warden, two model servers and a warden"
        running.process.kill()
        running.process.wait()
        assert not psutil.wait_procs(family, 15.0)[1]
