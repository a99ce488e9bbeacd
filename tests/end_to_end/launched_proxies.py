"""A real `swayam_proxy launch`: several proxy processes on one port, watched from outside."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.end_to_end.proxy_process import (
    ROOT,
    START_PATIENCE_S,
    STOP_PATIENCE_S,
    endpoint_of,
    toml_of,
    wait_for,
)


class LaunchedProxies:
    """A launcher and its proxies."""

    def __init__(self, directory: Path, config: Mapping[str, Any], count: int) -> None:
        """Prepare to run `count` proxies with `config`; their access logs are off."""
        self.directory = directory
        self.count = count
        self.config_path = directory / "config.toml"
        self.stderr_path = directory / "stderr.log"
        process = {**config.get("process", {}), "access_log": "off"}
        self.config = {**config, "process": process}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when all proxies listen."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(toml_of(self.config))
        command = [sys.executable, "-m", "swayam_proxy", "launch", "-n", str(self.count)]
        with self.stderr_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*command, "--config", str(self.config_path)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )
        wait_for(lambda: self.events("launched") or None, START_PATIENCE_S, "all proxies to listen")

    @property
    def launcher(self) -> subprocess.Popen[bytes]:
        """The launcher's process."""
        assert self._process is not None, "not started"
        return self._process

    def stderr(self) -> str:
        """Everything that launcher and proxies wrote so far."""
        return self.stderr_path.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name, in order."""
        assert self.launcher.poll() is None, f"the launcher ended:\n{self.stderr()}"
        lines = [line for line in self.stderr().splitlines() if line.startswith("{") and line.endswith("}")]
        return [event for line in lines if (event := json.loads(line)).get("event") == name]

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where clients connect."""
        return endpoint_of(self.events("listening")[0]["listen"][0])

    @property
    def admins(self) -> list[tuple[str, int]]:
        """The admin addresses, in the order in which they were told; of proxies that ended too."""
        return [endpoint_of(event["admin"]) for event in self.events("listening")]

    def proxy_ids(self) -> list[int]:
        """Return the process ids of the proxies that run now, oldest first."""
        path = Path(f"/proc/{self.launcher.pid}/task/{self.launcher.pid}/children")
        return [int(text) for text in path.read_text().split()]

    def stop(self) -> int:
        """Ask the launcher to end, and return its exit status."""
        self.launcher.send_signal(signal.SIGTERM)
        try:
            return self.launcher.wait(STOP_PATIENCE_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the launcher; its proxies notice."""
        self.launcher.kill()
        self.launcher.wait()
