"""The sidecar before one emulated model server, over real sockets: what black-box checks cannot reach."""

import asyncio
import json
import time

import aiohttp
import pytest

from fake_backend.alarm import Alarm
from fake_backend.backend import Backend
from fake_backend.fleet import Fleet
from fake_backend.settings import (
    BackendSettings,
    ExecutionSettings,
    OnDisconnect,
    ServerState,
    SidecarSettings,
    Work,
)
from fake_backend.sidecar.sidecar import SILENCE_S, Sidecar
from tests.fake_backend.conftest import Served
from tests.fake_backend.raw import begin, exchange, until
from tests.fake_backend.sidecar.hand_clock import HandClock

QUICK = ExecutionSettings(mean_s=0.001, cv=0.0)


def sidecar_settings(**changes: object) -> BackendSettings:
    """Return the settings of a warm backend with quick executions that never decommissions itself."""
    plain = {
        "execution": QUICK, "start": ServerState.WARM,
        "sidecar": SidecarSettings(idle_s=float("inf"), lease_s=60.0),
    }  # fmt: skip
    return BackendSettings(**{**plain, **changes})  # type: ignore[arg-type]


class Control:
    """A control connection whose lines are kept as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, fleet: Fleet, name: str) -> "Control":
        """Connect to the first backend, and read up to the state."""
        host, _, port = fleet.addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        upgrade = "Connection: Upgrade\r\nUpgrade: swayam-control/1"
        fields = f"Host: a\r\n{upgrade}\r\nSwayam-Frontend: {name}\r\n"
        writer.write(f"GET /swayam/control HTTP/1.1\r\n{fields}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        control = cls(reader, writer)
        assert (await control.line()).startswith("state ")
        return control

    async def line(self) -> str:
        """Return the next line."""
        return (await asyncio.wait_for(self.reader.readuntil(b"\n"), 10)).decode().rstrip("\n")

    async def say(self, line: str) -> None:
        """Send a line."""
        self.writer.write(f"{line}\n".encode())
        await self.writer.drain()


def first(fleet: Fleet) -> tuple[Backend, Sidecar]:
    """Return the first backend and its sidecar."""
    sidecar = fleet.backends[0].sidecar
    assert sidecar is not None
    return fleet.backends[0], sidecar


async def test_a_streamed_answer_tells_idle_by_a_line(served: Served) -> None:
    """Its head goes first and cannot know; once the slot is free, a frontend hears of it."""
    fleet = await served(sidecar_settings())
    control = await Control.open(fleet, "a")
    received, _ = await exchange(fleet.addresses[0], "/sse")
    assert b" 200 " in received.partition(b"\r\n")[0]
    assert b"swayam-idle" not in received.lower()
    assert await control.line() == "idle"
    control.writer.close()


@pytest.mark.parametrize("fault", ["reset", "close", "garbage"])
async def test_a_broken_answer_tells_idle_by_a_line(served: Served, fault: str) -> None:
    """No head reached the frontend, so a line does."""
    fleet = await served(sidecar_settings())
    control = await Control.open(fleet, "a")
    await exchange(fleet.addresses[0], f"/x?fault={fault}")
    assert await control.line() == "idle"
    control.writer.close()


async def test_an_error_answer_carries_idle(served: Served, client: aiohttp.ClientSession) -> None:
    """A request that is refused for its body leaves its slot, too."""
    fleet = await served(sidecar_settings())
    async with client.post(f"http://{fleet.addresses[0]}/v2/models/m/infer", data=b"{") as response:
        assert (response.status, response.headers["Swayam-Idle"]) == (400, "1")
    assert first(fleet)[1].slots.free_count == 1


async def test_health_paths_are_requests_like_any_other(
    served: Served, client: aiohttp.ClientSession
) -> None:
    """Whatever is not below /swayam/ takes a slot, or is busy; the tests' own paths are not asked."""
    fleet = await served(sidecar_settings())
    health = f"http://{fleet.addresses[0]}/v2/health/ready"
    async with client.get(health) as response:
        assert (response.status, response.headers["Swayam-Idle"]) == (200, "1")
    writer = await begin(fleet.addresses[0], "/x?execution=30s")
    await until(lambda: first(fleet)[1].slots.running_count == 1)
    async with client.get(health) as response:
        assert (response.status, response.headers["Swayam-Busy"]) == (503, "1")
    async with client.get(f"http://{fleet.addresses[0]}/fake/stats") as response:
        assert (await response.json())["in_flight"] == 1
    writer.close()


async def test_a_stubborn_execution_tells_idle_at_its_end(served: Served) -> None:
    """With "finish" the slot stays taken after the client left; its end is told by a line."""
    fleet = await served(sidecar_settings(on_disconnect=OnDisconnect.FINISH))
    backend, sidecar = first(fleet)
    control = await Control.open(fleet, "a")
    writer = await begin(fleet.addresses[0], "/x?execution=200ms")
    await until(lambda: sidecar.slots.running_count == 1)
    writer.close()
    await until(lambda: backend.counters.cancelled_count == 1)
    assert sidecar.slots.running_count == 1
    assert await control.line() == "idle"
    assert sidecar.slots.running_count == 0
    control.writer.close()


async def test_a_frontend_that_leaves_with_a_slow_body_leaves_the_slot(served: Served) -> None:
    """The slot is taken with the head; a body that never comes does not keep it."""
    fleet = await served(sidecar_settings())
    sidecar = first(fleet)[1]
    host, _, port = fleet.addresses[0].rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    await until(lambda: sidecar.slots.running_count == 1)
    writer.close()
    await until(lambda: sidecar.slots.free_count == 1)


@pytest.mark.parametrize("work", [Work.SLEEP, Work.SPIN])
async def test_death_cuts_what_runs(served: Served, client: aiohttp.ClientSession, work: Work) -> None:
    """Connections are reset, leases end, the slot comes back, and the next incarnation serves."""
    fleet = await served(sidecar_settings(work=work, slots_count=2))
    _, sidecar = first(fleet)
    control = await Control.open(fleet, "a")
    await control.say("hold 1 0")
    assert (await control.line()).startswith("grant 1 ")
    running = asyncio.create_task(exchange(fleet.addresses[0], "/x?execution=1h"))
    await until(lambda: sidecar.slots.running_count == 1)
    async with client.post(f"http://{fleet.addresses[0]}/fake/die") as response:
        assert response.status == 200
    assert await running == (b"", "reset")
    assert (await control.line()).startswith("state WARMING 1")
    assert (await control.line()).startswith("state WARM 1")
    await until(lambda: sidecar.slots.free_count == 2)
    async with client.get(f"http://{fleet.addresses[0]}/x", headers={"Swayam-Grant": "a/1"}) as response:
        assert response.status == 200
    control.writer.close()


async def test_death_for_good(served: Served, client: aiohttp.ClientSession) -> None:
    """COLD, not started again; then there is nothing left to die."""
    fleet = await served(sidecar_settings())
    die = f"http://{fleet.addresses[0]}/fake/die?again=no"
    async with client.post(die) as response:
        assert (await response.json())["state"] == "cold"
    async with client.post(die) as response:
        assert response.status == 409


async def test_plain_backends_die_too(served: Served, client: aiohttp.ClientSession) -> None:
    """Without the protocol the model server is lost and loaded again in the same way."""
    fleet = await served(BackendSettings(execution=QUICK))
    running = asyncio.create_task(exchange(fleet.addresses[0], "/x?execution=1h"))
    await until(lambda: fleet.backends[0].slots.running_count == 1)
    async with client.post(f"http://{fleet.addresses[0]}/fake/die") as response:
        assert (await response.json())["setups"] == 1
    assert await running == (b"", "reset")
    await until(lambda: fleet.backends[0].lifecycle.state is ServerState.WARM)
    async with client.post(f"http://{fleet.addresses[0]}/fake/fail-setups?count=x") as response:
        assert response.status == 400


async def test_busy_answers_are_quick(served: Served, client: aiohttp.ClientSession) -> None:
    """The best of many costs far less than an execution would: nothing waits for the model."""
    fleet = await served(sidecar_settings(execution=ExecutionSettings(mean_s=5.0, cv=0.0)))
    writer = await begin(fleet.addresses[0], "/x")
    await until(lambda: first(fleet)[1].slots.running_count == 1)
    fastest_s = 1.0
    for _ in range(50):
        began_at = time.monotonic()
        async with client.post(f"http://{fleet.addresses[0]}/x", data=b"x" * 1000) as response:
            assert response.status == 503
        fastest_s = min(fastest_s, time.monotonic() - began_at)
    assert fastest_s < 0.02
    writer.close()


async def test_a_silent_frontend_is_gone() -> None:
    """Nothing for five seconds ends its connection and frees what it held; pings keep it."""
    clock = HandClock()
    sidecar = Sidecar(sidecar_settings(), seed=1, index=1, alarm=clock, clock=clock)  # type: ignore[arg-type]
    quiet, alive = (sidecar.connect(name, Wire(), b"") for name in ("quiet", "alive"))  # type: ignore[arg-type]
    assert sidecar.frontends == ["quiet", "alive"]
    quiet.data_received(b"hold 1 0\n")
    assert sidecar.snapshot()["leased"] == 1
    for _ in range(4):
        clock.advance(SILENCE_S / 2)
        alive.data_received(b"ping 1\n")
    assert sidecar.frontends == ["alive"]
    assert sidecar.snapshot()["leased"] == 0


class Wire:
    """A transport that takes everything."""

    def get_protocol(self) -> None:
        """There is none before."""

    def set_protocol(self, _: asyncio.BaseProtocol) -> None:
        """Nothing will come by itself."""

    def write(self, _: bytes) -> None:
        """Send."""

    def is_closing(self) -> bool:
        """It is open."""
        return False

    def get_write_buffer_size(self) -> int:
        """Everything has been sent."""
        return 0

    def close(self) -> None:
        """End."""

    def abort(self) -> None:
        """End."""


class FullWire(Wire):
    """A transport to a frontend that reads nothing."""

    def __init__(self) -> None:
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        """Far too much waits."""
        return 1 << 30

    def abort(self) -> None:
        """Note the end."""
        self.is_aborted = True


async def test_a_frontend_that_reads_nothing_is_cut() -> None:
    """Its unsent lines do not fill the memory."""
    alarm = Alarm(asyncio.get_running_loop(), precise=False)
    sidecar = Sidecar(sidecar_settings(), seed=1, index=1, alarm=alarm)
    wire = FullWire()
    sidecar.connect("deaf", wire, b"")  # type: ignore[arg-type]
    assert wire.is_aborted
    alarm.close()


async def test_many_sidecars_share_a_process(served: Served, client: aiohttp.ClientSession) -> None:
    """Each has its own state; the others stay cold when one is set up."""
    fleet = await served(sidecar_settings(start=ServerState.COLD), count=20)
    async with client.post(f"http://{fleet.addresses[3]}/swayam/setup") as response:
        assert response.status == 202
    await until(lambda: fleet.backends[3].lifecycle.state is ServerState.WARM)
    states = []
    for address in fleet.addresses:
        async with client.get(f"http://{address}/swayam/state") as response:
            states.append(json.loads(await response.read())["state"])
    assert states == ["COLD"] * 3 + ["WARM"] + ["COLD"] * 16
