"""A real `swayam_proxy serve` process: run on a generated file, watched in /proc, stopped by SIGTERM."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "swayam_proxy", "serve")
START_PATIENCE_S = 30.0
STOP_PATIENCE_S = 10.0
CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def toml_of(table: Mapping[str, Any]) -> str:
    """Write nested mappings of strings, numbers, booleans and lists as TOML."""

    def value_of(value: Any) -> str:
        if isinstance(value, Mapping):
            return (
                "{" + ", ".join(f"{json.dumps(key)} = {value_of(item)}" for key, item in value.items()) + "}"
            )
        if isinstance(value, list | tuple):
            return "[" + ", ".join(value_of(item) for item in value) + "]"
        return json.dumps(value)

    return "".join(f"{json.dumps(key)} = {value_of(value)}\n" for key, value in table.items())


def wait_for(find: Callable[[], T | None], within_s: float, what: str) -> T:
    """Call `find` until it returns something; fail with `what` when it does not in time."""
    deadline = time.monotonic() + within_s
    while True:
        found = find()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within_s} s in vain for {what}")
        time.sleep(0.02)


class ProxyProcess:
    """One proxy process and what can be seen of it from outside."""

    def __init__(
        self, directory: Path, config: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        """Prepare to run with `config`, whose logs are set to files in `directory`."""
        self.directory = directory
        self.config_path = directory / "config.toml"
        self.access_log_path = directory / "access.log"
        self.stderr_path = directory / "stderr.log"
        process = {**config.get("process", {}), "access_log": str(self.access_log_path)}
        self.config: dict[str, Any] = {**config, "process": process}
        self.environment = dict(environment or {})
        self.command_prefix: tuple[str, ...] = ()
        """Words before the command, such as a shell that sets limits and then becomes the proxy."""
        self.endpoint: tuple[str, int] = ("", 0)
        self.admin: tuple[str, int] = ("", 0)
        self._process: subprocess.Popen[bytes] | None = None
        self._tracebacks_reported = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        """Start, and return when it listens and says that it is ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(toml_of(self.config))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", **self.environment}
        with self.stderr_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*self.command_prefix, *SERVE, "--config", str(self.config_path)],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        try:
            bound = wait_for(self._find_bound, START_PATIENCE_S, "the listening event")
            self.endpoint = endpoint_of(bound["listen"][0])
            self.admin = endpoint_of(bound["admin"])
            wait_for(self._find_ready, START_PATIENCE_S, "/readyz")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _find_bound(self) -> dict[str, Any] | None:
        exit_status = self.process.poll()
        assert exit_status is None, f"the proxy ended at its start with {exit_status}:\n{self.stderr()}"
        for line in self.stderr().splitlines():
            if '"listening"' in line and line.startswith("{"):
                event: dict[str, Any] = json.loads(line)
                if event.get("event") == "listening":
                    return event
        return None

    def _find_ready(self) -> bool | None:
        try:
            status, _ = self.admin_get("/readyz")
        except (OSError, HTTPException):
            return None
        return True if status == 200 else None

    def stop(self) -> int:
        """Ask to end by SIGTERM and return the exit status; kill and fail when it does not end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"SIGTERM did not end the proxy within {STOP_PATIENCE_S} s:\n{self.stderr()}"
            ) from None

    def kill(self) -> None:
        """End the process, if it runs, without asking."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stderr(self) -> str:
        """Everything that the process wrote to its outputs so far."""
        return self.stderr_path.read_text(errors="replace")

    def new_complaints(self) -> str:
        """Return what was written since the last call if it holds a traceback or a warning, else nothing."""
        text = self.stderr()[self._tracebacks_reported :]
        self._tracebacks_reported += len(text)
        signs = (
            "Traceback (most recent call last)",
            "Warning:",
            "exception was never retrieved",
            "Task was destroyed",
        )
        return text if any(sign in text for sign in signs) else ""

    def admin_get(self, path: str, within_s: float = 5.0) -> tuple[int, bytes]:
        """GET `path` of the admin address: status and body."""
        connection = HTTPConnection(*self.admin, timeout=within_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def state_of(self, service_name: str) -> dict[str, Any]:
        """Return what `/state` tells of one service."""
        status, body = self.admin_get("/state")
        assert status == 200, body
        services = json.loads(body)["services"]
        if isinstance(services, Mapping):
            return dict(services[service_name])
        return dict(next(service for service in services if service["name"] == service_name))

    def access_records(self) -> list[dict[str, Any]]:
        """Return the access log so far, one record per ended request."""
        if not self.access_log_path.exists():
            return []
        text = self.access_log_path.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def records_of(self, path: str, count: int = 1, within_s: float = 5.0) -> list[dict[str, Any]]:
        """Wait until `count` requests for `path` (query aside) were logged, and return their records."""

        def find() -> list[dict[str, Any]] | None:
            found = [record for record in self.access_records() if record["path"].partition("?")[0] == path]
            return found if len(found) >= count else None

        return wait_for(find, within_s, f"{count} access records of {path}")

    def cpu_s(self) -> float:
        """CPU seconds of the process so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_S

    def _memory_bytes(self, key: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {key} in /proc")

    def rss_bytes(self) -> int:
        """Resident memory now."""
        return self._memory_bytes("VmRSS:")

    def peak_rss_bytes(self) -> int:
        """The highest resident memory since the start or the last `reset_peak`."""
        return self._memory_bytes("VmHWM:")

    def reset_peak(self) -> None:
        """Forget the highest resident memory so far (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def endpoint_of(address: str) -> tuple[str, int]:
    """Split "host:port"."""
    host, _, port = address.rpartition(":")
    return host, int(port)
