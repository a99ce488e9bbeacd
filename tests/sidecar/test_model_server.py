"""A real child process, watched while it is warm: one that hangs is ended, one that is busy is not."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from swayam_proxy.sidecar.lifecycle import Order
from swayam_proxy.sidecar.model_server import ModelServer
from swayam_proxy.sidecar.output import BoundedOutput
from swayam_proxy.sidecar.settings import HealthSettings, ServerSettings

COMMAND = (sys.executable, "-m", "fake_backend", "--port", "{port}")
HEALTH = HealthSettings("/health", watch_interval_s=0.02, fall_count=3)
PATIENCE_S = 20.0


class Sidecar:
    """Whoever is told what becomes of the server."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.port = 0
        self.is_busy = False
        self.asked_count = 0

    def server_started(self, host: str, port: int) -> None:
        """Note where."""
        self.port = port
        self.told.append("started")

    def server_healthy(self) -> None:
        """Note it."""
        self.told.append("healthy")

    def server_unreachable(self, *, has_ended: bool) -> None:
        """Note it."""
        self.told.append("ended" if has_ended else "unreachable")

    def server_stopped(self) -> None:
        """Note it."""
        self.told.append("stopped")

    def may_hang(self, since: float) -> bool:
        """Count how often that is asked: once for each check that was not answered."""
        self.asked_count += 1
        return not self.is_busy

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110  # a process is behind it
                await asyncio.sleep(0.01)

    def set_health(self, status: int) -> None:
        """Let the server answer its checks otherwise."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5.0)
        connection.request("POST", f"/fake/health?status={status}", b"")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[tuple[ModelServer, Sidecar]]:
    """A healthy server and its sidecar."""
    sidecar = Sidecar()
    output = BoundedOutput(str(tmp_path / "server.log"))
    server = ModelServer(ServerSettings(COMMAND, stop_grace_s=0.0), HEALTH, output)
    server.watcher = sidecar
    server.perform(Order.START)
    await sidecar.until(lambda: sidecar.told == ["started", "healthy"])
    yield server, sidecar
    await server.close(0.0)
    output.close()


async def test_a_server_that_hangs_is_ended(started: tuple[ModelServer, Sidecar]) -> None:
    """After so many checks without an answer it counts as one that died; and it has."""
    _, sidecar = started
    sidecar.set_health(503)
    await sidecar.until(lambda: "ended" in sidecar.told)
    assert sidecar.asked_count == HEALTH.fall_count
    with pytest.raises(OSError, match="refused"):
        sidecar.set_health(200)


async def test_a_server_that_is_busy_is_left_alone(started: tuple[ModelServer, Sidecar]) -> None:
    """Checks that are not answered while requests are served, or an old one runs, say nothing; nor do single
    ones in between.
    """
    server, sidecar = started
    sidecar.is_busy = True
    sidecar.set_health(503)
    await sidecar.until(lambda: sidecar.asked_count > 3 * HEALTH.fall_count)
    assert sidecar.told == ["started", "healthy"]
    sidecar.set_health(200)
    server.perform(Order.STOP)
    await sidecar.until(lambda: "stopped" in sidecar.told)
    assert "ended" not in sidecar.told
