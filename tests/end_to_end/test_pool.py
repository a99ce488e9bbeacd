"""Services that outnumber the room of their machines, in real processes: swapped, and never too many."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from swayam_proxy.core.rendezvous import ordered
from tests.end_to_end.conftest import proxy_config, running_proxy
from tests.end_to_end.proxy_process import ROOT, ProxyProcess, endpoint_of, toml_of, wait_for
from tests.end_to_end.raw_client import RawClient

LEAST = {"a": 1, "b": 0, "c": 0}
"""Three services and the least number of each, on two machines with room for one."""


def service_table(name: str, least: int) -> dict[str, Any]:
    """Return a service on the pool, whose model servers are emulated ones."""
    command = [sys.executable, "-m", "fake_backend", "--port", "{port}", "--mean", "10ms", "--slots", "100"]
    return {
        "pool": "box",
        "min": least,
        "sla": {"response_time": "1s", "level": 0.99, "burst": 1.2},
        "execution_time": "10ms",
        "setup_time": "1s",
        "tick": "250ms",
        "shrink_hold": "1s",
        "queue": {"wait_max": "25s"},
        "timeouts": {"response_head": "10s"},
        "server": {
            "command": command,
            "health": "/health",
            "stop_grace": "0s",
            "output": f"{name}-{{port}}.log",
        },
    }


def config_of(machines: list[str]) -> dict[str, Any]:
    """Return the configuration of proxies and machines alike."""
    tables = {name: service_table(name, least) for name, least in LEAST.items()}
    return proxy_config(tables, pools={"box": {"machines": machines, "rest": "1s"}}, peers={"count": 2})


class MachineProcess:
    """One `swayam machine`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.log_path = directory / "machine.log"
        config_path = directory / "machine.toml"
        config_path.write_text(toml_of(config_of(["127.0.0.1:1"])))  # its own address is told by --listen
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "swayam_proxy", "machine", "-c", str(config_path),
                    "--listen", "127.0.0.1:0", "--room", "1",
                ],
                cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.endpoint: tuple[str, int] = ("", 0)

    def wait_listening(self) -> None:
        """Return when it listens."""

        def find() -> tuple[str, int] | None:
            text = self.log_path.read_text()
            assert self.process.poll() is None, text
            lines = [line for line in text.splitlines() if line.startswith('{"event": "listening"')]
            return endpoint_of(json.loads(lines[0])["listen"][0]) if lines else None

        self.endpoint = wait_for(find, 30.0, "a machine to listen")

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.endpoint[0]}:{self.endpoint[1]}"

    def state(self) -> dict[str, Any]:
        """Return what it says of itself as a whole."""
        connection = HTTPConnection(*self.endpoint, timeout=5.0)
        try:
            connection.request("GET", "/swayam/state")
            return dict(json.loads(connection.getresponse().read()))
        finally:
            connection.close()

    def servers_count(self) -> int:
        """Count the model servers that run: processes, whatever anybody says."""
        found = 0
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                found += "warden.py" not in " ".join(child.cmdline()) and "fake_backend" in child.cmdline()
            except psutil.Error:
                continue  # it has just ended
        return found

    def stop(self) -> None:
        """Ask it to end; it leaves nothing behind and has not complained."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15.0) == 0
        assert not psutil.wait_procs(family, 5.0)[1]
        log = self.log_path.read_text()
        assert "Traceback" not in log and "Warning" not in log, log


@contextmanager
def machines(directory: Path, count: int) -> Iterator[list[MachineProcess]]:
    """Run some machines."""
    running = [MachineProcess(directory / f"machine-{number}") for number in range(count)]
    try:
        for each in running:
            each.wait_listening()
        yield running
        for each in running:
            each.stop()
    finally:
        for each in running:
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait()


@asynccontextmanager
async def pool(directory: Path) -> AsyncIterator[tuple[list[MachineProcess], list[ProxyProcess]]]:
    """Run two machines and two proxies."""
    with machines(directory, 2) as running, ExitStack() as stack:
        config = config_of([each.address for each in running])
        proxies = [stack.enter_context(running_proxy(directory / f"proxy-{n}", config)) for n in (1, 2)]
        yield running, proxies


async def test_three_services_take_turns_on_two_machines(tmp_path: Path) -> None:
    """All are served, in turns: whoever is not called makes way for who is, but for the one with a least
    number, which stays. At no time do more model servers run on a machine than it has room for; all proxies
    have the same order; and a request that names no service of the machine is told so.
    """
    async with pool(tmp_path) as (running, proxies):
        crowds: list[int] = []
        done = asyncio.Event()

        async def watch() -> None:
            while not done.is_set():
                crowds.extend([await asyncio.to_thread(each.servers_count) for each in running])
                await asyncio.sleep(0.1)

        async def call(name: str) -> int:
            client = await RawClient.open(proxies[ord(name) % 2].endpoint)
            try:
                return (await client.ask("POST", f"/{name}/predict", body=b"{}")).status
            finally:
                await client.close()

        watching = asyncio.create_task(watch())
        try:
            async with asyncio.timeout(60.0):
                for names in ("ab", "c", "b"):
                    assert await asyncio.gather(*(call(name) for name in names)) == [200] * len(names)
        finally:
            done.set()
            await watching
        assert max(crowds) == 1
        states = [each.state() for each in running]
        setups = {name: [state["services"][name]["incarnation"] for state in states] for name in LEAST}
        assert sorted(setups["a"]) == [0, 1], "its least number was never taken from it"
        assert sum(setups["b"]) == 2 and sum(setups["c"]) == 1
        assert [state["room"] for state in states] == [1, 1]
        for proxy in proxies:
            for name in LEAST:
                addresses = [each["address"] for each in proxy.state_of(name)["backends"]]
                assert addresses == ordered(name, {each.address: 1.0 for each in running})
        client = await RawClient.open(running[0].endpoint)
        assert (await client.ask("GET", "/x", fields=[("Swayam-Service", "d")])).status == 404
        await client.close()
